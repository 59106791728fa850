package proof

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/local/emulator"
)

var (
	baseFlag = flag.String("base", "", "path of a binary that the benchmarks compare with")
	// Source: "Configure Lambda function memory" of the Lambda developer guide.
	vcpuFlag = flag.Int("vcpu", 1769, "MB of memory with which Lambda gives one processor")
)

// A bench is what benchmarks measure: cold starts and warm invocations on this
// machine, and what an order costs. "make bench" runs them in rounds, each binary
// beside the one that it is compared with, and benchstat prints the tables: a
// machine's own speed, and what else it does, change from run to run. AWS and the
// Cart API are a world in this process.
type bench struct {
	head, bare string // paths of the binary, and of a function that does nothing: the floor of every cold start
	config     map[string]deploy.Role
	life       []Scene // of one order
}

// newBench builds what is measured, as the Dockerfile does but for this machine,
// and takes an order through its life.
func newBench(tb testing.TB) *bench {
	tb.Helper()
	is := is.New(tb)
	root, err := emulator.Root()
	is.NoErr(err)
	dir := filepath.Join(root, ".cache", "bench")
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w",
		"-o", dir+"/", ".", "./local/proof/testdata/bare")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("go build: %v\n%s", err, out)
	}
	config, err := deploy.Roles()
	is.NoErr(err)
	return &bench{filepath.Join(dir, "order-lambda"), filepath.Join(dir, "bare"), config, scenes(tb)}
}

// firsts returns the first invocation of bare and of every role.
func (n *bench) firsts() []Scene {
	all := []Scene{{Step: Step{Role: "bare"}, Event: []byte("{}")}}
	for _, s := range n.life {
		if !slices.ContainsFunc(all, func(other Scene) bool { return other.Role == s.Role }) {
			all = append(all, s)
		}
	}
	return all
}

// inTurns measures a scene with the base, if there is one, and with the head;
// chance says which comes first. Bare is the same program in both turns: what
// differs there is noise.
func (n *bench) inTurns(b *testing.B, name string, s Scene, measure func(b *testing.B, binary, program string)) {
	for binary, program := range map[string]string{"base": *baseFlag, "head": n.head} {
		if program == "" {
			continue
		}
		if s.Role == "bare" {
			program = n.bare
		}
		b.Run(name+"/binary="+binary, func(b *testing.B) { measure(b, binary, program) })
	}
}

// figures are what was measured, by unit. Benchstat knows ns and B in units.
type figures map[string][]float64

func (f figures) add(unit string, value float64) { f[unit] = append(f[unit], value) }

// median returns the middle of what was measured, the later one of two.
func (f figures) median(unit string) float64 {
	sorted := slices.Sorted(slices.Values(f[unit]))
	return sorted[len(sorted)/2]
}

func (f figures) report(b *testing.B) {
	for unit := range f {
		b.ReportMetric(f.median(unit), unit)
	}
	b.ReportMetric(0, "ns/op") // is not shown
}

func TestMedian(t *testing.T) {
	is := is.New(t)
	f := figures{"unsorted": {9, 1, 5}, "two": {4, 1, 3, 2}}
	is.Equal(f.median("unsorted"), 5.0)
	is.Equal(f.median("two"), 3.0) // the later one of two
}

// BenchmarkCold measures the start and the first invocation of every role, with
// TLS and without.
func BenchmarkCold(b *testing.B) {
	n := newBench(b)
	newShare(b, *vcpuFlag)
	for _, scene := range n.firsts() {
		for _, protocol := range []string{"http", "https"} {
			name := "role=" + scene.Role + "/protocol=" + protocol
			n.inTurns(b, name, scene, func(b *testing.B, _, program string) {
				memory := cmp.Or(n.config[scene.Role].Memory, *vcpuFlag)
				s, f := serve(b, scene, memory, protocol == "https"), figures{}
				figures{}.cold(b, program, s, "") // fills the caches of the machine and of this process
				for b.Loop() {
					f.cold(b, program, s, newShare(b, memory)) // what the one before left is not its own
				}
				f.report(b)
			})
		}
	}
}

// cold starts a program and lets it answer one event. Until its first poll it
// has whole processors, then its share: so are the two phases of Lambda.
func (f figures) cold(tb testing.TB, program string, s *service, part share) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // takes no processor from it
	p := launch(tb, program, s)
	defer p.stop()
	f.add("ns-poll", float64(p.firstPoll))
	f.add("cpu-ns-poll", float64(p.cpu()))
	part.hold(p)
	took, cpu := p.invoke()
	f.add("ns-first", float64(took))
	f.add("cpu-ns-first", float64(cpu))
}

