package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

const (
	// receiptLife outlasts every queue: a message may wait 14 days in its queue and 14 more in the dead-letter queue.
	receiptLife = 30 * 24 * time.Hour
	// idempotencyLife is how long a repeated Idempotency-Key answers the same order (section 3 of the contract).
	idempotencyLife = 24 * time.Hour
)

// An IdempotencyKey is what a client sent to mark repetitions of one request.
type IdempotencyKey struct {
	Key      string // 1 to 255 visible ASCII characters
	BodyHash string // hexadecimal SHA-256 of the request's body
}

// Accept numbers a new order and writes its receipt and, where there is a key, the memory of the key: all three in one
// transaction, so that no number is used up and no key is taken without a receipt. It returns the message with its number.
//
// If the key was used before with the same body, nothing is written; replayed is true, and the message carries the id,
// number, time and creator of the first acceptance. With another body the error is ErrKeyReused.
func (s *Store) Accept(ctx context.Context, c order.Creation, key *IdempotencyKey) (accepted order.Creation, replayed bool, err error) {
	err = s.allocate(ctx, c, func(tx *dynamo.WriteTx, number string) {
		c.OrderNumber = number
		tx.Put(s.table.Put(s.receipt(c)).If("attribute_not_exists('PK')"))
		if key != nil {
			now := s.now()
			tx.Put(s.table.Put(idempotencyItem{
				PK:          tenantKey(c.TenantID),
				SK:          idempotencyKey(key.Key),
				BodyHash:    key.BodyHash,
				OrderID:     c.OrderID,
				Number:      c.OrderNumber,
				DateCreated: c.DateCreated,
				CreatedBy:   c.CreatedBy,
				ExpiresAt:   now.Add(idempotencyLife),
			}).If("attribute_not_exists('PK') OR 'expiresAt' <= ?", now.Unix()))
		}
	})
	switch {
	case errors.Is(err, errTaken) && key != nil:
		return s.replay(ctx, c, *key)
	case errors.Is(err, errTaken):
		// It was this very call, whose answer was lost.
		var first receiptItem
		err = s.get(c.TenantID, receiptKey(c.OrderID)).One(ctx, &first)
		c.OrderNumber = first.Number
	}
	if err != nil {
		return order.Creation{}, false, fmt.Errorf("accept order %s: %w", c.OrderID, err)
	}
	return c, false, nil
}

// replay answers a key that was used before.
func (s *Store) replay(ctx context.Context, c order.Creation, key IdempotencyKey) (order.Creation, bool, error) {
	var first idempotencyItem
	if err := s.get(c.TenantID, idempotencyKey(key.Key)).One(ctx, &first); err != nil {
		return order.Creation{}, false, wrap(err, "read idempotency key")
	}
	if first.BodyHash != key.BodyHash {
		return order.Creation{}, false, order.ErrKeyReused
	}
	replayed := first.OrderID != c.OrderID // Otherwise it was this very call, whose answer was lost.
	c.OrderID, c.OrderNumber, c.DateCreated, c.CreatedBy = first.OrderID, first.Number, first.DateCreated, first.CreatedBy
	return c, replayed, nil
}

// Complete gives a message of another producer the number and the time that it lacks: once per order, whatever the
// redeliveries. They are kept on the receipt.
func (s *Store) Complete(ctx context.Context, c order.Creation) (order.Creation, error) {
	const attempts = 3 // The second already finds what a concurrent delivery wrote.
	for range attempts {
		done, err := s.complete(ctx, c)
		if !errors.Is(err, errTaken) {
			return done, wrap(err, "number order %s", c.OrderID)
		}
	}
	return order.Creation{}, fmt.Errorf("number order %s: receipt keeps changing", c.OrderID)
}

func (s *Store) complete(ctx context.Context, c order.Creation) (order.Creation, error) {
	r, err := s.receiptOrNone(ctx, c.TenantID, c.OrderID)
	if err != nil {
		return order.Creation{}, err
	}
	if c.OrderNumber == "" {
		c.OrderNumber = r.Number
	}
	if c.DateCreated.IsZero() {
		c.DateCreated = r.DateCreated
	}
	if c.OrderNumber != "" && !c.DateCreated.IsZero() {
		return c, nil
	}
	if c.DateCreated.IsZero() {
		c.DateCreated = order.NewTimestamp(s.now())
	}
	if c.OrderNumber != "" {
		err := s.complement(c).If("attribute_not_exists('dateCreated')").Run(ctx)
		if dynamo.IsCondCheckFailed(err) {
			err = errTaken
		}
		return c, err
	}
	err = s.allocate(ctx, c, func(tx *dynamo.WriteTx, number string) {
		c.OrderNumber = number
		tx.Update(s.complement(c).If("attribute_not_exists('orderNumber')"))
	})
	return c, err
}

