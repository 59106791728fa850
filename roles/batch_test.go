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
)

// fakeVisibility keeps what it was told.
type fakeVisibility struct {
	waits map[string]time.Duration
	err   error
}

func (f *fakeVisibility) Change(_ context.Context, waits map[string]time.Duration) error {
	f.waits = waits
	return f.err
}

// records is an SQS event of n messages m0, m1, … with the receipt handles h0, h1, …, delivered for the given time.
func records(t *testing.T, n, receives int) []byte {
	t.Helper()
	var event events.SQSEvent
	for i := range n {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: fmt.Sprint("m", i), ReceiptHandle: fmt.Sprint("h", i), Body: fmt.Sprint(i),
			Attributes: map[string]string{"ApproximateReceiveCount": fmt.Sprint(receives)},
		})
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// failures runs a batch and returns the ids that it reports, sorted.
func failures(t *testing.T, ctx context.Context, v visibility, payload []byte, h messageHandler) []string {
	t.Helper()
	out, err := batch(v, h)(ctx, payload)
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
		v := &fakeVisibility{}
		ids := failures(t, ctx, v, records(t, 10, 2), func(_ context.Context, m message) error {
			switch string(m.body) {
			case "2":
				return errFault
			case "4":
				return &order.Permanent{Reason: "cart not found"}
			case "5":
				return order.Invalid{{Field: "body", Message: "is bad"}}
			case "7":
				panic("boom")
			case "8":
				return &laterError{errFault, time.Minute}
			}
			return nil
		})
		is.Equal(ids, []string{"m2", "m4", "m5", "m7", "m8"})
		is.Equal(counted(ctx, messagesFailed), 5.0)
		is.Equal(len(v.waits), 5)
		for _, handle := range []string{"h2", "h7"} { // transient: the second backoff is 10 to 20 s
			is.True(v.waits[handle] >= 10*time.Second && v.waits[handle] < 20*time.Second)
		}
		is.Equal(v.waits["h4"], time.Duration(0)) // permanent: no wait
		is.Equal(v.waits["h5"], time.Duration(0))
		is.Equal(v.waits["h8"], time.Minute)
		is.True(strings.Contains(log.String(), `"reason":"cart not found"`))
		is.True(strings.Contains(log.String(), `"messageId":"m7"`))
	})
	t.Run("answers an empty list where all is well", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		v := &fakeVisibility{}
		out, err := batch(v, func(context.Context, message) error { return nil })(ctx, records(t, 3, 1))
		is.NoErr(err)
		is.Equal(string(out), `{"batchItemFailures":[]}`)
		is.Equal(v.waits, nil) // no call
	})
	t.Run("reports failures though their visibility cannot be set", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		v := &fakeVisibility{err: errFault}
		ids := failures(t, ctx, v, records(t, 1, 1), func(context.Context, message) error { return errFault })
		is.Equal(ids, []string{"m0"})
		is.True(strings.Contains(log.String(), "visibility not set"))
	})
	t.Run("refuses what is no SQS event", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		_, err := batch(&fakeVisibility{}, nil)(ctx, []byte(`[]`))
		is.True(err != nil)
	})
	t.Run("is bounded by its slowest message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			start := time.Now()
			is.Equal(len(failures(t, ctx, &fakeVisibility{}, records(t, 10, 1), func(context.Context, message) error {
				time.Sleep(3 * time.Second)
				return nil
			})), 0)
			is.Equal(time.Since(start), 3*time.Second) // not 30
		})
	})
	t.Run("starts nothing in its last seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			v := &fakeVisibility{}
			var started atomic.Int32
			// Twelve messages, ten at a time: the first ten leave too little time for the other two.
			ids := failures(t, ctx, v, records(t, 12, 1), func(context.Context, message) error {
				started.Add(1)
				time.Sleep(26 * time.Second)
				return nil
			})
			is.Equal(started.Load(), int32(10))
			is.Equal(len(ids), 2)
			for _, wait := range v.waits {
				is.Equal(wait, time.Duration(0))
			}
		})
	})
	t.Run("ends messages that run out of time, and still answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			start := time.Now()
			ids := failures(t, ctx, &fakeVisibility{}, records(t, 2, 1), func(ctx context.Context, m message) error {
				if string(m.body) == "0" {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			})
			is.Equal(ids, []string{"m1"})
			is.Equal(time.Since(start), 28*time.Second)
		})
	})
}

