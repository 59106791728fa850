package store_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

const table = "orders"

var update = flag.Bool("update", false, "rewrite the golden files")

// db is the DynamoDB Local that all tests share. They keep apart by tenant.
var db *emulator.DynamoDB

func TestMain(m *testing.M) {
	os.Exit(func() int {
		flag.Parse()
		ctx := context.Background()
		var err error
		if db, err = emulator.StartDynamoDB(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer db.Close()
		if err := emulator.CreateTable(ctx, db.Client(), table); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

var noon = time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)

func newStore(t *testing.T) (*store.Store, string) {
	return storeAt(func() time.Time { return noon }), tenantOf(t)
}

func storeAt(now func() time.Time) *store.Store { return store.New(db.Client(), table, now) }

// tenantOf returns a tenant of the test's own.
func tenantOf(t *testing.T) string {
	return "tenant-" + strings.Map(func(r rune) rune {
		if r == '/' || r > 'z' {
			return '.'
		}
		return r
	}, t.Name())
}

func creation(tenant string) order.Creation {
	return order.Creation{
		OrderID:       order.NewID(),
		TenantID:      tenant,
		CustomerEmail: "thandi@example.com",
		CustomerName:  "Thandi",
		CartID:        "cart-1",
		BillingAddress: order.BillingAddress{
			FullName: "Thandi M", Company: "Acme", VATNumber: "4000000000",
			Street: "1 Long Street", City: "Cape Town", Province: "Western Cape", PostalCode: "8001", Country: "ZA",
		},
		PaymentMethod: "payfast",
		DateCreated:   order.NewTimestamp(noon),
		CreatedBy:     "thandi@example.com",
	}
}

func zar(t *testing.T, s string) order.Money {
	t.Helper()
	m, err := order.ParseMoney(s, "ZAR")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newOrder(t *testing.T, c order.Creation) order.Order {
	t.Helper()
	if c.OrderNumber == "" {
		c.OrderNumber = order.FormatNumber(2025, 1)
	}
	percent, err := order.ParsePercent("12.5")
	if err != nil {
		t.Fatal(err)
	}
	rate, err := order.ParseRate("0.15")
	if err != nil {
		t.Fatal(err)
	}
	o, err := order.New(c, order.Cart{
		ID: c.CartID, TenantID: c.TenantID, Currency: "ZAR", Shipping: zar(t, "50.00"),
		Items: []order.CartItem{
			{ID: "line-1", ProductID: "p-1", ProductName: "Tom & <b>Jerry</b>", Quantity: 2, UnitPrice: zar(t, "100.10"), Discount: zar(t, "0.20")},
			{ID: "line-2", ProductID: "p-2", ProductName: "Žluťoučký kůň", Quantity: 1, UnitPrice: zar(t, "1.00"), Discount: zar(t, "0")},
		},
		Campaign: &order.Campaign{
			ID: "c-1", Code: "SUMMER", Description: "Summer", DiscountPercentage: percent, ProductID: "p-1",
			TermsConditionsLink: "https://example.com/terms", FromDate: "2025-12-01", ToDate: "2026-01-31", IsValid: true,
			DateCreated: c.DateCreated, DateLastUpdated: c.DateCreated, LastUpdatedBy: "marketing@example.com", Active: true,
		},
	}, rate)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustCreate(t *testing.T, s *store.Store, o order.Order) order.Order {
	t.Helper()
	if err := s.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func rawItem(t *testing.T, tenant, sk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := db.Client().GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(table),
		Key: map[string]types.AttributeValue{
			"PK": &types.AttributeValueMemberS{Value: "TENANT#" + tenant},
			"SK": &types.AttributeValueMemberS{Value: sk},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

func putRaw(t *testing.T, item map[string]types.AttributeValue) {
	t.Helper()
	if _, err := db.Client().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item}); err != nil {
		t.Fatal(err)
	}
}

func TestOrder(t *testing.T) {
	t.Run("comes back as it was created", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		read, err := s.Order(t.Context(), tenant, o.ID)
		is.NoErr(err)
		is.Equal(read, o)
		byID, err := s.OrderByID(t.Context(), o.ID)
		is.NoErr(err)
		is.Equal(byID, o) // AP4
	})
	t.Run("is created once", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		is.True(errors.Is(s.Create(t.Context(), o), order.ErrExists))
	})
	t.Run("that is too large for the table stays so", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := newOrder(t, creation(tenant))
		line := o.Items[0]
		long := strings.Repeat("😀", order.MaxText)
		line.ID, line.ProductID, line.ProductName = long, long, long
		o.Items = slices.Repeat([]order.Item{line}, order.MaxItems)
		var permanent *order.Permanent
		is.True(errors.As(s.Create(t.Context(), o), &permanent))
	})
	t.Run("is not found for another tenant", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		_, err := s.Order(t.Context(), tenant+"-other", o.ID)
		is.True(errors.Is(err, order.ErrNotFound))
		_, err = s.OrderByID(t.Context(), order.NewID())
		is.True(errors.Is(err, order.ErrNotFound))
	})
	t.Run("is not found once deleted", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := newOrder(t, creation(tenant))
		o.Active = false
		mustCreate(t, s, o)
		_, err := s.Order(t.Context(), tenant, o.ID)
		is.True(errors.Is(err, order.ErrNotFound))
		_, err = s.OrderByID(t.Context(), o.ID)
		is.True(errors.Is(err, order.ErrNotFound))
		page, err := s.List(t.Context(), store.ListQuery{TenantID: tenant, Size: 10})
		is.NoErr(err)
		is.Equal(len(page.Orders), 0) // not listed either
		_, err = s.Update(t.Context(), o, o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrNotFound))
	})
	t.Run("that cannot be read is an error", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		item := rawItem(t, tenant, "ORDER#"+o.ID)
		item["total"] = &types.AttributeValueMemberN{Value: "1.234"} // finer than a cent
		putRaw(t, item)
		_, err := s.Order(t.Context(), tenant, o.ID)
		is.True(errors.Is(err, order.ErrAmount))
		_, err = s.List(t.Context(), store.ListQuery{TenantID: tenant, Size: 10})
		is.True(errors.Is(err, order.ErrAmount))
		item["total"] = &types.AttributeValueMemberS{Value: "1.23"}
		putRaw(t, item)
		_, err = s.Order(t.Context(), tenant, o.ID)
		is.True(err != nil) // a text is no number
	})
}

