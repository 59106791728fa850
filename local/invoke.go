package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/stack"
)

// inOrder are the roles as an order meets them: the ready events are all about
// one order.
var inOrder = []string{
	"create_order", "order_creator_record", "order_pdf_creator", "order_internal_notifier", "customer_order_confirmation",
	"get_order", "list_orders", "update_order",
}

// recorder is the role whose event makes the order that the other events are
// about.
const recorder = "order_creator_record"

// invoke hands one role of the service an event, and prints its answer and its
// log. The role runs behind the Lambda Runtime Interface Emulator, against AWS
// services on this machine: the container image that -image names under the
// image's own emulator, else the binary. With -all, every role gets its event
// of roles/testdata, in the order in which an order meets them, and the error
// says whether all of them answered well.
func invoke(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	image := flags.String("image", "", "container image to run in place of the binary")
	docker := flags.String("docker", "docker", "docker command that runs it")
	all := flags.Bool("all", false, "send all eight roles their events")
	if err := flags.Parse(args); err != nil {
		return err
	}
	role, file := flags.Arg(0), flags.Arg(1)
	if !*all && (flags.NArg() > 2 || !slices.Contains(inOrder, role)) {
		return fmt.Errorf("which role? One of %s, and if need be a file with its event", strings.Join(inOrder, ", "))
	}
	local, err := stack.Start(ctx, stack.Options{
		Image: *image, Docker: *docker, Unread: true, Progress: func(what string) { fmt.Fprintln(os.Stderr, what) },
	})
	if err != nil {
		return err
	}
	defer local.Close()
	if *all {
		for _, role := range inOrder {
			if err := send(ctx, out, local, role, ""); err != nil {
				return err
			}
		}
		return nil
	}
	if role != recorder && role != "create_order" {
		if err := send(ctx, io.Discard, local, recorder, ""); err != nil {
			return fmt.Errorf("record the order that the event is about: %w", err)
		}
	}
	return send(ctx, out, local, role, file)
}

// send hands a role an event from a file, else its ready one, and prints what
// it says. The error says what is wrong with the answer, if anything.
func send(ctx context.Context, out io.Writer, local *stack.Stack, role, file string) error {
	if file == "" {
		root, err := emulator.Root()
		if err != nil {
			return err
		}
		file = filepath.Join(root, "roles", "testdata", role+".json")
	}
	event, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	start := time.Now()
	answer, err := local.Invoke(ctx, role, event)
	took := time.Since(start)
	_, _ = fmt.Fprintf(out, "--- %s\n%s\n", role, strings.Join(local.Log(role), "\n"))
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	var text bytes.Buffer
	if json.Indent(&text, answer, "", "  ") != nil {
		text.Write(answer)
	}
	_, _ = fmt.Fprintf(out, "answer after %s, its start included: %s\n", took.Round(time.Millisecond), &text)
	if err := judge(answer, local.IsConsumer(role)); err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// judge says what is wrong with a role's answer to an event that it should have
// been able to handle.
func judge(answer []byte, consumer bool) error {
	var batch events.SQSEventResponse
	var response events.APIGatewayProxyResponse
	var said any = &response
	if consumer {
		said = &batch
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(said); err != nil {
		return fmt.Errorf("not what Lambda takes from it: %w", err)
	}
	if len(batch.BatchItemFailures) > 0 {
		return errors.New("messages failed")
	}
	if !consumer && response.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}
