package roles

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// fakeUpdates is a table with at most one order.
type fakeUpdates struct {
	fakeKnown
	was     order.Timestamp
	updated *order.Order
	stored  *order.Order // what Update returns, else what it was given
}

func (f *fakeUpdates) Update(_ context.Context, o order.Order, was order.Timestamp) (order.Order, error) {
	f.calls = append(f.calls, "update")
	f.was, f.updated = was, &o
	if f.stored != nil {
		o = *f.stored
	}
	return o, f.fail["update"]
}

// put sends the event of testdata, changed, to update_order an hour after noon.
func (f *fakeUpdates) put(
	t *testing.T, ctx context.Context, group string, change func(*events.APIGatewayProxyRequest),
) answer {
	t.Helper()
	h := &updateOrder{orders: f, links: f, paymentGroup: group, now: func() time.Time { return noon.Add(time.Hour) }}
	return call(t, ctx, h.handle, apiEvent(t, "update_order", change))
}

// updatesOf is a table with an order to update.
func updatesOf(o order.Order) *fakeUpdates { return &fakeUpdates{fakeKnown: fakeKnown{mine: &o}} }

func withBody(text string) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) { e.Body = text }
}

func withIfMatch(values ...string) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["If-Match"] = values }
}

func TestUpdateOrder(t *testing.T) {
	const tag = `"2025-12-30T10:30:00.000000Z"` // of the sample
	o := sampleOrder(t)
	accepted := sampleAcceptance(t)
	fails := func(name string, err error) *fakeUpdates {
		f := updatesOf(o)
		f.fail = map[string]error{name: err}
		return f
	}
	for _, tt := range []struct {
		name   string
		fake   *fakeUpdates
		change func(*events.APIGatewayProxyRequest)
		status int
		code   string
		calls  string
	}{
		{"an update", updatesOf(o), nil, 200, "", "order update"},
		{"an update of the version that it names", updatesOf(o), withIfMatch(tag), 200, "", "order update"},
		{"an update of one of several versions", updatesOf(o), withIfMatch(`"x", ` + tag), 200, "", "order update"},
		{"an update of one of several headers", updatesOf(o), withIfMatch(`"x"`, tag), 200, "", "order update"},
		{"an update of any version", updatesOf(o), withIfMatch("*"), 200, "", "order update"},
		{"no update of another version", updatesOf(o), withIfMatch(`"x"`), 412, "precondition_failed", "order"},
		{"no update of a weak version", updatesOf(o), withIfMatch("W/" + tag), 412, "precondition_failed", "order"},
		{"no update of no version", updatesOf(o), withIfMatch(""), 412, "precondition_failed", "order"},
		{"the order unchanged where nothing changes", updatesOf(o), withBody(`{"status":"pending"}`), 200, "", "order"},
		{"no forbidden transition", updatesOf(o), withBody(`{"status":"completed"}`), 400, "invalid_transition", "order"},
		{
			"no payment of a pending order", updatesOf(o), withBody(`{"paymentDetails":{"method":"eft"}}`), 400,
			"invalid_request", "order",
		},
		{
			"no payment of the day after tomorrow", updatesOf(o),
			withBody(`{"status":"paid","paymentDetails":{"paidAt":"2026-01-01T10:30:00Z"}}`), 400, "invalid_request", "order",
		},
		{"no reason without a status", updatesOf(o), withBody(`{"reason":"x"}`), 400, "invalid_request", ""},
		{"no bad body", updatesOf(o), withBody(`{"total":1}`), 400, "invalid_request", ""},
		{
			"no field that comes twice", updatesOf(o), withBody(`{"status":"cancelled","status":"paid"}`), 400,
			"invalid_request", "",
		},
		{
			"no body that is not base64", updatesOf(o), func(e *events.APIGatewayProxyRequest) { e.IsBase64Encoded = true },
			400, "invalid_request", "",
		},
		{"no unknown order", &fakeUpdates{}, nil, 404, "not_found", "order"},
		{"no deleted order", fails("order", order.ErrDeleted), nil, 404, "not_found", "order"},
		{
			"no malformed id", updatesOf(o), func(e *events.APIGatewayProxyRequest) { e.PathParameters["orderId"] = "x" }, 404,
			"not_found", "",
		},
		{"no order that is only accepted", updatesOf(accepted), nil, 409, "order_not_recorded", "order"},
		{"no update that lost a race", fails("update", order.ErrChanged), nil, 409, "order_changed", "order update"},
		{
			"no update that the table has no room for", fails("update", order.ErrTooManyChanges), nil, 409, "too_many_changes",
			"order update",
		},
		{"no update of what is deleted meanwhile", fails("update", order.ErrDeleted), nil, 404, "not_found", "order update"},
		{"an error when the table is down", fails("order", errFault), nil, 500, "internal", "order"},
		{"an error when the table does not write", fails("update", errFault), nil, 500, "internal", "order update"},
	} {
		t.Run("answers "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			a := tt.fake.put(t, ctx, "", tt.change)
			is.Equal(a.Status, tt.status)
			is.Equal(a.Code, tt.code)
			is.Equal(strings.Join(tt.fake.calls, " "), tt.calls)
			changed := tt.status == http.StatusOK && tt.fake.updated != nil
			is.Equal(counted(ctx, ordersChanged) == 1, changed)
			is.Equal(strings.Contains(log.String(), `"message":"order changed"`), changed)
			if tt.status == http.StatusOK {
				is.Equal(a.Headers["ETag"], `"`+a.Data["dateLastUpdated"].(string)+`"`)
			}
		})
	}
}

