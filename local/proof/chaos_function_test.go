package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/roles"
)

// A function is one of the eight, with its environments that are alive and idle.
type function struct {
	role     string
	timeout  time.Duration
	env      map[string]string
	consumes bool // messages of a queue, side by side
	version  int  // how often it was deployed
	idle     []*instance
}

// An instance is one process of a function. It handles one invocation at a
// time, and its clock may be wrong.
type instance struct {
	sim        *simulation
	function   *function
	handler    lambda.Handler
	version    int // of the function
	invocation *invocation
	skew       atomic.Int64
}

// Now is what the environment's clock shows.
func (e *instance) Now() time.Time { return e.sim.clock().Add(time.Duration(e.skew.Load())) }

// An invocation is one run of a handler.
type invocation struct {
	Run // its name sorts by age

	env      *instance
	deadline time.Time
	killed   atomic.Bool
	died     chan struct{} // closed when the process is killed
	giveUp   func()        // what the gateway does after its patience, or nil
	cancel   context.CancelFunc
	returned atomic.Bool
	finish   func(result)

	callers sync.Map // of goroutines, what each called first

	failures int  // what a consumer reported
	panicked bool // a call of it did
	excused  bool // among them one that is no single message's, but the batch's

	last    map[string]string // orders whose creation is delivered to it for the last time, by their carts
	short   bool              // of time from the beginning
	late    bool              // a consumer's that began with less time than a message needs, and must not start one
	delayed string            // calls that said when messages come again
	failing string            // neighbours that failed it
	unknown map[string]bool   // orders whose mail went to SES, while the ledger was not told yet what came of it
	deleted map[string]bool   // orders that it read and found deleted
	sent    []*SentMail
}

// A result is what came of an invocation. A payload of nil means that there was
// none.
type result struct {
	payload []byte
}

func (i *invocation) dead() bool { return i.killed.Load() }

var (
	goroutine = regexp.MustCompile(`^goroutine (\d+) `)
	errKilled = errors.New("the process is dead")
)

// caller names the goroutine that makes a call by the first call that it made in
// its invocation: messages of a batch are about different orders, so this tells
// them apart, in every run in the same way. What is read once for all messages
// has no name, and neither has what makes one call after the other.
func (i *invocation) caller(call *Call) string {
	if call.Operation == "GetObject" || !i.env.function.consumes {
		return ""
	}
	var stack [64]byte
	n := runtime.Stack(stack[:], false)
	id := string(goroutine.FindSubmatch(stack[:n])[1])
	first, _ := i.callers.LoadOrStore(id, call.Target)
	return first.(string) + "> "
}

// enough is how much time a message needs to be started (contract, section 7).
const enough = 5 * time.Second

// kill ends the process: from now on it knows nothing of what happens. A call
// that is on its way may still take effect, much later.
func (i *invocation) kill() {
	sim := i.env.sim
	if i.killed.Swap(true) {
		return
	}
	i.Died = true
	i.cancel()
	close(i.died)
	sim.mu.Lock()
	sim.steps = slices.DeleteFunc(sim.steps, func(s *step) bool { return s.of == i && !sim.outlives(s) })
	sim.mu.Unlock()
	sim.end(i, result{})
}

// outlives lets a call, now and then, outlive its process.
func (sim *simulation) outlives(s *step) bool {
	r := sim.chance("outlives " + s.name)
	if s.call == nil || s.call.took || !sim.happens(r, 0.2) {
		return false
	}
	s.of, s.from = nil, time.Now().Add(time.Duration(1+r.IntN(400))*time.Second)
	s.do = func() {
		sim.Count("calls that took effect after their process died")
		s.call.carryOut()
	}
	return true
}

func (sim *simulation) end(i *invocation, r result) {
	i.Ended, i.Until = i.env.Now(), sim.Versions()
	sim.mu.Lock()
	sim.running = slices.DeleteFunc(sim.running, func(j *invocation) bool { return j == i })
	sim.mu.Unlock()
	i.finish(r)
}

