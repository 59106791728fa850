package awsenv

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// connectTimeout bounds what a cold start may lose if a neighbour does not
// answer.
const connectTimeout = 500 * time.Millisecond

// Connect opens a connection to each neighbour and leaves it to the first call.
// A neighbour is a service by the SDK's name ("DynamoDB"), a bucket
// ("S3 my-bucket"), or a URL, which http.DefaultTransport will ask.
//
// Connect returns when the connections stand. While a function starts, Lambda
// gives it a whole processor, and later only the part that its memory buys: a
// handshake that runs beside the first invocation triples its time (make bench
// ONLY=cold). It sends a GET of the root, and any answer will do. If there is
// none, the first call connects by itself. Without TLS there is nothing to gain
// and nothing is sent.
func Connect(ctx context.Context, cfg aws.Config, neighbours ...string) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, name := range neighbours {
		if strings.Contains(name, "://") {
			wg.Go(func() { touch(ctx, http.DefaultTransport.RoundTrip, name) })
		} else {
			wg.Go(func() { touch(ctx, cfg.HTTPClient.Do, endpoint(ctx, cfg, name)) })
		}
	}
	wg.Wait()
}

// touch sends a request that asks for nothing.
func touch(ctx context.Context, do func(*http.Request) (*http.Response, error), url string) {
	if !strings.HasPrefix(url, "https://") {
		return
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	r.URL.Path = "/"
	resp, err := do(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // only then is the connection free
	_ = resp.Body.Close()
}

// endpoint returns the address to which the SDK's client of a service sends its
// calls. The SDK's own resolvers are ten times as long, and one per service;
// the tests compare.
func endpoint(ctx context.Context, cfg aws.Config, name string) string {
	service, bucket, _ := strings.Cut(name, " ")
	for _, source := range cfg.ConfigSources {
		if e, ok := source.(environment); ok {
			if url, found, _ := e.GetServiceBaseEndpoint(ctx, service); found {
				return url
			}
		}
	}
	if cfg.BaseEndpoint != nil {
		return *cfg.BaseEndpoint
	}
	host := strings.ToLower(service)
	switch {
	case service == "SESv2":
		host = "email"
	case bucket != "":
		host = bucket + ".s3"
	}
	suffix := ".amazonaws.com"
	if strings.HasPrefix(cfg.Region, "cn-") {
		suffix = ".amazonaws.com.cn"
	}
	return "https://" + host + "." + cfg.Region + suffix
}
