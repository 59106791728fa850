package stack

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/page"
	"github.com/bbws/order-lambda/order"
)

// maxOrders is how many orders a status has.
const maxOrders = 20

// source tells the page what goes on in a stack.
type source struct{ stack *Stack }

// Status implements page.Source.
func (s source) Status(ctx context.Context) (page.Status, error) {
	orders, err := s.stack.orders(ctx)
	if err != nil {
		return page.Status{}, err
	}
	queues, err := s.stack.queues(ctx)
	if err != nil {
		return page.Status{}, err
	}
	sent, err := s.stack.Mails(ctx)
	if err != nil {
		return page.Status{}, err
	}
	mails := []page.Mail{}
	for _, m := range slices.Backward(sent) {
		mails = append(mails, page.Mail{
			ID: m.MessageID, From: m.From, To: m.Destination.To, Subject: m.Subject, Sent: time.Unix(m.At, 0).UTC(),
			HTML: m.Body.HTML, Text: m.Body.Text,
		})
	}
	return page.Status{Orders: orders, Mails: mails, Queues: queues}, nil
}

var tenantID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)

// Token implements page.Source.
func (s source) Token(tenant string, admin bool) (string, error) {
	if !tenantID.MatchString(tenant) {
		return "", errors.New("a tenant is 1 to 128 letters, digits and _ . : -, starting with a letter or digit")
	}
	id := gateway.Identity{Tenant: tenant, Email: "someone@example.com"}
	if admin {
		id.Groups = []string{"admin"}
	}
	return s.stack.Token(id)
}

// Invoice implements page.Source.
func (s source) Invoice(ctx context.Context, tenant, orderID string) (string, error) {
	key := tenant + "/orders/order_" + orderID + ".pdf"
	object := s3.HeadObjectInput{Bucket: aws.String(OrdersBucket), Key: aws.String(key)}
	if _, err := s.stack.S3.HeadObject(ctx, &object); err != nil {
		return "", errors.New("there is no such invoice")
	}
	signed := s3.GetObjectInput{Bucket: aws.String(OrdersBucket), Key: aws.String(key)}
	link, err := s3.NewPresignClient(s.stack.S3).PresignGetObject(ctx, &signed)
	if err != nil {
		return "", err
	}
	return link.URL, nil
}

// orderItem has what a status needs of an order in the table.
type orderItem struct {
	EntityType  string         `dynamodbav:"entityType"`
	Active      bool           `dynamodbav:"active"`
	Failure     string         `dynamodbav:"failureReason"`
	ID          string         `dynamodbav:"id"`
	Number      string         `dynamodbav:"orderNumber"`
	TenantID    string         `dynamodbav:"tenantId"`
	Status      string         `dynamodbav:"status"`
	Total       string         `dynamodbav:"total"`
	Currency    string         `dynamodbav:"currency"`
	DateCreated time.Time      `dynamodbav:"dateCreated"`
	Documents   map[string]any `dynamodbav:"documents"`
	History     []any          `dynamodbav:"history"` // none until it is recorded
}

// orders returns the last orders, newest first.
func (s *Stack) orders(ctx context.Context) ([]page.Order, error) {
	orders := []page.Order{}
	pages := dynamodb.NewScanPaginator(s.DynamoDB, &dynamodb.ScanInput{TableName: aws.String(Table)})
	for pages.HasMorePages() {
		some, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		var items []orderItem
		if err := attributevalue.UnmarshalListOfMaps(some.Items, &items); err != nil {
			return nil, err
		}
		for _, i := range items {
			if i.EntityType != "ORDER" || !i.Active {
				continue
			}
			o := page.Order{
				ID: i.ID, Number: i.Number, Tenant: i.TenantID, Status: i.Status, Recorded: len(i.History) > 0, Failure: i.Failure,
				Currency: i.Currency, Placed: i.DateCreated, Invoice: len(i.Documents) > 0,
			}
			if total, err := order.ParseMoney(i.Total, order.Currency(i.Currency)); err == nil {
				o.Total = total.String()
			}
			orders = append(orders, o)
		}
	}
	slices.SortFunc(orders, func(a, b page.Order) int {
		return cmp.Or(b.Placed.Compare(a.Placed), cmp.Compare(b.Number, a.Number))
	})
	return orders[:min(len(orders), maxOrders)], nil
}

// queues returns how full the queues are, the first one of the flow first.
func (s *Stack) queues(ctx context.Context) ([]page.Queue, error) {
	var all []struct {
		Name                                                                       string
		ApproximateMessageCount, ApproximateInflightCount, ApproximateDelayedCount int
	}
	if err := getJSON(ctx, *s.SQS.Options().BaseEndpoint+"/_fauxqs/queues", &all); err != nil {
		return nil, err
	}
	queues := []page.Queue{}
	for _, role := range s.roles {
		if !role.IsConsumer() {
			continue
		}
		queue := page.Queue{Name: queueName(role)}
		for _, q := range all {
			switch q.Name {
			case queueName(role):
				queue.Waiting, queue.InFlight = q.ApproximateMessageCount+q.ApproximateDelayedCount, q.ApproximateInflightCount
			case deadQueueName(role):
				queue.Dead = q.ApproximateMessageCount + q.ApproximateInflightCount
			}
		}
		queues = append(queues, queue)
	}
	first := queueName(s.roles[recorder])
	slices.SortFunc(queues, func(a, b page.Queue) int {
		switch {
		case a.Name == first:
			return -1
		case b.Name == first:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return queues, nil
}
