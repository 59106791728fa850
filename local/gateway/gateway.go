// Package gateway stands in for API Gateway: a REST API with Lambda proxy
// integrations (payload 1.0) behind a Cognito authorizer. What the gateway
// answers by itself is what deploy/ sets up through roles/openapi.yaml.
package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/local/lambdaapi"
)

// Limits of API Gateway and of Lambda
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html).
const (
	maxBody    = 10 << 20 // bytes
	maxPayload = 6 << 20  // bytes of one event for Lambda
	maxTime    = 29 * time.Second
)

// An Invoker is a function behind a route. *lambdaapi.Function is one.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error)
}

// A Route leads from a method and a path to a function. The path has
// {parameters} in braces, each a whole segment.
type Route struct {
	Method, Path string
	Function     Invoker
}

// Config describes an API.
type Config struct {
	Stage       string // for example dev
	Routes      []Route
	AllowOrigin string // Access-Control-Allow-Origin of what the gateway answers by itself

	// Other answers what is outside the API: paths that do not start with
	// /v1.0/. Nil means that there is nothing else.
	Other http.Handler
}

type gateway struct {
	Config
	timeout time.Duration
}

// New returns the API as an HTTP handler.
func New(config Config) http.Handler { return &gateway{Config: config, timeout: maxTime} }

// ServeHTTP answers a request, through a function if a route leads to one.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.Other != nil && !strings.HasPrefix(r.URL.Path, "/v1.0/") {
		g.Other.ServeHTTP(w, r)
		return
	}
	trace := r.Header.Get("X-Amzn-Trace-Id")
	if !strings.HasPrefix(trace, "Root=1-") {
		trace = lambdaapi.NewTrace()
	}
	request := lambdaapi.NewID()
	w.Header().Set("X-Amzn-Trace-Id", trace)
	w.Header().Set("X-Amzn-Requestid", request)
	answer, failure := g.handle(r, request, trace)
	if failure != nil {
		answer = g.answer(failure, request)
	}
	for name, values := range answer.MultiValueHeaders {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.WriteString(w, answer.Body)
}

// A failure is an answer that the gateway gives by itself. Its kind is one of
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
// where roles/openapi.yaml has no other word for it.
type failure struct {
	status  int
	kind    string
	message string
}

var (
	errUnauthorized = failure{http.StatusUnauthorized, "Unauthorized", "The request has no valid token."}
	errNoRoute      = failure{http.StatusForbidden, "MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token"}
	errTooLarge     = failure{http.StatusRequestEntityTooLarge, "REQUEST_TOO_LARGE", "Request Too Long"}
	errThrottled    = failure{http.StatusTooManyRequests, "THROTTLED", "Too Many Requests"}
	errFailed       = failure{http.StatusBadGateway, "INTEGRATION_FAILURE", "Internal server error"}
	errTimeout      = failure{http.StatusGatewayTimeout, "INTEGRATION_TIMEOUT", "Endpoint request timed out"}
)

// answer returns the gateway response of a failure as roles/openapi.yaml
// defines it.
func (g *gateway) answer(f *failure, request string) events.APIGatewayProxyResponse {
	code := "gateway_refused"
	if f.status == http.StatusUnauthorized {
		code = "unauthenticated"
	} else if f.status >= 500 {
		code = "gateway_failed"
	}
	text, _ := json.Marshal(map[string]any{ // strings always marshal
		"success": false, "code": code, "error": f.kind, "message": f.message, "requestId": request,
	})
	return events.APIGatewayProxyResponse{StatusCode: f.status, Body: string(text), MultiValueHeaders: map[string][]string{
		"Content-Type":                {"application/json"},
		"Access-Control-Allow-Origin": {g.AllowOrigin},
		"Cache-Control":               {"no-store"},
	}}
}

// handle answers a request of the API.
func (g *gateway) handle(r *http.Request, request, trace string) (events.APIGatewayProxyResponse, *failure) {
	none := events.APIGatewayProxyResponse{}
	route, parameters, preflight := g.match(r)
	if preflight {
		return events.APIGatewayProxyResponse{StatusCode: http.StatusNoContent, MultiValueHeaders: map[string][]string{
			"Access-Control-Allow-Origin":  {g.AllowOrigin},
			"Access-Control-Allow-Methods": {"GET,POST,PUT,OPTIONS"},
			"Access-Control-Allow-Headers": {"Authorization,Content-Type,Idempotency-Key,If-Match"},
			"Access-Control-Max-Age":       {"600"},
		}}, nil
	}
	if route == nil {
		return none, &errNoRoute
	}
	claims, err := authorize(r.Header.Get("Authorization"))
	if err != nil {
		return none, &errUnauthorized
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return none, &errTooLarge
	}
	event, err := json.Marshal(g.event(r, route, parameters, claims, body, request, trace))
	if err != nil {
		return none, &errFailed
	}
	if len(event) > maxPayload {
		return none, &errTooLarge
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.timeout)
	defer cancel()
	payload, err := route.Function.Invoke(ctx, event, trace)
	switch {
	case errors.Is(err, lambdaapi.ErrThrottled):
		return none, &errThrottled
	case errors.Is(err, context.DeadlineExceeded):
		return none, &errTimeout
	case err != nil:
		return none, &errFailed
	}
	answer, err := parseAnswer(payload)
	if err != nil {
		return none, &errFailed
	}
	return answer, nil
}

