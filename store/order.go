package store

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

// acceptedLife is how long an accepted order waits for its record. It outlasts
// every queue: a message may wait 14 days in its queue and 14 more in the
// dead-letter queue.
const acceptedLife = 30 * 24 * time.Hour

// Accept numbers an order and writes it as accepted, so that it can be asked
// for. An order that exists already is returned as it stands: only the first
// call accepts it. It returns ErrDeleted for an order that was deleted.
//
// The number is taken before the order is written. If the write fails, the
// number is skipped.
func (s *Store) Accept(ctx context.Context, c order.Creation) (order.Order, error) {
	return s.accept(ctx, c, order.NewTimestamp(s.now()))
}

func (s *Store) accept(ctx context.Context, c order.Creation, at order.Timestamp) (order.Order, error) {
	n, err := s.nextNumber(ctx, c.TenantID, at.Year())
	if err != nil {
		return order.Order{}, fmt.Errorf("accept order %s: %w", c.OrderID, err)
	}
	o := c.Accepted(order.FormatNumber(at.Year(), n), at)
	item := encodeAccepted(o, s.now().Add(acceptedLife))
	err = s.table.Put(item).If("attribute_not_exists('PK')").Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return s.Order(ctx, c.TenantID, c.OrderID)
	}
	return o, wrap(err, "accept order %s", c.OrderID)
}

// nextNumber takes the next order number of a tenant's year. It cannot be given
// back: an answer that is lost, or a call that the SDK repeats, skips a number.
func (s *Store) nextNumber(ctx context.Context, tenantID string, year int) (int64, error) {
	var counter counterItem
	err := s.update(tenantID, orderCounterKey(year)).Add("value", 1).OnlyUpdatedValue(ctx, &counter)
	return counter.Value, wrap(err, "take order number")
}

// Order reads an order of a tenant, consistently (AP1): recorded, or only
// accepted. It returns ErrNotFound for an order that is not there or belongs
// to another tenant, and ErrDeleted for one that was deleted.
func (s *Store) Order(ctx context.Context, tenantID, orderID string) (order.Order, error) {
	var item orderItem
	if err := s.get(tenantID, orderKey(orderID)).One(ctx, &item); err != nil {
		return order.Order{}, wrap(err, "read order %s", orderID)
	}
	if !item.Active {
		return order.Order{}, fmt.Errorf("read order %s: %w", orderID, order.ErrDeleted)
	}
	return decodeOrder(item)
}

// OrderByID reads the recorded order of any tenant (AP4). The index behind it
// may lag a little. The errors are those of Order.
func (s *Store) OrderByID(ctx context.Context, orderID string) (order.Order, error) {
	var found keyItem
	err := s.table.Get(attrGSI2PK, orderKey(orderID)).Range(attrGSI2SK, dynamo.Equal, metadataKey).
		Index(indexByID).Limit(1).One(ctx, &found)
	if err != nil {
		return order.Order{}, wrap(err, "find order %s", orderID)
	}
	return s.Order(ctx, tenantOf(found.PK), orderID)
}

// OrderByNumber reads the recorded order of a tenant by its number (AP6). The
// errors are those of Order.
func (s *Store) OrderByNumber(ctx context.Context, tenantID, number string) (order.Order, error) {
	var found numberItem
	if err := s.get(tenantID, numberKey(number)).One(ctx, &found); err != nil {
		return order.Order{}, wrap(err, "find order %s", number)
	}
	return s.Order(ctx, tenantID, found.OrderID)
}

// Fail notes on an accepted order that it could not be recorded, and why. The
// order is kept for as long again, so that its message can be sent once more.
// An order that is recorded, deleted or not there is left as it is.
func (s *Store) Fail(ctx context.Context, tenantID, orderID, reason string) error {
	err := s.update(tenantID, orderKey(orderID)).
		Set("status", string(order.Failed)).
		Set("failureReason", reason).
		Set("expiresAt", s.now().Add(acceptedLife).Unix()).
		If(isAccepted, true).
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return nil
	}
	return wrap(err, "fail order %s", orderID)
}

// isAccepted is the condition that an order is accepted and not yet recorded.
// Its argument is true.
const isAccepted = "attribute_exists('PK') AND attribute_not_exists('GSI1_PK') AND 'active' = ?"

