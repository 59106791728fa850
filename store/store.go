// Package store keeps orders, receipts, counters, idempotency keys and the ledger of sent mails in one DynamoDB table.
// It is the only package that speaks to the table, and turns the library's errors into the domain's.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/guregu/dynamo/v2"
	"github.com/guregu/dynamo/v2/dynamodbiface"

	"github.com/bbws/order-lambda/order"
)

// A Store is one table. It is safe for concurrent use.
type Store struct {
	db    *dynamo.DB
	table dynamo.Table
	now   func() time.Time
}

// New returns the store of a table. The clock now decides what has expired and how long new items live.
func New(client dynamodbiface.DynamoDBAPI, table string, now func() time.Time) *Store {
	db := dynamo.NewFromIface(client)
	return &Store{db: db, table: db.Table(table), now: now}
}

// Create records an order. It returns ErrExists if the order is already recorded, in whatever form. Since the outcome of a
// write that timed out is unknown, ErrExists may also mean that an earlier attempt of this very call succeeded. An order
// that is larger than DynamoDB's items may be (400 KB: 200 lines with the longest names in a script of four bytes a
// character) is a Permanent error.
func (s *Store) Create(ctx context.Context, o order.Order) error {
	err := s.table.Put(encodeOrder(o)).If("attribute_not_exists('PK')").Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return fmt.Errorf("record order %s: %w", o.ID, order.ErrExists)
	}
	if isTooLarge(err) {
		err = &order.Permanent{Reason: "order is too large to be recorded", Err: err}
	}
	return wrap(err, "record order %s", o.ID)
}

// Order reads an order of a tenant, consistently (AP1). It returns ErrNotFound for an order that is not there, belongs to
// another tenant or is deleted.
func (s *Store) Order(ctx context.Context, tenantID, orderID string) (order.Order, error) {
	return oneOrder(ctx, orderID, s.get(tenantID, orderKey(orderID)))
}

// OrderByID reads the order of any tenant (AP4). The index behind it may lag a little. It returns ErrNotFound for an order
// that is not there or is deleted.
func (s *Store) OrderByID(ctx context.Context, orderID string) (order.Order, error) {
	return oneOrder(ctx, orderID,
		s.table.Get(attrGSI2PK, orderKey(orderID)).Range(attrGSI2SK, dynamo.Equal, metadataKey).Index(indexByID).Limit(1))
}

func oneOrder(ctx context.Context, orderID string, q *dynamo.Query) (order.Order, error) {
	var item orderItem
	if err := q.One(ctx, &item); err != nil {
		return order.Order{}, wrap(err, "read order %s", orderID)
	}
	if !item.Active {
		return order.Order{}, fmt.Errorf("read order %s: %w", orderID, order.ErrNotFound)
	}
	return decodeOrder(item)
}

// Update writes what Apply changed about an order, on condition that its DateLastUpdated is still was, and returns the
// order as it is stored now. It returns ErrChanged if someone else updated the order since, and ErrNotFound if it is gone.
func (s *Store) Update(ctx context.Context, o order.Order, was order.Timestamp) (order.Order, error) {
	var item orderItem
	err := s.table.Update(attrPK, tenantKey(o.TenantID)).Range(attrSK, orderKey(o.ID)).
		Set("status", string(o.Status)).
		Set("paymentDetails", (*paymentItem)(o.PaymentDetails)).
		Set("dateLastUpdated", o.DateLastUpdated).
		Set("lastUpdatedBy", o.LastUpdatedBy).
		If("'dateLastUpdated' = ? AND 'active' = ?", was, true).
		Value(ctx, &item)
	if dynamo.IsCondCheckFailed(err) {
		return s.whyNotUpdated(ctx, o)
	}
	if err != nil {
		return order.Order{}, wrap(err, "update order %s", o.ID)
	}
	return decodeOrder(item)
}

// whyNotUpdated tells a lost race from an own write whose answer was lost: the SDK then tried again and met the
// condition's failure.
func (s *Store) whyNotUpdated(ctx context.Context, o order.Order) (order.Order, error) {
	stored, err := s.Order(ctx, o.TenantID, o.ID)
	if err != nil {
		return order.Order{}, err
	}
	if stored.DateLastUpdated == o.DateLastUpdated && stored.LastUpdatedBy == o.LastUpdatedBy && stored.Status == o.Status &&
		equalPayment(stored.PaymentDetails, o.PaymentDetails) {
		return stored, nil
	}
	return order.Order{}, fmt.Errorf("update order %s: %w", o.ID, order.ErrChanged)
}

func equalPayment(a, b *order.PaymentDetails) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// SetPDF notes where the invoice of an order is stored. It does not count as an update: DateLastUpdated stays.
// It returns ErrNotFound if there is no such order.
func (s *Store) SetPDF(ctx context.Context, tenantID, orderID, location string) error {
	err := s.table.Update(attrPK, tenantKey(tenantID)).Range(attrSK, orderKey(orderID)).
		Set("pdfUrl", location).
		If("attribute_exists('PK')").
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return fmt.Errorf("set invoice of order %s: %w", orderID, order.ErrNotFound)
	}
	return wrap(err, "set invoice of order %s", orderID)
}

// get is a consistent read of one item of a tenant.
func (s *Store) get(tenantID, sortKey string) *dynamo.Query {
	return s.table.Get(attrPK, tenantKey(tenantID)).Range(attrSK, dynamo.Equal, sortKey).Consistent(true)
}

// wrap adds what was done to an error of the library, and says ErrNotFound in the domain's words.
func wrap(err error, format string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dynamo.ErrNotFound):
		err = order.ErrNotFound
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// isTooLarge reports whether DynamoDB refused an item for its size. The error has no code of its own.
func isTooLarge(err error) bool {
	var refused smithy.APIError
	return errors.As(err, &refused) && refused.ErrorCode() == "ValidationException" &&
		strings.Contains(refused.ErrorMessage(), "Item size")
}

// isConflict reports whether a write met a concurrent transaction on the same item, or was told to slow down: worth
// another try after a moment.
func isConflict(err error) bool {
	var single *types.TransactionConflictException
	if errors.As(err, &single) {
		return true
	}
	var inProgress *types.TransactionInProgressException
	if errors.As(err, &inProgress) {
		return true
	}
	for _, code := range cancellations(err) {
		switch code {
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			return true
		}
	}
	return false
}

// cancellations returns the reason of each operation of a cancelled transaction, in the order of the operations.
func cancellations(err error) []string {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return nil
	}
	codes := make([]string, len(cancelled.CancellationReasons))
	for i, reason := range cancelled.CancellationReasons {
		if reason.Code != nil {
			codes[i] = *reason.Code
		}
	}
	return codes
}
