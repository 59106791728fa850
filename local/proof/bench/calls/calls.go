// Package calls makes the AWS calls of each role straight with the SDK, and does nothing else of what the role does but
// reading the event and answering: what no implementation can avoid.
package calls

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/brand"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// Rendering is the setting, any text, with which the floor of the invoices also makes the invoice that it stores.
const Rendering = "FLOOR_RENDERS"

// A handler makes the calls of one role for each invocation.
type handler func(ctx context.Context, event []byte) ([]byte, error)

// Invoke implements lambda.Handler.
func (h handler) Invoke(ctx context.Context, event []byte) ([]byte, error) { return h(ctx, event) }

// aFloor has the clients, and one order as it is stored.
type aFloor struct {
	setting func(string) string
	http    *http.Client
	db      *dynamodb.Client
	queue   *sqs.Client
	topic   *sns.Client
	objects *s3.Client
	mail    *sesv2.Client
	links   *s3.PresignClient
	order   map[string]types.AttributeValue
	message notify.Message // the role's mail about it
	pdf     []byte
	render  func() ([]byte, error) // makes the invoice anew, or nil
}

// New returns the handler that makes a role's calls. What is not AWS is called through the transport.
func New(ctx context.Context, role string, cfg aws.Config, settings func(string) string, transport http.RoundTripper) (lambda.Handler, error) {
	f := &aFloor{
		setting: settings, http: &http.Client{Transport: transport},
		db: dynamodb.NewFromConfig(cfg), queue: sqs.NewFromConfig(cfg), topic: sns.NewFromConfig(cfg),
		objects: s3.NewFromConfig(cfg), mail: sesv2.NewFromConfig(cfg), pdf: bytes.Repeat([]byte{'x'}, 28<<10),
	}
	f.links = s3.NewPresignClient(f.objects)
	out, err := f.get(ctx, "ORDER#sample")
	if err != nil {
		return nil, err
	}
	f.order = out.Item
	o, err := store.New(f.db, f.setting("DYNAMODB_TABLE_NAME"), time.Now).Order(ctx, "acme", "sample")
	if err != nil {
		return nil, err
	}
	if f.message, err = mailOf(role, o); err != nil {
		return nil, err
	}
	if settings(Rendering) != "" {
		shipped, err := brand.Shipped()
		if err != nil {
			return nil, err
		}
		f.render = func() ([]byte, error) {
			pdf, _, err := invoice.Render(o, shipped)
			return pdf, err
		}
	}
	h, ok := map[string]handler{
		"create_order":                api(f.createOrder),
		"get_order":                   api(f.getOrder),
		"list_orders":                 api(f.listOrders),
		"update_order":                api(f.updateOrder),
		"order_creator_record":        batch(f.record),
		"order_pdf_creator":           batch(f.invoice),
		"order_internal_notifier":     batch(f.notify),
		"customer_order_confirmation": batch(f.notify),
	}[role]
	if !ok {
		return nil, errors.New("ROLE is unknown")
	}
	return h, nil
}

// mailOf makes the mail that a role sends, so that the floor sends as much.
func mailOf(role string, o order.Order) (notify.Message, error) {
	sender, template := notify.NewCustomer(nil, nil, notify.Settings{}, time.Now), "customer/order_confirmation.html"
	if role == "order_internal_notifier" {
		sender, template = notify.NewInternal(nil, nil, notify.Settings{}, time.Now), "internal/order_notification.html"
	}
	html, err := templates.FS.ReadFile(template)
	if err != nil {
		return notify.Message{}, err
	}
	return sender.Render(o, string(html))
}

func api(call func(ctx context.Context, body string) error) handler {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var event events.APIGatewayProxyRequest
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		if err := call(ctx, event.Body); err != nil {
			return nil, err
		}
		return json.Marshal(events.APIGatewayProxyResponse{StatusCode: http.StatusOK})
	}
}

func batch(call func(ctx context.Context, body string) error) handler {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var event events.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		for _, record := range event.Records {
			if err := call(ctx, record.Body); err != nil {
				return nil, err
			}
		}
		return json.Marshal(events.SQSEventResponse{})
	}
}

func (f *aFloor) createOrder(ctx context.Context, body string) error {
	if _, err := f.get(ctx, "COUNTER#ORDER#2025"); err != nil {
		return err
	}
	receipt := map[string]types.AttributeValue{
		"PK": text("TENANT#acme"), "SK": text("RECEIPT#sample"), "state": text("pending"), "customerEmail": text("thandi@example.com"),
		"id": text("6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"), "orderNumber": text("ORD-2025-00042"), "tenantId": text("acme"),
		"dateCreated": text("2025-12-30T10:30:00.000000Z"), "expiresAt": &types.AttributeValueMemberN{Value: "1767090600"},
	}
	_, err := f.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String("6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"),
		TransactItems: []types.TransactWriteItem{
			{Update: &types.Update{
				TableName: f.table(), Key: key("COUNTER#ORDER#2025"), UpdateExpression: aws.String("SET #v = :n"),
				ConditionExpression:      aws.String("#v = :o"),
				ExpressionAttributeNames: map[string]string{"#v": "value"},
				ExpressionAttributeValues: map[string]types.AttributeValue{
					":n": &types.AttributeValueMemberN{Value: "42"}, ":o": &types.AttributeValueMemberN{Value: "41"},
				},
			}},
			{Put: &types.Put{TableName: f.table(), Item: receipt}},
		},
	})
	if err != nil {
		return err
	}
	_, err = f.queue.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(f.setting("SQS_QUEUE_URL")), MessageBody: &body})
	return err
}