func TestBackoff(t *testing.T) {
	is := is.New(t)
	for receives, most := range map[int]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 1000: 10 * time.Minute} {
		for range 100 {
			d := backoff(receives)
			is.True(d >= most/2 && d < most)
		}
	}
}

func TestNewMessage(t *testing.T) {
	is := is.New(t)
	for count, want := range map[string]int{"": 1, "x": 1, "0": 1, "1": 1, "7": 7} {
		m := newMessage(events.SQSMessage{Attributes: map[string]string{"ApproximateReceiveCount": count}})
		is.Equal(m.receives, want)
	}
}

// fakeOrders is a table of one order.
type fakeOrders struct {
	order order.Order
	err   error
}

func (f fakeOrders) Order(context.Context, string, string) (order.Order, error) {
	return f.order, f.err
}

func TestOnRecorded(t *testing.T) {
	var event events.SQSEvent
	readEvent(t, "order_pdf_creator", &event)
	raw := []byte(event.Records[0].Body)
	readEvent(t, "order_internal_notifier", &event)
	enveloped := []byte(event.Records[0].Body)
	for _, tt := range []struct {
		name   string
		m      message
		orders fakeOrders
		handed bool
		failed bool
		perm   bool
	}{
		{"hands the order of a raw event on", message{body: raw, receives: 1}, fakeOrders{order: sampleOrder(t)}, true, false, false},
		{"hands the order of an event in an SNS envelope on", message{body: enveloped, receives: 1}, fakeOrders{order: sampleOrder(t)}, true, false, false},
		{"refuses a malformed event for good", message{body: []byte(`{"orderId":"x"}`), receives: 1}, fakeOrders{}, false, true, true},
		{"waits for an order that is not there yet", message{body: raw, receives: 2}, fakeOrders{err: order.ErrNotFound}, false, true, false},
		{"gives an order up that is not there at the last delivery", message{body: raw, receives: 3}, fakeOrders{err: order.ErrNotFound}, false, false, false},
		{"waits for a table that is down, also at the last delivery", message{body: raw, receives: 3}, fakeOrders{err: errFault}, false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			handed := false
			err := onRecorded(tt.orders, func(_ context.Context, o order.Order) error {
				handed = o.ID == orderID
				return nil
			})(ctx, tt.m)
			is.Equal(handed, tt.handed)
			is.Equal(err != nil, tt.failed)
			is.Equal(isPermanent(err), tt.perm)
			is.Equal(strings.Contains(log.String(), "message given up"), tt.m.receives == 3 && errors.Is(tt.orders.err, order.ErrNotFound))
		})
	}
}

func TestEventTrace(t *testing.T) {
	for _, tt := range []struct{ name, header, want string }{
		{"the event's own where the message brought none", "", "1-67719f28-3f1d2c4b5a69788796a5b4c3"},
		{"the message's where it brought one", "Root=1-2-2;Sampled=1", "1-2-2"},
	} {
		t.Run("log lines have the trace: "+tt.name, func(t *testing.T) {
			is := is.New(t)
			var event events.SQSEvent
			readEvent(t, "order_pdf_creator", &event)
			ctx, log := invocation(t)
			m := message{id: "m1", body: []byte(event.Records[0].Body), receives: 1, trace: tt.header}
			is.NoErr(onRecorded(fakeOrders{order: sampleOrder(t)}, func(ctx context.Context, _ order.Order) error {
				logger(ctx).Info().Msg("hello")
				return nil
			})(forMessage(ctx, m), m))
			is.True(strings.Contains(log.String(), `"traceId":"`+tt.want+`"`))
			is.Equal(strings.Count(log.String(), `"traceId"`), 1)
		})
	}
}

func TestMessagesLogApart(t *testing.T) {
	// Concurrent messages of a batch must not mix the context of their log lines.
	is := is.New(t)
	ctx, log := invocation(t)
	var mu sync.Mutex
	failures(t, ctx, &fakeVisibility{}, records(t, 10, 1), func(ctx context.Context, m message) error {
		annotate(ctx, "tenant-"+m.id, "order-"+m.id)
		mu.Lock()
		defer mu.Unlock()
		logger(ctx).Info().Msg("done")
		return nil
	})
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	is.Equal(len(lines), 10)
	for _, line := range lines {
		var l struct{ MessageID, TenantID, OrderID string }
		is.NoErr(json.Unmarshal([]byte(line), &l))
		is.Equal(l.TenantID, "tenant-"+l.MessageID)
		is.Equal(l.OrderID, "order-"+l.MessageID)
	}
}
