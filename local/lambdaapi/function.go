// Package lambdaapi invokes a program as AWS Lambda invokes a function. Every
// execution environment is a process of the official Runtime Interface
// Emulator (https://github.com/aws/aws-lambda-runtime-interface-emulator),
// which runs the program, starts it again after a crash or a time-out, and
// handles one invocation at a time. This package adds what Lambda has around
// that: as many environments as there are invocations at a time.
package lambdaapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxInvocations is how many invocations may run or wait at a time: the
// concurrency limit of a new AWS account.
const maxInvocations = 1000

// ErrThrottled is returned by Invoke if a thousand invocations are running or
// waiting.
var ErrThrottled = errors.New("rate exceeded")

// An Error is what Lambda calls a function error: the function said that it
// failed, crashed, or took too long.
type Error struct {
	Type    string // for example errorString, Runtime.ExitError or Sandbox.Timedout
	Message string
}

// Types of an Error that the function did not report itself.
const (
	TypeExit    = "Runtime.ExitError"
	TypeTimeout = "Sandbox.Timedout"
)

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Config describes a function.
type Config struct {
	Emulator string // path of the Runtime Interface Emulator
	Name     string
	Program  string
	Env      []string      // its whole environment as KEY=value, except what Lambda sets by itself
	Memory   int           // MB. Told to the function, not enforced
	Timeout  time.Duration // of one invocation, in whole seconds
	Log      io.Writer     // receives the function's output in whole lines, one at a time

	// Launch, if set, returns the command of an environment, in place of
	// Emulator and Program: an emulator that listens at the two addresses, with
	// a function that has the environment. It ends on SIGTERM.
	Launch func(front, back string, env []string) *exec.Cmd

	// Environments is how many execution environments may exist at a time.
	// More invocations wait.
	Environments int
}

// A Function is a program that is invoked like a Lambda function. Its methods
// may be called concurrently.
type Function struct {
	config      Config
	slots       chan struct{} // one for each invocation that runs
	invocations atomic.Int64  // that run or wait
	log         sync.Mutex    // one line at a time

	mu           sync.Mutex
	closed       bool
	environments []*environment
}

// New returns a function without execution environments: the first invocation
// starts one.
func New(config Config) *Function {
	return &Function{config: config, slots: make(chan struct{}, config.Environments)}
}

// Invoke runs the function on a payload and returns its answer. It waits for a
// free environment while ctx lasts; an invocation that began runs to its end
// even if ctx does not. The error is an *Error if the function failed. The
// trace is an X-Amzn-Trace-Id header, or empty. The emulator takes it, but does
// not pass it on to the function.
func (f *Function) Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error) {
	defer f.invocations.Add(-1)
	if f.invocations.Add(1) > maxInvocations {
		return nil, ErrThrottled
	}
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var answer []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-f.slots }()
		answer, err = f.run(context.WithoutCancel(ctx), payload, trace)
	}()
	select {
	case <-done:
		return answer, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run runs the function in an environment that is idle, else in a new one.
func (f *Function) run(ctx context.Context, payload []byte, trace string) ([]byte, error) {
	env, err := f.take()
	if err != nil {
		return nil, err
	}
	answer, err := env.invoke(ctx, payload, trace)
	if errors.Is(err, errNotStarted) { // Lambda tries a start that failed once more.
		answer, err = env.invoke(ctx, payload, trace)
	}
	var failure *Error
	isGone := err != nil && !errors.As(err, &failure) // the emulator itself
	if isGone {
		err = &Error{TypeExit, err.Error()}
	} else if failure != nil && failure.Type == TypeTimeout {
		f.write(failure.Message + "\n") // the program cannot say it
	}
	f.release(env, isGone)
	return answer, err
}

// write adds a line to the function's log.
func (f *Function) write(line string) {
	f.log.Lock()
	defer f.log.Unlock()
	_, _ = io.WriteString(f.config.Log, line)
}

func (f *Function) take() (*environment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the function is closed")
	}
	if i := slices.IndexFunc(f.environments, func(e *environment) bool { return e.idle }); i >= 0 {
		f.environments[i].idle = false
		return f.environments[i], nil
	}
	env, err := f.start()
	if err != nil {
		return nil, &Error{TypeExit, err.Error()}
	}
	f.environments = append(f.environments, env)
	return env, nil
}

// release makes an environment idle, or ends it if it is gone or over.
func (f *Function) release(env *environment, isGone bool) {
	f.mu.Lock()
	if env.idle = !isGone && !env.isOver; env.idle {
		f.mu.Unlock()
		return
	}
	f.environments = slices.DeleteFunc(f.environments, func(e *environment) bool { return e == env })
	f.mu.Unlock()
	env.kill()
}

// Kill ends all environments at once, as a fault of the machine under them
// would, and returns when their processes are gone. Invocations that they had
// fail. The next invocation starts a new environment.
func (f *Function) Kill() { f.end(func(*environment) bool { return true }) }

// Replace lets later invocations have new environments, of the program that is
// there then. An invocation that runs ends in its own.
func (f *Function) Replace() { f.end(func(e *environment) bool { return e.idle }) }

// end lets no environment begin another invocation, and ends some of them now.
func (f *Function) end(now func(*environment) bool) {
	var gone sync.WaitGroup
	f.mu.Lock()
	f.environments = slices.DeleteFunc(f.environments, func(e *environment) bool {
		e.isOver = true
		if !now(e) {
			return false
		}
		gone.Go(e.kill)
		return true
	})
	f.mu.Unlock()
	gone.Wait()
}

// Processes returns the ids of the function's processes that are there, without
// the emulators above them.
func (f *Function) Processes() (ids []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, env := range f.environments {
		if id := int(env.process.Load()); id != 0 && isChild(id, env.command.Process.Pid) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Close ends all environments and fails the invocations that are not done. No
// process is left when it returns.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Kill()
}

// errNotStarted says that a function could not be initialised.
var errNotStarted = &Error{TypeExit, "the process ended before it asked for work"}

// parseAnswer tells a function's answer from a failure by what the emulator
// makes of it: the error's JSON, with status 200 if the process lives on and
// 502 if it does not, or a sentence if the invocation took too long.
func parseAnswer(status int, body []byte) ([]byte, error) {
	var failure struct{ ErrorType, ErrorMessage *string }
	switch {
	case json.Unmarshal(body, &failure) == nil && failure.ErrorType != nil && failure.ErrorMessage != nil:
		return nil, &Error{*failure.ErrorType, *failure.ErrorMessage}
	case status != 200:
		return nil, errNotStarted
	case len(body) > 0 && !json.Valid(body):
		return nil, &Error{TypeTimeout, string(body)}
	}
	return body, nil
}

// NewTrace returns an X-Amzn-Trace-Id header for a new trace that is not
// sampled.
func NewTrace() string {
	id := make([]byte, 20)
	_, _ = rand.Read(id) // never fails
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), id[:12], id[12:])
}

// NewID returns a random UUID, the form of AWS request ids.
func NewID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
