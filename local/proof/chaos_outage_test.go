package proof

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/roles/queue"
)

// After an outage of at most so long, all of its orders are recorded, documented
// and announced by mail within recovery, without a hand in it.
const (
	bearable = 12 * time.Hour
	recovery = time.Hour
)

// An Outcome is how the orders of a run fared before anybody drove dead letters
// again. Bad carts, refused addresses and deleted orders do not count.
type Outcome struct {
	Refused  int // wishes that no POST accepted
	Accepted int
	Reached  map[string]int // how many came to a stage
	Dead     int            // how many have a message in a dead-letter queue
	Peak     int            // calls in one second of neighbours that took none
	// Last is when the last of all was done, after the outages or after its
	// acceptance, whichever came later.
	Last time.Duration
}

// stages are what an accepted order comes to: those of its mails are the roles
// that send them. Each is in the hands of the roles behind it.
func stages() map[string][]string {
	return map[string][]string{
		"recorded":     {recorder},
		"documented":   {recorder, documenter},
		teamMailer:     {recorder, teamMailer},
		customerMailer: {recorder, customerMailer},
	}
}

// reach notes when an order first came to a stage.
func (sim *simulation) reach(id, stage string) {
	if sim.reached[id] == nil {
		sim.reached[id] = map[string]time.Time{}
	}
	if _, ok := sim.reached[id][stage]; !ok {
		sim.reached[id][stage] = time.Now()
	}
}

// unaided looks at the orders while nobody has driven anything again. What is
// not done is in a dead-letter queue; and where nothing but outages went wrong,
// all is done soon.
func (sim *simulation) unaided() {
	sim.checkDead()
	dead := map[string]bool{} // by role and order
	for _, s := range sim.sources {
		for _, body := range bodies(s.queue.Dead()) {
			dead[s.role+orderOf(body)] = true
		}
	}
	end, longest := sim.start, time.Duration(0)
	for _, o := range sim.o.Outages {
		longest = max(longest, o.For)
		if t := sim.start.Add(o.From + o.For); t.After(end) {
			end = t
		}
	}
	out := Outcome{Reached: map[string]int{}, Peak: sim.peak}
	for _, wi := range sim.Wishes {
		id := wi.OrderID
		if _, gone := sim.Deletion(id); gone || wi.Bad() {
			continue
		}
		if id == "" {
			out.Refused++
			continue
		}
		out.Accepted++
		since := end
		if at := sim.reached[id]["accepted"]; at.After(end) {
			since = at
		}
		waits := false
		for stage, roles := range stages() {
			if stage == customerMailer && wi.Refused {
				continue
			}
			at, ok := sim.reached[id][stage]
			inHand := slices.ContainsFunc(roles, func(role string) bool { return dead[role+id] })
			waits = waits || inHand
			switch {
			case ok && at.Sub(since) > recovery && sim.o.Faulty+sim.o.Deadly == 0:
				sim.Broken("order %s: %s only %s after the outages", id, stage, at.Sub(since))
			case ok:
				out.Reached[stage]++
				out.Last = max(out.Last, at.Sub(since))
			case !inHand:
				sim.Broken("order %s: not %s, and no message of it is dead", id, stage)
			}
		}
		if waits {
			out.Dead++
		}
	}
	if out.Dead > 0 && sim.o.Plain && longest <= bearable {
		sim.Broken("%d orders wait for a hand", out.Dead)
	}
	sim.Add("orders that wait for a hand", out.Dead)
	sim.report.Outcome = out
}

// checkDead: no order stays pending while its message is dead, unless the process
// of the last delivery died, or could not reach table and queue, before it said
// so.
func (sim *simulation) checkDead() {
	for _, m := range sim.creation().Dead().Messages() {
		id := orderOf(m.Body)
		by := sim.gaveUp[id]
		switch {
		case !sim.silent(id):
		case by.dead() || by.panicked:
			sim.Count("pending and dead: the process died at once")
		case strings.Contains(by.failing, "sqs") && (by.short || strings.Contains(by.failing, "dynamodb")):
			sim.Count("pending and dead: neither table nor queue took a note in time")
		default:
			sim.Broken("order %s says pending, and its message is dead since %s", id, by.Name)
		}
	}
}

// rush queues messages of one tenant at once, while another one places an order
// a second through the API. It returns how long each of those took until its
// customer's mail; a minute stands for longer ones. Every call takes its time,
// and the cart a good deal. The model of SQS is world.Queue's, of Lambda: a
// batch is fetched when one of the mapping's concurrent invocations is free, and
// not before.
func rush(t *testing.T, o Options, messages int) (took []time.Duration) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, o.Seed)
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulation(t, o, &Report{Options: o, Counts: map[string]int{}})
		sim.grid = 10 * time.Millisecond
		sim.latency = map[string]time.Duration{
			"dynamodb": 10 * time.Millisecond, "sqs": 10 * time.Millisecond, "sns": 20 * time.Millisecond,
			"s3": 30 * time.Millisecond, "ses": 100 * time.Millisecond, "cart": time.Second,
		}
		own := queue.New(sqs.NewFromConfig(awsConfig(sim.world)), sim.world.Env("create_order")["SQS_QUEUE_URL"])
		for n := range messages {
			wi := sim.wish(n, Actor{Client: "rush", Tenant: tenants()[0]}, "good", false)
			wi.Body["tenantId"], wi.Body["orderId"] = wi.Actor.Tenant, fmt.Sprintf("%08x-0000-4000-8000-000000000000", n)
			if err := own.Send(context.Background(), wi.Body, wi.Actor.Tenant, ""); err != nil {
				t.Fatal(err)
			}
		}
		var quiet []*Wish
		for n := range o.Orders {
			wi := sim.wish(messages+n, Actor{Client: fmt.Sprintf("c%d", n), Tenant: tenants()[1]}, "good", false)
			quiet = append(quiet, wi)
			go func() {
				sim.pause(wi.Actor.Client, time.Duration(n)*time.Second)
				sim.post(wi, sim.chance(wi.Actor.Client))
			}()
		}
		sim.until = func() bool {
			took = nil
			for _, wi := range quiet {
				at, ok := sim.reached[wi.OrderID][customerMailer]
				if !ok {
					return time.Since(sim.start) > time.Minute
				}
				took = append(took, at.Sub(sim.start)-time.Duration(len(took))*time.Second)
			}
			return true
		}
		sim.settle()
		for range len(quiet) - len(took) {
			took = append(took, time.Minute)
		}
		for _, b := range sim.report.Broken {
			t.Error(b)
		}
	})
	return took
}
