package roles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
)

// fakeQueue keeps what it was told.
type fakeQueue struct {
	mu        sync.Mutex
	waits     map[string]time.Duration
	sent      []queue.Delayed
	err       error // of Change
	sendErr   error
	onSending func(ctx context.Context)
}

func (f *fakeQueue) Change(_ context.Context, waits map[string]time.Duration) error {
	f.waits = waits
	return f.err
}

func (f *fakeQueue) SendLater(ctx context.Context, d queue.Delayed) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onSending != nil {
		f.onSending(ctx)
	}
	if f.sendErr == nil {
		f.sent = append(f.sent, d)
	}
	return f.sendErr
}

// records is an SQS event of n messages m0, m1, … with the receipt handles h0,
// h1, …, delivered for the given time.
func records(t *testing.T, n, receives int) []byte {
	t.Helper()
	var event events.SQSEvent
	for i := range n {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: fmt.Sprint("m", i), ReceiptHandle: fmt.Sprint("h", i), Body: fmt.Sprint(i),
			Attributes: map[string]string{"ApproximateReceiveCount": fmt.Sprint(receives)},
		})
	}
	return encodeJSON(t, event)
}

func encodeJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// failures gives an event to a handler of batches and returns the ids that it
// reports, sorted.
func failures(t *testing.T, ctx context.Context, h handler, payload []byte) []string {
	t.Helper()
	out, err := h(ctx, payload)
	if err != nil {
		t.Fatal(err)
	}
	var answer events.SQSEventResponse
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, f := range answer.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	slices.Sort(ids)
	return ids
}

func TestBatch(t *testing.T) {
	t.Run("reports exactly the messages that failed, each for itself", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		q := &fakeQueue{}
		ids := failures(t, ctx, batch(q, atNoon, func(_ context.Context, m message) error {
			switch string(m.body) {
			case "2":
				return errFault
			case "4":
				return &order.PermanentError{Reason: "cart not found"}
			case "5":
				return order.InvalidError{{Field: "body", Message: "is bad"}}
			case "7":
				panic("boom")
			case "8":
				return &laterError{errFault, time.Minute}
			}
			return nil
		}), records(t, 10, 2))
		is.Equal(ids, []string{"m2", "m4", "m5", "m7", "m8"})
		is.Equal(counted(ctx, messagesFailed), 5.0)
		is.Equal(len(q.waits), 5)
		for _, handle := range []string{"h2", "h7"} { // transient: the second backoff is 10 to 20 s
			is.True(q.waits[handle] >= 10*time.Second && q.waits[handle] < 20*time.Second)
		}
		is.Equal(q.waits["h4"], time.Duration(0)) // permanent: no wait
		is.Equal(q.waits["h5"], time.Duration(0))
		is.Equal(q.waits["h8"], time.Minute)
		is.Equal(len(q.sent), 0) // none of it is an outage
		is.True(strings.Contains(log.String(), `"reason":"cart not found"`))
		is.True(strings.Contains(log.String(), `"messageId":"m7"`))
	})
	t.Run("answers an empty list where all is well", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		q := &fakeQueue{}
		out, err := batch(q, atNoon, func(context.Context, message) error { return nil })(ctx, records(t, 3, 1))
		is.NoErr(err)
		is.Equal(string(out), `{"batchItemFailures":[]}`)
		is.Equal(q.waits, nil) // no call
	})
	t.Run("reports failures though their visibility cannot be set", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		h := batch(&fakeQueue{err: errFault}, atNoon, func(context.Context, message) error { return errFault })
		is.Equal(failures(t, ctx, h, records(t, 1, 1)), []string{"m0"})
		is.True(strings.Contains(log.String(), "visibility not set"))
	})
	t.Run("logs an error where the queue gives the message up, else a warning", func(t *testing.T) {
		for receives, level := range map[int]string{1: "warn", 2: "warn", 3: "error"} {
			is := is.New(t)
			ctx, log := invocation(t)
			failures(
				t, ctx, batch(&fakeQueue{}, atNoon, func(context.Context, message) error { return errFault }),
				records(t, 1, receives),
			)
			is.True(strings.Contains(log.String(), `"level":"`+level+`"`))
			is.Equal(strings.Count(log.String(), "message failed"), 1)
		}
	})
	t.Run("refuses what is no SQS event", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		_, err := batch(&fakeQueue{}, atNoon, nil)(ctx, []byte(`[]`))
		is.True(err != nil)
	})
}

