package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/matryer/is"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// image returns an order as the table's stream shows it: as the store writes
// it.
func image(t testing.TB, o order.Order) map[string]any {
	t.Helper()
	var written struct{ Item map[string]any }
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient: doFunc(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = json.Unmarshal(body, &written) // The last write is the order's.
			}
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
				Body: io.NopCloser(strings.NewReader(`{"Attributes": {"value": {"N": "1"}}}`)),
			}, err
		}),
	})
	s := store.New(client, "orders", atNoon)
	var err error
	if o.Recorded() {
		err = s.Record(t.Context(), o)
	} else {
		_, err = s.Accept(t.Context(), sampleCreation(t))
	}
	if err != nil || written.Item["entityType"] == nil {
		t.Fatal("no image", err)
	}
	return written.Item
}

// A change is a record of the table's stream. An image is an order, an item, or
// nil.
type change struct{ old, new any }

// streamEventOf is an event with changes whose sequence numbers are 100, 101, …
func streamEventOf(t *testing.T, changes ...change) []byte {
	t.Helper()
	var records []any
	for i, c := range changes {
		images := map[string]any{
			"SequenceNumber": strconv.Itoa(100 + i), "StreamViewType": "NEW_AND_OLD_IMAGES",
			"ApproximateCreationDateTime": 1767090600.0,
		}
		name := "MODIFY"
		for side, v := range map[string]any{"OldImage": c.old, "NewImage": c.new} {
			if o, ok := v.(order.Order); ok {
				v = image(t, o)
			}
			if v != nil {
				images[side] = v
			}
			if item, ok := v.(map[string]any); ok && side == "NewImage" {
				images["Keys"] = map[string]any{"PK": item["PK"], "SK": item["SK"]}
			}
		}
		if c.old == nil {
			name = "INSERT"
		}
		records = append(records, map[string]any{
			"eventID": fmt.Sprintf("c4ca4238a0b923820dcc509a6f75849%d", i), "eventName": name, "eventVersion": "1.1",
			"eventSource": "aws:dynamodb",
			"awsRegion":   "eu-west-1", "dynamodb": images,
			"eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/bbws-customer-portal-orders-dev/stream/2025-12-30T08:00:00.000",
		})
	}
	return encodeJSON(t, map[string]any{"Records": records})
}

// fakeTopic is the topic and its dead-letter queue.
type fakeTopic struct {
	fail    map[string]error // by the event's id
	deadErr error
	before  func() // each call

	calls  [][]string // the events' ids of each call
	events []order.Event
	dead   []string // as JSON
	tenant string
}

func (f *fakeTopic) Publish(_ context.Context, events []order.Event) []error {
	if f.before != nil {
		f.before()
	}
	var ids []string
	errs := make([]error, len(events))
	for i, e := range events {
		ids = append(ids, e.ID)
		errs[i] = f.fail[e.ID]
	}
	f.calls, f.events = append(f.calls, ids), append(f.events, events...)
	return errs
}

func (f *fakeTopic) Send(_ context.Context, body any, tenantID, _ string) error {
	text, err := json.Marshal(body)
	f.dead, f.tenant = append(f.dead, string(text)), tenantID
	return errors.Join(err, f.deadErr)
}

