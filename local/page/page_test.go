package page

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

type fakeSource struct{ err error }

func (s fakeSource) Status(context.Context) (Status, error) {
	return Status{Orders: []Order{{ID: "1", Number: "ORD-2025-00001", Placed: time.Unix(0, 0).UTC()}}}, s.err
}

func (s fakeSource) Token(tenant string, admin bool) (string, error) {
	if admin {
		tenant += "+admin"
	}
	return "token of " + tenant, s.err
}

func (s fakeSource) Invoice(_ context.Context, tenant, id string) (string, error) {
	return "http://127.0.0.1/" + tenant + "/" + id, s.err
}

func TestHandler(t *testing.T) {
	for _, test := range []struct {
		name, target string
		source       fakeSource
		status       int
		want         string // part of the body, or the location
	}{
		{"the page itself", "/", fakeSource{}, 200, "Order service"},
		{"its script", "/page.js", fakeSource{}, 200, "SwaggerUIBundle"},
		{"the renderer", "/ui/swagger-ui.css", fakeSource{}, 200, ".swagger-ui"},
		{"the present state", "/status", fakeSource{}, 200, `"number":"ORD-2025-00001"`},
		{"no state", "/status", fakeSource{errors.New("no table")}, 502, "no table"},
		{"a token", "/token?tenant=a", fakeSource{}, 200, "token of a"},
		{"an administrator's token", "/token?tenant=a&admin=on", fakeSource{}, 200, "token of a+admin"},
		{"no token", "/token?tenant=!", fakeSource{errors.New("bad tenant")}, 400, "bad tenant"},
		{"an invoice", "/invoice?tenant=a&id=1", fakeSource{}, 303, "http://127.0.0.1/a/1"},
		{"no invoice", "/invoice?tenant=a&id=1", fakeSource{errors.New("no such order")}, 404, "no such order"},
		{"nothing", "/nothing", fakeSource{}, 404, "not found"},
		{"a foreign site's name", "http://evil.example/token?tenant=a", fakeSource{}, 403, "this machine only"},
		{"the name of this machine", "http://localhost:8080/token?tenant=a", fakeSource{}, 200, "token of a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			h, err := Handler("../..", test.source)
			is.NoErr(err)
			target := test.target
			if strings.HasPrefix(target, "/") {
				target = "http://127.0.0.1:8080" + target
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			is.Equal(w.Code, test.status)
			is.True(strings.Contains(w.Body.String()+w.Header().Get("Location"), test.want)) // the answer
		})
	}
}

func TestHandlerWithoutRenderer(t *testing.T) {
	is := is.New(t)
	_, err := Handler(t.TempDir(), fakeSource{})
	is.True(err != nil && strings.Contains(err.Error(), "make setup")) // says what to do
}

func TestDocument(t *testing.T) {
	is := is.New(t)
	text, err := document("../../roles/openapi.yaml")
	is.NoErr(err)
	is.True(!strings.Contains(string(text), "x-amazon")) // nothing of API Gateway's
	is.True(!strings.Contains(string(text), "${"))       // nothing to fill in
	is.True(!strings.Contains(string(text), "preflight"))
	var contract struct{ Paths map[string]map[string]any }
	is.NoErr(json.Unmarshal(text, &contract))
	operations := 0
	for _, item := range contract.Paths {
		operations += len(item)
	}
	is.Equal(operations, 4) // the routes that a client uses
}
