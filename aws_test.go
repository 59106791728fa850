package main

import (
	"context"
	"encoding/pem"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/matryer/is"
)

// TestLoadAWS holds the configuration to the one that the SDK makes of the same variables.
func TestLoadAWS(t *testing.T) {
	keys := []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret"}
	for _, tt := range []struct {
		name string
		env  []string
	}{
		{"keys", keys},
		{"a session token", append(keys, "AWS_SESSION_TOKEN=token")},
		{"one endpoint", append(keys, "AWS_ENDPOINT_URL=http://127.0.0.1:1")},
		{"an endpoint of a service", append(keys, "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:2")},
		{"both endpoints", append(keys, "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ENDPOINT_URL_SESV2=http://127.0.0.1:3")},
		{"endpoints that do not count", append(keys, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true",
			"AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:2")},
		{"FIPS and IPv6", append(keys, "AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true")},
		{"retries", append(keys, "AWS_RETRY_MODE=adaptive", "AWS_MAX_ATTEMPTS=5")},
		{"checksums", append(keys, "AWS_REQUEST_CHECKSUM_CALCULATION=when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION=WHEN_REQUIRED")},
		{"a name for the user agent", append(keys, "AWS_SDK_UA_APP_ID=orders")},
	} {
		t.Run("makes of "+tt.name+" what the SDK makes of it", func(t *testing.T) {
			is := is.New(t)
			setenv(t, append(tt.env, "AWS_REGION=eu-west-1"))
			want, err := config.LoadDefaultConfig(t.Context())
			is.NoErr(err)
			got, err := loadAWS(os.Getenv)
			is.NoErr(err)

			is.Equal(got.Region, want.Region)
			is.Equal(got.AppID, want.AppID)
			is.Equal(got.BaseEndpoint, want.BaseEndpoint)
			is.Equal(got.RetryMode, want.RetryMode)
			is.Equal(got.RetryMaxAttempts, want.RetryMaxAttempts)
			is.Equal(got.RequestChecksumCalculation, want.RequestChecksumCalculation)
			is.Equal(got.ResponseChecksumValidation, want.ResponseChecksumValidation)
			is.Equal(got.AccountIDEndpointMode, want.AccountIDEndpointMode)
			is.Equal(retrieve(t, got), retrieve(t, want))
			is.Equal(table(got), table(want)) // endpoint of DynamoDB
			is.Equal(mail(got), mail(want))   // endpoint of SES
		})
	}
	t.Run("asks the container's endpoint for credentials", func(t *testing.T) {
		is := is.New(t)
		var authorization string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			authorization = r.Header.Get("Authorization")
			_, _ = io.WriteString(w, `{"AccessKeyId": "id", "SecretAccessKey": "secret", "Token": "token", "Expiration": "2099-01-01T00:00:00Z"}`)
		}))
		defer server.Close()
		file := filepath.Join(t.TempDir(), "token")
		is.NoErr(os.WriteFile(file, []byte("from the file"), 0o600))
		for _, tt := range []struct{ variable, want string }{
			{"AWS_CONTAINER_AUTHORIZATION_TOKEN=from the environment", "from the environment"},
			{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + file, "from the file"},
		} {
			setenv(t, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + server.URL, tt.variable})
			cfg, err := loadAWS(os.Getenv)
			is.NoErr(err)
			is.Equal(retrieve(t, cfg), [3]string{"id", "secret", "token"})
			is.Equal(authorization, tt.want)
		}
	})
	t.Run("trusts the bundle alone", func(t *testing.T) {
		is := is.New(t)
		server := httptest.NewTLSServer(http.NotFoundHandler())
		defer server.Close()
		bundle := filepath.Join(t.TempDir(), "bundle.pem")
		is.NoErr(os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
		setenv(t, append(keys, "AWS_CA_BUNDLE="+bundle))
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		is.NoErr(err)
		resp, err := cfg.HTTPClient.Do(req)
		is.NoErr(err)
		is.NoErr(resp.Body.Close())
		is.Equal(resp.StatusCode, http.StatusNotFound)
	})
	for _, tt := range []struct {
		name, want string
		env        []string
	}{
		{"no credentials", "AWS_ACCESS_KEY_ID", nil},
		{"credentials in the clear from afar", "AWS_CONTAINER_CREDENTIALS_FULL_URI", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://192.0.2.1/"}},
		{"an unreadable URL for credentials", "AWS_CONTAINER_CREDENTIALS_FULL_URI", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://%zz"}},
		{"an unknown retry mode", "AWS_RETRY_MODE", append(keys, "AWS_RETRY_MODE=never")},
		{"a number of attempts that is none", "AWS_MAX_ATTEMPTS", append(keys, "AWS_MAX_ATTEMPTS=few")},
		{"a bundle that is not there", "AWS_CA_BUNDLE", append(keys, "AWS_CA_BUNDLE=/nonexistent")},
		{"a bundle without certificates", "AWS_CA_BUNDLE", append(keys, "AWS_CA_BUNDLE=go.mod")},
	} {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			is := is.New(t)
			setenv(t, tt.env)
			_, err := loadAWS(os.Getenv)
			is.True(err != nil)
			is.True(strings.Contains(err.Error(), tt.want)) // the variable's name
		})
	}
}

