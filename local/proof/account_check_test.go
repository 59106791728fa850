package proof

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// An API is how clients reach the two roles that show orders.
type API interface {
	Get(a Actor, orderID string) Exchange
	List(a Actor, tenant string, query map[string]string) Exchange
}

// Check holds what is left against what was promised, after everything was read
// and has come to rest.
func (a *Account) Check() {
	orders := a.checkOrders()
	a.checkNumbers(orders)
	a.checkKeys()
	a.checkHistories()
	a.checkChanges()
	a.checkEvents()
	a.checkDocuments(orders)
	a.checkMails()
	a.checkDeadLetters()
	a.checkTenants()
}

// ReadList reads all pages of a tenant's orders, and notes which it has seen in
// a map that is the caller's own.
func (a *Account) ReadList(api API, tenant string, seen map[string]bool) {
	token := ""
	for page := 0; page == 0 || token != ""; page++ {
		query := map[string]string{"pageSize": "100"}
		if token != "" {
			query["startAt"] = token
		}
		c := api.List(Actor{Client: "list " + tenant, Tenant: tenant}, tenant, query)
		orders, _ := c.Data["orders"].([]any)
		for _, o := range orders {
			id, _ := o.(map[string]any)["id"].(string)
			if seen[id] {
				a.Broken("order %s is listed twice", id)
			}
			seen[id] = true
		}
		pagination, _ := c.Data["pagination"].(map[string]any)
		token, _ = pagination["nextToken"].(string)
		if c.Status != http.StatusOK || token != "" && len(orders) != 100 {
			a.Broken("list of %s: page %d was answered %d with %d orders", tenant, page, c.Status, len(orders))
		}
	}
}

// ReadOrder reads a wish's order by its id, and perhaps by its number.
func (a *Account) ReadOrder(api API, reader Actor, wi *Wish, byNumber bool) {
	c := a.Read(api, reader, wi)
	if _, gone := a.Deletion(wi.OrderID); gone {
		return
	}
	reason, _ := c.Data["failureReason"].(string)
	link, _ := c.Data["pdfUrl"].(string)
	switch {
	case wi.Bad() && (c.Data["status"] != "failed" || reason == "" || !strings.HasPrefix(reason, badCarts()[wi.kind()])):
		a.Broken("order %s with cart %s shows as %v because of %q", wi.OrderID, wi.CartID, c.Data["status"], reason)
	case !wi.Bad() && !strings.HasPrefix(link, a.Links):
		a.Broken("order %s shows the link %q to its document", wi.OrderID, link)
	case !wi.Bad() && byNumber:
		found := api.List(reader, reader.Tenant, map[string]string{"orderNumber": fmt.Sprint(c.Data["orderNumber"])})
		orders, _ := found.Data["orders"].([]any)
		if len(orders) != 1 || orders[0].(map[string]any)["id"] != wi.OrderID {
			a.Broken("order %s is not found by its number %v: %v", wi.OrderID, c.Data["orderNumber"], orders)
		}
	}
}

// Read reads a wish's order that was accepted, and judges what it is shown.
func (a *Account) Read(api API, reader Actor, wi *Wish) Exchange {
	c := api.Get(reader, wi.OrderID)
	a.Shown(reader, wi, c)
	return c
}

// Shown judges what a reader was shown of a wish's order that was accepted. It
// is never unknown before somebody deletes it, and always after.
func (a *Account) Shown(reader Actor, wi *Wish, c Exchange) {
	gone, before := a.Deletion(wi.OrderID)
	before = before && gone <= c.Run.Since
	switch {
	case c.Status == http.StatusOK && c.Data["tenantId"] != wi.Actor.Tenant:
		a.Broken("order %s: GET shows it as %v's", wi.OrderID, c.Data["tenantId"])
	case c.Status == http.StatusOK && before:
		a.Broken("order %s: GET shows it after it was deleted", wi.OrderID)
	case c.Status == http.StatusNotFound && gone == 0 && len(wi.Posts) > 0 && reader.Tenant == wi.Actor.Tenant:
		a.Broken("order %s: GET was answered 404 after it was accepted", wi.OrderID)
	}
}

