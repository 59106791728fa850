package awsenv

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// connectTimeout bounds what a cold start may lose if DynamoDB does not answer.
const connectTimeout = 500 * time.Millisecond

// Connect opens a connection to DynamoDB, which every role calls first, and
// leaves it to the first call. It returns when the connection stands: while a
// function starts, Lambda gives it a whole processor, and later only the part
// that its memory buys. A handshake that is left to run beside the first
// invocation triples its time (make bench ONLY=tls).
//
// Connect sends a GET of the endpoint's root, and any answer will do. If there
// is none, the first call connects by itself. Without TLS there is nothing to
// gain and nothing is sent.
func Connect(ctx context.Context, cfg aws.Config) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	endpoint, err := dynamodb.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, dynamodb.EndpointParameters{
		Region:   &cfg.Region,
		Endpoint: dynamodb.NewFromConfig(cfg).Options().BaseEndpoint,
	})
	if err != nil || endpoint.URI.Scheme != "https" {
		return
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.URI.String(), http.NoBody)
	if err != nil {
		return
	}
	resp, err := cfg.HTTPClient.Do(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // only then is the connection free
	_ = resp.Body.Close()
}
