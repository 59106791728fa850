package lambdaapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startTimeout = 10 * time.Second // of the emulator, which takes milliseconds
	killTimeout  = 5 * time.Second
	dialPause    = 2 * time.Millisecond

	// pidMark begins the line by which a process of the function says its id.
	pidMark = "lambdaapi: process "
)

// An environment is an execution environment: a process of the emulator, and
// the function's process below it from the first invocation on.
type environment struct {
	command *exec.Cmd
	address string
	errors  bytes.Buffer
	gone    chan struct{} // closed when the emulator has ended, and its output is read
	process atomic.Int64  // id of the function's process, 0 before there is one

	// Under the lock of its function:
	idle   bool
	isOver bool // it begins no other invocation
}

// start starts an environment. The caller holds f.mu.
func (f *Function) start() (*environment, error) {
	front, back, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	env := &environment{address: front, gone: make(chan struct{})}
	variables := append(slices.Clone(f.config.Env),
		"AWS_LAMBDA_FUNCTION_NAME="+f.config.Name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(f.config.Memory),
		"AWS_LAMBDA_FUNCTION_TIMEOUT="+strconv.Itoa(int(f.config.Timeout.Seconds())),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "TZ=:UTC")
	if f.config.Launch != nil {
		env.command = f.config.Launch(front, back, variables)
	} else {
		env.command = f.launch(front, back, variables)
	}
	out, in := io.Pipe()
	env.command.Stdout = in
	env.command.Stderr = &env.errors
	env.command.SysProcAttr = processAttributes()
	env.command.WaitDelay = time.Second // if a grandchild keeps the output open
	if err := env.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = env.command.Wait() // it only ever ends by being killed, or says why
		_ = in.Close()
	}()
	go func() {
		f.read(env, out)
		close(env.gone)
	}()
	return env, nil
}

// launch returns the command of an environment without a container. The
// emulator keeps the id of the function's process to itself, and gives it a
// group of its own: so the process says its id before it becomes the program.
func (f *Function) launch(front, back string, env []string) *exec.Cmd {
	command := exec.Command(f.config.Emulator, append(Arguments(front, back),
		"/bin/sh", "-c", `echo "`+pidMark+`$$"; exec "$0"`, f.config.Program)...)
	command.Env = env
	return command
}

// Arguments returns the arguments with which the emulator listens at two
// addresses; the function's command follows them.
func Arguments(front, back string) []string {
	return []string{"--log-level", "fatal", "--runtime-interface-emulator-address", front, "--runtime-api-address", back}
}

// invoke sends the emulator a payload, as soon as it listens. An error that is
// no *Error means that the emulator does not answer.
func (e *environment) invoke(ctx context.Context, payload []byte, trace string) ([]byte, error) {
	if err := e.listening(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+e.address+"/2015-03-31/functions/function/invocations", bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amzn-Trace-Id", trace)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return parseAnswer(resp.StatusCode, body)
}

func (e *environment) listening(ctx context.Context) error {
	for late := time.After(startTimeout); ; {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-e.gone:
			return fmt.Errorf("the emulator ended: %s", strings.TrimSpace(e.errors.String()))
		case <-late:
			return fmt.Errorf("the emulator does not listen: %w", err)
		case <-time.After(dialPause):
		}
	}
}

// kill ends both processes and returns when they are gone.
func (e *environment) kill() {
	if process := int(e.process.Load()); process != 0 && isChild(process, e.command.Process.Pid) {
		_ = syscall.Kill(-process, syscall.SIGKILL) // it may be gone
		for end := time.Now().Add(killTimeout); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if errors.Is(syscall.Kill(process, 0), syscall.ESRCH) {
				break
			}
		}
	} else {
		_ = e.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-e.gone:
		case <-time.After(killTimeout):
		}
	}
	_ = e.command.Process.Kill()
	<-e.gone
}

// read takes what comes from both processes until they have ended: it passes
// the function's lines on and keeps the emulator's back.
func (f *Function) read(env *environment, out io.Reader) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		isReport := func(begin string) bool { return strings.HasPrefix(line, begin) }
		if id, ok := strings.CutPrefix(line, pidMark); ok {
			process, _ := strconv.ParseInt(strings.TrimSpace(id), 10, 64) // the shell wrote it
			env.process.Store(process)
		} else if !slices.ContainsFunc([]string{"START RequestId: ", "END RequestId: ", "REPORT RequestId: "}, isReport) {
			f.write(line)
		}
	}
}

// ports counts the ports that were given out: no environment is given one that
// another's emulator is about to take.
var ports atomic.Int64

// freeAddresses returns two loopback addresses where nobody listens. They are
// below the ports that the kernel gives to connections, which come and go: one
// of those could take the port before the emulator does.
func freeAddresses() (one, other string, err error) {
	const first, span, tries = 20_000, 12_000, 100
	var free []string
	for range tries {
		port := first + (64*int64(os.Getpid())+ports.Add(1))%span
		address := net.JoinHostPort(host(), strconv.FormatInt(port, 10))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = listener.Close()
		if free = append(free, address); len(free) == 2 {
			return free[0], free[1], nil
		}
	}
	return "", "", errors.New("no free port")
}
