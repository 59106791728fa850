package notify_test

import (
	"errors"
	"fmt"
	stdhtml "html"
	htmltemplate "html/template"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"

	"github.com/matryer/is"
	"golang.org/x/net/html"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

func customer() *notify.Sender { return customerOf(nil, nil) }

func TestTemplate(t *testing.T) {
	for _, tt := range []struct{ name, template, want string }{
		{"variable", "Order {{orderNumber}}!", "Order ORD-2025-00002!"},
		{"spaces in braces", "{{ orderNumber\t}}", "ORD-2025-00002"},
		{"single braces", "{x} {{orderNumber}} }} {", "{x} ORD-2025-00002 }} {"},
		{
			"loop", "<ul>{{range orderItems}}<li>{{.quantity}} {{.productName}}</li>{{end}}</ul>",
			"<ul><li>1 Ceramic pour-over coffee set</li><li>3 Single origin beans, Yirgacheffe, 1 kg</li><li>2 Paper filters, size 02, pack of 100</li></ul>",
		},
		{"order in a loop", "{{range orderItems}}{{orderNumber}}.{{end}}", "ORD-2025-00002.ORD-2025-00002.ORD-2025-00002."},
		{
			"two loops", "{{range orderItems}}{{.quantity}}{{end}}{{range orderTotals}}[{{.label}}]{{end}}",
			"132[Subtotal][Shipping][Total excl. VAT][VAT (15%)]",
		},
		{"empty loop", "a{{range orderItems}}{{end}}b", "ab"},
		{
			"every variable of an item",
			"{{range orderItems}}{{.productName}}|{{.quantity}}|{{.unitPrice}}|{{.discount}}|{{.subtotal}}|{{.calculation}}\n{{end}}",
			"Ceramic pour-over coffee set|1|R 649,00|R 0,00|R 649,00|1 × R 649,00\n" +
				"Single origin beans, Yirgacheffe, 1 kg|3|R 389,50|R 116,85|R 1 051,65|3 × R 389,50 − R 116,85\n" +
				"Paper filters, size 02, pack of 100|2|R 89,90|R 0,00|R 179,80|2 × R 89,90\n",
		},
		{
			"every variable of the customer's mail",
			"{{orderNumber}}|{{orderDate}}|{{orderStatus}}|{{customerName}}|{{customerEmail}}|{{itemCount}}|{{subtotal}}|{{shipping}}|" +
				"{{tax}}|{{taxRate}}|{{total}}|{{orderTotal}}|{{trackingUrl}}",
			"ORD-2025-00002|12 December 2025|Pending|Thandi Example|thandi@example.co.za|3|R 1 880,45|R 99,00|" +
				"R 296,92|15%|R 2 276,37|R 2 276,37|https://portal.kimmyai.io/orders/0b8f1d2e-5c3a-4e6f-9a7b-000000000002",
		},
		{
			"attribute", `<td title="{x} {{orderNumber}}" aria-label='{{taxRate}}'>`,
			`<td title="{x} ORD-2025-00002" aria-label='15%'>`,
		},
		{
			"link", `<a href="{{trackingUrl}}">`,
			`<a href="https://portal.kimmyai.io/orders/0b8f1d2e-5c3a-4e6f-9a7b-000000000002">`,
		},
		{"literal links", `<a href="https://x.example/?a=1&amp;b=2"><a href=mailto:x@x.example><a href='#top'>{{itemCount}}`, `<a href="https://x.example/?a=1&amp;b=2"><a href=mailto:x@x.example><a href='#top'>3`},
		{
			"title", "<title>{{orderNumber}} of {{orderDate}}</title>{{itemCount}}",
			"<title>ORD-2025-00002 of 12 December 2025</title>3",
		},
		{"style is copied", "<style>a{b:c}</style >{{itemCount}}", "<style>a{b:c}</style >3"},
		{"empty comment", "<!---->{{itemCount}}", "<!---->3"},
		{"name of an attribute", `<b data-az-AZ-09_.:x="1">{{itemCount}}`, `<b data-az-AZ-09_.:x="1">3`},
		{"comment is copied", "<!-- nothing -->{{itemCount}}", "<!-- nothing -->3"},
		{
			"Outlook's comments",
			`<!--[if mso]><v:rect href="https://x.example"><![endif]--><!--[if !mso]><!-->{{itemCount}}<!--<![endif]--><![if !mso]>x<![endif]>`,
			`<!--[if mso]><v:rect href="https://x.example"><![endif]--><!--[if !mso]><!-->3<!--<![endif]--><![if !mso]>x<![endif]>`,
		},
		{"a condition is not read", "<!--[if <b]>{x}<![endif]-->{{itemCount}}", "<!--[if <b]>{x}<![endif]-->3"},
		{"odd markup", "<!DOCTYPE html><br/>a &lt; b & c > d<A title = 'f' lang=en></A >{{itemCount}}", "<!DOCTYPE html><br/>a &lt; b & c > d<A title = 'f' lang=en></A >3"},
		{
			"condition",
			"{{if orderNumber}}a{{end}}{{if orderItems}}b{{if total}}c{{end}}{{end}}{{range orderItems}}{{if .productName}}.{{end}}{{end}}",
			"abc...",
		},
		{"byte order mark", "\ufeff{{itemCount}}", "\ufeff3"},
		{"the largest", strings.Repeat("x", 256<<10), strings.Repeat("x", 256<<10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m, err := customer().Render(placed(), created(placed()), supplier(), tt.template)
			is.NoErr(err)
			is.Equal(strings.ReplaceAll(m.HTML, "\u00a0", " "), tt.want) // rendered
		})
	}
}

// A refusal is a template that is refused, and what its error says.
type refusal struct{ name, template, want string }

// checkRefused holds that templates are refused, and that the mail then still
// has its built-in text.
func checkRefused(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m, err := customer().Render(placed(), created(placed()), supplier(), tt.template)
			is.True(err != nil) // refused
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q does not say %q", err, tt.want)
			}
			is.Equal(m.HTML, "")                   // nothing half-done
			is.True(strings.Contains(m.Text, "R")) // the built-in text is there
		})
	}
}

