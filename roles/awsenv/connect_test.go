package awsenv

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/matryer/is"
)

func TestConnect(t *testing.T) {
	t.Run("leaves a connection that the first call uses", func(t *testing.T) {
		is := is.New(t)
		table := startTable(t, (*httptest.Server).StartTLS)
		Connect(t.Context(), table.cfg, "DynamoDB")
		is.Equal(table.empty.Load(), int32(1))
		out, err := dynamodb.NewFromConfig(table.cfg).ListTables(t.Context(), nil)
		is.NoErr(err)
		is.Equal(out.TableNames, []string{"orders"})
		is.Equal(table.connections.Load(), int32(1))
	})
	t.Run("does nothing without TLS", func(t *testing.T) {
		is := is.New(t)
		table := startTable(t, (*httptest.Server).Start)
		Connect(t.Context(), table.cfg, "DynamoDB")
		is.Equal(table.connections.Load(), int32(0))
	})
	t.Run("gives up when the process does", func(t *testing.T) {
		is := is.New(t)
		table := startTable(t, (*httptest.Server).StartTLS)
		ended, end := context.WithCancel(t.Context())
		end()
		Connect(ended, table.cfg, "DynamoDB")
		is.Equal(table.empty.Load(), int32(0))
	})
	t.Run("leaves it to the first call where nobody answers", func(t *testing.T) {
		is := is.New(t)
		table := startTable(t, (*httptest.Server).StartTLS)
		table.server.Close()
		Connect(t.Context(), table.cfg, "DynamoDB")
		is.Equal(table.empty.Load(), int32(0))
	})
	t.Run("connects to a URL by the default transport", func(t *testing.T) {
		is := is.New(t)
		cart := startTable(t, (*httptest.Server).StartTLS)
		own := http.DefaultTransport
		http.DefaultTransport = cart.server.Client().Transport
		defer func() { http.DefaultTransport = own }()
		Connect(t.Context(), cart.cfg, cart.server.URL+"/v1.0/cart")
		is.Equal(cart.empty.Load(), int32(1))
	})
	for _, region := range []string{"eu-west-1", "af-south-1", "cn-north-1"} {
		t.Run("asks where the clients of the SDK ask, in "+region, func(t *testing.T) {
			is := is.New(t)
			setenv(t, map[string]string{"AWS_REGION": region})
			cfg := Load(os.Getenv)
			var asked hosts
			cfg.HTTPClient = &asked
			for _, neighbour := range []string{"DynamoDB", "S3 bucket", "SESv2", "SNS", "SQS"} {
				Connect(t.Context(), cfg, neighbour)
			}
			is.Equal(asked, endpoints(cfg))
		})
	}
}

// A table is a stand-in of DynamoDB that counts its connections and the
// requests that ask for nothing.
type table struct {
	server             *httptest.Server
	cfg                aws.Config
	connections, empty atomic.Int32
}

func startTable(t *testing.T, start func(*httptest.Server)) *table {
	t.Helper()
	table := &table{}
	table.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "" {
			table.empty.Add(1)
			if r.Method != http.MethodGet || r.URL.Path != "/" {
				t.Error("asked for something:", r.Method, r.URL)
			}
			_, _ = io.WriteString(w, "healthy: dynamodb.eu-west-1.amazonaws.com")
			return
		}
		answer(w, `{"TableNames": ["orders"]}`)
	}))
	table.server.Config.ConnState = count(&table.connections)
	table.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(table.server)
	t.Cleanup(table.server.Close)
	setenv(t, map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": table.server.URL})
	table.cfg = Load(os.Getenv)
	if table.server.TLS != nil {
		roots := table.server.Client().Transport.(*http.Transport).TLSClientConfig
		table.cfg.HTTPClient = client{newClient(tryTimeout).WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = roots
		})}
	}
	return table
}
