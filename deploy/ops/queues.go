package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
)

// The roles that commands name.
const (
	recorder   = "order_creator_record"
	pdfCreator = "order_pdf_creator"
	teamMail   = "order_internal_notifier"
	customer   = "customer_order_confirmation"
)

func mailRoles() []string { return []string{teamMail, customer} }

// A line is a queue with its dead-letter queue. That of the events which could
// not be published has no queue: they come from the table's stream.
type line struct {
	role, queue, dead string
	events            []order.EventType // that the queue gets from the topic
}

// serves reports whether the queue gets events of a type.
func (l line) serves(t order.EventType) bool { return slices.Contains(l.events, t) }

// readLines returns the queues of an environment, in the order of their roles.
func readLines(environment string) ([]line, error) {
	roles, err := deploy.Roles()
	if err != nil {
		return nil, err
	}
	env := "-" + environment
	var all []line
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		r := roles[name]
		if r.IsConsumer() {
			l := line{role: name, queue: r.Queue + env, dead: r.Queue + "-dlq" + env}
			for _, e := range r.Events {
				l.events = append(l.events, order.EventType(e))
			}
			all = append(all, l)
		}
		if r.Stream != nil {
			all = append(all, line{role: name, dead: r.Stream.DeadLetters + env})
		}
	}
	return all, nil
}

// line returns the queue of a role.
func (o *operator) line(role string) line {
	return o.lines[slices.IndexFunc(o.lines, func(l line) bool { return l.role == role && l.queue != "" })]
}

func (o *operator) queueURL(ctx context.Context, name string) (string, error) {
	out, err := o.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("find queue %s: %w", name, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

// A depth is about how many messages a queue holds.
type depth struct{ visible, inFlight, delayed int }

func (o *operator) depth(ctx context.Context, name string) (depth, error) {
	url, err := o.queueURL(ctx, name)
	if err != nil {
		return depth{}, err
	}
	attributes := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := o.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: attributes})
	if err != nil {
		return depth{}, fmt.Errorf("ask queue %s: %w", name, err)
	}
	number := func(i int) int { n, _ := strconv.Atoi(out.Attributes[string(attributes[i])]); return n }
	return depth{number(0), number(1), number(2)}, nil
}

// A letter is a message in a queue.
type letter struct {
	url     string // of the queue
	message types.Message

	tenantID, orderID string // "" where the message is malformed
	eventType         order.EventType
	sequence          int
	sent              time.Time
	receives          int
}

func readLetter(url string, m types.Message) letter {
	event, _ := order.ParseEvent([]byte(aws.ToString(m.Body))) // What is good comes back with the error.
	number := func(name types.MessageSystemAttributeName) int64 {
		n, _ := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
		return n
	}
	return letter{
		url: url, message: m,
		tenantID: event.TenantID, orderID: event.OrderID, eventType: event.Type, sequence: event.Sequence,
		sent:     time.UnixMilli(number(types.MessageSystemAttributeNameSentTimestamp)).UTC(),
		receives: int(number(types.MessageSystemAttributeNameApproximateReceiveCount)),
	}
}

// lookTime is how long a message stays out of sight of others while it is
// looked at. It also bounds what a program that is killed leaves invisible.
const lookTime = 2 * time.Minute

// look shows the messages of a queue that are visible and were sent before the
// look began, each once, at most most of them. A message that see does not take
// away is visible again at the end. It reports whether it came to the end of
// the queue.
func (o *operator) look(
	ctx context.Context, name string, most int, see func(context.Context, letter) (taken bool, err error),
) (complete bool, err error) {
	url, err := o.queueURL(ctx, name)
	if err != nil {
		return false, err
	}
	begin := o.now()
	held := map[string]time.Duration{} // by receipt handle
	defer func() {
		// Also after a Ctrl-C: a message must not stay invisible for nothing.
		err = errors.Join(err, queue.New(o.sqs, url).Change(context.WithoutCancel(ctx), held))
	}()
	seen := map[string]bool{}
	for len(seen) < most {
		messages, err := o.receive(ctx, url, min(most-len(seen), 10))
		if err != nil {
			return false, fmt.Errorf("look into queue %s: %w", name, err)
		}
		fresh := false
		for _, m := range messages {
			l := readLetter(url, m)
			taken := false
			if id := aws.ToString(m.MessageId); !seen[id] && !l.sent.After(begin) {
				seen[id], fresh = true, true
				if taken, err = see(ctx, l); err != nil {
					held[aws.ToString(m.ReceiptHandle)] = 0
					return false, err
				}
			}
			if !taken {
				held[aws.ToString(m.ReceiptHandle)] = 0
			}
		}
		if !fresh {
			return true, nil
		}
	}
	return false, nil
}

func (o *operator) receive(ctx context.Context, url string, most int) ([]types.Message, error) {
	out, err := o.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &url,
		MaxNumberOfMessages:         int32(most), //nolint:gosec // At most ten.
		VisibilityTimeout:           int32(lookTime / time.Second),
		WaitTimeSeconds:             1, // Without, SQS asks some of its servers only.
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// send puts a body on a queue as a message of its own.
func (o *operator) send(ctx context.Context, name, body, group, trace string) error {
	url, err := o.queueURL(ctx, name)
	if err != nil {
		return err
	}
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}
	if group != "" {
		in.MessageGroupId = &group
	}
	if trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {
				DataType: aws.String("String"), StringValue: &trace,
			},
		}
	}
	if _, err := o.sqs.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("send to queue %s: %w", name, err)
	}
	return nil
}

// tell sends the event of an entry of an order's history to one role alone.
func (o *operator) tell(ctx context.Context, role string, about order.Order, e order.Entry) error {
	url, err := o.queueURL(ctx, o.line(role).queue)
	if err != nil {
		return err
	}
	return queue.New(o.sqs, url).Send(ctx, about.Event(e), about.TenantID, "")
}
