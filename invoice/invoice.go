// Package invoice makes the invoice of an order: a PDF in S3, and the links by
// which it is fetched.
//
// The order is laid out on pages as plain data (layout.go), which gopdf then
// draws (paint.go).
package invoice

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/bbws/order-lambda/order"
)

// Objects is what is needed of S3.
type Objects interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// A Creator makes invoices and stores them. It may be used by several goroutines at a time.
type Creator struct {
	objects  Objects
	bucket   string
	branding *branding
}

// New returns a creator that stores invoices in ordersBucket and reads the brand from templatesBucket. The clock now
// tells how old the brand is; it keeps five minutes.
func New(objects Objects, ordersBucket, templatesBucket string, now func() time.Time) *Creator {
	return &Creator{objects: objects, bucket: ordersBucket, branding: newBranding(objects, templatesBucket, now)}
}

// Created says what came of an invoice.
type Created struct {
	Location string  // s3://bucket/key
	Bytes    int     // the size of the PDF
	Pages    int     // how many it has
	Missing  int     // characters that the fonts do not have, shown as placeholders
	Warnings []error // why the invoice has less branding than it could have
}

// Create renders the invoice of an order and stores it, over one that is there. Trouble with the branding is a warning: the
// invoice then bears a plain text brand, or the one read before. The error is an order.Permanent where the order can never have an
// invoice; else S3 did not take it, and it can be tried again.
func (c *Creator) Create(ctx context.Context, o order.Order) (Created, error) {
	brand, warnings := c.branding.brand(ctx)
	pdf, report, err := Render(o, brand)
	if err != nil {
		return Created{}, fmt.Errorf("render invoice: %w", err)
	}
	key := Key(o.TenantID, o.ID)
	_, err = c.objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket:               &c.bucket,
		Key:                  &key,
		Body:                 bytes.NewReader(pdf),
		ContentLength:        aws.Int64(int64(len(pdf))),
		ContentType:          aws.String("application/pdf"),
		ContentDisposition:   aws.String(`inline; filename="` + downloadName(o) + `"`),
		ServerSideEncryption: types.ServerSideEncryptionAes256,
	})
	if err != nil {
		return Created{}, fmt.Errorf("store invoice: %w", err)
	}
	return Created{
		Location: locationScheme + c.bucket + "/" + key,
		Bytes:    len(pdf),
		Pages:    report.Pages,
		Missing:  report.Missing,
		Warnings: warnings,
	}, nil
}

// Key returns the name of an order's invoice in the orders bucket.
func Key(tenantID, orderID string) string {
	return tenantID + "/orders/order_" + orderID + ".pdf"
}

// downloadName returns the name under which a browser saves the invoice: that of the order's number, without what is special in
// a header.
func downloadName(o order.Order) string {
	name := []byte("invoice-")
	for i := range len(o.Number) {
		c := o.Number[i]
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' {
			name = append(name, c)
		}
	}
	return string(name) + ".pdf"
}
