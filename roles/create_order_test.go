package roles

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeAcceptances is a table of one acceptance, and a queue. It fails where it is told to.
type fakeAcceptances struct {
	first    *order.Creation // what an idempotency key was used for before
	recorded bool
	failures int64 // what the first acceptance's receipt says, 0 for pending
	fail     map[string]error

	calls []string
	key   *store.IdempotencyKey
	sent  []order.Creation
}

func (f *fakeAcceptances) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeAcceptances) Accept(_ context.Context, c order.Creation, key *store.IdempotencyKey) (order.Creation, bool, error) {
	f.key = key
	if err := f.call("accept"); err != nil {
		return order.Creation{}, false, err
	}
	if f.first != nil {
		return *f.first, true, nil
	}
	c.OrderNumber = "ORD-2025-00001"
	return c, false, nil
}

func (f *fakeAcceptances) Order(context.Context, string, string) (order.Order, error) {
	if err := f.call("order"); err != nil {
		return order.Order{}, err
	}
	if !f.recorded {
		return order.Order{}, order.ErrNotFound
	}
	return order.Order{}, nil
}

func (f *fakeAcceptances) Failures(context.Context, string, string) (int64, bool, error) {
	return f.failures, f.failures > 0, f.call("failures")
}

func (f *fakeAcceptances) Reopen(_ context.Context, _, _ string, n int64) error {
	return f.call(fmt.Sprint("reopen ", n))
}

func (f *fakeAcceptances) Withdraw(context.Context, string, string) error { return f.call("withdraw") }

func (f *fakeAcceptances) Send(_ context.Context, c order.Creation, _ string) error {
	f.sent = append(f.sent, c)
	return f.call("send")
}

func newCreateOrder(f *fakeAcceptances) *createOrder {
	return &createOrder{store: f, queue: f, newID: func() string { return orderID }, now: atNoon}
}

