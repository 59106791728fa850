package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/matryer/is"
	yaml "github.com/oasdiff/yaml3"
)

// TestStrictYAML loads the contracts as strictly as any parser does: PyYAML
// refuses an anchor that stands twice, others a key that does.
func TestStrictYAML(t *testing.T) {
	for name, text := range map[string]string{
		"openapi.yaml": read(t, "../../../roles/openapi.yaml"), "asyncapi.yaml": read(t, "../../../roles/asyncapi.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(repeated(t, text), nil)
		})
	}
	t.Run("what is refused", func(t *testing.T) {
		is := is.New(t)
		is.Equal(repeated(t, "a: &x 1\nb: {c: &x 2, d: *x}\n"), []string{"line 2: anchor x"})
		is.Equal(repeated(t, "a: {b: 1, c: 2, b: 3}\n"), []string{"line 1: key b"})
		is.Equal(repeated(t, "a: &x {b: 1}\nc: {<<: *x, b: 2}\n"), nil) // a merged key may be replaced
	})
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// repeated returns the anchors of a document, and the keys of each mapping,
// that stand twice.
func repeated(t *testing.T, text string) (found []string) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Anchor != "" && n.Kind != yaml.AliasNode {
			if anchors[n.Anchor] {
				found = append(found, fmt.Sprintf("line %d: anchor %s", n.Line, n.Anchor))
			}
			anchors[n.Anchor] = true
		}
		keys := map[string]bool{}
		for i, part := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				if keys[part.Value] {
					found = append(found, fmt.Sprintf("line %d: key %s", part.Line, part.Value))
				}
				keys[part.Value] = true
			}
			walk(part)
		}
	}
	walk(&doc)
	return found
}

// TestDescriptions wants every schema, every property and every parameter to
// say what it is. A property and a parameter also show a value, and a property
// has bounds. What only refers has all that of its target.
func TestDescriptions(t *testing.T) {
	is := is.New(t)
	c, err := Load("../../../roles/openapi.yaml")
	is.NoErr(err)
	described := 0
	var walk func(where string, s *openapi3.SchemaRef)
	walk = func(where string, s *openapi3.SchemaRef) {
		for _, name := range slices.Sorted(maps.Keys(s.Value.Properties)) {
			property := s.Value.Properties[name]
			described++
			for _, missing := range lacks(property.Value) {
				t.Errorf("%s.%s has no %s", where, name, missing)
			}
			if property.Ref == "" {
				walk(where+"."+name, property)
			}
		}
		if s.Value.Items != nil && s.Value.Items.Ref == "" {
			walk(where+"[]", s.Value.Items)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Document().Components.Schemas)) {
		s := c.Document().Components.Schemas[name]
		if s.Value.Description == "" {
			t.Errorf("%s has no description", name)
		}
		walk(name, s)
	}
	is.True(described > 100) // properties were looked at
	for path, item := range c.Document().Paths.Map() {
		for method, op := range item.Operations() {
			for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
				if p.Value.Description == "" || p.Value.Example == nil {
					t.Errorf("%s %s: the parameter %s needs a description and an example", method, path, p.Value.Name)
				}
			}
		}
	}
}

// lacks returns what a property does not say of itself. Parts of an object and
// of a list say it themselves.
func lacks(s *openapi3.Schema) (missing []string) {
	if s.Description == "" {
		missing = append(missing, "description")
	}
	if s.Example == nil && s.Enum == nil && s.Properties == nil && s.Items == nil && s.OneOf == nil {
		missing = append(missing, "example")
	}
	if !bounded(s) {
		missing = append(missing, "bounds")
	}
	return missing
}

func bounded(s *openapi3.Schema) bool {
	for _, part := range s.AllOf {
		if !bounded(part.Value) {
			return false
		}
	}
	switch {
	case s.Type.Is("number"), s.Type.Is("integer"):
		return s.Min != nil && s.Max != nil
	case s.Type.Is("string"):
		return s.Enum != nil || s.Pattern != "" || s.MaxLength != nil
	case s.Type.Is("array"):
		return s.MaxItems != nil
	}
	return true // a boolean, an object, or only made of others
}

// TestErrorExamples wants an example of every error that is documented.
func TestErrorExamples(t *testing.T) {
	is := is.New(t)
	c, err := Load("../../../roles/openapi.yaml")
	is.NoErr(err)
	for _, a := range c.Documented() {
		if a.Code == "" {
			continue
		}
		op := c.Document().Paths.Value(a.Path).GetOperation(a.Method)
		media := op.Responses.Status(a.Status).Value.Content.Get("application/json")
		shown := false
		for _, example := range media.Examples {
			var e struct{ Code string }
			text, err := json.Marshal(example.Value.Value)
			is.NoErr(err)
			is.NoErr(json.Unmarshal(text, &e))
			shown = shown || e.Code == a.Code
		}
		if !shown {
			t.Errorf("%s has no example", a)
		}
	}
	for path, item := range c.Document().Paths.Map() {
		for method, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				if status >= "400" && codes(response.Value)[0] == "" {
					t.Errorf("%s %s %s has no code of its own", method, path, status)
				}
			}
		}
	}
}
