package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// A mirror sends every request to the stand-in and to DynamoDB Local, and
// compares the answers.
type mirror struct {
	t     *testing.T
	world *World
	db    *emulator.DynamoDB
	calls map[string]int // by operation and outcome
}

// newMirror returns a mirror with an empty table on either side, and a client
// that looks into it.
func newMirror(t *testing.T) (*mirror, *dynamodb.Client) {
	t.Helper()
	db, err := emulator.StartDynamoDB(context.WithoutCancel(t.Context()))
	if err == nil {
		t.Cleanup(db.Close)
		err = emulator.CreateTable(t.Context(), db.Client(), tableName)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{t: t, world: newWorld(time.Now), db: db, calls: map[string]int{}}
	cfg := emulator.Config("https://dynamodb.eu-west-1.amazonaws.com")
	cfg.HTTPClient = &http.Client{Transport: m}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return m, dynamodb.NewFromConfig(cfg)
}

func (m *mirror) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	operation := req.Header.Get("X-Amz-Target")
	req.Body = io.NopCloser(bytes.NewReader(body))
	call, err := m.world.Read(req)
	if err != nil {
		return nil, err
	}
	got := call.Do()

	real := req.Clone(req.Context())
	if real.URL, err = url.Parse(m.db.Endpoint()); err != nil {
		return nil, err
	}
	body = append([]byte(`{"ReturnConsumedCapacity": "TOTAL", `), bytes.TrimPrefix(body, []byte("{"))...)
	real.Host, real.Body, real.ContentLength = real.URL.Host, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res, err := http.DefaultTransport.RoundTrip(real)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // Read only.
	want, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	a, b := outcome(got.Status, got.Body), outcome(res.StatusCode, want)
	if !reflect.DeepEqual(a, b) {
		m.t.Errorf("%s %s\nstand-in:       %s\nDynamoDB Local: %s", operation, body, inOrder(a), inOrder(b))
	}
	kind, _ := b["__type"].(string)
	m.calls[strings.TrimPrefix(operation, "DynamoDB_20120810.")+" "+kind]++
	return got.Response(req), nil
}

// outcome returns what of an answer must be alike: all but the words of errors.
func outcome(status int, body []byte) map[string]any {
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		return map[string]any{"not JSON": string(body)}
	}
	out["status"] = status
	_, transaction := out["ConsumedCapacity"].([]any)
	if c, ok := out["ConsumedCapacity"].(map[string]any); ok {
		out["ConsumedCapacity"] = c["CapacityUnits"]
	}
	// DynamoDB Local counts nothing for an empty page, and too little for a
	// transaction of three.
	if transaction || out["Count"] == 0.0 {
		delete(out, "ConsumedCapacity")
	}
	delete(out, "message")
	delete(out, "Message")
	if kind, ok := out["__type"].(string); ok {
		out["__type"] = kind[strings.LastIndexByte(kind, '#')+1:]
	}
	plainNumbers(out)
	reasons, _ := out["CancellationReasons"].([]any)
	for _, r := range reasons {
		delete(r.(map[string]any), "Message")
	}
	return out
}

// plainNumbers takes needless zeros from numbers: inside of lists and maps
// DynamoDB Local leaves them.
func plainNumbers(v any) {
	switch v := v.(type) {
	case map[string]any:
		if n, ok := v["N"].(string); ok && strings.Contains(n, ".") {
			v["N"] = strings.TrimSuffix(strings.TrimRight(n, "0"), ".")
		}
		for _, member := range v {
			plainNumbers(member)
		}
	case []any:
		for _, member := range v {
			plainNumbers(member)
		}
	}
}

func inOrder(outcome map[string]any) []byte {
	text, _ := json.Marshal(outcome)
	return text
}

// A walker goes through everything that the store does, at random.
type walker struct {
	is      *is.I
	ctx     context.Context
	store   *store.Store
	rand    *rand.Rand
	now     time.Time
	ids     map[string][]string // of orders, by tenant
	deleted func(tenant, id string)
}

