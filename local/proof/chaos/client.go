package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/local/proof/world"
)

const (
	// street is on every billing address, and in no log.
	street = "17 Unlisted Lane"
	// payers is the group that may set payments, where there is one.
	payers = "payments"
	// unknownType is a type of events that no consumer serves.
	unknownType = "order.sent"
)

// The tenants. Half of all orders are the first one's, so that they get into
// each other's way.
func tenants() []string { return []string{"acme", "bloom", "cumulus", "dunes"} }

// marker is a text that stands in whatever belongs to a tenant, and in nothing
// else.
func marker(tenant string) string { return "Zz" + tenant + "zZ" }

// An actor is who makes a request.
type actor struct {
	client string // the sub
	tenant string
	groups []string
	email  string // verified, or ""
}

// name is who acts, as a history shows it.
func (a actor) name() string {
	if a.email != "" {
		return a.email
	}
	return a.client
}

// mayPay reports whether the actor may set what concerns payment.
func (a actor) mayPay(group string) bool {
	return group == "" || slices.Contains(a.groups, group) || slices.Contains(a.groups, "admin")
}

// A call is an API request of a client, and what came of it.
type call struct {
	inv    *invocation
	status int // 0 where the process died
	header map[string]string
	data   map[string]any
	code   string // of an error
}

// request calls an API role, and returns when there is an answer.
func (sim *simulation) request(a actor, role string, change func(*events.APIGatewayProxyRequest)) call {
	claims := map[string]any{
		"custom:tenantId": a.tenant,
		"sub":             a.client,
		"cognito:groups":  strings.Join(a.groups, ","),
	}
	if a.email != "" {
		claims["email"], claims["email_verified"] = a.email, "true"
	}
	event := events.APIGatewayProxyRequest{
		Headers:        map[string]string{},
		RequestContext: events.APIGatewayProxyRequestContext{Authorizer: map[string]any{"claims": claims}},
	}
	change(&event)
	payload, err := json.Marshal(event)
	if err != nil {
		sim.t.Fatal(err)
	}
	done := make(chan call)
	sim.turn(a.client, 0, func() {
		sim.invoke(role, payload, func(inv *invocation, r result) {
			c := call{inv: inv}
			var res events.APIGatewayProxyResponse
			if r.payload != nil {
				var body struct {
					Data map[string]any
					Code string
				}
				if json.Unmarshal(r.payload, &res) != nil || json.Unmarshal([]byte(res.Body), &body) != nil {
					sim.broken("%s answered %s", inv.name, r.payload)
				}
				c.status, c.header, c.data, c.code = res.StatusCode, res.Headers, body.Data, body.Code
			}
			inv.status, inv.replayed = c.status, c.header["Idempotent-Replayed"] != ""
			sim.count(strings.TrimSpace(fmt.Sprintf("%s %d %s", role, c.status, c.code)))
			sim.trace(fmt.Sprintf("%s answers %d", inv.name, c.status))
			done <- c
		})
	})
	return <-done
}

// turn does something in the scheduler after a while, in the name of a client.
func (sim *simulation) turn(client string, after time.Duration, do func()) {
	sim.enqueue(&step{name: "client " + client, from: time.Now().Add(after), do: do})
}

// pause lets a client wait for a while of virtual time.
func (sim *simulation) pause(client string, d time.Duration) {
	done := make(chan struct{})
	sim.turn(client, d, func() { close(done) })
	<-done
}

// startClients lets every client do its share of the orders, one after the
// other.
func (sim *simulation) startClients() {
	for c := range sim.o.Clients {
		go func() {
			for n := c; n < sim.o.Orders; n += sim.o.Clients {
				sim.order(n)
			}
		}()
	}
}

// A wish is one order that somebody wants.
type wish struct {
	number  int
	actor   actor
	cartID  string
	body    map[string]any
	key     string // Idempotency-Key, or ""
	posts   []call
	orderID string // of the first 202, or of another producer's message
	refused bool   // SES takes no mail for its customer
}

func (wi *wish) kind() string { return kindOf(wi.cartID) }

func (wi *wish) bad() bool { return wi.kind() != "good" }

