// Invoke runs one role of the service under the Runtime Interface Emulator, against AWS services on this machine, sends it an
// event, and prints its answer and its log:
//
//	invoke [flags] ROLE [EVENT]
//	invoke [flags] -all
//
// It runs the container image that -image names, or else the binary. The emulator is the image's own; for the binary it is the official
// one if RIE or the PATH has it, else the one of local/rie. With -all, every role gets its event of roles/testdata, in the order in which
// an order meets them, and the exit status says whether all of them answered well.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/stack"
)

// inOrder are the roles as an order meets them: the ready events are all about one order.
var inOrder = []string{
	"create_order", "order_creator_record", "order_pdf_creator", "order_internal_notifier", "customer_order_confirmation",
	"get_order", "list_orders", "update_order",
}

// recorder is the role whose event makes the order that the other events are about.
const recorder = "order_creator_record"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "invoke:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	image := flags.String("image", "", "container image to run in place of the binary")
	docker := flags.String("docker", "docker", "docker command that runs it")
	all := flags.Bool("all", false, "send all eight roles their events")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	roles := inOrder
	if !*all {
		if flags.NArg() < 1 || flags.NArg() > 2 || !slices.Contains(inOrder, flags.Arg(0)) {
			return fmt.Errorf("which role? One of %s, and if need be a file with its event", strings.Join(inOrder, ", "))
		}
		roles = []string{flags.Arg(0)}
	}

	local, err := stack.Start(ctx, stack.Options{Quick: true})
	if err != nil {
		return err
	}
	defer local.Close()
	if err := unsubscribe(ctx, local); err != nil {
		return err
	}
	if !*all && roles[0] != recorder && roles[0] != "create_order" {
		event, err := readEvent(recorder)
		if err != nil {
			return err
		}
		if _, err := local.Invoke(ctx, recorder, event); err != nil {
			return fmt.Errorf("record the order that the event is about: %w", err)
		}
	}
	emulate, err := newEmulation(ctx, *image, *docker)
	if err != nil {
		return err
	}
	for _, role := range roles {
		event, err := readEvent(role)
		if flags.NArg() == 2 {
			event, err = os.ReadFile(flags.Arg(1))
		}
		if err != nil {
			return err
		}
		if err := emulate.invoke(ctx, out, role, local.Environ(role), event); err != nil {
			return fmt.Errorf("%s: %w", role, err)
		}
	}
	return nil
}

// unsubscribe keeps events from the stack's own functions: the one that is invoked shall find its work undone.
func unsubscribe(ctx context.Context, local *stack.Stack) error {
	subscriptions, err := local.SNS.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(local.TopicARN)})
	if err != nil {
		return err
	}
	for _, s := range subscriptions.Subscriptions {
		if _, err := local.SNS.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: s.SubscriptionArn}); err != nil {
			return err
		}
	}
	return nil
}

// readEvent returns the ready event of a role.
func readEvent(role string) ([]byte, error) {
	root, err := emulator.Root()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(root, "roles", "testdata", role+".json"))
}

// An emulation is how a role is run under the Runtime Interface Emulator.
type emulation struct {
	image, docker string // of the container, or ""
	platform      string // of the image
	rie, binary   string // without a container
	roles         map[string]deploy.Role
}

func newEmulation(ctx context.Context, image, docker string) (*emulation, error) {
	e := &emulation{image: image, docker: docker}
	var err error
	if e.roles, err = deploy.Roles(); err != nil {
		return nil, err
	}
	if image != "" {
		platform, err := exec.CommandContext(ctx, docker, "image", "inspect", "-f", "{{.Os}}/{{.Architecture}}", image).Output() //nolint:gosec // what the user asks to run
		e.platform = strings.TrimSpace(string(platform))
		return e, err
	}
	if e.binary, err = stack.Build(ctx); err != nil {
		return nil, err
	}
	if e.rie = stack.OfficialRIE(); e.rie == "" {
		e.rie = filepath.Join(filepath.Dir(e.binary), "rie")
		build := exec.CommandContext(ctx, "go", "build", "-o", e.rie, "github.com/bbws/order-lambda/local/rie") //nolint:gosec // a path of ours
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build local/rie: %w\n%s", err, out)
		}
	}
	return e, nil
}

