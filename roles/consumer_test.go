package roles

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// fakeOrders is a table of one order.
type fakeOrders struct {
	order order.Order
	err   error
	calls int
}

func (f *fakeOrders) Order(context.Context, string, string) (order.Order, error) {
	f.calls++
	return f.order, f.err
}

// servesSome serves created and paid, as a test's consumer.
func servesSome(t order.EventType) bool { return t == order.EventCreated || t == order.EventPaid }

// eventBody is the event of an entry with fields changed; a nil removes one.
func eventBody(t *testing.T, e order.Event, fields map[string]any) string {
	t.Helper()
	body := map[string]any{
		"eventType": e.Type, "sequence": e.Sequence, "orderId": e.OrderID, "tenantId": e.TenantID, "traceId": e.TraceID,
	}
	for name, v := range fields {
		if body[name] = v; v == nil {
			delete(body, name)
		}
	}
	return string(encodeJSON(t, body))
}

// consume gives onEvent a message and returns the sequence of the entry that it
// handed on, 0 for none.
func (f *fakeOrders) consume(ctx context.Context, body string, receives int) (sequence int, err error) {
	m := message{id: "m1", body: []byte(body), receives: receives}
	err = onEvent(servesSome, f, func(_ context.Context, o order.Order, e order.Entry) error {
		sequence = e.Sequence
		return wantText(o.ID, orderID)
	})(forMessage(ctx, m), m)
	return sequence, err
}

func TestOnEvent(t *testing.T) {
	o := orderIn(t, order.PaymentPending, order.Paid, order.Processing)
	paid := o.Event(o.History[2])
	for _, tt := range []struct {
		name   string
		fields map[string]any
		want   int
	}{
		{"the entry of its sequence", nil, 3},
		{"the first of its type, without a sequence", map[string]any{"sequence": nil}, 3},
		{"the first of its type, with a sequence that is none", map[string]any{"sequence": "3"}, 3},
		{"the first of its type, with the sequence 0", map[string]any{"sequence": 0}, 3},
		{"order.created, without a type: the shape of a creation", map[string]any{"eventType": nil, "sequence": nil}, 1},
		{"order.created, with an empty type", map[string]any{"eventType": "", "sequence": nil}, 1},
		{"whatever else is in it", map[string]any{"customerEmail": 5, "version": "2", "more": []any{1}, "traceId": 7}, 3},
	} {
		t.Run("hands on "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeOrders{order: o}
			sequence, err := f.consume(ctx, eventBody(t, paid, tt.fields), 1)
			is.NoErr(err)
			is.Equal(sequence, tt.want)
			is.Equal(f.calls, 1) // one read
		})
	}
	t.Run("hands on the event of testdata, raw and in an SNS envelope", func(t *testing.T) {
		for _, role := range []string{"order_pdf_creator", "order_internal_notifier", "customer_order_confirmation"} {
			is := is.New(t)
			ctx, _ := invocation(t)
			var event events.SQSEvent
			readEvent(t, role, &event)
			sequence, err := (&fakeOrders{order: o}).consume(ctx, event.Records[0].Body, 1)
			is.NoErr(err)
			is.Equal(sequence, 1)
		}
	})
	t.Run("fails as its handler does", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		other := o
		other.ID = "another"
		_, err := (&fakeOrders{order: other}).consume(ctx, eventBody(t, paid, nil), 1)
		is.True(err != nil)
	})
}

// TestOnEventPassesOver has the events that are done without action, unread.
func TestOnEventPassesOver(t *testing.T) {
	o := orderIn(t, order.Cancelled)
	for name, fields := range map[string]map[string]any{
		"a type that is not served":              nil, // order.cancelled
		"a type that is unknown":                 {"eventType": "order.shipped"},
		"a type that nobody is told":             {"eventType": "mail.failed"},
		"a type that is a number":                {"eventType": 5},
		"a type that is an object":               {"eventType": map[string]any{"a": "b"}},
		"a type in another case":                 {"eventType": "ORDER.CREATED"},
		"a type not served, with bad ids":        {"orderId": "x", "tenantId": 5},
		"an unknown type, without anything else": {"eventType": "x", "orderId": nil, "tenantId": nil, "sequence": nil},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := &fakeOrders{order: o}
			sequence, err := f.consume(ctx, eventBody(t, o.Event(o.History[1]), fields), 3)
			is.NoErr(err)
			is.Equal(sequence, 0)
			is.Equal(f.calls, 0) // the type comes first
			is.True(strings.Contains(log.String(), "event not served"))
		})
	}
}