func TestBatchTime(t *testing.T) {
	t.Run("is bounded by its slowest message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			start := time.Now()
			is.Equal(len(failures(t, ctx, batch(&fakeQueue{}, time.Now, func(context.Context, message) error {
				time.Sleep(3 * time.Second)
				return nil
			}), records(t, 10, 1))), 0)
			is.Equal(time.Since(start), 3*time.Second) // not 30
		})
	})
	t.Run("starts nothing in its last seconds", func(t *testing.T) {
		for took, late := range map[time.Duration]int{25 * time.Second: 0, 25*time.Second + 1: 2} {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				ctx, _ := invocation(t)
				q := &fakeQueue{}
				var started atomic.Int32
				// Twelve messages, ten at a time: the first ten leave five seconds for the
				// other two, or too little.
				ids := failures(t, ctx, batch(q, time.Now, func(context.Context, message) error {
					if started.Add(1) <= 10 {
						time.Sleep(took)
					}
					return nil
				}), records(t, 12, 1))
				is.Equal(int(started.Load()), 12-late)
				is.Equal(len(ids), late)
				is.Equal(len(q.waits), late)
				for _, wait := range q.waits {
					is.Equal(wait, time.Duration(0)) // they come again at once
				}
			})
		}
	})
	t.Run("puts off what it does not start and the queue would give up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			q := &fakeQueue{}
			short, cancel := context.WithTimeout(ctx, safetyMargin-time.Nanosecond)
			defer cancel()
			h := batch(q, time.Now, func(context.Context, message) error { return nil })
			is.Equal(failures(t, short, h, records(t, 2, maxReceives-1)), []string{"m0", "m1"}) // they come again
			is.Equal(failures(t, short, h, records(t, 2, maxReceives)), []string{})
			is.Equal(len(q.sent), 2)
			start := time.Now()
			is.Equal(failures(t, ctx, h, records(t, 1, 1)), []string{})
			is.Equal(time.Since(start), time.Duration(0)) // no neighbour refused anything
		})
	})
	t.Run("puts off messages that run out of time, and still answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			q := &fakeQueue{onSending: func(ctx context.Context) { is.NoErr(ctx.Err()) }} // there is time to send
			start := time.Now()
			ids := failures(t, ctx, batch(q, time.Now, func(ctx context.Context, m message) error {
				if string(m.body) == "0" {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}), records(t, 2, 1))
			is.Equal(len(ids), 0)
			is.Equal(len(q.sent), 1) // the neighbour was too slow
			is.Equal(time.Since(start), 28*time.Second)
		})
	})
}

// later is a message that is delivered to a consumer which waits for a
// neighbour.
func later(change func(*events.SQSMessage)) events.SQSMessage {
	const trace = "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3;Parent=53995c3f42cd8ad8;Sampled=1"
	m := events.SQSMessage{
		MessageId: "m0", ReceiptHandle: "h0", Body: `{"a": "b"}`,
		Attributes: map[string]string{
			"ApproximateReceiveCount": "3", "SentTimestamp": fmt.Sprint(noon.Add(-time.Hour).UnixMilli()),
			"AWSTraceHeader": trace, "MessageGroupId": acme,
		},
		MessageAttributes: map[string]events.SQSMessageAttribute{},
	}
	if change != nil {
		change(&m)
	}
	return m
}

// waited gives a message the attributes of one that was put off.
func waited(attempt int, firstSent time.Time) func(*events.SQSMessage) {
	number := func(n int64) events.SQSMessageAttribute {
		text := fmt.Sprint(n)
		return events.SQSMessageAttribute{DataType: "Number", StringValue: &text}
	}
	return func(m *events.SQSMessage) {
		m.MessageAttributes[queue.AttributeAttempt] = number(int64(attempt))
		m.MessageAttributes[queue.AttributeFirstSent] = number(firstSent.UnixMilli())
	}
}

func unavailable(context.Context, message) error {
	return fmt.Errorf("the Cart API answered 503: %w", order.ErrUnavailable)
}