// overdue lets the gateway give up what takes too long, and kills what exceeds
// its function's timeout, as Lambda does.
func (sim *simulation) overdue() {
	for _, i := range slices.Clone(sim.running) {
		if i.giveUp != nil && time.Since(i.Start) >= patience {
			i.giveUp()
			i.giveUp = nil
		}
		if !i.returned.Load() && !time.Now().Before(i.deadline) {
			sim.Count("timeouts of functions")
			i.kill()
		}
	}
}

// deploy makes the world and the functions.
func (sim *simulation) deploy() {
	if sim.o.Seed%2 != 0 { // In every other run a group may set payments.
		sim.PaymentGroup = payers
	}
	sim.world = newWorld(sim.clock)
	sim.world.Cart = sim.answerCart
	sim.world.OnPublish = sim.published
	sim.world.Table.OnWrite = sim.written
	sim.world.Table.Lag = sim.lag
	sim.world.MailRate = sim.o.MailRate
	sim.world.Put(templatesBucket, "branding/logo.png", smallLogo())
	sim.brand()
	sim.functions, sim.shards = map[string]*function{}, map[string]*reading{}
	deployed, err := deploy.Roles()
	if err != nil {
		sim.t.Fatal(err)
	}
	for _, role := range roles.All() {
		d := deployed[role.Name]
		env := sim.world.Env(role.Name)
		env["LOG_LEVEL"], env["PAYMENT_GROUP"] = "INFO", sim.PaymentGroup
		sim.functions[role.Name] = &function{
			role:    role.Name,
			timeout: time.Duration(d.Timeout) * time.Second,
			env:     env, consumes: d.IsConsumer(),
		}
		if d.IsConsumer() {
			s := &source{
				role:  role.Name,
				queue: sim.world.Queue(role.Name),
				batch: d.BatchSize,
				most:  d.MaxConcurrency,
			}
			s.queue.Late = sim.late
			if sim.o.InFlight > 0 {
				s.queue.InFlight = sim.o.InFlight
			}
			sim.sources = append(sim.sources, s)
		}
	}
	sim.creation().OnSend = sim.sent
}

func (sim *simulation) creation() *Queue { return sim.world.Queue(recorder) }

// brand gives half of the tenants branding of their own: two of them sell for
// one supplier, and one sells for the common one.
func (sim *simulation) brand() {
	for tenant, name := range map[string]string{"bloom": "Bloom", "cumulus": "Bloom", "dunes": "Dunes"} {
		company, err := json.Marshal(map[string]any{
			"name": marker(tenant) + " " + name, "vatNumber": "4" + fmt.Sprintf("%09d", len(name)), "country": "ZA",
			"addressLines": []string{"1 Long Street", "Cape Town"},
		})
		if err != nil {
			sim.t.Fatal(err)
		}
		sim.world.Put(templatesBucket, "branding/"+tenant+"/company.json", company)
	}
}

// lag is by how much a read that is not consistent is late.
func (sim *simulation) lag(call *Call) time.Duration {
	r := sim.chance(fmt.Sprintf("lag %s %s", call, time.Since(sim.start)))
	if sim.calm || r.IntN(2) == 0 {
		return 0
	}
	return time.Duration(r.IntN(10)) * time.Second
}

// smallLogo is a picture that costs little to read: every new process reads it.
func smallLogo() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		panic(err) // A buffer takes everything.
	}
	return b.Bytes()
}

// redeploy replaces all processes: what runs comes to its end, and no more.
func (sim *simulation) redeploy() {
	sim.Count("deployments")
	for _, f := range sim.functions {
		f.version++
		f.idle = nil
	}
}

