package roles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/order"
)

const (
	// maxReceives is how often a queue delivers a message before it moves it to the dead-letter queue (section 2 of the
	// contract). deploy/ and local/ set it on the queues.
	maxReceives = 3
	// safetyMargin is how much of the invocation's time must be left for a message to be started.
	safetyMargin = 5 * time.Second
	// batchReserve is what the invocation keeps to set visibilities and to answer, once its messages have run out of time.
	batchReserve = 2 * time.Second
	// maxConcurrent bounds the messages handled at a time, whatever the batch size.
	maxConcurrent = 10

	firstBackoff = 10 * time.Second
	mostBackoff  = 10 * time.Minute
)

// A message is one record of a batch.
type message struct {
	id       string
	body     []byte
	receives int    // how often SQS has delivered it, this time included
	trace    string // X-Ray header that came with it, or ""
}

// last reports whether the queue gives the message up if it fails once more.
func (m message) last() bool { return m.receives >= maxReceives }

// A messageHandler handles one message. An error that is order.Permanent or order.Invalid stays the same however often the
// message comes; any other is worth another try.
type messageHandler func(ctx context.Context, m message) error

// visibility sets how long messages, by their receipt handles, stay invisible before they come again.
type visibility interface {
	Change(ctx context.Context, timeouts map[string]time.Duration) error
}

// A laterError is a transient failure that knows when another try makes sense.
type laterError struct {
	err  error
	wait time.Duration
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

var errNoTimeLeft = errors.New("not started: too little of the invocation's time is left")

// batch turns a handler of messages into a handler of SQS events that reports the messages that failed.
func batch(v visibility, h messageHandler) handler {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var event events.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, fmt.Errorf("not an SQS event: %w", err)
		}
		work, cancel := reserve(ctx, batchReserve)
		defer cancel()

		var mu sync.Mutex
		waits := map[string]time.Duration{}
		answer := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		var group errgroup.Group
		group.SetLimit(maxConcurrent)
		for _, record := range event.Records {
			group.Go(func() error {
				wait, failed := handleRecord(work, ctx, record, h)
				if failed {
					mu.Lock()
					defer mu.Unlock()
					waits[record.ReceiptHandle] = wait
					answer.BatchItemFailures = append(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
				}
				return nil
			})
		}
		_ = group.Wait() // Failures are in the answer.
		if len(waits) > 0 {
			// Without it the messages come again all the same, after the queue's own visibility timeout.
			if err := v.Change(ctx, waits); err != nil {
				logger(ctx).Warn().Str("error", redact(err.Error())).Msg("visibility not set")
			}
		}
		return json.Marshal(answer)
	}
}

// handleRecord handles one record within work and says whether it failed and how long it should wait before it
// comes again. The invocation itself goes on until its own deadline.
func handleRecord(work, invocation context.Context, record events.SQSMessage, h messageHandler) (wait time.Duration, failed bool) {
	m := newMessage(record)
	ctx := forMessage(work, m)

	err := errNoTimeLeft
	if deadline, ok := invocation.Deadline(); !ok || time.Until(deadline) >= safetyMargin {
		err = protect(ctx, m, h)
	}
	if err == nil {
		return 0, false
	}
	count(ctx, messagesFailed)
	wait, permanent := retryIn(err, m.receives)
	level := zerolog.WarnLevel
	if permanent || m.last() {
		level = zerolog.ErrorLevel
	}
	logger(ctx).WithLevel(level).
		Str("error", redact(err.Error())).
		Str("reason", reason(err)).
		Bool("permanent", permanent).
		Dur("retryInMs", wait).
		Msg("message failed")
	return wait, true
}

func newMessage(record events.SQSMessage) message {
	receives, err := strconv.Atoi(record.Attributes["ApproximateReceiveCount"])
	if err != nil || receives < 1 {
		receives = 1
	}
	return message{
		id:       record.MessageId,
		body:     []byte(record.Body),
		receives: receives,
		trace:    record.Attributes["AWSTraceHeader"],
	}
}

// protect makes a panic the failure of the one message.
func protect(ctx context.Context, m message, h messageHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			logger(ctx).Error().Bytes("stack", debug.Stack()).Msg("message handler panicked")
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return h(ctx, m)
}

// retryIn says how long a message that failed should wait, and whether its failure is permanent. A permanent one does not
// wait, so that it reaches the dead-letter queue soon.
func retryIn(err error, receives int) (wait time.Duration, permanent bool) {
	var later *laterError
	switch {
	case isPermanent(err):
		return 0, true
	case errors.Is(err, errNoTimeLeft):
		return 0, false
	case errors.As(err, &later):
		return later.wait, false
	default:
		return backoff(receives), false
	}
}

func isPermanent(err error) bool {
	var p *order.Permanent
	var invalid order.Invalid
	return errors.As(err, &p) || errors.As(err, &invalid)
}

// backoff grows exponentially with the receives; half of it is jitter, so that messages that failed together do not
// come back together.
func backoff(receives int) time.Duration {
	d := min(firstBackoff<<min(receives-1, 10), mostBackoff)
	return d/2 + rand.N(d/2) //nolint:gosec // Jitter needs no secrecy.
}

// afterwards returns a context for what must still be written when the work is
// over: it outlives the work's deadline by a moment, so that there is time to
// try again, and is never shorter than a moment.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	const moment = 900 * time.Millisecond // Less than answerReserve and batchReserve.
	end := time.Now()
	if deadline, ok := ctx.Deadline(); ok && deadline.After(end) {
		end = deadline
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end.Add(moment))
}
