package world

import (
	"crypto/md5" //nolint:gosec // The checksum that SQS answers with.
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Message is one message of a queue.
type Message struct {
	ID       string
	Body     string
	Trace    string // the header AWSTraceHeader, or ""
	Handle   string // of the last receive; older ones have no effect
	Sent     time.Time
	Receives int

	visibleAt time.Time
}

// A Queue is an SQS standard queue.
type Queue struct {
	Name        string
	URL         string
	visibility  time.Duration
	maxReceives int
	dead        *Queue
	cloud       *World
	messages    []*Message
	// Late returns how much later than asked a message comes again, whose visibility was set. It may be nil.
	Late func(m *Message, asked time.Duration) time.Duration
	// OnSend is told of every message that is sent. It may be nil.
	OnSend func(m Message)
}

// AddQueue makes a queue and its dead-letter queue, into which a message goes that was received maxReceives times.
func (w *World) AddQueue(name string, visibility time.Duration, maxReceives int) *Queue {
	add := func(name string) *Queue {
		q := &Queue{Name: name, URL: "https://sqs.eu-west-1.amazonaws.com/123456789012/" + name, visibility: visibility, cloud: w}
		w.queues[name] = q
		return q
	}
	q := add(name)
	q.maxReceives, q.dead = maxReceives, add(name+"-dlq")
	return q
}

// Dead returns the dead-letter queue.
func (q *Queue) Dead() *Queue { return q.dead }

// Send puts a message on the queue.
func (q *Queue) Send(body, trace string) string {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	return q.send(body, trace)
}

func (q *Queue) send(body, trace string) string {
	now := q.cloud.now()
	m := &Message{ID: q.cloud.id(), Body: body, Trace: trace, Sent: now, visibleAt: now}
	q.messages = append(q.messages, m)
	if q.OnSend != nil {
		q.OnSend(*m)
	}
	return m.ID
}

// Receive delivers up to most messages that want accepts and that are visible. Messages that were received too often
// move to the dead-letter queue.
func (q *Queue) Receive(most int, want func(Message) bool) []Message {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	now := q.cloud.now()
	var out []Message
	q.messages = slices.DeleteFunc(q.messages, func(m *Message) bool {
		if len(out) == most || m.visibleAt.After(now) {
			return false
		}
		if q.dead != nil && m.Receives >= q.maxReceives {
			q.dead.messages = append(q.dead.messages, m)
			return true
		}
		if !want(*m) {
			return false
		}
		m.Receives++
		m.Handle = fmt.Sprintf("%s/%d", m.ID, m.Receives)
		m.visibleAt = now.Add(q.visibility)
		out = append(out, *m)
		return false
	})
	return out
}

// Delete deletes the message of a receipt handle. A handle that is not the message's last one has no effect.
func (q *Queue) Delete(handle string) {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	q.messages = slices.DeleteFunc(q.messages, func(m *Message) bool { return m.Handle == handle })
}

// Show makes the message of a receipt handle visible after a time, whatever was asked for before.
func (q *Queue) Show(handle string, after time.Duration) {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	for _, m := range q.messages {
		if m.Handle == handle {
			m.visibleAt = q.cloud.now().Add(after)
		}
	}
}

// Messages returns what is on the queue, visible or not.
func (q *Queue) Messages() []Message {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	out := make([]Message, len(q.messages))
	for i, m := range q.messages {
		out[i] = *m
	}
	return out
}

// Next returns when the next message is visible, and whether there is one.
func (q *Queue) Next() (time.Time, bool) {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	if len(q.messages) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(q.messages, func(a, b *Message) int { return a.visibleAt.Compare(b.visibleAt) }).visibleAt, true
}

// Redrive sends the messages of the dead-letter queue to the queue again, as new messages with new ids, and returns how
// many there were.
func (q *Queue) Redrive() int {
	q.cloud.mu.Lock()
	defer q.cloud.mu.Unlock()
	dead := q.dead.messages
	q.dead.messages = nil
	for _, m := range dead {
		q.send(m.Body, m.Trace)
	}
	return len(dead)
}

func (w *World) readSQS(operation string, body []byte) (*Call, error) {
	var in struct {
		QueueUrl                string //nolint:revive // As AWS writes it.
		MessageBody             string
		MessageSystemAttributes map[string]struct{ StringValue string }
		Entries                 []struct {
			Id                string //nolint:revive // As AWS writes it.
			ReceiptHandle     string
			VisibilityTimeout int
		}
	}
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
		call.do = func() Answer {
			id := q.Send(in.MessageBody, in.MessageSystemAttributes["AWSTraceHeader"].StringValue)
			sum := md5.Sum([]byte(in.MessageBody)) //nolint:gosec // Asked for by SQS.
			return jsonAnswer(200, map[string]string{"MessageId": id, "MD5OfMessageBody": hex.EncodeToString(sum[:])})
		}
	case "ChangeMessageVisibilityBatch":
		call.Target = q.Name
		for _, e := range in.Entries {
			call.Target += " " + e.ReceiptHandle
		}
		call.do = func() Answer {
			w.mu.Lock()
			defer w.mu.Unlock()
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
				if q.change(e.ReceiptHandle, time.Duration(e.VisibilityTimeout)*time.Second) {
					out.Successful = append(out.Successful, done{e.Id})
				} else {
					out.Failed = append(out.Failed, failed{e.Id, "ReceiptHandleIsInvalid", "The receipt handle is not valid", true})
				}
			}
			return jsonAnswer(200, out)
		}
	default:
		return nil, errors.New("the operation " + operation + " of SQS is not supported")
	}
	return call, nil
}

