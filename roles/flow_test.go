package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
)

// The emulators that all tests of the package share. Tests keep apart by tenant, or by names of their own.
var (
	db    *emulator.DynamoDB
	cloud *emulator.AWS
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx := context.Background()
		var err error
		if db, err = emulator.StartDynamoDB(ctx); err == nil {
			defer db.Close()
			if cloud, err = emulator.StartAWS(ctx); err == nil {
				defer cloud.Close()
				err = emulator.CreateTable(ctx, db.Client(), "orders")
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// A world is what the eight roles share: queues, topic, buckets, a cart service. Its table is the package's.
type world struct {
	t      *testing.T
	env    map[string]string
	queues map[string]string // URL by role
	log    bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	cfg := emulator.Config(cloud.Endpoint())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, env: complete(""), queues: map[string]string{}}
	topic, err := sns.NewFromConfig(cfg).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("events")})
	must(err)
	for i, role := range []string{"order_creator_record", "order_pdf_creator", "order_internal_notifier", "customer_order_confirmation"} {
		queue, err := sqs.NewFromConfig(cfg).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &role})
		must(err)
		w.queues[role] = *queue.QueueUrl
		if i > 0 {
			_, err = sns.NewFromConfig(cfg).Subscribe(ctx, &sns.SubscribeInput{
				TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + emulator.Region + ":000000000000:" + role),
				Attributes: map[string]string{"RawMessageDelivery": "true"},
			})
			must(err)
		}
	}
	w.env["ORDER_EVENTS_TOPIC_ARN"] = *topic.TopicArn
	for _, bucket := range []string{"orders", "templates"} {
		_, err := s3.NewFromConfig(cfg).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
		must(err)
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
	return w
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
	return Build(settings, Deps{AWS: cfg, Transport: http.DefaultTransport, Stdout: &w.log, Now: atNoon})
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

// deliver gives a consumer what waits in its queue, and returns the ids of the messages that failed.
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
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes, EventSource: "aws:sqs",
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
		if _, err := client.DeleteMessage(w.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
			w.t.Fatal(err)
		}
	}
	return len(event.Records), failed
}

// TestFlow takes one order through all eight roles, over the real protocols.
func TestFlow(t *testing.T) {
	is := is.New(t)
	w := newWorld(t)

	created := w.api("create_order", nil)
	is.Equal(created.Status, http.StatusAccepted)
	is.Equal(created.Data["orderNumber"], "ORD-2025-00001")
	id := created.Data["orderId"].(string)
	mine := func(e *events.APIGatewayProxyRequest) {
		e.PathParameters["orderId"] = id
		e.Path = "/v1.0/orders/" + id
	}

	receipt := w.api("get_order", mine)
	is.Equal(receipt.Data["status"], "pending")
	is.Equal(receipt.Data["items"], nil)
	is.Equal(w.api("update_order", mine).Code, "order_not_recorded")

	for _, role := range []string{"order_creator_record", "order_pdf_creator", "order_internal_notifier", "customer_order_confirmation"} {
		delivered, failed := w.deliver(role)
		is.Equal(delivered, 1)
		is.Equal(len(failed), 0)
	}

	recorded := w.api("get_order", mine)
	is.Equal(recorded.Data["total"], 287.5)
	is.Equal(recorded.Data["dateCreated"], "2025-12-30T10:30:00.000000Z")
	is.True(strings.HasPrefix(recorded.Data["pdfUrl"].(string), "http"))
	is.True(!strings.Contains(recorded.Data["pdfUrl"].(string), "s3://"))

	again := w.api("create_order", nil)
	is.Equal(again.Headers["Idempotent-Replayed"], "true") // the event has an Idempotency-Key
	is.Equal(again.Data, created.Data)

	paid := w.api("update_order", mine)
	is.Equal(paid.Status, http.StatusOK)
	is.Equal(paid.Data["status"], "paid")
	is.True(paid.Headers["ETag"] != recorded.Headers["ETag"])
	list := w.api("list_orders", nil)
	is.Equal(len(list.Data["orders"].([]any)), 1)

	inbox, err := http.Get(cloud.MailEndpoint() + "/store")
	is.NoErr(err)
	defer inbox.Body.Close() //nolint:errcheck // Read only.
	var mails struct {
		Emails []struct{ Subject string }
	}
	is.NoErr(json.NewDecoder(inbox.Body).Decode(&mails))
	is.Equal(len(mails.Emails), 2) // one of each

	for line := range strings.Lines(w.log.String()) {
		var l map[string]any
		is.NoErr(json.Unmarshal([]byte(line), &l)) // every line is one JSON object
		for _, private := range []string{"@", "Long Street", "Mokoena", "eyJ"} {
			is.True(!strings.Contains(line, private)) // no address, name or token in the log
		}
	}
}
