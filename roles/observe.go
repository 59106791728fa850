package roles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/order"
)

// A handler handles one invocation: the event's JSON in, the answer's JSON out. An error fails the invocation.
type handler func(ctx context.Context, event []byte) ([]byte, error)

// observed wraps a handler with what every invocation shares: the context of its log lines, its metrics and its end.
type observed struct {
	handle      handler
	log         zerolog.Logger
	now         func() time.Time
	environment string
	warm        atomic.Bool
}

func observe(s Settings, now func() time.Time, log zerolog.Logger, h handler) *observed {
	return &observed{
		handle:      h,
		log:         log,
		now:         now,
		environment: s.get("ENVIRONMENT"),
	}
}

// NewLogger returns a logger that writes a JSON object a line: level, time in UTC with microseconds, message. The level
// is DEBUG, INFO, WARN or ERROR; anything else counts as INFO.
func NewLogger(w io.Writer, now func() time.Time, level string) zerolog.Logger {
	l := zerolog.InfoLevel
	switch level {
	case "DEBUG":
		l = zerolog.DebugLevel
	case "WARN":
		l = zerolog.WarnLevel
	case "ERROR":
		l = zerolog.ErrorLevel
	}
	stamp := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str("time", order.NewTimestamp(now()).String())
	})
	return zerolog.New(zerolog.SyncWriter(w)).Level(l).Hook(stamp)
}

// Invoke implements lambda.Handler.
func (o *observed) Invoke(ctx context.Context, event []byte) (answer []byte, err error) {
	start := o.now()
	cold := !o.warm.Swap(true)
	m := &metrics{}
	if cold {
		m.add(coldStarts, 1)
	}
	untraced := o.log.With().Str("requestId", requestID(ctx)).Bool("coldStart", cold).Logger()
	log := traced(untraced, traceHeader(ctx))
	ctx = context.WithValue(log.WithContext(ctx), scopeKey{}, &scope{m, untraced})
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, fmt.Errorf("panic: %v", p)
			log.Error().Str("error", redact(err.Error())).Bytes("stack", debug.Stack()).Msg("invocation panicked")
		}
		m.write(log, o.environment, o.now())
		log.Debug().Dur("durationMs", o.now().Sub(start)).Msg("invocation ended")
	}()
	return o.handle(ctx, event)
}

func requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// traceHeader returns the X-Ray header of the invocation, or "".
func traceHeader(ctx context.Context) string {
	h, _ := ctx.Value("x-amzn-trace-id").(string) // The key that aws-lambda-go sets.
	return h
}

// traced returns a logger with the id of the trace that an X-Ray header names.
func traced(log zerolog.Logger, header string) zerolog.Logger {
	return log.With().Str("traceId", traceRoot(header)).Logger()
}

// traceRoot returns the trace id of an X-Ray header: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1.
func traceRoot(header string) string {
	for part := range strings.SplitSeq(header, ";") {
		if root, ok := strings.CutPrefix(strings.TrimSpace(part), "Root="); ok {
			return root
		}
	}
	return ""
}

// logger returns the logger of the invocation or, in a batch, of the message.
func logger(ctx context.Context) *zerolog.Logger { return zerolog.Ctx(ctx) }

// annotate adds the tenant and the order, where they are known, to the log lines that follow.
func annotate(ctx context.Context, tenantID, orderID string) {
	logger(ctx).UpdateContext(func(c zerolog.Context) zerolog.Context {
		if tenantID != "" {
			c = c.Str("tenantId", tenantID)
		}
		if orderID != "" {
			c = c.Str("orderId", orderID)
		}
		return c
	})
}

// redact hides e-mail addresses, which errors of other services may quote.
func redact(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	const edges = " \t\n\"'<>(),;:[]{}"
	var b strings.Builder
	for len(s) > 0 {
		end := strings.IndexAny(s, edges)
		word := s
		if end >= 0 {
			word = s[:end]
		}
		if strings.Contains(word, "@") {
			b.WriteString("***")
		} else {
			b.WriteString(word)
		}
		if end < 0 {
			break
		}
		b.WriteByte(s[end])
		s = s[end+1:]
	}
	return b.String()
}

// reason is what the log says about an error: short where it is a permanent one.
func reason(err error) string {
	var p *order.Permanent
	if errors.As(err, &p) {
		return p.Reason
	}
	return ""
}

// A metric is the name of a CloudWatch metric in the namespace OrderService.
type metric string

// The metrics of section 12 of the contract.
const (
	ordersAccepted      metric = "OrdersAccepted"
	ordersRecorded      metric = "OrdersRecorded"
	ordersFailed        metric = "OrdersFailed"
	cartTotalMismatch   metric = "CartTotalMismatch"
	invoicesCreated     metric = "InvoicesCreated"
	invoiceMilliseconds metric = "InvoiceMilliseconds"
	mailsSent           metric = "MailsSent"
	mailFallbacks       metric = "MailFallbacks"
	messagesFailed      metric = "MessagesFailed"
	duplicates          metric = "Duplicates"
	coldStarts          metric = "ColdStarts"
)

func (m metric) unit() string {
	if m == invoiceMilliseconds {
		return "Milliseconds"
	}
	return "Count"
}

// metrics collects the measurements of one invocation.
type metrics struct {
	mu     sync.Mutex
	names  []metric
	values map[metric][]float64
}

// scope is what belongs to one invocation.
type scope struct {
	metrics  *metrics
	untraced zerolog.Logger // for messages, which bring a trace of their own
}

type scopeKey struct{}

// forMessage returns a context whose log lines are about one message of the invocation. Its trace is the one that its
// sender belonged to, if it came with one.
func forMessage(ctx context.Context, m message) context.Context {
	header := m.trace
	if header == "" {
		header = traceHeader(ctx)
	}
	log := *logger(ctx)
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		log = s.untraced
	}
	log = traced(log, header).With().Str("messageId", m.id).Int("receives", m.receives).Logger()
	return context.WithValue(log.WithContext(ctx), messageKey{}, m)
}

// messageKey is where the context of a message has the message.
type messageKey struct{}

// count adds one to a metric of the invocation.
func count(ctx context.Context, name metric) { measure(ctx, name, 1) }

// measure adds a value to a metric of the invocation.
func measure(ctx context.Context, name metric, value float64) {
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		s.metrics.add(name, value)
	}
}

func (m *metrics) add(name metric, value float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[metric][]float64{}
	}
	if !slices.Contains(m.names, name) {
		m.names = append(m.names, name)
	}
	if name.unit() == "Count" && len(m.values[name]) > 0 {
		m.values[name][0] += value
		return
	}
	m.values[name] = append(m.values[name], value)
}

// write writes the measurements as one line in CloudWatch's embedded metric format, or nothing where there are none. The
// role, which is a dimension, is in the logger's context.
// Source: the "Embedded metric format specification" of the CloudWatch user guide.
func (m *metrics) write(log zerolog.Logger, environment string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.names) == 0 {
		return
	}
	type definition struct {
		Name string
		Unit string
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	definitions := make([]definition, len(m.names))
	line := log.Log().Str("level", "info").Str("environment", environment) // Whatever LOG_LEVEL is.
	for i, name := range m.names {
		definitions[i] = definition{string(name), name.unit()}
		if v := m.values[name]; len(v) == 1 {
			line.Float64(string(name), v[0])
		} else {
			line.Floats64(string(name), v)
		}
	}
	meta, _ := json.Marshal(struct { // Strings and a number: cannot fail.
		Timestamp         int64
		CloudWatchMetrics []directive
	}{at.UnixMilli(), []directive{{"OrderService", [][]string{{"role", "environment"}}, definitions}}})
	line.RawJSON("_aws", meta).Msg("metrics")
}
