package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

// Roles that write or send what others do not.
const (
	recorder       = "order_creator_record"
	documenter     = "order_pdf_creator"
	teamMailer     = "order_internal_notifier"
	customerMailer = "customer_order_confirmation"
)

// An Account holds what became of orders against what the service promises.
// Whoever drives the service, in a simulation or for real, keeps one of what
// clients asked for and were answered, of every version of each order, and of all
// that went out; Check then says which promises were broken. What is not known
// stays zero, and what would need it is not checked.
type Account struct {
	PaymentGroup string // whose members may set payments, "" for everybody
	Team         string // the address of the mails to the team
	Bucket       string // of the documents
	Links        string // how links to documents begin

	Wishes  []*Wish
	Changes map[*Run]*Change
	Listed  map[string]map[string]bool // order ids by tenant, as list_orders shows them
	Mails   []*SentMail                // in the order in which SES took them
	Objects map[string]Object          // by bucket and key
	Queues  []Leftover
	Lost    []string // events that were given up

	// Totals returns what a cart of a tenant costs.
	Totals func(tenant, cart string) (subtotal, tax, total string)
	// Order reads an order as the service's consumers do.
	Order func(tenant, id string) (order.Order, error)
	// Brand returns what a tenant's documents show of the supplier.
	Brand func(tenant string) (order.Supplier, invoice.Logo)

	mu       sync.Mutex
	counts   map[string]int
	broken   []string
	items    map[string]Item        // as they stand, by PK|SK
	history  map[string][]version   // of orders, by id
	versions int                    // how many there are
	numbers  map[string]bool        // that were taken, by tenant and number
	claims   map[string]string      // when an order was claimed by a key
	events   map[string]publication // by event id
}

// newAccount returns an empty account.
func newAccount() *Account {
	return &Account{
		Changes: map[*Run]*Change{}, Listed: map[string]map[string]bool{}, Objects: map[string]Object{},
		counts: map[string]int{}, items: map[string]Item{}, history: map[string][]version{},
		numbers: map[string]bool{}, claims: map[string]string{}, events: map[string]publication{},
	}
}

// Counts returns how often what happened, by name.
func (a *Account) Counts() map[string]int { return a.counts }

// Promises returns the promises that were found broken, sorted.
func (a *Account) Promises() []string { return slices.Sorted(slices.Values(a.broken)) }

// Count notes that something happened once more.
func (a *Account) Count(name string) { a.Add(name, 1) }

// Add notes that something happened n times.
func (a *Account) Add(name string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[name] += n
}

// Broken notes that a promise was not kept.
func (a *Account) Broken(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = append(a.broken, fmt.Sprintf(format, args...))
}

// A Run is one invocation of a role, as far as it is known.
type Run struct {
	Name   string
	Role   string
	Status int       // what an API role answered, 0 for nothing
	Died   bool      // its process was killed
	Start  time.Time // Zero is not known
	Began  time.Time // likewise, by its own clock
	Ended  time.Time // likewise
	Since  int       // how many versions of orders there were when it began, at least
	Until  int       // likewise when it ended, at most
}

// ran reports whether a time is one at which the invocation may have run.
func (r *Run) ran(at string) bool {
	t, err := time.Parse(time.RFC3339Nano, at)
	return err == nil && !t.Before(r.Began.Truncate(time.Microsecond)) && (r.Ended.IsZero() || !t.After(r.Ended))
}

// An Actor is who makes a request.
type Actor struct {
	Client string // the sub
	Tenant string
	Groups []string
	Email  string // verified, or ""
}

// name is who acts, as a history shows it.
func (a Actor) name() string {
	if a.Email != "" {
		return a.Email
	}
	return a.Client
}

// mayPay reports whether the actor may set what concerns payment.
func (a Actor) mayPay(group string) bool {
	return group == "" || slices.Contains(a.Groups, group) || slices.Contains(a.Groups, "admin")
}

// An Exchange is an API request of a client, and what came of it.
type Exchange struct {
	Run    *Run
	Status int // 0 where nothing came
	Header map[string]string
	Data   map[string]any
	Code   string // of an error
}

// Lost reports whether the answer does not tell what came of the call: none came,
// a neighbour failed, or the gateway gave up.
func (c Exchange) Lost() bool {
	return c.Status == 0 || c.Status == http.StatusInternalServerError || c.Status == http.StatusGatewayTimeout
}

// A Wish is one order that somebody wants. Its cart's id is cart-KIND-NUMBER,
// and its customer's address is its own.
type Wish struct {
	Actor   Actor
	CartID  string
	Body    map[string]any
	Key     string // Idempotency-Key, or ""
	Posts   []Exchange
	OrderID string // of the first 202, or of another producer's message
	Refused bool   // SES takes no mail for its customer
}