// TestGolden holds the stored form: the item of testdata was written by the first version and must stay readable, and what is
// written now must have the same form.
func TestGolden(t *testing.T) {
	is := is.New(t)
	s := storeAt(func() time.Time { return noon })
	const tenant = "golden"
	c := creation(tenant)
	c.OrderID, c.OrderNumber = "6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f", "ORD-2025-00042"
	o := newOrder(t, c)
	o.Status, o.PDFURL = order.Paid, "s3://bucket/golden/orders/order_"+c.OrderID+".pdf"
	o.PaymentDetails = &order.PaymentDetails{Method: "payfast", TransactionID: "t-1", PayfastPaymentID: "pf-1", PaidAt: order.NewTimestamp(noon)}
	mustCreate(t, s, o)

	path := filepath.Join("testdata", "order.json")
	if *update {
		text, err := json.MarshalIndent(toJSON(rawItem(t, tenant, "ORDER#"+o.ID)), "", "  ")
		is.NoErr(err)
		is.NoErr(os.WriteFile(path, append(text, '\n'), 0o600))
	}
	text, err := os.ReadFile(path)
	is.NoErr(err)
	var golden map[string]any
	is.NoErr(json.Unmarshal(text, &golden))
	item := fromJSON(golden).(*types.AttributeValueMemberM).Value
	is.Equal(toJSON(rawItem(t, tenant, "ORDER#"+o.ID)), toJSON(item)) // written as before

	putRaw(t, item)
	read, err := s.Order(t.Context(), tenant, o.ID)
	is.NoErr(err)
	is.Equal(read, o) // read as before
}

// toJSON and fromJSON give an item the form of the AWS command line: {"S": "text"}, {"N": "1"}, …
func toJSON(item map[string]types.AttributeValue) map[string]any {
	out := map[string]any{}
	for k, v := range item {
		out[k] = valueToJSON(v)
	}
	return out
}

func valueToJSON(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": toJSON(v.Value)}
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, e := range v.Value {
			list = append(list, valueToJSON(e))
		}
		return map[string]any{"L": list}
	}
	return fmt.Sprintf("%T", v)
}

