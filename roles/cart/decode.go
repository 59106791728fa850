package cart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bbws/order-lambda/order"
)

const defaultCurrency order.Currency = "ZAR"

// maxCampaignText bounds a campaign's description and link, in code points.
const maxCampaignText = 2048

// An answer is a cart, bare or in an envelope. A json.Number takes a JSON
// number, or a string that holds one.
type answer struct {
	Success *bool     `json:"success"`
	Data    *wireCart `json:"data"`
	wireCart
}

type wireCart struct {
	CartID   string          `json:"cartId"`
	TenantID string          `json:"tenantId"`
	Currency order.Currency  `json:"currency"`
	Items    wireItems       `json:"items"`
	Shipping json.Number     `json:"shipping"`
	Campaign *wireCampaign   `json:"campaign"`
	Total    json.RawMessage `json:"total"`
}

// wireItems are the lines of a cart. Reading stops if there are more than a
// cart may have: an answer of 1 MiB can have 300 000 empty ones, which would
// take a hundred times its size in memory.
type wireItems []wireItem

// UnmarshalJSON implements json.Unmarshaler.
func (w *wireItems) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	lines := json.NewDecoder(bytes.NewReader(data))
	if start, err := lines.Token(); err != nil || start != json.Delim('[') {
		return errors.New("items is not a list")
	}
	for lines.More() {
		if len(*w) == order.MaxItems {
			return order.TooManyItems()
		}
		var line wireItem
		if err := lines.Decode(&line); err != nil {
			return fmt.Errorf("items[%d]: %w", len(*w), err)
		}
		*w = append(*w, line)
	}
	return nil
}

type wireItem struct {
	ID          string      `json:"id"`
	ProductID   string      `json:"productId"`
	ProductName string      `json:"productName"`
	Quantity    json.Number `json:"quantity"`
	UnitPrice   json.Number `json:"unitPrice"`
	Discount    json.Number `json:"discount"`
}

type wireCampaign struct {
	ID                  string      `json:"id"`
	Code                string      `json:"code"`
	Description         string      `json:"description"`
	DiscountPercentage  json.Number `json:"discountPercentage"`
	ProductID           string      `json:"productId"`
	TermsConditionsLink string      `json:"termsConditionsLink"`
	FromDate            string      `json:"fromDate"`
	ToDate              string      `json:"toDate"`
	IsValid             *bool       `json:"isValid"`
	DateCreated         string      `json:"dateCreated"`
	DateLastUpdated     string      `json:"dateLastUpdated"`
	LastUpdatedBy       string      `json:"lastUpdatedBy"`
	Active              *bool       `json:"active"`
}

var errUnsuccessful = errors.New("the Cart API answered success: false")

// decode reads the body of a 200. The error is an *order.PermanentError, unless
// the envelope says success: false: then the Cart API has a problem that may be
// over by the next delivery.
func decode(data []byte) (order.Cart, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		var permanent *order.PermanentError
		if errors.As(err, &permanent) {
			return order.Cart{}, err
		}
		return order.Cart{}, malformed(err)
	}
	w := &a.wireCart
	if a.Success != nil {
		if !*a.Success {
			return order.Cart{}, errUnsuccessful
		}
		if w = a.Data; w == nil {
			return order.Cart{}, malformed(errors.New("data is missing"))
		}
	}
	c, err := w.cart()
	if err != nil {
		return order.Cart{}, malformed(err)
	}
	return c, nil
}

func malformed(err error) error {
	return &order.PermanentError{Reason: "cart answer is malformed", Err: err}
}

func (w *wireCart) cart() (order.Cart, error) {
	if w.Currency == "" {
		w.Currency = defaultCurrency
	}
	if _, ok := w.Currency.Decimals(); !ok {
		return order.Cart{}, errors.New("currency is unknown")
	}
	if err := errors.Join(checkID("cartId", w.CartID), checkID("tenantId", w.TenantID)); err != nil {
		return order.Cart{}, err
	}
	c := order.Cart{
		ID:       w.CartID,
		TenantID: w.TenantID,
		Currency: w.Currency,
		Items:    make([]order.CartItem, len(w.Items)),
		Total:    w.total(),
	}
	var err error
	for i := range w.Items {
		if c.Items[i], err = w.Items[i].line(w.Currency); err != nil {
			return order.Cart{}, fmt.Errorf("items[%d].%w", i, err)
		}
	}
	if c.Shipping, err = amount(w.Shipping, w.Currency); err != nil {
		return order.Cart{}, fmt.Errorf("shipping: %w", err)
	}
	if c.Campaign, err = w.Campaign.copied(); err != nil {
		return order.Cart{}, fmt.Errorf("campaign.%w", err)
	}
	return c, nil
}

