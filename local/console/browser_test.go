package console_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/console"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/stack"
)

var (
	root    string       // of the repository
	service *stack.Stack // the whole, with its console
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if root, err = emulator.Root(); err == nil {
			service, err = console.Start(context.Background(), stack.Options{Quick: true})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer service.Close()
		return m.Run()
	}())
}

// TestInBrowser uses the console in a browser; browser.mjs says how. The
// screenshots are in out/.
func TestInBrowser(t *testing.T) {
	is := is.New(t)
	node, err := exec.LookPath("node")
	is.NoErr(err) // the test needs Node
	out := filepath.Join(root, "out")
	is.NoErr(os.MkdirAll(out, 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var said bytes.Buffer
	browse := exec.CommandContext(ctx, node, "browser.mjs", service.URL, chromium(t), out)
	browse.Stdout, browse.Stderr = &said, &said
	err = browse.Run()
	t.Logf("%s", said.String())
	is.NoErr(err) // nothing is wrong with the console
}

// chromium returns the path of a browser: the one that CHROMIUM names, or the
// first of the usual names.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium: install one, or say in CHROMIUM where it is")
	return ""
}
