package roles

import (
	"context"
	"errors"
	"fmt"

	"github.com/bbws/order-lambda/order"
)

// orderReader reads an order consistently.
type orderReader interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
}

// eventHandler handles the event that an order was recorded.
type eventHandler func(ctx context.Context, o order.Order) error

// onRecorded turns a handler of recorded orders into one of messages. The message only says which order; the order itself is
// read from the table. One that is not there may have lost a race against the record, so the message comes again,
// until its last delivery: then it is logged and done with.
func onRecorded(orders orderReader, h eventHandler) messageHandler {
	return func(ctx context.Context, m message) error {
		e, err := order.ParseEvent(m.body)
		if m.trace == "" && e.TraceID != "" {
			m.trace = "Root=" + e.TraceID // The event knows it where the way to here lost it.
			ctx = forMessage(ctx, m)
		}
		annotate(ctx, e.TenantID, e.OrderID)
		if err != nil {
			return &order.Permanent{Reason: "message is malformed", Err: err}
		}
		o, err := orders.Order(ctx, e.TenantID, e.OrderID)
		if errors.Is(err, order.ErrNotFound) && m.last() {
			logger(ctx).Error().Str("reason", "order not found").Msg("message given up")
			return nil
		}
		if err != nil {
			return fmt.Errorf("order of the event: %w", err)
		}
		return h(ctx, o)
	}
}
