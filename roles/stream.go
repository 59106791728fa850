package roles

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// The sources of events, as AWS names them in each record.
const (
	fromQueue  = "aws:sqs"
	fromStream = "aws:dynamodb"
)

// bySource returns a handler for a function with two event sources: a queue and
// the table's stream.
func bySource(queue, stream handler) handler {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var event struct {
			Records []struct {
				EventSource string `json:"eventSource"`
			}
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, fmt.Errorf("not an event of a queue or a stream: %w", err)
		}
		if len(event.Records) > 0 && event.Records[0].EventSource == fromStream {
			return stream(ctx, payload)
		}
		return queue(ctx, payload)
	}
}

// A streamEvent is a batch of the table's stream. Its images stay JSON: only
// the store knows what is in them.
type streamEvent struct {
	Records []streamRecord
}

type streamRecord struct {
	Change struct {
		SequenceNumber string
		NewImage       json.RawMessage
		OldImage       json.RawMessage
	} `json:"dynamodb"`
}

// eventPublisher publishes events, at most maxPublish at a time.
type eventPublisher interface {
	// Publish returns an error for each event, nil if SNS took it. It is an
	// *order.PermanentError if the event can never be published.
	Publish(ctx context.Context, events []order.Event) []error
}

// deadLetters takes what can never be published.
type deadLetters interface {
	Send(ctx context.Context, body any, tenantID, traceHeader string) error
}

// publisher publishes what the table's stream says of orders.
type publisher struct {
	events eventPublisher
	dead   deadLetters
}

// A newsItem is an event, or what is wrong with a record, together with the
// record's place in the stream.
type newsItem struct {
	at    string // sequence number
	event order.Event
	err   error // the record cannot be read
}

// maxPublish is how many events SNS takes in one call.
const maxPublish = 10

// handle publishes the events of a batch, in their order. The first record
// whose event SNS does not take now is reported: it and all after it come
// again, so that each event is published at least once, and the events of an
// order in their order. What can never be published must not block the shard:
// it goes to the dead-letter queue, and the rest goes on.
func (p *publisher) handle(ctx context.Context, payload []byte) ([]byte, error) {
	var event streamEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("not an event of a stream: %w", err)
	}
	answer := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	work, cancel := reserve(ctx, batchReserve)
	defer cancel()
	if failed, err := p.publish(work, readNews(event)); err != nil {
		logger(ctx).Warn().Str("sequenceNumber", failed).Str("error", redact(err.Error())).Msg("events not published")
		answer.BatchItemFailures = append(answer.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: failed})
	}
	return json.Marshal(answer)
}

func readNews(event streamEvent) []newsItem {
	var news []newsItem
	for _, r := range event.Records {
		at := r.Change.SequenceNumber
		orderID, told, err := store.News(r.Change.NewImage, r.Change.OldImage)
		if err != nil {
			err = &order.PermanentError{Reason: "record of the stream is malformed", Err: err}
			news = append(news, newsItem{at, order.Event{OrderID: orderID}, err})
		}
		for _, e := range told {
			news = append(news, newsItem{at: at, event: e})
		}
	}
	return news
}

// publish publishes news in calls of at most maxPublish. If that fails, it
// returns the sequence number of the first record that is not done with.
func (p *publisher) publish(ctx context.Context, news []newsItem) (failed string, err error) {
	for len(news) > 0 {
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < safetyMargin-batchReserve {
			return news[0].at, errNoTimeLeft
		}
		chunk := news[:1]
		errs := []error{news[0].err}
		if news[0].err == nil {
			chunk = readable(news)
			batch := make([]order.Event, len(chunk))
			for i, n := range chunk {
				batch[i] = n.event
			}
			errs = p.events.Publish(ctx, batch)
		}
		for i, n := range chunk {
			if err := p.settle(ctx, n, errs[i]); err != nil {
				return n.at, err
			}
		}
		news = news[len(chunk):]
	}
	return "", nil
}

// readable returns the news up to the first that cannot be read, and at most
// maxPublish of them.
func readable(news []newsItem) []newsItem {
	n := 0
	for n < len(news) && n < maxPublish && news[n].err == nil {
		n++
	}
	return news[:n]
}

// settle finishes an event that was published, or that never can be. It returns
// the error of one that must come again.
func (p *publisher) settle(ctx context.Context, n newsItem, err error) error {
	log := scopeOf(ctx).untraced.With().Str("tenantId", n.event.TenantID).Str("orderId", n.event.OrderID).
		Str("eventId", n.event.ID).Str("traceId", n.event.TraceID).Logger()
	if err == nil {
		count(ctx, eventsPublished)
		log.Info().Str("eventType", string(n.event.Type)).Msg("event published")
		return nil
	}
	if !isPermanent(err) {
		return err
	}
	log.Error().Str("sequenceNumber", n.at).Str("error", redact(err.Error())).Msg("event can never be published")
	return p.dead.Send(ctx, unpublished{n.event.OrderID, n.event.TenantID, n.event.Sequence, n.at}, n.event.TenantID, "")
}

// unpublished is what the dead-letter queue of the events gets to know.
type unpublished struct {
	OrderID        string `json:"orderId"`
	TenantID       string `json:"tenantId,omitempty"`
	Sequence       int    `json:"sequence,omitempty"`
	SequenceNumber string `json:"sequenceNumber"` // of the record in the stream
}