// order does what a client does who wants an order.
func (sim *simulation) order(n int) {
	a := actor{client: fmt.Sprintf("c%d", n), groups: []string{payers}}
	r := sim.chance("client " + a.client)
	sim.pause(a.client, time.Duration(r.IntN(8))*grid)
	all := tenants()
	a.tenant = all[0]
	if r.IntN(2) == 0 {
		a.tenant = all[1+r.IntN(len(all)-1)]
	}
	kind, mailbox := "good", a.client
	if r.IntN(12) == 0 {
		kinds := slices.Sorted(maps.Keys(badCarts()))
		kind = kinds[r.IntN(len(kinds))]
	}
	wi := &wish{number: n, actor: a, cartID: fmt.Sprintf("cart-%s-%d", kind, n), refused: r.IntN(25) == 0}
	if wi.refused {
		mailbox = "refused-" + mailbox
	}
	wi.body = map[string]any{
		"customerEmail": fmt.Sprintf(
			"%s@%s.example",
			mailbox,
			marker(a.tenant),
		),
		"customerName": marker(a.tenant) + " customer",
		"cartId":       wi.cartID,
		"billingAddress": map[string]any{
			"street": street, "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA",
		},
	}
	if kind == "campaign" {
		wi.body["campaignCode"] = "NOTHERE"
	}
	sim.mu.Lock()
	sim.wishes = append(sim.wishes, wi)
	sim.mu.Unlock()
	switch p := r.IntN(100); {
	case p < 10:
		sim.produce(wi, r)
	case p < 55:
		wi.key = "key-" + a.client
		sim.post(wi, r)
	default:
		sim.post(wi, r)
	}
	if wi.orderID == "" || wi.bad() {
		return
	}
	if r.IntN(15) == 0 { // An operator deletes the order, some time.
		after := time.Duration(r.IntN([]int{20, 1800}[r.IntN(2)])) * time.Second
		sim.turn("operator of "+a.client, after, func() { sim.erase(a.tenant, wi.orderID) })
	}
	if r.IntN(2) == 0 {
		sim.change(wi, r)
	}
}

// erase deletes an order, as an operator does.
func (sim *simulation) erase(tenant, id string) {
	no := false
	sim.world.Table.Change(
		"TENANT#"+tenant,
		"ORDER#"+id,
		func(item world.Item) { item["active"] = world.Value{BOOL: &no} },
	)
}

// produce sends a creation message past the API, as other producers do, and
// sometimes noise beside it.
func (sim *simulation) produce(wi *wish, r *rand.Rand) {
	message := map[string]any{
		"tenantId":    wi.actor.tenant,
		"orderId":     fmt.Sprintf("%08x-0000-4000-8000-%012x", wi.number, r.Uint64()>>16),
		"orderNumber": "ORD-1999-00001",
		"dateCreated": "1999-12-31T23:15:00.000000Z", // Are not the message's to say.
	}
	maps.Copy(message, wi.body)
	wi.orderID, _ = message["orderId"].(string)
	body, err := json.Marshal(message)
	if err != nil {
		sim.t.Fatal(err)
	}
	send := func(q *world.Queue, body string, after time.Duration) {
		done := make(chan struct{})
		sim.turn(wi.actor.client, after, func() { q.Send(body); close(done) })
		<-done
	}
	send(sim.creation(), string(body), 0)
	if r.IntN(3) == 0 {
		send(sim.creation(), string(body), time.Duration(r.IntN(120))*time.Second)
	}
	switch r.IntN(6) {
	case 0:
		send(sim.creation(), fmt.Sprintf(`{"noise": %d`, wi.number), 0)
		sim.expectDead(sim.creation(), 1)
	case 1: // An event of an order that is not there goes away by itself.
		role := []string{"order_pdf_creator", "order_internal_notifier", customerMailer}[r.IntN(3)]
		send(
			sim.world.Queue(role),
			fmt.Sprintf(`{"eventType": "order.created", "tenantId": %q, "orderId": "%08x-0000-4000-9000-%012x"}`,
				wi.actor.tenant, wi.number, r.Uint64()>>16),
			0,
		)
	case 2:
		q := sim.world.Queue("order_pdf_creator")
		send(q, fmt.Sprintf(`[%d]`, wi.number), 0)
		sim.expectDead(q, 1)
	case 3: // A type that nobody knows.
		for _, s := range sim.sources {
			if s.role != recorder {
				send(
					s.queue,
					fmt.Sprintf(
						`{"eventType": "`+unknownType+`", "tenantId": %q, "orderId": %q}`,
						wi.actor.tenant,
						wi.orderID,
					),
					0,
				)
			}
		}
	}
}

