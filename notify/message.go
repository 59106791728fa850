package notify

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bbws/order-lambda/order"
)

// A Message is what the reader of a mail gets to see. HTML is "" in the
// built-in plain-text mail.
type Message struct {
	Subject, HTML, Text string
}

// maxLines is how many lines of an order a mail lists. With more of them, large
// mail providers would cut the mail off before its total (102 KB).
const maxLines = 30

// An audience is whom the mails of a role are for.
type audience struct {
	name     string
	linkName string // the value with the link to the order
	kinds    []kind
}

// A kind is the mail about entries of one type.
type kind struct {
	event    order.EventType
	template string // its key in the bucket
	subject  string // followed by the order's number
}

const (
	customerName = "customer"
	teamName     = "internal"
)

func customer() audience {
	return audience{customerName, "trackingUrl", []kind{
		{order.EventCreated, "customer/order_confirmation.html", "Order Confirmation: "},
		{order.EventPaid, "customer/order_paid.html", "Payment Received: "},
		{order.EventCompleted, "customer/order_completed.html", "Order Completed: "},
		{order.EventCancelled, "customer/order_cancelled.html", "Order Cancelled: "},
		{order.EventRefunded, "customer/order_refunded.html", "Refund: "},
	}}
}

func team() audience {
	return audience{teamName, "orderDetailsUrl", []kind{
		{order.EventCreated, "internal/order_notification.html", "New Order Received: "},
		{order.EventPaid, "internal/order_update.html", "Order Paid: "},
		{order.EventCancelled, "internal/order_update.html", "Order Cancelled: "},
		{order.EventRefunded, "internal/order_update.html", "Order Refunded: "},
	}}
}

func (a audience) kind(t order.EventType) (kind, bool) {
	i := slices.IndexFunc(a.kinds, func(k kind) bool { return k.event == t })
	if i < 0 {
		return kind{}, false
	}
	return a.kinds[i], true
}

// CheckTemplate returns what is wrong with a template that is to have a key in
// the bucket, for example customer/order_paid.html.
func CheckTemplate(key, src string) error {
	var keys []string
	for _, a := range []audience{customer(), team()} {
		for _, k := range a.kinds {
			if k.template == key {
				_, err := parse(src, a.names())
				return err
			}
			keys = append(keys, k.template)
		}
	}
	return fmt.Errorf("%q is no template's name: there are %s", key, strings.Join(slices.Compact(keys), ", "))
}

// A view is what a mail shows: an order as it stood at an entry of its history.
type view struct {
	order    *order.Order
	entry    *order.Entry
	supplier order.Supplier
	link     string // to the order, in the reader's portal
}

