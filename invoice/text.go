package invoice

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/bbws/order-lambda/order"
)

// placeholder stands for a character that the fonts do not have.
const placeholder = '□'

// A cleaner prepares texts for the page and counts what the fonts do not have.
type cleaner struct {
	fonts   *fonts
	missing int
}

// order returns what is shown of an order, cleaned. The customer's name is in
// the billing address.
func (c *cleaner) order(o order.Order) order.Order {
	a := &o.BillingAddress
	if a.FullName == "" {
		a.FullName = o.CustomerName
	}
	a.Country = order.CountryName(a.Country)
	shown := []*string{
		&o.Number, &o.CustomerEmail, &o.PaymentMethod,
		&a.FullName, &a.Company, &a.VATNumber, &a.Street, &a.City, &a.Province, &a.PostalCode, &a.Country,
	}
	o.Items = slices.Clone(o.Items)
	for i := range o.Items {
		shown = append(shown, &o.Items[i].ProductName)
	}
	if o.Campaign != nil {
		campaign := *o.Campaign
		o.Campaign = &campaign
		shown = append(shown, &campaign.Code, &campaign.Description)
	}
	o.History = slices.Clone(o.History)
	for i := range o.History {
		shown = append(shown, &o.History[i].Reason)
	}
	var payment order.PaymentDetails
	if o.PaymentDetails != nil {
		payment = *o.PaymentDetails
	}
	if payment.Method == "" {
		payment.Method = o.PaymentMethod
	}
	o.PaymentDetails = &payment
	shown = append(shown, &payment.Method, &payment.TransactionID, &payment.PayfastPaymentID)
	for _, s := range shown {
		*s = c.clean(*s)
	}
	return o
}

// supplier returns a supplier, cleaned.
func (c *cleaner) supplier(s order.Supplier) order.Supplier {
	s.AddressLines, s.PaymentLines = slices.Clone(s.AddressLines), slices.Clone(s.PaymentLines)
	shown := []*string{&s.Name, &s.VATNumber, &s.RegistrationNumber, &s.Phone, &s.Email, &s.Footer}
	for i := range s.AddressLines {
		shown = append(shown, &s.AddressLines[i])
	}
	for i := range s.PaymentLines {
		shown = append(shown, &s.PaymentLines[i])
	}
	for _, t := range shown {
		*t = c.clean(*t)
	}
	return s
}

// clean returns s as it can be drawn, in one line and composed (Unicode form
// NFC). Characters that are not shown but change how others are (controls,
// zero-width and bidirectional ones, variation selectors) are dropped. A
// character that the fonts do not have becomes a placeholder and is counted;
// its combining marks are dropped. A text longer than order.MaxText is cut.
func (c *cleaner) clean(s string) string {
	if isPlain(s) {
		return s
	}
	// Only what is left may be composed: a letter and its mark can have a
	// control character between them.
	s = norm.NFC.String(strings.Map(visible, strings.ToValidUTF8(s, string(utf8.RuneError))))
	var b strings.Builder
	count, unknown := 0, false
	for _, r := range s {
		if !c.fonts.has(r) {
			if unknown && unicode.Is(unicode.M, r) {
				continue
			}
			c.missing++
			r, unknown = placeholder, true
		} else {
			unknown = false
		}
		if count++; count > order.MaxText {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
	}
	return strings.Trim(b.String(), " ")
}

// visible returns the character as it is drawn, or -1 if it is not.
func visible(r rune) rune {
	switch {
	case r == noBreakSpace || r == narrowNoBreakSpace:
		return noBreakSpace
	case unicode.IsSpace(r):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Variation_Selector):
		return -1
	}
	return r
}

const (
	noBreakSpace       = '\u00A0'
	narrowNoBreakSpace = '\u202F'
)

// isPlain reports whether a text is short and of printable ASCII, as most are.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= order.MaxText && (s == "" || s[0] != ' ' && s[len(s)-1] != ' ')
}

// advance returns the width of a character in thousandths of the font size, or
// noGlyph.
func (fs *fonts) advance(r rune, f face) int {
	if a := fs.advances[f]; int(r) < len(a) {
		return int(a[r])
	}
	return noGlyph
}

// has reports whether the fonts can show a character. Both faces have the same.
func (fs *fonts) has(r rune) bool { return fs.advance(r, regular) != noGlyph }

// width returns the width of a text in points.
func (fs *fonts) width(s string, f face, size float64) float64 {
	sum := 0
	for _, r := range s {
		sum += fs.advance(r, f)
	}
	return float64(sum) * size / 1000
}

// wrap breaks a text into lines of at most width points: after spaces and
// hyphens, and within a word that is too long for a line. More than most lines
// are cut, with an ellipsis.
func (fs *fonts) wrap(s string, f face, size, width float64, most int) []string {
	limit := int(width * 1000 / size)
	var lines []string
	for s != "" {
		end := fs.lineEnd(s, f, limit)
		if len(lines) == most-1 && end < len(s) {
			return append(lines, fs.ellipsize(s, f, size, width))
		}
		lines = append(lines, strings.TrimRight(s[:end], " "))
		s = strings.TrimLeft(s[end:], " ")
	}
	return lines
}

// lineEnd returns how many bytes of s go onto a line, of limit thousandths of
// the font size. It is never zero.
func (fs *fonts) lineEnd(s string, f face, limit int) int {
	sum, opportunity := 0, 0
	for i, r := range s {
		sum += fs.advance(r, f)
		if r == ' ' {
			opportunity = i + 1
			continue
		}
		if sum > limit && i > 0 {
			if opportunity > 0 {
				return opportunity
			}
			return i
		}
		if r == '-' || r == '/' || r == '–' || r == '—' {
			opportunity = i + utf8.RuneLen(r)
		}
	}
	return len(s)
}

// ellipsize cuts a text to a width.
func (fs *fonts) ellipsize(s string, f face, size, width float64) string {
	const ellipsis = "…"
	if fs.width(s, f, size) <= width {
		return s
	}
	limit := int(width*1000/size) - fs.advance('…', f)
	sum := 0
	for i, r := range s {
		if sum += fs.advance(r, f); sum > limit {
			return strings.TrimRight(s[:i], " ") + ellipsis
		}
	}
	return s
}
