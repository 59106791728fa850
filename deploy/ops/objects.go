package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

// An object is one of the documents bucket.
type object struct {
	key  string
	size int64

	// What its name says; "" where it is no name of a document.
	orderID string
	kind    order.DocumentKind
}

// objects yields a tenant's objects by order id: S3 lists them by name, and the
// ids of all orders have one length.
func (o *operator) objects(ctx context.Context, tenantID string) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		bucket, prefix := o.get(documents), tenantID+"/orders/"
		pages := s3.NewListObjectsV2Paginator(o.s3, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(object{}, fmt.Errorf("list objects of tenant %s: %w", tenantID, err))
				return
			}
			for _, c := range page.Contents {
				if !yield(readObject(tenantID, aws.ToString(c.Key), aws.ToInt64(c.Size)), nil) {
					return
				}
			}
		}
	}
}

// objectTenants yields the tenants that have objects.
func (o *operator) objectTenants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		bucket, slash := o.get(documents), "/"
		pages := s3.NewListObjectsV2Paginator(o.s3, &s3.ListObjectsV2Input{Bucket: &bucket, Delimiter: &slash})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", fmt.Errorf("list tenants of bucket %s: %w", bucket, err))
				return
			}
			for _, p := range page.CommonPrefixes {
				if !yield(strings.TrimSuffix(aws.ToString(p.Prefix), slash), nil) {
					return
				}
			}
		}
	}
}

func readObject(tenantID, key string, size int64) object {
	found := object{key: key, size: size}
	const idLength = 36
	rest, _ := strings.CutPrefix(key, tenantID+"/orders/order_")
	if len(rest) < idLength || !order.IsID(rest[:idLength]) {
		return found
	}
	id := rest[:idLength]
	isKind := func(k order.DocumentKind) bool { return invoice.Key(tenantID, id, k) == key }
	i := slices.IndexFunc(order.DocumentKinds(), isKind)
	if i >= 0 {
		found.orderID, found.kind = id, order.DocumentKinds()[i]
	}
	return found
}

// errNoObject says that there is no such object.
var errNoObject = errors.New("no such object")

// head asks for an object without its content.
func (o *operator) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	bucket := o.get(documents)
	out, err := o.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	var absent *types.NotFound
	if errors.As(err, &absent) {
		err = errNoObject
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return out, nil
}

// isThere reports whether an order's document is in the bucket.
func (o *operator) isThere(ctx context.Context, about order.Order, k order.DocumentKind) (bool, error) {
	_, err := o.head(ctx, invoice.Key(about.TenantID, about.ID, k))
	if errors.Is(err, errNoObject) {
		return false, nil
	}
	return err == nil, err
}

// printed finds the number in the name under which a browser saves a document:
// that of the order for a pro forma, else that of the document.
var printed = regexp.MustCompile(`((ORD|INV|CN)-(\d{4})-(\d{5,18}))\.pdf`)

// A number is one of a series.
type number struct {
	series string
	year   int
	n      int64
}

// printedNumber returns the number that a document shows, as its object tells.
// It is all that a restored table leaves of later orders.
func (o *operator) printedNumber(ctx context.Context, key string) (text string, n number, ok bool, err error) {
	out, err := o.head(ctx, key)
	if err != nil {
		return "", number{}, false, err
	}
	found := printed.FindStringSubmatch(aws.ToString(out.ContentDisposition))
	if found == nil {
		return "", number{}, false, nil
	}
	n, ok = readNumber(found[1])
	return found[1], n, ok, nil
}

// readNumber takes a number like INV-2026-00001 apart.
func readNumber(text string) (number, bool) {
	const seriesYearCount = 3
	parts := strings.Split(text, "-")
	if len(parts) != seriesYearCount {
		return number{}, false
	}
	year, err := strconv.Atoi(parts[1])
	if err != nil {
		return number{}, false
	}
	n, err := strconv.ParseInt(parts[2], 10, 64)
	return number{parts[0], year, n}, err == nil
}
