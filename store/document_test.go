package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// supplier returns one with everything that a document shows. Its series are
// those of the VAT number.
func supplier(vatNumber string) order.Supplier {
	return order.Supplier{
		Name: "Karoo Traders", AddressLines: []string{"1 Main Road", "Karoo"}, VATNumber: vatNumber,
		RegistrationNumber: "2020/123456/07", Country: "ZA", Phone: "+27 21 555 0100", Email: "ask@example.com",
		Website: "https://example.com", AccentColour: "#336699", Footer: "Thank you", PaymentLines: []string{"Bank: 123"},
	}
}

// issue issues a document of an order of its own.
func issue(
	t *testing.T, s *store.Store, tenant string, kind order.DocumentKind, by order.Supplier,
) store.IssuedDocument {
	t.Helper()
	d, err := s.IssueDocument(t.Context(), tenant, order.NewID(), kind, by)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIssueDocument(t *testing.T) {
	t.Run("gives each document the next number of its series", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		seller, other := supplier(tenant), supplier(tenant+"-other")
		is.Equal(issue(t, s, tenant, order.TaxInvoice, seller), store.IssuedDocument{
			Number: "INV-2025-00001", DateIssued: order.NewTimestamp(noon), Supplier: seller,
		})
		is.Equal(issue(t, s, tenant+"-other", order.TaxInvoice, seller).Number, "INV-2025-00002") // whosever order it is
		is.Equal(issue(t, s, tenant, order.CreditNote, seller).Number, "CN-2025-00001")
		is.Equal(issue(t, s, tenant, order.TaxInvoice, other).Number, "INV-2025-00001")
	})
	t.Run("starts anew with South Africa's year", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := time.Date(2025, 12, 31, 21, 59, 59, 0, time.UTC)
		s := storeAt(&now)
		is.Equal(issue(t, s, tenant, order.TaxInvoice, supplier(tenant)).Number, "INV-2025-00001")
		now = now.Add(time.Second)
		is.Equal(issue(t, s, tenant, order.TaxInvoice, supplier(tenant)).Number, "INV-2026-00001")
	})
	t.Run("returns a document as it was issued", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := noon
		s := storeAt(&now)
		id := order.NewID()
		first, err := s.IssueDocument(t.Context(), tenant, id, order.TaxInvoice, supplier(tenant))
		is.NoErr(err)
		now = noon.Add(365 * 24 * time.Hour)
		moved := supplier(tenant)
		moved.Name, moved.AddressLines, moved.PaymentLines = "Karoo Holdings", nil, nil
		again, err := s.IssueDocument(t.Context(), tenant, id, order.TaxInvoice, moved)
		is.NoErr(err)
		is.Equal(again, first) // number, day and supplier as printed
		bought := supplier(tenant + "-other")
		again, err = s.IssueDocument(t.Context(), tenant, id, order.TaxInvoice, bought)
		is.NoErr(err)
		is.Equal(again, first)
		is.Equal(issue(t, s, tenant, order.TaxInvoice, bought).Number, "INV-2026-00001") // the repetition used up none
	})
}

func TestIssueDocumentWithoutGaps(t *testing.T) {
	t.Run("when many are issued at once", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		const documents = 40
		var wg sync.WaitGroup
		for range documents {
			id := order.NewID()
			for range 2 { // each is asked for twice
				wg.Go(func() { issueAtLast(t, s, tenant, id) })
			}
		}
		wg.Wait()
		numbered, err := s.NumberedDocuments(t.Context(), tenant, "INV", 2025)
		is.NoErr(err)
		is.Equal(len(numbered), documents)
		for i, d := range numbered {
			is.Equal(d.Number, order.FormatDocumentNumber("INV", 2025, int64(i+1)))
		}
	})
	t.Run("when the answer was lost", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		w := &wire{lose: "TransactWriteItems 1"}
		is.Equal(issue(t, over(w), tenant, order.TaxInvoice, supplier(tenant)).Number, "INV-2025-00001")
		is.Equal(w.operations(), "GetItem TransactWriteItems TransactWriteItems")
		is.Equal(issue(t, s, tenant, order.TaxInvoice, supplier(tenant)).Number, "INV-2025-00002")
	})
	t.Run("when another document took the number", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		w := &wire{before: func(call string) {
			if call == "TransactWriteItems 1" || call == "TransactWriteItems 2" {
				issue(t, s, tenant, order.TaxInvoice, supplier(tenant))
			}
		}}
		is.Equal(issue(t, over(w), tenant, order.TaxInvoice, supplier(tenant)).Number, "INV-2025-00003")
	})
	t.Run("when another call issued the document", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		id := order.NewID()
		var first store.IssuedDocument
		w := &wire{before: func(call string) {
			if call == "TransactWriteItems 1" {
				var err error
				first, err = s.IssueDocument(t.Context(), tenant, id, order.TaxInvoice, supplier(tenant))
				is.NoErr(err)
			}
		}}
		second, err := over(w).IssueDocument(t.Context(), tenant, id, order.TaxInvoice, supplier(tenant))
		is.NoErr(err)
		is.Equal(second, first)
		is.Equal(issue(t, s, tenant, order.TaxInvoice, supplier(tenant)).Number, "INV-2025-00002")
	})
}

