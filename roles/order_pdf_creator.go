package roles

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

func orderPDFCreatorRole() Role {
	return Role{
		Name:     "order_pdf_creator",
		Settings: consumerSettings(ordersBucket(), templates()),
		build:    buildOrderPDFCreator,
		// Prepare asks the bucket with the branding.
		calls: func(s Settings) []string { return []string{"S3 " + s.get(ordersBucket())} },
	}
}

func buildOrderPDFCreator(s Settings, d Deps) (handler, preparation) {
	orders := newStore(s, d)
	creator := invoice.New(s3.NewFromConfig(d.AWS), s.get(ordersBucket()), s.get(templates()), d.Now)
	p := &pdfCreator{orders: orders, documents: creator, now: d.Now}
	return consume(s, d, onEvent(p.serves, orders, p.handle)), creator.Prepare
}

// issuedDocuments is what the document creator keeps in the table.
type issuedDocuments interface {
	IssueDocument(
		ctx context.Context, tenantID, orderID string, kind order.DocumentKind, supplier order.Supplier,
	) (store.IssuedDocument, error)
	AddDocument(ctx context.Context, tenantID, orderID string, d order.Document) error
}

// documents draws and stores documents.
type documents interface {
	Supplier(ctx context.Context, tenantID string) (order.Supplier, error)
	Create(ctx context.Context, o order.Order, d order.Document, s order.Supplier) (invoice.Created, error)
}

// pdfCreator makes the documents that an order's history calls for.
type pdfCreator struct {
	orders    issuedDocuments
	documents documents
	now       func() time.Time
}

// serves reports whether an event of a type may call for a document.
func (p *pdfCreator) serves(t order.EventType) bool {
	return t == order.EventCreated || t == order.EventPaid || t == order.EventRefunded
}

// handle issues whatever the history calls for and is not issued yet, whichever
// entry the message was about: events come late, twice and out of order.
func (p *pdfCreator) handle(ctx context.Context, o order.Order, _ order.Entry) error {
	due := order.DocumentsDue(o)
	if len(due) == 0 {
		count(ctx, duplicates)
		return nil
	}
	for _, d := range due {
		document, err := p.issue(ctx, o, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Kind, err)
		}
		o.Issue(document) // The next may name it.
	}
	return nil
}

// issue makes one document, which shows the order as it stood at the entry that
// calls for it. Done again it makes the same one: a legal document keeps its
// number, its day and its supplier, and a pro forma has the day of its entry.
func (p *pdfCreator) issue(ctx context.Context, o order.Order, due order.DueDocument) (order.Document, error) {
	start := order.NewTimestamp(p.now())
	entry, _ := o.Entry(due.Sequence)
	supplier, err := p.documents.Supplier(ctx, o.TenantID)
	if err != nil {
		return order.Document{}, err
	}
	document := order.Document{Kind: due.Kind, DateIssued: entry.Date}
	if due.Kind.Series() != "" {
		issued, err := p.orders.IssueDocument(ctx, o.TenantID, o.ID, due.Kind, supplier)
		if err != nil {
			return order.Document{}, err
		}
		document.Number, document.DateIssued, supplier = issued.Number, issued.DateIssued, issued.Supplier
	}
	created, err := p.documents.Create(ctx, o.At(due.Sequence), document, supplier)
	if err != nil {
		return order.Document{}, err
	}
	for _, warning := range created.Warnings {
		logger(ctx).Warn().Str("error", redact(warning.Error())).Msg("document without its branding")
	}
	document.URL = created.Location
	if err := p.orders.AddDocument(ctx, o.TenantID, o.ID, document); err != nil {
		return order.Document{}, err
	}
	count(ctx, documentsCreated)
	measureSince(ctx, documentMilliseconds, start, p.now())
	measureSince(ctx, changeToDocumentMilliseconds, entry.Date, p.now())
	logger(ctx).Info().Str("kind", string(due.Kind)).Str("number", document.Number).
		Int("bytes", created.Bytes).Int("placeholders", created.Missing).Msg("document created")
	return document, nil
}
