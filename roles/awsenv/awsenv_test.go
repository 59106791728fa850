package awsenv

import (
	"context"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/matryer/is"
)

// TestLoad holds the configuration to the one that the SDK makes of the same
// variables.
func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
	}{
		{"keys", nil},
		{"a session token", map[string]string{"AWS_SESSION_TOKEN": "token"}},
		{"one endpoint", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}},
		{"a service's endpoint", map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:2"}},
		{"both endpoints", map[string]string{
			"AWS_ENDPOINT_URL":       "http://127.0.0.1:1",
			"AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:3",
		}},
	} {
		t.Run("makes of "+tt.name+" what the SDK makes of it", func(t *testing.T) {
			is := is.New(t)
			setenv(t, tt.env)
			want, err := config.LoadDefaultConfig(t.Context())
			is.NoErr(err)
			got := Load(os.Getenv)

			is.Equal(got.Region, want.Region)
			is.Equal(got.BaseEndpoint, want.BaseEndpoint)
			is.Equal(got.RequestChecksumCalculation, want.RequestChecksumCalculation)
			is.Equal(got.ResponseChecksumValidation, want.ResponseChecksumValidation)
			is.Equal(retrieve(t, got), retrieve(t, want))
			is.Equal(endpoints(got), endpoints(want))
		})
	}
}

func TestClient(t *testing.T) {
	t.Run("gives up a try that hangs, and the next gets through", func(t *testing.T) {
		is := is.New(t)
		var tries atomic.Int32
		cfg := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
			if tries.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			answer(w, `{"TableNames": ["orders"]}`)
		}, nil)
		cfg.HTTPClient = newClient(100 * time.Millisecond)
		out, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), nil)
		is.NoErr(err)
		is.Equal(out.TableNames, []string{"orders"})
		is.Equal(tries.Load(), int32(2))
	})
	t.Run("keeps its connection, however early the answer", func(t *testing.T) {
		is := is.New(t)
		const calls = 500
		var connections atomic.Int32
		large := `{"TableNames": ["` + strings.Repeat("x", 64<<10) + `"]}`
		cfg := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			answer(w, large)
		}, &connections)
		db := dynamodb.NewFromConfig(cfg)
		for range calls {
			_, err := db.ListTables(t.Context(), nil)
			is.NoErr(err)
		}
		// A call may start before net/http has the last one's connection back.
		// With the SDK's form of the body there are 77 to 93.
		is.True(connections.Load() <= 20)
	})
	t.Run("sends a body whose length is not known", func(t *testing.T) {
		is := is.New(t)
		var got []byte
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
		}))
		defer server.Close()
		for _, length := range []int64{-1, 0} { // what net/http takes for not known
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, strings.NewReader("four"))
			is.NoErr(err)
			r.ContentLength = length
			res, err := newClient(time.Minute).Do(r)
			is.NoErr(err)
			is.NoErr(res.Body.Close())
			is.Equal(string(got), "four")
		}
	})
	t.Run("does not send half a body", func(t *testing.T) {
		is := is.New(t)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1:1", strings.NewReader("four"))
		is.NoErr(err)
		r.ContentLength = 5
		_, err = newClient(time.Second).Do(r)
		is.True(err != nil)
		is.True(strings.Contains(err.Error(), "read the request's body"))
	})
}

// serve starts a stand-in of AWS, which may count its connections, and returns
// the configuration for it.
func serve(t *testing.T, handler http.HandlerFunc, connections *atomic.Int32) aws.Config {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = count(connections)
	server.Start()
	t.Cleanup(server.Close)
	setenv(t, map[string]string{"AWS_ENDPOINT_URL": server.URL})
	return Load(os.Getenv)
}

// count returns a hook of a server that counts its new connections.
func count(connections *atomic.Int32) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if connections != nil && state == http.StateNew {
			connections.Add(1)
		}
	}
}

// answer answers as DynamoDB does.
func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 10))
	_, _ = io.WriteString(w, body)
}

// setenv replaces all AWS settings of the process: by a region, keys and env.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // puts it back after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for name, value := range env {
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

// endpoints returns where the SDK's clients send their calls, in the order of
// their names. All calls fail.
func endpoints(cfg aws.Config) hosts {
	var hosts hosts
	cfg.HTTPClient = &hosts
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	ctx := context.Background()
	_, _ = dynamodb.NewFromConfig(cfg).ListTables(ctx, nil)
	_, _ = s3.NewFromConfig(cfg).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("bucket")})
	_, _ = sesv2.NewFromConfig(cfg).GetAccount(ctx, nil)
	_, _ = sns.NewFromConfig(cfg).ListTopics(ctx, nil)
	_, _ = sqs.NewFromConfig(cfg).ListQueues(ctx, nil)
	return hosts
}

// hosts is a client that notes whom it is to ask, and fails.
type hosts []string

func (h *hosts) Do(r *http.Request) (*http.Response, error) {
	*h = append(*h, r.URL.Scheme+"://"+r.URL.Host)
	return nil, io.ErrUnexpectedEOF
}
