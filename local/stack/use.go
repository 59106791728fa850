package stack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/poller"
	"github.com/bbws/order-lambda/order"
)

// Token returns a token that the API accepts for a day.
func (s *Stack) Token(id gateway.Identity) (string, error) { return gateway.Token(id, 24*time.Hour) }

// Client returns a client of the API for a person.
func (s *Stack) Client(id gateway.Identity) (gateway.Client, error) {
	token, err := s.Token(id)
	return gateway.Client{URL: s.URL, Token: token}, err
}

// Invoke runs a role on an event, past the API and the queues.
func (s *Stack) Invoke(ctx context.Context, role string, event []byte) ([]byte, error) {
	return s.function(role).Invoke(ctx, event, "")
}

// IsConsumer reports whether a role gets batches rather than requests.
func (s *Stack) IsConsumer(role string) bool { return s.roles[role].IsConsumer() }

// Kill ends all processes of a role at once, as a crash would. The next event
// starts a new one.
func (s *Stack) Kill(role string) { s.functions[role].Kill() }

// Replace gives every role new processes, of the binary as it was built last and
// without what warm ones keep of templates and branding. Invocations that run
// end in the old ones.
func (s *Stack) Replace() {
	for _, function := range s.functions {
		function.Replace()
	}
}

// Processes returns the ids of a role's processes that have started.
func (s *Stack) Processes(role string) []int { return s.functions[role].Processes() }

// QueueURL returns the URL of a consumer's queue.
func (s *Stack) QueueURL(role string) string { return queueURL(queueName(s.roles[role])) }

// queueURL returns the URL of a queue. The emulator reads nothing but its last
// part.
func queueURL(name string) string {
	return "http://sqs." + emulator.Region + ".localhost/" + account + "/" + name
}

// PutObject stores an object.
func (s *Stack) PutObject(ctx context.Context, bucket, key string, content []byte) error {
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(content),
	})
	if err != nil {
		return fmt.Errorf("store %s/%s: %w", bucket, key, err)
	}
	return nil
}

// A Mail is a mail that was sent.
type Mail struct {
	MessageID   string
	ReplyTo     []string
	Destination struct{ To []string }
	Subject     string
	Body        struct{ HTML, Text string }
}

// Mails returns all mails, oldest first.
func (s *Stack) Mails(ctx context.Context) ([]Mail, error) {
	var store struct{ Emails []Mail }
	return store.Emails, getJSON(ctx, s.MailURL+"/store", &store)
}

// A Message is a message in a queue.
type Message struct{ MessageID, Body string }

// DeadLetters returns the messages of a role's dead-letter queue and leaves
// them there.
func (s *Stack) DeadLetters(ctx context.Context, role string) ([]Message, error) {
	return s.Messages(ctx, deadQueueName(s.roles[role]))
}

// A Queue says how full a queue is.
type Queue struct {
	Role      string `json:"role"`  // that it feeds; "" for the table's stream, which has dead letters only
	Queue     string `json:"queue"` // its name; "" for the stream
	DeadQueue string `json:"deadQueue"`
	Waiting   int    `json:"waiting"`  // to be received now
	Delayed   int    `json:"delayed"`  // to be received later
	InFlight  int    `json:"inFlight"` // received, and neither deleted nor back
	Dead      int    `json:"dead"`     // in its dead-letter queue
}

// Queues returns how full the queues are, the first one of the flow first.
func (s *Stack) Queues(ctx context.Context) ([]Queue, error) {
	type counts struct {
		Name                                                                       string
		ApproximateMessageCount, ApproximateInflightCount, ApproximateDelayedCount int
	}
	var all []counts
	if err := getJSON(ctx, *s.SQS.Options().BaseEndpoint+"/_fauxqs/queues", &all); err != nil {
		return nil, err
	}
	first := s.roles[recorder]
	queues := []Queue{
		{Role: recorder, Queue: queueName(first), DeadQueue: deadQueueName(first)},
		{DeadQueue: first.Stream.DeadLetters + "-" + Environment},
	}
	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		if role := s.roles[name]; role.IsConsumer() && name != recorder {
			queues = append(queues, Queue{Role: name, Queue: queueName(role), DeadQueue: deadQueueName(role)})
		}
	}
	of := map[string]counts{}
	for _, c := range all {
		of[c.Name] = c
	}
	for i := range queues {
		q := &queues[i]
		c, dead := of[q.Queue], of[q.DeadQueue]
		q.Waiting, q.Delayed, q.InFlight = c.ApproximateMessageCount, c.ApproximateDelayedCount, c.ApproximateInflightCount
		q.Dead = dead.ApproximateMessageCount + dead.ApproximateInflightCount
	}
	return queues, nil
}

// Deliver puts a message on a consumer's queue.
func (s *Stack) Deliver(ctx context.Context, role, body string) error {
	in := sqs.SendMessageInput{QueueUrl: aws.String(s.QueueURL(role)), MessageBody: aws.String(body)}
	_, err := s.SQS.SendMessage(ctx, &in)
	return err
}

// Redrive delivers the messages of a consumer's dead-letter queue again.
func (s *Stack) Redrive(ctx context.Context, role string) error {
	dead := aws.String(queueURL(deadQueueName(s.roles[role])))
	for {
		in := sqs.ReceiveMessageInput{QueueUrl: dead, MaxNumberOfMessages: 10}
		found, err := s.SQS.ReceiveMessage(ctx, &in)
		if err != nil || len(found.Messages) == 0 {
			return err
		}
		for _, m := range found.Messages {
			if err := s.Deliver(ctx, role, aws.ToString(m.Body)); err != nil {
				return err
			}
			gone := sqs.DeleteMessageInput{QueueUrl: dead, ReceiptHandle: m.ReceiptHandle}
			if _, err := s.SQS.DeleteMessage(ctx, &gone); err != nil {
				return err
			}
		}
	}
}

