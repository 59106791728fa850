package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// warmed is what is measured of a process that has had its first invocation.
type warmed struct {
	took []time.Duration
	cpu  []time.Duration // of an invocation
	peak []int64
}

// warmInvocations measures warm invocations of every role.
func (b *bench) warmInvocations(ctx context.Context) error {
	b.printf("\n### Warm invocation\n\n%s", b.heads("role", "time", "CPU"))
	for _, role := range b.roles {
		b.say("warm invocations: %s", role)
		event, err := b.event(role)
		if err != nil {
			return err
		}
		env, stop, err := b.serve(role)
		if err != nil {
			return err
		}
		figures := make([]warmed, len(b.programs()))
		for range max(1, b.rounds/4) {
			for i, program := range b.programs() {
				if err == nil {
					err = figures[i].measure(ctx, program, env, event, b.warm)
				}
			}
		}
		stop()
		if err != nil {
			return err
		}
		var took, cpu []time.Duration
		peaks := ""
		for _, f := range figures {
			took, cpu = append(took, median(f.took)), append(cpu, median(f.cpu))
			peaks += " " + megabytes(median(f.peak))
		}
		b.printf("| %s | %s | %s |\n", role, against(took), against(cpu))
		b.say("peak memory of %s:%s", role, peaks)
	}
	return nil
}

// measure runs two processes of n and 5n invocations, so that the difference of
// their CPU times is that of 4n warm ones.
func (w *warmed) measure(ctx context.Context, program string, env []string, event []byte, n int) error {
	var cpu [2]time.Duration
	for i := range cpu {
		p, err := start(program, env)
		if err != nil {
			return err
		}
		for k := range n * (i*4 + 1) {
			took, err := p.invoke(event)
			if err = cmp.Or(ctx.Err(), err); err != nil {
				_, _ = p.stop()
				return err
			}
			if k >= n/2 {
				w.took = append(w.took, took)
			}
		}
		u, err := p.stop()
		if err != nil {
			return err
		}
		cpu[i] = u.CPU
		if i == 1 {
			w.peak = append(w.peak, u.Peak)
		}
	}
	w.cpu = append(w.cpu, (cpu[1]-cpu[0])/time.Duration(4*n))
	return nil
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
