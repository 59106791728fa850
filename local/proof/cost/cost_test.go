// Package cost counts what the service asks of the table: calls, read and write
// units, and what is refused.
package cost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles"
	"github.com/bbws/order-lambda/store"
)

const tenant = "acme"

// A house is the eight roles in a world.
type house struct {
	t        *testing.T
	world    *world.World
	handlers map[string]lambda.Handler
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, world: world.New(time.Now), handlers: map[string]lambda.Handler{}}
	for _, role := range roles.All() {
		env := h.world.Env(role.Name)
		settings, err := roles.Configure(func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		cfg := world.Config(h.world)
		cfg.Retryer = func() aws.Retryer { return retry.NewStandard() }
		h.handlers[role.Name] = roles.Build(
			settings,
			roles.Deps{AWS: cfg, Transport: h.world, Stdout: io.Discard, Now: time.Now},
		)
	}
	return h
}

// invoke runs a role on an event and returns what it answers.
func (h *house) invoke(role string, payload []byte) []byte {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	answer, err := h.handlers[role].Invoke(
		lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "request"}),
		payload,
	)
	if err != nil {
		h.t.Fatalf("%s: %v", role, err)
	}
	return answer
}

// request calls an API role, and returns the status and the order's id.
func (h *house) request(
	role, id string,
	body map[string]any,
	headers map[string]string,
) (status int, orderID string) {
	h.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	event, err := json.Marshal(events.APIGatewayProxyRequest{
		Body: string(text), Headers: headers,
		PathParameters: map[string]string{"orderId": id, "tenantId": tenant},
		RequestContext: events.APIGatewayProxyRequestContext{Authorizer: map[string]any{
			"claims": map[string]any{"custom:tenantId": tenant, "sub": "user-1"},
		}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	var answer events.APIGatewayProxyResponse
	var data struct{ Data struct{ OrderID string } }
	if err := json.Unmarshal(h.invoke(role, event), &answer); err != nil {
		h.t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(answer.Body), &data) // A failure has no order.
	return answer.StatusCode, data.Data.OrderID
}

func newOrder() map[string]any {
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

// deliver hands a role the messages of its queue.
func (h *house) deliver(role string) {
	h.t.Helper()
	q := h.world.Queue(role)
	for _, m := range q.Receive(10, func(world.Message) bool { return true }) {
		event, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{
			MessageId: m.ID, ReceiptHandle: m.Handle, Body: m.Body, EventSource: "aws:sqs",
			Attributes: map[string]string{"ApproximateReceiveCount": "1"},
		}}})
		if err != nil {
			h.t.Fatal(err)
		}
		if answer := h.invoke(role, event); strings.Contains(string(answer), m.ID) {
			h.t.Fatalf("%s answered %s", role, answer)
		}
		q.Delete(m.Handle)
	}
}

// publish hands the recorder what the table's stream has.
func (h *house) publish() {
	h.t.Helper()
	for _, shard := range h.world.Table.Shards() {
		records := h.world.Table.Records(shard, 100)
		h.invoke("order_creator_record", world.StreamEvent(records))
		h.world.Table.Advance(shard, len(records))
	}
}

// A bill is what a step cost.
type bill struct {
	calls       int
	read, write float64
}

func (b bill) String() string {
	return fmt.Sprintf("%d calls, %g read and %g write units", b.calls, b.read, b.write)
}

// cost runs a step and returns what it cost.
func (h *house) cost(step func()) bill {
	h.t.Helper()
	h.world.Table.Usage()
	step()
	used := h.world.Table.Usage()
	return bill{used.Total(), used.ReadUnits, used.WriteUnits}
}

// TestLife counts what each role asks of the table in the life of one order: it
// is created, recorded, documented, mailed and updated twice.
func TestLife(t *testing.T) {
	is := is.New(t)
	h := newHouse(t)
	var id string
	var total bill
	step := func(name string, want bill, do func()) {
		t.Helper()
		got := h.cost(do)
		t.Logf("%-45s %s", name, got)
		if got != want {
			t.Errorf("%s took %s, not %s", name, got, want)
		}
		total.calls, total.read, total.write = total.calls+got.calls, total.read+got.read, total.write+got.write
	}
	update := func(body map[string]any) func() {
		return func() {
			status, _ := h.request("update_order", id, body, nil)
			is.Equal(status, http.StatusOK)
		}
	}
	mails := func() {
		h.deliver("order_internal_notifier")
		h.deliver("customer_order_confirmation")
	}
	step("create_order", bill{2, 0, 2}, func() {
		var status int
		status, id = h.request("create_order", "", newOrder(), nil)
		is.Equal(status, http.StatusAccepted)
	})
	step("order_creator_record", bill{3, 1, 5}, func() { h.deliver("order_creator_record") })
	step("get_order", bill{1, 1, 0}, func() {
		status, _ := h.request("get_order", id, nil, nil)
		is.Equal(status, http.StatusOK)
	})
	step("the stream", bill{0, 0, 0}, h.publish)
	step("order_pdf_creator, pro forma", bill{2, 1, 2}, func() { h.deliver("order_pdf_creator") })
	step("two mails", bill{6, 2, 4}, mails)
	step("update_order, paid", bill{2, 1, 3}, update(map[string]any{
		"status": "paid", "paymentDetails": map[string]any{"transactionId": "tx-1"},
	}))
	h.publish()
	step("order_pdf_creator, tax invoice", bill{4, 2, 7}, func() { h.deliver("order_pdf_creator") })
	step("two mails", bill{6, 2, 4}, mails)
	step("update_order, processing", bill{2, 1, 3}, update(map[string]any{"status": "processing"}))
	t.Logf("%-45s %s", "altogether", total)
	is.Equal(total.write, 30.0) // 26 with one mail each
	used := h.cost(func() {
		status, _ := h.request("create_order", "", newOrder(), map[string]string{"Idempotency-Key": "key-1"})
		is.Equal(status, http.StatusAccepted)
	})
	t.Logf("%-45s %s", "create_order with a key", used)
	is.Equal(used, bill{3, 0, 3})
	is.Equal(len(h.world.Mails()), 4)
}

// latencies are what calls of DynamoDB take.
func latencies(c *world.Call) time.Duration {
	switch c.Operation {
	case "GetItem":
		return 3 * time.Millisecond
	case "TransactWriteItems":
		return 12 * time.Millisecond
	default:
		return 5 * time.Millisecond
	}
}

// TestOneTenant places the orders of one tenant at rising rates, half of them
// with a key, in virtual time. One item takes 1 000 write units a second.
func TestOneTenant(t *testing.T) {
	for _, rate := range []int{10, 100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			h := newHouse(t)
			h.world.Latency = latencies
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
			var mu sync.Mutex
			answers := map[int]int{}
			slowest := time.Duration(0)
			placed := max(20, rate)
			var group sync.WaitGroup
			for n := range placed {
				group.Go(func() {
					headers := map[string]string{}
					if n%2 == 0 {
						headers["Idempotency-Key"] = fmt.Sprint("key-", n)
					}
					begin := time.Now()
					status, _ := h.request("create_order", "", newOrder(), headers)
					mu.Lock()
					defer mu.Unlock()
					answers[status]++
					slowest = max(slowest, time.Since(begin))
				})
				time.Sleep(time.Second / time.Duration(rate))
			}
			group.Wait()
			used, orders := h.world.Table.Usage(), float64(placed)
			t.Logf("%d orders/s: %.1f calls and %.1f write units an order, slowest %s, refused %v",
				rate, float64(used.Total())/orders, used.WriteUnits/orders, slowest, used.Refused)
			is.Equal(answers, map[int]int{http.StatusAccepted: placed})
			is.Equal(float64(used.Total())/orders, 2.5)
			is.Equal(used.WriteUnits/orders, 2.5)
			is.Equal(len(used.Refused), 0)
			is.True(slowest < 100*time.Millisecond)
		})
	}
}

