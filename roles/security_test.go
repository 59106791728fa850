package roles_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/roles"
)

const (
	owner = "acme"
	rival = "bloom"
	topic = "arn:aws:sns:eu-west-1:123456789012:order-events"
	// bearer stands in the header of every request, street on every address: neither may be logged.
	bearer = "Bearer eyJhbGciOiJSUzI1NiJ9.c2VjcmV0"
	street = "17 Unlisted Lane"
)

// A house is the eight roles around one account in memory, with carts for everyone.
type house struct {
	t        testing.TB
	cloud    *world.World
	queues   map[string]*world.Queue // by consumer
	handlers map[string]lambda.Handler
	product  string // name of the product in every cart
	mu       sync.Mutex
	log      bytes.Buffer
	carts    []string // escaped paths that the Cart API was asked for
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, cloud: world.New("orders", time.Now), queues: map[string]*world.Queue{}, handlers: map[string]lambda.Handler{}, product: "Rooibos"}
	for role, name := range map[string]string{
		"order_creator_record": "creation", "order_pdf_creator": "pdf", "order_internal_notifier": "internal", "customer_order_confirmation": "customer",
	} {
		h.queues[role] = h.cloud.AddQueue(name, time.Minute, 3)
		if name != "creation" {
			h.cloud.Subscribe(topic, h.queues[role], true)
		}
	}
	for _, name := range []string{"internal/order_notification.html", "customer/order_confirmation.html"} {
		text, err := templates.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.cloud.Put("templates", name, text)
	}
	for _, role := range roles.All() {
		queue := h.queues["order_creator_record"]
		if q := h.queues[role.Name]; q != nil {
			queue = q
		}
		env := map[string]string{
			"ROLE": role.Name, "ENVIRONMENT": "dev", "AWS_REGION": "eu-west-1", "DYNAMODB_TABLE_NAME": "orders", "SQS_QUEUE_URL": queue.URL,
			"ORDER_EVENTS_TOPIC_ARN": topic, "CART_LAMBDA_API_URL": "https://carts.example/v1.0/cart", "S3_ORDERS_BUCKET": "invoices",
			"S3_EMAIL_TEMPLATES_BUCKET": "templates", "SES_FROM_ADDRESS": "orders@kimmyai.example", "INTERNAL_NOTIFICATION_EMAIL": "team@kimmyai.example",
		}
		settings, err := roles.Configure(func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		h.handlers[role.Name] = roles.Build(settings, roles.Deps{
			AWS: aws.Config{
				Region: "eu-west-1", HTTPClient: &http.Client{Transport: h.cloud},
				Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
			},
			Transport: h, Stdout: h, Now: time.Now,
		})
	}
	return h
}

// Write takes the log.
func (h *house) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(line)
}

// RoundTrip is the Cart API. A cart belongs to whoever asks for it.
func (h *house) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.carts = append(h.carts, req.URL.EscapedPath())
	h.mu.Unlock()
	body, err := json.Marshal(map[string]any{
		"cartId": strings.TrimPrefix(req.URL.Path, "/v1.0/cart/"), "tenantId": req.Header.Get("X-Tenant-Id"),
		"items": []any{map[string]any{"id": "1", "productId": "p", "productName": h.product, "quantity": 1, "unitPrice": 100}},
	})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, err
}

func (h *house) invoke(role string, event any) []byte {
	h.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := h.handlers[role].Invoke(lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "request"}), payload)
	if err != nil {
		h.t.Fatalf("%s of %s: %v", role, payload, err)
	}
	return answer
}

// drain delivers every message until there are none that can be delivered.
func (h *house) drain() {
	h.t.Helper()
	for again := true; again; {
		again = false
		for role, q := range h.queues {
			for _, m := range q.Receive(10, func(world.Message) bool { return true }) {
				again = true
				answer := h.invoke(role, events.SQSEvent{Records: []events.SQSMessage{{
					MessageId: m.ID, ReceiptHandle: m.Handle, Body: m.Body,
					Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.Receives)},
				}}})
				if strings.Contains(string(answer), m.ID) {
					q.Show(m.Handle, 0)
				} else {
					q.Delete(m.Handle)
				}
			}
		}
	}
}

// An identity is what the authorizer says about a caller.
type identity struct {
	name   string
	claims map[string]any // nil: no authorizer
}

func as(tenant string, more ...string) identity {
	claims := map[string]any{"custom:tenantId": tenant, "sub": "subject", "email": "someone@" + owner + ".example"}
	for i := 0; i < len(more); i += 2 {
		claims[more[i]] = more[i+1]
	}
	return identity{strings.Join(append([]string{tenant}, more...), " "), claims}
}

