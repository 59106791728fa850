package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/roles"
)

const (
	tableName       = "orders"
	ordersBucket    = "order-invoices"
	templatesBucket = "mail-templates"
	topicARN        = "arn:aws:sns:eu-west-1:123456789012:order-events"
	team            = "team@kimmyai.example"
	taxRate         = "0.15"
)

// A function is one of the eight, with its environments that are alive and idle.
type function struct {
	role    string
	timeout time.Duration
	env     map[string]string
	idle    []*environment
}

// An environment is one process of a function. It handles one invocation at a time and may have a clock of its own mind.
type environment struct {
	world      *simulation
	function   *function
	handler    lambda.Handler
	invocation *invocation
	skew       atomic.Int64
}

// Now is what the environment's clock shows.
func (e *environment) Now() time.Time { return e.world.clock().Add(time.Duration(e.skew.Load())) }

// An invocation is one run of a handler.
type invocation struct {
	name     string // sorts by age
	role     string
	env      *environment
	deadline time.Time
	killed   atomic.Bool
	died     chan struct{} // closed when the process is killed
	cancel   context.CancelFunc
	began    time.Time // by the environment's clock
	ended    time.Time // likewise
	since    int       // how many versions of orders there were when it began
	until    int       // likewise when it ended
	returned atomic.Bool
	finish   func(result)

	status   int  // what an API role answered, 0 for nothing
	replayed bool // what it answered was another acceptance's
	failures int  // what a consumer reported
	panicked bool // a call of it did
	excused  bool // among them one that is no single message's, but the batch's

	late    bool            // a consumer's that began with less time than a message needs, and must not start one
	delayed string          // calls that said when messages come again
	unknown map[string]bool // orders whose mail went to SES, while the ledger was not told yet what came of it
}

// A result is what came of an invocation. A payload of nil means that there was none.
type result struct {
	payload []byte
}

func (i *invocation) dead() bool { return i.killed.Load() }

// enough is how much time a message needs to be started (contract, section 7).
const enough = 5 * time.Second

// kill ends the process: from now on it has no effect on anything.
func (i *invocation) kill() {
	sim := i.env.world
	if i.killed.Swap(true) {
		return
	}
	i.cancel()
	close(i.died)
	sim.mu.Lock()
	sim.steps = slices.DeleteFunc(sim.steps, func(s *step) bool { return s.of == i })
	sim.mu.Unlock()
	sim.end(i, result{})
}

func (sim *simulation) end(i *invocation, r result) {
	i.ended, i.until = i.env.Now(), sim.versions
	sim.mu.Lock()
	sim.running = slices.DeleteFunc(sim.running, func(j *invocation) bool { return j == i })
	sim.mu.Unlock()
	i.finish(r)
}

// endOverdue kills what exceeds its function's timeout, as Lambda does.
func (sim *simulation) endOverdue() {
	for _, i := range slices.Clone(sim.running) {
		if !i.returned.Load() && !time.Now().Before(i.deadline) {
			sim.count("timeouts of functions")
			i.kill()
		}
	}
}

// deploy makes queues, topic, buckets and functions as deploy/ does.
func (sim *simulation) deploy() {
	sim.functions = map[string]*function{}
	add := func(role string, q *world.Queue, batch, most int, timeout time.Duration) {
		env := map[string]string{
			"ROLE": role, "ENVIRONMENT": "dev", "AWS_REGION": "eu-west-1", "DYNAMODB_TABLE_NAME": tableName, "TAX_RATE": taxRate,
			"ORDER_EVENTS_TOPIC_ARN": topicARN, "CART_LAMBDA_API_URL": "https://" + cartService + "/v1.0/cart",
			"S3_ORDERS_BUCKET": ordersBucket, "S3_EMAIL_TEMPLATES_BUCKET": templatesBucket,
			"SES_FROM_ADDRESS": "orders@kimmyai.example", "INTERNAL_NOTIFICATION_EMAIL": team, "SQS_QUEUE_URL": q.URL,
		}
		sim.functions[role] = &function{role: role, timeout: timeout, env: env}
		if batch > 0 {
			sim.sources = append(sim.sources, &source{role: role, queue: q, batch: batch, most: most})
		}
	}
	queue := func(name string, timeout time.Duration) *world.Queue {
		q := sim.cloud.AddQueue("bbws-order-"+name+"-dev", 6*timeout, 3)
		q.Late = sim.late
		return q
	}
	creation := queue("creation", 30*time.Second)
	creation.OnSend = sim.sent
	pdf := queue("pdf", 60*time.Second)
	internal := queue("internal-notify", 30*time.Second)
	customer := queue("customer-notify", 30*time.Second)
	sim.cloud.Subscribe(topicARN, pdf, true)
	sim.cloud.Subscribe(topicARN, internal, sim.o.Seed%2 == 0)
	sim.cloud.Subscribe(topicARN, customer, true)
	for _, role := range []string{"create_order", "get_order", "list_orders", "update_order"} {
		add(role, creation, 0, 0, 30*time.Second)
	}
	add("order_creator_record", creation, 10, 5, 30*time.Second)
	add("order_pdf_creator", pdf, 5, 10, 60*time.Second)
	add("order_internal_notifier", internal, 10, 5, 30*time.Second)
	add("customer_order_confirmation", customer, 10, 5, 30*time.Second)
	for _, name := range []string{"internal/order_notification.html", "customer/order_confirmation.html"} {
		sim.cloud.Put(templatesBucket, name, mustRead(templates.FS.ReadFile(name)))
	}
	sim.cloud.Put(templatesBucket, "branding/company.json", mustRead(branding.Files.ReadFile("company.json")))
	sim.cloud.Put(templatesBucket, "branding/logo.png", smallLogo())
}

