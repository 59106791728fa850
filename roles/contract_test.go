package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/proof/contract"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

const (
	contractTable = "contract"
	ownTenant     = "tenant-1"
)

// TestContract holds the four API roles to openapi.yaml, behind the gateway and
// on the emulators. Every exchange is validated. At the end each documented
// answer must have been seen, and each documented constraint hit on both of its
// sides.
func TestContract(t *testing.T) {
	a := newTestedAPI(t)
	t.Run("every documented answer", func(t *testing.T) { testAnswers(t, a) })
	t.Run("examples", func(t *testing.T) { testExamples(t, a) })
	t.Run("beyond what a document can say", func(t *testing.T) { testBeyond(t, a) })
	t.Run("constraints", func(t *testing.T) { testConstraints(t, a) })

	is := is.New(t)
	is.Equal(a.contract.Unseen(), []contract.Answer{}) // documented, but never answered
	routes := 0
	for _, item := range a.contract.Document().Paths.Map() {
		routes += len(item.Operations())
	}
	if t.Failed() {
		return
	}
	t.Logf("contract: %d routes, %d documented answers, %d constraints, all of them seen, in %d exchanges",
		routes, len(a.contract.Documented()), len(constraints(a.contract.Document())), a.contract.Seen())
}

// A testedAPI is the four API roles behind the gateway.
type testedAPI struct {
	contract *contract.Contract
	gateway  http.Handler
	orders   *store.Store
	fault    atomic.Pointer[fault]
	broken   atomic.Pointer[error] // what the functions fail with instead of running, as Lambda tells API Gateway
}

// A fault sees the requests to AWS before they leave. It returns true where one
// is to fail. The target is the operation, for example
// DynamoDB_20120810.GetItem.
type fault func(target string) bool

func newTestedAPI(t *testing.T) *testedAPI {
	t.Helper()
	is := is.New(t)
	ctx := t.Context()
	is.NoErr(startEmulators())
	is.NoErr(emulator.CreateTable(ctx, db.Client(), contractTable))
	for _, variable := range emulator.Environ(db, cloud) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	is.NoErr(err)
	queue, err := sqs.NewFromConfig(cfg).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("creation")})
	is.NoErr(err)

	a := &testedAPI{orders: store.New(db.Client(), contractTable, time.Now)}
	a.contract, err = contract.Load("openapi.yaml")
	is.NoErr(err)
	cfg.HTTPClient, cfg.Logger = faulty{cfg.HTTPClient, &a.fault}, logging.Nop{}
	env := complete("")
	env["DYNAMODB_TABLE_NAME"], env["SQS_QUEUE_URL"] = contractTable, *queue.QueueUrl
	var routes []gateway.Route
	for _, r := range []struct{ role, method, path string }{
		{"create_order", http.MethodPost, "/v1.0/orders"},
		{"get_order", http.MethodGet, "/v1.0/orders/{orderId}"},
		{"list_orders", http.MethodGet, "/v1.0/tenants/{tenantId}/orders"},
		{"update_order", http.MethodPut, "/v1.0/orders/{orderId}"},
	} {
		env["ROLE"] = r.role
		s, err := Configure(getter(env))
		is.NoErr(err)
		// Ahead, so that no time that a probe is made of lies in the future.
		ahead := func() time.Time { return time.Now().AddDate(10, 0, 0) }
		built := Build(s, Deps{AWS: cfg, Transport: http.DefaultTransport, Stdout: io.Discard, Now: ahead})
		routes = append(routes, gateway.Route{Method: r.method, Path: r.path, Function: inProcess{built, &a.broken}})
	}
	a.gateway = gateway.New(gateway.Config{Stage: "dev", AllowOrigin: "*", Routes: routes})
	return a
}

// faulty lets requests to AWS through unless the fault of the moment says
// otherwise.
type faulty struct {
	next  aws.HTTPClient
	fault *atomic.Pointer[fault]
}

func (f faulty) Do(r *http.Request) (*http.Response, error) {
	if fails := f.fault.Load(); fails != nil && (*fails)(r.Header.Get("X-Amz-Target")) {
		body := `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not authorized"}`
		return &http.Response{
			StatusCode: http.StatusBadRequest,
			Header:     http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			Body:       io.NopCloser(strings.NewReader(body)),
			Request:    r,
		}, nil
	}
	return f.next.Do(r)
}

