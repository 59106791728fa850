// Package order is the domain: what an order is, how it is priced, how it may
// change, which documents it calls for, and what a request or a message must
// look like. It knows no transport, no storage and no clock.
package order

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// An Order is a customer's cart as it was accepted, priced and recorded, with
// what became of it since. Its JSON form is the one of the API. An order that
// is accepted but not recorded has its ids, number, customer, status, time and
// creator only.
type Order struct {
	State           State           `json:"state,omitempty"` // set when the order is shown
	ID              string          `json:"id"`              // UUID version 4, lower case
	Number          string          `json:"orderNumber"`     // ORD-2025-00001, unique within the tenant
	TenantID        string          `json:"tenantId"`
	CustomerEmail   string          `json:"customerEmail"`
	CustomerName    string          `json:"customerName,omitempty"`
	CartID          string          `json:"cartId"`
	Items           []Item          `json:"items"` // 1 to MaxItems
	Subtotal        Money           `json:"subtotal"`
	Shipping        Money           `json:"shipping"`
	TaxRate         Rate            `json:"taxRate"`
	Tax             Money           `json:"tax"`
	Total           Money           `json:"total"`
	Currency        Currency        `json:"currency"`
	Status          Status          `json:"status"`
	Campaign        *Campaign       `json:"campaign,omitempty"`
	BillingAddress  BillingAddress  `json:"billingAddress"`
	PaymentMethod   string          `json:"paymentMethod"`
	PaymentDetails  *PaymentDetails `json:"paymentDetails,omitempty"`
	PDFURL          string          `json:"pdfUrl,omitempty"` // set when the order is shown, from Documents
	Documents       []Document      `json:"documents"`        // in the order of DocumentKinds
	History         []Entry         `json:"history"`          // oldest first
	DateCreated     Timestamp       `json:"dateCreated"`      // the moment of acceptance
	DateLastUpdated Timestamp       `json:"dateLastUpdated"`  // grows with every update; the version of the order
	LastUpdatedBy   string          `json:"lastUpdatedBy"`
	Active          bool            `json:"active"` // false: deleted, neither found nor listed

	// FailureReason says why an order that is not recorded could not be, in
	// one sentence without personal data. Its status is Failed then.
	FailureReason string `json:"-"`
}

// An Item is one line of an order.
type Item struct {
	ID              string    `json:"id"`
	ProductID       string    `json:"productId"`
	ProductName     string    `json:"productName"`
	Quantity        int       `json:"quantity"` // 1 to MaxQuantity
	UnitPrice       Money     `json:"unitPrice"`
	Discount        Money     `json:"discount"` // on the whole line, not below zero
	Subtotal        Money     `json:"subtotal"` // after the discount, before tax
	DateCreated     Timestamp `json:"dateCreated"`
	DateLastUpdated Timestamp `json:"dateLastUpdated"`
	LastUpdatedBy   string    `json:"lastUpdatedBy"`
	Active          bool      `json:"active"`
}

// A Campaign is a copy of the marketing campaign whose code the cart carried,
// kept as it was when the order was placed. The amounts of the order already
// include its effect.
type Campaign struct {
	ID                  string    `json:"id"`
	Code                string    `json:"code"`
	Description         string    `json:"description,omitempty"`
	DiscountPercentage  Percent   `json:"discountPercentage"`
	ProductID           string    `json:"productId,omitempty"`
	TermsConditionsLink string    `json:"termsConditionsLink,omitempty"`
	FromDate            string    `json:"fromDate,omitempty"` // as the campaign service writes it: a date or a time
	ToDate              string    `json:"toDate,omitempty"`
	IsValid             bool      `json:"isValid"`
	DateCreated         Timestamp `json:"dateCreated,omitzero"`
	DateLastUpdated     Timestamp `json:"dateLastUpdated,omitzero"`
	LastUpdatedBy       string    `json:"lastUpdatedBy,omitempty"`
	Active              bool      `json:"active"`
}