// smallLogo is a picture that costs little to read: every new process reads it.
func smallLogo() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		panic(err) // A buffer takes everything.
	}
	return b.Bytes()
}

func mustRead(data []byte, err error) []byte {
	if err != nil {
		panic(err) // The files are built in.
	}
	return data
}

// late is how much later than asked a message comes again. The service's backoff has a jitter that the seed does not decide;
// up to its upper bound the message is therefore late, and sometimes a good deal more.
func (sim *simulation) late(m *world.Message, asked time.Duration) time.Duration {
	most := 10 * time.Second << (m.Receives - 1)
	var late time.Duration
	if 0 < asked && asked <= most {
		late = most - asked
	}
	if r := sim.chance("late " + m.Handle); sim.happens(r, 0.1) {
		late += time.Duration(r.IntN(600)) * time.Second
	}
	return late
}

// invoke starts an invocation in an environment of the role, warm or new. The name says who asks.
func (sim *simulation) invoke(role string, payload []byte, finish func(*invocation, result)) {
	sim.serial++
	f := sim.functions[role]
	inv := &invocation{name: fmt.Sprintf("%07d %s", sim.serial, role), role: role, died: make(chan struct{}), unknown: map[string]bool{}}
	r := sim.chance("invocation " + inv.name)
	e := sim.environment(f, r)
	inv.env, e.invocation, inv.began, inv.since = e, inv, e.Now(), sim.versions
	left := f.timeout
	if sim.happens(r, 0.01) {
		left = time.Duration(1+r.IntN(8)) * time.Second // A batch that comes when the time is nearly over.
		sim.count("invocations short of time")
	}
	inv.deadline = time.Now().Add(left)
	inv.late = left < enough && slices.ContainsFunc(sim.sources, func(s *source) bool { return s.role == role })
	inv.finish = func(r result) {
		if inv.panicked && !inv.excused && !inv.dead() && r.payload == nil {
			sim.broken("%s failed as a whole because one call panicked", inv.name)
		}
		if !inv.dead() {
			e.invocation = nil
			f.idle = append(f.idle, e)
		}
		finish(inv, r)
	}
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: inv.name})
	ctx, inv.cancel = context.WithDeadline(ctx, inv.deadline)
	sim.running = append(sim.running, inv)
	sim.count("invocations")
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
		sim.enqueue(&step{name: inv.name + " ends", from: time.Now(), of: inv, do: func() { sim.end(inv, result{answer}) }})
	}()
}

// call runs the handler as the Lambda runtime does, which takes a panic for the end of the process.
func (e *environment) call(ctx context.Context, payload []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.world.broken("%s died of a panic: %v", e.invocation.name, p)
			err = errKilled
		}
	}()
	return e.handler.Invoke(ctx, payload)
}

// environment returns an idle environment of the function or a new one. Clocks jump between invocations.
func (sim *simulation) environment(f *function, r *rand.Rand) *environment {
	var e *environment
	if n := len(f.idle); n > 0 && !sim.happens(r, 0.03) {
		i := r.IntN(n)
		e = f.idle[i]
		f.idle = slices.Delete(f.idle, i, i+1)
	} else {
		e = &environment{world: sim, function: f}
		settings, err := roles.Configure(func(name string) string { return f.env[name] })
		if err != nil {
			sim.t.Fatal(err)
		}
		e.handler = roles.Build(settings, roles.Deps{
			AWS: aws.Config{
				Region:                     "eu-west-1",
				HTTPClient:                 transport{e},
				Credentials:                credentials.NewStaticCredentialsProvider("local", "local", ""),
				Retryer:                    e.retryer,
				RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
				ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
			},
			Transport: transport{e},
			Stdout:    &logReader{sim: sim, e: e},
			Now:       e.Now,
		})
		sim.count("cold starts")
	}
	if sim.happens(r, 0.05) {
		e.skew.Store(int64(time.Duration(r.Int64N(int64(2*mostSkew))) - mostSkew))
		sim.count("clock jumps")
	}
	return e
}

// retryer returns the SDK's own, save that the seed decides about its pauses and not the order in which calls of one moment ask for them:
// two messages of a batch, or what a killed process left running.
func (e *environment) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			r := e.world.chance(fmt.Sprintf("pause %s %d %s", e.invocation.name, attempt, time.Since(e.world.start)))
			return time.Duration(r.Int64N(int64(min(time.Second<<min(attempt, 10), o.MaxBackoff)))), nil
		})
	})
}

