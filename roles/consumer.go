package roles

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
)

// consume returns the handler of a role that consumes messages of its queue.
func consume(s Settings, d Deps, h messageHandler) handler {
	return batch(queue.New(sqs.NewFromConfig(d.AWS), s.get(queueURL())), d.Now, h)
}

// orderReader reads an order consistently.
type orderReader interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
}

// entryHandler handles an entry of an order's history.
type entryHandler func(ctx context.Context, o order.Order, e order.Entry) error

// onEvent turns a handler of history entries into one of messages. An event of
// a type that is not served is ignored. The message only says which order and
// which entry; both are read from the table. If they are not there yet, the
// message comes again; at its last delivery that is logged and the message is
// done. Nothing is done for a deleted order.
func onEvent(serves func(order.EventType) bool, orders orderReader, h entryHandler) messageHandler {
	return func(ctx context.Context, m message) error {
		event, err := order.ParseEvent(m.body)
		if event.Type != "" && !serves(event.Type) {
			logger(ctx).Debug().Str("eventType", string(event.Type)).Msg("event not served")
			return nil
		}
		if event.TraceID != "" {
			m.trace = "Root=" + event.TraceID // of the change that it is about
			ctx = forMessage(ctx, m)
		}
		annotate(ctx, event.TenantID, event.OrderID)
		if err != nil {
			return &order.PermanentError{Reason: "message is malformed", Err: err}
		}
		o, err := orders.Order(ctx, event.TenantID, event.OrderID)
		if errors.Is(err, order.ErrDeleted) {
			logger(ctx).Info().Msg("order is deleted")
			return nil
		}
		entry, err := entryOf(o, event, err)
		if errors.Is(err, order.ErrNotFound) && m.last() {
			logger(ctx).Error().Str("reason", "order not found").Str("error", err.Error()).Msg("message given up")
			return nil
		}
		if err != nil {
			return fmt.Errorf("order of the event: %w", err)
		}
		return h(ctx, o, entry)
	}
}

// entryOf returns the entry that an event is about: that of its sequence or, if
// it has none, the first of its type. It returns ErrNotFound if the order has
// no such entry, and passes on an error of reading the order.
func entryOf(o order.Order, event order.Event, err error) (order.Entry, error) {
	if err != nil {
		return order.Entry{}, err
	}
	entry, ok := o.FirstEntry(event.Type)
	if event.Sequence > 0 {
		entry, ok = o.Entry(event.Sequence)
	}
	if !ok || entry.Type != event.Type {
		return order.Entry{}, fmt.Errorf("entry %d, %s: %w", event.Sequence, event.Type, order.ErrNotFound)
	}
	return entry, nil
}
