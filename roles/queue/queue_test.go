package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
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

// fakeSQS keeps what it is asked. Err fails every call; failed is what a batch
// answers, by the entry's id.
type fakeSQS struct {
	sent    []*sqs.SendMessageInput
	changed []*sqs.ChangeMessageVisibilityBatchInput
	err     error
	failed  func(call int) []types.BatchResultErrorEntry
}

func (f *fakeSQS) SendMessage(
	_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options),
) (*sqs.SendMessageOutput, error) {
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

func creation() order.Creation {
	return order.Creation{
		OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", TenantID: "tenant-001",
		CustomerEmail: "thandi@example.com", CartID: "cart-1", PaymentMethod: "payfast", CreatedBy: "thandi@example.com",
		BillingAddress: order.BillingAddress{
			FullName: "\U0001F980 Thandi \u2028<b>", Street: "1 Long St", City: "Cape Town", Province: "WC", PostalCode: "8001", Country: "ZA",
		},
	}
}

func TestSend(t *testing.T) {
	t.Run("a message that the consumer reads", func(t *testing.T) {
		is := is.New(t)
		client, want := new(fakeSQS), creation()
		is.NoErr(queue.New(client, queueURL).Send(t.Context(), want, "tenant-001", trace))

		is.Equal(len(client.sent), 1) // one call
		in := client.sent[0]
		is.Equal(*in.QueueUrl, queueURL)
		is.Equal(*in.MessageGroupId, "tenant-001") // SQS keeps tenants apart
		is.Equal(in.DelaySeconds, int32(0))
		got, err := order.ParseCreation([]byte(*in.MessageBody))
		is.NoErr(err)
		is.Equal(got, want) // what was sent
		header := in.MessageSystemAttributes["AWSTraceHeader"]
		is.Equal(*header.DataType, "String")
		is.Equal(*header.StringValue, trace)
	})
	t.Run("characters beyond U+FFFF as escapes", func(t *testing.T) {
		is := is.New(t)
		client, c := new(fakeSQS), creation()
		c.CustomerName = "\uffff"
		is.NoErr(queue.New(client, queueURL).Send(t.Context(), c, "", ""))
		body := *client.sent[0].MessageBody
		is.True(strings.Contains(body, "\uffff"))                                     // the last that is none
		is.True(strings.Contains(body, `\ud83e\udd80 Thandi`))                        // a surrogate pair
		is.True(!strings.ContainsFunc(body, func(r rune) bool { return r > 0xFFFF })) // and nothing else of the kind
	})
	t.Run("without tenant and trace", func(t *testing.T) {
		is := is.New(t)
		client := new(fakeSQS)
		is.NoErr(queue.New(client, queueURL).Send(t.Context(), creation(), "", ""))
		is.Equal(len(client.sent[0].MessageSystemAttributes), 0) // SQS refuses an empty one
		is.Equal(client.sent[0].MessageGroupId, nil)             // and an empty group
	})
	t.Run("an error", func(t *testing.T) {
		is := is.New(t)
		err := queue.New(&fakeSQS{err: errDown}, queueURL).Send(t.Context(), creation(), "", "")
		is.True(errors.Is(err, errDown)) // the cause
	})
}

func TestSendLater(t *testing.T) {
	firstSent := time.UnixMilli(1_767_090_600_123)
	later := queue.Delayed{
		Body: `{"a": "b"}`, TenantID: "tenant-001", TraceHeader: trace, Delay: 11 * time.Second, FirstSent: firstSent,
		Attempt: 3,
	}
	t.Run("a copy that says how long it has waited", func(t *testing.T) {
		is := is.New(t)
		client := new(fakeSQS)
		is.NoErr(queue.New(client, queueURL).SendLater(t.Context(), later))
		is.Equal(len(client.sent), 1) // one call
		in := client.sent[0]
		is.Equal(*in.QueueUrl, queueURL)
		is.Equal(*in.MessageBody, later.Body) // as it came
		is.Equal(in.DelaySeconds, int32(11))
		is.Equal(*in.MessageGroupId, "tenant-001")
		is.Equal(*in.MessageSystemAttributes["AWSTraceHeader"].StringValue, trace)
		is.Equal(len(in.MessageAttributes), 2)
		for name, want := range map[string]string{queue.AttributeFirstSent: "1767090600123", queue.AttributeAttempt: "3"} {
			is.Equal(*in.MessageAttributes[name].DataType, "Number")
			is.Equal(*in.MessageAttributes[name].StringValue, want)
		}
	})
	t.Run("a delay within what SQS takes, in whole seconds", func(t *testing.T) {
		is := is.New(t)
		for delay, want := range map[time.Duration]int32{
			-time.Second: 0, 0: 0, time.Nanosecond: 1, 9*time.Second + 1: 10, 15 * time.Minute: 900, time.Hour: 900,
		} {
			client := new(fakeSQS)
			d := later
			d.Delay = delay
			is.NoErr(queue.New(client, queueURL).SendLater(t.Context(), d))
			is.Equal(client.sent[0].DelaySeconds, want)
		}
	})
	t.Run("an error", func(t *testing.T) {
		is := is.New(t)
		err := queue.New(&fakeSQS{err: errDown}, queueURL).SendLater(t.Context(), later)
		is.True(errors.Is(err, errDown)) // the cause
	})
}

// fakeSNS keeps what it is asked. Err fails the call; failed is what it answers
// of single entries.
type fakeSNS struct {
	published []*sns.PublishBatchInput
	err       error
	failed    []snstypes.BatchResultErrorEntry
}

func (f *fakeSNS) PublishBatch(
	_ context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options),
) (*sns.PublishBatchOutput, error) {
	f.published = append(f.published, in)
	return &sns.PublishBatchOutput{Failed: f.failed}, f.err
}