func (f *aFloor) getOrder(ctx context.Context, _ string) error {
	if _, err := f.get(ctx, "ORDER#sample"); err != nil {
		return err
	}
	return f.link(ctx)
}

func (f *aFloor) listOrders(ctx context.Context, _ string) error {
	_, err := f.db.Query(ctx, &dynamodb.QueryInput{
		TableName: f.table(), IndexName: aws.String("OrdersByDateIndex"), KeyConditionExpression: aws.String("GSI1_PK = :p"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": text("TENANT#acme")}, ScanIndexForward: aws.Bool(false), Limit: aws.Int32(11),
	})
	return err
}

func (f *aFloor) updateOrder(ctx context.Context, _ string) error {
	if _, err := f.get(ctx, "ORDER#sample"); err != nil {
		return err
	}
	if err := f.update(ctx, "status", types.ReturnValueAllNew); err != nil {
		return err
	}
	return f.link(ctx)
}

func (f *aFloor) record(ctx context.Context, body string) error {
	if _, err := f.get(ctx, "ORDER#new"); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.setting("CART_LAMBDA_API_URL")+"/cart-1", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	_, err = f.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: f.table(), Item: f.order, ConditionExpression: aws.String("attribute_not_exists(PK)"),
	})
	if err != nil {
		return err
	}
	_, err = f.topic.Publish(ctx, &sns.PublishInput{TopicArn: aws.String(f.setting("ORDER_EVENTS_TOPIC_ARN")), Message: &body})
	return err
}

func (f *aFloor) invoice(ctx context.Context, _ string) error {
	if _, err := f.get(ctx, "ORDER#sample"); err != nil {
		return err
	}
	if f.render != nil {
		var err error
		if f.pdf, err = f.render(); err != nil {
			return err
		}
	}
	_, err := f.objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(f.setting("S3_ORDERS_BUCKET")), Key: aws.String("acme/orders/order_sample.pdf"), Body: bytes.NewReader(f.pdf),
		ContentType: aws.String("application/pdf"),
	})
	if err != nil {
		return err
	}
	return f.update(ctx, "pdfUrl", types.ReturnValueNone)
}

func (f *aFloor) notify(ctx context.Context, _ string) error {
	if _, err := f.get(ctx, "ORDER#sample"); err != nil {
		return err
	}
	if err := f.update(ctx, "claim", types.ReturnValueNone); err != nil {
		return err
	}
	_, err := f.mail.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(f.setting("SES_FROM_ADDRESS")),
		Destination:      &sestypes.Destination{ToAddresses: []string{"thandi@example.com"}},
		Content: &sestypes.EmailContent{Simple: &sestypes.Message{
			Subject: &sestypes.Content{Data: &f.message.Subject},
			Body:    &sestypes.Body{Html: &sestypes.Content{Data: &f.message.HTML}, Text: &sestypes.Content{Data: &f.message.Text}},
		}},
	})
	if err != nil {
		return err
	}
	return f.update(ctx, "messageId", types.ReturnValueNone)
}

func (f *aFloor) get(ctx context.Context, sortKey string) (*dynamodb.GetItemOutput, error) {
	return f.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: f.table(), Key: key(sortKey), ConsistentRead: aws.Bool(true)})
}

func (f *aFloor) update(ctx context.Context, attribute string, returns types.ReturnValue) error {
	_, err := f.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: f.table(), Key: key("ORDER#sample"), UpdateExpression: aws.String("SET #a = :v"),
		ConditionExpression:       aws.String("attribute_exists(PK)"),
		ExpressionAttributeNames:  map[string]string{"#a": attribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":v": text("value")},
		ReturnValues:              returns,
	})
	return err
}

// link makes a link to an invoice, as the SDK does: by signing, without a call.
func (f *aFloor) link(ctx context.Context) error {
	_, err := f.links.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(f.setting("S3_ORDERS_BUCKET")), Key: aws.String(path.Join("acme", "orders", "order_sample.pdf")),
	})
	return err
}

func (f *aFloor) table() *string { return aws.String(f.setting("DYNAMODB_TABLE_NAME")) }

func key(sortKey string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"PK": text("TENANT#acme"), "SK": text(sortKey)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
