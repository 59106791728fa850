package order_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

var update = flag.Bool("update", false, "write the golden files")

func TestIDs(t *testing.T) {
	t.Run("new ones", func(t *testing.T) {
		is := is.New(t)
		seen := map[string]bool{}
		for range 1000 {
			id := order.NewID()
			is.True(order.IsID(id)) // of its own form
			seen[id] = true
		}
		is.Equal(len(seen), 1000) // no two alike
	})
	const good = "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d"
	for id, want := range map[string]bool{
		good:                                    true,
		"00000000-0000-4000-8000-000000000000":  true,
		"ffffffff-ffff-4fff-bfff-ffffffffffff":  true,
		"":                                      false,
		good[:35]:                               false,
		good + "0":                              false,
		strings.ToUpper(good):                   false,
		strings.ReplaceAll(good, "-", ""):       false,
		strings.Replace(good, "-", "0", 1):      false,
		"2b1f4c1e-7c59-1d38-9a63-0f5a4e1b2c3d":  false, // version 1
		"2b1f4c1e-7c59-4d38-ca63-0f5a4e1b2c3d":  false, // another variant
		"2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3g":  false,
		"2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3/":  false,
		"{2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3}": false,
		"ORDER#2b1f4c1e-7c59-4d38-9a63-0f5a4e1": false,
	} {
		t.Run("is "+id, func(t *testing.T) {
			is := is.New(t)
			is.Equal(order.IsID(id), want)
		})
	}
}

func TestIsTenantID(t *testing.T) {
	for id, want := range map[string]bool{
		"t":                      true,
		"7":                      true,
		"Tenant_1.x:y-z":         true,
		"azAZ09":                 true,
		"a@":                     false, // the neighbours of letters and digits
		"a[":                     false,
		"a`":                     false,
		"a{":                     false,
		"a/":                     false,
		"a;":                     false,
		strings.Repeat("t", 128): true,
		strings.Repeat("t", 129): false,
		"":                       false,
		"_t":                     false,
		".t":                     false,
		"..":                     false,
		"-t":                     false,
		"t t":                    false,
		"t#ORDER":                false,
		"t/u":                    false,
		`t\u`:                    false,
		"t%2f":                   false,
		"t\n":                    false,
		"t\x00":                  false,
		"té":                     false,
		"tş":                     false, // U+015F, whose low byte is an underscore
		"\xff":                   false,
	} {
		t.Run(id, func(t *testing.T) {
			is := is.New(t)
			is.Equal(order.IsTenantID(id), want)
		})
	}
}

func TestIsEmail(t *testing.T) {
	is := is.New(t)
	is.True(order.IsEmail("thandi@example.com"))
	is.True(!order.IsEmail("thandi")) // TestParseRequestRules has the rest
}

func TestIsText(t *testing.T) {
	for text, want := range map[string]bool{
		"":                       true,
		"Ünïcödé":                true,
		strings.Repeat("é", 256): true,
		strings.Repeat("é", 257): false,
		"a\nb":                   false,
		"a\ufffe":                false,
		"a\xff":                  false,
	} {
		t.Run(text, func(t *testing.T) {
			is := is.New(t)
			is.Equal(order.IsText(text), want)
		})
	}
}

func TestFormatNumber(t *testing.T) {
	is := is.New(t)
	for want, n := range map[string]int64{"ORD-2025-00001": 1, "ORD-2025-99999": 99_999, "ORD-2025-100000": 100_000} {
		is.Equal(order.FormatNumber(2025, n), want)
		is.True(order.IsNumber(want)) // can be looked for
	}
}

func TestIsNumber(t *testing.T) {
	for number, want := range map[string]bool{
		"ORD-2025-00001":               true,
		"ORD-2025-123456789012345678":  true,
		"":                             false,
		"ORD-2025-0001":                false,
		"ORD-2025-1234567890123456789": false,
		"ORD-25-00001":                 false,
		"ord-2025-00001":               false,
		"ORD-2025-0000a":               false,
		"ORD-2025":                     false,
		"INV-2025-00001":               false,
		"2025-00001":                   false,
	} {
		t.Run(number, func(t *testing.T) {
			is := is.New(t)
			is.Equal(order.IsNumber(number), want)
		})
	}
}

func TestAcceptance(t *testing.T) {
	c, err := order.ParseCreation(read(t, "creation.json"))
	if err != nil {
		t.Fatal(err)
	}
	accepted := c.Accepted("ORD-2025-00001", timestamp(t, "2025-12-30T10:30:00Z"))
	failed := accepted
	failed.Status, failed.FailureReason = order.Failed, "cart not found"
	const shared = `"id":"2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d","orderNumber":"ORD-2025-00001","tenantId":"tenant-001",` +
		`"customerEmail":"thandi@example.com","status":`
	for name, test := range map[string]struct {
		order order.Order
		want  string
	}{
		"pending": {accepted, `{"state":"accepted",` + shared + `"pending","dateCreated":"2025-12-30T10:30:00.000000Z"}`},
		"failed":  {failed, `{"state":"failed",` + shared + `"failed","dateCreated":"2025-12-30T10:30:00.000000Z","failureReason":"cart not found"}`},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.True(!test.order.Recorded())
			got, err := json.Marshal(test.order.Acceptance())
			is.NoErr(err)
			is.Equal(string(got), test.want) // what GET answers
		})
	}
}