// TestStore: whatever the store asks for, the stand-in answers as DynamoDB does.
func TestStore(t *testing.T) {
	is := is.New(t)
	m, client := newMirror(t)
	w := &walker{is: is, ctx: t.Context(), rand: rand.New(rand.NewPCG(1, 2)), ids: map[string][]string{}}
	w.now = time.Date(2025, 12, 31, 20, 0, 0, 0, time.UTC)
	w.store = store.New(client, tableName, func() time.Time { return w.now })
	w.deleted = func(tenant, id string) { deactivate(t, client, tenant, id) }
	for range 12 {
		for _, tenant := range []string{"acme", "bloom"} {
			w.ids[tenant] = append(w.ids[tenant], order.NewID())
		}
	}
	steps := []func(tenant, id string){
		w.accept,
		w.acceptOnce,
		w.record,
		w.record,
		w.update,
		w.update,
		w.update,
		w.document,
		w.mail,
		w.mail,
		w.fail,
		w.list,
		w.remove,
	}
	for range 1200 {
		w.now = w.now.Add(time.Duration(w.rand.IntN(90)) * time.Second)
		tenant := []string{"acme", "bloom"}[w.rand.IntN(2)]
		steps[w.rand.IntN(len(steps))](tenant, w.ids[tenant][w.rand.IntN(12)])
	}
	t.Log(m.calls)
	for _, outcome := range []string{
		"GetItem ", "PutItem ", "PutItem ConditionalCheckFailedException",
		"UpdateItem ", "UpdateItem ConditionalCheckFailedException",
		"Query ", "TransactWriteItems ", "TransactWriteItems TransactionCanceledException",
	} {
		is.True(m.calls[outcome] > 0) // the walk met every outcome
	}
	scan, err := m.db.Client().Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(tableName)})
	is.NoErr(err)
	is.Equal(len(scan.Items), len(m.world.Table.Items())) // both tables hold the same number of items
}

func (w *walker) creation(tenant, id string) order.Creation {
	return order.Creation{
		OrderID: id, TenantID: tenant, CustomerEmail: "c@example.com", CartID: "cart-1", CreatedBy: "c@example.com",
		BillingAddress: order.BillingAddress{Street: "1 Long Street", City: "Cape Town", Country: "ZA"},
	}
}

func (w *walker) accept(tenant, id string) { _, _ = w.store.Accept(w.ctx, w.creation(tenant, id)) }

func (w *walker) acceptOnce(tenant, _ string) {
	_, _, _ = w.store.AcceptOnce(w.ctx, w.creation(tenant, order.NewID()),
		store.IdempotencyKey{Key: fmt.Sprint(w.rand.IntN(5)), BodyHash: fmt.Sprint(w.rand.IntN(2))})
}

func (w *walker) record(tenant, id string) {
	accepted, err := w.store.Order(w.ctx, tenant, id)
	if err != nil {
		return
	}
	price, _ := order.ParseMoney("100.10", "ZAR")
	zero, _ := order.ParseMoney("0", "ZAR")
	rate, _ := order.ParseRate("0.15")
	c := w.creation(tenant, id)
	o, err := order.New(
		accepted,
		c,
		order.Cart{ID: c.CartID, TenantID: tenant, Currency: "ZAR", Shipping: zero, Items: []order.CartItem{
			{
				ID:          "1",
				ProductID:   "p",
				ProductName: "Rooibos",
				Quantity:    1 + w.rand.IntN(9),
				UnitPrice:   price,
				Discount:    zero,
			},
		}},
		rate,
	)
	w.is.NoErr(err)
	_ = w.store.Record(w.ctx, o)
}

func (w *walker) update(tenant, id string) {
	o, err := w.store.Order(w.ctx, tenant, id)
	if err != nil || !o.Recorded() {
		return
	}
	was := o.DateLastUpdated
	u := order.Update{Status: order.Statuses()[w.rand.IntN(7)], Reason: "because", By: "u@example.com"}
	if w.rand.IntN(2) == 0 {
		u.PaymentDetails = &order.PaymentDetails{
			Method: fmt.Sprint(w.rand.IntN(3)),
			PaidAt: order.NewTimestamp(w.now),
		}
	}
	if w.rand.IntN(3) == 0 {
		was = was.Next(w.now) // Somebody else came in between.
	}
	if changed, err := o.Apply(u, w.now); changed && err == nil {
		_, _ = w.store.Update(w.ctx, o, was)
	}
}

func (w *walker) document(tenant, id string) {
	kind := order.DocumentKinds()[w.rand.IntN(3)]
	issued, err := w.store.IssueDocument(w.ctx, tenant, id, kind, order.PlainSupplier())
	w.is.NoErr(err)
	if o, err := w.store.Order(w.ctx, tenant, id); err == nil && o.Recorded() {
		w.is.NoErr(w.store.AddDocument(w.ctx, tenant, id, order.Document{
			Kind: kind, Number: issued.Number, DateIssued: issued.DateIssued, URL: "s3://bucket/" + id,
		}))
	}
	_, err = w.store.NumberedDocuments(w.ctx, order.PlainSupplier().ID(), kind.Series(), 2025)
	w.is.NoErr(err)
}

