package invoice

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"

	shipped "github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/order"
)

var update = flag.Bool("update", false, "write the golden files")

func testFonts(tb testing.TB) *fonts {
	tb.Helper()
	fs, err := loadFonts()
	if err != nil {
		tb.Fatal(err)
	}
	return fs
}

// testSupplier is a supplier with everything.
func testSupplier() order.Supplier {
	return order.Supplier{
		Name:               "Example Roasters (Pty) Ltd",
		AddressLines:       []string{"12 Long Street", "Cape Town", "8001"},
		VATNumber:          "4000000000",
		RegistrationNumber: "2025/000000/07",
		Country:            "ZA",
		Phone:              "+27 10 000 0000",
		Email:              "hello@example.co.za",
		Website:            "https://example.co.za/shop/",
		AccentColour:       "#7A1F2B",
		Footer:             "Thank you.",
		PaymentLines:       []string{"Example Bank 000000", "Account 1"},
	}
}

// issue returns a document of a sample.
func issue(tb testing.TB, name string, k order.DocumentKind) sample.Issue {
	tb.Helper()
	for _, s := range sample.Orders() {
		for _, i := range s.Issues() {
			if s.Name == name && i.Document.Kind == k {
				return i
			}
		}
	}
	tb.Fatalf("no %s of a sample %s", k, name)
	return sample.Issue{}
}

// everyIssue runs a test for every document of every sample.
func everyIssue(t *testing.T, f func(t *testing.T, i sample.Issue)) {
	t.Helper()
	for _, s := range sample.Orders() {
		for _, i := range s.Issues() {
			t.Run(s.Name+"/"+string(i.Document.Kind), func(t *testing.T) { f(t, i) })
		}
	}
}

func layIssue(tb testing.TB, i sample.Issue, s order.Supplier) *layout {
	tb.Helper()
	return lay(testFonts(tb), i.Order, i.Document, s, Logo{})
}

// dump writes the page as text, one element a line.
func (p page) dump(b *strings.Builder) {
	for _, f := range p.fills {
		fmt.Fprintf(b, "fill  %s radius %.4g %s\n", f.box, f.radius, f.colour)
	}
	for _, t := range p.texts {
		fmt.Fprintf(b, "text  %7.2f %7.2f %7.2f  %-8s %4.4g %s %q\n",
			t.x, t.y, t.w, [faces]string{"regular", "semibold"}[t.face], t.size, t.colour, t.s)
	}
	for _, l := range p.links {
		fmt.Fprintf(b, "link  %s %s\n", l.box, l.address)
	}
}