func TestPutOff(t *testing.T) {
	handle := func(t *testing.T, ctx context.Context, q *fakeQueue, change func(*events.SQSMessage)) []string {
		t.Helper()
		event := events.SQSEvent{Records: []events.SQSMessage{later(change)}}
		return failures(t, ctx, batch(q, atNoon, unavailable), encodeJSON(t, event))
	}
	t.Run("a copy waits at the end of the queue, and the delivery is done with", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		q := &fakeQueue{}
		is.Equal(handle(t, ctx, q, nil), []string{}) // also at the last delivery
		is.Equal(len(q.sent), 1)
		d := q.sent[0]
		is.True(d.Delay >= 5*time.Second && d.Delay < 10*time.Second)
		d.Delay = 0
		is.Equal(d, queue.Delayed{
			Body: `{"a": "b"}`, TenantID: acme, TraceHeader: later(nil).Attributes["AWSTraceHeader"],
			FirstSent: time.UnixMilli(noon.Add(-time.Hour).UnixMilli()), Attempt: 1,
		})
		is.Equal(q.waits, nil) // nothing comes again
		is.Equal(counted(ctx, messagesDelayed), 1.0)
		is.Equal(counted(ctx, messagesFailed), 0.0)
		is.True(strings.Contains(log.String(), `"attempt":1,`) && strings.Contains(log.String(), "message put off"))
		is.True(!strings.Contains(log.String(), "message failed"))
	})
	t.Run("each time longer, up to 15 minutes", func(t *testing.T) {
		for attempt, most := range map[int]time.Duration{
			0: 10 * time.Second, 1: 20 * time.Second, 2: 40 * time.Second, 6: 640 * time.Second, 7: 15 * time.Minute,
			90: 15 * time.Minute, 1 << 30: 15 * time.Minute,
		} {
			is := is.New(t)
			ctx, _ := invocation(t)
			q := &fakeQueue{}
			firstSent := noon.Add(-3 * time.Hour)
			is.Equal(handle(t, ctx, q, waited(attempt, firstSent)), []string{})
			is.True(q.sent[0].Delay >= most/2 && q.sent[0].Delay < most) // half of it is jitter
			is.Equal(q.sent[0].Attempt, attempt+1)
			is.Equal(q.sent[0].FirstSent, time.UnixMilli(firstSent.UnixMilli())) // stays
		}
	})
	t.Run("until a day has passed since it was first sent", func(t *testing.T) {
		for age, failed := range map[time.Duration]bool{
			mostWaiting - time.Millisecond: false, mostWaiting: true, 20 * 24 * time.Hour: true,
		} {
			is := is.New(t)
			ctx, _ := invocation(t)
			q := &fakeQueue{}
			ids := handle(t, ctx, q, func(m *events.SQSMessage) {
				waited(50, noon.Add(-age))(m)
				m.Attributes["ApproximateReceiveCount"] = "2"
			})
			is.Equal(len(q.sent) == 0, failed)
			is.Equal(len(ids) == 1, failed) // a failure like any other
			is.Equal(counted(ctx, messagesFailed) == 1, failed)
			is.Equal(q.waits["h0"] >= 10*time.Second, failed) // with a backoff
		}
	})
	t.Run("is reported, with a backoff, where the copy cannot be sent", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		q := &fakeQueue{sendErr: errFault}
		is.Equal(handle(t, ctx, q, nil), []string{"m0"})
		is.True(q.waits["h0"] >= 20*time.Second && q.waits["h0"] < 40*time.Second) // by its third receive
		is.Equal(counted(ctx, messagesDelayed), 0.0)
		is.Equal(counted(ctx, messagesFailed), 1.0)
		is.True(strings.Contains(log.String(), "message not put off"))
	})
}

// TestLeaveAlone holds that a function asks nothing of neighbours right after
// one has refused it, so that a queue does not run through an outage.
func TestLeaveAlone(t *testing.T) {
	t.Run("for a moment, then it asks again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			asked := []time.Time{}
			h := batch(&fakeQueue{}, time.Now, func(context.Context, message) error {
				if asked = append(asked, time.Now()); len(asked) == 1 {
					return order.ErrUnavailable
				}
				return nil
			})
			for range 3 {
				is.Equal(failures(t, ctx, h, records(t, 1, 1)), []string{})
			}
			pause := asked[1].Sub(asked[0])
			is.True(pause >= rest/2 && pause < rest)
			is.Equal(asked[2], asked[1]) // it was not refused again
		})
	})
	t.Run("not after other failures", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			start := time.Now()
			h := batch(&fakeQueue{}, time.Now, func(context.Context, message) error { return errFault })
			for range 3 {
				failures(t, ctx, h, records(t, 1, 1))
			}
			is.Equal(time.Since(start), time.Duration(0))
		})
	})
	t.Run("no longer than a moment, whatever the clock does", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			back := time.Duration(0)
			h := batch(&fakeQueue{}, func() time.Time { return time.Now().Add(-back) }, unavailable)
			failures(t, ctx, h, records(t, 1, 1))
			back = time.Hour
			start := time.Now()
			failures(t, ctx, h, records(t, 1, 1))
			is.Equal(time.Since(start), rest)
		})
	})
	t.Run("and starts nothing that its time is up for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			q := &fakeQueue{}
			asked := 0
			h := batch(q, time.Now, func(ctx context.Context, m message) error {
				asked++
				return unavailable(ctx, m)
			})
			failures(t, ctx, h, records(t, 1, 1))
			ctx, cancel := context.WithTimeout(ctx, batchReserve+rest/4)
			defer cancel()
			is.Equal(failures(t, ctx, h, records(t, 1, 1)), []string{"m0"})
			is.Equal(asked, 1)
			is.Equal(q.waits["h0"], time.Duration(0)) // not started: no fault of its own
		})
	})
}

