package invoice

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/matryer/is"
	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"

	shipped "github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/order"
)

func mustRender(tb testing.TB, i sample.Issue, s order.Supplier, logo Logo) []byte {
	tb.Helper()
	pdf, _, err := Render(i.Order, i.Document, s, logo)
	if err != nil {
		tb.Fatal(err)
	}
	return pdf
}

// readShipped reads the branding that comes with the service.
var readShipped = sync.OnceValues(func() (order.Supplier, Logo) {
	read := func(name string) []byte {
		data, err := shipped.Files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		return data
	}
	s, err := order.ParseSupplier(read("company.json"))
	logo, logoErr := ParseLogo(read("logo.png"))
	if err = errors.Join(err, logoErr); err != nil {
		panic(err)
	}
	return s, logo
})

func save(tb testing.TB, pdf []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "document.pdf")
	if err := os.WriteFile(path, pdf, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// printed returns a document's text as it is printed, line by line.
func printed(tb testing.TB, pdf []byte) string {
	tb.Helper()
	return string(tool(tb, "poppler-utils", "pdftotext", "-layout", save(tb, pdf), "-"))
}

// words returns a text with single spaces.
func words(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\u00a0", " ")), " ")
}

func TestOtherProgramsFindNoFault(t *testing.T) {
	api.DisableConfigDir()
	supplier, logo := readShipped()
	everyIssue(t, func(t *testing.T, i sample.Issue) {
		is := is.New(t)
		pdf := mustRender(t, i, supplier, logo)
		tool(t, "qpdf", "qpdf", "--check", save(t, pdf))

		strict := model.NewDefaultConfiguration()
		strict.ValidationMode = model.ValidationStrict
		is.NoErr(api.Validate(bytes.NewReader(pdf), strict)) // pdfcpu, strict
	})
}

// An amount as pdftotext shows it: "R 1 234,50".
const amount = "(−?(?:R|USD) [0-9 ]+,[0-9]{2})"

var (
	rowPattern = regexp.MustCompile("(?m)^ *([0-9]+) .*? {2,}([0-9]{1,3}(?: [0-9]{3})?) +" +
		amount + " +(–|" + amount + ") +" + amount + "$")
	totalPattern = regexp.MustCompile("(?m)(Subtotal|Shipping|Total excluding VAT|VAT \\(15%\\)|Total including VAT) +" +
		amount + "$")
)

// minor reads a printed amount back.
func minor(s string) int64 {
	if s == "–" {
		return 0
	}
	digits := regexp.MustCompile("[^0-9−]").ReplaceAllString(s, "")
	n, err := strconv.ParseInt(strings.Replace(digits, "−", "-", 1), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// An accountant adds up what is printed.
func TestPrintedSumsAddUp(t *testing.T) {
	supplier, logo := readShipped()
	everyIssue(t, func(t *testing.T, i sample.Issue) {
		is := is.New(t)
		text := printed(t, mustRender(t, i, supplier, logo))
		sum := int64(0)
		rows := rowPattern.FindAllStringSubmatch(text, -1)
		is.Equal(len(rows), len(i.Order.Items)) // each line once
		for n, row := range rows {
			is.Equal(row[1], strconv.Itoa(n+1))
			quantity, err := strconv.ParseInt(strings.ReplaceAll(row[2], " ", ""), 10, 64)
			is.NoErr(err)
			is.Equal(quantity*minor(row[3])+minor(row[4]), minor(row[6])) // quantity × unit price, discount, amount
			sum += minor(row[6])
		}
		totals := map[string]int64{}
		for _, total := range totalPattern.FindAllStringSubmatch(text, -1) {
			totals[total[1]] = minor(total[2])
		}
		is.Equal(len(totals), 5)
		is.Equal(totals["Subtotal"], sum)
		excluding := totals["Total excluding VAT"]
		is.Equal(totals["Subtotal"]+totals["Shipping"], excluding)
		is.True(max(excluding*15-totals["VAT (15%)"]*100, totals["VAT (15%)"]*100-excluding*15) <= 50) // to the nearest cent
		is.Equal(excluding+totals["VAT (15%)"], totals["Total including VAT"])

		want := i.Order.Total.Minor()
		if i.Document.Kind == order.CreditNote {
			want = -want
		}
		is.Equal(totals["Total including VAT"], want)
	})
}

func TestEveryDescriptionIsPrinted(t *testing.T) {
	supplier, logo := readShipped()
	everyIssue(t, func(t *testing.T, i sample.Issue) {
		got := words(printed(t, mustRender(t, i, supplier, logo)))
		for _, item := range i.Order.Items {
			for word := range strings.FieldsSeq((&cleaner{fonts: testFonts(t)}).clean(item.ProductName)) {
				if utf8.RuneCountInString(word) < 30 && !strings.Contains(got, words(word)) { // It is on one line.
					t.Errorf("%q of %q is not in the PDF", word, item.ProductName)
				}
			}
		}
	})
}

// The particulars of each kind, for a tax invoice those of the VAT Act, section
// 20(4), for a credit note those of section 21(3).
func TestParticulars(t *testing.T) {
	always := []string{
		"KimmyAI (Pty) Ltd", "1 Example Square, Rosebank", "Johannesburg, 2196", "South Africa", // (b) supplier
		"VAT number 4000000000", "Registration number 2025/000000/07", "+27 10 000 0000", "support@kimmyai.io",
		"Example Roasters (Pty) Ltd", "Thandi Example", "12 Long Street", "Western Cape 8001", // (c) recipient
		"VAT number 4123456789", "thandi@example.co.za",
		"ORD-2025-00010", "of 20 December 2025", // the order
		"Single origin beans, Yirgacheffe, 1 kg", // (e) description
		"Unit price", "excl. VAT", "Page 1 of 1",
	}
	for kind, c := range map[order.DocumentKind]struct{ want, not []string }{
		order.ProForma: {
			[]string{
				"Pro-forma Invoice", "This is not a tax invoice", "Date of issue", "20 December 2025", "Amount due",
				"Payment Pending",
				"Method Payfast", "EFT: Example Bank, branch 000000", "Account 0000000000", "Online kimmyai.io",
				"Please quote ORD-2025-00010",
			},
			[]string{"Tax Invoice", "Credit Note", "Reference", "Paid"},
		},
		order.TaxInvoice: {
			[]string{
				"Tax Invoice",                        // (a) the words
				"INV-2025-00001", "21 December 2025", // (d) serial and date of issue
				"3 R 389,50 −R 116,85 R 1 051,65", // (f) quantity
				"Total excluding VAT R 1 979,45",  // (g) the value,
				"VAT (15%) R 296,92",              // the tax
				"Total including VAT R 2 276,37",  // and the consideration
				"Payment Paid", "Method Credit card", "Paid on 21 December 2025",
				"Reference TXN-20251230-004711", "Payfast ID 1089250",
			},
			[]string{"Pro-forma", "not a tax invoice", "Credit Note", "Amount due", "Pending", "Example Bank"},
		},
		order.CreditNote: {
			[]string{
				"Credit Note",                       // (i) the words
				"CN-2025-00001", "22 December 2025", // (iv) date
				"3 −R 389,50 R 116,85 −R 1 051,65",                   //
				"Total excluding VAT −R 1 979,45",                    // (v) by how much the value
				"VAT (15%) −R 296,92",                                // and the tax are less
				"Total including VAT −R 2 276,37",                    //
				"Reason The coffee set arrived broken",               // (vi) why
				"for tax invoice INV-2025-00001 of 21 December 2025", // (vii) which supply
				"Payment Refunded",
			},
			[]string{"Pro-forma", "Tax Invoice", "Amount due", "Payment Paid", "Example Bank"},
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			supplier, logo := readShipped()
			text := printed(t, mustRender(t, issue(t, "refunded", kind), supplier, logo))
			got := words(text)
			for _, w := range slices.Concat(always, c.want) {
				if !strings.Contains(got, w) {
					t.Errorf("%q is not in the document:\n%s", w, text)
				}
			}
			for _, w := range c.not {
				if strings.Contains(got, w) {
					t.Errorf("%q is in the document:\n%s", w, text)
				}
			}
		})
	}
}

func TestTitle(t *testing.T) {
	for name, c := range map[string]struct {
		sample string
		change func(*order.Supplier)
		want   string
		tax    string
	}{
		"a vendor":                    {"paid", func(*order.Supplier) {}, "Tax Invoice", "VAT"},
		"no VAT number":               {"paid", func(s *order.Supplier) { s.VATNumber = "" }, "Invoice", "Tax"},
		"a VAT number without a sign": {"paid", func(s *order.Supplier) { s.VATNumber = " \u200b " }, "Invoice", "Tax"},
		"a foreign currency":          {"dollars", func(*order.Supplier) {}, "Invoice", "VAT"},
		"a vendor elsewhere":          {"dollars", func(s *order.Supplier) { s.Country = "NA" }, "Tax Invoice", "VAT"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			s := testSupplier()
			c.change(&s)
			i := issue(t, c.sample, order.TaxInvoice)
			_, report, err := Render(i.Order, i.Document, s, Logo{})
			is.NoErr(err)
			is.Equal(report.Title, c.want+" INV-2025-00001")
			shown := texts(layIssue(t, i, s))
			is.True(slices.Contains(shown, c.want))
			is.True(slices.Contains(shown, c.tax+" (15%)"))
		})
	}
}

// A credit note says for what: in the words of the document that it corrects,
// and with a reason even where nobody gave one.
func TestCreditNoteWithoutReason(t *testing.T) {
	is := is.New(t)
	i := issue(t, "refunded", order.CreditNote)
	i.Order.History = slices.Clone(i.Order.History)
	i.Order.History[len(i.Order.History)-1].Reason = ""
	shown := texts(layIssue(t, i, order.PlainSupplier()))
	// Without a VAT number it was no tax invoice.
	is.True(slices.Contains(shown, "for invoice INV-2025-00001 of 21 December 2025"))
	is.True(slices.Contains(shown, "The order was refunded in full."))
}

// A day is that of South Africa, whatever it is in UTC.
func TestNewYear(t *testing.T) {
	is := is.New(t)
	i := issue(t, "paid", order.TaxInvoice)
	var err error
	i.Document.DateIssued, err = order.ParseTimestamp("2025-12-31T22:30:00Z")
	is.NoErr(err)
	i.Order.DateCreated, err = order.ParseTimestamp("2025-12-30T22:30:00Z")
	is.NoErr(err)
	shown := texts(layIssue(t, i, testSupplier()))
	is.True(slices.Contains(shown, "1 January 2026"))
	is.True(slices.Contains(shown, "of 31 December 2025"))
}

func TestDocumentSaysWhatItIs(t *testing.T) {
	is := is.New(t)
	s := testSupplier()
	s.Name = `R & B <"co"> Łódź`
	pdf := mustRender(t, issue(t, "paid", order.TaxInvoice), s, Logo{})
	path := save(t, pdf)
	info := words(string(tool(t, "poppler-utils", "pdfinfo", "-isodates", path)))
	is.True(strings.Contains(info, "Title: Tax Invoice INV-2025-00001"))
	is.True(strings.Contains(info, `Author: R & B <"co"> Łódź`))
	is.True(strings.Contains(info, "CreationDate: 2025-12-20T10:30:00Z")) // when it was issued
	is.True(strings.Contains(info, "Page size: 595 x 842 pts (A4)"))
	is.True(bytes.Contains(pdf, []byte("/URI (mailto:hello@example.co.za)")))
	is.True(bytes.Contains(pdf, []byte("/URI (https://example.co.za/shop/)")))
	fonts := string(tool(t, "poppler-utils", "pdffonts", path))
	is.Equal(strings.Count(fonts, "yes yes yes"), 2) // Two fonts, each embedded, a subset, and with a map to Unicode.
}

func TestEveryPageSaysWhichItIs(t *testing.T) {
	is := is.New(t)
	supplier, logo := readShipped()
	i := issue(t, "two-hundred-lines", order.TaxInvoice)
	pdf, report, err := Render(i.Order, i.Document, supplier, logo)
	is.NoErr(err)
	is.True(report.Pages > 1)
	pages := strings.Split(strings.TrimSuffix(printed(t, pdf), "\f"), "\f")
	is.Equal(len(pages), report.Pages)
	for n, text := range pages {
		is.True(strings.Contains(text, fmt.Sprintf("Page %d of %d", n+1, report.Pages)))
		is.True(strings.Contains(text, "Description")) // the head of the table
		is.True(n == 0 || strings.Contains(text, "Tax Invoice INV-2025-00001"))
	}
}

// TestSameDocumentSameBytes draws in many goroutines, and in other processes:
// the order of maps is another in each.
func TestSameDocumentSameBytes(t *testing.T) {
	is := is.New(t)
	supplier, logo := readShipped()
	i := issue(t, "many-scripts", order.CreditNote)
	first := mustRender(t, i, supplier, logo)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 5 {
				if pdf, _, err := Render(i.Order, i.Document, supplier, logo); err != nil || !bytes.Equal(pdf, first) {
					t.Errorf("another PDF, or %v", err)
				}
			}
		})
	}
	wg.Wait()
	sum := sha256.Sum256(mustRender(t, issue(t, "many-scripts", order.ProForma), supplier, logo))
	for range 3 {
		is.Equal(renderElsewhere(t, "many-scripts").sum, hex.EncodeToString(sum[:])) // another process
	}
}

