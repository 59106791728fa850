package roles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// A draft is a request before it is sent: a good one, which a probe then bends.
type draft struct {
	method, path string // the path as in the document
	pathParams   map[string]string
	query        url.Values
	header       http.Header
	body         any // nil for none, []byte as it is, anything else as JSON
}

// A probe bends a draft to lie just inside or just outside one constraint of
// the document.
type probe struct {
	constraint string // where the document says it
	inside     bool
	field      string // what a refusal of the request names; "" where it only says that there is no such thing
	bend       func(*draft)
}

// request returns the HTTP request of a draft.
func (d draft) request(ctx context.Context) (*http.Request, error) {
	path := d.path
	for name, value := range d.pathParams {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if len(d.query) > 0 {
		path += "?" + d.query.Encode()
	}
	var body io.Reader
	switch b := d.body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, d.method, "http://api.test"+path, body)
	if err != nil {
		return nil, err
	}
	r.Header = d.header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// clone returns a draft whose body and parameters can be bent without harm to
// d.
func (d draft) clone() draft {
	d.pathParams, d.header = maps.Clone(d.pathParams), d.header.Clone()
	d.query = url.Values(http.Header(d.query).Clone())
	if _, raw := d.body.([]byte); !raw {
		encoded, _ := json.Marshal(d.body) // It came from JSON.
		d.body = nil
		_ = json.Unmarshal(encoded, &d.body)
	}
	return d
}

// drafts returns a good request for every operation that the service answers:
// the fullest example of the document.
func drafts(doc *openapi3.T) []draft {
	var all []draft
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if method == http.MethodOptions {
				continue // answered by API Gateway
			}
			d := draft{method: method, path: path, pathParams: map[string]string{}, query: url.Values{}, header: http.Header{}}
			for _, p := range op.Parameters {
				if p.Value.In == "path" {
					d.pathParams[p.Value.Name] = fmt.Sprint(p.Value.Example)
				}
			}
			if op.RequestBody != nil {
				for _, example := range op.RequestBody.Value.Content.Get("application/json").Examples {
					encoded, _ := json.Marshal(example.Value.Value)
					if have, _ := json.Marshal(d.body); d.body == nil || len(encoded) > len(have) {
						d.body = example.Value.Value
					}
				}
			}
			all = append(all, d.clone())
		}
	}
	return all
}

// probes returns what to try at every constraint on the requests of a draft's
// operation.
func probes(doc *openapi3.T, d draft) []probe {
	op := doc.Paths.Value(d.path).GetOperation(d.method)
	at := d.method + " " + d.path
	var all []probe
	for _, p := range op.Parameters {
		p := p.Value
		set := func(d *draft, value string) {
			switch p.In {
			case "path":
				d.pathParams[p.Name] = value
			case "query":
				d.query.Set(p.Name, value)
			case "header":
				d.header.Set(p.Name, value)
			}
		}
		field := p.Name
		if p.In == "path" {
			field = ""
		}
		var tried []string
		for _, good := range goodValues(p) {
			for _, v := range values(p.Schema, good, false) {
				text := fmt.Sprint(v.value)
				elsewhere := p.In == "path" && (text == "" || strings.Contains(text, "/"))
				impossible := p.In == "header" && !fitsHeader(text)
				if elsewhere || impossible || slices.Contains(tried, v.keyword+text) {
					continue
				}
				tried = append(tried, v.keyword+text)
				name := at + " " + p.In + " " + p.Name + " " + v.keyword
				all = append(all, probe{name, v.inside, field, func(d *draft) { set(d, text) }})
			}
		}
		good := goodValues(p)[0]
		if p.In == "query" {
			all = append(all,
				probe{at + " query " + p.Name + " once", true, p.Name, func(d *draft) { set(d, good) }},
				probe{at + " query " + p.Name + " once", false, p.Name, func(d *draft) { d.query[p.Name] = []string{good, good} }})
		}
	}
	if slices.ContainsFunc(op.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.In == "query" }) {
		all = append(all, probe{at + " query known", false, "unexpected", func(d *draft) { d.query.Set("unexpected", "1") }})
	}
	if op.RequestBody != nil {
		schema := op.RequestBody.Value.Content.Get("application/json").Schema
		all = append(all, bodyProbes(at+" body", schema, nil, d.body)...)
	}
	return all
}

