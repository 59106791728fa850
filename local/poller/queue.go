package poller

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	maxBatch   = 10                    // messages that SQS gives and deletes at a time
	longPoll   = 20                    // seconds that SQS holds a request open at most
	windowPoll = 50 * time.Millisecond // between receives while a window is open for less than a second
)

// Queue is the mapping of a queue to a function: it collects batches, invokes
// the function with them and deletes what the function handled
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html).
type Queue struct {
	Client         *sqs.Client
	QueueURL       string
	QueueARN       string
	BatchSize      int           // messages at most in one invocation
	Window         time.Duration // how long to wait for a fuller batch after the first message
	MaxConcurrency int           // invocations at a time
	Function       Invoker

	// Observe, if set, is told of every invocation: what the function received,
	// and either the ids of the messages that remain in the queue or the error
	// for which all of them do.
	Observe func(event events.SQSEvent, failed []string, err error)
}

// Run polls until ctx is done and then waits for the invocations that are
// running. Messages that were received but not handed to the function by then
// appear in the queue again when their visibility timeout has passed.
func (c *Queue) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	free := make(chan struct{}, c.MaxConcurrency)
	for ctx.Err() == nil {
		select {
		case free <- struct{}{}: // room for the batch before any message is taken
		case <-ctx.Done():
			return
		}
		messages := c.collect(ctx)
		if len(messages) == 0 {
			<-free
			continue
		}
		running.Go(func() {
			defer func() { <-free }()
			c.handle(context.WithoutCancel(ctx), messages)
		})
	}
}

// collect waits for a first message and returns it with those that follow until
// the batch is full or the window ends.
func (c *Queue) collect(ctx context.Context) []types.Message {
	messages := c.receive(ctx, c.BatchSize, longPoll)
	if len(messages) == 0 {
		return nil
	}
	for end := time.Now().Add(c.Window); len(messages) < c.BatchSize && ctx.Err() == nil; {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		if left < time.Second {
			sleep(ctx, min(left, windowPoll))
			left = 0
		}
		messages = append(messages, c.receive(ctx, c.BatchSize-len(messages), min(int32(left.Seconds()), longPoll))...)
	}
	return messages
}

func (c *Queue) receive(ctx context.Context, limit int, wait int32) []types.Message {
	out, err := c.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(c.QueueURL),
		MaxNumberOfMessages:         int32(min(limit, maxBatch)),
		WaitTimeSeconds:             wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		sleep(ctx, pause) // there is nobody to tell, and the next try may do better
		return nil
	}
	return out.Messages
}

// handle invokes the function with a batch and deletes the messages that it
// handled.
func (c *Queue) handle(ctx context.Context, messages []types.Message) {
	event := c.event(messages)
	ids := make([]string, len(messages))
	for i, message := range messages {
		ids[i] = aws.ToString(message.MessageId)
	}
	failed, err := invoke(ctx, c.Function, event, ids)
	if err == nil {
		err = c.remove(ctx, messages, failed)
	}
	if c.Observe != nil {
		c.Observe(event, failed, err)
	}
}

// remove deletes the messages that are not among the failed ones.
func (c *Queue) remove(ctx context.Context, messages []types.Message, failed []string) error {
	var done []types.DeleteMessageBatchRequestEntry
	for i, message := range messages {
		if !slices.Contains(failed, aws.ToString(message.MessageId)) {
			done = append(done, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: message.ReceiptHandle,
			})
		}
	}
	var errs []error
	for some := range slices.Chunk(done, maxBatch) {
		in := sqs.DeleteMessageBatchInput{QueueUrl: aws.String(c.QueueURL), Entries: some}
		_, err := c.Client.DeleteMessageBatch(ctx, &in)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// event makes the event that the function receives.
func (c *Queue) event(messages []types.Message) events.SQSEvent {
	event := events.SQSEvent{Records: make([]events.SQSMessage, 0, len(messages))}
	region := strings.Split(c.QueueARN+":::::", ":")[3]
	for _, m := range messages {
		attributes := make(map[string]events.SQSMessageAttribute, len(m.MessageAttributes))
		for name, value := range m.MessageAttributes {
			attributes[name] = events.SQSMessageAttribute{
				DataType: aws.ToString(value.DataType), StringValue: value.StringValue, BinaryValue: value.BinaryValue,
				StringListValues: []string{}, BinaryListValues: [][]byte{},
			}
		}
		event.Records = append(event.Records, events.SQSMessage{
			MessageId:              aws.ToString(m.MessageId),
			ReceiptHandle:          aws.ToString(m.ReceiptHandle),
			Body:                   aws.ToString(m.Body),
			Md5OfBody:              aws.ToString(m.MD5OfBody),
			Md5OfMessageAttributes: aws.ToString(m.MD5OfMessageAttributes),
			Attributes:             m.Attributes,
			MessageAttributes:      attributes,
			EventSourceARN:         c.QueueARN,
			EventSource:            "aws:sqs",
			AWSRegion:              region,
		})
	}
	return event
}
