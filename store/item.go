package store

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bbws/order-lambda/order"
)

// entityOrder is the entityType of orders.
const entityOrder = "ORDER"

// number is a decimal that is stored as a DynamoDB number. As a string type
// with MarshalText it would become a string.
type number string

// MarshalDynamo implements dynamo.Marshaler.
func (n number) MarshalDynamo() (types.AttributeValue, error) {
	return &types.AttributeValueMemberN{Value: string(n)}, nil
}

// UnmarshalDynamo implements dynamo.Unmarshaler.
func (n *number) UnmarshalDynamo(av types.AttributeValue) error {
	v, ok := av.(*types.AttributeValueMemberN)
	if !ok {
		return fmt.Errorf("a number is stored as %T", av)
	}
	*n = number(v.Value)
	return nil
}

// acceptedItem is an order as it is stored until it is recorded. It has no
// index keys, so no list shows it.
type acceptedItem struct {
	PK         string
	SK         string
	EntityType string `dynamo:"entityType"`

	ID              string          `dynamo:"id"`
	Number          string          `dynamo:"orderNumber"`
	TenantID        string          `dynamo:"tenantId"`
	CustomerEmail   string          `dynamo:"customerEmail"`
	Status          string          `dynamo:"status"`
	DateCreated     order.Timestamp `dynamo:"dateCreated"`
	DateLastUpdated order.Timestamp `dynamo:"dateLastUpdated"`
	LastUpdatedBy   string          `dynamo:"lastUpdatedBy"`
	Active          bool            `dynamo:"active"`
	ExpiresAt       time.Time       `dynamo:"expiresAt,unixtime"`
}

// orderItem is an order as it is stored once it is recorded. Amounts have no
// currency of their own: it is the order's.
type orderItem struct {
	PK         string
	SK         string
	GSI1PK     string `dynamo:"GSI1_PK"`
	GSI1SK     string `dynamo:"GSI1_SK"`
	GSI2PK     string `dynamo:"GSI2_PK"`
	GSI2SK     string `dynamo:"GSI2_SK"`
	EntityType string `dynamo:"entityType"`

	ID              string          `dynamo:"id"`
	Number          string          `dynamo:"orderNumber"`
	TenantID        string          `dynamo:"tenantId"`
	CustomerEmail   string          `dynamo:"customerEmail"`
	CustomerName    string          `dynamo:"customerName"`
	CartID          string          `dynamo:"cartId"`
	Items           []lineItem      `dynamo:"items"`
	Subtotal        number          `dynamo:"subtotal"`
	Shipping        number          `dynamo:"shipping"`
	TaxRate         number          `dynamo:"taxRate"`
	Tax             number          `dynamo:"tax"`
	Total           number          `dynamo:"total"`
	Currency        string          `dynamo:"currency"`
	Status          string          `dynamo:"status"`
	Campaign        *campaignItem   `dynamo:"campaign"`
	BillingAddress  addressItem     `dynamo:"billingAddress"`
	PaymentMethod   string          `dynamo:"paymentMethod"`
	PaymentDetails  *paymentItem    `dynamo:"paymentDetails"`
	DateCreated     order.Timestamp `dynamo:"dateCreated"`
	DateLastUpdated order.Timestamp `dynamo:"dateLastUpdated"`
	LastUpdatedBy   string          `dynamo:"lastUpdatedBy"`
	Active          bool            `dynamo:"active"`
	FailureReason   string          `dynamo:"failureReason"` // only if it is not recorded

	Documents map[order.DocumentKind]documentNote `dynamo:"documents,allowempty"`
	History   []entryItem                         `dynamo:"history"`
}

// documentNote is what an order knows of a document, by its kind.
type documentNote struct {
	Number     string          `dynamo:"number"`
	DateIssued order.Timestamp `dynamo:"dateIssued"`
	URL        string          `dynamo:"url"` // s3://bucket/key
}

// entryItem is an entry of a history. Its sequence is its place in the list.
type entryItem struct {
	Type           order.EventType `dynamo:"type"`
	Status         order.Status    `dynamo:"status"`
	Date           order.Timestamp `dynamo:"date"`
	By             string          `dynamo:"by"`
	Reason         string          `dynamo:"reason"`
	PaymentDetails *paymentItem    `dynamo:"paymentDetails"`
	TraceID        string          `dynamo:"traceId"`
}

