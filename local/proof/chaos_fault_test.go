package proof

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// A fault is a way in which a call goes wrong.
type fault string

// The faults.
const (
	broken      fault = "broken connection" // with or without effect
	timeout     fault = "timeout"           // no answer comes, with or without effect, or with a late one
	throttled   fault = "throttled"         // the service's own refusal
	serverError fault = "server error"      // 5xx, with or without effect
	slow        fault = "slow"              // the answer comes late, with the effect at once or late
	deadly      fault = "kills"             // the process dies, before or after the effect
	panics      fault = "panics"            // the handler does, likewise
	double      fault = "call twice"        // it arrives twice
)

// faultKinds are the faults of ordinary calls.
func faultKinds() []fault { return []fault{broken, timeout, throttled, serverError, slow} }

// An Outage is a time in which a neighbour, or one operation of it, takes no
// call.
type Outage struct {
	Of        string        // as the names of its calls begin: cart, ses, "sqs SendMessage"
	From, For time.Duration // from the beginning of the run
	Throttled bool          // it refuses every call for its load; else it is down
}

// outage returns the outage that a call meets now, or nil.
func (sim *simulation) outage(call *Call) *Outage {
	for i, o := range sim.o.Outages {
		if since := time.Since(sim.start) - o.From; 0 <= since && since < o.For && strings.HasPrefix(call.String(), o.Of) {
			return &sim.o.Outages[i]
		}
	}
	return nil
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
type transport struct{ e *instance }

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
	call     *Call
	who      string // which goroutine of the invocation makes it, or ""
	step     *step
	answered chan struct{}
	answer   Answer
	err      error
	panics   bool      // whoever made it, on its return
	took     bool      // effect
	mail     *SentMail // that SES took by it, or nil
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
	r := sim.chance(fmt.Sprintf("call %s %d", name, sim.calls[name]))
	kind, effect := sim.fate(p.call, r)
	if kind != "" {
		sim.Count(string(kind))
		sim.trace(p.step.name + ": " + string(kind))
		p.of.failing += p.call.Service + " "
	}
	if effect {
		p.carryOut()
	}
	switch kind {
	case deadly:
		p.of.kill()
		if sim.outlives(p.step) {
			sim.enqueue(p.step)
		}
	case panics:
		p.of.panicked, p.panics = true, true
		p.of.excused = p.of.excused || p.call.Operation == "ChangeMessageVisibilityBatch"
		close(p.answered)
	case broken:
		p.fail(&networkError{text: "read: connection reset by peer"})
	case throttled:
		p.refuse(Throttled, r.IntN(6))
	case serverError:
		p.refuse(ServerError, r.IntN(6))
	case timeout:
		if r.IntN(3) > 0 { // Else nothing ever comes: the caller must have a deadline.
			p.later(
				time.Duration(1+r.IntN(8))*time.Second,
				func() { p.fail(&networkError{text: "read: i/o timeout", timeout: true}) },
			)
		}
	case slow:
		p.later(time.Duration(1+r.IntN(20))*grid, p.reply)
	default:
		latency := sim.latency[p.call.Service]
		if n := int(sim.o.Latency / grid); n > 0 {
			latency = time.Duration(r.IntN(n+1)) * grid
		}
		p.later(latency, p.reply)
	}
}

// fate decides what becomes of a call: the fault, if it meets one, and whether
// it has its effect nevertheless, or before.
func (sim *simulation) fate(call *Call, r *rand.Rand) (kind fault, effect bool) {
	outage := sim.outage(call)
	dice, coin := r.Float64(), r.IntN(2) == 0
	switch {
	case sim.calm:
		sim.Count("calls without faults")
		return "", false
	case outage != nil && outage.Throttled:
		kind, coin = throttled, false
	case outage != nil:
		kind, coin = []fault{broken, timeout, serverError}[r.IntN(3)], false
	case dice < sim.o.Deadly:
		return deadly, coin
	case dice < sim.o.Deadly*6/5:
		return panics, coin
	case dice >= sim.o.Deadly*6/5+sim.o.Faulty:
		return "", false
	default:
		kinds := faultKinds()
		kind = kinds[r.IntN(len(kinds))]
	}
	if outage != nil {
		sim.denied()
	}
	return kind, coin && kind != throttled
}

// denied counts the calls of neighbours that take none, and how many of them
// come in one second.
func (sim *simulation) denied() {
	if second := time.Since(sim.start) / time.Second; second != sim.second {
		sim.second, sim.inSecond = second, 0
	}
	sim.inSecond++
	sim.peak = max(sim.peak, sim.inSecond)
	sim.Count("calls of neighbours that took none")
}

// under returns the calls that wait for their turn beside p.
func (sim *simulation) under(p *pending) (others []*Call) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, s := range sim.steps {
		if s.of != nil && s.call != nil && s.call != p && !s.call.took {
			others = append(others, s.call.call)
		}
	}
	return others
}

// later lets something happen after a while of virtual time, or at once.
func (p *pending) later(after time.Duration, do func()) {
	if after == 0 {
		do()
		return
	}
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
	if p.call.Service == "ses" && p.answer.Status == http.StatusTooManyRequests {
		sim.denied()
	}
	sim.carriedOut(p)
	sim.current = nil
	sim.trace(fmt.Sprintf("%s: %d", p.step.name, p.answer.Status))
}

func (p *pending) reply() {
	p.carryOut()
	p.sim.replied(p)
	close(p.answered)
}

func (p *pending) refuse(t Trouble, variant int) {
	p.answer = p.call.Refuse(t, variant)
	close(p.answered)
}

func (p *pending) fail(err error) {
	p.err = err
	close(p.answered)
}
