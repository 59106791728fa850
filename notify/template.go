package notify

import (
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode/utf8"

	htmltoken "golang.org/x/net/html"
)

// The bounds of a template and of the document made from it. Large mail
// providers cut a mail off far below maxOutput.
const (
	maxTemplate = 256 << 10
	maxOutput   = 1 << 20
	maxProblems = 50
	maxMessage  = 200
)

// A template is an HTML document with values, {{orderNumber}}, loops,
// {{range orderItems}} {{.productName}} {{end}}, and conditions,
// {{if reason}} … {{end}}. It is parsed once and may be executed concurrently.
//
// html/template is not used: it calls methods by reflection, so the linker
// keeps every exported method and the binary doubles. It also drops comments,
// which Outlook needs.
type template struct{ nodes []node }

// A node is literal text, a value, or a body that is written for each row of
// rows or where when holds.
type node struct {
	literal string
	text    func(*view, row) string
	rows    func(*view) []row
	when    func(*view, row) bool
	body    []node
}

// execute returns the document that shows v. It fails only if the document
// exceeds maxOutput.
func (t *template) execute(v *view) (string, error) {
	var b strings.Builder
	if !write(&b, t.nodes, v, nil) {
		return "", fmt.Errorf("output exceeds %d bytes", maxOutput)
	}
	return b.String(), nil
}

// write reports whether the document is still within its bound.
func write(b *strings.Builder, nodes []node, v *view, r row) bool {
	for i := range nodes {
		switch n := &nodes[i]; {
		case n.rows != nil:
			for _, r := range n.rows(v) {
				if !write(b, n.body, v, r) {
					return false
				}
			}
		case n.when != nil:
			if n.when(v, r) && !write(b, n.body, v, r) {
				return false
			}
		case n.text != nil:
			b.WriteString(html.EscapeString(n.text(v, r)))
		default:
			b.WriteString(n.literal)
		}
		if b.Len() > maxOutput {
			return false
		}
	}
	return true
}

// A Problem is one reason to refuse a template. Line and Column count from 1,
// columns in characters.
type Problem struct {
	Line, Column int
	Message      string
}

// A TemplateError lists what is wrong with a template, in the order in which it
// stands there.
type TemplateError struct{ Problems []Problem }

// Error returns all problems in one line.
func (e *TemplateError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
	}
	return "template: " + strings.Join(parts, "; ")
}

// parse reads a template and resolves its names. The error is a *TemplateError
// wherever the place of a problem can be told.
//
// The tokenizer of golang.org/x/net/html says where tags, comments and text
// begin and end. What it reads is then held to a narrower grammar than that of
// HTML, so that no client can read a template in another way than parse does:
// only elements that mails need, tags of plain attributes, text without a lone
// "<", comments that end in "-->".
//
// TagAttr, Text and Token of the tokenizer are not called: they would link its
// map of 2 231 entities, which is built before main in every role.
func parse(src string, known vocabulary) (*template, error) {
	switch {
	case len(src) > maxTemplate:
		return nil, fmt.Errorf("template exceeds %d bytes", maxTemplate)
	case strings.TrimSpace(src) == "":
		return nil, errors.New("template is empty")
	case !utf8.ValidString(src):
		return nil, errors.New("template is not valid UTF-8")
	}
	p := &parser{src: src, known: known, open: []block{{}}}
	if i := strings.IndexFunc(src, isControl); i >= 0 {
		p.problem(i, "control character")
		return nil, &TemplateError{p.problems} // The tokenizer replaces some of them, so no more places can be told.
	}
	p.document(0, len(src))
	for _, b := range p.open[1:] {
		p.problem(b.at, "%s without {{end}}", b.action)
	}
	p.flush(len(src), len(src))
	if len(p.problems) > 0 {
		return nil, &TemplateError{p.problems}
	}
	return &template{p.open[0].nodes}, nil
}

// A parser reads a template from its beginning to its end. A problem does not
// stop it.
type parser struct {
	src      string
	known    vocabulary
	done     int     // src[:done] is in nodes
	open     []block // the document, then the ranges and ifs that surround the position
	problems []Problem
	comment  bool // within a conditional comment
}

