package proof

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/cartstub"
	"github.com/bbws/order-lambda/notify/templates"
)

// The names of what is set up.
const (
	tableName       = "orders"
	ordersBucket    = "order-documents"
	templatesBucket = "mail-templates"
	teamAddress     = "team@kimmyai.example" // who gets the mails to the team
	taxRate         = "0.15"                 // the roles' own default

	// MaxReceives is how often a queue delivers a message.
	maxReceives = 3

	stage    = "dev"
	region   = "eu-west-1"
	account  = "123456789012"
	topicARN = "arn:aws:sns:" + region + ":" + account + ":bbws-order-events-" + stage
	sqsURL   = "https://sqs." + region + ".amazonaws.com/" + account + "/"
	cartURL  = "https://carts.example/v1.0/cart"
)

// World is everything around the eight functions, in one process and without a
// network: DynamoDB with its stream, SQS, SNS, S3, SES v2 and the Cart API, set up
// as deploy/ does. It speaks their protocols behind an http.RoundTripper, so that
// thousands of orders pass in seconds and the clock may be a virtual one. It knows
// what the service asks for and refuses everything else.
//
// It answers correctly and at once. Faults are for its user to add: Read tells
// which call a request is, Do carries it out, and Refuse answers it as the
// service would in trouble. It is safe for concurrent use.
type World struct {
	Table *Table
	// Cart answers the Cart API. By default it is the one of package cartstub.
	Cart func(tenant, id string) Answer
	// Latency is how long a call takes that goes through RoundTrip or ServeHTTP.
	// It may be nil.
	Latency func(*Call) time.Duration
	// OnPublish is told of every event that SNS takes. It may be nil, and must
	// not use the world.
	OnPublish func(message string)
	// MailRate is how many mails SES takes in a second; 0 stands for any number.
	MailRate int

	mu      sync.Mutex
	now     func() time.Time
	roles   map[string]deploy.Role
	queues  map[string]*Queue // by name
	topic   []subscription
	objects map[string]Object // by bucket/key
	mails   []Mail
	mailing second
	serial  int
}

// newWorld returns the world with an empty table, empty queues, and the branding and
// the templates that ship with the service.
func newWorld(now func() time.Time) *World {
	w := &World{
		Table:   newTable(tableName, now),
		Cart:    stubCart,
		now:     now,
		queues:  map[string]*Queue{},
		objects: map[string]Object{},
	}
	var err error
	if w.roles, err = deploy.Roles(); err != nil {
		panic(err) // It is built in.
	}
	for _, role := range slices.Sorted(maps.Keys(w.roles)) { // The same in every run.
		r := w.roles[role]
		if !r.IsConsumer() {
			continue
		}
		q := w.addQueue(r.Queue+"-"+stage, 6*time.Duration(r.Timeout)*time.Second)
		q.dead = w.addQueue(r.Queue+"-dlq-"+stage, 0)
		if len(r.Events) > 0 {
			w.topic = append(w.topic, subscription{q, r.Events})
		}
	}
	w.addQueue("bbws-order-events-dlq-"+stage, 0)
	w.ship(templates.FS, "")
	w.ship(branding.Files, "branding/")
	return w
}

// ship puts files into the bucket of templates.
func (w *World) ship(files fs.FS, prefix string) {
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		w.Put(templatesBucket, prefix+name, body)
		return err
	})
	if err != nil {
		panic(err) // The files are built in.
	}
}

// Env returns the environment variables of a role.
func (w *World) Env(role string) map[string]string {
	return deploy.Settings(w.roles, role, deploy.Place{
		Environment:     stage,
		Region:          region,
		Table:           tableName,
		QueueURL:        func(queue string) string { return sqsURL + queue + "-" + stage },
		TopicARN:        topicARN,
		CartURL:         cartURL,
		OrdersBucket:    ordersBucket,
		TemplatesBucket: templatesBucket,
		FromAddress:     "orders@kimmyai.example",
		TeamAddress:     teamAddress,
	})
}

