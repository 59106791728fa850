package invoice

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/matryer/is"
	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"

	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/order"
)

func mustRender(tb testing.TB, o order.Order, b Brand) []byte {
	tb.Helper()
	pdf, _, err := Render(o, b)
	if err != nil {
		tb.Fatal(err)
	}
	return pdf
}

func save(tb testing.TB, pdf []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "invoice.pdf")
	if err := os.WriteFile(path, pdf, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestOtherProgramsFindNoFault(t *testing.T) {
	api.DisableConfigDir()
	for _, s := range sample.Orders() {
		t.Run(s.Name, func(t *testing.T) {
			is := is.New(t)
			pdf := mustRender(t, s.Order, shippedBrand(t))
			tool(t, "qpdf", "qpdf", "--check", save(t, pdf))

			strict := model.NewDefaultConfiguration()
			strict.ValidationMode = model.ValidationStrict
			is.NoErr(api.Validate(bytes.NewReader(pdf), strict)) // pdfcpu, strict
		})
	}
}

// words returns a text as pdftotext shows it, whatever its spaces are.
func words(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\u00a0", " ")), " ")
}

func TestEveryFigureCanBeReadBack(t *testing.T) {
	for _, s := range sample.Orders() {
		t.Run(s.Name, func(t *testing.T) {
			o := s.Order
			pdf := mustRender(t, o, shippedBrand(t))
			got := words(string(tool(t, "poppler-utils", "pdftotext", "-layout", save(t, pdf), "-")))
			want := []string{
				"Tax Invoice", o.Number, o.DateCreated.Display(), o.CustomerEmail, "VAT number 4000000000",
				"Subtotal " + o.Subtotal.Display(), "Shipping " + o.Shipping.Display(), "VAT (15%) " + o.Tax.Display(), "Total " + o.Total.Display(),
			}
			for i, item := range o.Items {
				line := fmt.Sprintf("%s %s ", grouped(item.Quantity), item.UnitPrice.Display())
				if item.Discount.IsZero() {
					line += "– "
				} else {
					line += "−" + item.Discount.Display() + " "
				}
				want = append(want, line+item.Subtotal.Display())
				want = append(want, strconv.Itoa(i+1))
				for word := range strings.FieldsSeq((&cleaner{fonts: testFonts(t)}).clean(item.ProductName)) {
					if utf8.RuneCountInString(word) < 30 { // It is on one line.
						want = append(want, word)
					}
				}
			}
			if p := o.PaymentDetails; p != nil {
				want = append(want, "Paid on "+p.PaidAt.Display(), "Reference "+p.TransactionID, "Method Credit card")
			}
			if c := o.Campaign; c != nil {
				want = append(want, c.Code+" (−10%)")
			}
			for _, w := range want {
				if !strings.Contains(got, words(w)) {
					t.Errorf("%q is not in the PDF", words(w))
				}
			}
		})
	}
}

func TestDocumentSaysWhatItIs(t *testing.T) {
	is := is.New(t)
	o := sampleOrder(t, "three-lines")
	brand := testBrand()
	brand.Name = `R & B <"co"> (Pty)`
	pdf := mustRender(t, o, brand)
	path := save(t, pdf)
	info := words(string(tool(t, "poppler-utils", "pdfinfo", "-isodates", path)))
	is.True(strings.Contains(info, "Title: Tax Invoice "+o.Number)) // the title
	is.True(strings.Contains(info, `Author: R & B <"co"> (Pty)`))   // who sends it
	is.True(strings.Contains(info, "CreationDate: 2025-12-12T10:30:00Z"))
	is.True(strings.Contains(info, "Page size: 595 x 842 pts (A4)"))
	is.True(bytes.Contains(pdf, []byte("/URI (mailto:hello@example.co.za)")))
	is.True(bytes.Contains(pdf, []byte("/URI (https://example.co.za/shop/)")))
	fonts := string(tool(t, "poppler-utils", "pdffonts", path))
	is.Equal(strings.Count(fonts, "yes yes yes"), 2) // Two fonts, each embedded, a subset, and with a map to Unicode.
}

func TestEveryPageHasItsOwnContent(t *testing.T) {
	is := is.New(t)
	pdf, report, err := Render(sampleOrder(t, "two-hundred-lines"), shippedBrand(t))
	is.NoErr(err)
	is.True(report.Pages > 1)
	path := save(t, pdf)
	for n := 1; n <= report.Pages; n++ {
		page := strconv.Itoa(n)
		text := words(string(tool(t, "poppler-utils", "pdftotext", "-f", page, "-l", page, path, "-")))
		is.True(strings.Contains(text, fmt.Sprintf("Page %d of %d", n, report.Pages)))
	}
}

func TestTitle(t *testing.T) {
	for _, c := range []struct{ vat, want, not string }{
		{"4000000000", "Tax Invoice", ""},
		{"", "Invoice", "Tax Invoice"},
		{" \u200b ", "Invoice", "Tax Invoice"},
	} {
		t.Run(c.want, func(t *testing.T) {
			is := is.New(t)
			b := testBrand()
			b.VATNumber = c.vat
			text := words(string(tool(t, "poppler-utils", "pdftotext", save(t, mustRender(t, sampleOrder(t, "paid"), b)), "-")))
			is.True(strings.Contains(text, c.want))
			is.True(c.not == "" || !strings.Contains(text, c.not)) // Not a tax invoice without a supplier's VAT number.
		})
	}
}

// TestSameOrderSameBytes renders in many goroutines, and in other processes: the order of maps is another in each.
func TestSameOrderSameBytes(t *testing.T) {
	is := is.New(t)
	o, brand := sampleOrder(t, "one-line"), shippedBrand(t)
	first := mustRender(t, o, brand)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 10 {
				if pdf, _, err := Render(o, brand); err != nil || !bytes.Equal(pdf, first) {
					t.Errorf("another PDF, or %v", err)
				}
			}
		})
	}
	wg.Wait()
	sum := sha256.Sum256(mustRender(t, sampleOrder(t, "many-scripts"), brand))
	for range 3 {
		is.Equal(renderElsewhere(t, "many-scripts").sum, hex.EncodeToString(sum[:])) // another process
	}
}