func fromJSON(v any) types.AttributeValue {
	m := v.(map[string]any)
	if len(m) == 1 {
		for kind, value := range m {
			switch kind {
			case "S":
				return &types.AttributeValueMemberS{Value: value.(string)}
			case "N":
				return &types.AttributeValueMemberN{Value: value.(string)}
			case "BOOL":
				return &types.AttributeValueMemberBOOL{Value: value.(bool)}
			case "L":
				list := []types.AttributeValue{}
				for _, e := range value.([]any) {
					list = append(list, fromJSON(e))
				}
				return &types.AttributeValueMemberL{Value: list}
			case "M":
				return fromJSON(value)
			}
		}
	}
	out := map[string]types.AttributeValue{}
	for k, e := range m {
		out[k] = fromJSON(e)
	}
	return &types.AttributeValueMemberM{Value: out}
}

func TestUpdate(t *testing.T) {
	ctx := context.Background()
	paid := order.Update{Status: order.Paid, PaymentDetails: &order.PaymentDetails{TransactionID: "t-1"}}
	apply := func(t *testing.T, o order.Order, by string) order.Order {
		t.Helper()
		if _, err := o.Apply(paid, by, noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Run("writes what changed and nothing else", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		changed := apply(t, o, "a@example.com")
		is.NoErr(s.SetPDF(ctx, tenant, o.ID, "s3://bucket/key")) // meanwhile
		got, err := s.Update(ctx, changed, o.DateLastUpdated)
		is.NoErr(err)
		changed.PDFURL = "s3://bucket/key"
		is.Equal(got, changed) // the invoice is not lost
		read, err := s.Order(ctx, tenant, o.ID)
		is.NoErr(err)
		is.Equal(read, changed)
	})
	t.Run("refuses a stale one", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		_, err := s.Update(ctx, apply(t, o, "a@example.com"), o.DateLastUpdated)
		is.NoErr(err)
		_, err = s.Update(ctx, apply(t, o, "b@example.com"), o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrChanged))
	})
	t.Run("knows its own write when the answer was lost", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		s := store.New(losingAnswers("UpdateItem"), table, func() time.Time { return noon })
		o := mustCreate(t, s, newOrder(t, creation(tenant)))
		changed := apply(t, o, "a@example.com")
		got, err := s.Update(ctx, changed, o.DateLastUpdated)
		is.NoErr(err)
		is.Equal(got, changed)
	})
	t.Run("finds no order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := newOrder(t, creation(tenant))
		_, err := s.Update(ctx, apply(t, o, "a@example.com"), o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrNotFound))
		is.True(errors.Is(s.SetPDF(ctx, tenant, o.ID, "s3://bucket/key"), order.ErrNotFound)) // nor does SetPDF make one
		is.Equal(len(rawItem(t, tenant, "ORDER#"+o.ID)), 0)
	})
}

// losingAnswers returns a client that sends the first call of an operation but loses its answer, so that the SDK tries again.
func losingAnswers(operation string) *dynamodb.Client {
	client := &lossy{operation: operation}
	cfg := emulator.Config(db.Endpoint())
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.HTTPClient = client })
}

type lossy struct {
	operation string
	once      sync.Once
}

func (l *lossy) Do(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultClient.Do(r)
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+l.operation) {
		l.once.Do(func() {
			if err == nil {
				_ = res.Body.Close()
			}
			res, err = nil, errors.New("connection reset by peer")
		})
	}
	return res, err
}

