package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/matryer/is"
)

func TestConnect(t *testing.T) {
	// serve starts a stand-in of DynamoDB that counts its connections and the requests that ask for nothing.
	serve := func(t *testing.T, start func(*httptest.Server)) (server *httptest.Server, connections, empty *atomic.Int32) {
		t.Helper()
		connections, empty = new(atomic.Int32), new(atomic.Int32)
		server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Target") == "" {
				empty.Add(1)
				_, _ = io.WriteString(w, "healthy: dynamodb.eu-west-1.amazonaws.com")
				return
			}
			_, _ = io.WriteString(w, `{"TableNames": ["orders"]}`)
		}))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		start(server)
		t.Cleanup(server.Close)
		setenv(t, []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_DYNAMODB=" + server.URL})
		if cert := server.Certificate(); cert != nil {
			bundle := filepath.Join(t.TempDir(), "bundle.pem")
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
			if err := os.WriteFile(bundle, block, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_CA_BUNDLE", bundle)
		}
		return server, connections, empty
	}

	t.Run("leaves a connection that the first call uses", func(t *testing.T) {
		is := is.New(t)
		_, connections, empty := serve(t, (*httptest.Server).StartTLS)
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		connect(t.Context(), cfg)
		is.Equal(empty.Load(), int32(1))
		out, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), nil)
		is.NoErr(err)
		is.Equal(out.TableNames, []string{"orders"})
		is.Equal(connections.Load(), int32(1))
	})
	t.Run("does nothing without TLS", func(t *testing.T) {
		is := is.New(t)
		_, connections, _ := serve(t, (*httptest.Server).Start)
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		connect(t.Context(), cfg)
		is.Equal(connections.Load(), int32(0))
	})
	t.Run("gives up when the process does", func(t *testing.T) {
		is := is.New(t)
		_, _, empty := serve(t, (*httptest.Server).StartTLS)
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		ended, end := context.WithCancel(t.Context())
		end()
		connect(ended, cfg)
		is.Equal(empty.Load(), int32(0))
	})
	t.Run("leaves it to the first call where nobody answers", func(t *testing.T) {
		is := is.New(t)
		server, _, _ := serve(t, (*httptest.Server).StartTLS)
		cfg, err := loadAWS(os.Getenv)
		is.NoErr(err)
		server.Close()
		connect(t.Context(), cfg)
	})
	t.Run("asks where the clients of the SDK ask", func(t *testing.T) {
		is := is.New(t)
		for _, env := range [][]string{nil, {"AWS_USE_FIPS_ENDPOINT=true"}, {"AWS_USE_DUALSTACK_ENDPOINT=true"}} {
			setenv(t, append(env, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-west-1"))
			cfg, err := loadAWS(os.Getenv)
			is.NoErr(err)
			asked := &hosts{}
			cfg.HTTPClient = asked
			connect(t.Context(), cfg)
			_, err = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 }).ListTables(t.Context(), nil)
			is.True(err != nil)
			is.Equal(len(*asked), 2)
			is.Equal((*asked)[0], (*asked)[1])
		}
	})
}

// hosts is a client that notes whom it is to ask, and fails.
type hosts []string

func (h *hosts) Do(r *http.Request) (*http.Response, error) {
	*h = append(*h, r.URL.Host)
	return nil, io.ErrUnexpectedEOF
}

func TestReadCertsOnce(t *testing.T) {
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.crt")
	if err := os.WriteFile(bundle, []byte("certificates"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.crt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		bundles []string
		env     map[string]string
		want    string
	}{
		{"leaves the directories out where there is a bundle", []string{"/no/such/file", bundle}, nil, os.DevNull},
		{"reads them where there is none", []string{"/no/such/file", empty}, nil, ""},
		{"leaves the file to the operator", []string{bundle}, map[string]string{"SSL_CERT_FILE": "/mine"}, ""},
		{"leaves the directories to the operator", []string{bundle}, map[string]string{"SSL_CERT_DIR": "/mine"}, "/mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			env := map[string]string{}
			for name, value := range tt.env {
				env[name] = value
			}
			readCertsOnce(tt.bundles, func(name string) string { return env[name] }, func(name, value string) error {
				env[name] = value
				return nil
			})
			is.Equal(env["SSL_CERT_DIR"], tt.want)
		})
	}
	t.Run("still trusts whom the system trusts", func(t *testing.T) {
		is := is.New(t)
		if os.Getenv("COUNT_ROOTS") != "" { // in the process below: crypto/x509 reads the certificates once
			readCertsOnce(certBundles, os.Getenv, os.Setenv)
			roots, err := x509.SystemCertPool()
			is.NoErr(err)
			is.True(len(roots.Subjects()) > 50) //nolint:staticcheck // They are the system's, but read from files.
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestReadCertsOnce$/^still_trusts") //nolint:gosec // this very test
		cmd.Env = append(os.Environ(), "COUNT_ROOTS=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Log(string(out))
		}
		is.NoErr(err)
	})
}
