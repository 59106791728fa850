package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bbws/order-lambda/local/proof/world"
)

// check holds what is left against what was promised.
func (sim *simulation) check() {
	sim.startReads()
	sim.settle()
	orders := sim.checkOrders()
	sim.checkNumbers(orders)
	sim.checkKeys()
	sim.checkHistories()
	sim.checkChanges()
	sim.checkEvents()
	sim.checkDocuments(orders)
	sim.checkMails()
	sim.checkDeadLetters()
	sim.checkTenants()
	sim.checkExpiry()
}

// startReads reads everything through the API, after all has come to rest.
func (sim *simulation) startReads() {
	for _, tenant := range tenants() {
		seen := map[string]bool{}
		sim.listed[tenant] = seen
		go sim.readList(tenant, seen)
	}
	for i, wi := range sim.wishes {
		if wi.orderID == "" {
			continue
		}
		a := actor{client: fmt.Sprintf("reader %d", i), tenant: wi.actor.tenant}
		go sim.readOrder(a, wi, i%20 == 0)
	}
}

// readList reads all pages of a tenant's orders, and notes which it has seen.
func (sim *simulation) readList(tenant string, seen map[string]bool) {
	token := ""
	a := actor{client: "list " + tenant, tenant: tenant}
	for page := 0; page == 0 || token != ""; page++ {
		c := sim.request(a, "list_orders", func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"tenantId": tenant}
			e.QueryStringParameters = map[string]string{"pageSize": "100"}
			if token != "" {
				e.QueryStringParameters["startAt"] = token
			}
		})
		orders, _ := c.data["orders"].([]any)
		for _, o := range orders {
			id, _ := o.(map[string]any)["id"].(string)
			if seen[id] {
				sim.broken("order %s is listed twice", id)
			}
			seen[id] = true
		}
		pagination, _ := c.data["pagination"].(map[string]any)
		token, _ = pagination["nextToken"].(string)
		if c.status != http.StatusOK || token != "" && len(orders) != 100 {
			sim.broken("list of %s: page %d was answered %d with %d orders", tenant, page, c.status, len(orders))
		}
	}
}

// readOrder reads an order by its id, and perhaps by its number.
func (sim *simulation) readOrder(a actor, wi *wish, byNumber bool) {
	c := sim.get(a, wi)
	if _, gone := sim.deletion(wi.orderID); gone {
		return
	}
	reason, _ := c.data["failureReason"].(string)
	link, _ := c.data["pdfUrl"].(string)
	switch {
	case wi.bad() && (c.data["status"] != "failed" || reason == "" || !strings.HasPrefix(reason, badCarts()[wi.kind()])):
		sim.broken("order %s with cart %s shows as %v because of %q", wi.orderID, wi.cartID, c.data["status"], reason)
	case !wi.bad() && !strings.HasPrefix(link, "https://"):
		sim.broken("order %s shows the link %q to its document", wi.orderID, link)
	case !wi.bad() && byNumber:
		found := sim.request(a, "list_orders", func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"tenantId": a.tenant}
			e.QueryStringParameters = map[string]string{"orderNumber": fmt.Sprint(c.data["orderNumber"])}
		})
		orders, _ := found.data["orders"].([]any)
		if len(orders) != 1 || orders[0].(map[string]any)["id"] != wi.orderID {
			sim.broken("order %s is not found by its number %v: %v", wi.orderID, c.data["orderNumber"], orders)
		}
	}
}

// isRecorded reports whether an order's item is one of a recorded order.
func isRecorded(item world.Item) bool { return len(entries(item)) > 0 }

