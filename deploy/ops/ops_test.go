package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles"
	"github.com/bbws/order-lambda/roles/awsenv"
	"github.com/bbws/order-lambda/store"
)

// The emulators that all tests share. They keep apart by environment.
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
			cloud, err = emulator.StartAWS(ctx)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer cloud.Close()
		return m.Run()
	}())
}

// A stage is an environment of a test's own: table, buckets, queues and topic.
type stage struct {
	*testing.T
	env    map[string]string
	orders *store.Store
	clients
	stderr bytes.Buffer
}

const tenant = "tenant-1"

// newStage returns a stage, which has the test's name for ops. For the roles it
// is dev: they know no such environment.
func newStage(t *testing.T) *stage {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	s := &stage{T: t}
	cfg := emulator.Config(cloud.Endpoint())
	s.clients = clients{db.Client(), sqs.NewFromConfig(cfg), sns.NewFromConfig(cfg), s3.NewFromConfig(cfg)}
	s.env = map[string]string{
		"ENVIRONMENT": name, "DYNAMODB_TABLE_NAME": "orders-" + name, "S3_ORDERS_BUCKET": "documents-" + name,
		"S3_EMAIL_TEMPLATES_BUCKET": "templates-" + name,
	}
	s.orders = store.New(db.Client(), s.env["DYNAMODB_TABLE_NAME"], time.Now)
	s.must(emulator.CreateTable(t.Context(), db.Client(), s.env["DYNAMODB_TABLE_NAME"]))
	for _, b := range []string{"S3_ORDERS_BUCKET", "S3_EMAIL_TEMPLATES_BUCKET"} {
		_, err := s.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{
			Bucket:                    aws.String(s.env[b]),
			CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: emulator.Region},
		})
		s.must(err)
	}
	s.createQueues(name)
	return s
}