func TestUpdateOrderWrites(t *testing.T) {
	t.Run("the change, on condition that the order is as it was read", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		o := sampleOrder(t)
		f := updatesOf(o)
		is.Equal(f.put(t, ctx, "", nil).Status, http.StatusOK)
		is.Equal(f.was, o.DateLastUpdated)
		is.Equal(f.updated.Status, order.Paid)
		is.Equal(f.updated.LastUpdatedBy, "thandi@example.com")
		is.Equal(f.updated.DateLastUpdated, order.NewTimestamp(noon.Add(time.Hour)))
		is.Equal(f.updated.History[1], order.Entry{
			Sequence: 2, Type: order.EventPaid, Status: order.Paid, Date: order.NewTimestamp(noon.Add(time.Hour)),
			By: "thandi@example.com",
			PaymentDetails: &order.PaymentDetails{
				TransactionID: "t-1", PayfastPaymentID: "1089250", PaidAt: order.NewTimestamp(noon.Add(5 * time.Minute)),
			},
		})
	})
	t.Run("the trace that the event goes on with", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := updatesOf(sampleOrder(t))
		is.Equal(f.put(t, withTrace(ctx, "Root=1-2-3;Sampled=1"), "", nil).Status, http.StatusOK)
		is.Equal(f.updated.History[1].TraceID, "1-2-3")
	})
	t.Run("the reason", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := updatesOf(sampleOrder(t))
		a := f.put(t, ctx, "", withBody(`{"status":"cancelled","reason":"ordered twice"}`))
		is.Equal(a.Status, http.StatusOK)
		is.Equal(f.updated.History[1].Reason, "ordered twice")
		is.Equal(a.Data["history"].([]any)[1].(map[string]any)["reason"], "ordered twice")
	})
	t.Run("and answers what is stored, with links", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		stored := withDocuments(orderIn(t, order.Paid), order.ProForma)
		f := updatesOf(sampleOrder(t))
		f.stored = &stored
		a := f.put(t, ctx, "", nil)
		is.Equal(a.Data["pdfUrl"], "https://example.com/s3://bucket/pro_forma")
		is.Equal(a.Headers["ETag"], etag(stored))
	})
	t.Run("a line with from, to and who, and nothing that is private", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		is.Equal(updatesOf(sampleOrder(t)).put(t, ctx, "", nil).Status, http.StatusOK)
		is.True(strings.Contains(log.String(), `"from":"pending","to":"paid","who":"5e4d3c2b-1a09-4f8e-9d7c-6b5a49382716"`))
		is.True(strings.Contains(log.String(), `"orderId":"`+orderID+`"`))
		is.True(!strings.Contains(log.String(), "@"))
	})
	t.Run("too many changes", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		o := sampleOrder(t)
		for len(o.History) < order.MaxHistory {
			o.History = append(o.History, order.Entry{Type: order.EventMailFailed})
		}
		f := updatesOf(o)
		is.Equal(f.put(t, ctx, "", nil).Code, "too_many_changes")
		is.Equal(f.updated, nil)
	})
}

// TestUpdatePayment has the payments that meet another one, or that come late.
func TestUpdatePayment(t *testing.T) {
	paid := orderIn(t, order.Paid) // with the transaction t-1
	const other = `{"paymentDetails":{"transactionId":"t-2"}}`
	for _, tt := range []struct {
		name   string
		order  order.Order
		change func(*events.APIGatewayProxyRequest)
		status int
		code   string
	}{
		{"another transaction", paid, withBody(other), 409, "payment_exists"},
		{"another transaction, for whatever version", paid, all(withBody(other), withIfMatch("*")), 409, "payment_exists"},
		{"another transaction, for the version seen", paid, all(withBody(other), withIfMatch(etag(paid))), 200, ""},
		{
			"another transaction, for the version seen or any", paid, all(withBody(other), withIfMatch("*, "+etag(paid))), 200,
			"",
		},
		{
			"another transaction, for an old version", paid, all(withBody(other), withIfMatch(etag(sampleOrder(t)))), 412,
			"precondition_failed",
		},
		{
			"the same transaction, and more", paid,
			withBody(`{"paymentDetails":{"transactionId":"t-1","payfastPaymentId":"5"}}`), 200, "",
		},
		{
			"a late payment, given back", orderIn(t, order.Cancelled),
			withBody(`{"status":"refunded","paymentDetails":{"transactionId":"t-9"}}`), 200, "",
		},
		{"a refund of nothing", orderIn(t, order.Cancelled), withBody(`{"status":"refunded"}`), 400, "invalid_request"},
		{
			"a payment of a cancelled order", orderIn(t, order.Cancelled),
			withBody(`{"status":"paid","paymentDetails":{"transactionId":"t-9"}}`), 400, "invalid_transition",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := updatesOf(tt.order)
			a := f.put(t, ctx, "", tt.change)
			is.Equal(a.Status, tt.status)
			is.Equal(a.Code, tt.code)
			is.Equal(f.updated != nil, tt.status == http.StatusOK)
		})
	}
}

