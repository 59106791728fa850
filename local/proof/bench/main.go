// Bench measures cold starts and warm invocations on this machine and prints
// tables in Markdown. Every figure stands beside one of the same run that it can
// be compared with, since a machine's own speed, and what else it does, change
// from run to run: a cold start beside that of a function that does nothing
// (bare), and everything beside the binary of -base, where there is one.
//
// What is compared is measured in turns, and medians are shown. AWS and the Cart
// API are a stand-in in this process. A table is printed when it is complete;
// what is being measured is told on standard error.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/proof/bench/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// A bench is what the measurements share.
type bench struct {
	tables   bytes.Buffer // of the section that is being measured
	progress io.Writer
	root     string
	rounds   int // of everything that is repeated
	warm     int // invocations a round
	binary   string
	base     string // another binary, or ""
	bare     string
	roles    []string
	config   map[string]deploy.Role
	golden   []byte
}

func run(ctx context.Context, args []string, out io.Writer) error {
	b := &bench{progress: os.Stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.rounds, "rounds", 41, "how often everything is measured")
	flags.IntVar(&b.warm, "warm", 100, "warm invocations in a round")
	only := flags.String("only", "", "one section: cold, tls or warm")
	flags.StringVar(&b.binary, "binary", "", "path of a built binary, instead of building it")
	flags.StringVar(&b.base, "base", "", "path of a binary to compare with")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.rounds < 1 || b.warm < 2 {
		return errors.New("it takes one round and two warm invocations at least")
	}
	sections := []section{
		{"cold", b.cold},
		{"tls", b.firstOverTLS},
		{"warm", b.warmInvocations},
	}
	if *only != "" {
		sections = slices.DeleteFunc(sections, func(s section) bool { return s.name != *only })
	}
	if len(sections) == 0 {
		return errors.New("there is no such section")
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	return b.measure(ctx, sections, out)
}

// A section is one or several tables.
type section struct {
	name    string
	measure func(context.Context) error
}

// measure prints the tables of each section as soon as they are complete.
func (b *bench) measure(ctx context.Context, sections []section, out io.Writer) error {
	for _, s := range sections {
		b.tables.Reset()
		if err := s.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if _, err := b.tables.WriteTo(out); err != nil {
			return err
		}
	}
	return nil
}

// prepare builds what is measured.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.root, err = emulator.Root(); err != nil {
		return err
	}
	if b.config, err = deploy.Roles(); err != nil {
		return err
	}
	b.roles = slices.Sorted(maps.Keys(b.config))
	if b.golden, err = os.ReadFile(filepath.Join(b.root, "store", "testdata", "order.json")); err != nil {
		return err
	}
	dir := filepath.Join(b.root, ".cache", "bench")
	b.bare = filepath.Join(dir, "bare")
	programs := map[string]string{b.bare: "./local/proof/bench/bare"}
	if b.binary == "" {
		b.binary = filepath.Join(dir, "bootstrap")
		programs[b.binary] = "."
	}
	for program, source := range programs {
		b.say("building %s", source)
		// As the Dockerfile does, for this machine.
		_, err := command(
			ctx,
			b.root,
			"go",
			"build",
			"-trimpath",
			"-tags",
			"lambda.norpc",
			"-ldflags",
			"-s -w",
			"-o",
			program,
			source,
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// programs returns what is measured: the binary and, if there is one, that of
// the base.
func (b *bench) programs() []string {
	if b.base == "" {
		return []string{b.binary}
	}
	return []string{b.binary, b.base}
}

// against returns the columns of a table that compare a figure with the base's.
func against(values []time.Duration) string {
	if len(values) == 1 {
		return milliseconds(values[0])
	}
	return fmt.Sprintf("%s | %s | %s", milliseconds(values[0]), milliseconds(values[1]), ratio(values[0], values[1]))
}

// heads returns the head of a table with a figure in each column.
func (b *bench) heads(first string, figures ...string) string {
	head, line := "| "+first+" |", "|---|"
	for _, f := range figures {
		head, line = head+" "+f+" |", line+"---|"
		if b.base != "" {
			head, line = head+" base | × |", line+"---|---|"
		}
	}
	return head + "\n" + line + "\n"
}

// say tells on the side what is being done.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "%s\n", fmt.Sprintf(format, args...))
}

// printf adds to the section's tables.
func (b *bench) printf(format string, args ...any) { _, _ = fmt.Fprintf(&b.tables, format, args...) }

// serve starts the stand-in of a role and returns the environment in which the
// role uses it.
func (b *bench) serve(role string) (env []string, stop func(), err error) {
	env, server, err := b.serveBy(httptest.NewServer, role)
	if err != nil {
		return nil, nil, err
	}
	return env, server.Close, nil
}

func (b *bench) serveBy(
	start func(http.Handler) *httptest.Server,
	role string,
) (env []string, server *httptest.Server, err error) {
	s, err := standin.New(role, b.golden)
	if err != nil {
		return nil, nil, err
	}
	server = start(s)
	return append(
		standin.Environ(role, server.URL),
		fmt.Sprint("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=", b.config[role].Memory),
	), server, nil
}

// event returns the event of a role's tests.
func (b *bench) event(role string) ([]byte, error) {
	return os.ReadFile(filepath.Join(b.root, "roles", "testdata", role+".json"))
}

// median returns the middle of what was measured, the later one of two.
func median[T int64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000)
}

func ratio[T int64 | time.Duration](a, b T) string {
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// command runs one of the benchmark's own commands and returns its output.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return out, nil
}
