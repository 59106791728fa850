package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/matryer/is"
)

// TestProvidersArePinned holds every place that names the provider to one exact
// version, and its lock file to the same: an apply must not meet another one
// than was planned.
func TestProvidersArePinned(t *testing.T) {
	wanted := regexp.MustCompile(`(?s)source\s*=\s*"hashicorp/aws".*?version\s*=\s*"(\d+\.\d+\.\d+)"`)
	locked := regexp.MustCompile(`version\s*=\s*"(\d+\.\d+\.\d+)"\s*constraints\s*=\s*"(\d+\.\d+\.\d+)"`)
	versions := map[string]bool{}
	for _, dir := range []string{"service", "dev", "sit", "prod"} {
		t.Run(dir, func(t *testing.T) {
			is := is.New(t)
			code, err := os.ReadFile(filepath.Join(dir, "main.tf"))
			is.NoErr(err)
			lock, err := os.ReadFile(filepath.Join(dir, ".terraform.lock.hcl"))
			is.NoErr(err)
			asked, kept := wanted.FindSubmatch(code), locked.FindSubmatch(lock)
			is.True(asked != nil) // an exact version
			is.True(kept != nil)  // a lock file
			is.Equal(string(kept[1]), string(asked[1]))
			is.Equal(string(kept[2]), string(asked[1]))
			versions[string(asked[1])] = true
		})
	}
	is.New(t).Equal(len(versions), 1) // the same everywhere
}