type reply struct {
	status int
	header map[string]string
	body   string
	data   map[string]any
}

func (h *house) call(role string, who identity, change func(*events.APIGatewayProxyRequest)) reply {
	h.t.Helper()
	event := events.APIGatewayProxyRequest{Headers: map[string]string{"Authorization": bearer}}
	if who.claims != nil {
		event.RequestContext.Authorizer = map[string]any{"claims": who.claims}
	}
	change(&event)
	var res events.APIGatewayProxyResponse
	if err := json.Unmarshal(h.invoke(role, event), &res); err != nil {
		h.t.Fatal(err)
	}
	var body struct{ Data map[string]any }
	if err := json.Unmarshal([]byte(res.Body), &body); err != nil {
		h.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Headers, res.Body, body.Data}
}

func (h *house) post(who identity, change func(body map[string]any)) reply {
	h.t.Helper()
	body := map[string]any{
		"customerEmail": "buyer@" + owner + ".example", "customerName": "Private Buyer", "cartId": "cart-1",
		"billingAddress": map[string]any{"street": street, "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA"},
	}
	if change != nil {
		change(body)
	}
	text, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.call("create_order", who, func(e *events.APIGatewayProxyRequest) { e.Body = string(text) })
}

// order places an order and lets the service finish it.
func (h *house) order(who identity) string {
	h.t.Helper()
	r := h.post(who, nil)
	id, _ := r.data["orderId"].(string)
	if r.status != http.StatusAccepted || id == "" {
		h.t.Fatalf("POST was answered %d %s", r.status, r.body)
	}
	return id
}

func (h *house) get(who identity, id string) reply {
	h.t.Helper()
	return h.call("get_order", who, func(e *events.APIGatewayProxyRequest) { e.PathParameters = map[string]string{"orderId": id} })
}

func (h *house) list(who identity, tenant, token string) reply {
	h.t.Helper()
	return h.call("list_orders", who, func(e *events.APIGatewayProxyRequest) {
		e.PathParameters = map[string]string{"tenantId": tenant}
		e.QueryStringParameters = map[string]string{"pageSize": "2"}
		if token != "" {
			e.QueryStringParameters["startAt"] = token
		}
	})
}

func (h *house) put(who identity, id, body string) reply {
	h.t.Helper()
	return h.call("update_order", who, func(e *events.APIGatewayProxyRequest) {
		e.PathParameters = map[string]string{"orderId": id}
		e.Body = body
	})
}

// ofOwner returns everything that the table has of the owner, as one text.
func (h *house) ofOwner() string {
	var b strings.Builder
	for _, item := range h.cloud.Table.Items() {
		if item.Text("PK") == "TENANT#"+owner {
			text, _ := json.Marshal(item)
			b.Write(append(text, '\n'))
		}
	}
	return b.String()
}

