package notify_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/net/html"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

func customer() *notify.Sender { return notify.NewCustomer(nil, nil, settings(), time.Now) }

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
		{"two loops", "{{range orderItems}}{{.quantity}}{{end}}{{range orderTotals}}[{{.label}}]{{end}}", "132[Subtotal][Shipping][Tax (15%)]"},
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
		{"attribute", `<td title="{x} {{orderNumber}}" aria-label='{{taxRate}}'>`, `<td title="{x} ORD-2025-00002" aria-label='15%'>`},
		{"link", `<a href="{{trackingUrl}}?n={{customerName}}">`, `<a href="https://portal.kimmyai.io/orders/0b8f1d2e-5c3a-4e6f-9a7b-000000000002?n=Thandi%20Example">`},
		{"part of a link", `<a href="https://x.example/{{customerEmail}}">`, `<a href="https://x.example/thandi%40example.co.za">`},
		{"link behind spaces", "<a href='\t {{trackingUrl}}'>", "<a href='\t https://portal.kimmyai.io/orders/0b8f1d2e-5c3a-4e6f-9a7b-000000000002'>"},
		{"long link", "<a href='https://" + strings.Repeat("x", 99) + "/{{orderNumber}}'>", "<a href='https://" + strings.Repeat("x", 99) + "/ORD-2025-00002'>"},
		{"mailto", `<a href="mailto:{{customerEmail}}">`, `<a href="mailto:thandi@example.co.za">`},
		{"title", "<title>{{orderNumber}} < 3</title>{{itemCount}}", "<title>ORD-2025-00002 < 3</title>3"},
		{"no end tag", "<title></titles>{{itemCount}}</title>", "<title></titles>3</title>"},
		{"style is copied", "<style>a{b:c}</style >{{itemCount}}", "<style>a{b:c}</style >3"},
		{"comment is copied", "<!-- {{nothing}} -->{{itemCount}}<!-->{{itemCount}}", "<!-- {{nothing}} -->3<!-->3"},
		{
			"Outlook's comments", `<!--[if mso]><a href="{{trackingUrl}}">{{itemCount}}<![endif]--><!--[if !mso]><!-->{{itemCount}}<!--<![endif]-->`,
			`<!--[if mso]><a href="https://portal.kimmyai.io/orders/0b8f1d2e-5c3a-4e6f-9a7b-000000000002">3<![endif]--><!--[if !mso]><!-->3<!--<![endif]-->`,
		},
		{"odd markup", "<!DOCTYPE html><?xml?><br/>a < b & 1<2 <a b c=d e = 'f' =g></A x><>{{itemCount}}", "<!DOCTYPE html><?xml?><br/>a < b & 1<2 <a b c=d e = 'f' =g></A x><>3"},
		{"byte order mark", "\ufeff{{itemCount}}", "\ufeff3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m, err := customer().Render(placed(), tt.template)
			is.NoErr(err)
			is.Equal(strings.ReplaceAll(m.HTML, "\u00a0", " "), tt.want) // rendered
		})
	}
}