// Waiting returns the messages of a role's queue, also those in work or put
// off, and leaves them there.
func (s *Stack) Waiting(ctx context.Context, role string) ([]Message, error) {
	return s.Messages(ctx, queueName(s.roles[role]))
}

// LostEvents returns the dead letters of the table's stream and leaves them
// there.
func (s *Stack) LostEvents(ctx context.Context) ([]Message, error) {
	return s.Messages(ctx, s.roles[recorder].Stream.DeadLetters+"-"+Environment)
}

// Heard returns the messages of another system, which hears every event, in the
// order in which they came.
func (s *Stack) Heard(ctx context.Context) ([]Message, error) { return s.Messages(ctx, otherQueue) }

// Published returns the events that the topic had, as another system gets them.
func (s *Stack) Published(ctx context.Context) ([]order.Event, error) {
	messages, err := s.Heard(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]order.Event, len(messages))
	for i, m := range messages {
		if err := json.Unmarshal([]byte(m.Body), &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Messages returns the messages of a queue and leaves them there.
func (s *Stack) Messages(ctx context.Context, name string) ([]Message, error) {
	var queue struct {
		Messages struct {
			Ready    []Message
			Delayed  []Message
			Inflight []struct{ Message Message }
		}
	}
	if err := getJSON(ctx, *s.SQS.Options().BaseEndpoint+"/_fauxqs/queues/"+name, &queue); err != nil {
		return nil, err
	}
	messages := append(queue.Messages.Ready, queue.Messages.Delayed...)
	for _, taken := range queue.Messages.Inflight {
		messages = append(messages, taken.Message)
	}
	return messages, nil
}

func getJSON(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// A Batch is one invocation of a consumer by its queue or by the stream.
type Batch struct {
	Messages []events.SQSMessage // of the queue
	Changes  []poller.Record     // of the stream
	Failed   []string            // ids or sequence numbers that the function reported
	Err      error               // if all of them failed
}

// Batches returns the invocations of a consumer that have ended, those of them
// that are kept.
func (s *Stack) Batches(role string) []Batch { return s.batches[role].list() }

// Log returns the lines that a role has logged, those of them that are kept.
func (s *Stack) Log(role string) []string { return s.logs[role].kept.list() }

// A recent keeps in memory what was added last.
type recent[T any] struct {
	mu  sync.Mutex
	all []T
}

// maxRecent is how many log lines, and how many batches, of a role are kept.
const maxRecent = 50_000

func (r *recent[T]) add(one T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all = append(r.all, one); len(r.all) > maxRecent {
		r.all = slices.Delete(r.all, 0, maxRecent/2)
	}
}

func (r *recent[T]) list() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// roleLog takes what a role writes.
type roleLog struct {
	role string
	told func(role, line string) // nil if nobody is
	kept recent[string]
	file *os.File
}

func newRoleLog(dir, role string, told func(role, line string)) (*roleLog, error) {
	name := os.DevNull
	if dir != "" {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, err
		}
		name = filepath.Join(dir, role+".log")
	}
	file, err := os.Create(name)
	return &roleLog{role: role, told: told, file: file}, err
}

// Write takes one line.
func (l *roleLog) Write(line []byte) (int, error) {
	text := strings.TrimSuffix(string(line), "\n")
	l.kept.add(text)
	if l.told != nil {
		l.told(l.role, text)
	}
	return l.file.Write(line)
}

// scope finds the service that a request was signed for.
var scope = regexp.MustCompile(`Credential=[^,]*/([^/,]+)/aws4_request`)

// Service returns the neighbour that a role's request is for: cart, or the AWS
// service of its signature, which is dynamodb, sqs, sns, s3 or ses.
func Service(r *http.Request) string {
	if r.Header.Get("X-Correlation-Id") != "" {
		return "cart"
	}
	if found := scope.FindStringSubmatch(r.Header.Get("Authorization")); found != nil {
		return found[1]
	}
	return "s3" // a presigned link
}

// services passes requests on to the emulator of the service that they are for.
func services(db *emulator.DynamoDB, cloud *emulator.AWS) http.Handler {
	others := map[string]string{"dynamodb": db.Endpoint(), "ses": cloud.MailEndpoint()}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			target, err := url.Parse(cmp.Or(others[Service(r.In)], cloud.Endpoint()))
			if err != nil {
				panic(err) // it is an emulator's own
			}
			r.SetURL(target)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		},
	}
}

// Impatient passes a role's requests on, but lets no message that failed or was
// put off wait for longer than a second.
func Impatient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
		if !strings.HasPrefix(action, "ChangeMessageVisibility") && action != "SendMessage" {
			next.ServeHTTP(w, r)
			return
		}
		var change map[string]any
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		entries, _ := change["Entries"].([]any)
		for _, entry := range append(entries, change) {
			e, _ := entry.(map[string]any)
			for _, name := range []string{"VisibilityTimeout", "DelaySeconds"} {
				if wait, ok := e[name].(float64); ok {
					e[name] = min(wait, 1)
				}
			}
		}
		body, err := json.Marshal(change)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, r)
	})
}
