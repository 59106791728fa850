package order

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Status is where an order stands between its acceptance and its end.
type Status string

// The statuses of an order. Failed is only ever the status of a Receipt.
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

// Statuses returns the statuses that an order can have, in the order of its life.
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
	case Completed:
		return []Status{Refunded}
	default:
		return nil
	}
}

// takesPayment reports whether an order with the status may carry payment details: from payment_pending on, but not
// once it is cancelled.
func (s Status) takesPayment() bool {
	switch s {
	case PaymentPending, Paid, Processing, Completed, Refunded:
		return true
	default:
		return false
	}
}

// An Update is what a client may change about an order.
type Update struct {
	Status         Status          // "" leaves it
	PaymentDetails *PaymentDetails // nil leaves them; fields that are not set keep what they hold
}

// Apply changes the order as the update says, in the name of the client by, and reports whether anything changed; only
// then DateLastUpdated moves on, to a time later than before. The order is not touched where there is an error:
// ErrTransition where the status may not follow the present one, Invalid where the resulting status takes no payment
// details.
func (o *Order) Apply(u Update, by string, now time.Time) (changed bool, err error) {
	status := o.Status
	if u.Status != "" && u.Status != o.Status {
		if !slices.Contains(o.Status.Next(), u.Status) {
			return false, fmt.Errorf("%w: %s", ErrTransition, explainTransition(o.Status, u.Status))
		}
		status, changed = u.Status, true
	}
	payment := o.PaymentDetails
	if u.PaymentDetails != nil {
		if !status.takesPayment() {
			return false, Invalid{{"paymentDetails", fmt.Sprintf("are not accepted while the order is %s", status)}}
		}
		merged := payment.merge(*u.PaymentDetails)
		if payment == nil || merged != *payment {
			payment, changed = &merged, true
		}
	}
	if changed {
		o.Status, o.PaymentDetails = status, payment
		o.DateLastUpdated, o.LastUpdatedBy = o.DateLastUpdated.Next(now), by
	}
	return changed, nil
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
