package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/poller"
)

// The emulators that the tests of the package share. The first that needs them
// starts them. Tests keep apart by tenant, or by names of their own.
var (
	db    *emulator.DynamoDB
	cloud *emulator.AWS

	startEmulators = sync.OnceValue(func() (err error) {
		ctx := context.Background()
		if db, err = emulator.StartDynamoDB(ctx); err != nil {
			return err
		}
		if cloud, err = emulator.StartAWS(ctx); err != nil {
			return err
		}
		return emulator.CreateTable(ctx, db.Client(), "orders")
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	if db != nil {
		db.Close()
	}
	if cloud != nil {
		cloud.Close()
	}
	os.Exit(code)
}

// A world is what the eight roles share: queues, topic, buckets, a cart service
// and the table's stream. Its table is the package's.
type world struct {
	t      *testing.T
	env    map[string]string
	queues map[string]string // URL by role
	mu     sync.Mutex
	log    bytes.Buffer
}

// Write takes the log: the stream's role writes while a test goes on.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

// consumers are the roles with a queue.
func consumers() []string {
	return []string{"order_creator_record", "order_pdf_creator", "order_internal_notifier", "customer_order_confirmation"}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, env: complete(""), queues: map[string]string{}}
	w.must(startEmulators())
	w.makeQueues()
	cfg := emulator.Config(cloud.Endpoint())
	for _, bucket := range []string{"orders", "templates"} {
		_, err := s3.NewFromConfig(cfg).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
		w.must(err)
	}
	carts := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, req *http.Request) {
		_, _ = fmt.Fprintf(res, `{"success":true,"data":{"cartId":%q,"tenantId":%q,"currency":"ZAR","shipping":50.00,
			"items":[{"id":"line-1","productId":"p-1","productName":"Rooibos","quantity":2,"unitPrice":100.10,"discount":0.20}]}}`,
			strings.TrimPrefix(req.URL.Path, "/"), req.Header.Get("X-Tenant-Id"))
	}))
	t.Cleanup(carts.Close)
	w.env["CART_LAMBDA_API_URL"] = carts.URL
	for _, variable := range emulator.Environ(db, cloud) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	w.follow()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// makeQueues makes the consumers' queues, and the topic that feeds all but the
// record creator's.
func (w *world) makeQueues() {
	w.t.Helper()
	ctx, cfg := w.t.Context(), emulator.Config(cloud.Endpoint())
	topic, err := sns.NewFromConfig(cfg).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("events")})
	w.must(err)
	w.env["ORDER_EVENTS_TOPIC_ARN"] = *topic.TopicArn
	for i, role := range consumers() {
		queue, err := sqs.NewFromConfig(cfg).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &role})
		w.must(err)
		w.queues[role] = *queue.QueueUrl
		if i == 0 {
			continue
		}
		_, err = sns.NewFromConfig(cfg).Subscribe(ctx, &sns.SubscribeInput{
			TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(
				"arn:aws:sqs:" + emulator.Region + ":000000000000:" + role,
			),
			Attributes: map[string]string{"RawMessageDelivery": "true"},
		})
		w.must(err)
	}
}