type lineItem struct {
	ID              string          `dynamo:"id"`
	ProductID       string          `dynamo:"productId"`
	ProductName     string          `dynamo:"productName"`
	Quantity        int             `dynamo:"quantity"`
	UnitPrice       number          `dynamo:"unitPrice"`
	Discount        number          `dynamo:"discount"`
	Subtotal        number          `dynamo:"subtotal"`
	DateCreated     order.Timestamp `dynamo:"dateCreated"`
	DateLastUpdated order.Timestamp `dynamo:"dateLastUpdated"`
	LastUpdatedBy   string          `dynamo:"lastUpdatedBy"`
	Active          bool            `dynamo:"active"`
}

type campaignItem struct {
	ID                  string          `dynamo:"id"`
	Code                string          `dynamo:"code"`
	Description         string          `dynamo:"description"`
	DiscountPercentage  number          `dynamo:"discountPercentage"`
	ProductID           string          `dynamo:"productId"`
	TermsConditionsLink string          `dynamo:"termsConditionsLink"`
	FromDate            string          `dynamo:"fromDate"`
	ToDate              string          `dynamo:"toDate"`
	IsValid             bool            `dynamo:"isValid"`
	DateCreated         order.Timestamp `dynamo:"dateCreated"`
	DateLastUpdated     order.Timestamp `dynamo:"dateLastUpdated"`
	LastUpdatedBy       string          `dynamo:"lastUpdatedBy"`
	Active              bool            `dynamo:"active"`
}

type addressItem struct {
	FullName   string `dynamo:"fullName"`
	Company    string `dynamo:"company"`
	VATNumber  string `dynamo:"vatNumber"`
	Street     string `dynamo:"street"`
	City       string `dynamo:"city"`
	Province   string `dynamo:"province"`
	PostalCode string `dynamo:"postalCode"`
	Country    string `dynamo:"country"`
}

type paymentItem struct {
	Method           string          `dynamo:"method"`
	TransactionID    string          `dynamo:"transactionId"`
	PayfastPaymentID string          `dynamo:"payfastPaymentId"`
	PaidAt           order.Timestamp `dynamo:"paidAt"`
}

func encodeAccepted(o order.Order, expires time.Time) acceptedItem {
	return acceptedItem{
		PK:              tenantKey(o.TenantID),
		SK:              orderKey(o.ID),
		EntityType:      entityOrder,
		ID:              o.ID,
		Number:          o.Number,
		TenantID:        o.TenantID,
		CustomerEmail:   o.CustomerEmail,
		Status:          string(o.Status),
		DateCreated:     o.DateCreated,
		DateLastUpdated: o.DateLastUpdated,
		LastUpdatedBy:   o.LastUpdatedBy,
		Active:          o.Active,
		ExpiresAt:       expires,
	}
}

func encodeOrder(o order.Order) orderItem {
	item := orderItem{
		PK:         tenantKey(o.TenantID),
		SK:         orderKey(o.ID),
		GSI1PK:     tenantKey(o.TenantID),
		GSI1SK:     dateKey(o.DateCreated, o.ID),
		GSI2PK:     orderKey(o.ID),
		GSI2SK:     metadataKey,
		EntityType: entityOrder,

		ID:              o.ID,
		Number:          o.Number,
		TenantID:        o.TenantID,
		CustomerEmail:   o.CustomerEmail,
		CustomerName:    o.CustomerName,
		CartID:          o.CartID,
		Items:           make([]lineItem, len(o.Items)),
		Subtotal:        number(o.Subtotal.String()),
		Shipping:        number(o.Shipping.String()),
		TaxRate:         number(o.TaxRate.String()),
		Tax:             number(o.Tax.String()),
		Total:           number(o.Total.String()),
		Currency:        string(o.Currency),
		Status:          string(o.Status),
		BillingAddress:  addressItem(o.BillingAddress),
		PaymentMethod:   o.PaymentMethod,
		PaymentDetails:  (*paymentItem)(o.PaymentDetails),
		DateCreated:     o.DateCreated,
		DateLastUpdated: o.DateLastUpdated,
		LastUpdatedBy:   o.LastUpdatedBy,
		Active:          o.Active,
		Documents:       map[order.DocumentKind]documentNote{},
		History:         make([]entryItem, len(o.History)),
	}
	for _, d := range o.Documents {
		item.Documents[d.Kind] = documentNote{d.Number, d.DateIssued, d.URL}
	}
	for i, e := range o.History {
		item.History[i] = newEntryItem(e)
	}
	for i, l := range o.Items {
		item.Items[i] = lineItem{
			ID:              l.ID,
			ProductID:       l.ProductID,
			ProductName:     l.ProductName,
			Quantity:        l.Quantity,
			UnitPrice:       number(l.UnitPrice.String()),
			Discount:        number(l.Discount.String()),
			Subtotal:        number(l.Subtotal.String()),
			DateCreated:     l.DateCreated,
			DateLastUpdated: l.DateLastUpdated,
			LastUpdatedBy:   l.LastUpdatedBy,
			Active:          l.Active,
		}
	}
	if c := o.Campaign; c != nil {
		item.Campaign = &campaignItem{
			ID:                  c.ID,
			Code:                c.Code,
			Description:         c.Description,
			DiscountPercentage:  number(c.DiscountPercentage.String()),
			ProductID:           c.ProductID,
			TermsConditionsLink: c.TermsConditionsLink,
			FromDate:            c.FromDate,
			ToDate:              c.ToDate,
			IsValid:             c.IsValid,
			DateCreated:         c.DateCreated,
			DateLastUpdated:     c.DateLastUpdated,
			LastUpdatedBy:       c.LastUpdatedBy,
			Active:              c.Active,
		}
	}
	return item
}

