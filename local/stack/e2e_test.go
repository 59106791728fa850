package stack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/proof/contract"
	"github.com/bbws/order-lambda/local/stack"
)

const (
	recorder = "order_creator_record"
	invoicer = "order_pdf_creator"
	patience = 60 * time.Second // for what takes a fraction of a second on a machine that has nothing else to do
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
	service, err = stack.Start(context.Background(), stack.Options{Quick: true, Around: hooks.around})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	service.Close()
	os.Exit(code)
}

// A hook sees a role's request to AWS before it is passed on. If it returns false, it is not.
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
	next := impatient(aws)
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

// impatient passes a role's requests on, but lets no failed message wait for longer than a second.
func impatient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.ChangeMessageVisibility") {
			next.ServeHTTP(w, r)
			return
		}
		var change map[string]any
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		entries, _ := change["Entries"].([]any)
		for _, entry := range append(entries, change) {
			e, _ := entry.(map[string]any)
			if wait, ok := e["VisibilityTimeout"].(float64); ok {
				e["VisibilityTimeout"] = min(wait, 1)
			}
		}
		body, err := json.Marshal(change)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
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
	token  string
}

// newUser returns a user of a new tenant.
func newUser(t *testing.T, groups ...string) user {
	t.Helper()
	unique := lambdaapi.NewID()[:8]
	u := user{t: t, tenant: "tenant-" + unique, email: "user-" + unique + "@example.com"}
	var err error
	if u.token, err = service.Token(gateway.Identity{Tenant: u.tenant, Email: u.email, Groups: groups}); err != nil {
		t.Fatal(err)
	}
	return u
}

// An answer is what the API said.
type answer struct {
	status int
	header http.Header
	text   string
	Data   json.RawMessage
	Code   string
	Detail []struct{ Field string } `json:"details"`
}

func (a answer) fields() []string {
	var fields []string
	for _, d := range a.Detail {
		fields = append(fields, d.Field)
	}
	slices.Sort(fields)
	return fields
}

// call sends a request; headers alternate names and values.
func (u user) call(method, path, body string, headers ...string) answer {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, service.URL+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	checked := http.Client{Transport: api.Transport(http.DefaultTransport, func(err error) { u.t.Error(err) })}
	resp, err := checked.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if err := json.Unmarshal(text, &a); err != nil {
		u.t.Fatalf("%s %s: %s: %v", method, path, text, err)
	}
	return a
}

// data decodes an answer's data.
func data[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.Data, &v); err != nil {
		t.Fatalf("%s: %v", a.text, err)
	}
	return v
}

// orderData is what the tests look at in an order or receipt.
type orderData struct {
	ID, OrderNumber, TenantID, CustomerEmail, CartID, Status, FailureReason, DateCreated, DateLastUpdated, PDFURL string

	Items []struct{ ProductName string }
	Total json.Number
}

const address = `{"fullName": "Thandi Nkosi", "street": "12 Hidden Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA"}`

// place places an order for a cart and returns its id.
func (u user) place(cart string, headers ...string) (id string) {
	u.t.Helper()
	a := u.call("POST", "/v1.0/orders", fmt.Sprintf(`{"customerEmail": %q, "cartId": %q, "billingAddress": %s}`, u.email, cart, address), headers...)
	if a.status != http.StatusAccepted {
		u.t.Fatalf("not accepted: %d %s", a.status, a.text)
	}
	return data[struct{ OrderID string }](u.t, a).OrderID
}

// order reads an order or its receipt.
func (u user) order(id string) orderData {
	u.t.Helper()
	return data[orderData](u.t, u.call("GET", "/v1.0/orders/"+id, ""))
}

// recorded waits until an order is recorded and returns it.
func (u user) recorded(id string) (o orderData) {
	u.t.Helper()
	eventually(u.t, "the order is recorded", func() bool {
		o = u.order(id)
		return len(o.Items) > 0
	})
	return o
}

