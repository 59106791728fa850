// Package cost counts what the service asks of AWS: calls by service, read and
// write units of the table, bytes of log.
package cost

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles"
)

const tenant = "acme"

// A House is the eight roles in a world, in one process.
type House struct {
	World *world.World
	// Latency is how long a call takes. It may be nil.
	Latency func(*world.Call) time.Duration
	// Before is told of every invocation before it begins. It may be nil.
	Before func(role string, event []byte)

	handlers map[string]lambda.Handler
	mu       sync.Mutex
	calls    map[string]int
	log      int
}

// NewHouse returns the roles in a new world.
func NewHouse() (*House, error) {
	h := &House{World: world.New(time.Now), handlers: map[string]lambda.Handler{}, calls: map[string]int{}}
	h.World.Latency = h.count
	for _, role := range roles.All() {
		env := h.World.Env(role.Name)
		settings, err := roles.Configure(func(name string) string { return env[name] })
		if err != nil {
			return nil, err
		}
		cfg := world.Config(h.World)
		cfg.Retryer = func() aws.Retryer { return retry.NewStandard() }
		h.handlers[role.Name] = roles.Build(
			settings,
			roles.Deps{AWS: cfg, Transport: h.World, Stdout: h, Now: time.Now},
		)
	}
	return h, nil
}

// count notes a call, and returns how long it takes.
func (h *House) count(c *world.Call) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[c.Service+" "+c.Operation]++
	if h.Latency == nil {
		return 0
	}
	return h.Latency(c)
}

// Write takes the log.
func (h *House) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log += len(line)
	return len(line), nil
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

// Cost runs a step and returns what it cost.
func (h *House) Cost(step func() error) (Bill, error) {
	h.World.Table.Usage()
	h.mu.Lock()
	h.calls, h.log = map[string]int{}, 0
	h.mu.Unlock()
	err := step()
	used := h.World.Table.Usage()
	h.mu.Lock()
	defer h.mu.Unlock()
	return Bill{maps.Clone(h.calls), used.ReadUnits, used.WriteUnits, h.log}, err
}

// Invoke runs a role on an event and returns what it answers.
func (h *House) Invoke(role string, event []byte) ([]byte, error) {
	if h.Before != nil {
		h.Before(role, event)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := h.handlers[role].Invoke(
		lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "request"}),
		event,
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return answer, nil
}

// Request calls an API role and returns the status and the order's id.
func (h *House) Request(
	role, id string, body map[string]any, headers map[string]string,
) (status int, orderID string, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	event, err := json.Marshal(events.APIGatewayProxyRequest{
		Body: string(text), Headers: headers,
		PathParameters: map[string]string{"orderId": id, "tenantId": tenant},
		RequestContext: events.APIGatewayProxyRequestContext{Authorizer: map[string]any{
			"claims": map[string]any{"custom:tenantId": tenant, "sub": "user-1"},
		}},
	})
	if err != nil {
		return 0, "", err
	}
	text, err = h.Invoke(role, event)
	if err != nil {
		return 0, "", err
	}
	var answer events.APIGatewayProxyResponse
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, "", err
	}
	var data struct{ Data struct{ OrderID string } }
	_ = json.Unmarshal([]byte(answer.Body), &data) // A failure and a list have no order.
	return answer.StatusCode, data.Data.OrderID, nil
}

// NewOrder returns the body of a request for an order.
func NewOrder() map[string]any {
	return map[string]any{
		"customerEmail": "thandi@example.com", "customerName": "Thandi Nkosi", "cartId": "cart-1",
		"billingAddress": map[string]any{
			"street":     "12 Long Street",
			"city":       "Cape Town",
			"province":   "Western Cape",
			"postalCode": "8001",
			"country":    "ZA",
		},
	}
}