func TestBackoff(t *testing.T) {
	is := is.New(t)
	for receives, most := range map[int]time.Duration{
		1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 1000: 10 * time.Minute,
	} {
		for range 100 {
			d := backoff(receives)
			is.True(d >= most/2 && d < most)
		}
	}
}

func TestNewMessage(t *testing.T) {
	t.Run("receives", func(t *testing.T) {
		is := is.New(t)
		for count, want := range map[string]int{"": 1, "x": 1, "0": 1, "-1": 1, "1": 1, "7": 7} {
			m := newMessage(events.SQSMessage{Attributes: map[string]string{"ApproximateReceiveCount": count}}, noon)
			is.Equal(m.receives, want)
		}
		is.Equal(newMessage(events.SQSMessage{}, noon).receives, 1)
	})
	t.Run("how long it has waited", func(t *testing.T) {
		sent := time.UnixMilli(noon.Add(-time.Hour).UnixMilli())
		first := time.UnixMilli(noon.Add(-25 * time.Hour).UnixMilli())
		for name, tt := range map[string]struct {
			record    events.SQSMessage
			firstSent time.Time
			attempt   int
			tooOld    bool
		}{
			"sent once":        {later(nil), sent, 0, false},
			"put off before":   {later(waited(4, first)), first, 4, true},
			"without any time": {events.SQSMessage{}, noon, 0, false},
			"with attributes of trash": {
				later(func(m *events.SQSMessage) { waited(-4, time.UnixMilli(-5))(m) }), sent, 0, false,
			},
			"with an attribute of no value": {later(func(m *events.SQSMessage) {
				m.MessageAttributes[queue.AttributeFirstSent] = events.SQSMessageAttribute{DataType: "Binary"}
			}), sent, 0, false},
		} {
			t.Run(name, func(t *testing.T) {
				is := is.New(t)
				m := newMessage(tt.record, noon)
				is.True(m.firstSent.Equal(tt.firstSent))
				is.Equal(m.attempt, tt.attempt)
				is.Equal(m.tooOld, tt.tooOld)
			})
		}
	})
}

func TestMessagesLogApart(t *testing.T) {
	// Concurrent messages of a batch must not mix the context of their log lines.
	is := is.New(t)
	ctx, log := invocation(t)
	var mu sync.Mutex
	failures(t, ctx, batch(&fakeQueue{}, atNoon, func(ctx context.Context, m message) error {
		annotate(ctx, "tenant-"+m.id, "order-"+m.id)
		mu.Lock()
		defer mu.Unlock()
		logger(ctx).Info().Msg("done")
		return nil
	}), records(t, 10, 1))
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	is.Equal(len(lines), 10)
	for _, line := range lines {
		var l struct{ MessageID, TenantID, OrderID string }
		is.NoErr(json.Unmarshal([]byte(line), &l))
		is.Equal(l.TenantID, "tenant-"+l.MessageID)
		is.Equal(l.OrderID, "order-"+l.MessageID)
	}
}

func TestAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		left := func(ctx context.Context) time.Duration {
			tidy, cancel := afterwards(ctx)
			defer cancel()
			is.NoErr(tidy.Err()) // whatever became of the work
			deadline, ok := tidy.Deadline()
			is.True(ok)
			return time.Until(deadline)
		}
		const moment = 900 * time.Millisecond
		is.Equal(left(t.Context()), moment)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		is.Equal(left(ctx), time.Minute+moment)
		cancel()
		is.Equal(left(ctx), time.Minute+moment)
		time.Sleep(2 * time.Minute)
		is.Equal(left(ctx), moment)
		is.True(moment < answerReserve && moment < batchReserve)
	})
}

func TestLaterError(t *testing.T) {
	is := is.New(t)
	is.True(errors.Is(&laterError{errFault, 0}, errFault))
	is.Equal((&laterError{errFault, 0}).Error(), errFault.Error())
}
