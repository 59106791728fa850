package invoice

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/bbws/order-lambda/order"
)

// A writer prepares texts for the page and counts what the fonts do not have.
type writer struct {
	fonts   *fonts
	missing int
}

// clean returns s as it can be drawn, in one line and composed (Unicode form NFC). Characters that are not shown but change
// how others are (controls, zero-width and bidirectional ones, variation selectors) are dropped. A character that
// the fonts do not have becomes a placeholder and is counted; marks upon it go with it. More than order.MaxText
// characters are cut.
func (w *writer) clean(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	count, unknown := 0, false
	for _, r := range norm.NFC.String(strings.ToValidUTF8(s, string(utf8.RuneError))) {
		switch {
		case r == 0x00A0 || r == 0x202F:
			r = 0x00A0
		case unicode.IsSpace(r):
			r = ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Variation_Selector):
			continue
		}
		if !w.fonts.has(r) || r == utf8.RuneError {
			if unknown && unicode.Is(unicode.M, r) {
				continue
			}
			w.missing++
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

// isPlain reports whether a text is short and of printable ASCII, as most are.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= order.MaxText && (s == "" || s[0] != ' ' && s[len(s)-1] != ' ')
}

// wrap breaks a text into lines of at most width points: after spaces and hyphens, and within a word that is too long for
// a line. More than most lines are cut, with an ellipsis.
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

// lineEnd returns how many bytes of s go onto a line, of limit thousandths of the font size. It is never zero.
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
