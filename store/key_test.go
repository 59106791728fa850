package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

var key = store.IdempotencyKey{Key: "a#b", BodyHash: "aa"}

// acceptOnce accepts an order of a new request under a key.
func acceptOnce(t *testing.T, s *store.Store, tenant string, k store.IdempotencyKey) (o order.Order, replayed bool) {
	t.Helper()
	o, replayed, err := s.AcceptOnce(t.Context(), creation(tenant), k)
	if err != nil {
		t.Fatal(err)
	}
	return o, replayed
}

func TestAcceptOnce(t *testing.T) {
	t.Run("accepts the first request", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		o, replayed, err := s.AcceptOnce(t.Context(), c, key)
		is.NoErr(err)
		is.True(!replayed)
		is.Equal(o, c.Accepted("ORD-2025-00001", order.NewTimestamp(noon)))
		is.Equal(read(t, s, tenant, o.ID), o)
		is.Equal(rawItem(t, "TENANT#"+tenant, "IDEMPOTENCY#a#b")["expiresAt"], num(noon.Add(24*time.Hour).Unix()))
	})
	t.Run("answers the same request with its order as it stands", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		first, _, err := s.AcceptOnce(t.Context(), c, key)
		is.NoErr(err)
		second := creation(tenant)
		second.CreatedBy = "someone@example.com"
		got, replayed, err := s.AcceptOnce(t.Context(), second, key)
		is.NoErr(err)
		is.True(replayed)
		is.Equal(got, first)
		is.Equal(len(rawOrder(t, tenant, second.OrderID)), 0) // the second left nothing

		recorded := priced(t, first, c)
		is.NoErr(s.Record(t.Context(), recorded))
		got, _ = acceptOnce(t, s, tenant, key)
		is.Equal(got, recorded)
		got, _ = acceptOnce(t, s, tenant, store.IdempotencyKey{Key: "other", BodyHash: "aa"})
		is.Equal(got.Number, "ORD-2025-00002") // the repetitions used up no number
	})
	t.Run("refuses another request with the same key", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		first, _ := acceptOnce(t, s, tenant, key)
		_, _, err := s.AcceptOnce(t.Context(), creation(tenant), store.IdempotencyKey{Key: key.Key, BodyHash: "bb"})
		is.True(errors.Is(err, order.ErrKeyReused))
		other, replayed := acceptOnce(t, s, tenant+"-other", key)
		is.True(!replayed) // the key is the tenant's own
		is.True(other.ID != first.ID)
	})
	t.Run("does not answer a deleted order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o, _ := acceptOnce(t, s, tenant, key)
		deleteOrder(t, tenant, o.ID)
		_, _, err := s.AcceptOnce(t.Context(), creation(tenant), key)
		is.True(errors.Is(err, order.ErrDeleted))
	})
}

func TestIdempotencyKeyExpires(t *testing.T) {
	is := is.New(t)
	_, tenant := newStore(t)
	now := noon
	s := storeAt(&now)
	first, _ := acceptOnce(t, s, tenant, key)
	now = noon.Add(24*time.Hour - time.Second)
	got, replayed := acceptOnce(t, s, tenant, key)
	is.True(replayed)
	is.Equal(got.ID, first.ID)
	now = noon.Add(24 * time.Hour) // though DynamoDB has not deleted it yet
	got, replayed = acceptOnce(t, s, tenant, store.IdempotencyKey{Key: key.Key, BodyHash: "bb"})
	is.True(!replayed)
	is.True(got.ID != first.ID)
	again, replayed := acceptOnce(t, s, tenant, store.IdempotencyKey{Key: key.Key, BodyHash: "bb"})
	is.True(replayed) // it stands for the new request now
	is.Equal(again, got)
}

func TestIdempotencyKeyIsClaimedFirst(t *testing.T) {
	t.Run("its order is completed by whoever comes second", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		ctx, die := context.WithCancel(t.Context())
		w := &wire{before: func(call string) {
			if call == "UpdateItem 1" {
				die()
			}
		}}
		dead := creation(tenant)
		_, _, err := over(w).AcceptOnce(ctx, dead, key)
		is.True(errors.Is(err, context.Canceled))

		now := noon.Add(time.Hour)
		s := storeAt(&now)
		second := creation(tenant)
		second.CreatedBy = "someone@example.com"
		o, replayed, err := s.AcceptOnce(t.Context(), second, key)
		is.NoErr(err)
		is.True(replayed)
		is.Equal(o, dead.Accepted("ORD-2025-00001", order.NewTimestamp(noon))) // the first one's id, time and creator
		is.Equal(read(t, s, tenant, dead.OrderID), o)
	})
	t.Run("whoever was overtaken answers the same order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		var second order.Order
		w := &wire{before: func(call string) {
			if call == "PutItem 2" { // the key is claimed, the order is not there
				second, _ = acceptOnce(t, s, tenant, key)
			}
		}}
		first, replayed, err := over(w).AcceptOnce(t.Context(), creation(tenant), key)
		is.NoErr(err)
		is.True(!replayed)
		is.Equal(first, second)
	})
	t.Run("a claim whose answer was lost is no replay", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		w := &wire{lose: "PutItem 1"}
		c := creation(tenant)
		o, replayed, err := over(w).AcceptOnce(t.Context(), c, key)
		is.NoErr(err)
		is.Equal(w.operations(), "PutItem PutItem GetItem GetItem UpdateItem PutItem")
		is.True(!replayed)
		is.Equal(o, c.Accepted("ORD-2025-00001", order.NewTimestamp(noon)))
	})
}

func TestAcceptOnceOfManyRequestsAtOnce(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	const requests = 20
	answers := make([]string, requests)
	var firsts atomic.Int32
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			o, replayed, err := s.AcceptOnce(t.Context(), creation(tenant), key)
			if err != nil {
				t.Error(err)
			}
			if !replayed {
				firsts.Add(1)
			}
			answers[i] = fmt.Sprint(o)
		})
	}
	wg.Wait()
	slices.Sort(answers)
	is.Equal(len(slices.Compact(answers)), 1)
	is.Equal(firsts.Load(), int32(1))
}