// A logReader reads what a process logs: nothing personal may be in it.
type logReader struct {
	sim *simulation
	e   *environment
	mu  sync.Mutex
}

var stack = regexp.MustCompile(`"stack":"[^"]*"`)

func (l *logReader) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(line)
	if i := l.e.invocation; i != nil && i.dead() {
		return n, nil
	}
	if i := l.e.invocation; i != nil && i.panicked {
		line = stack.ReplaceAll(line, nil) // Its files have an @ before their module's version.
	} else if bytes.Contains(line, []byte("panic")) {
		l.sim.broken("panic: %s", line)
	}
	if bytes.Contains(line, []byte("@")) || bytes.Contains(line, []byte(street)) {
		l.sim.broken("personal data in the log: %s", line)
	}
	if bytes.Contains(line, []byte(`"_aws"`)) {
		var m struct{ Duplicates, MailFallbacks, OrdersRecorded int }
		if err := json.Unmarshal(line, &m); err != nil {
			l.sim.broken("metrics that are no JSON: %s", line)
		}
		l.sim.add("duplicates suppressed", m.Duplicates)
		l.sim.add("mails without template", m.MailFallbacks)
	}
	return n, nil
}

// A source delivers the messages of a queue to a function, as Lambda's event source mapping does.
type source struct {
	role        string
	queue       *world.Queue
	batch, most int
	busy        int
}

var orderIDPattern = regexp.MustCompile(`orderId\\*": ?\\*"([0-9a-f-]{36})`)

// orderOf returns the id of the order that a message is about, or the message itself where there is none.
func orderOf(body string) string {
	if m := orderIDPattern.FindStringSubmatch(body); m != nil {
		return m[1]
	}
	return body
}

// poll starts one batch, if there is a message and a function free for it.
func (sim *simulation) poll() bool {
	for _, i := range sim.rng.Perm(len(sim.sources)) {
		s := sim.sources[i]
		if s.busy >= s.most {
			continue
		}
		// Some are left for later, so that the order of delivery is not that of sending. Two messages about one order come
		// in batches of their own: in one batch nothing would tell their calls apart when the run is repeated.
		about := map[string]bool{}
		messages := s.queue.Receive(1+sim.rng.IntN(s.batch), func(m world.Message) bool {
			id := orderOf(m.Body)
			if about[id] || sim.rng.IntN(6) == 0 {
				return false
			}
			about[id] = true
			return true
		})
		if len(messages) > 0 {
			sim.deliver(s, messages)
			return true
		}
	}
	return false
}

func (sim *simulation) deliver(s *source, messages []world.Message) {
	event := events.SQSEvent{}
	for _, m := range messages {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: m.ID, ReceiptHandle: m.Handle, Body: m.Body, EventSource: "aws:sqs", AWSRegion: "eu-west-1",
			Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.Receives), "SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10)},
		})
		sim.count("deliveries")
		if m.Receives > 1 {
			sim.count("redeliveries")
		}
		// SQS may deliver a message again while it is being handled.
		if r := sim.chance("twice " + m.Handle); sim.happens(r, 0.03) {
			s.queue.Show(m.Handle, time.Duration(r.IntN(40))*time.Second)
			sim.count("visibility run out")
		}
	}
	payload, err := json.Marshal(event)
	if err != nil {
		sim.t.Fatal(err)
	}
	sim.trace("deliver " + string(payload))
	s.busy++
	sim.invoke(s.role, payload, func(inv *invocation, r result) {
		s.busy--
		sim.deleteDone(s, inv, messages, r)
	})
}

// deleteDone deletes the messages of a batch that were handled.
func (sim *simulation) deleteDone(s *source, inv *invocation, messages []world.Message, r result) {
	if r.payload == nil {
		inv.failures = len(messages)
		return
	}
	var answer events.SQSEventResponse
	if err := json.Unmarshal(r.payload, &answer); err != nil {
		sim.broken("%s answered what is no batch response: %s", inv.name, r.payload)
		return
	}
	failed := map[string]bool{}
	for _, f := range answer.BatchItemFailures {
		if !slices.ContainsFunc(messages, func(m world.Message) bool { return m.ID == f.ItemIdentifier }) || failed[f.ItemIdentifier] {
			sim.broken("%s reported %q, which it was not given, or twice", inv.name, f.ItemIdentifier)
		}
		failed[f.ItemIdentifier] = true
	}
	inv.failures = len(failed)
	sim.checkBatch(inv)
	for _, m := range messages {
		if failed[m.ID] && !strings.Contains(inv.delayed, m.Handle) {
			sim.broken("%s reported %s as failed, and never said when it should come again", inv.name, m.ID)
		}
		switch {
		case failed[m.ID]:
			sim.count("messages failed")
		case sim.happens(sim.chance("delete "+m.Handle), 0.01):
			sim.count("deletes lost") // It comes again after its visibility timeout.
		default:
			s.queue.Delete(m.Handle)
		}
	}
	sim.trace("done " + inv.name + strings.Repeat("!", len(failed)))
}
