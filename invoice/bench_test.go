package invoice

import (
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	shipped "github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/bench/deflate"
)

// gcPercent is what main.tuneGC sets where the service runs. Garbage is a good part of what an invoice costs.
const gcPercent = 400

// collectAsInProduction has a benchmark collect garbage as often as the service does.
func collectAsInProduction(b *testing.B) {
	b.Helper()
	usual := debug.SetGCPercent(gcPercent)
	b.Cleanup(func() { debug.SetGCPercent(usual) })
}

// BenchmarkRender renders a warm invoice; BenchmarkFloor only deflates the streams that the same invoice has, each at the
// level that it has there, with compressors that are kept.
//
// Fonts are made once for all invoices that have the same characters of them, so that an invoice can be faster than the floor;
// "new-fonts" is the one that has others than all before, and "pages" the floor without fonts.
func BenchmarkRender(b *testing.B) {
	collectAsInProduction(b)
	fs, brand := testFonts(b), shippedBrand(b)
	render := func(b *testing.B, name string, newFonts bool) {
		b.Helper()
		o := sampleOrder(b, name)
		b.ReportAllocs()
		size, used := 0, cpu(b)
		for b.Loop() {
			if newFonts {
				fs.embeddings.kept = nil
			}
			pdf, _, err := Render(o, brand)
			if err != nil {
				b.Fatal(err)
			}
			size = len(pdf)
		}
		b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(float64(size), "PDF-bytes")
	}
	for _, name := range []string{"three-lines", "two-hundred-lines"} {
		b.Run(name, func(b *testing.B) { render(b, name, false) })
		b.Run(name+"/new-fonts", func(b *testing.B) { render(b, name, true) })
	}
}

func BenchmarkFloor(b *testing.B) {
	collectAsInProduction(b)
	brand := shippedBrand(b)
	run := func(b *testing.B, floor *deflate.Floor) {
		b.Helper()
		used := cpu(b)
		for b.Loop() {
			floor.Run()
		}
		b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(float64(floor.Size()), "stream-bytes")
	}
	for _, name := range []string{"three-lines", "two-hundred-lines"} {
		floor, err := deflate.New(mustRender(b, sampleOrder(b, name), brand))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) { run(b, floor) })
		b.Run(name+"/pages", func(b *testing.B) { run(b, floor.WithoutFonts()) })
	}
}

// cpu returns the processor time that the process has used: the measure that another process on the machine disturbs least.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readShipped reads the branding that comes with the service.
var readShipped = sync.OnceValues(func() (Brand, error) {
	company, err := shipped.Files.ReadFile("company.json")
	if err != nil {
		return Brand{}, err
	}
	brand, err := ParseBrand(company)
	if err != nil {
		return Brand{}, err
	}
	logo, err := shipped.Files.ReadFile("logo.png")
	if err != nil {
		return Brand{}, err
	}
	brand.Logo, err = ParseLogo(logo)
	return brand, err
})

func shippedBrand(tb testing.TB) Brand {
	tb.Helper()
	brand, err := readShipped()
	if err != nil {
		tb.Fatal(err)
	}
	return brand
}

// BenchmarkFirst measures the first invoice of a fresh process, fonts and all, in a process of its own each time. What comes
// before it in the process (the runtime, package initialisation, reading the logo) is not in the figures.
func BenchmarkFirst(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		took = append(took, renderElsewhere(b, "three-lines").took)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "first-median-ns")
	b.ReportMetric(float64(took[0]), "first-fastest-ns")
}
