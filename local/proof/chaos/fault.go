package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/bbws/order-lambda/local/proof/promise"
	"github.com/bbws/order-lambda/local/proof/world"
)

// A fault is a way in which a call goes wrong.
type fault string

// The faults.
const (
	failBefore  fault = "fail before"  // the connection breaks, and the call has no effect
	failAfter   fault = "fail after"   // the connection breaks, but the call took effect
	timeout     fault = "timeout"      // no answer comes, with or without effect
	throttled   fault = "throttled"    // the service's own refusal
	serverError fault = "server error" // 5xx, with or without effect
	conflict    fault = "conflict"     // DynamoDB only: a concurrent transaction
	slow        fault = "slow"         // the answer comes late, with the effect at once or late
)

func faultKinds() []fault {
	return []fault{failBefore, failAfter, timeout, throttled, serverError, conflict, slow}
}

// A networkError is what a client sees of a connection that breaks, or that the
// network gives up. It has the form of net's own errors.
type networkError struct {
	text    string
	timeout bool
}

func (e *networkError) Error() string   { return e.text }
func (e *networkError) Timeout() bool   { return e.timeout }
func (e *networkError) Temporary() bool { return true }

// ConnectionError lets the SDK know that another try makes sense.
func (e *networkError) ConnectionError() bool { return true }

// transport is the network of one environment: every call waits for its turn,
// and may go wrong.
type transport struct{ e *environment }

// RoundTrip implements http.RoundTripper for the Cart API.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t.Do(req) }

// Do implements aws.HTTPClient.
func (t transport) Do(req *http.Request) (*http.Response, error) {
	sim := t.e.sim
	inv := t.e.invocation
	if inv == nil || inv.dead() {
		return nil, errKilled
	}
	call, err := sim.world.Read(req)
	if err != nil {
		sim.Broken("a call that nobody understands: %v", err)
		return nil, err
	}
	sim.tries(inv, call)
	p := &pending{sim: sim, of: inv, call: call, who: inv.caller(call), answered: make(chan struct{})}
	p.step = &step{name: inv.Name + " " + p.name(), from: time.Now(), of: inv, call: p, do: p.serve}
	sim.enqueue(p.step)
	select {
	case <-p.answered:
	case <-inv.died:
	case <-req.Context().Done():
		if inv.dead() {
			break // By the same act.
		}
		sim.dequeue(p.step)
		// What the process does next may be a pause with jitter, which must begin
		// on the grid in order to end between the same two of its moments.
		time.Sleep(time.Until(time.Now().Add(grid - 1).Truncate(grid)))
		return nil, req.Context().Err()
	}
	switch {
	case inv.dead():
		return nil, errKilled
	case p.panics:
		panic("a mistake in the handler")
	case p.err != nil:
		return nil, p.err
	}
	return p.answer.Response(req), nil
}

// A pending is a call on its way.
type pending struct {
	sim      *simulation
	of       *invocation
	call     *world.Call
	who      string // which goroutine of the invocation makes it, or ""
	step     *step
	answered chan struct{}
	answer   world.Answer
	err      error
	panics   bool          // whoever made it, on its return
	took     bool          // effect
	mail     *promise.Mail // that SES took by it, or nil
}

// name tells the call apart from others of its invocation that wait at the same
// time.
func (p *pending) name() string { return p.who + p.call.String() }

// serve decides what becomes of a call when its turn comes.
func (p *pending) serve() {
	sim := p.sim
	if p.of.dead() {
		return
	}
	sim.arrived(p)
	if p.call.Meet(sim.under(p)...) {
		sim.Count("conflicts of writes that met")
	}
	name := p.name()
	sim.calls[name]++
	sim.Count("calls")
	if sim.calm {
		sim.Count("calls without faults")
		p.reply()
		return
	}
	r := sim.chance(fmt.Sprintf("call %s %d", name, sim.calls[name]))
	if r.Float64() < sim.o.Deadly {
		if r.IntN(2) == 0 {
			p.carryOut()
		}
		sim.Count("kills")
		sim.trace(p.step.name + ": killed")
		p.of.kill()
		return
	}
	mistake := sim.chance(fmt.Sprintf("panic %s %d", name, sim.calls[name]))
	if sim.happens(mistake, sim.o.Deadly/5) {
		if mistake.IntN(2) == 0 {
			p.carryOut()
		}
		sim.Count("panics")
		sim.trace(p.step.name + ": panics")
		p.of.panicked, p.panics = true, true
		p.of.excused = p.of.excused || p.call.Operation == "ChangeMessageVisibilityBatch"
		close(p.answered)
		return
	}
	if r.Float64() >= sim.o.Faulty {
		p.reply()
		return
	}
	p.goWrong(r)
}

// goWrong lets the call go wrong in one of the ways.
func (p *pending) goWrong(r *rand.Rand) {
	sim := p.sim
	kinds := faultKinds()
	kind := kinds[r.IntN(len(kinds))]
	if kind == conflict &&
		(p.call.Service != "dynamodb" || p.call.Operation == "GetItem" || p.call.Operation == "Query") {
		kind = throttled
	}
	sim.Count(string(kind))
	sim.trace(p.step.name + ": " + string(kind))
	coin := r.IntN(2) == 0
	switch kind {
	case failBefore:
		p.fail(&networkError{text: "read: connection reset by peer"})
	case failAfter:
		p.carryOut()
		p.fail(&networkError{text: "read: connection reset by peer"})
	case throttled:
		p.refuse(world.Throttled, r.IntN(6))
	case conflict:
		p.refuse(world.Conflict, r.IntN(6))
	case serverError:
		if coin {
			p.carryOut()
		}
		p.refuse(world.ServerError, r.IntN(6))
	case timeout:
		if coin {
			p.carryOut()
		}
		if r.IntN(3) > 0 { // Else nothing ever comes: the caller must have a deadline.
			p.later(
				time.Duration(1+r.IntN(8))*time.Second,
				func() { p.fail(&networkError{text: "read: i/o timeout", timeout: true}) },
			)
		}
	case slow:
		if coin {
			p.carryOut()
		}
		p.later(time.Duration(1+r.IntN(20))*grid, p.reply)
	}
}

// under returns the calls that wait for their turn beside p.
func (sim *simulation) under(p *pending) (others []*world.Call) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, s := range sim.steps {
		if s.call != nil && s.call != p && !s.call.took {
			others = append(others, s.call.call)
		}
	}
	return others
}

func (p *pending) later(after time.Duration, do func()) {
	p.step.from, p.step.do = time.Now().Add(after), do
	p.sim.enqueue(p.step)
}

// carryOut lets the call take effect, once.
func (p *pending) carryOut() {
	if p.took {
		return
	}
	p.took = true
	sim := p.sim
	sim.current = p.of
	p.answer = p.call.Do()
	sim.carriedOut(p)
	sim.current = nil
	sim.trace(fmt.Sprintf("%s: %d", p.step.name, p.answer.Status))
}

func (p *pending) reply() {
	p.carryOut()
	p.sim.replied(p)
	close(p.answered)
}

func (p *pending) refuse(t world.Trouble, variant int) {
	p.answer = p.call.Refuse(t, variant)
	close(p.answered)
}

func (p *pending) fail(err error) {
	p.err = err
	close(p.answered)
}