func news(n int) []order.Event {
	all := make([]order.Event, n)
	for i := range all {
		all[i] = order.Event{
			ID: fmt.Sprint("2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d#", i+1), Type: order.EventPaid, Version: order.EventVersion,
			Sequence: i + 1,
			OrderID:  "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", TenantID: fmt.Sprint("tenant-", i), CustomerEmail: "\U0001F980@example.com",
		}
	}
	return all
}

func TestPublish(t *testing.T) {
	t.Run("ten events in one call", func(t *testing.T) {
		is := is.New(t)
		client, events := new(fakeSNS), news(10)
		is.Equal(queue.NewPublisher(client, topicARN).Publish(t.Context(), events), make([]error, 10))

		is.Equal(len(client.published), 1) // one call
		in := client.published[0]
		is.Equal(*in.TopicArn, topicARN)
		is.Equal(len(in.PublishBatchRequestEntries), 10)
		ids := map[string]bool{}
		for i, e := range in.PublishBatchRequestEntries {
			ids[*e.Id] = true
			is.Equal(*e.MessageGroupId, events[i].TenantID)
			is.True(strings.Contains(*e.Message, `\ud83e\udd80@example.com`)) // beyond U+FFFF
			var read order.Event
			is.NoErr(json.Unmarshal([]byte(*e.Message), &read))
			is.Equal(read, events[i]) // what was published
		}
		is.Equal(len(ids), 10) // ids that differ
	})
	t.Run("the call fails: so does each event, for now", func(t *testing.T) {
		is := is.New(t)
		errs := queue.NewPublisher(&fakeSNS{err: errDown}, topicARN).Publish(t.Context(), news(2))
		is.Equal(len(errs), 2)
		for _, err := range errs {
			var p *order.PermanentError
			is.True(errors.Is(err, errDown) && !errors.As(err, &p))
		}
	})
	t.Run("an entry that SNS does not know is nobody's", func(t *testing.T) {
		is := is.New(t)
		client := &fakeSNS{failed: []snstypes.BatchResultErrorEntry{
			{Id: aws.String("2")}, {Id: aws.String("-1")}, {Id: aws.String("x")}, {}, {Id: aws.String("0")},
		}}
		errs := queue.NewPublisher(client, topicARN).Publish(t.Context(), news(2))
		is.True(errs[0] != nil) // the one that it knows
		is.NoErr(errs[1])
	})
}