func (w *walker) mail(tenant, id string) {
	m := store.Mail{
		TenantID: tenant,
		OrderID:  id,
		Role:     "customer",
		Sequence: 1 + w.rand.IntN(2),
		Claim:    fmt.Sprint(w.rand.IntN(3)),
	}
	switch w.rand.IntN(5) {
	case 0, 1:
		_ = w.store.ClaimMail(w.ctx, m, w.now.Add(time.Duration(w.rand.IntN(400))*time.Second))
	case 2:
		_ = w.store.MailSent(w.ctx, m, "ses-1")
	case 3:
		_ = w.store.ReleaseMail(w.ctx, m)
	default:
		_ = w.store.MailFailed(w.ctx, m, "a reason")
		if o, err := w.store.Order(w.ctx, tenant, id); err == nil && o.Recorded() {
			w.is.NoErr(w.store.NoteMailFailed(w.ctx, tenant, id, o.History[0], m.Role, "a reason"))
		}
	}
}

func (w *walker) fail(tenant, id string) {
	_ = w.store.Fail(w.ctx, tenant, id, "a reason")
	if o, err := w.store.OrderByID(w.ctx, id); err == nil {
		_, err = w.store.OrderByNumber(w.ctx, tenant, o.Number)
		w.is.NoErr(err)
	}
}

// remove deletes few orders, as an operator does.
func (w *walker) remove(tenant, id string) {
	if w.rand.IntN(10) == 0 {
		w.deleted(tenant, id)
	}
}

func (w *walker) list(tenant, _ string) {
	q := store.ListQuery{
		TenantID: tenant,
		Size:     1 + w.rand.IntN(4),
		Sort:     []store.Sort{store.ByID, store.OldestFirst, store.NewestFirst}[w.rand.IntN(3)],
	}
	if w.rand.IntN(2) == 0 {
		q.Status = order.Statuses()[w.rand.IntN(4)]
	}
	if q.Sort != store.ByID && w.rand.IntN(2) == 0 {
		q.From = order.NewTimestamp(w.now.Add(-time.Hour))
	}
	if q.Sort != store.ByID && w.rand.IntN(2) == 0 {
		q.To = order.NewTimestamp(w.now.Add(-time.Minute))
	}
	for page := 0; page == 0 || q.StartAt != ""; page++ {
		p, err := w.store.List(w.ctx, q)
		w.is.NoErr(err)
		q.StartAt = p.Next
	}
}

// deactivate deletes an order as an operator does.
func deactivate(t *testing.T, client *dynamodb.Client, tenant, id string) {
	t.Helper()
	_, _ = client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(tableName),
		Key: map[string]types.AttributeValue{
			"PK": &types.AttributeValueMemberS{
				Value: "TENANT#" + tenant,
			},
			"SK": &types.AttributeValueMemberS{Value: "ORDER#" + id},
		},
		UpdateExpression:         aws.String("SET #a = :a"),
		ConditionExpression:      aws.String("attribute_exists(PK)"),
		ExpressionAttributeNames: map[string]string{"#a": "active"},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":a": &types.AttributeValueMemberBOOL{Value: false},
		},
	})
}

// A requester makes requests that the store does not make by itself, but that
// must not pass unnoticed if it did.
type requester struct {
	client *dynamodb.Client
	ctx    context.Context
}

func requestKey(sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"PK": sdkText("TENANT#requests"), "SK": sdkText(sk)}
}

