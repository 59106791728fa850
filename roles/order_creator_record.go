package roles

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/cart"
	"github.com/bbws/order-lambda/roles/queue"
)

func orderCreatorRecordRole() Role {
	return Role{
		Name:     "order_creator_record",
		Settings: consumerSettings(eventsTopic(), cartURL(), taxRate()),
		build:    buildOrderCreatorRecord,
		calls:    func(s Settings) []string { return []string{s.get(cartURL()), "SNS"} },
	}
}

func buildOrderCreatorRecord(s Settings, d Deps) (handler, preparation) {
	rate, _ := order.ParseRate(s.get(taxRate())) // Configure checked it.
	r := &recorder{
		orders:  newStore(s, d),
		carts:   cart.New(s.get(cartURL()), d.Transport),
		taxRate: rate,
		now:     d.Now,
	}
	p := &publisher{
		events: queue.NewPublisher(sns.NewFromConfig(d.AWS), s.get(eventsTopic())),
		dead:   queue.New(sqs.NewFromConfig(d.AWS), eventsDeadLetterURL(s)),
	}
	return bySource(consume(s, d, r.handle), p.handle), nil
}

// eventsDeadLetterURL returns the URL of the queue for events that can never be
// published. The contract fixes its name; it is of the same account and region
// as the role's own queue.
func eventsDeadLetterURL(s Settings) string {
	own := s.get(queueURL())
	return own[:strings.LastIndex(own, "/")+1] + "bbws-order-events-dlq-" + s.get(environment())
}

// recordedOrders is what the record creator needs of the table.
type recordedOrders interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
	Accept(ctx context.Context, c order.Creation) (order.Order, error)
	Record(ctx context.Context, o order.Order) error
	Fail(ctx context.Context, tenantID, orderID, reason string) error
}

// carts reads carts. Its error is an *order.PermanentError if another try would
// not help.
type carts interface {
	Get(ctx context.Context, tenantID, cartID, correlationID string) (order.Cart, error)
}

// recorder turns creation messages into recorded orders.
type recorder struct {
	orders  recordedOrders
	carts   carts
	taxRate order.Rate
	now     func() time.Time
}

// notInTime is why an order fails whose message used up its deliveries.
const notInTime = "order could not be recorded in time"

func (r *recorder) handle(ctx context.Context, m message) error {
	c, malformed := order.ParseCreation(m.body)
	annotate(ctx, c.TenantID, c.OrderID)
	if c.TenantID == "" || c.OrderID == "" {
		return &order.PermanentError{Reason: "message is malformed", Err: malformed}
	}
	accepted, err := r.accepted(ctx, c)
	switch {
	case errors.Is(err, order.ErrDeleted):
		logger(ctx).Info().Msg("order is deleted")
		return nil
	case err != nil:
		return r.failed(ctx, c, m, err, false)
	case accepted.Recorded():
		count(ctx, duplicates)
		return nil
	case malformed != nil:
		return r.failed(ctx, c, m, &order.PermanentError{Reason: "message is malformed", Err: malformed}, false)
	}
	if m.last() && accepted.Status != order.Failed {
		// Said before the work begins: whatever ends the process, the order
		// does not stay pending while its message is dead. The record says
		// otherwise.
		if err := r.orders.Fail(ctx, c.TenantID, c.OrderID, notInTime); err != nil {
			return err
		}
	}
	if err := r.record(ctx, c, accepted, m.trace); err != nil {
		return r.failed(ctx, c, m, err, m.last())
	}
	return nil
}

// accepted returns the order of a message as it stands. One that another
// producer asks for is accepted first.
func (r *recorder) accepted(ctx context.Context, c order.Creation) (order.Order, error) {
	o, err := r.orders.Order(ctx, c.TenantID, c.OrderID)
	if errors.Is(err, order.ErrNotFound) {
		return r.orders.Accept(ctx, c)
	}
	return o, err
}

// record prices the cart and completes the accepted order. That another
// delivery did so first, or that the order was deleted meanwhile, is no error.
func (r *recorder) record(ctx context.Context, c order.Creation, accepted order.Order, trace string) error {
	basket, err := r.carts.Get(ctx, c.TenantID, c.CartID, c.OrderID)
	if err != nil {
		return err
	}
	o, err := order.New(accepted, c, basket, r.taxRate)
	if err != nil {
		return err
	}
	o.History[0].TraceID = traceRoot(trace)
	r.doubt(ctx, o, basket)
	err = r.orders.Record(ctx, o)
	switch {
	case errors.Is(err, order.ErrExists):
		count(ctx, duplicates)
		return nil
	case errors.Is(err, order.ErrDeleted):
		return nil
	case err != nil:
		return err
	}
	count(ctx, ordersRecorded)
	measureSince(ctx, acceptedToRecordedMilliseconds, o.DateCreated, r.now())
	logger(ctx).Info().Str("orderNumber", o.Number).Int("lines", len(o.Items)).Msg("order recorded")
	return nil
}

// doubt logs and counts where the cart and the order disagree.
func (r *recorder) doubt(ctx context.Context, o order.Order, basket order.Cart) {
	if basket.Total != nil && *basket.Total != o.Total {
		count(ctx, cartTotalMismatch)
		logger(ctx).Warn().
			Str("cartTotal", basket.Total.String()).
			Str("orderTotal", o.Total.String()).
			Msg("cart total differs")
	}
	if o.Campaign != nil && !o.Campaign.ValidAt(o.DateCreated) {
		count(ctx, campaignsInvalid)
		logger(ctx).Warn().Str("campaign", o.Campaign.Code).Msg("campaign is not valid")
	}
}

// failed returns the error of a message. If the order cannot be recorded, it
// notes that on the order; one that is told already keeps the reason that it
// gives, unless there is a better one. A message that used up its deliveries
// goes to the dead-letter queue, and an operator may send it again.
func (r *recorder) failed(ctx context.Context, c order.Creation, m message, err error, told bool) error {
	if m.waits(err) {
		return err
	}
	why := reason(err)
	if why == "" && m.last() && !told {
		why = notInTime
	}
	if why != "" {
		tidy, cancel := afterwards(ctx)
		defer cancel()
		if noteErr := r.orders.Fail(tidy, c.TenantID, c.OrderID, why); noteErr != nil {
			err = fmt.Errorf("%w (and the order does not say so: %w)", err, noteErr)
		}
	}
	if m.last() && !m.waits(err) {
		count(ctx, ordersFailed)
	}
	return err
}