func TestAccept(t *testing.T) {
	ctx := context.Background()
	t.Run("numbers orders without gaps and writes receipts", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		for n := int64(1); n <= 3; n++ {
			c, replayed, err := s.Accept(ctx, creation(tenant), nil)
			is.NoErr(err)
			is.True(!replayed)
			is.Equal(c.OrderNumber, order.FormatNumber(2025, n))
			r, err := s.Receipt(ctx, tenant, c.OrderID)
			is.NoErr(err)
			is.Equal(r, c.Receipt(order.Pending, ""))
		}
	})
	t.Run("starts anew each year and with each tenant", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		for _, year := range []int{2025, 2026} {
			c := creation(tenant)
			c.DateCreated = order.NewTimestamp(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
			c, _, err := s.Accept(ctx, c, nil)
			is.NoErr(err)
			is.Equal(c.OrderNumber, order.FormatNumber(year, 1))
		}
	})
	t.Run("gives concurrent orders of one tenant different numbers", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		const orders = 60
		numbers := make([]string, orders)
		var wg sync.WaitGroup
		for i := range orders {
			wg.Go(func() {
				c, _, err := s.Accept(ctx, creation(tenant), nil)
				if err != nil {
					t.Error(err)
				}
				numbers[i] = c.OrderNumber
			})
		}
		wg.Wait()
		slices.Sort(numbers)
		for i, got := range numbers {
			is.Equal(got, order.FormatNumber(2025, int64(i+1))) // no gap, no double
		}
	})
	t.Run("leaves no gap when an answer was lost", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		s := store.New(losingAnswers("TransactWriteItems"), table, func() time.Time { return noon })
		for n := int64(1); n <= 2; n++ {
			c, replayed, err := s.Accept(ctx, creation(tenant), &store.IdempotencyKey{Key: fmt.Sprint("key", n), BodyHash: "aa"})
			is.NoErr(err)
			is.True(!replayed) // its own write is no replay
			is.Equal(c.OrderNumber, order.FormatNumber(2025, n))
		}
	})
	t.Run("answers a repeated key with the first order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		key := store.IdempotencyKey{Key: "a#b", BodyHash: "aa"}
		first, replayed, err := s.Accept(ctx, creation(tenant), &key)
		is.NoErr(err)
		is.True(!replayed)
		again := creation(tenant)
		again.DateCreated, again.CreatedBy = order.NewTimestamp(noon.Add(time.Hour)), "someone@example.com"
		got, replayed, err := s.Accept(ctx, again, &key)
		is.NoErr(err)
		is.True(replayed)
		is.Equal(got, first) // id, number, time and creator
		_, err = s.Receipt(ctx, tenant, again.OrderID)
		is.True(errors.Is(err, order.ErrNotFound)) // the second left nothing
		next, _, err := s.Accept(ctx, creation(tenant), nil)
		is.NoErr(err)
		is.Equal(next.OrderNumber, order.FormatNumber(2025, 2)) // and used up no number

		_, _, err = s.Accept(ctx, creation(tenant), &store.IdempotencyKey{Key: "a#b", BodyHash: "bb"})
		is.True(errors.Is(err, order.ErrKeyReused))
		other, replayed, err := s.Accept(ctx, creation(tenant+"-other"), &key)
		is.NoErr(err)
		is.True(!replayed) // the key is the tenant's own
		is.True(other.OrderID != first.OrderID)
	})
	t.Run("makes one order of concurrent requests with one key", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		const requests = 20
		ids := make([]string, requests)
		var wg sync.WaitGroup
		for i := range requests {
			wg.Go(func() {
				c, _, err := s.Accept(ctx, creation(tenant), &store.IdempotencyKey{Key: "k", BodyHash: "aa"})
				if err != nil {
					t.Error(err)
				}
				ids[i] = c.OrderID
			})
		}
		wg.Wait()
		is.Equal(len(slices.Compact(slices.Sorted(slices.Values(ids)))), 1)
	})
	t.Run("forgets a key after a day, though DynamoDB has not deleted it", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := noon
		s := storeAt(func() time.Time { return now })
		key := store.IdempotencyKey{Key: "k", BodyHash: "aa"}
		first, _, err := s.Accept(ctx, creation(tenant), &key)
		is.NoErr(err)
		now = now.Add(24*time.Hour - time.Second)
		got, replayed, err := s.Accept(ctx, creation(tenant), &key)
		is.NoErr(err)
		is.True(replayed)
		is.Equal(got.OrderID, first.OrderID)
		now = now.Add(time.Second)
		got, replayed, err = s.Accept(ctx, creation(tenant), &key)
		is.NoErr(err)
		is.True(!replayed)
		is.True(got.OrderID != first.OrderID)
	})
}

