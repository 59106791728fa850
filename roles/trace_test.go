package roles

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

const (
	invocationTrace = "1-67719f28-aaaaaaaaaaaaaaaaaaaaaaaa"
	lambdaSegment   = "53995c3f42cd8ad8"
)

// daemon stands for the X-Ray daemon.
type daemon struct{ net.PacketConn }

func startDaemon(t *testing.T) daemon {
	t.Helper()
	var config net.ListenConfig
	conn, err := config.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return daemon{conn}
}

// documents returns what was sent so far: sending over loopback is done when it
// returns.
func (d daemon) documents(t *testing.T) []subsegment {
	t.Helper()
	var got []subsegment
	datagram := make([]byte, 64<<10)
	for {
		_ = d.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, _, err := d.ReadFrom(datagram)
		if err != nil {
			return got
		}
		header, document, _ := strings.Cut(string(datagram[:n]), "\n")
		if header != `{"format": "json", "version": 1}` {
			t.Fatalf("the header is %s", header)
		}
		var s subsegment
		decoder := json.NewDecoder(strings.NewReader(document))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
}

// invokeTraced runs a role on its event, in an account.
func invokeTraced(t *testing.T, role string, a *account, change map[string]string, sampled int) {
	t.Helper()
	name, _, _ := strings.Cut(role, ".")
	env := complete(name)
	env["ENABLE_XRAY"] = "true"
	for name, value := range change {
		env[name] = value
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	header := fmt.Sprintf("Root=%s;Parent=%s;Sampled=%d", invocationTrace, lambdaSegment, sampled)
	if _, err := a.build(t, env, io.Discard).Invoke(withTrace(ctx, header), roleEvent(t, role)); err != nil {
		t.Fatal(err)
	}
}

// TestTrace holds which calls each role makes, in their order: that is what it
// costs, and how long it takes.
func TestTrace(t *testing.T) {
	const (
		brand = "S3 GetObject templates, S3 GetObject templates, " // the tenant's, then everybody's
		mail  = "DynamoDB GetItem orders, DynamoDB UpdateItem orders, " + brand +
			"S3 GetObject templates, SESv2 SendEmail , DynamoDB UpdateItem orders"
	)
	for role, want := range map[string]string{
		"create_order": "DynamoDB PutItem orders, DynamoDB UpdateItem orders, DynamoDB PutItem orders, " +
			"SQS SendMessage https://sqs.eu-west-1.amazonaws.com/123456789012/queue",
		"get_order":    "DynamoDB GetItem orders",
		"list_orders":  "DynamoDB Query orders",
		"update_order": "DynamoDB GetItem orders, DynamoDB UpdateItem orders",
		"order_creator_record": "DynamoDB GetItem orders, " +
			"api-dev.bbws.io GET https://api-dev.bbws.io/v1.0/cart/cart-good, DynamoDB PutItem orders, DynamoDB PutItem orders",
		"order_creator_record.stream": "SNS PublishBatch arn:aws:sns:eu-west-1:123456789012:topic",
		"order_pdf_creator": "DynamoDB GetItem orders, " + brand +
			"S3 GetObject templates, S3 PutObject orders, DynamoDB UpdateItem orders",
		"order_internal_notifier":     mail,
		"customer_order_confirmation": mail,
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			d := startDaemon(t)
			name, _, _ := strings.Cut(role, ".")
			invokeTraced(t, role, newAccount(t, name), map[string]string{xrayDaemon().Name: d.LocalAddr().String()}, 1)
			var calls []string
			ids := map[string]bool{}
			for _, s := range d.documents(t) {
				ids[s.ID] = true
				calls = append(calls, checkedCall(is, s))
			}
			is.Equal(strings.Join(calls, ", "), want)
			is.Equal(len(ids), len(calls)) // each has an id of its own
		})
	}
}

