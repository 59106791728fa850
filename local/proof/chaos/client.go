package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// street is on every billing address, and in no log.
const street = "17 Unlisted Lane"

// The tenants. Half of all orders are the first one's, so that they get into each other's way.
func tenants() []string { return []string{"acme", "bloom", "cumulus", "dunes"} }

// marker is a text that stands in whatever belongs to a tenant, and in nothing else.
func marker(tenant string) string { return "Zz" + tenant + "zZ" }

// A call is an API request of a client, and what came of it.
type call struct {
	inv    *invocation
	status int // 0 where the process died
	header map[string]string
	data   map[string]any
	code   string // of an error
}

// request calls an API role in the name of a tenant, and returns when there is an answer.
func (sim *simulation) request(client, role, tenant string, change func(*events.APIGatewayProxyRequest)) call {
	event := events.APIGatewayProxyRequest{
		Headers: map[string]string{},
		RequestContext: events.APIGatewayProxyRequestContext{Authorizer: map[string]any{"claims": map[string]any{
			"custom:tenantId": tenant, "sub": client,
		}}},
	}
	change(&event)
	payload, err := json.Marshal(event)
	if err != nil {
		sim.t.Fatal(err)
	}
	done := make(chan call)
	sim.enqueue(&step{name: "client " + client, from: time.Now(), do: func() {
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
			sim.count(fmt.Sprintf("%s %d", role, c.status))
			sim.trace(fmt.Sprintf("%s answers %d", inv.name, c.status))
			done <- c
		})
	}})
	return <-done
}

// pause lets a client wait for a while of virtual time.
func (sim *simulation) pause(client string, d time.Duration) {
	done := make(chan struct{})
	sim.enqueue(&step{name: "client " + client, from: time.Now().Add(d), do: func() { close(done) }})
	<-done
}

// startClients lets every client do its share of the orders, one after the other.
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
	client  string
	tenant  string
	cartID  string
	body    map[string]any
	key     string // Idempotency-Key, or ""
	posts   []call
	orderID string // of the first 202, or of another producer's message
	date    string // of another producer's message, or ""
}

// order does what a client does who wants an order.
func (sim *simulation) order(n int) {
	client := fmt.Sprintf("c%d", n)
	r := sim.chance("client " + client)
	sim.pause(client, time.Duration(r.IntN(8))*grid)
	all := tenants()
	tenant := all[0]
	if r.IntN(2) == 0 {
		tenant = all[1+r.IntN(len(all)-1)]
	}
	kind := "good"
	if r.IntN(12) == 0 {
		bad := badCarts()
		kinds := make([]string, 0, len(bad))
		for k := range bad {
			kinds = append(kinds, k)
		}
		slices.Sort(kinds)
		kind = kinds[r.IntN(len(kinds))]
	}
	wi := &wish{number: n, client: client, tenant: tenant, cartID: fmt.Sprintf("cart-%s-%d", kind, n)}
	wi.body = map[string]any{
		"customerEmail": fmt.Sprintf("c%d@%s.example", n, marker(tenant)), "customerName": marker(tenant) + " customer", "cartId": wi.cartID,
		"billingAddress": map[string]any{"street": street, "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA"},
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
		wi.key = "key-" + client
		sim.post(wi, r)
	default:
		sim.post(wi, r)
	}
	if wi.orderID == "" || kind != "good" {
		return
	}
	if r.IntN(3) == 0 {
		sim.change(wi, r)
	}
}

// produce sends a creation message past the API, as other producers do, and sometimes noise beside it.
func (sim *simulation) produce(wi *wish, r *rand.Rand) {
	message := map[string]any{"tenantId": wi.tenant, "orderId": fmt.Sprintf("%08x-0000-4000-8000-%012x", wi.number, r.Uint64()>>16)}
	for name, v := range wi.body {
		message[name] = v
	}
	if r.IntN(3) == 0 {
		wi.date = "2025-12-31T23:15:00.000000Z"
		message["dateCreated"] = wi.date
	}
	wi.orderID, _ = message["orderId"].(string)
	body, err := json.Marshal(message)
	if err != nil {
		sim.t.Fatal(err)
	}
	creation := sim.sources[0].queue
	creation.Send(string(body), "")
	if r.IntN(3) == 0 {
		sim.pause(wi.client, time.Duration(r.IntN(120))*time.Second)
		creation.Send(string(body), "")
	}
	switch r.IntN(6) {
	case 0:
		creation.Send(fmt.Sprintf(`{"noise": %d`, wi.number), "")
		sim.expectDead("creation", 1)
	case 1: // A message about an order that is not there goes away by itself.
		body := fmt.Sprintf(`{"eventType": "order.created", "tenantId": %q, "orderId": "%08x-0000-4000-9000-%012x"}`, wi.tenant, wi.number, r.Uint64()>>16)
		sim.sources[1+r.IntN(3)].queue.Send(body, "")
	case 2:
		sim.sources[1].queue.Send(fmt.Sprintf(`[%d]`, wi.number), "")
		sim.expectDead("pdf", 1)
	}
}

