package roles

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeKnown is a table with at most one order, in the tenant and in the index over all tenants, and one receipt.
type fakeKnown struct {
	mine, any *order.Order
	receipt   *order.Receipt
	fail      map[string]error
	calls     []string
}

func (f *fakeKnown) find(name string, o *order.Order) (order.Order, error) {
	f.calls = append(f.calls, name)
	if err := f.fail[name]; err != nil {
		return order.Order{}, err
	}
	if o == nil {
		return order.Order{}, order.ErrNotFound
	}
	return *o, nil
}

func (f *fakeKnown) Order(context.Context, string, string) (order.Order, error) {
	return f.find("order", f.mine)
}

func (f *fakeKnown) OrderByID(context.Context, string) (order.Order, error) {
	return f.find("any", f.any)
}

func (f *fakeKnown) Receipt(context.Context, string, string) (order.Receipt, error) {
	f.calls = append(f.calls, "receipt")
	if f.receipt == nil {
		return order.Receipt{}, errors.Join(f.fail["receipt"], order.ErrNotFound)
	}
	return *f.receipt, f.fail["receipt"]
}

func (f *fakeKnown) Link(_ context.Context, location string) (string, error) {
	if err := f.fail["link"]; err != nil {
		return "", err
	}
	return "https://example.com/" + location, nil
}

func asAdmin(e *events.APIGatewayProxyRequest) {
	e.RequestContext.Authorizer["claims"].(map[string]any)["cognito:groups"] = "staff,admin"
}

func TestGetOrder(t *testing.T) {
	o := sampleOrder(t)
	o.PDFURL = "s3://bucket/key"
	foreign := o
	foreign.TenantID = "other"
	pending := sampleCreation(t).Receipt(order.Pending, "")
	failed := sampleCreation(t).Receipt(order.Failed, "cart not found")
	for _, tt := range []struct {
		name   string
		fake   fakeKnown
		change func(*events.APIGatewayProxyRequest)
		status int
		calls  string
		data   map[string]any // the fields to look at
	}{
		{"the whole order, in one read", fakeKnown{mine: &o}, nil, 200, "order", map[string]any{
			"id": orderID, "total": 287.5, "pdfUrl": "https://example.com/s3://bucket/key", "tenantId": "acme",
		}},
		{"the order without a link that cannot be made", fakeKnown{mine: &o, fail: map[string]error{"link": errFault}}, nil, 200, "order", map[string]any{"pdfUrl": nil}},
		{"a pending receipt before the record", fakeKnown{receipt: &pending}, nil, 200, "order receipt", map[string]any{
			"id": orderID, "orderNumber": "ORD-2025-00001", "tenantId": "acme", "customerEmail": "thandi@example.com",
			"status": "pending", "dateCreated": "2025-12-30T10:30:00.000000Z", "failureReason": nil,
		}},
		{"a failed receipt with its reason", fakeKnown{receipt: &failed}, nil, 200, "order receipt", map[string]any{"status": "failed", "failureReason": "cart not found"}},
		{"not found for what is unknown", fakeKnown{}, nil, 404, "order receipt", nil},
		{"not found for a malformed id, unasked", fakeKnown{mine: &o}, func(e *events.APIGatewayProxyRequest) { e.PathParameters["orderId"] = "../" + orderID }, 404, "", nil},
		{"not found for another tenant's order", fakeKnown{any: &foreign}, nil, 404, "order receipt", nil},
		{"any order to an administrator", fakeKnown{any: &foreign}, asAdmin, 200, "order any", map[string]any{"tenantId": "other"}},
		{"a receipt to an administrator", fakeKnown{receipt: &pending}, asAdmin, 200, "order any receipt", map[string]any{"status": "pending"}},
		{"an error when the table is down", fakeKnown{fail: map[string]error{"order": errFault}}, nil, 500, "order", nil},
		{"an error when the index is down", fakeKnown{fail: map[string]error{"any": errFault}}, asAdmin, 500, "order any", nil},
		{"an error when the receipt cannot be read", fakeKnown{receipt: &pending, fail: map[string]error{"receipt": errFault}}, nil, 500, "order receipt", nil},
	} {
		t.Run("answers "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := tt.fake
			a := call(t, ctx, (&getOrder{orders: &f, links: &f}).handle, apiEvent(t, "get_order", tt.change))
			is.Equal(a.Status, tt.status)
			is.Equal(strings.Join(f.calls, " "), tt.calls)
			for field, want := range tt.data {
				is.Equal(a.Data[field], want) // field
			}
			isOrder := a.Status == http.StatusOK && a.Data["items"] != nil
			is.Equal(a.Headers["ETag"] == `"2025-12-30T10:30:00.000000Z"`, isOrder)
		})
	}
}

// fakeUpdates is a table with at most one order.
type fakeUpdates struct {
	fakeKnown
	was     order.Timestamp
	updated *order.Order
}

