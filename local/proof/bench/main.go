// Bench measures cold starts and warm invocations on this machine, says what an
// order costs, and prints tables in Markdown. Every duration stands beside one
// of the same run that it can be compared with, since a machine's own speed, and
// what else it does, change from run to run: a cold start beside that of a
// function that does nothing (bare), and everything beside the binary of -base,
// where there is one.
//
// What is compared is measured in turns, and medians are shown. AWS and the Cart
// API are a world in this process. A table is printed when it is complete; what
// is being measured is told on standard error.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/proof/cost"
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
	vcpu     int // MB of memory that buy one processor
	binary   string
	base     string // another binary, or ""
	bare     string
	config   map[string]deploy.Role
	life     []cost.Scene // of one order
}

func run(ctx context.Context, args []string, out io.Writer) error {
	b := &bench{progress: os.Stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.rounds, "rounds", 21, "how often everything is measured")
	flags.IntVar(&b.warm, "warm", 100, "warm invocations in a round")
	// Source: "Configure Lambda function memory" of the Lambda developer guide.
	flags.IntVar(&b.vcpu, "vcpu", 1769, "MB of memory with which Lambda gives one processor")
	only := flags.String("only", "", "one section: cold, warm or cost")
	flags.StringVar(&b.binary, "binary", "", "path of a built binary, instead of building it")
	flags.StringVar(&b.base, "base", "", "path of a binary to compare with")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.rounds < 1 || b.warm < 2 || b.vcpu < 1 {
		return errors.New("it takes one round, two warm invocations and one MB at least")
	}
	sections := []section{
		{"cold", b.cold},
		{"warm", b.warmInvocations},
		{"cost", b.cost},
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

// prepare builds what is measured, and takes an order through its life.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.root, err = emulator.Root(); err != nil {
		return err
	}
	if b.config, err = deploy.Roles(); err != nil {
		return err
	}
	if b.life, err = cost.Scenes(); err != nil {
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
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w",
			"-o", program, source)
		build.Dir, build.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", source, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// roles returns the names of the roles.
func (b *bench) roles() []string { return slices.Sorted(maps.Keys(b.config)) }

// programs returns what is measured: the binary and, if there is one, that of
// the base.
func (b *bench) programs() []string {
	if b.base == "" {
		return []string{b.binary}
	}
	return []string{b.binary, b.base}
}

// against returns the columns of a table that compare a figure with the base's.
func against(values ...time.Duration) string {
	if len(values) == 1 {
		return milliseconds(values[0])
	}
	return fmt.Sprintf("%s | %s | %s", milliseconds(values[0]), milliseconds(values[1]), ratio(values[0], values[1]))
}

// heads returns the head of a table of roles: figures that are compared with the
// base's, and then those that are not.
func (b *bench) heads(compared []string, alone ...string) string {
	columns := []string{"role"}
	for _, c := range compared {
		if columns = append(columns, c); b.base != "" {
			columns = append(columns, "base", "×")
		}
	}
	head, line := "", ""
	for _, c := range append(columns, alone...) {
		head, line = head+"| "+c+" ", line+"|---"
	}
	return head + "|\n" + line + "|\n"
}

// say tells on the side what is being done.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "%s\n", fmt.Sprintf(format, args...))
}

// printf adds to the section's tables.
func (b *bench) printf(format string, args ...any) { _, _ = fmt.Fprintf(&b.tables, format, args...) }

// median returns the middle of what was measured, the later one of two.
func median[T int | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000)
}

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }
