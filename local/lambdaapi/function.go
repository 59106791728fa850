// Package lambdaapi runs a command as AWS Lambda runs a function: it serves the Lambda Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), starts as many execution environments as there are
// invocations at a time, and replaces those that crash or exceed their timeout.
package lambdaapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// maxInvocations is how many invocations may run or wait at a time: the concurrency limit of a new AWS account.
const maxInvocations = 1000

// ErrThrottled is returned by Invoke if a thousand invocations are running or waiting.
var ErrThrottled = errors.New("rate exceeded")

// errClosed is returned by Invoke after Close.
var errClosed = errors.New("the function is closed")

// An Error is what Lambda calls a function error: the function said that it failed, crashed, or took too long.
type Error struct {
	Type    string // for example errorString, Runtime.ExitError or Sandbox.Timedout
	Message string
	Payload []byte // what Lambda's caller receives: JSON with errorType and errorMessage
}

// Types of an Error that the function did not report itself.
const (
	TypeExit    = "Runtime.ExitError"
	TypeTimeout = "Sandbox.Timedout"
)

func (e *Error) Error() string { return e.Type + ": " + e.Message }

func newError(kind, message string) *Error {
	payload, _ := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message}) // strings always marshal
	return &Error{Type: kind, Message: message, Payload: payload}
}

// parseError reads the JSON with which a runtime reports an error.
func parseError(payload []byte) *Error {
	var said struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(payload, &said); err != nil {
		said.ErrorMessage = string(payload)
	}
	return &Error{Type: said.ErrorType, Message: said.ErrorMessage, Payload: payload}
}

// Config describes a function.
type Config struct {
	Name    string
	Command []string      // the program and its arguments
	Env     []string      // its whole environment as KEY=value, except what Lambda sets by itself
	Memory  int           // MB. Told to the function, not enforced
	Timeout time.Duration // of one invocation
	Log     io.Writer     // receives the function's standard output and error in whole lines, one at a time

	// Environments is how many execution environments may exist at a time. More invocations wait.
	Environments int

	// APIAddress is where the Runtime API listens. Empty means a free port of 127.0.0.1 for each environment, which more
	// than one environment needs.
	APIAddress string

	// RIE is the path of the official Runtime Interface Emulator. If it is set, every environment runs the command
	// behind a process of it.
	RIE string
}

// A Function is a command that is invoked like a Lambda function. Its methods may be called concurrently.
type Function struct {
	config Config
	log    *lineWriter

	mu           sync.Mutex
	closed       bool
	environments map[*environment]struct{}
	idle         []*environment // wait in GET …/next, the last one that was used last
	waiting      []*invocation  // have no environment yet, oldest first
	running      int            // invocations that have an environment
}

// New returns a function without execution environments: the first invocation starts one.
func New(config Config) *Function {
	return &Function{config: config, log: &lineWriter{w: config.Log}, environments: map[*environment]struct{}{}}
}

// An invocation is one event on its way through an environment.
type invocation struct {
	id       string
	payload  []byte
	trace    string
	deadline time.Time // set when it gets an environment

	once   sync.Once
	done   chan struct{} // closed when answer and err are set
	answer []byte
	err    error
}

func (i *invocation) finish(answer []byte, err error) {
	i.once.Do(func() {
		i.answer, i.err = answer, err
		close(i.done)
	})
}

// Invoke runs the function on a payload and returns its answer. It waits for a free environment while ctx lasts; an
// invocation that began runs to its end even if ctx does not. The trace is an X-Amzn-Trace-Id header; if it is empty the
// invocation starts a trace. The error is an *Error if the function failed.
func (f *Function) Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error) {
	if trace == "" {
		trace = NewTrace()
	}
	inv := &invocation{id: NewID(), payload: payload, trace: trace, done: make(chan struct{})}
	f.mu.Lock()
	switch {
	case f.closed:
		f.mu.Unlock()
		return nil, errClosed
	case f.running+len(f.waiting) >= maxInvocations:
		f.mu.Unlock()
		return nil, ErrThrottled
	}
	if n := len(f.idle); n > 0 {
		env := f.idle[n-1]
		f.idle = f.idle[:n-1]
		f.assign(env, inv)
	} else {
		f.waiting = append(f.waiting, inv)
		f.scale()
	}
	f.mu.Unlock()

	select {
	case <-inv.done:
	case <-ctx.Done():
		f.mu.Lock()
		if i := slices.Index(f.waiting, inv); i >= 0 {
			f.waiting = slices.Delete(f.waiting, i, i+1)
		}
		f.mu.Unlock()
		return nil, ctx.Err()
	}
	return inv.answer, inv.err
}

