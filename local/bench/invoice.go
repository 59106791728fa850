package main

import (
	"context"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/bench/deflate"
	"github.com/bbws/order-lambda/local/brand"
	"github.com/bbws/order-lambda/local/sample"
)

const (
	// gcPercent is how often the service collects garbage: tuneGC in main.go.
	gcPercent = 400
	// repeats is how often something short is done for one measurement.
	repeats = 10
)

// invoices measures the making of invoices against deflating their streams, which every writer of these PDFs has to do, except for fonts
// that it has kept from the invoice before.
func (b *bench) invoices(context.Context) error {
	b.say("invoices")
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	shipped, err := brand.Shipped()
	if err != nil {
		return err
	}
	b.printf("\n### Invoice\n\n| lines | CPU of rendering | CPU of deflating the same streams | × | without fonts | × | allocated | size |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range sample.Orders() {
		if s.Name != "three-lines" && s.Name != "two-hundred-lines" {
			continue
		}
		pdf, _, err := invoice.Render(s.Order, shipped)
		if err != nil {
			return err
		}
		streams, err := deflate.New(pdf)
		if err != nil {
			return err
		}
		render := func() { _, _, _ = invoice.Render(s.Order, shipped) } // as before
		var own, floor, pages []time.Duration
		for range b.rounds {
			own, floor = append(own, processorTime(render)), append(floor, processorTime(streams.Run))
			pages = append(pages, processorTime(streams.WithoutFonts().Run))
		}
		allocated := testing.Benchmark(func(t *testing.B) {
			for t.Loop() {
				render()
			}
		})
		b.printf("| %d | %s | %s | %s | %s | %s | %d KB in %d | %d KB |\n", len(s.Order.Items), milliseconds(median(own)), milliseconds(median(floor)),
			ratio(median(own), median(floor)), milliseconds(median(pages)), ratio(median(own), median(pages)), allocated.AllocedBytesPerOp()>>10, allocated.AllocsPerOp(), len(pdf)>>10)
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