// goodValues returns values of a parameter that are surely right.
func goodValues(p *openapi3.Parameter) []string {
	s := p.Schema.Value
	switch {
	case p.Example != nil:
		return []string{fmt.Sprint(p.Example)}
	case s.Default != nil:
		return []string{fmt.Sprint(s.Default)}
	case len(s.Enum) > 0:
		return []string{fmt.Sprint(s.Enum[0])}
	case p.Name == "from" || p.Name == "to":
		return []string{"2025-12-30", "2025-12-30T10:30:00Z", "2025-12-31T23:59:59.999999+02:00"}
	default:
		return []string{"abcdefg"}
	}
}

// bodyProbes returns the probes of the value at a path of the body.
func bodyProbes(at string, schema *openapi3.SchemaRef, path []string, good any) []probe {
	schema = plain(schema)
	var all []probe
	field := strings.Join(path, ".")
	if field == "" {
		field = "body"
	}
	add := func(keyword string, inside bool, field string, value any) {
		all = append(all, probe{at + " " + keyword, inside, field, func(d *draft) { replace(&d.body, path, value) }})
	}
	object, ok := good.(map[string]any)
	if !ok {
		for _, v := range values(schema, good, true) {
			add(v.keyword, v.inside, field, v.value)
		}
		return all
	}
	s := schema.Value
	add("type", true, field, object)
	for _, wrong := range []any{"text", 7, true, nil, []any{}} {
		add("type", false, field, wrong)
	}
	add("additionalProperties", true, field, object)
	for _, unknown := range []string{
		"unexpected", "tenantId", strings.ToUpper(slices.Sorted(maps.Keys(s.Properties))[0]),
	} {
		at := strings.TrimPrefix(strings.Join(append(slices.Clone(path), unknown), "."), ".")
		add("additionalProperties", false, at, with(object, unknown, "x"))
	}
	if s.MinProps > 0 {
		add("minProperties", false, field, map[string]any{})
		for name := range s.Properties {
			add("minProperties", true, field, withNeeded(map[string]any{name: object[name]}, object))
		}
	}
	for _, name := range s.Required {
		add("required "+name, true, field, object)
		add("required "+name, false, strings.Join(append(slices.Clone(path), name), "."), without(object, name))
	}
	for name, property := range s.Properties {
		all = append(all, bodyProbes(at+" "+name, property, append(slices.Clone(path), name), object[name])...)
		if !slices.Contains(s.Required, name) && s.MinProps == 0 {
			add("optional "+name, true, field, withNeeded(without(object, name), object))
		}
	}
	return all
}

// plain returns the schema that one with a description of its own stands for.
func plain(ref *openapi3.SchemaRef) *openapi3.SchemaRef {
	if s := ref.Value; s.Type == nil && len(s.AllOf) == 1 {
		return s.AllOf[0]
	}
	return ref
}

// withNeeded returns an update with the status that its reason needs, which no
// OpenAPI document of this version can say without harm to its clients.
func withNeeded(update, full map[string]any) map[string]any {
	if _, ok := update["reason"]; ok && update["status"] == nil {
		return with(update, "status", full["status"])
	}
	return update
}

func with(object map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(object)
	changed[name] = value
	return changed
}

func without(object map[string]any, name string) map[string]any {
	changed := maps.Clone(object)
	delete(changed, name)
	return changed
}

// replace puts a value at a path of nested objects.
func replace(body *any, path []string, value any) {
	if len(path) == 0 {
		*body = value
		return
	}
	object := (*body).(map[string]any)
	inner := object[path[0]]
	replace(&inner, path[1:], value)
	object[path[0]] = inner
}

// A candidate is a value on one side of a keyword of a schema.
type candidate struct {
	keyword string
	inside  bool
	value   any
}

