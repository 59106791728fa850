// Ops is the operators' program: it shows where an order and its messages are,
// and mends what the service cannot mend by itself. It uses the service's own
// domain and store, and is never linked into the function.
//
//	ops COMMAND [flags] [arguments]
//
// Nothing changes without -yes: a command then says what it would do.
// README.md shows each command by an example.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], world{
		getenv: os.Getenv, stdout: os.Stdout, stderr: os.Stderr, now: time.Now, connect: connect,
	})
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ops:", err)
		os.Exit(1)
	}
}

// A world is what a command takes from outside.
type world struct {
	getenv         func(string) string
	stdout, stderr io.Writer // results; progress and help
	now            func() time.Time
	connect        func(context.Context) (clients, error)
}

// An action is a command whose flags are read.
type action func(ctx context.Context, o *operator, args []string) error

// A command is one thing that operators do.
type command struct {
	name, args, does string
	most             int       // arguments that it takes
	least            int       // arguments that it needs
	needs            []setting // what must be set
	changes          bool      // it changes something, if -yes says so
	setUp            func(f *flag.FlagSet) action
}

func commands() []command {
	return []command{
		trailCommand(),
		findCommand(),
		dlqListCommand(),
		dlqShowCommand(),
		dlqRedriveCommand(),
		dlqDropCommand(),
		replayDocumentCommand(),
		replayMailCommand(),
		replayEventCommand(),
		verifyCommand(),
		eraseCommand(),
		exportCommand(),
		smokeCommand(),
	}
}

// run runs the command that args name.
func run(ctx context.Context, args []string, w world) error {
	c, args, ok := choose(args)
	if !ok {
		usage(w.stderr)
		return errors.New("which command?")
	}
	flags := flag.NewFlagSet("ops "+c.name, flag.ContinueOnError)
	flags.SetOutput(w.stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(w.stderr, "ops %s [flags] %s\n%s\n", c.name, c.args, c.does)
		flags.PrintDefaults()
	}
	asJSON := flags.Bool("json", false, "print a JSON object a line")
	act := false
	if c.changes {
		flags.BoolVar(&act, "yes", false, "do it; without, say what would be done")
	}
	do := c.setUp(flags)
	args, err := parse(flags, args)
	if err != nil {
		return err
	}
	if len(args) < c.least || len(args) > c.most {
		return fmt.Errorf("the arguments of %s are: %s", c.name, c.args)
	}
	o, err := newOperator(ctx, w, c.needs)
	if err != nil {
		return err
	}
	o.act, o.out.asJSON = act, *asJSON
	err = do(ctx, o, args)
	err = errors.Join(err, o.out.flush())
	if o.idle {
		o.progress.say("nothing was changed: -yes does it")
	}
	return err
}

// choose finds the command that args begin with, whose name has one word or
// two, and returns the rest.
func choose(args []string) (c command, rest []string, ok bool) {
	all := commands()
	for words := min(2, len(args)); words > 0; words-- {
		name := args[0]
		if words == 2 {
			name += " " + args[1]
		}
		if i := slices.IndexFunc(all, func(c command) bool { return c.name == name }); i >= 0 {
			return all[i], args[words:], true
		}
	}
	return command{}, nil, false
}

// parse reads flags wherever they stand among the arguments, which it returns.
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}

func usage(w io.Writer) {
	_, _ = fmt.Fprintln(w, "ops COMMAND [flags] [arguments]; ops COMMAND -h tells more")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(w, "  %-34s %s\n", c.name+" "+c.args, c.does)
	}
}
