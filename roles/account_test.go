package roles

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bbws/order-lambda/invoice/branding"
	shipped "github.com/bbws/order-lambda/notify/templates"
)

// An account answers a role's requests to AWS and to the Cart API with what the
// role needs to get on with its event of testdata, always the same.
type account struct {
	item []byte                                            // the order, as DynamoDB's JSON
	next func(w http.ResponseWriter, r *http.Request) bool // answers before it does, where it returns true
}

// newAccount returns an account with the order that a role expects: accepted
// for the record creator, else recorded.
func newAccount(t testing.TB, role string) *account {
	t.Helper()
	o := sampleOrder(t)
	if role == "order_creator_record" {
		o = sampleAcceptance(t)
	}
	return &account{item: encodeJSON(t, image(t, o))}
}

// build returns a role as main builds it, in this account and on this machine.
func (a *account) build(t testing.TB, env map[string]string, stdout io.Writer) lambda.Handler {
	t.Helper()
	settings, err := Configure(getter(env))
	if err != nil {
		t.Fatal(err)
	}
	return Build(settings, Deps{
		AWS: aws.Config{
			Region: "eu-west-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), HTTPClient: doFunc(a.RoundTrip),
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			Retryer: func() aws.Retryer {
				return retry.NewStandard(func(o *retry.StandardOptions) {
					o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
				})
			},
		},
		Transport: a, Stdout: stdout, Now: time.Now,
	})
}

// roleEvent returns the event of a role.
func roleEvent(t testing.TB, role string) []byte {
	t.Helper()
	event, err := os.ReadFile(filepath.Join("testdata", role+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// RoundTrip implements http.RoundTripper without a network. A handler that
// panics breaks the connection.
func (a *account) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, fmt.Errorf("connection lost: %v", p)
		}
	}()
	w := httptest.NewRecorder()
	if a.next == nil || !a.next(w, r) {
		a.serve(w, r)
	}
	return w.Result(), nil
}

const requestIDOfAWS = "00000000-0000-4000-8000-000000000000"

func (a *account) serve(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	w.Header().Set("X-Amzn-Requestid", requestIDOfAWS)
	w.Header().Set("X-Amz-Request-Id", requestIDOfAWS) // where S3 has it
	path := r.URL.Path
	_, target, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case target != "":
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = io.WriteString(w, a.target(target, body))
	case strings.Contains(path, "/cart/"):
		_, _ = fmt.Fprintf(w, `{"success": true, "data": {"cartId": %q, "tenantId": %q, "items": [
			{"id": "1", "productId": "p-1", "productName": "Rooibos", "quantity": 2, "unitPrice": 100.10, "discount": 0.20}]}}`,
			path[strings.LastIndexByte(path, '/')+1:], r.Header.Get("X-Tenant-Id"))
	case strings.HasPrefix(path, "/v2/email/"):
		_, _ = io.WriteString(w, `{"MessageId": "0100019a-00000000"}`)
	case r.Method == http.MethodPut:
		w.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
	case r.Method == http.MethodGet:
		object(w, path)
	case bytes.Contains(body, []byte("Action=PublishBatch")):
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(
			w, `<PublishBatchResponse><PublishBatchResult><Failed/><Successful/></PublishBatchResult></PublishBatchResponse>`,
		)
	default:
		http.Error(w, r.Method+" "+path+" is unknown", http.StatusNotImplemented)
	}
}

// target answers the services that name their operation in a header.
func (a *account) target(operation string, body []byte) string {
	switch operation {
	case "GetItem":
		return fmt.Sprintf(`{"Item": %s}`, a.item)
	case "Query":
		return fmt.Sprintf(
			`{"Count": 10, "ScannedCount": 10, "Items": [%s%s]}`, strings.Repeat(string(a.item)+",", 9), a.item,
		)
	case "UpdateItem":
		if bytes.Contains(body, []byte("COUNTER#")) {
			return `{"Attributes": {"value": {"N": "1"}}}`
		}
		if bytes.Contains(body, []byte("ALL_NEW")) {
			return fmt.Sprintf(`{"Attributes": %s}`, a.item)
		}
	case "SendMessage":
		var sent struct{ MessageBody string }
		_ = json.Unmarshal(body, &sent)
		return fmt.Sprintf(`{"MessageId": "5fea7756", "MD5OfMessageBody": "%x"}`, md5.Sum([]byte(sent.MessageBody)))
	}
	return `{}`
}

// object answers with one of the objects that ship with the service.
func object(w http.ResponseWriter, path string) {
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/") // after the bucket
	for _, files := range []fs.FS{shipped.FS, branding.Files} {
		if content, err := fs.ReadFile(files, strings.TrimPrefix(key, "branding/")); err == nil {
			_, _ = w.Write(content)
			return
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(
		w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>`,
	)
}