// names returns what the templates of the audience can show. Section 10 of the
// contract names some of them, README.md lists them all. What a customer or a
// shop wrote is inert.
func (a audience) names() vocabulary {
	name := greeting
	if a.name == teamName {
		name = customerOf
	}
	return vocabulary{
		values: []value{
			{name: a.linkName, link: true, of: func(v *view) string { return v.link }},
			{name: "orderNumber", of: func(v *view) string { return clean(v.order.Number) }},
			{name: "orderDate", of: func(v *view) string { return v.order.DateCreated.Display() }},
			{name: "orderStatus", of: func(v *view) string { return v.order.Status.Display() }},
			{name: "tenantId", of: func(v *view) string { return v.order.TenantID }},
			{name: "customerName", of: name},
			{name: "customerEmail", of: func(v *view) string { return address(v.order.CustomerEmail) }},
			{name: "itemCount", of: func(v *view) string { return strconv.Itoa(len(v.order.Items)) }},
			{name: "moreItems", of: moreItems},
			{name: "subtotal", of: func(v *view) string { return v.order.Subtotal.Display() }},
			{name: "shipping", of: func(v *view) string { return v.order.Shipping.Display() }},
			{name: "tax", of: func(v *view) string { return v.order.Tax.Display() }},
			{name: "taxRate", of: func(v *view) string { return v.order.TaxRate.Percent().Display() }},
			{name: "total", of: func(v *view) string { return v.order.Total.Display() }},
			{name: "orderTotal", of: func(v *view) string { return v.order.Total.Display() }},
			{name: "paymentStatus", of: paymentStatus},
			{name: "paymentMethod", of: paymentMethod},
			{name: "paymentReference", of: paymentReference},
			{name: "paymentDate", of: func(v *view) string { return v.order.PaidOn().Display() }},
			{name: "change", of: a.change},
			{name: "changeDate", of: func(v *view) string { return v.entry.Date.Display() }},
			{name: "reason", of: func(v *view) string { return inert(v.entry.Reason) }},
			{name: "nextSteps", of: nextSteps},
			{name: "companyName", of: func(v *view) string { return clean(v.supplier.Name) }},
			{name: "companyEmail", of: func(v *view) string { return v.supplier.Email }},
			{name: "companyEmailUrl", link: true, of: companyEmailURL},
			{name: "companyPhone", of: func(v *view) string { return clean(v.supplier.Phone) }},
			{name: "companyWebsite", of: func(v *view) string { _, shown := website(v.supplier); return shown }},
			{name: "companyUrl", link: true, of: func(v *view) string { link, _ := website(v.supplier); return link }},
			{name: "companyVatNumber", of: func(v *view) string { return clean(v.supplier.VATNumber) }},
			{name: "accentColour", of: func(v *view) string { return v.supplier.AccentColour }},
		},
		lists: []list{
			{"orderItems", []string{"productName", "quantity", "unitPrice", "discount", "subtotal", "calculation"}, itemRows},
			{"orderTotals", []string{"label", "amount"}, totalRows},
			{"billingAddress", []string{"line"}, billingRows},
			{"companyAddress", []string{"line"}, func(v *view) []row { return lineRows(v.supplier.AddressLines, clean) }},
			{"paymentLines", []string{"line"}, paymentRows},
		},
	}
}

func (v *view) payment() order.PaymentDetails {
	if v.order.PaymentDetails == nil {
		return order.PaymentDetails{}
	}
	return *v.order.PaymentDetails
}

// greeting is how a customer is addressed. A name that could be a message of
// somebody else's is not used: a mail must not bring it to its reader.
func greeting(v *view) string {
	for _, name := range []string{v.order.CustomerName, v.order.BillingAddress.FullName} {
		name = clean(name)
		if name != "" && name == inert(name) && utf8.RuneCountInString(name) <= 60 {
			return name
		}
	}
	return "customer"
}

// customerOf is how the team is told who the customer is.
func customerOf(v *view) string {
	for _, name := range []string{v.order.CustomerName, v.order.BillingAddress.FullName, v.order.BillingAddress.Company} {
		if name = inert(name); name != "" {
			return name
		}
	}
	return address(v.order.CustomerEmail)
}

func itemRows(v *view) []row {
	var rows []row
	for _, i := range v.order.Items[:min(len(v.order.Items), maxLines)] {
		rows = append(rows, row{
			inert(i.ProductName), strconv.Itoa(i.Quantity), i.UnitPrice.Display(), i.Discount.Display(),
			i.Subtotal.Display(), calculation(i),
		})
	}
	return rows
}

func moreItems(v *view) string {
	if n := len(v.order.Items) - maxLines; n > 0 {
		return strconv.Itoa(n)
	}
	return ""
}

// calculation says how the subtotal of a line came about, for example "2 × R
// 149,50 − R 20,00".
func calculation(i order.Item) string {
	s := strconv.Itoa(i.Quantity) + " × " + i.UnitPrice.Display()
	if !i.Discount.IsZero() {
		s += " − " + i.Discount.Display()
	}
	return s
}

// totalRows returns labels and amounts that add up to the total. Where shipping
// costs nothing, one row is enough for the amount without VAT.
func totalRows(v *view) []row {
	var rows []row
	if !v.order.Shipping.IsZero() {
		rows = []row{{"Subtotal", v.order.Subtotal.Display()}, {"Shipping", v.order.Shipping.Display()}}
	}
	if net, err := v.order.Total.Sub(v.order.Tax); err == nil {
		rows = append(rows, row{"Total excl. VAT", net.Display()})
	}
	return append(rows, row{"VAT (" + v.order.TaxRate.Percent().Display() + ")", v.order.Tax.Display()})
}