// issueAtLast issues a document as a queue does: where the races go on, the
// message comes again.
func issueAtLast(t *testing.T, s *store.Store, tenant, orderID string) {
	for {
		_, err := s.IssueDocument(t.Context(), tenant, orderID, order.TaxInvoice, supplier(tenant))
		var cancelled *types.TransactionCanceledException
		if err == nil {
			return
		}
		if !errors.As(err, &cancelled) {
			t.Error(err)
			return
		}
	}
}

// busy is a table on which every transaction loses its race.
type busy struct {
	*dynamodb.Client
	tried []time.Time
}

func (b *busy) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{}, nil
}

func (b *busy) TransactWriteItems(
	context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	b.tried = append(b.tried, time.Now())
	return nil, &types.TransactionCanceledException{
		CancellationReasons: []types.CancellationReason{{Code: aws.String("TransactionConflict")}, {Code: aws.String("None")}},
	}
}

func TestIssueDocumentGivesUp(t *testing.T) {
	t.Run("where the races go on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			b, start := &busy{}, time.Now()
			s := store.New(b, table, time.Now)
			_, err := s.IssueDocument(t.Context(), "acme", order.NewID(), order.TaxInvoice, supplier("acme"))
			var cancelled *types.TransactionCanceledException
			is.True(errors.As(err, &cancelled))
			is.Equal(len(b.tried), 10)
			is.Equal(b.tried[0], start) // at once
			all := b.tried[9].Sub(start)
			is.True(all > 0 && all < 9*500*time.Millisecond) // the others after pauses
		})
	})
	t.Run("when its time is over", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		w := &wire{
			before: func(call string) {
				if call == "TransactWriteItems 1" {
					issue(t, s, tenant, order.TaxInvoice, supplier(tenant))
				}
			},
			after: func(call string) {
				if call == "TransactWriteItems 1" {
					cancel()
				}
			},
		}
		_, err := over(w).IssueDocument(ctx, tenant, order.NewID(), order.TaxInvoice, supplier(tenant))
		is.True(errors.Is(err, context.Canceled))
		is.Equal(w.operations(), "GetItem TransactWriteItems")
	})
}

func TestNumberedDocuments(t *testing.T) {
	is := is.New(t)
	_, tenant := newStore(t)
	now := noon
	s := storeAt(&now)
	var want []store.NumberedDocument
	for n := range 3 {
		d := store.NumberedDocument{
			Number: order.FormatDocumentNumber("INV", 2025, int64(n+1)), TenantID: fmt.Sprint(tenant, n),
			OrderID: order.NewID(), Kind: order.TaxInvoice,
		}
		want = append(want, d)
		_, err := s.IssueDocument(t.Context(), d.TenantID, d.OrderID, d.Kind, supplier(tenant))
		is.NoErr(err)
	}
	issue(t, s, tenant, order.CreditNote, supplier(tenant))
	issue(t, s, tenant, order.TaxInvoice, supplier(tenant+"-other"))
	now = noon.Add(365 * 24 * time.Hour)
	issue(t, s, tenant, order.TaxInvoice, supplier(tenant))

	got, err := s.NumberedDocuments(t.Context(), tenant, "INV", 2025)
	is.NoErr(err)
	is.Equal(got, want) // of the supplier, the series and the year only
	got, err = s.NumberedDocuments(t.Context(), tenant, "INV", 2024)
	is.NoErr(err)
	is.Equal(len(got), 0)
}