// A block is a part of the document that {{end}} ends.
type block struct {
	action string // "{{range orderItems}}", "" for the document
	at     int
	list   *list // of a range
	node   node
	nodes  []node // the body
}

func (p *parser) problem(at int, format string, args ...any) {
	if len(p.problems) == maxProblems {
		return
	}
	message := fmt.Sprintf(format, args...)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	before := p.src[:at]
	line := strings.LastIndexByte(before, '\n') + 1
	p.problems = append(p.problems, Problem{
		Line:    strings.Count(before, "\n") + 1,
		Column:  utf8.RuneCountInString(before[line:]) + 1,
		Message: message,
	})
}

// add appends a node to the innermost block.
func (p *parser) add(n node) {
	b := &p.open[len(p.open)-1]
	b.nodes = append(b.nodes, n)
}

// flush adds the literal text up to the offset to, and goes on behind next.
func (p *parser) flush(to, next int) {
	if p.done < to {
		p.add(node{literal: p.src[p.done:to]})
	}
	p.done = next
}

// document reads the tokens of src[from:to].
func (p *parser) document(from, to int) {
	z := htmltoken.NewTokenizer(strings.NewReader(p.src[from:to]))
	at := from
	raw := "" // the element whose content is text: style or title
	for {
		kind := z.Next()
		if kind == htmltoken.ErrorToken {
			break
		}
		token := p.src[at : at+len(z.Raw())]
		switch kind {
		case htmltoken.TextToken:
			p.text(at, token, raw)
		case htmltoken.StartTagToken, htmltoken.SelfClosingTagToken:
			name, _ := z.TagName()
			raw = p.startTag(at, token, string(name))
		case htmltoken.EndTagToken:
			name, _ := z.TagName()
			p.endTag(at, token, string(name))
			raw = ""
		case htmltoken.CommentToken:
			p.commentToken(at, token)
		case htmltoken.DoctypeToken:
			if strings.Contains(token, "{{") || hasTag(token) || !strings.HasSuffix(token, ">") {
				p.problem(at, "broken <!DOCTYPE>")
			}
		default:
			p.problem(at, "not HTML")
		}
		at += len(token)
	}
	switch {
	case at < to:
		p.problem(at, "tag without an end")
	case raw != "":
		p.problem(to, "</%s> is missing", raw)
	}
}

// text reads what stands between tags. In a title only values may stand, in a
// style nothing.
func (p *parser) text(at int, token, raw string) {
	for i := 0; i < len(token); {
		switch rest := token[i:]; {
		case strings.HasPrefix(rest, "{{") && raw == "style":
			p.problem(at+i, "a style takes no value")
			i += len("{{")
		case strings.HasPrefix(rest, "{{"):
			i += p.action(at+i, rest, raw == "")
		case rest[0] == '<':
			p.problem(at+i, `"<" begins no tag: write &lt;`)
			i++
		default:
			i++
		}
	}
}

// action reads what stands in double braces at the beginning of rest, and
// returns its length. Blocks may stand only where whole tags may.
func (p *parser) action(at int, rest string, blocks bool) int {
	end := strings.Index(rest, "}}")
	if end < 0 {
		p.problem(at, "{{ without }}")
		return len("{{")
	}
	action := rest[:end+len("}}")]
	p.flush(at, at+len(action))
	words := strings.Fields(rest[len("{{"):end])
	switch {
	case len(words) == 1 && words[0] == "end" && blocks:
		p.end(at)
	case len(words) == 2 && words[0] == "range" && blocks:
		p.startRange(at, action, words[1])
	case len(words) == 2 && words[0] == "if" && blocks:
		p.startIf(at, action, words[1])
	case len(words) == 1 && words[0] != "end":
		if text := p.value(at, words[0]); text != nil {
			p.add(node{text: text})
		}
	case blocks:
		p.problem(at, "%s is not {{name}}, {{range name}}, {{if name}} or {{end}}", action)
	default:
		p.problem(at, "%s is not {{name}}, and nothing else may stand here", action)
	}
	return len(action)
}