type elsewhere struct {
	sum  string
	took time.Duration // the first document, from the order to the bytes
}

// renderElsewhere draws the pro forma of a sample in a process of its own.
func renderElsewhere(tb testing.TB, name string) elsewhere {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^TestRenderOnce$")
	cmd.Env = append(os.Environ(), "RENDER_ONCE="+name,
		fmt.Sprintf("GOGC=%d", gcPercent), // as it is in production
		"GORACE=atexit_sleep_ms=0")        // The race detector would wait a second before each process ends.
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	var e elsewhere
	if _, err := fmt.Sscanf(string(out), "%s %d\n", &e.sum, &e.took); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return e
}

// TestRenderOnce is the other process of renderElsewhere. By itself it draws
// the smallest order.
func TestRenderOnce(t *testing.T) {
	name, called := os.LookupEnv("RENDER_ONCE")
	if !called {
		name = "one-line"
	}
	supplier, logo := readShipped()
	i := issue(t, name, order.ProForma)
	start := time.Now()
	pdf := mustRender(t, i, supplier, logo)
	took := time.Since(start)
	if called {
		fmt.Printf("%x %d\n", sha256.Sum256(pdf), took)
	}
}

func TestSmallEnough(t *testing.T) {
	const most = 30_000
	supplier, logo := readShipped()
	if n := len(mustRender(t, issue(t, "three-lines", order.ProForma), supplier, logo)); n >= most {
		t.Errorf("three lines take %d bytes, not less than %d", n, most)
	}
}

