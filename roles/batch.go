package roles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
)

const (
	// maxReceives is how often a queue delivers a message before it moves it to
	// the dead-letter queue (section 2 of the contract). deploy/ and local/ set
	// it on the queues.
	maxReceives = 3
	// safetyMargin is how much of the invocation's time must be left for a
	// message to be started.
	safetyMargin = 5 * time.Second
	// batchReserve is what the invocation keeps to put messages off and to
	// answer, once its messages have run out of time.
	batchReserve = 2 * time.Second
	// maxConcurrent bounds the messages handled at a time, whatever the batch
	// size.
	maxConcurrent = 10

	firstBackoff = 10 * time.Second
	mostBackoff  = 10 * time.Minute

	// mostWaiting is how long a message waits for a neighbour that is down
	// before that counts as its failure.
	mostWaiting = 24 * time.Hour
	// rest is how long at most a function leaves a neighbour alone that has
	// just been down or refused it.
	rest = 2 * time.Second
)

// A message is one record of a batch.
type message struct {
	id        string
	body      []byte
	receives  int       // how often SQS has delivered it, this time included
	trace     string    // X-Ray header that came with it, or ""
	tenant    string    // its group, or ""
	firstSent time.Time // before it was ever put off
	attempt   int       // how often it was put off
	tooOld    bool      // waited for mostWaiting
}

// last reports whether the queue gives the message up if it fails once more.
func (m message) last() bool { return m.receives >= maxReceives }

// waits reports whether an error is no failure of the message, which can wait: a
// neighbour is down; or the message was not even started, and the queue would
// give it up.
func (m message) waits(err error) bool {
	return isOutage(err) && !m.tooOld || errors.Is(err, errNoTimeLeft) && m.last()
}

// A messageHandler handles one message. An order.PermanentError or
// order.InvalidError stays the same however often the message comes; any other
// error is worth another try.
type messageHandler func(ctx context.Context, m message) error

// ownQueue is the queue that a consumer serves.
type ownQueue interface {
	// Change sets how long messages, by their receipt handles, stay invisible
	// before they come again.
	Change(ctx context.Context, timeouts map[string]time.Duration) error
	// SendLater puts a copy of a message at the end of the queue.
	SendLater(ctx context.Context, d queue.Delayed) error
}

// A laterError is a transient failure that knows when another try makes sense.
type laterError struct {
	err  error
	wait time.Duration
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

var errNoTimeLeft = errors.New("not started: too little of the invocation's time is left")

// A consumer handles the messages of one queue.
type consumer struct {
	queue  ownQueue
	handle messageHandler
	now    func() time.Time

	mu    sync.Mutex
	alone time.Time // until when neighbours are left alone
}

// batch turns a handler of messages into a handler of SQS events that reports
// the messages that failed.
func batch(q ownQueue, now func() time.Time, h messageHandler) handler {
	return (&consumer{queue: q, handle: h, now: now}).invoke
}

func (c *consumer) invoke(ctx context.Context, payload []byte) ([]byte, error) {
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
			wait, failed := c.handleRecord(work, ctx, record)
			if failed {
				mu.Lock()
				defer mu.Unlock()
				waits[record.ReceiptHandle] = wait
				failure := events.SQSBatchItemFailure{ItemIdentifier: record.MessageId}
				answer.BatchItemFailures = append(answer.BatchItemFailures, failure)
			}
			return nil
		})
	}
	_ = group.Wait() // Failures are in the answer.
	if len(waits) > 0 {
		// If this fails, the messages come again after the queue's own visibility
		// timeout.
		if err := c.queue.Change(ctx, waits); err != nil {
			logger(ctx).Warn().Str("error", redact(err.Error())).Msg("visibility not set")
		}
	}
	return json.Marshal(answer)
}