func TestTemplateRefused(t *testing.T) {
	checkRefused(t, []refusal{
		{"empty", " \n", "template is empty"},
		{"not UTF-8", "\xff\xfe<", "not valid UTF-8"},
		{"too large", strings.Repeat("x", 256<<10+1), "template exceeds 262144 bytes"},
		{"unknown variable", "{{orderNumbr}}", `1:1: unknown name "orderNumbr": did you mean "orderNumber"?`},
		{"unlike any", "{{nothing}}", `1:1: unknown name "nothing"`},
		{"variable of the other mail", "{{orderDetailsUrl}}", `unknown name "orderDetailsUrl"`},
		{
			"unknown field", "{{range orderItems}}{{.productname}}{{end}}",
			`1:21: unknown name ".productname" in orderItems: did you mean "productName"?`,
		},
		{"unknown list", "{{range orderItem}}{{.x}}{{end}}", `unknown list "orderItem": did you mean "orderItems"?`},
		{"list as variable", "{{orderItems}}", `"orderItems" is a list: {{range orderItems}} … {{end}}`},
		{"unknown condition", "{{if orderNumbr}}{{end}}", `unknown name "orderNumbr"`},
		{"no closing braces", "a\nb {{orderNumber", "2:3: {{ without }}"},
		{"column in characters", "ä🍵{{x}}", "1:3: unknown name"},
		{"nothing in braces", "{{}}", "{{}} is not {{name}}"},
		{"two words", "{{orderNumber orderDate}}", "is not {{name}}"},
		{"else", "{{if total}}{{else}}{{end}}", `unknown name "else"`},
		{"pipeline", "{{orderNumber | html}}", "is not {{name}}"},
		{"endless recursion", `{{define "a"}}{{template "a"}}{{end}}`, "is not {{name}}"},
		{"item outside of a loop", "{{.productName}}", "outside of a range"},
		{"lone dot", "{{range orderItems}}{{.}}{{end}}", `unknown name "." in orderItems`},
		{"end without range", "{{end}}", "{{end}} without {{range}} or {{if}}"},
		{"range without end", "\n{{range orderItems}}", "2:1: {{range orderItems}} without {{end}}"},
		{"if without end", "{{if total}}", "{{if total}} without {{end}}"},
		{
			"nested range", "{{range orderItems}}{{if .quantity}}{{range orderItems}}{{end}}{{end}}{{end}}",
			"inside of another range",
		},
		{"range in an attribute", `<a title="{{range orderItems}}">`, "nothing else may stand here"},
		{"end in an attribute", `{{range orderItems}}<a title="{{end}}">`, "nothing else may stand here"},
		{"range in a title", `<title>{{range orderItems}}x{{end}}</title>`, "nothing else may stand here"},
	})
}

