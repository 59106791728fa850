package roles

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/order"
)

// maxBody is the largest request body, in bytes after decoding.
const maxBody = 64 << 10

const (
	// answerReserve is what an invocation keeps of its time to answer and to
	// tidy up once its work has run out of time.
	answerReserve = time.Second
	// mostWork is how long a request may be worked on. The client has its answer
	// within 27 s; the gateway gives up after 29.
	mostWork = 26 * time.Second
)

// A caller is who a request comes from, according to the authorizer.
type caller struct {
	tenantID string
	user     string // verified e-mail address, else subject
	subject  string // as the log names the user
	groups   []string
}

// adminGroup is the group whose members act for every tenant.
const adminGroup = "admin"

// isIn reports whether the caller is a member of a group.
func (c caller) isIn(group string) bool { return slices.Contains(c.groups, group) }

// admin reports whether the caller acts for every tenant.
func (c caller) admin() bool { return c.isIn(adminGroup) }

// A request is an API call of an authenticated caller.
type request struct {
	caller
	event events.APIGatewayProxyRequest
}

// A response is a successful answer.
type response struct {
	status  int
	headers map[string]string
	data    any
}

type apiHandler func(ctx context.Context, r request) (response, error)

// The errors of the HTTP edge itself.
var (
	errUnauthenticated = errors.New("unauthenticated")
	errForbidden       = errors.New("forbidden")
	errPrecondition    = errors.New("precondition failed")
	errNotRecorded     = errors.New("order is not recorded")
)

// api turns a handler of requests into a handler of API Gateway's REST proxy
// events, payload version 1.0.
func api(allowedOrigin string, h apiHandler) handler {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var event events.APIGatewayProxyRequest
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, fmt.Errorf("not an API Gateway proxy event: %w", err)
		}
		start := time.Now()
		work, cancel := reserve(ctx, answerReserve)
		defer cancel()
		work, cancel = context.WithTimeout(work, mostWork)
		defer cancel()
		res, err := serve(work, event, h)
		answer := events.APIGatewayProxyResponse{
			StatusCode: res.status,
			Headers: map[string]string{
				"Content-Type":                  "application/json",
				"Cache-Control":                 "no-store",
				"Access-Control-Allow-Origin":   allowedOrigin,
				"Access-Control-Expose-Headers": "ETag, Location, Idempotent-Replayed",
			},
		}
		var body any
		if err != nil {
			f := explain(err)
			f.RequestID = requestID(ctx)
			answer.StatusCode, body = f.status, f
			logFailure(ctx, f, err)
		} else {
			body = success{true, res.data}
			for name, value := range res.headers {
				answer.Headers[name] = value
			}
		}
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false) // A link stays readable.
		if err := encoder.Encode(body); err != nil {
			return nil, fmt.Errorf("encode answer: %w", err)
		}
		answer.Body = text.String()
		logger(ctx).Info().
			Str("method", event.HTTPMethod).
			Str("resource", event.Resource).
			Int("status", answer.StatusCode).
			Dur("durationMs", time.Since(start)).
			Msg("request answered")
		return json.Marshal(answer)
	}
}

// serve authenticates and handles a request. A panic becomes an error, so that
// the client gets an answer of the usual form.
func serve(ctx context.Context, event events.APIGatewayProxyRequest, h apiHandler) (res response, err error) {
	defer func() {
		if p := recover(); p != nil {
			logger(ctx).Error().Bytes("stack", debug.Stack()).Msg("handler panicked")
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	who, err := authenticate(event.RequestContext.Authorizer)
	if err != nil {
		return response{}, err
	}
	annotate(ctx, who.tenantID, "")
	return h(ctx, request{who, event})
}

// reserve returns a context that ends a little before the invocation does.
func reserve(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-d))
	}
	return context.WithCancel(ctx)
}

// authenticate reads the claims that the authorizer passed on.
func authenticate(authorizer map[string]any) (caller, error) {
	claims, ok := authorizer["claims"].(map[string]any)
	if !ok || len(claims) == 0 {
		return caller{}, errUnauthenticated
	}
	claim := func(name string) string {
		s, _ := claims[name].(string)
		return s
	}
	who := caller{tenantID: claim("custom:tenantId"), user: order.SystemUser, groups: groups(claim("cognito:groups"))}
	if !order.IsTenantID(who.tenantID) {
		return caller{}, fmt.Errorf("%w: no valid tenant in the token", errForbidden)
	}
	if sub := claim("sub"); sub != "" && order.IsText(sub) {
		who.subject, who.user = sub, sub
	}
	// Users can write any address into their profile. Only one that Cognito has
	// verified identifies them.
	verified := claims["email_verified"] == true || claim("email_verified") == "true"
	if email := claim("email"); verified && email != "" && order.IsText(email) {
		who.user = email
	}
	return who, nil
}