func TestIdentities(t *testing.T) {
	h := newHouse(t)
	recorded := h.order(as(owner))
	other := h.order(as(rival))
	h.drain()
	accepted := h.order(as(owner)) // Only a receipt so far.

	routes := []struct {
		name string
		call func(identity) reply
	}{
		{"POST", func(who identity) reply { return h.post(who, nil) }},
		{"GET", func(who identity) reply { return h.get(who, recorded) }},
		{"GET receipt", func(who identity) reply { return h.get(who, accepted) }},
		{"list", func(who identity) reply { return h.list(who, owner, "") }},
		{"PUT", func(who identity) reply { return h.put(who, recorded, `{"status":"payment_pending"}`) }},
	}
	nobody := []int{401, 401, 401, 401, 401}
	malformed := []int{403, 403, 403, 403, 403}
	matrix := []struct {
		identity
		want []int
	}{
		{identity{"no authorizer", nil}, nobody},
		{identity{"no claims", map[string]any{}}, nobody},
		{identity{"no tenant", map[string]any{"sub": "s", "cognito:groups": "admin"}}, malformed},
		{identity{"a tenant that is no text", map[string]any{"custom:tenantId": []any{owner}}}, malformed},
		{as(""), malformed},
		{as("TENANT#" + owner), malformed},
		{as(owner + "#ORDER"), malformed},
		{as("../" + owner), malformed},
		{as(owner + "/"), malformed},
		{as("." + owner), malformed},
		{as(" " + owner), malformed},
		{as(owner + "\x00"), malformed},
		{as(owner + "\u202e"), malformed},
		{as("\uFFFE" + owner), malformed},
		{as("\u0430cme"), malformed}, // a Cyrillic a
		{as(strings.Repeat("a", 129), "cognito:groups", "admin"), malformed},
		{as(rival), []int{202, 404, 404, 403, 404}},
		{as(rival, "cognito:groups", "administrators"), []int{202, 404, 404, 403, 404}},
		{as(strings.ToUpper(owner)), []int{202, 404, 404, 403, 404}},
		{as(owner + ".x"), []int{202, 404, 404, 403, 404}},
		{as(rival, "cognito:groups", "[staff admin]"), []int{202, 200, 404, 200, 404}}, // reads what is recorded, changes nothing
		{as(owner), []int{202, 200, 200, 200, 200}},
	}
	for _, row := range matrix {
		for i, route := range routes {
			t.Run(route.name+" as "+row.name, func(t *testing.T) {
				is := is.New(t)
				before := h.ofOwner()
				r := route.call(row.identity)
				is.Equal(r.status, row.want[i])
				if row.claims["custom:tenantId"] != owner {
					is.Equal(h.ofOwner(), before) // nothing of another tenant is written
				}
				if r.status >= 400 {
					for _, secret := range []string{"buyer@", "Private", street, "ORD-", recorded, accepted} {
						is.True(!strings.Contains(r.body, secret)) // nor shown
					}
				}
			})
		}
	}

	t.Run("an order of another tenant looks like none", func(t *testing.T) {
		is := is.New(t)
		const none = "00000000-0000-4000-8000-000000000000"
		for _, id := range []string{recorded, accepted} {
			is.Equal(h.get(as(rival), id), h.get(as(rival), none))
			is.Equal(h.put(as(rival), id, `{"status":"paid"}`), h.put(as(rival), none, `{"status":"paid"}`))
		}
	})

	t.Run("the tenant of a new order is the token's", func(t *testing.T) {
		is := is.New(t)
		r := h.post(as(rival), func(body map[string]any) { body["tenantId"] = owner })
		is.Equal(r.status, http.StatusBadRequest)
	})

	t.Run("an event with another tenant's order has no effect", func(t *testing.T) {
		is := is.New(t)
		mails, objects := len(h.cloud.Mails()), h.cloud.Objects()
		for role, q := range h.queues {
			if role != "order_creator_record" {
				q.Send(fmt.Sprintf(`{"orderId":%q,"tenantId":%q}`, other, owner), "")
			}
		}
		before := h.ofOwner()
		for role, q := range h.queues { // Without the orders of POST above.
			if role == "order_creator_record" {
				for _, m := range q.Receive(10000, func(world.Message) bool { return true }) {
					q.Delete(m.Handle)
				}
			}
		}
		h.drain()
		is.Equal(len(h.cloud.Mails()), mails)
		is.Equal(h.cloud.Objects(), objects)
		is.Equal(h.ofOwner(), before)
	})
}

// hostile are texts that try to get out of where they are put.
func hostile() []string {
	return []string{
		"", ".", "..", "../x", "a/../b", "a/b", `a\b`, "a#b", "ORDER#x", "#", "%2e%2e", "%2F", "a%00b", "a\x00b", "a\r\nb", "a\tb", "\u202ea", "\u2066a", "\u200ba",
		"\uFFFE", "\uFEFFa", "a?b=c", "a;b", "a&b", "a|b", "*", "~", "😀", strings.Repeat("a", 5000), "${jndi:x}", "' OR 1=1", "<script>", "{{.}}",
	}
}

