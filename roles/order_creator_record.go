package roles

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/cart"
	"github.com/bbws/order-lambda/roles/queue"
)

func orderCreatorRecordRole() Role {
	return Role{
		Name: "order_creator_record",
		Settings: consumerSettings(
			Setting{Name: "ORDER_EVENTS_TOPIC_ARN", Required: true, valid: isTopicARN},
			Setting{Name: "CART_LAMBDA_API_URL", Required: true, valid: isURL},
			Setting{Name: "TAX_RATE", Default: "0.15", valid: isRate},
		),
		build: buildOrderCreatorRecord,
	}
}

func buildOrderCreatorRecord(s Settings, d Deps) handler {
	rate, _ := order.ParseRate(s.get("TAX_RATE")) // Configure checked it.
	r := &recorder{
		orders:  newStore(s, d),
		carts:   cart.New(s.get("CART_LAMBDA_API_URL"), d.Transport),
		events:  queue.NewPublisher(sns.NewFromConfig(d.AWS), s.get("ORDER_EVENTS_TOPIC_ARN")),
		taxRate: rate,
	}
	return batch(newVisibility(s, d), r.handle)
}

func newVisibility(s Settings, d Deps) *queue.Visibility {
	return queue.NewVisibility(sqs.NewFromConfig(d.AWS), s.get("SQS_QUEUE_URL"))
}

// recordedOrders is what the record creator needs of the table.
type recordedOrders interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
	Complete(ctx context.Context, c order.Creation) (order.Creation, error)
	Create(ctx context.Context, o order.Order) error
	Fail(ctx context.Context, c order.Creation, reason string) error
}

// carts reads carts. Its errors are order.Permanent where another try is of no use.
type carts interface {
	Get(ctx context.Context, tenantID, cartID, correlationID string) (order.Cart, error)
}

// eventPublisher tells the other consumers about recorded orders.
type eventPublisher interface {
	Publish(ctx context.Context, e order.Event, traceHeader string) error
}

// recorder turns creation messages into recorded orders, and tells about them.
type recorder struct {
	orders  recordedOrders
	carts   carts
	events  eventPublisher
	taxRate order.Rate
}

func (r *recorder) handle(ctx context.Context, m message) error {
	c, err := order.ParseCreation(m.body)
	annotate(ctx, c.TenantID, c.OrderID)
	if err != nil {
		return r.fail(ctx, c, &order.Permanent{Reason: "message is malformed", Err: err})
	}
	o, err := r.record(ctx, c)
	if err != nil {
		if isPermanent(err) || m.last() {
			return r.fail(ctx, c, err)
		}
		return err
	}
	// After the write, and again for a message that comes again: whoever died in between is made up for.
	return r.events.Publish(ctx, o.Created(traceRoot(cmp.Or(m.trace, traceHeader(ctx)))), m.trace)
}

// record returns the order of a message as it is recorded: by now, or by an earlier delivery.
func (r *recorder) record(ctx context.Context, c order.Creation) (order.Order, error) {
	// What is recorded stays so, whatever became of the cart since.
	o, err := r.orders.Order(ctx, c.TenantID, c.OrderID)
	if err == nil {
		count(ctx, duplicates)
		return o, nil
	}
	if !errors.Is(err, order.ErrNotFound) {
		return order.Order{}, err
	}
	basket, err := r.carts.Get(ctx, c.TenantID, c.CartID, c.OrderID)
	if err != nil {
		return order.Order{}, err
	}
	// Priced before it is numbered: what cannot be recorded should not use up a number.
	if o, err = order.New(c, basket, r.taxRate); err != nil {
		return order.Order{}, err
	}
	if c.OrderNumber == "" || c.DateCreated.IsZero() {
		if c, err = r.orders.Complete(ctx, c); err != nil {
			return order.Order{}, err
		}
		if o, err = order.New(c, basket, r.taxRate); err != nil {
			return order.Order{}, err
		}
	}
	if basket.Total != nil && *basket.Total != o.Total {
		count(ctx, cartTotalMismatch)
		logger(ctx).Warn().Str("cartTotal", basket.Total.String()).Str("orderTotal", o.Total.String()).Msg("cart total differs")
	}
	err = r.orders.Create(ctx, o)
	if errors.Is(err, order.ErrExists) {
		count(ctx, duplicates)
		return r.orders.Order(ctx, c.TenantID, c.OrderID)
	}
	if err != nil {
		return order.Order{}, err
	}
	count(ctx, ordersRecorded)
	logger(ctx).Info().Str("orderNumber", o.Number).Int("lines", len(o.Items)).Msg("order recorded")
	return o, nil
}

// fail tells whoever asks for the order that it could not be recorded, and returns the error. A message whose ids are
// unreadable has no receipt to tell it on; a transient error that has used up its deliveries goes to the dead-letter queue, from
// where an operator may send it again.
func (r *recorder) fail(ctx context.Context, c order.Creation, err error) error {
	if c.TenantID == "" || c.OrderID == "" {
		return err
	}
	why := reason(err)
	if why == "" {
		why = "order could not be recorded in time"
	}
	count(ctx, ordersFailed)
	tidy, cancel := afterwards(ctx)
	defer cancel()
	if receiptErr := r.orders.Fail(tidy, c, why); receiptErr != nil {
		return fmt.Errorf("%w (and the receipt does not say so: %w)", err, receiptErr)
	}
	return err
}
