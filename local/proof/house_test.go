package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
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
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles"
)

const (
	owner = "acme"
	rival = "bloom"
	// bearer stands in the header of every request, and may not be logged.
	bearer = "Bearer eyJhbGciOiJSUzI1NiJ9.c2VjcmV0"
)

// A house is the eight roles in a world, in one process. It counts what they ask
// for and keeps what they log.
type house struct {
	t        testing.TB
	world    *World
	handlers map[string]lambda.Handler
	latency  func(*Call) time.Duration       // of a call, or nil
	before   func(role string, event []byte) // is told of every invocation, or nil

	mu    sync.Mutex
	calls map[string]int // by service and operation
	carts []string       // escaped paths that the Cart API was asked for
	log   bytes.Buffer
}

// newHouse returns the roles in a new world.
func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, world: newWorld(time.Now), handlers: map[string]lambda.Handler{}, calls: map[string]int{}}
	h.world.Latency = h.count
	for _, role := range roles.All() {
		h.build(role.Name, nil)
	}
	return h
}

// build builds a role, with settings changed.
func (h *house) build(role string, change map[string]string) {
	h.t.Helper()
	env := h.world.Env(role)
	maps.Copy(env, change)
	cfg := awsConfig(h.world)
	cfg.Retryer = func() aws.Retryer { return retry.NewStandard() }
	h.handlers[role] = newHandler(h.t, env, roles.Deps{AWS: cfg, Transport: h, Stdout: h, Now: time.Now})
}

// newHandler returns the handler of the role that an environment names.
func newHandler(t testing.TB, env map[string]string, deps roles.Deps) lambda.Handler {
	t.Helper()
	settings, err := roles.Configure(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return roles.Build(settings, deps)
}

// count notes a call, and returns how long it takes.
func (h *house) count(c *Call) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[c.Service+" "+c.Operation]++
	if h.latency == nil {
		return 0
	}
	return h.latency(c)
}

// RoundTrip is the way to the Cart API.
func (h *house) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.carts = append(h.carts, req.URL.EscapedPath())
	h.mu.Unlock()
	return h.world.RoundTrip(req)
}

// Write takes the log.
func (h *house) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(line)
}

// invoke runs a role on an event, and returns what it answers.
func (h *house) invoke(role string, event any) []byte {
	h.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.before != nil {
		h.before(role, payload)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "request"})
	answer, err := h.handlers[role].Invoke(ctx, payload)
	if err != nil {
		h.t.Fatalf("%s of %s: %v", role, payload, err)
	}
	return answer
}

// drain delivers every message and every change of the table until there are
// none that can be delivered.
func (h *house) drain() {
	h.t.Helper()
	for again := true; again; {
		again = false
		for _, role := range consumers() {
			again = h.deliver(role) || again
		}
		again = h.publish() || again
	}
}

// deliver hands a role the messages of its queue, one at a time, and reports
// whether there were any.
func (h *house) deliver(role string) bool {
	h.t.Helper()
	q := h.world.Queue(role)
	messages := q.Receive(10, func(Message) bool { return true })
	for _, m := range messages {
		answer := h.invoke(role, events.SQSEvent{Records: []events.SQSMessage{m.record()}})
		if strings.Contains(string(answer), m.ID) {
			q.Show(m.Handle, 0)
		} else {
			q.Delete(m.Handle)
		}
	}
	return len(messages) > 0
}

// record returns the message as Lambda hands it to a function.
func (m Message) record() events.SQSMessage {
	r := events.SQSMessage{
		MessageId: m.ID, ReceiptHandle: m.Handle, Body: m.Body, EventSource: "aws:sqs", AWSRegion: region,
		Attributes: map[string]string{
			"ApproximateReceiveCount": strconv.Itoa(m.Receives),
			"SentTimestamp":           strconv.FormatInt(m.Sent.UnixMilli(), 10),
		},
		MessageAttributes: map[string]events.SQSMessageAttribute{},
	}
	if m.Group != "" {
		r.Attributes["MessageGroupId"] = m.Group
	}
	for name, a := range m.Attributes {
		r.MessageAttributes[name] = events.SQSMessageAttribute{DataType: a.DataType, StringValue: &a.StringValue}
	}
	return r
}

// publish hands the recorder what the table's stream has, and reports whether
// there was anything.
func (h *house) publish() bool {
	h.t.Helper()
	shards := h.world.Table.Shards()
	for _, shard := range shards {
		records := h.world.Table.Records(shard, 100)
		answer := h.invoke(recorder, json.RawMessage(streamEvent(records)))
		if string(answer) != `{"batchItemFailures":[]}` {
			h.t.Fatalf("the stream was answered %s", answer)
		}
		h.world.Table.Advance(shard, len(records))
	}
	return len(shards) > 0
}

// An identity is what the authorizer says about a caller.
type identity struct {
	name   string
	claims map[string]any // nil: no authorizer
}

