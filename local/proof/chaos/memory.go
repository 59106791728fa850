package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/order"
)

// memory is what a run remembers in order to judge it.
type memory struct {
	wishes    []*wish
	changes   map[*invocation]*change
	history   map[string][]version       // of orders, by id
	versions  int                        // how many there are
	numbers   map[string]*invocation     // who took a number, by tenant and number
	claims    map[string]string          // when an order was claimed by a key
	events    map[string]publication     // by event id
	news      int                        // how many calls published
	mails     map[string][]*sentMail     // by order, role and entry
	deadNoise map[*world.Queue]int       // messages that belong in a dead-letter queue
	listed    map[string]map[string]bool // order ids by tenant, as list_orders shows them
	twice     int                        // documents that were made again
}

func newMemory() memory {
	return memory{
		changes: map[*invocation]*change{}, history: map[string][]version{}, numbers: map[string]*invocation{},
		claims: map[string]string{},
		events: map[string]publication{}, mails: map[string][]*sentMail{}, deadNoise: map[*world.Queue]int{},
		listed: map[string]map[string]bool{},
	}
}

// A version is an order's item as somebody left it.
type version struct {
	item   world.Item
	by     *invocation // nil for an operator
	serial int         // of all versions of all orders
}

func (v version) active() bool { return v.item["active"].BOOL != nil && *v.item["active"].BOOL }

// who names who made the version.
func (v version) who() string {
	if v.by == nil {
		return "an operator"
	}
	return v.by.name
}

func (v version) role() string {
	if v.by == nil {
		return ""
	}
	return v.by.role
}

// entries returns the history of an order's item.
func entries(item world.Item) []map[string]world.Value {
	var out []map[string]world.Value
	if list := item["history"].L; list != nil {
		for _, e := range *list {
			out = append(out, *e.M)
		}
	}
	return out
}

func textOf(m map[string]world.Value, name string) string { return world.Item(m).Text(name) }

// last returns an order's item as it stands.
func (sim *simulation) last(id string) world.Item {
	versions := sim.history[id]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1].item
}

// deletion returns when an order was deleted, as a number of versions.
func (sim *simulation) deletion(id string) (serial int, ok bool) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, v := range sim.history[id] {
		if !v.active() {
			return v.serial, true
		}
	}
	return 0, false
}

func (sim *simulation) expectDead(q *world.Queue, n int) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.deadNoise[q] += n
}

// written remembers what happens to orders and counters.
func (sim *simulation) written(before, after world.Item) {
	item := after
	if item == nil {
		item = before
	}
	tenant, isTenant := strings.CutPrefix(item.Text("PK"), "TENANT#")
	kind, rest, _ := strings.Cut(item.Text("SK"), "#")
	switch {
	case kind == "ORDER" && after == nil:
		if len(entries(before)) > 0 || sim.current != nil {
			sim.broken("order %s was removed", rest)
		}
	case kind == "ORDER":
		sim.mu.Lock()
		sim.versions++
		sim.history[rest] = append(sim.history[rest], version{after, sim.current, sim.versions})
		sim.mu.Unlock()
	case kind == "IDEMPOTENCY" && after != nil:
		sim.claims[after.Text("orderId")] = after.Text("dateCreated")
		if !sim.current.ran(after.Text("dateCreated")) {
			sim.broken("a key was claimed at %s, which is not when", after.Text("dateCreated"))
		}
	case kind == "COUNTER" && isTenant:
		n, _ := strconv.Atoi(after.Text("value"))
		if was, _ := strconv.Atoi(before.Text("value")); n != was+1 {
			sim.broken("the counter of %s went from %d to %d", tenant, was, n)
		}
		number := fmt.Sprintf("%s ORD-%s-%05d", tenant, strings.TrimPrefix(rest, "ORDER#"), n)
		if sim.numbers[number] != nil {
			sim.broken("%s was given out twice", number)
		}
		sim.numbers[number] = sim.current
	}
}

// sent remembers that a message that asks for an order says neither number nor
// time: they are the accepted item's.
func (sim *simulation) sent(m world.Message) {
	if sim.current != nil && sim.current.role == "create_order" &&
		(strings.Contains(m.Body, "orderNumber") || strings.Contains(m.Body, "dateCreated")) {
		sim.broken("a message says number or time: %s", m.Body)
	}
	if sim.current != nil && m.Group == "" && strings.Contains(m.Body, "tenantId") {
		sim.count("messages without a group")
	}
}

// A publication is what went out for an event.
type publication struct {
	first int // the call that published it first
	times int
}

