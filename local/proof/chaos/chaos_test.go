package chaos_test

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/proof/chaos"
)

var (
	seed   = flag.Uint64("seed", 1, "the seed of TestRun; 0 for one by chance")
	orders = flag.Int("orders", 25, "how many orders TestRun places")
	runs   = flag.Int("runs", 1, "how many runs TestRun makes, with seeds from seed on")
	faulty = flag.Float64("faulty", 0.2, "the share of all calls that go wrong in TestRun")
	deadly = flag.Float64("deadly", 0.005, "the share of all calls at which the process dies in TestRun")
	watch  = flag.String("watch", "", "log every event of TestRun whose name contains this")
)

// TestRun is what `make chaos` runs: runs of any size from any seed, one by
// chance if none is given. By itself it makes one small run from a fixed seed, so
// that the tests do not fail by chance.
func TestRun(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1 << 32)
	}
	var reports []chaos.Report
	for i := range *runs {
		o := chaos.Default(first+uint64(i), *orders)
		o.Faulty, o.Deadly, o.Watch = *faulty, *deadly, *watch
		start := time.Now()
		r := judge(t, o)
		t.Logf(
			"seed %d: %d orders, %d calls in %s",
			o.Seed,
			o.Orders,
			r.Counts["calls"],
			time.Since(start).Round(100*time.Millisecond),
		)
		reports = append(reports, r)
	}
	t.Logf("\n%s", chaos.Table(reports...))
}

// judge makes a run and fails the test for every promise that was not kept.
func judge(t *testing.T, o chaos.Options) chaos.Report {
	t.Helper()
	r := chaos.Run(t, o)
	for _, b := range r.Broken {
		t.Errorf("seed %d: %s", r.Seed, b)
	}
	if len(r.Broken) > 0 {
		t.Logf(
			"the same again: make chaos SEED=%d ORDERS=%d FAULTY=%g DEADLY=%g",
			o.Seed,
			o.Orders,
			o.Faulty,
			o.Deadly,
		)
	}
	return r
}

func TestPromises(t *testing.T) {
	for name, change := range map[string]func(*chaos.Options){
		"a usual day":             func(o *chaos.Options) { o.Seed, o.Orders = 7, 60 },
		"another":                 func(o *chaos.Options) { o.Seed, o.Orders = 8, 60 },
		"nearly every other call": func(o *chaos.Options) { o.Faulty, o.Orders = 0.45, 8 },
		"death everywhere":        func(o *chaos.Options) { o.Faulty, o.Deadly = 0, 0.05 },
		"all at once":             func(o *chaos.Options) { o.Clients = o.Orders },
	} {
		t.Run(name, func(t *testing.T) {
			o := chaos.Default(2025, 15)
			change(&o)
			judge(t, o)
		})
	}
}

// Without faults in calls and without deaths nothing is doubled, however often
// it is delivered.
func TestNothingDoubled(t *testing.T) {
	is := is.New(t)
	o := chaos.Default(7, 20)
	o.Faulty, o.Deadly = 0, 0
	r := judge(t, o)
	is.True(r.Counts["redeliveries"] > 0)          // messages come again
	is.True(r.Counts["duplicates suppressed"] > 0) // and are noticed
	is.Equal(r.Counts["mails sent twice"], 0)
	is.Equal(r.Counts["numbers skipped"], 0)
}

func TestReplay(t *testing.T) {
	is := is.New(t)
	o := chaos.Default(42, 12)
	first := judge(t, o)
	goroutines, heap := resources()
	for range 2 {
		again := judge(t, o)
		is.Equal(again.Trace, first.Trace)   // everything happens again, in the same order
		is.Equal(again.Counts, first.Counts) // and as often
	}
	g, h := resources()
	is.True(g <= goroutines)  // no goroutine is left over
	is.True(h < heap+(4<<20)) // nor memory
	other := o
	other.Seed++
	is.True(judge(t, other).Trace != first.Trace) // another seed makes another run
}

func resources() (goroutines int, heap uint64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // The first one only takes pools apart.
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}