func TestReceipt(t *testing.T) {
	ctx := context.Background()
	t.Run("fails with a reason, and is pending again when it is reopened", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c, _, err := s.Accept(ctx, creation(tenant), nil)
		is.NoErr(err)
		_, failed, err := s.Failures(ctx, tenant, c.OrderID)
		is.NoErr(err)
		is.True(!failed)
		for n := int64(1); n <= 2; n++ {
			is.NoErr(s.Fail(ctx, c, "cart not found"))
			r, err := s.Receipt(ctx, tenant, c.OrderID)
			is.NoErr(err)
			is.Equal(r, c.Receipt(order.Failed, "cart not found"))
			got, failed, err := s.Failures(ctx, tenant, c.OrderID)
			is.NoErr(err)
			is.True(failed)
			is.Equal(got, n)
			is.NoErr(s.Reopen(ctx, tenant, c.OrderID, n))
			r, err = s.Receipt(ctx, tenant, c.OrderID)
			is.NoErr(err)
			is.Equal(r, c.Receipt(order.Pending, ""))
		}
	})
	t.Run("is not reopened once it has failed again, nor where it never failed", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c, _, err := s.Accept(ctx, creation(tenant), nil)
		is.NoErr(err)
		is.NoErr(s.Fail(ctx, c, "cart not found"))
		is.NoErr(s.Fail(ctx, c, "cart not found")) // the same words, in the same second
		is.NoErr(s.Reopen(ctx, tenant, c.OrderID, 1))
		is.NoErr(s.Reopen(ctx, tenant, c.OrderID, 0))
		r, err := s.Receipt(ctx, tenant, c.OrderID)
		is.NoErr(err)
		is.Equal(r, c.Receipt(order.Failed, "cart not found"))

		_, failed, err := s.Failures(ctx, tenant, order.NewID())
		is.NoErr(err)
		is.True(!failed) // there is no receipt
		unknown := order.NewID()
		is.NoErr(s.Reopen(ctx, tenant, unknown, 0))
		is.Equal(len(rawItem(t, tenant, "RECEIPT#"+unknown)), 0) // and none is made
	})
	t.Run("is reopened though it failed before failures were counted", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		id, text := order.NewID(), func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
		putRaw(t, map[string]types.AttributeValue{
			"PK": text("TENANT#" + tenant), "SK": text("RECEIPT#" + id), "id": text(id), "tenantId": text(tenant), "customerEmail": text("c@example.com"),
			"state": text("failed"), "reason": text("cart not found"), "expiresAt": &types.AttributeValueMemberN{Value: fmt.Sprint(noon.Add(time.Hour).Unix())},
		})
		n, failed, err := s.Failures(ctx, tenant, id)
		is.NoErr(err)
		is.True(failed)
		is.Equal(n, int64(0))
		is.NoErr(s.Reopen(ctx, tenant, id, n))
		r, err := s.Receipt(ctx, tenant, id)
		is.NoErr(err)
		is.Equal(r.Status, order.Pending)
		is.Equal(r.FailureReason, "")
	})
	t.Run("of another producer's message can fail before it has a number", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		c.OrderNumber, c.DateCreated = "", order.Timestamp{}
		is.NoErr(s.Fail(ctx, c, "cart not found"))
		r, err := s.Receipt(ctx, tenant, c.OrderID)
		is.NoErr(err)
		is.Equal(r, c.Receipt(order.Failed, "cart not found"))
	})
	t.Run("is gone once withdrawn, expired or another tenant's", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := noon
		s := storeAt(func() time.Time { return now })
		c, _, err := s.Accept(ctx, creation(tenant), nil)
		is.NoErr(err)
		_, err = s.Receipt(ctx, tenant+"-other", c.OrderID)
		is.True(errors.Is(err, order.ErrNotFound))
		now = now.Add(30 * 24 * time.Hour)
		_, err = s.Receipt(ctx, tenant, c.OrderID)
		is.True(errors.Is(err, order.ErrNotFound)) // expired
		now = noon
		is.NoErr(s.Withdraw(ctx, tenant, c.OrderID))
		_, err = s.Receipt(ctx, tenant, c.OrderID)
		is.True(errors.Is(err, order.ErrNotFound)) // withdrawn
		is.NoErr(s.Withdraw(ctx, tenant, c.OrderID))
	})
}

