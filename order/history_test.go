package order_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// lived returns an order that was paid, told of its second payment's id, and
// refunded.
func lived(t testing.TB) order.Order {
	t.Helper()
	o, err := price(t, message(t), largeCart(t, 1), rate(t, "0.15"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 12, 30, 11, 0, 0, 0, time.UTC)
	for i, u := range []order.Update{
		{Status: "paid", PaymentDetails: &order.PaymentDetails{TransactionID: "tx-1"}, By: "clerk", TraceID: "1-2-3"},
		{PaymentDetails: &order.PaymentDetails{PayfastPaymentID: "pf-1"}, By: "clerk"},
		{Status: "refunded", Reason: "damaged", By: "manager"},
	} {
		if _, err := o.Apply(u, at.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestAt(t *testing.T) {
	o := lived(t)
	for sequence, want := range map[int]struct {
		status  order.Status
		payment *order.PaymentDetails
		by      string
	}{
		1: {"pending", nil, "clerk"},
		2: {"paid", &order.PaymentDetails{TransactionID: "tx-1"}, "clerk"},
		3: {"paid", &order.PaymentDetails{TransactionID: "tx-1", PayfastPaymentID: "pf-1"}, "clerk"},
		4: {"refunded", &order.PaymentDetails{TransactionID: "tx-1", PayfastPaymentID: "pf-1"}, "manager"},
	} {
		t.Run(string(want.status), func(t *testing.T) {
			is := is.New(t)
			then := o.At(sequence)
			is.Equal(then.Status, want.status)
			is.Equal(then.PaymentDetails, want.payment)
			is.Equal(then.LastUpdatedBy, want.by)
			is.Equal(len(then.History), sequence)
			is.Equal(then.DateLastUpdated, o.History[sequence-1].Date)
			is.Equal(then.Total, o.Total) // what does not change
		})
	}
	t.Run("no such entry", func(t *testing.T) {
		is := is.New(t)
		is.Equal(o.At(0), o)
		is.Equal(o.At(5), o)
	})
	t.Run("what comes later does not show", func(t *testing.T) {
		is := is.New(t)
		then := o.At(1)
		_, err := then.Apply(order.Update{Status: "cancelled"}, time.Now())
		is.NoErr(err)
		is.Equal(o.History[1].Type, order.EventPaid) // the order's own history is untouched
	})
}

func TestPaidOn(t *testing.T) {
	is := is.New(t)
	o := lived(t)
	is.Equal(o.PaidOn(), o.History[1].Date) // no other date is known
	unpaid := o.At(1)
	is.True(unpaid.PaidOn().IsZero())
	at := timestamp(t, "2025-12-29T08:00:00Z")
	o.PaymentDetails = &order.PaymentDetails{PaidAt: at}
	is.Equal(o.PaidOn(), at)
}

func TestEntries(t *testing.T) {
	is := is.New(t)
	o := lived(t)
	e, ok := o.FirstEntry("order.refunded")
	is.True(ok)
	is.Equal(e.Sequence, 4)
	_, ok = o.FirstEntry("order.completed")
	is.True(!ok)
	_, ok = o.Entry(5)
	is.True(!ok)
	_, ok = o.Entry(0)
	is.True(!ok)
}

func TestEvent(t *testing.T) {
	is := is.New(t)
	o := lived(t)
	body, err := json.Marshal(o.Event(o.History[1]))
	is.NoErr(err)
	is.Equal(string(body), `{"eventId":"2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d#2","eventType":"order.paid","version":"1",`+
		`"sequence":2,"orderId":"2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d","tenantId":"tenant-001","orderNumber":"ORD-2025-00001",`+
		`"customerEmail":"thandi@example.com","status":"paid","dateCreated":"2025-12-30T10:30:00.000000Z",`+
		`"dateOccurred":"2025-12-30T11:00:00.000000Z","traceId":"1-2-3"}`)
	got, err := order.ParseEvent(body)
	is.NoErr(err) // a consumer finds the entry
	is.Equal(got, order.Event{Type: "order.paid", Sequence: 2, OrderID: o.ID, TenantID: o.TenantID, TraceID: "1-2-3"})
}

func TestMailFailed(t *testing.T) {
	is := is.New(t)
	o := lived(t)
	at := timestamp(t, "2025-12-30T15:00:00Z")
	note, missing := o.MailFailed(o.History[1], "customer_order_confirmation", "SES refused the address", at)
	is.True(missing)
	is.Equal(note, order.Entry{
		Sequence: 5, Type: "mail.failed", Status: "refunded", Date: at, By: "system",
		Reason: "order.paid by customer_order_confirmation: SES refused the address",
	})
	is.True(!note.Told())
	is.True(o.History[0].Told())
	o.History = append(slices.Clone(o.History), note)
	_, missing = o.MailFailed(o.History[1], "customer_order_confirmation", "SES refused the address", at)
	is.True(!missing) // once is enough
	_, missing = o.MailFailed(o.History[3], "customer_order_confirmation", "SES refused the address", at)
	is.True(missing) // another mail
}