func billingRows(v *view) []row {
	a := v.order.BillingAddress
	lines := []string{
		a.Company, a.FullName, a.Street, a.City, a.Province + " " + a.PostalCode, order.CountryName(a.Country),
	}
	if a.VATNumber != "" {
		lines = append(lines, "VAT number "+a.VATNumber)
	}
	return lineRows(lines, inert)
}

// lineRows returns the lines that are not empty.
func lineRows(lines []string, shown func(string) string) []row {
	var rows []row
	for _, line := range lines {
		if line = shown(line); line != "" {
			rows = append(rows, row{line})
		}
	}
	return rows
}

// paymentRows returns how to pay, for an order that is to be paid.
func paymentRows(v *view) []row {
	if v.order.Total.IsZero() || v.entry.Type != order.EventCreated && v.entry.Type != order.EventPaymentPending {
		return nil
	}
	return lineRows(v.supplier.PaymentLines, clean)
}

// paymentStatus says whether the order is paid.
func paymentStatus(v *view) string {
	switch v.order.Status {
	case order.Paid, order.Processing, order.Completed:
		return "Paid"
	case order.Refunded:
		return "Refunded"
	case order.Cancelled:
		return "Not due"
	default:
		if v.order.Total.IsZero() {
			return "Nothing to pay"
		}
		return "Not paid yet"
	}
}

// paymentMethod returns how the order was paid, or is to be: "eft" is "EFT",
// "credit_card" is "Credit card".
func paymentMethod(v *view) string {
	method := v.payment().Method
	if method == "" {
		method = v.order.PaymentMethod
	}
	switch method {
	case "eft":
		return "EFT"
	case "payfast":
		return "Payfast"
	}
	words := inert(strings.NewReplacer("_", " ", "-", " ").Replace(method))
	first, size := utf8.DecodeRuneInString(words)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + words[size:]
}

func paymentReference(v *view) string {
	p := v.payment()
	if p.TransactionID != "" {
		return inert(p.TransactionID)
	}
	return inert(p.PayfastPaymentID)
}

// change says what happened, in a sentence for the reader.
func (a audience) change(v *view) string {
	if a.name == teamName {
		if v.entry.Type == order.EventCreated {
			return "A new order was received."
		}
		return "The order is now " + string(v.entry.Status) + "."
	}
	switch v.entry.Type {
	case order.EventPaid:
		return "We have received your payment of " + v.order.Total.Display() + "."
	case order.EventCompleted:
		return "We have completed your order."
	case order.EventCancelled:
		return "Your order was cancelled on " + v.entry.Date.Display() + "."
	case order.EventRefunded:
		return "We have refunded your payment of " + v.order.Total.Display() + "."
	default:
		return "We have received your order."
	}
}

// nextSteps says what happens now, or what the reader may do.
func nextSteps(v *view) string {
	const fewDays = "It can take a few days until your bank shows the amount."
	switch v.entry.Type {
	case order.EventCreated:
		if v.order.Total.IsZero() {
			return "There is nothing to pay. We are preparing your order and will tell you when it is completed."
		}
		return "We will start on your order once your payment has arrived. " +
			"Your pro-forma invoice, with how to pay, is with your order."
	case order.EventPaid:
		return "We are preparing your order and will tell you when it is completed. Your invoice is with your order."
	case order.EventCompleted:
		return "There is nothing more for you to do. If something is missing or wrong, please tell us."
	case order.EventCancelled:
		return "You do not need to pay for it. If you have already paid, we will refund you."
	case order.EventRefunded:
		if _, paid := v.order.FirstEntry(order.EventPaid); paid {
			return fewDays + " Your credit note is with your order."
		}
		return "Your payment arrived after the order was cancelled. " + fewDays
	default:
		return ""
	}
}

func companyEmailURL(v *view) string {
	if !order.IsEmail(v.supplier.Email) {
		return ""
	}
	return "mailto:" + v.supplier.Email
}

// website returns the address of a supplier's website and how it is shown, or
// nothing if it is no http or https address.
func website(s order.Supplier) (link, shown string) {
	u, err := url.Parse(strings.TrimSpace(s.Website))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", ""
	}
	return u.String(), strings.TrimSuffix(u.Host+u.EscapedPath(), "/")
}

// orderLink returns the address of the order's page in a portal.
func orderLink(portal, id string) string {
	return strings.TrimRight(portal, "/") + "/orders/" + url.PathEscape(id)
}
