package roles

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// trace adds tracing to the role's calls to AWS and to the Cart API. Each call
// becomes a subsegment of the segment that Lambda makes for the invocation. If
// no daemon listens, the calls are made without it.
//
// The daemon's protocol is small, and X-Ray's SDK would more than double the
// binary. Source: "X-Ray segment documents" and "Sending trace data to X-Ray"
// of the X-Ray developer guide.
func trace(s Settings, d Deps) Deps {
	conn, err := net.Dial("udp", udpAddress(s.get(xrayDaemon()))) //nolint:noctx // UDP does not wait.
	if err != nil {
		return d
	}
	t := &tracer{out: conn, now: d.Now, table: s.get(tableName())}
	d.AWS.APIOptions = append(d.AWS.APIOptions[:len(d.AWS.APIOptions):len(d.AWS.APIOptions)], t.aws)
	d.Transport = &tracedTransport{d.Transport, t}
	return d
}

// udpAddress reads AWS_XRAY_DAEMON_ADDRESS: one address, or "tcp:host:port
// udp:host:port" in any order.
func udpAddress(v string) string {
	for part := range strings.FieldsSeq(v) {
		if address, ok := strings.CutPrefix(part, "udp:"); ok {
			return address
		}
		if !strings.HasPrefix(part, "tcp:") {
			return part
		}
	}
	return "127.0.0.1:2000"
}

// A tracer sends subsegments.
type tracer struct {
	out   io.Writer // each write is a datagram
	now   func() time.Time
	table string
}

// A subsegment is X-Ray's document about a call.
type subsegment struct {
	TraceID     string            `json:"trace_id"`
	ID          string            `json:"id"`
	ParentID    string            `json:"parent_id"`
	Type        string            `json:"type"`
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"` // aws, or remote
	Start       float64           `json:"start_time"`
	End         float64           `json:"end_time"`
	Error       bool              `json:"error,omitempty"`    // the caller's fault: 4xx
	Throttle    bool              `json:"throttle,omitempty"` // 429 and the like
	Fault       bool              `json:"fault,omitempty"`    // 5xx, or no answer
	Cause       *cause            `json:"cause,omitempty"`
	HTTP        httpCall          `json:"http"`
	AWS         *awsCall          `json:"aws,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"` // can be searched for
}

type cause struct {
	Exceptions []exception `json:"exceptions"`
}

type exception struct {
	ID   string `json:"id"`
	Type string `json:"type"` // the error's code: its text may quote what is private
}

type httpCall struct {
	Request struct {
		Method string `json:"method,omitempty"`
		URL    string `json:"url,omitempty"`
	} `json:"request"`
	Response struct {
		Status int `json:"status,omitempty"`
	} `json:"response"`
}