// wish notes the n-th wish, of an actor for an order of a kind of cart, and
// returns it.
func (a *Account) wish(n int, who Actor, kind string, refused bool) *Wish {
	mailbox := who.Client
	if refused {
		mailbox = "refused-" + mailbox
	}
	w := &Wish{Actor: who, CartID: fmt.Sprintf("cart-%s-%d", kind, n), Refused: refused}
	w.Body = map[string]any{
		"customerEmail": fmt.Sprintf("%s@%s.example", mailbox, marker(who.Tenant)),
		"customerName":  marker(who.Tenant) + " customer",
		"cartId":        w.CartID,
		"billingAddress": map[string]any{
			"street": street, "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA",
		},
	}
	if kind == "campaign" {
		w.Body["campaignCode"] = "NOTHERE"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Wishes = append(a.Wishes, w)
	return w
}

func (w *Wish) kind() string { return kindOf(w.CartID) }

// kindOf returns what kind of cart an id names: cart-KIND-NUMBER.
func kindOf(cartID string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(cartID, "cart-"), "-")
	return kind
}

// Bad reports whether the cart can never become an order.
func (w *Wish) Bad() bool { _, bad := badCarts()[w.kind()]; return bad }

// badCarts are the kinds of cart that can never become an order, with what the
// order then says.
func badCarts() map[string]string {
	return map[string]string{
		"missing":  "cart not found",
		"gone":     "cart not found",
		"refused":  "cart refused by the Cart API with 400",
		"foreign":  "cart belongs to another tenant",
		"empty":    "cart is empty",
		"campaign": "campaign is not on the cart",
		"range":    "cart amounts are out of range",
		"noise":    "",
	}
}

// tenants are those for whom orders are placed. Most are the first one's, so
// that they get into each other's way.
func tenants() []string { return []string{"acme", "bloom", "cumulus", "dunes"} }

// marker is a text that stands in whatever belongs to a tenant, and in nothing
// else.
func marker(tenant string) string { return "Zz" + tenant + "zZ" }

// street is on every billing address, and in no log.
const street = "17 Unlisted Lane"

// A Change is a PUT of a client.
type Change struct {
	OrderID string
	Actor   Actor
	Update  map[string]any // status, reason, paymentDetails
	IfMatch string
	Call    Exchange
}

// A Leftover is what is left of a consumer's queue.
type Leftover struct {
	Role       string
	Left, Dead []string // the bodies of its messages, and of those of its dead-letter queue
	Noise      int      // how many of the dead are about no order
}

// A version is an order's item as somebody left it.
type version struct {
	item   Item
	by     *Run // nil for an operator
	serial int  // of all versions of all orders
	at     time.Time
}

// indexLag is how late an index may be, in which administrators find orders of
// other tenants.
const indexLag = 10 * time.Second

func (v version) active() bool { return v.item["active"].BOOL != nil && *v.item["active"].BOOL }

// who names who made the version.
func (v version) who() string {
	if v.by == nil {
		return "an operator"
	}
	return v.by.Name
}

func (v version) role() string {
	if v.by == nil {
		return ""
	}
	return v.by.Role
}

// entriesOf returns the history of an order's item.
func entriesOf(item Item) []map[string]Value {
	var out []map[string]Value
	if list := item["history"].L; list != nil {
		for _, e := range *list {
			out = append(out, *e.M)
		}
	}
	return out
}

// documents returns the notes of an order's documents, by kind.
func documents(item Item) map[string]map[string]Value {
	out := map[string]map[string]Value{}
	if notes := item["documents"].M; notes != nil {
		for kind, note := range *notes {
			out[kind] = *note.M
		}
	}
	return out
}

func textOf(m map[string]Value, name string) string { return Item(m).Text(name) }

// text returns an item as JSON.
func text(item map[string]Value) string {
	data, _ := json.Marshal(item)
	return string(data)
}

// Last returns an order's item as it stands, nil if there is none.
func (a *Account) Last(id string) Item {
	a.mu.Lock()
	defer a.mu.Unlock()
	versions := a.history[id]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1].item
}

// Versions returns how many versions of orders there are.
func (a *Account) Versions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.versions
}

// Deletion returns when an order was deleted, as a number of versions.
func (a *Account) Deletion(id string) (serial int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, v := range a.history[id] {
		if !v.active() {
			return v.serial, true
		}
	}
	return 0, false
}

// Written notes a change of an item of the table: before and after are nil where
// there was or is none, and so is by for an operator.
func (a *Account) Written(before, after Item, by *Run) {
	item := after
	if item == nil {
		item = before
	}
	tenant, isTenant := strings.CutPrefix(item.Text("PK"), "TENANT#")
	kind, rest, _ := strings.Cut(item.Text("SK"), "#")
	a.mu.Lock()
	if a.items[item.Text("PK")+"|"+item.Text("SK")] = after; after == nil {
		delete(a.items, item.Text("PK")+"|"+item.Text("SK"))
	} else if kind == "ORDER" {
		a.versions++
		a.history[rest] = append(a.history[rest], version{after, by, a.versions, time.Now()})
	}
	a.mu.Unlock()
	switch {
	case kind == "ORDER" && after == nil && (len(entriesOf(before)) > 0 || by != nil):
		a.Broken("order %s was removed", rest)
	case kind == "IDEMPOTENCY" && after != nil:
		a.claims[after.Text("orderId")] = after.Text("dateCreated")
		if !by.ran(after.Text("dateCreated")) {
			a.Broken("a key was claimed at %s, which is not when", after.Text("dateCreated"))
		}
	case kind == "COUNTER" && isTenant:
		n, _ := strconv.Atoi(after.Text("value"))
		if was, _ := strconv.Atoi(before.Text("value")); n != was+1 {
			a.Broken("the counter of %s went from %d to %d", tenant, was, n)
		}
		number := fmt.Sprintf("%s ORD-%s-%05d", tenant, strings.TrimPrefix(rest, "ORDER#"), n)
		if a.numbers[number] {
			a.Broken("%s was given out twice", number)
		}
		a.numbers[number] = true
	}
}

