// Package queue speaks to SQS and SNS: it sends messages, puts them off, says
// how long one that failed stays out of sight, and publishes events.
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/bbws/order-lambda/order"
)

// MaxVisibility is the longest time that SQS keeps a message invisible.
const MaxVisibility = 12 * time.Hour

// maxBatch is how many entries SQS takes in one call.
const maxBatch = 10

// A Client is the part of the SQS client that a Queue needs.
type Client interface {
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	ChangeMessageVisibilityBatch(
		ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options),
	) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// A Queue is one queue of SQS. It is safe for concurrent use.
type Queue struct {
	client Client
	url    string
}

// New returns the queue with a URL.
func New(client Client, url string) *Queue { return &Queue{client, url} }

// Send puts a message on the queue, as JSON. The tenant is its group, by which
// SQS keeps one tenant's rush from delaying the others; "" has none. The trace
// header has the form of X-Amzn-Trace-Id and links the consumer's trace to the
// sender's; "" sends none. After an error the message may still be on the
// queue.
func (q *Queue) Send(ctx context.Context, body any, tenantID, traceHeader string) error {
	return q.send(ctx, &sqs.SendMessageInput{MessageBody: text(body)}, tenantID, traceHeader)
}

// The attributes of a message that was put off.
const (
	AttributeFirstSent = "firstSent" // milliseconds since 1970
	AttributeAttempt   = "attempt"   // how often it was put off
)

// A Delayed is a copy of a message that waits in the queue.
type Delayed struct {
	Body        string
	TenantID    string
	TraceHeader string
	Delay       time.Duration // at most MaxDelay
	FirstSent   time.Time     // when the first of the copies was sent
	Attempt     int           // how often it was put off, this time included
}

// MaxDelay is the longest time that SQS holds a new message back.
const MaxDelay = 15 * time.Minute

// SendLater puts a copy of a message at the end of the queue, where it waits.
func (q *Queue) SendLater(ctx context.Context, d Delayed) error {
	number := func(n int64) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String(strconv.FormatInt(n, 10))}
	}
	return q.send(ctx, &sqs.SendMessageInput{
		MessageBody:  &d.Body,
		DelaySeconds: seconds(d.Delay, MaxDelay),
		MessageAttributes: map[string]types.MessageAttributeValue{
			AttributeFirstSent: number(d.FirstSent.UnixMilli()),
			AttributeAttempt:   number(int64(d.Attempt)),
		},
	}, d.TenantID, d.TraceHeader)
}

func (q *Queue) send(ctx context.Context, in *sqs.SendMessageInput, tenantID, traceHeader string) error {
	in.QueueUrl, in.MessageGroupId = &q.url, group(tenantID)
	if traceHeader != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {
				DataType: aws.String("String"), StringValue: &traceHeader,
			},
		}
	}
	if _, err := q.client.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// An EventPublisher is the part of the SNS client that a Publisher needs.
type EventPublisher interface {
	PublishBatch(
		ctx context.Context, in *sns.PublishBatchInput, opts ...func(*sns.Options),
	) (*sns.PublishBatchOutput, error)
}

// A Publisher publishes events to one topic. It is safe for concurrent use.
type Publisher struct {
	client   EventPublisher
	topicARN string
}

// NewPublisher returns a publisher to the topic.
func NewPublisher(client EventPublisher, topicARN string) *Publisher {
	return &Publisher{client, topicARN}
}

// Publish hands at most ten events to every subscriber of the topic. It returns
// an error for each event, nil if SNS took it. The error is an
// *order.PermanentError if SNS will never take the event. After any other error
// the event may still have reached the subscribers.
func (p *Publisher) Publish(ctx context.Context, events []order.Event) []error {
	in := &sns.PublishBatchInput{TopicArn: &p.topicARN}
	for i, e := range events {
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, snstypes.PublishBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), Message: text(e), MessageGroupId: group(e.TenantID),
		})
	}
	errs := make([]error, len(events))
	out, err := p.client.PublishBatch(ctx, in)
	if err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("publish events: %w", err)
		}
		return errs
	}
	for _, f := range out.Failed {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil || i < 0 || i >= len(events) {
			continue // SNS answers for entries that it was given.
		}
		errs[i] = fmt.Errorf("publish %s: %s: %s", events[i].Type, aws.ToString(f.Code), aws.ToString(f.Message))
		if f.SenderFault && !passes(aws.ToString(f.Code)) {
			errs[i] = &order.PermanentError{Reason: "SNS refuses the event", Err: errs[i]}
		}
	}
	return errs
}

// passes reports whether an error that SNS calls the sender's fault is over
// some time later: too many calls, or a right that is missing.
func passes(code string) bool {
	return slices.ContainsFunc([]string{"Throttl", "Authorization", "AccessDenied"}, func(part string) bool {
		return strings.Contains(code, part)
	})
}

func group(tenantID string) *string {
	if tenantID == "" {
		return nil
	}
	return &tenantID
}

// text returns a message as JSON in which characters beyond U+FFFF are escaped:
// AWS takes them as they are, the local emulator of SQS and SNS does not.
func text(message any) *string {
	data, _ := json.Marshal(message) // Texts and times always have a JSON form.
	var b strings.Builder
	for _, r := range string(data) {
		if r > 0xFFFF {
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		} else {
			b.WriteRune(r)
		}
	}
	return aws.String(b.String())
}

// Change sets, by receipt handle, how long messages stay invisible from now on,
// in as few calls as SQS allows. The times are rounded up to whole seconds and
// held between 0 and MaxVisibility. The error names, by the end of its handle,
// every message for which it did not work; those keep the time that they had.
func (q *Queue) Change(ctx context.Context, timeouts map[string]time.Duration) error {
	var errs []error
	for handles := range slices.Chunk(slices.Sorted(maps.Keys(timeouts)), maxBatch) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url}
		for i, handle := range handles {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id:                aws.String(strconv.Itoa(i)),
				ReceiptHandle:     &handle,
				VisibilityTimeout: seconds(timeouts[handle], MaxVisibility),
			})
		}
		out, err := q.client.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			errs = append(errs, fmt.Errorf("change visibility of %s: %w", names(handles), err))
			continue
		}
		for _, f := range out.Failed {
			name := aws.ToString(f.Id)
			if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(handles) {
				name = names(handles[i : i+1])
			}
			code, message := aws.ToString(f.Code), aws.ToString(f.Message)
			errs = append(errs, fmt.Errorf("change visibility of %s: %s: %s", name, code, message))
		}
	}
	return errors.Join(errs...)
}

// names returns the ends of receipt handles: they are some hundred characters
// long, and random at the end.
func names(handles []string) string {
	const most = 12
	short := make([]string, len(handles))
	for i, h := range handles {
		if short[i] = h; len(h) > most {
			short[i] = "…" + h[len(h)-most:]
		}
	}
	return strings.Join(short, ", ")
}

// seconds returns a time in whole seconds, rounded up and at most most.
func seconds(d, most time.Duration) int32 {
	d = max(0, min(d, most))
	return int32(math.Ceil(d.Seconds()))
}