func TestTemplateRefusedElement(t *testing.T) {
	checkRefused(t, []refusal{
		{"script", "<script>var x = 1</script>", "a mail has no <script>"},
		{"script in capitals", "<SCRIPT/src=x>", "a mail has no <script>"},
		{"script with an escaped script", "<script><!--<script></script> {{customerName}}", "a mail has no <script>"},
		{"script behind an odd comment", "<!-- x --!><script>/* --> */ {{customerName}}", "broken comment"},
		{"script behind an odd comment, again", "<!-- x --!><script>/* --> */ {{customerName}}", "a mail has no <script>"},
		{"script in a conditional comment", "<!--[if mso]><script>x()</script><![endif]-->", "a mail has no <script>"},
		{"script in an endless conditional comment", "<!--[if mso]><script>-->", "broken conditional comment"},
		{"svg", "<svg><script>x()</script></svg>", "a mail has no <svg>"},
		{
			"svg hides an attribute from the tokenizer", `<svg><style><a title="</style>{{customerName}}">`,
			"a mail has no <svg>",
		},
		{"math", "<math><mtext><style><img src=x onerror=x()>", "a mail has no <math>"},
		{"select", `<select><style><a href="</style>{{customerName}}">`, "a mail has no <select>"},
		{"template", "<template>{{customerName}}</template>", "a mail has no <template>"},
		{"noscript", `<noscript><a title="</noscript>{{customerName}}">`, "a mail has no <noscript>"},
		{"plaintext", "<plaintext>{{customerName}}", "a mail has no <plaintext>"},
		{"textarea", "<textarea>{{customerName}}</textarea>", "a mail has no <textarea>"},
		{"iframe", `<iframe srcdoc="&lt;script>">`, "a mail has no <iframe>"},
		{"object", `<object data="https://x.example/x.swf">`, "a mail has no <object>"},
		{"embed", "<embed src=https://x.example>", "a mail has no <embed>"},
		{"base", `<base href="https://evil.example/">`, "a mail has no <base>"},
		{"link", `<link rel=stylesheet href="https://evil.example/">`, "a mail has no <link>"},
		{"form", `<form action="https://evil.example/">`, "a mail has no <form>"},
		{"refresh", `<meta http-equiv="re&#102;resh" content="0;url=https://evil.example/">`, "<meta http-equiv="},
		{"value in a style", "<style>a { color: {{orderNumber}} }</style>", "1:19: a style takes no value"},
		{"no end of a style", "<style></styles>", "</style> is missing"},
	})
}