// A publication is what went out for an event.
type publication struct {
	first int // the call that published it first
	times int
}

// Published notes an event that SNS took, and in which of all calls. It finds
// one that tells of nothing, or tells it wrongly.
func (a *Account) Published(message string, call int) {
	var e order.Event
	if err := json.Unmarshal([]byte(message), &e); err != nil {
		a.Broken("an event that is no JSON: %s", message)
		return
	}
	item := a.Last(e.OrderID)
	history := entriesOf(item)
	if e.Sequence < 1 || e.Sequence > len(history) {
		a.Broken("an event that tells of nothing: %s", message)
		return
	}
	entry := history[e.Sequence-1]
	want := map[string]string{
		"eventId": fmt.Sprintf("%s#%d", item.Text("id"), e.Sequence), "eventType": textOf(entry, "type"),
		"version": "1", "sequence": strconv.Itoa(e.Sequence), "orderId": item.Text("id"),
		"tenantId": item.Text("tenantId"), "orderNumber": item.Text("orderNumber"),
		"customerEmail": item.Text("customerEmail"), "status": textOf(entry, "status"),
		"dateCreated": item.Text("dateCreated"), "dateOccurred": textOf(entry, "date"),
	}
	if trace := textOf(entry, "traceId"); trace != "" {
		want["traceId"] = trace
	}
	var got map[string]any
	_ = json.Unmarshal([]byte(message), &got) // As before.
	for name, v := range got {
		if fmt.Sprint(v) != want[name] {
			a.Broken("event %s has the %s %v, not %q", e.ID, name, v, want[name])
		}
	}
	if len(got) != len(want) || e.Type == order.EventMailFailed {
		a.Broken("event %s says %s", e.ID, message)
	}
	p := a.events[e.ID]
	if p.times == 0 {
		p.first = call
	}
	p.times++
	a.events[e.ID] = p
}

// Events returns how many different events were published.
func (a *Account) Events() int { return len(a.events) }

// A SentMail is one that SES took.
type SentMail struct {
	Mail
	By       *Run
	Answered bool // the process learned of it
	Noting   bool // the process tried to note it in the ledger
	Known    bool // the ledger already had one
	Late     bool // its process was dead when SES took it

	Sequence int    // of the entry that it is about
	about    string // the order, the role and the sequence
}

// Sent notes that SES took a mail, and returns what its key in the ledger ends
// with. It finds one about nothing.
func (a *Account) Sent(m *SentMail) (about string) {
	id := m.Tags["orderId"]
	subject, number, _ := strings.Cut(m.Subject, ": ")
	item := a.Last(id)
	a.Mails = append(a.Mails, m)
	for i, e := range entriesOf(item) {
		if textOf(e, "type") == mailTypes(m.By.Role)[subject] {
			m.Sequence = i + 1
		}
	}
	if m.Sequence == 0 || number != item.Text("orderNumber") {
		a.Broken("order %s: a mail %q by %s about nothing", id, m.Subject, m.By.Name)
		return ""
	}
	m.about = fmt.Sprintf("%s#%s#%d", id, m.By.Role, m.Sequence)
	return m.about
}

// Noted reports whether the ledger shows a mail like m as sent.
func (a *Account) Noted(m *SentMail) bool {
	return a.item("TENANT#"+m.Tags["tenantId"], "MAIL#"+m.about).Text("messageId") != ""
}

// mailTypes are the entries that a role has mails about, by the beginnings of
// their subjects (contract, section 10).
func mailTypes(role string) map[string]string {
	if role == teamMailer {
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

// Logged notes what the metrics in a line of a role's log count. It finds what
// is personal.
func (a *Account) Logged(line []byte) {
	if bytes.Contains(line, []byte("@")) || bytes.Contains(line, []byte(street)) {
		a.Broken("personal data in the log: %s", line)
	}
	if bytes.Contains(line, []byte(`"_aws"`)) {
		var m struct{ Duplicates, MailFallbacks, MessagesDelayed, EventsPublished int }
		if err := json.Unmarshal(line, &m); err != nil {
			a.Broken("metrics that are no JSON: %s", line)
		}
		a.Add("duplicates suppressed", m.Duplicates)
		a.Add("mails without template", m.MailFallbacks)
		a.Add("messages put off", m.MessagesDelayed)
		a.Add("events published", m.EventsPublished)
	}
}

func (a *Account) item(pk, sk string) Item {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.items[pk+"|"+sk]
}

// sorted returns the keys of a map in their order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
