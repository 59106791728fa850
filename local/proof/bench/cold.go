package main

import (
	"cmp"
	"context"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// start is what is measured of starting a program and its first invocation.
type coldStart struct {
	poll, first []time.Duration // to the first poll, and from the first event to its answer
	pollCPU     []time.Duration
	firstCPU    []time.Duration // of the whole
	peak        []int64
}

// cold measures from exec to the first poll, and the first invocation, for every role and the bare function.
func (b *bench) cold(ctx context.Context) error {
	type variant struct {
		program string
		env     []string
		event   []byte
	}
	variants := map[string]variant{"": {b.bare, nil, []byte("{}")}}
	for _, role := range b.roles {
		env, stop, err := b.serve(role, 0)
		if err != nil {
			return err
		}
		defer stop()
		event, err := b.event(role)
		if err != nil {
			return err
		}
		variants[role] = variant{b.binary, env, event}
	}
	names := slices.Sorted(maps.Keys(variants)) // the bare function comes first
	starts := map[string]*coldStart{}
	for round := range b.rounds + 1 {
		b.say("cold starts: round %d of %d", round, b.rounds)
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			v := variants[name]
			s := &coldStart{}
			if starts[name] != nil {
				s = starts[name]
			}
			if err := s.measure(v.program, v.env, v.event); err != nil {
				return err
			}
			if round > 0 { // The first one fills the machine's caches.
				starts[name] = s
			}
		}
	}
	bare := starts[""]
	b.printf("\n### Cold start\n\n| role | exec → first poll | × bare | CPU until then | × bare | first invocation | CPU of both | peak memory |\n|---|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		s := starts[name]
		poll, cpu := median(s.poll), median(s.pollCPU)
		b.printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", cmp.Or(name, "*bare*"), milliseconds(poll), ratio(poll, median(bare.poll)),
			milliseconds(cpu), ratio(cpu, median(bare.pollCPU)), milliseconds(median(s.first)), milliseconds(median(s.firstCPU)), megabytes(median(s.peak)))
	}
	return nil
}

func (s *coldStart) measure(program string, env []string, event []byte) error {
	p, err := start(program, env)
	if err != nil {
		return err
	}
	u, err := p.stop()
	if err != nil {
		return err
	}
	s.poll, s.pollCPU = append(s.poll, p.FirstPoll), append(s.pollCPU, u.CPU)
	if p, err = start(program, env); err != nil {
		return err
	}
	took, err := p.invoke(event)
	u, stopErr := p.stop()
	if err = cmp.Or(err, stopErr); err != nil {
		return err
	}
	s.poll, s.first = append(s.poll, p.FirstPoll), append(s.first, took)
	s.firstCPU, s.peak = append(s.firstCPU, u.CPU), append(s.peak, u.Peak)
	return nil
}

// traced is a line that GODEBUG=inittrace=1 makes the runtime print.
var traced = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes`)

// initialisation shows which packages take time before main, by the least of many runs.
func (b *bench) initialisation(ctx context.Context) error {
	type cost struct {
		clock float64
		bytes int64
	}
	costs := map[string]cost{}
	for range b.rounds {
		cmd := exec.CommandContext(ctx, b.binary) //nolint:gosec // the binary that is measured
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1", "ROLE=")
		out, _ := cmd.CombinedOutput() // It fails, since ROLE is missing.
		for _, m := range traced.FindAllSubmatch(out, -1) {
			clock, _ := strconv.ParseFloat(string(m[2]), 64)
			bytes, _ := strconv.ParseInt(string(m[3]), 10, 64)
			if c, ok := costs[string(m[1])]; !ok || clock < c.clock {
				costs[string(m[1])] = cost{clock, bytes}
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(costs), func(x, y string) int {
		return cmp.Or(cmp.Compare(costs[y].clock, costs[x].clock), cmp.Compare(x, y))
	})
	var all cost
	for _, c := range costs {
		all.clock, all.bytes = all.clock+c.clock, all.bytes+c.bytes
	}
	b.printf("\n### Before main: packages' initialisation\n\n| package | clock | allocated |\n|---|---|---|\n| *all %d* | %.2f ms | %d KB |\n", len(names), all.clock, all.bytes>>10)
	for _, name := range names[:min(12, len(names))] {
		b.printf("| %s | %.3f ms | %d KB |\n", name, costs[name].clock, costs[name].bytes>>10)
	}
	return nil
}
