// Load drives the local stack with a mix of requests from many tenants, at rates that rise until something gives way, and
// then shows what a larger table changes. It is bounded in time and count, and speaks to this machine only.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/stack"
)

const (
	mailer      = "customer_order_confirmation"
	settleTime  = 2 * time.Minute // for what is queued when the requests end
	mostWaiting = 200             // requests under way at a time
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// A load is one run.
type load struct {
	out     io.Writer
	stack   *stack.Stack
	url     string                     // of the API
	log     func(role string) []string // a role's lines
	tenants []caller

	mu     sync.Mutex
	orders []placed
	took   map[string][]time.Duration // by route
	last   time.Duration              // what the last request took that was answered well
	failed map[string]int             // by what went wrong
}

// A caller is a tenant with its token.
type caller struct{ tenant, token string }

// placed is an order that was accepted.
type placed struct {
	caller
	id string
	at time.Time // of the request
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	rates := flags.String("rates", "20,40,80,160", "requests a second, one step each")
	each := flags.Duration("for", 10*time.Second, "how long a step takes")
	tenants := flags.Int("tenants", 20, "how many tenants")
	grow := flags.String("grow", "100,10000", "orders in one tenant, for the growth table")
	binary := flags.String("binary", "", "path of a built binary, instead of building it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	steps, err := numbers(*rates, 10_000)
	if err != nil {
		return fmt.Errorf("rates: %w", err)
	}
	sizes, err := numbers(*grow, 1_000_000)
	if err != nil {
		return fmt.Errorf("grow: %w", err)
	}
	if *tenants < 1 {
		return fmt.Errorf("tenants: %d is too few", *tenants)
	}
	l := &load{out: out}
	s, err := stack.Start(ctx, stack.Options{Binary: *binary, Quick: true, Progress: func(what string) { fmt.Fprintln(os.Stderr, what) }})
	if err != nil {
		return err
	}
	defer s.Close()
	l.stack, l.url, l.log = s, s.URL, s.Log
	for i := range *tenants {
		c, err := l.newCaller(fmt.Sprint("tenant-", i+1))
		if err != nil {
			return err
		}
		l.tenants = append(l.tenants, c)
	}
	l.reset()
	for range 20 { // so that no step pays for the processes' start
		l.request(ctx)
	}
	for _, rate := range steps {
		if err := l.step(ctx, rate, *each); err != nil {
			return err
		}
	}
	return l.growth(ctx, sizes)
}

// numbers reads whole numbers from 1 to most with commas between; none if there is no text.
func numbers(list string, most int) (all []int, err error) {
	if list == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%q is no whole number from 1 to %d", text, most)
		}
		all = append(all, n)
	}
	return all, nil
}

func (l *load) newCaller(tenant string) (caller, error) {
	token, err := l.stack.Token(gateway.Identity{Tenant: tenant, Email: "thandi@example.com"})
	return caller{tenant, token}, err
}

func (l *load) reset() {
	l.took, l.failed, l.orders = map[string][]time.Duration{}, map[string]int{}, nil
}

// step sends requests at a rate, waits until what they queued is done, and reports.
func (l *load) step(ctx context.Context, rate int, d time.Duration) error {
	l.reset()
	before := processorTimes()
	begin := time.Now()
	skipped := pace(ctx, rate, d, mostWaiting, func() { l.request(ctx) }, func(underWay int) {
		fmt.Fprintf(os.Stderr, "\r%d/s: %2.0f of %.0f s, %d under way ", rate, time.Since(begin).Seconds(), d.Seconds(), underWay)
	})
	took := time.Since(begin)
	if err := ctx.Err(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\n%d mails to come\n", len(l.orders))
	mails, missing := l.mails(ctx)
	inside := l.inside(begin)
	after, all := processorTimes(), time.Since(begin)

	_, _ = fmt.Fprintf(l.out, "\n### %d requests a second for %s\n\n| route | requests | p50 | p95 | p99 | slowest |\n|---|---|---|---|---|---|\n", rate, d)
	done := 0
	for _, route := range slices.Sorted(maps.Keys(l.took)) {
		l.row(route, l.took[route])
		done += len(l.took[route])
	}
	for _, name := range slices.Sorted(maps.Keys(inside)) {
		l.row(name+" itself", inside[name])
	}
	l.row("POST → customer's mail", mails)
	_, _ = fmt.Fprintf(l.out, "\n%.1f requests a second answered, %.1f orders a second, %s, %d not sent for want of room, %d mails missing. "+
		"Of one processor: %s.\n", float64(done)/took.Seconds(), float64(len(l.orders))/took.Seconds(), errorCounts(l.failed), skipped, missing, shares(before, after, all))
	return nil
}

// pace calls send rate times a second for a time, whether or not what was sent before has ended, and returns when all has. If most
// are under way, it leaves one out instead, and counts it: then whatever answers is saturated. A call that is late is made up for, so that the
// number of calls depends on nothing else. It tells show about every second how many are under way.
func pace(ctx context.Context, rate int, d time.Duration, most int, send func(), show func(underWay int)) (skipped int) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, most)
	timer := time.NewTimer(0)
	defer timer.Stop()
	begin := time.Now()
	for i := range int(d.Seconds() * float64(rate)) {
		timer.Reset(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		select {
		case <-ctx.Done():
			return skipped
		case <-timer.C:
		}
		select {
		case slots <- struct{}{}:
			running.Go(func() {
				send()
				<-slots
			})
		default:
			skipped++
		}
		if i%rate == rate-1 {
			show(len(slots))
		}
	}
	return skipped
}

func (l *load) row(name string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(q float64) string { return milliseconds(quantile(took, q)) }
	_, _ = fmt.Fprintf(l.out, "| %s | %d | %s | %s | %s | %s |\n", name, len(took), at(0.5), at(0.95), at(0.99), at(1))
}

