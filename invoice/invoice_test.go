package invoice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// A bucket is an S3 that holds objects in memory, and fails where its hooks say
// so.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	asked   []string
	puts    []*s3.PutObjectInput

	onGet func(ctx context.Context, key string) error
	onPut func() error
}

func (b *bucket) GetObject(
	ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options),
) (*s3.GetObjectOutput, error) {
	if b.onGet != nil {
		if err := b.onGet(ctx, *in.Key); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, *in.Key)
	data, found := b.objects[*in.Key]
	if !found {
		return nil, fmt.Errorf("operation error S3: %w", &types.NoSuchKey{})
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(data))}, nil
}

func (b *bucket) PutObject(
	_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options),
) (*s3.PutObjectOutput, error) {
	if b.onPut != nil {
		if err := b.onPut(); err != nil {
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

const (
	commonCompany = "branding/company.json"
	commonLogo    = "branding/logo.png"
	tenantCompany = "branding/tenant-1/company.json"
	tenantLogo    = "branding/tenant-1/logo.jpg"
)

// newBucket returns a bucket with branding of the service and of tenant-1.
func newBucket(t *testing.T) *bucket {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return &bucket{objects: map[string][]byte{
		commonCompany: read("branding/company.json"),
		commonLogo:    read("testdata/logo/rgba-8.png"),
		tenantCompany: []byte(`{"name": "Karoo CC", "vatNumber": "4111111111"}`),
		tenantLogo:    read("testdata/logo/baseline.jpg"),
	}}
}

func newCreator(b *bucket) *Creator { return New(b, "orders", "templates", time.Now) }

func TestCreateStoresTheDocument(t *testing.T) {
	for kind, c := range map[order.DocumentKind]struct{ key, name string }{
		order.ProForma:   {"", "Pro-forma-Invoice-ORD-2025-00006.pdf"},
		order.TaxInvoice: {"_tax_invoice", "Tax-Invoice-INV-2025-00001.pdf"},
		order.CreditNote: {"_credit_note", "Credit-Note-CN-2025-00001.pdf"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			is := is.New(t)
			b := newBucket(t)
			i := issue(t, "many-scripts", kind)
			creator := newCreator(b)
			supplier, err := creator.Supplier(t.Context(), i.Order.TenantID)
			is.NoErr(err)
			is.Equal(supplier.Name, "Karoo CC")
			created, err := creator.Create(t.Context(), i.Order, i.Document, supplier)
			is.NoErr(err)
			key := "tenant-1/orders/order_" + i.Order.ID + c.key + ".pdf"
			logo, err := ParseLogo(b.objects[tenantLogo])
			is.NoErr(err)
			pdf := mustRender(t, i, supplier, logo)
			is.Equal(created, Created{Location: "s3://orders/" + key, Bytes: len(pdf), Pages: 1, Missing: 31})
			is.True(bytes.Equal(b.objects["orders/"+key], pdf)) // with the tenant's branding

			put := b.puts[0]
			is.Equal(aws.ToString(put.ContentType), "application/pdf")
			is.Equal(put.ServerSideEncryption, types.ServerSideEncryptionAes256)
			is.Equal(aws.ToInt64(put.ContentLength), int64(len(pdf)))
			is.Equal(aws.ToString(put.ContentDisposition), `inline; filename="`+c.name+`"`)
		})
	}
}

// A document that is made again has the supplier that was printed before, and
// so the same bytes, whatever the branding says by now.
func TestPrepare(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	lacking(tenantCompany, tenantLogo)(b)
	c := newCreator(b)
	c.Prepare(t.Context())
	slices.Sort(b.asked)
	is.Equal(b.asked, []string{commonCompany, commonLogo})
	b.asked = nil
	supplier, err := c.Supplier(t.Context(), "tenant-1")
	is.NoErr(err)
	_, warning, err := c.logo(t.Context(), "tenant-1")
	is.NoErr(err)
	is.NoErr(warning)
	is.True(supplier.Name != "")
	is.Equal(b.asked, []string{tenantCompany}) // whether the tenant has its own
}

func TestMadeAgain(t *testing.T) {
	is := is.New(t)
	i := issue(t, "paid", order.TaxInvoice)
	printed := testSupplier()
	b := newBucket(t)
	_, err := newCreator(b).Create(t.Context(), i.Order, i.Document, printed)
	is.NoErr(err)
	key := "orders/" + Key(i.Order.TenantID, i.Order.ID, order.TaxInvoice)
	first := b.objects[key]
	b.objects[tenantCompany] = []byte(`{"name": "Karoo and Sons"}`)
	_, err = newCreator(b).Create(t.Context(), i.Order, i.Document, printed)
	is.NoErr(err)
	is.True(bytes.Equal(b.objects[key], first))
}

func TestNumberCannotLeaveTheFileName(t *testing.T) {
	is := is.New(t)
	is.Equal(fileName("Invoice A\"; \r\nX-Evil: 1é/../"), "Invoice-A-X-Evil-1.pdf")
}

func TestCreateFails(t *testing.T) {
	t.Run("when S3 does not take the document", func(t *testing.T) {
		is := is.New(t)
		b := newBucket(t)
		fault := errors.New("fault")
		b.onPut = func() error { return fault }
		i := issue(t, "one-line", order.ProForma)
		_, err := newCreator(b).Create(t.Context(), i.Order, i.Document, testSupplier())
		is.True(errors.Is(err, fault))
		var permanent *order.PermanentError
		is.True(!errors.As(err, &permanent)) // It can be tried again.
	})
	t.Run("for good when there can be no document", func(t *testing.T) {
		is := is.New(t)
		b := newBucket(t)
		i := issue(t, "two-hundred-lines", order.ProForma)
		i.Order.Items = append(i.Order.Items, i.Order.Items...)
		_, err := newCreator(b).Create(t.Context(), i.Order, i.Document, testSupplier())
		var permanent *order.PermanentError
		is.True(errors.As(err, &permanent))
		is.Equal(len(b.puts), 0)
	})
}

// failing makes reading an object fail; what is slow fails when time is up.
func failing(key string, fault error) func(*bucket) {
	return func(b *bucket) {
		b.onGet = func(ctx context.Context, k string) error {
			if k != key {
				return nil
			}
			if errors.Is(fault, context.DeadlineExceeded) {
				<-ctx.Done()
			}
			return fault
		}
	}
}

func holding(key, data string) func(*bucket) {
	return func(b *bucket) { b.objects[key] = []byte(data) }
}

func lacking(keys ...string) func(*bucket) {
	return func(b *bucket) {
		for _, k := range keys {
			delete(b.objects, k)
		}
	}
}

var (
	errDown = errors.New("service unavailable")
	// errDenied is also what S3 says of an absent object to whoever may not
	// list the bucket.
	errDenied = fmt.Errorf("operation error S3: %w", &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}},
		Err:      errors.New("AccessDenied"),
	})
)

