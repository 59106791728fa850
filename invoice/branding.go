package invoice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	brandingAge     = 5 * time.Minute // how long branding is used before it is asked for again
	brandingTimeout = 3 * time.Second // how long an invoice waits for one object of it
)

// branding keeps the brand that S3 has. It may be used by several goroutines at a time.
type branding struct {
	objects Objects
	bucket  string
	now     func() time.Time
	company cached[Brand]
	logos   [2]cached[Logo]
}

func newBranding(objects Objects, bucket string, now func() time.Time) *branding {
	b := &branding{objects: objects, bucket: bucket, now: now}
	b.company = newCached("branding/company.json", 64<<10, ParseBrand)
	for i, key := range [...]string{"branding/logo.png", "branding/logo.jpg"} {
		b.logos[i] = newCached(key, maxLogoBytes, ParseLogo)
	}
	return b
}

// brand returns the brand of the moment, and why it is less than S3 could have. It always returns a brand.
func (b *branding) brand(ctx context.Context) (Brand, []error) {
	type answer struct {
		logo Logo
		errs []error
	}
	logo := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil { // Nobody else would: it would be the end of the process, and of its other invoices.
				a = answer{errs: append(a.errs, fmt.Errorf("read logo: panic: %v", p))}
			}
			logo <- a
		}()
		for i := range b.logos {
			l, found, err := b.logos[i].get(ctx, b)
			if err != nil {
				a.errs = append(a.errs, err)
			}
			if a.logo = l; found {
				break
			}
		}
	}()
	brand, _, err := b.company.get(ctx, b)
	if brand.Name == "" {
		brand = TextBrand()
	}
	a := <-logo
	brand.Logo = a.logo
	if err != nil {
		a.errs = append(a.errs, err)
	}
	return brand, a.errs
}

// A cached keeps what was made of one object. Only its holder of the turn touches the other fields.
type cached[T any] struct {
	key   string
	most  int64 // bytes
	parse func([]byte) (T, error)
	turn  chan struct{}

	checked time.Time // when S3 last said what it has
	etag    string    // "" while there is no object
	value   T
	fault   error // what parse said about the object
}

func newCached[T any](key string, most int64, parse func([]byte) (T, error)) cached[T] {
	return cached[T]{key: key, most: most, parse: parse, turn: make(chan struct{}, 1)}
}

// get returns what was made of the object and whether there is one. The error says why it may be stale or less than it
// could be: the object is faulty, which is remembered, or could not be read, which is not, so that the next call asks again.
func (c *cached[T]) get(ctx context.Context, b *branding) (T, bool, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // Also where it was our turn: S3 is not asked in vain.
		var none T
		return none, false, fmt.Errorf("read %s: %w", c.key, err)
	}
	if now := b.now(); c.checked.IsZero() || now.Sub(c.checked) >= brandingAge || now.Before(c.checked) {
		if err := c.refresh(ctx, b); err != nil {
			return c.value, c.etag != "", fmt.Errorf("read %s: %w", c.key, err)
		}
		c.checked = now
	}
	return c.value, c.etag != "", c.fault
}

func (c *cached[T]) refresh(ctx context.Context, b *branding) error {
	ctx, cancel := context.WithTimeout(ctx, brandingTimeout)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &c.key}
	if c.etag != "" {
		in.IfNoneMatch = &c.etag
	}
	out, err := b.objects.GetObject(ctx, in)
	var missing *types.NoSuchKey
	var response *smithyhttp.ResponseError
	switch {
	case errors.As(err, &missing):
		var none T
		c.etag, c.value, c.fault = "", none, nil
		return nil
	case errors.As(err, &response) && response.HTTPStatusCode() == 304:
		return nil
	case err != nil:
		return err
	}
	defer func() { _ = out.Body.Close() }() // Only read from.
	data, err := io.ReadAll(io.LimitReader(out.Body, c.most+1))
	if err != nil {
		return err
	}
	etag := aws.ToString(out.ETag)
	if etag == "" {
		etag = "unknown"
	}
	if int64(len(data)) > c.most {
		var none T
		c.etag, c.value, c.fault = etag, none, fmt.Errorf("%s: more than %d bytes", c.key, c.most)
		return nil
	}
	c.value, c.fault = c.safely(data)
	c.etag = etag
	return nil
}

// safely parses what someone put into the bucket. A panic in a decoder must not take the function down.
func (c *cached[T]) safely(data []byte) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", c.key, p)
		}
	}()
	return c.parse(data)
}
