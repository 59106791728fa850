package main

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// wholeProcessor is the memory, in MB, for which Lambda gives a function one
// processor; below it gives the same part of one. Source: "Configure Lambda
// function memory" of the Lambda developer guide.
const wholeProcessor = 1769

// roots are the authorities that the image trusts, where Debian has them.
var roots = []string{
	"/usr/share/ca-certificates/mozilla/Amazon_Root_CA_?.crt",
	"/usr/share/ca-certificates/mozilla/Starfield_Services_Root_Certificate_Authority_-_G2.crt",
}

// firstOverTLS measures what the first invocation costs more where AWS is
// behind TLS; the other tables leave TLS out. After its first poll the process
// only gets the part of a processor that its memory buys. Lambda gives a
// function that starts more: observed, not documented.
func (b *bench) firstOverTLS(ctx context.Context) error {
	b.printf("\n### First invocation, at the share of a processor that the memory buys\n\n")
	all, err := newShare(1)
	if err != nil {
		b.printf("Not measured, since processes cannot be held to a share: %v.\n", err)
		return nil
	}
	all.remove()
	b.printf("| role | memory | without TLS | with TLS | × |\n|---|---|---|---|---|\n")
	for _, role := range b.roles {
		b.say("first invocations over TLS: %s", role)
		event, err := b.event(role)
		if err != nil {
			return err
		}
		memory := b.config[role].Memory
		part, err := newShare(min(1, float64(memory)/wholeProcessor))
		if err != nil {
			return fmt.Errorf("hold a process to its share of a processor: %w", err)
		}
		var took [2][]time.Duration
		for k := range 2 * (b.rounds + 1) {
			t, err := b.firstInvocation(ctx, role, event, part, k%2 == 1)
			if err != nil {
				return err
			}
			if k > 1 { // The first ones fill the machine's caches.
				took[k%2] = append(took[k%2], t)
			}
		}
		part.remove()
		plain, secure := median(took[0]), median(took[1])
		b.printf(
			"| %s | %d MB | %s | %s | %s |\n",
			role,
			memory,
			milliseconds(plain),
			milliseconds(secure),
			ratio(secure, plain),
		)
	}
	return nil
}

func (b *bench) firstInvocation(
	ctx context.Context,
	role string,
	event []byte,
	part *share,
	secure bool,
) (took time.Duration, err error) {
	serve := b.serve
	if secure {
		serve = b.serveTLS
	}
	env, stop, err := serve(role)
	if err != nil {
		return 0, err
	}
	defer stop()
	p, err := start(b.binary, env)
	if err != nil {
		return 0, err
	}
	if err = part.hold(p.cmd.Process.Pid); err == nil {
		took, err = p.invoke(event)
	}
	_, stopErr := p.stop()
	return took, cmp.Or(ctx.Err(), err, stopErr)
}

// serveTLS is serve with TLS, and with a certificate that the process finds
// among those of the image.
func (b *bench) serveTLS(role string) (env []string, stop func(), err error) {
	env, server, err := b.serveBy(httptest.NewTLSServer, role)
	if err != nil {
		return nil, nil, err
	}
	bundle := filepath.Join(filepath.Dir(b.bare), "certificates.pem")
	if err := writeBundle(bundle, server.Certificate().Raw); err != nil {
		server.Close()
		return nil, nil, err
	}
	return append(env, "SSL_CERT_FILE="+bundle, "SSL_CERT_DIR="+os.DevNull), server.Close, nil
}

// writeBundle writes the image's authorities and one more.
func writeBundle(file string, certificate []byte) error {
	var bundle []byte
	for _, pattern := range roots {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			bundle = append(bundle, content...)
		}
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	return os.WriteFile(file, append(bundle, block...), 0o600)
}

// A share is a control group of Linux whose processes get a part of a
// processor, as on Lambda.
type share struct{ dir string }

// newShare makes the group, of the second version of control groups or the
// first. It fails for lack of rights, or of Linux.
func newShare(part float64) (*share, error) {
	const period = 20_000 // µs
	quota := strconv.Itoa(int(part * period))
	v1, v2 := "/sys/fs/cgroup/cpu/order-lambda-bench", "/sys/fs/cgroup/order-lambda-bench"
	if err := os.Mkdir(v1, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
		return &share{v1}, errors.Join(
			os.WriteFile(filepath.Join(v1, "cpu.cfs_period_us"), []byte(strconv.Itoa(period)), 0o600),
			os.WriteFile(filepath.Join(v1, "cpu.cfs_quota_us"), []byte(quota), 0o600))
	}
	if err := os.Mkdir(v2, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &share{v2}, os.WriteFile(filepath.Join(v2, "cpu.max"), fmt.Appendf(nil, "%s %d", quota, period), 0o600)
}

// hold lets a process have no more than the share from now on.
func (s *share) hold(pid int) error {
	return os.WriteFile(filepath.Join(s.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
}

// remove ends the group; its processes must have ended.
func (s *share) remove() { _ = os.Remove(s.dir) }
