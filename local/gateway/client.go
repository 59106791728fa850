package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/bbws/order-lambda/order"
)

// A Client calls the API as one person.
type Client struct {
	URL       string // of the API, without a slash at the end
	Token     string
	Transport http.RoundTripper // nil means http.DefaultTransport
}

// An Answer is what the API said.
type Answer struct {
	Status  int
	Header  http.Header
	Text    string
	Data    json.RawMessage
	Code    string
	Message string
	Details []struct{ Field, Message string }
}

// Call sends a request; headers alternate names and values. The error means
// that there is no answer, or none of the API's form.
func (c Client) Call(ctx context.Context, method, path, body string, headers ...string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := cmp.Or(c.Transport, http.DefaultTransport).RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Text: string(text)}
	if err := json.Unmarshal(text, &a); err != nil {
		return Answer{}, fmt.Errorf("%s %s: %s: %w", method, path, text, err)
	}
	return a, nil
}

// Do sends a request that must succeed, and decodes the answer's data.
func (c Client) Do(ctx context.Context, method, path, body string, data any) error {
	a, err := c.Call(ctx, method, path, body)
	if err != nil {
		return err
	}
	if a.Status >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %d %s", method, path, a.Status, a.Text)
	}
	return json.Unmarshal(a.Data, data)
}

// Order reads an order.
func (c Client) Order(ctx context.Context, id string) (o Order, err error) {
	return o, c.Do(ctx, http.MethodGet, "/v1.0/orders/"+id, "", &o)
}

// An Order is an order as the API shows it, recorded or not: what is asked of
// it here.
type Order struct {
	ID, OrderNumber, TenantID, CustomerEmail, CartID, DateCreated, DateLastUpdated, FailureReason, PDFURL string

	Status         order.Status
	Items          []struct{ ProductName string }
	Total          json.Number
	PaymentDetails *order.PaymentDetails
	Documents      []order.Document
	History        []order.Entry
}

// Recorded reports whether the order is more than accepted.
func (o Order) Recorded() bool { return len(o.History) > 0 }

// Document returns the order's document of a kind, and whether there is one.
func (o Order) Document(kind order.DocumentKind) (order.Document, bool) {
	return (&order.Order{Documents: o.Documents}).Document(kind)
}

// Placement is the body of a request for an order of a cart.
func Placement(email, cart string) string {
	return fmt.Sprintf(`{"customerEmail": %q, "cartId": %q, "customerName": "Thandi Nkosi",
		"billingAddress": {"fullName": "Thandi Nkosi", "street": "12 Long Street", "city": "Cape Town",
		"province": "Western Cape", "postalCode": "8001", "country": "ZA"}}`, email, cart)
}
