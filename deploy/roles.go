// Package deploy holds what an operator and the local stack must agree on: how
// each role of the binary is deployed. Terraform reads the same file.
package deploy

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

//go:embed roles.json
var rolesJSON []byte

// A Role is how one deployment of the image is set up. It is the table of
// section 1 of the contract.
type Role struct {
	Memory  int `json:"memory"`  // MB
	Timeout int `json:"timeout"` // seconds

	// Method and Path are the route of an API role; Path has {parameters}
	// in braces.
	Method string `json:"method"`
	Path   string `json:"path"`

	// Queue is the name of a consumer's queue without the environment, for
	// example bbws-order-pdf.
	Queue          string `json:"queue"`
	BatchSize      int    `json:"batchSize"`      // messages at most in one invocation
	BatchWindow    int    `json:"batchWindow"`    // seconds to wait for a fuller batch
	MaxConcurrency int    `json:"maxConcurrency"` // invocations at a time

	// Events are the types of event that the topic delivers to the queue:
	// the subscription's filter on eventType in the message body. Without
	// any, the queue is not subscribed.
	Events []string `json:"events"`

	// Stream is how the role is fed from the table's stream, nil if it is
	// not.
	Stream *Stream `json:"stream"`

	// Settings are the environment variables that the role may be given,
	// and no others.
	Settings []string `json:"settings"`
}

// A Stream is the event source mapping of the table's stream.
type Stream struct {
	BatchSize   int `json:"batchSize"`   // records at most in one invocation
	BatchWindow int `json:"batchWindow"` // seconds to wait for a fuller batch

	// DeadLetters is the queue, without the environment, for what could not
	// be published.
	DeadLetters string `json:"deadLetters"`

	// Filter is the pattern that a record must match, in the language of
	// Lambda's event filtering.
	Filter json.RawMessage `json:"filter"`
}

// IsConsumer reports whether the role is fed by a queue rather than by the API.
func (r Role) IsConsumer() bool { return r.Queue != "" }

// Roles returns the deployment of every role by its name.
func Roles() (map[string]Role, error) {
	var roles map[string]Role
	if err := json.Unmarshal(rolesJSON, &roles); err != nil {
		return nil, fmt.Errorf("read roles.json: %w", err)
	}
	return roles, nil
}

// A Place is where the roles run: the names and addresses that differ between
// AWS, the local stack and a test.
type Place struct {
	Environment, Region           string
	Table                         string
	QueueURL                      func(queue string) string // of a queue's name without the environment
	TopicARN                      string
	CartURL                       string
	OrdersBucket, TemplatesBucket string
	FromAddress, TeamAddress      string
}

// Settings returns the environment variables of a role in a place: of the
// settings that the role lists, those that a place has.
func Settings(roles map[string]Role, name string, p Place) map[string]string {
	queue := roles[name].Queue
	if queue == "" {
		queue = roles["order_creator_record"].Queue // create_order's
	}
	all := map[string]string{
		"ROLE":                        name,
		"ENVIRONMENT":                 p.Environment,
		"AWS_REGION":                  p.Region,
		"DYNAMODB_TABLE_NAME":         p.Table,
		"SQS_QUEUE_URL":               p.QueueURL(queue),
		"ORDER_EVENTS_TOPIC_ARN":      p.TopicARN,
		"CART_LAMBDA_API_URL":         p.CartURL,
		"S3_ORDERS_BUCKET":            p.OrdersBucket,
		"S3_EMAIL_TEMPLATES_BUCKET":   p.TemplatesBucket,
		"SES_FROM_ADDRESS":            p.FromAddress,
		"INTERNAL_NOTIFICATION_EMAIL": p.TeamAddress,
	}
	maps.DeleteFunc(all, func(setting, _ string) bool { return !slices.Contains(roles[name].Settings, setting) })
	return all
}