// finished waits until an order has its invoice and both mails, and returns it.
func (u user) finished(id string) (o orderData) {
	u.t.Helper()
	eventually(u.t, "the order has its invoice and its mails", func() bool {
		o = u.order(id)
		return o.PDFURL != "" && len(mailsAbout(u.t, o, stack.TeamAddress)) > 0 && len(mailsAbout(u.t, o, o.CustomerEmail)) > 0
	})
	return o
}

// mailsAbout returns the mails to an address about an order.
func mailsAbout(t *testing.T, o orderData, to string) (found []stack.Mail) {
	t.Helper()
	mails, err := service.Mails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mails {
		// Order numbers are a tenant's own; a team mail also names the customer.
		if slices.Contains(m.Destination.To, to) && strings.HasSuffix(m.Subject, o.OrderNumber) && (to == o.CustomerEmail || strings.Contains(m.Body.Text, o.CustomerEmail)) {
			found = append(found, m)
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
	for _, b := range service.Batches(role) {
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

// The tests that watch or kill whole batches come one after the other; those of TestFlow run at the same time.

func TestRecorderDiesBetweenWriteAndPublish(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	var id string
	var mu sync.Mutex
	died := false
	mu.Lock() // until the id is known
	hooks.add(t, func(role, aws, body string, _ *http.Request) bool {
		if role != recorder || aws != "sns" {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		if died || !strings.Contains(body, id) {
			return true
		}
		died = true
		service.Kill(recorder)
		return false
	})
	id = u.place("cart-good")
	mu.Unlock()

	o := u.finished(id)
	is.Equal(len(mailsAbout(t, o, stack.TeamAddress)), 1) // one mail to the team
	is.Equal(len(mailsAbout(t, o, u.email)), 1)           // one to the customer
	got := deliveries(recorder, id)
	is.Equal(len(got), 2)
	is.True(got[0].crashed)                      // the first delivery ended with the process
	is.True(!got[1].failed)                      // the second one published
	is.Equal(got[0].messageID, got[1].messageID) // of the same message
	is.Equal(o.DateCreated, u.recorded(id).DateCreated)
}

func TestBatchOfTenWithThreeBadMessages(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	bad := map[int]string{2: `{"not": "an order"}`, 5: "no JSON", 7: creation(u, lambdaapi.NewID(), "cart-empty")}
	entries := make([]types.SendMessageBatchRequestEntry, 10)
	var good []string
	for i := range entries {
		body, isBad := bad[i]
		if !isBad {
			id := lambdaapi.NewID()
			good = append(good, id)
			body = creation(u, id, "cart-good")
		}
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)}
	}
	before := len(service.Batches(recorder))
	sent, err := service.SQS.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(service.QueueURL(recorder)), Entries: entries})
	is.NoErr(err)
	want := make([]string, 0, len(bad))
	for _, s := range sent.Successful {
		var i int
		_, err := fmt.Sscan(aws.ToString(s.Id), &i)
		is.NoErr(err)
		if _, isBad := bad[i]; isBad {
			want = append(want, aws.ToString(s.MessageId))
		}
	}
	eventually(t, "the batch is handled", func() bool { return len(service.Batches(recorder)) > before })
	first := service.Batches(recorder)[before]
	is.NoErr(first.Err)
	is.Equal(len(first.Messages), 10) // one batch
	got := slices.Clone(first.Failed)
	slices.Sort(got)
	slices.Sort(want)
	is.Equal(got, want) // exactly the bad ones are reported
	for _, id := range good {
		is.Equal(u.recorded(id).CartID, "cart-good") // the others are recorded
	}
	eventually(t, "the bad messages reach the dead-letter queue", func() bool {
		dead := deadLetters(t)
		return !slices.ContainsFunc(want, func(id string) bool { return !slices.Contains(dead, id) })
	})
}

// creation returns a creation message of another producer: with the required fields only.
func creation(u user, orderID, cart string) string {
	return fmt.Sprintf(`{"orderId": %q, "tenantId": %q, "customerEmail": %q, "cartId": %q, "billingAddress": %s}`, orderID, u.tenant, u.email, cart, address)
}

// deadLetters returns the ids of the messages that the recorder could not handle.
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

func TestFlow(t *testing.T) {
	t.Run("cases", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T){
			"an order goes all the way":                       happyPath,
			"a creation message comes five times":             duplicates,
			"the cart fails twice":                            cartFailsTwice,
			"the cart is down for two deliveries":             cartDown,
			"the cart is missing":                             cartMissing,
			"two clients change an order at the same time":    concurrentUpdates,
			"another tenant sees nothing":                     foreignTenant,
			"an administrator sees every tenant":              administrator,
			"bad requests are refused with every field named": badRequests,
			"a repeated request is one order":                 idempotency,
			"a function that fails is a bad gateway":          functionError,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
	t.Run("the logs hold no personal data", func(t *testing.T) {
		is := is.New(t)
		lines := 0
		for _, role := range append([]string{"create_order", "get_order", "list_orders", "update_order", recorder, invoicer}, mailers()...) {
			for _, line := range service.Log(role) {
				lines++
				is.True(!strings.Contains(line, "@example.com"))  // no e-mail address
				is.True(!strings.Contains(line, "Hidden Street")) // no postal address
				is.True(!strings.Contains(line, "eyJ"))           // no token
				var entry struct{ Time, Role string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatalf("a line is not one JSON object: %s", line)
				}
				is.Equal(entry.Role, role)
			}
		}
		is.True(lines > 100) // there was something to look at
	})
}

func happyPath(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	accepted := u.call("POST", "/v1.0/orders", fmt.Sprintf(`{"customerEmail": %q, "cartId": "cart-shipping", "campaignCode": "SUMMER25", "billingAddress": %s}`, u.email, address))
	is.Equal(accepted.status, http.StatusAccepted)
	placed := data[struct{ OrderID, OrderNumber, Status string }](t, accepted)
	is.Equal(accepted.header.Get("Location"), "/v1.0/orders/"+placed.OrderID)
	is.Equal(placed.Status, "pending")
	is.Equal(placed.OrderNumber, fmt.Sprintf("ORD-%d-00001", time.Now().UTC().Year())) // the tenant's first
	is.Equal(u.order(placed.OrderID).OrderNumber, placed.OrderNumber)                  // it can be asked for at once

	o := u.finished(placed.OrderID)
	is.Equal(o.OrderNumber, placed.OrderNumber)
	is.Equal(o.TenantID, u.tenant)
	is.Equal(len(o.Items), 3)
	is.Equal(o.Total.String(), "712.39") // 250.00 + 120.00 + 149.97 + 99.50 shipping, and 15 %
	is.Equal(len(mailsAbout(t, o, stack.TeamAddress)), 1)
	mail := mailsAbout(t, o, u.email)
	is.Equal(len(mail), 1)
	is.Equal(mail[0].Subject, "Order Confirmation: "+o.OrderNumber)
	is.Equal(mail[0].ReplyTo, []string{"support@kimmyai.io"})
	is.True(strings.Contains(mail[0].Body.HTML, "Domain žiraffe.co.za"))
	is.True(strings.Contains(mail[0].Body.Text, o.OrderNumber))

	link, err := http.Get(o.PDFURL)
	is.NoErr(err)
	defer func() { _ = link.Body.Close() }()
	pdf, err := io.ReadAll(link.Body)
	is.NoErr(err)
	is.Equal(link.StatusCode, http.StatusOK)
	is.Equal(link.Header.Get("Content-Type"), "application/pdf")
	is.True(bytes.HasPrefix(pdf, []byte("%PDF-"))) // the link gives the invoice
	target, err := url.Parse(o.PDFURL)
	is.NoErr(err)
	is.True(strings.HasSuffix(target.Path, "/"+u.tenant+"/orders/order_"+o.ID+".pdf"))

	read := u.call("GET", "/v1.0/orders/"+o.ID, "")
	is.Equal(read.header.Get("ETag"), `"`+o.DateLastUpdated+`"`)
	stale := u.call("PUT", "/v1.0/orders/"+o.ID, `{"status": "paid"}`, "If-Match", `"2020-01-01T00:00:00.000000Z"`)
	is.Equal(stale.status, http.StatusPreconditionFailed)
	paid := u.call("PUT", "/v1.0/orders/"+o.ID, `{"status": "paid", "paymentDetails": {"transactionId": "tx-1"}}`, "If-Match", read.header.Get("ETag"))
	is.Equal(paid.status, http.StatusOK)
	is.Equal(data[orderData](t, paid).Status, "paid")
	is.Equal(u.call("PUT", "/v1.0/orders/"+o.ID, `{"status": "pending"}`).Code, "invalid_transition")

	list := u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders?status=paid", "")
	is.Equal(list.status, http.StatusOK)
	orders := data[struct{ Orders []orderData }](t, list).Orders
	is.Equal(len(orders), 1)
	is.Equal(orders[0].ID, o.ID)
	is.Equal(orders[0].Total.String(), "712.39")
}

func duplicates(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := lambdaapi.NewID()
	var mu sync.Mutex
	published := 0
	hooks.add(t, func(role, aws, body string, _ *http.Request) bool {
		if role == recorder && aws == "sns" && strings.Contains(body, id) {
			mu.Lock()
			published++
			mu.Unlock()
		}
		return true
	})
	const times = 5
	for range times {
		_, err := service.SendCreation(t.Context(), creation(u, id, "cart-good"))
		is.NoErr(err)
	}
	eventually(t, "every message and every event is handled", func() bool {
		done := handled(recorder, id) == times
		for _, role := range append(mailers(), invoicer) {
			done = done && handled(role, id) == times
		}
		return done
	})
	o := u.finished(id)
	is.Equal(len(mailsAbout(t, o, stack.TeamAddress)), 1) // one mail to the team
	is.Equal(len(mailsAbout(t, o, u.email)), 1)           // one to the customer
	mu.Lock()
	is.True(published >= times) // every delivery published the event
	mu.Unlock()
	list := data[struct{ Orders []orderData }](t, u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders", ""))
	is.Equal(len(list.Orders), 1) // one order
	year := time.Now().UTC().Year()
	is.Equal(o.OrderNumber, fmt.Sprintf("ORD-%d-00001", year))
	is.Equal(u.recorded(u.place("cart-good")).OrderNumber, fmt.Sprintf("ORD-%d-00002", year)) // one number
}

func cartFailsTwice(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-flaky-" + lambdaapi.NewID())
	is.Equal(len(u.recorded(id).Items), 1)
	eventually(t, "the delivery ends", func() bool { return len(deliveries(recorder, id)) == 1 })
	is.True(!deliveries(recorder, id)[0].failed) // the client's own retries were enough
}

func cartDown(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-late-" + lambdaapi.NewID())
	u.finished(id)
	got := deliveries(recorder, id)
	is.Equal(len(got), 3)
	is.True(got[0].failed && got[1].failed && !got[2].failed) // it comes again until the cart is there
}

func cartMissing(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-missing")
	var receipt orderData
	eventually(t, "the receipt says failed", func() bool {
		receipt = u.order(id)
		return receipt.Status == "failed"
	})
	is.True(receipt.FailureReason != "") // with a reason
	eventually(t, "the message is in the dead-letter queue", func() bool {
		got := deliveries(recorder, id)
		return len(got) >= 3 && slices.Contains(deadLetters(t), got[0].messageID)
	})
	is.Equal(len(deliveries(recorder, id)), 3) // after three receives, and not more
	is.Equal(handled(recorder, id), 0)
	is.Equal(u.order(id).Status, "failed")
	is.Equal(u.call("PUT", "/v1.0/orders/"+id, `{"status": "paid"}`).status, http.StatusConflict)
}

func concurrentUpdates(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good")
	u.finished(id)
	var both sync.WaitGroup // both have read before one writes
	both.Add(2)
	hooks.add(t, func(role, _, body string, r *http.Request) bool {
		if role == "update_order" && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "Item") && !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetItem") && strings.Contains(body, id) {
			both.Done()
			both.Wait()
		}
		return true
	})
	answers := make(chan answer, 2)
	for _, status := range []string{"paid", "cancelled"} {
		go func() { answers <- u.call("PUT", "/v1.0/orders/"+id, `{"status": "`+status+`"}`) }()
	}
	first, second := <-answers, <-answers
	if first.status != http.StatusOK {
		first, second = second, first
	}
	is.Equal(first.status, http.StatusOK)
	is.Equal(second.status, http.StatusConflict)
	is.Equal(second.Code, "order_changed")
	is.Equal(u.order(id).Status, data[orderData](t, first).Status) // the one that was answered with 200 is what is stored
}

func foreignTenant(t *testing.T) {
	owner, stranger := newUser(t), newUser(t)
	id := owner.place("cart-good", "Idempotency-Key", "the-owners-key")
	o := owner.finished(id)
	path := "/v1.0/orders/" + id
	for _, c := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"read", "GET", path, "", http.StatusNotFound},
		{"change", "PUT", path, `{"status": "cancelled"}`, http.StatusNotFound},
		{"change nothing", "PUT", path, `{"status": "pending"}`, http.StatusNotFound},
		{"list", "GET", "/v1.0/tenants/" + owner.tenant + "/orders", "", http.StatusForbidden},
		{"list under a filter", "GET", "/v1.0/tenants/" + owner.tenant + "/orders?status=pending&sort=-dateCreated", "", http.StatusForbidden},
		{"place for another tenant", "POST", "/v1.0/orders", `{"tenantId": "` + owner.tenant + `", "customerEmail": "a@example.com", "cartId": "cart-good", "billingAddress": ` + address + `}`, http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			a := stranger.call(c.method, c.path, c.body)
			is.Equal(a.status, c.want)
			said := a.text + fmt.Sprint(a.header)
			for _, secret := range []string{owner.tenant, owner.email, "Thandi", "Hidden Street", o.OrderNumber, o.DateCreated, o.DateLastUpdated, "Hosting", o.Total.String(), "cart-good"} {
				is.True(!strings.Contains(said, secret)) // not a byte of the other's data
			}
		})
	}
	is := is.New(t)
	is.Equal(owner.order(id).Status, "pending")                                     // nothing was changed
	is.True(stranger.place("cart-good", "Idempotency-Key", "the-owners-key") != id) // a key is a tenant's own
	list := data[struct{ Orders []orderData }](t, stranger.call("GET", "/v1.0/tenants/"+stranger.tenant+"/orders", ""))
	is.True(!slices.ContainsFunc(list.Orders, func(o orderData) bool { return o.ID == id })) // the own list has own orders only
}

