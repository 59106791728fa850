package store

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bbws/order-lambda/order"
)

// entityOrder is the entityType of orders.
const entityOrder = "ORDER"

// number is a decimal that is stored as a DynamoDB number. As a string type with MarshalText it would become a string.
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

// orderItem is an order as it is stored. Amounts have no currency of their own: it is the order's.
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
	PDFURL          string          `dynamo:"pdfUrl"`
	DateCreated     order.Timestamp `dynamo:"dateCreated"`
	DateLastUpdated order.Timestamp `dynamo:"dateLastUpdated"`
	LastUpdatedBy   string          `dynamo:"lastUpdatedBy"`
	Active          bool            `dynamo:"active"`
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
		PDFURL:          o.PDFURL,
		DateCreated:     o.DateCreated,
		DateLastUpdated: o.DateLastUpdated,
		LastUpdatedBy:   o.LastUpdatedBy,
		Active:          o.Active,
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

// decodeOrder turns a stored item into an order. An error means that the item was not written by this service.
func decodeOrder(item orderItem) (order.Order, error) {
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
		PDFURL:          item.PDFURL,
		DateCreated:     item.DateCreated,
		DateLastUpdated: item.DateLastUpdated,
		LastUpdatedBy:   item.LastUpdatedBy,
		Active:          item.Active,
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
	if n == "" {
		n = "0" // Absent in an item of an earlier version.
	}
	v, err := parse(string(n))
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

// summaryItem is the part of an order that lists show, with the keys that a page token is made of.
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

type counterItem struct {
	Value int64 `dynamo:"value"`
}

type receiptItem struct {
	PK            string
	SK            string
	ID            string          `dynamo:"id"`
	Number        string          `dynamo:"orderNumber"`
	TenantID      string          `dynamo:"tenantId"`
	CustomerEmail string          `dynamo:"customerEmail"`
	State         string          `dynamo:"state"`
	Reason        string          `dynamo:"reason"`
	Failures      int64           `dynamo:"failures,omitempty"` // how often it came to say failed
	DateCreated   order.Timestamp `dynamo:"dateCreated"`
	ExpiresAt     time.Time       `dynamo:"expiresAt,unixtime"`
}

type idempotencyItem struct {
	PK          string
	SK          string
	BodyHash    string          `dynamo:"bodySha256"` // hexadecimal
	OrderID     string          `dynamo:"orderId"`
	Number      string          `dynamo:"orderNumber"`
	DateCreated order.Timestamp `dynamo:"dateCreated"`
	CreatedBy   string          `dynamo:"createdBy"`
	ExpiresAt   time.Time       `dynamo:"expiresAt,unixtime"`
}

type sentItem struct {
	PK           string
	SK           string
	Claim        string    `dynamo:"claim"`
	ClaimedUntil time.Time `dynamo:"claimedUntil,unixtime"`
	MessageID    string    `dynamo:"messageId"` // of SES; set once the mail is sent
	ExpiresAt    time.Time `dynamo:"expiresAt,unixtime"`
}