// publish gives the topic's publisher an event and returns the sequence number
// that it reports, "" for none.
func (f *fakeTopic) publish(t *testing.T, ctx context.Context, event []byte) string {
	t.Helper()
	out, err := (&publisher{events: f, dead: f}).handle(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	var answer events.DynamoDBEventResponse
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	switch len(answer.BatchItemFailures) {
	case 0:
		return ""
	case 1:
		return answer.BatchItemFailures[0].ItemIdentifier
	default:
		t.Fatalf("Lambda takes the lowest of %d", len(answer.BatchItemFailures))
		return ""
	}
}

// numbered returns n recorded orders, with the ids 0…0, 0…1, …
func numbered(t *testing.T, n int) ([]change, []string) {
	t.Helper()
	changes, ids := make([]change, n), make([]string, n)
	for i := range n {
		o := sampleOrder(t)
		o.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		changes[i], ids[i] = change{nil, o}, o.ID+"#1"
	}
	return changes, ids
}

func TestStreamNews(t *testing.T) {
	accepted, recorded, paid := sampleAcceptance(t), sampleOrder(t), orderIn(t, order.Paid)
	twice := orderIn(t, order.Paid, order.Processing)
	noted := sampleOrder(t)
	note, _ := noted.MailFailed(noted.History[0], "r", "address refused", order.NewTimestamp(noon))
	noted.History = append(noted.History, note)
	deleted := paid
	deleted.Active = false
	issued := paid
	issued.Documents = []order.Document{{Kind: order.ProForma, URL: "s3://b/k"}}
	counter := map[string]any{
		"PK": map[string]any{"S": "TENANT#acme"}, "SK": map[string]any{"S": "COUNTER#ORDER#2025"},
		"value": map[string]any{"N": "4"},
	}
	for _, tt := range []struct {
		name string
		change
		want []string // types
	}{
		{"an order that is accepted", change{nil, accepted}, nil},
		{"an order that is recorded", change{accepted, recorded}, []string{"order.created"}},
		{"an order that comes recorded", change{nil, recorded}, []string{"order.created"}},
		{"a change of status", change{recorded, paid}, []string{"order.paid"}},
		{"several entries at once, in their order", change{recorded, twice}, []string{"order.paid", "order.processing"}},
		{
			"all entries where there is no old image",
			change{nil, twice},
			[]string{"order.created", "order.paid", "order.processing"},
		},
		{"a document that is issued", change{paid, issued}, nil},
		{"a mail that failed", change{recorded, noted}, nil},
		{"an order that is deleted", change{paid, deleted}, nil},
		{"an item that goes", change{paid, nil}, nil},
		{"another item", change{nil, counter}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeTopic{}
			is.Equal(f.publish(t, ctx, streamEventOf(t, tt.change)), "")
			var types []string
			for _, e := range f.events {
				types = append(types, string(e.Type))
			}
			is.Equal(types, tt.want)
			is.Equal(len(f.calls) > 0, len(tt.want) > 0) // no empty call
			is.Equal(counted(ctx, eventsPublished), float64(len(tt.want)))
		})
	}
	t.Run("with all that consumers read", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeTopic{}
		is.Equal(f.publish(t, ctx, streamEventOf(t, change{recorded, paid})), "")
		is.Equal(f.events, []order.Event{{
			ID: orderID + "#2", Type: order.EventPaid, Version: "1", Sequence: 2, OrderID: orderID, TenantID: acme,
			OrderNumber:   "ORD-2025-00001",
			CustomerEmail: "thandi@example.com", Status: order.Paid, DateCreated: order.NewTimestamp(noon),
			DateOccurred: order.NewTimestamp(noon.Add(time.Minute)), TraceID: "1-trace-0",
		}})
	})
}

func TestStreamBatches(t *testing.T) {
	is := is.New(t)
	ctx, _ := invocation(t)
	changes, ids := numbered(t, 23)
	f := &fakeTopic{}
	is.Equal(f.publish(t, ctx, streamEventOf(t, changes...)), "")
	is.Equal(f.calls, [][]string{ids[:10], ids[10:20], ids[20:]}) // SNS takes ten
	is.Equal(counted(ctx, eventsPublished), 23.0)
	is.Equal(len(f.dead), 0)
}

// TestStreamTransient holds that what SNS does not take now comes again from
// the first record that it did not take, and that nothing is published after it
// but what was in the same call.
func TestStreamTransient(t *testing.T) {
	changes, ids := numbered(t, 25)
	for _, tt := range []struct {
		name   string
		fail   []string
		failed string
		calls  int
	}{
		{"the first", ids[:1], "100", 1},
		{"one in the middle of a call", ids[4:5], "104", 1},
		{"two of a call: the lower one", []string{ids[7], ids[4]}, "104", 1},
		{"a whole call", ids[10:20], "110", 2},
		{"the last", ids[24:], "124", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := &fakeTopic{fail: map[string]error{}}
			for _, id := range tt.fail {
				f.fail[id] = errFault
			}
			is.Equal(f.publish(t, ctx, streamEventOf(t, changes...)), tt.failed)
			is.Equal(len(f.calls), tt.calls)
			is.Equal(len(f.dead), 0)
			is.True(strings.Contains(log.String(), `"sequenceNumber":"`+tt.failed+`"`))

			// Lambda sends the record and all after it again: nothing is lost.
			f.fail = nil
			from, err := strconv.Atoi(tt.failed)
			is.NoErr(err)
			is.Equal(f.publish(t, ctx, streamEventOf(t, changes[from-100:]...)), "")
			times := map[string]int{}
			for _, id := range slices.Concat(f.calls...) {
				times[id]++
			}
			for i, id := range ids {
				again := i >= from-100 && i < tt.calls*maxPublish
				is.True(times[id] == 1 || again && times[id] == 2)
			}
		})
	}
	t.Run("the second entry of a record", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeTopic{fail: map[string]error{orderID + "#2": errFault}}
		is.Equal(
			f.publish(t, ctx, streamEventOf(t, changes[0], change{sampleAcceptance(t), orderIn(t, order.Paid)}, changes[1])),
			"101",
		)
	})
}