func TestTooManyLinesAreRefusedForGood(t *testing.T) {
	is := is.New(t)
	i := issue(t, "two-hundred-lines", order.ProForma)
	i.Order.Items = append(slices.Clip(i.Order.Items), i.Order.Items[0])
	_, _, err := Render(i.Order, i.Document, order.PlainSupplier(), Logo{})
	var permanent *order.PermanentError
	is.True(errors.As(err, &permanent))
}

// TestPages compares the first page of each kind of document with a picture.
func TestPages(t *testing.T) {
	const dpi = 80
	supplier, logo := readShipped()
	for _, kind := range order.DocumentKinds() {
		t.Run(string(kind), func(t *testing.T) {
			is := is.New(t)
			i := issue(t, "refunded", kind)
			pdf, report, err := Render(i.Order, i.Document, supplier, logo)
			is.NoErr(err)
			got := rasterize(t, pdf, dpi, report.Pages)[0]
			golden := filepath.Join("testdata", "page", string(kind)+".png")
			if *update {
				is.NoErr(os.MkdirAll(filepath.Dir(golden), 0o755))
				tool(t, "poppler-utils", "pdftoppm", "-png", "-singlefile", "-r", fmt.Sprint(dpi),
					save(t, pdf), strings.TrimSuffix(golden, ".png"))
			}
			file, err := os.ReadFile(golden)
			is.NoErr(err)
			decoded, err := png.Decode(bytes.NewReader(file))
			is.NoErr(err)
			is.Equal(decoded.Bounds(), got.Bounds())
			want := image.NewGray(decoded.Bounds())
			draw.Draw(want, want.Rect, decoded, image.Point{}, draw.Src)
			// Another release of the renderer may smooth edges otherwise. If the
			// page is meant to look otherwise, run the test with -update.
			is.True(differing(want, got) < len(got.Pix)/500)
		})
	}
}

// differing returns how many pixels of two pictures differ by more than a
// person overlooks.
func differing(a, b *image.Gray) int {
	n := 0
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			if d := int(a.GrayAt(x, y).Y) - int(b.GrayAt(x, y).Y); d > 48 || d < -48 {
				n++
			}
		}
	}
	return n
}
