package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/golang-jwt/jwt/v5"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/lambdaapi"
)

// fakeFunction keeps the event and gives the answer that a test wants.
type fakeFunction struct {
	event  events.APIGatewayProxyRequest
	raw    map[string]any
	trace  string
	answer string
	err    error
	hangs  bool
}

func (f *fakeFunction) Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error) {
	f.trace = trace
	if err := errors.Join(json.Unmarshal(payload, &f.event), json.Unmarshal(payload, &f.raw)); err != nil {
		return nil, err
	}
	if f.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []byte(f.answer), f.err
}

func newGateway() (*gateway, *fakeFunction) {
	f := &fakeFunction{answer: `{"statusCode":200,"body":"fine"}`}
	return &gateway{timeout: maxTime, Config: Config{Stage: "dev", AllowOrigin: "https://portal.example", Routes: []Route{
		{Method: "POST", Path: "/v1.0/orders", Function: f},
		{Method: "GET", Path: "/v1.0/orders/{orderId}", Function: f},
	}}}, f
}

// do sends a request with a good token, unless change takes it away.
func do(t *testing.T, g http.Handler, method, target, body string, change func(*http.Request)) *http.Response {
	t.Helper()
	token, err := Token(
		Identity{Tenant: "tenant-1", Email: "ann@example.com", Groups: []string{"a", "admin"}},
		time.Minute,
	)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestEvent(t *testing.T) {
	is := is.New(t)
	g, f := newGateway()
	resp := do(t, g, "GET", "/v1.0/orders/a%3Ab%2Fc?status=paid&status=pending&q=x+y", "", func(r *http.Request) {
		r.Header.Add("X-Many", "1")
		r.Header.Add("X-Many", "2")
		r.Header.Set("X-Forwarded-For", "192.0.2.9")
	})
	is.Equal(resp.StatusCode, 200)
	is.Equal(f.event.Resource, "/v1.0/orders/{orderId}")
	is.Equal(f.event.Path, "/v1.0/orders/a:b/c")
	is.Equal(f.event.HTTPMethod, "GET")
	is.Equal(
		f.event.PathParameters,
		map[string]string{"orderId": "a:b/c"},
	) // decoded
	is.Equal(
		f.event.QueryStringParameters,
		map[string]string{"status": "pending", "q": "x y"},
	) // the last one wins
	is.Equal(
		f.event.MultiValueQueryStringParameters,
		map[string][]string{"status": {"paid", "pending"}, "q": {"x y"}},
	) // all of them
	is.Equal(
		f.event.Headers["X-Many"],
		"2",
	) // the last one wins
	is.Equal(
		f.event.MultiValueHeaders["X-Many"],
		[]string{"1", "2"},
	) // all of them
	is.Equal(
		f.event.Headers["X-Forwarded-For"],
		"192.0.2.9, 192.0.2.1",
	) // the client is added
	is.Equal(f.event.RequestContext.Stage, "dev")
	is.Equal(f.event.RequestContext.ResourcePath, "/v1.0/orders/{orderId}")
	is.Equal(f.event.RequestContext.Identity.SourceIP, "192.0.2.1")
	is.Equal(f.event.RequestContext.RequestID, resp.Header.Get("X-Amzn-Requestid")) // the client sees the request id
	is.Equal(f.trace, resp.Header.Get("X-Amzn-Trace-Id"))                           // and the trace
	is.Equal(f.trace, f.event.Headers["X-Amzn-Trace-Id"])
	is.True(strings.HasPrefix(f.trace, "Root=1-"))
}

func TestEventHasNullsWhereApiGatewayHasThem(t *testing.T) {
	is := is.New(t)
	g, f := newGateway()
	do(t, g, "POST", "/v1.0/orders", "{}", nil)
	for _, name := range []string{
		"queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables",
	} {
		value, there := f.raw[name]
		is.True(there && value == nil) // null rather than an empty object
	}
}

func TestClaimsAreStrings(t *testing.T) {
	is := is.New(t)
	g, f := newGateway()
	do(t, g, "POST", "/v1.0/orders", "{}", nil)
	claims, ok := f.event.RequestContext.Authorizer["claims"].(map[string]any)
	is.True(ok)
	is.Equal(claims["custom:tenantId"], "tenant-1")
	is.Equal(claims["email"], "ann@example.com")
	is.Equal(claims["cognito:groups"], "a,admin")
	is.Equal(claims["email_verified"], "true")
	for _, value := range claims {
		said, isText := value.(string)
		is.True(isText && said != "") // a claim is a string
	}
	exp, err := time.Parse("Mon Jan 02 15:04:05 MST 2006", claims["exp"].(string))
	is.NoErr(err) // a time is spelled out
	is.True(exp.After(time.Now()))
}

func TestAuthorizer(t *testing.T) {
	good, err := Token(Identity{Tenant: "t"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	expired, err := Token(Identity{Tenant: "t"}, -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		signed, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	later := time.Now().Add(time.Hour).Unix()
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "exp": later}
	for _, c := range []struct {
		name, header string
		want         int
	}{
		{"bearer token", "Bearer " + good, 200},
		{"bare token", good, 200},
		{"no token", "", 401},
		{"bearer alone", "Bearer ", 401},
		{"not a token", "Bearer x.y.z", 401},
		{"expired", "Bearer " + expired, 401},
		{"changed signature", "Bearer " + good[:len(good)-4] + "AAAA", 401},
		{
			"no algorithm",
			"Bearer " + sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims),
			401,
		},
		{
			"signed with the public key",
			"Bearer " + sign(jwt.SigningMethodHS256, []byte("x"), claims),
			401,
		},
		{
			"another issuer",
			"Bearer " + sign(jwt.SigningMethodEdDSA, key(), jwt.MapClaims{"iss": "x", "aud": audience, "exp": later}),
			401,
		},
		{
			"another audience",
			"Bearer " + sign(jwt.SigningMethodEdDSA, key(), jwt.MapClaims{"iss": issuer, "aud": "x", "exp": later}),
			401,
		},
		{"no expiry", "Bearer " + sign(jwt.SigningMethodEdDSA, key(), jwt.MapClaims{"iss": issuer, "aud": audience}), 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			g, f := newGateway()
			resp := do(t, g, "POST", "/v1.0/orders", "{}", func(r *http.Request) { r.Header.Set("Authorization", c.header) })
			is.Equal(resp.StatusCode, c.want)
			is.Equal(f.trace != "", c.want == 200) // the function runs for accepted tokens only
		})
	}
}

func TestBody(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		encoded                 bool
	}{
		{"json", "application/json; charset=utf-8", `{"a":"ž"}`, false},
		{"json by suffix", "application/problem+json", "{}", false},
		{"no type", "", "{}", false},
		{"binary type", "application/octet-stream", "{}", true},
		{"not UTF-8", "application/json", "\xff", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			g, f := newGateway()
			do(t, g, "POST", "/v1.0/orders", c.body, func(r *http.Request) { r.Header.Set("Content-Type", c.contentType) })
			got := []byte(f.event.Body)
			is.Equal(f.event.IsBase64Encoded, c.encoded)
			if c.encoded {
				var err error
				got, err = base64.StdEncoding.DecodeString(f.event.Body)
				is.NoErr(err)
			}
			is.True(bytes.Equal(got, []byte(c.body))) // the function receives the body that was sent
		})
	}
}

