// Package notify sends the two mails about a new order: one to the team, one to the customer. Their HTML comes from
// templates in S3, their plain text is built in.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/bbws/order-lambda/order"
)

// Mailer sends mails. *sesv2.Client is one.
type Mailer interface {
	SendEmail(context.Context, *sesv2.SendEmailInput, ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error)
}

// Objects reads the templates. *s3.Client is one.
type Objects interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Settings say from whom and to whom the mails go. The addresses are in the form that Addresses returns.
type Settings struct {
	From             string
	ReplyTo          string   // customer's mail: where an answer goes; "" for From
	Recipients       []string // internal mail: the team
	ConfigurationSet string   // of SES, or ""
	TemplatesBucket  string
	PortalURL        string // the web address below which /orders/{orderId} shows an order
}

// Addresses reads one or several addresses, separated by commas, each with or without a display name
// ("Orders <orders@example.com>"), in the form of RFC 5322. It returns each as it may stand in a header: display names
// beyond ASCII are encoded. It is made for settings: a mistake is an error at the cold start rather than with the first mail.
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

// A kind is one of the two mails.
type kind struct {
	name       string // the value of the message tag "mail" in the events of SES
	toCustomer bool   // else to the team
	template   string // key in the templates bucket
	subject    string // followed by the order number
	linkName   string // the variable with the link to the order
	text       func(o *order.Order, link string) string
}

// A Sender sends one of the two mails. It may be used concurrently.
type Sender struct {
	kind
	mail      Mailer
	settings  Settings
	templates *source
}

// NewInternal returns the sender of the mail to the team, s.Recipients. The clock now decides how long the template is kept.
func NewInternal(m Mailer, objects Objects, s Settings, now func() time.Time) *Sender {
	return newSender(m, objects, s, now, kind{
		name:     "internal",
		template: "internal/order_notification.html",
		subject:  "New Order Received: ",
		linkName: "orderDetailsUrl",
		text:     internalText,
	})
}

// NewCustomer returns the sender of the mail to the order's customer. The clock now decides how long the template is kept.
func NewCustomer(m Mailer, objects Objects, s Settings, now func() time.Time) *Sender {
	return newSender(m, objects, s, now, kind{
		name:       "customer",
		toCustomer: true,
		template:   "customer/order_confirmation.html",
		subject:    "Order Confirmation: ",
		linkName:   "trackingUrl",
		text:       customerText,
	})
}

func newSender(m Mailer, objects Objects, s Settings, now func() time.Time, k kind) *Sender {
	return &Sender{kind: k, mail: m, settings: s, templates: newSource(objects, s.TemplatesBucket, k.template, names(k.linkName), now)}
}

// Sent tells of a mail that SES accepted.
type Sent struct {
	MessageID string
	// Fallback is why the mail went out as built-in plain text, or nil if it came from the template.
	Fallback error
	// Stale is why the template is older than five minutes, or nil if it is not.
	Stale error
}

// Send sends the order's mail. A mail rather goes out plain than not at all: whatever is wrong with the template or with
// reading it, the built-in text is sent. The error is order.Permanent where the address or the content is refused for good;
// faults that pass, or that an operator mends without touching the order, are others. Its text may quote an address.
func (s *Sender) Send(ctx context.Context, o order.Order) (Sent, error) {
	to := s.settings.Recipients
	if s.toCustomer {
		if !order.IsEmail(o.CustomerEmail) {
			return Sent{}, &order.Permanent{Reason: "the customer's e-mail address is malformed"}
		}
		to = []string{o.CustomerEmail}
	}
	var sent Sent
	t, err := s.templates.get(ctx)
	if t != nil {
		sent.Stale = err
	} else {
		sent.Fallback = err
	}
	message := s.plain(&o)
	if t != nil {
		message.HTML, sent.Fallback = s.html(&o, t)
	}
	out, err := s.mail.SendEmail(ctx, s.input(&o, to, message))
	if err != nil {
		return Sent{}, refusal(err)
	}
	sent.MessageID = aws.ToString(out.MessageId)
	return sent, nil
}

// Render returns the order's mail made with the template src, as Send would send it. Where the template is broken the error
// says how, and the message is the built-in plain text.
func (s *Sender) Render(o order.Order, src string) (Message, error) {
	m := s.plain(&o)
	t, err := parse(src, names(s.linkName))
	if err == nil {
		m.HTML, err = s.html(&o, t)
	}
	return m, err
}

func (s *Sender) link(o *order.Order) string { return orderLink(s.settings.PortalURL, o.ID) }

func (s *Sender) plain(o *order.Order) Message {
	return Message{Subject: s.subject + clean(o.Number), Text: s.text(o, s.link(o))}
}

func (s *Sender) html(o *order.Order, t *template) (string, error) {
	return t.execute(&view{o, s.link(o)})
}

func (s *Sender) input(o *order.Order, to []string, m Message) *sesv2.SendEmailInput {
	utf8 := func(s string) *types.Content {
		return &types.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
	}
	body := &types.Body{Text: utf8(m.Text)}
	if m.HTML != "" {
		body.Html = utf8(m.HTML)
	}
	in := &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(s.settings.From),
		Destination:      &types.Destination{ToAddresses: to},
		Content:          &types.EmailContent{Simple: &types.Message{Subject: utf8(m.Subject), Body: body}},
		// The tags come back in the events of SES, so that a bounce names its order.
		EmailTags: []types.MessageTag{
			{Name: aws.String("mail"), Value: aws.String(s.name)},
			{Name: aws.String("orderId"), Value: aws.String(o.ID)},
		},
	}
	if s.settings.ReplyTo != "" {
		in.ReplyToAddresses = []string{s.settings.ReplyTo}
	}
	if s.settings.ConfigurationSet != "" {
		in.ConfigurationSetName = aws.String(s.settings.ConfigurationSet)
	}
	return in
}

// refusal turns an error of SES into one of the domain.
func refusal(err error) error {
	var rejected *types.MessageRejected
	var bad *types.BadRequestException
	switch {
	case errors.As(err, &rejected) && !strings.HasPrefix(rejected.ErrorMessage(), "Email address is not verified"),
		errors.As(err, &bad):
		return &order.Permanent{Reason: "SES refused the address or the content of the e-mail", Err: err}
	default:
		return fmt.Errorf("send e-mail: %w", err)
	}
}