type elsewhere struct {
	sum  string
	took time.Duration // the first invoice, from the order to the bytes
}

// renderElsewhere renders a sample in a process of its own.
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

// TestRenderOnce is the other process of renderElsewhere. By itself it renders the smallest order.
func TestRenderOnce(t *testing.T) {
	name, called := os.LookupEnv("RENDER_ONCE")
	if !called {
		name = "one-line"
	}
	o, brand := sampleOrder(t, name), shippedBrand(t)
	start := time.Now()
	pdf := mustRender(t, o, brand)
	took := time.Since(start)
	if called {
		fmt.Printf("%x %d\n", sha256.Sum256(pdf), took)
	}
}

func TestSmallEnough(t *testing.T) {
	const most = 30_000
	if n := len(mustRender(t, sampleOrder(t, "three-lines"), shippedBrand(t))); n >= most {
		t.Errorf("three lines take %d bytes, not less than %d", n, most)
	}
}

func TestTooManyLinesAreRefusedForGood(t *testing.T) {
	is := is.New(t)
	o := sampleOrder(t, "two-hundred-lines")
	o.Items = append(o.Items, o.Items[0])
	_, _, err := Render(o, TextBrand())
	var permanent *order.Permanent
	is.True(errors.As(err, &permanent))
}

// TestPages compares the first page of an invoice with the picture that the README shows.
func TestPages(t *testing.T) {
	const dpi = 80
	for name, brand := range map[string]Brand{"three-lines": shippedBrand(t), "two-hundred-lines": shippedBrand(t)} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			pdf, report, err := Render(sampleOrder(t, name), brand)
			is.NoErr(err)
			got := rasterize(t, pdf, dpi, report.Pages)[0]
			golden := filepath.Join("testdata", "page", name+".png")
			if *update {
				is.NoErr(os.MkdirAll(filepath.Dir(golden), 0o755))
				tool(t, "poppler-utils", "pdftoppm", "-png", "-singlefile", "-r", fmt.Sprint(dpi), save(t, pdf), strings.TrimSuffix(golden, ".png"))
			}
			file, err := os.ReadFile(golden)
			is.NoErr(err)
			decoded, err := png.Decode(bytes.NewReader(file))
			is.NoErr(err)
			is.Equal(decoded.Bounds(), got.Bounds())
			want := image.NewRGBA(decoded.Bounds())
			draw.Draw(want, want.Rect, decoded, image.Point{}, draw.Src)
			different := 0
			for y := range got.Rect.Dy() {
				for x := range got.Rect.Dx() {
					w, _ := color.GrayModel.Convert(want.RGBAAt(x, y)).(color.Gray)
					if d := int(w.Y) - int(got.GrayAt(x, y).Y); d > 48 || d < -48 {
						different++
					}
				}
			}
			// Another release of the renderer may smooth edges otherwise.
			is.True(different < got.Rect.Dx()*got.Rect.Dy()/500) // The page looks otherwise; if that is meant, run the test with -update.
		})
	}
}
