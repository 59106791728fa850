package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
)

// What is kept. What is older can still be read through the API, in the logs
// and in the inbox.
const (
	maxOrders = 20_000 // in the list
	maxTraces = 500    // orders whose way is kept
	maxSteps  = 1_000  // attempts, calls and lines, each, of an order
	maxMails  = 1_000
)

// An Order is what the list shows of an order.
type Order struct {
	ID       string `json:"id"`
	Number   string `json:"number"`
	Tenant   string `json:"tenant"`
	State    string `json:"state"` // accepted, recorded or failed
	Status   string `json:"status"`
	Failure  string `json:"failure,omitempty"`
	Total    string `json:"total,omitempty"` // with the currency's decimals
	Currency string `json:"currency,omitempty"`
	Created  string `json:"created"`
	Place    int    `json:"place"` // in the order of being heard of

	updated string // the order's dateLastUpdated
	version int    // of the model when it changed last
	trace   *trace // nil if it is no longer kept
}

// A trace is an order's way.
type trace struct {
	Attempts []*attempt        `json:"attempts"`
	Calls    []call            `json:"calls"`
	Lines    []json.RawMessage `json:"lines"`
}

// An attempt is one message, change or request in one invocation. Its times are
// microseconds since 1970.
type attempt struct {
	ID       int    `json:"id"`
	Order    string `json:"order"`
	Role     string `json:"role"`
	Source   string `json:"source"` // queue, stream or api
	What     string `json:"what"`   // the event's type, or the request
	Message  string `json:"message,omitempty"`
	Receives string `json:"receives,omitempty"`
	Start    int64  `json:"start"`
	End      int64  `json:"end"`     // 0 while it runs
	Outcome  string `json:"outcome"` // running, done, failed, crashed or put off
	Error    string `json:"error,omitempty"`
	Wait     int64  `json:"wait,omitempty"` // milliseconds until the next attempt
	Body     string `json:"body,omitempty"` // of the message or the request

	event []byte // that invokes the role again with a change
}

// A call is a request of a role to a neighbour. Its times are microseconds
// since 1970.
type call struct {
	Role    string `json:"role"`
	Service string `json:"service"`
	Action  string `json:"action"`
	Start   int64  `json:"start"`
	End     int64  `json:"end"`
	Status  int    `json:"status"` // 0 for no answer
	Error   string `json:"error,omitempty"`
}

// A Mail is a mail that SES took.
type Mail struct {
	ID      string `json:"id"`
	Order   string `json:"order"`
	Role    string `json:"role"`
	Subject string `json:"subject"`
	To      string `json:"to"`
	At      int64  `json:"at"` // microseconds since 1970

	html, text string
	version    int
}

// A model is what the console knows. Whoever reads or writes its fields holds
// its lock.
type model struct {
	sync.Mutex
	orders   map[string]*Order
	list     []*Order            // oldest first
	traced   []*Order            // those with a trace
	attempts map[string]*attempt // the last one of a message or a change, by its id
	mails    []*Mail             // oldest first
	faults   []Fault
	queues   []stack.Queue
	saved    string // when templates and branding were saved

	version                                    int
	faultsVersion, queuesVersion, savedVersion int
	changed                                    chan struct{} // closed at the next change
	attemptID                                  int           // of the last one
}

func newModel() *model {
	return &model{
		orders: map[string]*Order{}, attempts: map[string]*attempt{}, faults: []Fault{}, changed: make(chan struct{}),
	}
}

// tell tells the pages that something has changed, and sets its version.
func (m *model) tell(version *int) {
	m.version++
	*version = m.version
	close(m.changed)
	m.changed = make(chan struct{})
}

// order returns what is known of an order, if only that there is one.
func (m *model) order(id string) *Order {
	o := m.orders[id]
	if o == nil {
		o = &Order{ID: id, State: "accepted", Status: "pending", Place: 1}
		if n := len(m.list); n > 0 {
			o.Place = m.list[n-1].Place + 1
		}
		m.orders[id] = o
		if m.list = append(m.list, o); len(m.list) > maxOrders {
			delete(m.orders, m.list[0].ID)
			m.list = slices.Delete(m.list, 0, 1)
		}
	}
	if o.trace == nil {
		o.trace = &trace{}
		if m.traced = append(m.traced, o); len(m.traced) > maxTraces {
			for _, a := range m.traced[0].trace.Attempts {
				delete(m.attempts, a.Message)
			}
			m.traced[0].trace = nil
			m.traced = slices.Delete(m.traced, 0, 1)
		}
	}
	return o
}

// keep appends to what is kept of an order.
func keep[T any](all []T, one T, most int) []T {
	if all = append(all, one); len(all) > most {
		all = slices.Delete(all, 0, most/2)
	}
	return all
}

// An event is what a role is invoked with, as far as it matters here.
type event struct {
	Records []json.RawMessage

	HTTPMethod, Path, Body string
	Headers                map[string]string
}

