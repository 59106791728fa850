package roles

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeDocuments is the table and the maker of documents. It fails where it is
// told to.
type fakeDocuments struct {
	fail    map[string]error
	issued  map[order.DocumentKind]store.IssuedDocument // before
	missing int

	calls   []string
	created []madeDocument
	added   []order.Document
}

// A madeDocument is what a document was drawn from.
type madeDocument struct {
	order    order.Order
	document order.Document
	supplier order.Supplier
}

func (f *fakeDocuments) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeDocuments) Supplier(context.Context, string) (order.Supplier, error) {
	return order.Supplier{Name: "Today Ltd"}, f.call("supplier")
}

func (f *fakeDocuments) IssueDocument(
	_ context.Context, _, _ string, kind order.DocumentKind, s order.Supplier,
) (store.IssuedDocument, error) {
	if err := f.call("issue " + string(kind)); err != nil {
		return store.IssuedDocument{}, err
	}
	if before, ok := f.issued[kind]; ok {
		return before, nil
	}
	return store.IssuedDocument{
		Number: kind.Series() + "-2026-00001", DateIssued: order.NewTimestamp(noon.Add(time.Hour)), Supplier: s,
	}, nil
}

func (f *fakeDocuments) Create(
	_ context.Context, o order.Order, d order.Document, s order.Supplier,
) (invoice.Created, error) {
	f.created = append(f.created, madeDocument{o, d, s})
	created := invoice.Created{
		Location: "s3://bucket/" + string(d.Kind), Bytes: 28_000, Missing: f.missing, Warnings: []error{errFault},
	}
	return created, f.call("create " + string(d.Kind))
}

func (f *fakeDocuments) AddDocument(_ context.Context, _, _ string, d order.Document) error {
	f.added = append(f.added, d)
	return f.call("add " + string(d.Kind))
}

func (f *fakeDocuments) handle(ctx context.Context, o order.Order) error {
	tick := noon.Add(time.Hour)
	p := &pdfCreator{orders: f, documents: f, now: func() time.Time {
		tick = tick.Add(time.Millisecond)
		return tick
	}}
	return p.handle(ctx, o, o.History[0])
}

// withDocuments is an order with documents.
func withDocuments(o order.Order, kinds ...order.DocumentKind) order.Order {
	for _, k := range kinds {
		d := order.Document{Kind: k, DateIssued: order.NewTimestamp(noon), URL: "s3://bucket/" + string(k)}
		if k.Series() != "" {
			d.Number = order.FormatDocumentNumber(k.Series(), 2025, 1)
		}
		o.Issue(d)
	}
	return o
}

func TestDocuments(t *testing.T) {
	const (
		proForma = "supplier, create pro_forma, add pro_forma"
		invoice  = "supplier, issue tax_invoice, create tax_invoice, add tax_invoice"
		credit   = "supplier, issue credit_note, create credit_note, add credit_note"
	)
	for _, tt := range []struct {
		name  string
		order order.Order
		calls string
	}{
		{"a pro forma for what is recorded", sampleOrder(t), proForma},
		{"a tax invoice for what is paid", withDocuments(orderIn(t, order.Paid), order.ProForma), invoice},
		{"both where the first event comes late, in their order", orderIn(t, order.Paid), proForma + ", " + invoice},
		{
			"a credit note for what is refunded after that",
			withDocuments(orderIn(t, order.Paid, order.Refunded), order.ProForma, order.TaxInvoice), credit,
		},
		{"all in one go", orderIn(t, order.Paid, order.Refunded), proForma + ", " + invoice + ", " + credit},
		{
			"what is missing, whatever came first", withDocuments(orderIn(t, order.Paid, order.Refunded), order.TaxInvoice),
			proForma + ", " + credit,
		},
		{"nothing more for what is cancelled", orderIn(t, order.Cancelled), proForma},
		{
			"nothing where all is issued",
			withDocuments(orderIn(t, order.Paid, order.Processing), order.ProForma, order.TaxInvoice), "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeDocuments{}
			is.NoErr(f.handle(ctx, tt.order))
			is.Equal(strings.Join(f.calls, ", "), tt.calls)
			is.Equal(counted(ctx, documentsCreated), float64(len(f.created)))
			is.Equal(counted(ctx, duplicates) == 1, tt.calls == "")
			for _, values := range [][]float64{
				measured(ctx, documentMilliseconds), measured(ctx, changeToDocumentMilliseconds),
			} {
				is.Equal(len(values), len(f.created))
			}
		})
	}
}

