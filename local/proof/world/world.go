// Package world stands in for the AWS services that the order service uses: DynamoDB, SQS, SNS, S3 and SES v2. It
// speaks their protocols behind an http.RoundTripper, in this process and without a network, so that thousands of orders
// pass in seconds and the clock may be a virtual one. It knows what the service asks for and refuses everything else.
//
// It answers correctly and at once. Faults are for its user to add: Read tells which call a request is, Do carries it out,
// and Refuse answers it as the service would in trouble.
package world

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A World is one account in one region. It is safe for concurrent use.
type World struct {
	mu      sync.Mutex
	now     func() time.Time
	Table   *Table
	queues  map[string]*Queue // by name
	topics  map[string][]subscription
	objects map[string]Object // by bucket/key
	mails   []Mail
	serial  int
}

// New returns an account with one table, and neither queues, topics nor objects.
func New(table string, now func() time.Time) *World {
	return &World{
		now:     now,
		Table:   newTable(table, now),
		queues:  map[string]*Queue{},
		topics:  map[string][]subscription{},
		objects: map[string]Object{},
	}
}

// A Call is one request to a service.
type Call struct {
	Service   string // dynamodb, sqs, sns, s3, ses or cart
	Operation string // as AWS names it
	Target    string // what it is about: keys, names or handles
	do        func() Answer

	table       *Table // of a call of DynamoDB
	writes      []key
	transaction bool
	begun       bool
	conflicts   []bool // of the writes, those that met another
}

// String names the call: two calls that do the same have the same name.
func (c *Call) String() string { return c.Service + " " + c.Operation + " " + c.Target }

// Do carries the call out.
func (c *Call) Do() Answer {
	c.Begin()
	defer c.End()
	return c.do()
}

// An Answer is what a service answers.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Response returns the answer to a request.
func (a Answer) Response(req *http.Request) *http.Response {
	header := a.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		Status:        strconv.Itoa(a.Status) + " " + http.StatusText(a.Status),
		StatusCode:    a.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(a.Body)),
		ContentLength: int64(len(a.Body)),
		Request:       req,
	}
}

// RoundTrip implements http.RoundTripper without any fault.
func (w *World) RoundTrip(req *http.Request) (*http.Response, error) {
	call, err := w.Read(req)
	if err != nil {
		return nil, err
	}
	return call.Do().Response(req), nil
}

// Read tells which call a request is. The error says that no service here would understand it.
func (w *World) Read(req *http.Request) (*Call, error) {
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	host, _, _ := strings.Cut(req.URL.Host, ".")
	target := req.Header.Get("X-Amz-Target")
	switch {
	case strings.HasPrefix(target, "DynamoDB_20120810."):
		return w.readDynamoDB(strings.TrimPrefix(target, "DynamoDB_20120810."), body)
	case strings.HasPrefix(target, "AmazonSQS."):
		return w.readSQS(strings.TrimPrefix(target, "AmazonSQS."), body)
	case host == "sns":
		return w.readSNS(body)
	case host == "email":
		return w.readSES(req, body)
	case strings.Contains(req.URL.Host, "s3."):
		return w.readS3(req, body)
	default:
		return nil, fmt.Errorf("no service for %s %s", req.Method, req.URL)
	}
}

func readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close() //nolint:errcheck // Only read from.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(req.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return unchunk(body)
	}
	return body, nil
}

// unchunk decodes the content coding aws-chunked: chunks with their length in hexadecimal before them, and a trailer.
func unchunk(body []byte) ([]byte, error) {
	var out []byte
	for {
		head, rest, ok := bytes.Cut(body, []byte("\r\n"))
		if !ok {
			return nil, fmt.Errorf("chunk without a head")
		}
		length, _, _ := strings.Cut(string(head), ";")
		n, err := strconv.ParseUint(length, 16, 31)
		if err != nil || int(n) > len(rest) {
			return nil, fmt.Errorf("chunk of length %q in %d bytes", length, len(rest))
		}
		if n == 0 {
			return out, nil
		}
		out = append(out, rest[:n]...)
		body = bytes.TrimPrefix(rest[n:], []byte("\r\n"))
	}
}

