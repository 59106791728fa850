package invoice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/matryer/is"

	shipped "github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/order"
)

// A bucket is an S3 that holds objects in memory, answers conditional reads, and fails where its hooks say so.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	asked   []string // what was read, with the condition
	puts    []*s3.PutObjectInput

	onGet func(ctx context.Context, key string) error
	onPut func(ctx context.Context) error
	body  func(io.Reader) io.Reader
}

func (b *bucket) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if b.onGet != nil {
		if err := b.onGet(ctx, *in.Key); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, *in.Key+aws.ToString(in.IfNoneMatch))
	data, found := b.objects[*in.Key]
	if !found {
		return nil, fmt.Errorf("operation error S3: %w", &types.NoSuchKey{})
	}
	etag := etagOf(data)
	if aws.ToString(in.IfNoneMatch) == etag {
		return nil, fmt.Errorf("operation error S3: %w", &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusNotModified}}, Err: errors.New("not modified"),
		})
	}
	var body io.Reader = bytes.NewReader(data)
	if b.body != nil {
		body = b.body(body)
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(body), ETag: &etag}, nil
}

func etagOf(data []byte) string { return fmt.Sprintf(`"%d-%q"`, len(data), data[:min(8, len(data))]) }

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if b.onPut != nil {
		if err := b.onPut(ctx); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.puts = append(b.puts, in)
	b.objects[*in.Bucket+"/"+*in.Key] = data
	return &s3.PutObjectOutput{}, nil
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	company, err := shipped.Files.ReadFile("company.json")
	if err != nil {
		t.Fatal(err)
	}
	return &bucket{objects: map[string][]byte{
		"branding/company.json": company,
		"branding/logo.png":     mustRead(t, "testdata/logo/rgba-8.png"), // Small, so that many tests can read it.
	}}
}

// A clock stands still until it is moved.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.t }

func TestCreateStoresTheInvoice(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	o := sampleOrder(t, "many-scripts")
	c := New(b, "orders", "templates", newClock().now)

	created, err := c.Create(t.Context(), o)
	is.NoErr(err)
	is.Equal(created.Location, "s3://orders/tenant-1/orders/order_"+o.ID+".pdf")
	is.Equal(created.Missing, 31)
	is.Equal(created.Pages, 1)
	is.Equal(len(created.Warnings), 0)

	brand := shippedBrand(t)
	brand.Logo, err = ParseLogo(b.objects["branding/logo.png"])
	is.NoErr(err)
	pdf := mustRender(t, o, brand)
	is.True(bytes.Equal(b.objects["orders/"+Key(o.TenantID, o.ID)], pdf)) // the invoice with the branding of the bucket
	is.Equal(created.Bytes, len(pdf))
	put := b.puts[0]
	is.Equal(aws.ToString(put.ContentType), "application/pdf")
	is.Equal(put.ServerSideEncryption, types.ServerSideEncryptionAes256)
	is.Equal(aws.ToInt64(put.ContentLength), int64(len(pdf)))
	is.Equal(aws.ToString(put.ContentDisposition), `inline; filename="invoice-ORD-2025-00006.pdf"`)
}

func TestNumberCannotLeaveTheFileName(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	o := sampleOrder(t, "one-line")
	o.Number = "A\"; \r\nX-Evil: 1é/../"
	_, err := New(b, "orders", "templates", newClock().now).Create(t.Context(), o)
	is.NoErr(err)
	is.Equal(aws.ToString(b.puts[0].ContentDisposition), `inline; filename="invoice-AX-Evil1.pdf"`)
}

func TestCreateFails(t *testing.T) {
	fault := errors.New("fault")
	t.Run("when S3 does not take the invoice", func(t *testing.T) {
		is := is.New(t)
		b := newBucket(t)
		b.onPut = func(context.Context) error { return fault }
		_, err := New(b, "orders", "templates", newClock().now).Create(t.Context(), sampleOrder(t, "one-line"))
		is.True(errors.Is(err, fault))
		var permanent *order.Permanent
		is.True(!errors.As(err, &permanent)) // It can be tried again.
	})
	t.Run("for good when there can be no invoice", func(t *testing.T) {
		is := is.New(t)
		b := newBucket(t)
		o := sampleOrder(t, "two-hundred-lines")
		o.Items = append(o.Items, o.Items...)
		_, err := New(b, "orders", "templates", newClock().now).Create(t.Context(), o)
		var permanent *order.Permanent
		is.True(errors.As(err, &permanent))
		is.Equal(len(b.puts), 0)
	})
	t.Run("when the time is up", func(t *testing.T) {
		is := is.New(t)
		b := newBucket(t)
		b.onGet = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		b.onPut = func(ctx context.Context) error { return ctx.Err() }
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := New(b, "orders", "templates", newClock().now).Create(ctx, sampleOrder(t, "one-line"))
		is.True(errors.Is(err, context.Canceled))
	})
}

