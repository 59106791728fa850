package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
)

const (
	queueURL = "https://sqs.af-south-1.amazonaws.com/111122223333/bbws-order-creation-dev"
	topicARN = "arn:aws:sns:af-south-1:111122223333:bbws-order-events-dev"
	trace    = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
)

var errDown = errors.New("service unavailable")

// fakeSQS keeps what it is asked. Err fails every call; failed is what a batch answers, by the entry's id.
type fakeSQS struct {
	sent    []*sqs.SendMessageInput
	changed []*sqs.ChangeMessageVisibilityBatchInput
	err     error
	failed  func(call int) []types.BatchResultErrorEntry
}

func (f *fakeSQS) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	f.sent = append(f.sent, in)
	return &sqs.SendMessageOutput{}, f.err
}

func (f *fakeSQS) ChangeMessageVisibilityBatch(
	_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options),
) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.changed = append(f.changed, in)
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	if f.failed != nil {
		out.Failed = f.failed(len(f.changed) - 1)
	}
	return out, f.err
}

func creation(t *testing.T) order.Creation {
	t.Helper()
	at, err := order.ParseTimestamp("2025-12-30T10:30:00Z")
	if err != nil {
		t.Fatal(err)
	}
	return order.Creation{
		OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", OrderNumber: "ORD-2025-00001", TenantID: "tenant-001",
		CustomerEmail: "thandi@example.com", CartID: "cart-1", PaymentMethod: "payfast", DateCreated: at, CreatedBy: "thandi@example.com",
		BillingAddress: order.BillingAddress{Street: "1 Long St", City: "Cape Town", Province: "WC", PostalCode: "8001", Country: "ZA"},
	}
}

func TestSend(t *testing.T) {
	t.Run("a message that the consumer reads", func(t *testing.T) {
		is := is.New(t)
		client, want := new(fakeSQS), creation(t)
		is.NoErr(queue.NewSender(client, queueURL).Send(t.Context(), want, trace))

		is.Equal(len(client.sent), 1) // one call
		in := client.sent[0]
		is.Equal(*in.QueueUrl, queueURL)
		got, err := order.ParseCreation([]byte(*in.MessageBody))
		is.NoErr(err)
		is.Equal(got, want) // what was sent
		header := in.MessageSystemAttributes["AWSTraceHeader"]
		is.Equal(*header.DataType, "String")
		is.Equal(*header.StringValue, trace)
	})
	t.Run("without a trace", func(t *testing.T) {
		is := is.New(t)
		client := new(fakeSQS)
		is.NoErr(queue.NewSender(client, queueURL).Send(t.Context(), creation(t), ""))
		is.Equal(len(client.sent[0].MessageSystemAttributes), 0) // SQS refuses an empty one
	})
	t.Run("an error", func(t *testing.T) {
		is := is.New(t)
		err := queue.NewSender(&fakeSQS{err: errDown}, queueURL).Send(t.Context(), creation(t), "")
		is.True(errors.Is(err, errDown)) // the cause
	})
}

// roundTrip stands in for the network of a real SNS client.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestPublish(t *testing.T) {
	event := order.Event{
		Type: order.EventCreated, Version: order.EventVersion, OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d",
		TenantID: "tenant-001", TraceID: "1-67891233-abcdef012345678912345678",
	}
	for _, header := range []string{trace, ""} {
		t.Run("with the trace header "+header, func(t *testing.T) {
			is := is.New(t)
			var form url.Values
			var got string
			client := newSNS(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return nil, err
				}
				got = r.Header.Get("X-Amzn-Trace-Id")
				form, err = url.ParseQuery(string(body))
				return answer(http.StatusOK, "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"), err
			})
			is.NoErr(queue.NewPublisher(client, topicARN).Publish(t.Context(), event, header))

			is.Equal(got, header) // the trace goes on
			is.Equal(form.Get("TopicArn"), topicARN)
			var read order.Event
			is.NoErr(json.Unmarshal([]byte(form.Get("Message")), &read))
			is.Equal(read, event) // what was published
		})
	}
	t.Run("an error", func(t *testing.T) {
		is := is.New(t)
		client := newSNS(func(*http.Request) (*http.Response, error) { return nil, errDown })
		err := queue.NewPublisher(client, topicARN).Publish(t.Context(), event, "")
		is.True(errors.Is(err, errDown))                                // the cause
		is.True(strings.Contains(err.Error(), "publish order.created")) // what failed
	})
}

