package notify

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The bounds of a template. A mail far below maxOutput is already cut by large mail providers.
const (
	maxTemplate = 256 << 10
	maxOutput   = 1 << 20
)

// A template is an HTML document with variables, {{orderNumber}}, and loops, {{range orderItems}} {{.productName}} {{end}}.
// It is parsed once and may be executed concurrently.
//
// A variable may stand in text, in the quoted value of an attribute that shows text or holds a link, in a title, and in the
// conditional comments of Outlook; its value is escaped for that place. Everywhere else (scripts, styles, tag and attribute
// names, unquoted values, event handlers) there is no use for one in a mail, and the template is refused instead. Other
// comments are copied as they are. Loops stand in text and do not nest, so that the work is bounded by the template's size
// and the order's lines.
//
// Why not html/template: by its use of reflection the linker keeps every exported method, which grows the binary from 15 to
// 27 MB. And it drops comments, also those that Outlook needs.
type template []node

// A node is literal text, or a variable where name is set, or a loop where also body is set.
type node struct {
	literal string
	name    string
	ofItem  bool // {{.name}}, of the loop's item
	place   place
	body    template
}

// A place is where a variable stands.
type place int

const (
	nowhere     place = iota // takes no variable
	inText                   // takes loops, too
	inValue                  // an attribute or an element that holds nothing but text
	inLink                   // behind the host of a web address
	inMailLink               // behind mailto:
	atLinkStart              // takes only the order's link, so that nobody else's words decide where a link leads
)

// escape returns a value as it may stand in the place. Whatever the place, it has no < > & " and ' of its own.
func (p place) escape(s string) string {
	switch p {
	case inLink:
		return escapeLink(s)
	case inMailLink:
		return strings.ReplaceAll(escapeLink(s), "%40", "@")
	default:
		return html.EscapeString(s)
	}
}

