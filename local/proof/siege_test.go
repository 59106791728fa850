package proof

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/poller"
	"github.com/bbws/order-lambda/local/stack"
)

var length = flag.Duration("for", 6*time.Second, "how long the faults of TestSiege last")

const (
	siegeFaulty = 0.12            // share of all calls that go wrong
	siegeDeadly = 0.01            // share of all calls at which a process of the role is killed
	settling    = 2 * time.Minute // for all that is left to settle
	quiet       = time.Second     // without anything that happens, and all has settled
	// pastTimeout is longer than a role may take that has no PDF to draw.
	pastTimeout = 35 * time.Second
)

// A siege runs the whole local stack against faults: eight roles as real
// processes, which are killed and stopped at random, between emulators that
// refuse, drop, delay and lose what they are asked. Then the faults end, what is
// left settles, an operator drives the dead letters again, and every promise is
// checked. The seed decides what is wanted and what goes wrong; when it does is up
// to the machine.
type siege struct {
	*Account
	t     *testing.T
	stack *stack.Stack
	calls *World // reads what the roles ask for

	orders   int          // how many are placed
	calm     atomic.Bool  // faults have ended
	flying   atomic.Int64 // calls between a role and a neighbour
	versions atomic.Int64 // of orders, that the stream has shown

	mu      sync.Mutex
	rng     *rand.Rand           // of the faults
	down    map[string]time.Time // neighbours, and until when
	stopped map[int]bool         // processes
	records []poller.Record      // of the table's stream
	letters map[string]*letter   // that SES took, by its ids
	noted   map[string]time.Time // when the ledger first had a mail's id, by the mail's key
	puts    map[string]Object    // by bucket and key
	changes map[string]*Change   // by who makes them
	news    map[string]int       // the call that first published an event, by its message
	shown   []func()             // what clients were shown, to be judged in the end
	noise   int                  // messages to the recorder that are about nothing
}

func TestSiege(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64N(1 << 32)
	}
	s := &siege{
		Account: newAccount(), t: t, orders: cmp.Or(*ordersFlag, 20), calls: newWorld(time.Now),
		rng: rand.New(rand.NewPCG(first, 0)), down: map[string]time.Time{}, stopped: map[int]bool{},
		letters: map[string]*letter{}, noted: map[string]time.Time{}, puts: map[string]Object{},
		changes: map[string]*Change{}, news: map[string]int{},
	}
	if first%2 != 0 {
		s.PaymentGroup = payers
	}
	s.start()
	start := time.Now()
	s.attack(first)
	attacked := time.Since(start)
	s.calmDown()
	s.settle()
	for range 2 {
		s.endClaims()
		s.redrive()
		s.settle()
	}
	s.account()
	s.Check()
	broken := s.Promises()
	t.Logf("seed %d: %d orders in %s, settled after %s more: %d promises broken\n%s", first, s.orders,
		attacked.Round(time.Second), (time.Since(start) - attacked).Round(time.Second), len(broken), counted(s.Counts()))
	for _, b := range broken {
		t.Errorf("seed %d: %s", first, b)
	}
	if len(broken) > 0 {
		t.Logf("the same choices again: make siege SEED=%d ORDERS=%d FOR=%s", first, s.orders, *length)
	}
}

func counted(counts map[string]int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%-44s%12d\n", name, counts[name])
	}
	return b.String()
}