func TestBrandingIsKeptForFiveMinutes(t *testing.T) {
	is := is.New(t)
	b, clock := newBucket(t), newClock()
	source := newBranding(b, "templates", clock.now)

	first, warnings := source.brand(t.Context())
	is.Equal(len(warnings), 0)
	is.Equal(first.Name, "KimmyAI (Pty) Ltd")
	is.True(!first.Logo.IsZero())
	is.Equal(sorted(b.asked), []string{"branding/company.json", "branding/logo.png"}) // never the other logo

	clock.t = clock.t.Add(brandingAge - time.Second)
	_, _ = source.brand(t.Context())
	is.Equal(len(b.asked), 2) // still fresh

	clock.t = clock.t.Add(time.Second)
	same, warnings := source.brand(t.Context())
	is.Equal(len(warnings), 0)
	is.Equal(same.Name, first.Name) // not modified
	is.Equal(len(b.asked), 4)
	is.True(strings.HasSuffix(b.asked[2], `"`)) // asked with the ETag
	is.True(strings.HasSuffix(b.asked[3], `"`))

	clock.t = clock.t.Add(brandingAge)
	b.objects["branding/company.json"] = []byte(`{"name": "Another"}`)
	delete(b.objects, "branding/logo.png")
	changed, warnings := source.brand(t.Context())
	is.Equal(len(warnings), 0) // What is not there is no fault.
	is.Equal(changed.Name, "Another")
	is.True(changed.Logo.IsZero())

	clock.t = clock.t.Add(-time.Hour) // A clock that was set back does not keep it for an hour.
	before := len(b.asked)
	_, _ = source.brand(t.Context())
	is.True(len(b.asked) > before)
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestBrandingThatIsNotThere(t *testing.T) {
	is := is.New(t)
	b := &bucket{objects: map[string][]byte{}}
	brand, warnings := newBranding(b, "templates", newClock().now).brand(t.Context())
	is.Equal(len(warnings), 0)
	is.Equal(brand.Name, TextBrand().Name)
	is.Equal(sorted(b.asked), []string{"branding/company.json", "branding/logo.jpg", "branding/logo.png"})

	b.objects["branding/logo.jpg"] = mustRead(t, "testdata/logo/baseline.jpg")
	brand, warnings = newBranding(b, "templates", newClock().now).brand(t.Context())
	is.Equal(len(warnings), 0)
	is.True(!brand.Logo.IsZero()) // the JPEG where there is no PNG
}

func TestFaultyBranding(t *testing.T) {
	fault := errors.New("fault")
	for name, c := range map[string]struct {
		damage   func(*bucket)
		wantName string
		wantLogo bool
		warnings int
	}{
		"company.json is no JSON":   {func(b *bucket) { b.objects["branding/company.json"] = []byte("{") }, "KimmyAI", true, 1},
		"company.json is too large": {func(b *bucket) { b.objects["branding/company.json"] = make([]byte, 65<<10) }, "KimmyAI", true, 1},
		"the logo is no image":      {func(b *bucket) { b.objects["branding/logo.png"] = []byte("<svg/>") }, "KimmyAI (Pty) Ltd", false, 1},
		"the logo is too large":     {func(b *bucket) { b.objects["branding/logo.png"] = make([]byte, maxLogoBytes+1) }, "KimmyAI (Pty) Ltd", false, 1},
		"S3 fails": {func(b *bucket) {
			b.onGet = func(context.Context, string) error { return fault }
		}, "KimmyAI", false, 3},
		"reading the logo panics": {func(b *bucket) {
			b.onGet = func(_ context.Context, key string) error {
				if key == "branding/logo.png" {
					panic("a mistake")
				}
				return nil
			}
		}, "KimmyAI (Pty) Ltd", false, 1},
		"a body breaks off": {func(b *bucket) {
			b.body = func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 9), failing{}) }
		}, "KimmyAI", false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			b := newBucket(t)
			c.damage(b)
			created, err := New(b, "orders", "templates", newClock().now).Create(t.Context(), sampleOrder(t, "one-line"))
			is.NoErr(err) // There is an invoice all the same.
			is.Equal(len(created.Warnings), c.warnings)

			brand, _ := newBranding(b, "templates", newClock().now).brand(t.Context())
			is.Equal(brand.Name, c.wantName)
			is.Equal(!brand.Logo.IsZero(), c.wantLogo)
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestFaultIsNotRemembered(t *testing.T) {
	is := is.New(t)
	b, clock := newBucket(t), newClock()
	source := newBranding(b, "templates", clock.now)
	b.onGet = func(context.Context, string) error { return errors.New("fault") }
	brand, warnings := source.brand(t.Context())
	is.Equal(brand.Name, "KimmyAI")
	is.True(len(warnings) > 0)

	b.onGet = nil
	brand, warnings = source.brand(t.Context()) // at the same moment
	is.Equal(brand.Name, "KimmyAI (Pty) Ltd")
	is.Equal(len(warnings), 0)

	clock.t = clock.t.Add(brandingAge)
	b.onGet = func(context.Context, string) error { return errors.New("fault") }
	brand, warnings = source.brand(t.Context())
	is.Equal(brand.Name, "KimmyAI (Pty) Ltd") // the one read before
	is.True(!brand.Logo.IsZero())
	is.True(len(warnings) > 0) // and it says so
}

func TestBadContentIsRemembered(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	b.objects["branding/company.json"] = []byte("{")
	source := newBranding(b, "templates", newClock().now)
	for range 3 {
		_, warnings := source.brand(t.Context())
		is.Equal(len(warnings), 1) // Every invoice says what it lacks,
	}
	is.Equal(len(b.asked), 2) // but S3 is asked once.
}

func TestPanicInADecoderIsAWarning(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	source := newBranding(b, "templates", newClock().now)
	source.logos[0].parse = func([]byte) (Logo, error) { panic("decoder") }
	brand, warnings := source.brand(t.Context())
	is.Equal(brand.Name, "KimmyAI (Pty) Ltd")
	is.Equal(len(warnings), 1)
}

// TestManyAtOnceAskOnce is for the race detector, too.
func TestManyAtOnceAskOnce(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	c := New(b, "orders", "templates", newClock().now)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			o := sampleOrder(t, "three-lines")
			o.ID = fmt.Sprint(i)
			if _, err := c.Create(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	is.Equal(len(b.asked), 2)
	is.Equal(len(b.puts), 16)
	bodies := map[string]bool{}
	for key, body := range maps.All(b.objects) {
		if strings.HasPrefix(key, "orders/") {
			bodies[string(body)] = true
		}
	}
	is.Equal(len(bodies), 1) // The id is not on the invoice.
}

func TestSlowBrandingIsNotWaitedFor(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	b.onGet = func(ctx context.Context, key string) error {
		deadline, bounded := ctx.Deadline()
		if !bounded || time.Until(deadline) > brandingTimeout {
			t.Errorf("%s is read without an end", key)
		}
		return context.DeadlineExceeded
	}
	brand, warnings := newBranding(b, "templates", newClock().now).brand(t.Context())
	is.Equal(brand.Name, "KimmyAI")
	is.True(len(warnings) > 0)

	// While one goroutine reads, another whose time is up does not wait for its turn.
	source := newBranding(b, "templates", newClock().now)
	source.company.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, warnings = source.brand(ctx)
	is.True(errors.Is(errors.Join(warnings...), context.Canceled))
}

func TestLink(t *testing.T) {
	client := s3.New(s3.Options{
		Region:      "af-south-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", "SESSION"),
	})
	linker := NewLinker(client, "orders")
	t.Run("is https, signed, and short-lived", func(t *testing.T) {
		is := is.New(t)
		link, err := linker.Link(t.Context(), "s3://orders/tenant:1/orders/order_1.pdf")
		is.NoErr(err)
		u, err := url.Parse(link)
		is.NoErr(err)
		is.Equal(u.Scheme, "https")
		is.Equal(u.Host, "orders.s3.af-south-1.amazonaws.com")
		is.Equal(u.Path, "/tenant:1/orders/order_1.pdf")
		is.Equal(u.Query().Get("X-Amz-Expires"), "900")
		is.Equal(u.Query().Get("X-Amz-Security-Token"), "SESSION")
		is.True(u.Query().Get("X-Amz-Signature") != "")
	})
	for _, location := range []string{
		"", "s3://orders/", "s3://orders", "s3://other/key", "s3://orders-2/key", "https://orders/key", "/orders/key", "S3://orders/key",
	} {
		t.Run("refuses "+location, func(t *testing.T) {
			is := is.New(t)
			_, err := linker.Link(t.Context(), location)
			is.True(err != nil)
		})
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// With no time left and nobody else at it, both ways on were open; which one was taken was chance.
func TestBrandingIsNotReadInVain(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	source := newBranding(b, "templates", newClock().now)
	ended, end := context.WithCancel(t.Context())
	end()
	for range 20 {
		brand, warnings := source.brand(ended)
		is.Equal(brand.Name, TextBrand().Name)
		is.Equal(len(warnings), 3) // company and both logos
	}
	is.Equal(len(b.asked), 0)
}
