package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/order"
)

const (
	acme    = "acme"
	orderID = "6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"
)

var (
	noon     = time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)
	errFault = errors.New("nobody knows why")
)

func atNoon() time.Time { return noon }

// invocation is the context of an invocation, with what it logged.
func invocation(t *testing.T) (context.Context, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	t.Cleanup(cancel)
	l := zerolog.New(zerolog.SyncWriter(&log))
	return context.WithValue(ctx, scopeKey{}, &scope{log: l, untraced: l, metrics: &metrics{}}), &log
}

// counted returns the sum of a metric's values in the invocation.
func counted(ctx context.Context, name metric) float64 {
	m := scopeOf(ctx).metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := 0.0
	for _, v := range m.values[name] {
		sum += v
	}
	return sum
}

// measured returns the values of a metric in the invocation.
func measured(ctx context.Context, name metric) []float64 {
	m := scopeOf(ctx).metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.values[name])
}

// apiEvent reads an event of testdata and changes it.
func apiEvent(t *testing.T, role string, change func(*events.APIGatewayProxyRequest)) events.APIGatewayProxyRequest {
	t.Helper()
	var event events.APIGatewayProxyRequest
	readEvent(t, role, &event)
	if change != nil {
		change(&event)
	}
	return event
}

func readEvent(t testing.TB, role string, event any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", role+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, event); err != nil {
		t.Fatal(err)
	}
}

// An answer is what a client gets, as a test looks at it.
type answer struct {
	Status  int
	Headers map[string]string
	Data    map[string]any
	failure
}

// call sends an event through the HTTP edge to a handler.
func call(t *testing.T, ctx context.Context, h apiHandler, event events.APIGatewayProxyRequest) answer {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	out, err := api("https://portal.example.com", h)(ctx, payload)
	if err != nil {
		t.Fatal(err)
	}
	var res events.APIGatewayProxyResponse
	if err := json.Unmarshal(out, &res); err != nil {
		t.Fatal(err)
	}
	return parseAnswer(t, res)
}

func parseAnswer(t *testing.T, res events.APIGatewayProxyResponse) answer {
	t.Helper()
	a := answer{Status: res.StatusCode, Headers: res.Headers}
	var envelope struct{ Data map[string]any }
	if err := errors.Join(
		json.Unmarshal([]byte(res.Body), &envelope), json.Unmarshal([]byte(res.Body), &a.failure),
	); err != nil {
		t.Fatal(err)
	}
	a.Data = envelope.Data
	return a
}

// badFields returns the names of the fields that an answer complains about.
func (a answer) badFields() string {
	names := make([]string, len(a.Details))
	for i, d := range a.Details {
		names[i] = d.Field
	}
	return strings.Join(names, " ")
}

func money(t testing.TB, s string) order.Money {
	t.Helper()
	m, err := order.ParseMoney(s, "ZAR")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// vat is a tax rate of 15 %.
func vat(t testing.TB) order.Rate {
	t.Helper()
	r, err := order.ParseRate("0.15")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sampleCreation is the message of testdata/order_creator_record.json.
func sampleCreation(t testing.TB) order.Creation {
	t.Helper()
	var event events.SQSEvent
	readEvent(t, "order_creator_record", &event)
	c, err := order.ParseCreation([]byte(event.Records[0].Body))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sampleCart(t testing.TB) order.Cart {
	t.Helper()
	return order.Cart{
		ID: "cart-good", TenantID: acme, Currency: "ZAR", Shipping: money(t, "50.00"),
		Items: []order.CartItem{{
			ID: "line-1", ProductID: "p-1", ProductName: "Rooibos", Quantity: 2,
			UnitPrice: money(t, "100.10"), Discount: money(t, "0.20"),
		}},
	}
}

// sampleAcceptance is the order of that message as it was accepted.
func sampleAcceptance(t testing.TB) order.Order {
	t.Helper()
	return sampleCreation(t).Accepted("ORD-2025-00001", order.NewTimestamp(noon))
}

// sampleOrder is that order, recorded.
func sampleOrder(t testing.TB) order.Order {
	t.Helper()
	o, err := order.New(sampleAcceptance(t), sampleCreation(t), sampleCart(t), vat(t))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// orderIn is that order after it took statuses, one a minute, and was paid for
// with the transaction t-1 where it was paid.
func orderIn(t testing.TB, statuses ...order.Status) order.Order {
	t.Helper()
	o := sampleOrder(t)
	for i, s := range statuses {
		u := order.Update{Status: s, By: "clerk", TraceID: fmt.Sprint("1-trace-", i)}
		if s == order.Paid {
			u.PaymentDetails = &order.PaymentDetails{TransactionID: "t-1", PaidAt: order.NewTimestamp(noon)}
		}
		if _, err := o.Apply(u, noon.Add(time.Duration(i+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// asAdmin makes the caller of an event an administrator.
func asAdmin(e *events.APIGatewayProxyRequest) { inGroups("staff,admin")(e) }

// inGroups makes the caller of an event a member of groups.
func inGroups(claim string) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) {
		e.RequestContext.Authorizer["claims"].(map[string]any)["cognito:groups"] = claim
	}
}

// all makes several changes of an event one.
func all(changes ...func(*events.APIGatewayProxyRequest)) func(*events.APIGatewayProxyRequest) {
	return func(e *events.APIGatewayProxyRequest) {
		for _, change := range changes {
			change(e)
		}
	}
}
