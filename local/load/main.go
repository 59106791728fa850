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
	"math/rand/v2"
	"net/http"
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
	tenants []caller

	mu     sync.Mutex
	orders []placed
	took   map[string][]time.Duration // by route
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
	l := &load{out: out}
	s, err := stack.Start(ctx, stack.Options{Binary: *binary, Quick: true, Progress: func(what string) { fmt.Fprintln(os.Stderr, what) }})
	if err != nil {
		return err
	}
	defer s.Close()
	l.stack = s
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
	for rate := range strings.SplitSeq(*rates, ",") {
		r, err := strconv.Atoi(rate)
		if err != nil || r < 1 || r > 10_000 {
			return fmt.Errorf("rate %q must be a whole number up to 10 000", rate)
		}
		if err := l.step(ctx, r, *each); err != nil {
			return err
		}
	}
	return l.growth(ctx, *grow)
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
	var running sync.WaitGroup
	slots := make(chan struct{}, mostWaiting)
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	begin, skipped := time.Now(), 0
	for shown := begin; time.Since(begin) < d; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		select {
		case slots <- struct{}{}:
			running.Go(func() {
				l.request(ctx)
				<-slots
			})
		default:
			skipped++ // the stack is saturated
		}
		if time.Since(shown) > time.Second {
			shown = time.Now()
			fmt.Fprintf(os.Stderr, "\r%d/s: %2.0f of %.0f s, %d under way ", rate, time.Since(begin).Seconds(), d.Seconds(), len(slots))
		}
	}
	running.Wait()
	took := time.Since(begin)
	fmt.Fprintln(os.Stderr)
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
	_, _ = fmt.Fprintf(l.out, "\n%.1f requests a second answered, %.1f orders a second, %d errors %v, %d not sent for want of room, %d mails missing. "+
		"Of one processor: %s.\n", float64(done)/took.Seconds(), float64(len(l.orders))/took.Seconds(), sum(l.failed), l.failed, skipped, missing, shares(before, after, all))
	return nil
}

func (l *load) row(name string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(q float64) string {
		return fmt.Sprintf("%.1f ms", float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds())/1000)
	}
	_, _ = fmt.Fprintf(l.out, "| %s | %d | %s | %s | %s | %s |\n", name, len(took), at(0.5), at(0.95), at(0.99), at(1))
}

// request makes one request of the mix: four creates, three gets, two lists, one update.
func (l *load) request(ctx context.Context) {
	c := l.tenants[rand.N(len(l.tenants))] //nolint:gosec // no secret
	kind := rand.N(10)                     //nolint:gosec // no secret
	l.mu.Lock()
	known := len(l.orders) > 0
	var p placed
	if known {
		p = l.orders[rand.N(len(l.orders))] //nolint:gosec // no secret
	}
	l.mu.Unlock()
	switch {
	case !known || kind < 4:
		at := time.Now()
		if id, err := l.create(ctx, c); err == nil {
			l.mu.Lock()
			l.orders = append(l.orders, placed{c, id, at})
			l.mu.Unlock()
		}
	case kind < 7:
		_ = l.call(ctx, p.caller, "GET", "/v1.0/orders/"+p.id, nil, nil, http.StatusOK)
	case kind < 9:
		_ = l.call(ctx, c, "GET", "/v1.0/tenants/"+c.tenant+"/orders?sort=-dateCreated", nil, nil, http.StatusOK)
	default: // call notes what fails; not yet recorded, in the wrong state or changed meanwhile are answers, too
		_ = l.call(ctx, p.caller, "PUT", "/v1.0/orders/"+p.id, map[string]string{"status": "payment_pending"}, nil,
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

// call makes a request, measures it, and decodes the data of the answer.
func (l *load) call(ctx context.Context, c caller, method, path string, body, data any, want ...int) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, l.stack.URL+path, bytes.NewReader(content))
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
		l.failed[err.Error()]++
		return err
	}
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
		fmt.Fprintf(os.Stderr, "\r%d mails to come   ", len(waiting))
		for _, line := range l.stack.Log(mailer) {
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
	fmt.Fprintln(os.Stderr)
	return took, len(waiting)
}

// inside returns the time that the API roles say they took since a moment. The rest of a request's time is waiting for a free
// process, and the way.
func (l *load) inside(since time.Time) map[string][]time.Duration {
	took := map[string][]time.Duration{}
	for _, role := range []string{"create_order", "get_order", "list_orders", "update_order"} {
		for _, line := range l.stack.Log(role) {
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

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// shares says which part of the stack had how much of the processors.
func shares(before, after map[string]time.Duration, d time.Duration) string {
	parts := slices.SortedFunc(maps.Keys(after), func(x, y string) int { return cmp.Compare(after[y]-before[y], after[x]-before[x]) })
	for i, part := range parts {
		parts[i] = fmt.Sprintf("%s %.0f %%", part, 100*(after[part]-before[part]).Seconds()/d.Seconds())
	}
	return strings.Join(parts, ", ")
}
