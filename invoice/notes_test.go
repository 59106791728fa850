package invoice

import (
	"slices"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func TestAccentIsReadable(t *testing.T) {
	for _, s := range []string{"#FFFFFF", "#FFFF00", "#00FF00", "#FF0000", "#1F4E79", "#000000", "not a colour", ""} {
		is := is.New(t)
		contrast := 1.05 / (accentOf(s).luminance() + 0.05)
		is.True(contrast >= 4.5) // on white (WCAG 2.2, success criterion 1.4.3)
	}
	is := is.New(t)
	c := accentOf("#FFFFFF")
	is.True(c.r == c.g && c.g == c.b) // darker, and of the same hue
}

func TestLuminance(t *testing.T) {
	is := is.New(t)
	for v, want := range map[uint8]float64{0: 0, 10: 0.003035, 128: 0.215861, 255: 1} { // WCAG 2.2
		got := colour{v, v, v}.luminance()
		is.True(got > want-1e-6 && got < want+1e-6)
	}
}

func TestSiteAndMailLinks(t *testing.T) {
	for _, c := range []struct{ website, address, shown string }{
		{"https://kimmyai.io", "https://kimmyai.io", "kimmyai.io"},
		{" http://example.com/a/ ", "http://example.com/a/", "example.com/a"},
		{"https://example.com/ü (x)", "https://example.com/%C3%BC%20%28x%29", "example.com/%C3%BC%20%28x%29"},
		{"javascript:alert(1)", "", ""},
		{"https://user:secret@example.com", "", ""},
		{"kimmyai.io", "", ""},
		{"https://\nexample.com", "", ""},
		{"", "", ""},
	} {
		is := is.New(t)
		address, shown := site(c.website)
		is.Equal(shown, c.shown)
		is.Equal(address, c.address)
	}
	for address, want := range map[string]string{
		"a@example.com": "mailto:a@example.com", "a@b@c.example": "", "@b.example": "", "a@": "", "a b@c.example": "",
		"a@c.example?cc=e@f.example": "", "é@c.example": "", "a(b)@c.example": "",
	} {
		is := is.New(t)
		is.Equal(mailto(address), want)
	}
}

// The host of a website may be in a script that the fonts do not have.
func TestForeignSite(t *testing.T) {
	is := is.New(t)
	s := testSupplier()
	s.Email, s.Website = "", "https://例え.example"
	l := layIssue(t, issue(t, "one-line", order.ProForma), s)
	is.Equal(l.missing, 2)
	for _, link := range l.pages[0].links {
		is.Equal(link.address, "https://%E4%BE%8B%E3%81%88.example")
	}
	is.True(slices.Contains(texts(l), "□□.example"))
}

// Whatever a supplier says or does not say, a customer learns how to pay.
func TestHowToPay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*order.Supplier)
		want   []string // in this order
	}{
		"the supplier's words": {
			func(s *order.Supplier) { s.Website = "" },
			[]string{"How to pay", "Example Bank 000000", "Account 1"},
		},
		"words and a website": {
			func(*order.Supplier) {},
			[]string{"How to pay", "Example Bank 000000", "Account 1", "Online", "example.co.za/shop"},
		},
		"a website": {
			func(s *order.Supplier) { s.PaymentLines = nil },
			[]string{"Online", "example.co.za/shop"},
		},
		"nothing but the address": {
			func(s *order.Supplier) { s.PaymentLines, s.Website = nil, "" },
			[]string{"How to pay", "hello@example.co.za"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			s := testSupplier()
			c.change(&s)
			shown := texts(layIssue(t, issue(t, "three-lines", order.ProForma), s))
			i := slices.Index(shown, "Payfast") // the method, which comes before
			is.Equal(shown[i+1:i+1+len(c.want)], c.want)
			is.Equal(shown[i+1+len(c.want):][:2], []string{"Please quote", "ORD-2025-00002"})
		})
	}
}

// An order that costs nothing asks for nothing.
func TestNothingToPay(t *testing.T) {
	is := is.New(t)
	shown := texts(layIssue(t, issue(t, "free", order.ProForma), testSupplier()))
	is.True(!slices.Contains(shown, "How to pay"))
	is.True(!slices.Contains(shown, "Online"))
}

// The recipient is identified on every document.
func TestRecipient(t *testing.T) {
	for name, c := range map[string]struct {
		company, fullName, customer string
		want                        []string // the first lines
	}{
		"a company":            {"Karoo CC", "T. Example", "", []string{"Karoo CC", "T. Example", "12 Long Street"}},
		"a company alone":      {"Karoo CC", "", "", []string{"Karoo CC", "12 Long Street"}},
		"a person":             {"", "T. Example", "Somebody", []string{"T. Example", "12 Long Street"}},
		"a person twice":       {"T. Example", "T. Example", "", []string{"T. Example", "12 Long Street"}},
		"the customer":         {"", "", "T. Example", []string{"T. Example", "12 Long Street"}},
		"nobody":               {"", "", "", []string{"thandi@example.co.za", "12 Long Street"}},
		"an unknown script":    {"", "山田", "", []string{"□□", "thandi@example.co.za", "12 Long Street"}},
		"a partly unknown one": {"Karoo 株式会社", "T. Example", "", []string{"Karoo □□□□", "T. Example", "thandi@example.co.za"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			i := issue(t, "three-lines", order.ProForma)
			i.Order.CustomerName = c.customer
			i.Order.BillingAddress.Company, i.Order.BillingAddress.FullName = c.company, c.fullName
			l := layIssue(t, i, testSupplier())
			shown := texts(l)
			at := slices.Index(shown, "Billed to")
			is.Equal(shown[at+1:at+1+len(c.want)], c.want)
			is.Equal(l.cur.texts[at+1].face, semibold) // who it is
			is.Equal(l.cur.texts[at+2].face, regular)
			count := 0
			for _, s := range shown {
				if s == "thandi@example.co.za" {
					count++
				}
			}
			is.Equal(count, 1) // the e-mail address
		})
	}
}

// texts returns the texts of a layout's first page.
func texts(l *layout) []string {
	var all []string
	for _, t := range l.pages[0].texts {
		all = append(all, t.s)
	}
	return all
}
