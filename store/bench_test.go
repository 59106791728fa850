package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bbws/order-lambda/store"
)

// inMemory is a table with one order, that of testdata, and with it as often as
// a list asks for. It costs next to nothing, so that what is measured is the
// store: building requests, writing and reading items.
type inMemory struct {
	*dynamodb.Client
	order, summary item
}

func newInMemory(b *testing.B) *inMemory {
	b.Helper()
	i, err := attributevalue.UnmarshalMapJSON(readFile(b, "order.json"))
	if err != nil {
		b.Fatal(err)
	}
	return &inMemory{order: i}
}

func (m *inMemory) PutItem(
	context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	return &dynamodb.PutItemOutput{}, nil
}

func (m *inMemory) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: m.order}, nil
}

func (m *inMemory) Query(
	_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options),
) (*dynamodb.QueryOutput, error) {
	if m.summary == nil { // the attributes that a list asks for
		m.summary = item{}
		for name := range strings.SplitSeq(aws.ToString(in.ProjectionExpression), ",") {
			name = strings.TrimSpace(name)
			if written, ok := in.ExpressionAttributeNames[name]; ok {
				name = written
			}
			m.summary[name] = m.order[name]
		}
	}
	items := make([]item, aws.ToInt32(in.Limit))
	for i := range items {
		items[i] = m.summary
	}
	return &dynamodb.QueryOutput{Items: items}, nil
}

// BenchmarkRecord writes an order and its number, BenchmarkOrder reads an
// order, and BenchmarkList reads a page of them: one more than it shows.
func BenchmarkRecord(b *testing.B) {
	s := store.New(newInMemory(b), table, time.Now)
	o, err := s.Order(b.Context(), "golden", "any")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Record(b.Context(), o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	s := store.New(newInMemory(b), table, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Order(b.Context(), "golden", "any"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList(b *testing.B) {
	for _, size := range []int{25, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := store.New(newInMemory(b), table, time.Now)
			b.ReportAllocs()
			for b.Loop() {
				page, err := s.List(b.Context(), store.ListQuery{TenantID: "golden", Size: size, Sort: store.NewestFirst})
				if err != nil || len(page.Orders) != size || page.Next == "" {
					b.Fatal(len(page.Orders), err)
				}
			}
		})
	}
}
