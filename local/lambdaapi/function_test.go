package lambdaapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/lambdaapi"
)

var program, rie string // the test function, and the emulator

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if rie, err = emulator.RuntimeInterface(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "lambdaapi")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "function")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/function").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w\n%s", err, out)
	}
	return m.Run(), nil
}

type answer struct {
	Text     string
	Process  int
	Deadline time.Time
	Name     string
}

// function is a lambdaapi.Function of the test binary.
type function struct {
	*lambdaapi.Function
	log *bytes.Buffer
}

func newFunction(t *testing.T, change func(*lambdaapi.Config)) function {
	log := &bytes.Buffer{}
	config := lambdaapi.Config{
		Emulator: rie, Name: "tested", Program: program, Env: []string{"GIVEN=yes"},
		Memory: 512, Timeout: 20 * time.Second, Environments: 1, Log: log,
	}
	if change != nil {
		change(&config)
	}
	f := function{lambdaapi.New(config), log}
	t.Cleanup(f.Close)
	return f
}

func (f function) invoke(ctx context.Context, do, text string) (answer, error) {
	payload, err := json.Marshal(map[string]string{"do": do, "text": text})
	if err != nil {
		return answer{}, err
	}
	out, err := f.Invoke(ctx, payload, "")
	if err != nil {
		return answer{}, err
	}
	var a answer
	return a, json.Unmarshal(out, &a)
}

func TestInvoke(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, nil)
	before := time.Now()
	a, err := f.invoke(t.Context(), "", "hello")
	is.NoErr(err)
	is.Equal(a.Text, "hello")
	is.Equal(a.Name, "tested")                                // so does its name
	is.True(!a.Deadline.Before(before.Add(19 * time.Second))) // the deadline is the timeout from now
	is.True(!a.Deadline.After(time.Now().Add(20*time.Second + time.Second)))

	again, err := f.invoke(t.Context(), "", "again")
	is.NoErr(err)
	is.Equal(again.Process, a.Process) // a warm environment is used again
}

func TestFunctionErrorKeepsEnvironment(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, nil)
	first, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	_, err = f.invoke(t.Context(), "fail", "no such order")
	var failure *lambdaapi.Error
	is.True(errors.As(err, &failure)) // the function's error is told apart
	is.Equal(failure.Type, "errorString")
	is.Equal(failure.Message, "no such order")
	second, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.Equal(first.Process, second.Process) // it is not replaced
}

func TestCrashedEnvironmentIsReplaced(t *testing.T) {
	for do, kind := range map[string]string{"exit": lambdaapi.TypeExit, "panic": "string"} {
		t.Run(do, func(t *testing.T) {
			is := is.New(t)
			f := newFunction(t, nil)
			first, err := f.invoke(t.Context(), "", "")
			is.NoErr(err)
			_, err = f.invoke(t.Context(), do, "boom")
			var failure *lambdaapi.Error
			is.True(errors.As(err, &failure))
			is.Equal(failure.Type, kind)
			second, err := f.invoke(t.Context(), "", "")
			is.NoErr(err)                            // the next invocation works
			is.True(first.Process != second.Process) // in a new process
		})
	}
}

func TestTimeoutReplacesEnvironment(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, func(c *lambdaapi.Config) { c.Timeout = time.Second })
	first, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	_, err = f.invoke(t.Context(), "hang", "")
	var failure *lambdaapi.Error
	is.True(errors.As(err, &failure))
	is.Equal(failure.Type, lambdaapi.TypeTimeout)
	is.True(strings.HasSuffix(failure.Message, "Task timed out after 1.00 seconds")) // as Lambda says it
	is.Equal(f.log.String(), failure.Message+"\n")                                   // also in the log
	second, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.True(first.Process != second.Process)
}

func TestInitFailureFailsInvocation(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, func(c *lambdaapi.Config) { c.Env = []string{"BROKEN=1"} })
	for range 2 { // the second starts another environment, which fails as well
		_, err := f.invoke(t.Context(), "", "")
		var failure *lambdaapi.Error
		is.True(errors.As(err, &failure))
		is.Equal(failure.Type, lambdaapi.TypeExit)
	}
	f.Close()
	is.True(strings.HasPrefix(f.log.String(), "cannot start\n")) // what it wrote is kept
}

