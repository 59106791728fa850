package page_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// TestReadme types what the README's examples of the API say, and compares what comes back with what the comments below
// them say, where "…" stands for anything. An example is repeated until it is so: an order takes a moment. Each has a
// shell of its own, with the variables of those before it.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## The API by example\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section, -1)
	if len(blocks) < 4 {
		t.Fatal("the README has lost its examples")
	}
	before := ""
	for _, block := range blocks {
		commands := strings.ReplaceAll(block[1], "http://127.0.0.1:8080", service.URL)
		example, _, _ := strings.Cut(commands, "\n")
		t.Run(example[:min(len(example), 40)], func(t *testing.T) {
			is := is.New(t)
			var out []byte
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
				shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", before+commands)
				shell.Dir = root
				out, err = shell.Output()
				is.NoErr(err) // the commands work
				if says(string(out), commands) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s\ngave\n%s", commands, out)
				}
			}
		})
		before += strings.Join(assignment.FindAllString(commands, -1), "")
	}
}

var (
	assignment  = regexp.MustCompile(`(?m)^\w+=.*\n`)
	expectation = regexp.MustCompile(`(?m)^# (\d{3})( \{.*\})?`)
	orderNumber = regexp.MustCompile(`ORD-\d{4}-\d{5,}`)
)

// says reports whether an output has the status and the body that the comment below the commands tells of.
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