func TestKeysAndPathsHold(t *testing.T) {
	h := newHouse(t)
	id := h.order(as(owner))
	h.drain()
	before, recorded := h.ofOwner(), h.cloud.Table.Item("TENANT#"+owner, "ORDER#"+id)
	for _, text := range hostile() {
		t.Run(strconv.Quote(text[:min(len(text), 20)]), func(t *testing.T) {
			is := is.New(t)
			h.t = t
			for _, orderID := range []string{text, id + text, text + id, strings.ToUpper(id)} {
				if orderID == id {
					continue
				}
				for _, who := range []identity{as(owner), as(rival, "cognito:groups", "admin")} {
					is.Equal(h.get(who, orderID).status, http.StatusNotFound)
				}
				is.Equal(h.put(as(owner), orderID, `{"status":"paid"}`).status, http.StatusNotFound)
			}
			is.Equal(h.list(as(owner), owner+"/"+text, "").status, http.StatusForbidden)
			is.Equal(h.list(as(owner, "cognito:groups", "admin"), text, "").status, http.StatusForbidden)
			is.Equal(h.ofOwner(), before) // nothing is written
		})
	}

	t.Run("a cart id stays one part of the path", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		for _, text := range hostile() {
			h.carts = nil
			r := h.post(as(rival), func(body map[string]any) { body["cartId"] = text })
			h.drain()
			is.True(r.status == http.StatusAccepted || r.status == http.StatusBadRequest)
			is.Equal(r.status == http.StatusAccepted, len(h.carts) > 0)
			for _, path := range h.carts {
				part := strings.TrimPrefix(path, "/v1.0/cart/")
				is.True(part != path && part != "" && part != "." && part != ".." && !strings.ContainsAny(part, "/?#\\"))
			}
		}
	})

	t.Run("an Idempotency-Key reaches no other item", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		for _, key := range append(hostile(), "../ORDER#"+id, "x#"+id, "RECEIPT#"+id) {
			r := h.call("create_order", as(owner), func(e *events.APIGatewayProxyRequest) {
				e.Headers["Idempotency-Key"] = key
				e.Body = `{"customerEmail":"a@example.com","cartId":"c","billingAddress":{"street":"s","city":"c","province":"p","postalCode":"1","country":"ZA"}}`
			})
			if r.status == http.StatusAccepted {
				is.True(h.cloud.Table.Item("TENANT#"+owner, "IDEMPOTENCY#"+key) != nil)
			} else {
				is.Equal(r.status, http.StatusBadRequest)
			}
		}
		is.Equal(h.cloud.Table.Item("TENANT#"+owner, "ORDER#"+id), recorded) // the order is as it was
	})

	t.Run("a message with hostile ids writes nothing", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		h.drain()
		items, objects := len(h.cloud.Table.Items()), len(h.cloud.Objects())
		for _, text := range hostile() {
			for _, ids := range [][2]string{{owner, text}, {text, id}, {text, text}} {
				body, err := json.Marshal(map[string]any{
					"tenantId": ids[0], "orderId": ids[1], "customerEmail": "a@example.com", "cartId": "c",
					"billingAddress": map[string]string{"street": "s", "city": "c", "province": "p", "postalCode": "1", "country": "ZA"},
				})
				is.NoErr(err)
				if ids[0] == "a&b" {
					continue
				}
				for _, q := range h.queues {
					q.Send(string(body), "")
				}
			}
		}
		h.drain()
		is.Equal(len(h.cloud.Table.Items()), items)
		is.Equal(len(h.cloud.Objects()), objects)
	})
}

func TestNothingIsInjected(t *testing.T) {
	h := newHouse(t)
	t.Run("into headers", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		for _, email := range []string{
			"a@example.com\r\nBcc: x@example.com", "a@example.com\nx", "a@example.com,b@example.com", "a@example.com b@example.com", "A <a@example.com>",
			"a@example.com(\r\n)", "=?utf-8?q?a?=@example.com\u2028", "a@exam\u202eple.com", "\"a\r\n\"@example.com", "a@example.com>", ";@example.com;",
		} {
			r := h.post(as(owner), func(body map[string]any) { body["customerEmail"] = email })
			if r.status == http.StatusBadRequest {
				continue
			}
			h.drain()
			for _, m := range h.cloud.Mails() {
				is.True(len(m.To) == 1 && !strings.ContainsAny(m.To[0], "\r\n,<> ")) // one bare address
			}
		}
		for _, m := range []map[string]any{{"customerName": "a\r\nBcc: x@example.com"}, {"paymentMethod": "a\nb"}, {"campaignCode": "\x1b[31m"}} {
			r := h.post(as(owner), func(body map[string]any) {
				for name, v := range m {
					body[name] = v
				}
			})
			is.Equal(r.status, http.StatusBadRequest)
		}
		q := h.queues["order_creator_record"]
		q.Send(`{"tenantId":"acme","orderId":"6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f","orderNumber":"ORD-2025-00001\r\nBcc: x@example.com","customerEmail":"a@example.com",
			"cartId":"c","billingAddress":{"street":"s","city":"c","province":"p","postalCode":"1","country":"ZA"}}`, "")
		h.drain()
		for _, m := range h.cloud.Mails() {
			is.True(!strings.ContainsAny(m.Subject, "\r\n"))
		}
		is.Equal(len(q.Dead().Messages()), 1) // refused for good
	})

	t.Run("into mails and invoices", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		const evil = `<script>alert(1)</script>"><img src=x onerror=y>{{orderNumber}}${x}) /JS (app.alert(1)) >> endobj`
		h.product = evil
		r := h.post(as(owner), func(body map[string]any) {
			body["customerName"] = evil
			body["billingAddress"].(map[string]any)["fullName"] = evil
		})
		is.Equal(r.status, http.StatusAccepted)
		id, _ := r.data["orderId"].(string)
		number, _ := r.data["orderNumber"].(string)
		h.drain()
		seen := 0
		for _, m := range h.cloud.Mails() {
			if m.Tags["orderId"] != id {
				continue
			}
			seen++
			is.True(!strings.Contains(m.HTML, "<script") && !strings.Contains(m.HTML, "<img src=x"))    // as text, not as markup
			is.True(strings.Contains(m.HTML+m.Text, "{{orderNumber}}") || m.Tags["mail"] == "internal") // what a customer writes is no template
			is.True(!strings.Contains(m.HTML+m.Text, number+"${x}"))
		}
		is.Equal(seen, 2)
		invoice, ok := h.cloud.Object("invoices/acme/orders/order_" + id + ".pdf")
		is.True(ok)
		for _, name := range []string{"/JS", "/JavaScript", "/Launch", "/OpenAction", "/AA", "/EmbeddedFile"} {
			is.True(!bytes.Contains(invoice.Body, []byte(name)))
		}
	})
}