// quantile returns the smallest of the sorted values that a share q of them, 0 to 1, does not exceed (the nearest rank).
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// mix is what is asked for: one of these, at random.
var mix = []string{"create", "create", "create", "create", "get", "get", "get", "list", "list", "update"}

// request makes one request of the mix.
func (l *load) request(ctx context.Context) {
	c := l.tenants[rand.N(len(l.tenants))] //nolint:gosec // no secret
	kind := mix[rand.N(len(mix))]          //nolint:gosec // no secret
	l.mu.Lock()
	var p placed
	if len(l.orders) > 0 {
		p = l.orders[rand.N(len(l.orders))] //nolint:gosec // no secret
	} else {
		kind = "create" // there is nothing else to ask for
	}
	l.mu.Unlock()
	l.send(ctx, kind, c, p)
}

// send makes a request of a kind for a caller, or about an order that was placed. call notes what fails.
func (l *load) send(ctx context.Context, kind string, c caller, p placed) {
	switch kind {
	case "create":
		at := time.Now()
		if id, err := l.create(ctx, c); err == nil {
			l.mu.Lock()
			l.orders = append(l.orders, placed{c, id, at})
			l.mu.Unlock()
		}
	case "get":
		_ = l.call(ctx, p.caller, http.MethodGet, "/v1.0/orders/"+p.id, nil, nil, http.StatusOK)
	case "list":
		_ = l.call(ctx, c, http.MethodGet, "/v1.0/tenants/"+c.tenant+"/orders?sort=-dateCreated", nil, nil, http.StatusOK)
	case "update": // not yet recorded, in the wrong state or changed meanwhile are answers, too
		_ = l.call(ctx, p.caller, http.MethodPut, "/v1.0/orders/"+p.id, map[string]string{"status": "payment_pending"}, nil,
			http.StatusOK, http.StatusConflict, http.StatusBadRequest)
	}
}

func (l *load) create(ctx context.Context, c caller) (id string, err error) {
	var accepted struct{ OrderID string }
	err = l.call(ctx, c, "POST", "/v1.0/orders", map[string]any{
		"customerEmail": "thandi@example.com", "customerName": "Thandi Nkosi", "cartId": "cart-shipping-1",
		"billingAddress": map[string]string{"street": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA"},
	}, &accepted, http.StatusAccepted)
	return accepted.OrderID, err
}

// call makes a request, measures it, and decodes the data of the answer. It counts an error, also an answer that is not one of those
// wanted, and returns it.
func (l *load) call(ctx context.Context, c caller, method, path string, body, data any, want ...int) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		content, err = io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
	}
	took := time.Since(begin)
	if err == nil && !slices.Contains(want, resp.StatusCode) {
		err = fmt.Errorf("%s %d", method, resp.StatusCode)
	}
	if err == nil && data != nil {
		err = json.Unmarshal(content, &struct{ Data any }{data})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		what := err
		var failed *url.Error
		if errors.As(err, &failed) {
			what = failed.Err // whatever the address: that is different each time
		}
		l.failed[what.Error()]++
		return err
	}
	l.last = took
	route := method + " order"
	if strings.Contains(path, "/tenants/") {
		route = method + " list"
	}
	l.took[route] = append(l.took[route], took)
	return nil
}

// mails waits until every order's mail to the customer is out, and returns the times from the requests.
func (l *load) mails(ctx context.Context) (took []time.Duration, missing int) {
	waiting := map[string]time.Time{}
	for _, p := range l.orders {
		waiting[p.id] = p.at
	}
	for end := time.Now().Add(settleTime); len(waiting) > 0 && time.Now().Before(end) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		for _, line := range l.log(mailer) {
			var e struct {
				Message, OrderID string
				Time             time.Time
			}
			if json.Unmarshal([]byte(line), &e) != nil || e.Message != "mail sent" {
				continue
			}
			if at, ok := waiting[e.OrderID]; ok {
				took = append(took, e.Time.Sub(at))
				delete(waiting, e.OrderID)
			}
		}
	}
	return took, len(waiting)
}

// inside returns the time that the API roles say they took since a moment. The rest of a request's time is waiting for a free
// process, and the way.
func (l *load) inside(since time.Time) map[string][]time.Duration {
	took := map[string][]time.Duration{}
	for _, role := range []string{"create_order", "get_order", "list_orders", "update_order"} {
		for _, line := range l.log(role) {
			var e struct {
				Message    string
				Time       time.Time
				DurationMs float64
			}
			if json.Unmarshal([]byte(line), &e) == nil && e.Message == "request answered" && e.Time.After(since) {
				took[role] = append(took[role], time.Duration(e.DurationMs*float64(time.Millisecond)))
			}
		}
	}
	return took
}

// errorCounts says how many errors there were, and of each kind how many.
func errorCounts(failed map[string]int) string {
	n := 0
	var kinds []string
	for _, what := range slices.Sorted(maps.Keys(failed)) {
		n += failed[what]
		kinds = append(kinds, fmt.Sprintf("%d × %s", failed[what], what))
	}
	if n == 0 {
		return "0 errors"
	}
	return fmt.Sprintf("%d errors (%s)", n, strings.Join(kinds, ", "))
}

// shares says which part of the stack had how much of the processors.
func shares(before, after map[string]time.Duration, d time.Duration) string {
	parts := slices.SortedFunc(maps.Keys(after), func(x, y string) int { return cmp.Compare(after[y]-before[y], after[x]-before[x]) })
	for i, part := range parts {
		parts[i] = fmt.Sprintf("%s %.0f %%", part, 100*(after[part]-before[part]).Seconds()/d.Seconds())
	}
	return strings.Join(parts, ", ")
}