// start starts the stack behind the network, with a reader of the table's
// stream.
func (s *siege) start() {
	var err error
	s.stack, err = stack.Start(s.t.Context(), stack.Options{
		Quick: true, Around: s.network, LogDir: os.Getenv("SIEGE_LOGS"),
		OnLog:    func(_, line string) { s.Logged([]byte(line)) },
		Settings: map[string]string{"PAYMENT_GROUP": s.PaymentGroup},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	go func() { _, _ = buildOps() }() // It is needed in the end.
	s.t.Cleanup(func() {
		stop()
		reading.Wait()
		s.stack.Close()
	})
	s.brand()
	stream := s.stream()
	reading.Go(func() { stream.Run(ctx) })
}

// brand gives tenants a company of their own: two of them sell for one.
func (s *siege) brand() {
	for i, tenant := range tenants()[1:] {
		name := []string{"Bloom", "Bloom", "Dunes"}[i]
		company := fmt.Sprintf(`{"name": %q, "vatNumber": "4%09d", "country": "ZA", "addressLines": ["1 Long Street"]}`,
			marker(tenant)+" "+name, len(name)+i/2)
		key := "branding/" + tenant + "/company.json"
		if err := s.stack.PutObject(s.t.Context(), stack.TemplatesBucket, key, []byte(company)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// chance runs a choice of the faults, one at a time.
func (s *siege) chance(choose func(*rand.Rand)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	choose(s.rng)
}

// happens decides about something that goes wrong, until the faults end.
func (s *siege) happens(probability float64) (yes bool) {
	s.chance(func(r *rand.Rand) { yes = r.Float64() < probability })
	return yes && !s.calm.Load()
}

// attack lets the clients come, one after the other, while neighbours go down
// and processes stop. The faults end when their time is over and each client has
// his order or has given up, however slow the machine is. It returns when all
// clients are done.
func (s *siege) attack(seed uint64) {
	over := time.After(*length)
	ctx, end := context.WithCancel(context.Background())
	var clients, placing, troubles sync.WaitGroup
	placing.Add(s.orders)
	for n := range s.orders {
		clients.Go(func() {
			time.Sleep(*length * time.Duration(n) / time.Duration(s.orders))
			s.order(n, rand.New(rand.NewPCG(seed, uint64(n+1))), placing.Done)
		})
	}
	for _, trouble := range []func(context.Context){s.outage, s.stop, s.copy} {
		troubles.Go(func() {
			for ctx.Err() == nil {
				trouble(ctx)
			}
		})
	}
	<-over
	placing.Wait()
	end()
	troubles.Wait()
	s.calm.Store(true)
	clients.Wait()
}

// wait waits for a while, and reports whether the faults go on after it.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// outage takes the neighbours down for a while, one after the other, the cart
// first.
func (s *siege) outage(ctx context.Context) {
	others := []string{"ses", "sns", "s3", "sqs", "dynamodb"}
	s.chance(func(r *rand.Rand) {
		r.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	})
	for _, who := range append([]string{"cart"}, others...) {
		var up, out time.Duration
		s.chance(func(r *rand.Rand) {
			up, out = *length/time.Duration(12+r.IntN(8)), *length/time.Duration(12+r.IntN(6))
		})
		if !wait(ctx, up) {
			return
		}
		s.mu.Lock()
		s.down[who] = time.Now().Add(out)
		s.mu.Unlock()
		s.Count("outages of " + who)
		wait(ctx, out)
	}
}

// stop stops a process of a role for a while, now and then for longer than an
// invocation may take.
func (s *siege) stop(ctx context.Context) {
	var before, during time.Duration
	var role string
	s.chance(func(r *rand.Rand) {
		before, during = time.Duration(r.IntN(1500))*time.Millisecond, time.Duration(100+r.IntN(4000))*time.Millisecond
		if *length > 2*pastTimeout && r.IntN(12) == 0 {
			during = pastTimeout
		}
		role = roleNames()[r.IntN(len(roleNames()))]
	})
	if !wait(ctx, before) {
		return
	}
	id, ok := s.process(role)
	if !ok {
		return
	}
	if syscall.Kill(-id, syscall.SIGSTOP) != nil {
		return // It is gone.
	}
	s.mu.Lock()
	s.stopped[id] = true
	s.mu.Unlock()
	s.Count("stops")
	if during == pastTimeout {
		s.Count("stops past the time-out")
		time.AfterFunc(during, func() { s.goOn(id) })
		return
	}
	wait(ctx, during)
	s.goOn(id)
}

func (s *siege) goOn(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped[id] {
		_ = syscall.Kill(-id, syscall.SIGCONT) // It may be gone.
		delete(s.stopped, id)
	}
}

func roleNames() []string {
	return []string{
		"create_order", "get_order", "list_orders", "update_order",
		recorder, documenter, teamMailer, customerMailer,
	}
}

func consumers() []string { return roleNames()[4:] }

// process chooses one of a role's processes.
func (s *siege) process(role string) (id int, ok bool) {
	ids := s.stack.Processes(role)
	if len(ids) == 0 {
		return 0, false
	}
	s.chance(func(r *rand.Rand) { id = ids[r.IntN(len(ids))] })
	return id, true
}

// kill kills one of a role's processes, or all with what is around them.
func (s *siege) kill(role string) {
	id, ok := s.process(role)
	if !ok {
		return
	}
	s.Count("kills")
	if s.happens(0.2) {
		s.Count("kills of all processes of a role")
		s.stack.Kill(role)
		return
	}
	_ = syscall.Kill(-id, syscall.SIGKILL) // It may be gone.
}

// copy delivers a message once more that was delivered before.
func (s *siege) copy(ctx context.Context) {
	var role string
	var pick uint64
	s.chance(func(r *rand.Rand) { role, pick = consumers()[r.IntN(4)], r.Uint64() })
	if !wait(ctx, time.Second/2) {
		return
	}
	var bodies []string
	for _, b := range s.stack.Batches(role) {
		for _, m := range b.Messages {
			bodies = append(bodies, m.Body)
		}
	}
	if len(bodies) > 0 {
		body := bodies[pick%uint64(len(bodies))]
		if strings.HasPrefix(body, `{"noise"`) {
			return
		}
		s.send(role, body)
		s.Count("copies of messages")
	}
}

func (s *siege) send(role, body string) {
	in := sqs.SendMessageInput{QueueUrl: aws.String(s.stack.QueueURL(role)), MessageBody: aws.String(body)}
	if _, err := s.stack.SQS.SendMessage(context.Background(), &in); err != nil {
		s.t.Error(err)
	}
}

// calmDown lets what was stopped go on, and clients ask once more whose key got
// no answer.
func (s *siege) calmDown() {
	s.mu.Lock()
	ids := slices.Collect(maps.Keys(s.stopped))
	s.mu.Unlock()
	for _, id := range ids {
		s.goOn(id)
	}
	var clients sync.WaitGroup
	for _, wi := range s.Wishes {
		if wi.Key != "" && wi.OrderID == "" {
			clients.Go(func() { s.post(wi, rand.New(rand.NewPCG(1, 1))) })
		}
	}
	clients.Wait()
}

// settle waits until nothing happens any more.
func (s *siege) settle() {
	was, since := "", time.Now()
	for end := time.Now().Add(settling); time.Since(since) < quiet; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.Broken("it does not come to rest: %s", was)
			return
		}
		now, still := s.state()
		if now != was || !still {
			was, since = now, time.Now()
		}
	}
}

// state describes how far everything is, and whether nothing is under way. What
// failed need not wait any longer.
func (s *siege) state() (now string, still bool) {
	still = s.flying.Load() == 0
	now = fmt.Sprintf("%d calls, %d versions", s.flying.Load(), s.versions.Load())
	for _, role := range consumers() {
		waiting, err := s.stack.Waiting(s.t.Context(), role)
		if err != nil {
			s.t.Fatal(err)
		}
		now += fmt.Sprintf(", %s: %d messages, %d batches", role, len(waiting), len(s.stack.Batches(role)))
		if len(waiting) > 0 {
			still = false
			s.release(role, waiting)
		}
	}
	return now, still
}

// release lets the time pass for which messages that failed stay invisible,
// where nobody could say that they may come again sooner.
func (s *siege) release(role string, waiting []stack.Message) {
	for _, b := range s.stack.Batches(role) {
		for _, m := range b.Messages {
			failed := b.Err != nil || slices.Contains(b.Failed, m.MessageId)
			if failed && slices.ContainsFunc(waiting, func(w stack.Message) bool { return w.MessageID == m.MessageId }) {
				_, _ = s.stack.SQS.ChangeMessageVisibility(s.t.Context(), &sqs.ChangeMessageVisibilityInput{
					QueueUrl: aws.String(s.stack.QueueURL(role)), ReceiptHandle: aws.String(m.ReceiptHandle),
				}) // It may have come again, and have another handle.
			}
		}
	}
}

// redrive is what an operator does about dead letters.
func (s *siege) redrive() {
	ops := exec.CommandContext(s.t.Context(), s.ops(), "dlq", "redrive", "-yes", "-limit", "100000")
	ops.Env = append(os.Environ(), s.stack.Environ...)
	out, err := ops.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	s.Add("redriven", bytes.Count(out, []byte("sent again")))
}

var buildOps = sync.OnceValues(func() (string, error) {
	root, err := emulator.Root()
	if err != nil {
		return "", err
	}
	program := filepath.Join(root, ".cache", "local", fmt.Sprintf("ops.%d", os.Getpid()))
	build := exec.Command("go", "build", "-o", program, "./deploy/ops")
	build.Dir = root
	out, err := build.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return program, err
})

func (s *siege) ops() string {
	program, err := buildOps()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.Remove(program) })
	return program
}