func administrator(t *testing.T) {
	is := is.New(t)
	owner, admin := newUser(t), newUser(t, "support", "admin")
	id := owner.place("cart-good")
	owner.recorded(id)
	is.Equal(admin.order(id).TenantID, owner.tenant)
	list := admin.call("GET", "/v1.0/tenants/"+owner.tenant+"/orders", "")
	is.Equal(list.status, http.StatusOK)
	is.Equal(len(data[struct{ Orders []orderData }](t, list).Orders), 1)
}

func badRequests(t *testing.T) {
	u := newUser(t)
	for _, c := range []struct {
		name, body string
		fields     []string
	}{
		{"nothing", `{}`, []string{"billingAddress", "cartId", "customerEmail"}},
		{"empty address", `{"customerEmail": "a@example.com", "cartId": "c", "billingAddress": {}}`, []string{
			"billingAddress.city", "billingAddress.country", "billingAddress.postalCode", "billingAddress.province", "billingAddress.street",
		}},
		{"unknown fields", `{"customerEmail": "a@example.com", "cartId": "c", "billingAddress": ` + address + `, "tenantId": "x", "total": 1}`, []string{"tenantId", "total"}},
		{"everything wrong", `{"customerEmail": "nobody", "cartId": "a b", "customerName": "` + strings.Repeat("x", 257) + `", "paymentMethod": "\u0007",
			"billingAddress": {"street": " ", "city": "C", "province": "P", "postalCode": "1", "country": "Narnia"}}`, []string{
			"billingAddress.country", "billingAddress.street", "cartId", "customerEmail", "customerName", "paymentMethod",
		}},
		{"wrong types", `{"customerEmail": 1, "cartId": ["c"], "billingAddress": "here"}`, []string{"billingAddress", "cartId", "customerEmail"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			a := u.call("POST", "/v1.0/orders", c.body)
			is.Equal(a.status, http.StatusBadRequest)
			is.Equal(a.fields(), c.fields) // every bad field, and no other
		})
	}
	for name, body := range map[string]string{
		"no JSON": `{"customerEmail": `, "no object": `[]`, "nothing at all": ``, "two values": `{} {}`, "binary": "\xff\xfe\x00",
		"huge": `{"customerEmail": "` + strings.Repeat("x", 65<<10) + `"}`, "deep": strings.Repeat(`{"a":`, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(u.call("POST", "/v1.0/orders", body).status, http.StatusBadRequest)
		})
	}
	t.Run("larger than API Gateway takes", func(t *testing.T) {
		is := is.New(t)
		is.Equal(u.call("POST", "/v1.0/orders", strings.Repeat(" ", 11<<20)).status, http.StatusRequestEntityTooLarge)
	})
	t.Run("list", func(t *testing.T) {
		is := is.New(t)
		a := u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders?pageSize=0&sort=total&from=yesterday", "")
		is.Equal(a.status, http.StatusBadRequest)
		is.Equal(a.fields(), []string{"from", "pageSize", "sort"})
		is.Equal(u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders?startAt=x", "").fields(), []string{"startAt"})
	})
	t.Run("update", func(t *testing.T) {
		is := is.New(t)
		a := u.call("PUT", "/v1.0/orders/"+lambdaapi.NewID(), `{"status": "shipped", "total": 1, "paymentDetails": {"paidAt": "today", "amount": 1}}`)
		is.Equal(a.status, http.StatusBadRequest)
		is.Equal(a.fields(), []string{"paymentDetails.amount", "paymentDetails.paidAt", "status", "total"})
	})
}

