package roles

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// fakeRecords is the table and the cart service of the record creator. It fails
// where it is told to.
type fakeRecords struct {
	stored *order.Order
	cart   order.Cart
	fail   map[string]error

	calls    []string
	recorded []order.Order
	reasons  []string // that the order was told
}

func (f *fakeRecords) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeRecords) Order(_ context.Context, _, _ string) (order.Order, error) {
	if err := f.call("order"); err != nil {
		return order.Order{}, err
	}
	if f.stored == nil {
		return order.Order{}, order.ErrNotFound
	}
	return *f.stored, nil
}

func (f *fakeRecords) Get(_ context.Context, _, _, correlationID string) (order.Cart, error) {
	return f.cart, errors.Join(f.call("cart"), wantText(correlationID, orderID))
}

func (f *fakeRecords) Accept(_ context.Context, c order.Creation) (order.Order, error) {
	return c.Accepted("ORD-2025-00077", order.NewTimestamp(noon)), f.call("accept")
}

func (f *fakeRecords) Record(_ context.Context, o order.Order) error {
	f.recorded = append(f.recorded, o)
	return f.call("record")
}

func (f *fakeRecords) Fail(ctx context.Context, _, _, reason string) error {
	f.reasons = append(f.reasons, reason)
	return errors.Join(ctx.Err(), f.call("fail"))
}

func wantText(got, want string) error {
	if got != want {
		return errors.New("got " + got + ", want " + want)
	}
	return nil
}

// handle gives the recorder a message; the sample's where it has no body.
func (f *fakeRecords) handle(t *testing.T, ctx context.Context, m message) error {
	t.Helper()
	if m.body == nil {
		m.body = creationBody(t, nil)
	}
	m.receives = max(m.receives, 1)
	m.trace = "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3;Sampled=1"
	r := &recorder{
		orders: f, carts: f, taxRate: vat(t), now: func() time.Time { return noon.Add(1500 * time.Millisecond) },
	}
	return r.handle(ctx, m)
}

// creationBody is the sample message with fields changed.
func creationBody(t *testing.T, fields map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(sampleCreation(t))
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	for name, v := range fields {
		body[name] = v
	}
	if text, err = json.Marshal(body); err != nil {
		t.Fatal(err)
	}
	return text
}

// newRecords is a table with the accepted order, and its cart.
func newRecords(t *testing.T) *fakeRecords {
	t.Helper()
	accepted := sampleAcceptance(t)
	return &fakeRecords{stored: &accepted, cart: sampleCart(t)}
}

func TestRecorder(t *testing.T) {
	t.Run("records the priced cart", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := newRecords(t)
		is.NoErr(f.handle(t, ctx, message{}))
		is.Equal(f.calls, []string{"order", "cart", "record"})
		o := f.recorded[0]
		is.Equal(o.Total.String(), "287.50") // (2 × 100.10 − 0.20 + 50.00) × 1.15
		is.Equal(o.ID, orderID)
		is.Equal(o.History, []order.Entry{{
			Sequence: 1, Type: order.EventCreated, Status: order.Pending, Date: order.NewTimestamp(noon),
			By:      "thandi@example.com",
			TraceID: "1-67719f28-3f1d2c4b5a69788796a5b4c3", // which the event goes on with
		}})
		is.Equal(counted(ctx, ordersRecorded), 1.0)
		is.Equal(measured(ctx, acceptedToRecordedMilliseconds), []float64{1500})
		is.True(strings.Contains(log.String(), `"orderNumber":"ORD-2025-00001","lines":1`))
	})
	t.Run("takes number, time and creator from the acceptance, never from the message", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		is.NoErr(f.handle(t, ctx, message{body: creationBody(t, map[string]any{
			"orderNumber": "ORD-2025-99999", "dateCreated": "2020-01-01T00:00:00Z", "createdBy": "mallory@example.com",
		})}))
		o := f.recorded[0]
		is.Equal(o.Number, "ORD-2025-00001")
		is.Equal(o.DateCreated, order.NewTimestamp(noon))
		is.Equal(o.LastUpdatedBy, "thandi@example.com")
		is.Equal(o.History[0].By, "thandi@example.com")
	})
	t.Run("accepts what another producer asks for, then records it", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.stored = nil
		is.NoErr(f.handle(t, ctx, message{body: creationBody(t, map[string]any{"createdBy": "", "paymentMethod": nil})}))
		is.Equal(f.calls, []string{"order", "accept", "cart", "record"})
		is.Equal(f.recorded[0].Number, "ORD-2025-00077")
		is.Equal(f.recorded[0].LastUpdatedBy, order.SystemUser)
	})
	t.Run("leaves what is recorded, without asking for its cart", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		o := sampleOrder(t)
		f := &fakeRecords{stored: &o}
		is.NoErr(f.handle(t, ctx, message{receives: 3}))
		is.Equal(f.calls, []string{"order"})
		is.Equal(counted(ctx, duplicates), 1.0)
		is.Equal(counted(ctx, ordersRecorded), 0.0)
	})
	t.Run("leaves what is deleted, without asking for its cart", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeRecords{fail: map[string]error{"order": order.ErrDeleted}}
		is.NoErr(f.handle(t, ctx, message{receives: 3}))
		is.Equal(f.calls, []string{"order"})
		is.True(strings.Contains(log.String(), "order is deleted"))
	})
	for _, tt := range []struct {
		name string
		err  error
		dup  float64
	}{
		{"that another delivery recorded first", order.ErrExists, 1},
		{"that is deleted meanwhile", order.ErrDeleted, 0},
	} {
		t.Run("is done with an order "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := newRecords(t)
			f.fail = map[string]error{"record": tt.err}
			is.NoErr(f.handle(t, ctx, message{}))
			is.Equal(f.calls, []string{"order", "cart", "record"})
			is.Equal(counted(ctx, duplicates), tt.dup)
			is.Equal(counted(ctx, ordersRecorded), 0.0)
			is.Equal(len(measured(ctx, acceptedToRecordedMilliseconds)), 0)
		})
	}
}

