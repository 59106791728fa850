package store

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

// This file is what operators read and mend. No role of the service calls it.

// A Partition is a tenant's or a supplier's part of the table. One of the two
// is set.
type Partition struct{ TenantID, SupplierID string }

func (p Partition) key() string {
	if p.SupplierID != "" {
		return supplierKey(p.SupplierID)
	}
	return tenantKey(p.TenantID)
}

// Partitions yields the partitions of the table, in no order. It reads one item
// of each: a scan may start behind any key, whether or not it is there.
func (s *Store) Partitions(ctx context.Context) iter.Seq2[Partition, error] {
	return func(yield func(Partition, error) bool) {
		var after dynamo.PagingKey
		for {
			scan := s.table.Scan().Project(attrPK).SearchLimit(1)
			if after != nil {
				scan.StartFrom(after)
			}
			var found []keyItem
			if _, err := scan.AllWithLastEvaluatedKey(ctx, &found); err != nil {
				yield(Partition{}, wrap(err, "list partitions"))
				return
			}
			if len(found) == 0 {
				return
			}
			if !yield(partitionOf(found[0].PK), nil) {
				return
			}
			after = dynamo.PagingKey{
				attrPK: &types.AttributeValueMemberS{Value: found[0].PK},
				attrSK: &types.AttributeValueMemberS{Value: "~"}, // behind every sort key
			}
		}
	}
}

func partitionOf(key string) Partition {
	if id, ok := strings.CutPrefix(key, supplierPrefix); ok {
		return Partition{SupplierID: id}
	}
	return Partition{TenantID: tenantOf(key)}
}

// each yields what decode makes of the items of a partition whose sort keys
// begin with a prefix, in the order of the keys. It holds one page at a time.
func each[I, T any](
	ctx context.Context, s *Store, partition, prefix string, decode func(I) (T, error),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		items := s.table.Get(attrPK, partition).Range(attrSK, dynamo.BeginsWith, prefix).Consistent(true).Iter()
		for {
			var item I
			if !items.Next(ctx, &item) {
				break
			}
			if !yield(decode(item)) {
				return
			}
		}
		if err := items.Err(); err != nil {
			var none T
			yield(none, wrap(err, "list %s of %s", prefix, partition))
		}
	}
}

// Orders yields every order of a tenant by id: recorded, accepted and deleted
// ones, which are not Active.
func (s *Store) Orders(ctx context.Context, tenantID string) iter.Seq2[order.Order, error] {
	return each(ctx, s, tenantKey(tenantID), orderPrefix, decodeOrder)
}

// StoredOrder reads an order as Order does, and a deleted one too.
func (s *Store) StoredOrder(ctx context.Context, tenantID, orderID string) (order.Order, error) {
	var item orderItem
	if err := s.get(tenantID, orderKey(orderID)).One(ctx, &item); err != nil {
		return order.Order{}, wrap(err, "read order %s", orderID)
	}
	return decodeOrder(item)
}

// A LegalDocument is a document of an order that has a legal number.
type LegalDocument struct {
	OrderID string
	Kind    order.DocumentKind
	IssuedDocument
}

// LegalDocuments yields the legal documents of a tenant's order, or of all its
// orders where orderID is "", by order id and kind.
func (s *Store) LegalDocuments(ctx context.Context, tenantID, orderID string) iter.Seq2[LegalDocument, error] {
	decode := func(item documentItem) (LegalDocument, error) {
		id, kind, _ := strings.Cut(strings.TrimPrefix(item.SK, documentPrefix), "#")
		return LegalDocument{
			id, order.DocumentKind(kind), IssuedDocument{item.Number, item.DateIssued, order.Supplier(item.Supplier)},
		}, nil
	}
	return each(ctx, s, tenantKey(tenantID), ofOrder(documentPrefix, orderID), decode)
}

// A LedgerMail is what the ledger says of a mail.
type LedgerMail struct {
	Mail
	State        string    // sending, sent or failed
	ClaimedUntil time.Time // by whoever is sending it
	MessageID    string    // of SES, once it is sent
	Reason       string    // of a mail that failed
}

// Sent reports whether the mail went out.
func (m LedgerMail) Sent() bool { return m.MessageID != "" }

// Mails yields what the ledger says of the mails about a tenant's order, or
// about all its orders where orderID is "", by order id.
func (s *Store) Mails(ctx context.Context, tenantID, orderID string) iter.Seq2[LedgerMail, error] {
	decode := func(item mailItem) (LedgerMail, error) {
		parts := strings.Split(strings.TrimPrefix(item.SK, mailPrefix), "#")
		const idRoleSequence = 3
		if len(parts) != idRoleSequence {
			return LedgerMail{}, fmt.Errorf("mail ledger: item %s", item.SK)
		}
		sequence, err := strconv.Atoi(parts[2])
		if err != nil {
			return LedgerMail{}, fmt.Errorf("mail ledger: item %s: %w", item.SK, err)
		}
		return LedgerMail{
			Mail:  Mail{TenantID: tenantID, OrderID: parts[0], Role: parts[1], Sequence: sequence, Claim: item.Claim},
			State: item.State, ClaimedUntil: item.ClaimedUntil, MessageID: item.MessageID, Reason: item.Reason,
		}, nil
	}
	return each(ctx, s, tenantKey(tenantID), ofOrder(mailPrefix, orderID), decode)
}

