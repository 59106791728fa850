// Package deploy holds what an operator and the local stack must agree on: how
// each role of the binary is deployed. Terraform reads the same file.
package deploy

import (
	_ "embed"
	"encoding/json"
	"fmt"
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