func TestCampaignValidAt(t *testing.T) {
	at := timestamp(t, "2025-12-30T22:30:00Z") // 31 December in South Africa
	for name, test := range map[string]struct {
		campaign order.Campaign
		want     bool
	}{
		"no bounds":          {order.Campaign{IsValid: true}, true},
		"said to be invalid": {order.Campaign{}, false},
		"in force":           {order.Campaign{IsValid: true, FromDate: "2025-12-31", ToDate: "2025-12-31"}, true},
		"not yet":            {order.Campaign{IsValid: true, FromDate: "2026-01-01"}, false},
		"over":               {order.Campaign{IsValid: true, ToDate: "2025-12-30"}, false},
		"to the second":      {order.Campaign{IsValid: true, FromDate: "2025-12-30T22:30:00Z", ToDate: "2025-12-31T00:30:00+02:00"}, true},
		"a second late":      {order.Campaign{IsValid: true, ToDate: "2025-12-30T22:29:59Z"}, false},
		"bounds of no form":  {order.Campaign{IsValid: true, FromDate: "soon", ToDate: "later"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(test.campaign.ValidAt(at), test.want)
		})
	}
	t.Run("to the end of its last day", func(t *testing.T) {
		is := is.New(t)
		c := order.Campaign{IsValid: true, ToDate: "2025-12-31"}
		is.True(c.ValidAt(timestamp(t, "2025-12-31T21:59:59.999999Z")))
		is.True(!c.ValidAt(timestamp(t, "2025-12-31T22:00:00Z")))
	})
}

func TestPermanent(t *testing.T) {
	is := is.New(t)
	cause := errors.New("connection refused")
	p := &order.PermanentError{Reason: "cart not found", Err: cause}
	is.Equal(p.Error(), "cart not found: connection refused")
	is.True(errors.Is(p, cause)) // keeps its cause
	is.Equal((&order.PermanentError{Reason: "cart not found"}).Error(), "cart not found")
}

// fullOrder returns an order that sets every field.
func fullOrder(t testing.TB) order.Order {
	t.Helper()
	c, err := order.ParseCreation(read(t, "creation.json"))
	if err != nil {
		t.Fatal(err)
	}
	percentage, err := order.ParsePercent("12.50")
	if err != nil {
		t.Fatal(err)
	}
	c.BillingAddress.Company, c.BillingAddress.VATNumber = "Nkosi Büro & Söhne <Pty>", "4012345678"
	cart := largeCart(t, 3)
	cart.ID = c.CartID
	cart.Campaign = &order.Campaign{
		ID: "camp-9", Code: "SUMMER25", Description: "Summer sale", DiscountPercentage: percentage, ProductID: "prod-1",
		TermsConditionsLink: "https://kimmyai.io/terms?a=1&b=2", FromDate: "2025-11-01", ToDate: "2026-01-31", IsValid: true,
		DateCreated: timestamp(t, "2025-10-15T08:00:00Z"), DateLastUpdated: timestamp(t, "2025-10-16T08:00:00Z"),
		LastUpdatedBy: "marketing@kimmyai.io", Active: true,
	}
	o, err := price(t, c, cart, rate(t, "0.15"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := order.ParseUpdate(read(t, "update.json"))
	if err != nil {
		t.Fatal(err)
	}
	u.By, u.Reason = "clerk@example.com", "the bank says so"
	if _, err := o.Apply(u, time.Date(2025, 12, 30, 11, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	o.PDFURL = "https://bbws-orders-dev.example/order_tax_invoice.pdf"
	o.Issue(order.Document{
		Kind: "tax_invoice", Number: "INV-2025-00001", DateIssued: timestamp(t, "2025-12-30T11:00:02Z"), URL: o.PDFURL,
	})
	o.Issue(order.Document{Kind: "pro_forma", DateIssued: timestamp(t, "2025-12-30T10:30:02Z"), URL: "https://bbws-orders-dev.example/order.pdf"})
	return o
}

func TestOrderOnTheWire(t *testing.T) {
	is := is.New(t)
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	is.NoErr(enc.Encode(fullOrder(t)))
	if *update {
		is.NoErr(os.WriteFile("testdata/order.golden", got.Bytes(), 0o600))
	}
	is.Equal(got.String(), string(read(t, "order.golden"))) // go test ./order -update writes it
}

func BenchmarkParseRequest(b *testing.B) {
	body := read(b, "request.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := order.ParseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCreation(b *testing.B) {
	body := read(b, "creation.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := order.ParseCreation(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for name, n := range map[string]int{"3 lines": 3, "200 lines": 200} {
		b.Run(name, func(b *testing.B) {
			c, cart, tax := message(b), largeCart(b, n), rate(b, "0.15")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := price(b, c, cart, tax); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMarshal(b *testing.B) {
	for name, n := range map[string]int{"3 lines": 3, "200 lines": 200} {
		b.Run(name, func(b *testing.B) {
			o, err := price(b, message(b), largeCart(b, n), rate(b, "0.15"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := json.Marshal(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