func TestCreateOrder(t *testing.T) {
	withoutKey := func(e *events.APIGatewayProxyRequest) {
		delete(e.Headers, "Idempotency-Key")
		delete(e.MultiValueHeaders, "Idempotency-Key")
	}
	t.Run("accepts, numbers and queues", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeAcceptances{}
		a := call(t, ctx, newCreateOrder(f).handle, apiEvent(t, "create_order", withoutKey))
		is.Equal(a.Status, http.StatusAccepted)
		is.Equal(a.Headers["Location"], "/v1.0/orders/"+orderID)
		is.Equal(a.Headers["Idempotent-Replayed"], "")
		is.Equal(a.Headers["Content-Type"], "application/json")
		is.Equal(a.Headers["Cache-Control"], "no-store")
		is.Equal(a.Headers["Access-Control-Allow-Origin"], "https://portal.example.com")
		is.Equal(a.Data, map[string]any{
			"orderId": orderID, "orderNumber": "ORD-2025-00001", "status": "pending", "message": "Order accepted for processing",
		})
		is.Equal(f.calls, []string{"accept", "send"}) // nothing else on the way
		is.Equal(f.sent, []order.Creation{sampleCreation(t)})
		is.Equal(f.key, nil)
		is.Equal(counted(ctx, ordersAccepted), 1.0)
	})
	t.Run("takes a base64 body", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeAcceptances{}
		a := call(t, ctx, newCreateOrder(f).handle, apiEvent(t, "create_order", func(e *events.APIGatewayProxyRequest) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(e.Body)), true
		}))
		is.Equal(a.Status, http.StatusAccepted)
		is.Equal(f.sent, []order.Creation{sampleCreation(t)})
	})
	t.Run("passes the key on with the hash of the body", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeAcceptances{}
		a := call(t, ctx, newCreateOrder(f).handle, apiEvent(t, "create_order", func(e *events.APIGatewayProxyRequest) {
			withoutKey(e)
			e.Headers["idempotency-key"] = "checkout-1" // in any case
		}))
		is.Equal(a.Status, http.StatusAccepted)
		is.Equal(f.key.Key, "checkout-1")
		is.Equal(len(f.key.BodyHash), 64)
	})

	for _, tt := range []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		want   string // the fields that the answer names
	}{
		{"no body", func(e *events.APIGatewayProxyRequest) { e.Body = "" }, "body"},
		{"bad base64", func(e *events.APIGatewayProxyRequest) { e.IsBase64Encoded = true }, "body"},
		{"a huge body", func(e *events.APIGatewayProxyRequest) { e.Body = strings.Repeat(" ", 64<<10) + "{}" }, "body"},
		{"an empty key", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["Idempotency-Key"] = []string{""} }, "Idempotency-Key"},
		{"a key with a space", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["Idempotency-Key"] = []string{"a b"} }, "Idempotency-Key"},
		{"a key beyond ASCII", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["Idempotency-Key"] = []string{"é"} }, "Idempotency-Key"},
		{"a long key", func(e *events.APIGatewayProxyRequest) {
			e.MultiValueHeaders["Idempotency-Key"] = []string{strings.Repeat("x", 256)}
		}, "Idempotency-Key"},
		{"two keys", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["Idempotency-Key"] = []string{"a", "b"} }, "Idempotency-Key"},
		{"everything at once", func(e *events.APIGatewayProxyRequest) {
			e.MultiValueHeaders["Idempotency-Key"] = []string{""}
			e.Body = `{"customerEmail": "x", "cartId": 5, "tenantId": "other", "billingAddress": {"street": "1 Long Street", "country": "za"}}`
		}, "Idempotency-Key customerEmail cartId billingAddress.city billingAddress.province billingAddress.postalCode billingAddress.country tenantId"},
	} {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeAcceptances{}
			a := call(t, ctx, newCreateOrder(f).handle, apiEvent(t, "create_order", tt.change))
			is.Equal(a.Status, http.StatusBadRequest)
			is.Equal(a.Code, "invalid_request")
			is.Equal(a.badFields(), tt.want)
			is.Equal(a.RequestID, "request-1")
			is.Equal(len(f.calls), 0) // nothing half-done
		})
	}

	t.Run("replays", func(t *testing.T) {
		first := sampleCreation(t)
		for _, tt := range []struct {
			name     string
			recorded bool
			failures int64
			want     []string
		}{
			{"and queues again what is not recorded", false, 0, []string{"accept", "order", "failures", "send"}},
			{"and takes a failure back once it is queued again", false, 2, []string{"accept", "order", "failures", "send", "reopen 2"}},
			{"and leaves what is recorded", true, 0, []string{"accept", "order"}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				is := is.New(t)
				ctx, _ := invocation(t)
				f := &fakeAcceptances{first: &first, recorded: tt.recorded, failures: tt.failures}
				a := call(t, ctx, newCreateOrder(f).handle, apiEvent(t, "create_order", nil))
				is.Equal(a.Status, http.StatusAccepted)
				is.Equal(a.Headers["Idempotent-Replayed"], "true")
				is.Equal(a.Data["orderId"], orderID)
				is.Equal(f.calls, tt.want)
				is.Equal(counted(ctx, ordersAccepted), 0.0)
				is.Equal(counted(ctx, duplicates), 1.0)
			})
		}
	})

	for _, tt := range []struct {
		name   string
		keyed  bool
		fake   fakeAcceptances
		status int
		want   []string
	}{
		{"the table does not take it", true, fakeAcceptances{fail: map[string]error{"accept": errFault}}, 500, []string{"accept"}},
		{"the key was used with another body", true, fakeAcceptances{fail: map[string]error{"accept": order.ErrKeyReused}}, 422, []string{"accept"}},
		{"the queue does not take it: the receipt goes", false, fakeAcceptances{fail: map[string]error{"send": errFault}}, 500, []string{"accept", "send", "withdraw"}},
		{"neither the queue nor the table take it", false, fakeAcceptances{fail: map[string]error{"send": errFault, "withdraw": errFault}}, 500, []string{"accept", "send", "withdraw"}},
		{"the queue does not take it: with a key the receipt stays", true, fakeAcceptances{fail: map[string]error{"send": errFault}}, 500, []string{"accept", "send"}},
		{"a replay cannot read the order", true, fakeAcceptances{first: &order.Creation{}, fail: map[string]error{"order": errFault}}, 500, []string{"accept", "order"}},
		{"a replay cannot read the receipt", true, fakeAcceptances{first: &order.Creation{}, fail: map[string]error{"failures": errFault}}, 500, []string{"accept", "order", "failures"}},
		{"a replay cannot queue: the failure stays", true, fakeAcceptances{first: &order.Creation{}, failures: 1, fail: map[string]error{"send": errFault}}, 500, []string{"accept", "order", "failures", "send"}},
		{"a replay cannot write the receipt", true, fakeAcceptances{first: &order.Creation{}, failures: 1, fail: map[string]error{"reopen 1": errFault}}, 500, []string{"accept", "order", "failures", "send", "reopen 1"}},
	} {
		t.Run("says so when "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			change := withoutKey
			if tt.keyed {
				change = nil
			}
			f := tt.fake
			a := call(t, ctx, newCreateOrder(&f).handle, apiEvent(t, "create_order", change))
			is.Equal(a.Status, tt.status)
			is.Equal(f.calls, tt.want)
			is.Equal(counted(ctx, ordersAccepted), 0.0)
			if tt.status == http.StatusInternalServerError {
				is.True(!strings.Contains(a.Message, errFault.Error())) // the client is not told the cause
				is.True(strings.Contains(log.String(), errFault.Error()))
			}
		})
	}

	t.Run("withdraws the receipt though its time is up", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		ctx, cancel := context.WithCancel(ctx)
		f := &withdrawals{fakeAcceptances: fakeAcceptances{fail: map[string]error{"send": errFault}}, cancel: cancel}
		h := &createOrder{store: f, queue: f, newID: order.NewID, now: atNoon}
		a := call(t, ctx, h.handle, apiEvent(t, "create_order", withoutKey))
		is.Equal(a.Status, http.StatusInternalServerError)
		is.NoErr(f.withdrawn) // its context was alive
	})
}

// withdrawals ends the request's context while it sends, and keeps what Withdraw's context says.
type withdrawals struct {
	fakeAcceptances
	cancel    context.CancelFunc
	withdrawn error
}

func (w *withdrawals) Send(ctx context.Context, c order.Creation, trace string) error {
	w.cancel()
	w.withdrawn = errors.New("not withdrawn")
	return w.fakeAcceptances.Send(ctx, c, trace)
}

func (w *withdrawals) Withdraw(ctx context.Context, _, _ string) error {
	w.withdrawn = ctx.Err()
	return nil
}