// awsConfig returns the configuration of AWS clients that use the world, without
// retries.
func awsConfig(client aws.HTTPClient) aws.Config {
	return aws.Config{
		Region: region, HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// A Call is one request to a service.
type Call struct {
	Service   string // dynamodb, sqs, sns, s3, ses or cart
	Operation string // as AWS names it
	Target    string // what it is about: keys, names or handles
	Mail      *Mail  // of SES's SendEmail
	Body      []byte // of S3's PutObject
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
	if w.Latency != nil {
		call.Begin()
		time.Sleep(w.Latency(call))
	}
	return call.Do().Response(req), nil
}

// Do makes it the HTTP client of the AWS SDK.
func (w *World) Do(req *http.Request) (*http.Response, error) { return w.RoundTrip(req) }

// ServeHTTP makes it a server, for functions in processes of their own.
func (w *World) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	resp, err := w.RoundTrip(req)
	if err != nil {
		http.Error(out, err.Error(), http.StatusNotImplemented)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // It is in memory.
	maps.Copy(out.Header(), resp.Header)
	out.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(out, resp.Body)
}

// Read tells which call a request is. The error says that no service here would
// understand it.
func (w *World) Read(req *http.Request) (*Call, error) {
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	service, operation, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	switch path := req.URL.Path; {
	case service == "DynamoDB_20120810":
		return w.readDynamoDB(operation, body)
	case service == "AmazonSQS":
		return w.readSQS(operation, body)
	case strings.HasPrefix(path, "/v2/email/"):
		return w.readSES(req, body)
	case strings.HasPrefix(path, "/v1.0/cart/"):
		tenant, id := req.Header.Get("X-Tenant-Id"), strings.TrimPrefix(path, "/v1.0/cart/")
		return &Call{
			Service: "cart", Operation: "GetCart", Target: tenant + " " + id,
			do: func() Answer { return w.Cart(tenant, id) },
		}, nil
	case req.Method == http.MethodPost && path == "/":
		return w.readSNS(body)
	default:
		return w.readS3(req, body)
	}
}

// stubCart answers as the local stack's Cart API does the first time.
func stubCart(tenant, id string) Answer {
	status, body, _ := cartstub.Answer(tenant, id, 1)
	return Answer{Status: status, Body: body}
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

// unchunk decodes the content coding aws-chunked: chunks with their length in
// hexadecimal before them, and a trailer.
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

// Trouble is a way in which a service refuses a call that it would otherwise
// carry out.
type Trouble int

// The troubles.
const (
	Throttled   Trouble = iota // too many calls
	ServerError                // a fault of the service's own
)

// Refuse answers the call as the service does in trouble. The variant, any
// number, chooses among the forms that the service's refusal may take. Source:
// the "common errors" and error lists of each service's API reference.
func (c *Call) Refuse(t Trouble, variant int) Answer {
	service := c.Service
	if c.transaction {
		service = "transaction"
	}
	const capacity = "Throughput exceeds the current capacity of your table"
	down := []Answer{dynamoError(500, "InternalServerError", "Internal server error"), {Status: 503}}
	forms := map[string][2][]Answer{
		"dynamodb": {{
			dynamoError(400, "ProvisionedThroughputExceededException",
				"The level of configured provisioned throughput was exceeded"),
			dynamoError(400, "ThrottlingException", capacity),
			dynamoError(400, "RequestLimitExceeded", "Throughput exceeds the throughput limit for your account"),
		}, down},
		"transaction": {{
			cancelled("ThrottlingError", "None"), cancelled("None", "ProvisionedThroughputExceeded"),
			dynamoError(400, "ThrottlingException", capacity),
			dynamoError(400, "TransactionInProgressException",
				"The transaction with the given request token is already in progress"),
		}, down},
		"cart": {{{Status: 429}}, {{Status: 500}, {Status: 503}, {Status: 502}}},
		"sqs": {
			{
				jsonError(400, "com.amazonaws.sqs#RequestThrottled", "Rate exceeded"),
				jsonError(400, "com.amazonaws.sqs#ThrottlingException", "Rate exceeded"),
			},
			{jsonError(500, "com.amazonaws.sqs#InternalFailure", "internal failure"), {Status: 503}},
		},
		"sns": {
			{snsError(400, "Throttling", "Rate exceeded")},
			{snsError(500, "InternalFailure", "internal failure"), snsError(503, "ServiceUnavailable", "unavailable")},
		},
		"s3": {{s3Error(503, "SlowDown")}, {s3Error(500, "InternalError"), s3Error(503, "ServiceUnavailable")}},
		"ses": {
			{restError(429, "TooManyRequestsException", "Too many requests")},
			{restError(500, "InternalFailure", "internal failure"), {Status: 502}},
		},
	}[service][t]
	return forms[variant%len(forms)]
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