// decodeOrder turns a stored item into an order. An error means that the item
// was not written by this service.
func decodeOrder(item orderItem) (order.Order, error) {
	if len(item.History) == 0 {
		return order.Order{
			ID:              item.ID,
			Number:          item.Number,
			TenantID:        item.TenantID,
			CustomerEmail:   item.CustomerEmail,
			Status:          order.Status(item.Status),
			DateCreated:     item.DateCreated,
			DateLastUpdated: item.DateLastUpdated,
			LastUpdatedBy:   item.LastUpdatedBy,
			Active:          item.Active,
			FailureReason:   item.FailureReason,
		}, nil
	}
	r := reader{currency: order.Currency(item.Currency)}
	o := order.Order{
		ID:              item.ID,
		Number:          item.Number,
		TenantID:        item.TenantID,
		CustomerEmail:   item.CustomerEmail,
		CustomerName:    item.CustomerName,
		CartID:          item.CartID,
		Items:           make([]order.Item, len(item.Items)),
		Subtotal:        r.money(item.Subtotal),
		Shipping:        r.money(item.Shipping),
		TaxRate:         r.rate(item.TaxRate),
		Tax:             r.money(item.Tax),
		Total:           r.money(item.Total),
		Currency:        r.currency,
		Status:          order.Status(item.Status),
		BillingAddress:  order.BillingAddress(item.BillingAddress),
		PaymentMethod:   item.PaymentMethod,
		PaymentDetails:  (*order.PaymentDetails)(item.PaymentDetails),
		Documents:       []order.Document{},
		History:         decodeHistory(item.History),
		DateCreated:     item.DateCreated,
		DateLastUpdated: item.DateLastUpdated,
		LastUpdatedBy:   item.LastUpdatedBy,
		Active:          item.Active,
	}
	for kind, d := range item.Documents {
		o.Issue(order.Document{Kind: kind, Number: d.Number, DateIssued: d.DateIssued, URL: d.URL})
	}
	for i, l := range item.Items {
		o.Items[i] = order.Item{
			ID:              l.ID,
			ProductID:       l.ProductID,
			ProductName:     l.ProductName,
			Quantity:        l.Quantity,
			UnitPrice:       r.money(l.UnitPrice),
			Discount:        r.money(l.Discount),
			Subtotal:        r.money(l.Subtotal),
			DateCreated:     l.DateCreated,
			DateLastUpdated: l.DateLastUpdated,
			LastUpdatedBy:   l.LastUpdatedBy,
			Active:          l.Active,
		}
	}
	if c := item.Campaign; c != nil {
		o.Campaign = &order.Campaign{
			ID:                  c.ID,
			Code:                c.Code,
			Description:         c.Description,
			DiscountPercentage:  r.percent(c.DiscountPercentage),
			ProductID:           c.ProductID,
			TermsConditionsLink: c.TermsConditionsLink,
			FromDate:            c.FromDate,
			ToDate:              c.ToDate,
			IsValid:             c.IsValid,
			DateCreated:         c.DateCreated,
			DateLastUpdated:     c.DateLastUpdated,
			LastUpdatedBy:       c.LastUpdatedBy,
			Active:              c.Active,
		}
	}
	if r.err != nil {
		return order.Order{}, fmt.Errorf("stored order %s: %w", item.ID, r.err)
	}
	return o, nil
}

