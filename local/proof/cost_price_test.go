package proof

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bbws/order-lambda/deploy"
)

// A Use is how much of something one order takes.
type Use struct {
	Service, Unit string
	Price         float64 // of a million units, in US dollars, in Ireland and without free tiers
	Published     string  // the day of AWS's price list, or "" if none confirms the price
	Amount        float64 // units
}

// Dollars returns what a million orders cost.
func (u Use) Dollars() float64 { return u.Amount * u.Price }

// prices returns the prices. Source: copies of the public price lists of eu-west-1,
// https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/.
func prices() map[string]Use {
	return map[string]Use{
		"write":   {"DynamoDB, on demand", "write unit", 0.705, "2026-09-11", 0},
		"read":    {"DynamoDB, on demand", "read unit", 0.1415, "2026-09-11", 0},
		"gbs":     {"Lambda, arm64", "GB-second", 13.3334, "2026-10-01", 0},
		"request": {"Lambda, arm64", "request", 0.20, "2026-10-01", 0},
		"api":     {"API Gateway, REST", "request", 3.50, "2026-09-21", 0},
		"sqs":     {"SQS", "request", 0.40, "2026-09-11", 0},
		"sns":     {"SNS", "publish", 0.50, "2026-09-15", 0},
		"put":     {"S3", "PUT", 5.00, "2026-09-28", 0},
		"get":     {"S3", "GET", 0.40, "2026-09-28", 0},
		"log":     {"CloudWatch Logs", "MB", 570, "2026-09-22", 0},
		"mail":    {"SES", "mail", 100, "", 0},
		"waf":     {"WAF", "request", 0.60, "", 0},
	}
}

// platformLog is about what Lambda itself logs of an invocation: START, END and
// REPORT, as they are in the text format.
const platformLog = 300

// uses adds up the life of one order, the dearest first. The functions took as
// long as took says; every invocation brings one message or record.
func uses(life []Step, took []time.Duration, roles map[string]deploy.Role) []Use {
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
	var all []Use
	for kind, u := range prices() {
		u.Amount = sum[kind]
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b Use) int { return cmp.Compare(b.Dollars(), a.Dollars()) })
	return all
}

// gigabyteSeconds returns what is billed: whole milliseconds of all the memory.
func gigabyteSeconds(took time.Duration, memory int) float64 {
	return math.Ceil(float64(took)/float64(time.Millisecond)) / 1000 * float64(memory) / 1024
}

// compute returns what a million invocations of a duration cost in dollars, at a
// memory in MB, without what Lambda takes for each request.
func compute(took time.Duration, memory int) float64 {
	return gigabyteSeconds(took, memory) * prices()["gbs"].Price
}
