package roles

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
	"github.com/bbws/order-lambda/store"
)

func createOrderRole() Role {
	return Role{
		Name:     "create_order",
		Settings: apiSettings(queueURL()),
		build:    buildCreateOrder,
		calls:    func(Settings) []string { return []string{"SQS"} },
	}
}

func buildCreateOrder(s Settings, d Deps) (handler, preparation) {
	h := &createOrder{
		orders: newStore(s, d),
		queue:  queue.New(sqs.NewFromConfig(d.AWS), s.get(queueURL())),
		newID:  order.NewID,
	}
	return api(s.get(allowedOrigin()), h.handle), nil
}

// acceptances is what create_order needs of the table.
type acceptances interface {
	Accept(ctx context.Context, c order.Creation) (order.Order, error)
	AcceptOnce(ctx context.Context, c order.Creation, key store.IdempotencyKey) (o order.Order, replayed bool, err error)
}

// creationSender queues accepted orders for the record creator.
type creationSender interface {
	Send(ctx context.Context, body any, tenantID, traceHeader string) error
}

// createOrder answers POST /v1.0/orders: it accepts an order and queues it.
type createOrder struct {
	orders acceptances
	queue  creationSender
	newID  func() string
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
	c.OrderID = h.newID()
	o, replayed, err := h.accept(ctx, c, key)
	if err != nil {
		return response{}, err
	}
	annotate(ctx, "", o.ID)
	// An earlier request may have ended before its message reached the queue, or
	// its order may have failed. The record creator suppresses duplicates.
	if !o.Recorded() {
		c.OrderID, c.CreatedBy = o.ID, o.LastUpdatedBy
		if err := h.queue.Send(ctx, c, c.TenantID, traceHeader(ctx)); err != nil {
			return response{}, fmt.Errorf("queue order: %w", err)
		}
	}
	res := response{
		status:  http.StatusAccepted,
		headers: map[string]string{"Location": "/v1.0/orders/" + o.ID},
		data:    acceptedOrder{o.ID, o.Number, order.Pending, "Order accepted for processing"},
	}
	if replayed {
		res.headers["Idempotent-Replayed"] = "true"
		count(ctx, duplicates)
	} else {
		count(ctx, ordersAccepted)
	}
	return res, nil
}

func (h *createOrder) accept(
	ctx context.Context, c order.Creation, key *store.IdempotencyKey,
) (o order.Order, replayed bool, err error) {
	if key != nil {
		return h.orders.AcceptOnce(ctx, c, *key)
	}
	o, err = h.orders.Accept(ctx, c)
	return o, false, err
}

// readCreate reads the body and the Idempotency-Key, and reports everything
// that is wrong with either at once.
func readCreate(r request) (order.Request, *store.IdempotencyKey, error) {
	key, bad := idempotencyKey(r)
	body, err := r.body()
	var wanted order.Request
	if err == nil {
		wanted, err = order.ParseRequest(body)
	}
	var invalid order.InvalidError
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

// idempotencyKey returns the value of the header, "" if there is none, and what
// is wrong with it.
func idempotencyKey(r request) (string, order.InvalidError) {
	const most = 255
	values := r.header("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	wrong := func(message string) (string, order.InvalidError) {
		return "", order.InvalidError{{Field: "Idempotency-Key", Message: message}}
	}
	if len(values) > 1 {
		return wrong("must come once")
	}
	key := values[0]
	visible := true
	for i := range len(key) {
		visible = visible && '!' <= key[i] && key[i] <= '~'
	}
	if key == "" || len(key) > most || !visible {
		return wrong(fmt.Sprintf("must be 1 to %d visible ASCII characters", most))
	}
	return key, nil
}