func TestRecorderDoubts(t *testing.T) {
	total := func(s string) func(*order.Cart) {
		return func(c *order.Cart) {
			m := money(t, s)
			c.Total = &m
		}
	}
	campaign := func(c order.Campaign) func(*order.Cart) {
		c.Code, c.Active = "SUMMER25", true
		return func(cart *order.Cart) { cart.Campaign = &c }
	}
	for _, tt := range []struct {
		name   string
		change func(*order.Cart)
		metric metric // that counts one, or ""
		log    string
	}{
		{"a total that is ours", total("287.50"), "", ""},
		{"a total that is not", total("287.51"), cartTotalMismatch, `"cartTotal":"287.51","orderTotal":"287.50"`},
		{
			"a campaign in force", campaign(order.Campaign{IsValid: true, FromDate: "2025-12-30", ToDate: "2025-12-30"}), "",
			"",
		},
		{"a campaign that is not valid", campaign(order.Campaign{}), campaignsInvalid, `"campaign":"SUMMER25"`},
		{
			"a campaign that is over", campaign(order.Campaign{IsValid: true, ToDate: "2025-12-29"}), campaignsInvalid,
			`"campaign":"SUMMER25"`,
		},
		{
			"a campaign to come", campaign(order.Campaign{IsValid: true, FromDate: "2025-12-31"}), campaignsInvalid,
			`"campaign":"SUMMER25"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := newRecords(t)
			tt.change(&f.cart)
			is.NoErr(f.handle(t, ctx, message{}))
			is.Equal(len(f.recorded), 1) // all the same
			for _, m := range []metric{cartTotalMismatch, campaignsInvalid} {
				is.Equal(counted(ctx, m) == 1, m == tt.metric)
			}
			is.Equal(strings.Contains(log.String(), `"level":"warn"`), tt.metric != "")
			is.True(strings.Contains(log.String(), tt.log))
		})
	}
}

// TestRecorderPermanent has what can never be recorded. The order says so at
// once, and it is counted once, when the queue gives the message up.
func TestRecorderPermanent(t *testing.T) {
	lost := &order.PermanentError{Reason: "cart not found"}
	cart := func(change func(*order.Cart)) func(*fakeRecords) {
		return func(f *fakeRecords) { change(&f.cart) }
	}
	none := func(*fakeRecords) {}
	for _, tt := range []struct {
		name   string
		fields map[string]any
		change func(*fakeRecords)
		reason string
	}{
		{"a malformed message", map[string]any{"customerEmail": "x"}, none, "message is malformed"},
		{
			"a malformed message of an order that is not there",
			map[string]any{"cartId": ""},
			func(f *fakeRecords) { f.stored = nil }, "message is malformed",
		},
		{"a lost cart", nil, func(f *fakeRecords) { f.fail = map[string]error{"cart": lost} }, "cart not found"},
		{"another tenant's cart", nil, cart(func(c *order.Cart) { c.TenantID = "other" }), "cart belongs to another tenant"},
		{"another cart", nil, cart(func(c *order.Cart) { c.ID = "other" }), "cart answer is for another cart"},
		{"an empty cart", nil, cart(func(c *order.Cart) { c.Items = nil }), "cart is empty"},
		{
			"too many lines", nil, cart(func(c *order.Cart) { c.Items = make([]order.CartItem, order.MaxItems+1) }),
			"cart has more than 200 lines",
		},
		{
			"a campaign that is not on the cart",
			map[string]any{"campaignCode": "SUMMER25"},
			none,
			"campaign is not on the cart",
		},
		{"amounts beyond all bounds", nil, cart(func(c *order.Cart) {
			c.Items[0].UnitPrice, c.Items[0].Quantity = money(t, "999999999999.00"), order.MaxQuantity
		}), "cart amounts are out of range"},
		{"an order too large for the table", nil, func(f *fakeRecords) {
			f.fail = map[string]error{"record": &order.PermanentError{Reason: "order is too large to be recorded"}}
		}, "order is too large to be recorded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			for receives := 1; receives <= maxReceives; receives++ {
				f := newRecords(t)
				tt.change(f)
				err := f.handle(t, ctx, message{body: creationBody(t, tt.fields), receives: receives})
				is.True(isPermanent(err))
				is.Equal(reason(err), tt.reason)
				is.Equal(f.reasons[len(f.reasons)-1], tt.reason)                    // what the order says in the end
				is.Equal(counted(ctx, ordersFailed), float64(receives/maxReceives)) // once, at the last
			}
			is.Equal(counted(ctx, ordersRecorded), 0.0)
		})
	}
	t.Run("a message without readable ids touches no order", func(t *testing.T) {
		for _, body := range []string{
			`{`, `{}`, `{"orderId": "` + orderID + `"}`, `{"tenantId": "acme"}`, `{"orderId": "x", "tenantId": "acme"}`,
		} {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := newRecords(t)
			err := f.handle(t, ctx, message{body: []byte(body), receives: 3})
			is.Equal(reason(err), "message is malformed")
			is.Equal(len(f.calls), 0)
		}
	})
}

// TestRecorderTransient has what may be over at the next delivery.
func TestRecorderTransient(t *testing.T) {
	down := errors.Join(order.ErrUnavailable, errors.New("the Cart API answered 503"))
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}
	calls := func(fail string, err error) *fakeRecords { return &fakeRecords{fail: map[string]error{fail: err}} }
	for _, tt := range []struct {
		name    string
		fake    *fakeRecords
		message message
		calls   string
		reasons string
		failed  float64
		waits   bool
	}{
		{"a table that cannot be read", calls("order", errFault), message{}, "order", "", 0, false},
		{"a table that does not record", calls("record", errFault), message{}, "order cart record", "", 0, false},
		{"a cart service that is down", calls("cart", down), message{}, "order cart", "", 0, true},
		{"a table that is throttled", calls("record", throttled), message{}, "order cart record", "", 0, true},

		{
			"a fault at the last delivery", calls("cart", errFault),
			message{receives: 3},
			"order fail cart",
			notInTime, 1, false,
		},
		{
			"a table that cannot be read at the last delivery", calls("order", errFault),
			message{receives: 3},
			"order fail",
			notInTime, 1, false,
		},
		{"an outage at the last delivery", calls("cart", down), message{receives: 3}, "order fail cart", notInTime, 0, true},
		{
			"a table that cannot say so before the work", calls("fail", errFault),
			message{receives: 3},
			"order fail",
			notInTime, 0, false,
		},
		{"an outage of more than a day", calls("cart", down), message{tooOld: true}, "order cart", "", 0, false},
		{
			"an outage of more than a day at the last delivery", calls("cart", down),
			message{receives: 3, tooOld: true},
			"order fail cart", notInTime, 1, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := newRecords(t)
			f.fail = tt.fake.fail
			err := f.handle(t, ctx, tt.message)
			is.True(err != nil && !isPermanent(err))
			is.Equal(tt.message.waits(err), tt.waits)
			is.Equal(strings.Join(f.calls, " "), tt.calls)
			is.Equal(strings.Join(f.reasons, ", "), tt.reasons)
			is.Equal(counted(ctx, ordersFailed), tt.failed)
		})
	}
	t.Run("a message of another producer whose order cannot be accepted", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeRecords{fail: map[string]error{"accept": errFault}}
		is.True(errors.Is(f.handle(t, ctx, message{}), errFault))
		is.Equal(f.calls, []string{"order", "accept"})
	})
}

func TestRecorderLastDelivery(t *testing.T) {
	t.Run("says failed before the work begins, and the record says otherwise", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		is.NoErr(f.handle(t, ctx, message{receives: 3}))
		is.Equal(f.calls, []string{"order", "fail", "cart", "record"})
		is.Equal(f.reasons, []string{notInTime})
		is.Equal(f.recorded[0].Status, order.Pending)
		is.Equal(f.recorded[0].FailureReason, "")
		is.Equal(counted(ctx, ordersFailed), 0.0)
		is.Equal(counted(ctx, ordersRecorded), 1.0)
	})
	t.Run("an order that says failed is recorded by a message that comes again", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.stored.Status, f.stored.FailureReason = order.Failed, notInTime
		is.NoErr(f.handle(t, ctx, message{}))
		is.Equal(f.recorded[0].Status, order.Pending)
		is.Equal(f.recorded[0].FailureReason, "")
	})
	t.Run("an order that says why it failed goes on saying so", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.stored.Status, f.stored.FailureReason = order.Failed, "cart not found"
		is.NoErr(f.handle(t, ctx, message{receives: 3}))
		is.Equal(f.calls, []string{"order", "cart", "record"})
	})
	t.Run("also where another fault ends its last delivery", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.stored.Status, f.stored.FailureReason = order.Failed, "cart not found"
		f.fail = map[string]error{"cart": errFault}
		is.True(errors.Is(f.handle(t, ctx, message{receives: 3}), errFault))
		is.Equal(f.calls, []string{"order", "cart"})
		is.Equal(counted(ctx, ordersFailed), 1.0)
	})
	t.Run("a process that dies at work leaves the order failed", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.fail = map[string]error{}
		r := &recorder{orders: f, carts: panickingCarts{}, taxRate: vat(t), now: atNoon}
		m := message{body: creationBody(t, nil), receives: 3}
		is.True(protect(ctx, m, r.handle) != nil)
		is.Equal(f.reasons, []string{notInTime})
	})
	t.Run("an order that cannot be told fails all the same", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.fail = map[string]error{"cart": &order.PermanentError{Reason: "cart not found"}, "fail": errFault}
		err := f.handle(t, ctx, message{})
		is.True(isPermanent(err) && errors.Is(err, errFault))
		is.True(strings.Contains(err.Error(), "the order does not say so"))
	})
	t.Run("an order that cannot be told now is told later", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := newRecords(t)
		f.fail = map[string]error{
			"cart": &order.PermanentError{Reason: "cart not found"}, "fail": &smithy.GenericAPIError{
				Code: "ThrottlingException",
			},
		}
		is.True(message{}.waits(f.handle(t, ctx, message{})))
	})
	t.Run("an order is told though the work's time is up", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		f := newRecords(t)
		f.cart.Items = nil
		is.Equal(reason(f.handle(t, ctx, message{})), "cart is empty")
		is.Equal(f.reasons, []string{"cart is empty"}) // Fail's own context was alive, else it is an error of its own
		is.True(!strings.Contains(f.handle(t, ctx, message{}).Error(), "context canceled"))
	})
}

type panickingCarts struct{}

func (panickingCarts) Get(context.Context, string, string, string) (order.Cart, error) { panic("boom") }

func TestEventsDeadLetterURL(t *testing.T) {
	is := is.New(t)
	env := complete("order_creator_record")
	env["ENVIRONMENT"] = "sit"
	s, err := Configure(getter(env))
	is.NoErr(err)
	is.Equal(eventsDeadLetterURL(s), "https://sqs.eu-west-1.amazonaws.com/123456789012/bbws-order-events-dlq-sit")
}
