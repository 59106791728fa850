package world_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

const table = world.TableName

// db is the DynamoDB Local that the stand-in is held against.
var db *emulator.DynamoDB

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx := context.Background()
		var err error
		if db, err = emulator.StartDynamoDB(ctx); err == nil {
			defer db.Close()
			err = emulator.CreateTable(ctx, db.Client(), table)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// A mirror sends every request to the stand-in and to DynamoDB Local, and
// compares the answers.
type mirror struct {
	t     *testing.T
	world *world.World
	calls map[string]int // by operation and outcome
}

func newMirror(t *testing.T) (*mirror, *dynamodb.Client) {
	m := &mirror{t: t, world: world.New(time.Now), calls: map[string]int{}}
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
	if real.URL, err = url.Parse(db.Endpoint()); err != nil {
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
		m.t.Errorf("%s %s\nstand-in:       %s\nDynamoDB Local: %s", operation, body, sorted(a), sorted(b))
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

func sorted(outcome map[string]any) []byte {
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
	w.store = store.New(client, table, func() time.Time { return w.now })
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
		"GetItem ", "PutItem ", "PutItem ConditionalCheckFailedException", "UpdateItem ", "UpdateItem ConditionalCheckFailedException",
		"Query ", "TransactWriteItems ", "TransactWriteItems TransactionCanceledException",
	} {
		is.True(m.calls[outcome] > 0) // the walk met every outcome
	}
	scan, err := db.Client().Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(table)})
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
		TableName: aws.String(table),
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

// What the store does not do by itself, but what must not pass unnoticed if it
// did.
func TestRequests(t *testing.T) {
	m, client := newMirror(t)
	ctx := t.Context()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	key := func(sk string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"PK": text("TENANT#requests"), "SK": text(sk)}
	}
	update := func(sk, expression, condition string, names map[string]string, values map[string]types.AttributeValue) {
		in := &dynamodb.UpdateItemInput{
			TableName:                 aws.String(table),
			Key:                       key(sk),
			UpdateExpression:          &expression,
			ExpressionAttributeNames:  names,
			ExpressionAttributeValues: values,
			ReturnValues:              types.ReturnValueAllNew,
		}
		if condition != "" {
			in.ConditionExpression = &condition
		}
		_, _ = client.UpdateItem(ctx, in)
	}
	one := map[string]types.AttributeValue{":n": number("1")}
	update("a", "ADD #v :n", "", map[string]string{"#v": "value"}, one)
	update(
		"a",
		"ADD #v :n",
		"",
		map[string]string{"#v": "value"},
		map[string]types.AttributeValue{":n": number("2.50")},
	)
	update("a", "ADD n :n", "", nil, map[string]types.AttributeValue{":n": number("-100.00")})
	update("a", "SET n = if_not_exists(n, :n), m = if_not_exists(m, :n)", "", nil, one)
	update("a", "SET n = :n", "n < :n", nil, one)
	update("a", "SET n = :n", "n > :n", nil, one)
	update("a", "SET n = :n", "attribute_exists(n) AND NOT (n = :n OR gone = :n)", nil, one)
	update("a", "SET n = :n", "n <> :n OR gone <> :n", nil, one)
	for _, condition := range []string{
		"n <= :n AND n >= :n", "gone <= :n", "gone = away", "PK <= :n", "size(gone) = :n", "NOT (size(gone) <> :n)",
	} {
		update("a", "SET n = :n", condition, nil, one)
	}
	update(
		"a",
		"SET n = :n",
		"begins_with(SK, :a)",
		nil,
		map[string]types.AttributeValue{":n": number("1"), ":a": text("a")},
	)
	update("a", "SET n = :n REMOVE m, gone ADD o :n", "", nil, one)
	update("a", "SET n = gone", "", nil, nil)                                          // from nothing
	update("a", "SET n = :m", "", nil, one)                                            // an unknown value
	update("a", "SET #m = :n", "", nil, one)                                           // an unknown name
	update("a", "SET n = :n", "n = ", nil, one)                                        // half a condition
	update("a", "ADD s :n", "", nil, map[string]types.AttributeValue{":n": text("x")}) // a text

	entry := map[string]types.AttributeValue{
		":l": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("x")}},
		":n": number("1"),
	}
	list := map[string]types.AttributeValue{":l": entry[":l"]}
	update("m", "SET l = :l, m = :m", "", nil, map[string]types.AttributeValue{
		":l": entry[":l"],
		":m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"a": number("1")}},
	})
	update("m", "SET l = list_append(l, :l)", "size(l) = :n", nil, entry)
	update("m", "SET l = list_append(l, :l)", "size(l) = :n", nil, entry) // it has grown
	update("m", "SET gone = list_append(gone, :l)", "", nil, list)        // to nothing
	update("m", "SET gone = list_append(gone, :l)", "attribute_exists(no)", nil, list)
	update("m", "SET m.b = :n", "m.a = :n AND attribute_not_exists(m.b)", nil, one)
	update("m", "SET m.b = :n", "m.a = :n AND attribute_not_exists(m.b)", nil, one)
	update("m", "SET m.c = :n, m.a = m.d, m.d = m.a", "", nil, one) // from nothing
	update("m", "SET m.d = :n, m.e = m.a, o = m", "", nil, one)     // from the item as it was
	update("m", "SET gone.b = :n", "", nil, one)                    // in nothing
	update("m", "SET gone.b = :n", "attribute_exists(no)", nil, one)
	update("m", "SET l.b = :n", "", nil, one) // not in a list

	put := func(sk, condition string, returns types.ReturnValue) {
		item := key(sk)
		item["n"], item["status"] = number("250.00"), text("x")
		in := &dynamodb.PutItemInput{TableName: aws.String(table), Item: item, ReturnValues: returns}
		if condition != "" {
			in.ConditionExpression = &condition
		}
		_, _ = client.PutItem(ctx, in)
	}
	put("b", "", types.ReturnValueNone)
	put("b", "attribute_not_exists(PK)", types.ReturnValueNone)
	put("b", "attribute_exists(PK)", types.ReturnValueAllOld)

	token := "token-1"
	transact := func(token string, items ...types.TransactWriteItem) {
		_, _ = client.TransactWriteItems(
			ctx,
			&dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: &token},
		)
	}
	add := func(sk string) types.TransactWriteItem {
		return types.TransactWriteItem{Update: &types.Update{
			TableName: aws.String(
				table,
			),
			Key:                       key(sk),
			UpdateExpression:          aws.String("ADD n :n"),
			ExpressionAttributeValues: one,
		}}
	}
	absent := func(sk string) types.TransactWriteItem {
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: aws.String(table), Key: key(sk), ConditionExpression: aws.String("attribute_not_exists(PK)"),
		}}
	}
	transact(token, add("c"), absent("d"))
	transact(token, add("c"), absent("d")) // the same again has no effect
	// Another transaction under the same token is refused by DynamoDB, but not
	// by DynamoDB Local.
	transact("token-2", add("c"), absent("b")) // a condition fails, and nothing happens
	transact("token-3", add("c"), add("c"))    // one item twice
	for _, sk := range []string{"a", "b", "c", "d", "m"} {
		_, _ = client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(table), Key: key(sk)})
	}
	_, _ = client.DeleteItem(
		ctx,
		&dynamodb.DeleteItemInput{TableName: aws.String(table), Key: key("a"), ReturnValues: types.ReturnValueAllOld},
	)
	_, _ = client.GetItem(
		ctx,
		&dynamodb.GetItemInput{TableName: aws.String(table), Key: map[string]types.AttributeValue{"PK": text("x")}},
	)
	_, _ = client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("another"), Key: key("a")})
	t.Log(m.calls)
}
