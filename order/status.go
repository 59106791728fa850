package order

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Status is where an order stands between its acceptance and its end.
type Status string

// The statuses of an order. Failed is only ever that of one that could not be
// recorded.
const (
	Pending        Status = "pending"
	PaymentPending Status = "payment_pending"
	Paid           Status = "paid"
	Processing     Status = "processing"
	Completed      Status = "completed"
	Cancelled      Status = "cancelled"
	Refunded       Status = "refunded"
	Failed         Status = "failed"
)

// Statuses returns the statuses that an order can have, in the order of its
// life.
func Statuses() []Status {
	return []Status{Pending, PaymentPending, Paid, Processing, Completed, Cancelled, Refunded}
}

// Known reports whether s is a status that an order can have.
func (s Status) Known() bool { return slices.Contains(Statuses(), s) }

// Next returns the statuses that an order may take from s.
func (s Status) Next() []Status {
	switch s {
	case Pending:
		return []Status{PaymentPending, Paid, Cancelled}
	case PaymentPending:
		return []Status{Paid, Cancelled}
	case Paid:
		return []Status{Processing, Refunded}
	case Processing:
		return []Status{Completed, Refunded}
	case Completed, Cancelled: // A payment that comes after the cancellation is given back.
		return []Status{Refunded}
	default:
		return nil
	}
}

// takesPayment reports whether an order with the status may carry payment
// details: from payment_pending on, but not once it is cancelled.
func (s Status) takesPayment() bool {
	switch s {
	case PaymentPending, Paid, Processing, Completed, Refunded:
		return true
	default:
		return false
	}
}

// Paying reports whether an update is one of payment: it sets a status that
// follows from one, or says how the order was paid. The contract reserves such
// updates for a group if one is set (section 3, PUT).
func (u Update) Paying() bool {
	switch u.Status {
	case Paid, Processing, Completed, Refunded:
		return true
	default:
		return u.PaymentDetails != nil
	}
}

// An Update is what a client wants to change about an order.
type Update struct {
	Status         Status          // "" leaves it
	Reason         string          // of the change of status, or ""
	PaymentDetails *PaymentDetails // nil leaves them; fields that are not set keep what they hold

	// What is known about the client, not what it sent.
	By      string // who acts
	Seen    bool   // whether the client has seen the order as it stands
	TraceID string
}

// maxPaidAhead is how far in the future a payment may be dated: clocks and time
// zones differ.
const maxPaidAhead = 24 * time.Hour

// Apply changes the order as the update says, and reports whether anything
// changed. If so, DateLastUpdated moves to a later time and the history has one
// more entry. On an error the order is unchanged. The error is ErrTransition if
// the status may not follow the present one; an InvalidError if the resulting
// status takes no payment details, lacks them, or they lie in the future;
// ErrPaymentExists if another payment would be overwritten unseen; and
// ErrTooManyChanges if the history is full.
func (o *Order) Apply(u Update, now time.Time) (changed bool, err error) {
	next := *o
	entry := Entry{Type: EventPaymentUpdated, Status: o.Status, By: u.By, TraceID: u.TraceID}
	if u.Status != "" && u.Status != o.Status {
		if !slices.Contains(o.Status.Next(), u.Status) {
			return false, fmt.Errorf("%w: %s", ErrTransition, explainTransition(o.Status, u.Status))
		}
		if o.Status == Cancelled && u.PaymentDetails == nil {
			return false, InvalidError{{
				"paymentDetails", "are required: only a payment that came late is refunded after a cancellation",
			}}
		}
		next.Status, changed = u.Status, true
		entry.Type, entry.Status, entry.Reason = typeOf(u.Status), u.Status, u.Reason
	}
	if p := u.PaymentDetails; p != nil {
		switch {
		case !next.Status.takesPayment():
			message := fmt.Sprintf("are not accepted while the order is %s", next.Status)
			return false, InvalidError{{"paymentDetails", message}}
		case p.PaidAt.Time().After(now.Add(maxPaidAhead)):
			return false, InvalidError{{"paymentDetails.paidAt", "must not be more than a day ahead"}}
		case o.PaymentDetails.conflicts(*p) && !u.Seen:
			return false, ErrPaymentExists
		}
		merged := o.PaymentDetails.merge(*p)
		if o.PaymentDetails == nil || merged != *o.PaymentDetails {
			next.PaymentDetails, changed = &merged, true
			entry.PaymentDetails = p
		}
	}
	if !changed {
		return false, nil
	}
	if len(o.History) >= MaxHistory {
		return false, ErrTooManyChanges
	}
	next.DateLastUpdated, next.LastUpdatedBy = o.DateLastUpdated.Next(now), u.By
	entry.Date = next.DateLastUpdated
	next.record(entry)
	*o = next
	return true, nil
}

// conflicts reports whether q names another payment than p does.
func (p *PaymentDetails) conflicts(q PaymentDetails) bool {
	other := func(a, b string) bool { return a != "" && b != "" && a != b }
	return p != nil && (other(p.TransactionID, q.TransactionID) || other(p.PayfastPaymentID, q.PayfastPaymentID))
}

// merge returns p with the fields that are set in q taken from q.
func (p *PaymentDetails) merge(q PaymentDetails) PaymentDetails {
	var merged PaymentDetails
	if p != nil {
		merged = *p
	}
	if q.Method != "" {
		merged.Method = q.Method
	}
	if q.TransactionID != "" {
		merged.TransactionID = q.TransactionID
	}
	if q.PayfastPaymentID != "" {
		merged.PayfastPaymentID = q.PayfastPaymentID
	}
	if !q.PaidAt.IsZero() {
		merged.PaidAt = q.PaidAt
	}
	return merged
}

func explainTransition(from, to Status) string {
	next := from.Next()
	if len(next) == 0 {
		return fmt.Sprintf("%s to %s (%s is final)", from, to, from)
	}
	return fmt.Sprintf("%s to %s (allowed: %s)", from, to, JoinStatuses(next))
}

// JoinStatuses returns the statuses with commas between.
func JoinStatuses(statuses []Status) string {
	names := make([]string, len(statuses))
	for i, s := range statuses {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}
