package proof

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// A bill is what was asked of the table.
type bill struct {
	calls       int
	read, write float64
}

func (b bill) String() string {
	return fmt.Sprintf("%d calls, %g read and %g write units", b.calls, b.read, b.write)
}

// billed runs a step and returns what it asked of the table.
func billed(h *house, step func()) bill {
	b := h.bill(step)
	return bill{b.Table(), b.Read, b.Write}
}

// TestLife holds what each invocation in the life of an order asks of AWS.
func TestLife(t *testing.T) {
	is := is.New(t)
	h := newHouse(t)
	life := h.life()
	// Branding and templates are read at the first of their kind, and kept.
	first, second := []string{"s3 GetObject ×3", "ses SendEmail"}, []string{"s3 GetObject", "ses SendEmail"}
	want := []struct {
		name, role string
		bill       bill
		others     []string // calls of other services
	}{
		{"", "create_order", bill{2, 0, 2}, []string{"sqs SendMessage"}},
		{"", "order_creator_record", bill{3, 1, 5}, []string{"cart GetCart"}},
		{"", "get_order", bill{1, 1, 0}, nil},
		{"stream", "order_creator_record", bill{}, []string{"sns PublishBatch"}},
		{"", "order_pdf_creator", bill{2, 1, 2}, []string{"s3 GetObject ×3", "s3 PutObject"}},
		{"", "order_internal_notifier", bill{3, 1, 2}, first},
		{"", "customer_order_confirmation", bill{3, 1, 2}, first},
		{"", "update_order", bill{2, 1, 3}, nil},
		{"stream", "order_creator_record", bill{}, []string{"sns PublishBatch"}},
		{"", "order_pdf_creator", bill{4, 2, 7}, []string{"s3 PutObject"}},
		{"", "order_internal_notifier", bill{3, 1, 2}, second},
		{"", "customer_order_confirmation", bill{3, 1, 2}, second},
		{"", "update_order", bill{2, 1, 3}, nil},
		{"stream", "order_creator_record", bill{}, []string{"sns PublishBatch"}},
		{"", "list_orders", bill{1, 0.5, 0}, nil},
	}
	is.Equal(len(life), len(want))
	total := bill{}
	for i, s := range life {
		got := bill{s.Table(), s.Read, s.Write}
		var others []string
		for _, call := range slices.Sorted(maps.Keys(s.Calls)) {
			switch n := s.Calls[call]; {
			case strings.HasPrefix(call, "dynamodb "):
			case n > 1:
				others = append(others, fmt.Sprint(call, " ×", n))
			default:
				others = append(others, call)
			}
		}
		t.Logf("%-7s %-28s %-40s %v, %d bytes of log", s.Name, s.Role, got, others, s.Log)
		is.Equal(s.Role, want[i].role)
		is.Equal(s.Name, want[i].name)
		if got != want[i].bill || !slices.Equal(others, want[i].others) {
			t.Errorf("step %d, %s: %s and %v, not %s and %v", i, s.Role, got, others, want[i].bill, want[i].others)
		}
		total.calls, total.read, total.write = total.calls+got.calls, total.read+got.read, total.write+got.write
	}
	t.Logf("altogether %s", total)
	is.Equal(total.write, 30.0) // 26 with one mail each
	used := billed(h, func() {
		is.Equal(h.post(as(owner), nil, "Idempotency-Key", "key-1").status, http.StatusAccepted)
	})
	t.Logf("create_order with a key: %s", used)
	is.Equal(used, bill{3, 0, 3})
}

// TestUses holds what a million orders take of AWS, if every invocation lasts
// ten milliseconds.
func TestUses(t *testing.T) {
	is := is.New(t)
	scenes := scenes(t)
	deployed, err := deploy.Roles()
	is.NoErr(err)
	seen := map[string]bool{}
	var life []Step
	var took []time.Duration
	for _, s := range scenes {
		seen[s.Role] = true
		life, took = append(life, s.Step), append(took, 9001*time.Microsecond) // ten are billed
	}
	is.Equal(len(seen), len(deployed)) // every role has its scene
	got := map[string]float64{}
	for _, u := range uses(life, took, deployed) {
		got[u.Service+" "+u.Unit] = u.Amount
	}
	is.True(math.Abs(got["Lambda, arm64 GB-second"]-0.01*(11*0.5+4*0.25)) < 1e-9)
	is.True(got["CloudWatch Logs MB"] > 0.010 && got["CloudWatch Logs MB"] < 0.030) // a few lines an invocation
	delete(got, "Lambda, arm64 GB-second")
	delete(got, "CloudWatch Logs MB")
	is.Equal(got, map[string]float64{
		"DynamoDB, on demand write unit": 30,
		"DynamoDB, on demand read unit":  11.5,
		"Lambda, arm64 request":          15,
		"API Gateway, REST request":      5,
		"WAF request":                    5,
		"SQS request":                    3 + 6*3, // seven messages, each sent, received and deleted
		"SNS publish":                    3,
		"S3 PUT":                         2,
		"S3 GET":                         0, // branding and templates are kept
		"SES mail":                       4,
	})
}

// latencies are what calls of DynamoDB take.
func latencies(c *Call) time.Duration {
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
			h.latency = latencies
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
			var mu sync.Mutex
			answers := map[int]int{}
			slowest := time.Duration(0)
			placed := max(20, rate)
			var group sync.WaitGroup
			for n := range placed {
				group.Go(func() {
					var headers []string
					if n%2 == 0 {
						headers = []string{"Idempotency-Key", fmt.Sprint("key-", n)}
					}
					begin := time.Now()
					status := h.post(as(owner), nil, headers...).status
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
	h := newHouse(t)
	s := store.New(dynamodb.NewFromConfig(awsConfig(h.world)), tableName, time.Now)
	ctx := t.Context()
	last := record(t, s)
	h.world.Table.Restore(copiesOf(h.world.Table.Items(), n-1)...)
	costs := map[string]bill{}
	list := func(sort store.Sort) error {
		page, err := s.List(ctx, store.ListQuery{TenantID: owner, Size: 5, Sort: sort})
		if err == nil && len(page.Orders) != 5 {
			err = fmt.Errorf("%d orders", len(page.Orders))
		}
		return err
	}
	measure := func(name string, do func() error) {
		costs[name] = billed(h, func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		})
	}
	measure("get", func() error { _, err := s.Order(ctx, owner, last.ID); return err })
	measure("get by id", func() error { _, err := s.OrderByID(ctx, last.ID); return err })
	measure("get by number", func() error { _, err := s.OrderByNumber(ctx, owner, last.Number); return err })
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
		_, err := s.Accept(ctx, order.Creation{OrderID: order.NewID(), TenantID: owner})
		return err
	})
	return costs
}

// record accepts and records an order.
func record(t *testing.T, s *store.Store) order.Order {
	t.Helper()
	is := is.New(t)
	c := order.Creation{
		OrderID:       order.NewID(),
		TenantID:      owner,
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
	rate, err := order.ParseRate(taxRate)
	is.NoErr(err)
	o, err := order.New(
		accepted,
		c,
		order.Cart{ID: c.CartID, TenantID: owner, Currency: "ZAR", Shipping: zero, Items: []order.CartItem{
			{ID: "1", ProductID: "p-1", ProductName: "Rooibos", Quantity: 1, UnitPrice: price, Discount: zero},
		}},
		rate,
	)
	is.NoErr(err)
	is.NoErr(s.Record(t.Context(), o))
	return o
}
