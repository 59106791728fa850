// Floor is a Lambda function that makes the calls of one role and little else: what the role's warm invocations are measured
// against.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/bbws/order-lambda/local/bench/calls"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	h, err := calls.New(ctx, os.Getenv("ROLE"), cfg, os.Getenv, http.DefaultTransport)
	if err != nil {
		return err
	}
	lambda.Start(h)
	return nil
}