func TestTemplateRefused(t *testing.T) {
	for _, tt := range []struct{ name, template, want string }{
		{"empty", " \n", "template is empty"},
		{"not UTF-8", "\xff\xfe<", "not valid UTF-8"},
		{"too large", strings.Repeat("x", 256<<10+1), "template exceeds 262144 bytes"},
		{"unknown variable", "{{nothing}}", `unknown variable "nothing"`},
		{"variable of the other mail", "{{orderDetailsUrl}}", `unknown variable "orderDetailsUrl"`},
		{"unknown variable of an item", "{{range orderItems}}{{.nothing}}{{end}}", `unknown variable "nothing"`},
		{"unknown list", "{{range nothing}}{{end}}", `unknown list "nothing"`},
		{"list as variable", "{{orderItems}}", `unknown variable "orderItems"`},
		{"no closing braces", "a\nb {{orderNumber", "template line 2: {{ without }}"},
		{"nothing in braces", "{{}}", "holds no variable"},
		{"two words", "{{orderNumber orderDate}}", "holds no variable"},
		{"other language", "{{if total}}{{end}}", "holds no variable"},
		{"pipeline", "{{orderNumber | html}}", "holds no variable"},
		{"endless recursion", `{{define "a"}}{{template "a"}}{{end}}`, "holds no variable"},
		{"name beyond ASCII", "{{größe}}", "holds no variable"},
		{"item outside of a loop", "{{.productName}}", "outside of range"},
		{"lone dot", "{{range orderItems}}{{.}}{{end}}", "holds no variable"},
		{"end without range", "{{end}}", "end without range"},
		{"range without end", "{{range orderItems}}", "range without end"},
		{"nested range", "{{range orderItems}}{{range orderItems}}{{end}}{{end}}", "range inside of a range"},
		{"range in an attribute", `<a title="{{range orderItems}}">`, "holds no variable"},
		{"end in an attribute", `{{range orderItems}}<a title="{{end}}">`, "holds no variable"},
		{"range in a title", `<title>{{range orderItems}}x{{end}}</title>`, "holds no variable"},
		{"script", "<script>var x = '{{orderNumber}}'</script>", "variable before </script>"},
		{"style", "<style>a { color: {{orderNumber}} }</style>", "variable before </style>"},
		{"no end of a style", "<style></styles>{{orderNumber}}</style>", "variable before </style>"},
		{"style attribute", `<a style="{{orderNumber}}">`, "variable in the attribute style"},
		{"event handler", `<a onclick="f('{{orderNumber}}')">`, "variable in the attribute onclick"},
		{"unquoted attribute", "<a title={{orderNumber}}>", "unquoted attribute title"},
		{"attribute's name", "<a {{orderNumber}}>", "outside of an attribute's value"},
		{"end of an attribute's name", "<a b{{orderNumber}}='x'>", "outside of an attribute's value"},
		{"tag", "<{{orderNumber}}>", "name of a tag"},
		{"end of a tag's name", "<b{{orderNumber}}>", "name of a tag"},
		{"closing tag", "</{{orderNumber}}>", "name of a tag"},
		{"end of a closing tag's name", "</b{{orderNumber}}>", "name of a tag"},
		{"link of the customer's", `<a href="{{customerName}}">`, `variable "customerName" as a link`},
		{"link of an item's", `{{range orderItems}}<a href="{{.productName}}">x</a>{{end}}`, `variable "productName" as a link`},
		{"host", `<a href="https://{{orderNumber}}/">`, `attribute href, behind "https://"`},
		{"end of a host", `<a href="https://x.example-{{orderNumber}}/">`, `attribute href, behind "https://x.example-"`},
		{"host without scheme", `<a href="//{{orderNumber}}/">`, `attribute href, behind "//"`},
		{"relative link", `<a href="/orders/{{orderNumber}}">`, `attribute href, behind "/orders/"`},
		{"end of a scheme", `<a href="java{{orderNumber}}">`, `attribute href, behind "java"`},
		{"script link", `<a href="javascript:f({{orderNumber}})">`, `attribute href, behind "javascript:f("`},
		{"script link in disguise", "<a href=' \tJavaScript:{{orderNumber}}'>", `attribute href, behind " \tJavaScript:"`},
		{"data link", `<img src="data:image/png;base64,{{orderNumber}}">`, `attribute src, behind "data:image/png;base64,"`},
		{"unclosed tag", "<a ", "tag without end"},
		{"unclosed value", "<a title='x>", "attribute title without closing quote"},
		{"unclosed title", "<title>x", "</title> is missing"},
		{"unclosed comment", "<!-- x", `"-->" is missing`},
		{"unclosed conditional comment", "<!--[if mso", `"]>" is missing`},
		{"unclosed declaration", "<!DOCTYPE", `">" is missing`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m, err := customer().Render(placed(), tt.template)
			is.True(err != nil)                             // refused
			is.True(strings.Contains(err.Error(), tt.want)) // says why
			is.Equal(m.HTML, "")                            // nothing half-done
			is.True(strings.Contains(m.Text, "R"))          // the built-in text is there
		})
	}
}

func TestTemplateOutputIsBounded(t *testing.T) {
	is := is.New(t)
	_, err := customer().Render(largest(), "{{range orderItems}}"+strings.Repeat("x", 200<<10)+"{{end}}") // 40 MB
	is.True(err != nil)
	is.Equal(err.Error(), "output exceeds 1048576 bytes")
}

// hostile are values that try to be more than text.
var hostile = []string{
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "' onmouseover='alert(1)", "--><script>alert(1)</script><!--",
	"javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>", "//evil.example", "https://evil.example/\"onclick=",
	"</title></style></textarea><script>", "<![endif]-->", "]]>", "&lt;script&gt;", "&#x3c;script>", "`${x}`", "\\u003cscript",
	"{{orderNumber}}", "{{range orderItems}}", "}}", "\r\nBcc: evil@example.com", "a\x00b", "\u202egnp.exe", "\ufffe", "\xff\xfe<", "=cmd|' /C calc'!A0", "",
}

// everywhere has a variable that takes the name in every place that takes one.
const everywhere = `<!DOCTYPE html><title>{{customerName}}</title><p title="{{customerName}}" id='{{customerName}}'>{{customerName}}</p>` +
	`<a href="{{trackingUrl}}{{customerName}}">x</a><a href='https://x.example/{{customerName}}?q={{customerName}}#{{customerName}}'>x</a>` +
	`<a href="mailto:{{customerName}}">x</a><img src="https://x.example/{{customerName}}" alt="{{customerName}}">` +
	`<!--[if mso]><b title="{{customerName}}">{{customerName}}</b><![endif]--><!-- a --><textarea>{{customerName}}</textarea>` +
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

