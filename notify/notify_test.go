package notify_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

// mailer keeps what it is given. fail may refuse it.
type mailer struct {
	sent []*sesv2.SendEmailInput
	fail func() error
}

func (m *mailer) SendEmail(_ context.Context, in *sesv2.SendEmailInput, _ ...func(*sesv2.Options)) (*sesv2.SendEmailOutput, error) {
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return nil, err
		}
	}
	m.sent = append(m.sent, in)
	return &sesv2.SendEmailOutput{MessageId: aws.String("ses-1")}, nil
}

// objects is a bucket. before, if set, is called with every read and may fail it.
type objects struct {
	data   map[string]string
	reads  int
	before func(context.Context) error
}

func (o *objects) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	o.reads++
	if o.before != nil {
		if err := o.before(ctx); err != nil {
			return nil, err
		}
	}
	body, ok := o.data[*in.Key]
	if !ok {
		return nil, &types.NoSuchKey{Message: aws.String("no such key")}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(body))}, nil
}

func defaults(t *testing.T) *objects {
	t.Helper()
	o := &objects{data: map[string]string{}}
	for _, key := range []string{"internal/order_notification.html", "customer/order_confirmation.html"} {
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

func sample(t *testing.T) order.Order {
	t.Helper()
	money := func(s string) order.Money {
		m, err := order.ParseMoney(s, "ZAR")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	rate, err := order.ParseRate("0.15")
	if err != nil {
		t.Fatal(err)
	}
	created, err := order.ParseTimestamp("2025-12-30T10:30:00Z")
	if err != nil {
		t.Fatal(err)
	}
	o, err := order.New(order.Creation{
		OrderID:       "4b2c1f0e-5a1d-4c3b-9e8f-0123456789ab",
		OrderNumber:   "ORD-2025-00042",
		TenantID:      "tenant-a",
		CustomerEmail: "thandi@example.com",
		CustomerName:  "Thandi Nkosi",
		CartID:        "cart-1",
		DateCreated:   created,
	}, order.Cart{
		ID: "cart-1", TenantID: "tenant-a", Currency: "ZAR", Shipping: money("99.00"),
		Items: []order.CartItem{
			{ID: "1", ProductID: "p1", ProductName: "Website builder, 12 months", Quantity: 1, UnitPrice: money("1188.00"), Discount: money("118.80")},
			{ID: "2", ProductID: "p2", ProductName: "Tom & <b>Jerry</b> mug", Quantity: 2, UnitPrice: money("149.50"), Discount: money("0")},
			{ID: "3", ProductID: "p3", ProductName: "Domain name .co.za", Quantity: 1, UnitPrice: money("95.00"), Discount: money("0")},
		},
	}, rate)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSend(t *testing.T) {
	is := is.New(t)
	m := &mailer{}
	s := notify.NewCustomer(m, defaults(t), settings(), time.Now)
	sent, err := s.Send(t.Context(), sample(t))
	is.NoErr(err)
	is.NoErr(sent.Fallback)
	is.Equal(sent.MessageID, "ses-1")
	is.Equal(len(m.sent), 1)
}