// TestStreamPermanent holds that what can never be published does not block its
// shard.
func TestStreamPermanent(t *testing.T) {
	refused := &order.PermanentError{
		Reason: "SNS refuses the event", Err: errors.New("InvalidParameter for thandi@example.com"),
	}
	changes, ids := numbered(t, 12)
	t.Run("an event that SNS refuses is passed over", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeTopic{fail: map[string]error{ids[3]: refused}}
		is.Equal(f.publish(t, ctx, streamEventOf(t, changes...)), "")
		is.Equal(f.calls, [][]string{ids[:10], ids[10:]})
		is.Equal(
			f.dead,
			[]string{`{"orderId":"00000000-0000-4000-8000-000000000003","tenantId":"acme","sequence":1,"sequenceNumber":"103"}`},
		)
		is.Equal(f.tenant, acme)
		is.Equal(counted(ctx, eventsPublished), 11.0)
		is.Equal(strings.Count(log.String(), `"level":"error"`), 1)
		is.True(strings.Contains(log.String(), "event can never be published"))
		is.True(!strings.Contains(log.String(), "thandi@example.com"))
	})
	t.Run("a record that cannot be read is passed over", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		foreign := map[string]any{"SK": map[string]any{"S": "ORDER#" + orderID}, "history": map[string]any{"S": "none"}}
		f := &fakeTopic{}
		is.Equal(
			f.publish(t, ctx, streamEventOf(t, slices.Insert(slices.Clone(changes[:4]), 2, change{nil, foreign})...)), "",
		)
		is.Equal(f.calls, [][]string{ids[:2], ids[2:4]}) // before it and after it
		is.Equal(f.dead, []string{`{"orderId":"` + orderID + `","sequenceNumber":"102"}`})
		is.True(strings.Contains(log.String(), "record of the stream is malformed"))
	})
	t.Run("it comes again where the dead-letter queue does not take it", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeTopic{fail: map[string]error{ids[3]: refused}, deadErr: errFault}
		is.Equal(f.publish(t, ctx, streamEventOf(t, changes...)), "103")
		is.Equal(f.calls, [][]string{ids[:10]})
		is.Equal(counted(ctx, eventsPublished), 3.0)
	})
}

func TestStreamTime(t *testing.T) {
	changes, ids := numbered(t, 25)
	event := streamEventOf(t, changes...)
	t.Run("nothing is begun in the last seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := &fakeTopic{before: func() { time.Sleep(13 * time.Second) }}
			is.Equal(f.publish(t, ctx, event), "120") // 4 s are left for the third call
			is.Equal(f.calls, [][]string{ids[:10], ids[10:20]})
		})
	})
	t.Run("nor at all where there is too little of it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			ctx, cancel := context.WithTimeout(t.Context(), safetyMargin-time.Nanosecond)
			defer cancel()
			f := &fakeTopic{}
			is.Equal(f.publish(t, ctx, event), "100")
			is.Equal(len(f.calls), 0)
			ctx, cancel = context.WithTimeout(t.Context(), safetyMargin)
			defer cancel()
			is.Equal(f.publish(t, ctx, event), "") // just enough
		})
	})
}

func TestStreamFails(t *testing.T) {
	t.Run("what is no event of a stream", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		_, err := (&publisher{}).handle(ctx, []byte(`{"Records": 1}`))
		is.True(err != nil)
	})
	t.Run("a panic fails the whole batch, which comes again", func(t *testing.T) {
		is := is.New(t)
		f := &fakeTopic{before: func() { panic("boom") }}
		h := (&function{handle: (&publisher{events: f, dead: f}).handle, log: zerolog.Nop(), now: atNoon})
		_, err := h.Invoke(t.Context(), streamEventOf(t, change{nil, sampleOrder(t)}))
		is.True(err != nil)
	})
}

