package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bbws/order-lambda/local/proof/bench/calls"
	"github.com/bbws/order-lambda/local/proof/bench/standin"
	"github.com/bbws/order-lambda/roles"
)

// allocated is what an invocation allocates.
type allocated struct{ objects, bytes uint64 }

func (a allocated) String() string { return fmt.Sprintf("%d (%d KB)", a.objects, a.bytes>>10) }

// allocations measures in this process what a role and its floor allocate for an invocation, the network left out.
func (b *bench) allocations(ctx context.Context, role string, event []byte) (own, floor allocated, err error) {
	server, err := standin.New(role, b.golden)
	if err != nil {
		return allocated{}, allocated{}, err
	}
	transport := standin.Transport{Handler: server}
	const url = "http://127.0.0.1:1"
	env := map[string]string{}
	for _, kv := range standin.Environ(role, url) {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	getenv := func(name string) string { return env[name] }
	cfg := aws.Config{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(url), HTTPClient: transport,
		Credentials:                credentials.NewStaticCredentialsProvider("bench", "bench", "bench"),
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	settings, err := roles.Configure(getenv)
	if err != nil {
		return allocated{}, allocated{}, err
	}
	h := roles.Build(settings, roles.Deps{AWS: cfg, Transport: transport, Stdout: io.Discard, Now: time.Now})
	straight, err := calls.New(ctx, role, cfg, getenv, http.RoundTripper(transport))
	if err != nil {
		return allocated{}, allocated{}, err
	}
	if own, err = countAllocations(ctx, h, event); err != nil {
		return allocated{}, allocated{}, err
	}
	floor, err = countAllocations(ctx, straight, event)
	return own, floor, err
}

func countAllocations(ctx context.Context, h lambda.Handler, event []byte) (allocated, error) {
	const n = 200
	var before, after runtime.MemStats
	for k := range n + 10 {
		if k == 10 {
			runtime.ReadMemStats(&before)
		}
		invocation, cancel := context.WithTimeout(lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "bench"}), 30*time.Second)
		answer, err := h.Invoke(invocation, event)
		cancel()
		if err == nil {
			err = good(answer)
		}
		if err != nil {
			return allocated{}, err
		}
	}
	runtime.ReadMemStats(&after)
	return allocated{(after.Mallocs - before.Mallocs) / n, (after.TotalAlloc - before.TotalAlloc) / n}, nil
}