// TestColdStart shows that the bench works, with no share of a processor.
func TestColdStart(t *testing.T) {
	is := is.New(t)
	n := newBench(t)
	for i, program := range []string{n.bare, n.head} {
		f := figures{}
		f.cold(t, program, serve(t, n.firsts()[i], *vcpuFlag, true), "") // fails if the certificate is not trusted
		is.True(f.median("ns-poll") > 0)
		is.True(f.median("ns-first") > 0)
		is.Equal(f.median("cpu-ns-poll") > 0, runtime.GOOS == "linux")
		is.Equal(f.median("cpu-ns-first") > 0, runtime.GOOS == "linux")
	}
}

func TestBundle(t *testing.T) {
	// The image has five authorities, and the server's is one more.
	is.New(t).Equal(bytes.Count(bundle(t, []byte("server")), []byte("BEGIN CERTIFICATE")), 6)
}

// BenchmarkWarm measures warm invocations of every role, with whole processors
// and without TLS.
func BenchmarkWarm(b *testing.B) {
	n := newBench(b)
	for _, scene := range n.firsts()[1:] {
		n.inTurns(b, "role="+scene.Role, scene, func(b *testing.B, _, program string) {
			warm(b, program, serve(b, scene, n.config[scene.Role].Memory, false), "").report(b)
		})
	}
}

// warm measures invocations of a process, after a few that do not count.
func warm(b *testing.B, program string, s *service, part share) figures {
	p := launch(b, program, s)
	defer p.stop()
	part.hold(p)
	for range 10 {
		p.invoke()
	}
	f := figures{}
	for b.Loop() {
		took, cpu := p.invoke()
		f.add("ns-warm", float64(took))
		f.add("cpu-ns-warm", float64(cpu))
	}
	f.add("B-peak", p.peak())
	return f
}

// latency is how long a call to AWS is taken to last, beside what the function
// itself does. S3's is documented ("Best practices design patterns: optimizing
// Amazon S3 performance": 100 to 200 ms), the others are assumptions.
func latency(c *Call) time.Duration {
	switch {
	case c.Service == "s3":
		return 100 * time.Millisecond
	case c.Service == "dynamodb" && c.Operation == "TransactWriteItems":
		return 12 * time.Millisecond
	case c.Service == "dynamodb":
		return 5 * time.Millisecond
	case c.Service == "sqs", c.Service == "sns":
		return 20 * time.Millisecond
	default: // SES and the Cart API
		return 50 * time.Millisecond
	}
}

// billedWarm measures warm invocations as Lambda bills them: with TLS, with AWS at
// its distance, at the share of a processor that the memory buys.
func billedWarm(b *testing.B, program string, scene Scene, memory int) (f figures, took time.Duration) {
	part, s := newShare(b, memory), serve(b, scene, memory, true)
	s.Latency = latency
	f = warm(b, program, s, part)
	return f, time.Duration(f.median("ns-warm"))
}

// BenchmarkCost measures the invocations in the life of an order, and says what
// a million orders cost in eu-west-1, without free tiers. Not counted: storage
// and its backups, polls of empty queues, alarms and metrics, the access log,
// filters of SNS, data transfer.
func BenchmarkCost(b *testing.B) {
	n := newBench(b)
	newShare(b, *vcpuFlag)
	var steps []Step
	took := map[string][]time.Duration{}
	for i, scene := range n.life {
		steps = append(steps, scene.Step)
		n.inTurns(b, fmt.Sprintf("step=%02d %s", i+1, scene.Role), scene, func(b *testing.B, binary, program string) {
			f, d := billedWarm(b, program, scene, n.config[scene.Role].Memory)
			took[binary] = append(took[binary], d)
			f.report(b)
		})
	}
	for binary, took := range took {
		if len(took) < len(steps) {
			continue // Not all were asked for.
		}
		sum := 0.0
		for _, u := range uses(steps, took, n.config) {
			sum += u.Dollars()
			name := fmt.Sprintf("service=%s: %s, $ %.4g a million, %s",
				u.Service, u.Unit, u.Price, cmp.Or(u.Published, "unconfirmed"))
			b.Run(name+"/binary="+binary, figures{"units/order": {u.Amount}, "$/M-orders": {u.Dollars()}}.report)
		}
		b.Run("service=sum/binary="+binary, figures{"$/M-orders": {sum}}.report)
	}
}

// BenchmarkMemory measures what an invocation of the roles with the most work
// costs with other memory than they have: Lambda's part for a million.
func BenchmarkMemory(b *testing.B) {
	n := newBench(b)
	newShare(b, *vcpuFlag)
	most := []string{"order_internal_notifier", "customer_order_confirmation", "order_pdf_creator"}
	for _, scene := range n.firsts() {
		for _, memory := range []int{128, 256, 512, 1024, 1769} {
			if slices.Contains(most, scene.Role) {
				b.Run(fmt.Sprintf("role=%s/MB=%d", scene.Role, memory), func(b *testing.B) {
					f, took := billedWarm(b, n.head, scene, memory)
					f.add("cents/M", 100*compute(took, memory))
					f.report(b)
				})
			}
		}
	}
}