// TestDocumentShows holds what a document is drawn from: the order as it stood
// at the entry that calls for it, the number, the day and the supplier as they
// were given, and the documents before it.
func TestDocumentShows(t *testing.T) {
	o := orderIn(t, order.Paid, order.Refunded)
	t.Run("the first time", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeDocuments{missing: 2}
		is.NoErr(f.handle(ctx, o))
		issuedAt := order.NewTimestamp(noon.Add(time.Hour))
		for i, want := range []struct {
			document  order.Document
			status    order.Status
			documents int
		}{
			{order.Document{Kind: order.ProForma, DateIssued: order.NewTimestamp(noon)}, order.Pending, 0}, // dated as its entry
			{order.Document{Kind: order.TaxInvoice, Number: "INV-2026-00001", DateIssued: issuedAt}, order.Paid, 1},
			{order.Document{Kind: order.CreditNote, Number: "CN-2026-00001", DateIssued: issuedAt}, order.Refunded, 2},
		} {
			made := f.created[i]
			is.Equal(made.document, want.document)
			is.Equal(made.order.Status, want.status)
			is.Equal(len(made.order.History), i+1)
			is.Equal(len(made.order.Documents), want.documents) // a credit note names its invoice
			is.Equal(made.supplier.Name, "Today Ltd")
			want.document.URL = "s3://bucket/" + string(want.document.Kind)
			is.Equal(f.added[i], want.document) // as the order keeps it
		}
		invoiceOf, ok := f.created[2].order.Document(order.TaxInvoice)
		is.True(ok)
		is.Equal(invoiceOf.Number, "INV-2026-00001")
		is.True(strings.Contains(log.String(), `"number":"INV-2026-00001"`))
		is.True(strings.Contains(log.String(), `"placeholders":2`))
		is.True(strings.Contains(log.String(), "document without its branding"))
		is.Equal(measured(ctx, documentMilliseconds), []float64{1, 1, 1})
		is.Equal(len(o.Documents), 0) // the caller's order is as it was
	})
	t.Run("the second time: number, day and supplier as printed", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		before := store.IssuedDocument{
			Number: "INV-2025-00042", DateIssued: order.NewTimestamp(noon.Add(time.Minute)),
			Supplier: order.Supplier{Name: "Yesterday Ltd"},
		}
		f := &fakeDocuments{issued: map[order.DocumentKind]store.IssuedDocument{order.TaxInvoice: before}}
		is.NoErr(f.handle(ctx, withDocuments(orderIn(t, order.Paid), order.ProForma)))
		is.Equal(
			f.created[0].document,
			order.Document{Kind: order.TaxInvoice, Number: before.Number, DateIssued: before.DateIssued},
		)
		is.Equal(f.created[0].supplier, before.Supplier)
	})
}

func TestDocumentsFail(t *testing.T) {
	const first = "supplier, create pro_forma, add pro_forma"
	never := &order.PermanentError{Reason: "document cannot be drawn"}
	for _, tt := range []struct {
		name  string
		fail  string
		err   error
		calls string
		made  float64
	}{
		{"a supplier that cannot be read now: nothing is issued", "supplier", order.ErrUnavailable, "supplier", 0},
		{"a document that is not stored", "create pro_forma", errFault, "supplier, create pro_forma", 0},
		{"a document that can never be drawn", "create pro_forma", never, "supplier, create pro_forma", 0},
		{"a document that is not noted", "add pro_forma", errFault, first, 0},
		{"a number that is not given", "issue tax_invoice", errFault, first + ", supplier, issue tax_invoice", 1},
		{
			"a numbered document that is not stored", "create tax_invoice", errFault,
			first + ", supplier, issue tax_invoice, create tax_invoice", 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeDocuments{fail: map[string]error{tt.fail: tt.err}}
			err := f.handle(ctx, orderIn(t, order.Paid, order.Refunded))
			is.Equal(strings.Join(f.calls, ", "), tt.calls) // and no later one is tried
			is.Equal(counted(ctx, documentsCreated), tt.made)
			is.Equal(isPermanent(err), errors.Is(tt.err, never))
			is.Equal(isOutage(err), tt.fail == "supplier")
			is.True(strings.HasPrefix(err.Error(), "pro_forma: ") || strings.HasPrefix(err.Error(), "tax_invoice: ")) // which
		})
	}
}
