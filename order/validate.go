package order

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is the length that every text field may have, in Unicode code points.
const MaxText = 256

// IsTenantID reports whether s can be a tenant's id: 1 to 128 of A-Z a-z 0-9 _
// . : -, starting with a letter or digit. It becomes part of keys and object
// names.
func IsTenantID(s string) bool { return isName(s, "_.:-") }

// IsEmail reports whether s is an e-mail address that requests and messages may
// carry.
func IsEmail(s string) bool { return email(s) == "" }

// IsText reports whether s may stand in a text field: at most MaxText
// characters, none of them a control character.
func IsText(s string) bool { return utf8.ValidString(s) && clean(s) == "" }

// isName reports whether s is 1 to 128 letters, digits and characters of
// others, starting with a letter or digit.
func isName(s, others string) bool {
	return s != "" && len(s) <= 128 && isAlphanumeric(s[0]) && onlyOf(s, others, isAlphanumeric)
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// A decoder reads the fields of one JSON object and collects what is wrong with
// them. encoding/json alone would stop at the first field of a wrong type, and
// would take "CARTID" for "cartId".
type decoder struct {
	path   string // "" or the object's own path with a dot
	raw    map[string]json.RawMessage
	twice  map[string]bool // names that the object has more than once
	asked  map[string]bool
	nested []*decoder
	strict bool // a client's request: refuse unknown fields, and fields without a value
	bad    *InvalidError
}

func decode(body []byte, strict bool) (*decoder, error) {
	switch {
	case !utf8.Valid(body):
		return nil, InvalidError{{"body", "is not valid UTF-8"}}
	case !json.Valid(body):
		return nil, InvalidError{{"body", "is not valid JSON"}}
	case !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")):
		return nil, InvalidError{{"body", "must be a JSON object"}}
	}
	return newDecoder("", body, strict, new(InvalidError)), nil
}

// newDecoder returns a decoder of a JSON object that is known to be valid.
func newDecoder(path string, object []byte, strict bool, bad *InvalidError) *decoder {
	d := &decoder{
		path: path, raw: map[string]json.RawMessage{}, twice: map[string]bool{}, asked: map[string]bool{},
		strict: strict, bad: bad,
	}
	tokens := json.NewDecoder(bytes.NewReader(object))
	_, _ = tokens.Token() // the brace
	for tokens.More() {
		name, _ := tokens.Token()
		var value json.RawMessage
		_ = tokens.Decode(&value)
		key, _ := name.(string)
		_, d.twice[key] = d.raw[key]
		d.raw[key] = value
	}
	return d
}

// err returns what is wrong with the object, or nil.
func (d *decoder) err() error {
	for _, o := range append([]*decoder{d}, d.nested...) {
		for _, name := range slices.Sorted(maps.Keys(o.raw)) {
			switch {
			case !o.asked[name] && o.strict:
				o.complain(Printable(name), "is not a known field")
			case o.asked[name] && o.twice[name]: // whatever the last one is
				*o.bad = slices.DeleteFunc(*o.bad, func(f FieldError) bool { return f.Field == o.path+name })
				o.complain(name, "is named twice")
			}
		}
	}
	if len(*d.bad) == 0 {
		return nil
	}
	return *d.bad
}

// Printable returns the name of an unknown field as a client may be shown it:
// shortened, and without what could disturb a log or a page.
func Printable(name string) string {
	const most = 64
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
	if utf8.RuneCountInString(clean) > most {
		return string([]rune(clean)[:most]) + "…"
	}
	return clean
}

func (d *decoder) complain(name, message string) {
	*d.bad = append(*d.bad, FieldError{d.path + name, message})
}

// field returns the raw value of a field, or nil if there is none. In messages,
// null and "" count as none: many producers write them for a field that is not
// set.
func (d *decoder) field(name string) json.RawMessage {
	d.asked[name] = true
	raw := d.raw[name]
	if !d.strict && (string(raw) == "null" || string(raw) == `""`) {
		return nil
	}
	return raw
}

// A rule returns what is wrong with a text, or "".
type rule func(string) string

// need reads a string field that must be there and not be blank.
func (d *decoder) need(name string, rules ...rule) string {
	if d.field(name) == nil {
		d.complain(name, isRequired)
		return ""
	}
	return d.text(name, append([]rule{notBlank}, rules...)...)
}

// text reads a string field. Every text is bounded and free of control
// characters, whatever else the rules say.
func (d *decoder) text(name string, rules ...rule) string {
	raw := d.field(name)
	if raw == nil {
		return ""
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		d.complain(name, "must be a string")
		return ""
	}
	for _, r := range append([]rule{clean}, rules...) {
		if message := r(s); message != "" {
			d.complain(name, message)
			return ""
		}
	}
	return s
}

// timestamp reads an optional field with an RFC 3339 time. The zero time means
// "not set", which a request does not say.
func (d *decoder) timestamp(name string) Timestamp {
	var t Timestamp
	d.text(name, func(s string) string {
		var err error
		if t, err = ParseTimestamp(s); err != nil || d.strict && t.IsZero() {
			return "must be an RFC 3339 time, for example 2025-12-30T10:30:00Z"
		}
		return ""
	})
	return t
}

// object reads a nested object, or returns nil where there is none.
func (d *decoder) object(name string, need bool) *decoder {
	raw := d.field(name)
	switch {
	case raw == nil && need:
		d.complain(name, isRequired)
		return nil
	case raw == nil:
		return nil
	case !bytes.HasPrefix(raw, []byte("{")):
		d.complain(name, "must be an object")
		return nil
	}
	n := newDecoder(d.path+name+".", raw, d.strict, d.bad)
	d.nested = append(d.nested, n)
	return n
}

const isRequired = "is required"

func notBlank(s string) string {
	if strings.TrimSpace(s) == "" {
		return "must not be blank"
	}
	return ""
}

func notEmpty(s string) string {
	if s == "" {
		return "must not be empty"
	}
	return ""
}

// IsControl reports whether r is a control character or one of the
// non-characters U+FFFE and U+FFFF, which have no place in a name or address
// and break PDF and XML.
func IsControl(r rune) bool { return unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF }

// clean is the rule for all text.
func clean(s string) string {
	if n := utf8.RuneCountInString(s); n > MaxText {
		return fmt.Sprintf("must have at most %d characters, has %d", MaxText, n)
	}
	for _, r := range s {
		if IsControl(r) {
			return fmt.Sprintf("must not contain the control character %U", r)
		}
	}
	return ""
}

func orderID(s string) string {
	if !IsID(s) {
		return "must be a UUID version 4 in lower case"
	}
	return ""
}

func tenantID(s string) string {
	if !IsTenantID(s) {
		return "must be 1 to 128 of A-Z a-z 0-9 _ . : - and start with a letter or digit"
	}
	return ""
}

// cartID keeps to what is safe in the path of a URL.
func cartID(s string) string {
	if !isName(s, "_.:-") {
		return "must be 1 to 128 of A-Z a-z 0-9 _ . : - and start with a letter or digit"
	}
	return ""
}

func campaignCode(s string) string {
	if s == "" || len(s) > 64 || !onlyOf(s, "_-", isAlphanumeric) {
		return "must be 1 to 64 of A-Z a-z 0-9 _ -"
	}
	return ""
}

func paymentMethod(s string) string {
	isLower := func(c byte) bool { return isAlphanumeric(c) && (c < 'A' || c > 'Z') }
	if s == "" || len(s) > 64 || !onlyOf(s, "_-", isLower) {
		return "must be 1 to 64 of a-z 0-9 _ -"
	}
	return ""
}

func onlyOf(s, others string, class func(byte) bool) bool {
	for i := range len(s) {
		if !class(s[i]) && strings.IndexByte(others, s[i]) < 0 {
			return false
		}
	}
	return true
}

// IsNumber reports whether s has the form that FormatNumber gives.
func IsNumber(s string) bool {
	rest, ok := strings.CutPrefix(s, "ORD-")
	year, n, _ := strings.Cut(rest, "-")
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return ok && len(year) == 4 && len(n) >= 5 && len(n) <= 18 && onlyOf(year+n, "", isDigit)
}

func knownStatus(s string) string {
	if !Status(s).Known() {
		return "must be one of " + JoinStatuses(Statuses())
	}
	return ""
}

// email accepts the addresses that mail systems accept in practice: a dot-atom
// (RFC 5322, section 3.2.3) of at most 64 characters, and a host name of at
// least two labels (RFC 1123, section 2.1); 254 characters in all (RFC 5321,
// section 4.5.3.1).
func email(s string) string {
	const message = "must be an e-mail address, for example name@example.com"
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || len(local) > 64 || !strings.Contains(domain, ".") {
		return message
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || !onlyOf(atom, "!#$%&'*+/=?^_`{|}~-", isAlphanumeric) {
			return message
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		hyphened := strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-")
		if label == "" || len(label) > 63 || hyphened || !onlyOf(label, "-", isAlphanumeric) {
			return message
		}
	}
	return ""
}
