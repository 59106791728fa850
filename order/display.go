package order

import (
	"strings"
)

// The forms for people are those of South African English: en-ZA of the Unicode
// CLDR, release 48. Spaces inside an amount are no-break spaces, so that a line
// never ends within one.
const (
	noBreakSpace = "\u00a0"
	minusSign    = "\u2212" // CLDR has a hyphen here, which text layout may tear from its number.
)

// Display returns the amount for people, in the form "R 1 234,50", or "USD 1
// 234,50" in any currency but the rand. Its spaces are no-break spaces and a
// negative amount starts with a true minus sign, U+2212.
func (m Money) Display() string {
	digits, negative := strings.CutPrefix(m.String(), "-")
	whole, fraction, hasFraction := strings.Cut(digits, ".")
	var b strings.Builder
	if negative {
		b.WriteString(minusSign)
	}
	switch m.currency {
	case "ZAR":
		b.WriteString("R" + noBreakSpace)
	case "":
	default:
		b.WriteString(string(m.currency) + noBreakSpace)
	}
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(noBreakSpace)
		}
		b.WriteByte(whole[i])
	}
	if hasFraction {
		b.WriteString("," + fraction)
	}
	return b.String()
}

// Display returns the percentage for people, for example "12,5%".
func (p Percent) Display() string { return strings.Replace(p.String(), ".", ",", 1) + "%" }

// Display returns the day of the moment for people, for example "30 December
// 2025", or "" if it is not set. The day is that of South Africa.
func (t Timestamp) Display() string {
	if t.IsZero() {
		return ""
	}
	return t.t.In(johannesburg()).Format("2 January 2006")
}

// Display returns the status for people, for example "Payment pending".
func (s Status) Display() string {
	if s == "" {
		return ""
	}
	words := strings.ReplaceAll(string(s), "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}
