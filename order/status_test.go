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
	"cancelled":       {},
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

// placed returns an order in the given status, last updated at 10:30.
func placed(t testing.TB, s order.Status) order.Order {
	t.Helper()
	at := timestamp(t, "2025-12-30T10:30:00Z")
	return order.Order{Status: s, DateCreated: at, DateLastUpdated: at, LastUpdatedBy: "thandi@example.com"}
}

func TestApplyEveryTransition(t *testing.T) {
	now := time.Date(2025, 12, 30, 11, 0, 0, 0, time.UTC)
	for from, allowed := range transitions {
		for to := range transitions {
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				is := is.New(t)
				o := placed(t, from)
				before := o
				changed, err := o.Apply(order.Update{Status: to}, "clerk@example.com", now)
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
			_, err := o.Apply(order.Update{Status: test.to}, "clerk", time.Now())
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
			changed, err := o.Apply(order.Update{PaymentDetails: details}, "clerk", now)
			if !takes {
				var invalid order.Invalid
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

			again, err := o.Apply(order.Update{PaymentDetails: details}, "another clerk", now.Add(time.Hour))
			is.NoErr(err)
			is.True(!again) // the same once more changes nothing
			is.Equal(o.LastUpdatedBy, "clerk")
		})
	}
	t.Run("the resulting status counts", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "pending")
		changed, err := o.Apply(order.Update{Status: "paid", PaymentDetails: details}, "clerk", now)
		is.NoErr(err)
		is.True(changed)
		o = placed(t, "payment_pending")
		_, err = o.Apply(order.Update{Status: "cancelled", PaymentDetails: details}, "clerk", now)
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
			changed, err := o.Apply(order.Update{PaymentDetails: &u}, "clerk", now)
			is.NoErr(err)
			is.True(changed)
			is.True(o.PaymentDetails != before) // the old details are not written to
		}
		is.Equal(o.PaymentDetails, details)
	})
	t.Run("an empty update changes nothing", func(t *testing.T) {
		is := is.New(t)
		o := placed(t, "paid")
		changed, err := o.Apply(order.Update{}, "clerk", now)
		is.NoErr(err)
		is.True(!changed)
		is.Equal(o, placed(t, "paid"))
	})
}

func TestApplyMovesOnWhateverTheClock(t *testing.T) {
	is := is.New(t)
	o := placed(t, "pending")
	last := o.DateLastUpdated
	for _, to := range []order.Status{"payment_pending", "paid", "processing", "completed", "refunded"} {
		_, err := o.Apply(order.Update{Status: to}, "clerk", time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
		is.NoErr(err)
		is.True(o.DateLastUpdated.String() > last.String()) // later than the one before
		last = o.DateLastUpdated
	}
}