func ofOrder(prefix, orderID string) string {
	if orderID == "" {
		return prefix
	}
	return prefix + orderID + "#"
}

// MaxNumbered is how many numbers Numbered takes.
const MaxNumbered = 100

// Numbered returns the ids to which order numbers of a tenant lead, by number.
// Those that lead nowhere are left out.
func (s *Store) Numbered(ctx context.Context, tenantID string, numbers []string) (map[string]string, error) {
	keys := make([]dynamo.Keyed, len(numbers))
	for i, n := range numbers {
		keys[i] = dynamo.Keys{tenantKey(tenantID), numberKey(n)}
	}
	ids := map[string]string{}
	if len(keys) == 0 {
		return ids, nil
	}
	found := s.table.Batch(attrPK, attrSK).Get(keys...).Consistent(true).Iter()
	for {
		var item numberItem
		if !found.Next(ctx, &item) {
			break
		}
		ids[strings.TrimPrefix(item.SK, numberPrefix)] = item.OrderID
	}
	return ids, wrap(ignoreNone(found.Err()), "read order numbers")
}

// NumberOrder lets a tenant's order be found by its number, unless the number
// leads somewhere already.
func (s *Store) NumberOrder(ctx context.Context, tenantID, number, orderID string) error {
	err := s.table.Put(numberItem{PK: tenantKey(tenantID), SK: numberKey(number), OrderID: orderID}).
		If("attribute_not_exists('PK')").
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return nil
	}
	return wrap(err, "number order %s", orderID)
}

// OrderSeries is the series of a tenant's order numbers. Those of a supplier are
// the kinds' own.
const OrderSeries = "ORDER"

// Counter returns the last number that was taken from a series in a year, or 0.
func (s *Store) Counter(ctx context.Context, p Partition, series string, year int) (int64, error) {
	var counter counterItem
	err := s.table.Get(attrPK, p.key()).Range(attrSK, dynamo.Equal, seriesKey(series, year)).
		Consistent(true).
		One(ctx, &counter)
	return counter.Value, wrap(ignoreNone(err), "read counter")
}

// RaiseCounter lets the next number of a series come after a value. A counter
// that stands at the value or above stays.
func (s *Store) RaiseCounter(ctx context.Context, p Partition, series string, year int, value int64) error {
	err := s.table.Update(attrPK, p.key()).Range(attrSK, seriesKey(series, year)).
		Set("value", value).
		If("attribute_not_exists('value') OR 'value' < ?", value).
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return nil
	}
	return wrap(err, "raise counter")
}

// ForgetMail takes a mail out of the ledger, so that it can be sent again.
func (s *Store) ForgetMail(ctx context.Context, m Mail) error {
	err := s.table.Delete(attrPK, tenantKey(m.TenantID)).Range(attrSK, mailKey(m.OrderID, m.Role, m.Sequence)).Run(ctx)
	return wrap(err, "forget mail of order %s", m.OrderID)
}

// ForgetDocument takes the note about a document off its order, so that it is
// due and made again. A legal document keeps its number, its day and its
// supplier: they are an item of their own.
func (s *Store) ForgetDocument(ctx context.Context, tenantID, orderID string, kind order.DocumentKind) error {
	err := s.update(tenantID, orderKey(orderID)).
		Remove("documents." + string(kind)).
		If("attribute_exists('GSI1_PK')").
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		err = order.ErrNotFound
	}
	return wrap(err, "forget document of order %s", orderID)
}

// RewritePeople writes anew what an order says of people: the customer, the
// address, and who acted. It does not count as an update: DateLastUpdated
// stays. It returns ErrChanged if the order was changed since it was read.
func (s *Store) RewritePeople(ctx context.Context, o order.Order) error {
	item := encodeOrder(o)
	u := s.update(o.TenantID, orderKey(o.ID)).
		Set("customerEmail", item.CustomerEmail).
		Set("lastUpdatedBy", item.LastUpdatedBy).
		If("'dateLastUpdated' = ?", o.DateLastUpdated)
	if o.Recorded() {
		u.Set("customerName", item.CustomerName).
			Set("billingAddress", item.BillingAddress).
			Set("items", item.Items).
			Set("history", item.History).
			If("size('history') = ?", len(o.History))
	} else {
		u.If("attribute_not_exists('history')")
	}
	err := u.Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		err = order.ErrChanged
	}
	return wrap(err, "rewrite the people of order %s", o.ID)
}
