package order_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// transitions is the table of section 3 of the contract, spelled out once more.
var transitions = map[order.Status][]order.Status{
	"pending":         {"payment_pending", "paid", "cancelled"},
	"payment_pending": {"paid", "cancelled"},
	"paid":            {"processing", "refunded"},
	"processing":      {"completed", "refunded"},
	"completed":       {"refunded"},
	"cancelled":       {"refunded"},
	"refunded":        {},
}

func TestStatuses(t *testing.T) {
	is := is.New(t)
	is.Equal(len(order.Statuses()), len(transitions)) // statuses
	for _, s := range order.Statuses() {
		is.True(s.Known()) // each is known
		_, ok := transitions[s]
		is.True(ok) // and in the contract
	}
	for _, s := range []order.Status{"", "failed", "Pending", "unknown"} {
		is.True(!s.Known()) // is no status of an order
		is.Equal(len(s.Next()), 0)
	}
}

// placed returns an order in the given status, recorded and last updated at
// 10:30.
func placed(t testing.TB, s order.Status) order.Order {
	t.Helper()
	at := timestamp(t, "2025-12-30T10:30:00Z")
	return order.Order{
		Status: s, DateCreated: at, DateLastUpdated: at, LastUpdatedBy: "thandi@example.com",
		History: []order.Entry{{Sequence: 1, Type: "order.created", Status: "pending", Date: at, By: "thandi@example.com"}},
	}
}

func TestApplyEveryTransition(t *testing.T) {
	now := time.Date(2025, 12, 30, 11, 0, 0, 0, time.UTC)
	for from, allowed := range transitions {
		for to := range transitions {
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				is := is.New(t)
				o := placed(t, from)
				before := o
				u := order.Update{Status: to, Reason: "why", By: "clerk@example.com", TraceID: "1-2-3"}
				if from == "cancelled" && to == "refunded" {
					u.PaymentDetails = &order.PaymentDetails{TransactionID: "late"}
				}
				changed, err := o.Apply(u, now)
				switch {
				case from == to:
					is.NoErr(err)
					is.True(!changed)   // nothing to change
					is.Equal(o, before) // nothing changed
				case slices.Contains(allowed, to):
					is.NoErr(err)
					is.True(changed)
					is.Equal(o.Status, to)
					is.Equal(o.LastUpdatedBy, "clerk@example.com")
					is.Equal(o.DateLastUpdated.String(), "2025-12-30T11:00:00.000000Z")
					is.Equal(o.DateCreated, before.DateCreated) // stays
					is.Equal(o.History, append(before.History, order.Entry{
						Sequence: 2, Type: order.EventType("order." + to), Status: to, Date: o.DateLastUpdated,
						By: "clerk@example.com", Reason: "why", PaymentDetails: u.PaymentDetails, TraceID: "1-2-3",
					}))
				default:
					is.True(errors.Is(err, order.ErrTransition))                           // refused
					is.True(strings.Contains(err.Error(), string(from)+" to "+string(to))) // says which
					is.True(!changed)
					is.Equal(o, before) // untouched
				}
			})
		}
	}
}

func TestApplyExplainsRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		from, to order.Status
		want     string
	}{
		"what is allowed":  {"paid", "pending", "status change not allowed: paid to pending (allowed: processing, refunded)"},
		"that it is final": {"refunded", "paid", "status change not allowed: refunded to paid (refunded is final)"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			o := placed(t, test.from)
			_, err := o.Apply(order.Update{Status: test.to}, time.Now())
			is.Equal(err.Error(), test.want)
		})
	}
}

func TestApplyPaymentDetails(t *testing.T) {
	now := time.Date(2025, 12, 30, 11, 0, 0, 0, time.UTC)
	paidAt := timestamp(t, "2025-12-30T10:45:00Z")
	details := &order.PaymentDetails{Method: "payfast", TransactionID: "tx-1", PayfastPaymentID: "pf-1", PaidAt: paidAt}

	for _, status := range order.Statuses() {
		takes := status != "pending" && status != "cancelled"
		t.Run(string(status), func(t *testing.T) {
			is := is.New(t)
			o := placed(t, status)
			before := o
			changed, err := o.Apply(order.Update{PaymentDetails: details, By: "clerk"}, now)
			if !takes {
				var invalid order.InvalidError
				is.True(errors.As(err, &invalid))            // refused
				is.Equal(invalid[0].Field, "paymentDetails") // names the field
				is.True(!changed)
				is.Equal(o, before) // untouched
				return
			}
			is.NoErr(err)
			is.True(changed)
			is.Equal(o.PaymentDetails, details)
			is.Equal(o.Status, status) // stays
			last := o.History[1]
			is.Equal(last.Type, order.EventPaymentUpdated)
			is.Equal(last.PaymentDetails, details)

			again, err := o.Apply(order.Update{PaymentDetails: details, By: "another clerk"}, now.Add(time.Hour))
			is.NoErr(err)
			is.True(!again) // the same once more changes nothing
			is.Equal(o.LastUpdatedBy, "clerk")
		})
	}
	t.Run("the resulting status counts", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "pending")
		changed, err := o.Apply(order.Update{Status: "paid", PaymentDetails: details}, now)
		is.NoErr(err)
		is.True(changed)
		o = placed(t, "payment_pending")
		_, err = o.Apply(order.Update{Status: "cancelled", PaymentDetails: details}, now)
		is.True(err != nil)                       // a cancelled order takes none
		is.Equal(o, placed(t, "payment_pending")) // and is not cancelled either
	})
	t.Run("fields that are not set keep what they hold", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "paid")
		for _, u := range []order.PaymentDetails{
			{Method: "payfast"}, {TransactionID: "tx-1"}, {PayfastPaymentID: "pf-1"}, {PaidAt: paidAt},
		} {
			before := o.PaymentDetails
			changed, err := o.Apply(order.Update{PaymentDetails: &u}, now)
			is.NoErr(err)
			is.True(changed)
			is.True(o.PaymentDetails != before) // the old details are not written to
		}
		is.Equal(o.PaymentDetails, details)
	})
	t.Run("an empty update changes nothing", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "paid")
		changed, err := o.Apply(order.Update{}, now)
		is.NoErr(err)
		is.True(!changed)
		is.Equal(o, placed(t, "paid"))
	})
}

