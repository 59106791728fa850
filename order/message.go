package order

import (
	"encoding/json"
)

// EventCreated is the type of the only event that the service publishes, and EventVersion its version.
const (
	EventCreated = "order.created"
	EventVersion = "1"
)

// SystemUser is who acts where a message does not say who created the order.
const SystemUser = "system"

// A Creation is the message that asks the record creator for an order. OrderNumber and DateCreated may be unset where
// another producer sent it.
type Creation struct {
	OrderID        string         `json:"orderId"`
	OrderNumber    string         `json:"orderNumber,omitempty"`
	TenantID       string         `json:"tenantId"`
	CustomerEmail  string         `json:"customerEmail"`
	CustomerName   string         `json:"customerName,omitempty"`
	CartID         string         `json:"cartId"`
	BillingAddress BillingAddress `json:"billingAddress"`
	CampaignCode   string         `json:"campaignCode,omitempty"`
	PaymentMethod  string         `json:"paymentMethod,omitempty"`
	DateCreated    Timestamp      `json:"dateCreated,omitzero"`
	CreatedBy      string         `json:"createdBy,omitempty"`
}

// Receipt returns the receipt of the order that the message asks for, in the given status.
func (c Creation) Receipt(s Status, reason string) Receipt {
	return Receipt{
		ID:            c.OrderID,
		Number:        c.OrderNumber,
		TenantID:      c.TenantID,
		CustomerEmail: c.CustomerEmail,
		Status:        s,
		DateCreated:   c.DateCreated,
		FailureReason: reason,
	}
}

// ParseCreation reads a creation message. The error is Invalid and names every bad field. Fields that it does not know
// are ignored; null, "" and the zero time count as absent; an absent payment method or creator gets its default. The ids
// come back with the error where they are good, so that the failure can be told to whoever asks for the order.
func ParseCreation(body []byte) (Creation, error) {
	d, err := decode(body, false)
	if err != nil {
		return Creation{}, err
	}
	r := d.request()
	c := Creation{
		OrderID:        d.need("orderId", orderID),
		OrderNumber:    d.text("orderNumber", orderNumber),
		TenantID:       d.need("tenantId", tenantID),
		CustomerEmail:  r.CustomerEmail,
		CustomerName:   r.CustomerName,
		CartID:         r.CartID,
		BillingAddress: r.BillingAddress,
		CampaignCode:   r.CampaignCode,
		PaymentMethod:  r.PaymentMethod,
		DateCreated:    d.timestamp("dateCreated"),
		CreatedBy:      d.text("createdBy"),
	}
	if c.CreatedBy == "" {
		c.CreatedBy = SystemUser
	}
	return c, d.err()
}

// An Event tells that an order was recorded.
type Event struct {
	Type          string    `json:"eventType"`
	Version       string    `json:"version"`
	OrderID       string    `json:"orderId"`
	TenantID      string    `json:"tenantId"`
	OrderNumber   string    `json:"orderNumber"`
	CustomerEmail string    `json:"customerEmail"`
	DateCreated   Timestamp `json:"dateCreated"`
	TraceID       string    `json:"traceId,omitempty"`
}

// Created returns the event for a recorded order.
func (o *Order) Created(traceID string) Event {
	return Event{
		Type:          EventCreated,
		Version:       EventVersion,
		OrderID:       o.ID,
		TenantID:      o.TenantID,
		OrderNumber:   o.Number,
		CustomerEmail: o.CustomerEmail,
		DateCreated:   o.DateCreated,
		TraceID:       traceID,
	}
}

// ParseEvent reads what a consumer needs of an event: the order's and the tenant's id, and the trace id where there is one.
// The body may be the event itself or an SNS envelope around it. The error is Invalid.
func ParseEvent(body []byte) (Event, error) {
	var envelope struct {
		Type    string
		Message *string
	}
	if err := json.Unmarshal(body, &envelope); err == nil && envelope.Type == "Notification" && envelope.Message != nil {
		body = []byte(*envelope.Message)
	}
	d, err := decode(body, false)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		OrderID:  d.need("orderId", orderID),
		TenantID: d.need("tenantId", tenantID),
	}
	// Only for the log: whatever it is, the event is good.
	if json.Unmarshal(d.raw["traceId"], &e.TraceID) != nil || clean(e.TraceID) != "" {
		e.TraceID = ""
	}
	return e, d.err()
}

// A Request is a client's wish to turn a cart into an order.
type Request struct {
	CustomerEmail  string
	CustomerName   string
	CartID         string
	BillingAddress BillingAddress
	CampaignCode   string
	PaymentMethod  string
}

// DefaultPaymentMethod is taken where a request names none.
const DefaultPaymentMethod = "payfast"

// ParseRequest reads the body of POST /v1.0/orders. The error is Invalid and names every bad field, unknown ones included.
func ParseRequest(body []byte) (Request, error) {
	d, err := decode(body, true)
	if err != nil {
		return Request{}, err
	}
	return d.request(), d.err()
}

// Creation returns the message for the request, as accepted for a tenant and a user.
func (r Request) Creation(tenant, createdBy string) Creation {
	return Creation{
		TenantID:       tenant,
		CustomerEmail:  r.CustomerEmail,
		CustomerName:   r.CustomerName,
		CartID:         r.CartID,
		BillingAddress: r.BillingAddress,
		CampaignCode:   r.CampaignCode,
		PaymentMethod:  r.PaymentMethod,
		CreatedBy:      createdBy,
	}
}

// ParseUpdate reads the body of PUT /v1.0/orders/{orderId}. The error is Invalid and names every bad field.
func ParseUpdate(body []byte) (Update, error) {
	d, err := decode(body, true)
	if err != nil {
		return Update{}, err
	}
	u := Update{Status: Status(d.text("status", knownStatus))}
	if p := d.object("paymentDetails", false); p != nil {
		u.PaymentDetails = &PaymentDetails{
			Method:           p.text("method", paymentMethod),
			TransactionID:    p.text("transactionId", notEmpty),
			PayfastPaymentID: p.text("payfastPaymentId", notEmpty),
			PaidAt:           p.timestamp("paidAt"),
		}
		if len(p.raw) == 0 {
			d.complain("paymentDetails", "needs at least one of method, transactionId, payfastPaymentId and paidAt")
		}
	}
	if len(d.raw) == 0 {
		d.complain("body", "needs status, paymentDetails or both")
	}
	return u, d.err()
}

// request reads the fields that a request and a creation message share.
func (d *decoder) request() Request {
	r := Request{
		CustomerEmail: d.need("customerEmail", email),
		CustomerName:  d.text("customerName"),
		CartID:        d.need("cartId", cartID),
		CampaignCode:  d.text("campaignCode", campaignCode),
		PaymentMethod: d.text("paymentMethod", paymentMethod),
	}
	if r.PaymentMethod == "" {
		r.PaymentMethod = DefaultPaymentMethod
	}
	if a := d.object("billingAddress", true); a != nil {
		r.BillingAddress = BillingAddress{
			FullName:   a.text("fullName"),
			Company:    a.text("company"),
			VATNumber:  a.text("vatNumber"),
			Street:     a.need("street"),
			City:       a.need("city"),
			Province:   a.need("province"),
			PostalCode: a.need("postalCode"),
			Country:    a.need("country", country),
		}
	}
	return r
}