func TestTemplateRefusedTag(t *testing.T) {
	checkRefused(t, []refusal{
		{"style attribute", `<a style="{{orderNumber}}">`, "attribute style takes no value"},
		{"event handler", `<a onclick="f()">`, "event handler onclick"},
		{"event handler behind a slash", `<img/onerror="f()">`, "broken tag <img>"},
		{"event handler behind a quote", `<img alt=""onerror="f()">`, "broken tag <img>"},
		{"unquoted attribute", "<a title={{orderNumber}}>", "attribute title takes a value only in quotes"},
		{"unquoted link", "<a href={{trackingUrl}}>", "attribute href takes a value only in quotes"},
		{"quote in an unquoted attribute", `<a title=x"{{orderNumber}}">`, "broken tag <a>"},
		{"attribute twice", `<a title="x" TITLE="{{orderNumber}}">`, "attribute title stands twice"},
		{"attribute's name", "<a {{orderNumber}}>", "broken tag <a>"},
		{"attribute's name in quotes", `<a "{{orderNumber}}">`, "broken tag <a>"},
		{"end of an attribute's name", "<a b{{orderNumber}}='x'>", "broken tag <a>"},
		{
			"no-break space before an attribute", "<a\u00a0href={{orderNumber}}>",
			"a mail has no <a\u00a0href={{ordernumber}}>",
		},
		{"attribute without a name", `<a ="x">`, "broken tag <a>"},
		{"attribute without its value", "<a title=>", "broken tag <a>"},
		{"tag", "<{{orderNumber}}>", `"<" begins no tag`},
		{"tag by a condition", "<{{if total}}{{customerName}}{{end}}>", `"<" begins no tag`},
		{"end of a tag's name", "<b{{orderNumber}}>", "a mail has no <b{{ordernumber}}>"},
		{"closing tag", "</{{orderNumber}}>", "a comment takes no value"},
		{"attribute of a closing tag", `</b title="{{orderNumber}}">`, "broken tag </b>"},
		{"processing instruction", "<?xml {{orderNumber}}?>", "a comment takes no value"},
		{"CDATA", "<![CDATA[ x ]]>", "broken comment"},
		{"value in a comment", "<!-- {{orderNumber}} -->", "a comment takes no value"},
		{"value in a conditional comment", "<!--[if mso]>{{orderNumber}}<![endif]-->", "a comment takes no value"},
		{"open tag in a conditional comment", `<!--[if mso]><a href="<![endif]-->{{customerName}}`, "tag without an end"},
		{
			"open style in a conditional comment",
			"<!--[if mso]><style><![endif]-->{{customerName}}<!--[if mso]></style><![endif]-->",
			"</style> is missing",
		},
	})
}

func TestTemplateRefusedLink(t *testing.T) {
	checkRefused(t, []refusal{
		{"link of the customer's", `<a href="{{customerName}}">`, `"customerName" is no link: only trackingUrl`},
		{"link of an item's", `{{range orderItems}}<a href="{{.productName}}">x</a>{{end}}`, `".productName" is no link`},
		{"nearest link", `<a href="{{trackingURI}}">`, `did you mean "trackingUrl"?`},
		{"part of a link", `<a href="{{trackingUrl}}?n={{customerName}}">`, "must be the whole link"},
		{"path", `<a href="https://x.example/{{customerName}}">`, "must be the whole link"},
		{"address", `<a href="mailto:{{customerEmail}}">`, "must be the whole link"},
		{"host", `<a href="https://{{customerName}}/">`, "must be the whole link"},
		{"half of a value", `<a href="{{trackingUrl">`, "must be the whole link"},
		{"host behind entities", `<a href="https:&#x2F;&#x2F;{{customerName}}">`, "must be the whole link"},
		{"host behind a tab", "<a href=\"https:/\t/{{customerName}}\">", "must be the whole link"},
		{"end of a host", `<a href="https://shop.example&#46;com{{customerName}}">`, "must be the whole link"},
		{"background", `<td background="https://{{customerName}}">`, "must be the whole link"},
		{"srcset", `<img srcset="{{customerName}} 2x">`, "must be the whole link"},
		{"relative link", `<a href="/orders">`, `href leads to "/orders"`},
		{"host without scheme", `<a href="//evil.example/">`, `href leads to "//evil.example/"`},
		{"script link", `<a href="javascript:f()">`, `href leads to "javascript:f()"`},
		{"script link in disguise", "<a href=' \tJavaScript:x'>", "href has a space or a control character"},
		{"script link in entities", "<a href='java&#115;cript&colon;x'>", `href leads to "javascript:x"`},
		{"script link with a tab in entities", "<a href='java&Tab;script:x'>", "href has a space or a control character"},
		{"link with a space", `<a href="https://x.example/a b">`, "href has a space or a control character"},
		{"script link of a namespace", `<a xlink:href="javascript:f()">`, `xlink:href leads to "javascript:f()"`},
		{"relative image of a namespace", `<img x:src="/a.png">`, `x:src leads to "/a.png"`},
		{"data link", `<img src="data:image/png;base64,x">`, `src leads to "data:image/png;base64,x"`},
	})
}

