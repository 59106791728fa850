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

// totals returns labels and amounts that add up to the total. Shipping is left
// out where it costs nothing.
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

// A view is what a template shows.
type view struct {
	order *order.Order
	link  string // to the order, in the reader's portal
}

// names returns what the template of a mail can show. The contract names the
// variables of each template in section 10; those of both are open to both,
// except the link, and there are some more.
func names(linkName string) vocabulary {
	return vocabulary{
		values: []value{
			{name: linkName, link: true, of: func(v *view) string { return v.link }},
			{name: "orderNumber", of: func(v *view) string { return clean(v.order.Number) }},
			{name: "orderDate", of: func(v *view) string { return v.order.DateCreated.Display() }},
			{name: "orderStatus", of: func(v *view) string { return v.order.Status.Display() }},
			{name: "customerName", of: func(v *view) string { return addressee(v.order) }},
			{name: "customerEmail", of: func(v *view) string { return clean(v.order.CustomerEmail) }},
			{name: "itemCount", of: func(v *view) string { return strconv.Itoa(len(v.order.Items)) }},
			{name: "subtotal", of: func(v *view) string { return v.order.Subtotal.Display() }},
			{name: "shipping", of: func(v *view) string { return v.order.Shipping.Display() }},
			{name: "tax", of: func(v *view) string { return v.order.Tax.Display() }},
			{name: "taxRate", of: func(v *view) string { return v.order.TaxRate.Percent().Display() }},
			{name: "total", of: func(v *view) string { return v.order.Total.Display() }},
			{name: "orderTotal", of: func(v *view) string { return v.order.Total.Display() }},
		},
		lists: []list{
			{"orderItems", []string{"productName", "quantity", "unitPrice", "discount", "subtotal", "calculation"}, itemRows},
			{"orderTotals", []string{"label", "amount"}, totalRows},
		},
	}
}

func itemRows(v *view) []row {
	rows := make([]row, len(v.order.Items))
	for n, i := range v.order.Items {
		rows[n] = row{
			clean(i.ProductName), strconv.Itoa(i.Quantity), i.UnitPrice.Display(), i.Discount.Display(),
			i.Subtotal.Display(), calculation(i),
		}
	}
	return rows
}

func totalRows(v *view) []row { return totals(v.order) }

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
		fmt.Fprintf(&b, "%s: %s\n", r[0], r[1])
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
