package roles

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func TestAuthenticate(t *testing.T) {
	claims := func(pairs ...string) map[string]any {
		c := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i]] = pairs[i+1]
		}
		return map[string]any{"claims": c}
	}
	for _, tt := range []struct {
		name       string
		authorizer map[string]any
		want       caller
		err        error
	}{
		{"no authorizer", nil, caller{}, errUnauthenticated},
		{"no claims", map[string]any{"claims": map[string]any{}}, caller{}, errUnauthenticated},
		{"claims that are none", map[string]any{"claims": "x"}, caller{}, errUnauthenticated},
		{"no tenant", claims("email", "a@example.com"), caller{}, errForbidden},
		{"a malformed tenant", claims("custom:tenantId", "a#b"), caller{}, errForbidden},
		{"a tenant that starts with a dot", claims("custom:tenantId", "..", "email", "a@example.com"), caller{}, errForbidden},
		{"a tenant too long", claims("custom:tenantId", strings.Repeat("a", 129)), caller{}, errForbidden},
		{"e-mail and subject", claims("custom:tenantId", "acme", "email", "a@example.com", "sub", "s"), caller{"acme", "a@example.com", false}, nil},
		{"subject only", claims("custom:tenantId", "acme", "sub", "s"), caller{"acme", "s", false}, nil},
		{"an unprintable e-mail", claims("custom:tenantId", "acme", "email", "a\r\nb", "sub", "s"), caller{"acme", "s", false}, nil},
		{"nobody", claims("custom:tenantId", "acme"), caller{"acme", "system", false}, nil},
		{"group admin", claims("custom:tenantId", "acme", "sub", "s", "cognito:groups", "admin"), caller{"acme", "s", true}, nil},
		{"group among others", claims("custom:tenantId", "acme", "sub", "s", "cognito:groups", "a,admin"), caller{"acme", "s", true}, nil},
		{"group in a list", claims("custom:tenantId", "acme", "sub", "s", "cognito:groups", "[a admin]"), caller{"acme", "s", true}, nil},
		{"a group that is not admin", claims("custom:tenantId", "acme", "sub", "s", "cognito:groups", "administrators,not-admin"), caller{"acme", "s", false}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			got, err := authenticate(tt.authorizer)
			is.Equal(got, tt.want)
			is.True(errors.Is(err, tt.err))
		})
	}
}

func TestAPI(t *testing.T) {
	t.Run("answers a panic like any other fault", func(t *testing.T) {
		is := is.New(t)
		ctx, log := invocation(t)
		a := call(t, ctx, func(context.Context, request) (response, error) { panic("boom") }, apiEvent(t, "get_order", nil))
		is.Equal(a.Status, http.StatusInternalServerError)
		is.Equal(a.Code, "internal")
		is.Equal(a.Error, "Internal Server Error")
		is.Equal(a.RequestID, "request-1")
		is.True(!strings.Contains(a.Message, "boom"))
		is.True(strings.Contains(log.String(), "boom"))
	})
	t.Run("answers without claims", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		a := call(t, ctx, nil, apiEvent(t, "get_order", func(e *events.APIGatewayProxyRequest) { e.RequestContext.Authorizer = nil }))
		is.Equal(a.Status, http.StatusUnauthorized)
		is.Equal(a.Code, "unauthenticated")
	})
	t.Run("keeps time to answer", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		end, _ := ctx.Deadline()
		call(t, ctx, func(ctx context.Context, _ request) (response, error) {
			work, _ := ctx.Deadline()
			is.Equal(end.Sub(work), answerReserve)
			return response{status: http.StatusOK}, nil
		}, apiEvent(t, "get_order", nil))
	})
	t.Run("refuses what is no proxy event", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		_, err := api("*", nil)(ctx, []byte(`[]`))
		is.True(err != nil)
	})
	t.Run("refuses to answer what has no JSON form", func(t *testing.T) {
		is := is.New(t)
		payload := []byte(`{"requestContext":{"authorizer":{"claims":{"custom:tenantId":"acme"}}}}`)
		_, err := api("*", func(context.Context, request) (response, error) {
			return response{status: http.StatusOK, data: func() {}}, nil
		})(t.Context(), payload)
		is.True(err != nil)
	})
}

// TestExplain holds every error that a client may meet to its status and code.
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{order.Invalid{{Field: "a", Message: "b"}}, 400, "invalid_request"},
		{order.ErrTransition, 400, "invalid_transition"},
		{order.ErrPageToken, 400, "invalid_page_token"},
		{errUnauthenticated, 401, "unauthenticated"},
		{errForbidden, 403, "forbidden"},
		{order.ErrNotFound, 404, "not_found"},
		{order.ErrChanged, 409, "order_changed"},
		{errNotRecorded, 409, "order_not_recorded"},
		{errPrecondition, 412, "precondition_failed"},
		{order.ErrKeyReused, 422, "idempotency_key_reused"},
		{errFault, 500, "internal"},
		{order.ErrExists, 500, "internal"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			is := is.New(t)
			f := explain(errors.Join(errors.New("while at work"), tt.err))
			is.Equal(f.status, tt.status)
			is.Equal(f.Code, tt.code)
			is.Equal(f.Error, http.StatusText(tt.status))
			is.True(f.Message != "")
		})
	}
}