func TestAnswer(t *testing.T) {
	is := is.New(t)
	g, f := newGateway()
	f.answer = `{"statusCode":202,"headers":{"content-type":"application/json","X-A":"1"},
		"multiValueHeaders":{"Set-Cookie":["a","b"],"X-A":["1","2"]},
		"isBase64Encoded":true,"body":"` + base64.StdEncoding.EncodeToString(
		[]byte("\x00body"),
	) + `"}`
	resp := do(t, g, "POST", "/v1.0/orders", "{}", nil)
	is.Equal(resp.StatusCode, 202)
	is.Equal(resp.Header.Get("Content-Type"), "application/json")
	is.Equal(resp.Header.Values("Set-Cookie"), []string{"a", "b"})
	is.Equal(resp.Header.Values("X-A"), []string{"1", "2"}) // a header in both is not doubled
	is.Equal(text(t, resp), "\x00body")
}

func TestGatewayAnswersByItself(t *testing.T) {
	noRoute := failure{403, "MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token"}
	tooLong := failure{413, "REQUEST_TOO_LARGE", "Request Too Long"}
	for _, c := range []struct {
		name, method, target, body string
		want                       failure
		broken                     func(*gateway, *fakeFunction)
	}{
		{name: "unknown path", method: "GET", target: "/v1.0/nothing", want: noRoute},
		{name: "unknown method", method: "DELETE", target: "/v1.0/orders", want: noRoute},
		{name: "empty parameter", method: "GET", target: "/v1.0/orders/", want: noRoute},
		{name: "outside the API", method: "GET", target: "/", want: noRoute},
		{name: "10 MB", method: "POST", target: "/v1.0/orders", body: strings.Repeat("x", maxBody+1), want: tooLong},
		{name: "6 MB", method: "POST", target: "/v1.0/orders", body: strings.Repeat("x", maxPayload), want: tooLong},
		{
			name: "function error", method: "POST", target: "/v1.0/orders",
			want:   failure{502, "INTEGRATION_FAILURE", "Internal server error"},
			broken: func(_ *gateway, f *fakeFunction) { f.err = &lambdaapi.Error{Type: "errorString"} },
		},
		{
			name: "throttled", method: "POST", target: "/v1.0/orders", want: failure{429, "THROTTLED", "Too Many Requests"},
			broken: func(_ *gateway, f *fakeFunction) { f.err = lambdaapi.ErrThrottled },
		},
		{
			name: "too slow", method: "POST", target: "/v1.0/orders",
			want:   failure{504, "INTEGRATION_TIMEOUT", "Endpoint request timed out"},
			broken: func(g *gateway, f *fakeFunction) { g.timeout, f.hangs = time.Millisecond, true },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			g, f := newGateway()
			if c.broken != nil {
				c.broken(g, f)
			}
			resp := do(t, g, c.method, c.target, c.body, nil)
			is.Equal(resp.StatusCode, c.want.status)
			is.Equal(resp.Header.Get("Access-Control-Allow-Origin"), "https://portal.example")
			var body struct{ Error, Message, RequestID string }
			is.NoErr(json.NewDecoder(resp.Body).Decode(&body))
			is.Equal(body.Error, c.want.kind)
			is.Equal(body.Message, c.want.message)
			is.Equal(body.RequestID, resp.Header.Get("X-Amzn-Requestid"))
		})
	}
}