// ValidAt reports whether the campaign was valid and in force at a moment. A
// bound that is no date or time does not bind.
func (c *Campaign) ValidAt(t Timestamp) bool {
	from, ok := campaignDate(c.FromDate, 0)
	if ok && t.Time().Before(from) {
		return false
	}
	to, ok := campaignDate(c.ToDate, 24*time.Hour-time.Microsecond)
	return c.IsValid && (!ok || !t.Time().After(to))
}

// campaignDate reads a time, or a day of South Africa's calendar to which it
// adds endOfDay.
func campaignDate(s string, endOfDay time.Duration) (time.Time, bool) {
	if day, err := time.ParseInLocation(time.DateOnly, s, johannesburg()); err == nil {
		return day.Add(endOfDay), true
	}
	t, err := ParseTimestamp(s)
	return t.Time(), err == nil
}

// A BillingAddress is where the invoice is addressed to.
type BillingAddress struct {
	FullName   string `json:"fullName,omitempty"`
	Company    string `json:"company,omitempty"`
	VATNumber  string `json:"vatNumber,omitempty"`
	Street     string `json:"street"`
	City       string `json:"city"`
	Province   string `json:"province"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country"` // ISO 3166-1 alpha-2
}

// PaymentDetails say how and when an order was paid.
type PaymentDetails struct {
	Method           string    `json:"method,omitempty"`
	TransactionID    string    `json:"transactionId,omitempty"`
	PayfastPaymentID string    `json:"payfastPaymentId,omitempty"`
	PaidAt           Timestamp `json:"paidAt,omitzero"`
}

// A State says how far an order is. It tells the forms of GET's answer apart.
type State string

// The states of an order.
const (
	StateAccepted State = "accepted"
	StateRecorded State = "recorded"
	StateFailed   State = "failed"
)

// An Acceptance is what is known of an order that is not recorded yet. Its JSON
// form is what GET answers meanwhile.
type Acceptance struct {
	State         State     `json:"state"`
	ID            string    `json:"id"`
	Number        string    `json:"orderNumber"`
	TenantID      string    `json:"tenantId"`
	CustomerEmail string    `json:"customerEmail"`
	Status        Status    `json:"status"` // Pending or Failed
	DateCreated   Timestamp `json:"dateCreated"`
	FailureReason string    `json:"failureReason,omitempty"`
}

// Acceptance returns what there is to show of an order that is not recorded.
func (o *Order) Acceptance() Acceptance {
	state := StateAccepted
	if o.Status == Failed {
		state = StateFailed
	}
	return Acceptance{
		State:         state,
		ID:            o.ID,
		Number:        o.Number,
		TenantID:      o.TenantID,
		CustomerEmail: o.CustomerEmail,
		Status:        o.Status,
		DateCreated:   o.DateCreated,
		FailureReason: o.FailureReason,
	}
}

// Summary returns what a list shows of the order.
func (o *Order) Summary() Summary {
	return Summary{
		ID: o.ID, Number: o.Number, Status: o.Status, Total: o.Total, Currency: o.Currency, DateCreated: o.DateCreated,
	}
}

// A Summary is what a list shows of an order.
type Summary struct {
	ID          string    `json:"id"`
	Number      string    `json:"orderNumber"`
	Status      Status    `json:"status"`
	Total       Money     `json:"total"`
	Currency    Currency  `json:"currency"`
	DateCreated Timestamp `json:"dateCreated"`
}

// FormatNumber returns the order number of the n-th order of a tenant in a
// year: ORD-2025-00001. The count has at least five digits.
func FormatNumber(year int, n int64) string { return fmt.Sprintf("ORD-%04d-%05d", year, n) }

// NewID returns a random order id: a UUID version 4 in lower case (RFC 9562,
// section 5.4).
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // Never fails: crypto/rand ends the process instead.
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// IsID reports whether s has the form that NewID gives.
func IsID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		case 14:
			if c != '4' {
				return false
			}
		case 19:
			if c != '8' && c != '9' && c != 'a' && c != 'b' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
