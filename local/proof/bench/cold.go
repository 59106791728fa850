package main

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// A start is a program that is started again and again for one event.
type start struct {
	program string
	service *service
	event   []byte
	share   *share // after its first poll

	poll, pollCPU, first, firstCPU []time.Duration
}

// measure starts the program and lets it answer one event. Until its first poll
// it has whole processors, then its share: so are the two phases of Lambda.
func (s *start) measure(keep bool) error {
	s.service.reset()
	p, err := launch(s.program, s.service.env)
	if err != nil {
		return err
	}
	defer p.stop()
	pollCPU := p.cpu()
	if err := s.share.hold(p); err != nil {
		return err
	}
	first, firstCPU, err := p.invoke(s.event)
	if keep {
		s.poll, s.pollCPU = append(s.poll, p.FirstPoll), append(s.pollCPU, pollCPU)
		s.first, s.firstCPU = append(s.first, first), append(s.firstCPU, firstCPU)
	}
	return err
}

// chunks says how many chunks of the program's file a start touches, until the
// first poll and with the first invocation, when none is in memory.
func (s *start) chunks() string {
	count := func() (until, after int, err error) {
		if err := forget(s.program); err != nil {
			return 0, 0, err
		}
		s.service.reset()
		p, err := launch(s.program, s.service.env)
		if err != nil {
			return 0, 0, err
		}
		defer p.stop()
		until, err = touched(s.program)
		_, _, invokeErr := p.invoke(s.event)
		after, afterErr := touched(s.program)
		return until, after, cmp.Or(err, invokeErr, afterErr)
	}
	until, after, err := count()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d, %d", until, after)
}

// starts are those of one role: by program, without TLS and with.
type starts [][2]*start

// cold measures the start and the first invocation of every role, and of the
// bare function, with TLS and without.
func (b *bench) cold(ctx context.Context) error {
	whole, err := newShare(1)
	if err != nil {
		b.printf("\nCold starts are not measured, since processes cannot be held to a share: %v.\n", err)
		return nil
	}
	defer whole.remove()
	bare := &start{program: b.bare, service: &service{}, event: []byte("{}"), share: whole}
	all, byRole := []*start{bare}, map[string]starts{}
	for _, role := range b.roles() {
		memory := b.config[role].Memory
		part, err := newShare(float64(memory) / float64(b.vcpu))
		if err != nil {
			return err
		}
		defer part.remove()
		scene := b.first(role)
		for _, program := range b.programs() {
			var pair [2]*start
			for i, secure := range []bool{false, true} {
				service, err := b.serve(scene, memory, secure)
				if err != nil {
					return err
				}
				defer service.stop()
				pair[i] = &start{program: program, service: service, event: scene.Event, share: part}
				all = append(all, pair[i])
			}
			byRole[role] = append(byRole[role], pair)
		}
	}
	for round := range b.rounds + 1 {
		b.say("cold starts: round %d of %d", round, b.rounds)
		for _, s := range all { // The first round fills the machine's caches.
			if err := cmp.Or(ctx.Err(), s.measure(round > 0)); err != nil {
				return err
			}
		}
	}
	b.printColdStarts(bare, byRole)
	return nil
}

func (b *bench) printColdStarts(bare *start, byRole map[string]starts) {
	b.printf("\n### Start, with whole processors\n\n%s", b.heads(
		[]string{"exec → first poll", "CPU", "exec → first poll with TLS", "CPU"},
		"× bare", "× bare with TLS", "chunks until the poll, and with the first invocation"))
	poll := median(bare.poll)
	b.printf("| *bare* | %s | %s | | | 1 | | %s |\n",
		milliseconds(poll), milliseconds(median(bare.pollCPU)), bare.chunks())
	for _, role := range b.roles() {
		s := byRole[role]
		b.printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", role,
			s.compare(0, func(s *start) []time.Duration { return s.poll }),
			s.compare(0, func(s *start) []time.Duration { return s.pollCPU }),
			s.compare(1, func(s *start) []time.Duration { return s.poll }),
			s.compare(1, func(s *start) []time.Duration { return s.pollCPU }),
			ratio(median(s[0][0].poll), poll), ratio(median(s[0][1].poll), poll), s[0][1].chunks())
	}
	b.printf("\n### First invocation, at the share of a processor that the memory buys\n\n%s", b.heads(
		[]string{"without TLS", "CPU", "with TLS", "CPU"}, "MB", "× of TLS"))
	for _, role := range b.roles() {
		s := byRole[role]
		b.printf("| %s | %s | %s | %s | %s | %d | %s |\n", role,
			s.compare(0, func(s *start) []time.Duration { return s.first }),
			s.compare(0, func(s *start) []time.Duration { return s.firstCPU }),
			s.compare(1, func(s *start) []time.Duration { return s.first }),
			s.compare(1, func(s *start) []time.Duration { return s.firstCPU }),
			b.config[role].Memory, ratio(median(s[0][1].first), median(s[0][0].first)))
	}
}

// compare returns a figure of each program, without TLS (0) or with (1).
func (s starts) compare(tls int, figure func(*start) []time.Duration) string {
	var medians []time.Duration
	for _, pair := range s {
		medians = append(medians, median(figure(pair[tls])))
	}
	return against(medians...)
}