func (f *fakeUpdates) Update(_ context.Context, o order.Order, was order.Timestamp) (order.Order, error) {
	f.calls = append(f.calls, "update")
	f.was, f.updated = was, &o
	return o, f.fail["update"]
}

func TestUpdateOrder(t *testing.T) {
	o := sampleOrder(t)
	pending := sampleCreation(t).Receipt(order.Pending, "")
	ifMatch := func(values ...string) func(*events.APIGatewayProxyRequest) {
		return func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["If-Match"] = values }
	}
	body := func(text string) func(*events.APIGatewayProxyRequest) {
		return func(e *events.APIGatewayProxyRequest) { e.Body = text }
	}
	const tag = `"2025-12-30T10:30:00.000000Z"`
	for _, tt := range []struct {
		name   string
		fake   fakeUpdates
		change func(*events.APIGatewayProxyRequest)
		status int
		code   string
		calls  string
	}{
		{"an update", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, nil, 200, "", "order update"},
		{"an update of the version that it names", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, ifMatch(tag), 200, "", "order update"},
		{"an update of one of several versions", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, ifMatch(`"x", ` + tag), 200, "", "order update"},
		{"an update of any version", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, ifMatch("*"), 200, "", "order update"},
		{"no update of another version", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, ifMatch(`"x"`), 412, "precondition_failed", "order"},
		{"no update of a weak version", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, ifMatch("W/" + tag), 412, "precondition_failed", "order"},
		{"the order unchanged where nothing changes", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, body(`{"status":"pending"}`), 200, "", "order"},
		{"no forbidden transition", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, body(`{"status":"completed"}`), 400, "invalid_transition", "order"},
		{"no payment of a pending order", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, body(`{"paymentDetails":{"method":"eft"}}`), 400, "invalid_request", "order"},
		{"no bad body", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, body(`{"total":1}`), 400, "invalid_request", ""},
		{"no body that is not base64", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, func(e *events.APIGatewayProxyRequest) { e.IsBase64Encoded = true }, 400, "invalid_request", ""},
		{"no unknown order", fakeUpdates{}, nil, 404, "not_found", "order receipt"},
		{"no malformed id", fakeUpdates{fakeKnown: fakeKnown{mine: &o}}, func(e *events.APIGatewayProxyRequest) { e.PathParameters["orderId"] = "x" }, 404, "not_found", ""},
		{"no order that is only accepted", fakeUpdates{fakeKnown: fakeKnown{receipt: &pending}}, nil, 409, "order_not_recorded", "order receipt"},
		{"no update that lost a race", fakeUpdates{fakeKnown: fakeKnown{mine: &o, fail: map[string]error{"update": order.ErrChanged}}}, nil, 409, "order_changed", "order update"},
		{"an error when the table is down", fakeUpdates{fakeKnown: fakeKnown{fail: map[string]error{"order": errFault}}}, nil, 500, "internal", "order"},
		{"an error when the table does not write", fakeUpdates{fakeKnown: fakeKnown{mine: &o, fail: map[string]error{"update": errFault}}}, nil, 500, "internal", "order update"},
	} {
		t.Run("answers "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := tt.fake
			h := &updateOrder{orders: &f, links: &f, now: atNoon}
			a := call(t, ctx, h.handle, apiEvent(t, "update_order", tt.change))
			is.Equal(a.Status, tt.status)
			is.Equal(a.Code, tt.code)
			is.Equal(strings.Join(f.calls, " "), tt.calls)
			if f.updated != nil {
				is.Equal(f.was, o.DateLastUpdated)
				is.Equal(f.updated.Status, order.Paid)
				is.Equal(f.updated.LastUpdatedBy, "thandi@example.com")
				// The clock has not moved since the order was created; its version has.
				is.Equal(f.updated.DateLastUpdated.String(), "2025-12-30T10:30:00.000001Z")
				is.True(a.Status != 200 || a.Headers["ETag"] == `"2025-12-30T10:30:00.000001Z"`)
			}
		})
	}
}

// fakeLists answers a page and keeps what it was asked.
type fakeLists struct {
	page store.Page
	err  error
	q    store.ListQuery
}

func (f *fakeLists) List(_ context.Context, q store.ListQuery) (store.Page, error) {
	f.q = q
	return f.page, f.err
}

