package proof

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// Options say what a run is like. Equal options make equal runs.
type Options struct {
	Seed    uint64
	Orders  int     // what clients and other producers want
	Faulty  float64 // share of the calls that go wrong, 0 to 1
	Deadly  float64 // share of the calls at which the invocation dies; at a fifth as many the handler panics
	Hasty   float64 // share of the invocations that begin when their time is nearly over
	Twice   float64 // share of the deliveries that are made again while they are handled
	Clients int     // at a time
	// Latency is how long a call takes at most.
	Latency time.Duration
	// Spread is the time within which a client begins with an order.
	Spread  time.Duration
	Outages []Outage
	// MailRate is how many mails SES takes in a second; 0 stands for any number.
	MailRate int
	// InFlight is how many messages of a queue are received and not done with at
	// a time; 0 stands for what SQS allows.
	InFlight int
	// Plain lets clients do nothing but place good orders, and nothing go wrong
	// but what is said above.
	Plain bool
	// Watch lets the test log every event whose name contains it: part of the
	// name of an invocation, an order, a client.
	Watch string
}

// usual returns the options of an ordinary run: every fifth call goes wrong,
// one in two hundred is the end of its invocation, and two neighbours are down
// for some time. In every other run SES takes few mails a second and SQS lets
// few messages be in flight.
func usual(seed uint64, orders int) Options {
	o := Options{
		Seed: seed, Orders: orders, Faulty: 0.2, Deadly: 0.005, Hasty: 0.01, Twice: 0.03, Clients: 24, Spread: 8 * grid,
	}
	r := rand.New(rand.NewPCG(seed, 1))
	for range 2 {
		o.Outages = append(o.Outages, Outage{
			Of:        pick(r, "cart", "ses", "sns", "s3", "dynamodb", "sqs SendMessage"),
			From:      time.Duration(r.IntN(20)) * time.Minute,
			For:       pick(r, time.Minute, 15*time.Minute, time.Hour),
			Throttled: r.IntN(2) == 0,
		})
	}
	if r.IntN(2) == 0 {
		o.MailRate, o.InFlight = 2, 15
	}
	return o
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// A Report is what happened in a run.
type Report struct {
	Options
	Counts map[string]int
	Outcome
	// Broken says which promises were not kept. It is empty after a good run.
	Broken []string
	// Trace is a hash over everything that happened, in its order: two runs with
	// one trace were the same.
	Trace uint64
}

// newYearsEve is the start of every run, by the service's clocks: half an hour
// before a new year in South Africa, so that numbers begin anew.
func newYearsEve() time.Time { return time.Date(2025, 12, 31, 21, 30, 0, 0, time.UTC) }

const (
	// grid is the time between the moments at which calls are served. No pause of
	// the service has a jitter that is longer and that the seed does not decide.
	grid = time.Second
	// patience is how long the gateway waits for a function. The service promises
	// to answer within promised.
	patience = 29 * time.Second
	promised = 27 * time.Second
	// mostSkew is how far a clock may be off. Two clocks may differ by twice as
	// much: less than a mail's claim outlasts an invocation by (150 s − 30 s).
	mostSkew = 50 * time.Second
	// mostDays bounds the virtual time until a run comes to rest. One that takes
	// longer is stuck.
	mostDays = 20
)

// runChaos runs the simulation in a bubble of virtual time and returns what happened.
// It fails the test only where the simulation itself goes wrong; broken promises
// are in the report.
func runChaos(t *testing.T, o Options) Report {
	t.Helper()
	cryptotest.SetGlobalRandom(t, o.Seed)
	report := Report{Options: o}
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulation(t, o, &report)
		sim.simulate()
		sim.check()
		report.Counts, report.Broken = sim.Counts(), sim.Promises()
	})
	return report
}

// A simulation runs the whole order service against faults, and checks what it
// promised. The real handlers work in this process, in a world. One seed decides
// everything: which calls fail and how, which invocations die, what is delivered
// twice, late or out of order, how clocks jump, and whose turn it is. Time is
// virtual. When all clients are done and the queues and the stream are empty, the
// faults end, the dead-letter queues are driven again, and every promise is
// checked.
//
// A run is a function of its seed and options: only one goroutine goes on at a
// time, chosen by the seed, and calls are served on a grid of whole seconds of
// virtual time, so that the jitter of a pause cannot change the order of things.
type simulation struct {
	t      *testing.T
	o      Options
	report *Report
	start  time.Time
	world  *World
	rng    *rand.Rand  // decides in the scheduler only
	calm   bool        // faults have ended
	until  func() bool // nothing more is delivered once it holds; may be nil
	grid   time.Duration
	// latency is how long the calls of a service take, by its name.
	latency map[string]time.Duration

	mu     sync.Mutex
	steps  []*step
	calls  map[string]int // how often a call was made, by name
	serial int            // of invocations

	functions map[string]*function
	sources   []*source
	shards    map[string]*reading // by name
	running   []*invocation
	current   *invocation // whose call is being carried out
	memory
	*Account
}

func newSimulation(t *testing.T, o Options, report *Report) *simulation {
	sim := &simulation{
		t: t, o: o, report: report,
		start:   time.Now(),
		rng:     rand.New(rand.NewPCG(o.Seed, 0)),
		calls:   map[string]int{},
		grid:    grid,
		Account: newAccount(),
		memory: memory{
			deadNoise: map[*Queue]int{}, gaveUp: map[string]*invocation{}, reached: map[string]map[string]time.Time{},
		},
	}
	sim.deploy()
	return sim
}

// clock is what an exact clock shows.
func (sim *simulation) clock() time.Time { return newYearsEve().Add(time.Since(sim.start)) }

