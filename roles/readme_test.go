package roles

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// TestReadmeSettings holds the table of settings to the roles' own.
func TestReadmeSettings(t *testing.T) {
	is := is.New(t)
	readme, err := os.ReadFile("README.md")
	is.NoErr(err)
	type row struct{ roles, value string }
	documented := map[string]row{}
	line := regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)` \\| (.+) \\| (.+) \\|$")
	for _, m := range line.FindAllStringSubmatch(string(readme), -1) {
		documented[m[1]] = row{m[2], strings.Trim(m[3], "`")}
	}

	declared := map[string]row{}
	names := map[string][]string{}
	for _, role := range All() {
		for _, s := range role.Settings {
			names[s.Name] = append(names[s.Name], role.Name)
			value := s.Default
			if s.Required {
				value = "required"
			} else if value == "" {
				value = "none"
			}
			declared[s.Name] = row{value: value}
		}
	}
	for name, roles := range names {
		r := declared[name]
		if r.roles = strings.Join(roles, ", "); len(roles) == len(All()) {
			r.roles = "all"
		}
		declared[name] = r
	}
	sorted := func(list string) []string { return slices.Sorted(strings.SplitSeq(list, ", ")) }
	for name, want := range declared {
		got := documented[name]
		is.Equal(got.value, want.value)                 // the default in the README
		is.Equal(sorted(got.roles), sorted(want.roles)) // the roles in the README
	}
	is.Equal(len(documented), len(declared)) // no setting that does not exist
}
