package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/store"
)

// batches is a DynamoDB that takes only ten items of a batch at a time.
type batches struct {
	mu    sync.Mutex
	items []map[string]types.AttributeValue
	err   error
}

func (b *batches) BatchWriteItem(_ context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests := in.RequestItems[stack.Table]
	if len(requests) > 25 || b.err != nil {
		return nil, cmp.Or(b.err, errors.New("too many items"))
	}
	now, later := requests[:min(10, len(requests))], requests[min(10, len(requests)):]
	for _, r := range now {
		b.items = append(b.items, r.PutRequest.Item)
	}
	return &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{stack.Table: later}}, nil
}

func TestFill(t *testing.T) {
	for _, n := range []int{1, 25, 60, 61, 1003} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			is := is.New(t)
			var db batches
			ids, err := newFiller().fill(t.Context(), &db, "growth", n)
			is.NoErr(err)
			is.Equal(len(db.items), n)
			keys, dates, known := map[string]bool{}, map[string]bool{}, map[string]bool{}
			text := func(v types.AttributeValue) string { return v.(*types.AttributeValueMemberS).Value }
			for _, item := range db.items {
				is.Equal(text(item["PK"]), "TENANT#growth")
				keys[text(item["SK"])], dates[text(item["GSI1_SK"])], known[text(item["id"])] = true, true, true
			}
			is.Equal(len(keys), n)
			is.Equal(len(dates), n)
			is.Equal(len(ids), min(n, samples))
			for i, id := range ids {
				is.True(known[id])
				is.True(!slices.Contains(ids[:i], id)) // each once
			}
		})
	}
	t.Run("stops at an error", func(t *testing.T) {
		is := is.New(t)
		_, err := newFiller().fill(t.Context(), &batches{err: errors.New("no luck")}, "growth", 1000)
		is.Equal(fmt.Sprint(err), "no luck")
	})
	t.Run("stops when it is told to", func(t *testing.T) {
		is := is.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var db batches
		_, err := newFiller().fill(ctx, &db, "growth", 1000)
		is.True(errors.Is(err, context.Canceled))
		is.Equal(len(db.items), 0)
	})
}

// TestMiddle lets the store read the token of the middle page: it refuses one that is not its own.
func TestMiddle(t *testing.T) {
	for _, sort := range []store.Sort{store.ByID, store.NewestFirst} {
		is := is.New(t)
		token, err := after(t.Context(), newFiller().middle("growth", 1000), sort)
		is.NoErr(err)
		var start map[string]types.AttributeValue
		_, err = store.New(&asked{start: &start}, stack.Table, time.Now).List(t.Context(), store.ListQuery{TenantID: "growth", Size: 50, Sort: sort, StartAt: token})
		is.NoErr(err)
		is.Equal(start["SK"].(*types.AttributeValueMemberS).Value, "ORDER#80000000-0000-4000-8000-000000000000")
		if sort == store.NewestFirst {
			is.True(strings.HasPrefix(start["GSI1_SK"].(*types.AttributeValueMemberS).Value, "2025-01-01T00:08:20.")) // 500 s
		}
	}
}

// asked is a DynamoDB that has nothing and keeps where a query starts.
type asked struct {
	*dynamodb.Client
	start *map[string]types.AttributeValue
}

func (a *asked) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	*a.start = in.ExclusiveStartKey
	return &dynamodb.QueryOutput{}, nil
}

func TestGrowthTable(t *testing.T) {
	is := is.New(t)
	got := growthTable([]medians{
		{"get", 100, 3 * time.Millisecond, 2 * time.Millisecond},
		{"create", 100, 8 * time.Millisecond, 4 * time.Millisecond},
		{"get", 10000, 5 * time.Millisecond, 4 * time.Millisecond},
	})
	_, rows, _ := strings.Cut(got, "|---|\n")
	is.Equal(rows, "| get | 100 | 3.0 ms | 2.0 ms | 1.50 | 1.0 ms |\n"+
		"| get | 10000 | 5.0 ms | 4.0 ms | 1.25 | 1.0 ms |\n"+
		"| create | 100 | 8.0 ms | 4.0 ms | 2.00 | 4.0 ms |\n")
}
