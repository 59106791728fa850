// Package contract holds HTTP exchanges with the order service to its OpenAPI
// file, roles/openapi.yaml: what is sent, what comes back, and that the two
// agree about whether the request was a good one. It remembers which of the
// documented answers it has seen. Only tests use it.
package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// A Contract is an OpenAPI document and the answers that were seen of it. It is
// safe for concurrent use.
type Contract struct {
	doc    *openapi3.T
	router routers.Router

	mu   sync.Mutex
	seen map[Answer]int
}

// An Answer is one documented way in which an operation answers.
type Answer struct {
	Method, Path string
	Status       int
	Code         string // of the error; "" for a success
}

// String returns the answer in the form "GET /v1.0/orders/{orderId} 404
// not_found".
func (a Answer) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %s", a.Method, a.Path, a.Status, a.Code))
}

// Load reads and validates the OpenAPI document in a file.
func Load(file string) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", file, err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate %s: %w", file, err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("routes of %s: %w", file, err)
	}
	return &Contract{doc: doc, router: router, seen: map[Answer]int{}}, nil
}

// Document returns the OpenAPI document, which must not be changed.
func (c *Contract) Document() *openapi3.T { return c.doc }

// Documented returns every answer of every operation, sorted.
func (c *Contract) Documented() []Answer {
	var all []Answer
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				for _, code := range codes(response.Value) {
					a := Answer{Method: method, Path: path, Code: code}
					_, _ = fmt.Sscan(status, &a.Status)
					all = append(all, a)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Answer) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// codes returns the error codes that a response may carry, or one "" for a
// success.
func codes(r *openapi3.Response) []string {
	if media := r.Content.Get("application/json"); media != nil {
		for _, part := range media.Schema.Value.AllOf {
			if code := part.Value.Properties["code"]; part.Ref == "" && code != nil {
				var all []string
				for _, v := range code.Value.Enum {
					all = append(all, fmt.Sprint(v))
				}
				return all
			}
		}
	}
	return []string{""}
}

// Unseen returns the documented answers that no checked exchange had, sorted.
func (c *Contract) Unseen() []Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(c.Documented(), func(a Answer) bool { return c.seen[a] > 0 })
}

// Seen returns how many exchanges were checked and found as documented.
func (c *Contract) Seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for count := range maps.Values(c.seen) {
		n += count
	}
	return n
}

type beyond struct{}

// Beyond returns a context for requests that are wrong in a way that no OpenAPI
// document can say, such as a day that is not in the calendar: an answer that
// calls such a request invalid is fine.
func Beyond(ctx context.Context) context.Context { return context.WithValue(ctx, beyond{}, true) }

// CheckRequest returns what the document has against a request, or nil. It
// leaves the request's body unread.
func (c *Contract) CheckRequest(r *http.Request) error {
	_, err := c.request(r)
	return err
}

// CheckResponse returns what the document has against the answer to a request,
// or nil. An answer must be documented with its status, headers and body; it
// must be a refusal (4xx) if the document has something against the request,
// and must not be invalid_request otherwise. It leaves both bodies unread.
func (c *Contract) CheckResponse(r *http.Request, resp *http.Response) error {
	in, requestErr := c.request(r)
	if in == nil {
		return requestErr
	}
	body, err := peek(&resp.Body)
	if err != nil {
		return err
	}
	if err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in,
		Status:                 resp.StatusCode,
		Header:                 resp.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                options(),
	}); err != nil {
		return fmt.Errorf("%w: %d %.1000s", err, resp.StatusCode, body)
	}
	documented := slices.Collect(maps.Keys(in.Route.Operation.Responses.Status(resp.StatusCode).Value.Headers))
	for name := range resp.Header {
		same := func(other string) bool { return strings.EqualFold(name, other) }
		if !slices.ContainsFunc(documented, same) && !fromTheEdge(name) {
			return fmt.Errorf("%d: header %s is not documented", resp.StatusCode, name)
		}
	}
	var refusal struct{ Code string }
	if len(body) > 0 {
		_ = json.Unmarshal(body, &refusal) // It matched its schema; a success has no code.
	}
	switch {
	case requestErr != nil && (resp.StatusCode < 400 || resp.StatusCode >= 500):
		return fmt.Errorf("answered with %d although %w", resp.StatusCode, requestErr)
	case requestErr == nil && refusal.Code == "invalid_request" && r.Context().Value(beyond{}) == nil:
		return fmt.Errorf("called invalid although the document allows it: %s", body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[Answer{r.Method, in.Route.Path, resp.StatusCode, refusal.Code}]++
	return nil
}

// fromTheEdge reports whether a header comes from HTTP itself or from API
// Gateway rather than from the service.
func fromTheEdge(name string) bool {
	return name == "Content-Type" || name == "Content-Length" || name == "Date" || strings.HasPrefix(name, "X-Amz")
}

// request validates a request. The input is nil if the document does not have
// the route.
func (c *Contract) request(r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err)
	}
	for name, value := range params {
		if params[name], err = url.PathUnescape(value); err != nil {
			return nil, err
		}
	}
	body, err := peek(&r.Body)
	if err != nil {
		return nil, err
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options()}
	problems := []error{openapi3filter.ValidateRequest(r.Context(), in)}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if slices.ContainsFunc(route.Operation.Parameters, inQuery) {
		for name, values := range r.URL.Query() {
			if route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
				problems = append(problems, fmt.Errorf("query parameter %s is unknown", name))
			}
			if len(values) > 1 {
				problems = append(problems, fmt.Errorf("query parameter %s is repeated", name))
			}
		}
	}
	return in, errors.Join(problems...)
}

func inQuery(p *openapi3.ParameterRef) bool { return p.Value.In == openapi3.ParameterInQuery }

func options() *openapi3filter.Options {
	o := &openapi3filter.Options{
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		IncludeResponseStatus: true,
		MultiError:            true,
		SkipSettingDefaults:   true,
	}
	o.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		said := "/" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason
		if err.Origin != nil {
			said += ": " + err.Origin.Error()
		}
		return said
	})
	return o
}

// peek reads a body and puts it back.
func peek(body *io.ReadCloser) ([]byte, error) {
	if *body == nil {
		return nil, nil
	}
	read, err := io.ReadAll(*body)
	if err != nil {
		return nil, err
	}
	*body = io.NopCloser(bytes.NewReader(read))
	return read, nil
}

// Transport returns a RoundTripper that sends through next and checks every
// exchange with a documented route; report is told what does not hold, and may
// be called from several goroutines.
func (c *Contract) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return transport{c, next, report}
}

type transport struct {
	contract *Contract
	next     http.RoundTripper
	report   func(error)
}

// RoundTrip sends the request and checks the exchange.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := peek(&r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	sent := r.Clone(r.Context())
	sent.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.contract.CheckResponse(sent, resp); err != nil {
		t.report(fmt.Errorf("%s %s: %w", r.Method, r.URL.RequestURI(), err))
	}
	return resp, nil
}
