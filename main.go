// Command order-lambda is the order service on AWS Lambda: one binary that is
// deployed eight times. The variable ROLE says which of the eight functions it
// is.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/roles"
	"github.com/bbws/order-lambda/roles/awsenv"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		os.Exit(1)
	}
}

// run serves the role that the environment asks for, until the runtime ends the
// process. If it cannot start, it logs why in one line and returns the error.
func run(ctx context.Context, getenv func(string) string, stdout io.Writer) error {
	tuneGC(getenv)
	logger := roles.NewLogger(stdout, time.Now, getenv("LOG_LEVEL")).With().Str("role", getenv("ROLE")).Logger()
	settings, err := roles.Configure(getenv)
	if err != nil {
		logger.Error().Err(err).Msg("cold start failed")
		return err
	}
	log.SetFlags(0)
	log.SetOutput(libraryLog{logger}) // aws-lambda-go says there why it gives up
	cfg := awsenv.Load(getenv)
	handler := roles.Build(settings, roles.Deps{
		AWS:       cfg,
		Transport: http.DefaultTransport,
		Stdout:    stdout,
		Now:       time.Now,
	})
	var ready sync.WaitGroup
	ready.Go(func() { awsenv.Connect(ctx, cfg, settings.Neighbours()...) })
	handler.Prepare(ctx)
	ready.Wait()
	lambda.StartWithOptions(handler, lambda.WithContext(ctx))
	return nil
}

// tuneGC lets the heap grow to five times what is alive before it is collected,
// not to twice: a function pays for all of its memory and uses little of it.
// That saves 15 to 45 % of an invocation's processor time (BenchmarkInvoke).
// From three quarters of the memory on, it is collected as often as necessary.
// GOGC and GOMEMLIMIT have precedence.
func tuneGC(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if mb, err := strconv.Atoi(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); err == nil && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(mb) << 20 / 4 * 3)
	}
}

// A libraryLog makes each line of the standard logger a JSON object like all
// others.
type libraryLog struct{ zerolog.Logger }

// Write logs a line.
func (l libraryLog) Write(p []byte) (int, error) {
	l.Error().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
