package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

// mailer keeps what it is given. fail may refuse it.
type mailer struct {
	mu   sync.Mutex
	sent []*sesv2.SendEmailInput
	fail func() error
}

func (m *mailer) SendEmail(
	_ context.Context, in *sesv2.SendEmailInput, _ ...func(*sesv2.Options),
) (*sesv2.SendEmailOutput, error) {
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, in)
	return &sesv2.SendEmailOutput{MessageId: aws.String("ses-1")}, nil
}

// objects is a bucket. before, if set, is called with every read and may fail
// it.
type objects struct {
	data   map[string]string
	before func(ctx context.Context, key string) error
}

func (o *objects) GetObject(
	ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options),
) (*s3.GetObjectOutput, error) {
	if o.before != nil {
		if err := o.before(ctx, *in.Key); err != nil {
			return nil, err
		}
	}
	body, ok := o.data[*in.Key]
	if !ok {
		return nil, &types.NoSuchKey{Message: aws.String("no such key")}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(body))}, nil
}

// templateKeys are the keys of the shipped templates.
func templateKeys() []string {
	keys, err := fs.Glob(templates.FS, "*/*.html")
	if err != nil {
		panic(err)
	}
	return keys
}

const company = `{"name": "Example Supplies (Pty) Ltd", "addressLines": ["1 Example Square", "Johannesburg, 2196"],
		"vatNumber": "4000000000", "phone": "+27 10 000 0000", "email": "help@shop.example", "website": "https://shop.example",
		"accentColour": "#7A1F4E", "paymentLines": ["Example Bank, account 1234567"]}`

// key is that of the template that most tests use.
const key = "customer/order_confirmation.html"

// defaults is a bucket with the shipped templates and branding.
func defaults(t *testing.T) *objects {
	t.Helper()
	o := &objects{data: map[string]string{}}
	for _, key := range templateKeys() {
		o.data[key] = defaultTemplate(t, key)
	}
	o.data["branding/company.json"] = company
	return o
}

func settings() notify.Settings {
	return notify.Settings{
		From:            "Orders <orders@kimmyai.io>",
		ReplyTo:         "support@kimmyai.io",
		Recipients:      []string{"team@kimmyai.io", "sales@kimmyai.io"},
		TemplatesBucket: "templates",
		PortalURL:       "https://portal.kimmyai.io/",
	}
}

var samples = sync.OnceValue(sample.Orders)

// sampled returns a sample, which the test may change.
func sampled(name string) order.Order {
	for _, s := range samples() {
		if s.Name == name {
			s.Order.Items = slices.Clone(s.Order.Items)
			return s.Order
		}
	}
	panic("no such sample")
}

// placed returns an order of three lines, the second with a discount.
func placed() order.Order { return sampled("three-lines") }

// largest returns the placed order with as many lines as an order can have.
func largest() order.Order {
	o := placed()
	for len(o.Items) < order.MaxItems {
		o.Items = append(o.Items, o.Items[0])
	}
	return o
}

// created returns the first entry of an order.
func created(o order.Order) order.Entry { return o.History[0] }

func supplier() order.Supplier {
	s, err := order.ParseSupplier([]byte(company))
	if err != nil {
		panic(err)
	}
	return s
}

func internal(m notify.Mailer, o *objects) *notify.Sender {
	return notify.NewInternal(m, o, settings(), time.Now)
}

func customerOf(m notify.Mailer, o *objects) *notify.Sender {
	return notify.NewCustomer(m, o, settings(), time.Now)
}

func TestServes(t *testing.T) {
	is := is.New(t)
	types := []order.EventType{
		order.EventCreated, order.EventPaymentPending, order.EventPaid, order.EventProcessing, order.EventCompleted,
		order.EventCancelled, order.EventRefunded, order.EventPaymentUpdated, order.EventMailFailed, "order.other",
	}
	served := func(s *notify.Sender) (served []order.EventType) {
		return slices.DeleteFunc(slices.Clone(types), func(t order.EventType) bool { return !s.Serves(t) })
	}
	is.Equal(served(customerOf(nil, nil)), []order.EventType{
		order.EventCreated, order.EventPaid, order.EventCompleted, order.EventCancelled, order.EventRefunded,
	})
	is.Equal(served(internal(nil, nil)), []order.EventType{
		order.EventCreated, order.EventPaid, order.EventCancelled, order.EventRefunded,
	})
}