// deliver hands a role the messages of its queue, one at a time.
func (h *House) deliver(role string) error {
	q := h.World.Queue(role)
	for _, m := range q.Receive(10, func(world.Message) bool { return true }) {
		event, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{
			MessageId: m.ID, ReceiptHandle: m.Handle, Body: m.Body, EventSource: "aws:sqs",
			Attributes: map[string]string{"ApproximateReceiveCount": "1"},
		}}})
		if err != nil {
			return err
		}
		answer, err := h.Invoke(role, event)
		if err != nil {
			return err
		}
		if strings.Contains(string(answer), m.ID) {
			return fmt.Errorf("%s answered %s", role, answer)
		}
		q.Delete(m.Handle)
	}
	return nil
}

// publish hands the recorder what the table's stream has.
func (h *House) publish() error {
	for _, shard := range h.World.Table.Shards() {
		records := h.World.Table.Records(shard, 100)
		if _, err := h.Invoke("order_creator_record", world.StreamEvent(records)); err != nil {
			return err
		}
		h.World.Table.Advance(shard, len(records))
	}
	return nil
}

// A Step is one invocation in the life of an order.
type Step struct {
	Name, Role string
	Bill
}

// Life takes one order through its life: it is created, recorded, read, listed,
// documented, mailed, and updated twice. It returns what each invocation cost.
func (h *House) Life() (life []Step, err error) {
	var id string
	before := len(h.World.Mails())
	step := func(name, role string, do func() error) {
		if err == nil {
			var bill Bill
			bill, err = h.Cost(do)
			life = append(life, Step{name, role, bill})
		}
	}
	request := func(role string, want int, body map[string]any) {
		step("", role, func() error {
			status, orderID, err := h.Request(role, id, body, nil)
			if err == nil && status != want {
				err = fmt.Errorf("%s answered %d", role, status)
			}
			id = cmp.Or(id, orderID)
			return err
		})
	}
	consume := func(names ...string) {
		for _, role := range names {
			step("", role, func() error { return h.deliver(role) })
		}
	}
	stream := func() { step("stream", "order_creator_record", h.publish) }
	mails := []string{"order_internal_notifier", "customer_order_confirmation"}

	request("create_order", http.StatusAccepted, NewOrder())
	consume("order_creator_record")
	request("get_order", http.StatusOK, nil)
	stream()
	consume("order_pdf_creator")
	consume(mails...)
	request("update_order", http.StatusOK, map[string]any{
		"status": "paid", "paymentDetails": map[string]any{"transactionId": "tx-1"},
	})
	stream()
	consume("order_pdf_creator")
	consume(mails...)
	request("update_order", http.StatusOK, map[string]any{"status": "processing"})
	stream()
	request("list_orders", http.StatusOK, nil)
	if got := len(h.World.Mails()) - before; err == nil && got != 4 {
		err = fmt.Errorf("the order's life has %d mails", got)
	}
	return life, err
}

// Copies returns n copies of the recorded order among items, under other ids.
func Copies(items []world.Item, n int) (copies []world.Item) {
	text := func(s string) world.Value { return world.Value{S: &s} }
	i := slices.IndexFunc(items, func(item world.Item) bool { return item.Text("GSI1_PK") != "" })
	for range n {
		item, id := maps.Clone(items[i]), order.NewID()
		item["id"], item["SK"], item["GSI2_PK"] = text(id), text("ORDER#"+id), text("ORDER#"+id)
		item["GSI1_SK"] = text(item.Text("dateCreated") + "#" + id)
		copies = append(copies, item)
	}
	return copies
}

// A Scene is one invocation in the life of an order, with the table before it.
type Scene struct {
	Step
	Event []byte
	Items []world.Item
}

// Scenes returns the invocations of an order's life, in functions that have
// read branding and templates. There is a page of orders to list.
func Scenes() (all []Scene, err error) {
	h, err := NewHouse()
	if err != nil {
		return nil, err
	}
	if _, err := h.Life(); err != nil {
		return nil, err
	}
	h.World.Table.Reset()
	const page = 10
	h.Before = func(role string, event []byte) {
		s := Scene{Event: event, Items: h.World.Table.Items()}
		if role == "list_orders" {
			s.Items = append(s.Items, Copies(s.Items, page-1)...)
		}
		all = append(all, s)
	}
	life, err := h.Life()
	for i, step := range life {
		all[i].Step = step
	}
	return all, err
}