func (p *parser) startRange(at int, action, name string) {
	l := p.known.list(name)
	switch {
	case l == nil:
		p.problem(at, "unknown list %q%s", name, nearest(name, p.known.listNames()))
		l = &list{} // Whatever field it is asked for, one problem is enough.
	case p.list() != nil:
		p.problem(at, "%s inside of another range", action)
	}
	p.open = append(p.open, block{action: action, at: at, list: l, node: node{rows: l.rows}})
}

func (p *parser) startIf(at int, action, name string) {
	var when func(*view, row) bool
	if l := p.known.list(name); l != nil {
		when = func(v *view, _ row) bool { return len(l.rows(v)) > 0 }
	} else if text := p.value(at, name); text != nil {
		when = func(v *view, r row) bool { return text(v, r) != "" }
	}
	p.open = append(p.open, block{action: action, at: at, node: node{when: when}})
}

func (p *parser) end(at int) {
	if len(p.open) == 1 {
		p.problem(at, "{{end}} without {{range}} or {{if}}")
		return
	}
	b := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	b.node.body = b.nodes
	p.add(b.node)
}

// list returns the list of the range around the position, or nil.
func (p *parser) list() *list {
	for _, b := range p.open {
		if b.list != nil {
			return b.list
		}
	}
	return nil
}

// value resolves a name, or the name of a field behind a dot. It returns nil if
// there is no such name.
func (p *parser) value(at int, name string) func(*view, row) string {
	field, isField := strings.CutPrefix(name, ".")
	l := p.list()
	switch {
	case !isField && p.known.list(name) != nil:
		p.problem(at, "%q is a list: {{range %s}} … {{end}}", name, name)
	case !isField:
		if v := p.known.value(name); v != nil {
			return func(m *view, _ row) string { return v.of(m) }
		}
		p.problem(at, "unknown name %q%s", name, nearest(name, p.known.valueNames()))
	case l == nil:
		p.problem(at, "%q stands outside of a range", name)
	case l.fields != nil:
		if i := slices.Index(l.fields, field); i >= 0 {
			return func(_ *view, r row) string { return r[i] }
		}
		p.problem(at, "unknown name %q in %s%s", name, l.name, nearest(field, l.fields))
	}
	return nil
}

// startTag reads a tag and returns its name if the content of the element is
// text.
func (p *parser) startTag(at int, token, name string) string {
	if !p.isElement(name) {
		p.problem(at, "a mail has no <%s>", name)
	}
	seen := map[string]bool{}
	for i := 1 + len(name); ; {
		spaces := len(token[i:]) - len(strings.TrimLeft(token[i:], space))
		i += spaces
		if token[i:] == ">" || token[i:] == "/>" {
			break
		}
		a, ok := readAttribute(token[i:])
		if !ok || spaces == 0 {
			p.problem(at+i, "broken tag <%s>", name)
			break
		}
		if seen[a.name] {
			p.problem(at+i, "attribute %s stands twice", a.name)
		}
		seen[a.name] = true
		p.attribute(at+i, name, a)
		i += a.length
	}
	if name == "style" || name == "title" {
		return name
	}
	return ""
}

func (p *parser) endTag(at int, token, name string) {
	switch {
	case !p.isElement(name):
		p.problem(at, "a mail has no </%s>", name)
	case strings.TrimRight(token[len("</"):], space+">") != token[len("</"):len("</")+len(name)]:
		p.problem(at, "broken tag </%s>", name)
	}
}

// isElement reports whether a mail may have such an element. Scripts, frames,
// forms and objects are none of them, and nor are those within which a browser
// reads tags by other rules: svg, math, select, template, noscript.
func (p *parser) isElement(name string) bool {
	switch name {
	case "html", "head", "title", "meta", "style", "body",
		"table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td",
		"div", "span", "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "center", "font",
		"header", "main", "section", "article", "nav", "aside", "footer", "address",
		"a", "img", "figure", "figcaption", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre",
		"b", "strong", "i", "em", "u", "s", "small", "big", "sub", "sup", "code", "mark", "ins", "del",
		"abbr", "cite", "q", "time", "bdi", "bdo", "wbr":
		return true
	}
	prefix, _, _ := strings.Cut(name, ":")
	return p.comment && (prefix == "xml" || prefix == "o" || prefix == "v" || prefix == "w") // Outlook's own.
}