func TestSendInternal(t *testing.T) {
	is := is.New(t)
	m := &mailer{}
	sent, err := internal(m, defaults(t)).Send(t.Context(), placed(), created(placed()))
	is.NoErr(err)
	is.Equal(sent, notify.Sent{MessageID: "ses-1"}) // from the template
	is.Equal(len(m.sent), 1)                        // one mail for the whole team
	in := m.sent[0]
	is.Equal(*in.FromEmailAddress, "Orders <orders@kimmyai.io>")
	is.Equal(in.Destination.ToAddresses, []string{"team@kimmyai.io", "sales@kimmyai.io"})
	is.Equal(in.ReplyToAddresses, []string{"thandi@example.co.za"}) // an answer goes to the customer
	is.Equal(*in.Content.Simple.Subject.Data, "New Order Received: ORD-2025-00002")
	is.True(in.ConfigurationSetName == nil) // none unless set
	for _, part := range []string{*in.Content.Simple.Body.Html.Data, *in.Content.Simple.Body.Text.Data} {
		for _, want := range []string{
			"ORD-2025-00002", "thandi@example.co.za", "R\u00a02\u00a0276,37", "12 December 2025", "tenant-1",
			"https://portal.kimmyai.io/orders/0b8f1d2e-5c3a-4e6f-9a7b-000000000002",
		} {
			is.True(strings.Contains(part, want)) // the order's facts are in both parts
		}
	}
}

func TestSendCustomer(t *testing.T) {
	is := is.New(t)
	m := &mailer{}
	s := settings()
	s.ConfigurationSet = "orders"
	o := placed()
	o.TenantID = "azAZ09-_ @[`{/:" // the bounds of what a tag may have, and what lies just beyond
	sent, err := notify.NewCustomer(m, defaults(t), s, time.Now).Send(t.Context(), o, created(o))
	is.NoErr(err)
	is.Equal(sent, notify.Sent{MessageID: "ses-1"}) // from the template
	in := m.sent[0]
	is.Equal(in.Destination.ToAddresses, []string{"thandi@example.co.za"})
	is.Equal(in.ReplyToAddresses, []string{"support@kimmyai.io"})
	is.Equal(*in.ConfigurationSetName, "orders")
	is.Equal(*in.Content.Simple.Subject.Data, "Order Confirmation: ORD-2025-00002")
	is.Equal(
		in.Content.Simple.Headers,
		[]sestypes.MessageHeader{{Name: aws.String("Auto-Submitted"), Value: aws.String("auto-generated")}},
	)
	tags := map[string]string{}
	for _, tag := range in.EmailTags {
		is.True(isTag(*tag.Name) && isTag(*tag.Value)) // in the characters that SES allows
		tags[*tag.Name] = *tag.Value
	}
	is.Equal(tags, map[string]string{"mail": "customer-order_created", "orderId": o.ID, "tenantId": "azAZ09-________"})
}

// isTag reports whether SES takes s as the name or the value of a message tag.
func isTag(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(
		s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
	) == ""
}

func TestSendNothing(t *testing.T) {
	is := is.New(t)
	m := &mailer{}
	_, err := internal(m, defaults(t)).Send(t.Context(), placed(), order.Entry{Type: order.EventCompleted})
	is.True(err != nil) // there is no such mail
	is.Equal(len(m.sent), 0)
}

func TestSendFallsBack(t *testing.T) {
	broken := errors.New("connection reset")
	for _, tt := range []struct {
		name     string
		template string
		err      error
		want     string
	}{
		{"unknown variable", "{{nothing}}", nil, `template: 1:1: unknown name "nothing"`},
		{"wrong syntax", "{{range orderItems}}", nil, "{{range orderItems}} without {{end}}"},
		{"endless recursion", `{{define "a"}}{{template "a"}}{{end}}`, nil, "template customer/order_confirmation.html: "},
		{"empty", "", nil, "template is empty"},
		{"huge", strings.Repeat("x", 10<<20), nil, "more than 262144 bytes"},
		{
			"huge output", "{{range orderItems}}" + strings.Repeat("x", 50<<10) + "{{end}}", nil,
			"output exceeds 1048576 bytes",
		},
		{"missing", "", &types.NoSuchKey{}, "no such object"},
		{"unreadable", "", broken, "connection reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &mailer{}
			o := defaults(t)
			o.data[key] = tt.template
			o.before = func(_ context.Context, k string) error {
				if k == key {
					return tt.err
				}
				return nil
			}
			sent, err := customerOf(m, o).Send(t.Context(), largest(), created(largest()))
			is.NoErr(err) // the mail goes out all the same
			is.Equal(sent.MessageID, "ses-1")
			is.True(sent.Fallback != nil)                             // and the reason is told
			is.True(strings.Contains(sent.Fallback.Error(), tt.want)) // what is wrong
			is.NoErr(sent.Stale)
			is.True(m.sent[0].Content.Simple.Body.Html == nil) // no half-done HTML
			text := *m.sent[0].Content.Simple.Body.Text.Data
			is.True(strings.Contains(text, "- Paper filters, size 02, pack of 100"))        // the lines
			is.True(strings.Contains(text, "Total incl. VAT: R\u00a02\u00a0276,37"))        // and the total
			is.True(strings.Contains(text, "Example Supplies (Pty) Ltd\n1 Example Square")) // under the right brand
		})
	}
}

