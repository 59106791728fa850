package main

import (
	"cmp"
	"context"
	"time"
)

// coldStart is what is measured of starting a program and its first invocation.
type coldStart struct {
	poll, first []time.Duration // to the first poll, and from the first event to its answer
	pollCPU     []time.Duration
	firstCPU    []time.Duration // of the whole
	peak        []int64
}

// A started is a program with the event of its first invocation.
type started struct {
	program string
	env     []string
	event   []byte
	figures coldStart
}

// cold measures from exec to the first poll, and the first invocation, for every
// role and the bare function.
func (b *bench) cold(ctx context.Context) error {
	bare := &started{program: b.bare, event: []byte("{}")}
	all, byRole := []*started{bare}, map[string][]*started{}
	for _, role := range b.roles {
		env, stop, err := b.serve(role)
		if err != nil {
			return err
		}
		defer stop()
		event, err := b.event(role)
		if err != nil {
			return err
		}
		for _, program := range b.programs() {
			s := &started{program: program, env: env, event: event}
			byRole[role] = append(byRole[role], s)
			all = append(all, s)
		}
	}
	for round := range b.rounds + 1 {
		b.say("cold starts: round %d of %d", round, b.rounds)
		for _, s := range all {
			if err := cmp.Or(
				ctx.Err(),
				s.measure(round > 0),
			); err != nil { // The first one fills the machine's caches.
				return err
			}
		}
	}
	b.printf(
		"\n### Cold start\n\n%s",
		b.heads("role", "exec → first poll", "CPU until then", "first invocation", "CPU of both"),
	)
	empty := bare.figures
	b.printf(
		"| *bare* | %s | %s | %s | %s |\n",
		milliseconds(median(empty.poll)),
		milliseconds(median(empty.pollCPU)),
		milliseconds(median(empty.first)),
		milliseconds(median(empty.firstCPU)),
	)
	for _, role := range b.roles {
		var polls, cpus, firsts, whole []time.Duration
		for _, s := range byRole[role] {
			polls, cpus = append(polls, median(s.figures.poll)), append(cpus, median(s.figures.pollCPU))
			firsts, whole = append(firsts, median(s.figures.first)), append(whole, median(s.figures.firstCPU))
		}
		b.printf("| %s | %s | %s | %s | %s |\n", role, against(polls), against(cpus), against(firsts), against(whole))
	}
	return nil
}

// measure starts the program twice: once only, and once for an invocation.
func (s *started) measure(keep bool) error {
	p, err := start(s.program, s.env)
	if err != nil {
		return err
	}
	u, err := p.stop()
	if err != nil {
		return err
	}
	f := s.figures
	f.poll, f.pollCPU = append(f.poll, p.FirstPoll), append(f.pollCPU, u.CPU)
	if p, err = start(s.program, s.env); err != nil {
		return err
	}
	took, err := p.invoke(s.event)
	u, stopErr := p.stop()
	if err = cmp.Or(err, stopErr); err != nil {
		return err
	}
	f.poll, f.first = append(f.poll, p.FirstPoll), append(f.first, took)
	f.firstCPU, f.peak = append(f.firstCPU, u.CPU), append(f.peak, u.Peak)
	if keep {
		s.figures = f
	}
	return nil
}
