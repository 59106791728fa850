// Rie runs a command as a Lambda function and invokes it over HTTP:
//
//	rie [flags] COMMAND [ARGUMENT…]
//	curl -d '{}' http://localhost:8080/2015-03-31/functions/function/invocations
//
// It takes the place of the official Runtime Interface Emulator (https://github.com/aws/aws-lambda-runtime-interface-emulator)
// where that cannot be had, with the same flags, environment variables and answers. Unlike that one it lets invocations
// wait for each other instead of refusing the second, starts the command again after it crashed, and adds
// X-Amz-Function-Error to the answer as Lambda does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/bbws/order-lambda/local/lambdaapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args, os.Environ(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rie:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args, environ []string, out io.Writer) error {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	address := flags.String("runtime-interface-emulator-address", "0.0.0.0:8080", "where the emulator listens")
	api := flags.String("runtime-api-address", "127.0.0.1:9001", "where the Lambda Runtime API listens")
	_ = flags.String("log-level", "info", "accepted and ignored: the emulator logs nothing but the invocations")
	_ = flags.Bool("enable-init-caching", false, "accepted and ignored")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	command, err := bootstrap(flags.Args())
	if err != nil {
		return err
	}
	timeout, err := strconv.Atoi(getenv("AWS_LAMBDA_FUNCTION_TIMEOUT", "300"))
	if err != nil {
		return fmt.Errorf("AWS_LAMBDA_FUNCTION_TIMEOUT is not a number of seconds: %w", err)
	}
	memory, err := strconv.Atoi(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008"))
	if err != nil {
		return fmt.Errorf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE is not a number of megabytes: %w", err)
	}
	if len(command) > 1 { // the last argument is the name of the handler
		environ = append(environ, "_HANDLER="+command[len(command)-1])
	}
	function := lambdaapi.New(lambdaapi.Config{
		Name:         getenv("AWS_LAMBDA_FUNCTION_NAME", "test_function"),
		Command:      command,
		Env:          environ,
		Memory:       memory,
		Timeout:      time.Duration(timeout) * time.Second,
		Log:          out,
		Environments: 1,
		APIAddress:   *api,
	})
	defer function.Close()

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /2015-03-31/functions/{name}/invocations", invocations(function, time.Duration(timeout)*time.Second, out))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bootstrap returns the command to run: the one that is given, else the first of Lambda's own places that exists.
func bootstrap(command []string) ([]string, error) {
	if len(command) > 0 {
		return command, nil
	}
	for _, path := range []string{"/var/task/bootstrap", "/opt/bootstrap", "/var/runtime/bootstrap"} {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return []string{path}, nil
		}
	}
	return nil, errors.New("no COMMAND is given and there is no /var/task/bootstrap")
}

func getenv(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// invocations answers as the official emulator does: 200 also if the function failed or took too long, 502 if it crashed.
func invocations(function *lambdaapi.Function, timeout time.Duration, out io.Writer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		start := time.Now()
		answer, err := function.Invoke(r.Context(), payload, r.Header.Get("X-Amzn-Trace-Id"))
		_, _ = fmt.Fprintf(out, "REPORT Duration: %.2f ms\n", float64(time.Since(start).Microseconds())/1000)
		var failure *lambdaapi.Error
		switch {
		case errors.As(err, &failure):
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = failure.Payload
			switch failure.Type {
			case lambdaapi.TypeTimeout:
				answer = fmt.Appendf(nil, "Task timed out after %.2f seconds", timeout.Seconds())
			case lambdaapi.TypeExit:
				w.WriteHeader(http.StatusBadGateway)
			}
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer)
	})
}
