package main

import (
	"cmp"
	"context"
	"time"
)

// warmed is what is measured of a process that has had its first invocations.
type warmed struct {
	took, cpu []time.Duration // of an invocation
	peak      []int           // bytes of memory
}

// warmInvocations measures warm invocations of every role, with a whole
// processor and without TLS.
func (b *bench) warmInvocations(ctx context.Context) error {
	b.printf("\n### Warm invocation, with whole processors\n\n%s", b.heads([]string{"time", "CPU"}, "peak memory"))
	for _, role := range b.roles() {
		b.say("warm invocations: %s", role)
		scene := b.first(role)
		service, err := b.serve(scene, b.config[role].Memory, false)
		if err != nil {
			return err
		}
		figures := make([]warmed, len(b.programs()))
		for range max(1, b.rounds/4) {
			for i, program := range b.programs() {
				if err == nil {
					err = figures[i].measure(ctx, program, service, scene.Event, b.warm, nil)
				}
			}
		}
		service.stop()
		if err != nil {
			return err
		}
		var took, cpu []time.Duration
		for _, f := range figures {
			took, cpu = append(took, median(f.took)), append(cpu, median(f.cpu))
		}
		b.printf("| %s | %s | %s | %.1f MB |\n",
			role, against(took...), against(cpu...), float64(median(figures[0].peak))/1e6)
	}
	return nil
}

// measure starts a process, which gets a share of a processor if there is one
// given, and measures n invocations after a few that do not count.
func (w *warmed) measure(
	ctx context.Context, program string, s *service, event []byte, n int, part *share,
) error {
	p, err := launch(program, s.env)
	if err != nil {
		return err
	}
	defer p.stop()
	if part != nil {
		if err := part.hold(p); err != nil {
			return err
		}
	}
	for k := range n + n/4 + 1 {
		s.reset()
		took, cpu, err := p.invoke(event)
		if err = cmp.Or(ctx.Err(), err); err != nil {
			return err
		}
		if k > n/4 {
			w.took, w.cpu = append(w.took, took), append(w.cpu, cpu)
		}
	}
	w.peak = append(w.peak, peak(p.cmd.Process.Pid))
	return nil
}