// An attribute is a name with a value. Value starts at offset; quote is 0 if it
// stands without quotes or is missing. Length is that of the whole.
type attribute struct {
	name, value    string
	offset, length int
	quote          byte
}

// readAttribute reads the attribute at the beginning of s. It reports false for
// what not every client reads in the same way.
func readAttribute(s string) (attribute, bool) {
	n := strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) })
	if n <= 0 {
		return attribute{}, false
	}
	a := attribute{name: strings.ToLower(s[:n]), length: n}
	rest := strings.TrimLeft(s[n:], space)
	if !strings.HasPrefix(rest, "=") {
		return a, true
	}
	rest = strings.TrimLeft(rest[1:], space)
	if rest == "" {
		return a, false
	}
	if a.quote = rest[0]; a.quote == '"' || a.quote == '\'' {
		rest = rest[1:]
		end := strings.IndexByte(rest, a.quote)
		if end < 0 {
			return a, false
		}
		a.value, a.offset = rest[:end], len(s)-len(rest)
		a.length = a.offset + end + 1
		return a, true
	}
	a.quote = 0
	end := strings.IndexAny(rest, space+">")
	if end <= 0 || strings.ContainsAny(rest[:end], "\"'`=<&") {
		return a, false
	}
	a.value, a.offset = rest[:end], len(s)-len(rest)
	a.length = a.offset + end
	return a, true
}

func isNameRune(r rune) bool {
	return 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == ':' || r == '.'
}

// attribute judges an attribute of an element that stands at the offset at.
func (p *parser) attribute(at int, element string, a attribute) {
	plain := strings.ToLower(strings.TrimSpace(html.UnescapeString(a.value)))
	switch {
	case strings.HasPrefix(a.name, "on"):
		p.problem(at, "event handler %s", a.name)
	case isLink(a.name):
		p.link(at, a)
	case element == "meta" && a.name == "http-equiv" && plain != "content-type" && plain != "x-ua-compatible":
		p.problem(at, "<meta http-equiv=%q>", a.value)
	case !strings.Contains(a.value, "{{"):
	case a.quote == 0:
		p.problem(at, "attribute %s takes a value only in quotes", a.name)
	case !showsText(a.name):
		p.problem(at, "attribute %s takes no value", a.name)
	default:
		for i := 0; ; {
			next := strings.Index(a.value[i:], "{{")
			if next < 0 {
				break
			}
			i += next
			i += p.action(at+a.offset+i, a.value[i:], false)
		}
	}
}

// showsText reports whether an attribute takes a value.
func showsText(name string) bool {
	switch name {
	case "abbr", "alt", "bgcolor", "height", "lang", "summary", "title", "width":
		return true
	}
	return strings.HasPrefix(name, "aria-")
}

// isLink reports whether an attribute leads or loads somewhere.
func isLink(name string) bool {
	switch name {
	case "action", "archive", "background", "cite", "classid", "codebase", "data", "dynsrc", "formaction",
		"href", "icon", "longdesc", "lowsrc", "manifest", "ping", "poster", "profile", "src", "srcdoc", "srcset", "usemap":
		return true
	}
	return strings.HasSuffix(name, ":href") || strings.HasSuffix(name, ":src")
}

