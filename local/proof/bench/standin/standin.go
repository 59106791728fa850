// Package standin answers in place of AWS and of the Cart API, with as little
// work as can be: for measurements of what calls them.
package standin

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/notify/templates"
)

// A Server answers the AWS services' and the Cart API's requests of one role
// with what it needs to get on, always the same. It decides by as little of a
// request as it can, so that it takes little of the machine.
type Server struct {
	order []byte // the recorded order, as DynamoDB JSON
	role  string // whose requests
}

// New returns the stand-in for a role. The golden item is that of the store's
// tests: store/testdata/order.json.
func New(role string, golden []byte) (*Server, error) {
	invoice := map[string]string{"S": "s3://orders/acme/orders/order_6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f.pdf"}
	var item map[string]any
	if err := json.Unmarshal(golden, &item); err != nil {
		return nil, fmt.Errorf("read the golden item: %w", err)
	}
	switch role {
	case "order_pdf_creator":
		delete(item, "pdfUrl") // else there is nothing to do
		item["documents"] = map[string]any{"M": map[string]any{}}
	case "get_order":
		item["pdfUrl"] = invoice
	case "update_order":
		item["pdfUrl"] = invoice
		item["status"] = map[string]string{"S": "pending"}
		delete(item, "paymentDetails")
	}
	order, err := json.Marshal(item)
	if err != nil {
		return nil, err
	}
	return &Server{order: order, role: role}, nil
}

// Environ returns the variables with which a role uses the stand-in at a URL.
func Environ(role, url string) []string {
	return []string{
		"ROLE=" + role,
		"ENVIRONMENT=dev",
		"AWS_REGION=eu-west-1",
		"DYNAMODB_TABLE_NAME=orders",
		"SQS_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/000000000000/queue",
		"ORDER_EVENTS_TOPIC_ARN=arn:aws:sns:eu-west-1:000000000000:events",
		"CART_LAMBDA_API_URL=" + url + "/v1.0/cart",
		"S3_ORDERS_BUCKET=orders",
		"S3_EMAIL_TEMPLATES_BUCKET=templates",
		"SES_FROM_ADDRESS=orders@example.com",
		"INTERNAL_NOTIFICATION_EMAIL=team@example.com",
		"AWS_ENDPOINT_URL=" + url,
		"AWS_ACCESS_KEY_ID=bench",
		"AWS_SECRET_ACCESS_KEY=bench",
		"AWS_SESSION_TOKEN=bench",
		"AWS_RESPONSE_CHECKSUM_VALIDATION=when_required",
	}
}

// A Transport hands requests to a handler without a network between. A handler
// that panics breaks the connection.
type Transport struct{ Handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, fmt.Errorf("connection lost: %v", p)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	t.Handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// Do makes it the HTTP client of the AWS SDK.
func (t Transport) Do(r *http.Request) (*http.Response, error) { return t.RoundTrip(r) }

const requestID = "00000000-0000-4000-8000-000000000000"

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := w.Header()
	h.Set("X-Amzn-Requestid", requestID)
	h.Set("X-Amz-Request-Id", requestID) // where S3 has it
	_, target, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if target != "" {
		h.Set("Content-Type", "application/x-amz-json-1.0")
		answer := s.target(target, body)
		h.Set("Content-Length", strconv.Itoa(len(answer)))
		h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(answer)), 10)) // as DynamoDB does
		_, _ = w.Write(answer)
		return
	}
	switch path := r.URL.Path; {
	case strings.Contains(path, "/cart/"):
		_, _ = fmt.Fprintf(w, `{"success": true, "data": {"cartId": %q, "tenantId": %q, "currency": "ZAR", "items": [
			{"id": "1", "productId": "p-1", "productName": "Rooibos", "quantity": 2, "unitPrice": 100.10, "discount": 0.20},
			{"id": "2", "productId": "p-2", "productName": "Honeybush", "quantity": 1, "unitPrice": 89.90}],
			"shipping": 50.00}}`,
			path[strings.LastIndexByte(path, '/')+1:], r.Header.Get("X-Tenant-Id"))
	case strings.HasPrefix(path, "/v2/email/"):
		_, _ = io.WriteString(w, `{"MessageId": "0100019a-00000000"}`)
	case r.Method == http.MethodPut:
		h.Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
	case r.Method == http.MethodGet:
		s.object(w, path)
	case bytes.Contains(body, []byte("Action=PublishBatch")):
		h.Set("Content-Type", "text/xml")
		_, _ = io.WriteString(
			w,
			`<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>`+
				`<Successful/><Failed/></PublishBatchResult></PublishBatchResponse>`,
		)
	case bytes.Contains(body, []byte("Action=Publish")): // what a base may still do
		h.Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>`+
			`<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult></PublishResponse>`)
	default:
		http.Error(w, "the benchmark's stand-in does not know "+r.Method+" "+path, http.StatusNotImplemented)
	}
}

// object answers with one of the objects that ship with the service.
func (s *Server) object(w http.ResponseWriter, path string) {
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/") // after the bucket
	for _, files := range []fs.FS{templates.FS, branding.Files} {
		if content, err := fs.ReadFile(files, strings.TrimPrefix(key, "branding/")); err == nil {
			_, _ = w.Write(content)
			return
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(
		w,
		`<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>`,
	)
}

// target answers the services that name their operation in a header.
func (s *Server) target(operation string, body []byte) []byte {
	switch operation {
	case "GetItem":
		switch {
		case bytes.Contains(body, []byte(`"COUNTER#`)):
			return []byte(
				`{"Item": {"PK": {"S": "TENANT#acme"}, "SK": {"S": "COUNTER#ORDER#2025"}, "value": {"N": "41"}}}`,
			)
		case s.role == "order_creator_record" && !bytes.Contains(body, []byte("ORDER#sample")): // the floor's sample
			return []byte(`{}`) // not yet recorded
		}
		return fmt.Appendf(nil, `{"Item": %s}`, s.order)
	case "Query":
		const page = 10
		items := bytes.Repeat(append(bytes.Clone(s.order), ','), page)
		return fmt.Appendf(nil, `{"Count": %d, "ScannedCount": %[1]d, "Items": [%s]}`, page, items[:len(items)-1])
	case "UpdateItem":
		if s.role == "update_order" {
			return fmt.Appendf(nil, `{"Attributes": %s}`, s.order)
		}
	case "SendMessage":
		var sent struct{ MessageBody string }
		_ = json.Unmarshal(body, &sent)
		return fmt.Appendf(
			nil,
			`{"MessageId": "5fea7756-0ea4-451a-a703-a558b933e274", "MD5OfMessageBody": "%x"}`,
			md5.Sum([]byte(sent.MessageBody)),
		)
	}
	return []byte(`{}`)
}
