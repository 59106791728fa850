package notify

import (
	"strings"
	"unicode"

	"github.com/bbws/order-lambda/order"
)

// breaker is ZERO WIDTH NON-JOINER. Nobody sees it, it ends what a mail client
// takes for a web address, and a browser refuses a host with it (UTS #46,
// validity criterion 9). ZERO WIDTH SPACE would be ignored in a host.
const breaker = '\u200c'

// inert returns s, cleaned, in a form of which no mail client makes a link: a
// breaker stands behind each dot, colon and at sign within a word that could
// belong to an address. A dot before a single letter is none: "J.R.R.".
func inert(s string) string {
	runes := []rune(clean(s))
	var b strings.Builder
	for i, r := range runes {
		b.WriteRune(r)
		if i+1 == len(runes) || unicode.IsSpace(runes[i+1]) {
			continue
		}
		next := runes[i+1]
		switch r {
		case '@', '＠', ':', '：':
			b.WriteRune(breaker)
		case '.', '。', '．', '｡':
			if unicode.IsDigit(next) || isWord(next) && i+2 < len(runes) && isWord(runes[i+2]) {
				b.WriteRune(breaker)
			}
		}
	}
	return b.String()
}

// isWord reports whether r may stand in the name of a host, or is ignored in
// one: SOFT HYPHEN, ZERO WIDTH SPACE, WORD JOINER.
func isWord(r rune) bool {
	const others = "-_\u00ad\u200b\u2060"
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(others, r)
}

// address returns a customer's e-mail address for the team. A plain one is
// shown as it is, since the team has to copy it, and answers to it anyway.
func address(email string) string {
	local, _, _ := strings.Cut(email, "@")
	if !order.IsEmail(email) || strings.ContainsAny(local, "/:") || strings.HasPrefix(strings.ToLower(local), "www.") {
		return inert(email)
	}
	return email
}

// clean returns s in one line, without characters that are not shown but change
// how others are: control characters, the bidirectional controls of Unicode
// (UAX #9), and what is not text at all.
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