// escapeLink keeps the unreserved characters of RFC 3986, section 2.3, and percent-encodes all others.
func escapeLink(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// values are what a template can show: by name, and in lists by name. The variable named link is the order's link.
type values struct {
	link  string
	vars  map[string]string
	lists map[string][]map[string]string
}

// execute returns the document for the values. It fails for a name that they do not have and beyond maxOutput.
func (t template) execute(v values) (string, error) {
	var b strings.Builder
	if err := t.write(&b, v, nil); err != nil {
		return "", err
	}
	return b.String(), nil
}

func (t template) write(b *strings.Builder, v values, item map[string]string) error {
	for _, n := range t {
		switch {
		case n.name == "":
			b.WriteString(n.literal)
		case n.body != nil:
			list, ok := v.lists[n.name]
			if !ok {
				return fmt.Errorf("unknown list %q", n.name)
			}
			for _, item := range list {
				if err := n.body.write(b, v, item); err != nil {
					return err
				}
			}
		default:
			from := v.vars
			if n.ofItem {
				from = item
			}
			value, ok := from[n.name]
			switch {
			case !ok:
				return fmt.Errorf("unknown variable %q", n.name)
			case n.place == atLinkStart && (n.ofItem || n.name != v.link):
				return fmt.Errorf("variable %q as a link", n.name)
			}
			b.WriteString(n.place.escape(value))
		}
		if b.Len() > maxOutput {
			return fmt.Errorf("output exceeds %d bytes", maxOutput)
		}
	}
	return nil
}

// parse reads a template. The error says what is wrong and in which line.
func parse(src string) (template, error) {
	if len(src) > maxTemplate {
		return nil, fmt.Errorf("template exceeds %d bytes", maxTemplate)
	}
	if strings.TrimSpace(src) == "" {
		return nil, errors.New("template is empty")
	}
	if !utf8.ValidString(src) {
		return nil, errors.New("template is not valid UTF-8")
	}
	p := &parser{src: src}
	err := p.text()
	if err == nil && p.list != "" {
		err = errors.New("range without end")
	}
	if err != nil {
		return nil, fmt.Errorf("template line %d: %w", 1+strings.Count(src[:p.pos], "\n"), err)
	}
	p.flush()
	return p.nodes, nil
}

const (
	space     = " \t\r\n\f"
	afterName = space + "/>"
)

// A parser follows the states of an HTML tokenizer (https://html.spec.whatwg.org/#tokenization) as far as they decide
// what a value may do at a place, and refuses where it would have to guess.
type parser struct {
	src   string
	pos   int
	done  int      // src[:done] is in nodes
	nodes template // of the loop, inside of one
	outer template // what stands before the loop
	list  string   // the loop's list
}

func (p *parser) rest() string { return p.src[p.pos:] }

// flush makes a node of the literal text up to the position.
func (p *parser) flush() {
	if p.done < p.pos {
		p.nodes = append(p.nodes, node{literal: p.src[p.done:p.pos]})
	}
	p.done = p.pos
}

// skip moves behind the next occurrence of end, or fails.
func (p *parser) skip(end string) error {
	i := strings.Index(p.rest(), end)
	if i < 0 {
		return fmt.Errorf("%q is missing", end)
	}
	p.pos += i + len(end)
	return nil
}

// text reads what stands between tags, to the end of the document.
func (p *parser) text() error {
	for {
		i := strings.IndexAny(p.rest(), "<{")
		if i < 0 {
			p.pos = len(p.src)
			return nil
		}
		p.pos += i
		var err error
		switch rest := p.rest(); {
		case strings.HasPrefix(rest, "{{"):
			err = p.action(inText)
		case rest[0] == '{':
			p.pos++
		case strings.HasPrefix(rest, "<{{"), strings.HasPrefix(rest, "</{{"):
			err = errors.New("variable in the name of a tag")
		case strings.HasPrefix(rest, "<!--[if"):
			err = p.skip("]>") // For Outlook markup follows, for all others it is a comment until "-->".
		case strings.HasPrefix(rest, "<!--"):
			p.pos += len("<!") // "<!-->" is a whole comment.
			err = p.skip("-->")
		case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
			err = p.skip(">")
		case len(rest) > 1 && isLetter(rest[1]), len(rest) > 2 && rest[1] == '/' && isLetter(rest[2]):
			err = p.tag()
		default:
			p.pos++
		}
		if err != nil {
			return err
		}
	}
}

// tag reads a tag, and the content of an element whose content is no markup.
func (p *parser) tag() error {
	p.pos++
	from := p.pos
	name := strings.ToLower(p.word(afterName))
	if name == "" {
		p.pos++
		p.word(afterName)
	}
	if strings.Contains(p.src[from:p.pos], "{{") {
		return errors.New("variable in the name of a tag")
	}
	for {
		p.skipSpace("/")
		switch {
		case p.rest() == "":
			return errors.New("tag without end")
		case p.rest()[0] == '>':
			p.pos++
			return p.content(name)
		}
		if err := p.attribute(); err != nil {
			return err
		}
	}
}

func (p *parser) content(name string) error {
	switch name {
	case "title", "textarea":
		return p.until("</"+name, inValue)
	case "script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext":
		return p.until("</"+name, nowhere)
	default:
		return nil
	}
}

// attribute reads an attribute and its value, if it has one.
func (p *parser) attribute() error {
	from := p.pos
	p.pos++ // Even "=" can start a name.
	p.word(afterName + "=")
	name := strings.ToLower(p.src[from:p.pos])
	if strings.Contains(name, "{{") {
		return errors.New("variable outside of an attribute's value")
	}
	p.skipSpace("")
	if !strings.HasPrefix(p.rest(), "=") {
		return nil
	}
	p.pos++
	p.skipSpace("")
	rest := p.rest()
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		p.pos++
		return p.value(name, rest[:1])
	}
	if strings.Contains(p.word(space+">"), "{{") {
		return fmt.Errorf("variable in the unquoted attribute %s", name)
	}
	return nil
}