func TestPageTokensHold(t *testing.T) {
	h := newHouse(t)
	for range 4 {
		h.order(as(owner))
		h.order(as(rival))
	}
	h.drain()
	token := func(r reply) string {
		pagination, _ := r.data["pagination"].(map[string]any)
		next, _ := pagination["nextToken"].(string)
		return next
	}
	good := token(h.list(as(owner), owner, ""))
	text, err := base64.RawURLEncoding.DecodeString(good)
	if good == "" || err != nil {
		t.Fatal("no token", err)
	}
	forge := func(old, replacement string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), old, replacement)))
	}
	is := is.New(t)
	is.Equal(h.list(as(owner), owner, good).status, http.StatusOK)
	for _, forged := range []string{
		token(h.list(as(rival), rival, "")), forge(owner, rival), forge("ORDER#", "RECEIPT#"), forge("ORDER#", "COUNTER#ORDER#"), forge("ORDER#", ""), forge("-", "/"),
		forge("{", "["), "e30", "bnVsbA", "W10", "IiI", good + "=", "." + good, good[:len(good)-4],
	} {
		if r := h.list(as(owner), owner, forged); r.status != http.StatusBadRequest {
			t.Errorf("%s was answered %d", forged, r.status)
		}
	}
	is.Equal(h.list(as(rival), rival, good).status, http.StatusBadRequest)
	is.Equal(h.list(as(rival), owner, good).status, http.StatusForbidden)
	for i := range len(good) { // Every byte changed once.
		for _, c := range []byte{'A', '_', '%'} {
			changed := []byte(good)
			changed[i] = c
			r := h.list(as(owner), owner, string(changed))
			is.True(r.status == http.StatusOK || r.status == http.StatusBadRequest)
			orders, _ := r.data["orders"].([]any)
			for _, o := range orders {
				id, _ := o.(map[string]any)["id"].(string)
				is.True(h.cloud.Table.Item("TENANT#"+owner, "ORDER#"+id) != nil) // only one's own
			}
		}
	}
}

func TestLogHoldsNothingPersonal(t *testing.T) {
	is := is.New(t)
	h := newHouse(t)
	id := h.order(as(owner))
	h.drain()
	h.post(as(owner), func(body map[string]any) { body["customerEmail"] = "wrong@address@example" })
	h.post(as(owner), func(body map[string]any) { body["secret@example.com"] = street })
	refused := h.post(as(owner), func(body map[string]any) { body["customerEmail"] = "refused@example.com" })
	is.Equal(refused.status, http.StatusAccepted) // SES will not take it
	h.drain()
	h.get(as(owner), id)
	h.list(as(owner), owner, base64.RawURLEncoding.EncodeToString([]byte(`{"PK":"a@example.com"}`)))
	h.put(as(owner), id, `{"paymentDetails":{"transactionId":"secret-transaction"},"status":"paid"}`)
	h.queues["order_creator_record"].Send(`{"tenantId":"acme","customerEmail":"noise@example.com","billingAddress":"`+street+`"}`, "")
	h.drain()
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	is.True(len(lines) > 20)
	for _, line := range lines {
		is.True(json.Valid([]byte(line)))
		for _, secret := range []string{"@", street, "Private Buyer", "Cape Town", bearer, "eyJ", "secret-transaction", "X-Amz-Signature"} {
			if strings.Contains(line, secret) {
				t.Errorf("%s is logged: %s", secret, line)
			}
		}
	}
	is.True(slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, id) })) // but the order can be followed
}