// while sets the fault for the time of a call.
func (a *testedAPI) while(f fault, call func()) {
	a.fault.Store(&f)
	defer a.fault.Store(nil)
	call()
}

// inProcess runs a role's handler in this process.
type inProcess struct {
	lambda.Handler
	broken *atomic.Pointer[error]
}

func (f inProcess) Invoke(ctx context.Context, payload []byte, _ string) ([]byte, error) {
	if err := f.broken.Load(); err != nil {
		return nil, *err
	}
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: order.NewID()})
	return f.Handler.Invoke(ctx, payload)
}

// RoundTrip implements http.RoundTripper within this process.
func (a *testedAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	a.gateway.ServeHTTP(w, served)
	return w.Result(), nil
}

// A reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
	Code   string
	Data   struct {
		OrderID    string
		Status     string
		PDFURL     string
		Pagination struct{ NextToken *string }
	}
	Details []order.FieldError
}

// send sends a draft in the name of an identity and fails the test if the
// exchange breaks the contract.
func (a *testedAPI) send(t *testing.T, ctx context.Context, d draft, who gateway.Identity) reply {
	t.Helper()
	token, err := gateway.Token(who, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d = d.clone()
	if d.header == nil {
		d.header = http.Header{}
	}
	if d.header.Get("Authorization") == "" {
		d.header.Set("Authorization", "Bearer "+token)
	}
	r, err := d.request(ctx)
	if err != nil {
		t.Fatal(err)
	}
	through := a.contract.Transport(a, func(err error) { t.Errorf("%v\nsent: %.2000s", err, d.body) })
	resp, err := through.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// record puts an order of a tenant into the table, with a status and an
// invoice.
func (a *testedAPI) record(t *testing.T, tenant string, status order.Status) order.Order {
	t.Helper()
	is := is.New(t)
	price, err := order.ParseMoney("150", "ZAR")
	is.NoErr(err)
	free, err := order.NewMoney(0, "ZAR")
	is.NoErr(err)
	rate, err := order.ParseRate("0.15")
	is.NoErr(err)
	c := creation(tenant)
	accepted, err := a.orders.Accept(t.Context(), c)
	is.NoErr(err)
	campaign := order.Campaign{ID: "c-1", Code: "SUMMER25", FromDate: "2025-12-01", IsValid: true, Active: true}
	o, err := order.New(accepted, c, order.Cart{
		ID: c.CartID, TenantID: tenant, Currency: "ZAR", Shipping: free, Campaign: &campaign,
		Items: []order.CartItem{{
			ID: "line-1", ProductID: "p-1", ProductName: "Rooibos", Quantity: 2, UnitPrice: price, Discount: free,
		}},
	}, rate)
	is.NoErr(err)
	o.Status = status
	is.NoErr(a.orders.Record(t.Context(), o))
	for kind, number := range map[order.DocumentKind]string{order.ProForma: "", order.TaxInvoice: "INV-2025-00001"} {
		is.NoErr(a.orders.AddDocument(t.Context(), tenant, o.ID, order.Document{
			Kind: kind, Number: number, DateIssued: o.DateCreated,
			URL: "s3://orders/" + tenant + "/orders/order_" + o.ID + ".pdf",
		}))
	}
	return o
}

// delete deletes an order, as an operator does.
func (a *testedAPI) delete(t *testing.T, tenant, orderID string) {
	t.Helper()
	_, err := db.Client().UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(contractTable),
		Key: map[string]types.AttributeValue{
			"PK": &types.AttributeValueMemberS{Value: "TENANT#" + tenant},
			"SK": &types.AttributeValueMemberS{Value: "ORDER#" + orderID},
		},
		UpdateExpression:          aws.String("SET active = :no"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":no": &types.AttributeValueMemberBOOL{Value: false}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func creation(tenant string) order.Creation {
	return order.Creation{
		OrderID: order.NewID(), TenantID: tenant, CustomerEmail: "thandi@example.com", CartID: "cart-1001",
		BillingAddress: order.BillingAddress{
			Street: "12 Long Street", City: "Cape Town", Province: "Western Cape", PostalCode: "8001", Country: "ZA",
		},
		PaymentMethod: order.DefaultPaymentMethod, CreatedBy: "thandi@example.com",
	}
}

// draftOf returns the good request of an operation.
func (a *testedAPI) draftOf(method, path string) draft {
	all := drafts(a.contract.Document())
	return all[slices.IndexFunc(all, func(d draft) bool { return d.method == method && d.path == path })]
}

// An answersTest is the API with what the requests of testAnswers have in
// common: who asks, and the good request of each operation.
type answersTest struct {
	*testedAPI
	own, foreign, admin, nobody gateway.Identity
	post, get, put, list        draft
	paid                        order.Order
}

// testAnswers draws every documented answer out of the service.
func testAnswers(t *testing.T, tested *testedAPI) {
	a := &answersTest{
		testedAPI: tested,
		own:       gateway.Identity{Tenant: ownTenant, Email: "thandi@example.com"},
		foreign:   gateway.Identity{Tenant: "tenant-2", Email: "mallory@example.com"},
		admin:     gateway.Identity{Tenant: "tenant-2", Email: "ann@example.com", Groups: []string{"staff", "admin"}},
		post:      tested.draftOf(http.MethodPost, "/v1.0/orders"),
		get:       tested.draftOf(http.MethodGet, "/v1.0/orders/{orderId}"),
		put:       tested.draftOf(http.MethodPut, "/v1.0/orders/{orderId}"),
		list:      tested.draftOf(http.MethodGet, "/v1.0/tenants/{tenantId}/orders"),
		paid:      tested.record(t, ownTenant, order.Paid),
	}
	testSingleAnswers(t, a)
	testBroken(t, a)
	t.Run("a repeated key", func(t *testing.T) { testRepeatedKey(t, a) })
	t.Run("another payment", func(t *testing.T) { testAnotherPayment(t, a) })
	t.Run("a full history", func(t *testing.T) { testFullHistory(t, a) })
	t.Run("an order by its number", func(t *testing.T) { testByNumber(t, a) })
	t.Run("an accepted order", func(t *testing.T) { testAccepted(t, a) })
	t.Run("exact amounts and a working link", func(t *testing.T) { testAmounts(t, a) })
	t.Run("two writers", func(t *testing.T) { testTwoWriters(t, a) })
	t.Run("pages", func(t *testing.T) { testPages(t, a) })
}

func (d draft) of(o order.Order) draft {
	d = d.clone()
	d.pathParams["orderId"] = o.ID
	return d
}

func (d draft) withBody(body any) draft {
	d = d.clone()
	d.body = body
	return d
}

func (d draft) withHeader(name, value string) draft {
	d = d.clone()
	d.header.Set(name, value)
	return d
}

func (d draft) withQuery(name, value string) draft {
	d = d.clone()
	d.query.Set(name, value)
	return d
}

// testSingleAnswers sends the requests that take one exchange each.
func testSingleAnswers(t *testing.T, a *answersTest) {
	cancelled := a.record(t, ownTenant, order.Cancelled)
	pending := a.put.of(a.record(t, ownTenant, order.Pending))
	unpaid := a.put.of(a.record(t, ownTenant, order.Pending))
	old := a.put.of(a.paid).withHeader("If-Match", `"2001-01-01T00:00:00.000000Z"`)
	preflight := func(d draft) draft {
		return draft{method: http.MethodOptions, path: d.path, pathParams: d.pathParams}
	}
	for _, test := range []struct {
		name   string
		status int
		code   string
		draft  draft
		who    gateway.Identity
	}{
		{"a new order", 202, "", a.post, a.own},
		{"no token", 401, "unauthenticated", a.post.withHeader("Authorization", "Bearer no"), a.own},
		{"a token without tenant", 403, "forbidden", a.post, a.nobody},
		{"a new order without anything", 400, "invalid_request", a.post.withBody(map[string]any{}), a.own},

		{"the own order", 200, "", a.get.of(a.paid), a.own},
		{"any order for an administrator", 200, "", a.get.of(a.paid), a.admin},
		{"another tenant's order", 404, "not_found", a.get.of(a.paid), a.foreign},
		{"no order", 404, "not_found", a.get, a.own},
		{"reading without token", 401, "unauthenticated", a.get.withHeader("Authorization", "Bearer no"), a.own},
		{"reading without tenant", 403, "forbidden", a.get, a.nobody},

		{"a list", 200, "", a.list, a.own},
		{"another tenant's list for an administrator", 200, "", a.list, a.admin},
		{"another tenant's list", 403, "forbidden", a.list, a.foreign},
		{"an empty list", 200, "", a.list.withQuery("to", "2001-01-01"), a.own},
		{"a list with a bad parameter", 400, "invalid_request", a.list.withQuery("pageSize", "0"), a.own},
		{"a list with a bad token", 400, "invalid_page_token", a.list.withQuery("startAt", "bm8"), a.own},
		{"a list without token", 401, "unauthenticated", a.list.withHeader("Authorization", "Bearer no"), a.own},

		{"a payment", 200, "", a.put.of(a.paid), a.own},
		{"a payment again", 200, "", a.put.of(a.paid), a.own},
		{"a change with the order's tag among others", 200, "", pending.withHeader("If-Match", `"x", *`), a.own},
		{"a change without anything", 400, "invalid_request", a.put.of(a.paid).withBody(map[string]any{}), a.own},
		{"a change that no table allows", 400, "invalid_transition", a.put.of(cancelled), a.own},
		{"a change without token", 401, "unauthenticated", a.put.withHeader("Authorization", "Bearer no"), a.own},
		{"a change without tenant", 403, "forbidden", a.put, a.nobody},
		{"a change of another tenant's order", 404, "not_found", a.put.of(a.paid), a.foreign},
		{"a change of another tenant's order for an administrator", 200, "", unpaid, a.admin},
		{"a change of an old version", 412, "precondition_failed", old, a.own},

		{"the preflight of an order", 204, "", preflight(draft{path: "/v1.0/orders"}), a.own},
		{"the preflight of one order", 204, "", preflight(a.get), a.own},
		{"the preflight of a list", 204, "", preflight(a.list), a.own},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			got := a.send(t, t.Context(), test.draft, test.who)
			is.Equal(got.status, test.status)
			is.Equal(got.Code, test.code)
		})
	}
}

// testBroken holds the answers of a service that cannot do its work.
func testBroken(t *testing.T, a *answersTest) {
	denied := fault(func(string) bool { return true })
	for status, err := range map[int]error{429: lambdaapi.ErrThrottled, 502: errFault, 504: context.DeadlineExceeded} {
		t.Run(fmt.Sprint("a function that ends with ", err), func(t *testing.T) {
			is := is.New(t)
			a.broken.Store(&err)
			defer a.broken.Store(nil)
			for _, d := range []draft{a.post, a.get, a.list, a.put} {
				is.Equal(a.send(t, t.Context(), d, a.own).status, status)
			}
		})
	}
	t.Run("a body that API Gateway does not take", func(t *testing.T) {
		is := is.New(t)
		for _, d := range []draft{a.post, a.put} {
			text, err := json.Marshal(d.body)
			is.NoErr(err)
			got := a.send(t, t.Context(), d.withBody(append(text, bytes.Repeat([]byte(" "), 10<<20)...)), a.own)
			is.Equal(got.status, http.StatusRequestEntityTooLarge)
		}
	})
	for _, d := range []draft{a.post, a.get, a.list, a.put} {
		t.Run("a failure of the table at "+d.method+" "+d.path, func(t *testing.T) {
			is := is.New(t)
			a.while(denied, func() {
				got := a.send(t, t.Context(), d, a.own)
				is.Equal(got.status, http.StatusInternalServerError)
				is.True(!strings.Contains(got.body, "authorized")) // nothing about the cause
			})
		})
	}
}

func testRepeatedKey(t *testing.T, a *answersTest) {
	is := is.New(t)
	keyed := a.post.withHeader("Idempotency-Key", order.NewID())
	first := a.send(t, t.Context(), keyed, a.own)
	second := a.send(t, t.Context(), keyed, a.own)
	is.Equal(first.header.Get("Idempotent-Replayed"), "")
	is.Equal(second.header.Get("Idempotent-Replayed"), "true")
	is.Equal(first.body, second.body) // the same order
	is.Equal(first.header.Get("Location"), "/v1.0/orders/"+first.Data.OrderID)
	other := a.send(t, t.Context(), keyed.withBody(with(a.post.body.(map[string]any), "cartId", "another")), a.own)
	is.Equal(other.status, http.StatusUnprocessableEntity)
	is.Equal(other.Code, "idempotency_key_reused")
	a.delete(t, ownTenant, first.Data.OrderID)
	gone := a.send(t, t.Context(), keyed, a.own)
	is.Equal(gone.Code, "not_found") // a deleted order does not come back
	is.Equal(a.send(t, t.Context(), a.get.of(order.Order{ID: first.Data.OrderID}), a.own).Code, "not_found")
}

func testAnotherPayment(t *testing.T, a *answersTest) {
	is := is.New(t)
	o := a.record(t, ownTenant, order.Pending)
	is.Equal(a.send(t, t.Context(), a.put.of(o), a.own).status, http.StatusOK)
	another := a.put.of(o).withBody(map[string]any{"paymentDetails": map[string]any{"transactionId": "another"}})
	is.Equal(a.send(t, t.Context(), another, a.own).Code, "payment_exists")
	tag := a.send(t, t.Context(), a.get.of(o), a.own).header.Get("ETag")
	is.Equal(a.send(t, t.Context(), another.withHeader("If-Match", tag), a.own).status, http.StatusOK)
}

func testFullHistory(t *testing.T, a *answersTest) {
	is := is.New(t)
	o := a.record(t, ownTenant, order.Pending)
	for len(o.History) < order.MaxHistory {
		was := o.DateLastUpdated
		changed, err := o.Apply(order.Update{Status: order.PaymentPending, PaymentDetails: &order.PaymentDetails{
			Method: fmt.Sprint("m", len(o.History)),
		}, By: "clerk"}, time.Now())
		is.NoErr(err)
		is.True(changed)
		o, err = a.orders.Update(t.Context(), o, was)
		is.NoErr(err)
	}
	is.Equal(a.send(t, t.Context(), a.put.of(o), a.own).Code, "too_many_changes")
}

func testByNumber(t *testing.T, a *answersTest) {
	is := is.New(t)
	found := a.send(t, t.Context(), a.list.withQuery("orderNumber", a.paid.Number), a.own)
	is.True(strings.Contains(found.body, a.paid.ID))
	none := a.send(t, t.Context(), a.list.withQuery("orderNumber", "ORD-2001-00001"), a.own)
	is.True(strings.Contains(none.body, `"orders":[]`))
	two := a.list.withQuery("orderNumber", a.paid.Number).withQuery("pageSize", "1")
	is.Equal(a.send(t, contract.Beyond(t.Context()), two, a.own).Code, "invalid_request")
}

func testAccepted(t *testing.T, a *answersTest) {
	is := is.New(t)
	accepted := order.Order{ID: a.send(t, t.Context(), a.post, a.own).Data.OrderID}
	got := a.send(t, t.Context(), a.get.of(accepted), a.own)
	is.Equal(got.Data.Status, "pending")
	is.Equal(got.header.Get("ETag"), "") // only an order has one
	early := a.send(t, t.Context(), a.put.of(accepted), a.own)
	is.Equal(early.Code, "order_not_recorded")

	is.NoErr(a.orders.Fail(t.Context(), ownTenant, accepted.ID, "cart is empty"))
	failed := a.send(t, t.Context(), a.get.of(accepted), a.own)
	is.Equal(failed.Data.Status, "failed")
	is.True(strings.Contains(failed.body, `"failureReason":"cart is empty"`))
}

func testAmounts(t *testing.T, a *answersTest) {
	is := is.New(t)
	got := a.send(t, t.Context(), a.get.of(a.paid), a.own)
	for _, want := range []string{
		`"unitPrice":150.00`, `"subtotal":300.00`, `"shipping":0.00`, `"tax":45.00`, `"total":345.00`, `"taxRate":0.15`,
	} {
		is.True(strings.Contains(got.body, want)) // as many decimals as the currency has
	}
	is.True(strings.Contains(got.Data.PDFURL, "X-Amz-Signature=")) // presigned
}

func testTwoWriters(t *testing.T, a *answersTest) {
	is := is.New(t)
	o := a.record(t, ownTenant, order.Pending)
	a.while(func(target string) bool {
		if strings.HasSuffix(target, ".UpdateItem") {
			a.fault.Store(nil)
			early := a.put.of(o).withBody(map[string]any{"status": "payment_pending"})
			is.Equal(a.send(t, t.Context(), early, a.own).status, http.StatusOK)
		}
		return false
	}, func() {
		late := a.send(t, t.Context(), a.put.of(o), a.own)
		is.Equal(late.status, http.StatusConflict)
		is.Equal(late.Code, "order_changed")
	})
}

func testPages(t *testing.T, a *answersTest) {
	is := is.New(t)
	who := gateway.Identity{Tenant: "tenant-pages"}
	for range 3 {
		a.record(t, who.Tenant, order.Pending)
	}
	page := a.list.withQuery("pageSize", "2")
	page.pathParams["tenantId"] = who.Tenant
	first := a.send(t, t.Context(), page, who)
	is.True(first.Data.Pagination.NextToken != nil) // there is more
	last := a.send(t, t.Context(), page.withQuery("startAt", *first.Data.Pagination.NextToken), who)
	is.True(last.Data.Pagination.NextToken == nil) // there is no more
	other := page.withQuery("startAt", *first.Data.Pagination.NextToken).withQuery("sort", "dateCreated")
	is.Equal(a.send(t, t.Context(), other, who).Code, "invalid_page_token") // the token is of another query
}

// testExamples sends the documented examples of requests.
func testExamples(t *testing.T, a *testedAPI) {
	for _, d := range drafts(a.contract.Document()) {
		op := a.contract.Document().Paths.Value(d.path).GetOperation(d.method)
		if op.RequestBody == nil {
			continue
		}
		for name, example := range op.RequestBody.Value.Content.Get("application/json").Examples {
			t.Run(op.OperationID+" "+name, func(t *testing.T) {
				is := is.New(t)
				d := d.clone()
				d.body = example.Value.Value
				if d.pathParams["orderId"] != "" {
					d.pathParams["orderId"] = a.record(t, ownTenant, order.Pending).ID
				}
				got := a.send(t, t.Context(), d, gateway.Identity{Tenant: ownTenant})
				is.True(got.status < 300) // it works as it stands
			})
		}
	}
}

// testBeyond sends requests that are wrong in ways that no OpenAPI document can
// say.
func testBeyond(t *testing.T, a *testedAPI) {
	post := a.draftOf(http.MethodPost, "/v1.0/orders")
	list := a.draftOf(http.MethodGet, "/v1.0/tenants/{tenantId}/orders")
	text, err := json.Marshal(post.body)
	if err != nil {
		t.Fatal(err)
	}
	const most = 64 << 10
	padded := func(n int) draft {
		d := post.clone()
		d.body = append(bytes.Clone(text), bytes.Repeat([]byte(" "), n-len(text))...)
		return d
	}
	raw := func(body string) draft {
		d := post.clone()
		d.body = []byte(body)
		return d
	}
	queried := func(values ...string) draft {
		d := list.clone()
		for i := 0; i < len(values); i += 2 {
			d.query.Set(values[i], values[i+1])
		}
		return d
	}
	update := a.draftOf(http.MethodPut, "/v1.0/orders/{orderId}")
	update.pathParams["orderId"] = a.record(t, ownTenant, order.Paid).ID
	noSuchDay := update.clone()
	noSuchDay.body = map[string]any{"paymentDetails": map[string]any{"paidAt": "2025-02-30T10:30:00Z"}}
	tooEarly := a.draftOf(http.MethodPut, "/v1.0/orders/{orderId}")
	tooEarly.pathParams["orderId"] = a.record(t, ownTenant, order.Pending).ID
	tooEarly.body = map[string]any{"paymentDetails": map[string]any{"method": "payfast"}}

	for _, test := range []struct {
		name   string
		draft  draft
		status int
		field  string
	}{
		{"a body of 64 KiB", padded(most), 202, ""},
		{"a larger body", padded(most + 1), 400, "body"},
		{"no body", raw(""), 400, "body"},
		{"no JSON", raw("{"), 400, "body"},
		{"two values", raw(string(text) + "{}"), 400, "body"},
		{"no UTF-8", raw(strings.Replace(string(text), "cart-1001", "cart-\xff", 1)), 400, "body"},
		{"a day that no calendar has", noSuchDay, 400, "paymentDetails.paidAt"},
		{"payment details too early", tooEarly, 400, "paymentDetails"},
		{"from such a day on", queried("from", "2025-02-30"), 400, "from"},
		{"from after to", queried("from", "2025-12-31", "to", "2025-12-30"), 400, "from"},
		{"from to the same day", queried("from", "2025-12-30", "to", "2025-12-30"), 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			got := a.send(t, contract.Beyond(t.Context()), test.draft, gateway.Identity{Tenant: ownTenant})
			is.Equal(got.status, test.status)
			is.True(test.field == "" || names(got, test.field)) // the refusal names the field
		})
	}
}

// names reports whether an answer complains about a field.
func names(r reply, field string) bool {
	return slices.ContainsFunc(r.Details, func(d order.FieldError) bool { return d.Field == field })
}

// testConstraints sends a request just inside and one just outside every
// constraint of the document.
func testConstraints(t *testing.T, a *testedAPI) {
	doc := a.contract.Document()
	var (
		mu   sync.Mutex
		hits = map[string]map[bool]int{}
		work sync.WaitGroup
		slot = make(chan struct{}, 4)
	)
	unharmed := a.record(t, ownTenant, order.Paid)
	for _, d := range drafts(doc) {
		if d.method == http.MethodPut {
			d.pathParams["orderId"] = unharmed.ID
		}
		for _, p := range probes(doc, d) {
			slot <- struct{}{}
			work.Go(func() {
				defer func() { <-slot }()
				if problem := try(t, a, d.clone(), p); problem != "" {
					t.Errorf("%s (inside: %t): %s", p.constraint, p.inside, problem)
				}
				mu.Lock()
				defer mu.Unlock()
				if hits[p.constraint] == nil {
					hits[p.constraint] = map[bool]int{}
				}
				hits[p.constraint][p.inside]++
			})
		}
	}
	work.Wait()
	for _, c := range constraints(doc) {
		if hits[c][true] == 0 || hits[c][false] == 0 {
			t.Errorf("%s: %d requests inside and %d outside", c, hits[c][true], hits[c][false])
		}
	}
}

// try sends one probe and returns what is wrong with the answer, or "". That
// document and code agree about a request that the document allows, send sees
// to.
func try(t *testing.T, a *testedAPI, d draft, p probe) string {
	who := gateway.Identity{Tenant: ownTenant}
	if d.method == http.MethodPut && p.inside {
		d.pathParams["orderId"] = a.record(t, ownTenant, order.Paid).ID
	}
	p.bend(&d)
	if tenant, ok := d.pathParams["tenantId"]; ok && p.inside {
		who.Tenant = tenant
	}
	r, err := d.request(t.Context())
	if err != nil {
		return err.Error()
	}
	if err := a.contract.CheckRequest(r); (err == nil) != p.inside {
		return fmt.Sprintf("the probe itself is wrong: %v", err)
	}
	got := a.send(t, t.Context(), d, who)
	switch {
	case p.inside:
		return ""
	case p.field == "" && got.status != http.StatusNotFound && got.status != http.StatusForbidden,
		p.field != "" && got.status != http.StatusBadRequest:
		return fmt.Sprintf("answered with %d: %.500s, sent %s %.500v", got.status, got.body, r.URL, d.body)
	case p.field != "" && !names(got, p.field):
		return fmt.Sprintf("the answer does not name %s: %.500s", p.field, got.body)
	}
	return ""
}

// TestErrorTable holds the README's table of errors to the contract, which
// TestContract holds to the code.
func TestErrorTable(t *testing.T) {
	is := is.New(t)
	c, err := contract.Load("openapi.yaml")
	is.NoErr(err)
	documented := map[string]bool{}
	for _, a := range c.Documented() {
		if a.Code != "" {
			documented[fmt.Sprint(a.Status, " ", a.Code)] = true
		}
	}
	text, err := os.ReadFile("README.md")
	is.NoErr(err)
	told := map[string]bool{}
	for _, row := range regexp.MustCompile(
		"(?m)^\\| ([\\d, ]+) \\| `(\\w+)` \\|",
	).FindAllStringSubmatch(string(text), -1) {
		for status := range strings.SplitSeq(row[1], ", ") {
			told[status+" "+row[2]] = true
		}
	}
	is.Equal(
		slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(documented)),
	) // the README tells of what is documented
}