func TestScalesOutOnDemandUpToTheBound(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, func(c *lambdaapi.Config) { c.Environments = 3 })
	gate := filepath.Join(t.TempDir(), "gate")
	var mu sync.Mutex
	processes := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a, err := f.invoke(t.Context(), "wait", gate)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			processes[a.Process]++
		})
	}
	waitFor(t, gate, 3)
	is.NoErr(os.WriteFile(gate, nil, 0o600))
	wg.Wait()
	is.Equal(len(processes), 3) // no more processes than allowed
	total := 0
	for _, n := range processes {
		total += n
	}
	is.Equal(total, 8) // every invocation was answered
}

// waitFor waits until so many processes wait for a gate.
func waitFor(t *testing.T, gate string, n int) {
	t.Helper()
	for {
		waiting, err := filepath.Glob(gate + ".*")
		if err != nil || t.Context().Err() != nil {
			t.Fatal(err)
		}
		if len(waiting) >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestCallerThatGivesUp(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, nil)
	gate := filepath.Join(t.TempDir(), "gate")
	running := make(chan error, 1)
	go func() {
		_, err := f.invoke(context.Background(), "wait", gate)
		running <- err
	}()
	waitFor(t, gate, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.invoke(ctx, "", "")
	is.True(errors.Is(err, context.Canceled)) // while it waits
	is.NoErr(os.WriteFile(gate, nil, 0o600))
	is.NoErr(<-running) // the one that runs is not disturbed
	_, err = f.invoke(t.Context(), "", "")
	is.NoErr(err)
}

func TestEnvironmentIsWhatLambdaGives(t *testing.T) {
	is := is.New(t)
	t.Setenv("LEAKED", "from the parent")
	f := newFunction(t, nil)
	a, err := f.invoke(t.Context(), "env", "")
	is.NoErr(err)
	is.True(strings.Contains(a.Text, "GIVEN=yes"))
	is.True(strings.Contains(a.Text, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512"))
	is.True(!strings.Contains(a.Text, "LEAKED")) // nothing of the parent's environment
}

func TestKillAndClose(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, nil)
	a, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.Equal(f.Processes(), []int{a.Process})
	f.Kill()
	is.Equal(len(f.Processes()), 0)
	is.Equal(syscall.Kill(a.Process, 0), syscall.ESRCH) // killed: the process is gone
	b, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.True(a.Process != b.Process) // and replaced
	f.Close()
	is.Equal(syscall.Kill(b.Process, 0), syscall.ESRCH) // closed: nothing is left
	_, err = f.invoke(t.Context(), "", "")
	is.True(err != nil) // and nothing starts again
}

func TestReplace(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, func(c *lambdaapi.Config) { c.Environments = 2 })
	gate := filepath.Join(t.TempDir(), "gate")
	running := make(chan answer, 1)
	go func() {
		a, _ := f.invoke(context.Background(), "wait", gate)
		running <- a
	}()
	waitFor(t, gate, 1)
	idle, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)

	f.Replace()
	is.Equal(syscall.Kill(idle.Process, 0), syscall.ESRCH) // what is idle goes at once
	first, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.True(first.Process != idle.Process)
	is.NoErr(os.WriteFile(gate, nil, 0o600))
	old := <-running
	is.True(old.Process != 0)                             // what runs ends as it would have
	is.Equal(syscall.Kill(old.Process, 0), syscall.ESRCH) // and goes then
	again, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.Equal(again.Process, first.Process)
}

func TestProcessThatDiesIdle(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, nil)
	a, err := f.invoke(t.Context(), "", "")
	is.NoErr(err)
	is.NoErr(syscall.Kill(-a.Process, syscall.SIGKILL))
	for len(f.Processes()) > 0 && t.Context().Err() == nil { // its id may be somebody else's from now on
		time.Sleep(time.Millisecond)
	}
	f.Kill()
	b, err := f.invoke(t.Context(), "", "")
	is.NoErr(err) // by a new environment
	is.True(a.Process != b.Process)
}

func TestThrottlesAboveTheAccountLimit(t *testing.T) {
	is := is.New(t)
	f := newFunction(t, func(c *lambdaapi.Config) { c.Program = "/bin/cat" })
	var wg sync.WaitGroup
	throttled := make(chan struct{}, 1001)
	for range 1001 {
		wg.Go(func() {
			if _, err := f.Invoke(t.Context(), nil, ""); errors.Is(err, lambdaapi.ErrThrottled) {
				throttled <- struct{}{}
			}
		})
	}
	<-throttled
	f.Close()
	wg.Wait()
	is.Equal(len(throttled), 0) // only the one above a thousand
}
