package order

import (
	"errors"
	"fmt"
	"strings"
)

// The bounds of a cart, from section 8 of the contract.
const (
	MaxItems    = 200
	MaxQuantity = 9_999
)

// A Cart is what the Cart API says about a cart. Its amounts are of its
// currency.
type Cart struct {
	ID       string
	TenantID string
	Currency Currency
	Items    []CartItem
	Shipping Money
	Campaign *Campaign
	// Total is what the cart says the total is, or nil. It is only compared, never
	// used.
	Total *Money
}

// A CartItem is one line of a cart.
type CartItem struct {
	ID, ProductID, ProductName string
	Quantity                   int
	UnitPrice, Discount        Money
}

// TooManyItems returns the error for a cart of more than MaxItems lines.
func TooManyItems() error {
	return &PermanentError{Reason: fmt.Sprintf("cart has more than %d lines", MaxItems)}
}

// New prices a cart as the order that the creation message asks for, under the
// number, the time and the creator of its acceptance. The same acceptance,
// message and cart always make the same order. Every error is a
// *PermanentError: the cart is of another tenant, empty or out of bounds, or
// lacks the message's campaign.
func New(accepted Order, c Creation, cart Cart, taxRate Rate) (Order, error) {
	o, err := price(accepted, c, cart, taxRate)
	if err != nil {
		var p *PermanentError
		if !errors.As(err, &p) {
			p = &PermanentError{Reason: "cart amounts are out of range", Err: err}
		}
		return Order{}, p
	}
	return o, nil
}

func price(accepted Order, c Creation, cart Cart, taxRate Rate) (Order, error) {
	switch {
	case cart.TenantID != c.TenantID:
		return Order{}, &PermanentError{Reason: "cart belongs to another tenant"}
	case cart.ID != c.CartID:
		return Order{}, &PermanentError{Reason: "cart answer is for another cart"}
	case len(cart.Items) == 0:
		return Order{}, &PermanentError{Reason: "cart is empty"}
	case len(cart.Items) > MaxItems:
		return Order{}, TooManyItems()
	case c.CampaignCode != "" && (cart.Campaign == nil || !strings.EqualFold(cart.Campaign.Code, c.CampaignCode)):
		return Order{}, &PermanentError{Reason: "campaign is not on the cart"}
	}
	by, at := accepted.LastUpdatedBy, accepted.DateCreated
	o := Order{
		ID:              c.OrderID,
		Number:          accepted.Number,
		TenantID:        c.TenantID,
		CustomerEmail:   c.CustomerEmail,
		CustomerName:    c.CustomerName,
		CartID:          c.CartID,
		Items:           make([]Item, len(cart.Items)),
		Shipping:        cart.Shipping,
		TaxRate:         taxRate,
		Currency:        cart.Currency,
		Status:          Pending,
		Campaign:        cart.Campaign,
		BillingAddress:  c.BillingAddress,
		PaymentMethod:   c.PaymentMethod,
		Documents:       []Document{},
		DateCreated:     at,
		DateLastUpdated: at,
		LastUpdatedBy:   by,
		Active:          true,
	}
	o.record(Entry{Type: EventCreated, Status: Pending, Date: at, By: by})
	for i, line := range cart.Items {
		discount, subtotal, err := line.net()
		if err != nil {
			return Order{}, fmt.Errorf("items[%d]: %w", i, err)
		}
		o.Items[i] = Item{
			ID:              line.ID,
			ProductID:       line.ProductID,
			ProductName:     line.ProductName,
			Quantity:        line.Quantity,
			UnitPrice:       line.UnitPrice,
			Discount:        discount,
			Subtotal:        subtotal,
			DateCreated:     at,
			DateLastUpdated: at,
			LastUpdatedBy:   by,
			Active:          true,
		}
	}
	if err := o.addUp(); err != nil {
		return Order{}, err
	}
	return o, nil
}

// addUp computes the amounts of the order from its lines, shipping and tax
// rate, by section 4 of the contract.
func (o *Order) addUp() error {
	if o.Shipping.minor < 0 {
		return fmt.Errorf("shipping: %w: below zero", ErrAmount)
	}
	subtotal, err := NewMoney(0, o.Currency)
	if err != nil {
		return err
	}
	for i, item := range o.Items {
		if subtotal, err = subtotal.Add(item.Subtotal); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	taxable, err := subtotal.Add(o.Shipping)
	if err != nil {
		return fmt.Errorf("shipping: %w", err)
	}
	tax := taxable.At(o.TaxRate)
	total, err := taxable.Add(tax)
	if err != nil {
		return fmt.Errorf("total: %w", err)
	}
	o.Subtotal, o.Tax, o.Total = subtotal, tax, total
	return nil
}

// net returns the discount, at most the whole line, and what the line comes to
// after it: unitPrice × quantity − discount.
func (c CartItem) net() (discount, subtotal Money, err error) {
	switch {
	case c.Quantity < 1 || c.Quantity > MaxQuantity:
		return Money{}, Money{}, fmt.Errorf("quantity %d is not between 1 and %d", c.Quantity, MaxQuantity)
	case c.UnitPrice.minor < 0:
		return Money{}, Money{}, fmt.Errorf("unit price: %w: below zero", ErrAmount)
	case c.Discount.minor < 0:
		return Money{}, Money{}, fmt.Errorf("discount: %w: below zero", ErrAmount)
	}
	gross, err := c.UnitPrice.Times(c.Quantity)
	if err != nil {
		return Money{}, Money{}, err
	}
	c.Discount.minor = min(c.Discount.minor, gross.minor)
	net, err := gross.Sub(c.Discount)
	return c.Discount, net, err
}