// values returns candidates for every keyword of a schema of a string or a
// whole number, made from a good value of it. inJSON says that the value can
// have other types.
func values(ref *openapi3.SchemaRef, good any, inJSON bool) []candidate {
	ref = plain(ref)
	all := []candidate{{"type", true, good}}
	add := func(keyword string, inside bool, values ...any) {
		for _, v := range values {
			bad := violated(ref.Value, v)
			if inside && len(bad) == 0 || !inside && slices.Contains(bad, keyword) {
				all = append(all, candidate{keyword, inside, v})
			}
		}
	}
	s := ref.Value
	switch {
	case inJSON:
		for _, wrong := range []any{7, true, nil, []any{}, map[string]any{}} {
			all = append(all, candidate{"type", false, wrong})
		}
	case s.Type.Is("integer"):
		for _, wrong := range []string{"", "x", "1.5", "1e1", "0x10", "1 ", "٣"} {
			all = append(all, candidate{"type", false, wrong})
		}
	default:
		all = all[1:] // Every parameter is a text.
	}
	if s.Type.Is("integer") {
		if s.Min != nil {
			least := int(*s.Min)
			all = append(all, candidate{"minimum", true, least},
				candidate{"minimum", false, least - 1}, candidate{"minimum", false, -1 << 40})
		}
		if s.Max != nil {
			most := int(*s.Max)
			all = append(all, candidate{"maximum", true, most},
				candidate{"maximum", false, most + 1}, candidate{"maximum", false, "99999999999999999999"})
		}
		return all
	}
	text := good.(string)
	if len(s.Enum) > 0 {
		add("enum", true, s.Enum...)
		for _, v := range s.Enum {
			v := v.(string)
			add("enum", false, v+"x", strings.ToLower(v), strings.ToUpper(v), " "+v)
		}
		add("enum", false, "", "ZZ", "failed")
		return compact(all)
	}
	if s.MinLength > 0 {
		add("minLength", true, stretch(s, text, int(s.MinLength)))
		add("minLength", false, text[:s.MinLength-1])
	}
	if s.MaxLength != nil {
		longest := int(*s.MaxLength)
		add("maxLength", true, stretch(s, text, longest))
		add("maxLength", false, stretch(s, text, longest+1))
	}
	patterns := s.Pattern != ""
	for _, part := range s.AllOf {
		patterns = patterns || part.Value.Pattern != ""
	}
	if patterns {
		for _, v := range slices.Concat(others(text), special(ref)) {
			switch bad := violated(s, v); {
			case len(bad) == 0:
				all = append(all, candidate{"pattern", true, v})
			case slices.Equal(bad, []string{"pattern"}):
				all = append(all, candidate{"pattern", false, v})
			}
		}
		for _, v := range misspelt(text) {
			if slices.Equal(violated(s, v), []string{"pattern"}) {
				all = append(all, candidate{"pattern", false, v})
			}
		}
	}
	return compact(all)
}

// compact drops candidates that come twice.
func compact(all []candidate) []candidate {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(c candidate) bool {
		key := fmt.Sprintf("%s %T %v", c.keyword, c.value, c.value)
		twice := seen[key]
		seen[key] = true
		return twice
	})
}

// violated returns the keywords of a schema that a value does not meet, sorted.
func violated(s *openapi3.Schema, v any) []string {
	found := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if many, ok := errors.AsType[openapi3.MultiError](err); ok {
			for _, e := range many {
				walk(e)
			}
			return
		}
		if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
			if e.SchemaField == "allOf" {
				walk(e.Origin)
				return
			}
			if e.SchemaField == "nullable" {
				e.SchemaField = "type"
			}
			found[e.SchemaField] = true
		}
	}
	if n, ok := v.(int); ok {
		v = float64(n) // as JSON is decoded
	}
	if err := s.VisitJSON(v, openapi3.MultiErrors()); err != nil {
		walk(err)
	}
	return slices.Sorted(maps.Keys(found))
}

// stretch returns a text of n code points that is like a good one and violates
// nothing but, perhaps, its length.
func stretch(s *openapi3.Schema, good string, n int) string {
	runes := []rune(good)
	if n <= len(runes) {
		return string(runes[:n])
	}
	for i := range runes {
		longer := string(runes[:i+1]) + strings.Repeat(string(runes[i]), n-len(runes)) + string(runes[i+1:])
		if bad := violated(s, longer); len(bad) == 0 || slices.Equal(bad, []string{"maxLength"}) {
			return longer
		}
	}
	if strings.Contains(good, "@") { // The parts of an address are bounded, so no single one can be stretched.
		rest := n - 64 - len("@") - 64 - 64
		return strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." +
			strings.Repeat("d", (rest-1)/2) + "." + strings.Repeat("e", rest-1-(rest-1)/2)
	}
	return good
}

