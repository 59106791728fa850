package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/local/proof/cost"
	"github.com/bbws/order-lambda/local/proof/world"
)

// A price is what AWS takes for a million units, in US dollars, in Ireland and
// without free tiers.
type price struct {
	service, unit string
	dollars       float64
	published     string // the day of AWS's price list, or "" if none confirms it
}

// prices returns the prices. Source: the public price lists of eu-west-1,
// https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/.
func prices() map[string]price {
	return map[string]price{
		"write":   {"DynamoDB, on demand", "write unit", 0.705, "2026-09-11"},
		"read":    {"DynamoDB, on demand", "read unit", 0.1415, "2026-09-11"},
		"gbs":     {"Lambda, arm64", "GB-second", 13.3334, "2026-10-01"},
		"request": {"Lambda, arm64", "request", 0.20, "2026-10-01"},
		"api":     {"API Gateway, REST", "request", 3.50, "2026-09-21"},
		"sqs":     {"SQS", "request", 0.40, "2026-09-11"},
		"sns":     {"SNS", "publish", 0.50, "2026-09-15"},
		"put":     {"S3", "PUT", 5.00, "2026-09-28"},
		"get":     {"S3", "GET", 0.40, "2026-09-28"},
		"log":     {"CloudWatch Logs", "MB", 570, "2026-09-22"},
		"mail":    {"SES", "mail", 100, ""},
		"waf":     {"WAF", "request", 0.60, ""},
	}
}

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

// platformLog is what Lambda itself logs about an invocation: START, END and
// REPORT, as they are in the text format.
const platformLog = 300

// A use is how much of something one order takes.
type use struct {
	price  price
	amount float64
}

// dollars returns what a million orders cost.
func (u use) dollars() float64 { return u.amount * u.price.dollars }

// uses adds up the life of one order, the dearest first. The functions took as
// long as took says; every invocation brings one message or record.
func uses(life []cost.Step, took []time.Duration, roles map[string]deploy.Role) []use {
	sum := map[string]float64{}
	for i, s := range life {
		role := roles[s.Role]
		sum["write"] += s.Write
		sum["read"] += s.Read
		sum["request"]++
		sum["gbs"] += gigabyteSeconds(took[i], role.Memory)
		sum["log"] += float64(s.Log+platformLog) / 1e6
		switch {
		case !role.IsConsumer():
			sum["api"]++
			sum["waf"]++
		case s.Name == "": // A message is received and deleted, and was sent by create_order or SNS.
			sum["sqs"] += 2
			if len(role.Events) > 0 {
				sum["sqs"]++
			}
		}
		for call, n := range s.Calls {
			service, operation, _ := strings.Cut(call, " ")
			kind := map[string]string{"sqs": "sqs", "sns": "sns", "ses": "mail", "s3": "get"}[service]
			if operation == "PutObject" {
				kind = "put"
			}
			if kind != "" {
				sum[kind] += float64(n)
			}
		}
	}
	var all []use
	for kind, p := range prices() {
		all = append(all, use{p, sum[kind]})
	}
	slices.SortFunc(all, func(a, b use) int { return cmp.Compare(b.dollars(), a.dollars()) })
	return all
}

// gigabyteSeconds returns what is billed: whole milliseconds of all the memory.
func gigabyteSeconds(took time.Duration, memory int) float64 {
	return math.Ceil(float64(took)/float64(time.Millisecond)) / 1000 * float64(memory) / 1024
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
	for _, u := range uses(b.steps(), took, b.config) {
		sum += u.dollars()
		b.printf("| %s | %.4g × %s | %.4g | %s | %.2f |\n", u.price.service, u.amount, u.price.unit, u.price.dollars,
			cmp.Or(u.price.published, "unconfirmed"), u.dollars())
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
			b.printf(" %s, $ %.2f |", milliseconds(took), gigabyteSeconds(took, memory)*prices()["gbs"].dollars)
		}
		b.printf(" %.1f MB |\n", float64(most)/1e6)
	}
	return nil
}
