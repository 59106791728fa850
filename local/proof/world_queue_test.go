package proof

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Message is one message of a queue.
type Message struct {
	ID         string
	Body       string
	Group      string // MessageGroupId, or ""
	Trace      string // the header AWSTraceHeader, or ""
	Attributes map[string]MessageAttribute
	Handle     string // of the last receive; older ones have no effect
	Sent       time.Time
	Receives   int

	visibleAt time.Time
}

// A MessageAttribute is one that the sender set.
type MessageAttribute struct {
	DataType    string
	StringValue string
}

// The limits of a queue, and when it takes a group for noisy: so many of its
// messages are received and not done with, and they are more than a tenth of
// all. Sources: "Amazon SQS message quotas" and "How Amazon SQS fair queues
// work" in the SQS developer guide.
const (
	messageLife  = 14 * 24 * time.Hour
	mostInFlight = 120_000
	noisyAt      = 30
	noisyShare   = 10
)

// A Queue is an SQS standard queue, and a fair one for messages with a group.
// Messages of quiet groups come first, then those of the noisy group that has
// the fewest in flight. A group stays noisy until none of its messages waits. A
// message without a group is a quiet group of its own. What it lacks of SQS's
// fairness: groups that are noisy by the time that their messages take, and the
// five minutes of silence after which a group is quiet again.
type Queue struct {
	Name string
	// InFlight is how many messages at most are received and not done with.
	InFlight   int
	visibility time.Duration
	dead       *Queue
	world      *World
	messages   []*Message
	noisy      map[string]bool
	// Late returns how much later than asked a message comes that was sent with
	// a delay, or whose visibility was set. It may be nil.
	Late func(m *Message, asked time.Duration) time.Duration
	// OnSend is told of every message that is sent. It may be nil.
	OnSend func(m Message)
}

func (w *World) addQueue(name string, visibility time.Duration) *Queue {
	q := &Queue{Name: name, InFlight: mostInFlight, visibility: visibility, world: w, noisy: map[string]bool{}}
	w.queues[name] = q
	return q
}

// Queue returns the queue of a consumer.
func (w *World) Queue(role string) *Queue { return w.queues[w.roles[role].Queue+"-"+stage] }

// LostEvents returns the queue for events that can never be published.
func (w *World) LostEvents() *Queue { return w.queues["bbws-order-events-dlq-"+stage] }

// Dead returns the dead-letter queue.
func (q *Queue) Dead() *Queue { return q.dead }

// kept returns the messages that are not too old. An age counts from the first
// sending, also in a dead-letter queue.
func (q *Queue) kept() []*Message {
	now := q.world.now()
	q.messages = slices.DeleteFunc(q.messages, func(m *Message) bool { return now.Sub(m.Sent) >= messageLife })
	return q.messages
}

// Send puts a message on the queue.
func (q *Queue) Send(body string) {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	q.send(Message{Body: body}, 0)
}

func (q *Queue) send(m Message, delay time.Duration) string {
	m.ID, m.Sent, m.Receives, m.Handle = q.world.id(), q.world.now(), 0, ""
	if q.Late != nil && delay > 0 {
		delay += q.Late(&m, delay)
	}
	m.visibleAt = m.Sent.Add(delay)
	q.messages = append(q.messages, &m)
	if q.OnSend != nil {
		q.OnSend(m)
	}
	return m.ID
}

// Receive delivers up to most messages that want accepts and that are visible.
// Messages that were received too often move to the dead-letter queue.
func (q *Queue) Receive(most int, want func(Message) bool) []Message {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	now := q.world.now()
	var ready []*Message
	flying, inFlight := map[string]int{}, 0
	q.messages = slices.DeleteFunc(q.kept(), func(m *Message) bool {
		switch {
		case m.visibleAt.After(now) && m.Receives > 0:
			flying[m.Group]++
			inFlight++
		case m.visibleAt.After(now): // Sent with a delay.
		case q.dead != nil && m.Receives >= maxReceives:
			q.dead.messages = append(q.dead.messages, m)
			return true
		default:
			ready = append(ready, m)
		}
		return false
	})
	q.sort(ready, flying, inFlight)
	var out []Message
	for _, m := range ready {
		if len(out) == most || inFlight+len(out) >= q.InFlight {
			break
		}
		if want(*m) {
			m.Receives++
			m.Handle = fmt.Sprintf("%s/%d", m.ID, m.Receives)
			m.visibleAt = now.Add(q.visibility)
			out = append(out, *m)
		}
	}
	return out
}