func TestSendUsesTheTemplateReadLast(t *testing.T) {
	is := is.New(t)
	m, o, clock := &mailer{}, defaults(t), time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)
	s := notify.NewCustomer(m, o, settings(), func() time.Time { return clock })
	for range 2 {
		sent, err := s.Send(t.Context(), placed(), created(placed()))
		is.NoErr(err)
		is.NoErr(sent.Fallback)
		is.True(m.sent[len(m.sent)-1].Content.Simple.Body.Html != nil)
		is.Equal(sent.Stale != nil, o.before != nil) // S3 is down the second time
		clock = clock.Add(5 * time.Minute)
		o.before = func(context.Context, string) error { return errors.New("service unavailable") }
	}
}

func TestPrepare(t *testing.T) {
	const tenants = "branding/tenant-1/company.json"
	t.Run("leaves to the first mail what is the tenant's", func(t *testing.T) {
		is := is.New(t)
		bucket, asked := defaults(t), make(chan string, 9)
		bucket.before = func(_ context.Context, key string) error { asked <- key; return nil }
		s := customerOf(&mailer{}, bucket)
		s.Prepare(t.Context())
		is.Equal(len(asked), 2)
		read := []string{<-asked, <-asked}
		slices.Sort(read)
		is.Equal(read, []string{"branding/company.json", key})
		sent, err := s.Send(t.Context(), placed(), created(placed()))
		is.NoErr(err)
		is.NoErr(sent.Fallback)
		is.Equal(len(asked), 1)
		is.Equal(<-asked, tenants)
	})
	t.Run("leaves to it what it could not read", func(t *testing.T) {
		is := is.New(t)
		ended, end := context.WithCancel(t.Context())
		end()
		s := customerOf(&mailer{}, defaults(t))
		s.Prepare(ended)
		sent, err := s.Send(t.Context(), placed(), created(placed()))
		is.NoErr(err)
		is.NoErr(sent.Fallback)
	})
}

