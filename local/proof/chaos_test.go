package proof

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

var (
	seedFlag     = flag.Uint64("seed", 1, "the seed of TestChaos and TestSiege; 0 for one by chance")
	ordersFlag   = flag.Int("orders", 0, "how many orders TestChaos, TestSiege and a row of TestOutage place; 0 for few")
	runsFlag     = flag.Int("runs", 1, "how many runs TestChaos makes, with seeds from seed on")
	faultyFlag   = flag.Float64("faulty", 0.2, "the share of all calls that go wrong in TestChaos")
	deadlyFlag   = flag.Float64("deadly", 0.005, "the share of all calls at which the process dies in TestChaos")
	messagesFlag = flag.Int("messages", 500, "how many messages one tenant queues in TestRush")
	watchFlag    = flag.String("watch", "", "log every event of TestChaos whose name contains this")
)

// TestChaos is what `make chaos` runs: runs of any size from any seed, one by
// chance if none is given. By itself it makes one small run from a fixed seed, so
// that the tests do not fail by chance.
func TestChaos(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64N(1 << 32)
	}
	var reports []Report
	for i := range *runsFlag {
		o := usual(first+uint64(i), cmp.Or(*ordersFlag, 25))
		o.Faulty, o.Deadly, o.Watch = *faultyFlag, *deadlyFlag, *watchFlag
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
	t.Logf("\n%s", tabulate(reports...))
}

// judge makes a run and fails the test for every promise that was not kept.
func judge(t *testing.T, o Options) Report {
	t.Helper()
	r := runChaos(t, o)
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
	for _, tt := range []struct {
		name   string
		seed   uint64
		orders int
		change func(*Options)
	}{
		{"a usual day", 7, 60, func(*Options) {}},
		{"another", 8, 60, func(*Options) {}},
		{"nearly every other call", 2025, 8, func(o *Options) { o.Faulty = 0.45 }},
		{"death everywhere", 2025, 30, func(o *Options) { o.Faulty, o.Deadly = 0, 0.05 }},
		{"nothing but outages", 2027, 20, func(o *Options) { o.Faulty, o.Deadly = 0, 0 }},
		{"no time", 3005, 15, func(o *Options) { o.Faulty, o.Hasty = 0.05, 0.9 }},
		{"everything twice, and slow", 2028, 15, func(o *Options) {
			o.Twice, o.Latency, o.Outages = 0.7, 2*time.Second, nil
		}},
		{"all at once", 2026, 15, func(o *Options) { o.Clients = o.Orders }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := usual(tt.seed, tt.orders)
			tt.change(&o)
			judge(t, o)
		})
	}
}

// Without faults in calls and without deaths nothing is doubled, however often
// it is delivered.
func TestNothingDoubled(t *testing.T) {
	is := is.New(t)
	o := usual(7, 20)
	o.Faulty, o.Deadly, o.Outages = 0, 0, nil
	r := judge(t, o)
	is.True(r.Counts["redeliveries"] > 0)          // messages come again
	is.True(r.Counts["duplicates suppressed"] > 0) // and are noticed
	is.Equal(r.Counts["mails sent twice"], 0)
}

// TestOutage shows what is left of outages of whole neighbours, of minutes and
// of hours, without a hand in it: nothing.
func TestOutage(t *testing.T) {
	const minute = time.Minute
	plain := func(of string, length, spread time.Duration, throttled bool) Options {
		n := cmp.Or(*ordersFlag, 6)
		o := Options{Seed: *seedFlag, Orders: n, Clients: n, Plain: true, Spread: spread}
		if length > 0 {
			from := min(minute, spread-time.Second)
			o.Outages = []Outage{{Of: of, From: from, For: length, Throttled: throttled}}
		}
		return o
	}
	atOnce := plain("", 0, time.Second, false)
	atOnce.MailRate = 5
	var table strings.Builder
	const format = "%-26s %9v %9v %9v %9v %9v %9v %9v %11v\n"
	fmt.Fprintf(&table, format,
		"down", "orders", "recorded", "documents", "mails", "dead", "refusals", "a second", "last after")
	for _, row := range []struct {
		name string
		o    Options
	}{
		{"cart, 1 min", plain("cart", minute, 3*minute, false)},
		{"cart, 15 min", plain("cart", 15*minute, 17*minute, false)},
		{"cart, 2 h", plain("cart", 2*time.Hour, 125*minute, false)},
		{"cart, 12 h", plain("cart", 12*time.Hour, 12*time.Hour+5*minute, false)},
		{"cart, 5 min, all at once", plain("cart", 5*minute, time.Second, false)},
		{"SES at 5/s, all at once", atOnce},
		{"SES, 2 h", plain("ses", 2*time.Hour, 125*minute, false)},
		{"SNS throttled, 10 min", plain("sns", 10*minute, 12*minute, true)},
		{"S3 throttled, 10 min", plain("s3", 10*minute, 12*minute, true)},
		{"table throttled, 10 min", plain("dynamodb", 10*minute, 12*minute, true)},
		{"SQS sends, 10 min", plain("sqs SendMessage", 10*minute, 12*minute, false)},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			r := judge(t, row.o)
			recorded, documents := r.Reached["recorded"], r.Reached["documented"]
			mails := r.Reached["order_internal_notifier"] + r.Reached["customer_order_confirmation"]
			fmt.Fprintf(&table, format,
				row.name, r.Accepted, recorded, documents, mails, r.Dead,
				r.Counts["calls of neighbours that took none"], r.Peak, r.Last)
			is.Equal([]int{r.Accepted, recorded, documents, mails, r.Dead},
				[]int{row.o.Orders, row.o.Orders, row.o.Orders, 2 * row.o.Orders, 0})
		})
	}
	t.Logf("\n%s", table.String())

	t.Run("cart, 30 h: a day is enough", func(t *testing.T) {
		is := is.New(t)
		r := judge(t, plain("cart", 30*time.Hour, 5*time.Minute, false))
		is.Equal(r.Dead, r.Accepted-r.Reached["recorded"])
		is.True(r.Dead > 0)
	})
}

// TestRush holds that a quiet tenant does not wait for a noisy one.
func TestRush(t *testing.T) {
	is := is.New(t)
	o := Options{Seed: *seedFlag, Orders: cmp.Or(*ordersFlag, 3), Plain: true}
	took := rush(t, o, *messagesFlag)
	t.Logf("while another tenant queues %d: %v", *messagesFlag, took)
	is.True(slices.Max(took) < 15*time.Second)
}

func TestReplay(t *testing.T) {
	is := is.New(t)
	o := usual(42, 12)
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