type awsCall struct {
	Operation string `json:"operation"`
	Region    string `json:"region,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	Retries   int    `json:"retries"`
	Table     string `json:"table_name,omitempty"`
	Queue     string `json:"queue_url,omitempty"`
	Topic     string `json:"topic_arn,omitempty"`
	Bucket    string `json:"bucket_name,omitempty"`
}

// begin starts the subsegment of a call. It returns nil if the invocation's
// trace is not sampled. An invocation may have messages of several traces, so
// the calls for a message are annotated with its id and its own trace.
func (t *tracer) begin(ctx context.Context, name, namespace string) *subsegment {
	var parent, sampled string
	header := traceHeader(ctx)
	for part := range strings.SplitSeq(header, ";") {
		switch key, value, _ := strings.Cut(strings.TrimSpace(part), "="); key {
		case "Parent":
			parent = value
		case "Sampled":
			sampled = value
		}
	}
	root := traceRoot(header)
	if root == "" || parent == "" || sampled != "1" {
		return nil
	}
	s := &subsegment{
		TraceID: root, ID: newSpanID(), ParentID: parent, Type: "subsegment",
		Name: name, Namespace: namespace, Start: seconds(t.now()),
	}
	if m := scopeOf(ctx).message; m != nil {
		s.Annotations = map[string]string{"messageId": m.id}
		if id := traceRoot(m.trace); id != "" {
			s.Annotations["messageTraceId"] = id
		}
	}
	return s
}

// end sends a subsegment with the status of the answer, 0 if there was none.
func (t *tracer) end(s *subsegment, status int, err error) {
	s.End = seconds(t.now())
	s.HTTP.Response.Status = status
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	_, s.Throttle = retry.DefaultThrottleErrorCodes[code]
	s.Throttle = s.Throttle || status == http.StatusTooManyRequests
	s.Error = status >= 400 && status < 500
	s.Fault = status >= 500 || err != nil && !s.Error
	if err != nil {
		s.Cause = &cause{[]exception{{newSpanID(), cmp.Or(code, fmt.Sprintf("%T", err))}}}
	}
	document, _ := json.Marshal(s) // texts and numbers: cannot fail
	_, _ = t.out.Write(append([]byte("{\"format\": \"json\", \"version\": 1}\n"), document...))
}

// aws adds the tracer to an AWS client. A call is one subsegment, whatever the
// number of its tries.
func (t *tracer) aws(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("XRay", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		s := t.begin(ctx, awsmiddleware.GetServiceID(ctx), "aws")
		if s == nil {
			return next.HandleInitialize(ctx, in)
		}
		out, metadata, err := next.HandleInitialize(ctx, in)
		if err == nil && awsmiddleware.GetRawResponse(metadata) == nil {
			return out, metadata, nil // a link was signed, nobody was called
		}
		s.AWS = &awsCall{Operation: awsmiddleware.GetOperationName(ctx), Region: awsmiddleware.GetRegion(ctx)}
		s.AWS.RequestID, _ = awsmiddleware.GetRequestIDMetadata(metadata)
		if tries, ok := retry.GetAttemptResults(metadata); ok {
			s.AWS.Retries = max(0, len(tries.Results)-1)
		}
		if s.Name == "DynamoDB" {
			s.AWS.Table = t.table // some operations name it deep inside
		}
		s.AWS.Queue = parameter(in, "QueueUrl")
		s.AWS.Topic = parameter(in, "TopicArn")
		s.AWS.Bucket = parameter(in, "Bucket")
		status := 0
		var failure *smithyhttp.ResponseError
		if resp, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response); ok {
			status = resp.StatusCode
		} else if errors.As(err, &failure) {
			status = failure.HTTPStatusCode()
		}
		t.end(s, status, err)
		return out, metadata, err
	}), middleware.After) // after the client has set its name and operation
}

// parameter returns a text among the parameters of an operation, or "".
func parameter(in middleware.InitializeInput, name string) string {
	v := reflect.Indirect(reflect.ValueOf(in.Parameters))
	if v.Kind() != reflect.Struct {
		return ""
	}
	if f := v.FieldByName(name); f.IsValid() {
		if text, ok := f.Interface().(*string); ok && text != nil {
			return *text
		}
	}
	return ""
}

// A tracedTransport makes a subsegment of each try of a call, and sends the
// trace along.
type tracedTransport struct {
	http.RoundTripper
	tracer *tracer
}

// RoundTrip implements http.RoundTripper.
func (t *tracedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	s := t.tracer.begin(r.Context(), r.URL.Hostname(), "remote")
	if s == nil {
		return t.RoundTripper.RoundTrip(r)
	}
	s.HTTP.Request.Method, s.HTTP.Request.URL = r.Method, r.URL.String()
	r = r.Clone(r.Context())
	r.Header.Set("X-Amzn-Trace-Id", "Root="+s.TraceID+";Parent="+s.ID+";Sampled=1")
	resp, err := t.RoundTripper.RoundTrip(r)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	t.tracer.end(s, status, err)
	return resp, err
}

// newSpanID returns 64 random bits in hexadecimal.
func newSpanID() string { return fmt.Sprintf("%016x", rand.Uint64()) } //nolint:gosec // unique, not secret

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