// A record is a message of a queue or a change of the table.
type record struct {
	MessageID  string
	Body       string
	Attributes map[string]string
	EventName  string
	DynamoDB   struct {
		SequenceNumber string
		NewImage       map[string]struct {
			S, N string
			L    []json.RawMessage
		}
	}
}

// invoked is told of an invocation, and of its end.
func (m *model) invoked(role string, payload []byte) func(answer []byte, err error) {
	var e event
	_ = json.Unmarshal(payload, &e) // what is no event has no records
	if e.HTTPMethod != "" {
		a := &attempt{
			Role: role, Source: "api", What: e.HTTPMethod + " " + e.Path, Body: e.Body, Start: time.Now().UnixMicro(),
		}
		return func(answer []byte, err error) {
			if role != "list_orders" && e.Headers[hidden] == "" {
				m.requested(a, answer, err)
			}
		}
	}
	m.Lock()
	defer m.Unlock()
	var begun []*attempt
	for _, raw := range e.Records {
		if a := m.received(raw); a != nil {
			a.Role = role
			m.begin(a)
			begun = append(begun, a)
		}
	}
	return func(answer []byte, err error) { m.ended(begun, answer, err) }
}

// hidden is the header of the requests by which a page reads an order: they are
// no part of its way.
const hidden = "X-Console"

// received returns the attempt that a record begins, nil for none.
func (m *model) received(raw json.RawMessage) *attempt {
	var r record
	var message struct{ OrderID, EventType string }
	switch {
	case json.Unmarshal(raw, &r) != nil:
		return nil
	case r.DynamoDB.NewImage != nil:
		return m.streamed(r, raw)
	case json.Unmarshal([]byte(r.Body), &message) != nil || message.OrderID == "":
		return nil
	}
	return &attempt{
		Order: message.OrderID, Source: "queue", What: cmp.Or(message.EventType, "create"), Message: r.MessageID,
		Receives: r.Attributes["ApproximateReceiveCount"], Body: r.Body,
	}
}

// streamed returns the attempt that a change of the table begins, nil for one of
// an order that is only accepted: nobody is told of it.
func (m *model) streamed(r record, raw json.RawMessage) *attempt {
	image := r.DynamoDB.NewImage
	text := func(name string) string { return image[name].S }
	recorded := len(image["history"].L) > 0
	o := m.order(text("id"))
	if updated := text("dateLastUpdated"); updated >= o.updated { // else it is older than what is known
		o.Tenant, o.Number, o.Created, o.updated = text("tenantId"), text("orderNumber"), text("dateCreated"), updated
		o.Status, o.Failure, o.Currency = text("status"), text("failureReason"), text("currency")
		if total, err := order.ParseMoney(image["total"].N, order.Currency(o.Currency)); err == nil {
			o.Total = total.String()
		}
		if recorded {
			o.State = "recorded"
		} else if o.Failure != "" {
			o.State = "failed"
		}
	}
	m.tell(&o.version)
	if !recorded {
		return nil
	}
	return &attempt{
		Order: o.ID, Source: "stream", What: strings.ToLower(r.EventName), Message: r.DynamoDB.SequenceNumber,
		event: slices.Concat([]byte(`{"Records":[`), raw, []byte(`]}`)),
	}
}

// begin adds an attempt to its order's way.
func (m *model) begin(a *attempt) {
	m.attemptID++
	a.ID, a.Outcome, a.Start = m.attemptID, "running", cmp.Or(a.Start, time.Now().UnixMicro())
	if a.Message != "" {
		m.attempts[a.Message] = a
	}
	o := m.order(a.Order)
	o.trace.Attempts = keep(o.trace.Attempts, a, maxSteps)
	m.tell(&o.version)
}

// ended takes the end of a batch.
func (m *model) ended(begun []*attempt, answer []byte, err error) {
	m.Lock()
	defer m.Unlock()
	later := false // a change that failed, or one behind it
	for _, a := range begun {
		failed := bytes.Contains(answer, []byte(`"`+a.Message+`"`)) // an id is in the answer only if its message failed
		later = later || failed && a.Source == "stream"
		m.end(a, failed || later, err)
	}
}

func (m *model) end(a *attempt, failed bool, err error) {
	a.End = time.Now().UnixMicro()
	var failure *lambdaapi.Error
	switch {
	case errors.As(err, &failure) && failure.Type == lambdaapi.TypeExit:
		a.Outcome, a.Error = "crashed", "the process ended"
	case err != nil:
		a.Outcome, a.Error = "failed", err.Error()
	case failed:
		a.Outcome = "failed"
	case a.Outcome == "running":
		a.Outcome = "done"
	}
	m.tell(&m.order(a.Order).version)
}

