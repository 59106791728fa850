package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// TestMetricsAreTheCodes holds alarms and dashboard to the metrics that the
// roles write: an alarm on another name would never go off.
func TestMetricsAreTheCodes(t *testing.T) {
	is := is.New(t)
	code, err := os.ReadFile("../roles/metrics.go")
	is.NoErr(err)
	var written []string
	for _, m := range regexp.MustCompile(`metric = "(\w+)"`).FindAllStringSubmatch(string(code), -1) {
		written = append(written, m[1])
	}
	var watched []string
	for _, file := range []string{"service/alarms.tf", "service/dashboard.tf"} {
		text, err := os.ReadFile(file)
		is.NoErr(err)
		watched = append(watched, serviceMetrics(string(text))...)
	}
	for _, name := range []string{"OrdersFailed", "ChangeToMailMilliseconds", "OrdersAccepted"} {
		is.True(slices.Contains(watched, name)) // both files are understood
	}
	for _, name := range watched {
		is.True(slices.Contains(written, name)) // name
	}
}

// serviceMetrics finds the names of our own metrics: they are what these
// prefixes begin, and no metric of AWS that is used here.
func serviceMetrics(terraform string) (names []string) {
	const prefixes = `Orders|Events|Documents?|Mails?|Messages|Duplicates|ColdStarts|Cart|AcceptedTo|ChangeTo`
	own := regexp.MustCompile(`"((?:` + prefixes + `)[A-Za-z]*)"`)
	for _, m := range own.FindAllStringSubmatch(terraform, -1) {
		if !strings.HasSuffix(m[1], "Index") {
			names = append(names, m[1])
		}
	}
	return names
}

// TestRenovateFindsTheTools holds Renovate's patterns to the places where a
// tool or a base image is pinned: one that it does not find grows old unseen.
func TestRenovateFindsTheTools(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile("../.github/renovate.json")
	is.NoErr(err)
	var config struct {
		CustomManagers []struct{ ManagerFilePatterns, MatchStrings []string }
	}
	is.NoErr(json.Unmarshal(text, &config))
	found := func(file string) (names []string) {
		content, err := os.ReadFile(filepath.Join("..", file))
		is.NoErr(err)
		for _, manager := range config.CustomManagers {
			if !slices.ContainsFunc(manager.ManagerFilePatterns, func(pattern string) bool {
				return regexp.MustCompile(strings.Trim(pattern, "/")).MatchString(file)
			}) {
				continue
			}
			for _, expression := range manager.MatchStrings {
				re := regexp.MustCompile(expression)
				for _, m := range re.FindAllStringSubmatch(string(content), -1) {
					names = append(names, m[re.SubexpIndex("depName")])
				}
			}
		}
		return names
	}
	for file, want := range map[string][]string{
		"Makefile": {
			"gotest.tools/gotestsum", "golang.org/x/tools/cmd/deadcode", "github.com/golangci/golangci-lint/v2",
		},
		"deploy/test.sh":                      {"github.com/rhysd/actionlint/cmd/actionlint", "oras.land/oras/cmd/oras"},
		"deploy/promote.sh":                   {"oras.land/oras/cmd/oras"},
		"Dockerfile":                          {"docker.io/library/golang", "public.ecr.aws/lambda/provided"},
		"local/proof/clients/clients_test.go": {"github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"},
		".github/workflows/ci.yml":            {"golang.org/x/vuln/cmd/govulncheck"},
	} {
		names := found(file)
		for _, name := range want {
			is.True(slices.Contains(names, name)) // file and name
		}
	}
}
