package roles

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeLists answers a page and keeps what it was asked.
type fakeLists struct {
	page   store.Page
	order  order.Order
	err    error
	q      store.ListQuery
	number string
	calls  []string
}

func (f *fakeLists) List(_ context.Context, q store.ListQuery) (store.Page, error) {
	f.q, f.calls = q, append(f.calls, "list")
	return f.page, f.err
}

func (f *fakeLists) OrderByNumber(_ context.Context, tenantID, number string) (order.Order, error) {
	f.number, f.calls = tenantID+" "+number, append(f.calls, "number")
	return f.order, f.err
}

// list sends the event of testdata, changed, to list_orders.
func (f *fakeLists) list(t *testing.T, change func(*events.APIGatewayProxyRequest)) answer {
	t.Helper()
	ctx, _ := invocation(t)
	return call(t, ctx, (&listOrders{orders: f}).handle, apiEvent(t, "list_orders", change))
}

// withQuery gives an event query parameters: names and values in turn.
func withQuery(pairs ...string) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) {
		e.MultiValueQueryStringParameters, e.QueryStringParameters = map[string][]string{}, nil
		for i := 0; i < len(pairs); i += 2 {
			e.MultiValueQueryStringParameters[pairs[i]] = append(e.MultiValueQueryStringParameters[pairs[i]], pairs[i+1])
		}
	}
}

// ofTenant gives an event the path of a tenant's list.
func ofTenant(tenant string) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) { e.PathParameters["tenantId"] = tenant }
}

func TestListOrdersQuery(t *testing.T) {
	at := func(s string) order.Timestamp {
		ts, err := order.ParseTimestamp(s)
		if err != nil {
			t.Fatal(err)
		}
		return ts
	}
	for _, tt := range []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		want   store.ListQuery
	}{
		{"nothing", withQuery(), store.ListQuery{Size: 50}},
		{"a size", withQuery("pageSize", "100"), store.ListQuery{Size: 100}},
		{"the least size", withQuery("pageSize", "1"), store.ListQuery{Size: 1}},
		{
			"a status and a token", withQuery("status", "paid", "startAt", "abc"),
			store.ListQuery{Size: 50, Status: order.Paid, StartAt: "abc"},
		},
		{"a sort", withQuery("sort", "dateCreated"), store.ListQuery{Size: 50, Sort: store.OldestFirst}},
		{"times", withQuery("from", "2025-12-30T12:30:00+02:00", "to", "2025-12-30T10:30:00.5Z"), store.ListQuery{
			Size: 50, Sort: store.NewestFirst, From: at("2025-12-30T10:30:00Z"), To: at("2025-12-30T10:30:00.5Z"),
		}},
		{"dates, whole days", withQuery("from", "2025-12-30", "to", "2025-12-30"), store.ListQuery{
			Size: 50, Sort: store.NewestFirst, From: at("2025-12-30T00:00:00Z"), To: at("2025-12-30T23:59:59.999999Z"),
		}},
		{"an end", withQuery("to", "2025-12-30T10:30:00Z"), store.ListQuery{
			Size: 50, Sort: store.NewestFirst, To: at("2025-12-30T10:30:00Z"),
		}},
		{"dates with a sort of their own", withQuery("from", "2025-12-30", "sort", "dateCreated"), store.ListQuery{
			Size: 50, Sort: store.OldestFirst, From: at("2025-12-30T00:00:00Z"),
		}},
		{"single values", func(e *events.APIGatewayProxyRequest) {
			e.MultiValueQueryStringParameters = nil
			e.QueryStringParameters = map[string]string{"pageSize": "7"}
		}, store.ListQuery{Size: 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			f := &fakeLists{}
			is.Equal(f.list(t, tt.change).Status, http.StatusOK)
			tt.want.TenantID = acme
			is.Equal(f.q, tt.want)
			is.Equal(f.calls, []string{"list"})
		})
	}
}

func TestListOrdersRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		query []string
		want  string // the fields that the answer names
	}{
		{"everything at once", []string{
			"pageSize", "0", "startAt", "", "status", "failed", "sort", "total", "from", "yesterday", "to", "tomorrow",
			"limit", "1", "x", "1", "x", "2",
		}, "from limit pageSize sort startAt status to x"},
		{"two that come twice", []string{"from", "x", "from", "y", "to", "x", "to", "y"}, "from to"},
		{"a page too large", []string{"pageSize", "101"}, "pageSize"},
		{"a page below nothing", []string{"pageSize", "-1"}, "pageSize"},
		{"half a page", []string{"pageSize", "1.5"}, "pageSize"},
		{"a page of words", []string{"pageSize", "x"}, "pageSize"},
		{"no size", []string{"pageSize", ""}, "pageSize"},
		{"an end before the start", []string{"from", "2025-12-31", "to", "2025-12-30"}, "from"},
		{"a number that is none", []string{"orderNumber", "5"}, "orderNumber"},
		{"an empty number", []string{"orderNumber", ""}, "orderNumber"},
		{"a number that goes on", []string{"orderNumber", "ORD-2025-00001#x"}, "orderNumber"},
		{"a number twice", []string{"orderNumber", "ORD-2025-00001", "orderNumber", "ORD-2025-00002"}, "orderNumber"},
		{"a number with another parameter", []string{"orderNumber", "ORD-2025-00001", "pageSize", "10"}, "orderNumber"},
		{"a number with one that is unknown", []string{"orderNumber", "ORD-2025-00001", "x", "10"}, "orderNumber x"},
		{"a bad number with others", []string{"orderNumber", "x", "sort", "x"}, "orderNumber orderNumber sort"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			f := &fakeLists{}
			a := f.list(t, withQuery(tt.query...))
			is.Equal(a.Status, http.StatusBadRequest)
			is.Equal(a.badFields(), tt.want)
			is.Equal(len(f.calls), 0)
		})
	}
}

func TestListOrdersPage(t *testing.T) {
	is := is.New(t)
	o := sampleOrder(t)
	f := &fakeLists{page: store.Page{Orders: []order.Summary{o.Summary()}, Next: "token"}}
	is.Equal(f.list(t, nil).Data, map[string]any{
		"orders": []any{map[string]any{
			"id": orderID, "orderNumber": "ORD-2025-00001", "status": "pending", "total": 287.5, "currency": "ZAR",
			"dateCreated": "2025-12-30T10:30:00.000000Z",
		}},
		"pagination": map[string]any{"pageSize": 10.0, "totalReturned": 1.0, "nextToken": "token"},
	})
	f.page = store.Page{Orders: []order.Summary{}}
	is.Equal(f.list(t, nil).Data, map[string]any{
		"orders":     []any{},
		"pagination": map[string]any{"pageSize": 10.0, "totalReturned": 0.0, "nextToken": nil},
	})
}

func TestListOrdersByNumber(t *testing.T) {
	for _, tt := range []struct {
		name   string
		order  order.Order
		err    error
		status int
		total  float64
	}{
		{"a recorded order", orderIn(t, order.Paid), nil, 200, 1},
		{"a number that nobody has", order.Order{}, order.ErrNotFound, 200, 0},
		{"an order that is not recorded", sampleAcceptance(t), nil, 200, 0},
		{"an order that is deleted", order.Order{}, order.ErrDeleted, 200, 0},
		{"an error when the table is down", order.Order{}, errFault, 500, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			f := &fakeLists{order: tt.order, err: tt.err}
			a := f.list(t, withQuery("orderNumber", "ORD-2025-00001"))
			is.Equal(a.Status, tt.status)
			is.Equal(f.calls, []string{"number"}) // no list is read
			is.Equal(f.number, "acme ORD-2025-00001")
			if tt.status != http.StatusOK {
				return
			}
			is.Equal(a.Data["pagination"], map[string]any{"pageSize": 50.0, "totalReturned": tt.total, "nextToken": nil})
			orders := a.Data["orders"].([]any) // also of none
			is.Equal(len(orders), int(tt.total))
			if tt.total > 0 {
				is.Equal(orders[0], map[string]any{
					"id": orderID, "orderNumber": "ORD-2025-00001", "status": "paid", "total": 287.5, "currency": "ZAR",
					"dateCreated": "2025-12-30T10:30:00.000000Z",
				})
			}
		})
	}
	t.Run("of the path's tenant, for an administrator", func(t *testing.T) {
		is := is.New(t)
		f := &fakeLists{order: sampleOrder(t)}
		is.Equal(
			f.list(t, all(withQuery("orderNumber", "ORD-2025-123456"), ofTenant("other"), asAdmin)).Status, http.StatusOK,
		)
		is.Equal(f.number, "other ORD-2025-123456")
	})
}

func TestListOrdersAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		err    error
		status int
		code   string
	}{
		{"no other tenant's orders", ofTenant("other"), nil, 403, "forbidden"},
		{
			"no other tenant's order by its number", all(ofTenant("other"), withQuery("orderNumber", "ORD-2025-00001")), nil,
			403, "forbidden",
		},
		{"any tenant's orders to an administrator", all(ofTenant("other"), asAdmin), nil, 200, ""},
		{"no malformed tenant's, not even to an administrator", all(ofTenant("a#b"), asAdmin), nil, 403, "forbidden"},
		{"a bad token", nil, order.ErrPageToken, 400, "invalid_page_token"},
		{"an error when the table is down", nil, errFault, 500, "internal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			f := &fakeLists{err: tt.err}
			a := f.list(t, tt.change)
			is.Equal(a.Status, tt.status)
			is.Equal(a.Code, tt.code)
			is.Equal(len(f.calls) > 0, tt.status != http.StatusForbidden)
		})
	}
}