// follow hands the table's stream to the record creator until the test ends.
func (w *world) follow() {
	w.t.Helper()
	table, err := db.Client().DescribeTable(w.t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
	w.must(err)
	stream := &poller.Stream{
		Client: dynamodbstreams.NewFromConfig(emulator.Config(db.Endpoint())), StreamARN: *table.Table.LatestStreamArn,
		BatchSize: 100, Function: streamed{w.role("order_creator_record")}, Wait: 10 * time.Millisecond,
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		stream.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// streamed is a function that a stream is mapped to.
type streamed struct{ lambda.Handler }

func (s streamed) Invoke(ctx context.Context, payload []byte, _ string) ([]byte, error) {
	return s.Handler.Invoke(ctx, payload)
}

// role builds a role as main does.
func (w *world) role(name string) lambda.Handler {
	w.t.Helper()
	w.env["ROLE"] = name
	w.env["SQS_QUEUE_URL"] = w.queues[name]
	if name == "create_order" {
		w.env["SQS_QUEUE_URL"] = w.queues["order_creator_record"]
	}
	settings, err := Configure(getter(w.env))
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.LoadDefaultConfig(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return Build(settings, Deps{AWS: cfg, Transport: http.DefaultTransport, Stdout: w, Now: time.Now})
}

// invoke sends a role an event and returns its answer.
func (w *world) invoke(name string, event any) []byte {
	w.t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx := lambdacontext.NewContext(w.t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-" + name})
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	answer, err := w.role(name).Invoke(ctx, payload)
	if err != nil {
		w.t.Fatal(name, err)
	}
	return answer
}

// api sends an API role an event of testdata and returns what the client gets.
func (w *world) api(name string, change func(*events.APIGatewayProxyRequest)) answer {
	w.t.Helper()
	var res events.APIGatewayProxyResponse
	if err := json.Unmarshal(w.invoke(name, apiEvent(w.t, name, change)), &res); err != nil {
		w.t.Fatal(err)
	}
	return parseAnswer(w.t, res)
}

// deliver gives a consumer what waits in its queue, and returns the ids of the
// messages that failed.
func (w *world) deliver(name string) (delivered int, failed []string) {
	w.t.Helper()
	client, url := sqs.NewFromConfig(emulator.Config(cloud.Endpoint())), w.queues[name]
	got, err := client.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 5,
		MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var event events.SQSEvent
	for _, m := range got.Messages {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
			EventSource: "aws:sqs",
		})
	}
	var answer events.SQSEventResponse
	if err := json.Unmarshal(w.invoke(name, event), &answer); err != nil {
		w.t.Fatal(err)
	}
	for _, f := range answer.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	for _, m := range got.Messages {
		done := &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}
		if _, err := client.DeleteMessage(w.t.Context(), done); err != nil {
			w.t.Fatal(err)
		}
	}
	return len(event.Records), failed
}

// settle delivers one message to each of the consumers that are fed by the
// topic.
func (w *world) settle() {
	w.t.Helper()
	for _, role := range consumers()[1:] {
		w.deliverOne(role)
	}
}

func (w *world) deliverOne(role string) {
	w.t.Helper()
	is := is.New(w.t)
	delivered, failed := w.deliver(role)
	is.Equal(delivered, 1) // message to the role
	is.Equal(len(failed), 0)
}

// subjects returns the subjects of the mails that went out, sorted.
func (w *world) subjects() []string {
	w.t.Helper()
	inbox, err := http.Get(cloud.MailEndpoint() + "/store")
	w.must(err)
	defer inbox.Body.Close() //nolint:errcheck // Read only.
	var mails struct {
		Emails []struct{ Subject string }
	}
	w.must(json.NewDecoder(inbox.Body).Decode(&mails))
	var subjects []string
	for _, m := range mails.Emails {
		subjects = append(subjects, m.Subject)
	}
	slices.Sort(subjects)
	return subjects
}

// TestFlow takes one order through its life and all eight roles, over the real
// protocols.
func TestFlow(t *testing.T) {
	w := newWorld(t)
	created := w.api("create_order", nil)
	is.New(t).Equal(created.Status, http.StatusAccepted)
	id, _ := created.Data["orderId"].(string)
	number, _ := created.Data["orderNumber"].(string)
	of := func(changes ...func(*events.APIGatewayProxyRequest)) func(*events.APIGatewayProxyRequest) {
		return all(append(changes, func(e *events.APIGatewayProxyRequest) { e.PathParameters["orderId"] = id })...)
	}
	steps := []struct {
		name string
		run  func(t *testing.T, is *is.I)
	}{
		{"accepted", func(_ *testing.T, is *is.I) {
			accepted := w.api("get_order", of())
			is.Equal(accepted.Data["state"], "accepted")
			is.Equal(accepted.Data["orderNumber"], number)
			is.Equal(w.api("update_order", of()).Code, "order_not_recorded")
			is.Equal(len(w.api("list_orders", nil).Data["orders"].([]any)), 0)
		}},
		{"recorded, told and documented", func(_ *testing.T, is *is.I) {
			w.deliverOne("order_creator_record")
			w.settle()
			recorded := w.api("get_order", of())
			is.Equal(recorded.Data["total"], 287.5)
			is.Equal(recorded.Data["status"], "pending")
			is.True(strings.HasPrefix(recorded.Data["pdfUrl"].(string), "http"))
			is.Equal(documentsOf(recorded), "pro_forma:")
			is.Equal(w.subjects(), []string{"New Order Received: " + number, "Order Confirmation: " + number})
		}},
		{"found", func(_ *testing.T, is *is.I) {
			is.Equal(len(w.api("list_orders", nil).Data["orders"].([]any)), 1)
			is.Equal(len(w.api("list_orders", withQuery("orderNumber", number)).Data["orders"].([]any)), 1)
			again := w.api("create_order", nil)
			is.Equal(again.Headers["Idempotent-Replayed"], "true") // the event has an Idempotency-Key
			is.Equal(again.Data, created.Data)
		}},
		{"paid", func(_ *testing.T, is *is.I) {
			before := w.api("get_order", of())
			paid := w.api("update_order", of())
			is.Equal(paid.Data["status"], "paid")
			is.True(paid.Headers["ETag"] != before.Headers["ETag"])
			w.settle()
			is.True(strings.HasPrefix(documentsOf(w.api("get_order", of())), "pro_forma: tax_invoice:INV-"))
			is.Equal(len(w.subjects()), 4)
		}},
		{"refunded", func(_ *testing.T, is *is.I) {
			refunded := w.api("update_order", of(withBody(`{"status":"refunded","reason":"broken"}`)))
			is.Equal(refunded.Status, http.StatusOK)
			w.settle()
			whole := w.api("get_order", of())
			is.True(strings.Contains(documentsOf(whole), " credit_note:CN-"))
			is.Equal(len(whole.Data["history"].([]any)), 3)
			is.Equal(len(w.subjects()), 6) // one of each for each entry
			is.True(slices.Contains(w.subjects(), "Refund: "+number))
		}},
		{"without a private word in the log", func(_ *testing.T, is *is.I) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for line := range strings.Lines(w.log.String()) {
				var l map[string]any
				is.NoErr(json.Unmarshal([]byte(line), &l)) // every line is one JSON object
				for _, private := range []string{"@", "Long Street", "Mokoena", "eyJ"} {
					is.True(!strings.Contains(line, private)) // no address, name or token in the log
				}
			}
		}},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) {
			w.t = t
			step.run(t, is.New(t))
		}) {
			return // What follows builds on it.
		}
	}
}

// documentsOf returns the kinds and numbers of an order's documents.
func documentsOf(a answer) string {
	var documents []string
	list, _ := a.Data["documents"].([]any)
	for _, d := range list {
		d, _ := d.(map[string]any)
		number, _ := d["number"].(string)
		documents = append(documents, fmt.Sprintf("%v:%s", d["kind"], number))
	}
	return strings.Join(documents, " ")
}
