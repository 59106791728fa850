// Command order-lambda is the order service on AWS Lambda: one binary that is deployed eight times. The environment variable
// ROLE says which of the eight functions it is.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/roles"
)

func main() {
	tuneGC(os.Getenv)
	readCertsOnce(certBundles, os.Getenv, os.Setenv)
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		os.Exit(1)
	}
}

// tuneGC collects garbage a quarter as often as Go does by default, since a function pays for all of its memory but uses
// little: that saves 15 to 45 % of the processor's time of an invocation, the network left out (BenchmarkInvoke). Near the end of
// the memory it collects as often as need be. GOGC and GOMEMLIMIT, where they are set, count instead.
func tuneGC(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if mb, err := strconv.Atoi(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); err == nil && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(mb) << 20 / 4 * 3)
	}
}

// run serves the role that the environment asks for, until the runtime ends the process. What keeps it from starting is
// logged, in one line, and returned.
func run(ctx context.Context, getenv func(string) string, stdout io.Writer) (err error) {
	defer func() {
		if err != nil {
			logger := roles.NewLogger(stdout, time.Now, getenv("LOG_LEVEL"))
			logger.Error().Str("role", getenv("ROLE")).Err(err).Msg("cold start failed")
		}
	}()
	settings, err := roles.Configure(getenv)
	if err != nil {
		return err
	}
	others := libraryLog{roles.NewLogger(stdout, time.Now, getenv("LOG_LEVEL")).With().Str("role", settings.Role()).Logger()}
	log.SetFlags(0)
	log.SetOutput(others) // aws-lambda-go tells there of failed invocations, and why it gives up
	cfg, err := loadAWS(getenv)
	if err != nil {
		return fmt.Errorf("load AWS configuration: %w", err)
	}
	handler := roles.Build(settings, roles.Deps{
		AWS:       cfg,
		Transport: http.DefaultTransport,
		Stdout:    stdout,
		Now:       time.Now,
	})
	go connect(ctx, cfg)
	lambda.StartWithOptions(handler, lambda.WithContext(ctx))
	return nil
}

// A libraryLog makes what libraries want to say lines of the log, each a JSON object like all others.
type libraryLog struct{ zerolog.Logger }

// Write takes a line of the standard logger.
func (l libraryLog) Write(p []byte) (int, error) {
	l.Error().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
