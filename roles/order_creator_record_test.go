package roles

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// fakeRecords is the table, the cart service and the topic of the record creator. It fails where it is told to.
type fakeRecords struct {
	recorded *order.Order
	appears  *order.Order // recorded by another delivery between the check and the write
	cart     order.Cart
	fail     map[string]error

	calls     []string
	created   []order.Order
	published []order.Event
	failed    string // the reason on the receipt
}

func (f *fakeRecords) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeRecords) Order(_ context.Context, _, _ string) (order.Order, error) {
	if err := f.call("order"); err != nil {
		return order.Order{}, err
	}
	if f.recorded == nil {
		return order.Order{}, order.ErrNotFound
	}
	return *f.recorded, nil
}

func (f *fakeRecords) Get(context.Context, string, string, string) (order.Cart, error) {
	return f.cart, f.call("cart")
}

func (f *fakeRecords) Complete(_ context.Context, c order.Creation) (order.Creation, error) {
	c.OrderNumber, c.DateCreated = "ORD-2025-00077", order.NewTimestamp(noon)
	return c, f.call("complete")
}

func (f *fakeRecords) Create(_ context.Context, o order.Order) error {
	if f.appears != nil {
		f.recorded = f.appears
		return errors.Join(f.call("create"), order.ErrExists)
	}
	f.created = append(f.created, o)
	return f.call("create")
}

func (f *fakeRecords) Fail(_ context.Context, _ order.Creation, reason string) error {
	f.failed = reason
	return f.call("fail")
}

func (f *fakeRecords) Publish(_ context.Context, e order.Event, _ string) error {
	f.published = append(f.published, e)
	return f.call("publish")
}