func TestBySource(t *testing.T) {
	says := func(text string) handler {
		return func(context.Context, []byte) ([]byte, error) { return []byte(text), nil }
	}
	h := bySource(says("queue"), says("stream"))
	for payload, want := range map[string]string{
		`{"Records": [{"eventSource": "aws:dynamodb"}]}`: "stream",
		`{"Records": [{"eventSource": "aws:sqs"}]}`:      "queue",
		`{"Records": []}`: "queue",
		`{}`:              "queue",
	} {
		is := is.New(t)
		got, err := h(t.Context(), []byte(payload))
		is.NoErr(err)
		is.Equal(string(got), want)
	}
	_, err := h(t.Context(), []byte(`[]`))
	is.New(t).True(err != nil)
}

// TestStreamEvent holds testdata/order_creator_record.stream.json to what the
// store writes: the acceptance of an order, its record and its payment, after
// the counter that numbered it.
func TestStreamEvent(t *testing.T) {
	is := is.New(t)
	counter := map[string]any{
		"PK": map[string]any{"S": "TENANT#acme"}, "SK": map[string]any{"S": "COUNTER#ORDER#2025"},
		"value": map[string]any{"N": "1"},
	}
	accepted, recorded := sampleAcceptance(t), sampleOrder(t)
	var want bytes.Buffer
	is.NoErr(json.Indent(
		&want,
		streamEventOf(
			t, change{nil, counter}, change{nil, accepted}, change{accepted, recorded},
			change{recorded, orderIn(t, order.Paid)},
		),
		"", "  ",
	))
	want.WriteByte('\n')
	const path = "testdata/order_creator_record.stream.json"
	if *update {
		is.NoErr(os.WriteFile(path, want.Bytes(), 0o600))
	}
	got, err := os.ReadFile(path)
	is.NoErr(err)
	is.Equal(string(got), want.String())
}

// TestStreamTrace holds that the line about an event has the trace of the
// change that it is about, and no other.
func TestStreamTrace(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	f := &fakeTopic{}
	h := &function{handle: (&publisher{events: f, dead: f}).handle, log: NewLogger(&out, atNoon, "INFO"), now: atNoon}
	_, err := h.Invoke(
		withTrace(t.Context(), "Root=1-invocation"), streamEventOf(t, change{sampleOrder(t), orderIn(t, order.Paid)}),
	)
	is.NoErr(err)
	line, _, _ := strings.Cut(out.String(), "\n")
	is.True(strings.Contains(line, "event published"))
	is.True(strings.Contains(line, `"eventId":"`+orderID+`#2"`))
	is.True(strings.Contains(line, `"traceId":"1-trace-0"`))
	is.Equal(strings.Count(line, `"traceId"`), 1)
}

// TestBothSources drives the role, built, with an event of either source.
func TestBothSources(t *testing.T) {
	for file, want := range map[string][]string{
		"testdata/order_creator_record.stream.json": {"sns PublishBatch"},
		"testdata/order_creator_record.json":        {"GetItem"},
	} {
		t.Run(file, func(t *testing.T) {
			is := is.New(t)
			settings, err := Configure(getter(complete("order_creator_record")))
			is.NoErr(err)
			var calls []string
			client := doFunc(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				_, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
				if bytes.Contains(body, []byte("Action=PublishBatch")) {
					call = "sns PublishBatch"
					is.Equal(bytes.Count(body, []byte("order.created")), 1)
					is.Equal(bytes.Count(body, []byte("order.paid")), 1)
				}
				calls = append(calls, call)
				answer := `{"Item": ` + string(encodeJSON(t, image(t, sampleOrder(t)))) + `}` // recorded already
				if call == "sns PublishBatch" {
					answer = `<PublishBatchResponse><PublishBatchResult><Failed/><Successful/></PublishBatchResult></PublishBatchResponse>`
				}
				return &http.Response{
					StatusCode: http.StatusOK, Header: http.Header{},
					Body: io.NopCloser(strings.NewReader(answer)),
				}, err
			})
			h := Build(settings, Deps{
				AWS: aws.Config{
					Region: "eu-west-1", HTTPClient: client,
					Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
				},
				Transport: http.DefaultTransport, Stdout: io.Discard, Now: atNoon,
			})
			event, err := os.ReadFile(file)
			is.NoErr(err)
			answer, err := h.Invoke(t.Context(), event)
			is.NoErr(err)
			is.Equal(string(answer), `{"batchItemFailures":[]}`)
			is.Equal(calls, want)
		})
	}
}
