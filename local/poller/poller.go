// Package poller stands in for Lambda's event source mappings: of an SQS queue,
// and of a DynamoDB table's stream. Both invoke a function that reports partial
// failures (ReportBatchItemFailures).
package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// pause is how long a mapping waits after its source failed.
const pause = time.Second

// An Invoker is the function that a mapping feeds. *lambdaapi.Function is one.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error)
}

// invoke hands an event to the function and returns those of its records' ids
// that the function reports as failed. An error means all of them.
func invoke(ctx context.Context, function Invoker, event any, ids []string) (failed []string, err error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	answer, err := function.Invoke(ctx, payload, "")
	if err != nil {
		return nil, err
	}
	return parseAnswer(answer, ids)
}

// parseAnswer reads the function's answer as Lambda does: nothing or an empty
// list means that every record was handled; an answer that cannot be
// understood, or one that names a record which was not in the batch, that none
// was
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
func parseAnswer(answer []byte, ids []string) (failed []string, err error) {
	if len(answer) == 0 {
		return nil, nil
	}
	var said events.SQSEventResponse // that of a stream has the same form
	if err := json.Unmarshal(answer, &said); err != nil {
		return nil, fmt.Errorf("the answer is not a batch response: %w", err)
	}
	for _, failure := range said.BatchItemFailures {
		if !slices.Contains(ids, failure.ItemIdentifier) {
			return nil, fmt.Errorf("the answer names %q, which was not in the batch", failure.ItemIdentifier)
		}
		failed = append(failed, failure.ItemIdentifier)
	}
	return failed, nil
}

// sleep waits while ctx lasts.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
