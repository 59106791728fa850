package console_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// TestReadme types what the README's examples of the API say, once and in one
// shell, and compares what comes back with what the comments below them say,
// where "…" stands for anything.
func TestReadme(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	is.NoErr(err)
	_, section, _ := strings.Cut(string(text), "\n## The API by example\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var examples []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		examples = append(examples, strings.ReplaceAll(block[1], "http://127.0.0.1:8080", service.URL))
	}
	is.True(len(examples) >= 5) // the README has its examples

	const separator = "\x1e"
	script := strings.Join(examples, "\nprintf '"+separator+"'\n")
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	shell.Dir, shell.Stderr = root, os.Stderr
	out, err := shell.Output()
	is.NoErr(err) // the commands work
	answers := strings.Split(string(out), separator)
	is.Equal(len(answers), len(examples))
	for i, example := range examples {
		if !says(answers[i], example) {
			t.Errorf("%s\ngave\n%s", example, answers[i])
		}
	}
}

var (
	expectation = regexp.MustCompile(`(?m)^# (\d{3})( \{.*\})?`)
	orderNumber = regexp.MustCompile(`ORD-\d{4}-\d{5,}`)
)

// says reports whether an output has the status and the body that the comment
// below the commands tells of.
func says(out, commands string) bool {
	want := expectation.FindStringSubmatch(commands)
	if want == nil {
		return true
	}
	if !strings.HasPrefix(out, "HTTP/1.1 "+want[1]+" ") {
		return false
	}
	_, body, _ := strings.Cut(out, "\r\n\r\n")
	pattern := regexp.QuoteMeta(orderNumber.ReplaceAllString(strings.TrimSpace(want[2]), "…"))
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	return regexp.MustCompile("^" + pattern).MatchString(body)
}
