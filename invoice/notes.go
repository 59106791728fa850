package invoice

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/bbws/order-lambda/order"
)

// A note is a label and what there is to say about it.
type note struct {
	label   string
	lines   []string
	most    int     // lines that one of them may take, 3 where it does not say
	state   *colour // of a badge around the line, or nil
	address string  // that the line leads to, or ""
}

const (
	badgePad = 4.0 // what a badge adds to the height of its note
	noteGap  = 2.5 // between notes
)

// notes returns what there is to say about payment, campaign and the document
// itself, wrapped.
func (l *layout) notes() []note {
	p := l.o.PaymentDetails
	notes := []note{l.payment()}
	if l.d.Kind == order.CreditNote {
		notes = append(notes, note{label: "Reason", lines: []string{l.reason()}, most: 8})
	}
	notes = append(notes,
		note{label: "Method", lines: []string{methodName(p.Method)}},
		note{label: "Paid on", lines: []string{l.o.PaidOn().Display()}},
		note{label: "Reference", lines: []string{p.TransactionID}},
		note{label: "Payfast ID", lines: []string{p.PayfastPaymentID}},
	)
	if l.d.Kind == order.ProForma && !l.o.Total.IsZero() {
		notes = append(notes, l.howToPay()...)
	}
	if c := l.o.Campaign; c != nil {
		discount := " (−" + c.DiscountPercentage.Display() + ")"
		notes = append(notes, note{label: "Campaign", lines: []string{c.Code + discount, c.Description}})
	}
	if l.missing > 0 {
		about := string(placeholder) + " stands for a character that this document cannot show."
		notes = append(notes, note{label: "Note", lines: []string{about}})
	}
	for i := range notes {
		var lines []string
		for _, s := range notes[i].lines {
			most := cmp.Or(notes[i].most, 3)
			lines = append(lines, l.fonts.wrap(s, regular, 9, notesWidth-noteLabel, most)...)
		}
		notes[i].lines = lines
	}
	return slices.DeleteFunc(notes, func(n note) bool { return len(n.lines) == 0 })
}

// payment returns the state of the payment, which the document says once.
func (l *layout) payment() note {
	state, c := "Pending", amber
	switch l.o.Status {
	case order.Paid, order.Processing, order.Completed:
		state, c = "Paid", green
	case order.Refunded:
		state, c = "Refunded", grey
	default:
	}
	return note{label: "Payment", lines: []string{state}, state: &c}
}

// reason returns why a credit note is issued, which it has to say.
func (l *layout) reason() string {
	if n := len(l.o.History); n > 0 && l.o.History[n-1].Reason != "" {
		return l.o.History[n-1].Reason
	}
	return "The order was refunded in full."
}

// howToPay returns what a customer needs to pay: the supplier's own words, and
// the website. If there are neither, it invites the customer to ask.
func (l *layout) howToPay() []note {
	notes := []note{{label: "How to pay", lines: l.s.PaymentLines, most: 2}}
	switch {
	case l.site != "":
		notes = append(notes, note{label: "Online", lines: []string{l.site}, address: l.siteURL})
	case len(l.s.PaymentLines) == 0 && l.s.Email != "":
		notes = append(notes, note{label: "How to pay", lines: []string{l.s.Email}, address: mailto(l.s.Email)})
	}
	return append(notes, note{label: "Please quote", lines: []string{l.o.Number}, most: 1})
}

// note places a note and returns the baseline that follows.
func (l *layout) note(n note, y float64) float64 {
	const x = left + noteLabel
	l.write(left, y, n.label, style{regular, 9, grey})
	for _, s := range n.lines {
		switch {
		case n.state != nil:
			t := l.write(x+7, y, s, style{semibold, 8, *n.state})
			l.fill(box{x, y - 10.5, t.w + 14, 15}, 7.5, n.state.pale())
			y += badgePad
		case n.address != "":
			l.linked(x, y, notesWidth-noteLabel, s, n.address)
		default:
			l.write(x, y, s, style{regular, 9, ink})
		}
		y += lineHeight
	}
	return y + noteGap
}

// methodName returns a payment method for people: "eft" is "EFT", "credit_card"
// is "Credit card".
func methodName(method string) string {
	if method == "eft" {
		return "EFT"
	}
	words := strings.NewReplacer("_", " ", "-", " ").Replace(method)
	if words != "" && 'a' <= words[0] && words[0] <= 'z' {
		words = strings.ToUpper(words[:1]) + words[1:]
	}
	return words
}

// site returns a website's address and how it is shown, or nothing if it is no
// http or https address.
func site(website string) (address, shown string) {
	u, err := url.Parse(strings.TrimSpace(website))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", ""
	}
	return u.String(), strings.TrimSuffix(u.Host+u.EscapedPath(), "/")
}

// mailto returns the address of a link to a mail address, or "" if it does not
// look like one.
func mailto(address string) string {
	if !order.IsEmail(address) || strings.ContainsAny(address, `<>()[]\,;:"%?&#`) {
		return ""
	}
	return "mailto:" + address
}
