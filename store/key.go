package store

import (
	"context"
	"errors"
	"time"

	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

// idempotencyLife is how long a repeated Idempotency-Key answers the same order
// (section 3 of the contract).
const idempotencyLife = 24 * time.Hour

// An IdempotencyKey is what a client sent to mark repetitions of one request.
type IdempotencyKey struct {
	Key      string // 1 to 255 visible ASCII characters
	BodyHash string // hexadecimal SHA-256 of the request's body
}

// AcceptOnce accepts an order under a key. The key is claimed before anything
// else, so of two calls with one key the second completes the order of the
// first or returns it: replayed reports that an earlier call created the order,
// which is returned as it stands. The error is ErrKeyReused if the key came
// with another body before, and ErrDeleted if its order was deleted.
func (s *Store) AcceptOnce(
	ctx context.Context, c order.Creation, key IdempotencyKey,
) (o order.Order, replayed bool, err error) {
	now := s.now()
	claim := idempotencyItem{
		PK:          tenantKey(c.TenantID),
		SK:          idempotencyKey(key.Key),
		BodyHash:    key.BodyHash,
		OrderID:     c.OrderID,
		DateCreated: order.NewTimestamp(now),
		CreatedBy:   c.CreatedBy,
		ExpiresAt:   now.Add(idempotencyLife),
	}
	err = s.table.Put(claim).If("attribute_not_exists('PK') OR 'expiresAt' <= ?", now.Unix()).Run(ctx)
	if err == nil {
		o, err = s.accept(ctx, c, claim.DateCreated)
		return o, false, err
	}
	if !dynamo.IsCondCheckFailed(err) {
		return order.Order{}, false, wrap(err, "claim idempotency key")
	}
	var first idempotencyItem
	if err := s.get(c.TenantID, claim.SK).One(ctx, &first); err != nil {
		return order.Order{}, false, wrap(err, "read idempotency key")
	}
	if first.BodyHash != key.BodyHash {
		return order.Order{}, false, order.ErrKeyReused
	}
	replayed = first.OrderID != c.OrderID // Otherwise this call wrote it, and the answer was lost.
	c.OrderID, c.CreatedBy = first.OrderID, first.CreatedBy
	o, err = s.Order(ctx, c.TenantID, c.OrderID)
	if errors.Is(err, order.ErrNotFound) {
		o, err = s.accept(ctx, c, first.DateCreated) // The call that claimed the key ended before this.
	}
	return o, replayed, err
}
