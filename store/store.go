// Package store keeps orders and what belongs to them in one DynamoDB table:
// counters, idempotency keys, legal documents and the ledger of mails. It is
// the only package that speaks to the table, and turns the library's errors
// into the domain's.
package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

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

// New returns the store of a table. The clock now decides what has expired and
// how long new items live.
func New(client dynamodbiface.DynamoDBAPI, table string, now func() time.Time) *Store {
	db := dynamo.NewFromIface(client)
	return &Store{db: db, table: db.Table(table), now: now}
}

// get is a consistent read of one item of a tenant.
func (s *Store) get(tenantID, sortKey string) *dynamo.Query {
	return s.table.Get(attrPK, tenantKey(tenantID)).Range(attrSK, dynamo.Equal, sortKey).Consistent(true)
}

// update begins a write to one item of a tenant.
func (s *Store) update(tenantID, sortKey string) *dynamo.Update {
	return s.table.Update(attrPK, tenantKey(tenantID)).Range(attrSK, sortKey)
}

// wrap adds what was done to an error of the library, and says ErrNotFound in
// the domain's words.
func wrap(err error, format string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dynamo.ErrNotFound):
		err = order.ErrNotFound
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// ignoreNone turns the library's ErrNotFound into no error.
func ignoreNone(err error) error {
	if errors.Is(err, dynamo.ErrNotFound) {
		return nil
	}
	return err
}

// isTooLarge reports whether DynamoDB refused an item for its size. The error
// has no code of its own.
func isTooLarge(err error) bool {
	var refused smithy.APIError
	return errors.As(err, &refused) && refused.ErrorCode() == "ValidationException" &&
		strings.Contains(strings.ToLower(refused.ErrorMessage()), "item size")
}
