package order

import (
	"encoding/json"
)

// SystemUser acts if a message does not say who created the order.
const SystemUser = "system"

// A Creation is the message that asks the record creator for an order. The
// order's number and time are not in it: they are those of its acceptance.
type Creation struct {
	OrderID        string         `json:"orderId"`
	TenantID       string         `json:"tenantId"`
	CustomerEmail  string         `json:"customerEmail"`
	CustomerName   string         `json:"customerName,omitempty"`
	CartID         string         `json:"cartId"`
	BillingAddress BillingAddress `json:"billingAddress"`
	CampaignCode   string         `json:"campaignCode,omitempty"`
	PaymentMethod  string         `json:"paymentMethod,omitempty"`
	CreatedBy      string         `json:"createdBy,omitempty"`
}

// Accepted returns the order that the message asks for, as accepted under a
// number at a moment.
func (c Creation) Accepted(number string, at Timestamp) Order {
	return Order{
		ID:              c.OrderID,
		Number:          number,
		TenantID:        c.TenantID,
		CustomerEmail:   c.CustomerEmail,
		Status:          Pending,
		DateCreated:     at,
		DateLastUpdated: at,
		LastUpdatedBy:   c.CreatedBy,
		Active:          true,
	}
}

// ParseCreation reads a creation message. The error is an InvalidError that
// names every bad field. Fields that it does not know are ignored; null and ""
// count as absent; an absent payment method or creator gets its default. The
// good fields are returned with the error, so that the order can be marked as
// failed.
func ParseCreation(body []byte) (Creation, error) {
	d, err := decode(body, false)
	if err != nil {
		return Creation{}, err
	}
	r := d.request()
	c := Creation{
		OrderID:        d.need("orderId", orderID),
		TenantID:       d.need("tenantId", tenantID),
		CustomerEmail:  r.CustomerEmail,
		CustomerName:   r.CustomerName,
		CartID:         r.CartID,
		BillingAddress: r.BillingAddress,
		CampaignCode:   r.CampaignCode,
		PaymentMethod:  r.PaymentMethod,
		CreatedBy:      d.text("createdBy"),
	}
	if c.CreatedBy == "" {
		c.CreatedBy = SystemUser
	}
	return c, d.err()
}

// ParseEvent reads what a consumer needs of an event: its type, the ids of the
// order and the tenant and, if present, the sequence and the trace id. A
// message without a type counts as EventCreated. The body may be the event
// itself or an SNS envelope around it. The error is an InvalidError. The type
// is returned with it, so that a consumer can skip events that are not for it.
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
	raw := d.field("eventType")
	if json.Unmarshal(raw, &e.Type) != nil {
		e.Type = EventType(Printable(string(raw))) // Whatever it is, it is no type that is known.
	}
	if e.Type == "" {
		e.Type = EventCreated
	}
	// Without a good sequence it is the first entry of the type.
	if json.Unmarshal(d.field("sequence"), &e.Sequence) != nil || e.Sequence < 1 {
		e.Sequence = 0
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

// DefaultPaymentMethod is used if a request names none.
const DefaultPaymentMethod = "payfast"

// ParseRequest reads the body of POST /v1.0/orders. The error is an
// InvalidError that names every bad field, including unknown ones.
func ParseRequest(body []byte) (Request, error) {
	d, err := decode(body, true)
	if err != nil {
		return Request{}, err
	}
	return d.request(), d.err()
}

// Creation returns the message for the request, as accepted for a tenant and a
// user.
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

// ParseUpdate reads the body of PUT /v1.0/orders/{orderId}. The error is an
// InvalidError that names every bad field.
func ParseUpdate(body []byte) (Update, error) {
	d, err := decode(body, true)
	if err != nil {
		return Update{}, err
	}
	u := Update{Status: Status(d.text("status", knownStatus)), Reason: d.text("reason", notBlank)}
	if u.Reason != "" && d.raw["status"] == nil {
		d.complain("reason", "is only accepted with a status")
	}
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
