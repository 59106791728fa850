// Local runs the order service on this machine.
//
//	local run     starts everything, places a first order, shows what happens to it, and stays up
//	local dev     the same, and rebuilds and replaces what a change of the source touches
//	local demo    the same as run, but exits: 0 only if all of it happened
//	local token   prints a token for the API
//	local invoke  hands one role an event, and prints its answer and its log
//	local preview renders sample orders as documents and mails into a directory
//	local template-check says what is wrong with a mail's template
//
// The targets of make with these names call it after installing what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bbws/order-lambda/local/console"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/preview"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/notify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("local "+command, flag.ContinueOnError)
	switch command {
	case "run", "dev", "demo":
		usual := "8080"
		if command == "demo" {
			usual = "0"
		}
		port := flags.String("port", usual, "port of the API on 127.0.0.1, 0 for any free one")
		windows := flags.Bool("windows", false, "wait up to 5 s for fuller batches, as the deployed service does, not 20 ms")
		if err := flags.Parse(args); err != nil {
			return err
		}
		return serve(ctx, out, command, stack.Options{
			Address: net.JoinHostPort("127.0.0.1", *port), Quick: !*windows,
		})
	case "preview":
		if len(args) != 1 {
			return errors.New("usage: local preview DIRECTORY")
		}
		return preview.Write(args[0])
	case "template-check":
		if len(args) != 1 {
			return errors.New("usage: local template-check FILE")
		}
		return checkTemplate(args[0], out)
	case "invoke":
		return invoke(ctx, flags, args, out)
	case "token":
		tenant := flags.String("tenant", tenant, "tenant that the token is for")
		email := flags.String("email", customer, "who acts")
		admin := flags.Bool("admin", false, "put the holder into the group admin")
		if err := flags.Parse(args); err != nil {
			return err
		}
		id := gateway.Identity{Tenant: *tenant, Email: *email}
		if *admin {
			id.Groups = []string{"admin"}
		}
		token, err := gateway.Token(id, 24*time.Hour)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, token)
		return err
	default:
		return errors.New("what to do is missing: run, dev, demo, token, invoke, preview or template-check")
	}
}

// checkTemplate tells the author of a mail's template what is wrong with it:
// everything at once, as FILE:LINE:COLUMN. The last two parts of the file's path
// say which mail it is for.
func checkTemplate(file string, out io.Writer) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	err = notify.CheckTemplate(filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), string(src))
	var broken *notify.TemplateError
	if errors.As(err, &broken) {
		for _, p := range broken.Problems {
			_, _ = fmt.Fprintf(out, "%s:%d:%d: %s\n", file, p.Line, p.Column, p.Message)
		}
		return errors.New("the service does not take this template")
	}
	if err == nil {
		_, err = fmt.Fprintln(out, file+" is a template that the service takes")
	}
	return err
}

// serve runs a stack, places a first order, and stays up unless it is a demo.
func serve(ctx context.Context, out io.Writer, command string, options stack.Options) error {
	stay := command != "demo"
	root, err := emulator.Root()
	if err != nil {
		return err
	}
	options.LogDir = filepath.Join(root, ".cache", "local", "logs")
	out = &lockedWriter{w: out}
	t := trail{out: out, start: time.Now()}
	steps := narrator{out: out}
	options.Progress, options.OnLog = func(what string) { t.step("%s", what) }, steps.line
	start := stack.Start
	if stay {
		start = console.Start
	}
	s, err := start(ctx, options)
	if err != nil {
		return err
	}
	defer s.Close()
	t.step("ready at %s", s.URL)

	first, cancel := context.WithTimeout(ctx, firstOrderTime)
	defer cancel()
	if err := t.firstOrder(first, s, filepath.Join(root, "out")); err != nil {
		return fmt.Errorf("the first order did not get through: %w\nthe logs of the roles are in %s", err, options.LogDir)
	}
	if !stay {
		return nil
	}
	token, err := s.Token(gateway.Identity{Tenant: tenant, Email: customer})
	if err != nil {
		return err
	}
	env := filepath.Join(root, ".cache", "local", "env")
	if err := os.WriteFile(env, []byte(strings.Join(s.Environ, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	values := strings.NewReplacer(
		"{url}", s.URL, "{mail}", s.MailURL, "{s3}", *s.S3.Options().BaseEndpoint, "{documents}", stack.OrdersBucket,
		"{token}", token, "{tenant}", tenant, "{logs}", options.LogDir, "{env}", env,
	)
	_, _ = fmt.Fprint(out, values.Replace(`
console  {url}
API      {url}/v1.0
inbox    {mail}
S3       {s3}/{documents}
logs     {logs}
ops      env $(cat {env}) go run ./deploy/ops verify

TOKEN={token}
curl -sS {url}/v1.0/orders -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{
  "customerEmail": "thandi@example.com", "cartId": "cart-1001",
  "billingAddress": {"street": "12 Long Street", "city": "Cape Town", "province": "Western Cape",
    "postalCode": "8001", "country": "ZA"}}'
curl -sS {url}/v1.0/tenants/{tenant}/orders -H "Authorization: Bearer $TOKEN"

Another token: make token TENANT=tenant-2 [ADMIN=1]. Stop: Ctrl-C.
From here on, each step of each order and every warning and error of the roles:
`))
	steps.started.Store(true)
	if command == "dev" {
		err = watch(ctx, out, root, s)
	} else {
		<-ctx.Done()
	}
	_, _ = fmt.Fprintln(out, "\nstopping")
	return err
}
