// Package invoice makes the documents about an order, as PDFs in S3: the pro
// forma, the tax invoice and the credit note. It also makes the links by which
// they are fetched.
//
// Render lays an order out on pages as plain data (layout.go), which gopdf then
// draws (paint.go). A Creator adds the supplier's branding and S3.
package invoice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store/object"
)

// Objects is what is needed of S3.
type Objects interface {
	object.Getter
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// A Creator makes documents and stores them. It may be used concurrently.
type Creator struct {
	objects   Objects
	bucket    string
	suppliers *object.Cache[order.Supplier]
	logos     *object.Cache[Logo]
}

const maxCompanyBytes = 64 << 10

// New returns a creator that stores documents in ordersBucket and reads the
// branding from templatesBucket. The clock now tells how old the branding is;
// it is used for five minutes.
func New(objects Objects, ordersBucket, templatesBucket string, now func() time.Time) *Creator {
	return &Creator{
		objects:   objects,
		bucket:    ordersBucket,
		suppliers: object.New(objects, templatesBucket, maxCompanyBytes, order.ParseSupplier, now),
		logos:     object.New(objects, templatesBucket, maxLogoBytes, ParseLogo, now),
	}
}

// commonFolder has the branding of tenants that have none, and a folder for each
// that has its own.
const commonFolder = "branding/"

// Prepare makes ready what most first documents of a process need: the fonts,
// and the common branding. What cannot be read now is left to Create. It uses
// two connections, which stay for it.
func (c *Creator) Prepare(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.suppliers.Get(ctx, commonFolder+"company.json") })
	wg.Go(func() { _, _ = c.logos.Get(ctx, commonFolder+"logo.png") })
	_, _ = loadFonts() // Render reports what is wrong with them.
	wg.Wait()
}

// Supplier returns who sells to a tenant's customers: what
// branding/{tenantId}/company.json says, else branding/company.json, else
// order.PlainSupplier. It returns an error if a file cannot be read now or is
// malformed, because a document must never show the wrong supplier.
func (c *Creator) Supplier(ctx context.Context, tenantID string) (order.Supplier, error) {
	supplier, _, err := c.company(ctx, tenantID)
	return supplier, err
}

// company returns the supplier and the folder with its company.json, which is
// "" if there is none.
func (c *Creator) company(
	ctx context.Context, tenantID string,
) (_ order.Supplier, folder string, _ error) {
	for _, folder := range [...]string{commonFolder + tenantID + "/", commonFolder} {
		supplier, err := c.suppliers.Get(ctx, folder+"company.json")
		switch {
		case err == nil:
			return supplier, folder, nil
		case !errors.Is(err, object.ErrAbsent):
			return order.Supplier{}, "", fmt.Errorf("supplier of tenant %s: %w", tenantID, err)
		}
	}
	return order.PlainSupplier(), "", nil
}

// logo returns the logo beside the tenant's company.json. One that is broken is
// left out, with a warning; one that cannot be read now is an error.
func (c *Creator) logo(ctx context.Context, tenantID string) (_ Logo, warning, _ error) {
	_, folder, err := c.company(ctx, tenantID)
	if err != nil || folder == "" {
		return Logo{}, nil, err
	}
	for _, name := range [...]string{"logo.png", "logo.jpg"} {
		logo, err := c.logos.Get(ctx, folder+name)
		var faulty *object.FaultyError
		switch {
		case err == nil:
			return logo, nil, nil
		case errors.As(err, &faulty):
			return Logo{}, err, nil
		case !errors.Is(err, object.ErrAbsent):
			return Logo{}, nil, fmt.Errorf("logo of tenant %s: %w", tenantID, err)
		}
	}
	return Logo{}, nil, nil
}

// Created says what came of a document.
type Created struct {
	Location string  // s3://bucket/key
	Bytes    int     // the size of the PDF
	Pages    int     // how many it has
	Missing  int     // characters that the fonts do not have, shown as placeholders
	Warnings []error // why the document has less branding than it could have
}

// Create draws a document and stores it, replacing one that is there. Render
// says which parts of the arguments it shows. The error is an
// *order.PermanentError if there can never be a document; any other error comes
// from S3, and another try may succeed.
func (c *Creator) Create(
	ctx context.Context, o order.Order, d order.Document, s order.Supplier,
) (Created, error) {
	logo, warning, err := c.logo(ctx, o.TenantID)
	if err != nil {
		return Created{}, err
	}
	pdf, report, err := Render(o, d, s, logo)
	if err != nil {
		return Created{}, err
	}
	key := Key(o.TenantID, o.ID, d.Kind)
	_, err = c.objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket:               &c.bucket,
		Key:                  &key,
		Body:                 bytes.NewReader(pdf),
		ContentLength:        aws.Int64(int64(len(pdf))),
		ContentType:          aws.String("application/pdf"),
		ContentDisposition:   aws.String(`inline; filename="` + fileName(report.Title) + `"`),
		ServerSideEncryption: types.ServerSideEncryptionAes256,
	})
	if err != nil {
		return Created{}, fmt.Errorf("store document: %w", err)
	}
	created := Created{
		Location: locationScheme + c.bucket + "/" + key,
		Bytes:    len(pdf),
		Pages:    report.Pages,
		Missing:  report.Missing,
	}
	if warning != nil {
		created.Warnings = []error{warning}
	}
	return created, nil
}

// Key returns the name of an order's document in the orders bucket.
func Key(tenantID, orderID string, k order.DocumentKind) string {
	suffix := ""
	if k != order.ProForma {
		suffix = "_" + string(k)
	}
	return tenantID + "/orders/order_" + orderID + suffix + ".pdf"
}

// fileName returns the name under which a browser saves a document: its title,
// without what is special in a header.
func fileName(title string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case r == ' ', r == '-':
			return '-'
		}
		return -1
	}, title)
	return name + ".pdf"
}

// A Report says what came of drawing a document.
type Report struct {
	Title   string // the kind and the number: "Tax Invoice INV-2026-00001"
	Pages   int
	Missing int // characters that the fonts do not have, shown as placeholders
}

// Render draws a document as a PDF. The order is the one of order.Order.At: as
// it stood at the entry that calls for the document, which is the last of its
// history. Of the document the kind, the number and the day of issue are shown;
// a credit note also names the tax invoice among the order's documents. The
// same arguments always make the same bytes. The error is an
// *order.PermanentError if the order has more lines than an order can have.
func Render(o order.Order, d order.Document, s order.Supplier, logo Logo) ([]byte, Report, error) {
	if len(o.Items) > order.MaxItems {
		reason := fmt.Sprintf("document of more than %d lines", order.MaxItems)
		return nil, Report{}, &order.PermanentError{Reason: reason}
	}
	fs, err := loadFonts()
	if err != nil {
		return nil, Report{}, err
	}
	l := lay(fs, o, d, s, logo)
	title := l.name()
	pdf, err := paint(fs, l.pages, info{title: title, author: l.s.Name, created: d.DateIssued.Time()})
	if err != nil {
		return nil, Report{}, err
	}
	return pdf, Report{Title: title, Pages: len(l.pages), Missing: l.missing}, nil
}
