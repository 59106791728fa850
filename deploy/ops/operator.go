package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// A setting is a variable of the environment. The names are the functions' own.
type setting string

const (
	table       setting = "DYNAMODB_TABLE_NAME"
	environment setting = "ENVIRONMENT"
	documents   setting = "S3_ORDERS_BUCKET"
	templates   setting = "S3_EMAIL_TEMPLATES_BUCKET"
	topic       setting = "ORDER_EVENTS_TOPIC_ARN"
)

// clients are those of the AWS services.
type clients struct {
	dynamodb *dynamodb.Client
	sqs      queueClient
	sns      *sns.Client
	s3       *s3.Client
}

// queueClient is what is needed of SQS.
type queueClient interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (
		*sqs.GetQueueAttributesOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (
		*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// connect makes the clients from the SDK's own settings: profiles, regions and
// endpoints mean what they mean to the AWS CLI.
func connect(ctx context.Context) (clients, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return clients{}, err
	}
	return clients{dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg), sns.NewFromConfig(cfg), s3.NewFromConfig(cfg)}, nil
}

// An operator is what the commands act with.
type operator struct {
	clients
	getenv   func(string) string
	orders   *store.Store
	lines    []line // the queues
	now      func() time.Time
	act      bool // else only say what would be done
	idle     bool // something would have been done
	out      *printer
	progress *progress
}

// newOperator returns the operator for a command. The error names every
// setting that is missing.
func newOperator(ctx context.Context, w world, needs []setting) (*operator, error) {
	o := &operator{
		getenv: w.getenv, now: w.now, out: newPrinter(w.stdout),
		progress: &progress{w: w.stderr, now: w.now, last: w.now()},
	}
	var missing []string
	for _, s := range needs {
		if o.get(s) == "" {
			missing = append(missing, string(s))
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("missing in the environment: %s", strings.Join(missing, ", "))
	}
	if len(needs) == 0 {
		return o, nil
	}
	var err error
	if o.clients, err = w.connect(ctx); err != nil {
		return nil, err
	}
	o.orders = store.New(o.dynamodb, o.get(table), w.now)
	o.lines, err = readLines(o.get(environment))
	return o, err
}

func (o *operator) get(s setting) string { return o.getenv(string(s)) }

// did returns what is told of a step: the words for a step that is done, or,
// without -yes, for one that would be.
func (o *operator) did(done string) string {
	if o.act {
		return done
	}
	o.idle = true
	return "would be " + done
}

// tenants yields the ids of all tenants, or only the one that is given.
func (o *operator) tenants(ctx context.Context, only string) func(yield func(string, error) bool) {
	return func(yield func(string, error) bool) {
		if only != "" {
			yield(only, nil)
			return
		}
		for p, err := range o.orders.Partitions(ctx) {
			if err != nil || p.TenantID != "" {
				if !yield(p.TenantID, err) {
					return
				}
			}
		}
	}
}

// resolve returns the order that an operator names by its id or its number.
// Without a tenant it looks at all of them; that costs two reads for each. A
// deleted order is found by its id only.
func (o *operator) resolve(ctx context.Context, tenant, name string) (order.Order, error) {
	var found []order.Order
	for tenantID, err := range o.tenants(ctx, tenant) {
		if err != nil {
			return order.Order{}, err
		}
		read := o.orders.OrderByNumber
		if order.IsID(name) {
			read = o.orders.StoredOrder
		}
		one, err := read(ctx, tenantID, name)
		if errors.Is(err, order.ErrNotFound) {
			continue
		}
		if err != nil {
			return order.Order{}, err
		}
		found = append(found, one)
	}
	switch len(found) {
	case 0:
		return order.Order{}, fmt.Errorf("%s: %w", name, order.ErrNotFound)
	case 1:
		return found[0], nil
	default:
		var tenants []string
		for _, f := range found {
			tenants = append(tenants, f.TenantID)
		}
		return order.Order{}, fmt.Errorf("several tenants have a %s, say which by -tenant: %s",
			name, strings.Join(tenants, ", "))
	}
}
