package invoice

import (
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bbws/order-lambda/order"
)

// gcPercent is what main.tuneGC sets where the service runs. Garbage is a good
// part of what a document costs.
const gcPercent = 400

// collectAsInProduction has a benchmark collect garbage as often as the service
// does.
func collectAsInProduction(b *testing.B) {
	b.Helper()
	usual := debug.SetGCPercent(gcPercent)
	b.Cleanup(func() { debug.SetGCPercent(usual) })
}

// BenchmarkRender draws a warm document.
func BenchmarkRender(b *testing.B) {
	collectAsInProduction(b)
	supplier, logo := readShipped()
	for _, name := range []string{"three-lines", "two-hundred-lines"} {
		b.Run(name, func(b *testing.B) {
			i := issue(b, name, order.ProForma)
			b.ReportAllocs()
			size, used := 0, cpu(b)
			for b.Loop() {
				pdf, _, err := Render(i.Order, i.Document, supplier, logo)
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

// cpu returns the processor time that the process has used: the measure that
// another process on the machine disturbs least.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFirst measures the first document of a fresh process, fonts and all,
// in a process of its own each time. What comes before it in the process (the
// runtime, package initialisation, reading the logo) is not in the figures.
func BenchmarkFirst(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		took = append(took, renderElsewhere(b, "three-lines").took)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "first-median-ns")
	b.ReportMetric(float64(took[0]), "first-fastest-ns")
}