func TestComplete(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name         string
		number, date bool // what the message has
	}{
		{"number and time", false, false},
		{"number", false, true},
		{"time", true, false},
		{"nothing", true, true},
	} {
		t.Run("adds "+tt.name+" once per order", func(t *testing.T) {
			is := is.New(t)
			_, tenant := newStore(t)
			now := noon
			s := storeAt(func() time.Time { return now })
			c := creation(tenant)
			if tt.number {
				c.OrderNumber = "ORD-2025-00777"
			}
			if !tt.date {
				c.DateCreated = order.Timestamp{}
			}
			const deliveries = 8
			done := make([]order.Creation, deliveries)
			var wg sync.WaitGroup
			for i := range deliveries {
				wg.Go(func() {
					var err error
					if done[i], err = s.Complete(ctx, c); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			now = now.Add(time.Hour)
			late, err := s.Complete(ctx, c)
			is.NoErr(err)
			want := c
			if !tt.number {
				want.OrderNumber = "ORD-2025-00001"
			}
			want.DateCreated = order.NewTimestamp(noon)
			is.Equal(late, want)
			for _, got := range done {
				is.Equal(got, want) // whatever the delivery
			}
		})
	}
	t.Run("numbers an order whose receipt failed before", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		c.DateCreated = order.Timestamp{}
		is.NoErr(s.Fail(ctx, c, "cart not found"))
		c, err := s.Complete(ctx, c)
		is.NoErr(err)
		is.Equal(c.OrderNumber, "ORD-2025-00001")
		r, err := s.Receipt(ctx, tenant, c.OrderID)
		is.NoErr(err)
		is.Equal(r, c.Receipt(order.Failed, "cart not found")) // which it still says: the order is not recorded yet
	})
}

func TestMailLedger(t *testing.T) {
	ctx := context.Background()
	setup := func(t *testing.T) (*store.Store, store.Mail, *time.Time) {
		now := noon
		_, tenant := newStore(t)
		return storeAt(func() time.Time { return now }), store.Mail{TenantID: tenant, OrderID: order.NewID(), Role: "r", Claim: "mine"}, &now
	}
	t.Run("lets one of many claim", func(t *testing.T) {
		is := is.New(t)
		s, m, _ := setup(t)
		const callers = 10
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				mine := m
				mine.Claim = fmt.Sprint(i)
				errs[i] = s.ClaimMail(ctx, mine, noon.Add(time.Minute))
			})
		}
		wg.Wait()
		claims := 0
		for _, err := range errs {
			var held *store.MailClaimedError
			switch {
			case err == nil:
				claims++
			case !errors.As(err, &held) || !held.Until.Equal(noon.Add(time.Minute)):
				t.Error(err)
			}
		}
		is.Equal(claims, 1)
	})
	t.Run("knows its own claim when the answer was lost", func(t *testing.T) {
		is := is.New(t)
		_, m, _ := setup(t)
		s := store.New(losingAnswers("UpdateItem"), table, func() time.Time { return noon })
		is.NoErr(s.ClaimMail(ctx, m, noon.Add(time.Minute)))
	})
	t.Run("gives a claim on when it has ended or was released", func(t *testing.T) {
		is := is.New(t)
		s, m, now := setup(t)
		other := m
		other.Claim = "other"
		is.NoErr(s.ClaimMail(ctx, m, noon.Add(time.Minute)))
		*now = noon.Add(time.Minute)
		is.NoErr(s.ClaimMail(ctx, other, now.Add(time.Minute))) // ended
		is.NoErr(s.ReleaseMail(ctx, m))                         // not the holder any more: no effect
		var held *store.MailClaimedError
		is.True(errors.As(s.ClaimMail(ctx, m, now.Add(time.Minute)), &held))
		is.NoErr(s.ReleaseMail(ctx, other))
		is.NoErr(s.ClaimMail(ctx, m, now.Add(time.Minute))) // released
	})
	t.Run("remembers for good that a mail was sent", func(t *testing.T) {
		is := is.New(t)
		s, m, now := setup(t)
		is.NoErr(s.ClaimMail(ctx, m, noon.Add(time.Minute)))
		is.NoErr(s.MailSent(ctx, m, "ses-1"))
		*now = noon.Add(80 * 24 * time.Hour)
		is.True(errors.Is(s.ClaimMail(ctx, m, now.Add(time.Minute)), store.ErrMailSent))
		is.NoErr(s.ReleaseMail(ctx, m)) // no effect
		is.True(errors.Is(s.ClaimMail(ctx, m, now.Add(time.Minute)), store.ErrMailSent))
		other := m
		other.Role = "r2"
		is.NoErr(s.ClaimMail(ctx, other, now.Add(time.Minute))) // one mail a role
	})
}