// TestSendReadsAtOnce: neither the template nor the branding is read before the
// other is asked for.
func TestSendReadsAtOnce(t *testing.T) {
	is := is.New(t)
	bucket := defaults(t)
	asked := map[string]chan struct{}{key: make(chan struct{}), "branding/tenant-1/company.json": make(chan struct{})}
	bucket.before = func(ctx context.Context, name string) error {
		if asked[name] != nil {
			close(asked[name])
		}
		for _, other := range asked {
			select {
			case <-other:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	sent, err := customerOf(&mailer{}, bucket).Send(t.Context(), placed(), created(placed()))
	is.NoErr(err)
	is.NoErr(sent.Fallback)
	is.NoErr(sent.Stale)
}

func TestSendOutlivesAPanic(t *testing.T) {
	is := is.New(t)
	bucket, m := defaults(t), &mailer{}
	bucket.before = func(_ context.Context, asked string) error {
		if asked == key {
			panic("no luck")
		}
		return nil
	}
	sent, err := customerOf(m, bucket).Send(t.Context(), placed(), created(placed()))
	is.NoErr(err)
	is.True(sent.Fallback != nil) // plain text
	is.Equal(len(m.sent), 1)
}

func TestBranding(t *testing.T) {
	const own, common = "branding/tenant-1/company.json", "branding/company.json"
	down := errors.New("service unavailable")
	for _, tt := range []struct {
		name        string
		own, common string // "" is absent
		down        map[string]bool
		want, stale string
	}{
		{"the tenant's", `{"name": "Own"}`, `{"name": "Common"}`, nil, "Own", ""},
		{"the common one", "", `{"name": "Common"}`, nil, "Common", ""},
		{"none", "", "", nil, "KimmyAI", ""},
		{"the tenant's is broken", "{", `{"name": "Common"}`, nil, "Common", own},
		{
			"the tenant's cannot be read", `{"name": "Own"}`, `{"name": "Common"}`,
			map[string]bool{own: true},
			"Common", "service unavailable",
		},
		{
			"none can be read", "", `{"name": "Common"}`,
			map[string]bool{own: true, common: true},
			"KimmyAI",
			"service unavailable",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m, o := &mailer{}, defaults(t)
			delete(o.data, common)
			for key, data := range map[string]string{own: tt.own, common: tt.common} {
				if data != "" {
					o.data[key] = data
				}
			}
			o.before = func(_ context.Context, key string) error {
				if tt.down[key] {
					return down
				}
				return nil
			}
			sent, err := customerOf(m, o).Send(t.Context(), placed(), created(placed()))
			is.NoErr(err)
			is.NoErr(sent.Fallback)
			is.Equal(sent.Stale != nil, tt.stale != "") // told where it may be wrong
			is.True(tt.stale == "" || strings.Contains(sent.Stale.Error(), tt.stale))
			is.True(strings.Contains(*m.sent[0].Content.Simple.Body.Html.Data, ">"+tt.want+"<"))
		})
	}
}

func TestSendRefused(t *testing.T) {
	const address = "thandi@example.co.za"
	for _, tt := range []struct {
		name      string
		err       error
		permanent bool
	}{
		{"malformed address", &sestypes.BadRequestException{Message: aws.String("Illegal address " + address)}, true},
		{"content", &sestypes.MessageRejected{Message: aws.String("Email content contains a virus")}, true},
		{
			"sender not verified",
			&sestypes.MessageRejected{Message: aws.String("Email address is not verified. The following identities failed the check: " + address)},
			false,
		},
		{"domain not verified", &sestypes.MailFromDomainNotVerifiedException{}, false},
		{"account suspended", &sestypes.AccountSuspendedException{}, false},
		{"sending paused", &sestypes.SendingPausedException{}, false},
		{"configuration set missing", &sestypes.NotFoundException{}, false},
		{"throttled", &sestypes.TooManyRequestsException{}, false},
		{"daily quota", &sestypes.LimitExceededException{}, false},
		{
			"no permission",
			&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized on identity/" + address},
			false,
		},
		{"timeout", context.DeadlineExceeded, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &mailer{fail: func() error { return fmt.Errorf("operation error SESv2: %w", tt.err) }}
			sent, err := customerOf(m, defaults(t)).Send(t.Context(), placed(), created(placed()))
			var permanent *order.PermanentError
			is.Equal(errors.As(err, &permanent), tt.permanent) // what trying again is good for
			is.True(errors.Is(err, tt.err))                    // the cause is there
			is.Equal(sent, notify.Sent{})
			is.True(
				!tt.permanent || permanent.Reason == "SES refused the address or the content of the e-mail",
			) // what clients may see
		})
	}
}

func TestSendRefusesAddress(t *testing.T) {
	for _, address := range []string{
		"", "thandi", "thandi@", "thandi@example.co.za, other@example.com", "Thandi <thandi@example.co.za>", "<thandi@example.co.za>",
		"thandi@example.co.za\r\nBcc: other@example.com", "thandi@example.co.za\n", " thandi@example.co.za", "thandi@example.co.za (x)",
		"thandi@exämple.com", "\"thandi nkosi\"@example.com", "group:thandi@example.co.za;",
	} {
		t.Run(address, func(t *testing.T) {
			is := is.New(t)
			m := &mailer{}
			o := placed()
			o.CustomerEmail = address
			_, err := customerOf(m, defaults(t)).Send(t.Context(), o, created(o))
			var permanent *order.PermanentError
			is.True(errors.As(err, &permanent))                                 // no second try makes it an address
			is.Equal(err.Error(), "the customer's e-mail address is malformed") // without the address
			is.Equal(len(m.sent), 0)                                            // nothing reached SES

			_, err = internal(m, defaults(t)).Send(t.Context(), o, created(o))
			is.NoErr(err)                                // the team hears of it
			is.Equal(len(m.sent[0].ReplyToAddresses), 0) // and cannot answer
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []string
	}{
		{"team@kimmyai.io", []string{"team@kimmyai.io"}},
		{" a@kimmyai.io , b@kimmyai.io", []string{"a@kimmyai.io", "b@kimmyai.io"}},
		{"Orders <a@kimmyai.io>", []string{`"Orders" <a@kimmyai.io>`}},
		{`"Sales, South" <a@kimmyai.io>, b@kimmyai.io`, []string{`"Sales, South" <a@kimmyai.io>`, "b@kimmyai.io"}},
		{"Bestellungen für Köln <a@kimmyai.io>", []string{"=?utf-8?q?Bestellungen_f=C3=BCr_K=C3=B6ln?= <a@kimmyai.io>"}},
	} {
		t.Run(tt.list, func(t *testing.T) {
			is := is.New(t)
			got, err := notify.Addresses(tt.list)
			is.NoErr(err)
			is.Equal(got, tt.want) // as a header takes them
			again, err := notify.Addresses(strings.Join(got, ", "))
			is.NoErr(err)
			is.Equal(again, got) // stable
		})
	}
	for _, list := range []string{"", "Team:;", " ", "team", "a@kimmyai.io b@kimmyai.io", "a@kimmyai.io\r\nBcc: b@kimmyai.io", "Orders <a@kimmyai.io", "a@", "jürgen@kimmyai.io", `"a b"@kimmyai.io`} {
		t.Run("refuses "+list, func(t *testing.T) {
			is := is.New(t)
			_, err := notify.Addresses(list)
			is.True(err != nil) // no list of addresses
		})
	}
}
