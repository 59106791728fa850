// Bare is a Lambda function that does nothing: the floor of every cold start.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

type handler struct{}

var _ lambda.Handler = handler{}

// Invoke implements lambda.Handler.
func (handler) Invoke(context.Context, []byte) ([]byte, error) { return []byte("{}"), nil }

func main() { lambda.Start(handler{}) }