// isRecorded reports whether an order's item is one of a recorded order.
func isRecorded(item Item) bool { return len(entriesOf(item)) > 0 }

// checkOrders: every 202 has one recorded order with the number of its answer
// and the right amounts, or says why not; and a recorded one is listed, unless it
// is deleted. It returns the recorded orders by id.
func (a *Account) checkOrders() map[string]Item {
	orders := map[string]Item{}
	for _, id := range sorted(a.history) {
		if item := a.Last(id); isRecorded(item) {
			orders[id] = item
		}
	}
	a.Add("recorded", len(orders))
	wanted := map[string]bool{}
	for _, wi := range a.Wishes {
		for id := range a.answered(wi) {
			wanted[id] = true
			_, gone := a.Deletion(id)
			switch {
			case wi.Bad() && orders[id] != nil:
				a.Broken("order %s was recorded with cart %s", id, wi.CartID)
			case wi.Bad():
				a.Count("failed for good")
			case orders[id] == nil && gone:
				a.Count("deleted before they were recorded")
			case orders[id] == nil:
				a.Broken("order %s was accepted and is not recorded", id)
			default:
				a.checkOrder(wi, id, orders[id])
			}
		}
	}
	for id, item := range orders {
		if first := a.history[id][0]; !wanted[id] {
			if first.role() == recorder || first.by.Status == http.StatusAccepted {
				a.Broken("order %s is recorded and was never asked for", id)
			}
			a.Count("recorded though POST failed")
		}
		if _, gone := a.Deletion(id); a.Listed[item.Text("tenantId")][id] == gone {
			a.Broken("order %s is listed: %v; deleted: %v", id, !gone, gone)
		}
	}
	for tenant, listed := range a.Listed {
		for id := range listed {
			if orders[id].Text("tenantId") != tenant {
				a.Broken("order %s is listed for %s", id, tenant)
			}
		}
	}
	for id := range a.history {
		item := a.Last(id)
		if _, gone := a.Deletion(id); orders[id] == nil && !gone && item.Text("status") != "failed" {
			if wanted[id] {
				a.Broken("order %s says %s for ever", id, item.Text("status"))
			}
			a.Count("accepted by POSTs that failed")
		}
	}
	return orders
}

// answered returns the orders that a wish was promised.
func (a *Account) answered(wi *Wish) map[string]bool {
	ids := map[string]bool{}
	if len(wi.Posts) == 0 && wi.OrderID != "" {
		ids[wi.OrderID] = true // Another producer's.
	}
	for _, c := range wi.Posts {
		if c.Status != http.StatusAccepted {
			continue
		}
		id, _ := c.Data["orderId"].(string)
		ids[id] = true
		if number := c.Data["orderNumber"]; number != a.Last(id).Text("orderNumber") {
			a.Broken("order %s was answered as %v and is %s", id, number, a.Last(id).Text("orderNumber"))
		}
		if c.Header["Location"] != "/v1.0/orders/"+id {
			a.Broken("order %s was answered with the location %s", id, c.Header["Location"])
		}
	}
	return ids
}

func (a *Account) checkOrder(wi *Wish, id string, item Item) {
	want := map[string]string{
		"PK": "TENANT#" + wi.Actor.Tenant, "tenantId": wi.Actor.Tenant, "cartId": wi.CartID,
		"customerEmail": fmt.Sprint(wi.Body["customerEmail"]),
	}
	subtotal, tax, total := a.Totals(wi.Actor.Tenant, wi.CartID)
	want["subtotal"], want["tax"], want["total"] = plain(subtotal), plain(tax), plain(total)
	for name, text := range want {
		if item.Text(name) != text {
			a.Broken("order %s has the %s %q, not %q", id, name, item.Text(name), text)
		}
	}
}

// plain gives a decimal the form in which DynamoDB keeps numbers.
func plain(decimal string) string { return strings.TrimSuffix(strings.TrimRight(decimal, "0"), ".") }

