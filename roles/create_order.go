package roles

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
	"github.com/bbws/order-lambda/store"
)

func createOrderRole() Role {
	return Role{Name: "create_order", Settings: apiSettings(queueURL()), build: buildCreateOrder}
}

func buildCreateOrder(s Settings, d Deps) handler {
	h := &createOrder{
		store: newStore(s, d),
		queue: queue.NewSender(sqs.NewFromConfig(d.AWS), s.get("SQS_QUEUE_URL")),
		newID: order.NewID,
		now:   d.Now,
	}
	return api(s.get("CORS_ALLOWED_ORIGIN"), h.handle)
}

// acceptances is what create_order needs of the table.
type acceptances interface {
	Accept(ctx context.Context, c order.Creation, key *store.IdempotencyKey) (accepted order.Creation, replayed bool, err error)
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
	Failures(ctx context.Context, tenantID, orderID string) (n int64, failed bool, err error)
	Reopen(ctx context.Context, tenantID, orderID string, n int64) error
	Withdraw(ctx context.Context, tenantID, orderID string) error
}

// creationSender queues accepted orders for the record creator.
type creationSender interface {
	Send(ctx context.Context, c order.Creation, traceHeader string) error
}

// createOrder answers POST /v1.0/orders: it numbers an order, writes its receipt and queues it.
type createOrder struct {
	store acceptances
	queue creationSender
	newID func() string
	now   func() time.Time
}

// acceptedOrder is the answer's data.
type acceptedOrder struct {
	OrderID     string       `json:"orderId"`
	OrderNumber string       `json:"orderNumber"`
	Status      order.Status `json:"status"`
	Message     string       `json:"message"`
}

func (h *createOrder) handle(ctx context.Context, r request) (response, error) {
	wanted, key, err := readCreate(r)
	if err != nil {
		return response{}, err
	}
	c := wanted.Creation(r.tenantID, r.user)
	c.OrderID, c.DateCreated = h.newID(), order.NewTimestamp(h.now())
	c, replayed, err := h.store.Accept(ctx, c, key)
	if err != nil {
		return response{}, err
	}
	annotate(ctx, "", c.OrderID)
	if replayed {
		err = h.requeue(ctx, c)
	} else {
		err = h.enqueue(ctx, c, key)
	}
	if err != nil {
		return response{}, err
	}
	res := response{
		status:  http.StatusAccepted,
		headers: map[string]string{"Location": "/v1.0/orders/" + c.OrderID},
		data:    acceptedOrder{c.OrderID, c.OrderNumber, order.Pending, "Order accepted for processing"},
	}
	if replayed {
		res.headers["Idempotent-Replayed"] = "true"
		count(ctx, duplicates)
	} else {
		count(ctx, ordersAccepted)
	}
	return res, nil
}

// enqueue sends a new order on its way. If that fails, the client is told so, and the receipt goes. With an idempotency
// key it stays: the client's next try completes this very order, and may even be under way.
func (h *createOrder) enqueue(ctx context.Context, c order.Creation, key *store.IdempotencyKey) error {
	err := h.queue.Send(ctx, c, traceHeader(ctx))
	if err == nil || key != nil {
		return err
	}
	tidy, cancel := afterwards(ctx)
	defer cancel()
	return errors.Join(err, h.store.Withdraw(tidy, c.TenantID, c.OrderID))
}

// requeue makes sure that an order that was accepted before is on its way: its first acceptance may have died before
// it reached the queue. The record creator suppresses duplicates. A receipt that says failed says so until the message is on its way,
// and after that if the new one has failed as well.
func (h *createOrder) requeue(ctx context.Context, c order.Creation) error {
	_, err := h.store.Order(ctx, c.TenantID, c.OrderID)
	if err == nil {
		return nil
	}
	if !errors.Is(err, order.ErrNotFound) {
		return err
	}
	n, failed, err := h.store.Failures(ctx, c.TenantID, c.OrderID)
	if err != nil {
		return err
	}
	if err := h.queue.Send(ctx, c, traceHeader(ctx)); err != nil || !failed {
		return err
	}
	return h.store.Reopen(ctx, c.TenantID, c.OrderID, n)
}

// readCreate reads the body and the Idempotency-Key, and reports everything that is wrong with either at once.
func readCreate(r request) (order.Request, *store.IdempotencyKey, error) {
	key, bad := idempotencyKey(r)
	body, err := r.body()
	var wanted order.Request
	if err == nil {
		wanted, err = order.ParseRequest(body)
	}
	var invalid order.Invalid
	if errors.As(err, &invalid) {
		err = append(bad, invalid...)
	} else if len(bad) > 0 {
		err = bad
	}
	if err != nil || key == "" {
		return wanted, nil, err
	}
	hash := sha256.Sum256(body)
	return wanted, &store.IdempotencyKey{Key: key, BodyHash: hex.EncodeToString(hash[:])}, nil
}

// idempotencyKey returns the value of the header, or "" where there is none, or what is wrong with it.
func idempotencyKey(r request) (string, order.Invalid) {
	const most = 255
	values := r.header("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", order.Invalid{{Field: "Idempotency-Key", Message: "must come once"}}
	}
	key := values[0]
	visible := true
	for i := range len(key) {
		visible = visible && '!' <= key[i] && key[i] <= '~'
	}
	if key == "" || len(key) > most || !visible {
		return "", order.Invalid{{Field: "Idempotency-Key", Message: fmt.Sprintf("must be 1 to %d visible ASCII characters", most)}}
	}
	return key, nil
}

// afterwards returns a context for what must still be written when the work is over: it outlives the work's deadline by a
// moment, so that there is time to try again, and is never shorter than a moment.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	const moment = 900 * time.Millisecond // Less than answerReserve.
	end := time.Now()
	if deadline, ok := ctx.Deadline(); ok && deadline.After(end) {
		end = deadline
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end.Add(moment))
}
