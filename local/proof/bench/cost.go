package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/bbws/order-lambda/local/proof/cost"
	"github.com/bbws/order-lambda/local/proof/world"
)

// latency is how long a call to AWS is taken to last, beside what the function
// itself does. S3's is documented ("Best practices design patterns: optimizing
// Amazon S3 performance": 100 to 200 ms), the others are assumptions.
func latency(c *world.Call) time.Duration {
	switch {
	case c.Service == "s3":
		return 100 * time.Millisecond
	case c.Service == "dynamodb" && c.Operation == "TransactWriteItems":
		return 12 * time.Millisecond
	case c.Service == "dynamodb":
		return 5 * time.Millisecond
	case c.Service == "sqs", c.Service == "sns":
		return 20 * time.Millisecond
	default: // SES and the Cart API
		return 50 * time.Millisecond
	}
}

// cost measures the invocations in the life of an order, warm, with TLS, with
// AWS at its distance, and prints what a million orders cost.
func (b *bench) cost(ctx context.Context) error {
	var took []time.Duration
	for _, s := range b.life {
		b.say("durations: %s %s", s.Role, s.Name)
		w, err := b.billed(ctx, s, b.config[s.Role].Memory)
		if err != nil {
			return err
		}
		took = append(took, median(w.took))
	}
	b.printf("\n### Dollars per million orders, eu-west-1, without free tiers\n\n" +
		"| service | an order takes | price of a million | price of | dollars |\n|---|---|---|---|---|\n")
	sum := 0.0
	for _, u := range cost.Uses(b.steps(), took, b.config) {
		sum += u.Dollars()
		b.printf("| %s | %.4g × %s | %.4g | %s | %.2f |\n", u.Service, u.Amount, u.Unit, u.Price,
			cmp.Or(u.Published, "unconfirmed"), u.Dollars())
	}
	b.printf("| *sum* | | | | %.2f |\n", sum)
	b.printf("\nNot counted: storage and its backups, polls of empty queues, alarms and metrics, the access log, " +
		"filters of SNS, data transfer.\n")
	return b.memory(ctx)
}

// billed measures warm invocations of a scene as Lambda bills them.
func (b *bench) billed(ctx context.Context, s cost.Scene, memory int) (*warmed, error) {
	part, err := newShare(float64(memory) / float64(b.vcpu))
	if err != nil {
		return nil, fmt.Errorf("hold a process to its share of a processor: %w", err)
	}
	defer part.remove()
	service, err := b.serve(s, memory, true)
	if err != nil {
		return nil, err
	}
	defer service.stop()
	service.Latency = latency
	w := &warmed{}
	return w, w.measure(ctx, b.binary, service, s.Event, b.rounds, part)
}

// memory prints what an invocation of the roles with the most work costs with
// other memory than they have.
func (b *bench) memory(ctx context.Context) error {
	b.printf("\n### Memory: time of a warm invocation, and dollars of Lambda for a million\n\n" +
		"| role | 128 MB | 256 MB | 512 MB | 1 024 MB | 1 769 MB | peak memory |\n|---|---|---|---|---|---|---|\n")
	for _, role := range []string{"order_internal_notifier", "customer_order_confirmation", "order_pdf_creator"} {
		b.say("memory: %s", role)
		b.printf("| %s |", role)
		most := 0
		for _, memory := range []int{128, 256, 512, 1024, 1769} {
			w, err := b.billed(ctx, b.first(role), memory)
			if err != nil {
				return err
			}
			took := median(w.took)
			most = max(most, median(w.peak))
			b.printf(" %s, $ %.2f |", milliseconds(took), cost.Compute(took, memory))
		}
		b.printf(" %.1f MB |\n", float64(most)/1e6)
	}
	return nil
}
