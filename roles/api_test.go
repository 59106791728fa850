package roles

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func TestAuthenticate(t *testing.T) {
	const (
		email = "a@example.com"
		sub   = "5e4d3c2b"
	)
	t.Run("by an e-mail address or a subject", func(t *testing.T) {
		for _, tt := range []struct {
			name            string
			email, verified any
			sub             string
			user            string
		}{
			{"a verified e-mail", email, "true", sub, email},
			{"an e-mail verified by a boolean", email, true, sub, email},
			{"an e-mail that is not verified", email, "false", sub, sub},
			{"an e-mail not verified by a boolean", email, false, sub, sub},
			{"an e-mail verified in other words", email, "TRUE", sub, sub},
			{"an e-mail of which nothing is said", email, nil, sub, sub},
			{"an e-mail that is not verified, and no subject", email, nil, "", order.SystemUser},
			{"a verified e-mail without a subject", email, true, "", email},
			{"an unprintable e-mail", "a\r\nb", "true", sub, sub},
			{"an unprintable subject", nil, nil, "a\nb", order.SystemUser},
			{"nobody", nil, nil, "", order.SystemUser},
		} {
			t.Run(tt.name, func(t *testing.T) {
				is := is.New(t)
				got, err := authenticate(withClaims(map[string]any{
					"custom:tenantId": acme, "email": tt.email, "email_verified": tt.verified, "sub": tt.sub,
				}))
				is.NoErr(err)
				is.Equal(got.tenantID, acme)
				is.Equal(got.user, tt.user)
				if order.IsText(tt.sub) {
					is.Equal(got.subject, tt.sub)
				} else {
					is.Equal(got.subject, "")
				}
				is.Equal(len(got.groups), 0)
			})
		}
	})
	t.Run("with groups", func(t *testing.T) {
		is := is.New(t)
		for claim, want := range map[string][]string{
			"admin": {"admin"}, "a,admin": {"a", "admin"}, "[a admin]": {"a", "admin"}, "[]": {},
		} {
			got, err := authenticate(withClaims(map[string]any{"custom:tenantId": acme, "cognito:groups": claim}))
			is.NoErr(err)
			is.Equal(got.groups, want)
		}
	})
	t.Run("an administrator is in the group admin, by its whole name", func(t *testing.T) {
		is := is.New(t)
		for claim, admin := range map[string]bool{
			"admin": true, "a,admin": true, "[a admin]": true, "a, admin ,b": true,
			"": false, "administrators,not-admin": false, "Admin": false, "[a-admin]": false, "admin/x": false,
		} {
			is.Equal(caller{groups: groups(claim)}.admin(), admin)
		}
	})
}

func TestAuthenticateRefuses(t *testing.T) {
	tenant := func(id any) map[string]any { return withClaims(map[string]any{"custom:tenantId": id}) }
	for _, tt := range []struct {
		name       string
		authorizer map[string]any
		err        error
	}{
		{"no authorizer", nil, errUnauthenticated},
		{"no claims", withClaims(map[string]any{}), errUnauthenticated},
		{"claims that are none", withClaims("x"), errUnauthenticated},
		{"no tenant", withClaims(map[string]any{"email": "a@example.com"}), errForbidden},
		{"a tenant that is no text", tenant(5), errForbidden},
		{"a malformed tenant", tenant("a#b"), errForbidden},
		{"a tenant that starts with a dot", tenant(".."), errForbidden},
		{"a tenant too long", tenant(strings.Repeat("a", 129)), errForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			got, err := authenticate(tt.authorizer)
			is.Equal(got, caller{})
			is.True(errors.Is(err, tt.err))
		})
	}
}

// withClaims returns what the authorizer passes on.
func withClaims(claims any) map[string]any { return map[string]any{"claims": claims} }

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
		a := call(
			t, ctx, nil,
			apiEvent(t, "get_order", func(e *events.APIGatewayProxyRequest) { e.RequestContext.Authorizer = nil }),
		)
		is.Equal(a.Status, http.StatusUnauthorized)
		is.Equal(a.Code, "unauthenticated")
	})
	t.Run("reads a body of 64 KiB", func(t *testing.T) {
		is := is.New(t)
		body, err := request{event: events.APIGatewayProxyRequest{Body: strings.Repeat(" ", 64<<10)}}.body()
		is.NoErr(err)
		is.Equal(len(body), 64<<10)
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

// TestAPIAnswersInTime holds that a client gets an answer of the service, and
// not API Gateway's, however long a neighbour takes.
func TestAPIAnswersInTime(t *testing.T) {
	hangs := func(ctx context.Context, _ request) (response, error) {
		<-ctx.Done()
		return response{status: http.StatusOK}, ctx.Err()
	}
	for _, tt := range []struct {
		name string
		left time.Duration // of the invocation, 0 for no end
		want time.Duration // until the answer
	}{
		{"before the gateway gives up", 30 * time.Second, mostWork},
		{"before a shorter invocation ends", 10 * time.Second, 10*time.Second - answerReserve},
		{"where the invocation has no end", 0, mostWork},
	} {
		t.Run(tt.name, func(t *testing.T) {
			event := apiEvent(t, "get_order", nil)
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				ctx := t.Context()
				if tt.left > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.left)
					defer cancel()
				}
				start := time.Now()
				a := call(t, ctx, hangs, event)
				is.Equal(a.Status, http.StatusInternalServerError)
				is.Equal(time.Since(start), tt.want)
				is.True(time.Since(start) <= 27*time.Second) // section 3 of the contract
			})
		})
	}
}

// TestExplain holds every error that a client may meet to its status and code.
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{order.InvalidError{{Field: "a", Message: "b"}}, 400, "invalid_request"},
		{order.ErrTransition, 400, "invalid_transition"},
		{order.ErrPageToken, 400, "invalid_page_token"},
		{errUnauthenticated, 401, "unauthenticated"},
		{errForbidden, 403, "forbidden"},
		{order.ErrNotFound, 404, "not_found"},
		{order.ErrDeleted, 404, "not_found"},
		{order.ErrChanged, 409, "order_changed"},
		{order.ErrPaymentExists, 409, "payment_exists"},
		{order.ErrTooManyChanges, 409, "too_many_changes"},
		{errNotRecorded, 409, "order_not_recorded"},
		{errPrecondition, 412, "precondition_failed"},
		{order.ErrKeyReused, 422, "idempotency_key_reused"},
		{errFault, 500, "internal"},
		{order.ErrExists, 500, "internal"},
		{order.ErrUnavailable, 500, "internal"},
		{context.DeadlineExceeded, 500, "internal"},
	} {
		t.Run(tt.err.Error(), func(t *testing.T) {
			is := is.New(t)
			f := explain(errors.Join(errors.New("while at work"), tt.err))
			is.Equal(f.status, tt.status)
			is.Equal(f.Code, tt.code)
			is.Equal(f.Error, http.StatusText(tt.status))
			is.True(f.Message != "")
			is.True(tt.status < 500 || !strings.Contains(f.Message, tt.err.Error())) // nothing about the cause
			ctx, log := invocation(t)
			logFailure(ctx, f, tt.err)
			is.Equal(strings.Contains(log.String(), `"level":"error"`), tt.status >= 500) // the service's own fault
		})
	}
	t.Run("a deleted order looks like none", func(t *testing.T) {
		is := is.New(t)
		is.Equal(explain(order.ErrDeleted), explain(order.ErrNotFound))
	})
}
