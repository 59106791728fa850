package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/queue"
)

func dlqListCommand() command {
	return command{
		name: "dlq list", does: "count the messages of every queue", needs: []setting{table, environment},
		setUp: func(*flag.FlagSet) action {
			return func(ctx context.Context, o *operator, _ []string) error { return o.countQueues(ctx) }
		},
	}
}

func dlqShowCommand() command {
	return command{
		name: "dlq show", does: "show dead messages and why they died", needs: []setting{table, environment},
		setUp: func(f *flag.FlagSet) action {
			w := wantedFlags(f)
			return func(ctx context.Context, o *operator, _ []string) error {
				return o.eachDead(ctx, *w, "", func(context.Context, line, letter) (bool, error) { return false, nil })
			}
		},
	}
}

func dlqRedriveCommand() command {
	return command{
		name: "dlq redrive", does: "send dead messages to their queues again", changes: true,
		needs: []setting{table, environment, topic},
		setUp: func(f *flag.FlagSet) action {
			w := wantedFlags(f)
			return func(ctx context.Context, o *operator, _ []string) error {
				return o.eachDead(ctx, *w, "sent again", o.redrive)
			}
		},
	}
}

func dlqDropCommand() command {
	return command{
		name: "dlq drop", does: "delete dead messages for good", changes: true, needs: []setting{table, environment},
		setUp: func(f *flag.FlagSet) action {
			w := wantedFlags(f)
			return func(ctx context.Context, o *operator, _ []string) error {
				if (*w == wanted{limit: w.limit}) {
					return errors.New("say which: -queue, -order, -reason or -older")
				}
				return o.eachDead(ctx, *w, "deleted", func(ctx context.Context, _ line, l letter) (bool, error) {
					return o.drop(ctx, l)
				})
			}
		},
	}
}

// wanted says which dead messages a command is about. What is not set wants
// all.
type wanted struct {
	queue, order, reason string
	older                time.Duration
	limit                int
}

func wantedFlags(f *flag.FlagSet) *wanted {
	w := new(wanted)
	f.StringVar(&w.queue, "queue", "", "only queues whose name has this in it, for example pdf")
	f.StringVar(&w.order, "order", "", "only messages about the order with this id")
	f.StringVar(&w.reason, "reason", "", "only messages whose reason has this in it")
	f.DurationVar(&w.older, "older", 0, "only messages sent longer ago, for example 24h")
	f.IntVar(&w.limit, "limit", mostLooked, "most messages of each queue")
	return w
}

func (o *operator) countQueues(ctx context.Context) error {
	for _, l := range o.lines {
		dead, err := o.depth(ctx, l.dead)
		if err != nil {
			return err
		}
		var main depth
		if l.queue != "" {
			if main, err = o.depth(ctx, l.queue); err != nil {
				return err
			}
		}
		o.out.row("queue", "dead-letter queue", l.dead, "dead", dead.visible, "looked at", dead.inFlight, "queue", l.queue,
			"waiting", main.visible, "in work", main.inFlight, "put off", main.delayed)
	}
	return nil
}