func TestTemplateRefusedUnclosed(t *testing.T) {
	checkRefused(t, []refusal{
		{"unclosed tag", "<a ", "1:1: tag without an end"},
		{"unclosed value", "<a title='x>", "tag without an end"},
		{"unclosed title", "<title>x", "</title> is missing"},
		{"unclosed comment", "<!-- x", "broken comment"},
		{"unclosed declaration", "<!DOCTYPE", "broken <!DOCTYPE>"},
		{"tag in a declaration", "<!DOCTYPE html <b title=x>", "broken <!DOCTYPE>"},
		{"tag in a condition", "<![if mso <b title=x]>", "broken comment"},
		{"NUL", "a\x00b", "1:2: control character"},
		{"NUL at the beginning", "\x00b", "1:1: control character"},
		{"NUL in the name of a tag", "<a\x00e>", "1:3: control character"},
	})
}

func TestTemplateErrorNamesEverythingAtOnce(t *testing.T) {
	is := is.New(t)
	_, err := customer().Render(
		placed(), created(placed()), supplier(),
		"<p>{{ordrNumber}}\n<script></script><a href='{{customerName}}' onclick=x>\n{{end}}{{abctotal}}",
	)
	var broken *notify.TemplateError
	is.True(errors.As(err, &broken))
	is.Equal(broken.Problems, []notify.Problem{
		{1, 4, `unknown name "ordrNumber": did you mean "orderNumber"?`},
		{2, 1, "a mail has no <script>"},
		{2, 9, "a mail has no </script>"},
		{2, 27, `"customerName" is no link: only trackingUrl, companyEmailUrl, companyUrl may stand here`},
		{2, 45, "event handler onclick"},
		{3, 1, "{{end}} without {{range}} or {{if}}"},
		{3, 8, `unknown name "abctotal"`}, // like none: three letters from "total"
	})
}

func TestTemplateErrorIsBounded(t *testing.T) {
	for name, want := range map[string]string{
		strings.Repeat("x", 185):  `unknown name "` + strings.Repeat("x", 185) + `"`, // 200 bytes
		strings.Repeat("x", 1000): `unknown name "` + strings.Repeat("x", 186) + "…",
	} {
		t.Run(fmt.Sprint(len(name)), func(t *testing.T) {
			is := is.New(t)
			_, err := customer().Render(placed(), created(placed()), supplier(), "{{"+name+"}}")
			is.True(err != nil)
			is.Equal(err.Error(), "template: 1:1: "+want)
		})
	}
}

func TestTemplateOutputIsBounded(t *testing.T) {
	is := is.New(t)
	o := placed()
	o.Items = slices.Repeat(o.Items[:1], 8)
	most := "{{range orderItems}}" + strings.Repeat("x", 128<<10) + "{{end}}" // 1 MiB
	m, err := customer().Render(o, created(o), supplier(), most)
	is.NoErr(err)
	is.Equal(len(m.HTML), 1<<20)
	for _, template := range []string{most + "x", "x" + most} {
		_, err := customer().Render(o, created(o), supplier(), template)
		is.True(err != nil)
		is.Equal(err.Error(), "output exceeds 1048576 bytes")
	}
}

