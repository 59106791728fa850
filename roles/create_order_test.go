package roles

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeAcceptances is a table of one acceptance, and a queue. It fails where it
// is told to.
type fakeAcceptances struct {
	first *order.Order // what an idempotency key was used for before
	fail  map[string]error

	calls   []string
	key     store.IdempotencyKey
	sent    []any
	tenants []string
}

func (f *fakeAcceptances) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeAcceptances) Accept(_ context.Context, c order.Creation) (order.Order, error) {
	return c.Accepted("ORD-2025-00001", order.NewTimestamp(noon)), f.call("accept")
}

func (f *fakeAcceptances) AcceptOnce(
	_ context.Context, c order.Creation, key store.IdempotencyKey,
) (order.Order, bool, error) {
	f.key = key
	if err := f.call("accept once"); err != nil {
		return order.Order{}, false, err
	}
	if f.first != nil {
		return *f.first, true, nil
	}
	return c.Accepted("ORD-2025-00001", order.NewTimestamp(noon)), false, nil
}

func (f *fakeAcceptances) Send(_ context.Context, body any, tenantID, _ string) error {
	f.sent, f.tenants = append(f.sent, body), append(f.tenants, tenantID)
	return f.call("send")
}

// create sends the event of testdata, changed, to create_order.
func (f *fakeAcceptances) create(
	t *testing.T, ctx context.Context, change func(*events.APIGatewayProxyRequest),
) answer {
	t.Helper()
	h := &createOrder{orders: f, queue: f, newID: func() string { return orderID }}
	return call(t, ctx, h.handle, apiEvent(t, "create_order", change))
}

func withoutKey(e *events.APIGatewayProxyRequest) {
	delete(e.Headers, "Idempotency-Key")
	delete(e.MultiValueHeaders, "Idempotency-Key")
}

func withKeys(keys ...string) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["Idempotency-Key"] = keys }
}

func TestCreateOrder(t *testing.T) {
	t.Run("accepts and queues", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeAcceptances{}
		a := f.create(t, ctx, withoutKey)
		is.Equal(a.Status, http.StatusAccepted)
		is.Equal(a.Headers["Location"], "/v1.0/orders/"+orderID)
		is.Equal(a.Headers["Idempotent-Replayed"], "")
		is.Equal(a.Headers["Content-Type"], "application/json")
		is.Equal(a.Headers["Cache-Control"], "no-store")
		is.Equal(a.Headers["Access-Control-Allow-Origin"], "https://portal.example.com")
		is.Equal(a.Data, map[string]any{
			"orderId": orderID, "orderNumber": "ORD-2025-00001", "status": "pending", "message": "Order accepted for processing",
		})
		is.Equal(f.calls, []string{"accept", "send"}) // the item stands before the message
		is.Equal(f.sent, []any{sampleCreation(t)})
		is.Equal(f.tenants, []string{acme})
		is.Equal(counted(ctx, ordersAccepted), 1.0)
		is.True(strings.Contains(log.String(), `"orderId":"`+orderID+`"`))
	})
	t.Run("takes a base64 body", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeAcceptances{}
		a := f.create(t, ctx, all(withoutKey, func(e *events.APIGatewayProxyRequest) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(e.Body)), true
		}))
		is.Equal(a.Status, http.StatusAccepted)
		is.Equal(f.sent, []any{sampleCreation(t)})
	})
	t.Run("accepts once under a key, with the hash of the body", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeAcceptances{}
		var body string
		key := "!" + strings.Repeat("~", 254)
		a := f.create(t, ctx, all(withoutKey, func(e *events.APIGatewayProxyRequest) {
			e.Headers["idempotency-key"] = key // in any case
			body = e.Body
		}))
		is.Equal(a.Status, http.StatusAccepted)
		is.Equal(a.Headers["Idempotent-Replayed"], "")
		is.Equal(f.calls, []string{"accept once", "send"})
		hash := sha256.Sum256([]byte(body))
		is.Equal(f.key, store.IdempotencyKey{Key: key, BodyHash: hex.EncodeToString(hash[:])})
		is.Equal(counted(ctx, ordersAccepted), 1.0)
	})
}

func TestCreateOrderRefuses(t *testing.T) {
	body := func(text string) func(*events.APIGatewayProxyRequest) {
		return func(e *events.APIGatewayProxyRequest) { e.Body = text }
	}
	for _, tt := range []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		want   string // the fields that the answer names
	}{
		{"no body", body(""), "body"},
		{"bad base64", func(e *events.APIGatewayProxyRequest) { e.IsBase64Encoded = true }, "body"},
		{"a huge body", body(strings.Repeat(" ", 64<<10) + "{}"), "body"},
		{"a field that comes twice", body(`{"cartId": "a", "cartId": "b"}`), "customerEmail billingAddress cartId"},
		{"an empty key", withKeys(""), "Idempotency-Key"},
		{"a key with a space", withKeys("a b"), "Idempotency-Key"},
		{"a key beyond ASCII", withKeys("é"), "Idempotency-Key"},
		{"a long key", withKeys(strings.Repeat("x", 256)), "Idempotency-Key"},
		{"two keys", withKeys("a", "b"), "Idempotency-Key"},
		{
			"everything at once",
			all(
				withKeys(""),
				body(`{"customerEmail": "x", "cartId": 5, "tenantId": "other", 
					"billingAddress": {"street": "1 Long Street", "country": "za"}}`),
			),
			"Idempotency-Key customerEmail cartId billingAddress.city billingAddress.province " +
				"billingAddress.postalCode billingAddress.country tenantId",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeAcceptances{}
			a := f.create(t, ctx, tt.change)
			is.Equal(a.Status, http.StatusBadRequest)
			is.Equal(a.Code, "invalid_request")
			is.Equal(a.badFields(), tt.want)
			is.Equal(a.RequestID, "request-1")
			is.Equal(len(f.calls), 0) // nothing half-done
		})
	}
}