// TestGrowth: with ten thousand orders the store asks for as much as with ten.
func TestGrowth(t *testing.T) {
	is := is.New(t)
	small, large := growth(t, 10), growth(t, 10_000)
	for name, cost := range small {
		t.Logf("%-20s %s", name, cost)
		if large[name] != cost {
			t.Errorf("%s takes %s among ten thousand orders, and %s among ten", name, large[name], cost)
		}
	}
	is.Equal(len(small), len(large))
}

// growth returns what the store's methods cost in a tenant with n orders.
func growth(t *testing.T, n int) map[string]bill {
	t.Helper()
	is := is.New(t)
	h := newHouse(t)
	s := store.New(dynamodb.NewFromConfig(world.Config(h.world)), world.TableName, time.Now)
	ctx := t.Context()
	last := record(t, s)
	pk := "TENANT#" + tenant
	item := h.world.Table.Item(pk, "ORDER#"+last.ID)
	for range n - 1 {
		h.world.Table.Restore(another(item, order.NewID()))
	}
	costs := map[string]bill{}
	list := func(sort store.Sort) error {
		page, err := s.List(ctx, store.ListQuery{TenantID: tenant, Size: 5, Sort: sort})
		if err == nil && len(page.Orders) != 5 {
			err = fmt.Errorf("%d orders", len(page.Orders))
		}
		return err
	}
	measure := func(name string, do func() error) { costs[name] = h.cost(func() { is.NoErr(do()) }) }
	measure("get", func() error { _, err := s.Order(ctx, tenant, last.ID); return err })
	measure("get by id", func() error { _, err := s.OrderByID(ctx, last.ID); return err })
	measure("get by number", func() error { _, err := s.OrderByNumber(ctx, tenant, last.Number); return err })
	measure("list by id", func() error { return list(store.ByID) })
	measure("list by date", func() error { return list(store.NewestFirst) })
	measure("update", func() error {
		o, was := last, last.DateLastUpdated
		if _, err := o.Apply(order.Update{Status: order.Paid, By: "user-1"}, time.Now()); err != nil {
			return err
		}
		_, err := s.Update(ctx, o, was)
		return err
	})
	measure("accept", func() error {
		_, err := s.Accept(ctx, order.Creation{OrderID: order.NewID(), TenantID: tenant})
		return err
	})
	return costs
}