// TestPaymentGroup has who may set what where PAYMENT_GROUP is set, and where
// it is not.
func TestPaymentGroup(t *testing.T) {
	const payment = `"paymentDetails":{"transactionId":"t-1"}`
	bodies := []struct {
		name, body string
		from       order.Order
		reserved   bool
	}{
		{"payment_pending", `{"status":"payment_pending"}`, sampleOrder(t), false},
		{"cancelled", `{"status":"cancelled","reason":"ordered twice"}`, sampleOrder(t), false},
		{"paid", `{"status":"paid"}`, sampleOrder(t), true},
		{"processing", `{"status":"processing"}`, orderIn(t, order.Paid), true},
		{"completed", `{"status":"completed"}`, orderIn(t, order.Paid, order.Processing), true},
		{"refunded", `{"status":"refunded"}`, orderIn(t, order.Paid), true},
		{"payment details", `{` + payment + `}`, orderIn(t, order.PaymentPending), true},
		{
			"payment details with a status that anybody may set", `{"status":"payment_pending",` + payment + `}`,
			sampleOrder(t), true,
		},
		{"a reserved status that the order has", `{"status":"paid"}`, orderIn(t, order.Paid), true},
	}
	callers := []struct {
		name, group, groups string
		may                 bool // what is reserved
	}{
		{"anybody, where there is no group", "", "staff", true},
		{"nobody's member, where there is no group", "", "", true},
		{"a member", "payments", "staff,payments", true},
		{"an administrator", "payments", "[admin]", true},
		{"another", "payments", "staff", false},
		{"a member of no group", "payments", "", false},
		{"a member of a group of a like name", "payments", "payments-read Payments", false},
	}
	for _, c := range callers {
		for _, b := range bodies {
			t.Run(b.name+" by "+c.name, func(t *testing.T) {
				is := is.New(t)
				ctx, _ := invocation(t)
				f := updatesOf(b.from)
				a := f.put(t, ctx, c.group, all(withBody(b.body), inGroups(c.groups)))
				if b.reserved && !c.may {
					is.Equal(a.Code, "forbidden")
					is.Equal(a.Status, http.StatusForbidden)
					is.Equal(len(f.calls), 0) // not even read: a right says nothing of an order
					return
				}
				is.Equal(a.Status, http.StatusOK)
			})
		}
	}
	t.Run("comes with the setting", func(t *testing.T) {
		is := is.New(t)
		env := complete("update_order")
		env["PAYMENT_GROUP"] = "payments"
		s, err := Configure(getter(env))
		is.NoErr(err)
		is.Equal(s.get(paymentGroup()), "payments")
	})
}

// TestUpdateByAdministrator holds that an administrator updates the orders of
// every tenant, and others their own.
func TestUpdateByAdministrator(t *testing.T) {
	foreign := sampleOrder(t)
	foreign.TenantID = "other"
	accepted := sampleAcceptance(t)
	for _, tt := range []struct {
		name   string
		fake   fakeKnown
		change func(*events.APIGatewayProxyRequest)
		status int
		calls  string
	}{
		{"another tenant's order", fakeKnown{any: &foreign}, asAdmin, 200, "order any update"},
		{"another tenant's order, by no administrator", fakeKnown{any: &foreign}, nil, 404, "order"},
		{"his own", fakeKnown{mine: &foreign, any: &foreign}, asAdmin, 200, "order update"},
		{"his own that is only accepted", fakeKnown{mine: &accepted}, asAdmin, 409, "order"},
		{"one that nobody has", fakeKnown{}, asAdmin, 404, "order any"},
		{
			"one that is deleted",
			fakeKnown{fail: map[string]error{"any": fmt.Errorf("read: %w", order.ErrDeleted)}},
			asAdmin,
			404, "order any",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeUpdates{fakeKnown: tt.fake}
			is.Equal(f.put(t, ctx, "", tt.change).Status, tt.status)
			is.Equal(strings.Join(f.calls, " "), tt.calls)
			if f.updated != nil {
				is.Equal(f.updated.TenantID, "other") // the order's, not the caller's
			}
		})
	}
}
