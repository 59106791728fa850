package store_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
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

// newStore returns a store whose clock stands at noon, and a tenant of the
// test's own.
func newStore(t *testing.T) (*store.Store, string) {
	now := noon
	return storeAt(&now), tenantOf(t)
}

// storeAt returns a store whose clock shows *now.
func storeAt(now *time.Time) *store.Store {
	return store.New(db.Client(), table, func() time.Time { return *now })
}

// over returns a store whose calls go over a wire, with its clock at noon.
func over(w *wire) *store.Store {
	return store.New(w.client(), table, func() time.Time { return noon })
}

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
		CreatedBy:     "thandi@example.com",
	}
}

// priced returns an accepted order with everything that recording adds.
func priced(t *testing.T, accepted order.Order, c order.Creation) order.Order {
	t.Helper()
	percent, err := order.ParsePercent("12.5")
	if err != nil {
		t.Fatal(err)
	}
	rate, err := order.ParseRate("0.15")
	if err != nil {
		t.Fatal(err)
	}
	o, err := order.New(accepted, c, order.Cart{
		ID: c.CartID, TenantID: c.TenantID, Currency: "ZAR", Shipping: zar(t, "50.00"),
		Items: []order.CartItem{
			{
				ID: "line-1", ProductID: "p-1", ProductName: "Tom & <b>Jerry</b>",
				Quantity: 2, UnitPrice: zar(t, "100.10"), Discount: zar(t, "0.20"),
			},
			{
				ID: "line-2", ProductID: "p-2", ProductName: "Žluťoučký kůň",
				Quantity: 1, UnitPrice: zar(t, "1.00"), Discount: zar(t, "0"),
			},
		},
		Campaign: &order.Campaign{
			ID: "c-1", Code: "SUMMER", Description: "Summer", DiscountPercentage: percent, ProductID: "p-1",
			TermsConditionsLink: "https://example.com/terms", FromDate: "2025-12-01", ToDate: "2026-01-31", IsValid: true,
			DateCreated: accepted.DateCreated, DateLastUpdated: accepted.DateCreated,
			LastUpdatedBy: "marketing@example.com", Active: true,
		},
	}, rate)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func zar(t *testing.T, s string) order.Money {
	t.Helper()
	m, err := order.ParseMoney(s, "ZAR")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// accept accepts an order of its own and returns it priced, not yet recorded.
func accept(t *testing.T, s *store.Store, tenant string) order.Order {
	t.Helper()
	c := creation(tenant)
	accepted, err := s.Accept(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return priced(t, accepted, c)
}

// record accepts and records an order of its own.
func record(t *testing.T, s *store.Store, tenant string) order.Order {
	t.Helper()
	o := accept(t, s, tenant)
	if err := s.Record(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// apply returns the order with an update made by someone, and not stored.
func apply(t *testing.T, o order.Order, u order.Update) order.Order {
	t.Helper()
	if changed, err := o.Apply(u, noon.Add(time.Minute)); err != nil || !changed {
		t.Fatal(changed, err)
	}
	return o
}

// paid is an update that fills an entry of a history.
func paid() order.Update {
	return order.Update{
		Status: order.Paid, Reason: "EFT came", By: "clerk@example.com", TraceID: "trace-1",
		PaymentDetails: &order.PaymentDetails{
			Method: "eft", TransactionID: "t-1", PayfastPaymentID: "pf-1", PaidAt: order.NewTimestamp(noon),
		},
	}
}

// read reads an order that must be there.
func read(t *testing.T, s *store.Store, tenant, orderID string) order.Order {
	t.Helper()
	o, err := s.Order(t.Context(), tenant, orderID)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func proForma(orderID string) order.Document {
	return order.Document{
		Kind: order.ProForma, DateIssued: order.NewTimestamp(noon), URL: "s3://bucket/order_" + orderID + ".pdf",
	}
}

// An item is one of the table as it is stored.
type item = map[string]types.AttributeValue

func rawItem(t *testing.T, partition, sort string) item {
	t.Helper()
	out, err := db.Client().GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName:      aws.String(table),
		ConsistentRead: aws.Bool(true),
		Key:            item{"PK": text(partition), "SK": text(sort)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

func rawOrder(t *testing.T, tenant, orderID string) item {
	t.Helper()
	return rawItem(t, "TENANT#"+tenant, "ORDER#"+orderID)
}

func putRaw(t *testing.T, i item) {
	t.Helper()
	_, err := db.Client().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: i})
	if err != nil {
		t.Fatal(err)
	}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }

// deleteOrder deletes an order as an operator does.
func deleteOrder(t *testing.T, tenant, orderID string) {
	t.Helper()
	i := rawOrder(t, tenant, orderID)
	i["active"] = &types.AttributeValueMemberBOOL{Value: false}
	putRaw(t, i)
}

// golden holds a stored item to a file of testdata and returns the file's.
func golden(t *testing.T, name string, stored item) item {
	t.Helper()
	is := is.New(t)
	var sorted any
	is.NoErr(json.Unmarshal(image(t, stored), &sorted))
	text, err := json.MarshalIndent(sorted, "", "  ")
	is.NoErr(err)
	text = append(text, '\n')
	if *update {
		is.NoErr(os.WriteFile(filepath.Join("testdata", name), text, 0o600))
	}
	is.Equal(string(text), string(readFile(t, name))) // written as in the file
	kept, err := attributevalue.UnmarshalMapJSON(readFile(t, name))
	is.NoErr(err)
	return kept
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// image returns an item in DynamoDB's JSON, as the table's stream gives it.
func image(t *testing.T, i item) []byte {
	t.Helper()
	text, err := attributevalue.MarshalMapJSON(i)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
