package lambdaapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	apiVersion  = "/2018-06-01"
	maxResponse = 6 << 20 // bytes, Lambda's limit for a synchronous answer
	initTimeout = 10 * time.Second
)

// An environment is an execution environment: one process of the function and the Runtime API that it speaks to. It
// handles one invocation at a time.
type environment struct {
	function *Function
	command  *exec.Cmd
	server   *http.Server
	work     chan *invocation // holds the invocation until the process asks for it
	gone     chan struct{}    // closed when the process has ended and the function knows

	// Guarded by function.mu.
	ready     bool        // the process has asked for its first invocation
	doomed    bool        // it was ended and gets no further invocation
	current   *invocation // nil while idle
	timer     *time.Timer // of current
	initError *Error      // what the process said before it gave up

	killed sync.Once
}

// start starts an environment. The caller holds f.mu.
func (f *Function) start() (env *environment, err error) {
	address := f.config.APIAddress
	if address == "" {
		address = "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(context.Background()) // it outlives the invocation that it is started for
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	env = &environment{function: f, work: make(chan *invocation, 1), gone: make(chan struct{})}
	api := listener.Addr().String()
	arguments := f.config.Command
	bridge := func(context.Context) {}
	if f.config.RIE != "" {
		var front string
		if arguments, front, err = behindRIE(ctx, f.config.RIE, f.config.Command); err != nil {
			_ = listener.Close()
			return nil, err
		}
		bridge = func(ctx context.Context) { env.bridge(ctx, front) }
	}
	command := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	command.Env = append(append([]string(nil), f.config.Env...), f.variables(api)...)
	command.Stdout, command.Stderr = f.log, f.log
	command.SysProcAttr = processAttributes()
	command.WaitDelay = time.Second // if a grandchild keeps the output open
	env.command = command
	if err := command.Start(); err != nil {
		_ = listener.Close()
		return nil, err
	}
	env.server = &http.Server{
		Handler:           env.handler(),
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() { _ = env.server.Serve(listener) }()
	go bridge(ctx)
	late := time.AfterFunc(initTimeout, func() {
		f.mu.Lock()
		ready := env.ready
		if !ready && env.initError == nil {
			env.initError = newError("Sandbox.Timedout", fmt.Sprintf("Error: the init phase timed out after %.2f seconds", initTimeout.Seconds()))
		}
		f.mu.Unlock()
		if !ready {
			env.kill()
		}
	})
	go func() {
		reason := "exit status 0"
		if err := command.Wait(); err != nil {
			reason = err.Error()
		}
		late.Stop()
		cancel()
		_ = env.server.Close()
		f.ended(env, reason)
		close(env.gone)
	}()
	return env, nil
}

// variables returns the environment variables that Lambda sets by itself.
func (f *Function) variables(api string) []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"AWS_LAMBDA_FUNCTION_NAME=" + f.config.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.config.Memory),
		"AWS_LAMBDA_FUNCTION_TIMEOUT=" + strconv.Itoa(int(f.config.Timeout.Seconds())), // read by the RIE only
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + f.config.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=" + time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + NewID(),
		"TZ=:UTC",
	}
}

// kill ends the process and its children.
func (e *environment) kill() {
	e.killed.Do(func() { _ = syscall.Kill(-e.command.Process.Pid, syscall.SIGKILL) })
}

// handler serves the Runtime API.
func (e *environment) handler() http.Handler {
	f := e.function
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiVersion+"/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		inv, err := f.next(r.Context(), e)
		if err != nil {
			return // the process went away
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:"+f.config.Name)
		h.Set("Lambda-Runtime-Trace-Id", inv.trace)
		_, _ = w.Write(inv.payload)
	})
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		answer, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxResponse))
		switch {
		case err == nil:
			e.finish(w, r.PathValue("id"), answer, nil)
		case len(answer) >= maxResponse:
			e.finish(w, r.PathValue("id"), nil, newError("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes)."))
		default:
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		e.finish(w, r.PathValue("id"), nil, readError(r))
	})
	mux.HandleFunc("POST "+apiVersion+"/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		reported := readError(r)
		f.mu.Lock()
		e.initError = reported
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// finish passes on what the process answered to its current invocation.
func (e *environment) finish(w http.ResponseWriter, id string, answer []byte, failure *Error) {
	e.function.mu.Lock()
	inv := e.current
	e.function.mu.Unlock()
	if inv == nil || inv.id != id {
		http.Error(w, `{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}`, http.StatusBadRequest)
		return
	}
	if failure != nil {
		inv.finish(nil, failure)
	} else {
		inv.finish(answer, nil)
	}
	w.WriteHeader(http.StatusAccepted)
}

func readError(r *http.Request) *Error {
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if err != nil {
		return newError("Runtime.Unknown", err.Error())
	}
	return parseError(payload)
}

// lineWriter passes whole lines on, one at a time, whoever writes.
type lineWriter struct {
	mu   sync.Mutex
	w    io.Writer
	rest []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		if _, err := l.w.Write(l.rest[:end+1]); err != nil {
			return 0, err
		}
		l.rest = l.rest[end+1:]
	}
}