// post places an order through the API and tries again where that fails.
func (sim *simulation) post(wi *wish, r *rand.Rand) {
	once := func(client string, change func(body map[string]any)) call {
		body := map[string]any{}
		for name, v := range wi.body {
			body[name] = v
		}
		if change != nil {
			change(body)
		}
		text, err := json.Marshal(body)
		if err != nil {
			sim.t.Fatal(err)
		}
		return sim.request(client, "create_order", wi.tenant, func(e *events.APIGatewayProxyRequest) {
			e.Body = string(text)
			if wi.key != "" {
				e.Headers["Idempotency-Key"] = wi.key
			}
		})
	}
	if wi.key != "" && r.IntN(4) == 0 { // A double click.
		both := make(chan struct{})
		go func() {
			sim.posted(wi, once(wi.client+"b", nil))
			close(both)
		}()
		sim.posted(wi, once(wi.client, nil))
		<-both
	}
	for try := 0; wi.orderID == "" && try < 6; try++ {
		sim.pause(wi.client, time.Duration(try)*time.Second)
		sim.posted(wi, once(wi.client, nil))
	}
	if wi.key == "" || wi.orderID == "" {
		return
	}
	if r.IntN(3) == 0 {
		sim.pause(wi.client, time.Duration(r.IntN(600))*time.Second)
		sim.posted(wi, once(wi.client, nil))
	}
	if r.IntN(4) == 0 {
		c := once(wi.client, func(body map[string]any) { body["customerName"] = marker(wi.tenant) + " other" })
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
		sim.report.Broken = append(sim.report.Broken, fmt.Sprintf("client %s: POST was answered %d %s", wi.client, c.status, c.code))
	}
}

// startRetries lets the clients whose key got no answer ask once more, now that faults have ended.
func (sim *simulation) startRetries() {
	for _, wi := range sim.wishes {
		if wi.key != "" && wi.orderID == "" {
			go sim.post(wi, sim.chance("retry "+wi.client))
		}
	}
}

// startReuse lets clients use their keys again after more than a day: that makes new orders, although the table still has
// the keys.
func (sim *simulation) startReuse() {
	for i, wi := range sim.wishes {
		if wi.key == "" || wi.orderID == "" || i%10 != 0 || kindOf(wi.cartID) != "good" {
			continue
		}
		again := *wi
		again.client, again.posts, again.orderID, again.key = wi.client+"z", nil, "", wi.key
		sim.wishes = append(sim.wishes, &again)
		go func() {
			sim.post(&again, rand.New(rand.NewPCG(1, 1))) //nolint:gosec // A simulation.
			if again.orderID == wi.orderID {
				sim.broken("order %s: its key still answers it after days", wi.orderID)
			}
		}()
	}
}

// get reads an order that was accepted. It is never unknown, whatever else goes wrong.
func (sim *simulation) get(client string, wi *wish) call {
	c := sim.request(client, "get_order", wi.tenant, func(e *events.APIGatewayProxyRequest) {
		e.PathParameters = map[string]string{"orderId": wi.orderID}
	})
	switch {
	case c.status == http.StatusOK && c.data["tenantId"] != wi.tenant:
		sim.broken("order %s: GET shows it as %v's", wi.orderID, c.data["tenantId"])
	case c.status != http.StatusOK && c.status != http.StatusInternalServerError && c.status != 0 && len(wi.posts) > 0:
		sim.broken("order %s: GET was answered %d after it was accepted", wi.orderID, c.status)
	}
	return c
}

// A change is a PUT of a client.
type change struct {
	orderID string
	update  map[string]any // status, paymentDetails
	ifMatch string
	call    call
}

// change lets two clients move an order on at once, once it is recorded.
func (sim *simulation) change(wi *wish, r *rand.Rand) {
	for range 20 {
		if c := sim.get(wi.client, wi); c.data["items"] != nil {
			break
		}
		sim.pause(wi.client, time.Duration(5+r.IntN(60))*time.Second)
	}
	done := make(chan struct{})
	seeds := [2]uint64{r.Uint64(), r.Uint64()}
	for i := range seeds {
		go func() {
			sim.changeAs(fmt.Sprintf("%s u%d", wi.client, i), wi, rand.New(rand.NewPCG(seeds[i], 0))) //nolint:gosec // A simulation.
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

func (sim *simulation) changeAs(client string, wi *wish, r *rand.Rand) {
	statuses := []string{"payment_pending", "paid", "paid", "processing", "completed", "cancelled", "refunded"}
	for n := range 2 + r.IntN(5) {
		u := &change{orderID: wi.orderID, update: map[string]any{}}
		if r.IntN(4) > 0 {
			u.update["status"] = statuses[r.IntN(min(len(statuses), 3+n))]
		}
		if r.IntN(2) == 0 || len(u.update) == 0 {
			details := map[string]any{}
			for _, name := range []string{"method", "transactionId", "payfastPaymentId"} {
				if r.IntN(2) == 0 {
					details[name] = fmt.Sprintf("%s-%d", name, r.IntN(1000))
				}
			}
			details["paidAt"] = time.Unix(r.Int64N(1e9), 0).UTC().Format("2006-01-02T15:04:05.000000Z")
			u.update["paymentDetails"] = details
		}
		if r.IntN(3) == 0 {
			if c := sim.get(client, wi); c.status == http.StatusOK {
				u.ifMatch = c.header["ETag"]
			}
		}
		body, err := json.Marshal(u.update)
		if err != nil {
			sim.t.Fatal(err)
		}
		u.call = sim.request(client, "update_order", wi.tenant, func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"orderId": wi.orderID}
			e.Body = string(body)
			if u.ifMatch != "" {
				e.Headers["If-Match"] = u.ifMatch
			}
		})
		sim.mu.Lock()
		sim.changes[u.call.inv] = u
		sim.mu.Unlock()
		sim.pause(client, time.Duration(r.IntN(4))*grid)
	}
}
