package notify

import (
	"fmt"
	"strings"
)

// text returns the plain text of a mail.
func (a audience) text(v *view) string {
	var b strings.Builder
	if a.name == customerName {
		fmt.Fprintf(&b, "Dear %s,\n\n%s\n", greeting(v), a.change(v))
		writeReason(&b, v)
		fmt.Fprintf(&b, "\n%s\n", nextSteps(v))
		for _, line := range paymentRows(v) {
			fmt.Fprintf(&b, "%s\n", line[0])
		}
		fmt.Fprintf(&b, "\nYour order and its documents: %s\n\n", v.link)
	} else {
		fmt.Fprintf(&b, "%s\n", a.change(v))
		writeReason(&b, v)
		fmt.Fprintf(&b, "\nDetails: %s\n\nTenant: %s\nCustomer: %s\nE-mail: %s\n",
			v.link, v.order.TenantID, customerOf(v), address(v.order.CustomerEmail))
	}
	writeOrder(&b, v)
	if a.name == customerName {
		writeSupplier(&b, v)
	}
	return b.String()
}

func writeReason(b *strings.Builder, v *view) {
	if reason := inert(v.entry.Reason); reason != "" {
		fmt.Fprintf(b, "\nReason: %s\n", reason)
	}
}

func writeOrder(b *strings.Builder, v *view) {
	facts := []row{
		{"Order", clean(v.order.Number)},
		{"Date", v.order.DateCreated.Display()},
		{"Payment", paymentStatus(v)},
		{"Payment method", paymentMethod(v)},
		{"Payment date", v.payment().PaidAt.Display()},
		{"Payment reference", paymentReference(v)},
	}
	for _, f := range facts {
		if f[1] != "" {
			fmt.Fprintf(b, "%s: %s\n", f[0], f[1])
		}
	}
	for _, r := range itemRows(v) {
		fmt.Fprintf(b, "\n- %s\n  %s = %s\n", r[0], r[5], r[4])
	}
	if more := moreItems(v); more != "" {
		fmt.Fprintf(b, "\n… %s more in your invoice\n", more)
	}
	b.WriteString("\n")
	for _, r := range append(totalRows(v), row{"Total incl. VAT", v.order.Total.Display()}) {
		fmt.Fprintf(b, "%s: %s\n", r[0], r[1])
	}
	b.WriteString("\nBilled to:\n")
	for _, line := range billingRows(v) {
		fmt.Fprintf(b, "%s\n", line[0])
	}
}

func writeSupplier(b *strings.Builder, v *view) {
	fmt.Fprintf(b, "\nQuestions? Just reply to this e-mail.\n\n%s\n", clean(v.supplier.Name))
	for _, line := range v.supplier.AddressLines {
		fmt.Fprintf(b, "%s\n", clean(line))
	}
	_, site := website(v.supplier)
	for _, contact := range []string{v.supplier.Phone, v.supplier.Email, site} {
		if contact != "" {
			fmt.Fprintf(b, "%s\n", clean(contact))
		}
	}
}