// Without a supplier who is known for sure, no document is made.
func TestSupplier(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bucket)
		want   string // the name; "" for an error
	}{
		"a tenant's own": {func(*bucket) {}, "Karoo CC"},
		"common":         {lacking(tenantCompany), "KimmyAI (Pty) Ltd"},
		"none":           {lacking(tenantCompany, commonCompany), "KimmyAI"},
		"denied":         {failing(tenantCompany, errDenied), ""},
		"down":           {failing(tenantCompany, errDown), ""},
		"slow":           {failing(tenantCompany, context.DeadlineExceeded), ""},
		"broken":         {holding(tenantCompany, "{"), ""},
		"wrong":          {holding(tenantCompany, `{"name": "Karoo", "accentColour": "red"}`), ""},
		"large":          {holding(tenantCompany, strings.Repeat(" ", maxCompanyBytes+1)), ""},
		"common down": {func(b *bucket) {
			lacking(tenantCompany)(b)
			failing(commonCompany, errDown)(b)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // What is slow takes no time of ours.
				is := is.New(t)
				b := newBucket(t)
				c.change(b)
				creator := newCreator(b)
				supplier, err := creator.Supplier(t.Context(), "tenant-1")
				is.Equal(supplier.Name, c.want)
				is.Equal(err != nil, c.want == "")
				var permanent *order.PermanentError
				is.True(!errors.As(err, &permanent)) // It passes, or an operator mends it.

				i := issue(t, "one-line", order.ProForma)
				_, err = creator.Create(t.Context(), i.Order, i.Document, testSupplier())
				is.Equal(err != nil, c.want == "") // whose logo it would be is not known either
			})
		})
	}
}

// A logo that is not there, or broken, is left out. One that cannot be read now
// is waited for: a document is made once.
func TestLogoOfTheSupplier(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*bucket)
		want    string // whose image; "" for none
		warning bool
		err     string
	}{
		"a tenant's own": {func(*bucket) {}, tenantLogo, false, ""},
		"absent":         {lacking(tenantLogo), "", false, ""}, // The common logo is another supplier's.
		"common":         {lacking(tenantCompany), commonLogo, false, ""},
		"no supplier":    {lacking(tenantCompany, commonCompany), "", false, ""},
		"broken":         {holding(tenantLogo, "<svg/>"), "", true, ""},
		"large":          {holding(tenantLogo, strings.Repeat(" ", maxLogoBytes+1)), "", true, ""},
		"denied":         {failing(tenantLogo, errDenied), "", false, "AccessDenied"},
		"down":           {failing("branding/tenant-1/logo.png", errDown), "", false, "service unavailable"},
		"slow":           {failing(tenantLogo, context.DeadlineExceeded), "", false, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				b := newBucket(t)
				c.change(b)
				i := issue(t, "one-line", order.ProForma)
				created, err := newCreator(b).Create(t.Context(), i.Order, i.Document, testSupplier())
				if c.err != "" {
					is.True(strings.Contains(fmt.Sprint(err), c.err))
					is.Equal(len(b.puts), 0)
					return
				}
				is.NoErr(err)
				is.Equal(len(created.Warnings) > 0, c.warning)
				var logo Logo
				if c.want != "" {
					logo, err = ParseLogo(b.objects[c.want])
					is.NoErr(err)
				}
				stored := b.objects["orders/"+Key("tenant-1", i.Order.ID, order.ProForma)]
				is.True(bytes.Equal(stored, mustRender(t, i, testSupplier(), logo)))
			})
		})
	}
}

// TestManyAtOnce is for the race detector, too.
func TestManyAtOnce(t *testing.T) {
	is := is.New(t)
	b := newBucket(t)
	creator := newCreator(b)
	i := issue(t, "three-lines", order.ProForma)
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			o := i.Order
			o.ID = fmt.Sprint(n)
			if _, err := creator.Create(t.Context(), o, i.Document, testSupplier()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	is.Equal(len(b.asked), 3) // the branding once: company.json, no PNG, the JPEG
	is.Equal(len(b.puts), 16)
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
		"", "s3://orders/", "s3://orders", "s3://other/key", "s3://orders-2/key",
		"https://orders/key", "/orders/key", "S3://orders/key",
	} {
		t.Run("refuses "+location, func(t *testing.T) {
			is := is.New(t)
			_, err := linker.Link(t.Context(), location)
			is.True(err != nil)
		})
	}
}
