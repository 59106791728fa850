// Package awsenv configures the AWS SDK from the environment of a function.
//
// The SDK's own config.LoadDefaultConfig also knows profiles, SSO, STS and EC2.
// A function has none of them, and linking them lengthens every cold start:
// make bench shows it. What is read here means what it means to the SDK; the
// tests compare the two.
package awsenv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	// tryTimeout bounds one try of one call, so that a connection that hangs
	// leaves time for the SDK's next try.
	tryTimeout  = 5 * time.Second
	dialTimeout = 2 * time.Second
)

// Load returns the configuration of the AWS clients. It reads AWS_REGION, the
// credentials that Lambda sets, and the endpoints AWS_ENDPOINT_URL and
// AWS_ENDPOINT_URL_<SERVICE>. Which authorities TLS trusts is left to
// SSL_CERT_FILE and SSL_CERT_DIR.
func Load(getenv func(string) string) aws.Config {
	cfg := aws.Config{
		Region: getenv("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(
			getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")),
		HTTPClient:                 newClient(tryTimeout),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		ConfigSources:              []any{environment(getenv)},
	}
	if endpoint := getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return cfg
}

// An environment is a source of the SDK's configuration, as config.EnvConfig
// is.
type environment func(string) string

// GetServiceBaseEndpoint returns the endpoint of one service: that of DynamoDB
// is AWS_ENDPOINT_URL_DYNAMODB.
func (e environment) GetServiceBaseEndpoint(_ context.Context, sdkID string) (endpoint string, found bool, err error) {
	endpoint = e("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(sdkID, " ", "_")))
	return endpoint, endpoint != "", nil
}

// A client is the HTTP client of all AWS clients.
type client struct{ *awshttp.BuildableClient }

// newClient returns a client whose tries end after the timeout, the reading of
// the answer included.
func newClient(timeout time.Duration) client {
	return client{awshttp.NewBuildableClient().
		WithTimeout(timeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })}
}

// Do sends a request with its body in a form that net/http knows to be in
// memory. Head and body leave in one write, and a request on a connection that
// went stale while the function was frozen is sent again on a new one.
//
// With the SDK's form of the body, net/http may take the end of the body for a
// failed write when the answer comes early. It then closes the connection, and
// the SDK retries after a second or so. The SDK retries such errors since
// https://github.com/aws/aws-sdk-go-v2/issues/2737; this avoids them.
func (c client) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	return c.BuildableClient.Do(r)
}
