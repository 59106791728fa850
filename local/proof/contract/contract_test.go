package contract_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/proof/contract"
)

const file = "../../../roles/openapi.yaml"

// The kinds of answers that the tests are given.
const (
	good     = `{"success":true,"data":{"orders":[],"pagination":{"pageSize":50,"totalReturned":0,"nextToken":null}}}`
	refusal  = `{"success":false,"code":"invalid_request","error":"Bad Request","message":"no","requestId":"1"}`
	noTenant = `{"success":false,"code":"forbidden","error":"Forbidden","message":"no","requestId":"1"}`
)

func TestTransport(t *testing.T) {
	for _, test := range []struct {
		name, target string
		status       int
		header, body string
		want         string // part of what is reported; "" for nothing
	}{
		{"a good answer to a good request", "?status=paid", 200, "", good, ""},
		{"a refusal of a bad request", "?status=new", 400, "", refusal, ""},
		{"another refusal of a bad request", "?status=new", 403, "", noTenant, ""},
		{"an undocumented status", "", 418, "", good, "status is not supported"},
		{"an undocumented header", "", 200, "X-Powered-By", good, "X-Powered-By is not documented"},
		{"an undocumented field", "", 200, "", strings.Replace(good, `"data"`, `"more":1,"data"`, 1), "unsupported"},
		{"an undocumented code", "", 403, "", strings.Replace(noTenant, "forbidden", "go_away", 1), "value is not one of"},
		{"a bad request that is answered", "?status=new", 200, "", good, "answered with 200 although"},
		{"an unknown parameter that is answered", "?page=2", 200, "", good, "query parameter page is unknown"},
		{
			"a repeated parameter that is answered", "?status=paid&status=paid", 200, "", good,
			"query parameter status is repeated",
		},
		{"a good request that is refused", "?status=paid", 400, "", refusal, "although the document allows it"},
		{"a route that is not documented", "/1", 404, "", "", "no matching operation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			c, err := contract.Load(file)
			is.NoErr(err)
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.Header().Set("Cache-Control", "no-store")
				if test.header != "" {
					w.Header().Set(test.header, "1")
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer service.Close()
			var reported []string
			report := func(err error) { reported = append(reported, err.Error()) }
			client := http.Client{Transport: c.Transport(http.DefaultTransport, report)}
			resp, err := client.Get(service.URL + "/v1.0/tenants/a/orders" + test.target)
			is.NoErr(err)
			body, err := io.ReadAll(resp.Body)
			is.NoErr(err)
			is.NoErr(resp.Body.Close())
			is.Equal(string(body), test.body) // the client still gets the answer
			said := strings.Join(reported, "\n")
			if test.want == "" {
				is.Equal(said, "") // nothing is wrong
				is.Equal(c.Seen(), 1)
				is.Equal(len(c.Unseen()), len(c.Documented())-1)
				return
			}
			is.True(strings.Contains(said, test.want)) // it says what is wrong
			is.Equal(c.Seen(), 0)
		})
	}
}

func TestDocumented(t *testing.T) {
	is := is.New(t)
	c, err := contract.Load(file)
	is.NoErr(err)
	var all []string
	for _, a := range c.Documented() {
		all = append(all, a.String())
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"POST /v1.0/orders 202", "POST /v1.0/orders 422 idempotency_key_reused",
		"PUT /v1.0/orders/{orderId} 409 order_changed", "PUT /v1.0/orders/{orderId} 409 order_not_recorded",
		"OPTIONS /v1.0/orders 204",
	} {
		is.True(strings.Contains(text, want)) // one answer for each code of a status
	}
}
