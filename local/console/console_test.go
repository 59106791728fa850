package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/notify"
)

func TestHandler(t *testing.T) {
	is := is.New(t)
	handler, err := (&Console{root: "../..", model: newModel()}).handler()
	is.NoErr(err)
	for _, c := range []struct {
		name, method, target, origin string
		status                       int
		want                         string // part of the body
	}{
		{"the page", "GET", "/", "", 200, "console.js"},
		{"its script", "GET", "/console.js", "", 200, "/lib/preact.js"},
		{"the framework", "GET", "/lib/hooks.js", "", 200, `from"./preact.js"`},
		{"the contract", "GET", "/openapi.yaml", "", 200, "openapi: 3"},
		{"orders", "GET", "/console/orders", "", 200, `"total":0`},
		{"no order", "GET", "/console/orders/1", "", 422, "no such order"},
		{"no mail", "GET", "/console/mails/1", "", 422, "no such mail"},
		{"no message", "POST", "/console/deliver", "", 422, "no such message"},
		{"no tenant", "GET", "/console/token?tenant=!", "", 422, "a tenant is"},
		{"nothing", "GET", "/nothing", "", 404, "not found"},
		{"a foreign site's name", "GET", "http://evil.example/console/orders", "", 403, "this machine only"},
		{"the name of this machine", "GET", "http://localhost:8080/console/orders", "", 200, `"total":0`},
		{"a foreign site's request", "POST", "/console/deliver", "https://evil.example", 403, "cross-origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			target := c.target
			if strings.HasPrefix(target, "/") {
				target = "http://127.0.0.1:8080" + target
			}
			r := httptest.NewRequest(c.method, target, strings.NewReader("{}"))
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			is.Equal(w.Code, c.status)
			is.True(strings.Contains(w.Body.String(), c.want)) // the answer
		})
	}
}

func TestHandlerBeforeSetup(t *testing.T) {
	is := is.New(t)
	_, err := (&Console{root: t.TempDir(), model: newModel()}).handler()
	is.True(err != nil && strings.Contains(err.Error(), "make setup")) // says what to do
}

// id is an order's.
const id = "0b8f1d2e-5c3a-4e6f-9a7b-000000000001"

func queued(messageID string) string {
	return fmt.Sprintf(`{"messageId": %q, "body": "{\"orderId\": \"%s\", \"eventType\": \"order.paid\"}",
		"attributes": {"ApproximateReceiveCount": "2"}}`, messageID, id)
}

func changed(sequence, status, updated string) string {
	return fmt.Sprintf(`{"eventName": "MODIFY", "dynamodb": {"SequenceNumber": %q, "NewImage": {"id": {"S": %q},
		"tenantId": {"S": "a"}, "status": {"S": %q}, "dateLastUpdated": {"S": %q}, "currency": {"S": "ZAR"},
		"total": {"N": "250"}, "history": {"L": [{"M": {}}]}}}}`, sequence, id, status, updated)
}

func TestAttempts(t *testing.T) {
	crash := &lambdaapi.Error{Type: lambdaapi.TypeExit}
	for _, c := range []struct {
		name    string
		records []string
		logged  string
		answer  string
		err     error
		want    []string // source, what, outcome, error and wait
	}{
		{"done", []string{queued("m-1")}, ``, `{"batchItemFailures": []}`, nil, []string{"queue order.paid done  0"}},
		{
			"one of two failed",
			[]string{queued("m-1"), queued("m-2")},
			`{"messageId": "m-2", "error": "no such template", "retryInMs": 5000, "message": "message failed"}`,
			`{"batchItemFailures": [{"itemIdentifier": "m-2"}]}`, nil,
			[]string{"queue order.paid done  0", "queue order.paid failed no such template 5000"},
		},
		{
			"put off",
			[]string{queued("m-1")},
			`{"messageId": "m-1", "error": "SES is down", "retryInMs": 7000, "message": "message put off"}`,
			`{"batchItemFailures": []}`,
			nil,
			[]string{"queue order.paid put off SES is down 7000"},
		},
		{"crashed", []string{queued("m-1")}, ``, ``, crash, []string{"queue order.paid crashed the process ended 0"}},
		{
			"too late",
			[]string{queued("m-1")},
			``, ``, errors.New("Sandbox.Timedout: 30 s"),
			[]string{"queue order.paid failed Sandbox.Timedout: 30 s 0"},
		},
		{
			"a change fails, and those behind it come again",
			[]string{changed("1", "paid", "2"), changed("2", "processing", "3"), changed("3", "completed", "4")},
			``,
			`{"batchItemFailures": [{"itemIdentifier": "2"}]}`, nil,
			[]string{"stream modify done  0", "stream modify failed  0", "stream modify failed  0"},
		},
		{"no order's message", []string{`{"messageId": "m-1", "body": "{}"}`}, ``, ``, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			m := newModel()
			ended := m.invoked("a_role", []byte(`{"Records": [`+strings.Join(c.records, ",")+`]}`))
			m.logged(c.logged)
			ended([]byte(c.answer), c.err)
			var got []string
			for _, a := range m.order(id).trace.Attempts {
				got = append(got, fmt.Sprintf("%s %s %s %s %d", a.Source, a.What, a.Outcome, a.Error, a.Wait))
			}
			is.Equal(got, c.want)
		})
	}
}