// hostile are values that try to be more than text.
var hostile = []string{
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "' onmouseover='alert(1)", "--><script>alert(1)</script><!--",
	"javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>", "//evil.example", "https://evil.example/\"onclick=",
	"</title></style></textarea><script>", "<![endif]-->", "]]>", "&lt;script&gt;", "&#x3c;script>", "`${x}`", "\\u003cscript",
	"{{orderNumber}}", "{{range orderItems}}", "}}", "\r\nBcc: evil@example.com", "a\x00b", "\u202egnp.exe", "\ufffe", "\xff\xfe<", "=cmd|' /C calc'!A0", "",
}

// everywhere has a variable that takes the name in every place that takes one.
const everywhere = `<!DOCTYPE html><title>{{customerName}}</title><p title="{{customerName}}" aria-label='{{customerName}}'>{{customerName}}</p>` +
	`<table bgcolor="{{customerName}}"><td abbr='{{customerName}}' width="{{customerName}}"></table><img alt="{{customerName}}">` +
	`<a href="{{trackingUrl}}">x</a><!-- a --><!--[if mso]><b><![endif]-->{{if customerName}}<b>{{customerName}}</b>{{end}}` +
	`{{range orderItems}}<i>{{.productName}}</i>{{end}}<b>end</b>`

func TestHostileValues(t *testing.T) {
	for _, value := range hostile {
		t.Run(value, func(t *testing.T) {
			for name, template := range map[string]string{
				"everywhere": everywhere,
				"internal":   defaultTemplate(t, "internal/order_notification.html"),
				"customer":   defaultTemplate(t, "customer/order_confirmation.html"),
			} {
				t.Run(name, func(t *testing.T) { checkInert(t, template, value) })
			}
		})
	}
}

// checkInert renders the template with the value wherever a customer or a shop
// can put one, and fails the test unless the document has the same tags,
// attributes, styles and scripts as with a harmless value, and leads nowhere
// new.
func checkInert(t *testing.T, template, value string) {
	t.Helper()
	render := func(value string) (notify.Message, error) {
		o := placed()
		o.CustomerName, o.CustomerEmail, o.Number = value, value, value
		for i := range o.Items {
			o.Items[i].ProductName = value
		}
		if strings.Contains(template, "orderDetailsUrl") {
			return internal(nil, nil).Render(o, created(o), supplier(), template)
		}
		return customer().Render(o, created(o), supplier(), template)
	}
	harmless, err := render("x")
	if err != nil {
		return // Refused, whatever the values are.
	}
	m, err := render(value)
	if err != nil {
		if strings.Contains(err.Error(), "output exceeds") {
			return
		}
		t.Fatalf("template accepted for one value and refused for %q: %v", value, err)
	}
	if got, want := skeleton(m.HTML), skeleton(harmless.HTML); !slices.Equal(got, want) {
		t.Errorf(
			"the value %q changes the document:\n%s\ninstead of\n%s", value, strings.Join(got, "\n"),
			strings.Join(want, "\n"),
		)
	}
	if got := danger(m.HTML, template); got != "" {
		t.Errorf("%s for the value %q in\n%s", got, value, m.HTML)
	}
	if strings.ContainsAny(m.Subject, "\r\n\x00") {
		t.Errorf("line break in the subject %q", m.Subject)
	}
	if strings.ContainsAny(m.Text, "\r\x00\u202e") || strings.Count(m.Text, "\n") > strings.Count(harmless.Text, "\n") {
		t.Errorf("control character or new line in the text %q", m.Text)
	}
}

