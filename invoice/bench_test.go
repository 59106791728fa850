package invoice

import (
	"bytes"
	"compress/zlib"
	"io"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	shipped "github.com/bbws/order-lambda/invoice/branding"
)

// BenchmarkRender renders a warm invoice; BenchmarkFloor only deflates the streams that the same invoice has, with one
// compressor of the same level. No PDF with these streams can be made faster.
func BenchmarkRender(b *testing.B) {
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
	brand := shippedBrand(b)
	for _, name := range []string{"three-lines", "two-hundred-lines"} {
		b.Run(name, func(b *testing.B) {
			pdf, _, err := Render(sampleOrder(b, name), brand)
			if err != nil {
				b.Fatal(err)
			}
			streams := inflated(b, pdf)
			size := 0
			for _, s := range streams {
				size += len(s)
			}
			var out bytes.Buffer
			zw := zlib.NewWriter(&out)
			used := cpu(b)
			for b.Loop() {
				for _, s := range streams {
					out.Reset()
					zw.Reset(&out)
					_, _ = zw.Write(s)
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

// inflated returns what the compressed streams of a PDF hold, images aside: they are stored as they come.
func inflated(tb testing.TB, pdf []byte) [][]byte {
	tb.Helper()
	head := regexp.MustCompile(`(?s)<<[^<>]*/Filter ?/FlateDecode[^<>]*>>\s*stream\n`)
	length := regexp.MustCompile(`/Length (\d+)`)
	var streams [][]byte
	for _, at := range head.FindAllIndex(pdf, -1) {
		if bytes.Contains(pdf[at[0]:at[1]], []byte("/Image")) {
			continue
		}
		n, err := strconv.Atoi(string(length.FindSubmatch(pdf[at[0]:at[1]])[1]))
		if err != nil {
			tb.Fatal(err)
		}
		zr, err := zlib.NewReader(bytes.NewReader(pdf[at[1]:][:n]))
		if err != nil {
			tb.Fatal(err)
		}
		s, err := io.ReadAll(zr)
		if err != nil {
			tb.Fatal(err)
		}
		streams = append(streams, s)
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