// checkInert renders the template with the value wherever a customer or a shop can put one, and fails the test unless the
// document has the same tags, attributes, styles and scripts as with a harmless value, and leads nowhere new.
func checkInert(t *testing.T, template, value string) {
	t.Helper()
	render := func(value string) (notify.Message, error) {
		o := placed()
		o.CustomerName, o.CustomerEmail, o.Number = value, value, value
		for i := range o.Items {
			o.Items[i].ProductName = value
		}
		s := settings()
		if strings.Contains(template, "orderDetailsUrl") {
			return notify.NewInternal(nil, nil, s, time.Now).Render(o, template)
		}
		return notify.NewCustomer(nil, nil, s, time.Now).Render(o, template)
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
		t.Errorf("the value %q changes the document:\n%s\ninstead of\n%s", value, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.ContainsAny(m.Subject, "\r\n\x00") {
		t.Errorf("line break in the subject %q", m.Subject)
	}
	if strings.ContainsAny(m.Text, "\r\x00\u202e") || strings.Count(m.Text, "\n") != strings.Count(harmless.Text, "\n") {
		t.Errorf("control character or new line in the text %q", m.Text)
	}
}

// skeleton returns what a document is made of, without its text.
func skeleton(document string) []string {
	var s []string
	z := html.NewTokenizer(strings.NewReader(document))
	raw := ""
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return s
		}
		comment := string(z.Raw()) // Token unescapes a comment, which no reader of mail does.
		token := z.Token()
		switch kind {
		case html.TextToken:
			if raw == "script" || raw == "style" {
				s = append(s, raw+" "+token.Data)
			}
		case html.CommentToken:
			s = append(s, "comment")
			if _, markup, ok := strings.Cut(comment, "]>"); ok { // What Outlook reads.
				s = append(s, skeleton(markup)...)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			raw = token.Data
			line := "<" + token.Data
			for _, a := range token.Attr {
				line += " " + a.Key
				switch a.Key {
				case "href", "src", "background":
					line += "=" + where(a.Val)
				case "style":
					line += "=" + a.Val
				default:
					if strings.HasPrefix(a.Key, "on") {
						line += "=" + a.Val
					}
				}
			}
			s = append(s, line)
		case html.EndTagToken:
			raw = ""
			s = append(s, "</"+token.Data)
		default:
			s = append(s, fmt.Sprint(kind))
		}
	}
}

// where returns what of a link decides where it leads.
func where(link string) string {
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil {
		return "unreadable"
	}
	return u.Scheme + "://" + u.Host
}

func defaultTemplate(t testing.TB, key string) string {
	t.Helper()
	b, err := templates.FS.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func FuzzTemplate(f *testing.F) {
	for _, name := range []string{"internal/order_notification.html", "customer/order_confirmation.html"} {
		f.Add(defaultTemplate(f, name), "Thandi Nkosi")
	}
	for _, template := range strings.SplitAfter(everywhere, ">") { // Small seeds, so that the fuzzer is quick.
		for _, value := range []string{"<script>", `" onclick="x`, "javascript:x", "-->"} {
			f.Add(template, value)
		}
	}
	for _, template := range []string{
		"<style>a</style b>{{orderNumber}}", "<script>a</scripting>{{orderNumber}}</script>", "<noscript><a title=\"</noscript>{{orderNumber}}\">",
		"<!--[if mso]>{{orderNumber}}<![endif]-->", "<!-- --!>{{orderNumber}}-->", "<svg><![CDATA[<a title=\"]]>{{orderNumber}}",
		"{{range orderItems}}<i title='{{.productName}}'>{{.subtotal}}</i>{{end}}", "<a\u00a0href={{orderNumber}}>", "<a/href='{{customerName}}'/>",
	} {
		f.Add(template, "' x=\"<b>")
	}
	f.Fuzz(func(t *testing.T, template, value string) { checkInert(t, template, value) })
}

func FuzzValue(f *testing.F) {
	for _, value := range []string{"Thandi Nkosi", "thandi@example.com", "O'Brien & Söhne (Pty) Ltd", "ORD-2025-00001", "Domain žiraffe.co.za, one year"} {
		f.Add(value)
	}
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) { checkInert(t, everywhere, value) })
}

func FuzzAddresses(f *testing.F) {
	for _, list := range []string{"a@kimmyai.io", "Orders <a@kimmyai.io>, b@kimmyai.io", "\"a,b\" <a@b.co>\r\nBcc: c@d.co", "=?utf-8?q?=0D=0ABcc:?= <a@b.co>"} {
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
				if _, err := customer().Render(o, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
