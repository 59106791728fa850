package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
)

// TestDev changes a copy of the source while the stack that is made of it runs.
// It logs how long each change takes, from the save to the first answer that
// has it.
func TestDev(t *testing.T) {
	is := is.New(t)
	t.Chdir(copyOfSource(t))
	out := &transcript{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"dev", "-port", "0"}, out)
		_, _ = fmt.Fprintf(out, "\nended: %v\n", err)
		ended <- err
	}()
	out.await(t, `watching the source in`)
	token, err := gateway.Token(gateway.Identity{Tenant: "tenant-1", Email: customer}, time.Hour)
	is.NoErr(err)
	d := dev{
		out: out, api: gateway.Client{URL: out.await(t, `ready at (\S+)`), Token: token}, mail: out.await(t, `inbox +(\S+)`),
	}
	placed := d.place(t)

	t.Run("a handler", d.handler)
	t.Run("what does not compile", d.broken)
	t.Run("a template", d.template)
	t.Run("a template with a mistake", d.brokenTemplate)
	t.Run("a stylesheet", d.stylesheet)
	t.Run("the program itself", d.itself)
	t.Run("the data stays", func(t *testing.T) {
		is := is.New(t)
		o, err := d.api.Order(t.Context(), placed)
		is.NoErr(err)
		is.True(o.Recorded())
		is.True(strings.Contains(d.get(t, d.mail+"/store"), o.OrderNumber)) // its mail
	})
	cancel()
	is.NoErr(<-ended)
}

// copyOfSource returns a directory with the files of the repository as they
// are, and with what is installed.
func copyOfSource(t *testing.T) string {
	t.Helper()
	is := is.New(t)
	root, err := emulator.Root()
	is.NoErr(err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	is.NoErr(err)
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	files, err := list.Output()
	is.NoErr(err)
	for name := range bytes.SplitSeq(bytes.TrimSuffix(files, []byte{0}), []byte{0}) {
		content, err := os.ReadFile(filepath.Join(root, string(name)))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		is.NoErr(err)
		file := filepath.Join(dir, string(name))
		is.NoErr(os.MkdirAll(filepath.Dir(file), 0o750))
		is.NoErr(os.WriteFile(file, content, 0o600))
	}
	is.NoErr(os.Mkdir(filepath.Join(dir, ".cache"), 0o750))
	modules := filepath.Dir(page) + "/node_modules"
	for _, installed := range []string{".cache/bin", "local/emulator/node_modules", modules} {
		is.NoErr(os.Symlink(filepath.Join(root, installed), filepath.Join(dir, installed)))
	}
	return dir
}

// A dev is a stack that runs as make dev runs it, from the working directory.
type dev struct {
	out  *transcript
	api  gateway.Client
	mail string // URL of the inbox
}

const handlerFile, page = "roles/api.go", "local/console/console.css"

func (d dev) handler(t *testing.T) {
	saved := edit(t, handlerFile, `"There is no such order."`, `"No such order here."`)
	for d.missing(t) != "No such order here." {
		time.Sleep(pollInterval)
	}
	t.Logf("after %.2f s", time.Since(saved).Seconds())
}

func (d dev) broken(t *testing.T) {
	is := is.New(t)
	edit(t, handlerFile, `"No such order here."`, `No such order`)
	d.out.await(t, `(roles/api.go:\d+:\d+: syntax error.*)\n.*The code of the functions stays as it was`)
	is.Equal(d.missing(t), "No such order here.")
	edit(t, handlerFile, `No such order`, `"No such order at all."`)
	for d.missing(t) != "No such order at all." {
		time.Sleep(pollInterval)
	}
}

const confirmation = "notify/templates/customer/order_confirmation.html"

func (d dev) template(t *testing.T) {
	saved := edit(t, confirmation, "Thank you for your order", "Thanks a lot")
	d.out.await(t, confirmation+`: new functions`)
	t.Logf("after %.2f s", time.Since(saved).Seconds())
	d.place(t)
	for !strings.Contains(d.get(t, d.mail+"/store"), "Thanks a lot") {
		time.Sleep(pollInterval)
	}
	t.Logf("and the mail about a new order after %.2f s", time.Since(saved).Seconds())
}

func (d dev) brokenTemplate(t *testing.T) {
	edit(t, confirmation, "Thanks a lot", "{{orderNumbers}}")
	d.out.await(t, confirmation+`: template: \d+:\d+: .*orderNumber.*; the one before stays`)
}

func (d dev) stylesheet(t *testing.T) {
	saved := edit(t, page, "{", "{ /* changed */")
	for !strings.Contains(d.get(t, d.api.URL+"/"+filepath.Base(page)), "{ /* changed */") {
	}
	t.Logf("after %.3f s", time.Since(saved).Seconds())
}

func (d dev) itself(t *testing.T) {
	edit(t, "local/main.go", "\n\nimport", "\n\n// changed\n\nimport")
	d.out.await(t, `local/main.go.*: the local stack has this when it is started again`)
}

// edit changes the first place of a text in a file, and returns when.
func edit(t *testing.T, file, from, to string) time.Time {
	t.Helper()
	is := is.New(t)
	text, err := os.ReadFile(file)
	is.NoErr(err)
	is.True(bytes.Contains(text, []byte(from))) // the text is there
	is.NoErr(os.WriteFile(file, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600))
	return time.Now()
}

// missing returns what the API says of an order that it does not know.
func (d dev) missing(t *testing.T) string {
	t.Helper()
	answer, err := d.api.Call(t.Context(), http.MethodGet, "/v1.0/orders/no-order", "")
	is.New(t).NoErr(err)
	return answer.Message
}

// place places an order and returns its id when it is recorded.
func (d dev) place(t *testing.T) string {
	t.Helper()
	is := is.New(t)
	var accepted struct{ OrderID string }
	is.NoErr(d.api.Do(t.Context(), http.MethodPost, "/v1.0/orders", gateway.Placement(customer, "cart-good"), &accepted))
	for {
		o, err := d.api.Order(t.Context(), accepted.OrderID)
		is.NoErr(err)
		if o.Recorded() {
			return accepted.OrderID
		}
	}
}

func (d dev) get(t *testing.T, url string) string {
	t.Helper()
	is := is.New(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	is.NoErr(err)
	resp, err := http.DefaultClient.Do(req)
	is.NoErr(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	is.NoErr(err)
	return string(body)
}

// A transcript keeps what is written.
type transcript struct {
	mu   sync.Mutex
	text string
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text += string(p)
	return len(p), nil
}

// await waits until a pattern was written, and returns its last group.
func (w *transcript) await(t *testing.T, pattern string) string {
	t.Helper()
	for wanted := regexp.MustCompile(pattern); ; time.Sleep(pollInterval) {
		w.mu.Lock()
		text := w.text
		w.mu.Unlock()
		if found := wanted.FindStringSubmatch(text); found != nil {
			return found[len(found)-1]
		}
		if strings.Contains(text, "\nended: ") || t.Context().Err() != nil {
			t.Fatalf("%s is not said in\n%s", pattern, text)
		}
	}
}
