package notify_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
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

var update = flag.Bool("update", false, "write the golden files")

// mailer keeps what it is given. fail may refuse it.
type mailer struct {
	mu   sync.Mutex
	sent []*sesv2.SendEmailInput
	fail func() error
}

func (m *mailer) SendEmail(_ context.Context, in *sesv2.SendEmailInput, _ ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error) {
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

// objects is a bucket. before, if set, is called with every read and may fail it; cut breaks the body off.
type objects struct {
	data   map[string]string
	reads  atomic.Int32
	before func(context.Context) error
	cut    error
}

func (o *objects) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	o.reads.Add(1)
	if o.before != nil {
		if err := o.before(ctx); err != nil {
			return nil, err
		}
	}
	body, ok := o.data[*in.Key]
	if !ok {
		return nil, &types.NoSuchKey{Message: aws.String("no such key")}
	}
	var r io.Reader = strings.NewReader(body)
	if o.cut != nil {
		r = io.MultiReader(strings.NewReader(body[:len(body)/2]), iotest.ErrReader(o.cut))
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(r)}, nil
}

var templateKeys = []string{"internal/order_notification.html", "customer/order_confirmation.html"}

func defaults(t *testing.T) *objects {
	t.Helper()
	o := &objects{data: map[string]string{}}
	for _, key := range templateKeys {
		body, err := templates.FS.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		o.data[key] = string(body)
	}
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

// placed returns the order that the tests send: three lines, the second with a discount.
func placed() order.Order {
	for _, s := range samples() {
		if s.Name == "three-lines" {
			s.Order.Items = slices.Clone(s.Order.Items)
			return s.Order
		}
	}
	panic("no such sample")
}

// largest returns the placed order with as many lines as an order can have.
func largest() order.Order {
	o := placed()
	for len(o.Items) < order.MaxItems {
		o.Items = append(o.Items, o.Items[0])
	}
	return o
}

func internal(m notify.Mailer, o notify.Objects) *notify.Sender {
	return notify.NewInternal(m, o, settings(), time.Now)
}

func customerOf(m notify.Mailer, o notify.Objects) *notify.Sender {
	return notify.NewCustomer(m, o, settings(), time.Now)
}

func TestSendInternal(t *testing.T) {
	is := is.New(t)
	m := &mailer{}
	sent, err := internal(m, defaults(t)).Send(t.Context(), placed())
	is.NoErr(err)
	is.Equal(sent, notify.Sent{MessageID: "ses-1"}) // from the template
	is.Equal(len(m.sent), 1)                        // one mail for the whole team
	in := m.sent[0]
	is.Equal(*in.FromEmailAddress, "Orders <orders@kimmyai.io>")
	is.Equal(in.Destination.ToAddresses, []string{"team@kimmyai.io", "sales@kimmyai.io"})
	is.Equal(in.ReplyToAddresses, []string{"support@kimmyai.io"})
	is.Equal(*in.Content.Simple.Subject.Data, "New Order Received: ORD-2025-00002")
	is.True(in.ConfigurationSetName == nil) // none unless set
	for _, part := range []string{*in.Content.Simple.Body.Html.Data, *in.Content.Simple.Body.Text.Data} {
		for _, want := range []string{
			"ORD-2025-00002", "thandi@example.co.za", "R\u00a02\u00a0276,37", "12 December 2025",
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
	sent, err := notify.NewCustomer(m, defaults(t), s, time.Now).Send(t.Context(), placed())
	is.NoErr(err)
	is.Equal(sent, notify.Sent{MessageID: "ses-1"}) // from the template
	in := m.sent[0]
	is.Equal(in.Destination.ToAddresses, []string{"thandi@example.co.za"})
	is.Equal(in.ReplyToAddresses, []string{"support@kimmyai.io"})
	is.Equal(*in.ConfigurationSetName, "orders")
	is.Equal(*in.Content.Simple.Subject.Data, "Order Confirmation: ORD-2025-00002")
	for _, tag := range in.EmailTags {
		is.True(isTag(*tag.Name) && isTag(*tag.Value)) // in the characters that SES allows
	}
	is.Equal(len(in.EmailTags), 2)
}

// isTag reports whether SES takes s as the name or the value of a message tag.
func isTag(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.@") == ""
}

func TestSendFallsBack(t *testing.T) {
	broken := errors.New("connection reset")
	for _, tt := range []struct {
		name     string
		template string
		before   func(context.Context) error
		want     string
	}{
		{"unknown variable", "{{nothing}}", nil, `unknown name "nothing"`},
		{"wrong syntax", "{{range orderItems}}", nil, "range orderItems}} without"},
		{"endless recursion", `{{define "a"}}{{template "a"}}{{end}}`, nil, "template customer/order_confirmation.html: template: 1:1"},
		{"empty", "", nil, "template is empty"},
		{"huge", strings.Repeat("x", 10<<20), nil, "template exceeds 262144 bytes"},
		{"huge output", "{{range orderItems}}" + strings.Repeat("x", 50<<10) + "{{end}}", nil, "output exceeds 1048576 bytes"},
		{"missing", "", func(context.Context) error { return &types.NoSuchKey{} }, "NoSuchKey"},
		{"unreadable", "", func(context.Context) error { return broken }, "connection reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &mailer{}
			o := defaults(t)
			o.data["customer/order_confirmation.html"], o.before = tt.template, tt.before
			sent, err := customerOf(m, o).Send(t.Context(), largest())
			is.NoErr(err) // the mail goes out all the same
			is.Equal(sent.MessageID, "ses-1")
			is.True(sent.Fallback != nil)                             // and the reason is told
			is.True(strings.Contains(sent.Fallback.Error(), tt.want)) // what is wrong
			is.True(m.sent[0].Content.Simple.Body.Html == nil)        // no half-done HTML
			text := *m.sent[0].Content.Simple.Body.Text.Data
			is.True(strings.Contains(text, "- Paper filters, size 02, pack of 100")) // every line
			is.True(strings.Contains(text, "Total: R\u00a02\u00a0276,37"))           // and the total
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
		{"sender not verified", &sestypes.MessageRejected{Message: aws.String("Email address is not verified. The following identities failed the check: " + address)}, false},
		{"domain not verified", &sestypes.MailFromDomainNotVerifiedException{}, false},
		{"account suspended", &sestypes.AccountSuspendedException{}, false},
		{"sending paused", &sestypes.SendingPausedException{}, false},
		{"configuration set missing", &sestypes.NotFoundException{}, false},
		{"throttled", &sestypes.TooManyRequestsException{}, false},
		{"daily quota", &sestypes.LimitExceededException{}, false},
		{"no permission", &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized on identity/" + address}, false},
		{"timeout", context.DeadlineExceeded, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &mailer{fail: func() error { return fmt.Errorf("operation error SESv2: %w", tt.err) }}
			sent, err := customerOf(m, defaults(t)).Send(t.Context(), placed())
			var permanent *order.Permanent
			is.Equal(errors.As(err, &permanent), tt.permanent) // what trying again is good for
			is.True(errors.Is(err, tt.err))                    // the cause is there
			is.Equal(sent, notify.Sent{})
			is.True(!tt.permanent || permanent.Reason == "SES refused the address or the content of the e-mail") // what clients may see
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
			_, err := customerOf(m, defaults(t)).Send(t.Context(), o)
			var permanent *order.Permanent
			is.True(errors.As(err, &permanent))                                 // no second try makes it an address
			is.Equal(err.Error(), "the customer's e-mail address is malformed") // without the address
			is.Equal(len(m.sent), 0)                                            // nothing reached SES
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

func TestAddressee(t *testing.T) {
	for _, tt := range []struct{ customer, billing, want string }{
		{"Thandi Example", "Someone Else", "Dear Thandi Example,"},
		{"", "Accounts Department", "Dear Accounts Department,"},
		{" \u202e ", "", "Dear customer,"},
		{"Thandi\r\nof\tthe\u2028South\u0000", "", "Dear Thandi  of the South,"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			is := is.New(t)
			o := placed()
			o.CustomerName, o.BillingAddress.FullName = tt.customer, tt.billing
			m, err := customer().Render(o, "{{customerName}}")
			is.NoErr(err)
			is.True(strings.HasPrefix(m.Text, tt.want)) // in the text
			is.Equal("Dear "+m.HTML+",", tt.want)       // and in the template
		})
	}
}

func TestGolden(t *testing.T) {
	senders := map[string]*notify.Sender{
		"internal/order_notification": internal(nil, nil),
		"customer/order_confirmation": customer(),
	}
	for name, s := range senders {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			m, err := s.Render(placed(), defaultTemplate(t, name+".html"))
			is.NoErr(err)
			golden(t, filepath.Base(name)+".html", m.HTML)
			golden(t, filepath.Base(name)+".txt", m.Text)
		})
	}
}

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (look at it, then go test ./notify -update):\n%s", name, got)
	}
}

// Large mail providers cut a mail behind 102 KB and hide the rest, the total among it.
func TestLargestOrderIsNotCut(t *testing.T) {
	is := is.New(t)
	m, err := customer().Render(largest(), defaultTemplate(t, key))
	is.NoErr(err)
	is.Equal(strings.Count(m.HTML, "Ceramic"), order.MaxItems-2) // every line is there
	is.True(len(m.HTML) < 102_000)                               // in bytes
}
