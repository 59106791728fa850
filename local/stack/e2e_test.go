package stack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/proof/contract"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
)

const (
	recorder   = "order_creator_record"
	documenter = "order_pdf_creator"
	payments   = "payments"       // the group whose members may say that an order is paid
	patience   = 60 * time.Second // for what takes a fraction of a second on a machine that has nothing else to do
)

// mailers are the mail roles.
func mailers() []string { return []string{"order_internal_notifier", "customer_order_confirmation"} }

var (
	service *stack.Stack // one for all tests: the eight roles as processes of the real binary
	api     *contract.Contract
	hooks   hookList
)

func TestMain(m *testing.M) {
	var err error
	if api, err = contract.Load("../../roles/openapi.yaml"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	service, err = stack.Start(context.Background(), stack.Options{
		Quick: true, Around: hooks.around, Settings: map[string]string{"PAYMENT_GROUP": payments},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	service.Close()
	os.Exit(code)
}

// A hook sees a role's request to AWS before it is passed on. If it returns
// false, it is not.
type hook func(role, service, body string, r *http.Request) bool

type hookList struct {
	mu  sync.Mutex
	all map[*hook]struct{}
}

// add installs a hook until the test ends.
func (l *hookList) add(t *testing.T, h hook) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[*hook]struct{}{}
	}
	l.all[&h] = struct{}{}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, &h)
	})
}

