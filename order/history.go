package order

import (
	"slices"
	"strconv"
)

// An EventType names what happened to an order: an entry of its history, and
// the event that tells other systems of it.
type EventType string

// The types of events. Those of a change of status are "order." and the
// status. EventMailFailed is only kept, never told (section 4 of the
// contract).
const (
	EventCreated        EventType = "order.created"
	EventPaymentPending EventType = "order.payment_pending"
	EventPaid           EventType = "order.paid"
	EventProcessing     EventType = "order.processing"
	EventCompleted      EventType = "order.completed"
	EventCancelled      EventType = "order.cancelled"
	EventRefunded       EventType = "order.refunded"
	EventPaymentUpdated EventType = "order.payment_updated"
	EventMailFailed     EventType = "mail.failed"
)

// EventVersion is the version of the events' form.
const EventVersion = "1"

// MaxHistory is how many entries a history may have before an order takes no
// more updates.
const MaxHistory = 200

// An Entry is one step of an order's history.
type Entry struct {
	Sequence       int             `json:"sequence"` // its place in the history, from 1
	Type           EventType       `json:"type"`
	Status         Status          `json:"status"` // of the order, after it
	Date           Timestamp       `json:"date"`
	By             string          `json:"by"` // who did it
	Reason         string          `json:"reason,omitempty"`
	PaymentDetails *PaymentDetails `json:"paymentDetails,omitempty"` // what was set
	TraceID        string          `json:"-"`                        // of the call that did it, or ""
}

// Told reports whether other systems hear of the entry.
func (e Entry) Told() bool { return e.Type != EventMailFailed }

// typeOf returns the type of the entry that a change to a status makes.
func typeOf(s Status) EventType {
	if s == Pending {
		return EventCreated
	}
	return EventType("order." + string(s))
}

// Recorded reports whether the order is recorded: priced, listed, and with a
// history. One that is not recorded is only accepted.
func (o *Order) Recorded() bool { return len(o.History) > 0 }

// Entry returns an entry of the history by its sequence, and whether there is
// one.
func (o *Order) Entry(sequence int) (Entry, bool) {
	if sequence < 1 || sequence > len(o.History) {
		return Entry{}, false
	}
	return o.History[sequence-1], true
}

// FirstEntry returns the first entry of a type, and whether there is one.
func (o *Order) FirstEntry(t EventType) (Entry, bool) {
	return o.Entry(1 + slices.IndexFunc(o.History, func(e Entry) bool { return e.Type == t }))
}

// PaidOn returns when the order was paid: as its payment details say, else when
// its history was told of it. It is zero for an order that was never paid.
func (o *Order) PaidOn() Timestamp {
	if o.PaymentDetails != nil && !o.PaymentDetails.PaidAt.IsZero() {
		return o.PaymentDetails.PaidAt
	}
	paid, _ := o.FirstEntry(EventPaid)
	return paid.Date
}

// At returns the order as it stood at an entry of its history: its status, its
// payment and its last update, and no entry after that one. Its documents are
// those of today. A sequence that the history does not have leaves the order
// as it is.
func (o *Order) At(sequence int) Order {
	then := *o
	last, ok := o.Entry(sequence)
	if !ok {
		return then
	}
	then.History = o.History[:sequence:sequence]
	then.Status, then.DateLastUpdated, then.LastUpdatedBy = last.Status, last.Date, last.By
	then.PaymentDetails = nil
	for _, e := range then.History {
		if e.PaymentDetails != nil {
			merged := then.PaymentDetails.merge(*e.PaymentDetails)
			then.PaymentDetails = &merged
		}
	}
	return then
}

// record appends an entry to the history. The entries before it are not
// touched, because a copy of the order may share them.
func (o *Order) record(e Entry) {
	e.Sequence = len(o.History) + 1
	o.History = append(slices.Clip(o.History), e)
}

// MailFailed returns the note that a mail about an entry could not be sent,
// and whether the history lacks it.
func (o *Order) MailFailed(about Entry, role, reason string, at Timestamp) (note Entry, missing bool) {
	note = Entry{
		Sequence: len(o.History) + 1,
		Type:     EventMailFailed,
		Status:   o.Status,
		Date:     at,
		By:       SystemUser,
		Reason:   string(about.Type) + " by " + role + ": " + reason,
	}
	return note, !slices.ContainsFunc(o.History, func(e Entry) bool {
		return e.Type == EventMailFailed && e.Reason == note.Reason
	})
}

// An Event tells other systems of an entry of an order's history. Its JSON
// form is the one of section 6 of the contract.
type Event struct {
	ID            string    `json:"eventId"` // the order's id, "#" and the sequence
	Type          EventType `json:"eventType"`
	Version       string    `json:"version"`
	Sequence      int       `json:"sequence"`
	OrderID       string    `json:"orderId"`
	TenantID      string    `json:"tenantId"`
	OrderNumber   string    `json:"orderNumber"`
	CustomerEmail string    `json:"customerEmail"`
	Status        Status    `json:"status"` // after the entry
	DateCreated   Timestamp `json:"dateCreated"`
	DateOccurred  Timestamp `json:"dateOccurred"`
	TraceID       string    `json:"traceId,omitempty"`
}

// Event returns the event about an entry of the order's history.
func (o *Order) Event(e Entry) Event {
	return Event{
		ID:            o.ID + "#" + strconv.Itoa(e.Sequence),
		Type:          e.Type,
		Version:       EventVersion,
		Sequence:      e.Sequence,
		OrderID:       o.ID,
		TenantID:      o.TenantID,
		OrderNumber:   o.Number,
		CustomerEmail: o.CustomerEmail,
		Status:        e.Status,
		DateCreated:   o.DateCreated,
		DateOccurred:  e.Date,
		TraceID:       e.TraceID,
	}
}