func newEntryItem(e order.Entry) entryItem {
	return entryItem{e.Type, e.Status, e.Date, e.By, e.Reason, (*paymentItem)(e.PaymentDetails), e.TraceID}
}

func decodeHistory(items []entryItem) []order.Entry {
	history := make([]order.Entry, len(items))
	for i, e := range items {
		history[i] = order.Entry{
			Sequence:       i + 1,
			Type:           e.Type,
			Status:         e.Status,
			Date:           e.Date,
			By:             e.By,
			Reason:         e.Reason,
			PaymentDetails: (*order.PaymentDetails)(e.PaymentDetails),
			TraceID:        e.TraceID,
		}
	}
	return history
}

// A reader reads stored numbers and keeps the first error.
type reader struct {
	currency order.Currency
	err      error
}

func (r *reader) money(n number) order.Money {
	return read(r, n, func(s string) (order.Money, error) { return order.ParseMoney(s, r.currency) })
}

func (r *reader) rate(n number) order.Rate { return read(r, n, order.ParseRate) }

func (r *reader) percent(n number) order.Percent { return read(r, n, order.ParsePercent) }

func read[T any](r *reader, n number, parse func(string) (T, error)) T {
	v, err := parse(string(n))
	if r.err == nil {
		r.err = err
	}
	return v
}

// summaryItem is the part of an order that lists show, with the keys that a
// page token is made of.
type summaryItem struct {
	PK          string
	SK          string
	GSI1PK      string          `dynamo:"GSI1_PK"`
	GSI1SK      string          `dynamo:"GSI1_SK"`
	ID          string          `dynamo:"id"`
	Number      string          `dynamo:"orderNumber"`
	Status      string          `dynamo:"status"`
	Total       number          `dynamo:"total"`
	Currency    string          `dynamo:"currency"`
	DateCreated order.Timestamp `dynamo:"dateCreated"`
}

// summaryAttributes is what a list reads of each order.
func summaryAttributes() []string {
	return []string{
		attrPK, attrSK, attrGSI1PK, attrGSI1SK,
		"id", "orderNumber", "status", "total", "currency", "dateCreated",
	}
}

// keyItem is what the index by id has of an item.
type keyItem struct {
	PK     string
	SK     string
	GSI2SK string `dynamo:"GSI2_SK"`
}

type counterItem struct {
	Value int64 `dynamo:"value"`
}

// numberItem leads from an order's number to its id.
type numberItem struct {
	PK      string
	SK      string
	OrderID string `dynamo:"orderId"`
}

type idempotencyItem struct {
	PK          string
	SK          string
	BodyHash    string          `dynamo:"bodySha256"` // hexadecimal
	OrderID     string          `dynamo:"orderId"`
	DateCreated order.Timestamp `dynamo:"dateCreated"`
	CreatedBy   string          `dynamo:"createdBy"`
	ExpiresAt   time.Time       `dynamo:"expiresAt,unixtime"`
}

// documentItem is a legal document as it was issued.
type documentItem struct {
	PK         string
	SK         string
	GSI2PK     string          `dynamo:"GSI2_PK"`
	GSI2SK     string          `dynamo:"GSI2_SK"`
	Number     string          `dynamo:"number"`
	DateIssued order.Timestamp `dynamo:"dateIssued"`
	Supplier   supplierItem    `dynamo:"supplier"`
}

type supplierItem struct {
	Name               string   `dynamo:"name"`
	AddressLines       []string `dynamo:"addressLines,omitempty"`
	VATNumber          string   `dynamo:"vatNumber"`
	RegistrationNumber string   `dynamo:"registrationNumber"`
	Country            string   `dynamo:"country"`
	Phone              string   `dynamo:"phone"`
	Email              string   `dynamo:"email"`
	Website            string   `dynamo:"website"`
	AccentColour       string   `dynamo:"accentColour"`
	Footer             string   `dynamo:"footer"`
	PaymentLines       []string `dynamo:"paymentLines,omitempty"`
}

// The states of a mail in the ledger.
const (
	mailSending = "sending"
	mailSent    = "sent"
	mailFailed  = "failed"
)

type mailItem struct {
	PK           string
	SK           string
	State        string    `dynamo:"state"`
	Claim        string    `dynamo:"claim"`
	ClaimedUntil time.Time `dynamo:"claimedUntil,unixtime"`
	MessageID    string    `dynamo:"messageId"` // of SES; set once the mail is sent
	Reason       string    `dynamo:"reason"`    // of a mail that failed
}