func TestMalformedAnswerIsBadGateway(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON":                   "fine",
		"no status":                 `{"body":"fine"}`,
		"a status that is a string": `{"statusCode":"200"}`,
		"a body that is an object":  `{"statusCode":200,"body":{}}`,
		"more than the format has":  `{"statusCode":200,"data":1}`,
		"a broken encoding":         `{"statusCode":200,"isBase64Encoded":true,"body":"?"}`,
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			g, f := newGateway()
			f.answer = answer
			is.Equal(do(t, g, "POST", "/v1.0/orders", "{}", nil).StatusCode, http.StatusBadGateway)
		})
	}
}

func TestPreflight(t *testing.T) {
	is := is.New(t)
	g, _ := newGateway()
	resp := do(t, g, "OPTIONS", "/v1.0/orders/1", "", func(r *http.Request) { r.Header.Del("Authorization") })
	is.Equal(resp.StatusCode, 204) // without a token
	is.Equal(resp.Header.Get("Access-Control-Allow-Origin"), "https://portal.example")
	is.Equal(resp.Header.Get("Access-Control-Allow-Methods"), "GET,POST,PUT,OPTIONS")
	is.Equal(do(t, g, "OPTIONS", "/v1.0/nothing", "", nil).StatusCode, 403) // no path, no preflight
}

func TestOtherAnswersOutsideTheAPI(t *testing.T) {
	is := is.New(t)
	g, _ := newGateway()
	g.Other = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	is.Equal(text(t, do(t, g, "GET", "/", "", nil)), "page")
	is.Equal(do(t, g, "GET", "/v1.0/nothing", "", nil).StatusCode, 403)
}