// invoke starts an invocation in an environment of the role, warm or new.
func (sim *simulation) invoke(role string, payload []byte, finish func(*invocation, result)) *invocation {
	sim.serial++
	f := sim.functions[role]
	inv := &invocation{
		Run:     Run{Name: fmt.Sprintf("%07d %s", sim.serial, role), Role: role, Start: time.Now()},
		died:    make(chan struct{}),
		unknown: map[string]bool{}, deleted: map[string]bool{}, last: map[string]string{},
	}
	r := sim.chance("invocation " + inv.Name)
	e, cold := sim.environment(f, r)
	inv.env, e.invocation, inv.Began, inv.Since = e, inv, e.Now(), sim.Versions()
	left := f.timeout
	if sim.happens(r, sim.o.Hasty) {
		left = time.Duration(1+r.IntN(8)) * time.Second // A batch that comes when the time is nearly over.
		sim.Count("invocations short of time")
	}
	inv.short = left < f.timeout
	inv.deadline = time.Now().Add(left)
	inv.late = left < enough && slices.ContainsFunc(sim.sources, func(s *source) bool { return s.role == role })
	inv.finish = func(r result) {
		if !inv.dead() {
			e.invocation = nil
			if e.version == f.version {
				f.idle = append(f.idle, e)
			}
		}
		finish(inv, r)
		if inv.panicked && !inv.excused && !inv.dead() && r.payload == nil {
			sim.Broken("%s failed as a whole because one call panicked", inv.Name)
		}
	}
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: inv.Name})
	ctx, inv.cancel = context.WithDeadline(ctx, inv.deadline)
	sim.running = append(sim.running, inv)
	sim.Count("invocations")
	if cold && sim.happens(r, 0.02) { // And once more, when Lambda tried again.
		sim.Count("cold starts that failed")
		inv.kill()
		return inv
	}
	go func() {
		answer, err := e.call(ctx, payload)
		inv.cancel()
		if inv.dead() {
			return
		}
		if err != nil {
			answer = nil
		}
		inv.returned.Store(true)
		sim.enqueue(
			&step{name: inv.Name + " ends", from: time.Now(), of: inv, do: func() { sim.end(inv, result{answer}) }},
		)
	}()
	return inv
}

// call runs the handler as the Lambda runtime does, which takes a panic for the
// end of the process.
func (e *instance) call(ctx context.Context, payload []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.sim.Broken("%s died of a panic: %v", e.invocation.Name, p)
			err = errKilled
		}
	}()
	return e.handler.Invoke(ctx, payload)
}

// environment returns an idle environment of the function or a new one. Clocks
// jump between invocations, by whole seconds: the jitter of a pause that spans
// invocations must not lead past the grid.
func (sim *simulation) environment(f *function, r *rand.Rand) (e *instance, cold bool) {
	if n := len(f.idle); n > 0 && !sim.happens(r, 0.03) {
		i := r.IntN(n)
		e = f.idle[i]
		f.idle = slices.Delete(f.idle, i, i+1)
	} else {
		e, cold = &instance{sim: sim, function: f, version: f.version}, true
		cfg := awsConfig(transport{e})
		cfg.Retryer = e.retryer
		cfg.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		cfg.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
		e.handler = newHandler(sim.t, f.env, roles.Deps{
			AWS: cfg, Transport: transport{e}, Stdout: &logReader{sim: sim, e: e}, Now: e.Now,
		})
		sim.Count("cold starts")
	}
	if sim.happens(r, 0.05) {
		const most = int64(mostSkew / grid)
		e.skew.Store((r.Int64N(2*most) - most) * int64(grid))
		sim.Count("clock jumps")
	}
	return e, cold
}

// retryer returns the SDK's own, save that the seed decides about its pauses and
// not the order in which calls of one moment ask for them: two messages of a
// batch, or what a killed process left running.
func (e *instance) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			r := e.sim.chance(fmt.Sprintf("pause %s %d %s", e.invocation.Name, attempt, time.Since(e.sim.start)))
			return time.Duration(r.Int64N(int64(min(time.Second<<min(attempt, 10), o.MaxBackoff)))), nil
		})
	})
}

// A logReader reads what a process logs: nothing personal may be in it.
type logReader struct {
	sim *simulation
	e   *instance
	mu  sync.Mutex
}

var stackField = regexp.MustCompile(`"stack":"[^"]*"`)

func (l *logReader) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(line)
	if i := l.e.invocation; i != nil && i.dead() {
		return n, nil
	}
	if i := l.e.invocation; i != nil && i.panicked {
		line = stackField.ReplaceAll(line, nil) // Its files have an @ before their module's version.
	} else if bytes.Contains(line, []byte("panic")) {
		l.sim.Broken("panic: %s", line)
	}
	l.sim.Logged(line)
	if l.sim.o.Watch != "" && strings.Contains(string(line), l.sim.o.Watch) {
		l.sim.t.Logf("%s", line)
	}
	return n, nil
}