func TestRecorder(t *testing.T) {
	const trace = "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3;Sampled=1"
	body := func(t *testing.T, change func(*order.Creation)) []byte {
		c := sampleCreation(t)
		if change != nil {
			change(&c)
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	handle := func(t *testing.T, ctx context.Context, f *fakeRecords, m message) error {
		t.Helper()
		if m.body == nil {
			m.body = body(t, nil)
		}
		if m.receives == 0 {
			m.receives = 1
		}
		m.trace = trace
		return (&recorder{orders: f, carts: f, events: f, taxRate: vat(t)}).handle(ctx, m)
	}
	t.Run("records the priced cart, then tells", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeRecords{cart: sampleCart(t)}
		is.NoErr(handle(t, ctx, f, message{}))
		is.Equal(f.calls, []string{"order", "cart", "create", "publish"})
		o := f.created[0]
		is.Equal(o.Total.String(), "287.50") // (2 × 100.10 − 0.20 + 50.00) × 1.15
		is.Equal(o.ID, orderID)
		is.Equal(o.DateCreated, order.NewTimestamp(noon))
		is.Equal(f.published, []order.Event{{
			Type: "order.created", Version: "1", OrderID: orderID, TenantID: acme, OrderNumber: "ORD-2025-00001",
			CustomerEmail: "thandi@example.com", DateCreated: order.NewTimestamp(noon), TraceID: "1-67719f28-3f1d2c4b5a69788796a5b4c3",
		}})
		is.Equal(counted(ctx, ordersRecorded), 1.0)
	})
	t.Run("tells again about an order that is recorded, without asking for its cart", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		o := sampleOrder(t)
		f := &fakeRecords{recorded: &o}
		is.NoErr(handle(t, ctx, f, message{receives: 3}))
		is.Equal(f.calls, []string{"order", "publish"})
		is.Equal(counted(ctx, duplicates), 1.0)
		is.Equal(counted(ctx, ordersRecorded), 0.0)
	})
	t.Run("tells about the order that another delivery recorded first", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		o := sampleOrder(t)
		o.Number = "ORD-2025-00042"
		f := &fakeRecords{cart: sampleCart(t), appears: &o}
		is.NoErr(handle(t, ctx, f, message{}))
		is.Equal(f.calls, []string{"order", "cart", "create", "order", "publish"})
		is.Equal(f.published[0].OrderNumber, "ORD-2025-00042")
		is.Equal(counted(ctx, duplicates), 1.0)
	})
	t.Run("completes a message without number or time", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeRecords{cart: sampleCart(t)}
		is.NoErr(handle(t, ctx, f, message{body: body(t, func(c *order.Creation) {
			c.OrderNumber, c.DateCreated, c.CreatedBy = "", order.Timestamp{}, ""
		})}))
		is.Equal(f.calls, []string{"order", "cart", "complete", "create", "publish"})
		is.Equal(f.created[0].Number, "ORD-2025-00077")
		is.Equal(f.created[0].LastUpdatedBy, order.SystemUser)
	})
	t.Run("counts and logs a cart total that differs", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeRecords{cart: sampleCart(t)}
		same := money(t, "287.50")
		f.cart.Total = &same
		is.NoErr(handle(t, ctx, f, message{}))
		is.Equal(counted(ctx, cartTotalMismatch), 0.0)
		other := money(t, "287.51")
		f.cart.Total = &other
		is.NoErr(handle(t, ctx, f, message{}))
		is.Equal(counted(ctx, cartTotalMismatch), 1.0)
		is.True(strings.Contains(log.String(), `"cartTotal":"287.51"`))
	})

	foreign := sampleCart(t)
	foreign.TenantID = "other"
	lost := &order.Permanent{Reason: "cart not found"}
	incomplete := func(c *order.Creation) { c.OrderNumber = "" }
	huge := sampleCart(t)
	huge.Items[0].UnitPrice = money(t, "999999999999.00")
	huge.Items[0].Quantity = order.MaxQuantity
	for _, tt := range []struct {
		name      string
		message   message
		fake      fakeRecords
		permanent bool
		reason    string // on the receipt, "" for an untouched one
	}{
		{"is malformed", message{body: []byte(`{"orderId":"` + orderID + `","tenantId":"acme"}`)}, fakeRecords{}, true, "message is malformed"},
		{"has no readable id", message{body: []byte(`{`)}, fakeRecords{}, true, ""},
		{"has a lost cart", message{}, fakeRecords{fail: map[string]error{"cart": lost}}, true, "cart not found"},
		{"has another tenant's cart", message{}, fakeRecords{cart: foreign}, true, "cart belongs to another tenant"},
		{"has a cart beyond all bounds", message{}, fakeRecords{cart: huge}, true, "cart amounts are out of range"},
		{"meets a table that cannot be read", message{}, fakeRecords{fail: map[string]error{"order": errFault}}, false, ""},
		{"meets a cart service that is down", message{}, fakeRecords{fail: map[string]error{"cart": errFault}}, false, ""},
		{"meets a cart service that stays down", message{receives: 3}, fakeRecords{fail: map[string]error{"cart": errFault}}, false, "order could not be recorded in time"},
		{"meets a table that does not number", message{body: body(t, incomplete)}, fakeRecords{cart: sampleCart(t), fail: map[string]error{"complete": errFault}}, false, ""},
		{"meets a table that does not record", message{}, fakeRecords{cart: sampleCart(t), fail: map[string]error{"create": errFault}}, false, ""},
		{"meets a topic that is down", message{receives: 3}, fakeRecords{cart: sampleCart(t), fail: map[string]error{"publish": errFault}}, false, ""},
		{"cannot even fail its receipt", message{}, fakeRecords{fail: map[string]error{"cart": lost, "fail": errFault}}, true, "cart not found"},
	} {
		t.Run("fails a message that "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := tt.fake
			err := handle(t, ctx, &f, tt.message)
			is.True(err != nil)
			is.Equal(isPermanent(err), tt.permanent)
			is.Equal(f.failed, tt.reason)
			is.Equal(counted(ctx, ordersRecorded) > 0, f.fail["publish"] != nil)
		})
	}
	t.Run("cannot be numbered into a different order", func(t *testing.T) {
		// A completed message is priced again: what the second pricing refuses is refused.
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &shrinkingCart{fakeRecords{cart: sampleCart(t)}}
		r := &recorder{orders: f, carts: f, events: f, taxRate: vat(t)}
		err := r.handle(ctx, message{body: body(t, incomplete), receives: 1})
		is.True(isPermanent(err))
	})
}

// shrinkingCart completes a message for another cart.
type shrinkingCart struct{ fakeRecords }

func (f *shrinkingCart) Complete(_ context.Context, c order.Creation) (order.Creation, error) {
	c.CartID = "another"
	return c, nil
}
