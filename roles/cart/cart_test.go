package cart_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/cart"
)

// noPause keeps the tries, and leaves out the waiting between them.
var noPause = cart.WithPause(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// serve starts a Cart API. The handler is told the number of the call, from 1.
func serve(
	t *testing.T, handle func(w http.ResponseWriter, r *http.Request, call int32),
) (c *cart.Client, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, calls.Add(1))
	}))
	t.Cleanup(server.Close)
	return cart.New(server.URL+"/v1.0/carts/", server.Client().Transport, noPause), calls
}

// hangUp ends the connection of an answer with a reset.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func TestGetAsks(t *testing.T) {
	is := is.New(t)
	bare := testdata(t, "bare.json")
	var asked *http.Request
	c, calls := serve(t, func(w http.ResponseWriter, r *http.Request, _ int32) {
		asked = r
		_, _ = w.Write(bare)
	})
	_, err := c.Get(t.Context(), "tenant-001", "cart/1?a=b#", "1-67891233-a")
	is.NoErr(err)
	is.Equal(calls.Load(), int32(1)) // one call is enough
	is.Equal(asked.Method, http.MethodGet)
	is.Equal(asked.RequestURI, "/v1.0/carts/cart%2F1%3Fa=b%23")    // the id is escaped
	is.Equal(asked.Header.Get("X-Tenant-Id"), "tenant-001")        // tenant
	is.Equal(asked.Header.Get("X-Correlation-Id"), "1-67891233-a") // correlation
}

func TestGetAnswers(t *testing.T) {
	bare := testdata(t, "bare.json")
	status := func(code int) func(http.ResponseWriter, *http.Request, int32) {
		return func(w http.ResponseWriter, _ *http.Request, _ int32) { w.WriteHeader(code) }
	}
	// The first calls fail as handle says, the others get a cart.
	fails := func(n int32, handle func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request, int32) {
		return func(w http.ResponseWriter, _ *http.Request, call int32) {
			if call > n {
				_, _ = w.Write(bare)
				return
			}
			handle(w)
		}
	}
	unavailable := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(make([]byte, 1<<20)) // more than anyone drains
	}
	truncate := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(bare[:10])
		_ = http.NewResponseController(w).Flush()
		hangUp(w)
	}

	tests := map[string]struct {
		handle    func(w http.ResponseWriter, r *http.Request, call int32)
		calls     int32
		permanent string // the reason, or "" for no permanent error
		transient string // a part of the error, or "" for no transient error
		outage    bool   // the Cart API is down, slow, or refuses for its load
	}{
		"not found":           {status(404), 1, "cart not found", "", false},
		"gone":                {status(410), 1, "cart not found", "", false},
		"bad request":         {status(400), 1, "cart refused by the Cart API with 400", "", false},
		"forbidden":           {status(403), 1, "cart refused by the Cart API with 403", "", false},
		"the last of 4xx":     {status(499), 1, "cart refused by the Cart API with 499", "", false},
		"too many requests":   {status(429), 1, "", "answered 429", true},
		"no content":          {status(204), 1, "", "answered 204", false},
		"500 for good":        {status(500), 3, "", "answered 500", true},
		"504 for good":        {status(504), 3, "", "answered 504", true},
		"500 twice":           {fails(2, unavailable), 3, "", "", false},
		"500 once":            {fails(1, unavailable), 2, "", "", false},
		"reset twice":         {fails(2, hangUp), 3, "", "", false},
		"reset for good":      {fails(9, hangUp), 3, "", "get cart", true},
		"truncated once":      {fails(1, truncate), 2, "", "", false},
		"truncated for good":  {fails(9, truncate), 3, "", "read the answer", true},
		"500, then not found": {failsThen(unavailable, 404), 2, "cart not found", "", false},
		"success: false":      {text(`{"success": false, "error": "busy"}`), 1, "", "success: false", false},
		"no JSON":             {text("<html>welcome</html>"), 1, "cart answer is malformed", "", false},
		"nothing":             {text(""), 1, "cart answer is malformed", "", false},
		"cut JSON":            {text(`{"cartId": "cart-1", "items": [`), 1, "cart answer is malformed", "", false},
		"exactly 1 MiB":       {text(string(bare) + strings.Repeat(" ", 1<<20-len(bare))), 1, "", "", false},
		"over 1 MiB": {
			text(string(bare) + strings.Repeat(" ", 1<<20-len(bare)+1)), 1, "cart answer is larger than 1 MiB", "", false,
		},
		"endless":                  {endless, 1, "cart answer is larger than 1 MiB", "", false},
		"redirect":                 {redirect, 1, "", "answered 302", false},
		"redirect without address": {status(301), 1, "", "answered 301", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			c, calls := serve(t, test.handle)
			got, err := c.Get(t.Context(), "tenant-001", "cart-1", "c")

			is.Equal(calls.Load(), test.calls)                          // calls
			is.Equal(errors.Is(err, order.ErrUnavailable), test.outage) // a message may wait for it
			var p *order.PermanentError
			switch {
			case test.permanent != "":
				is.True(errors.As(err, &p))                      // permanent
				is.Equal(p.Reason, test.permanent)               // reason
				is.True(!strings.Contains(p.Error(), "welcome")) // nothing of the answer
			case test.transient != "":
				is.True(err != nil && !errors.As(err, &p))             // transient
				is.True(strings.Contains(err.Error(), test.transient)) // says what happened
			default:
				is.NoErr(err)
				is.Equal(got.ID, "cart-1") // the cart
			}
		})
	}
}

