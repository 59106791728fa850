package proof

import (
	"bytes"
	"net/http"
	"strings"
	"time"
)

// memory is what a run remembers in order to judge it, beside its account.
type memory struct {
	news      int                             // how many calls published
	deadNoise map[*Queue]int                  // messages that belong in a dead-letter queue
	gaveUp    map[string]*invocation          // to whom a creation was delivered for the last time, by order
	reached   map[string]map[string]time.Time // when an order came to a stage

	second         time.Duration // of the run, in which the last call was denied
	inSecond, peak int           // how many were in it, and in any
}

// silent reports whether an order is neither recorded nor deleted, and does not
// say that it failed.
func (sim *simulation) silent(id string) bool {
	item := sim.Last(id)
	_, gone := sim.Deletion(id)
	return item.Text("status") == "pending" && !gone && !isRecorded(item)
}

func (sim *simulation) expectDead(q *Queue, n int) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.deadNoise[q] += n
}

// written notes a change of an item, and what an order comes to by it.
func (sim *simulation) written(before, after Item) {
	var by *Run // nil for an operator
	if sim.current != nil {
		by = &sim.current.Run
	}
	sim.Written(before, after, by)
	if id := after.Text("id"); strings.HasPrefix(after.Text("SK"), "ORDER#") {
		sim.reach(id, "accepted")
		if isRecorded(after) {
			sim.reach(id, "recorded")
		}
		if d := after["documents"].M; d != nil && (*d)["pro_forma"].M != nil {
			sim.reach(id, "documented")
		}
	}
}

// sent remembers that a message that asks for an order says neither number nor
// time: they are the accepted item's.
func (sim *simulation) sent(m Message) {
	if sim.current != nil && sim.current.Role == "create_order" &&
		(strings.Contains(m.Body, "orderNumber") || strings.Contains(m.Body, "dateCreated")) {
		sim.Broken("a message says number or time: %s", m.Body)
	}
	if sim.current != nil && m.Group == "" && strings.Contains(m.Body, "tenantId") {
		sim.Count("messages without a group")
	}
}

// published remembers an event that SNS took. None but the recorder publishes.
func (sim *simulation) published(message string) {
	if sim.current == nil || sim.current.Role != recorder {
		sim.Broken("an event that is not the recorder's: %s", message)
	}
	sim.Published(message, sim.news)
}

// carriedOut remembers what services took, at the moment when they did.
func (sim *simulation) carriedOut(p *pending) {
	c := p.call
	switch {
	case c.Service == "sns":
		sim.news++
	case c.Operation == "GetItem" && strings.Contains(c.Target, "|ORDER#"):
		tenant, id, _ := strings.Cut(c.Target, "|ORDER#")
		if _, gone := sim.Deletion(id); gone {
			p.of.deleted[id] = true
		}
		if p.of.Role == "update_order" && sim.happens(sim.chance("operator "+p.step.name), 0.01) {
			sim.current = nil // Between the client's read and its write.
			sim.erase(strings.TrimPrefix(tenant, "TENANT#"), id)
		}
	case c.Service == "ses" && p.answer.Status == http.StatusOK:
		sim.mailTaken(p)
	}
}

func (sim *simulation) mailTaken(p *pending) {
	p.mail = &SentMail{Mail: *p.call.Mail, By: &p.of.Run, Late: p.of.dead()}
	sim.Sent(p.mail)
	p.mail.Known = sim.Noted(p.mail)
	if p.mail.Sequence == 1 {
		sim.reach(p.mail.Tags["orderId"], p.of.Role)
	}
	p.of.sent = append(p.of.sent, p.mail)
}

// tries remembers what a process tries, whatever comes of it, also if its time
// is over before the call has its turn: to note or give up a mail in the ledger,
// and to say when messages come again.
func (sim *simulation) tries(inv *invocation, c *Call) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	_, ledger, isLedger := strings.Cut(c.Target, "|MAIL#")
	switch {
	case c.Operation == "ChangeMessageVisibilityBatch":
		inv.delayed += c.Target
	case c.Operation == "UpdateItem" && isLedger:
		id, _, _ := strings.Cut(ledger, "#")
		delete(inv.unknown, id)
		for _, m := range inv.sent {
			m.Noting = m.Noting || m.Tags["orderId"] == id && m.Answered
		}
	}
}

// arrived looks at a call whose turn has come: a process must not work on
// messages when its time is nearly over, nor for an order that it knows is
// deleted; and what is made again has the bytes of the first time.
func (sim *simulation) arrived(p *pending) {
	inv, c := p.of, p.call
	if inv.late && c.Service != "sqs" {
		inv.late = false // Once is enough.
		sim.Broken("%s began with a message although it was nearly at its end: %s", inv.Name, c)
	}
	for id := range inv.deleted {
		if strings.Contains(c.Target, id) &&
			(c.Service == "ses" || c.Operation == "PutObject" || c.Operation == "TransactWriteItems") {
			sim.Broken("order %s: %s goes on with %s although the order is deleted", id, inv.Name, c)
		}
	}
	switch {
	case c.Service == "cart" && sim.silent(inv.last[c.Target]):
		sim.Broken("order %s: the work of its last delivery begins, and it does not say failed", inv.last[c.Target])
	case c.Service == "ses":
		sim.mu.Lock()
		inv.unknown[c.Mail.Tags["orderId"]] = true
		sim.mu.Unlock()
	case c.Operation == "PutObject":
		if before, ok := sim.world.Object(c.Target); ok {
			sim.Count("documents made again")
			if !bytes.Equal(before.Body, c.Body) {
				sim.Broken("%s was made again by %s with other bytes", c.Target, inv.Name)
			}
		}
	}
}

// checkBatch: whoever sent a mail, or failed to, tells the ledger, so that nobody
// waits for him.
func (sim *simulation) checkBatch(inv *invocation) {
	for id := range inv.unknown {
		if !inv.panicked {
			sim.Broken("order %s: %s neither noted its mail nor gave up its claim", id, inv.Name)
		}
	}
}

// replied remembers that the process learned of a mail that SES took.
func (*simulation) replied(p *pending) {
	if p.mail != nil {
		p.mail.Answered = true
	}
}