func idempotency(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good", "Idempotency-Key", "key-1")
	body := fmt.Sprintf(`{"customerEmail": %q, "cartId": "cart-good", "billingAddress": %s}`, u.email, address)
	again := u.call("POST", "/v1.0/orders", body, "Idempotency-Key", "key-1")
	is.Equal(again.status, http.StatusAccepted)
	is.Equal(again.header.Get("Idempotent-Replayed"), "true")
	is.Equal(data[struct{ OrderID string }](t, again).OrderID, id)
	is.Equal(u.call("POST", "/v1.0/orders", body+" ", "Idempotency-Key", "key-1").status, http.StatusUnprocessableEntity)
	u.finished(id)
	list := data[struct{ Orders []orderData }](t, u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders", ""))
	is.Equal(len(list.Orders), 1)
}

func functionError(t *testing.T) {
	is := is.New(t)
	_, err := service.Invoke(t.Context(), recorder, []byte(`"not an event"`))
	is.True(err != nil) // a queue's event that cannot be read fails the batch
	event, err := json.Marshal(events.APIGatewayProxyRequest{HTTPMethod: "GET", Resource: "/v1.0/orders/{orderId}"})
	is.NoErr(err)
	out, err := service.Invoke(t.Context(), "get_order", event)
	is.NoErr(err)
	var said events.APIGatewayProxyResponse
	is.NoErr(json.Unmarshal(out, &said))
	is.Equal(said.StatusCode, http.StatusUnauthorized) // without claims
}