func (s *stage) createQueues(name string) {
	s.Helper()
	created, err := s.sns.CreateTopic(s.Context(), &sns.CreateTopicInput{Name: aws.String("events-" + name)})
	s.must(err)
	s.env["ORDER_EVENTS_TOPIC_ARN"] = aws.ToString(created.TopicArn)
	lines, err := readLines(name)
	s.must(err)
	raw := s.sqs.(*sqs.Client)
	for _, l := range lines {
		for _, q := range []string{l.dead, l.queue} {
			if q != "" {
				_, err := raw.CreateQueue(s.Context(), &sqs.CreateQueueInput{QueueName: &q})
				s.must(err)
			}
		}
		if len(l.events) == 0 {
			continue
		}
		filter, err := json.Marshal(map[string]any{"eventType": l.events})
		s.must(err)
		_, err = s.sns.Subscribe(s.Context(), &sns.SubscribeInput{
			TopicArn: created.TopicArn, Protocol: aws.String("sqs"),
			Endpoint: aws.String("arn:aws:sqs:" + emulator.Region + ":000000000000:" + l.queue),
			Attributes: map[string]string{
				"RawMessageDelivery": "true", "FilterPolicyScope": "MessageBody", "FilterPolicy": string(filter),
			},
		})
		s.must(err)
	}
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// run runs a command and returns what it printed.
func (s *stage) run(args ...string) (string, error) {
	var out bytes.Buffer
	s.stderr.Reset()
	err := run(s.Context(), args, world{
		getenv: func(name string) string { return s.env[name] }, stdout: &out, stderr: &s.stderr, now: time.Now,
		connect: func(context.Context) (clients, error) { return s.clients, nil },
	})
	return out.String(), err
}

// ops runs a command that must succeed.
func (s *stage) ops(args ...string) string {
	s.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.Fatalf("ops %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// operator returns the operator of the stage's own commands.
func (s *stage) operator() *operator {
	s.Helper()
	o, err := newOperator(s.Context(), world{
		getenv: func(name string) string { return s.env[name] }, stdout: io.Discard, stderr: io.Discard, now: time.Now,
		connect: func(context.Context) (clients, error) { return s.clients, nil },
	}, []setting{table, environment})
	s.must(err)
	o.act = true
	return o
}

func creation(email string) order.Creation {
	return order.Creation{
		OrderID: order.NewID(), TenantID: tenant, CustomerEmail: email, CustomerName: "Thandi Nkosi", CartID: "cart-1",
		BillingAddress: order.BillingAddress{
			FullName: "Thandi Nkosi", Street: "1 Long Street", City: "Cape Town", Province: "Western Cape",
			PostalCode: "8001", Country: "ZA",
		},
		PaymentMethod: "payfast", CreatedBy: email,
	}
}

// accept accepts an order.
func (s *stage) accept(c order.Creation) order.Order {
	s.Helper()
	o, err := s.orders.Accept(s.Context(), c)
	s.must(err)
	return o
}

// place records an order, and the consumers do their work about it.
func (s *stage) place(email string) order.Order {
	s.Helper()
	c := creation(email)
	price, err := order.ParseMoney("100.00", "ZAR")
	s.must(err)
	rate, err := order.ParseRate("0.15")
	s.must(err)
	zero, err := order.ParseMoney("0.00", "ZAR")
	s.must(err)
	o, err := order.New(s.accept(c), c, order.Cart{
		ID: "cart-1", TenantID: tenant, Currency: "ZAR", Shipping: zero,
		Items: []order.CartItem{
			{ID: "1", ProductID: "p", ProductName: "Rooibos", Quantity: 2, UnitPrice: price, Discount: zero},
		},
	}, rate)
	s.must(err)
	s.must(s.orders.Record(s.Context(), o))
	s.must(s.operator().publish(s.Context(), o, o.History))
	s.work()
	return s.read(o.ID)
}

// change sets an order's status, and the consumers do their work about it.
func (s *stage) change(o order.Order, status order.Status) order.Order {
	s.Helper()
	was := o.DateLastUpdated
	u := order.Update{Status: status, By: o.CustomerEmail}
	if status == order.Paid {
		u.PaymentDetails = &order.PaymentDetails{Method: "eft", TransactionID: "t-1"}
	}
	_, err := o.Apply(u, time.Now())
	s.must(err)
	o, err = s.orders.Update(s.Context(), o, was)
	s.must(err)
	s.must(s.operator().publish(s.Context(), o, o.History[len(o.History)-1:]))
	s.work()
	return s.read(o.ID)
}

func (s *stage) read(id string) order.Order {
	s.Helper()
	o, err := s.orders.StoredOrder(s.Context(), tenant, id)
	s.must(err)
	return o
}

// work lets the real consumers take what is in their queues.
func (s *stage) work() {
	s.Helper()
	for _, role := range []string{pdfCreator, teamMail, customer} {
		h := s.role(role)
		for _, m := range s.take(s.operator().line(role).queue) {
			payload, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{
				MessageId: "1", Body: m, ReceiptHandle: "1", Attributes: map[string]string{"ApproximateReceiveCount": "1"},
			}}})
			s.must(err)
			answer, err := h.Invoke(s.Context(), payload)
			s.must(err)
			if !strings.Contains(string(answer), `"batchItemFailures":[]`) {
				s.Fatalf("%s: %s", role, answer)
			}
		}
	}
}

// role returns a role of the service on the stage.
func (s *stage) role(name string) lambda.Handler {
	s.Helper()
	env := map[string]string{
		"ROLE": name, "ENVIRONMENT": "dev", "SQS_QUEUE_URL": "http://localhost/000000000000/none",
		"SES_FROM_ADDRESS": "orders@example.com", "INTERNAL_NOTIFICATION_EMAIL": "team@example.com",
	}
	for _, setting := range emulator.Environ(db, cloud) {
		k, v, _ := strings.Cut(setting, "=")
		env[k] = v
	}
	getenv := func(name string) string {
		if v, ok := env[name]; ok {
			return v
		}
		return s.env[name]
	}
	settings, err := roles.Configure(getenv)
	s.must(err)
	return roles.Build(settings, roles.Deps{
		AWS: awsenv.Load(getenv), Transport: http.DefaultTransport, Stdout: io.Discard, Now: time.Now,
	})
}