// published remembers an event that SNS took. It notes one that
// tells of nothing, or tells it wrongly.
func (sim *simulation) published(message string) {
	var e order.Event
	if err := json.Unmarshal([]byte(message), &e); err != nil {
		sim.broken("an event that is no JSON: %s", message)
		return
	}
	item := sim.last(e.OrderID)
	history := entries(item)
	if e.Sequence < 1 || e.Sequence > len(history) || sim.current == nil || sim.current.role != recorder {
		sim.broken("an event that tells of nothing: %s", message)
		return
	}
	entry := history[e.Sequence-1]
	want := map[string]string{
		"eventId": fmt.Sprintf(
			"%s#%d",
			item.Text("id"),
			e.Sequence,
		),
		"eventType": textOf(entry, "type"),
		"version":   "1",
		"sequence":  strconv.Itoa(e.Sequence),
		"orderId":   item.Text("id"),
		"tenantId":  item.Text("tenantId"),
		"orderNumber": item.Text(
			"orderNumber",
		),
		"customerEmail": item.Text("customerEmail"),
		"status":        textOf(entry, "status"),
		"dateCreated":   item.Text("dateCreated"),
		"dateOccurred":  textOf(entry, "date"),
	}
	if trace := textOf(entry, "traceId"); trace != "" {
		want["traceId"] = trace
	}
	var got map[string]any
	_ = json.Unmarshal([]byte(message), &got) // As before.
	for name, v := range got {
		if fmt.Sprint(v) != want[name] {
			sim.broken("event %s has the %s %v, not %q", e.ID, name, v, want[name])
		}
	}
	if len(got) != len(want) || e.Type == order.EventMailFailed {
		sim.broken("event %s says %s", e.ID, message)
	}
	p := sim.events[e.ID]
	if p.times == 0 {
		p.first = sim.news
	}
	p.times++
	sim.events[e.ID] = p
}

// A sentMail is a mail that SES took.
type sentMail struct {
	order    string
	by       *invocation
	answered bool // the process learned of it
	noting   bool // the process tried to note it in the ledger
	known    bool // the ledger already had one
}

// mailTypes are the entries that a role has mails about, by the beginnings of
// their subjects (contract, section 10).
func mailTypes(role string) map[string]string {
	if role == "order_internal_notifier" {
		return map[string]string{
			"New Order Received": "order.created", "Order Paid": "order.paid", "Order Cancelled": "order.cancelled",
			"Order Refunded": "order.refunded",
		}
	}
	return map[string]string{
		"Order Confirmation": "order.created", "Payment Received": "order.paid", "Order Completed": "order.completed",
		"Order Cancelled": "order.cancelled", "Refund": "order.refunded",
	}
}

// carriedOut remembers what services took, at the moment when they did.
func (sim *simulation) carriedOut(p *pending) {
	c := p.call
	switch {
	case c.Service == "sns":
		sim.news++
	case c.Operation == "GetItem" && strings.Contains(c.Target, "|ORDER#"):
		tenant, id, _ := strings.Cut(c.Target, "|ORDER#")
		if versions := sim.history[id]; len(versions) > 0 && !versions[len(versions)-1].active() {
			p.of.deleted[id] = true
		}
		if p.of.role == "update_order" && sim.happens(sim.chance("operator "+p.step.name), 0.01) {
			sim.current = nil // Between the client's read and its write.
			sim.erase(strings.TrimPrefix(tenant, "TENANT#"), id)
		}
	case c.Service == "ses" && p.answer.Status == http.StatusOK:
		sim.mailTaken(p)
	}
}

func (sim *simulation) mailTaken(p *pending) {
	id := p.call.Mail.Tags["orderId"]
	subject, number, _ := strings.Cut(p.call.Mail.Subject, ": ")
	item := sim.last(id)
	sequence := 0
	for i, e := range entries(item) {
		if textOf(e, "type") == mailTypes(p.of.role)[subject] {
			sequence = i + 1
		}
	}
	if sequence == 0 || number != item.Text("orderNumber") {
		sim.broken("order %s: a mail %q by %s about nothing", id, p.call.Mail.Subject, p.of.name)
		return
	}
	ledger := sim.world.Table.Item(item.Text("PK"), fmt.Sprintf("MAIL#%s#%s#%d", id, p.of.role, sequence))
	p.mail = &sentMail{order: id, by: p.of, known: ledger.Text("messageId") != ""}
	key := fmt.Sprintf("%s %s %d", id, p.of.role, sequence)
	sim.mails[key] = append(sim.mails[key], p.mail)
	p.of.sent = append(p.of.sent, p.mail)
}

// tries remembers what a process tries, whatever comes of it, also if its time
// is over before the call has its turn: to note or give up a mail in the ledger,
// and to say when messages come again.
func (sim *simulation) tries(inv *invocation, c *world.Call) {
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
			m.noting = m.noting || m.order == id && m.answered
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
		sim.broken("%s began with a message although it was nearly at its end: %s", inv.name, c)
	}
	for id := range inv.deleted {
		if strings.Contains(c.Target, id) &&
			(c.Service == "ses" || c.Operation == "PutObject" || c.Operation == "TransactWriteItems") {
			sim.broken("order %s: %s goes on with %s although the order is deleted", id, inv.name, c)
		}
	}
	switch {
	case c.Service == "ses":
		sim.mu.Lock()
		inv.unknown[c.Mail.Tags["orderId"]] = true
		sim.mu.Unlock()
	case c.Operation == "PutObject":
		if before, ok := sim.world.Object(c.Target); ok {
			sim.twice++
			if !bytes.Equal(before.Body, c.Body) {
				sim.broken("%s was made again by %s with other bytes", c.Target, inv.name)
			}
		}
	}
}

// checkBatch: whoever sent a mail, or failed to, tells the ledger, so that nobody
// waits for him.
func (sim *simulation) checkBatch(inv *invocation) {
	for id := range inv.unknown {
		if !inv.panicked {
			sim.broken("order %s: %s neither noted its mail nor gave up its claim", id, inv.name)
		}
	}
}

// replied remembers that the process learned of a mail that SES took.
func (*simulation) replied(p *pending) {
	if p.mail != nil {
		p.mail.answered = true
	}
}