func TestApplyKeepsPaymentsApart(t *testing.T) {
	now := time.Date(2025, 12, 30, 11, 0, 0, 0, time.UTC)
	stored := order.PaymentDetails{Method: "payfast", TransactionID: "tx-1", PayfastPaymentID: "pf-1"}
	for name, test := range map[string]struct {
		update order.PaymentDetails
		seen   bool
		want   error
	}{
		"another transaction": {order.PaymentDetails{TransactionID: "tx-2"}, false, order.ErrPaymentExists},
		"another PayFast payment": {
			order.PaymentDetails{PayfastPaymentID: "pf-2"}, false, order.ErrPaymentExists,
		},
		"another transaction, the order known": {order.PaymentDetails{TransactionID: "tx-2"}, true, nil},
		"the same with another method":         {order.PaymentDetails{TransactionID: "tx-1", Method: "eft"}, false, nil},
		"the same":                             {stored, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			o := placed(t, "paid")
			o.PaymentDetails = &stored
			before := o
			_, err := o.Apply(order.Update{PaymentDetails: &test.update, Seen: test.seen}, now)
			is.True(errors.Is(err, test.want) && (err == nil) == (test.want == nil))
			if test.want != nil {
				is.Equal(o, before) // untouched
			}
		})
	}
	t.Run("what the order lacks is added", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "paid")
		o.PaymentDetails = &order.PaymentDetails{TransactionID: "tx-1"}
		changed, err := o.Apply(order.Update{PaymentDetails: &order.PaymentDetails{PayfastPaymentID: "pf-1"}}, now)
		is.NoErr(err)
		is.True(changed)
		is.Equal(*o.PaymentDetails, order.PaymentDetails{TransactionID: "tx-1", PayfastPaymentID: "pf-1"})
		is.Equal(*o.History[1].PaymentDetails, order.PaymentDetails{PayfastPaymentID: "pf-1"}) // what was set
	})
	t.Run("a late payment needs its details", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "cancelled")
		_, err := o.Apply(order.Update{Status: "refunded"}, now)
		var invalid order.InvalidError
		is.True(errors.As(err, &invalid))
		is.Equal(invalid[0].Field, "paymentDetails")
	})
	t.Run("a payment of tomorrow", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "paid")
		ahead := order.PaymentDetails{PaidAt: order.NewTimestamp(now.Add(24 * time.Hour))}
		_, err := o.Apply(order.Update{PaymentDetails: &ahead}, now)
		is.NoErr(err) // a day ahead at most
		ahead.PaidAt = order.NewTimestamp(now.Add(24*time.Hour + time.Microsecond))
		_, err = o.Apply(order.Update{PaymentDetails: &ahead}, now)
		var invalid order.InvalidError
		is.True(errors.As(err, &invalid))
		is.Equal(invalid[0].Field, "paymentDetails.paidAt")
	})
}

func TestApplyStopsAtAFullHistory(t *testing.T) {
	is := is.New(t)
	o := placed(t, "pending")
	for len(o.History) < order.MaxHistory-1 {
		o.History = append(o.History, order.Entry{Sequence: len(o.History) + 1})
	}
	changed, err := o.Apply(order.Update{Status: "paid"}, time.Now())
	is.NoErr(err)
	is.True(changed) // the last one
	changed, err = o.Apply(order.Update{Status: "processing"}, time.Now())
	is.True(errors.Is(err, order.ErrTooManyChanges))
	is.True(!changed)
	is.Equal(o.Status, order.Paid)
	_, err = o.Apply(order.Update{Status: "paid"}, time.Now())
	is.NoErr(err) // nothing to change
}

func TestPaying(t *testing.T) {
	for status, want := range map[order.Status]bool{
		"": false, "payment_pending": false, "cancelled": false, "paid": true, "processing": true, "completed": true, "refunded": true,
	} {
		t.Run(string(status), func(t *testing.T) {
			is := is.New(t)
			is.Equal(order.Update{Status: status}.Paying(), want)
			is.True(order.Update{Status: status, PaymentDetails: &order.PaymentDetails{}}.Paying()) // whatever the status
		})
	}
}

func TestApplyMovesOnWhateverTheClock(t *testing.T) {
	is := is.New(t)
	o := placed(t, "pending")
	last := o.DateLastUpdated
	for _, to := range []order.Status{"payment_pending", "paid", "processing", "completed", "refunded"} {
		_, err := o.Apply(order.Update{Status: to}, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
		is.NoErr(err)
		is.True(o.DateLastUpdated.String() > last.String()) // later than the one before
		last = o.DateLastUpdated
	}
}