func TestList(t *testing.T) {
	ctx := context.Background()
	const orders = 25
	_, tenant := newStore(t)
	s := storeAt(func() time.Time { return noon })
	var all []order.Order
	for i := range orders {
		c := creation(tenant)
		c.DateCreated = order.NewTimestamp(noon.Add(time.Duration(i) * time.Hour))
		o := newOrder(t, c)
		switch {
		case i%10 == 9:
			o.Active = false
		case i%5 == 0:
			o.Status = order.Paid
		}
		all = append(all, mustCreate(t, s, o))
	}
	mustCreate(t, s, newOrder(t, creation(tenant+"x")))                // a neighbour
	if _, _, err := s.Accept(ctx, creation(tenant), nil); err != nil { // other items of the tenant
		t.Fatal(err)
	}
	want := func(keep func(order.Order) bool, less func(a, b order.Order) int) []string {
		var kept []order.Order
		for _, o := range all {
			if o.Active && keep(o) {
				kept = append(kept, o)
			}
		}
		slices.SortFunc(kept, less)
		ids := []string{}
		for _, o := range kept {
			ids = append(ids, o.ID)
		}
		return ids
	}
	anyOrder := func(order.Order) bool { return true }
	isPaid := func(o order.Order) bool { return o.Status == order.Paid }
	byID := func(a, b order.Order) int { return strings.Compare(a.ID, b.ID) }
	oldest := func(a, b order.Order) int { return a.DateCreated.Time().Compare(b.DateCreated.Time()) }
	newest := func(a, b order.Order) int { return -oldest(a, b) }
	at := func(hours int) order.Timestamp {
		return order.NewTimestamp(noon.Add(time.Duration(hours) * time.Hour))
	}
	within := func(from, to int) func(order.Order) bool {
		return func(o order.Order) bool {
			h := int(o.DateCreated.Time().Sub(noon) / time.Hour)
			return h >= from && h <= to
		}
	}
	for _, tt := range []struct {
		name  string
		query store.ListQuery
		want  []string
	}{
		{"all by id", store.ListQuery{}, want(anyOrder, byID)},
		{"paid by id", store.ListQuery{Status: order.Paid}, want(isPaid, byID)},
		{"newest first", store.ListQuery{Sort: store.NewestFirst}, want(anyOrder, newest)},
		{"oldest first", store.ListQuery{Sort: store.OldestFirst}, want(anyOrder, oldest)},
		{"paid, newest first", store.ListQuery{Sort: store.NewestFirst, Status: order.Paid}, want(isPaid, newest)},
		{"from", store.ListQuery{Sort: store.NewestFirst, From: at(20)}, want(within(20, 99), newest)},
		{"to", store.ListQuery{Sort: store.OldestFirst, To: at(3)}, want(within(0, 3), oldest)},
		{"from and to", store.ListQuery{Sort: store.NewestFirst, From: at(3), To: at(12)}, want(within(3, 12), newest)},
		{"none", store.ListQuery{Status: order.Refunded}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 3, len(tt.want), 100} {
				if size == 0 {
					continue
				}
				is := is.New(t)
				q := tt.query
				q.TenantID, q.Size = tenant, size
				got := []string{}
				for {
					page, err := s.List(ctx, q)
					is.NoErr(err)
					for _, o := range page.Orders {
						got = append(got, o.ID)
					}
					if page.Next == "" {
						break
					}
					is.Equal(len(page.Orders), size) // full unless it is the last
					q.StartAt = page.Next
				}
				is.Equal(got, tt.want)
				if last := len(got) % size; last == 0 && len(got) > 0 {
					is.True(q.StartAt != "" || len(got) <= size) // the last page is not empty
				}
			}
		})
	}

	t.Run("shows summaries", func(t *testing.T) {
		is := is.New(t)
		page, err := s.List(ctx, store.ListQuery{TenantID: tenant, Size: 1, Sort: store.OldestFirst})
		is.NoErr(err)
		o := all[0]
		is.Equal(page.Orders, []order.Summary{{
			ID: o.ID, Number: o.Number, Status: o.Status, Total: o.Total, Currency: "ZAR", DateCreated: o.DateCreated,
		}})
	})

	t.Run("refuses tokens of others", func(t *testing.T) {
		base := store.ListQuery{TenantID: tenant, Size: 2}
		dated := store.ListQuery{TenantID: tenant, Size: 2, Sort: store.NewestFirst, From: at(3), To: at(12)}
		next := func(q store.ListQuery) string {
			page, err := s.List(ctx, q)
			if err != nil || page.Next == "" {
				t.Fatal(err, "no next page")
			}
			return page.Next
		}
		edit := func(token string, change func(map[string]string)) string {
			text, err := base64.RawURLEncoding.DecodeString(token)
			if err != nil {
				t.Fatal(err)
			}
			var fields map[string]string
			if err := json.Unmarshal(text, &fields); err != nil {
				t.Fatal(err)
			}
			change(fields)
			text, _ = json.Marshal(fields)
			return base64.RawURLEncoding.EncodeToString(text)
		}
		set := func(k, v string) func(map[string]string) { return func(f map[string]string) { f[k] = v } }
		other := base
		other.TenantID = tenant + "x"
		sized := base
		sized.Size = 1
		paid := base
		paid.Status = order.Paid
		for _, tt := range []struct {
			name  string
			query store.ListQuery
			token string
			bad   bool
		}{
			{"its own", base, next(base), false},
			{"its own, with another size", sized, next(base), false},
			{"its own, dated", dated, next(dated), false},
			{"no base64", base, "!", true},
			{"no JSON", base, "AAAA", true},
			{"another tenant", other, next(base), true},
			{"another status", paid, next(base), true},
			{"another sort", dated, next(base), true},
			{"another tenant's key", base, edit(next(base), set("PK", "TENANT#other")), true},
			{"a counter's key", base, edit(next(base), set("SK", "COUNTER#ORDER#2025")), true},
			{"a bad id", base, edit(next(base), set("SK", "ORDER#x")), true},
			{"a bad date", dated, edit(next(dated), set("GSI1_SK", "x#y")), true},
			{"another order's date", dated, edit(next(dated), set("GSI1_SK", at(5).String()+"#"+order.NewID())), true},
			{"another index key", dated, edit(next(dated), set("GSI1_PK", "TENANT#other")), true},
			{"before the range", dated, edit(next(dated), func(f map[string]string) {
				f["GSI1_SK"] = at(1).String() + "#" + strings.TrimPrefix(f["SK"], "ORDER#")
			}), true},
			{"after the range", dated, edit(next(dated), func(f map[string]string) {
				f["GSI1_SK"] = at(15).String() + "#" + strings.TrimPrefix(f["SK"], "ORDER#")
			}), true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				is := is.New(t)
				q := tt.query
				q.StartAt = tt.token
				_, err := s.List(ctx, q)
				is.Equal(errors.Is(err, order.ErrPageToken), tt.bad)
				if !tt.bad {
					is.NoErr(err)
				}
			})
		}
	})
}

