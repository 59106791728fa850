// Command order-lambda is the order service on AWS Lambda: one binary that is deployed eight times. The environment variable
// ROLE says which of the eight functions it is.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/bbws/order-lambda/roles"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		os.Exit(1)
	}
}

// run serves the role that the environment asks for, until the runtime ends the process. What keeps it from starting is
// logged, in one line, and returned.
func run(ctx context.Context, getenv func(string) string, stdout io.Writer) (err error) {
	defer func() {
		if err != nil {
			log := roles.NewLogger(stdout, time.Now, getenv("LOG_LEVEL"))
			log.Error().Str("role", getenv("ROLE")).Err(err).Msg("cold start failed")
		}
	}()
	settings, err := roles.Configure(getenv)
	if err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("load AWS configuration: %w", err)
	}
	handler := roles.Build(settings, roles.Deps{
		AWS:       cfg,
		Transport: http.DefaultTransport,
		Stdout:    stdout,
		Now:       time.Now,
	})
	lambda.StartWithOptions(handler, lambda.WithContext(ctx))
	return nil
}
