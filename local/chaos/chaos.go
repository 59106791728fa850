// Package chaos runs the whole order service against faults, and checks what it promised. The real handlers, built by
// roles.Build, work in this process on stand-ins for AWS and for the Cart API. One seed decides everything: which calls
// fail and how, which invocations die, what is delivered twice, late or out of order, how clocks jump, and whose turn it is.
// Time is virtual. When all clients are done and the queues are empty, the faults end, the dead-letter queues are driven
// again, and every promise is checked.
//
// A run is a function of its seed and options: only one goroutine goes on at a time, chosen by the seed, and calls are served
// on a grid of half seconds of virtual time, so that the jitter of a pause cannot change the order of things.
package chaos

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

	"github.com/bbws/order-lambda/local/chaos/cloud"
)

// Options say what a run is like. Equal options make equal runs.
type Options struct {
	Seed    uint64
	Orders  int     // what clients and other producers want
	Faulty  float64 // share of the calls that go wrong, 0 to 1
	Deadly  float64 // share of the calls at which the invocation dies; at a fifth as many the handler panics
	Clients int     // at a time
	// Watch lets the test log every event whose name contains it: part of the name of an invocation, an order, a client.
	Watch string
}

// Default returns the options of an ordinary run: every fifth call goes wrong, and one in two hundred is the end of its
// invocation.
func Default(seed uint64, orders int) Options {
	return Options{Seed: seed, Orders: orders, Faulty: 0.2, Deadly: 0.005, Clients: 24}
}

// A Report is what happened in a run.
type Report struct {
	Options
	Counts map[string]int
	// Broken says which promises were not kept. It is empty after a good run.
	Broken []string
	// Trace is a hash over everything that happened, in its order: two runs with one trace were the same.
	Trace uint64
}

// The start of every run, by the service's clocks: half an hour before a new year, so that order numbers begin anew.
func newYearsEve() time.Time { return time.Date(2025, 12, 31, 23, 30, 0, 0, time.UTC) }

const (
	// grid is the time between the moments at which calls are served. It is not shorter than any pause of the service that
	// has a jitter which the seed does not decide.
	grid = 500 * time.Millisecond
	// mostSkew is how far a clock may be off. Two clocks may differ by twice as much: less than a mail's claim outlasts an
	// invocation by (150 s − 30 s).
	mostSkew = 50 * time.Second
	// mostDays bounds the virtual time until a run comes to rest. One that takes longer is stuck.
	mostDays = 20
)

// Run runs the simulation in a bubble of virtual time and returns what happened. It fails the test only where the simulation
// itself goes wrong; broken promises are in the report.
func Run(t *testing.T, o Options) Report {
	t.Helper()
	cryptotest.SetGlobalRandom(t, o.Seed)
	report := Report{Options: o, Counts: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o, &report)
		w.simulate()
		w.check()
	})
	slices.Sort(report.Broken)
	return report
}

// A world is everything in a run.
type world struct {
	t      *testing.T
	o      Options
	report *Report
	start  time.Time
	cloud  *cloud.Cloud
	rng    *rand.Rand // decides in the scheduler only
	calm   bool       // faults have ended

	mu     sync.Mutex
	steps  []*step
	calls  map[string]int // how often a call was made, by name
	serial int            // of invocations

	functions map[string]*function
	sources   []*source
	running   []*invocation
	current   *invocation // whose call is being carried out
	memory
}

func newWorld(t *testing.T, o Options, report *Report) *world {
	w := &world{
		t: t, o: o, report: report,
		start: time.Now(),
		rng:   rand.New(rand.NewPCG(o.Seed, 0)), //nolint:gosec // A simulation.
		calls: map[string]int{},
	}
	w.memory = newMemory()
	w.cloud = cloud.New(tableName, time.Now)
	w.cloud.Table.OnWrite = w.written
	w.deploy()
	return w
}

// clock is what an exact clock shows.
func (w *world) clock() time.Time { return newYearsEve().Add(time.Since(w.start)) }

func (w *world) count(name string) { w.add(name, 1) }

func (w *world) add(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Counts[name] += n
}

// broken notes that a promise was not kept.
func (w *world) broken(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Broken = append(w.report.Broken, fmt.Sprintf(format, args...))
}

// simulate lets the clients order under faults, and then the service come to rest without.
func (w *world) simulate() {
	w.startClients()
	w.settle()
	w.calm = true
	w.startRetries()
	w.settle()
	for range 2 { // Days later; and once more, to see that what is in the dead-letter queues belongs there.
		time.Sleep(36 * time.Hour)
		for _, s := range w.sources {
			w.add("redriven", s.queue.Redrive())
		}
		w.settle()
	}
	w.startReuse()
	w.settle()
}