// TestOnEventNotThere has what is not in the table: it may come, up to the last
// delivery.
func TestOnEventNotThere(t *testing.T) {
	recorded := sampleOrder(t)
	other := orderIn(t, order.PaymentPending)
	for _, tt := range []struct {
		name   string
		orders fakeOrders
		fields map[string]any
	}{
		{"no order", fakeOrders{err: order.ErrNotFound}, nil},
		{
			"an order that is only accepted",
			fakeOrders{order: sampleAcceptance(t)},
			map[string]any{"sequence": 1, "eventType": "order.created"},
		},
		{"an order without the entry", fakeOrders{order: recorded}, nil},
		{"an order without an entry of the type", fakeOrders{order: recorded}, map[string]any{"sequence": nil}},
		{"an entry of another type", fakeOrders{order: other}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paid := orderIn(t, order.Paid)
			body := eventBody(t, paid.Event(paid.History[1]), tt.fields)
			for receives := 1; receives <= maxReceives; receives++ {
				is := is.New(t)
				ctx, log := invocation(t)
				f := tt.orders
				sequence, err := f.consume(ctx, body, receives)
				last := receives == maxReceives
				is.Equal(err == nil, last) // then it is done with
				is.Equal(sequence, 0)
				is.True(!isPermanent(err) && !isOutage(err))
				is.Equal(strings.Contains(log.String(), "message given up"), last)
				is.Equal(strings.Contains(log.String(), `"level":"error"`), last)
			}
		})
	}
	t.Run("a deleted order: nothing is done", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeOrders{err: fmt.Errorf("read order: %w", order.ErrDeleted)}
		sequence, err := f.consume(ctx, eventBody(t, recorded.Event(recorded.History[0]), nil), 1)
		is.NoErr(err)
		is.Equal(sequence, 0)
		is.True(strings.Contains(log.String(), "order is deleted"))
	})
	t.Run("a table that cannot be read, at the last delivery", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeOrders{err: errFault}
		_, err := f.consume(ctx, eventBody(t, recorded.Event(recorded.History[0]), nil), 3)
		is.True(err != nil && !isPermanent(err))
		is.True(!strings.Contains(log.String(), "message given up"))
	})
}

func TestOnEventMalformed(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `{"orderId": "x"}`, `{"eventType": "order.paid", "orderId": "` + orderID + `"}`,
		`{"Type": "Notification", "Message": "x"}`,
	} {
		t.Run(body, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeOrders{}
			_, err := f.consume(ctx, body, 1)
			is.Equal(reason(err), "message is malformed")
			is.True(isPermanent(err))
			is.Equal(f.calls, 0)
		})
	}
}

func TestEventTrace(t *testing.T) {
	const header = "Root=1-message-0;Sampled=1"
	o := orderIn(t, order.Paid)
	for _, tt := range []struct{ name, event, want string }{
		{"the event's, which is of the change that it tells of", "1-change-0", "1-change-0"},
		{"the message's where the event has none", "", "1-message-0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			m := message{
				id: "m1", body: []byte(eventBody(t, o.Event(o.History[1]), map[string]any{"traceId": tt.event})), receives: 1,
				trace: header,
			}
			is.NoErr(onEvent(servesSome, &fakeOrders{order: o}, func(ctx context.Context, _ order.Order, _ order.Entry) error {
				logger(ctx).Info().Msg("hello")
				is.Equal(traceRoot(scopeOf(ctx).message.trace), tt.want) // X-Ray's annotation, too
				return nil
			})(forMessage(ctx, m), m))
			line := log.String()
			is.True(strings.Contains(line, `"traceId":"`+tt.want+`"`))
			for _, name := range []string{"traceId", "messageId", "receives", "tenantId", "orderId"} {
				is.Equal(strings.Count(line, `"`+name+`"`), 1) // once
			}
		})
	}
}

// TestServes holds which events each consumer serves. deploy/ filters its
// queue's subscription by them.
func TestServes(t *testing.T) {
	is := is.New(t)
	var served []order.EventType
	for _, e := range []order.EventType{
		order.EventCreated, order.EventPaymentPending, order.EventPaid, order.EventProcessing, order.EventCompleted,
		order.EventCancelled,
		order.EventRefunded, order.EventPaymentUpdated, order.EventMailFailed,
	} {
		if (&pdfCreator{}).serves(e) {
			served = append(served, e)
		}
	}
	is.True(slices.Equal(served, []order.EventType{order.EventCreated, order.EventPaid, order.EventRefunded}))
}