func text(s string) func(http.ResponseWriter, *http.Request, int32) {
	return func(w http.ResponseWriter, _ *http.Request, _ int32) { _, _ = io.WriteString(w, s) }
}

func failsThen(first func(http.ResponseWriter), then int) func(http.ResponseWriter, *http.Request, int32) {
	return func(w http.ResponseWriter, _ *http.Request, call int32) {
		if call == 1 {
			first(w)
			return
		}
		w.WriteHeader(then)
	}
}

func endless(w http.ResponseWriter, _ *http.Request, _ int32) {
	for {
		if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
			return
		}
	}
}

func redirect(w http.ResponseWriter, r *http.Request, _ int32) {
	http.Redirect(w, r, "/elsewhere", http.StatusFound)
}

func TestGetWithoutServer(t *testing.T) {
	is := is.New(t)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // nobody listens there now
	var pauses []time.Duration
	c := cart.New(server.URL, http.DefaultTransport, cart.WithPause(func(_ context.Context, most time.Duration) error {
		pauses = append(pauses, most)
		return nil
	}))
	_, err := c.Get(t.Context(), "tenant-001", "cart-1", "c")
	var p *order.PermanentError
	is.True(errors.Is(err, order.ErrUnavailable) && !errors.As(err, &p))              // transient
	is.Equal(pauses, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}) // the bounds of the pauses
}

func TestGetWithUnusableAddress(t *testing.T) {
	is := is.New(t)
	_, err := cart.New("http://[", http.DefaultTransport).Get(t.Context(), "tenant-001", "cart-1", "c")
	is.True(err != nil) // not a panic
}

// A silent transport never answers; the clock of the tests that use it is that
// of synctest.
type silent struct{ calls atomic.Int32 }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.calls.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestGetFromSlowServer(t *testing.T) {
	tests := map[string]struct {
		left  time.Duration // of the invocation
		calls int32
		most  time.Duration // how long Get may take
	}{
		"time for all":      {time.Minute, 3, 3*3*time.Second + 600*time.Millisecond},
		"time for two":      {9 * time.Second, 2, 2*3*time.Second + 200*time.Millisecond},
		"just time for two": {6200 * time.Millisecond, 2, 2*3*time.Second + 200*time.Millisecond},
		"time for one":      {6 * time.Second, 1, 3 * time.Second},
		"time for a piece":  {time.Second, 1, time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				transport := new(silent)
				ctx, cancel := context.WithTimeout(t.Context(), test.left)
				defer cancel()
				start := time.Now()
				_, err := cart.New("http://cart", transport).Get(ctx, "tenant-001", "cart-1", "c")
				took := time.Since(start)

				is.True(errors.Is(err, order.ErrUnavailable))                            // transient
				is.Equal(transport.calls.Load(), test.calls)                             // tries
				is.True(took >= min(time.Duration(test.calls)*3*time.Second, test.left)) // each try has its time
				is.True(took <= test.most)                                               // and no more
			})
		})
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		var calls int
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			calls++
			cancel() // while the try fails, so that the pause finds it
			return nil, io.ErrUnexpectedEOF
		})
		_, err := cart.New("http://cart", transport).Get(ctx, "tenant-001", "cart-1", "c")
		is.True(err != nil) // transient
		is.Equal(calls, 1)  // nobody waits for another try
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Every body is closed, and read to its end where that is short, so that
// connections are used again.
func TestGetLeavesNoBodyOpen(t *testing.T) {
	for _, code := range []int{200, 302, 404, 429, 500} {
		is := is.New(t)
		var bodies []*countedBody
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			b := &countedBody{Reader: strings.NewReader("{}" + strings.Repeat(" ", 1000))}
			bodies = append(bodies, b)
			return &http.Response{StatusCode: code, Body: b, Header: http.Header{}}, nil
		})
		_, err := cart.New("http://cart", transport, noPause).Get(t.Context(), "tenant-001", "cart-1", "c")
		is.True(err != nil) // none of them is a cart
		for _, b := range bodies {
			is.Equal(b.closed, 1) // closed once
			is.Equal(b.Len(), 0)  // drained
		}
	}
}

type countedBody struct {
	*strings.Reader
	closed int
}

func (b *countedBody) Close() error {
	b.closed++
	return nil
}