// link judges where an attribute leads. A value has to be the whole link, and
// one of the service's own.
func (p *parser) link(at int, a attribute) {
	if !strings.Contains(a.value, "{{") {
		target := html.UnescapeString(a.value)
		scheme, _, _ := strings.Cut(strings.ToLower(target), ":")
		switch {
		case strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			p.problem(at, "%s has a space or a control character", a.name)
		case slices.Contains([]string{"https", "http", "mailto", "tel", "cid"}, scheme), strings.HasPrefix(target, "#"):
		default:
			p.problem(at, "%s leads to %q: only https, http, mailto, tel, cid and # may stand here", a.name, target)
		}
		return
	}
	name := strings.TrimPrefix(a.value, "{{")
	name, closed := strings.CutSuffix(name, "}}")
	name = strings.TrimSpace(name)
	v := p.known.value(name)
	switch {
	case a.quote == 0:
		p.problem(at, "attribute %s takes a value only in quotes", a.name)
	case !closed || strings.ContainsAny(name, "{}"):
		p.problem(at, "a value in %s must be the whole link", a.name)
	case v == nil && !strings.HasPrefix(name, "."):
		p.problem(at+a.offset, "unknown name %q%s", name, nearest(name, p.known.linkNames()))
	case v == nil || !v.link:
		p.problem(at+a.offset, "%q is no link: only %s may stand here", name, strings.Join(p.known.linkNames(), ", "))
	default:
		p.action(at+a.offset, a.value, false)
	}
}

// commentToken judges what the tokenizer takes for a comment. A conditional
// comment is markup for Outlook.
func (p *parser) commentToken(at int, token string) {
	isComment := strings.HasPrefix(token, "<!--") && strings.HasSuffix(token, "-->")
	switch {
	case p.comment:
		p.problem(at, "comment within a comment")
	case strings.Contains(token, "{{"):
		p.problem(at, "a comment takes no value")
	case strings.HasPrefix(token, "<![if ") && strings.HasSuffix(token, "]>") && !hasTag(token), token == "<![endif]>":
	case !isComment || len(token) < len("<!---->"):
		p.problem(at, "broken comment")
	case strings.HasPrefix(token, "<!--[if"):
		inner, ok := strings.CutSuffix(token, "<![endif]-->")
		if !ok {
			inner, ok = strings.CutSuffix(token, "<!-->")
		}
		from := strings.Index(inner, "]>") + len("]>")
		if !ok || from < len("]>") {
			p.problem(at, "broken conditional comment")
			return
		}
		p.comment = true
		p.document(at+from, at+len(inner))
		p.comment = false
	}
}

// hasTag reports whether something within a token might begin a tag for those
// who do not know its kind.
func hasTag(token string) bool { return strings.LastIndexByte(token, '<') > 0 }

const space = " \t\r\n\f"

func isControl(r rune) bool { return r < ' ' && !strings.ContainsRune(space, r) || r == 0x7f }

// nearest returns ": did you mean …?" with the known name that is most like
// name, or "" where none is like it.
func nearest(name string, known []string) string {
	best, least := "", 1+max(2, len(name)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance returns how many bytes to insert, remove or replace to get from a
// to b.
func distance(a, b string) int {
	line := make([]int, len(b)+1)
	for j := range line {
		line[j] = j
	}
	for i := range len(a) {
		corner := line[0]
		line[0] = i + 1
		for j := range len(b) {
			replace := corner
			if a[i] != b[j] {
				replace++
			}
			corner = line[j+1]
			line[j+1] = min(replace, line[j]+1, line[j+1]+1)
		}
	}
	return line[len(b)]
}

// A vocabulary is what a template can show.
type vocabulary struct {
	values []value
	lists  []list
}

// A value is a text by a name. A link is one of the service's own.
type value struct {
	name string
	link bool
	of   func(*view) string
}

// A list is a number of rows by a name, each with the same fields.
type list struct {
	name   string
	fields []string
	rows   func(*view) []row
}

type row []string

func (k vocabulary) value(name string) *value {
	for i := range k.values {
		if k.values[i].name == name {
			return &k.values[i]
		}
	}
	return nil
}

func (k vocabulary) list(name string) *list {
	for i := range k.lists {
		if k.lists[i].name == name {
			return &k.lists[i]
		}
	}
	return nil
}

func (k vocabulary) valueNames() []string {
	var names []string
	for _, v := range k.values {
		names = append(names, v.name)
	}
	return names
}

func (k vocabulary) linkNames() []string {
	var names []string
	for _, v := range k.values {
		if v.link {
			names = append(names, v.name)
		}
	}
	return names
}

func (k vocabulary) listNames() []string {
	var names []string
	for _, l := range k.lists {
		names = append(names, l.name)
	}
	return names
}