// match finds the route of a request and the values of its path parameters. A
// preflight request is one for OPTIONS of a path that some route has.
func (g *gateway) match(r *http.Request) (route *Route, parameters map[string]string, preflight bool) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i := range g.Routes {
		found, ok := matchPath(strings.Split(g.Routes[i].Path, "/"), segments)
		switch {
		case ok && r.Method == g.Routes[i].Method:
			return &g.Routes[i], found, false
		case ok && r.Method == http.MethodOptions:
			return nil, nil, true
		}
	}
	return nil, nil, false
}

func matchPath(pattern, segments []string) (map[string]string, bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	var parameters map[string]string
	for i, p := range pattern {
		value, err := url.PathUnescape(segments[i])
		name, isParameter := strings.CutPrefix(p, "{")
		switch {
		case err != nil:
			return nil, false
		case !isParameter && value != p, isParameter && value == "":
			return nil, false
		case isParameter:
			if parameters == nil {
				parameters = map[string]string{}
			}
			parameters[strings.TrimSuffix(name, "}")] = value
		}
	}
	return parameters, true
}

// event makes the event that the function receives
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html).
func (g *gateway) event(
	r *http.Request,
	route *Route,
	parameters map[string]string,
	claims map[string]any,
	body []byte,
	request, trace string,
) events.APIGatewayProxyRequest {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	headers := r.Header.Clone()
	headers.Set("Host", r.Host)
	headers.Set("X-Amzn-Trace-Id", trace)
	headers.Set("X-Forwarded-For", strings.Join(append(headers.Values("X-Forwarded-For"), client), ", "))
	headers.Set("X-Forwarded-Proto", "http")
	now := time.Now().UTC()
	event := events.APIGatewayProxyRequest{
		Resource:                        route.Path,
		Path:                            r.URL.Path,
		HTTPMethod:                      r.Method,
		Headers:                         last(headers),
		MultiValueHeaders:               headers,
		QueryStringParameters:           last(r.URL.Query()),
		MultiValueQueryStringParameters: r.URL.Query(),
		PathParameters:                  parameters,
		Body:                            string(body),
		RequestContext: events.APIGatewayProxyRequestContext{
			Authorizer:       map[string]any{"claims": claims},
			DomainName:       r.Host,
			HTTPMethod:       r.Method,
			Identity:         events.APIGatewayRequestIdentity{SourceIP: client, UserAgent: r.UserAgent()},
			Path:             r.URL.Path,
			Protocol:         r.Proto,
			RequestID:        request,
			RequestTime:      now.Format("02/Jan/2006:15:04:05 -0700"),
			RequestTimeEpoch: now.UnixMilli(),
			ResourcePath:     route.Path,
			Stage:            g.Stage,
		},
	}
	if len(event.MultiValueQueryStringParameters) == 0 {
		event.MultiValueQueryStringParameters = nil
	}
	if isBinary(r.Header.Get("Content-Type"), body) {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return event
}

// last returns the last value of every name, nil if there is none.
func last(values map[string][]string) map[string]string {
	var one map[string]string
	for name, all := range values {
		if one == nil {
			one = make(map[string]string, len(values))
		}
		if len(all) > 0 {
			one[name] = all[len(all)-1]
		}
	}
	return one
}

var textType = regexp.MustCompile(`^(text/.*|application/(.*\+)?(json|xml)|application/x-www-form-urlencoded)$`)

// isBinary reports whether a body of the content type reaches a function
// base64-encoded.
func isBinary(contentType string, body []byte) bool {
	if len(body) == 0 {
		return false
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && !textType.MatchString(media) || !utf8.Valid(body)
}

// parseAnswer reads a function's answer as strictly as API Gateway does. All
// its headers are in MultiValueHeaders.
func parseAnswer(payload []byte) (events.APIGatewayProxyResponse, error) {
	var answer events.APIGatewayProxyResponse
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		return answer, err
	}
	if answer.StatusCode < 200 || answer.StatusCode > 599 {
		return answer, fmt.Errorf("status code %d", answer.StatusCode)
	}
	if answer.MultiValueHeaders == nil {
		answer.MultiValueHeaders = map[string][]string{}
	}
	for name, value := range answer.Headers {
		if !slices.Contains(answer.MultiValueHeaders[name], value) {
			answer.MultiValueHeaders[name] = append(answer.MultiValueHeaders[name], value)
		}
	}
	if answer.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(answer.Body)
		if err != nil {
			return answer, err
		}
		answer.Body = string(body)
	}
	return answer, nil
}
