package proof

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
)

const (
	// payers is the group that may set payments, where there is one.
	payers = "payments"
	// unknownType is a type of events that no consumer serves.
	unknownType = "order.sent"
)

// request calls an API role, and returns when there is an answer.
func (sim *simulation) request(a Actor, role string, change func(*events.APIGatewayProxyRequest)) Exchange {
	claims := map[string]any{
		"custom:tenantId": a.Tenant,
		"sub":             a.Client,
		"cognito:groups":  strings.Join(a.Groups, ","),
	}
	if a.Email != "" {
		claims["email"], claims["email_verified"] = a.Email, "true"
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
	done := make(chan Exchange)
	sim.turn(a.Client, 0, func() {
		answered := false
		answer := func(c Exchange) {
			sim.Count(strings.TrimSpace(fmt.Sprintf("%s %d %s", role, c.Status, c.Code)))
			sim.trace(fmt.Sprintf("%s answers %d", c.Run.Name, c.Status))
			answered = true
			done <- c
		}
		inv := sim.invoke(role, payload, func(inv *invocation, r result) {
			c := Exchange{Run: &inv.Run}
			var res events.APIGatewayProxyResponse
			if r.payload != nil {
				var body struct {
					Data map[string]any
					Code string
				}
				if json.Unmarshal(r.payload, &res) != nil || json.Unmarshal([]byte(res.Body), &body) != nil {
					sim.Broken("%s answered %s", inv.Name, r.payload)
				}
				c.Status, c.Header, c.Data, c.Code = res.StatusCode, res.Headers, body.Data, body.Code
			}
			if took := time.Since(inv.Start); r.payload != nil && took > promised {
				sim.Broken("%s answered after %s", inv.Name, took)
			}
			if !answered {
				inv.Status = c.Status
				answer(c)
			}
		})
		inv.giveUp = func() { answer(Exchange{Run: &inv.Run, Status: http.StatusGatewayTimeout}) }
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

// order does what a client does who wants an order.
func (sim *simulation) order(n int) {
	a := Actor{Client: fmt.Sprintf("c%d", n), Groups: []string{payers}}
	r := sim.chance("client " + a.Client)
	sim.pause(a.Client, time.Duration(r.IntN(int(sim.o.Spread/grid)))*grid)
	all := tenants()
	a.Tenant = all[0]
	if r.IntN(2) == 0 {
		a.Tenant = all[1+r.IntN(len(all)-1)]
	}
	if sim.o.Plain {
		sim.post(sim.wish(n, a, "good", false), r)
		return
	}
	kind := "good"
	if r.IntN(12) == 0 {
		kind = pick(r, slices.Sorted(maps.Keys(badCarts()))...)
	}
	wi := sim.wish(n, a, kind, r.IntN(25) == 0)
	switch p := r.IntN(100); {
	case p < 10:
		sim.produce(n, wi, r)
	case p < 55:
		wi.Key = "key-" + a.Client
		sim.post(wi, r)
	default:
		sim.post(wi, r)
	}
	if wi.OrderID == "" || wi.Bad() {
		return
	}
	if r.IntN(15) == 0 { // An operator deletes the order, some time.
		after := time.Duration(r.IntN([]int{20, 1800}[r.IntN(2)])) * time.Second
		sim.turn("operator of "+a.Client, after, func() { sim.erase(a.Tenant, wi.OrderID) })
	}
	if r.IntN(10) == 0 {
		sim.trespass(wi)
	}
	if r.IntN(2) == 0 {
		sim.change(wi, r)
	}
}

// trespass lets a client of another tenant try to read and to change an order,
// and to list its tenant's.
func (sim *simulation) trespass(wi *Wish) {
	a := Actor{Client: wi.Actor.Client + "x", Groups: []string{payers}, Tenant: tenants()[0]}
	if a.Tenant == wi.Actor.Tenant {
		a.Tenant = tenants()[1]
	}
	for _, role := range []string{"get_order", "update_order", "list_orders"} {
		c := sim.request(a, role, func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"orderId": wi.OrderID, "tenantId": wi.Actor.Tenant}
			e.Body = `{"status": "cancelled"}`
		})
		want := http.StatusNotFound
		if role == "list_orders" {
			want = http.StatusForbidden
		}
		if c.Status != want && !c.Lost() {
			sim.Broken("order %s: %s was answered %d to a stranger", wi.OrderID, role, c.Status)
		}
	}
}

// erase deletes an order, as an operator does.
func (sim *simulation) erase(tenant, id string) {
	no := false
	sim.world.Table.Change(
		"TENANT#"+tenant,
		"ORDER#"+id,
		func(item Item) { item["active"] = Value{BOOL: &no} },
	)
}

// produce sends a creation message past the API, as other producers do, and
// sometimes noise beside it.
func (sim *simulation) produce(n int, wi *Wish, r *rand.Rand) {
	message := map[string]any{
		"tenantId":    wi.Actor.Tenant,
		"orderId":     fmt.Sprintf("%08x-0000-4000-8000-%012x", n, r.Uint64()>>16),
		"orderNumber": "ORD-1999-00001",
		"dateCreated": "1999-12-31T23:15:00.000000Z", // Are not the message's to say.
	}
	maps.Copy(message, wi.Body)
	wi.OrderID, _ = message["orderId"].(string)
	body, err := json.Marshal(message)
	if err != nil {
		sim.t.Fatal(err)
	}
	send := func(q *Queue, body string, after time.Duration) {
		done := make(chan struct{})
		sim.turn(wi.Actor.Client, after, func() { q.Send(body); close(done) })
		<-done
	}
	send(sim.creation(), string(body), 0)
	if r.IntN(3) == 0 {
		send(sim.creation(), string(body), time.Duration(r.IntN(120))*time.Second)
	}
	switch r.IntN(6) {
	case 0:
		send(sim.creation(), fmt.Sprintf(`{"noise": %d`, n), 0)
		sim.expectDead(sim.creation(), 1)
	case 1: // An event of an order that is not there goes away by itself.
		role := []string{"order_pdf_creator", "order_internal_notifier", customerMailer}[r.IntN(3)]
		send(
			sim.world.Queue(role),
			fmt.Sprintf(`{"eventType": "order.created", "tenantId": %q, "orderId": "%08x-0000-4000-9000-%012x"}`,
				wi.Actor.Tenant, n, r.Uint64()>>16),
			0,
		)
	case 2:
		q := sim.world.Queue("order_pdf_creator")
		send(q, fmt.Sprintf(`[%d]`, n), 0)
		sim.expectDead(q, 1)
	case 3: // A type that nobody knows.
		for _, s := range sim.sources {
			if s.role != recorder {
				send(s.queue, fmt.Sprintf(
					`{"eventType": "`+unknownType+`", "tenantId": %q, "orderId": %q}`, wi.Actor.Tenant, wi.OrderID), 0)
			}
		}
	}
}

// post places an order through the API and tries again where that fails.
func (sim *simulation) post(wi *Wish, r *rand.Rand) {
	once := func(client string, change func(body map[string]any)) Exchange {
		body := maps.Clone(wi.Body)
		if change != nil {
			change(body)
		}
		text, err := json.Marshal(body)
		if err != nil {
			sim.t.Fatal(err)
		}
		a := wi.Actor
		a.Client = client
		return sim.request(a, "create_order", func(e *events.APIGatewayProxyRequest) {
			e.Body = string(text)
			if wi.Key != "" {
				e.Headers["Idempotency-Key"] = wi.Key
			}
		})
	}
	client := wi.Actor.Client
	if wi.Key != "" && r.IntN(4) == 0 { // A double click.
		both := make(chan struct{})
		go func() {
			sim.posted(wi, once(client+"b", nil))
			close(both)
		}()
		sim.posted(wi, once(client, nil))
		<-both
	}
	for try := 0; wi.OrderID == "" && try < 12; try++ { // For more than an hour.
		sim.pause(client, time.Second<<try-time.Second)
		sim.posted(wi, once(client, nil))
	}
	if wi.Key == "" || wi.OrderID == "" {
		return
	}
	if r.IntN(3) == 0 {
		sim.pause(client, time.Duration(r.IntN(600))*time.Second)
		sim.posted(wi, once(client, nil))
	}
	if r.IntN(4) == 0 {
		c := once(client, func(body map[string]any) { body["customerName"] = marker(wi.Actor.Tenant) + " other" })
		if !c.Lost() && c.Status != http.StatusUnprocessableEntity {
			sim.Broken("order %s: its key with another body was answered %d", wi.OrderID, c.Status)
		}
	}
}

// posted notes the answer to a POST, and checks what can be checked at once.
func (sim *simulation) posted(wi *Wish, c Exchange) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	wi.Posts = append(wi.Posts, c)
	switch {
	case c.Status == http.StatusAccepted:
		id, _ := c.Data["orderId"].(string)
		if wi.OrderID == "" {
			wi.OrderID = id
		}
	case !c.Lost():
		sim.Broken("client %s: POST was answered %d %s", wi.Actor.Client, c.Status, c.Code)
	}
}

// startRetries lets the clients whose key got no answer ask once more, now that
// faults have ended.
func (sim *simulation) startRetries() {
	for _, wi := range sim.Wishes {
		if wi.Key != "" && wi.OrderID == "" {
			go sim.post(wi, sim.chance("retry "+wi.Actor.Client))
		}
	}
}

// startReuse lets clients use their keys again after more than a day: that makes
// new orders, although the table still has the keys.
func (sim *simulation) startReuse() {
	for i, wi := range slices.Clone(sim.Wishes) {
		if wi.Key == "" || wi.OrderID == "" || i%10 != 0 || wi.Bad() {
			continue
		}
		again := *wi
		again.Actor.Client, again.Posts, again.OrderID = wi.Actor.Client+"z", nil, ""
		sim.Wishes = append(sim.Wishes, &again)
		go func() {
			sim.post(&again, rand.New(rand.NewPCG(1, 1)))
			if again.OrderID == wi.OrderID {
				sim.Broken("order %s: its key still answers it after days", wi.OrderID)
			}
		}()
	}
}

// Get implements API.
func (sim *simulation) Get(a Actor, orderID string) Exchange {
	return sim.request(a, "get_order", func(e *events.APIGatewayProxyRequest) {
		e.PathParameters = map[string]string{"orderId": orderID}
	})
}

// List implements API.
func (sim *simulation) List(a Actor, tenant string, query map[string]string) Exchange {
	return sim.request(a, "list_orders", func(e *events.APIGatewayProxyRequest) {
		e.PathParameters, e.QueryStringParameters = map[string]string{"tenantId": tenant}, query
	})
}

// change lets two clients move an order on at once, once it is recorded.
func (sim *simulation) change(wi *Wish, r *rand.Rand) {
	for range 20 {
		if c := sim.Read(sim, wi.Actor, wi); c.Data["items"] != nil || c.Status == http.StatusNotFound {
			break
		}
		sim.pause(wi.Actor.Client, time.Duration(5+r.IntN(60))*time.Second)
	}
	done := make(chan struct{})
	for i := range 2 {
		r := rand.New(rand.NewPCG(r.Uint64(), 0))
		a := wi.Actor
		a.Client = fmt.Sprintf("%s u%d", wi.Actor.Client, i)
		switch r.IntN(5) {
		case 0:
			a.Groups = nil
		case 1: // An administrator, who may be of another tenant.
			a.Groups, a.Tenant = []string{"admin"}, tenants()[r.IntN(len(tenants()))]
			a.Email = "admin-" + strings.ReplaceAll(a.Client, " ", "-") + "@kimmyai.example"
		}
		go func() {
			sim.changeAs(a, wi, r)
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

func (sim *simulation) changeAs(a Actor, wi *Wish, r *rand.Rand) {
	statuses := strings.Fields("payment_pending paid paid processing completed cancelled refunded refunded")
	for n := range 3 + r.IntN(6) {
		u := &Change{OrderID: wi.OrderID, Actor: a, Update: map[string]any{}}
		if r.IntN(4) > 0 {
			u.Update["status"] = statuses[r.IntN(min(len(statuses), 3+n))]
			if r.IntN(3) == 0 {
				u.Update["reason"] = fmt.Sprintf("reason %d of %s", n, a.Client)
			}
		}
		if r.IntN(2) == 0 || len(u.Update) == 0 {
			u.Update["paymentDetails"] = sim.payment(r)
		}
		if r.IntN(3) == 0 {
			if c := sim.Read(sim, a, wi); c.Status == http.StatusOK {
				u.IfMatch = c.Header["ETag"]
			}
		}
		body, err := json.Marshal(u.Update)
		if err != nil {
			sim.t.Fatal(err)
		}
		u.Call = sim.request(a, "update_order", func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"orderId": wi.OrderID}
			e.Body = string(body)
			if u.IfMatch != "" {
				e.Headers["If-Match"] = u.IfMatch
			}
		})
		sim.mu.Lock()
		sim.Changes[u.Call.Run] = u
		sim.mu.Unlock()
		sim.pause(a.Client, time.Duration(r.IntN(4))*grid)
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