func (q *Queue) change(handle string, visibility time.Duration) bool {
	for _, m := range q.messages {
		if m.Handle == handle {
			if q.Late != nil {
				visibility += q.Late(m, visibility)
			}
			m.visibleAt = q.cloud.now().Add(visibility)
			return true
		}
	}
	return false
}

type subscription struct {
	queue *Queue
	raw   bool
}

// Subscribe lets a queue receive what is published to a topic: the message as it is, or inside an SNS envelope.
func (w *World) Subscribe(topicARN string, q *Queue, raw bool) {
	w.topics[topicARN] = append(w.topics[topicARN], subscription{q, raw})
}

func (w *World) readSNS(body []byte) (*Call, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if form.Get("Action") != "Publish" {
		return nil, errors.New("the action " + form.Get("Action") + " of SNS is not supported")
	}
	arn, message := form.Get("TopicArn"), form.Get("Message")
	return &Call{Service: "sns", Operation: "Publish", Target: message, do: func() Answer {
		w.mu.Lock()
		defer w.mu.Unlock()
		subscriptions, ok := w.topics[arn]
		if !ok {
			return snsError(404, "NotFound", "Topic does not exist")
		}
		id := w.id()
		for _, s := range subscriptions {
			if s.raw {
				s.queue.send(message, "")
				continue
			}
			envelope, _ := json.Marshal(map[string]string{
				"Type": "Notification", "MessageId": id, "TopicArn": arn, "Message": message,
				"Timestamp": w.now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "1",
			})
			s.queue.send(string(envelope), "")
		}
		type result struct{ MessageId string } //nolint:revive // As AWS writes it.
		return xmlAnswer(200, struct {
			XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ PublishResponse"`
			Result  result   `xml:"PublishResult"`
		}{Result: result{id}})
	}}, nil
}

func snsError(status int, code, message string) Answer {
	type detail struct{ Type, Code, Message string }
	return xmlAnswer(status, struct {
		XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
		Error   detail
	}{Error: detail{"Sender", code, message}})
}

// An Object is one object of a bucket.
type Object struct {
	Body   []byte
	Header http.Header // of the request that put it
}

// Put stores an object.
func (w *World) Put(bucket, key string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[bucket+"/"+key] = Object{Body: body}
}

// Objects returns the names of all objects as bucket/key, sorted.
func (w *World) Objects() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.objects))
}

// Object returns the object bucket/key.
func (w *World) Object(name string) (Object, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.objects[name]
	return o, ok
}

func (w *World) readS3(req *http.Request, body []byte) (*Call, error) {
	name := strings.TrimPrefix(req.URL.Path, "/")
	if bucket, _, ok := strings.Cut(req.URL.Host, ".s3."); ok {
		name = bucket + "/" + name
	}
	switch req.Method {
	case http.MethodPut:
		return &Call{Service: "s3", Operation: "PutObject", Target: name, do: func() Answer {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.objects[name] = Object{body, req.Header.Clone()}
			return Answer{Status: 200, Header: http.Header{"Etag": {etag(body)}}}
		}}, nil
	case http.MethodGet:
		return &Call{Service: "s3", Operation: "GetObject", Target: name, do: func() Answer {
			o, ok := w.Object(name)
			switch {
			case !ok:
				return s3Error(404, "NoSuchKey")
			case req.Header.Get("If-None-Match") == etag(o.Body):
				return Answer{Status: 304}
			default:
				return Answer{Status: 200, Header: http.Header{"Etag": {etag(o.Body)}}, Body: o.Body}
			}
		}}, nil
	default:
		return nil, errors.New("S3 does not support " + req.Method + " here")
	}
}

func etag(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // As S3 does.
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func s3Error(status int, code string) Answer {
	return xmlAnswer(status, struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: code})
}

// A Mail is one that SES took.
type Mail struct {
	ID      string
	From    string
	To      []string
	ReplyTo []string
	Subject string
	Text    string
	HTML    string
	Tags    map[string]string
}

// Mails returns the mails that SES took, in their order.
func (w *World) Mails() []Mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mails)
}

func (w *World) readSES(req *http.Request, body []byte) (*Call, error) {
	if req.URL.Path != "/v2/email/outbound-emails" || req.Method != http.MethodPost {
		return nil, fmt.Errorf("SES does not support %s %s here", req.Method, req.URL.Path)
	}
	type content struct{ Data string }
	var in struct {
		FromEmailAddress string
		ReplyToAddresses []string
		Destination      struct{ ToAddresses []string }
		EmailTags        []struct{ Name, Value string }
		Content          struct {
			Simple struct {
				Subject content
				Body    struct{ Text, Html content } //nolint:revive // As AWS writes it.
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	simple := in.Content.Simple
	m := Mail{
		From: in.FromEmailAddress, To: in.Destination.ToAddresses, ReplyTo: in.ReplyToAddresses,
		Subject: simple.Subject.Data, Text: simple.Body.Text.Data, HTML: simple.Body.Html.Data, Tags: map[string]string{},
	}
	for _, tag := range in.EmailTags {
		m.Tags[tag.Name] = tag.Value
	}
	return &Call{Service: "ses", Operation: "SendEmail", Target: m.Tags["mail"] + " " + m.Tags["orderId"], do: func() Answer {
		if slices.ContainsFunc(m.To, func(to string) bool { return strings.HasPrefix(to, "refused") }) {
			return restError(400, "MessageRejected", "Address blacklisted.")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		m.ID = w.id()
		w.mails = append(w.mails, m)
		a := jsonAnswer(200, map[string]string{"MessageId": m.ID})
		a.Header.Set("Content-Type", "application/json")
		return a
	}}, nil
}