// another returns a recorded order's item under another id.
func another(item world.Item, id string) world.Item {
	text := func(s string) world.Value { return world.Value{S: &s} }
	item = maps.Clone(item)
	item["id"], item["SK"], item["GSI2_PK"] = text(id), text("ORDER#"+id), text("ORDER#"+id)
	item["GSI1_SK"] = text(item.Text("dateCreated") + "#" + id)
	return item
}

// record accepts and records an order.
func record(t *testing.T, s *store.Store) order.Order {
	t.Helper()
	is := is.New(t)
	c := order.Creation{
		OrderID:       order.NewID(),
		TenantID:      tenant,
		CustomerEmail: "thandi@example.com",
		CartID:        "cart-1",
		CreatedBy:     "user-1",
	}
	accepted, err := s.Accept(t.Context(), c)
	is.NoErr(err)
	price, err := order.ParseMoney("100.10", "ZAR")
	is.NoErr(err)
	zero, err := order.ParseMoney("0", "ZAR")
	is.NoErr(err)
	rate, err := order.ParseRate(world.TaxRate)
	is.NoErr(err)
	o, err := order.New(
		accepted,
		c,
		order.Cart{ID: c.CartID, TenantID: tenant, Currency: "ZAR", Shipping: zero, Items: []order.CartItem{
			{ID: "1", ProductID: "p-1", ProductName: "Rooibos", Quantity: 1, UnitPrice: price, Discount: zero},
		}},
		rate,
	)
	is.NoErr(err)
	is.NoErr(s.Record(t.Context(), o))
	return o
}
