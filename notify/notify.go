// Package notify sends the mails about what happens to an order: to the
// customer and to the team. Their HTML comes from templates in S3, their plain
// text is built in. README.md lists what a template can show.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store/object"
)

// Mailer sends mails. *sesv2.Client is one.
type Mailer interface {
	SendEmail(context.Context, *sesv2.SendEmailInput, ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// Settings say from whom and to whom the mails go. The addresses are in the
// form that Addresses returns.
type Settings struct {
	From             string
	ReplyTo          string   // customer's mails: where an answer goes; "" for From
	Recipients       []string // internal mails: the team
	ConfigurationSet string   // of SES, or ""
	TemplatesBucket  string   // holds the branding, too
	PortalURL        string   // the web address below which /orders/{orderId} shows an order
}

// Addresses reads one or several addresses, separated by commas, each with or
// without a display name ("Orders <orders@example.com>"), in the form of RFC
// 5322. It returns each as it may stand in a header: display names beyond ASCII
// are encoded. It is made for settings: a mistake is an error at the cold start
// rather than with the first mail.
func Addresses(list string) ([]string, error) {
	parsed, err := mail.ParseAddressList(list)
	if err != nil {
		return nil, fmt.Errorf("not a list of e-mail addresses: %w", err)
	}
	if len(parsed) == 0 { // "Team:;" is a group of nobody.
		return nil, errors.New("not a list of e-mail addresses: no address")
	}
	addresses := make([]string, len(parsed))
	for i, a := range parsed {
		switch {
		case !order.IsEmail(a.Address):
			return nil, fmt.Errorf("%q is not an e-mail address that SES takes", a.Address)
		case a.Name == "":
			addresses[i] = a.Address
		default:
			addresses[i] = a.String()
		}
	}
	return addresses, nil
}

// A Sender sends the mails of one role. It may be used concurrently.
type Sender struct {
	audience  audience
	mail      Mailer
	settings  Settings
	templates *object.Cache[*template]
	suppliers *object.Cache[order.Supplier]
}

// NewInternal returns the sender of the mails to the team, s.Recipients. The
// clock now decides how long templates and branding are kept.
func NewInternal(m Mailer, objects object.Getter, s Settings, now func() time.Time) *Sender {
	return newSender(team(), m, objects, s, now)
}

// NewCustomer returns the sender of the mails to the order's customer. The
// clock now decides how long templates and branding are kept.
func NewCustomer(m Mailer, objects object.Getter, s Settings, now func() time.Time) *Sender {
	return newSender(customer(), m, objects, s, now)
}

// maxBranding is how many bytes company.json may have.
const maxBranding = 64 << 10

func newSender(a audience, m Mailer, objects object.Getter, s Settings, now func() time.Time) *Sender {
	names := a.names()
	return &Sender{
		audience: a,
		mail:     m,
		settings: s,
		templates: object.New(objects, s.TemplatesBucket, maxTemplate, func(src []byte) (*template, error) {
			return parse(string(src), names)
		}, now),
		suppliers: object.New(objects, s.TemplatesBucket, maxBranding, order.ParseSupplier, now),
	}
}

// commonBranding is the key of the branding of tenants that have none.
const commonBranding = "branding/company.json"

// Prepare reads what most first mails of a process need: the common branding,
// and the template about a new order. What cannot be read now is left to them.
// It uses two connections, which stay for Send.
func (s *Sender) Prepare(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = s.suppliers.Get(ctx, commonBranding) })
	_, _ = s.templates.Get(ctx, s.Template(order.EventCreated))
	wg.Wait()
}

// Serves reports whether there is a mail about entries of a type.
func (s *Sender) Serves(t order.EventType) bool {
	_, ok := s.audience.kind(t)
	return ok
}

// Template returns the key of the template of the mail about entries of a type,
// or "" if there is no such mail.
func (s *Sender) Template(t order.EventType) string {
	k, _ := s.audience.kind(t)
	return k.template
}

// Sent describes a mail that SES accepted.
type Sent struct {
	MessageID string
	// Fallback is why the mail went out as built-in plain text, or nil if it
	// came from the template.
	Fallback error
	// Stale is why the template or the branding may not be what S3 has now, or
	// nil.
	Stale error
}