// checkNumbers: every order has a number that was given out, and no two of a
// tenant share one; the number leads to its order. Some may be skipped.
func (a *Account) checkNumbers(orders map[string]Item) {
	owner := map[string]string{}
	for id := range a.history {
		item := a.history[id][0].item
		number := item.Text("tenantId") + " " + item.Text("orderNumber")
		if other := owner[number]; other != "" {
			a.Broken("%s belongs to %s and %s", number, other, id)
		}
		owner[number] = id
		if !a.numbers[number] {
			a.Broken("order %s has the number %s, which was never given out", id, number)
		}
		found := a.item(item.Text("PK"), "NUMBER#"+item.Text("orderNumber"))
		if orders[id] != nil && found.Text("orderId") != id {
			a.Broken("%s leads to %q, not to %s", number, found.Text("orderId"), id)
		}
	}
	a.Add("numbers skipped", len(a.numbers)-len(owner))
}

// checkKeys: a repeated Idempotency-Key never makes a second order.
func (a *Account) checkKeys() {
	accepted := a.accepted()
	for _, wi := range a.Wishes {
		ids := map[string]bool{}
		for _, c := range wi.Posts {
			for _, id := range accepted[c.Run] {
				ids[id] = true
			}
			if id, ok := c.Data["orderId"].(string); ok {
				ids[id] = true
			}
		}
		if wi.Key != "" && len(ids) > 1 {
			a.Broken("key %s of %s made %d orders", wi.Key, wi.Actor.Tenant, len(ids))
		}
	}
}

// accepted returns the orders that each invocation accepted.
func (a *Account) accepted() map[*Run][]string {
	ids := map[*Run][]string{}
	for id, versions := range a.history {
		ids[versions[0].by] = append(ids[versions[0].by], id)
	}
	return ids
}

// checkDeadLetters: only what can never succeed is left, and nothing that can is.
func (a *Account) checkDeadLetters() {
	accepted := a.accepted()
	wishes := map[string]*Wish{}
	for _, wi := range a.Wishes {
		if wi.OrderID != "" {
			wishes[wi.OrderID] = wi
		}
		for _, c := range wi.Posts {
			for _, id := range accepted[c.Run] {
				wishes[id] = wi
			}
		}
	}
	dead := map[string]bool{}
	for _, q := range a.Queues {
		if len(q.Left) > 0 {
			a.Broken("%d messages are left on the queue of %s", len(q.Left), q.Role)
		}
		noise := 0
		for _, body := range q.Dead {
			id := orderOf(body)
			wi := wishes[id]
			switch {
			case id == body:
				noise++
			case wi != nil && wi.Bad() && q.Role == recorder:
				dead[id] = true
			case wi != nil && wi.Refused && q.Role == customerMailer:
				a.Count("mails refused for good")
			default:
				a.Broken("a good message is in the dead-letter queue of %s: %s", q.Role, body)
			}
		}
		if noise != q.Noise {
			a.Broken("the dead-letter queue of %s holds %d messages about nothing, not %d", q.Role, noise, q.Noise)
		}
	}
	if len(a.Lost) > 0 {
		a.Broken("%d events were given up: %s", len(a.Lost), a.Lost[0])
	}
	for _, wi := range a.Wishes {
		if wi.Bad() && wi.OrderID != "" && !dead[wi.OrderID] {
			a.Broken("the message for order %s with cart %s is in no dead-letter queue", wi.OrderID, wi.CartID)
		}
	}
}

var orderID = regexp.MustCompile(`orderId\\*": ?\\*"([0-9a-f-]{36})`)

// orderOf returns the id of the order that a message is about, or the message
// itself where there is none.
func orderOf(body string) string {
	if m := orderID.FindStringSubmatch(body); m != nil {
		return m[1]
	}
	return body
}

// checkTenants: no item mixes two tenants.
func (a *Account) checkTenants() {
	for _, item := range a.items {
		owner, ok := strings.CutPrefix(item.Text("PK"), "TENANT#")
		if !ok || strings.HasPrefix(item.Text("SK"), "DOCUMENT#") { // Suppliers may be of two.
			continue
		}
		content := text(item)
		for _, tenant := range tenants() {
			if tenant != owner &&
				(strings.Contains(content, marker(tenant)) || strings.Contains(content, `"`+tenant+`"`)) {
				a.Broken("%s|%s speaks of %s", item.Text("PK"), item.Text("SK"), tenant)
			}
		}
	}
}