// checkedCall returns the name of the call that a subsegment tells of, after a
// look at the rest of it.
func checkedCall(is *is.I, s subsegment) string {
	is.Equal(s.TraceID, invocationTrace)
	is.Equal(s.ParentID, lambdaSegment)
	is.Equal(s.Type, "subsegment")
	is.Equal(len(s.ID), 16)
	is.True(s.End >= s.Start && s.Start > 1.7e9)
	absent := s.HTTP.Response.Status == http.StatusNotFound // a logo of the tenant's own, say
	is.True(s.HTTP.Response.Status == http.StatusOK || absent)
	is.Equal(s.Error, absent)
	is.Equal(s.Cause != nil, absent)
	is.True(!s.Fault && !s.Throttle)
	if s.AWS == nil {
		is.Equal(s.Namespace, "remote")
		return s.Name + " " + s.HTTP.Request.Method + " " + s.HTTP.Request.URL
	}
	is.Equal(s.Namespace, "aws")
	is.Equal(s.AWS.Region, "eu-west-1")
	is.Equal(s.AWS.RequestID, requestIDOfAWS)
	is.Equal(s.AWS.Retries, 0)
	return s.Name + " " + s.AWS.Operation + " " + cmp.Or(s.AWS.Table, s.AWS.Queue, s.AWS.Topic, s.AWS.Bucket)
}

func TestTraceOfMessage(t *testing.T) {
	is := is.New(t)
	d := startDaemon(t)
	a := newAccount(t, "order_creator_record")
	var passed string
	a.next = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/cart/") {
			passed = r.Header.Get("X-Amzn-Trace-Id")
		}
		return false
	}
	invokeTraced(t, "order_creator_record", a, map[string]string{xrayDaemon().Name: d.LocalAddr().String()}, 1)
	for _, doc := range d.documents(t) {
		is.Equal(doc.Annotations, map[string]string{
			"messageId": "059f36b4-87a3-44ab-83d2-661970000001", "messageTraceId": "1-67719f28-3f1d2c4b5a69788796a5b4c3",
		})
		if doc.Namespace == "remote" {
			is.Equal(passed, "Root="+invocationTrace+";Parent="+doc.ID+";Sampled=1") // the Cart API goes on with it
		}
	}
	is.True(passed != "")
}

func TestTraceOfFailures(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		code    string
		retries int
		flags   string
	}{
		{"a refusal is an error", http.StatusBadRequest, "AccessDeniedException", 0, "true false false"},
		{"throttling is marked", http.StatusBadRequest, "ThrottlingException", 2, "true true false"},
		{"a service that fails is a fault", http.StatusInternalServerError, "InternalServerError", 2, "false false true"},
	} {
		t.Run(tt.name+", with its tries", func(t *testing.T) {
			is := is.New(t)
			d := startDaemon(t)
			a := &account{next: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				w.WriteHeader(tt.status)
				_, _ = fmt.Fprintf(w, `{"__type": "com.amazonaws.dynamodb#%s", "message": "thandi@example.com"}`, tt.code)
				return true
			}}
			invokeTraced(
				t, "get_order", a, map[string]string{xrayDaemon().Name: "tcp:127.0.0.1:1 udp:" + d.LocalAddr().String()}, 1,
			)
			got := d.documents(t)
			is.Equal(len(got), 1)
			is.Equal(got[0].AWS.Retries, tt.retries)
			is.Equal(fmt.Sprint(got[0].Error, got[0].Throttle, got[0].Fault), tt.flags)
			is.Equal(got[0].HTTP.Response.Status, tt.status)
			is.Equal(got[0].Cause.Exceptions[0].Type, tt.code) // and not its text
		})
	}
	t.Run("a connection that breaks is a fault", func(t *testing.T) {
		is := is.New(t)
		d := startDaemon(t)
		a := &account{next: func(http.ResponseWriter, *http.Request) bool { panic("reset") }}
		invokeTraced(t, "get_order", a, map[string]string{xrayDaemon().Name: d.LocalAddr().String()}, 1)
		got := d.documents(t)
		is.Equal(len(got), 1)
		is.Equal(got[0].HTTP.Response.Status, 0)
		is.Equal(fmt.Sprint(got[0].Error, got[0].Throttle, got[0].Fault), "false false true")
		is.True(got[0].Cause.Exceptions[0].Type != "")
	})
	t.Run("a Cart API that fails is a fault, each time", func(t *testing.T) {
		is := is.New(t)
		d := startDaemon(t)
		a := newAccount(t, "order_creator_record")
		tries := 0
		a.next = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/cart/") {
				return false
			}
			if tries++; tries == 1 {
				panic(http.ErrAbortHandler)
			}
			if tries == 2 {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return tries == 2
		}
		invokeTraced(t, "order_creator_record", a, map[string]string{xrayDaemon().Name: d.LocalAddr().String()}, 1)
		var faults []string
		for _, doc := range d.documents(t) {
			if doc.Namespace == "remote" {
				faults = append(faults, fmt.Sprint(doc.Fault, doc.HTTP.Response.Status))
			}
		}
		is.Equal(faults, []string{"true 0", "true 500", "false 200"})
	})
}