// total returns the cart's own total, or nil if it has none. A total that is
// not an amount of the currency becomes the zero Money, which differs from
// every amount: it is only compared, and must not make the order fail.
func (w *wireCart) total() *order.Money {
	if w.Total == nil || string(w.Total) == "null" {
		return nil
	}
	total, _ := order.ParseMoney(strings.Trim(string(w.Total), `"`), w.Currency)
	return &total
}

func (w *wireItem) line(c order.Currency) (order.CartItem, error) {
	line := order.CartItem{
		ID:          w.ID,
		ProductID:   w.ProductID,
		ProductName: tidy(w.ProductName, order.MaxText),
	}
	if err := errors.Join(checkID("id", line.ID), checkID("productId", line.ProductID)); err != nil {
		return line, err
	}
	if line.ProductName == "" {
		return line, errors.New("productName is required")
	}
	// Some producers write whole numbers as 2.0.
	whole, fraction, _ := strings.Cut(w.Quantity.String(), ".")
	var err error
	if line.Quantity, err = strconv.Atoi(whole); err != nil || strings.Trim(fraction, "0") != "" {
		return line, errors.New("quantity is not a whole number")
	}
	if w.UnitPrice == "" {
		return line, errors.New("unitPrice is required")
	}
	if line.UnitPrice, err = amount(w.UnitPrice, c); err != nil {
		return line, fmt.Errorf("unitPrice: %w", err)
	}
	if line.Discount, err = amount(w.Discount, c); err != nil {
		return line, fmt.Errorf("discount: %w", err)
	}
	return line, nil
}

// copied returns the campaign as the order keeps it, or nil if there is none or
// it has no code. It is in force unless it says otherwise.
func (w *wireCampaign) copied() (*order.Campaign, error) {
	if w == nil {
		return nil, nil //nolint:nilnil // No campaign is no error.
	}
	code := tidy(w.Code, order.MaxText)
	if code == "" {
		return nil, nil //nolint:nilnil // As above.
	}
	percentage, err := order.ParsePercent(orZero(w.DiscountPercentage))
	if err != nil {
		return nil, fmt.Errorf("discountPercentage: %w", err)
	}
	return &order.Campaign{
		ID:                  tidy(w.ID, order.MaxText),
		Code:                code,
		Description:         tidy(w.Description, maxCampaignText),
		DiscountPercentage:  percentage,
		ProductID:           tidy(w.ProductID, order.MaxText),
		TermsConditionsLink: tidy(w.TermsConditionsLink, maxCampaignText),
		FromDate:            tidy(w.FromDate, order.MaxText),
		ToDate:              tidy(w.ToDate, order.MaxText),
		IsValid:             w.IsValid == nil || *w.IsValid,
		DateCreated:         timestamp(w.DateCreated),
		DateLastUpdated:     timestamp(w.DateLastUpdated),
		LastUpdatedBy:       tidy(w.LastUpdatedBy, order.MaxText),
		Active:              w.Active == nil || *w.Active,
	}, nil
}

func amount(n json.Number, c order.Currency) (order.Money, error) {
	return order.ParseMoney(orZero(n), c)
}

func orZero(n json.Number) string {
	if n == "" {
		return "0"
	}
	return n.String()
}

// timestamp reads a date that the order only passes on: one that is malformed
// is left out.
func timestamp(s string) order.Timestamp {
	t, err := order.ParseTimestamp(s)
	if err != nil {
		return order.Timestamp{}
	}
	return t
}

func checkID(name, id string) error {
	switch {
	case strings.TrimSpace(id) == "":
		return fmt.Errorf("%s is required", name)
	case !order.IsText(id):
		return fmt.Errorf("%s is longer than %d characters or has control characters", name, order.MaxText)
	}
	return nil
}

// tidy returns a text of the catalogue as an order may hold it: control
// characters become spaces, and a text that is too long is cut. An order must
// not fail because of a product's name; the ids still say which product it is.
func tidy(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if order.IsControl(r) {
			return ' '
		}
		return r
	}, s))
	if utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "…"
	}
	return s
}