// Send sends the mail about an entry of an order's history. The order is as it
// stood at the entry, see order.Order.At.
//
// Whatever is wrong with the template, with the branding or with reading them,
// a mail is sent: in plain text, or under the common or a plain brand. The
// error is an *order.PermanentError if the address or the content is refused
// for good; faults that pass, or that an operator mends without touching the
// order, are others. Its text may quote an address.
func (s *Sender) Send(ctx context.Context, o order.Order, e order.Entry) (Sent, error) {
	k, ok := s.audience.kind(e.Type)
	if !ok {
		return Sent{}, fmt.Errorf("no mail about %q", e.Type)
	}
	if s.audience.name == customerName && !order.IsEmail(o.CustomerEmail) {
		return Sent{}, &order.PermanentError{Reason: "the customer's e-mail address is malformed"}
	}
	var sent Sent
	v := view{order: &o, entry: &e, link: orderLink(s.settings.PortalURL, o.ID)}
	var t *template
	var err error
	var reading sync.WaitGroup
	reading.Go(func() { t, err = s.template(ctx, k) })
	v.supplier, sent.Stale = s.supplier(ctx, o.TenantID)
	reading.Wait()
	m := Message{Subject: k.subject + clean(o.Number), Text: s.audience.text(&v)}
	if t != nil {
		sent.Stale = errors.Join(err, sent.Stale)
		m.HTML, err = t.execute(&v)
	}
	if err != nil {
		sent.Fallback = fmt.Errorf("template %s: %w", k.template, err)
	}
	out, err := s.mail.SendEmail(ctx, s.input(&o, e, m))
	if err != nil {
		return Sent{}, refusal(err)
	}
	sent.MessageID = aws.ToString(out.MessageId)
	return sent, nil
}

// template returns a mail's template. It runs in a goroutine of its own, where a
// panic would end the process and with it the other messages of the batch.
func (s *Sender) template(ctx context.Context, k kind) (t *template, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.templates.Get(ctx, k.template)
}

// supplier returns the tenant's branding, else the common one, else a plain
// one. The error says why it may not be the right one.
func (s *Sender) supplier(ctx context.Context, tenantID string) (order.Supplier, error) {
	var problems []error
	for _, key := range []string{"branding/" + tenantID + "/company.json", commonBranding} {
		found, err := s.suppliers.Get(ctx, key)
		if err != nil && !errors.Is(err, object.ErrAbsent) {
			problems = append(problems, err)
		}
		if found.Name != "" {
			return found, errors.Join(problems...)
		}
	}
	return order.PlainSupplier(), errors.Join(problems...)
}

// Render returns the mail about an entry as Send would send it, made with the
// template src and a supplier's branding. If the template is broken, the error
// says how, and the message is the built-in plain text.
func (s *Sender) Render(o order.Order, e order.Entry, supplier order.Supplier, src string) (Message, error) {
	k, ok := s.audience.kind(e.Type)
	if !ok {
		return Message{}, fmt.Errorf("no mail about %q", e.Type)
	}
	v := view{order: &o, entry: &e, supplier: supplier, link: orderLink(s.settings.PortalURL, o.ID)}
	m := Message{Subject: k.subject + clean(o.Number), Text: s.audience.text(&v)}
	t, err := parse(src, s.audience.names())
	if err == nil {
		m.HTML, err = t.execute(&v)
	}
	return m, err
}

func (s *Sender) input(o *order.Order, e order.Entry, m Message) *sesv2.SendEmailInput {
	utf8 := func(s string) *types.Content {
		return &types.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
	}
	tag := func(name, value string) types.MessageTag {
		return types.MessageTag{Name: aws.String(name), Value: aws.String(tagValue(value))}
	}
	body := &types.Body{Text: utf8(m.Text)}
	if m.HTML != "" {
		body.Html = utf8(m.HTML)
	}
	in := &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(s.settings.From),
		Destination:      &types.Destination{},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: utf8(m.Subject),
			Body:    body,
			// RFC 3834: answering machines do not answer such a mail.
			Headers: []types.MessageHeader{{Name: aws.String("Auto-Submitted"), Value: aws.String("auto-generated")}},
		}},
		// The tags come back in the events of SES, so that a bounce names its
		// order.
		EmailTags: []types.MessageTag{
			tag("mail", s.audience.name+"-"+string(e.Type)),
			tag("orderId", o.ID),
			tag("tenantId", o.TenantID),
		},
	}
	if s.audience.name == customerName {
		in.Destination.ToAddresses = []string{o.CustomerEmail}
		if s.settings.ReplyTo != "" {
			in.ReplyToAddresses = []string{s.settings.ReplyTo}
		}
	} else {
		in.Destination.ToAddresses = s.settings.Recipients
		if order.IsEmail(o.CustomerEmail) {
			in.ReplyToAddresses = []string{o.CustomerEmail}
		}
	}
	if s.settings.ConfigurationSet != "" {
		in.ConfigurationSetName = aws.String(s.settings.ConfigurationSet)
	}
	return in
}

// tagValue returns a text as SES takes it in a tag, with "_" for what it does
// not take: anything but ASCII letters, digits, "_" and "-" (MessageTag of the
// SES API v2).
func tagValue(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-':
			return r
		}
		return '_'
	}, s)
}

// refusal turns an error of SES into one of the domain.
func refusal(err error) error {
	var rejected *types.MessageRejected
	var bad *types.BadRequestException
	switch {
	case errors.As(err, &rejected) && !strings.HasPrefix(rejected.ErrorMessage(), "Email address is not verified"),
		errors.As(err, &bad):
		return &order.PermanentError{Reason: "SES refused the address or the content of the e-mail", Err: err}
	default:
		return fmt.Errorf("send e-mail: %w", err)
	}
}
