// Package poller stands in for Lambda's event source mapping of an SQS queue
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html): it collects batches, invokes the function
// with them and deletes what the function handled.
package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	maxReceive = 10                    // messages that SQS gives at a time
	longPoll   = 20                    // seconds that SQS holds a request open at most
	pause      = time.Second           // after SQS failed
	windowPoll = 50 * time.Millisecond // between receives while a window is open for less than a second
)

// An Invoker is the function that consumes a queue. *lambdaapi.Function is one.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error)
}

// Config describes a mapping of a queue to a function that reports partial failures (ReportBatchItemFailures).
type Config struct {
	Client         *sqs.Client
	QueueURL       string
	QueueARN       string
	BatchSize      int           // messages at most in one invocation
	Window         time.Duration // how long to wait for a fuller batch after the first message
	MaxConcurrency int           // invocations at a time
	Function       Invoker

	// Observe, if set, is told of every invocation: what the function received, and either the ids of the messages that
	// remain in the queue or the error for which all of them do.
	Observe func(event events.SQSEvent, failed []string, err error)
}

// Run polls until ctx is done and then waits for the invocations that are running. Messages that were received but not
// handed to the function by then appear in the queue again when their visibility timeout has passed.
func Run(ctx context.Context, config Config) {
	var running sync.WaitGroup
	defer running.Wait()
	free := make(chan struct{}, config.MaxConcurrency)
	for ctx.Err() == nil {
		select {
		case free <- struct{}{}: // room for the batch before any message is taken
		case <-ctx.Done():
			return
		}
		messages := config.collect(ctx)
		if len(messages) == 0 {
			<-free
			continue
		}
		running.Go(func() {
			defer func() { <-free }()
			config.handle(context.WithoutCancel(ctx), messages)
		})
	}
}

// collect waits for a first message and returns it with those that follow until the batch is full or the window ends.
func (c *Config) collect(ctx context.Context) []types.Message {
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
			select {
			case <-time.After(min(left, windowPoll)):
			case <-ctx.Done():
			}
			left = 0
		}
		messages = append(messages, c.receive(ctx, c.BatchSize-len(messages), min(int32(left.Seconds()), longPoll))...)
	}
	return messages
}

func (c *Config) receive(ctx context.Context, limit int, wait int32) []types.Message {
	out, err := c.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(c.QueueURL),
		MaxNumberOfMessages:         int32(min(limit, maxReceive)),
		WaitTimeSeconds:             wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		select { // there is nobody to tell, and the next try may do better
		case <-time.After(pause):
		case <-ctx.Done():
		}
		return nil
	}
	return out.Messages
}

// handle invokes the function with a batch and deletes the messages that it handled.
func (c *Config) handle(ctx context.Context, messages []types.Message) {
	event := c.event(messages)
	failed, err := c.invoke(ctx, event)
	if err == nil {
		err = c.remove(ctx, messages, failed)
	}
	if c.Observe != nil {
		c.Observe(event, failed, err)
	}
}

// invoke returns the ids of the messages that the function could not handle. An error means all of them.
func (c *Config) invoke(ctx context.Context, event events.SQSEvent) (failed []string, err error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	answer, err := c.Function.Invoke(ctx, payload, "")
	if err != nil {
		return nil, err
	}
	return parseAnswer(answer, event)
}

// parseAnswer reads the function's answer as Lambda does: nothing or an empty list means that every message was handled;
// an answer that cannot be understood, or one that names a message which was not in the batch, that none was
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
func parseAnswer(answer []byte, event events.SQSEvent) ([]string, error) {
	if len(answer) == 0 {
		return nil, nil
	}
	var said struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return nil, fmt.Errorf("the answer is not a batch response: %w", err)
	}
	known := make(map[string]bool, len(event.Records))
	for _, record := range event.Records {
		known[record.MessageId] = true
	}
	var failed []string
	for _, failure := range said.BatchItemFailures {
		if !known[failure.ItemIdentifier] {
			return nil, fmt.Errorf("the answer names message %q, which was not in the batch", failure.ItemIdentifier)
		}
		failed = append(failed, failure.ItemIdentifier)
	}
	return failed, nil
}

// remove deletes the messages that are not among the failed ones.
func (c *Config) remove(ctx context.Context, messages []types.Message, failed []string) error {
	keep := make(map[string]bool, len(failed))
	for _, id := range failed {
		keep[id] = true
	}
	var entries []types.DeleteMessageBatchRequestEntry
	var errs []error
	flush := func() {
		if len(entries) == 0 {
			return
		}
		_, err := c.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(c.QueueURL), Entries: entries})
		entries = nil
		errs = append(errs, err)
	}
	for i, message := range messages {
		if keep[aws.ToString(message.MessageId)] {
			continue
		}
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: message.ReceiptHandle})
		if len(entries) == maxReceive {
			flush()
		}
	}
	flush()
	return errors.Join(errs...)
}

// event makes the event that the function receives.
func (c *Config) event(messages []types.Message) events.SQSEvent {
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
		if m.Attributes == nil {
			m.Attributes = map[string]string{}
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