// eachDead shows every dead message that is wanted and, with -yes, does
// something about it, one at a time. A message for which that fails stays where
// it is, and the others go on.
func (o *operator) eachDead(
	ctx context.Context, w wanted, done string, do func(context.Context, line, letter) (taken bool, err error),
) error {
	var failed []error
	for _, l := range o.lines {
		if !strings.Contains(l.dead, w.queue) {
			continue
		}
		complete, err := o.look(ctx, l.dead, w.limit, func(ctx context.Context, m letter) (bool, error) {
			taken, err := o.oneDead(ctx, w, l, m, done, do)
			if err != nil && ctx.Err() == nil {
				failed = append(failed, fmt.Errorf("message %s: %w", aws.ToString(m.message.MessageId), err))
				err = nil
			}
			return taken, err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if !complete {
			o.progress.say(fmt.Sprintf("%s: only the first %d messages; -limit takes more", l.dead, w.limit))
		}
	}
	return errors.Join(failed...)
}

func (o *operator) oneDead(
	ctx context.Context, w wanted, l line, m letter, done string,
	do func(context.Context, line, letter) (taken bool, err error),
) (taken bool, err error) {
	if w.order != "" && m.orderID != w.order || o.now().Sub(m.sent) < w.older {
		return false, nil
	}
	reason, err := o.reason(ctx, l, m)
	if err != nil || !strings.Contains(reason, w.reason) {
		return false, err
	}
	said := done
	if done != "" {
		said = o.did(done)
		if o.act {
			if taken, err = do(ctx, l, m); err != nil {
				return taken, err
			}
		}
		o.progress.step("messages")
	}
	fields := []any{
		"queue", l.dead, "message", aws.ToString(m.message.MessageId), "tenant", m.tenantID, "order", m.orderID,
		"event", m.eventType, "sequence", m.sequence, "sent", order.NewTimestamp(m.sent), "reason", reason, "done", said,
	}
	if o.out.asJSON {
		fields = append(fields, "body", aws.ToString(m.message.Body))
	}
	o.out.row("message", fields...)
	return taken, nil
}

// reason returns why a message died, as the order or the mail ledger tells, or
// that it has nothing left to do. SQS does not know, and of documents nothing is
// kept but the log.
func (o *operator) reason(ctx context.Context, l line, m letter) (string, error) {
	if m.orderID == "" || m.tenantID == "" {
		return "message is malformed", nil
	}
	about, err := o.orders.StoredOrder(ctx, m.tenantID, m.orderID)
	switch {
	case errors.Is(err, order.ErrNotFound):
		return "order not found", nil
	case err != nil:
		return "", err
	case !about.Active:
		return "order is deleted", nil
	case l.queue == "":
		return "event was not published", nil
	case l.role == recorder && about.Recorded():
		return "order is recorded", nil
	case l.role == pdfCreator && len(order.DocumentsDue(about)) == 0:
		return "documents are issued", nil
	case !about.Recorded():
		return about.FailureReason, nil
	}
	return o.mailReason(ctx, l, m, about)
}

func (o *operator) mailReason(ctx context.Context, l line, m letter, about order.Order) (string, error) {
	for mail, err := range o.orders.Mails(ctx, m.tenantID, m.orderID) {
		if err != nil {
			return "", err
		}
		if mail.Role != l.role || mail.Sequence != m.entry(about).Sequence {
			continue
		}
		if mail.Sent() {
			return "mail went out", nil
		}
		return mail.Reason, nil
	}
	return "", nil
}

// entry returns the entry of an order's history that the message tells of.
func (l letter) entry(about order.Order) order.Entry {
	e, ok := about.Entry(l.sequence)
	if !ok {
		e, _ = about.FirstEntry(l.eventType)
	}
	return e
}

// redrive sends a message again, and only then deletes the dead one: it may be
// there twice for a moment, which every consumer takes, and is never lost. The
// new message counts its deliveries and its 24 hours anew.
func (o *operator) redrive(ctx context.Context, l line, m letter) (taken bool, err error) {
	if l.queue == "" {
		err = o.publishAgain(ctx, m)
	} else {
		group := m.message.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
		if group == "" {
			group = m.tenantID
		}
		trace := m.message.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]
		err = o.send(ctx, l.queue, aws.ToString(m.message.Body), group, trace)
	}
	if err != nil {
		return false, err
	}
	if taken, err = o.drop(ctx, m); err != nil {
		return taken, fmt.Errorf("sent again, and still in %s: %w", l.dead, err)
	}
	return taken, nil
}

// publishAgain publishes an event that the stream could not. The dead message
// names the order and the entry; without an entry the whole history is told.
func (o *operator) publishAgain(ctx context.Context, m letter) error {
	about, err := o.orders.Order(ctx, m.tenantID, m.orderID)
	if err != nil {
		return err
	}
	entries := about.History
	if e, ok := about.Entry(m.sequence); ok {
		entries = []order.Entry{e}
	}
	return o.publish(ctx, about, entries)
}

// publish tells everybody of entries of an order's history.
func (o *operator) publish(ctx context.Context, about order.Order, entries []order.Entry) error {
	var events []order.Event
	for _, e := range entries {
		if e.Told() {
			events = append(events, about.Event(e))
		}
	}
	p := queue.NewPublisher(o.sns, o.get(topic))
	const batch = 10
	for chunk := range slices.Chunk(events, batch) {
		if err := errors.Join(p.Publish(ctx, chunk)...); err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) drop(ctx context.Context, m letter) (taken bool, err error) {
	_, err = o.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &m.url, ReceiptHandle: m.message.ReceiptHandle})
	if err != nil {
		return false, fmt.Errorf("delete message: %w", err)
	}
	return true, nil
}
