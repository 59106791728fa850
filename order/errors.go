package order

import (
	"errors"
	"strings"
)

// The sentinels that callers tell apart. Each layer wraps them with what it was
// doing.
var (
	// ErrNotFound says that there is no such order for this tenant.
	ErrNotFound = errors.New("order not found")
	// ErrDeleted says that there was such an order and that it is deleted.
	ErrDeleted = errors.New("order is deleted")
	// ErrUnavailable is wrapped by the error of a neighbour that is down, slow,
	// or refuses for its load: the same call may work later.
	ErrUnavailable = errors.New("unavailable")
	// ErrExists says that the order is already recorded.
	ErrExists = errors.New("order already recorded")
	// ErrChanged says that someone else updated the order since it was read.
	ErrChanged = errors.New("order changed since it was read")
	// ErrKeyReused says that an idempotency key came again with another
	// request.
	ErrKeyReused = errors.New("idempotency key reused with another request")
	// ErrPageToken says that a page token is malformed, or of another tenant or
	// query.
	ErrPageToken = errors.New("invalid page token")
	// ErrTransition is wrapped by the error for a status change that the table
	// of transitions does not have.
	ErrTransition = errors.New("status change not allowed")
	// ErrPaymentExists says that an update would overwrite another payment that
	// the client did not show to have seen.
	ErrPaymentExists = errors.New("order has another payment")
	// ErrTooManyChanges says that the history of an order is full.
	ErrTooManyChanges = errors.New("order has too many changes")
)

// A FieldError says what is wrong with one field of a request or a message.
type FieldError struct {
	Field   string `json:"field"` // path with dots, for example billingAddress.country
	Message string `json:"message"`
}

// InvalidError is the error for input with bad fields. It names all of them at
// once, in the order of the contract.
type InvalidError []FieldError

// Error lists every bad field.
func (e InvalidError) Error() string {
	parts := make([]string, len(e))
	for i, f := range e {
		parts[i] = f.Field + " " + f.Message
	}
	return "invalid: " + strings.Join(parts, "; ")
}

// A PermanentError stays the same however often the work is tried again.
type PermanentError struct {
	// Reason is one short sentence without personal data: it is logged, kept on
	// the order and shown to clients.
	Reason string
	// Err is the cause, or nil.
	Err error
}

// Error returns the reason and the cause.
func (e *PermanentError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }
