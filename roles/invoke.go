package roles

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/rs/zerolog"
)

// A handler handles one invocation: the event's JSON in, the answer's JSON out.
// An error fails the invocation.
type handler func(ctx context.Context, event []byte) ([]byte, error)

// A preparation is what a role does before its first event. It is nil for a role
// that does nothing.
type preparation func(ctx context.Context)

// A function wraps a handler with what every invocation shares: the context of
// its log lines, its metrics and its end. It is a lambda.Handler.
type function struct {
	handle      handler
	prepare     preparation
	log         zerolog.Logger
	now         func() time.Time
	environment string
	warm        atomic.Bool
}

// prepareTimeout bounds what a cold start may lose if S3 does not answer.
const prepareTimeout = 500 * time.Millisecond

// Prepare implements Handler.
func (f *function) Prepare(ctx context.Context) {
	if f.prepare == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	f.prepare(ctx)
}

// Invoke implements lambda.Handler.
func (f *function) Invoke(ctx context.Context, event []byte) (answer []byte, err error) {
	start := f.now()
	cold := !f.warm.Swap(true)
	s := &scope{metrics: &metrics{}}
	if cold {
		s.metrics.add(coldStarts, 1)
	}
	s.untraced = f.log.With().Str("requestId", requestID(ctx)).Bool("coldStart", cold).Logger()
	s.log = traced(s.untraced, traceHeader(ctx))
	ctx = context.WithValue(ctx, scopeKey{}, s)
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, fmt.Errorf("panic: %v", p)
			s.log.Error().Str("error", redact(err.Error())).Bytes("stack", debug.Stack()).Msg("invocation panicked")
		}
		s.metrics.write(s.log, f.environment, f.now())
		s.log.Debug().Dur("durationMs", f.now().Sub(start)).Msg("invocation ended")
	}()
	return f.handle(ctx, event)
}

// A scope is what the context of an invocation carries: where its log lines and
// its measurements go. A message of a batch has a scope of its own, which
// shares the invocation's metrics.
type scope struct {
	log      zerolog.Logger
	untraced zerolog.Logger // for messages, which bring a trace of their own
	metrics  *metrics
	message  *message // nil outside of a message
}

type scopeKey struct{}

// scopeOf returns the scope of a context. Outside of an invocation it is a
// scope that discards log lines and measurements.
func scopeOf(ctx context.Context) *scope {
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		return s
	}
	return &scope{log: zerolog.Nop(), untraced: zerolog.Nop(), metrics: &metrics{}}
}

// forMessage returns the context of one message of the invocation. Its trace is
// the one that its sender belonged to, if it came with one.
func forMessage(ctx context.Context, m message) context.Context {
	header := m.trace
	if header == "" {
		header = traceHeader(ctx)
	}
	s := *scopeOf(ctx)
	s.log = traced(s.untraced, header).With().Str("messageId", m.id).Int("receives", m.receives).Logger()
	s.message = &m
	return context.WithValue(ctx, scopeKey{}, &s)
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

// traceRoot returns the trace id of an X-Ray header:
// Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1.
func traceRoot(header string) string {
	for part := range strings.SplitSeq(header, ";") {
		if root, ok := strings.CutPrefix(strings.TrimSpace(part), "Root="); ok {
			return root
		}
	}
	return ""
}