func TestListOrders(t *testing.T) {
	query := func(pairs ...string) func(*events.APIGatewayProxyRequest) {
		return func(e *events.APIGatewayProxyRequest) {
			e.MultiValueQueryStringParameters, e.QueryStringParameters = map[string][]string{}, nil
			for i := 0; i < len(pairs); i += 2 {
				e.MultiValueQueryStringParameters[pairs[i]] = append(e.MultiValueQueryStringParameters[pairs[i]], pairs[i+1])
			}
		}
	}
	at := func(s string) order.Timestamp {
		ts, err := order.ParseTimestamp(s)
		if err != nil {
			t.Fatal(err)
		}
		return ts
	}
	t.Run("reads the query", func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			change func(*events.APIGatewayProxyRequest)
			want   store.ListQuery
		}{
			{"nothing", query(), store.ListQuery{Size: 50}},
			{"a size", query("pageSize", "100"), store.ListQuery{Size: 100}},
			{"a status and a token", query("status", "paid", "startAt", "abc"), store.ListQuery{Size: 50, Status: order.Paid, StartAt: "abc"}},
			{"a sort", query("sort", "dateCreated"), store.ListQuery{Size: 50, Sort: store.OldestFirst}},
			{"times", query("from", "2025-12-30T12:30:00+02:00", "to", "2025-12-30T10:30:00.5Z"), store.ListQuery{
				Size: 50, Sort: store.NewestFirst, From: at("2025-12-30T10:30:00Z"), To: at("2025-12-30T10:30:00.5Z"),
			}},
			{"dates, whole days", query("from", "2025-12-30", "to", "2025-12-30"), store.ListQuery{
				Size: 50, Sort: store.NewestFirst, From: at("2025-12-30T00:00:00Z"), To: at("2025-12-30T23:59:59.999999Z"),
			}},
			{"dates with a sort of their own", query("from", "2025-12-30", "sort", "dateCreated"), store.ListQuery{
				Size: 50, Sort: store.OldestFirst, From: at("2025-12-30T00:00:00Z"),
			}},
			{"single values", func(e *events.APIGatewayProxyRequest) {
				e.MultiValueQueryStringParameters = nil
				e.QueryStringParameters = map[string]string{"pageSize": "7"}
			}, store.ListQuery{Size: 7}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				is := is.New(t)
				ctx, _ := invocation(t)
				f := &fakeLists{}
				a := call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", tt.change))
				is.Equal(a.Status, http.StatusOK)
				tt.want.TenantID = acme
				is.Equal(f.q, tt.want)
			})
		}
	})
	t.Run("refuses a bad query, all of it at once", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeLists{}
		a := call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", query(
			"pageSize", "0", "startAt", "", "status", "failed", "sort", "total", "from", "yesterday", "to", "tomorrow", "limit", "1", "x", "1", "x", "2",
		)))
		is.Equal(a.Status, http.StatusBadRequest)
		is.Equal(a.badFields(), "from limit pageSize sort startAt status to x")
		for _, size := range []string{"101", "-1", "1.5", "x", ""} {
			a := call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", query("pageSize", size)))
			is.Equal(a.badFields(), "pageSize")
		}
		a = call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", query("from", "2025-12-31", "to", "2025-12-30")))
		is.Equal(a.badFields(), "from")
	})
	t.Run("shows the page", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		o := sampleOrder(t)
		f := &fakeLists{page: store.Page{
			Orders: []order.Summary{{ID: o.ID, Number: o.Number, Status: o.Status, Total: o.Total, Currency: o.Currency, DateCreated: o.DateCreated}},
			Next:   "token",
		}}
		a := call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", nil))
		is.Equal(a.Data, map[string]any{
			"orders": []any{map[string]any{
				"id": orderID, "orderNumber": "ORD-2025-00001", "status": "pending", "total": 287.5, "currency": "ZAR", "dateCreated": "2025-12-30T10:30:00.000000Z",
			}},
			"pagination": map[string]any{"pageSize": 10.0, "totalReturned": 1.0, "nextToken": "token"},
		})
		f.page = store.Page{Orders: []order.Summary{}}
		a = call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", nil))
		is.Equal(a.Data, map[string]any{
			"orders":     []any{},
			"pagination": map[string]any{"pageSize": 10.0, "totalReturned": 0.0, "nextToken": nil},
		})
	})
	other := func(tenant string, more func(*events.APIGatewayProxyRequest)) func(*events.APIGatewayProxyRequest) {
		return func(e *events.APIGatewayProxyRequest) {
			e.PathParameters["tenantId"] = tenant
			if more != nil {
				more(e)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		err    error
		status int
		code   string
	}{
		{"no other tenant's orders", other("other", nil), nil, 403, "forbidden"},
		{"any tenant's orders to an administrator", other("other", asAdmin), nil, 200, ""},
		{"no malformed tenant's, not even to an administrator", other("a#b", asAdmin), nil, 403, "forbidden"},
		{"a bad token", nil, order.ErrPageToken, 400, "invalid_page_token"},
		{"an error when the table is down", nil, errFault, 500, "internal"},
	} {
		t.Run("answers "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeLists{err: tt.err}
			a := call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", tt.change))
			is.Equal(a.Status, tt.status)
			is.Equal(a.Code, tt.code)
		})
	}
}