// requested takes a request to the API and its answer, which says, or the path
// does, which order it is about.
func (m *model) requested(a *attempt, answer []byte, err error) {
	var response events.APIGatewayProxyResponse
	var said struct {
		Message string
		Data    struct{ OrderID, ID string }
	}
	_ = json.Unmarshal(answer, &response) // if the function failed there is none
	_ = json.Unmarshal([]byte(response.Body), &said)
	m.Lock()
	defer m.Unlock()
	a.Order = cmp.Or(said.Data.OrderID, said.Data.ID)
	if asked := uuid.FindString(a.What); a.Order == "" && m.orders[asked] != nil {
		a.Order = asked
	}
	if a.Order == "" {
		return
	}
	m.begin(a)
	if response.StatusCode >= 400 {
		a.Error = said.Message
	}
	m.end(a, a.Error != "", err)
}

// logged takes a line of a role's log.
func (m *model) logged(line string) {
	var said struct {
		Message, OrderID, MessageID, SequenceNumber, Error, Reason string

		RetryInMs float64
	}
	if json.Unmarshal([]byte(line), &said) != nil || said.Message == "metrics" {
		return
	}
	m.Lock()
	defer m.Unlock()
	a := m.attempts[cmp.Or(said.MessageID, said.SequenceNumber)]
	if a != nil && said.Error != "" {
		a.Error, a.Wait = cmp.Or(said.Reason, said.Error), int64(said.RetryInMs)
		if said.Message == "message put off" {
			a.Outcome = "put off"
		}
	}
	if said.OrderID == "" && a != nil {
		said.OrderID = a.Order
	}
	if said.OrderID != "" {
		o := m.order(said.OrderID)
		o.trace.Lines = keep(o.trace.Lines, json.RawMessage(line), maxSteps)
		m.tell(&o.version)
	}
}

var (
	uuid   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	stored = regexp.MustCompile(`"ORDER#(` + uuid.String() + `)"`) // perhaps for the first time
)

// called takes a call of a role that is about orders: those that it names.
func (m *model) called(c call, request []byte) {
	m.Lock()
	defer m.Unlock()
	for _, found := range stored.FindAllSubmatch(request, -1) {
		m.order(string(found[1]))
	}
	told := map[string]bool{}
	for _, id := range uuid.FindAllString(string(request), -1) {
		if m.orders[id] != nil && !told[id] {
			told[id] = true
			o := m.order(id)
			o.trace.Calls = keep(o.trace.Calls, c, maxSteps)
			m.tell(&o.version)
		}
	}
}

// mailed takes a mail that SES took, as the request and the answer say it.
func (m *model) mailed(role string, request, answer []byte) {
	type text struct{ Data string }
	var mail struct {
		Destination struct{ ToAddresses []string }
		Content     struct {
			Simple struct {
				Subject text
				Body    struct{ HTML, Text text }
			}
		}
		EmailTags []struct{ Name, Value string }
	}
	var sent struct{ MessageID string }
	if json.Unmarshal(request, &mail) != nil || json.Unmarshal(answer, &sent) != nil {
		return
	}
	simple := mail.Content.Simple
	one := &Mail{
		ID: sent.MessageID, Role: role, Subject: simple.Subject.Data, To: strings.Join(mail.Destination.ToAddresses, ", "),
		At: time.Now().UnixMicro(), html: simple.Body.HTML.Data, text: simple.Body.Text.Data,
	}
	for _, tag := range mail.EmailTags {
		if tag.Name == "orderId" {
			one.Order = tag.Value
		}
	}
	m.Lock()
	defer m.Unlock()
	m.mails = keep(m.mails, one, maxMails)
	m.tell(&one.version)
}

const pageSize = 50

// page returns the orders that have a text in their number, id, tenant or
// status, newest first, from before a place on.
func (m *model) page(text string, before int) map[string]any {
	found, more := []Order{}, false
	for _, o := range slices.Backward(m.list) {
		said := strings.ToLower(strings.Join([]string{o.Number, o.ID, o.Tenant, o.Status, o.State}, " "))
		if before > 0 && o.Place >= before || !strings.Contains(said, strings.ToLower(text)) {
			continue
		}
		if more = len(found) == pageSize; more {
			break
		}
		found = append(found, *o)
	}
	return map[string]any{"orders": found, "more": more, "total": len(m.list)}
}

// since returns what is new since a version, and the version now.
func (m *model) since(version int) (now int, news map[string]any) {
	m.Lock()
	defer m.Unlock()
	news = map[string]any{}
	if version == 0 {
		news = m.page("", 0)
	} else {
		orders := []Order{}
		for _, o := range m.list {
			if o.version > version {
				orders = append(orders, *o)
			}
		}
		news["orders"] = orders
	}
	mails := []*Mail{}
	for _, mail := range m.mails[max(0, len(m.mails)-2*pageSize):] {
		if mail.version > version {
			mails = append(mails, mail)
		}
	}
	news["mails"] = mails
	if m.faultsVersion > version || version == 0 {
		news["faults"] = m.faults
	}
	if m.queuesVersion > version {
		news["queues"] = m.queues
	}
	if m.savedVersion > version {
		news["saved"] = m.saved
	}
	return m.version, news
}