func TestTraceSaysNothing(t *testing.T) {
	for _, tt := range []struct {
		name    string
		role    string
		change  map[string]string
		sampled int
	}{
		{"an invocation that is not sampled", "get_order", nil, 0},
		{"a cart of an invocation that is not sampled", "order_creator_record", nil, 0},
		{"a role without ENABLE_XRAY", "get_order", map[string]string{"ENABLE_XRAY": "false"}, 1},
	} {
		t.Run("of "+tt.name, func(t *testing.T) {
			is := is.New(t)
			d := startDaemon(t)
			change := map[string]string{xrayDaemon().Name: d.LocalAddr().String()}
			for name, value := range tt.change {
				change[name] = value
			}
			invokeTraced(t, tt.role, newAccount(t, tt.role), change, tt.sampled)
			is.Equal(len(d.documents(t)), 0)
		})
	}
	t.Run("of a link, for which nobody is called", func(t *testing.T) {
		is := is.New(t)
		d := startDaemon(t)
		a := newAccount(t, "get_order")
		o := sampleOrder(t)
		o.Issue(order.Document{Kind: order.ProForma, URL: "s3://orders/acme/orders/order_" + orderID + ".pdf"})
		a.item = encodeJSON(t, image(t, o))
		invokeTraced(t, "get_order", a, map[string]string{xrayDaemon().Name: d.LocalAddr().String()}, 1)
		got := d.documents(t)
		is.Equal(len(got), 1)
		is.Equal(got[0].AWS.Operation, "GetItem")
	})
	t.Run("where the header lacks a part", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		const root, parent = "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3", "Parent=53995c3f42cd8ad8"
		for header, traced := range map[string]bool{
			root + ";" + parent + ";Sampled=1": true, root + ";" + parent: false, root + ";Sampled=1": false,
			parent + ";Sampled=1": false, "": false,
		} {
			s := (&tracer{now: atNoon}).begin(withTrace(ctx, header), "s3", "aws")
			is.Equal(s != nil, traced)
			is.True(s == nil || s.Start == float64(noon.Unix()))
		}
	})
	t.Run("of a parameter that is not given", func(t *testing.T) {
		is := is.New(t)
		is.Equal(parameter(middleware.InitializeInput{Parameters: &s3.GetObjectInput{}}, "Bucket"), "")
	})
	t.Run("where there is no daemon", func(t *testing.T) {
		invokeTraced(t, "get_order", newAccount(t, "get_order"), map[string]string{xrayDaemon().Name: "no address"}, 1)
	})
	t.Run("and listens to what Lambda says about the daemon", func(t *testing.T) {
		is := is.New(t)
		is.Equal(udpAddress(""), "127.0.0.1:2000")
		is.Equal(udpAddress("169.254.79.129:2000"), "169.254.79.129:2000")
		is.Equal(udpAddress("tcp:127.0.0.1:2000 udp:127.0.0.2:2001"), "127.0.0.2:2001")
	})
}
