package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

// An IssuedDocument is a legal document as it was issued: its number, its day,
// and the supplier as printed.
type IssuedDocument struct {
	Number     string
	DateIssued order.Timestamp
	Supplier   order.Supplier
}

// IssueDocument gives a document of an order its legal number, once: the next
// of the supplier's series in the year, without a gap. A document that was
// issued before is returned as it was, with the supplier as printed then. The
// kind must be one that has a series.
//
// The counter and the document are one transaction, the only one of the
// service: a number that is lost would be a gap in the supplier's books. Two
// transactions on one counter cannot both succeed, so a lost race is tried
// again. After ten lost races the error is that of the last.
func (s *Store) IssueDocument(
	ctx context.Context, tenantID, orderID string, kind order.DocumentKind, supplier order.Supplier,
) (IssuedDocument, error) {
	now := order.NewTimestamp(s.now())
	const races = 10
	var err error
	for race := range races {
		if err = pause(ctx, race); err != nil {
			break
		}
		var issued IssuedDocument
		issued, err = s.issue(ctx, tenantID, orderID, kind, supplier, now)
		if err == nil {
			return issued, nil
		}
		failed := cancellations(err)
		if len(failed) == 0 {
			break
		}
		if failed[1] == conditionFailed {
			return s.issuedDocument(ctx, tenantID, orderID, kind)
		}
	}
	return IssuedDocument{}, fmt.Errorf("issue %s of order %s: %w", kind, orderID, err)
}

// issue tries to take the next number of the series. Its transaction's first
// operation is the counter's, the second the document's.
func (s *Store) issue(
	ctx context.Context, tenantID, orderID string, kind order.DocumentKind, supplier order.Supplier, at order.Timestamp,
) (IssuedDocument, error) {
	pk, sk := supplierKey(supplier.ID()), seriesKey(kind.Series(), at.Year())
	var counter counterItem
	err := s.table.Get(attrPK, pk).Range(attrSK, dynamo.Equal, sk).Consistent(true).One(ctx, &counter)
	if err != nil && !errors.Is(err, dynamo.ErrNotFound) {
		return IssuedDocument{}, fmt.Errorf("read series: %w", err)
	}
	next := s.table.Update(attrPK, pk).Range(attrSK, sk).Set("value", counter.Value+1)
	if counter.Value == 0 {
		next.If("attribute_not_exists('value')")
	} else {
		next.If("'value' = ?", counter.Value)
	}
	number := order.FormatDocumentNumber(kind.Series(), at.Year(), counter.Value+1)
	item := documentItem{
		PK: tenantKey(tenantID), SK: documentKey(orderID, kind),
		GSI2PK: supplierSeriesKey(supplier.ID(), kind.Series(), at.Year()), GSI2SK: number,
		Number: number, DateIssued: at, Supplier: supplierItem(supplier),
	}
	err = s.db.WriteTx().Idempotent(true).
		Update(next).
		Put(s.table.Put(item).If("attribute_not_exists('PK')")).
		Run(ctx)
	return IssuedDocument{number, at, supplier}, err
}

func (s *Store) issuedDocument(
	ctx context.Context, tenantID, orderID string, kind order.DocumentKind,
) (IssuedDocument, error) {
	var item documentItem
	err := s.get(tenantID, documentKey(orderID, kind)).One(ctx, &item)
	return IssuedDocument{item.Number, item.DateIssued, order.Supplier(item.Supplier)},
		wrap(err, "read %s of order %s", kind, orderID)
}

// A NumberedDocument is an entry of a supplier's series.
type NumberedDocument struct {
	Number            string
	TenantID, OrderID string
	Kind              order.DocumentKind
}

// NumberedDocuments returns the documents of a supplier's series in a year,
// ordered by their numbers as text (AP7). The index behind it may lag a little.
func (s *Store) NumberedDocuments(
	ctx context.Context, supplierID, series string, year int,
) ([]NumberedDocument, error) {
	var items []keyItem
	err := s.table.Get(attrGSI2PK, supplierSeriesKey(supplierID, series, year)).Index(indexByID).All(ctx, &items)
	if err != nil {
		return nil, wrap(err, "list documents of a series")
	}
	documents := make([]NumberedDocument, len(items))
	for i, item := range items {
		orderID, kind, _ := strings.Cut(strings.TrimPrefix(item.SK, documentPrefix), "#")
		documents[i] = NumberedDocument{item.GSI2SK, tenantOf(item.PK), orderID, order.DocumentKind(kind)}
	}
	return documents, nil
}

const conditionFailed = "ConditionalCheckFailed"

// cancellations returns the reason of each operation of a cancelled
// transaction, in the order of the operations, or nil for another error.
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

// pause waits before a further attempt: a random time that grows with the
// attempts, up to half a second. The first does not wait.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	const base, most = 10 * time.Millisecond, 500 * time.Millisecond
	t := time.NewTimer(rand.N(min(base<<attempt, most))) //nolint:gosec // Jitter needs no secrecy.
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
