package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/lambdaapi"
)

const (
	visible = types.QueueAttributeNameApproximateNumberOfMessages
	hidden  = types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
)

var client *sqs.Client

func TestMain(m *testing.M) {
	cloud, err := emulator.StartAWS(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client = sqs.NewFromConfig(emulator.Config(cloud.Endpoint()))
	code := m.Run()
	cloud.Close()
	os.Exit(code)
}

// invokerFunc is a function in the place of a Lambda function.
type invokerFunc func(event events.SQSEvent) (string, error)

func (f invokerFunc) Invoke(_ context.Context, payload []byte, _ string) ([]byte, error) {
	var event events.SQSEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	answer, err := f(event)
	return []byte(answer), err
}

// batch is what Observe was told.
type batch struct {
	event  events.SQSEvent
	failed []string
	err    error
}

func (b batch) bodies() []string {
	var bodies []string
	for _, r := range b.event.Records {
		bodies = append(bodies, r.Body)
	}
	slices.Sort(bodies)
	return bodies
}

// start makes a queue with the given visibility timeout in seconds and messages
// in it and runs a poller on it until the test ends.
func start(
	t *testing.T,
	visibility string,
	mapping Queue,
	function invokerFunc,
	bodies ...string,
) (url string, batches chan batch) {
	t.Helper()
	is := is.New(t)
	name := lambdaapi.NewID()
	queue, err := client.CreateQueue(
		t.Context(),
		&sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": visibility}},
	)
	is.NoErr(err)
	for _, body := range bodies {
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: queue.QueueUrl, MessageBody: aws.String(body),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"kind": {DataType: aws.String("String"), StringValue: aws.String("test")},
			},
		})
		is.NoErr(err)
	}
	mapping.Client, mapping.QueueURL = client, *queue.QueueUrl
	mapping.QueueARN = "arn:aws:sqs:eu-west-1:000000000000:" + name
	mapping.Function = function
	batches = make(chan batch, 100)
	mapping.Observe = func(event events.SQSEvent, failed []string, err error) { batches <- batch{event, failed, err} }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { mapping.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return *queue.QueueUrl, batches
}

// left returns how many messages of the given kinds a queue has.
func left(t *testing.T, url string, kinds ...types.QueueAttributeName) (n int) {
	t.Helper()
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: kinds})
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range out.Attributes {
		part, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		n += part
	}
	return n
}

func TestEvent(t *testing.T) {
	is := is.New(t)
	url, batches := start(
		t,
		"30",
		Queue{BatchSize: 10, MaxConcurrency: 1},
		func(events.SQSEvent) (string, error) { return "", nil },
		"hello",
	)
	b := <-batches
	is.NoErr(b.err)
	record := b.event.Records[0]
	is.Equal(record.Body, "hello")
	is.Equal(record.Md5OfBody, "5d41402abc4b2a76b9719d911017c592")
	is.Equal(record.EventSource, "aws:sqs")
	is.Equal(record.EventSourceARN, "arn:aws:sqs:eu-west-1:000000000000:"+path.Base(url))
	is.Equal(record.AWSRegion, "eu-west-1")
	is.Equal(record.Attributes["ApproximateReceiveCount"], "1")
	is.True(record.Attributes["SentTimestamp"] != "")
	is.Equal(*record.MessageAttributes["kind"].StringValue, "test")
	is.True(record.MessageId != "" && record.ReceiptHandle != "")
	is.Equal(left(t, url, visible, hidden), 0) // a handled message is deleted
}

