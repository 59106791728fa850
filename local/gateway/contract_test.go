package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/matryer/is"
)

// TestAnswersAsDeployed compares what this gateway answers by itself with what
// roles/openapi.yaml tells API Gateway to answer.
func TestAnswersAsDeployed(t *testing.T) {
	is := is.New(t)
	doc, err := openapi3.NewLoader().LoadFromFile("../../roles/openapi.yaml")
	is.NoErr(err)
	var responses map[string]struct {
		StatusCode         string
		ResponseParameters map[string]string
		ResponseTemplates  map[string]string
	}
	extension(t, doc.Extensions["x-amazon-apigateway-gateway-responses"], &responses)
	g, _ := newGateway()

	for _, test := range []struct {
		kind, template, target, message string
		change                          func(*http.Request)
	}{
		{
			"UNAUTHORIZED", "UNAUTHORIZED", "/v1.0/orders/1", "Unauthorized",
			func(r *http.Request) { r.Header.Del("Authorization") },
		},
		{"MISSING_AUTHENTICATION_TOKEN", "DEFAULT_4XX", "/v1.0/nothing", "Missing Authentication Token", nil},
	} {
		t.Run(test.kind, func(t *testing.T) {
			is := is.New(t)
			resp := do(t, g, http.MethodGet, test.target, "", test.change)
			want := strings.NewReplacer(
				"$context.requestId", resp.Header.Get("X-Amzn-Requestid"),
				"$context.error.responseType", test.kind,
				"$context.error.messageString", `"`+test.message+`"`,
			).Replace(responses[test.template].ResponseTemplates["application/json"])
			is.Equal(decoded(t, text(t, resp)), decoded(t, want))
			sameHeaders(t, resp.Header, responses[test.template].ResponseParameters, "gatewayresponse.header.")
		})
	}
	t.Run("preflight", func(t *testing.T) {
		is := is.New(t)
		var integration struct {
			Responses map[string]struct {
				StatusCode         string
				ResponseParameters map[string]string
			}
		}
		extension(t, doc.Paths.Value("/v1.0/orders").Options.Extensions["x-amazon-apigateway-integration"], &integration)
		resp := do(t, g, http.MethodOptions, "/v1.0/orders", "", nil)
		is.Equal(resp.StatusCode, http.StatusNoContent)
		is.Equal(integration.Responses["default"].StatusCode, "204")
		sameHeaders(t, resp.Header, integration.Responses["default"].ResponseParameters, "method.response.header.")
	})
}

// sameHeaders fails unless an answer has the headers that a mapping sets. Their
// values stand in single quotes.
func sameHeaders(t *testing.T, got http.Header, mapping map[string]string, prefix string) {
	t.Helper()
	is := is.New(t)
	is.True(len(mapping) > 0) // there is something to compare
	for name, value := range mapping {
		want := strings.ReplaceAll(strings.Trim(value, "'"), "${cors_allowed_origin}", "https://portal.example")
		is.Equal(got.Get(strings.TrimPrefix(name, prefix)), want)
	}
}

// extension reads an extension of the document into a value.
func extension(t *testing.T, from, into any) {
	t.Helper()
	encoded, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, into); err != nil {
		t.Fatal(err)
	}
}

func decoded(t *testing.T, body string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatal(err)
	}
	return value
}