func sdkText(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func sdkNumber(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// optional returns nil for an empty text.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func TestRequests(t *testing.T) {
	m, client := newMirror(t)
	r := requester{client, t.Context()}
	r.updates()
	r.puts()
	r.transactions()
	for _, sk := range []string{"a", "b", "c", "d", "m"} {
		_, _ = client.GetItem(r.ctx, &dynamodb.GetItemInput{TableName: aws.String(tableName), Key: requestKey(sk)})
	}
	_, _ = client.DeleteItem(r.ctx, &dynamodb.DeleteItemInput{
		TableName: aws.String(tableName), Key: requestKey("a"), ReturnValues: types.ReturnValueAllOld,
	})
	_, _ = client.GetItem(r.ctx, &dynamodb.GetItemInput{
		TableName: aws.String(tableName), Key: map[string]types.AttributeValue{"PK": sdkText("x")},
	})
	_, _ = client.GetItem(r.ctx, &dynamodb.GetItemInput{TableName: aws.String("another"), Key: requestKey("a")})
	t.Log(m.calls)
}

func (r requester) updates() {
	type values = map[string]types.AttributeValue
	one := values{":n": sdkNumber("1")}
	list := values{":l": &types.AttributeValueMemberL{Value: []types.AttributeValue{sdkText("x")}}}
	both := values{":l": list[":l"], ":n": one[":n"]}
	for _, u := range []struct {
		sk, expression, condition string
		values                    values
	}{
		{"a", "ADD #v :n", "", one},
		{"a", "ADD #v :n", "", values{":n": sdkNumber("2.50")}},
		{"a", "ADD n :n", "", values{":n": sdkNumber("-100.00")}},
		{"a", "SET n = if_not_exists(n, :n), m = if_not_exists(m, :n)", "", one},
		{"a", "SET n = :n", "n < :n", one},
		{"a", "SET n = :n", "n > :n", one},
		{"a", "SET n = :n", "attribute_exists(n) AND NOT (n = :n OR gone = :n)", one},
		{"a", "SET n = :n", "n <> :n OR gone <> :n", one},
		{"a", "SET n = :n", "n <= :n AND n >= :n", one},
		{"a", "SET n = :n", "gone <= :n", one},
		{"a", "SET n = :n", "gone = away", one},
		{"a", "SET n = :n", "PK <= :n", one},
		{"a", "SET n = :n", "size(gone) = :n", one},
		{"a", "SET n = :n", "NOT (size(gone) <> :n)", one},
		{"a", "SET n = :n", "begins_with(SK, :a)", values{":n": sdkNumber("1"), ":a": sdkText("a")}},
		{"a", "SET n = :n REMOVE m, gone ADD o :n", "", one},
		{"a", "SET n = gone", "", nil},                         // from nothing
		{"a", "SET n = :m", "", one},                           // an unknown value
		{"a", "SET #m = :n", "", one},                          // an unknown name
		{"a", "SET n = :n", "n = ", one},                       // half a condition
		{"a", "ADD s :n", "", values{":n": sdkText("a text")}}, // to nothing
		{"m", "SET l = :l, m = :m", "", values{":l": list[":l"], ":m": &types.AttributeValueMemberM{Value: values{
			"a": sdkNumber("1"),
		}}}},
		{"m", "SET l = list_append(l, :l)", "size(l) = :n", both},
		{"m", "SET l = list_append(l, :l)", "size(l) = :n", both}, // it has grown
		{"m", "SET gone = list_append(gone, :l)", "", list},       // to nothing
		{"m", "SET gone = list_append(gone, :l)", "attribute_exists(no)", list},
		{"m", "SET m.b = :n", "m.a = :n AND attribute_not_exists(m.b)", one},
		{"m", "SET m.b = :n", "m.a = :n AND attribute_not_exists(m.b)", one},
		{"m", "SET m.c = :n, m.a = m.d, m.d = m.a", "", one}, // from nothing
		{"m", "SET m.d = :n, m.e = m.a, o = m", "", one},     // from the item as it was
		{"m", "SET gone.b = :n", "", one},                    // in nothing
		{"m", "SET gone.b = :n", "attribute_exists(no)", one},
		{"m", "SET l.b = :n", "", one}, // not in a list
	} {
		in := &dynamodb.UpdateItemInput{
			TableName: aws.String(tableName), Key: requestKey(u.sk), UpdateExpression: &u.expression,
			ConditionExpression: optional(u.condition), ExpressionAttributeValues: u.values,
			ReturnValues: types.ReturnValueAllNew,
		}
		if strings.Contains(u.expression, "#v") {
			in.ExpressionAttributeNames = map[string]string{"#v": "value"}
		}
		_, _ = r.client.UpdateItem(r.ctx, in)
	}
}

func (r requester) puts() {
	put := func(condition string, returns types.ReturnValue) {
		item := requestKey("b")
		item["n"], item["status"] = sdkNumber("250.00"), sdkText("x")
		_, _ = r.client.PutItem(r.ctx, &dynamodb.PutItemInput{
			TableName: aws.String(tableName), Item: item, ReturnValues: returns, ConditionExpression: optional(condition),
		})
	}
	put("", types.ReturnValueNone)
	put("attribute_not_exists(PK)", types.ReturnValueNone)
	put("attribute_exists(PK)", types.ReturnValueAllOld)
}

func (r requester) transactions() {
	transact := func(token string, items ...types.TransactWriteItem) {
		_, _ = r.client.TransactWriteItems(r.ctx, &dynamodb.TransactWriteItemsInput{
			TransactItems: items, ClientRequestToken: &token,
		})
	}
	add := types.TransactWriteItem{Update: &types.Update{
		TableName: aws.String(tableName), Key: requestKey("c"), UpdateExpression: aws.String("ADD n :n"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": sdkNumber("1")},
	}}
	absent := func(sk string) types.TransactWriteItem {
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: aws.String(tableName), Key: requestKey(sk),
			ConditionExpression: aws.String("attribute_not_exists(PK)"),
		}}
	}
	transact("token-1", add, absent("d"))
	transact("token-1", add, absent("d")) // the same again has no effect
	// Another transaction under the same token is refused by DynamoDB, but not
	// by DynamoDB Local.
	transact("token-2", add, absent("b")) // a condition fails, and nothing happens
	transact("token-3", add, add)         // one item twice
}
