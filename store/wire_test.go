package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bbws/order-lambda/local/emulator"
)

// A wire is the connection of a client with the table. It can be broken, and
// knows what went over it. A call is named by its operation and how many of the
// operation came before it, the SDK's own repetitions included: "PutItem 2".
type wire struct {
	before func(call string) // runs before the call, where it is set
	after  func(call string) // runs once the call is answered, where it is set
	lose   string            // this call reaches the table, its answer is lost
	refuse int               // the table refuses the n-th call of all

	mu    sync.Mutex
	count map[string]int
	sent  []request
}

// A request is what a wire remembers of a call.
type request struct {
	operation      string
	ConsistentRead bool
	RequestItems   map[string]struct{ ConsistentRead bool } // of a batch, by table
	Limit          int
}

// client returns a client over the wire. It tries again without waiting.
func (w *wire) client() *dynamodb.Client {
	return dynamodb.NewFromConfig(emulator.Config(db.Endpoint()), func(o *dynamodb.Options) {
		o.HTTPClient = w
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	})
}

// operations returns the operations of the calls so far.
func (w *wire) operations() string {
	names := make([]string, len(w.sent))
	for i, r := range w.sent {
		names[i] = r.operation
	}
	return strings.Join(names, " ")
}

// Do sends a call.
func (w *wire) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	name, n, err := w.note(r.Header.Get("X-Amz-Target"), body)
	if err != nil {
		return nil, err
	}
	if w.before != nil {
		w.before(name)
	}
	if n == w.refuse {
		return &http.Response{
			StatusCode: http.StatusBadRequest,
			Header:     http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			Body:       io.NopCloser(strings.NewReader(`{"__type": "com.amazon.coral.service#AccessDeniedException"}`)),
		}, nil
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if body, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	if w.after != nil {
		w.after(name)
	}
	if name == w.lose {
		return nil, errors.New("connection reset by peer")
	}
	return res, nil
}

// note remembers a call and returns its name and its place among all.
func (w *wire) note(target string, body []byte) (name string, n int, err error) {
	_, operation, _ := strings.Cut(target, ".")
	call := request{operation: operation}
	if err := json.Unmarshal(body, &call); err != nil {
		return "", 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = map[string]int{}
	}
	w.count[operation]++
	w.sent = append(w.sent, call)
	return fmt.Sprint(operation, " ", w.count[operation]), len(w.sent), nil
}
