package roles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

const (
	defaultPageSize = 50
	maxPageSize     = 100
)

func listOrdersRole() Role {
	return Role{Name: "list_orders", Settings: apiSettings(), build: buildListOrders}
}

func buildListOrders(s Settings, d Deps) (handler, preparation) {
	h := &listOrders{orders: newStore(s, d)}
	return api(s.get(allowedOrigin()), h.handle), nil
}

// orderLists is what list_orders needs of the table.
type orderLists interface {
	List(ctx context.Context, q store.ListQuery) (store.Page, error)
	OrderByNumber(ctx context.Context, tenantID, number string) (order.Order, error)
}

// listOrders answers GET /v1.0/tenants/{tenantId}/orders.
type listOrders struct {
	orders orderLists
}

type orderList struct {
	Orders     []order.Summary `json:"orders"`
	Pagination pagination      `json:"pagination"`
}

type pagination struct {
	PageSize      int     `json:"pageSize"`
	TotalReturned int     `json:"totalReturned"`
	NextToken     *string `json:"nextToken"` // null on the last page
}

func (h *listOrders) handle(ctx context.Context, r request) (response, error) {
	tenant := r.event.PathParameters["tenantId"]
	allowed := tenant == r.tenantID || r.admin() && order.IsTenantID(tenant)
	if !allowed {
		return response{}, fmt.Errorf("%w: orders of another tenant", errForbidden)
	}
	q, number, err := readListQuery(r)
	if err != nil {
		return response{}, err
	}
	q.TenantID = tenant
	page, err := h.page(ctx, q, number)
	if err != nil {
		return response{}, err
	}
	list := orderList{Orders: page.Orders, Pagination: pagination{PageSize: q.Size, TotalReturned: len(page.Orders)}}
	if page.Next != "" {
		list.Pagination.NextToken = &page.Next
	}
	return response{status: http.StatusOK, data: list}, nil
}

// page returns a page of the list. If a number is requested, the page has the
// recorded order with that number, if any.
func (h *listOrders) page(ctx context.Context, q store.ListQuery, number string) (store.Page, error) {
	if number == "" {
		return h.orders.List(ctx, q)
	}
	page := store.Page{Orders: []order.Summary{}}
	o, err := h.orders.OrderByNumber(ctx, q.TenantID, number)
	switch {
	case errors.Is(err, order.ErrNotFound), errors.Is(err, order.ErrDeleted):
		return page, nil
	case err == nil && o.Recorded():
		page.Orders = append(page.Orders, o.Summary())
	}
	return page, err
}

// readListQuery reads the query parameters and reports everything that is wrong
// with them at once. A number comes alone.
func readListQuery(r request) (q store.ListQuery, number string, err error) {
	q = store.ListQuery{Size: defaultPageSize}
	var bad order.InvalidError
	complain := func(name, message string) { bad = append(bad, order.FieldError{Field: name, Message: message}) }
	params := parameters(r)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if len(params[name]) != 1 {
			complain(name, "must come once")
			continue
		}
		v := params[name][0]
		switch name {
		case "pageSize":
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > maxPageSize {
				complain(name, fmt.Sprintf("must be a whole number from 1 to %d", maxPageSize))
			}
			q.Size = n
		case "startAt":
			if q.StartAt = v; v == "" {
				complain(name, "must not be empty")
			}
		case "status":
			if q.Status = order.Status(v); !q.Status.Known() {
				complain(name, "must be one of "+order.JoinStatuses(order.Statuses()))
			}
		case "sort":
			if q.Sort = store.Sort(v); q.Sort != store.OldestFirst && q.Sort != store.NewestFirst {
				complain(name, "must be dateCreated or -dateCreated")
			}
		case "from":
			if t, ok := moment(v, 0); ok {
				q.From = t
			} else {
				complain(name, notMoment)
			}
		case "to":
			// A date alone means the whole day, up to its last microsecond.
			if t, ok := moment(v, 24*time.Hour-time.Microsecond); ok {
				q.To = t
			} else {
				complain(name, notMoment)
			}
		case "orderNumber":
			if number = v; !order.IsNumber(v) {
				complain(name, "must look like ORD-2025-00001")
			}
			if len(params) > 1 {
				complain(name, "must come without other parameters")
			}
		default:
			complain(order.Printable(name), "is not a known parameter")
		}
	}
	dated := !q.From.IsZero() || !q.To.IsZero()
	if dated && q.Sort == store.ByID {
		q.Sort = store.NewestFirst
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.From.Time().After(q.To.Time()) {
		complain("from", "must not be later than to")
	}
	if len(bad) > 0 {
		return store.ListQuery{}, "", bad
	}
	return q, number, nil
}

// parameters returns the query parameters, from whichever of its two forms the
// event has.
func parameters(r request) map[string][]string {
	if len(r.event.MultiValueQueryStringParameters) > 0 {
		return r.event.MultiValueQueryStringParameters
	}
	params := make(map[string][]string, len(r.event.QueryStringParameters))
	for name, v := range r.event.QueryStringParameters {
		params[name] = []string{v}
	}
	return params
}

const notMoment = "must be an RFC 3339 time or a date, for example 2025-12-30T10:30:00Z or 2025-12-30"

// moment reads an RFC 3339 time, or a date in UTC to which it adds endOfDay.
func moment(s string, endOfDay time.Duration) (order.Timestamp, bool) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return order.NewTimestamp(day.Add(endOfDay)), true
	}
	t, err := order.ParseTimestamp(s)
	return t, err == nil
}