// sort puts the messages that are ready into the order of their delivery.
func (q *Queue) sort(ready []*Message, flying map[string]int, inFlight int) {
	waits := map[string]bool{"": false}
	for _, m := range ready {
		waits[m.Group] = m.Group != ""
	}
	for group, n := range flying {
		if waits[group] && n >= noisyAt && n*noisyShare > inFlight {
			q.noisy[group] = true
		}
	}
	maps.DeleteFunc(q.noisy, func(group string, _ bool) bool { return !waits[group] })
	if len(q.noisy) == 0 {
		return
	}
	rank := func(m *Message) int {
		if !q.noisy[m.Group] {
			return -1
		}
		return flying[m.Group]
	}
	slices.SortStableFunc(ready, func(a, b *Message) int { return rank(a) - rank(b) })
}

// Delete deletes the message of a receipt handle. A handle that is not the
// message's last one has no effect.
func (q *Queue) Delete(handle string) {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	q.messages = slices.DeleteFunc(q.messages, func(m *Message) bool { return m.Handle == handle })
}

// Show makes the message of a receipt handle visible after a time, whatever was
// asked for before.
func (q *Queue) Show(handle string, after time.Duration) {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	for _, m := range q.messages {
		if m.Handle == handle {
			m.visibleAt = q.world.now().Add(after)
		}
	}
}

// Messages returns what is on the queue, visible or not.
func (q *Queue) Messages() []Message {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	out := make([]Message, len(q.kept()))
	for i, m := range q.messages {
		out[i] = *m
	}
	return out
}

// Next returns when the next message is visible, and whether there is one.
func (q *Queue) Next() (time.Time, bool) {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	if len(q.kept()) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(
		q.messages,
		func(a, b *Message) int { return a.visibleAt.Compare(b.visibleAt) },
	).visibleAt, true
}

// Redrive sends the messages of the dead-letter queue to the queue again, as new
// messages with new ids, and returns how many there were.
func (q *Queue) Redrive() int {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	dead := q.dead.kept()
	q.dead.messages = nil
	for _, m := range dead {
		q.send(*m, 0)
	}
	return len(dead)
}

type sqsRequest struct {
	QueueUrl                string //nolint:revive // As AWS writes it.
	MessageBody             string
	MessageGroupId          string //nolint:revive // As AWS writes it.
	DelaySeconds            int
	MessageAttributes       map[string]MessageAttribute
	MessageSystemAttributes map[string]MessageAttribute
	Entries                 []struct {
		Id                string //nolint:revive // As AWS writes it.
		ReceiptHandle     string
		VisibilityTimeout int
	}
}

func (w *World) readSQS(operation string, body []byte) (*Call, error) {
	var in sqsRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	call := &Call{Service: "sqs", Operation: operation}
	q := w.queues[in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:]]
	if q == nil {
		call.do = func() Answer {
			return jsonError(400, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
		}
		return call, nil
	}
	switch operation {
	case "SendMessage":
		call.Target = q.Name + " " + in.MessageBody
		call.do = func() Answer { return q.take(in) }
	case "ChangeMessageVisibilityBatch":
		call.Target = q.Name
		for _, e := range in.Entries {
			call.Target += " " + e.ReceiptHandle
		}
		call.do = func() Answer { return q.changeVisibility(in) }
	default:
		return nil, errors.New("the operation " + operation + " of SQS is not supported")
	}
	return call, nil
}

