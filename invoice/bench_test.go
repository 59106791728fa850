package invoice

import (
	"bytes"
	"compress/zlib"
	"io"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	shipped "github.com/bbws/order-lambda/invoice/branding"
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
// level that it has there, with compressors that are kept. No PDF with these streams can be made faster.
func BenchmarkRender(b *testing.B) {
	collectAsInProduction(b)
	brand := shippedBrand(b)
	for _, name := range []string{"three-lines", "two-hundred-lines"} {
		b.Run(name, func(b *testing.B) {
			o := sampleOrder(b, name)
			b.ReportAllocs()
			size, used := 0, cpu(b)
			for b.Loop() {
				pdf, _, err := Render(o, brand)
				if err != nil {
					b.Fatal(err)
				}
				size = len(pdf)
			}
			b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(size), "PDF-bytes")
		})
	}
}

func BenchmarkFloor(b *testing.B) {
	collectAsInProduction(b)
	brand := shippedBrand(b)
	for _, name := range []string{"three-lines", "two-hundred-lines"} {
		b.Run(name, func(b *testing.B) {
			pdf, _, err := Render(sampleOrder(b, name), brand)
			if err != nil {
				b.Fatal(err)
			}
			streams := inflated(b, pdf)
			size := 0
			var out bytes.Buffer
			compressors := map[int]*zlib.Writer{}
			for _, s := range streams {
				size += len(s.data)
				if compressors[s.level], err = zlib.NewWriterLevel(&out, s.level); err != nil {
					b.Fatal(err)
				}
			}
			used := cpu(b)
			for b.Loop() {
				for _, s := range streams {
					out.Reset()
					zw := compressors[s.level]
					zw.Reset(&out)
					_, _ = zw.Write(s.data)
					_ = zw.Close()
				}
			}
			b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(size), "stream-bytes")
		})
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

// A stream is what a compressed stream of a PDF holds, and the level at which it was compressed.
type stream struct {
	data  []byte
	level int
}

// inflated returns the compressed streams of a PDF, images aside: they are stored as they come.
func inflated(tb testing.TB, pdf []byte) []stream {
	tb.Helper()
	head := regexp.MustCompile(`(?s)<<[^<>]*/Filter ?/FlateDecode[^<>]*>>\s*stream\n`)
	length := regexp.MustCompile(`/Length (\d+)`)
	var streams []stream
	for _, at := range head.FindAllIndex(pdf, -1) {
		if bytes.Contains(pdf[at[0]:at[1]], []byte("/Image")) {
			continue
		}
		n, err := strconv.Atoi(string(length.FindSubmatch(pdf[at[0]:at[1]])[1]))
		if err != nil {
			tb.Fatal(err)
		}
		deflated := pdf[at[1]:][:n]
		zr, err := zlib.NewReader(bytes.NewReader(deflated))
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(zr)
		if err != nil {
			tb.Fatal(err)
		}
		// The header has the level, roughly (RFC 1950, section 2.2): these are the two that occur, for what finish
		// compresses and for the fonts, which gopdf does.
		level := map[byte]int{0: zlib.BestSpeed, 2: zlib.DefaultCompression}[deflated[1]>>6]
		if level == zlib.NoCompression {
			tb.Fatalf("a stream has the header %X", deflated[:2])
		}
		streams = append(streams, stream{data, level})
	}
	return streams
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