func newSNS(f roundTrip) *sns.Client {
	return sns.New(sns.Options{
		Region: "af-south-1", HTTPClient: f, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}

func answer(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
}

func TestChangeVisibility(t *testing.T) {
	t.Run("times in whole seconds within bounds", func(t *testing.T) {
		is := is.New(t)
		client := new(fakeSQS)
		want := map[string]int32{"a": 0, "b": 0, "c": 1, "d": 1, "e": 2, "f": 43_200, "g": 43_200}
		is.NoErr(queue.NewVisibility(client, queueURL).Change(t.Context(), map[string]time.Duration{
			"a": 0, "b": -time.Second, "c": time.Nanosecond, "d": time.Second, "e": time.Second + 1, "f": 12 * time.Hour, "g": 1 << 62,
		}))
		is.Equal(len(client.changed), 1) // one call
		is.Equal(*client.changed[0].QueueUrl, queueURL)
		is.Equal(visibility(client), want)
	})
	t.Run("batches of ten", func(t *testing.T) {
		is := is.New(t)
		client, timeouts, want := new(fakeSQS), map[string]time.Duration{}, map[string]int32{}
		for i := range 23 {
			timeouts[fmt.Sprint("handle-", i)] = time.Duration(i) * time.Second
			want[fmt.Sprint("handle-", i)] = int32(i)
		}
		is.NoErr(queue.NewVisibility(client, queueURL).Change(t.Context(), timeouts))
		is.Equal(visibility(client), want) // every message once
		for i, n := range []int{10, 10, 3} {
			is.Equal(len(client.changed[i].Entries), n) // entries
			ids := map[string]bool{}
			for _, e := range client.changed[i].Entries {
				ids[*e.Id] = true
			}
			is.Equal(len(ids), n) // ids that differ
		}
	})
	t.Run("nothing to do", func(t *testing.T) {
		is := is.New(t)
		client := new(fakeSQS)
		is.NoErr(queue.NewVisibility(client, queueURL).Change(t.Context(), nil))
		is.Equal(len(client.changed), 0) // SQS refuses an empty batch
	})
	t.Run("single failures of a batch", func(t *testing.T) {
		is := is.New(t)
		client := &fakeSQS{failed: func(call int) []types.BatchResultErrorEntry {
			if call == 0 {
				return nil
			}
			return []types.BatchResultErrorEntry{
				{Id: aws.String("1"), Code: aws.String("ReceiptHandleIsInvalid"), Message: aws.String("not in flight")},
				{Id: aws.String("2"), Code: aws.String("OverLimit"), Message: aws.String("which nobody sent")},
			}
		}}
		timeouts := map[string]time.Duration{}
		for i := range 12 {
			timeouts[fmt.Sprintf("AQEB%0200d", i)] = time.Second
		}
		err := queue.NewVisibility(client, queueURL).Change(t.Context(), timeouts)
		is.True(err != nil) // although the call itself worked
		is.Equal(err.Error(), "change visibility of …000000000011: ReceiptHandleIsInvalid: not in flight\n"+
			"change visibility of 2: OverLimit: which nobody sent")
	})
	t.Run("every batch is tried", func(t *testing.T) {
		is := is.New(t)
		client, timeouts := &fakeSQS{err: errDown}, map[string]time.Duration{}
		for i := range 11 {
			timeouts[fmt.Sprintf("%02d", i)] = time.Second
		}
		err := queue.NewVisibility(client, queueURL).Change(t.Context(), timeouts)
		is.True(errors.Is(err, errDown)) // the cause
		is.Equal(len(client.changed), 2)
		is.True(strings.Contains(err.Error(), "08, 09")) // names of the first
		is.True(strings.Contains(err.Error(), "of 10:")) // and of the second
	})
}

// visibility returns the seconds that SQS was asked for, by handle.
func visibility(client *fakeSQS) map[string]int32 {
	got := map[string]int32{}
	for _, in := range client.changed {
		for _, e := range in.Entries {
			got[*e.ReceiptHandle] = e.VisibilityTimeout
		}
	}
	return got
}