func TestLayoutGolden(t *testing.T) {
	for _, i := range []sample.Issue{
		issue(t, "refunded", order.ProForma), issue(t, "refunded", order.TaxInvoice), issue(t, "refunded", order.CreditNote),
	} {
		t.Run(string(i.Document.Kind), func(t *testing.T) {
			is := is.New(t)
			var b strings.Builder
			for n, p := range layIssue(t, i, testSupplier()).pages {
				fmt.Fprintf(&b, "page %d\n", n+1)
				p.dump(&b)
			}
			golden := filepath.Join("testdata", "layout", string(i.Document.Kind)+".txt")
			if *update {
				is.NoErr(os.MkdirAll(filepath.Dir(golden), 0o755))
				is.NoErr(os.WriteFile(golden, []byte(b.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			is.NoErr(err)
			is.Equal(b.String(), string(want)) // The layout changed; if that is meant, run the test with -update.
		})
	}
}

// bounds returns the rectangle that the glyphs of the text may fill, without
// the room that a font keeps above capitals with two accents.
func (t text) bounds() box { return box{t.x, t.y - 0.8*t.size, t.w, t.size} }

// faults returns what is wrong with laid out pages whatever the order is: text
// outside the margins or over other text, a page of the table without its head,
// a total without a line of the order.
func faults(pages []page, o *order.Order) []string {
	const slack = 0.01
	var all []string
	complain := func(n int, format string, args ...any) {
		all = append(all, fmt.Sprintf("page %d: ", n+1)+fmt.Sprintf(format, args...))
	}
	lines := 0
	for n, p := range pages {
		heads, rows, totals := 0, 0, 0
		for i, t := range p.texts {
			b := t.bounds()
			if b.x < left-slack || b.x+b.w > right+slack || b.y < 0 || b.y+b.h > pageEnd {
				complain(n, "%q lies outside the margins: %s", t.s, b)
			}
			for _, other := range p.texts[:i] {
				c := other.bounds()
				if b.x < c.x+c.w-slack && c.x < b.x+b.w-slack && b.y < c.y+c.h-slack && c.y < b.y+b.h-slack {
					complain(n, "%q lies over %q", t.s, other.s)
				}
			}
			switch {
			case t.s == "Description" && t.size == headSize && t.face == semibold:
				heads++
			case t.x == left && t.size == caption.size && t.face == regular && t.y < contentEnd && t.s == fmt.Sprint(lines+1):
				rows++
				lines++
			case strings.HasPrefix(t.s, "Total including ") && t.face == semibold:
				totals++
			}
		}
		if (rows > 0 || heads > 0) && heads != min(rows, 1) && len(o.Items) > 0 {
			complain(n, "%d lines under %d heads", rows, heads)
		}
		if totals > 0 && rows == 0 && len(o.Items) > 0 {
			complain(n, "the total is alone")
		}
		if totals != 0 && n != len(pages)-1 || totals != 1 && n == len(pages)-1 {
			complain(n, "%d totals on page %d of %d", totals, n+1, len(pages))
		}
		for _, f := range p.fills {
			if f.x < 0 || f.y < 0 || f.x+f.w > pageWidth || f.y+f.h > pageEnd {
				complain(n, "fill %s lies outside the page", f.box)
			}
		}
	}
	if lines != len(o.Items) {
		all = append(all, fmt.Sprintf("%d lines of %d are there", lines, len(o.Items)))
	}
	return all
}

func TestLayoutHolds(t *testing.T) {
	everyIssue(t, func(t *testing.T, i sample.Issue) {
		for _, s := range []order.Supplier{testSupplier(), order.PlainSupplier()} {
			for _, f := range faults(layIssue(t, i, s).pages, &i.Order) {
				t.Errorf("%s: %s", s.Name, f)
			}
		}
	})
}

// TestEveryLengthEndsWell tries orders of every number of lines around the end
// of a page.
func TestEveryLengthEndsWell(t *testing.T) {
	i := issue(t, "two-hundred-lines", order.ProForma)
	items := i.Order.Items
	for n := range 80 {
		i.Order.Items = items[:n]
		for _, f := range faults(layIssue(t, i, testSupplier()).pages, &i.Order) {
			t.Errorf("%d lines: %s", n, f)
		}
	}
}

// TestTableIsNotTornFromItsHead lets the only line of an order grow until the
// first page has no room for it: then the head goes to the second page with it,
// and no sooner.
func TestTableIsNotTornFromItsHead(t *testing.T) {
	is := is.New(t)
	long := strings.Repeat("long ", order.MaxText/5)
	s := testSupplier()
	s.PaymentLines = slices.Repeat([]string{long}, order.MaxPaymentLines)
	i := issue(t, "one-line", order.ProForma)
	i.Order.PaymentMethod, i.Order.BillingAddress.Street = long, long
	var first float64 // the baseline of the head on the first page
	for n := range order.MaxText {
		i.Order.Items[0].ProductName = strings.Repeat("W", n+1)
		pages := layIssue(t, i, s).pages
		is.Equal(faults(pages, &i.Order), nil)
		head, lowest := tableOf(pages[len(pages)-1])
		if len(pages) == 1 {
			first = head
			continue
		}
		is.True(first > 0)                                     // it was on the first page before
		is.True(first+lowest-head > contentEnd-rowLine-rowPad) // and has no room there now
		return
	}
	t.Fatal("it never leaves the first page")
}

// tableOf returns the baselines of the table's head and of the lowest text that
// goes with the table.
func tableOf(p page) (head, lowest float64) {
	for _, t := range p.texts {
		if t.s == "Description" && t.size == headSize {
			head = t.y
		}
		if t.y <= contentEnd {
			lowest = max(lowest, t.y)
		}
	}
	return head, lowest
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{1: "1", 100: "100", 1000: "1\u00a0000", 9999: "9\u00a0999", 100000: "100\u00a0000"} {
		is := is.New(t)
		is.Equal(grouped(n), want)
	}
}

// TestWidestOrderIsBounded lays out the widest text that every field can hold.
func TestWidestOrderIsBounded(t *testing.T) {
	fs := testFonts(t)
	widest := ' '
	for r := range fs.advances[regular] {
		if fs.advance(rune(r), regular) > fs.advance(widest, regular) {
			widest = rune(r)
		}
	}
	text := strings.Repeat(string(widest), order.MaxText)
	most, err := order.NewMoney(order.MaxMinor, "USD")
	if err != nil {
		t.Fatal(err)
	}
	supplier := order.Supplier{
		Name: text, AddressLines: slices.Repeat([]string{text}, order.MaxAddressLines),
		VATNumber: text, RegistrationNumber: text, Phone: text, Email: text, Footer: text,
		Website:      "https://" + strings.Repeat("w", order.MaxText) + ".example",
		PaymentLines: slices.Repeat([]string{text}, order.MaxPaymentLines),
	}
	for _, kind := range order.DocumentKinds() {
		i := sample.Issue{Order: widestOrder(t, text, most), Document: order.Document{Kind: kind, Number: text}}
		pages := layIssue(t, i, supplier).pages
		for _, f := range faults(pages, &i.Order) {
			t.Errorf("%s: %s", kind, f)
		}
		if len(pages) > 100 {
			t.Errorf("%s: %d pages", kind, len(pages))
		}
	}
}

func widestOrder(t *testing.T, text string, most order.Money) order.Order {
	t.Helper()
	o := issue(t, "two-hundred-lines", order.TaxInvoice).Order
	for i := range o.Items {
		o.Items[i] = order.Item{
			ProductName: text, Quantity: order.MaxQuantity, UnitPrice: most, Discount: most, Subtotal: most,
		}
	}
	o.Subtotal, o.Shipping, o.Tax, o.Total = most, most, most, most
	o.Number, o.CustomerEmail = text, text
	o.BillingAddress = order.BillingAddress{
		FullName: text, Company: text, VATNumber: text,
		Street: text, City: text, Province: text, PostalCode: text, Country: text,
	}
	o.PaymentDetails = &order.PaymentDetails{
		Method: text, TransactionID: text, PayfastPaymentID: text, PaidAt: o.DateCreated,
	}
	o.Campaign = &order.Campaign{Code: text, Description: text}
	o.History = []order.Entry{{Reason: text}}
	o.Documents = []order.Document{{Kind: order.TaxInvoice, Number: text}}
	return o
}

// FuzzLayout lays out documents of any texts and amounts: nothing may panic,
// leave the margins or overlap.
func FuzzLayout(f *testing.F) {
	f.Add("Tom & <b>Jerry</b>", "Nguyễn Thị Ánh", "12 Long Street", "日本語",
		uint16(3), int64(12_345), int64(99), "ZAR", "paid", "#FFFF00")
	for _, s := range sample.Orders() {
		o := s.Order
		f.Add(o.Items[0].ProductName, o.CustomerName, o.BillingAddress.Street, o.BillingAddress.City, uint16(len(o.Items)),
			o.Items[0].UnitPrice.Minor(), o.Items[0].Discount.Minor(), string(o.Currency), string(o.Status), "#1F4E79")
	}
	f.Add(strings.Repeat("W", 300), "\u202eevil\u0000\xff", "e\u0301\u0323\u0301", "a-b/c d",
		uint16(200), int64(order.MaxMinor), int64(1), "KWD", "refunded", "")
	f.Add("", "", "", "", uint16(0), int64(0), int64(0), "JPY", "", "red")
	long := strings.Repeat("wide ", 60)
	f.Add(long, long, long, long, uint16(0), int64(0), int64(0), "ZAR", "paid", "")
	f.Fuzz(func(
		t *testing.T, product, name, street, other string,
		lines uint16, price, discount int64, currency, status, accent string,
	) {
		money := func(n int64) order.Money {
			m, err := order.NewMoney(n%(order.MaxMinor+1), order.Currency(currency))
			if err != nil {
				m, _ = order.NewMoney(n%(order.MaxMinor+1), "ZAR")
			}
			return m
		}
		o := order.Order{
			Number: other, CustomerEmail: name, CustomerName: name, Status: order.Status(status), PaymentMethod: other,
			Subtotal: money(price), Shipping: money(discount), Tax: money(price), Total: money(-price),
			BillingAddress: order.BillingAddress{
				Street: street, City: other, Company: product, Country: other, VATNumber: street,
			},
			PaymentDetails: &order.PaymentDetails{TransactionID: product, Method: name},
			Campaign:       &order.Campaign{Code: other, Description: product},
		}
		for i := range int(lines) % (order.MaxItems + 1) {
			n := []string{product, name, street, other}[i%4]
			o.Items = append(o.Items, order.Item{
				ProductName: n, Quantity: 1 + i*53%order.MaxQuantity,
				UnitPrice: money(price), Discount: money(discount), Subtotal: money(price / int64(i+1)),
			})
		}
		o.History = []order.Entry{{Reason: street}}
		o.Documents = []order.Document{{Kind: order.TaxInvoice, Number: other}}
		supplier := order.Supplier{
			Name: name, AddressLines: []string{street, other}, VATNumber: other, Email: name, Website: "https://" + street,
			Footer: product, AccentColour: accent, PaymentLines: []string{product, other},
		}
		for _, kind := range order.DocumentKinds() {
			i := sample.Issue{Order: o, Document: order.Document{Kind: kind, Number: name}}
			for _, fault := range faults(layIssue(t, i, supplier).pages, &o) {
				t.Error(fault)
			}
		}
	})
}

// FuzzSupplier draws with whatever supplier an operator may have written.
func FuzzSupplier(f *testing.F) {
	company, err := shipped.Files.ReadFile("company.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(company)
	f.Add([]byte(`{"name": "A", "addressLines": ["B"], "accentColour": "#102030", "website": "https://example.com"}`))
	f.Add([]byte(`{"name": "A", "website": "https://例え.example"}`))
	f.Add([]byte(`{"name": "\u202e", "addressLines": [null, "\ud800", ""], "accentColour": "#+10203"}`))
	i := issue(f, "one-line", order.ProForma)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := order.ParseSupplier(data)
		if err != nil {
			return
		}
		mustRender(t, i, s, Logo{})
		for _, fault := range faults(layIssue(t, i, s).pages, &i.Order) {
			t.Error(fault)
		}
	})
}

func TestFooterGoesDown(t *testing.T) {
	is := is.New(t)
	s := testSupplier()
	s.Footer = strings.Repeat("word ", 60)
	var lines []float64
	for _, line := range layIssue(t, issue(t, "three-lines", order.ProForma), s).pages[0].texts {
		if strings.HasPrefix(line.s, "word") {
			lines = append(lines, line.y)
		}
	}
	is.Equal(len(lines), 2)
	is.Equal(lines[1], lines[0]+10)
}

func TestWhatFitsKeepsItsSize(t *testing.T) {
	is := is.New(t)
	l := &layout{fonts: testFonts(t)}
	title := style{semibold, 20, ink}
	w := l.fonts.width("Karoo Traders", title.face, title.size)
	text, st := l.fit("Karoo Traders", title, w, 9)
	is.Equal(text, "Karoo Traders")
	is.Equal(st, title)
	_, st = l.fit("Karoo Traders", title, w/10, 9)
	is.Equal(st.size, 9.0) // and no smaller
}