func TestHungTry(t *testing.T) {
	t.Run("costs its own time, and the next try gets through", func(t *testing.T) {
		is := is.New(t)
		tries := make(chan struct{}, 10)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tries <- struct{}{}
			if len(tries) == 1 {
				_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client go
				<-r.Context().Done()
				return
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			_, _ = io.WriteString(w, `{"TableNames": ["orders"]}`)
		}))
		defer server.Close()
		setenv(t, []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL=" + server.URL})
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		cfg.HTTPClient, err = newClient("", 100*time.Millisecond)
		is.NoErr(err)
		out, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), nil)
		is.NoErr(err)
		is.Equal(out.TableNames, []string{"orders"})
		is.Equal(len(tries), 2)
	})
}

func TestClient(t *testing.T) {
	t.Run("keeps its connection, whoever is faster", func(t *testing.T) {
		is := is.New(t)
		const calls = 500
		var connections atomic.Int32
		answer := `{"TableNames": ["` + strings.Repeat("x", 64<<10) + `"]}`
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(answer))), 10))
			_, _ = io.WriteString(w, answer)
		}))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		server.Start()
		defer server.Close()
		setenv(t, []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL=" + server.URL})
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		db := dynamodb.NewFromConfig(cfg)
		for range calls {
			_, err := db.ListTables(t.Context(), nil)
			is.NoErr(err)
		}
		// On a busy machine a call may start before net/http has the connection of the one before back; with the SDK's own form of
		// the body there were 77 to 93.
		is.True(connections.Load() <= 20)
	})
}

// TestLinked keeps out of the binary what costs every cold start and is not seen in the code.
func TestLinked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		for _, unwanted := range []struct{ suffix, why string }{
			{"/sesv2/schemas", "with it the client builds its whole model before main; keep to the version that go.mod pins, or see make bench"},
			{"/sqs/schemas", "with it the client builds its whole model before main; keep to the version that go.mod pins, or see make bench"},
			{"/aws-sdk-go-v2/config", "it brings profiles, SSO, STS and EC2; loadAWS does without"},
			{"/notify/templates", "a function reads its template from S3"},
			{"/invoice/branding", "a function reads the brand from S3"},
			{"net/rpc", "the build tag lambda.norpc leaves it out"},
		} {
			if strings.HasSuffix(name, unwanted.suffix) {
				t.Errorf("%s is linked: %s", name, unwanted.why)
			}
		}
	}
}

// setenv replaces all AWS settings of the environment.
func setenv(t *testing.T, env []string) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // puts it back after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, kv := range append(env, "AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none, "AWS_EC2_METADATA_DISABLED=true") {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
}

func retrieve(t *testing.T, cfg aws.Config) [3]string {
	t.Helper()
	c, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return [3]string{c.AccessKeyID, c.SecretAccessKey, c.SessionToken}
}

// table returns the endpoint that the client of DynamoDB uses.
func table(cfg aws.Config) string {
	o := dynamodb.NewFromConfig(cfg).Options()
	e, err := o.EndpointResolverV2.ResolveEndpoint(context.Background(), dynamodb.EndpointParameters{
		Region: &o.Region, Endpoint: o.BaseEndpoint,
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	})
	if err != nil {
		return err.Error()
	}
	return e.URI.String()
}

// mail returns the endpoint that the client of SES is told to use.
func mail(cfg aws.Config) string {
	return aws.ToString(sesv2.NewFromConfig(cfg).Options().BaseEndpoint)
}
