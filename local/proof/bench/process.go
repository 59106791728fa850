package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"time"
)

const (
	answerTimeout = 20 * time.Second // far longer than anything here takes: a hung process ends the benchmark
	runtimeAPI    = "/2018-06-01/runtime/"
)

// A process is a Lambda function in one execution environment, behind the least
// of the Runtime API that lets it be timed.
type process struct {
	FirstPoll time.Duration // from starting the program to its first request for an invocation

	cmd    *exec.Cmd
	server *http.Server
	stdout bytes.Buffer

	polls   chan time.Time
	events  chan []byte
	answers chan result
	ended   chan struct{} // closed with the end of the process
	err     error         // of the process, then
}

type result struct {
	at   time.Time
	body []byte
	err  error
}

// launch starts a program and waits until it polls.
func launch(program string, env []string) (*process, error) {
	p := &process{
		polls:   make(chan time.Time, 1),
		events:  make(chan []byte),
		answers: make(chan result, 1),
		ended:   make(chan struct{}),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.server = &http.Server{Handler: p.api(), ReadHeaderTimeout: time.Minute}
	go func() { _ = p.server.Serve(listener) }()

	p.cmd = exec.Command(program)
	p.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=bench",
		"AWS_LAMBDA_FUNCTION_VERSION=1",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
	}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stdout
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		_ = p.server.Close()
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	at, err := p.polled()
	if err != nil {
		p.stop()
		return nil, err
	}
	p.FirstPoll = at.Sub(begin)
	return p, nil
}

// polled waits until the process asks for an invocation.
func (p *process) polled() (time.Time, error) {
	select {
	case at := <-p.polls:
		return at, nil
	case <-p.ended:
		return time.Time{}, fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, p.err, p.stdout.Bytes())
	case <-time.After(answerTimeout):
		return time.Time{}, fmt.Errorf("%s does not poll", p.cmd.Path)
	}
}

// invoke hands an event to the process, waits for an answer that is a success,
// and then until it is idle again. It returns the time from the event to the
// answer, and what it took of the processors.
func (p *process) invoke(event []byte) (took, cpu time.Duration, err error) {
	cpu = p.cpu()
	begin := time.Now()
	p.events <- event
	select {
	case r := <-p.answers:
		if _, err := p.polled(); err != nil {
			return 0, 0, err
		}
		if r.err == nil {
			r.err = good(r.body)
		}
		if r.err != nil {
			return 0, 0, fmt.Errorf("%w\n%s", r.err, p.stdout.Bytes())
		}
		return r.at.Sub(begin), p.cpu() - cpu, nil
	case <-p.ended:
		return 0, 0, fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, p.err, p.stdout.Bytes())
	case <-time.After(answerTimeout):
		return 0, 0, fmt.Errorf("%s does not answer", p.cmd.Path)
	}
}

// cpu returns what the process has had of the processors so far.
func (p *process) cpu() time.Duration { return cpuTime(p.cmd.Process.Pid) }

// stop ends the process.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.server.Close()
}

// api serves the Runtime API.
func (p *process) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimeAPI+"invocation/next", func(w http.ResponseWriter, r *http.Request) {
		p.polls <- time.Now()
		select {
		case event := <-p.events:
			h := w.Header()
			h.Set("Lambda-Runtime-Aws-Request-Id", strconv.FormatInt(time.Now().UnixNano(), 36))
			h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(30*time.Second).UnixMilli(), 10))
			h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:bench")
			h.Set("Lambda-Runtime-Trace-Id", "Root=1-67719f28-3f1d2c4b5a69788796a5b4c3;Sampled=0")
			_, _ = w.Write(event)
		case <-r.Context().Done():
		}
	})
	answer := func(failed bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			at := time.Now()
			body, err := io.ReadAll(r.Body)
			if err == nil && failed {
				err = fmt.Errorf("the function failed: %s", body)
			}
			w.WriteHeader(http.StatusAccepted)
			p.answers <- result{at, body, err}
		}
	}
	mux.HandleFunc("POST "+runtimeAPI+"invocation/{id}/response", answer(false))
	mux.HandleFunc("POST "+runtimeAPI+"invocation/{id}/error", answer(true))
	return mux
}

// good says what is wrong with an answer: what fails fast would look fast.
func good(answer []byte) error {
	var a struct {
		StatusCode        int
		BatchItemFailures []any
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	if a.StatusCode >= 300 || len(a.BatchItemFailures) > 0 {
		return fmt.Errorf("the function failed: %s", answer)
	}
	return nil
}