// checkOrders: every 202 has one recorded order with the number of its answer
// and the right amounts, or says why not; and a recorded one is listed, unless it
// is deleted. It returns the recorded orders by id.
func (sim *simulation) checkOrders() map[string]world.Item {
	orders := map[string]world.Item{}
	for _, id := range slices.Sorted(maps.Keys(sim.history)) {
		if item := sim.last(id); isRecorded(item) {
			orders[id] = item
		}
	}
	sim.add("recorded", len(orders))
	wanted := map[string]bool{}
	for _, wi := range sim.wishes {
		for id := range sim.answered(wi) {
			wanted[id] = true
			_, gone := sim.deletion(id)
			switch {
			case wi.bad() && orders[id] != nil:
				sim.broken("order %s was recorded with cart %s", id, wi.cartID)
			case wi.bad():
				sim.count("failed for good")
			case orders[id] == nil && gone:
				sim.count("deleted before they were recorded")
			case orders[id] == nil:
				sim.broken("order %s was accepted and is not recorded", id)
			default:
				sim.checkOrder(wi, id, orders[id])
			}
		}
	}
	for id, item := range orders {
		if first := sim.history[id][0]; !wanted[id] {
			if first.role() == recorder || first.by.status == http.StatusAccepted {
				sim.broken("order %s is recorded and was never asked for", id)
			}
			sim.count("recorded though POST failed")
		}
		if _, gone := sim.deletion(id); sim.listed[item.Text("tenantId")][id] == gone {
			sim.broken("order %s is listed: %v; deleted: %v", id, !gone, gone)
		}
	}
	for tenant, listed := range sim.listed {
		for id := range listed {
			if orders[id].Text("tenantId") != tenant {
				sim.broken("order %s is listed for %s", id, tenant)
			}
		}
	}
	for id := range sim.history {
		item := sim.last(id)
		if _, gone := sim.deletion(id); orders[id] == nil && !gone && item.Text("status") != "failed" {
			if wanted[id] {
				sim.broken("order %s says %s for ever", id, item.Text("status"))
			}
			sim.count("accepted by POSTs that failed")
		}
	}
	return orders
}

// answered returns the orders that a wish was promised.
func (sim *simulation) answered(wi *wish) map[string]bool {
	ids := map[string]bool{}
	if len(wi.posts) == 0 && wi.orderID != "" {
		ids[wi.orderID] = true // Another producer's.
	}
	for _, c := range wi.posts {
		if c.status != http.StatusAccepted {
			continue
		}
		id, _ := c.data["orderId"].(string)
		ids[id] = true
		if number := c.data["orderNumber"]; number != sim.last(id).Text("orderNumber") {
			sim.broken("order %s was answered as %v and is %s", id, number, sim.last(id).Text("orderNumber"))
		}
		if c.header["Location"] != "/v1.0/orders/"+id {
			sim.broken("order %s was answered with the location %s", id, c.header["Location"])
		}
	}
	return ids
}

func (sim *simulation) checkOrder(wi *wish, id string, item world.Item) {
	want := map[string]string{
		"PK": "TENANT#" + wi.actor.tenant, "tenantId": wi.actor.tenant, "cartId": wi.cartID,
		"customerEmail": fmt.Sprint(wi.body["customerEmail"]),
	}
	subtotal, tax, total := sim.basketOf(wi.actor.tenant, wi.cartID).totals()
	want["subtotal"], want["tax"], want["total"] = plain(subtotal), plain(tax), plain(total)
	for name, text := range want {
		if item.Text(name) != text {
			sim.broken("order %s has the %s %q, not %q", id, name, item.Text(name), text)
		}
	}
}

// plain gives a decimal the form in which DynamoDB keeps numbers.
func plain(decimal string) string { return strings.TrimSuffix(strings.TrimRight(decimal, "0"), ".") }

// checkNumbers: every order has a number that was given out, and no two of a
// tenant share one; the number leads to its order. Some may be skipped.
func (sim *simulation) checkNumbers(orders map[string]world.Item) {
	owner := map[string]string{}
	for id := range sim.history {
		item := sim.history[id][0].item
		number := item.Text("tenantId") + " " + item.Text("orderNumber")
		if other := owner[number]; other != "" {
			sim.broken("%s belongs to %s and %s", number, other, id)
		}
		owner[number] = id
		if sim.numbers[number] == nil {
			sim.broken("order %s has the number %s, which was never given out", id, number)
		}
		found := sim.world.Table.Item(item.Text("PK"), "NUMBER#"+item.Text("orderNumber"))
		if orders[id] != nil && found.Text("orderId") != id {
			sim.broken("%s leads to %q, not to %s", number, found.Text("orderId"), id)
		}
	}
	sim.add("numbers skipped", len(sim.numbers)-len(owner))
}

