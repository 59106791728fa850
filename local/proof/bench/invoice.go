package main

import (
	"context"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/brand"
	"github.com/bbws/order-lambda/local/sample"
)

const (
	// gcPercent is how often the service collects garbage: tuneGC in main.go.
	gcPercent = 400
	// repeats is how often something short is done for one measurement.
	repeats = 10
)

// invoices measures what it takes to make an invoice.
func (b *bench) invoices(context.Context) error {
	b.say("invoices")
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	shipped, logo, err := brand.Shipped()
	if err != nil {
		return err
	}
	b.printf("\n### Invoice\n\n| lines | CPU | allocated | size |\n|---|---|---|---|\n")
	for _, s := range sample.Orders() {
		if s.Name != "three-lines" && s.Name != "two-hundred-lines" {
			continue
		}
		d := s.Issues()[0] // the pro forma
		pdf, _, err := invoice.Render(d.Order, d.Document, shipped, logo)
		if err != nil {
			return err
		}
		render := func() { _, _, _ = invoice.Render(d.Order, d.Document, shipped, logo) } // as before
		var took []time.Duration
		for range b.rounds {
			took = append(took, processorTime(render))
		}
		allocated := testing.Benchmark(func(t *testing.B) {
			for t.Loop() {
				render()
			}
		})
		b.printf("| %d | %s | %d KB in %d | %d KB |\n", len(s.Order.Items), milliseconds(median(took)),
			allocated.AllocedBytesPerOp()>>10, allocated.AllocsPerOp(), len(pdf)>>10)
	}
	return nil
}

// processorTime returns the processor time that the process uses, all threads together, while f is done once. Of all measures it
// is the one that what else runs on the machine disturbs least.
func processorTime(f func()) time.Duration {
	begin := used()
	for range repeats {
		f()
	}
	return (used() - begin) / repeats
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // It fails for a bad address only.
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
