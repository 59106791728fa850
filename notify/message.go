package notify

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/bbws/order-lambda/order"
)

// A Message is what the reader of a mail gets to see. HTML is "" in the built-in plain-text mail.
type Message struct {
	Subject, HTML, Text string
}

// A row is a label with an amount, between the lines of an order and its total.
type row struct{ label, amount string }

// totals returns what adds up to the total. Shipping is left out where it costs nothing.
func totals(o *order.Order) []row {
	rows := []row{{"Subtotal", o.Subtotal.Display()}}
	if !o.Shipping.IsZero() {
		rows = append(rows, row{"Shipping", o.Shipping.Display()})
	}
	return append(rows, row{"Tax (" + o.TaxRate.Percent().Display() + ")", o.Tax.Display()})
}

// calculation says how the subtotal of a line came about, for example "2 × R 149,50 − R 20,00".
func calculation(i order.Item) string {
	s := strconv.Itoa(i.Quantity) + " × " + i.UnitPrice.Display()
	if !i.Discount.IsZero() {
		s += " − " + i.Discount.Display()
	}
	return s
}

// addressee returns how the customer is addressed.
func addressee(o *order.Order) string {
	for _, name := range []string{o.CustomerName, o.BillingAddress.FullName} {
		if name = clean(name); name != "" {
			return name
		}
	}
	return "customer"
}

// clean returns s in one line, without characters that are not shown but change how others are: control characters, the
// bidirectional controls of Unicode (UAX #9), and what is not text at all.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) && r != '\u00a0':
			return ' '
		case order.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return strings.Trim(s, " ")
}

// valuesOf returns what a template can show of an order. The contract names the variables of each template in section 10;
// those of both are open to both, except the link, and there are some more.
func valuesOf(o *order.Order, linkName, link string) values {
	v := values{
		link: linkName,
		vars: map[string]string{
			"orderNumber":   o.Number,
			"orderDate":     o.DateCreated.Display(),
			"orderStatus":   o.Status.Display(),
			"customerName":  addressee(o),
			"customerEmail": o.CustomerEmail,
			"itemCount":     strconv.Itoa(len(o.Items)),
			"subtotal":      o.Subtotal.Display(),
			"shipping":      o.Shipping.Display(),
			"tax":           o.Tax.Display(),
			"taxRate":       o.TaxRate.Percent().Display(),
			"total":         o.Total.Display(),
			"orderTotal":    o.Total.Display(),
			linkName:        link,
		},
		lists: map[string][]map[string]string{},
	}
	for name, value := range v.vars {
		v.vars[name] = clean(value)
	}
	for _, i := range o.Items {
		v.lists["orderItems"] = append(v.lists["orderItems"], map[string]string{
			"productName": clean(i.ProductName),
			"quantity":    strconv.Itoa(i.Quantity),
			"unitPrice":   i.UnitPrice.Display(),
			"discount":    i.Discount.Display(),
			"subtotal":    i.Subtotal.Display(),
			"calculation": calculation(i),
		})
	}
	for _, r := range totals(o) {
		v.lists["orderTotals"] = append(v.lists["orderTotals"], map[string]string{"label": r.label, "amount": r.amount})
	}
	return v
}

// customerText is the plain text for the customer.
func customerText(o *order.Order, link string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Dear %s,\n\nThank you for your order. We have received it:\n\nOrder %s\n%s\n",
		addressee(o), clean(o.Number), o.DateCreated.Display())
	for _, i := range o.Items {
		fmt.Fprintf(&b, "\n- %s\n  %s = %s\n", clean(i.ProductName), calculation(i), i.Subtotal.Display())
	}
	b.WriteString("\n")
	for _, r := range append(totals(o), row{"Total", o.Total.Display()}) {
		fmt.Fprintf(&b, "%s: %s\n", r.label, r.amount)
	}
	fmt.Fprintf(&b, "\nFollow your order: %s\n\nQuestions? Just reply to this e-mail.\n", link)
	return b.String()
}

// internalText is the plain text for the team.
func internalText(o *order.Order, link string) string {
	return fmt.Sprintf("A new order was received.\n\nOrder: %s\nDate: %s\nCustomer: %s (%s)\nItems: %d\nTotal: %s\n\nDetails: %s\n",
		clean(o.Number), o.DateCreated.Display(), addressee(o), clean(o.CustomerEmail), len(o.Items), o.Total.Display(), link)
}

// orderLink returns the address of the order's page in a portal.
func orderLink(portal, id string) string {
	return strings.TrimRight(portal, "/") + "/orders/" + url.PathEscape(id)
}
