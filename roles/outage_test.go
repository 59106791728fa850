package roles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// answered returns the SDK's error of an answer of DynamoDB.
func answered(t *testing.T, status int, code string) error {
	t.Helper()
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient: doFunc(func(*http.Request) (*http.Response, error) {
			body := fmt.Sprintf(`{"__type": "com.amazonaws.dynamodb.v20120810#%s", "message": "why"}`, code)
			return &http.Response{
				StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
				Body: io.NopCloser(bytes.NewReader([]byte(body))),
			}, nil
		}),
	})
	return getItem(t, client)
}

// broken returns the SDK's error of a call whose connection fails.
func broken(t *testing.T, err error) error {
	t.Helper()
	return getItem(t, dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient:  doFunc(func(*http.Request) (*http.Response, error) { return nil, err }),
	}))
}

// cutOff returns the SDK's error of an answer that ends too early.
func cutOff(t *testing.T) error {
	t.Helper()
	return getItem(t, dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient: doFunc(func(*http.Request) (*http.Response, error) {
			body := io.MultiReader(strings.NewReader(`{"Item": {`), iotest.ErrReader(io.ErrUnexpectedEOF))
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
				Body: io.NopCloser(body),
			}, nil
		}),
	}))
}

func getItem(t *testing.T, client *dynamodb.Client) error {
	t.Helper()
	_, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("orders"), Key: map[string]types.AttributeValue{"PK": &types.AttributeValueMemberS{Value: "k"}},
	})
	if err == nil {
		t.Fatal("the call did not fail")
	}
	return err
}

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestIsOutage holds which errors are a neighbour's outage, that a message
// waits for, and which are failures of the message (section 7 of the contract).
func TestIsOutage(t *testing.T) {
	api := func(code string) error { return &smithy.GenericAPIError{Code: code} }
	for _, tt := range []struct {
		name   string
		err    error
		outage bool
	}{
		{"DynamoDB throttles the table", answered(t, 400, "ProvisionedThroughputExceededException"), true},
		{"DynamoDB throttles the account", answered(t, 400, "RequestLimitExceeded"), true},
		{"AWS throttles", answered(t, 400, "ThrottlingException"), true},
		{"DynamoDB fails", answered(t, 500, "InternalServerError"), true},
		{"DynamoDB is gone", answered(t, 503, "ServiceUnavailable"), true},
		{"a proxy gives up", answered(t, 502, "x"), true},
		{"a proxy has waited long", answered(t, 504, "x"), true},
		{"S3 asks to slow down", api("SlowDown"), true},
		{"SES sends too fast", &sestypes.TooManyRequestsException{}, true},
		{"the account's quota at SES", &sestypes.LimitExceededException{}, true},
		{"SES is paused", &sestypes.SendingPausedException{}, true},
		{"SES is suspended", &sestypes.AccountSuspendedException{}, true},
		{"a transaction is cancelled", &types.TransactionCanceledException{}, true},
		{"a transaction is in the way", &types.TransactionConflictException{}, true},
		{"the connection is refused", broken(t, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), true},
		{"the connection is reset", broken(t, &url.Error{Op: "Post", Err: syscall.ECONNRESET}), true},
		{
			"the name is not found",
			broken(t, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsTemporary: true}}), true,
		},
		{"the connection ends", broken(t, io.ErrUnexpectedEOF), true},
		{"the answer is cut", cutOff(t), true},
		{"the time is up", context.DeadlineExceeded, true},
		{"the time is up during a call", broken(t, context.DeadlineExceeded), true},
		{"the Cart API is down", fmt.Errorf("get cart: %w", order.ErrUnavailable), true},
		{"one of two", errors.Join(errFault, order.ErrUnavailable), true},

		{"no error", nil, false},
		{"nobody knows", errFault, false},
		{"a panic", fmt.Errorf("panic: %v", "boom"), false},
		{"not allowed", answered(t, 400, "AccessDeniedException"), false},
		{"a bad request", answered(t, 400, "ValidationException"), false},
		{"no such table", answered(t, 400, "ResourceNotFoundException"), false},
		{"a condition does not hold", answered(t, 400, "ConditionalCheckFailedException"), false},
		{"SES refuses the message", &sestypes.MessageRejected{}, false},
		{"no such bucket", api("NoSuchBucket"), false},
		{"never", &order.PermanentError{Reason: "cart not found"}, false},
		{
			"never, for what is cut",
			&order.PermanentError{Reason: "cart answer is malformed", Err: io.ErrUnexpectedEOF}, false,
		},
		{"a malformed message", order.InvalidError{{Field: "orderId", Message: "is required"}}, false},
		{"not found", order.ErrNotFound, false},
		{"too little time to start", errNoTimeLeft, false},
		{"another sends the mail", &laterError{errFault, 0}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(isOutage(tt.err), tt.outage)
			is.Equal(message{}.waits(tt.err), tt.outage)
			is.Equal(message{tooOld: true}.waits(tt.err), false)
			is.Equal(message{tooOld: true, receives: maxReceives}.waits(tt.err), errors.Is(tt.err, errNoTimeLeft))
		})
	}
}
