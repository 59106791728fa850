package proof

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/roles"
)

// A reusable house serves many calls of one fuzzing process, and is replaced before it holds too much.
type reusable struct {
	house *house
	used  int
}

func (r *reusable) get(t *testing.T) *house {
	if r.used++; r.house == nil || r.used%500 == 0 {
		r.house = newHouse(t)
		r.house.order(as(owner))
		r.house.drain()
	}
	r.house.t = t
	r.house.log.Reset()
	return r.house
}

// held fails where a handler panicked: it answers all the same.
func held(t *testing.T, h *house) {
	t.Helper()
	if strings.Contains(h.log.String(), "panicked") {
		t.Error(h.log.String())
	}
}

func readEvents(f *testing.F) map[string][]byte {
	f.Helper()
	payloads := map[string][]byte{}
	for _, role := range roles.All() {
		payload, err := os.ReadFile(filepath.Join("..", "..", "roles", "testdata", role.Name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		payloads[role.Name] = payload
	}
	return payloads
}

// FuzzEvent gives every role whatever Lambda might: no panic, and what is an
// event of API Gateway is never answered with a 5xx.
func FuzzEvent(f *testing.F) {
	for _, payload := range readEvents(f) {
		f.Add(payload)
	}
	for _, payload := range []string{
		"", "null", "[]", "{}", `"x"`, `{"Records":null}`, `{"Records":[{}]}`, `{"body":1}`,
		`{"requestContext":{"authorizer":{"claims":{"custom:tenantId":"acme"}}}}`,
	} {
		f.Add([]byte(payload))
	}
	var shared reusable
	f.Fuzz(func(t *testing.T, payload []byte) {
		h := shared.get(t)
		for role, handler := range h.handlers {
			answer, err := handler.Invoke(context.Background(), payload)
			if err != nil {
				continue // Lambda reports it, and neither API Gateway nor SQS sends such a thing.
			}
			var res struct{ StatusCode int }
			if json.Unmarshal(answer, &res) != nil || res.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s answered %s", role, answer)
			}
		}
		held(t, h)
	})
}

// FuzzRequest puts anything into each place of a request that a client fills:
// never a 5xx, never an answer that is no JSON.
func FuzzRequest(f *testing.F) {
	for _, payload := range readEvents(f) {
		var e events.APIGatewayProxyRequest
		if json.Unmarshal(payload, &e) != nil || e.HTTPMethod == "" {
			continue
		}
		path := e.PathParameters["orderId"] + e.PathParameters["tenantId"] // It has one of them at most.
		f.Add(path, "status", "paid", "Idempotency-Key", "key-1", e.Body, false)
		for name, value := range e.QueryStringParameters {
			f.Add(path, name, value, "Accept", e.Headers["Accept"], e.Body, false)
		}
	}
	f.Add("acme", "from", "2025-12-30", "If-Match", `"x"`, "eyJzdGF0dXMiOiJwYWlkIn0=", true)
	f.Add("acme", "startAt", "e30", "if-match", "*", `{"paymentDetails":{"paidAt":"2025-12-30T10:30:00+02:00"}}`, false)
	f.Add("acme", "pageSize", "100", "idempotency-key", "\x00", "\xff", false)
	f.Add("6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f", "sort", "-dateCreated", "", "", "", false)
	var shared reusable
	f.Fuzz(func(t *testing.T, path, query, value, header, content, body string, encoded bool) {
		h := shared.get(t)
		for _, role := range []string{"create_order", "get_order", "list_orders", "update_order"} {
			for _, tenant := range []string{owner, rival} {
				r := h.call(role, as(tenant), func(e *events.APIGatewayProxyRequest) {
					e.PathParameters = map[string]string{"orderId": path, "tenantId": path}
					e.QueryStringParameters = map[string]string{query: value}
					e.Headers[header] = content
					e.Body, e.IsBase64Encoded = body, encoded
				})
				if r.status < 200 || r.status >= http.StatusInternalServerError {
					t.Errorf("%s was answered %d %s", role, r.status, r.body)
				}
			}
		}
		held(t, h)
	})
}

// FuzzMessage gives every consumer a message: no panic, and the answer names that message or none.
func FuzzMessage(f *testing.F) {
	for _, payload := range readEvents(f) {
		var e events.SQSEvent
		if json.Unmarshal(payload, &e) == nil {
			for _, record := range e.Records {
				f.Add(record.Body, "1")
			}
		}
	}
	f.Add(`{"Type":"Notification","Message":`+
		`"{\"orderId\":\"6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f\",\"tenantId\":\"acme\"}"}`, "3")
	f.Add(`{"Type":"Notification","Message":null}`, "x")
	f.Add(`null`, "-1")
	var shared reusable
	f.Fuzz(func(t *testing.T, body, receives string) {
		h := shared.get(t)
		for _, role := range consumers() {
			answer := h.invoke(role, events.SQSEvent{Records: []events.SQSMessage{{
				MessageId: "the message", ReceiptHandle: "handle", Body: body,
				Attributes: map[string]string{"ApproximateReceiveCount": receives},
			}}})
			if s := string(answer); s != `{"batchItemFailures":[]}` &&
				s != `{"batchItemFailures":[{"itemIdentifier":"the message"}]}` {
				t.Errorf("%s answered %s", role, s)
			}
		}
		held(t, h)
	})
}

// FuzzPageToken lists orders from any token: they are one's own, or the token is refused.
func FuzzPageToken(f *testing.F) {
	f.Add("eyJQSyI6IlRFTkFOVCNhY21lIiwiU0siOiJPUkRFUiM3ZTQ3NDQ2YS0zN2M3LTRkMTAtYmVjYy05NDcxZmEzZTI5M2IiLCJxdWVyeSI6In"+
		"x8fCJ9", "", "")
	f.Add("e30", "dateCreated", "2025-12-30T10:30:00Z")
	f.Add("", "-dateCreated", "")
	var shared reusable
	f.Fuzz(func(t *testing.T, token, sort, from string) {
		h := shared.get(t)
		r := h.call("list_orders", as(owner), func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"tenantId": owner}
			e.QueryStringParameters = map[string]string{"startAt": token}
			for name, v := range map[string]string{"sort": sort, "from": from} {
				if v != "" {
					e.QueryStringParameters[name] = v
				}
			}
		})
		if r.status != http.StatusOK && r.status != http.StatusBadRequest {
			t.Errorf("%d %s", r.status, r.body)
		}
		orders, _ := r.data["orders"].([]any)
		for _, o := range orders {
			id, _ := o.(map[string]any)["id"].(string)
			if h.world.Table.Item("TENANT#"+owner, "ORDER#"+id) == nil {
				t.Errorf("%s is not the tenant's", id)
			}
		}
		held(t, h)
	})
}