func (q *Queue) take(in sqsRequest) Answer {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	m := Message{
		Body: in.MessageBody, Group: in.MessageGroupId, Attributes: in.MessageAttributes,
		Trace: in.MessageSystemAttributes["AWSTraceHeader"].StringValue,
	}
	id := q.send(m, time.Duration(in.DelaySeconds)*time.Second)
	sum := md5.Sum([]byte(in.MessageBody))
	return jsonAnswer(200, map[string]string{"MessageId": id, "MD5OfMessageBody": hex.EncodeToString(sum[:])})
}

func (q *Queue) changeVisibility(in sqsRequest) Answer {
	q.world.mu.Lock()
	defer q.world.mu.Unlock()
	type done struct{ Id string } //nolint:revive // As AWS writes it.
	type failed struct {
		Id, Code, Message string //nolint:revive // As AWS writes it.
		SenderFault       bool
	}
	out := struct {
		Successful []done
		Failed     []failed
	}{[]done{}, []failed{}}
	for _, e := range in.Entries {
		i := slices.IndexFunc(q.messages, func(m *Message) bool { return m.Handle == e.ReceiptHandle })
		if i < 0 {
			out.Failed = append(
				out.Failed,
				failed{e.Id, "ReceiptHandleIsInvalid", "The receipt handle is not valid", true},
			)
			continue
		}
		m, after := q.messages[i], time.Duration(e.VisibilityTimeout)*time.Second
		if q.Late != nil {
			after += q.Late(m, after)
		}
		m.visibleAt = q.world.now().Add(after)
		out.Successful = append(out.Successful, done{e.Id})
	}
	return jsonAnswer(200, out)
}

// A subscription lets a queue have the events of some types, as they are.
type subscription struct {
	queue *Queue
	types []string
}

// maxEntries is how many messages SNS takes in one call.
const maxEntries = 10

func (w *World) readSNS(body []byte) (*Call, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if form.Get("Action") != "PublishBatch" || form.Get("TopicArn") != topicARN {
		return nil, fmt.Errorf("SNS does not support %s to %s here", form.Get("Action"), form.Get("TopicArn"))
	}
	const list = "PublishBatchRequestEntries.member.%d."
	call := &Call{Service: "sns", Operation: "PublishBatch"}
	var ids []string
	var messages []Message
	for n := 1; form.Has(fmt.Sprintf(list, n) + "Id"); n++ {
		at := fmt.Sprintf(list, n)
		ids = append(ids, form.Get(at+"Id"))
		messages = append(messages, Message{Body: form.Get(at + "Message"), Group: form.Get(at + "MessageGroupId")})
		call.Target += form.Get(at+"Message") + "\n"
	}
	call.do = func() Answer {
		if len(ids) == 0 || len(ids) > maxEntries {
			return snsError(400, "TooManyEntriesInBatchRequest", "1 to 10 entries")
		}
		return w.publish(ids, messages)
	}
	return call, nil
}

func (w *World) publish(ids []string, messages []Message) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	type member struct{ Id, MessageId string } //nolint:revive // As AWS writes it.
	var result struct {
		Successful []member `xml:"Successful>member"`
		Failed     []member `xml:"Failed>member"`
	}
	for i, m := range messages {
		var event struct{ EventType string }
		_ = json.Unmarshal([]byte(m.Body), &event) // What is no JSON has no type.
		if w.OnPublish != nil {
			w.OnPublish(m.Body)
		}
		for _, s := range w.topic {
			if slices.Contains(s.types, event.EventType) {
				s.queue.send(m, 0)
			}
		}
		result.Successful = append(result.Successful, member{ids[i], w.id()})
	}
	return xmlAnswer(200, struct {
		XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ PublishBatchResponse"`
		Result  any      `xml:"PublishBatchResult"`
	}{Result: result})
}

func snsError(status int, code, message string) Answer {
	type detail struct{ Type, Code, Message string }
	return xmlAnswer(status, struct {
		XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
		Error   detail
	}{Error: detail{"Sender", code, message}})
}