// post places an order through the API and tries again where that fails.
func (sim *simulation) post(wi *wish, r *rand.Rand) {
	once := func(client string, change func(body map[string]any)) call {
		body := maps.Clone(wi.body)
		if change != nil {
			change(body)
		}
		text, err := json.Marshal(body)
		if err != nil {
			sim.t.Fatal(err)
		}
		a := wi.actor
		a.client = client
		return sim.request(a, "create_order", func(e *events.APIGatewayProxyRequest) {
			e.Body = string(text)
			if wi.key != "" {
				e.Headers["Idempotency-Key"] = wi.key
			}
		})
	}
	client := wi.actor.client
	if wi.key != "" && r.IntN(4) == 0 { // A double click.
		both := make(chan struct{})
		go func() {
			sim.posted(wi, once(client+"b", nil))
			close(both)
		}()
		sim.posted(wi, once(client, nil))
		<-both
	}
	for try := 0; wi.orderID == "" && try < 6; try++ {
		sim.pause(client, time.Duration(try)*time.Second)
		sim.posted(wi, once(client, nil))
	}
	if wi.key == "" || wi.orderID == "" {
		return
	}
	if r.IntN(3) == 0 {
		sim.pause(client, time.Duration(r.IntN(600))*time.Second)
		sim.posted(wi, once(client, nil))
	}
	if r.IntN(4) == 0 {
		c := once(client, func(body map[string]any) { body["customerName"] = marker(wi.actor.tenant) + " other" })
		if c.status < http.StatusInternalServerError && c.status != 0 && c.status != http.StatusUnprocessableEntity {
			sim.broken("order %s: its key with another body was answered %d", wi.orderID, c.status)
		}
	}
}

// posted notes the answer to a POST, and checks what can be checked at once.
func (sim *simulation) posted(wi *wish, c call) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	wi.posts = append(wi.posts, c)
	switch c.status {
	case http.StatusAccepted:
		id, _ := c.data["orderId"].(string)
		if wi.orderID == "" {
			wi.orderID = id
		}
	case 0, http.StatusInternalServerError:
	default:
		sim.report.Broken = append(
			sim.report.Broken,
			fmt.Sprintf("client %s: POST was answered %d %s", wi.actor.client, c.status, c.code),
		)
	}
}

// startRetries lets the clients whose key got no answer ask once more, now that
// faults have ended.
func (sim *simulation) startRetries() {
	for _, wi := range sim.wishes {
		if wi.key != "" && wi.orderID == "" {
			go sim.post(wi, sim.chance("retry "+wi.actor.client))
		}
	}
}

// startReuse lets clients use their keys again after more than a day: that makes
// new orders, although the table still has the keys.
func (sim *simulation) startReuse() {
	for i, wi := range slices.Clone(sim.wishes) {
		if wi.key == "" || wi.orderID == "" || i%10 != 0 || wi.bad() {
			continue
		}
		again := *wi
		again.actor.client, again.posts, again.orderID = wi.actor.client+"z", nil, ""
		sim.wishes = append(sim.wishes, &again)
		go func() {
			sim.post(&again, rand.New(rand.NewPCG(1, 1)))
			if again.orderID == wi.orderID {
				sim.broken("order %s: its key still answers it after days", wi.orderID)
			}
		}()
	}
}