// invoke starts a role, sends it an event, prints what it says, and ends it. The error says what is wrong with the answer, if anything.
func (e *emulation) invoke(ctx context.Context, out io.Writer, role string, env []string, event []byte) error {
	front, err := freeAddress()
	if err != nil {
		return err
	}
	back, err := freeAddress()
	if err != nil {
		return err
	}
	env = append(env,
		"AWS_LAMBDA_FUNCTION_NAME="+role,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(e.roles[role].Memory),
		"AWS_LAMBDA_FUNCTION_TIMEOUT="+strconv.Itoa(e.roles[role].Timeout))
	addresses := []string{"--runtime-interface-emulator-address", front, "--runtime-api-address", back}

	running, end := context.WithCancel(ctx)
	defer end()
	var cmd *exec.Cmd
	if e.image == "" {
		cmd = exec.CommandContext(running, e.rie, append(addresses, e.binary)...) //nolint:gosec // what the user asks to run
		cmd.Env = env
	} else {
		// The image's own emulator, told to keep to loopback; the host's network, where the other services listen.
		name := "order-invoke-" + strings.ReplaceAll(strings.ReplaceAll(front, ".", "-"), ":", "-")
		args := []string{"run", "--rm", "--init", "--name", name, "--platform", e.platform, "--network", "host", "--entrypoint", "/usr/local/bin/aws-lambda-rie"}
		defer func() { _ = exec.Command(e.docker, "rm", "--force", name).Run() }() //nolint:gosec // it may be gone, as it should
		for _, setting := range env {
			args = append(args, "--env", setting)
		}
		args = append(append(append(args, e.image), addresses...), "/var/runtime/bootstrap")
		cmd = exec.CommandContext(running, e.docker, args...) //nolint:gosec // what the user asks to run
	}
	var log buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	answer, took, err := post(running, front, event, exited)
	end()
	if err == nil {
		<-exited //nolint:errcheck // Ended by our own signal.
	}
	_, _ = fmt.Fprintf(out, "--- %s\n%s", role, log.String())
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "answer after %s: %s\n", took.Round(time.Millisecond), pretty(answer))
	return judge(e.roles[role], answer)
}

// post waits until the emulator listens and sends it the event.
func post(ctx context.Context, address string, event []byte, exited <-chan error) (answer []byte, took time.Duration, err error) {
	const patience = 30 * time.Second
	deadline := time.After(patience)
	for dialer := (&net.Dialer{}); ; {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case err := <-exited:
			return nil, 0, fmt.Errorf("the emulator ended before it listened: %w", err)
		case <-deadline:
			return nil, 0, fmt.Errorf("the emulator does not listen: %w", err)
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/2015-03-31/functions/function/invocations", bytes.NewReader(event))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("X-Amzn-Trace-Id", lambdaapi.NewTrace())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return answer, time.Since(start), err
}

// judge says what is wrong with a role's answer to an event that it should have been able to handle.
func judge(role deploy.Role, answer []byte) error {
	if role.IsConsumer() {
		var batch events.SQSEventResponse
		switch err := strict(answer, &batch); {
		case err != nil:
			return err
		case len(batch.BatchItemFailures) > 0:
			return errors.New("messages failed")
		}
		return nil
	}
	var response events.APIGatewayProxyResponse
	switch err := strict(answer, &response); {
	case err != nil:
		return err
	case response.StatusCode < 200 || response.StatusCode > 299:
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

func strict(answer []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("not an answer of Lambda's caller: %w", err)
	}
	return nil
}

func pretty(answer []byte) string {
	var text bytes.Buffer
	if json.Indent(&text, answer, "", "  ") != nil {
		return string(answer)
	}
	return text.String()
}

// freeAddress returns a loopback address where nobody listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// A buffer collects what a process writes to its two outputs.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