// simulate lets the clients order under faults, and then the service come to
// rest without.
func (sim *simulation) simulate() {
	sim.startClients()
	sim.turn("of the deployment", time.Duration(sim.rng.IntN(600))*time.Second, sim.redeploy)
	sim.settle()
	sim.unaided()
	sim.calm = true
	sim.startRetries()
	sim.settle()
	for range 2 { // Days later; and once more, to see that what is dead belongs there.
		time.Sleep(36 * time.Hour)
		if sim.o.Seed%2 == 0 {
			sim.world.Table.Expire() // Or DynamoDB does so later.
		}
		for _, s := range sim.sources {
			sim.Add("redriven", s.queue.Redrive())
		}
		sim.settle()
	}
	sim.startReuse()
	sim.settle()
}

// A step is something that waits for its turn. Names are unique among the steps
// that wait at a time, save for those of which it does not matter who comes
// first.
type step struct {
	name string
	from time.Time
	of   *invocation // nil for clients
	call *pending    // or nil
	do   func()      // runs in the scheduler
}

func (sim *simulation) enqueue(s *step) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.steps = append(sim.steps, s)
}

func (sim *simulation) dequeue(s *step) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.steps = slices.DeleteFunc(sim.steps, func(t *step) bool { return t == s })
}

// settle gives one step after the other its turn until nothing is left to happen.
func (sim *simulation) settle() {
	begin := time.Now()
	for {
		synctest.Wait() // Whoever had a turn has come to his next step, or to the end.
		sim.overdue()
		if time.Since(begin) > mostDays*24*time.Hour {
			sim.t.Fatalf("seed %d: the simulation does not come to rest: %d steps, %d invocations",
				sim.o.Seed, len(sim.steps), len(sim.running))
		}
		ready := sim.ready()
		if (len(ready) == 0 || sim.rng.IntN(5) == 0) && !sim.over() && sim.poll() {
			continue
		}
		if len(ready) > 0 {
			s := ready[sim.rng.IntN(len(ready))]
			sim.dequeue(s)
			sim.trace(s.name)
			s.do()
			continue
		}
		until, ok := sim.next()
		if !ok {
			return
		}
		time.Sleep(time.Until(until))
	}
}

func (sim *simulation) over() bool { return sim.until != nil && sim.until() }

func (sim *simulation) ready() []*step {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	now := time.Now()
	var ready []*step
	for _, s := range sim.steps {
		if !s.from.After(now) {
			ready = append(ready, s)
		}
	}
	slices.SortStableFunc(ready, func(a, b *step) int { return strings.Compare(a.name, b.name) })
	return ready
}

// next returns the next moment of the grid at which something may happen, and
// whether there is one.
func (sim *simulation) next() (time.Time, bool) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	soon := time.Now().Truncate(sim.grid).Add(sim.grid)
	if len(sim.running) > 0 || sim.over() {
		return soon, len(sim.running) > 0
	}
	var next time.Time
	consider := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, s := range sim.steps {
		consider(s.from)
	}
	for _, s := range sim.sources {
		if t, ok := s.queue.Next(); ok {
			consider(sim.start.Add(t.Sub(newYearsEve())))
		}
	}
	for _, shard := range sim.world.Table.Shards() {
		consider(sim.reading(shard).from)
	}
	if next.IsZero() {
		return next, false
	}
	if next = next.Add(sim.grid - 1).Truncate(sim.grid); next.Before(soon) {
		next = soon
	}
	return next, true
}

// trace adds to the hash of what happened (FNV-1a).
func (sim *simulation) trace(what string) {
	if sim.o.Watch != "" && strings.Contains(what, sim.o.Watch) {
		sim.t.Logf("%12s  %s", time.Since(sim.start), what)
	}
	h := sim.report.Trace ^ uint64(time.Since(sim.start))
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	sim.report.Trace = h
}

// chance returns a source of chance for one event, from the seed and from what
// the event is: a change elsewhere in a run leaves it alone.
func (sim *simulation) chance(what string) *rand.Rand {
	h := uint64(14695981039346656037)
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(sim.o.Seed, h))
}

// happens decides about something that goes wrong with a probability, until the
// faults end.
func (sim *simulation) happens(r *rand.Rand, probability float64) bool {
	return r.Float64() < probability && !sim.calm && !sim.o.Plain
}

// tabulate returns the runs as a table, a column each.
func tabulate(reports ...Report) string {
	first := []string{"orders", "recorded", "calls", "faults", "broken"}
	names := map[string]bool{}
	for _, r := range reports {
		for name := range r.Counts {
			names[name] = true
		}
	}
	for _, name := range first {
		delete(names, name)
	}
	var b strings.Builder
	for _, row := range slices.Concat([]string{"seed"}, first, slices.Sorted(maps.Keys(names))) {
		fmt.Fprintf(&b, "%-44s", row)
		for _, r := range reports {
			switch row {
			case "seed":
				fmt.Fprintf(&b, "%12d", r.Seed)
			case "orders":
				fmt.Fprintf(&b, "%12d", r.Orders)
			case "faults":
				calls := max(1, r.Counts["calls"]-r.Counts["calls without faults"])
				fmt.Fprintf(&b, "%10.1f %%", 100*float64(r.faults())/float64(calls))
			case "broken":
				fmt.Fprintf(&b, "%12d", len(r.Broken))
			default:
				fmt.Fprintf(&b, "%12d", r.Counts[row])
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (r Report) faults() int {
	n := 0
	for _, kind := range faultKinds() {
		n += r.Counts[string(kind)]
	}
	return n
}