// Receipt reads what stands for an order before its record. It returns ErrNotFound if there is no receipt, or only one
// that has expired.
func (s *Store) Receipt(ctx context.Context, tenantID, orderID string) (order.Receipt, error) {
	var item receiptItem
	if err := s.get(tenantID, receiptKey(orderID)).One(ctx, &item); err != nil {
		return order.Receipt{}, wrap(err, "read receipt of order %s", orderID)
	}
	if !item.ExpiresAt.After(s.now()) { // DynamoDB may take days to delete what has expired.
		return order.Receipt{}, fmt.Errorf("read receipt of order %s: %w", orderID, order.ErrNotFound)
	}
	return order.Receipt{
		ID:            item.ID,
		Number:        item.Number,
		TenantID:      item.TenantID,
		CustomerEmail: item.CustomerEmail,
		Status:        order.Status(item.State),
		DateCreated:   item.DateCreated,
		FailureReason: item.Reason,
	}, nil
}

// Failures reports whether the receipt of an order says failed, and how often it came to say so: what Reopen wants to know.
// Without a receipt nothing failed.
func (s *Store) Failures(ctx context.Context, tenantID, orderID string) (n int64, failed bool, err error) {
	r, err := s.receiptOrNone(ctx, tenantID, orderID)
	if err != nil {
		return 0, false, wrap(err, "read receipt of order %s", orderID)
	}
	return r.Failures, r.State == string(order.Failed), nil
}

// receiptOrNone reads a receipt, expired or not; where there is none it is empty.
func (s *Store) receiptOrNone(ctx context.Context, tenantID, orderID string) (receiptItem, error) {
	var r receiptItem
	err := s.get(tenantID, receiptKey(orderID)).One(ctx, &r)
	if errors.Is(err, dynamo.ErrNotFound) {
		err = nil
	}
	return r, err
}

// Reopen lets a receipt that said failed say pending, after the order was queued again. It does nothing if the receipt has failed
// once more since Failures counted n: that is news of the new message, and no one would tell it again.
func (s *Store) Reopen(ctx context.Context, tenantID, orderID string, n int64) error {
	u := s.table.Update(attrPK, tenantKey(tenantID)).Range(attrSK, receiptKey(orderID)).
		Set("state", string(order.Pending)).
		Remove("reason")
	if n == 0 { // It failed before failures were counted.
		u.If("'state' = ? AND attribute_not_exists('failures')", string(order.Failed))
	} else {
		u.If("'state' = ? AND 'failures' = ?", string(order.Failed), n)
	}
	err := u.Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return nil
	}
	return wrap(err, "reopen receipt of order %s", orderID)
}

// Withdraw removes the receipt of an order that could not be queued.
func (s *Store) Withdraw(ctx context.Context, tenantID, orderID string) error {
	err := s.table.Delete(attrPK, tenantKey(tenantID)).Range(attrSK, receiptKey(orderID)).Run(ctx)
	return wrap(err, "withdraw receipt of order %s", orderID)
}

// Fail notes on the receipt that an order could not be recorded, and why. It counts how often: a failure that is noted twice, because
// an answer was lost, is only one more.
func (s *Store) Fail(ctx context.Context, c order.Creation, reason string) error {
	err := s.updateReceipt(c).
		Set("state", string(order.Failed)).
		Set("reason", reason).
		Add("failures", 1).
		Run(ctx)
	return wrap(err, "fail receipt of order %s", c.OrderID)
}

func (s *Store) receipt(c order.Creation) receiptItem {
	return receiptItem{
		PK:            tenantKey(c.TenantID),
		SK:            receiptKey(c.OrderID),
		ID:            c.OrderID,
		Number:        c.OrderNumber,
		TenantID:      c.TenantID,
		CustomerEmail: c.CustomerEmail,
		State:         string(order.Pending),
		DateCreated:   c.DateCreated,
		ExpiresAt:     s.now().Add(receiptLife),
	}
}

// complement gives the receipt what a message lacked. One that says failed goes on saying so until the order is recorded: whoever
// completes the message may yet die.
func (s *Store) complement(c order.Creation) *dynamo.Update {
	return s.updateReceipt(c).SetIfNotExists("state", string(order.Pending))
}

// updateReceipt writes a message over what is there, or begins a receipt, but keeps a number and a time that the message does not have.
func (s *Store) updateReceipt(c order.Creation) *dynamo.Update {
	u := s.table.Update(attrPK, tenantKey(c.TenantID)).Range(attrSK, receiptKey(c.OrderID)).
		Set("id", c.OrderID).
		Set("tenantId", c.TenantID).
		Set("customerEmail", c.CustomerEmail).
		Set("expiresAt", s.now().Add(receiptLife).Unix())
	if c.OrderNumber != "" {
		u.Set("orderNumber", c.OrderNumber)
	}
	if !c.DateCreated.IsZero() {
		u.Set("dateCreated", c.DateCreated)
	}
	return u
}