// skeleton returns what a document is made of, without its text: as a browser
// reads it, and as Outlook reads its conditional comments.
func skeleton(document string) []string {
	root, err := html.Parse(strings.NewReader(document))
	if err != nil {
		return []string{err.Error()}
	}
	var s []string
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode:
			if n.Parent.Data == "style" || n.Parent.Data == "script" {
				s = append(s, n.Data)
			}
		case html.CommentNode:
			s = append(s, "<!--"+n.Data)
			if _, markup, ok := strings.Cut(n.Data, "]>"); ok {
				s = append(s, skeleton(markup)...)
			}
		case html.ElementNode:
			s = append(s, "<"+n.Data)
			for _, a := range n.Attr {
				if isHarmless(a.Key) {
					a.Val = ""
				}
				s = append(s, a.Key+"="+a.Val)
			}
		default: // Nothing that a document shows or does.
		}
	}
	return s
}

// isHarmless reports whether an attribute can have any value.
func isHarmless(name string) bool {
	switch name {
	case "abbr", "alt", "bgcolor", "height", "lang", "summary", "title", "width":
		return true
	}
	return strings.HasPrefix(name, "aria-")
}

// danger returns what a mail must not have: a script, a handler, a link that
// is neither the template's own nor the service's.
func danger(document, template string) string {
	root, err := html.Parse(strings.NewReader(document))
	if err != nil {
		return err.Error()
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "script" || n.Namespace != "") {
			return "<" + n.Data + ">"
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"):
				return a.Key
			case a.Key == "href", a.Key == "src", a.Key == "background":
				scheme, _, _ := strings.Cut(a.Val, ":")
				own := strings.HasPrefix(
					a.Val, settings().PortalURL,
				) || a.Val == supplier().Website || a.Val == "mailto:"+supplier().Email
				if !own && (strings.Contains(strings.ToLower(scheme), "script") || !strings.Contains(
					stdhtml.UnescapeString(template), a.Val,
				)) {
					return a.Key + "=" + a.Val
				}
			}
		}
	}
	return ""
}

