package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// A stopwatch is a client of DynamoDB that adds up how long its calls take, the SDK included.
type stopwatch struct {
	*dynamodb.Client
	took time.Duration
}

// GetItem calls DynamoDB.
func (s *stopwatch) GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	defer s.run()()
	return s.Client.GetItem(ctx, in, options...)
}

// Query calls DynamoDB.
func (s *stopwatch) Query(ctx context.Context, in *dynamodb.QueryInput, options ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	defer s.run()()
	return s.Client.Query(ctx, in, options...)
}

// TransactWriteItems calls DynamoDB.
func (s *stopwatch) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, options ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	defer s.run()()
	return s.Client.TransactWriteItems(ctx, in, options...)
}

func (s *stopwatch) run() (stop func()) {
	begin := time.Now()
	return func() { s.took += time.Since(begin) }
}

// A codec is a client of DynamoDB that sends nothing: it shows how the store writes an order, and what it makes of it when it
// reads it.
type codec struct {
	*dynamodb.Client
	item map[string]types.AttributeValue
}

// PutItem keeps the item.
func (c *codec) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	c.item = in.Item
	return &dynamodb.PutItemOutput{}, nil
}

// Query finds the item that was put as often as asked for.
func (c *codec) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out := &dynamodb.QueryOutput{}
	for range aws.ToInt32(in.Limit) {
		out.Items = append(out.Items, c.item)
	}
	return out, nil
}

// encode returns an order's item as the store writes it.
func encode(ctx context.Context, o order.Order) (map[string]types.AttributeValue, error) {
	var c codec
	err := store.New(&c, stack.Table, time.Now).Create(ctx, o)
	return c.item, err
}

// after returns the token of the page after an order in a tenant's list.
func after(ctx context.Context, o order.Order, sort store.Sort) (string, error) {
	var c codec
	s := store.New(&c, stack.Table, time.Now)
	if err := s.Create(ctx, o); err != nil {
		return "", err
	}
	page, err := s.List(ctx, store.ListQuery{TenantID: o.TenantID, Size: 1, Sort: sort})
	return page.Next, err
}

// A filler makes the orders that fill tenants: all like the smallest of the samples, placed a second apart.
type filler struct{ smallest order.Order }

func newFiller() filler { return filler{sample.Orders()[0].Order} }

// order returns the n-th order of a tenant, from 0.
func (f filler) order(tenant string, n int) order.Order {
	o := f.smallest
	o.ID, o.TenantID, o.Number = order.NewID(), tenant, order.FormatNumber(2025, int64(n+1))
	o.DateCreated = order.NewTimestamp(time.Date(2025, 1, 1, 0, 0, n, 0, time.UTC))
	o.DateLastUpdated = o.DateCreated
	return o
}

// middle returns an order that half of n orders of a tenant are before, by id and by date. It need not be there.
func (f filler) middle(tenant string, n int) order.Order {
	o := f.order(tenant, n/2)
	o.ID = "80000000-0000-4000-8000-000000000000"
	return o
}

// A batchWriter is what filling needs of DynamoDB.
type batchWriter interface {
	BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, options ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
}

// fill writes n orders of a tenant past the service, and returns the ids of some of them, as many as samples, in no order.
// DynamoDB Local is what it waits for.
func (f filler) fill(ctx context.Context, db batchWriter, tenant string, n int) ([]string, error) {
	const batch, writers = 25, 4 // DynamoDB takes no larger batch
	ids := make([]string, min(n, samples))
	var written atomic.Int64
	group, filling := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for first := 0; first < n && filling.Err() == nil; first += batch {
		group.Go(func() error {
			var requests []types.WriteRequest
			for i := first; i < min(first+batch, n); i++ {
				o := f.order(tenant, i)
				if k := i * len(ids) / n; i == 0 || (i-1)*len(ids)/n < k {
					ids[k] = o.ID
				}
				item, err := encode(filling, o)
				if err != nil {
					return err
				}
				requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: item}})
			}
			for len(requests) > 0 {
				out, err := db.BatchWriteItem(filling, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{stack.Table: requests}})
				if err != nil {
					return err
				}
				requests = out.UnprocessedItems[stack.Table]
			}
			if w := written.Add(batch); w%5000 == 0 {
				fmt.Fprintf(os.Stderr, "\rfilling %s: %d of %d ", tenant, w, n)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return ids, ctx.Err()
}