// Trouble is a way in which a service refuses a call that it would otherwise carry out.
type Trouble string

// The troubles.
const (
	Throttled   Trouble = "throttled"    // too many calls
	ServerError Trouble = "server error" // a fault of the service's own
	Conflict    Trouble = "conflict"     // of DynamoDB: a concurrent transaction on the same item
)

// Refuse answers the call as the service does in trouble. The variant, any number, chooses among the forms that the
// service's refusal may take. Source: the "common errors" and error lists of each service's API reference.
func (c *Call) Refuse(t Trouble, variant int) Answer {
	pick := func(answers ...Answer) Answer { return answers[variant%len(answers)] }
	switch c.Service {
	case "dynamodb":
		return c.refuseDynamoDB(t, pick)
	case "sqs":
		if t == Throttled {
			return pick(jsonError(400, "com.amazonaws.sqs#RequestThrottled", "Rate exceeded"),
				jsonError(400, "com.amazonaws.sqs#ThrottlingException", "Rate exceeded"))
		}
		return pick(jsonError(500, "com.amazonaws.sqs#InternalFailure", "internal failure"), Answer{Status: 503})
	case "sns":
		if t == Throttled {
			return snsError(400, "Throttling", "Rate exceeded")
		}
		return pick(snsError(500, "InternalFailure", "internal failure"), snsError(503, "ServiceUnavailable", "unavailable"))
	case "s3":
		if t == Throttled {
			return s3Error(503, "SlowDown")
		}
		return pick(s3Error(500, "InternalError"), s3Error(503, "ServiceUnavailable"))
	default:
		if t == Throttled {
			return restError(429, "TooManyRequestsException", "Too many requests")
		}
		return pick(restError(500, "InternalFailure", "internal failure"), Answer{Status: 502})
	}
}

func (c *Call) refuseDynamoDB(t Trouble, pick func(...Answer) Answer) Answer {
	transaction := c.Operation == "TransactWriteItems"
	switch {
	case t == Conflict && transaction:
		return pick(cancelled("TransactionConflict", "None"), cancelled("None", "TransactionConflict"),
			dynamoError(400, "TransactionInProgressException", "The transaction with the given request token is already in progress"))
	case t == Conflict:
		return dynamoError(400, "TransactionConflictException", "Transaction is ongoing for the item")
	case t == Throttled && transaction:
		return pick(cancelled("ThrottlingError", "None"), cancelled("None", "ProvisionedThroughputExceeded"),
			dynamoError(400, "ThrottlingException", "Throughput exceeds the current capacity of your table"))
	case t == Throttled:
		return pick(dynamoError(400, "ProvisionedThroughputExceededException", "The level of configured provisioned throughput was exceeded"),
			dynamoError(400, "ThrottlingException", "Throughput exceeds the current capacity of your table"),
			dynamoError(400, "RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account"))
	default:
		return pick(dynamoError(500, "InternalServerError", "Internal server error"), Answer{Status: 503})
	}
}

func jsonAnswer(status int, body any) Answer {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // A mistake in this package.
	}
	return Answer{Status: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: text}
}

func jsonError(status int, kind, message string) Answer {
	return jsonAnswer(status, map[string]string{"__type": kind, "message": message})
}

func restError(status int, kind, message string) Answer {
	a := jsonAnswer(status, map[string]string{"message": message})
	a.Header.Set("X-Amzn-Errortype", kind)
	return a
}

func xmlAnswer(status int, body any) Answer {
	text, err := xml.Marshal(body)
	if err != nil {
		panic(err) // A mistake in this package.
	}
	return Answer{Status: status, Header: http.Header{"Content-Type": {"text/xml"}}, Body: text}
}

// id returns a serial number as a text that looks like the ids that AWS gives.
func (w *World) id() string {
	w.serial++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", w.serial)
}

// NewCall returns a call of a service that is not of AWS.
func NewCall(service, operation, target string, do func() Answer) *Call {
	return &Call{Service: service, Operation: operation, Target: target, do: do}
}
