// Package clients makes clients from roles/openapi.yaml as its users would,
// compiles them, and takes orders through their lives with each.
package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/stack"
)

const oapiCodegen = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

// TestClients builds all clients before it starts the stack, so that a contract
// that makes none is told of at once.
func TestClients(t *testing.T) {
	is := is.New(t)
	root, err := emulator.Root()
	is.NoErr(err)
	b := builder{
		contract: filepath.Join(root, "roles", "openapi.yaml"), root: root, out: filepath.Join(root, ".cache", "clients"),
	}
	clients := map[string][]string{"Go": b.goClient(t), "TypeScript": b.typeScriptClient(t)}
	service, err := stack.Start(t.Context(), stack.Options{Quick: true})
	is.NoErr(err)
	defer service.Close()
	for name, command := range clients {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			tenant := strings.ToLower(name)
			token, err := service.Token(gateway.Identity{Tenant: tenant, Email: "thandi@example.com"})
			is.NoErr(err)
			t.Logf("%s", run(t, ".", append(command, service.URL, token, tenant)...))
		})
	}
}

// A builder makes clients from a contract, below a directory.
type builder struct{ contract, root, out string }

// goClient returns the command of the Go client. The generated package is laid
// over the one in the source tree.
func (b builder) goClient(t *testing.T) []string {
	t.Helper()
	is := is.New(t)
	generated := filepath.Join(b.out, "api.go")
	is.NoErr(os.MkdirAll(b.out, 0o750))
	run(t, ".", "go", "run", oapiCodegen, "-generate", "types,client", "-package", "api", "-o", generated, b.contract)
	dir := filepath.Join(b.root, "local", "proof", "clients", "go")
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(dir, "api", "api.go"): generated},
	})
	is.NoErr(err)
	replace, binary := filepath.Join(b.out, "overlay.json"), filepath.Join(b.out, "client")
	is.NoErr(os.WriteFile(replace, overlay, 0o600))
	run(t, dir, "go", "vet", "-overlay", replace, "./...")
	run(t, dir, "go", "build", "-overlay", replace, "-o", binary, ".")
	return []string{binary}
}

// typeScriptClient returns the command of the TypeScript client. It is compiled
// beside a link to the packages of the page.
func (b builder) typeScriptClient(t *testing.T) []string {
	t.Helper()
	is := is.New(t)
	out := filepath.Join(b.out, "typescript")
	is.NoErr(os.RemoveAll(out))
	is.NoErr(os.MkdirAll(out, 0o750))
	modules := filepath.Join(b.root, "local", "console", "node_modules")
	is.NoErr(os.Symlink(modules, filepath.Join(out, "node_modules")))
	is.NoErr(os.WriteFile(filepath.Join(out, "package.json"), []byte(`{"type": "module"}`), 0o600))
	for _, name := range []string{"client.ts", "tsconfig.json"} {
		text, err := os.ReadFile(filepath.Join(b.root, "local", "proof", "clients", name))
		is.NoErr(err)
		is.NoErr(os.WriteFile(filepath.Join(out, name), text, 0o600))
	}
	bin := filepath.Join(modules, ".bin")
	run(t, out, filepath.Join(bin, "openapi-typescript"), b.contract, "-o", "api.d.ts")
	run(t, out, filepath.Join(bin, "tsc"))
	return []string{"node", filepath.Join(out, "client.js")}
}

// run runs a command and returns what it says.
func run(t *testing.T, dir string, command ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	out = bytes.TrimSpace(out)
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(command[0]), err, out)
	}
	return out
}