func (l *hookList) around(role string, aws http.Handler) http.Handler {
	next := stack.Impatient(aws)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the role went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		l.mu.Lock()
		var now []hook
		for h := range l.all {
			now = append(now, *h)
		}
		l.mu.Unlock()
		for _, h := range now {
			if !h(role, stack.Service(r), string(body), r) {
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// eventually waits for a condition, or fails the test.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// A user is someone with a token.
type user struct {
	t      *testing.T
	tenant string
	email  string
	client gateway.Client
}

// newUser returns a user of a new tenant, in the group of payments if no other
// is named.
func newUser(t *testing.T, groups ...string) user {
	t.Helper()
	return user{t: t, tenant: "tenant-" + lambdaapi.NewID()[:8]}.colleague(groups...)
}

// colleague returns another user of the same tenant.
func (u user) colleague(groups ...string) user {
	u.t.Helper()
	if len(groups) == 0 {
		groups = []string{payments}
	}
	u.email = "user-" + lambdaapi.NewID()[:8] + "@example.com"
	var err error
	if u.client, err = service.Client(gateway.Identity{Tenant: u.tenant, Email: u.email, Groups: groups}); err != nil {
		u.t.Fatal(err)
	}
	t := u.t
	u.client.Transport = api.Transport(http.DefaultTransport, func(err error) { t.Error(err) })
	return u
}

// call sends a request; headers alternate names and values.
func (u user) call(method, path, body string, headers ...string) gateway.Answer {
	u.t.Helper()
	a, err := u.client.Call(u.t.Context(), method, path, body, headers...)
	if err != nil {
		u.t.Fatal(err)
	}
	return a
}

// put changes an order.
func (u user) put(id, body string, headers ...string) gateway.Answer {
	u.t.Helper()
	return u.call("PUT", "/v1.0/orders/"+id, body, headers...)
}

// list returns the orders of a page of the user's tenant.
func (u user) list(query string) []gateway.Order {
	u.t.Helper()
	return data[struct{ Orders []gateway.Order }](u.t, u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders"+query, "")).Orders
}

// fields returns the fields that an answer complains about, sorted.
func fields(a gateway.Answer) (names []string) {
	for _, d := range a.Details {
		names = append(names, d.Field)
	}
	slices.Sort(names)
	return names
}

// data decodes an answer's data.
func data[T any](t *testing.T, a gateway.Answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.Data, &v); err != nil {
		t.Fatalf("%s: %v", a.Text, err)
	}
	return v
}

// place places an order for a cart and returns its id.
func (u user) place(cart string, headers ...string) (id string) {
	u.t.Helper()
	a := u.call("POST", "/v1.0/orders", gateway.Placement(u.email, cart), headers...)
	if a.Status != http.StatusAccepted {
		u.t.Fatalf("not accepted: %d %s", a.Status, a.Text)
	}
	return data[struct{ OrderID string }](u.t, a).OrderID
}

// order reads an order, recorded or not.
func (u user) order(id string) gateway.Order {
	u.t.Helper()
	return data[gateway.Order](u.t, u.call("GET", "/v1.0/orders/"+id, ""))
}

// recorded waits until an order is recorded and returns it.
func (u user) recorded(id string) (o gateway.Order) {
	u.t.Helper()
	eventually(u.t, "the order is recorded", func() bool {
		o = u.order(id)
		return o.Recorded()
	})
	return o
}

// documented waits until an order has so many documents and each of its mails,
// and returns it.
func (u user) documented(id string, documents int, toCustomer, toTeam []string) (o gateway.Order) {
	u.t.Helper()
	eventually(u.t, "the order has its documents and its mails", func() bool {
		o = u.order(id)
		return len(o.Documents) == documents && len(subjects(u.t, o, o.CustomerEmail)) >= len(toCustomer) &&
			len(subjects(u.t, o, stack.TeamAddress)) >= len(toTeam)
	})
	is := is.New(u.t)
	is.Equal(subjects(u.t, o, o.CustomerEmail), toCustomer) // the customer's mails, each once
	is.Equal(subjects(u.t, o, stack.TeamAddress), toTeam)   // the team's
	return o
}

// finished waits until all has happened that follows from an order's being
// recorded, and returns it.
func (u user) finished(id string) gateway.Order {
	u.t.Helper()
	return u.documented(id, 1, []string{"Order Confirmation"}, []string{"New Order Received"})
}

// mailsAbout returns the mails to an address about an order.
func mailsAbout(t *testing.T, o gateway.Order, to string) (found []stack.Mail) {
	t.Helper()
	mails, err := service.Mails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mails {
		// Order numbers are a tenant's own; each mail links to the order by its
		// id.
		if slices.Contains(m.Destination.To, to) && strings.Contains(m.Body.Text, o.ID) {
			found = append(found, m)
		}
	}
	return found
}

// subjects returns the subjects of the mails to an address about an order,
// without its number, sorted.
func subjects(t *testing.T, o gateway.Order, to string) []string {
	t.Helper()
	all := []string{}
	for _, m := range mailsAbout(t, o, to) {
		all = append(all, strings.TrimSuffix(m.Subject, ": "+o.OrderNumber))
	}
	slices.Sort(all)
	return all
}

// published returns the types of the events about an order as another system
// got them. One that came again is counted once.
func published(t *testing.T, id string) (types []order.EventType) {
	t.Helper()
	events, err := service.Published(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, e := range events {
		if e.OrderID == id && e.Sequence > last {
			last = e.Sequence
			types = append(types, e.Type)
		}
	}
	return types
}

// batches returns the invocations of a consumer by its queue.
func batches(role string) (found []stack.Batch) {
	for _, b := range service.Batches(role) {
		if len(b.Messages) > 0 {
			found = append(found, b)
		}
	}
	return found
}

// A delivery is one message in one invocation.
type delivery struct {
	messageID string
	failed    bool
	crashed   bool // so did the others of its batch
}

// deliveries returns how a role fared with the messages that mention an order.
func deliveries(role, orderID string) (found []delivery) {
	for _, b := range batches(role) {
		for _, r := range b.Messages {
			if strings.Contains(r.Body, orderID) {
				found = append(found, delivery{r.MessageId, b.Err != nil || slices.Contains(b.Failed, r.MessageId), b.Err != nil})
			}
		}
	}
	return found
}

// handled returns how many messages that mention an order a role has handled.
func handled(role, orderID string) (n int) {
	for _, d := range deliveries(role, orderID) {
		if !d.failed {
			n++
		}
	}
	return n
}

// creation returns a creation message of another producer: with the required
// fields only.
func creation(u user, orderID, cart string) string {
	return fmt.Sprintf(`{"orderId": %q, "tenantId": %q, "customerEmail": %q, "cartId": %q,
		"billingAddress": {"street": "12 Long Street", "city": "Cape Town", "province": "Western Cape",
		"postalCode": "8001", "country": "ZA"}}`, orderID, u.tenant, u.email, cart)
}

// deadLetters returns the ids of the messages that the recorder could not
// handle.
func deadLetters(t *testing.T) (ids []string) {
	t.Helper()
	messages, err := service.DeadLetters(t.Context(), recorder)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		ids = append(ids, m.MessageID)
	}
	return ids
}

// The tests that watch or kill whole batches come one after the other; those of
// TestFlow run at the same time.

func TestFlow(t *testing.T) {
	t.Run("cases", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T){
			"an order's whole life":                           wholeLife,
			"a cancelled order that is paid after all":        latePayment,
			"a payment is not overwritten in passing":         paymentTwice,
			"payments are for their group":                    paymentGroup,
			"a deleted order is as if it had never been":      deleted,
			"a creation message comes five times":             duplicates,
			"the cart fails twice":                            cartFailsTwice,
			"the cart is down for two deliveries":             cartDown,
			"the cart is missing":                             cartMissing,
			"two clients change an order at the same time":    concurrentUpdates,
			"another tenant sees nothing":                     foreignTenant,
			"an administrator acts for every tenant":          administrator,
			"bad requests are refused with every field named": badRequests,
			"bodies that are no request are refused":          noRequests,
			"a repeated request is one order":                 idempotency,
			"a function that fails is a bad gateway":          functionError,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
	t.Run("the logs hold no personal data", noPersonalData)
}

func noPersonalData(t *testing.T) {
	is := is.New(t)
	lines := 0
	all := []string{"create_order", "get_order", "list_orders", "update_order", recorder, documenter}
	for _, role := range append(all, mailers()...) {
		for _, line := range service.Log(role) {
			lines++
			is.True(!strings.Contains(line, "@example.com")) // no e-mail address
			is.True(!strings.Contains(line, "Long Street"))  // no postal address
			is.True(!strings.Contains(line, "eyJ"))          // no token
			var entry struct{ Time, Role string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("a line is not one JSON object: %s", line)
			}
			is.Equal(entry.Role, role)
		}
	}
	is.True(lines > 100) // there was something to look at
}