// as returns somebody of a tenant, with more claims: a name, its value, and so
// on.
func as(tenant string, more ...string) identity {
	claims := map[string]any{
		"custom:tenantId": tenant, "sub": "subject", "email": "someone@" + owner + ".example", "email_verified": "true",
	}
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

// post asks for an order, with the body changed and headers added: a name, its
// value, and so on.
func (h *house) post(who identity, change func(body map[string]any), headers ...string) reply {
	h.t.Helper()
	body := map[string]any{
		"customerEmail": "buyer@" + owner + ".example", "customerName": "Private Buyer", "cartId": "cart-1",
		"billingAddress": map[string]any{
			"street": street, "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA",
		},
	}
	if change != nil {
		change(body)
	}
	text, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.call("create_order", who, func(e *events.APIGatewayProxyRequest) {
		e.Body = string(text)
		for i := 0; i < len(headers); i += 2 {
			e.Headers[headers[i]] = headers[i+1]
		}
	})
}

// order places an order and returns its id.
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
	return h.call("get_order", who, func(e *events.APIGatewayProxyRequest) {
		e.PathParameters = map[string]string{"orderId": id}
	})
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

// A Bill is what was asked of AWS.
type Bill struct {
	Calls       map[string]int // by service and operation: "dynamodb GetItem"
	Read, Write float64        // units of the table and its indexes
	Log         int            // bytes
}

// Table returns how many calls of the table there were.
func (b Bill) Table() (n int) {
	for call, times := range b.Calls {
		if strings.HasPrefix(call, "dynamodb ") {
			n += times
		}
	}
	return n
}

// bill runs a step and returns what it cost.
func (h *house) bill(step func()) Bill {
	h.world.Table.Usage()
	h.mu.Lock()
	h.calls = map[string]int{}
	logged := h.log.Len()
	h.mu.Unlock()
	step()
	used := h.world.Table.Usage()
	h.mu.Lock()
	defer h.mu.Unlock()
	return Bill{maps.Clone(h.calls), used.ReadUnits, used.WriteUnits, h.log.Len() - logged}
}

// A Step is one invocation in the life of an order.
type Step struct {
	Name, Role string
	Bill
}

// life takes one order through its life: it is created, recorded, read, listed,
// documented, mailed, and updated twice. It returns what each invocation cost.
func (h *house) life() (steps []Step) {
	h.t.Helper()
	id, before := "", len(h.world.Mails())
	step := func(name, role string, do func()) { steps = append(steps, Step{name, role, h.bill(do)}) }
	request := func(role string, want int, do func() reply) {
		step("", role, func() {
			r := do()
			if r.status != want {
				h.t.Fatalf("%s answered %d %s", role, r.status, r.body)
			}
			if created, ok := r.data["orderId"].(string); ok {
				id = created
			}
		})
	}
	update := func(body string) {
		request("update_order", http.StatusOK, func() reply { return h.put(as(owner), id, body) })
		step("stream", recorder, func() { h.publish() })
	}
	tell := func() {
		for _, role := range []string{documenter, teamMailer, customerMailer} {
			step("", role, func() { h.deliver(role) })
		}
	}
	request("create_order", http.StatusAccepted, func() reply { return h.post(as(owner), nil) })
	step("", recorder, func() { h.deliver(recorder) })
	request("get_order", http.StatusOK, func() reply { return h.get(as(owner), id) })
	step("stream", recorder, func() { h.publish() })
	tell()
	update(`{"status": "paid", "paymentDetails": {"transactionId": "tx-1"}}`)
	tell()
	update(`{"status": "processing"}`)
	request("list_orders", http.StatusOK, func() reply { return h.list(as(owner), owner, "") })
	if got := len(h.world.Mails()) - before; got != 4 {
		h.t.Fatalf("the order's life has %d mails", got)
	}
	return steps
}

// copiesOf returns n copies of the recorded order among items, under other ids.
func copiesOf(items []Item, n int) (copies []Item) {
	i := slices.IndexFunc(items, func(item Item) bool { return item.Text("GSI1_PK") != "" })
	for range n {
		item, id := maps.Clone(items[i]), order.NewID()
		item["id"], item["SK"], item["GSI2_PK"] = textValue(id), textValue("ORDER#"+id), textValue("ORDER#"+id)
		item["GSI1_SK"] = textValue(item.Text("dateCreated") + "#" + id)
		copies = append(copies, item)
	}
	return copies
}

// A Scene is one invocation in the life of an order, with the table before it.
type Scene struct {
	Step
	Event []byte
	Items []Item
}

// scenes returns the invocations of an order's life, in functions that have
// read branding and templates. There is a page of orders to list.
func scenes(t testing.TB) (all []Scene) {
	t.Helper()
	h := newHouse(t)
	h.life()
	h.world.Table.Reset()
	const page = 10
	h.before = func(role string, event []byte) {
		s := Scene{Event: event, Items: h.world.Table.Items()}
		if role == "list_orders" {
			s.Items = append(s.Items, copiesOf(s.Items, page-1)...)
		}
		all = append(all, s)
	}
	for i, step := range h.life() {
		all[i].Step = step
	}
	return all
}
