package roles

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

func orderPDFCreatorRole() Role {
	return Role{
		Name:     "order_pdf_creator",
		Settings: consumerSettings(ordersBucket(), templatesBucket()),
		build:    buildOrderPDFCreator,
	}
}

func buildOrderPDFCreator(s Settings, d Deps) handler {
	orders := newStore(s, d)
	p := &pdfCreator{
		orders:   orders,
		invoices: invoice.New(s3.NewFromConfig(d.AWS), s.get("S3_ORDERS_BUCKET"), s.get("S3_EMAIL_TEMPLATES_BUCKET"), d.Now),
	}
	return batch(newVisibility(s, d), onRecorded(orders, p.handle))
}

// invoiceOrders is what the invoice creator changes about an order.
type invoiceOrders interface {
	SetPDF(ctx context.Context, tenantID, orderID, location string) error
}

// invoices renders and stores invoices.
type invoices interface {
	Create(ctx context.Context, o order.Order) (invoice.Created, error)
}

// pdfCreator makes the invoice of a recorded order.
type pdfCreator struct {
	orders   invoiceOrders
	invoices invoices
}

func (p *pdfCreator) handle(ctx context.Context, o order.Order) error {
	if o.PDFURL != "" {
		count(ctx, duplicates)
		return nil
	}
	start := time.Now()
	created, err := p.invoices.Create(ctx, o)
	if err != nil {
		return err
	}
	for _, warning := range created.Warnings {
		logger(ctx).Warn().Str("error", redact(warning.Error())).Msg("invoice without its branding")
	}
	if err := p.orders.SetPDF(ctx, o.TenantID, o.ID, created.Location); err != nil {
		return err
	}
	took := time.Since(start)
	count(ctx, invoicesCreated)
	measure(ctx, invoiceMilliseconds, float64(took.Microseconds())/1000)
	logger(ctx).Info().Int("bytes", created.Bytes).Int("placeholders", created.Missing).Dur("durationMs", took).Msg("invoice created")
	return nil
}
