package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
)

const (
	// tryTimeout bounds one try of one call to AWS, so that a connection that hangs costs a part of the invocation, and the
	// SDK's next try still has its chance. Nothing that the service asks of AWS takes nearly as long.
	tryTimeout  = 5 * time.Second
	dialTimeout = 2 * time.Second
)

// loadAWS returns the configuration of the AWS clients, from the variables that the SDK itself reads: the region, the
// endpoints (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_DYNAMODB, …, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, AWS_USE_FIPS_ENDPOINT,
// AWS_USE_DUALSTACK_ENDPOINT), AWS_CA_BUNDLE, retries (AWS_RETRY_MODE, AWS_MAX_ATTEMPTS), checksums, and credentials as Lambda
// gives them: in the environment, or by AWS_CONTAINER_CREDENTIALS_FULL_URI.
//
// The SDK's own config.LoadDefaultConfig also knows profiles, SSO, STS and EC2, none of which a function has, and
// linking them costs a cold start more than a bare function takes. The tests compare the two.
func loadAWS(getenv func(string) string) (aws.Config, error) {
	e := environment(getenv)
	cfg := aws.Config{
		Region:                     getenv("AWS_REGION"),
		AppID:                      getenv("AWS_SDK_UA_APP_ID"),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		AccountIDEndpointMode:      aws.AccountIDEndpointModePreferred,
		ConfigSources:              []any{e},
	}
	if endpoint := getenv("AWS_ENDPOINT_URL"); endpoint != "" && !e.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
		cfg.BaseEndpoint = &endpoint
	}
	if strings.EqualFold(getenv("AWS_REQUEST_CHECKSUM_CALCULATION"), "when_required") {
		cfg.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	}
	if strings.EqualFold(getenv("AWS_RESPONSE_CHECKSUM_VALIDATION"), "when_required") {
		cfg.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}
	var errs [4]error
	cfg.RetryMode, errs[0] = e.retryMode()
	cfg.RetryMaxAttempts, errs[1] = e.maxAttempts()
	cfg.Credentials, errs[2] = e.credentials()
	cfg.HTTPClient, errs[3] = newClient(getenv("AWS_CA_BUNDLE"), tryTimeout)
	return cfg, errors.Join(errs[:]...)
}

// A client is the HTTP client of all AWS clients.
type client struct{ *awshttp.BuildableClient }

// Do sends a request. It gives net/http the body in a form that it knows to be in memory, so that head and body leave in one
// write and a connection that went stale while the function was frozen is replaced unseen.
//
// The SDK's own form has a flaw besides: net/http asks it for more after the last byte, and if the answer has come by then,
// it says EOF in a way that counts as a failed write. That closes the connection, under the answer if it is not yet
// read, which the SDK then retries after a second or so. The slower the processor, the more often.
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

// newClient returns the client. A try must be through, its answer read included, within the timeout. A bundle, if there is
// one, takes the place of the system's certificates.
func newClient(bundle string, timeout time.Duration) (client, error) {
	c := awshttp.NewBuildableClient().
		WithTimeout(timeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })
	if bundle == "" {
		return client{c}, nil
	}
	pem, err := os.ReadFile(bundle) //nolint:gosec // The operator names the file.
	if err != nil {
		return client{}, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return client{}, errors.New("AWS_CA_BUNDLE: no certificate in " + bundle)
	}
	return client{c.WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	})}, nil
}

// An environment answers what the SDK's service clients ask the sources of their configuration for, as config.EnvConfig
// does.
type environment func(string) string

var _ interface { // of the SDK's internal/configsources
	GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
	GetIgnoreConfiguredEndpoints(ctx context.Context) (bool, bool, error)
	GetUseFIPSEndpoint(ctx context.Context) (aws.FIPSEndpointState, bool, error)
	GetUseDualStackEndpoint(ctx context.Context) (aws.DualStackEndpointState, bool, error)
} = environment(nil)

// GetServiceBaseEndpoint returns the endpoint of one service: that of DynamoDB is AWS_ENDPOINT_URL_DYNAMODB.
func (e environment) GetServiceBaseEndpoint(_ context.Context, sdkID string) (endpoint string, found bool, err error) {
	endpoint = e("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(sdkID, " ", "_")))
	return endpoint, endpoint != "", nil
}

// GetIgnoreConfiguredEndpoints says whether endpoints from the environment count.
func (e environment) GetIgnoreConfiguredEndpoints(context.Context) (ignore, found bool, err error) {
	ignore = e.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
	return ignore, ignore, nil
}

// GetUseFIPSEndpoint says whether the endpoints are those with FIPS 140.
func (e environment) GetUseFIPSEndpoint(context.Context) (state aws.FIPSEndpointState, found bool, err error) {
	if e.flag("AWS_USE_FIPS_ENDPOINT") {
		return aws.FIPSEndpointStateEnabled, true, nil
	}
	return aws.FIPSEndpointStateUnset, false, nil
}

// GetUseDualStackEndpoint says whether the endpoints are those with IPv6.
func (e environment) GetUseDualStackEndpoint(context.Context) (state aws.DualStackEndpointState, found bool, err error) {
	if e.flag("AWS_USE_DUALSTACK_ENDPOINT") {
		return aws.DualStackEndpointStateEnabled, true, nil
	}
	return aws.DualStackEndpointStateUnset, false, nil
}

func (e environment) flag(name string) bool { return strings.EqualFold(e(name), "true") }

func (e environment) retryMode() (aws.RetryMode, error) {
	v := e("AWS_RETRY_MODE")
	if v == "" {
		return "", nil
	}
	mode, err := aws.ParseRetryMode(v)
	if err != nil {
		return "", fmt.Errorf("AWS_RETRY_MODE: %w", err)
	}
	return mode, nil
}

func (e environment) maxAttempts() (int, error) {
	v := e("AWS_MAX_ATTEMPTS")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("AWS_MAX_ATTEMPTS %q must be a whole number from 1", v)
	}
	return n, nil
}

// credentials returns the credentials of the function's role.
func (e environment) credentials() (aws.CredentialsProvider, error) {
	if id, secret := e("AWS_ACCESS_KEY_ID"), e("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return credentials.NewStaticCredentialsProvider(id, secret, e("AWS_SESSION_TOKEN")), nil
	}
	endpoint := e("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if endpoint == "" {
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_CONTAINER_CREDENTIALS_FULL_URI, are missing")
	}
	if !isLocal(endpoint) {
		return nil, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI must be an https URL, or one of this machine")
	}
	provider := endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.AuthorizationToken = e("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if file := e("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := os.ReadFile(file) //nolint:gosec // Lambda names the file.
				return string(token), err
			})
		}
	})
	return aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute }), nil
}

// isLocal reports whether credentials may be asked for at a URL: by https, or on the machine itself, the link-local addresses
// of ECS and EKS included, so that they do not cross a network in the clear.
func isLocal(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast()))
}