// others returns texts that differ from a good one in one character, of many
// kinds.
func others(good string) []string {
	const kinds = "aZ09 .-_:@/+,;'\"\\<&%$\x00\t\n\x1f\x7f\u0085\u00a0éЯ中\u2028\u3000\ufeff\ufffd\ufffe\uffff\U0001f600"
	runes := []rune(good)
	all := []string{
		good + "\n", " " + good, good + " ", " ", "\u3000", "-" + good, "." + good, good + ".",
		strings.ToUpper(good),
	}
	for i, r := range []rune(kinds) {
		at := i % len(runes)
		all = append(all, string(runes[:at])+string(r)+string(runes[at+1:]))
	}
	return all
}

// misspelt returns texts that differ from a good one by a character that is
// missing or doubled.
func misspelt(good string) []string {
	runes := []rune(good)
	var all []string
	for i := range runes {
		all = append(all, string(runes[:i])+string(runes[i+1:]), string(runes[:i+1])+string(runes[i:]))
	}
	return all
}

// special returns texts near the edges of a pattern that no single mutation
// reaches.
func special(ref *openapi3.SchemaRef) []string {
	a := strings.Repeat
	switch ref.Ref {
	case "#/components/schemas/Email":
		return []string{
			a("a", 64) + "@example.com", a("a", 65) + "@example.com", "a@" + a("b", 63) + ".com", "a@" + a("b", 64) + ".com",
			"a@b.c", "a@b", "a@-b.com", "a@b-.com", "a@b.c.", "a@.b.c", "a..b@c.de", ".a@b.cd", "a.@b.cd", "a@b@c.de",
			"!#$%&'*+/=?^_`{|}~-@b.cd",
			`"a b"@c.de`, "a@[127.0.0.1]", "a@xn--bcher-kva.example", "a@bücher.example",
			"A <a@b.cd>", "a@b.cd,e@f.gh", "mailto:a@b.cd",
		}
	case "#/components/schemas/Time":
		return []string{
			"2025-12-30T10:30:00+02:00", "2025-12-30T10:30:00.123456789-11:59", "2024-02-29T23:59:59Z",
			"2025-12-30T10:30:00z", "2025-12-30t10:30:00Z",
			"2025-12-30T9:30:00Z", "2025-12-30T10:30:00,5Z", "2025-12-30T10:30:60Z", "2025-12-30T24:00:00Z", "2025-12-30T10:30:00+24:00",
			"2025-12-30T10:30:00+02:60", "2025-12-30T10:30:00+0200", "2025-13-30T10:30:00Z", "2025-00-30T10:30:00Z",
			"2025-12-32T10:30:00Z", "2025-12-00T10:30:00Z",
			"2025-12-30 10:30:00Z", "2025-12-30T10:30Z", "2025-12-30T10:30:00", "2025-12-30",
			"20251230T103000Z", "+2025-12-30T10:30:00Z", "2025-12-30T10:30:00.Z",
		}
	}
	return nil
}

func fitsHeader(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) && strings.TrimSpace(s) == s
}

// constraints returns what the document demands of requests, in the names that probes have.
func constraints(doc *openapi3.T) []string {
	var all []string
	keywords := func(at string, s *openapi3.Schema, inJSON bool) {
		add := func(keyword string, there bool) {
			if there {
				all = append(all, at+" "+keyword)
			}
		}
		add("type", inJSON || s.Type.Is("integer"))
		add("enum", len(s.Enum) > 0)
		add("minLength", s.MinLength > 0)
		add("maxLength", s.MaxLength != nil)
		add("pattern", s.Pattern != "" || len(s.AllOf) > 0)
		add("minimum", s.Min != nil)
		add("maximum", s.Max != nil)
		add("minProperties", s.MinProps > 0)
		add("additionalProperties", s.AdditionalProperties.Has != nil)
		for _, name := range s.Required {
			add("required "+name, true)
		}
	}
	var walk func(at string, s *openapi3.Schema)
	walk = func(at string, s *openapi3.Schema) {
		keywords(at, s, true)
		for name, property := range s.Properties {
			walk(at+" "+name, plain(property).Value)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if method == http.MethodOptions {
				continue
			}
			at := method + " " + path
			for _, p := range op.Parameters {
				keywords(at+" "+p.Value.In+" "+p.Value.Name, p.Value.Schema.Value, false)
				if p.Value.In == "query" {
					all = append(all, at+" query "+p.Value.Name+" once")
				}
			}
			if op.RequestBody != nil {
				walk(at+" body", op.RequestBody.Value.Content.Get("application/json").Schema.Value)
			}
		}
	}
	slices.Sort(all)
	return all
}
