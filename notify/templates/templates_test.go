package templates_test

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"text/template"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/notify/templates"
)

var update = flag.Bool("update", false, "write the templates")

// A mail is what is its own in a default template. The rest is layout.html.
type mail struct {
	key                                 string
	Customer                            bool
	Title, Preview, From, Heading, Text string
	Link, Button, Invoice               string
	Facts                               []fact
}

// A fact is a line of the table at the top, shown where there is a value If.
type fact struct{ Label, Name, If string }

func mails() []mail {
	return []mail{
		forCustomer("order_confirmation", "Order", "Thank you for your order",
			"We have received order {{orderNumber}} of {{orderDate}}. Total: {{orderTotal}}."),
		forCustomer("order_paid", "Payment for order", "Thank you for your payment",
			"We have received your payment for order {{orderNumber}}. Total: {{orderTotal}}."),
		forCustomer(
			"order_completed", "Completed order", "Your order is completed",
			"We have completed order {{orderNumber}}.",
		),
		forCustomer("order_cancelled", "Cancelled order", "Your order is cancelled", "Order {{orderNumber}} is cancelled."),
		forCustomer("order_refunded", "Refund for order", "Your refund",
			"We have refunded your payment for order {{orderNumber}}. Amount: {{orderTotal}}."),
		forTeam("order_notification", "New order", "{{total}} from {{customerEmail}}, items: {{itemCount}}."),
		forTeam("order_update", "{{orderStatus}}: order", "{{orderNumber}} of {{customerEmail}}, {{total}}. {{reason}}"),
	}
}

func forCustomer(name, title, heading, preview string) mail {
	return mail{
		key: "customer/" + name + ".html", Customer: true, Title: title, Preview: preview, Heading: heading,
		From: "{{companyName}}", Text: "Dear <bdi>{{customerName}}</bdi>,<br>{{change}}",
		Link: "trackingUrl", Button: "Your order and its documents", Invoice: "your invoice",
		Facts: facts(),
	}
}

func forTeam(name, title, preview string) mail {
	return mail{
		key: "internal/" + name + ".html", Title: title, Preview: preview, Heading: "{{orderNumber}}",
		From: "{{tenantId}}", Text: "{{change}}<br><bdi>{{customerName}}</bdi>, {{customerEmail}}. Replies to this e-mail go to the customer.",
		Link: "orderDetailsUrl", Button: "Open in the admin portal", Invoice: "the invoice",
		Facts: append([]fact{{"Tenant", "tenantId", ""}}, append(facts(), fact{"Items", "itemCount", ""})...),
	}
}

func facts() []fact {
	return []fact{
		{"Order number", "orderNumber", ""},
		{"Order date", "orderDate", ""},
		{"Payment", "paymentStatus", ""},
		{"Payment method", "paymentMethod", "paymentMethod"},
		{"Payment date", "paymentDate", "paymentDate"},
		{"Payment reference", "paymentReference", "paymentReference"},
	}
}

// TestLayout holds the templates to their common layout. With -update it
// writes them.
func TestLayout(t *testing.T) {
	is := is.New(t)
	layout, err := template.New("layout.html").Delims("[[", "]]").ParseFiles("layout.html")
	is.NoErr(err)
	for _, m := range mails() {
		t.Run(m.key, func(t *testing.T) {
			is := is.New(t)
			var made bytes.Buffer
			is.NoErr(layout.Execute(&made, m))
			if *update {
				is.NoErr(os.WriteFile(m.key, made.Bytes(), 0o600))
				return
			}
			shipped, err := templates.FS.ReadFile(m.key)
			is.NoErr(err)
			is.Equal(string(shipped), made.String()) // as the layout gives it: go test ./notify/templates -update
		})
	}
}