// Environments returns the number of execution environments.
func (f *Function) Environments() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.environments)
}

// Kill ends all environments at once, as a fault of the machine under them would, and returns when their processes are
// gone. Invocations that they had fail. The next invocation starts a new environment.
func (f *Function) Kill() {
	f.mu.Lock()
	var ended []*environment
	for env := range f.environments {
		f.doom(env)
		ended = append(ended, env)
	}
	f.mu.Unlock()
	for _, env := range ended {
		<-env.gone
	}
}

// Close ends all environments and fails the invocations that are not done. No process is left when it returns.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	waiting := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for _, inv := range waiting {
		inv.finish(nil, errClosed)
	}
	f.Kill()
}

// scale starts environments for invocations that wait while none is starting for them. The caller holds f.mu.
func (f *Function) scale() {
	starting := 0
	for env := range f.environments {
		if !env.ready {
			starting++
		}
	}
	for ; starting < len(f.waiting) && len(f.environments) < f.config.Environments && !f.closed; starting++ {
		env, err := f.start()
		if err != nil {
			inv := f.waiting[0]
			f.waiting = f.waiting[1:]
			inv.finish(nil, newError(TypeExit, err.Error()))
			continue
		}
		f.environments[env] = struct{}{}
	}
}

// assign gives an invocation to an environment, and ends the environment if it takes too long. The caller holds f.mu.
func (f *Function) assign(env *environment, inv *invocation) {
	f.running++
	env.current = inv
	inv.deadline = time.Now().Add(f.config.Timeout)
	env.timer = time.AfterFunc(f.config.Timeout, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if env.current == inv { // else it was done just in time
			inv.finish(nil, newError(TypeTimeout, fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", inv.id, f.config.Timeout.Seconds())))
			f.doom(env)
		}
	})
	env.work <- inv
}

// doom ends an environment. It gets no invocation any more, though its process may take a moment to go. The caller
// holds f.mu.
func (f *Function) doom(env *environment) {
	env.doomed = true
	f.idle = slices.DeleteFunc(f.idle, func(e *environment) bool { return e == env })
	env.kill()
}

// release takes the current invocation from an environment. The caller holds f.mu.
func (f *Function) release(env *environment) *invocation {
	inv := env.current
	if inv != nil {
		env.timer.Stop()
		env.current = nil
		f.running--
	}
	return inv
}

// next returns the next invocation for an environment that has finished the one before.
func (f *Function) next(ctx context.Context, env *environment) (*invocation, error) {
	f.mu.Lock()
	env.ready = true
	f.release(env)
	switch {
	case env.doomed:
	case len(f.waiting) > 0:
		inv := f.waiting[0]
		f.waiting = f.waiting[1:]
		f.assign(env, inv)
	default:
		f.idle = append(f.idle, env)
	}
	f.mu.Unlock()

	select {
	case inv := <-env.work:
		return inv, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ended accounts for an environment whose process is gone, for the reason that is given.
func (f *Function) ended(env *environment, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.environments, env)
	f.idle = slices.DeleteFunc(f.idle, func(e *environment) bool { return e == env })
	inv := f.release(env)
	if inv == nil && !env.ready && len(f.waiting) > 0 {
		inv, f.waiting = f.waiting[0], f.waiting[1:] // the one that this environment was started for
	}
	if inv != nil {
		failure := env.initError
		if failure == nil {
			failure = newError(TypeExit, fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %s", inv.id, reason))
		}
		inv.finish(nil, failure)
	}
	f.scale()
}

// NewTrace returns an X-Amzn-Trace-Id header for a new trace that is not sampled.
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