func TestPublishRefused(t *testing.T) {
	for code, tt := range map[string]struct{ senderFault, permanent bool }{
		"InvalidParameter":        {true, true},
		"InvalidParameterValue":   {true, true},
		"InternalError":           {false, false},
		"InternalFailure":         {false, false},
		"Throttled":               {true, false}, // over some time later
		"ThrottlingException":     {true, false},
		"AuthorizationError":      {true, false}, // an operator mends it
		"KMSAccessDenied":         {true, false},
		"KMSThrottling":           {true, false},
		"InvalidParameter at SNS": {false, false},
	} {
		t.Run(code, func(t *testing.T) {
			is := is.New(t)
			client := &fakeSNS{failed: []snstypes.BatchResultErrorEntry{
				{Id: aws.String("1"), Code: &code, Message: aws.String("why"), SenderFault: tt.senderFault},
			}}
			errs := queue.NewPublisher(client, topicARN).Publish(t.Context(), news(3))
			is.NoErr(errs[0]) // SNS took it
			is.NoErr(errs[2])
			var p *order.PermanentError
			is.Equal(errors.As(errs[1], &p), tt.permanent)
			is.True(strings.Contains(errs[1].Error(), "publish order.paid: "+code+": why"))
		})
	}
}

func TestChangeVisibility(t *testing.T) {
	t.Run("times in whole seconds within bounds", func(t *testing.T) {
		is := is.New(t)
		client := new(fakeSQS)
		want := map[string]int32{"a": 0, "b": 0, "c": 1, "d": 1, "e": 2, "f": 43_200, "g": 43_200}
		is.NoErr(queue.New(client, queueURL).Change(t.Context(), map[string]time.Duration{
			"a": 0, "b": -time.Second, "c": time.Nanosecond, "d": time.Second, "e": time.Second + 1, "f": 12 * time.Hour,
			"g": 1 << 62,
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
		is.NoErr(queue.New(client, queueURL).Change(t.Context(), timeouts))
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
		is.NoErr(queue.New(client, queueURL).Change(t.Context(), nil))
		is.Equal(len(client.changed), 0) // SQS refuses an empty batch
	})
	t.Run("single failures of a batch", func(t *testing.T) {
		is := is.New(t)
		client := &fakeSQS{failed: func(call int) []types.BatchResultErrorEntry {
			if call == 0 {
				return nil
			}
			return []types.BatchResultErrorEntry{
				{Id: aws.String("0"), Code: aws.String("ReceiptHandleIsInvalid"), Message: aws.String("not in flight")},
				{Id: aws.String("x"), Code: aws.String("OverLimit"), Message: aws.String("which has no number")},
				{Id: aws.String("2"), Code: aws.String("OverLimit"), Message: aws.String("which nobody sent")},
			}
		}}
		timeouts := map[string]time.Duration{}
		for i := range 12 {
			timeouts[fmt.Sprintf("AQEB%0200d", i)] = time.Second
		}
		err := queue.New(client, queueURL).Change(t.Context(), timeouts)
		is.True(err != nil) // although the call itself worked
		is.Equal(err.Error(), "change visibility of …000000000010: ReceiptHandleIsInvalid: not in flight\n"+
			"change visibility of x: OverLimit: which has no number\n"+
			"change visibility of 2: OverLimit: which nobody sent")
	})
	t.Run("every batch is tried", func(t *testing.T) {
		is := is.New(t)
		client, timeouts := &fakeSQS{err: errDown}, map[string]time.Duration{}
		for i := range 11 {
			timeouts[fmt.Sprintf("%012d", i)] = time.Second
		}
		err := queue.New(client, queueURL).Change(t.Context(), timeouts)
		is.True(errors.Is(err, errDown)) // the cause
		is.Equal(len(client.changed), 2)
		is.True(strings.Contains(err.Error(), " 000000000008, 000000000009:")) // names of the first
		is.True(strings.Contains(err.Error(), "of 000000000010:"))             // and of the second
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