// groups reads the claim cognito:groups, which arrives as "admin", "a,admin" or
// "[a admin]".
func groups(claim string) []string {
	return strings.FieldsFunc(claim, func(r rune) bool { return strings.ContainsRune("[], ", r) })
}

// body returns the decoded body of the request.
func (r request) body() ([]byte, error) {
	body := []byte(r.event.Body)
	if r.event.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(r.event.Body)
		if err != nil {
			return nil, order.InvalidError{{Field: "body", Message: "is not valid base64"}}
		}
		body = decoded
	}
	if len(body) > maxBody {
		message := fmt.Sprintf("must have at most %d bytes, has %d", maxBody, len(body))
		return nil, order.InvalidError{{Field: "body", Message: message}}
	}
	return body, nil
}

// header returns the values of a header, whatever the case of its name.
func (r request) header(name string) []string {
	for n, values := range r.event.MultiValueHeaders {
		if strings.EqualFold(n, name) {
			return values
		}
	}
	for n, value := range r.event.Headers {
		if strings.EqualFold(n, name) {
			return []string{value}
		}
	}
	return nil
}

// orderID returns the order id of the path. A malformed one cannot exist, so it
// is not found.
func (r request) orderID() (string, error) {
	id := r.event.PathParameters["orderId"]
	if !order.IsID(id) {
		return "", order.ErrNotFound
	}
	return id, nil
}

// success is the envelope of a good answer, failure that of an error.
type (
	success struct {
		Success bool `json:"success"`
		Data    any  `json:"data"`
	}
	failure struct {
		Success   bool               `json:"success"` // always false
		Code      string             `json:"code"`    // stable: clients tell errors apart by it
		Error     string             `json:"error"`   // the text of the HTTP status
		Message   string             `json:"message"`
		Details   []order.FieldError `json:"details,omitempty"`
		RequestID string             `json:"requestId"`

		status int
	}
)

// explain maps an error to the answer that a client gets. It is the only place
// that knows both.
func explain(err error) failure {
	var invalid order.InvalidError
	switch {
	case errors.As(err, &invalid):
		return fail(http.StatusBadRequest, "invalid_request", "The request has invalid fields.", invalid...)
	case errors.Is(err, order.ErrTransition):
		return fail(http.StatusBadRequest, "invalid_transition", err.Error(),
			order.FieldError{Field: "status", Message: err.Error()})
	case errors.Is(err, order.ErrPageToken):
		return fail(http.StatusBadRequest, "invalid_page_token",
			"The page token is malformed, or of another tenant or query.",
			order.FieldError{Field: "startAt", Message: "must be the nextToken of a page of the same query"})
	case errors.Is(err, errUnauthenticated):
		return fail(http.StatusUnauthorized, "unauthenticated", "The request has no valid token.")
	case errors.Is(err, errForbidden):
		return fail(http.StatusForbidden, "forbidden", "The token does not allow this.")
	case errors.Is(err, order.ErrNotFound), errors.Is(err, order.ErrDeleted):
		return fail(http.StatusNotFound, "not_found", "There is no such order.")
	case errors.Is(err, order.ErrChanged):
		return fail(http.StatusConflict, "order_changed",
			"Someone else updated the order in between. Read it again and retry.")
	case errors.Is(err, order.ErrPaymentExists):
		return fail(http.StatusConflict, "payment_exists",
			"The order has another payment. Read it, and send If-Match to replace the payment.")
	case errors.Is(err, order.ErrTooManyChanges):
		return fail(http.StatusConflict, "too_many_changes",
			"The order has been changed too often to be changed once more.")
	case errors.Is(err, errNotRecorded):
		return fail(http.StatusConflict, "order_not_recorded",
			"The order is accepted but not recorded, so it cannot be updated. Read it to see how it stands.")
	case errors.Is(err, errPrecondition):
		return fail(http.StatusPreconditionFailed, "precondition_failed",
			"The order does not match If-Match. Read it again and retry.")
	case errors.Is(err, order.ErrKeyReused):
		return fail(http.StatusUnprocessableEntity, "idempotency_key_reused",
			"The Idempotency-Key was used with another body. Use a new key for a new request.")
	default:
		return fail(http.StatusInternalServerError, "internal",
			"The request could not be handled, or its outcome is unknown. "+
				"Try again later; an Idempotency-Key makes that safe for a new order.")
	}
}

func fail(status int, code, message string, details ...order.FieldError) failure {
	return failure{Code: code, Error: http.StatusText(status), Message: message, Details: details, status: status}
}

// logFailure writes the one line about an error: the service's own faults as
// errors, the client's as information.
func logFailure(ctx context.Context, f failure, err error) {
	level := zerolog.InfoLevel
	if f.status >= http.StatusInternalServerError {
		level = zerolog.ErrorLevel
	}
	logger(ctx).WithLevel(level).Str("code", f.Code).Str("error", redact(err.Error())).Msg("request failed")
}
