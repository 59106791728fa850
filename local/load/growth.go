package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

const (
	samples  = 60 // of each kind of request, for each size
	warmup   = 5  // before them
	pageSize = 50

	pause = 200 * time.Millisecond // after the last mail: the invoice may come later
)

// A request is measured through the API and, by the store alone, in its calls of the table.
type request struct {
	name   string
	api    func(k int) error // the k-th
	table  func(k int) error
	queues bool // the service has more to do when it has answered
}

// medians are the times of a request with so many orders in the tenant.
type medians struct {
	request    string
	orders     int
	api, table time.Duration
}

// growth fills one tenant after the other and shows what a create, a get, and the first and the middle page of a list take: through
// the API, and in the calls that the same code makes of the table. What a larger table costs the table is not ours; what it costs
// beyond that is.
func (l *load) growth(ctx context.Context, sizes []int) error {
	var all []medians
	for _, n := range sizes {
		measured, err := l.grow(ctx, n)
		if err != nil {
			return err
		}
		all = append(all, measured...)
	}
	if len(all) == 0 {
		return nil
	}
	_, err := fmt.Fprint(l.out, growthTable(all))
	return err
}

// grow measures with n orders in a tenant.
func (l *load) grow(ctx context.Context, n int) ([]medians, error) {
	c, err := l.newCaller(fmt.Sprint("growth-", n))
	if err != nil {
		return nil, err
	}
	f, begin := newFiller(), time.Now()
	ids, err := f.fill(ctx, l.stack.DynamoDB, c.tenant, n)
	if err != nil {
		return nil, err
	}
	took := time.Since(begin)
	fmt.Fprintf(os.Stderr, "\rfilled %s in %.1f s, %.0f orders a second\n", c.tenant, took.Seconds(), float64(n)/took.Seconds())

	watch := &stopwatch{Client: l.stack.DynamoDB}
	requests, err := l.requests(ctx, c, f, n, ids, store.New(watch, stack.Table, time.Now))
	if err != nil {
		return nil, err
	}
	var all []medians
	for _, r := range requests {
		fmt.Fprintf(os.Stderr, "%d orders: %s\n", n, r.name)
		var api, table []time.Duration
		for k := range warmup + samples {
			l.reset()
			if r.queues {
				time.Sleep(pause)
			}
			if err := r.api(k); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			through := l.last
			if r.queues {
				if _, missing := l.mails(ctx); missing > 0 {
					return nil, fmt.Errorf("%s: no mail within %s", r.name, settleTime)
				}
				time.Sleep(pause)
			}
			watch.took = 0
			if err := r.table(k + samples/2); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			if k >= warmup {
				api, table = append(api, through), append(table, watch.took)
			}
		}
		slices.Sort(api)
		slices.Sort(table)
		all = append(all, medians{r.name, n, quantile(api, 0.5), quantile(table, 0.5)})
	}
	return all, nil
}

// requests returns what is measured with the n orders of a caller's tenant, of which ids are some.
func (l *load) requests(ctx context.Context, c caller, f filler, n int, ids []string, s *store.Store) ([]request, error) {
	requests := []request{
		{
			name: "get",
			api: func(k int) error {
				return l.call(ctx, c, http.MethodGet, "/v1.0/orders/"+ids[k%len(ids)], nil, nil, http.StatusOK)
			},
			table: func(k int) error {
				_, err := s.Order(ctx, c.tenant, ids[k%len(ids)])
				return err
			},
		},
	}
	for _, by := range []struct {
		name string
		sort store.Sort
	}{{"by id", store.ByID}, {"newest first", store.NewestFirst}} {
		middle, err := after(ctx, f.middle(c.tenant, n), by.sort)
		if err != nil {
			return nil, err
		}
		for _, page := range []struct{ name, token string }{{"first page", ""}, {"middle page", middle}} {
			query := url.Values{"pageSize": {strconv.Itoa(pageSize)}}
			if by.sort != "" {
				query.Set("sort", string(by.sort))
			}
			if page.token != "" {
				query.Set("startAt", page.token)
			}
			path := "/v1.0/tenants/" + c.tenant + "/orders?" + query.Encode()
			requests = append(requests, request{
				name: page.name + " " + by.name,
				api:  func(int) error { return l.call(ctx, c, http.MethodGet, path, nil, nil, http.StatusOK) },
				table: func(int) error {
					_, err := s.List(ctx, store.ListQuery{TenantID: c.tenant, Size: pageSize, Sort: by.sort, StartAt: page.token})
					return err
				},
			})
		}
	}
	return append(requests, request{ // last, since it makes the tenant larger
		name: "create", queues: true,
		api: func(int) error {
			id, err := l.create(ctx, c)
			l.orders = []placed{{c, id, time.Now()}}
			return err
		},
		table: func(int) error {
			_, _, err := s.Accept(ctx, order.Creation{
				OrderID: order.NewID(), TenantID: c.tenant, CustomerEmail: "thandi@example.com", DateCreated: order.NewTimestamp(time.Now()),
			}, nil)
			return err
		},
	}), nil
}

// growthTable shows requests by kind, and each with growing numbers of orders.
func growthTable(all []medians) string {
	var b strings.Builder
	b.WriteString("\n### Growth: medians with so many orders in one tenant\n\n| request | orders | API | its calls of the table alone | × | difference |\n|---|---|---|---|---|---|\n")
	var names []string
	for _, m := range all {
		if !slices.Contains(names, m.request) {
			names = append(names, m.request)
		}
	}
	for _, name := range names {
		for _, m := range all {
			if m.request == name {
				fmt.Fprintf(&b, "| %s | %d | %s | %s | %.2f | %s |\n", name, m.orders, milliseconds(m.api), milliseconds(m.table),
					float64(m.api)/float64(m.table), milliseconds(m.api-m.table))
			}
		}
	}
	return b.String()
}
