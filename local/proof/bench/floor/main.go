// Floor is a Lambda function that makes the calls of one role and little else: what the role's warm invocations are measured
// against.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/bbws/order-lambda/local/proof/bench/calls"
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
	cfg.HTTPClient = &http.Client{Transport: inMemory{http.DefaultTransport}}
	h, err := calls.New(ctx, os.Getenv("ROLE"), cfg, os.Getenv, http.DefaultTransport)
	if err != nil {
		return err
	}
	lambda.Start(h)
	return nil
}

// inMemory sends bodies in a form that net/http knows to be in memory, as the service does (roles/awsenv): with the SDK's
// own, calls with large answers fail now and then, and a floor that fails measures nothing.
type inMemory struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return t.RoundTripper.RoundTrip(r)
}