// A step is something that waits for its turn. Names are unique among the steps that wait at a time, save for those of
// which it does not matter who comes first.
type step struct {
	name string
	from time.Time
	of   *invocation // nil for clients
	do   func()      // runs in the scheduler
}

func (w *world) enqueue(s *step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, s)
}

func (w *world) dequeue(s *step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = slices.DeleteFunc(w.steps, func(t *step) bool { return t == s })
}

// settle gives one step after the other its turn until nothing is left to happen.
func (w *world) settle() {
	begin := time.Now()
	for {
		synctest.Wait() // Whoever had a turn has come to his next step, or to the end.
		w.endOverdue()
		if time.Since(begin) > mostDays*24*time.Hour {
			w.t.Fatalf("seed %d: the simulation does not come to rest: %d steps, %d invocations", w.o.Seed, len(w.steps), len(w.running))
		}
		ready := w.ready()
		if (len(ready) == 0 || w.rng.IntN(5) == 0) && w.poll() {
			continue
		}
		if len(ready) > 0 {
			s := ready[w.rng.IntN(len(ready))]
			w.dequeue(s)
			w.trace(s.name)
			s.do()
			continue
		}
		until, ok := w.next()
		if !ok {
			return
		}
		time.Sleep(time.Until(until))
	}
}

func (w *world) ready() []*step {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var ready []*step
	for _, s := range w.steps {
		if !s.from.After(now) {
			ready = append(ready, s)
		}
	}
	slices.SortStableFunc(ready, func(a, b *step) int { return strings.Compare(a.name, b.name) })
	return ready
}

// next returns the next moment of the grid at which something may happen, and whether there is one.
func (w *world) next() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	soon := gridAfter(time.Now())
	if len(w.running) > 0 {
		return soon, true
	}
	var next time.Time
	consider := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, s := range w.steps {
		consider(s.from)
	}
	for _, s := range w.sources {
		if t, ok := s.queue.Next(); ok {
			consider(t)
		}
	}
	if next.IsZero() {
		return next, false
	}
	if next = next.Add(grid - 1).Truncate(grid); next.Before(soon) {
		next = soon
	}
	return next, true
}

// gridAfter returns the next moment of the grid.
func gridAfter(t time.Time) time.Time { return t.Truncate(grid).Add(grid) }

// trace adds to the hash of what happened (FNV-1a).
func (w *world) trace(what string) {
	if w.o.Watch != "" && strings.Contains(what, w.o.Watch) {
		w.t.Logf("%12s  %s", time.Since(w.start), what)
	}
	h := w.report.Trace ^ uint64(time.Since(w.start)) //nolint:gosec // Only mixed in.
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	w.report.Trace = h
}

// chance returns a source of chance for one event, from the seed and from what the event is: a change elsewhere in a run
// leaves it alone.
func (w *world) chance(what string) *rand.Rand {
	h := uint64(14695981039346656037)
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(w.o.Seed, h)) //nolint:gosec // A simulation.
}

// happens decides about something that goes wrong with a probability, until the faults end.
func (w *world) happens(r *rand.Rand, probability float64) bool {
	return r.Float64() < probability && !w.calm
}

// Columns of the table of runs.
func columns() []string {
	return []string{
		"orders", "recorded", "failed for good", "calls", "faults", "fail before", "fail after", "timeout", "throttled", "server error", "conflict", "slow",
		"deliveries", "redeliveries", "kills", "panics", "clock jumps", "duplicates suppressed", "mails", "mails sent twice", "redriven", "broken",
	}
}

// Table returns the runs as a table, a column each.
func Table(reports ...Report) string {
	rows := slices.Concat([]string{"seed"}, columns())
	named := map[string]bool{"faults": true}
	for _, name := range columns() {
		named[name] = true
	}
	more := map[string]bool{}
	for _, r := range reports {
		for name := range r.Counts {
			if !named[name] {
				more[name] = true
			}
		}
	}
	rows = append(rows, slices.Sorted(maps.Keys(more))...)
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "%-28s", row)
		for _, r := range reports {
			switch row {
			case "seed":
				fmt.Fprintf(&b, "%12d", r.Seed)
			case "orders":
				fmt.Fprintf(&b, "%12d", r.Orders)
			case "faults":
				fmt.Fprintf(&b, "%10.1f %%", 100*float64(r.faults())/float64(max(1, r.Counts["calls"]-r.Counts["calls without faults"])))
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