// checkKeys: a repeated Idempotency-Key never makes a second order.
func (sim *simulation) checkKeys() {
	accepted := sim.accepted()
	for _, wi := range sim.wishes {
		ids := map[string]bool{}
		for _, c := range wi.posts {
			if id := accepted[c.inv]; id != "" {
				ids[id] = true
			}
			if id, ok := c.data["orderId"].(string); ok {
				ids[id] = true
			}
		}
		if wi.key != "" && len(ids) > 1 {
			sim.broken("key %s of %s made %d orders", wi.key, wi.actor.tenant, len(ids))
		}
	}
}

// accepted returns the order that each invocation accepted, if it did.
func (sim *simulation) accepted() map[*invocation]string {
	ids := map[*invocation]string{}
	for id, versions := range sim.history {
		ids[versions[0].by] = id
	}
	return ids
}

// checkDeadLetters: only what can never succeed is left, and nothing that can is.
func (sim *simulation) checkDeadLetters() {
	accepted := sim.accepted()
	wishes := map[string]*wish{}
	for _, wi := range sim.wishes {
		if wi.orderID != "" {
			wishes[wi.orderID] = wi
		}
		for _, c := range wi.posts {
			wishes[accepted[c.inv]] = wi
		}
	}
	dead, noise := map[string]bool{}, map[*world.Queue]int{}
	for _, s := range sim.sources {
		if n := len(s.queue.Messages()); n > 0 {
			sim.broken("%d messages are left on %s", n, s.queue.Name)
		}
		for _, m := range s.queue.Dead().Messages() {
			id := orderOf(m.Body)
			wi := wishes[id]
			switch {
			case id == m.Body:
				noise[s.queue]++
			case wi != nil && wi.bad() && s.role == recorder:
				dead[id] = true
			case wi != nil && wi.refused && s.role == customerMailer:
				sim.count("mails refused for good")
			default:
				sim.broken("a good message is in the dead-letter queue of %s: %s", s.queue.Name, m.Body)
			}
		}
	}
	if !maps.Equal(noise, sim.deadNoise) {
		sim.broken(
			"dead-letter queues hold noise %v, not %v",
			slices.Sorted(maps.Values(noise)),
			slices.Sorted(maps.Values(sim.deadNoise)),
		)
	}
	if lost := sim.world.LostEvents().Messages(); len(lost) > 0 {
		sim.broken("%d events were given up: %s", len(lost), lost[0].Body)
	}
	for _, wi := range sim.wishes {
		if wi.bad() && wi.orderID != "" && !dead[wi.orderID] {
			sim.broken("the message for order %s with cart %s is in no dead-letter queue", wi.orderID, wi.cartID)
		}
	}
}

// checkTenants: no item mixes two tenants.
func (sim *simulation) checkTenants() {
	for _, item := range sim.world.Table.Items() {
		owner, ok := strings.CutPrefix(item.Text("PK"), "TENANT#")
		if !ok || strings.HasPrefix(item.Text("SK"), "DOCUMENT#") { // Suppliers may be of two.
			continue
		}
		content := text(item)
		for _, tenant := range tenants() {
			if tenant != owner &&
				(strings.Contains(content, marker(tenant)) || strings.Contains(content, `"`+tenant+`"`)) {
				sim.broken("%s|%s speaks of %s", item.Text("PK"), item.Text("SK"), tenant)
			}
		}
	}
}

// checkExpiry: after a month DynamoDB forgets what was never recorded, and that
// is no news to anybody.
func (sim *simulation) checkExpiry() {
	published := len(sim.events)
	time.Sleep(31 * 24 * time.Hour)
	sim.add("items expired", sim.world.Table.Expire())
	sim.settle()
	if len(sim.events) != published {
		sim.broken("what expired was published")
	}
	for i, wi := range sim.wishes {
		if !wi.bad() || wi.orderID == "" {
			continue
		}
		a := actor{client: fmt.Sprintf("latecomer %d", i), tenant: wi.actor.tenant}
		go func() {
			c := sim.request(a, "get_order", func(e *events.APIGatewayProxyRequest) {
				e.PathParameters = map[string]string{"orderId": wi.orderID}
			})
			if c.status != http.StatusNotFound {
				sim.broken("order %s: GET was answered %d after it expired", wi.orderID, c.status)
			}
		}()
	}
	sim.settle()
}

func text(item map[string]world.Value) string {
	data, _ := json.Marshal(item)
	return string(data)
}