func TestOlderNewsOfAnOrderChangesNothing(t *testing.T) {
	is := is.New(t)
	m := newModel()
	m.invoked("a_role", []byte(`{"Records": [`+changed("2", "paid", "2026-01-02")+`]}`))
	m.invoked("a_role", []byte(`{"Records": [`+changed("1", "pending", "2026-01-01")+`]}`)) // delivered again
	o := m.order(id)
	is.Equal(o.Status, "paid")
	is.Equal(o.Total, "250.00")
	is.Equal(len(o.trace.Attempts), 2)
}

func TestPages(t *testing.T) {
	is := is.New(t)
	m := newModel()
	for i := range maxOrders + 10 {
		o := m.order(fmt.Sprintf("order-%d", i))
		o.Tenant = []string{"even", "odd"}[i%2]
		m.tell(&o.version)
	}
	is.Equal(len(m.list), maxOrders)   // the oldest went
	is.Equal(len(m.traced), maxTraces) // of most, only how they stand
	page := m.page("odd", 0)
	first := page["orders"].([]Order)
	is.Equal(len(first), pageSize)
	is.Equal(first[0].ID, fmt.Sprintf("order-%d", maxOrders+9)) // the newest
	next := m.page("ODD", first[pageSize-1].Place)["orders"].([]Order)
	is.Equal(next[0].Place, first[pageSize-1].Place-2) // goes on where the first one ended

	version, _ := m.since(0)
	m.tell(&m.order("order-100").version)
	_, news := m.since(version)
	is.Equal(len(news["orders"].([]Order)), 1) // a page is told of what has changed only
}

// TestTemplateAsItIsSaved edits a copy of a template and of the branding.
func TestTemplateAsItIsSaved(t *testing.T) {
	is := is.New(t)
	c := &Console{root: t.TempDir(), model: newModel()}
	for _, dir := range []string{"notify/templates/customer", "invoice/branding"} {
		is.NoErr(os.CopyFS(filepath.Join(c.root, dir), os.DirFS(filepath.Join("../..", dir))))
	}
	render := func() (r struct {
		HTML, Subject string
		Problems      []notify.Problem
	},
	) {
		t.Helper()
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.SetPathValue("key", "customer/order_paid.html")
		answer, err := c.render(request)
		is.NoErr(err)
		text, err := json.Marshal(answer)
		is.NoErr(err)
		is.NoErr(json.Unmarshal(text, &r))
		return r
	}
	edit := func(file, old, replacement string) {
		t.Helper()
		path := filepath.Join(c.root, file)
		text, err := os.ReadFile(path)
		is.NoErr(err)
		is.True(strings.Contains(string(text), old))
		saved := c.saved()
		is.NoErr(os.WriteFile(path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600))
		is.True(c.saved() != saved) // it is noticed
	}
	is.True(strings.HasPrefix(render().Subject, "Payment Received: "))

	edit("invoice/branding/company.json", "KimmyAI (Pty) Ltd", "Another name")
	is.True(strings.Contains(render().HTML, "Another name"))

	edit("notify/templates/customer/order_paid.html", "{{orderNumber}}", "{{orderNumbr}}")
	broken := render()
	is.Equal(broken.HTML, "")
	is.Equal(len(broken.Problems), 1)
	is.True(broken.Problems[0].Line > 0)
	is.True(strings.Contains(broken.Problems[0].Message, `"orderNumber"`)) // the nearest name

	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.SetPathValue("key", "../../secret")
	_, err := c.render(request)
	is.True(errors.Is(err, fs.ErrInvalid)) // nothing outside of the repository
}