var (
	// errTaken says that a condition of the writes beside the counter failed.
	errTaken = errors.New("already written")
	// errCounterBusy says that a number could not be had: too many orders of one tenant at once.
	errCounterBusy = errors.New("order counter is busy")
)

// allocate takes the next number of a tenant's year in one transaction with the writes that need it, the order's receipt among
// them: a number is used up only together with its use. It returns errTaken if a condition of those writes fails.
//
// An answer that was lost is no gap. The SDK repeats a transaction under its token; where that does not settle it, the next race
// meets the receipt that the lost one wrote.
//
// Optimistic transactions starve where many orders of one tenant arrive at once. After some lost races the number is
// therefore taken by itself, without contention; then a failure between the two leaves a gap, and so does a key that its twin,
// a repetition of the request at the same moment, took first.
func (s *Store) allocate(ctx context.Context, c order.Creation, write func(tx *dynamo.WriteTx, number string)) error {
	const races = 4
	tenantID, year := c.TenantID, c.DateCreated.Time().Year()
	for race := range races {
		n, err := s.lastNumber(ctx, tenantID, year)
		if err != nil {
			return err
		}
		tx := s.db.WriteTx().Idempotent(true).Update(s.advance(tenantID, year, n))
		write(tx, order.FormatNumber(year, n+1))
		err = tx.Run(ctx)
		codes := cancellations(err)
		switch {
		case err == nil:
			return nil
		case len(codes) > 0 && anyFailed(codes[1:]):
			return errTaken
		case len(codes) > 0 && anyFailed(codes[:1]) || isConflict(err):
			if err := pause(ctx, race); err != nil {
				return err
			}
		default:
			return err
		}
	}
	first, err := s.receiptOrNone(ctx, tenantID, c.OrderID)
	if err != nil {
		return fmt.Errorf("read receipt: %w", err)
	}
	if first.Number != "" {
		return errTaken
	}
	n, err := s.increment(ctx, tenantID, year)
	if err != nil {
		return err
	}
	tx := s.db.WriteTx().Idempotent(true)
	write(tx, order.FormatNumber(year, n))
	for race := 0; ; race++ {
		err := tx.Run(ctx)
		switch {
		case anyFailed(cancellations(err)):
			return errTaken
		case isConflict(err) && race < races:
			if err := pause(ctx, race); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (s *Store) lastNumber(ctx context.Context, tenantID string, year int) (int64, error) {
	var counter counterItem
	err := s.get(tenantID, counterKey(year)).One(ctx, &counter)
	if err != nil && !errors.Is(err, dynamo.ErrNotFound) {
		return 0, fmt.Errorf("read order counter: %w", err)
	}
	return counter.Value, nil
}

// advance moves the counter on from n, if it is still there.
func (s *Store) advance(tenantID string, year int, n int64) *dynamo.Update {
	u := s.table.Update(attrPK, tenantKey(tenantID)).Range(attrSK, counterKey(year)).Set("value", n+1)
	if n == 0 {
		return u.If("attribute_not_exists('value')")
	}
	return u.If("'value' = ?", n)
}

// increment takes a number whatever the others do. It is tried again only where the first try surely had no effect: a
// lost answer fails the acceptance instead of leaving a gap before a success.
func (s *Store) increment(ctx context.Context, tenantID string, year int) (int64, error) {
	const attempts = 20
	var err error
	for attempt := range attempts {
		var out *dynamodb.UpdateItemOutput
		out, err = s.db.Client().UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: aws.String(s.table.Name()),
			Key: map[string]types.AttributeValue{
				attrPK: &types.AttributeValueMemberS{Value: tenantKey(tenantID)},
				attrSK: &types.AttributeValueMemberS{Value: counterKey(year)},
			},
			UpdateExpression:          aws.String("ADD #v :one"),
			ExpressionAttributeNames:  map[string]string{"#v": "value"},
			ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
			ReturnValues:              types.ReturnValueUpdatedNew,
		}, withoutRetries)
		if err == nil {
			var counter counterItem
			return counter.Value, dynamo.UnmarshalItem(out.Attributes, &counter)
		}
		if !isConflict(err) && !isThrottled(err) {
			return 0, fmt.Errorf("advance order counter: %w", err)
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: %w", errCounterBusy, err)
}

func withoutRetries(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// isThrottled reports whether the service refused a call before it had any effect.
func isThrottled(err error) bool {
	return retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err) == aws.TrueTernary
}

func anyFailed(codes []string) bool {
	for _, code := range codes {
		if code == "ConditionalCheckFailed" {
			return true
		}
	}
	return false
}

// pause waits a random time that grows with the attempt, from some milliseconds to a quarter of a second on average.
func pause(ctx context.Context, attempt int) error {
	const base, most = 10 * time.Millisecond, 500 * time.Millisecond
	wait := min(base<<min(attempt, 10), most)
	t := time.NewTimer(rand.N(wait)) //nolint:gosec // Jitter needs no secrecy.
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