// value reads an attribute's value up to the closing quote.
func (p *parser) value(name, quote string) error {
	from := p.pos
	for {
		i := strings.IndexAny(p.rest(), quote+"{")
		if i < 0 {
			return fmt.Errorf("attribute %s without closing quote", name)
		}
		p.pos += i
		switch {
		case p.rest()[:1] == quote:
			p.pos++
			return nil
		case strings.HasPrefix(p.rest(), "{{"):
			at := placeInAttribute(name, p.src[from:p.pos])
			if at == nowhere {
				return fmt.Errorf("variable in the attribute %s, behind %q", name, p.src[from:p.pos])
			}
			if err := p.action(at); err != nil {
				return err
			}
		default:
			p.pos++
		}
	}
}

// until reads an element's content that is no markup, up to its end tag.
func (p *parser) until(end string, at place) error {
	for {
		i := strings.IndexAny(p.rest(), "<{")
		if i < 0 {
			return fmt.Errorf("%s> is missing", end)
		}
		p.pos += i
		rest := p.rest()
		switch {
		case len(rest) > len(end) && strings.EqualFold(rest[:len(end)], end) && strings.IndexByte(afterName, rest[len(end)]) >= 0:
			return nil
		case !strings.HasPrefix(rest, "{{"):
			p.pos++
		case at == nowhere:
			return fmt.Errorf("variable before %s>", end)
		default:
			if err := p.action(at); err != nil {
				return err
			}
		}
	}
}

// action reads what stands in double braces.
func (p *parser) action(at place) error {
	p.flush()
	i := strings.Index(p.rest(), "}}")
	if i < 0 {
		return errors.New("{{ without }}")
	}
	words := strings.Fields(p.rest()[len("{{"):i])
	switch {
	case len(words) == 1 && words[0] == "end" && at == inText:
		if p.list == "" {
			return errors.New("end without range")
		}
		loop := node{name: p.list, body: p.nodes}
		p.nodes, p.outer, p.list = append(p.outer, loop), nil, ""
	case len(words) == 2 && words[0] == "range" && at == inText && isName(words[1]):
		if p.list != "" {
			return errors.New("range inside of a range")
		}
		p.outer, p.nodes, p.list = p.nodes, template{}, words[1]
	case len(words) == 1 && words[0] != "end" && isName(words[0]):
		p.nodes = append(p.nodes, node{name: words[0], place: at})
	case len(words) == 1 && words[0][0] == '.' && isName(words[0][1:]):
		if p.list == "" {
			return errors.New("variable of an item outside of range")
		}
		p.nodes = append(p.nodes, node{name: words[0][1:], ofItem: true, place: at})
	default:
		return errors.New("{{…}} holds no variable, range or end that may stand here")
	}
	p.pos += i + len("}}")
	p.done = p.pos
	return nil
}

// word moves to the next of the characters in stop, or to the end, and returns what it passed.
func (p *parser) word(stop string) string {
	rest := p.rest()
	if i := strings.IndexAny(rest, stop); i >= 0 {
		rest = rest[:i]
	}
	p.pos += len(rest)
	return rest
}

// skipSpace moves behind white space and the characters in also.
func (p *parser) skipSpace(also string) {
	p.pos = len(p.src) - len(strings.TrimLeft(p.rest(), space+also))
}

// placeInAttribute returns what place it is in an attribute behind the given beginning of its value.
func placeInAttribute(name, before string) place {
	switch name {
	case "href", "src", "background":
		return placeInLink(strings.TrimLeft(before, space))
	case "abbr", "alt", "class", "height", "id", "lang", "summary", "title", "value", "width":
		return inValue
	}
	if strings.HasPrefix(name, "aria-") {
		return inValue
	}
	return nowhere
}

// placeInLink knows no relative links: a mail has no address for them to start from.
func placeInLink(before string) place {
	scheme, rest, _ := strings.Cut(before, ":")
	switch strings.ToLower(scheme) {
	case "":
		return atLinkStart
	case "mailto":
		return inMailLink
	case "http", "https":
		if strings.ContainsAny(strings.TrimLeft(rest, "/"), "/?#") {
			return inLink
		}
	}
	if strings.HasPrefix(before, "{{") { // The order's link, which has a path.
		return inLink
	}
	return nowhere
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isName reports whether s is a letter with letters and digits behind it, in ASCII.
func isName(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}