func TestFaultsComeThrough(t *testing.T) {
	is := is.New(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s, tenant := newStore(t)
	c := creation(tenant)
	o := newOrder(t, c)
	m := store.Mail{TenantID: tenant, OrderID: o.ID, Role: "r", Claim: "c"}
	calls := map[string]func() error{
		"Accept":      func() error { _, _, err := s.Accept(ctx, c, nil); return err },
		"Complete":    func() error { _, err := s.Complete(ctx, c); return err },
		"Receipt":     func() error { _, err := s.Receipt(ctx, tenant, o.ID); return err },
		"Failures":    func() error { _, _, err := s.Failures(ctx, tenant, o.ID); return err },
		"Reopen":      func() error { return s.Reopen(ctx, tenant, o.ID, 1) },
		"Withdraw":    func() error { return s.Withdraw(ctx, tenant, o.ID) },
		"Fail":        func() error { return s.Fail(ctx, c, "x") },
		"Create":      func() error { return s.Create(ctx, o) },
		"Order":       func() error { _, err := s.Order(ctx, tenant, o.ID); return err },
		"OrderByID":   func() error { _, err := s.OrderByID(ctx, o.ID); return err },
		"Update":      func() error { _, err := s.Update(ctx, o, o.DateLastUpdated); return err },
		"SetPDF":      func() error { return s.SetPDF(ctx, tenant, o.ID, "s3://b/k") },
		"List":        func() error { _, err := s.List(ctx, store.ListQuery{TenantID: tenant, Size: 1}); return err },
		"ClaimMail":   func() error { return s.ClaimMail(ctx, m, noon) },
		"MailSent":    func() error { return s.MailSent(ctx, m, "x") },
		"ReleaseMail": func() error { return s.ReleaseMail(ctx, m) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
	is.Equal(len(rawItem(t, tenant, "ORDER#"+o.ID)), 0)
}