// handleRecord handles one record within work and says whether it failed and
// how long it should wait before it comes again. The invocation itself goes on
// until its own deadline.
func (c *consumer) handleRecord(
	work, invocation context.Context, record events.SQSMessage,
) (wait time.Duration, failed bool) {
	m := newMessage(record, c.now())
	ctx := forMessage(work, m)

	err := c.leaveAlone(ctx)
	if deadline, ok := invocation.Deadline(); ok && time.Until(deadline) < safetyMargin {
		err = errNoTimeLeft
	}
	if err == nil {
		err = protect(ctx, m, c.handle)
	}
	if err == nil {
		return 0, false
	}
	if m.waits(err) {
		later := func(ctx context.Context, m message) error { return c.putOff(ctx, m, err) }
		if protect(ctx, m, later) == nil {
			return 0, false
		}
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

// putOff lets a message wait: a copy goes to the end of the queue, and this
// delivery is done with. So an outage costs time, and none of the message's
// tries.
func (c *consumer) putOff(ctx context.Context, m message, err error) error {
	if isOutage(err) {
		c.mu.Lock()
		c.alone = c.now().Add(rest/2 + rand.N(rest/2)) //nolint:gosec // Jitter needs no secrecy.
		c.mu.Unlock()
	}
	wait := delay(m.attempt, queue.MaxDelay)
	tidy, cancel := afterwards(ctx)
	defer cancel()
	sendErr := c.queue.SendLater(tidy, queue.Delayed{
		Body: string(m.body), TenantID: m.tenant, TraceHeader: m.trace,
		Delay: wait, FirstSent: m.firstSent, Attempt: m.attempt + 1,
	})
	if sendErr != nil {
		logger(ctx).Warn().Str("error", redact(sendErr.Error())).Msg("message not put off")
		return sendErr
	}
	count(ctx, messagesDelayed)
	logger(ctx).Warn().
		Str("error", redact(err.Error())).
		Int("attempt", m.attempt+1).
		Dur("retryInMs", wait).
		Msg("message put off")
	return nil
}

// leaveAlone waits for as long as the neighbours are left alone.
func (c *consumer) leaveAlone(ctx context.Context) error {
	c.mu.Lock()
	wait := min(c.alone.Sub(c.now()), rest) // Clocks jump.
	c.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errNoTimeLeft
	case <-timer.C:
		return nil
	}
}

func newMessage(record events.SQSMessage, now time.Time) message {
	number := func(s *string, least int64) int64 {
		if s == nil {
			return least
		}
		n, err := strconv.ParseInt(*s, 10, 64)
		if err != nil {
			return least
		}
		return max(n, least)
	}
	attribute := func(name string) *string {
		v, ok := record.Attributes[name]
		if !ok {
			return nil
		}
		return &v
	}
	m := message{
		id:        record.MessageId,
		body:      []byte(record.Body),
		receives:  int(number(attribute("ApproximateReceiveCount"), 1)),
		trace:     record.Attributes["AWSTraceHeader"],
		tenant:    record.Attributes["MessageGroupId"],
		firstSent: now,
		attempt:   int(number(record.MessageAttributes[queue.AttributeAttempt].StringValue, 0)),
	}
	firstSent := record.MessageAttributes[queue.AttributeFirstSent].StringValue
	for _, at := range []*string{firstSent, attribute("SentTimestamp")} {
		if ms := number(at, 0); ms > 0 {
			m.firstSent = time.UnixMilli(ms)
			break
		}
	}
	m.tooOld = now.Sub(m.firstSent) >= mostWaiting
	return m
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

// retryIn says how long a message that failed should wait, and whether its
// failure is permanent. A permanent one does not wait, so that it reaches the
// dead-letter queue soon.
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
	var p *order.PermanentError
	var invalid order.InvalidError
	return errors.As(err, &p) || errors.As(err, &invalid)
}

// backoff returns how long a message that failed stays invisible.
func backoff(receives int) time.Duration { return delay(receives-1, mostBackoff) }

// delay grows exponentially with the attempts before, up to most. Half of it is
// jitter, so that messages that failed together do not come back together.
func delay(attempt int, most time.Duration) time.Duration {
	d := min(firstBackoff<<min(attempt, 10), most)
	return d/2 + rand.N(d/2) //nolint:gosec // Jitter needs no secrecy.
}

// isOutage reports whether an error is a neighbour's who is down, slow, or
// refuses for its load, so that the same call may work later: what the SDK
// calls retryable, what SES says of its limits, and what the clients say of
// their neighbours.
func isOutage(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "SendingPausedException", "AccountSuspendedException", "LimitExceededException",
			"TransactionCanceledException", "TransactionConflictException":
			return true
		}
	}
	cut := errors.Is(err, io.ErrUnexpectedEOF) && !isPermanent(err) // An answer; the SDK does not say so of its body.
	return cut || errors.Is(err, order.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

// afterwards returns a context for what must still be written when the work is
// over: it outlives the work's deadline by a moment, so that there is time to
// try again.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	const moment = 900 * time.Millisecond // Less than answerReserve and batchReserve.
	end := time.Now()
	if deadline, ok := ctx.Deadline(); ok && deadline.After(end) {
		end = deadline
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end.Add(moment))
}