// take empties a queue and returns the bodies of its messages.
func (s *stage) take(name string) (bodies []string) {
	s.Helper()
	url, err := s.operator().queueURL(s.Context(), name)
	s.must(err)
	for {
		out, err := s.sqs.ReceiveMessage(s.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		s.must(err)
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
			_, err := s.sqs.DeleteMessage(s.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
			s.must(err)
		}
	}
}

// die puts a message on a role's dead-letter queue.
func (s *stage) die(role, body string) {
	s.Helper()
	s.must(s.operator().send(s.Context(), s.operator().line(role).dead, body, tenant, ""))
}

// event returns the message about an entry of an order's history.
func event(o order.Order, sequence int) string {
	e, _ := o.Entry(sequence)
	text, _ := json.Marshal(o.Event(e))
	return string(text)
}

// An item is one of the table as it is stored.
type item = map[string]dynamodbtypes.AttributeValue

func text(s string) dynamodbtypes.AttributeValue {
	return &dynamodbtypes.AttributeValueMemberS{Value: s}
}

// lose deletes an item of the tenant behind the service's back.
func (s *stage) lose(sort string) {
	s.Helper()
	_, err := s.dynamodb.DeleteItem(s.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(s.env["DYNAMODB_TABLE_NAME"]), Key: item{"PK": text("TENANT#" + tenant), "SK": text(sort)},
	})
	s.must(err)
}

// rewind sets a counter behind the service's back.
func (s *stage) rewind(partition, sort, value string) {
	s.Helper()
	_, err := s.dynamodb.PutItem(s.Context(), &dynamodb.PutItemInput{
		TableName: aws.String(s.env["DYNAMODB_TABLE_NAME"]),
		Item:      item{"PK": text(partition), "SK": text(sort), "value": &dynamodbtypes.AttributeValueMemberN{Value: value}},
	})
	s.must(err)
}

// items returns the whole table.
func (s *stage) items() []item {
	s.Helper()
	out, err := s.dynamodb.Scan(s.Context(), &dynamodb.ScanInput{TableName: aws.String(s.env["DYNAMODB_TABLE_NAME"])})
	s.must(err)
	return out.Items
}

// loseObject deletes an order's document from the bucket.
func (s *stage) loseObject(o order.Order, kind order.DocumentKind) {
	s.Helper()
	d, ok := o.Document(kind)
	if !ok {
		s.Fatal("the order has no ", kind)
	}
	_, err := s.s3.DeleteObject(s.Context(), &s3.DeleteObjectInput{
		Bucket: aws.String(s.env["S3_ORDERS_BUCKET"]), Key: aws.String(objectKey(d)),
	})
	s.must(err)
}

// object returns the bytes of an order's document.
func (s *stage) object(o order.Order, kind order.DocumentKind) string {
	s.Helper()
	d, _ := o.Document(kind)
	out, err := s.s3.GetObject(s.Context(), &s3.GetObjectInput{
		Bucket: aws.String(s.env["S3_ORDERS_BUCKET"]), Key: aws.String(objectKey(d)),
	})
	s.must(err)
	defer func() { _ = out.Body.Close() }()
	content, err := io.ReadAll(out.Body)
	s.must(err)
	return string(content)
}

func objectKey(d order.Document) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(d.URL, "s3://"), "/")
	return key
}

// mails returns the subjects of the mails about an order, sorted.
func (s *stage) mails(o order.Order) (subjects []string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, cloud.MailEndpoint()+"/store", nil)
	s.must(err)
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer func() { _ = resp.Body.Close() }()
	var inbox struct {
		Emails []struct {
			Subject string
			Body    struct{ Text string }
		}
	}
	s.must(json.NewDecoder(resp.Body).Decode(&inbox))
	for _, m := range inbox.Emails {
		if strings.Contains(m.Body.Text, o.ID) {
			subjects = append(subjects, m.Subject)
		}
	}
	slices.Sort(subjects)
	return subjects
}

// has fails unless the text has all of the parts.
func has(is *is.I, text string, parts ...string) {
	is.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			is.Fail() // the part is missing
			fmt.Fprintf(os.Stderr, "%q is not in\n%s\n", p, text)
		}
	}
}