// get reads an order that was accepted. It is never unknown before somebody
// deletes it, and always after.
func (sim *simulation) get(a actor, wi *wish) call {
	c := sim.request(a, "get_order", func(e *events.APIGatewayProxyRequest) {
		e.PathParameters = map[string]string{"orderId": wi.orderID}
	})
	gone, before := sim.deletion(wi.orderID)
	before = before && gone <= c.inv.since
	switch {
	case c.status == http.StatusOK && c.data["tenantId"] != wi.actor.tenant:
		sim.broken("order %s: GET shows it as %v's", wi.orderID, c.data["tenantId"])
	case c.status == http.StatusOK && before:
		sim.broken("order %s: GET shows it after it was deleted", wi.orderID)
	case c.status == http.StatusNotFound && gone == 0 && len(wi.posts) > 0 && a.tenant == wi.actor.tenant:
		sim.broken("order %s: GET was answered 404 after it was accepted", wi.orderID)
	}
	return c
}

// A change is a PUT of a client.
type change struct {
	orderID string
	actor   actor
	update  map[string]any // status, reason, paymentDetails
	ifMatch string
	call    call
}

// change lets two clients move an order on at once, once it is recorded.
func (sim *simulation) change(wi *wish, r *rand.Rand) {
	for range 20 {
		if c := sim.get(wi.actor, wi); c.data["items"] != nil || c.status == http.StatusNotFound {
			break
		}
		sim.pause(wi.actor.client, time.Duration(5+r.IntN(60))*time.Second)
	}
	done := make(chan struct{})
	for i := range 2 {
		r := rand.New(rand.NewPCG(r.Uint64(), 0))
		a := wi.actor
		a.client = fmt.Sprintf("%s u%d", wi.actor.client, i)
		switch r.IntN(5) {
		case 0:
			a.groups = nil
		case 1: // An administrator, who may be of another tenant.
			a.groups, a.tenant = []string{"admin"}, tenants()[r.IntN(len(tenants()))]
			a.email = "admin-" + strings.ReplaceAll(a.client, " ", "-") + "@kimmyai.example"
		}
		go func() {
			sim.changeAs(a, wi, r)
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

func (sim *simulation) changeAs(a actor, wi *wish, r *rand.Rand) {
	statuses := []string{
		"payment_pending",
		"paid",
		"paid",
		"processing",
		"completed",
		"cancelled",
		"refunded",
		"refunded",
	}
	for n := range 3 + r.IntN(6) {
		u := &change{orderID: wi.orderID, actor: a, update: map[string]any{}}
		if r.IntN(4) > 0 {
			u.update["status"] = statuses[r.IntN(min(len(statuses), 3+n))]
			if r.IntN(3) == 0 {
				u.update["reason"] = fmt.Sprintf("reason %d of %s", n, a.client)
			}
		}
		if r.IntN(2) == 0 || len(u.update) == 0 {
			u.update["paymentDetails"] = sim.payment(r)
		}
		if r.IntN(3) == 0 {
			if c := sim.get(a, wi); c.status == http.StatusOK {
				u.ifMatch = c.header["ETag"]
			}
		}
		body, err := json.Marshal(u.update)
		if err != nil {
			sim.t.Fatal(err)
		}
		u.call = sim.request(a, "update_order", func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"orderId": wi.orderID}
			e.Body = string(body)
			if u.ifMatch != "" {
				e.Headers["If-Match"] = u.ifMatch
			}
		})
		sim.mu.Lock()
		sim.changes[u.call.inv] = u
		sim.mu.Unlock()
		sim.pause(a.client, time.Duration(r.IntN(4))*grid)
	}
}

// payment returns details of one of few payments, so that two clients may tell
// of different ones.
func (sim *simulation) payment(r *rand.Rand) map[string]any {
	details := map[string]any{}
	for _, name := range []string{"method", "transactionId", "payfastPaymentId"} {
		if r.IntN(2) == 0 {
			details[name] = fmt.Sprintf("%s-%d", name, r.IntN(3))
		}
	}
	paidAt := newYearsEve().Add(time.Duration(r.IntN(48)-24) * time.Hour)
	if r.IntN(30) == 0 {
		paidAt = paidAt.AddDate(1, 0, 0)
	}
	details["paidAt"] = paidAt.Format("2006-01-02T15:04:05.000000Z")
	return details
}