// Record completes an accepted order. It returns ErrExists if the order is
// recorded already, ErrDeleted if it was deleted and ErrNotFound if it was
// never accepted. Since the outcome of a write that timed out is unknown,
// ErrExists may also mean that an earlier attempt of this very call succeeded.
// An order that is larger than DynamoDB's items may be (400 KB: 200 lines with
// the longest names in a script of four bytes a character) is a Permanent
// error.
//
// The number is made findable first: one that leads to an order which is not
// recorded does no harm.
func (s *Store) Record(ctx context.Context, o order.Order) error {
	err := s.table.Put(numberItem{PK: tenantKey(o.TenantID), SK: numberKey(o.Number), OrderID: o.ID}).Run(ctx)
	if err != nil {
		return wrap(err, "record number of order %s", o.ID)
	}
	err = s.table.Put(encodeOrder(o)).If(isAccepted, true).Run(ctx)
	switch {
	case dynamo.IsCondCheckFailed(err):
		if _, err := s.Order(ctx, o.TenantID, o.ID); err != nil {
			return err
		}
		err = order.ErrExists
	case isTooLarge(err):
		err = &order.PermanentError{Reason: "order is too large to be recorded", Err: err}
	}
	return wrap(err, "record order %s", o.ID)
}

// Update writes what Apply changed about an order together with the entry of
// its history, on condition that its DateLastUpdated is still was. It returns
// the order as it is stored now; notes that came in between move the new entry
// back in the history. It returns ErrChanged if someone else updated the order
// since, ErrDeleted or ErrNotFound if it is gone, and ErrTooManyChanges if it
// would outgrow an item.
func (s *Store) Update(ctx context.Context, o order.Order, was order.Timestamp) (order.Order, error) {
	entry := o.History[len(o.History)-1]
	item, err := encodeEntry(entry)
	if err != nil {
		return order.Order{}, wrap(err, "update order %s", o.ID)
	}
	var stored orderItem
	err = s.update(o.TenantID, orderKey(o.ID)).
		Set("status", string(o.Status)).
		Set("paymentDetails", (*paymentItem)(o.PaymentDetails)).
		Set("dateLastUpdated", o.DateLastUpdated).
		Set("lastUpdatedBy", o.LastUpdatedBy).
		Append("history", item).
		If("'dateLastUpdated' = ? AND 'active' = ?", was, true).
		Value(ctx, &stored)
	switch {
	case dynamo.IsCondCheckFailed(err):
		return s.whyNotUpdated(ctx, o, entry)
	case isTooLarge(err):
		err = order.ErrTooManyChanges
	}
	if err != nil {
		return order.Order{}, wrap(err, "update order %s", o.ID)
	}
	return decodeOrder(stored)
}

// whyNotUpdated tells a lost race from an own write whose answer was lost: the
// SDK then tried again and met the condition's failure.
func (s *Store) whyNotUpdated(ctx context.Context, o order.Order, own order.Entry) (order.Order, error) {
	stored, err := s.Order(ctx, o.TenantID, o.ID)
	if err != nil {
		return order.Order{}, err
	}
	for _, e := range stored.History {
		e.Sequence = own.Sequence // It may have moved.
		if e.Date == own.Date && stored.DateLastUpdated == own.Date && reflect.DeepEqual(e, own) {
			return stored, nil
		}
	}
	return order.Order{}, fmt.Errorf("update order %s: %w", o.ID, order.ErrChanged)
}

// NoteMailFailed adds to an order's history that a role's mail about an entry
// could not be sent, unless the history says so already. It does not count as
// an update: DateLastUpdated stays. The errors are those of Order.
func (s *Store) NoteMailFailed(
	ctx context.Context, tenantID, orderID string, about order.Entry, role, reason string,
) error {
	const attempts = 5 // Somebody else may add an entry in between.
	for range attempts {
		o, err := s.Order(ctx, tenantID, orderID)
		if err != nil {
			return err
		}
		note, missing := o.MailFailed(about, role, reason, order.NewTimestamp(s.now()))
		if !missing {
			return nil
		}
		item, err := encodeEntry(note)
		if err != nil {
			return wrap(err, "note failed mail of order %s", orderID)
		}
		// The SDK may repeat the write: the place in the list makes it one.
		err = s.update(tenantID, orderKey(orderID)).
			Append("history", item).
			If("size('history') = ?", len(o.History)).
			Run(ctx)
		if !dynamo.IsCondCheckFailed(err) {
			return wrap(err, "note failed mail of order %s", orderID)
		}
	}
	return fmt.Errorf("note failed mail of order %s: %w", orderID, order.ErrChanged)
}

// AddDocument notes on an order that a document is issued and where it is
// stored, in place of an earlier note about its kind. It does not count as an
// update: DateLastUpdated stays. It returns ErrNotFound if there is no such
// recorded order.
func (s *Store) AddDocument(ctx context.Context, tenantID, orderID string, d order.Document) error {
	err := s.update(tenantID, orderKey(orderID)).
		Set("documents."+string(d.Kind), documentNote{d.Number, d.DateIssued, d.URL}).
		If("attribute_exists('GSI1_PK')").
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		err = order.ErrNotFound
	}
	return wrap(err, "add document to order %s", orderID)
}

// encodeEntry returns an entry as the list that is appended to a history.
func encodeEntry(e order.Entry) (types.AttributeValue, error) {
	item, err := dynamo.MarshalItem(newEntryItem(e))
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberM{Value: item}}}, nil
}