func defaultTemplate(t testing.TB, key string) string {
	t.Helper()
	b, err := templates.FS.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzTemplate asks of every template that is accepted: does it stay inert
// with any value, and does html/template agree on what stands where?
func FuzzTemplate(f *testing.F) {
	for _, key := range templateKeys() {
		f.Add(defaultTemplate(f, key), "Thandi Nkosi")
	}
	for _, template := range strings.SplitAfter(everywhere, ">") { // Small seeds, so that the fuzzer is quick.
		for _, value := range []string{"<script>", `" onclick="x`, "javascript:x", "-->"} {
			f.Add(template, value)
		}
	}
	for _, template := range []string{
		"<style>a</style b>{{orderNumber}}", "<script>a</scripting>{{orderNumber}}</script>", "<noscript><a title=\"</noscript>{{orderNumber}}\">",
		"<!--[if mso]>x<![endif]-->{{orderNumber}}", "<!-- --!>{{orderNumber}}-->", "<svg><![CDATA[<a title=\"]]>{{orderNumber}}",
		"{{range orderItems}}<i title='{{.productName}}'>{{.subtotal}}</i>{{end}}", "<a\u00a0href={{orderNumber}}>", "<a/href='{{customerName}}'/>",
		"<a href='https://x.example/'>{{customerName}}</a>", "{{if total}}<b>{{end}}{{customerName}}", "<title>{{customerName}}</title>",
		"<a href='{{trackingUrl}}'>{{customerName}}</a>", "<img src=https://x.example/{{orderNumber}}>", "<td background='&#104;ttps://x'>{{customerName}}",
	} {
		f.Add(template, "' x=\"<b>")
	}
	f.Fuzz(func(t *testing.T, template, value string) {
		if _, err := customer().Render(placed(), created(placed()), supplier(), template); err != nil {
			return
		}
		checkInert(t, template, value)
		checkVerdict(t, template)
	})
}

var (
	actions  = regexp.MustCompile(`\{\{\s*(range|if|end|)\s*(\.?)([A-Za-z]*)\s*\}\}`)
	linkName = regexp.MustCompile(`^\$\.(trackingUrl|companyUrl|companyEmailUrl)\b`)
	// escapers are what html/template adds where a value stands in text, in an
	// attribute or in a link. Those of scripts and styles are others.
	escapers = regexp.MustCompile(
		`^(\.\w+|\$\.\w+)( \| _html_template_(htmlescaper|rcdataescaper|attrescaper|urlfilter|urlnormalizer|nospaceescaper))*$`,
	)
)

// checkVerdict holds an accepted template against html/template: it must take
// it, and take each value for text, for an attribute, or, if it is the
// service's, for a link.
func checkVerdict(t *testing.T, template string) {
	t.Helper()
	source := actions.ReplaceAllStringFunc(template, func(action string) string {
		m := actions.FindStringSubmatch(action)
		switch word, dot, name := m[1], m[2], m[3]; {
		case word == "range" || word == "if":
			if dot == "" {
				return "{{" + word + " $." + name + "}}"
			}
			return "{{" + word + " ." + name + "}}"
		case word == "end" && name == "":
			return "{{end}}"
		case dot != "":
			return "{{." + name + "}}"
		default:
			return "{{$." + word + name + "}}"
		}
	})
	parsed, err := htmltemplate.New("mail").Parse(source)
	if err != nil {
		t.Fatalf("html/template cannot read\n%s\n%v", source, err)
	}
	if err := parsed.Execute(io.Discard, fields); err != nil {
		t.Fatalf("html/template refuses\n%s\n%v", source, err)
	}
	for _, action := range pipelines(parsed.Tree.Root) {
		if !escapers.MatchString(action) || strings.Contains(action, "url") && !linkName.MatchString(action) {
			t.Fatalf("html/template takes %s for more than text in\n%s", action, source)
		}
	}
}

// fields are values for html/template.
var fields = func() map[string]any {
	m := map[string]any{}
	values, lists := notify.Names()
	for _, name := range values {
		m[name] = "x"
	}
	for name, fields := range lists {
		row := map[string]string{}
		for _, field := range fields {
			row[field] = "x"
		}
		m[name] = []map[string]string{row}
	}
	return m
}()

// pipelines returns the values that a parsed template writes.
func pipelines(n parse.Node) []string {
	switch n := n.(type) {
	case *parse.ListNode:
		var all []string
		if n != nil {
			for _, child := range n.Nodes {
				all = append(all, pipelines(child)...)
			}
		}
		return all
	case *parse.ActionNode:
		return []string{n.Pipe.String()}
	case *parse.IfNode:
		return pipelines(n.List)
	case *parse.RangeNode:
		return pipelines(n.List)
	}
	return nil
}

func FuzzValue(f *testing.F) {
	for _, value := range []string{
		"Thandi Nkosi", "thandi@example.com", "O'Brien & Söhne (Pty) Ltd", "ORD-2025-00001",
		"Domain žiraffe.co.za, one year",
	} {
		f.Add(value)
	}
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) { checkInert(t, everywhere, value) })
}

func FuzzAddresses(f *testing.F) {
	for _, list := range []string{
		"a@kimmyai.io", "Orders <a@kimmyai.io>, b@kimmyai.io", "\"a,b\" <a@b.co>\r\nBcc: c@d.co",
		"=?utf-8?q?=0D=0ABcc:?= <a@b.co>",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		addresses, err := notify.Addresses(list)
		if err != nil {
			return
		}
		for _, a := range addresses {
			if strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q is not fit for a header", a)
			}
		}
		again, err := notify.Addresses(strings.Join(addresses, ", "))
		if err != nil || !slices.Equal(again, addresses) {
			t.Errorf("%q became %q (%v)", addresses, again, err)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	src := defaultTemplate(b, key)
	for name, o := range map[string]order.Order{"3 lines": placed(), "200 lines": largest()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := customer().Render(o, created(o), supplier(), src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