func TestBatches(t *testing.T) {
	four := []string{"a", "b", "c", "d"}
	t.Run("are no larger than allowed", func(t *testing.T) {
		is := is.New(t)
		_, batches := start(
			t,
			"30",
			Queue{BatchSize: 3, MaxConcurrency: 1},
			func(events.SQSEvent) (string, error) { return "{}", nil },
			four...)
		is.Equal(len((<-batches).event.Records), 3)
		is.Equal(len((<-batches).event.Records), 1)
	})
	t.Run("wait for a window to fill", func(t *testing.T) {
		is := is.New(t)
		url, batches := start(
			t,
			"30",
			Queue{BatchSize: 5, MaxConcurrency: 1, Window: time.Minute},
			func(events.SQSEvent) (string, error) { return "{}", nil },
			four...)
		for left(t, url, hidden) < 4 {
			time.Sleep(time.Millisecond) // until the poller has the first four
		}
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("e")})
		is.NoErr(err)
		is.Equal((<-batches).bodies(), []string{"a", "b", "c", "d", "e"}) // full: it does not wait for the window's end
	})
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(events.SQSEvent) (string, error)
		failed []string // bodies
		all    bool     // every message stays because of an error
	}{
		{name: "nothing", answer: func(events.SQSEvent) (string, error) { return "", nil }},
		{name: "null", answer: func(events.SQSEvent) (string, error) { return "null", nil }},
		{name: "no failures", answer: func(events.SQSEvent) (string, error) { return `{"batchItemFailures":[]}`, nil }},
		{name: "one failure", failed: []string{"b"}, answer: func(e events.SQSEvent) (string, error) {
			for _, r := range e.Records {
				if r.Body == "b" {
					return `{"batchItemFailures":[{"itemIdentifier":"` + r.MessageId + `"}]}`, nil
				}
			}
			return "", nil
		}},
		{
			name: "function error", all: true,
			answer: func(events.SQSEvent) (string, error) { return "", errors.New("crashed") },
		},
		{name: "no JSON", all: true, answer: func(events.SQSEvent) (string, error) { return "fine", nil }},
		{
			name: "unknown message", all: true,
			answer: func(events.SQSEvent) (string, error) { return `{"batchItemFailures":[{"itemIdentifier":"x"}]}`, nil },
		},
		{
			name: "empty id", all: true,
			answer: func(events.SQSEvent) (string, error) { return `{"batchItemFailures":[{"itemIdentifier":""}]}`, nil },
		},
		{
			name: "wrong key", all: true,
			answer: func(events.SQSEvent) (string, error) { return `{"batchItemFailures":[{"id":"x"}]}`, nil },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			url, batches := start(t, "30", Queue{BatchSize: 3, MaxConcurrency: 1, Window: time.Minute}, c.answer, "a", "b", "c")
			b := <-batches
			is.Equal(b.err != nil, c.all)
			var failed []string
			for _, r := range b.event.Records {
				if slices.Contains(b.failed, r.MessageId) {
					failed = append(failed, r.Body)
				}
			}
			is.Equal(failed, c.failed)
			want := len(c.failed)
			if c.all {
				want = 3
			}
			is.Equal(left(t, url, visible, hidden), want) // only what was handled is deleted
		})
	}
}

func TestFailedMessageComesAgain(t *testing.T) {
	is := is.New(t)
	_, batches := start(
		t,
		"1",
		Queue{BatchSize: 1, MaxConcurrency: 1},
		func(events.SQSEvent) (string, error) { return "", errors.New("down") },
		"a",
	)
	is.Equal((<-batches).event.Records[0].Attributes["ApproximateReceiveCount"], "1")
	is.Equal((<-batches).event.Records[0].Attributes["ApproximateReceiveCount"], "2") // after the visibility timeout
}

func TestConcurrencyIsBounded(t *testing.T) {
	is := is.New(t)
	var mu sync.Mutex
	running, most := 0, 0
	two := make(chan struct{})
	url, batches := start(t, "30", Queue{BatchSize: 1, MaxConcurrency: 2}, func(events.SQSEvent) (string, error) {
		mu.Lock()
		if running++; running > most {
			most = running
			if most == 2 {
				close(two)
			}
		}
		mu.Unlock()
		<-two // nobody ends before two run at a time
		mu.Lock()
		running--
		mu.Unlock()
		return "", nil
	}, "a", "b", "c", "d", "e", "f")
	for range 6 {
		is.NoErr((<-batches).err)
	}
	is.Equal(most, 2) // both at a time, and no more
	is.Equal(left(t, url, visible, hidden), 0)
}
