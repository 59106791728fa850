package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bbws/order-lambda/local/proof/bench/calls"
)

// invoicer is the role that does more than its calls.
const invoicer = "order_pdf_creator"

// warmed is what is measured of a process that has had its first invocation.
type warmed struct {
	took []time.Duration
	cpu  []time.Duration // of an invocation
	peak []int64
}

// warmInvocations measures warm invocations of every role against its floor: the same calls straight with the SDK. No call makes
// an invoice, so a floor that makes it is measured as well.
func (b *bench) warmInvocations(ctx context.Context) error {
	b.printf("\n### Warm invocation\n\n| role | time | floor | × floor | CPU | floor | × floor | allocations | floor | peak memory | floor |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	note := ""
	for _, role := range b.roles {
		b.say("warm invocations: %s", role)
		event, err := b.event(role)
		if err != nil {
			return err
		}
		env, stop, err := b.serve(role, 0)
		if err != nil {
			return err
		}
		var own, floor, rendering warmed
		for range max(1, b.rounds/4) {
			err = cmp.Or(own.measure(ctx, b.binary, env, event, b.warm), floor.measure(ctx, b.floor, env, event, b.warm))
			if err == nil && role == invoicer {
				err = rendering.measure(ctx, b.floor, append(slices.Clone(env), calls.Rendering+"=1"), event, b.warm)
			}
			if err != nil {
				break
			}
		}
		stop()
		if err != nil {
			return err
		}
		objects, objectsFloor, err := b.allocations(ctx, role, event)
		if err != nil {
			return err
		}
		took, cpu, tookFloor, cpuFloor := median(own.took), median(own.cpu), median(floor.took), median(floor.cpu)
		b.printf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", role, milliseconds(took), milliseconds(tookFloor), ratio(took, tookFloor),
			milliseconds(cpu), milliseconds(cpuFloor), ratio(cpu, cpuFloor), objects, objectsFloor, megabytes(median(own.peak)), megabytes(median(floor.peak)))
		if role == invoicer {
			note = fmt.Sprintf("\nThe floor of %s stores an invoice without making it. With one that makes it: CPU %s, × %s; time %s, × %s.\n", role,
				milliseconds(median(rendering.cpu)), ratio(cpu, median(rendering.cpu)), milliseconds(median(rendering.took)), ratio(took, median(rendering.took)))
		}
	}
	b.printf("%s", note)
	return nil
}

// measure runs two processes of n and 2n invocations, so that the difference of their CPU times is that of n warm ones.
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

// batches measures the largest batch that a role is given against one message, where every call to AWS takes a while.
func (b *bench) batches(ctx context.Context) error {
	const delay = 5 * time.Millisecond
	b.printf("\n### Largest batch against one message, AWS answering after %s\n\n| role | one message | batch of | takes | × one |\n|---|---|---|---|---|\n", delay)
	for _, role := range b.roles {
		if !b.config[role].IsConsumer() {
			continue
		}
		b.say("batches: %s", role)
		one, err := b.event(role)
		if err != nil {
			return err
		}
		size := b.config[role].BatchSize
		batch, err := repeat(one, size)
		if err != nil {
			return err
		}
		env, stop, err := b.serve(role, delay)
		if err != nil {
			return err
		}
		p, err := start(b.binary, env)
		if err != nil {
			stop()
			return err
		}
		var took [2][]time.Duration
		for k := range 2 * (b.rounds + 1) {
			var t time.Duration
			t, err = p.invoke([][]byte{one, batch}[k%2])
			if err = cmp.Or(ctx.Err(), err); err != nil {
				break
			}
			if k > 1 {
				took[k%2] = append(took[k%2], t)
			}
		}
		_, _ = p.stop()
		stop()
		if err != nil {
			return err
		}
		b.printf("| %s | %s | %d | %s | %s |\n", role, milliseconds(median(took[0])), size, milliseconds(median(took[1])), ratio(median(took[1]), median(took[0])))
	}
	return nil
}

// repeat makes a batch of n messages of an event with one.
func repeat(event []byte, n int) ([]byte, error) {
	var batch struct{ Records []map[string]any }
	if err := json.Unmarshal(event, &batch); err != nil {
		return nil, err
	}
	first := batch.Records[0]
	batch.Records = nil
	for i := range n {
		record := map[string]any{}
		for name, value := range first {
			record[name] = value
		}
		record["messageId"] = fmt.Sprint("message-", i)
		record["receiptHandle"] = fmt.Sprint("handle-", i)
		batch.Records = append(batch.Records, record)
	}
	return json.Marshal(batch)
}
