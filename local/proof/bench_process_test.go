package proof

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// A process is a Lambda function in one execution environment, behind the least
// of the Runtime API that lets it be timed.
type process struct {
	firstPoll time.Duration // from starting the program to its first request for an invocation

	tb      testing.TB
	service *service
	cmd     *exec.Cmd
	api     *httptest.Server
	output  bytes.Buffer

	events   chan []byte
	requests chan request
	ended    chan struct{} // closed with the end of the process
}

// A request is what a process asks of the Runtime API.
type request struct {
	at   time.Time
	name string // next, response or error
	body []byte
}

// launch starts a program and waits until it polls.
func launch(tb testing.TB, program string, s *service) *process {
	p := &process{
		tb: tb, service: s, cmd: exec.Command(program),
		events: make(chan []byte, 1), requests: make(chan request, 1), ended: make(chan struct{}),
	}
	p.api = httptest.NewServer(p)
	p.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + p.api.Listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=bench",
		"AWS_LAMBDA_FUNCTION_VERSION=1",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
	}, s.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	s.reset()
	begin := time.Now()
	is.New(tb).NoErr(p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // Its state says how it ended.
		close(p.ended)
	}()
	p.firstPoll = p.await("next").at.Sub(begin)
	return p
}

// await waits for the next request, which must be of that name.
func (p *process) await(name string) (r request) {
	p.tb.Helper()
	select {
	case r = <-p.requests:
		if r.name != name {
			p.fail(r.name + ": " + string(r.body))
		}
	case <-p.ended:
		p.fail("it ended")
	case <-time.After(20 * time.Second): // far longer than anything here takes
		p.fail("it hangs")
	}
	return r
}

// fail ends the process and the benchmark.
func (p *process) fail(why any) {
	p.tb.Helper()
	p.stop()
	p.tb.Fatalf("%s: %v, %v\n%s", p.cmd.Path, why, p.cmd.ProcessState, &p.output)
}

// stop ends the process.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	p.api.Close()
}

// invoke hands the event to the process, waits for an answer that is a success,
// and then until it is idle again. It returns the time from the event to the
// answer, and what it took of the processors.
func (p *process) invoke() (took, cpu time.Duration) {
	p.service.reset()
	cpu = p.cpu()
	begin := time.Now()
	p.events <- p.service.scene.Event
	answer := p.await("response")
	p.await("next")
	if err := good(answer.body); err != nil {
		p.fail(err)
	}
	return answer.at.Sub(begin), p.cpu() - cpu
}

// ServeHTTP implements the Runtime API.
func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, _ := io.ReadAll(r.Body) // What is cut off is no good answer.
	p.requests <- request{at, path.Base(r.URL.Path), body}
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusAccepted)
		return
	}
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

func TestGood(t *testing.T) {
	for answer, want := range map[string]bool{
		`{"statusCode":200}`:       true,
		`{"batchItemFailures":[]}`: true,
		`{"statusCode":404}`:       false,
		`{"batchItemFailures":[{"itemIdentifier":"message-1"}]}`: false,
		`no JSON`: false,
	} {
		is.New(t).Equal(good([]byte(answer)) == nil, want) // answer
	}
}

// peak returns the most memory that the process has had, in bytes. What the
// kernel says after its end would count the memory of the program that started
// it.
func (p *process) peak() (kilobytes float64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)) // only on Linux
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	_, _ = fmt.Sscanf(line, "%f kB", &kilobytes)
	return kilobytes * 1024
}

// cpu returns what the threads of the process have had of the processors so far.
func (p *process) cpu() (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid)) // only on Linux
	for _, file := range threads {
		text, _ := os.ReadFile(file) // none if it has ended
		first, _, _ := strings.Cut(string(text), " ")
		ns, _ := strconv.ParseInt(first, 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}

// A share is the directory of a control group of Linux whose processes get a
// part of a processor, as on Lambda; or "", which holds nothing.
type share string

// newShare makes the group that the memory buys, of the first version of
// control groups or the second. Without the right to do so it skips.
func newShare(tb testing.TB, memory int) share {
	const period = 20_000 // µs, as observed on Lambda
	quota := min(memory, *vcpuFlag) * period / *vcpuFlag
	root, settings := "/sys/fs/cgroup/cpu", map[string]any{"cpu.cfs_period_us": period, "cpu.cfs_quota_us": quota}
	if _, err := os.Stat(root); err != nil {
		root, settings = "/sys/fs/cgroup", map[string]any{"cpu.max": fmt.Sprint(quota, " ", period)}
	}
	dir, err := os.MkdirTemp(root, "order-lambda-bench-") //nolint:usetesting // A group is no directory of files.
	tb.Cleanup(func() { _ = os.Remove(dir) })
	for name, value := range settings {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), fmt.Append(nil, value), 0o600)
		}
	}
	if err != nil {
		tb.Skip("a process cannot be held to a share of a processor: ", err)
	}
	return share(dir)
}

// hold lets a process have no more than the share from now on.
func (s share) hold(p *process) {
	if s != "" {
		id := strconv.Itoa(p.cmd.Process.Pid)
		is.New(p.tb).NoErr(os.WriteFile(filepath.Join(string(s), "cgroup.procs"), []byte(id), 0o600))
	}
}

// A service is AWS and the Cart API, as a process sees them in a scene.
type service struct {
	*World
	scene Scene
	env   []string
}

// serve starts the world of a scene, behind a server for each service: they
// share no connection, as the services of AWS do not. With TLS the certificate
// is one more beside the authorities that the image trusts.
func serve(tb testing.TB, scene Scene, memory int, secure bool) *service {
	s := &service{World: newWorld(time.Now), scene: scene}
	env := s.Env(scene.Role)
	maps.Copy(env, map[string]string{
		"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_SESSION_TOKEN": "bench",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(memory),
	})
	start := func() *httptest.Server {
		server := httptest.NewUnstartedServer(s)
		tb.Cleanup(server.Close)
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		return server
	}
	for _, name := range []string{"DYNAMODB", "S3", "SESV2", "SNS", "SQS"} {
		env["AWS_ENDPOINT_URL_"+name] = start().URL
	}
	cart := start()
	if env["CART_LAMBDA_API_URL"] != "" {
		env["CART_LAMBDA_API_URL"] = cart.URL + "/v1.0/cart"
	}
	if secure {
		env["SSL_CERT_FILE"], env["SSL_CERT_DIR"] = filepath.Join(tb.TempDir(), "bundle.pem"), os.DevNull
		is.New(tb).NoErr(os.WriteFile(env["SSL_CERT_FILE"], bundle(tb, cart.Certificate().Raw), 0o600))
	}
	for name, value := range env {
		s.env = append(s.env, name+"="+value)
	}
	return s
}

// reset makes the table as it is before the scene.
func (s *service) reset() {
	s.Table.Reset()
	s.Table.Restore(s.scene.Items...)
}

// bundle returns the authorities that the image trusts, from where Debian has
// them, and one more.
func bundle(tb testing.TB, certificate []byte) (all []byte) {
	for _, name := range []string{
		"Amazon_Root_CA_1", "Amazon_Root_CA_2", "Amazon_Root_CA_3", "Amazon_Root_CA_4",
		"Starfield_Services_Root_Certificate_Authority_-_G2",
	} {
		content, err := os.ReadFile("/usr/share/ca-certificates/mozilla/" + name + ".crt")
		is.New(tb).NoErr(err)
		all = append(all, content...)
	}
	return append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})...)
}