func TestCreateOrderReplays(t *testing.T) {
	accepted := sampleAcceptance(t)
	accepted.Number, accepted.LastUpdatedBy = "ORD-2025-00007", "first@example.com"
	failed := accepted
	failed.Status, failed.FailureReason = order.Failed, "cart not found"
	recorded := orderIn(t, order.Paid)
	for _, tt := range []struct {
		name  string
		first order.Order
		calls []string
	}{
		{"what is not recorded is queued again", accepted, []string{"accept once", "send"}},
		{"what has failed is queued again", failed, []string{"accept once", "send"}},
		{"what is recorded is left", recorded, []string{"accept once"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeAcceptances{first: &tt.first}
			a := f.create(t, ctx, nil)
			is.Equal(a.Status, http.StatusAccepted)
			is.Equal(a.Headers["Idempotent-Replayed"], "true")
			is.Equal(a.Headers["Location"], "/v1.0/orders/"+orderID)
			is.Equal(a.Data, map[string]any{ // as the first time, whatever became of it
				"orderId": orderID, "orderNumber": tt.first.Number, "status": "pending", "message": "Order accepted for processing",
			})
			is.Equal(f.calls, tt.calls)
			is.Equal(counted(ctx, ordersAccepted), 0.0)
			is.Equal(counted(ctx, duplicates), 1.0)
			if len(f.sent) > 0 {
				want := sampleCreation(t)
				want.CreatedBy = "first@example.com" // who placed it, not who repeats it
				is.Equal(f.sent, []any{want})
			}
		})
	}
}

func TestCreateOrderFails(t *testing.T) {
	accepted := sampleAcceptance(t)
	for _, tt := range []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		fake   fakeAcceptances
		status int
		code   string
		calls  []string
	}{
		{
			"the table does not take it", withoutKey,
			fakeAcceptances{fail: map[string]error{"accept": errFault}},
			500,
			"internal",
			[]string{"accept"},
		},
		{
			"the table does not take the key", nil,
			fakeAcceptances{fail: map[string]error{"accept once": errFault}},
			500,
			"internal",
			[]string{"accept once"},
		},
		{
			"the key was used with another body", nil,
			fakeAcceptances{fail: map[string]error{"accept once": order.ErrKeyReused}},
			422, "idempotency_key_reused",
			[]string{"accept once"},
		},
		{
			"the key's order is deleted", nil,
			fakeAcceptances{fail: map[string]error{"accept once": order.ErrDeleted}},
			404,
			"not_found",
			[]string{"accept once"},
		},
		// The item stays: the message may have been sent, and another call with the
		// key sends it again.
		{
			"the queue does not take it", withoutKey,
			fakeAcceptances{fail: map[string]error{"send": errFault}},
			500,
			"internal",
			[]string{"accept", "send"},
		},
		{
			"the queue does not take it, with a key", nil,
			fakeAcceptances{fail: map[string]error{"send": errFault}},
			500,
			"internal",
			[]string{"accept once", "send"},
		},
		{
			"the queue does not take a replay", nil,
			fakeAcceptances{first: &accepted, fail: map[string]error{"send": errFault}},
			500, "internal",
			[]string{"accept once", "send"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := tt.fake
			a := f.create(t, ctx, tt.change)
			is.Equal(a.Status, tt.status)
			is.Equal(a.Code, tt.code)
			is.Equal(f.calls, tt.calls)
			is.Equal(counted(ctx, ordersAccepted), 0.0)
			is.Equal(counted(ctx, duplicates), 0.0)
			if tt.status == http.StatusInternalServerError {
				is.True(!strings.Contains(a.Message, errFault.Error())) // the client is not told the cause
				is.True(strings.Contains(log.String(), errFault.Error()))
			}
		})
	}
}

// TestCreateOrderCalls holds what an acceptance costs: three calls, and one
// more with a key. None of them is a transaction, so that one tenant's orders
// do not meet in its counter.
func TestCreateOrderCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*events.APIGatewayProxyRequest)
		want   []string
	}{
		"without a key": {withoutKey, []string{"UpdateItem", "PutItem", "SendMessage"}},
		"with a key":    {nil, []string{"PutItem", "UpdateItem", "PutItem", "SendMessage"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var calls []string
			a := newAccount(t, "create_order")
			a.next = func(_ http.ResponseWriter, r *http.Request) bool {
				_, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
				calls = append(calls, call)
				return false
			}
			h := a.build(t, complete("create_order"), io.Discard)
			answer, err := h.Invoke(t.Context(), encodeJSON(t, apiEvent(t, "create_order", tt.change)))
			is.NoErr(err)
			is.True(strings.Contains(string(answer), `"statusCode":202`))
			is.Equal(calls, tt.want)
		})
	}
}
