package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// memory is what a run remembers in order to judge it.
type memory struct {
	wishes    []*wish
	changes   map[*invocation]*change
	history   map[string][]version       // of orders, by id
	versions  int                        // how many there are
	receipts  map[string]*invocation     // who wrote an order's first receipt
	numbers   map[string]*invocation     // who used a number, by tenant and number
	messages  map[string]creation        // the first creation message of an order with a number
	asked     map[string]int             // how often a message asked for an order, dead letters that were driven again included
	failedAt  map[string]int             // the same, when an order's receipt last came to say failed
	mails     map[string][]*sentMail     // by order and kind
	deadNoise map[string]int             // messages that belong in a dead-letter queue, by queue
	listed    map[string]map[string]bool // order ids by tenant, as list_orders shows them
}

func newMemory() memory {
	return memory{
		changes: map[*invocation]*change{}, history: map[string][]version{}, receipts: map[string]*invocation{},
		numbers: map[string]*invocation{}, messages: map[string]creation{}, asked: map[string]int{}, failedAt: map[string]int{}, mails: map[string][]*sentMail{}, deadNoise: map[string]int{},
		listed: map[string]map[string]bool{},
	}
}

// A version is an order as an invocation left it.
type version struct {
	item   world.Item
	by     *invocation
	serial int // of all versions of all orders
}

type creation struct {
	OrderID, OrderNumber, DateCreated, TenantID string
}

// A sentMail is a mail that SES took.
type sentMail struct {
	by       *invocation
	answered bool // the process learned of it
	noting   bool // the process tried to note it in the ledger
	known    bool // the ledger already had one
}

func (sim *simulation) expectDead(queue string, n int) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.deadNoise[queue] += n
}

// written remembers what happens to orders, receipts and counters.
func (sim *simulation) written(before, after world.Item) {
	item := after
	if item == nil {
		item = before
	}
	tenant, sk := strings.TrimPrefix(item.Text("PK"), "TENANT#"), item.Text("SK")
	kind, rest, _ := strings.Cut(sk, "#")
	switch kind {
	case "ORDER":
		if after == nil {
			sim.broken("order %s was deleted by %s", rest, sim.current.name)
			return
		}
		sim.versions++
		sim.history[rest] = append(sim.history[rest], version{after, sim.current, sim.versions})
	case "RECEIPT":
		if sim.receipts[rest] == nil {
			sim.receipts[rest] = sim.current
		}
		sim.toldFailure(rest, before.Text("state"), after)
	case "COUNTER":
		n, _ := strconv.Atoi(after.Text("value"))
		number := fmt.Sprintf("%s ORD-%s-%05d", tenant, strings.TrimPrefix(rest, "ORDER#"), n)
		if sim.numbers[number] != nil {
			sim.broken("%s was given out twice", number)
		}
		sim.numbers[number] = sim.current
		if was, _ := strconv.Atoi(before.Text("value")); n != was+1 {
			sim.broken("counter of %s went from %d to %d", tenant, was, n)
		}
	}
}

// toldFailure: a failure that was told is not taken back before a message is on its way that may yet make the order. Whoever takes it
// back may die at once.
func (sim *simulation) toldFailure(id, was string, after world.Item) {
	switch {
	case after.Text("state") == "failed":
		sim.failedAt[id] = sim.asked[id]
	case was == "failed" && after != nil && sim.asked[id] == sim.failedAt[id]:
		sim.broken("receipt of order %s no longer says failed after %s, although nothing was sent since", id, sim.current.name)
	}
}

// sent remembers what the messages say that ask for one order: they must agree.
func (sim *simulation) sent(m world.Message) {
	sim.mu.Lock()
	sim.asked[orderOf(m.Body)]++
	sim.mu.Unlock()
	var c creation
	if json.Unmarshal([]byte(m.Body), &c) != nil || c.OrderNumber == "" {
		return
	}
	first, ok := sim.messages[c.OrderID]
	if !ok {
		sim.messages[c.OrderID] = c
	} else if first != c {
		sim.broken("order %s was queued as %v and as %v", c.OrderID, first, c)
	}
}

// carriedOut remembers the mails that SES took, at the moment when it did.
func (sim *simulation) carriedOut(p *pending) {
	if p.call.Service != "ses" || p.answer.Status != http.StatusOK {
		return
	}
	m := &sentMail{by: p.of}
	for _, v := range sim.history[p.orderID()] {
		ledger := sim.cloud.Table.Item(v.item.Text("PK"), "SENT#"+p.orderID()+"#"+p.of.role)
		m.known = ledger.Text("messageId") != ""
	}
	sim.mails[p.call.Target] = append(sim.mails[p.call.Target], m)
	p.mail = m
}

// arrived remembers what a process tries, whatever comes of it: to note or give up a mail in the ledger, to delay messages, and to
// work on messages although its time is nearly over.
func (sim *simulation) arrived(p *pending) {
	inv := p.of
	switch {
	case p.call.Operation == "ChangeMessageVisibilityBatch":
		inv.delayed += p.call.Target
	case inv.late:
		inv.late = false // Once is enough.
		sim.broken("%s began with a message although it was nearly at its end: %s", inv.name, p.call)
	}
	switch {
	case p.call.Service == "ses":
		inv.unknown[p.orderID()] = true
	case p.call.Operation == "UpdateItem" && strings.Contains(p.call.Target, "|SENT#"):
		delete(inv.unknown, p.orderID())
		for _, kind := range []string{"internal", "customer"} {
			for _, m := range sim.mails[kind+" "+p.orderID()] {
				if m.by == inv && m.answered {
					m.noting = true
				}
			}
		}
	}
}

// checkBatch: whoever sent a mail, or failed to, tells the ledger, so that nobody waits for him.
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

// orderID returns the order that a call to SES or to the mail ledger is about.
func (p *pending) orderID() string {
	if _, rest, ok := strings.Cut(p.call.Target, "|SENT#"); ok {
		id, _, _ := strings.Cut(rest, "#")
		return id
	}
	_, id, _ := strings.Cut(p.call.Target, " ")
	return id
}

// startReads reads everything through the API, after all has come to rest.
func (sim *simulation) startReads() {
	for _, tenant := range tenants() {
		seen := map[string]bool{}
		sim.listed[tenant] = seen
		go func() {
			token := ""
			for page := 0; page == 0 || token != ""; page++ {
				c := sim.request("list "+tenant, "list_orders", tenant, func(e *events.APIGatewayProxyRequest) {
					e.PathParameters = map[string]string{"tenantId": tenant}
					e.QueryStringParameters = map[string]string{"pageSize": "100"}
					if page%2 == 1 || token != "" {
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
		}()
	}
	for i, wi := range sim.wishes {
		if wi.orderID == "" {
			continue
		}
		go func() {
			c := sim.get(fmt.Sprintf("reader %d", i), wi)
			bad, isBad := badCarts()[kindOf(wi.cartID)]
			reason, _ := c.data["failureReason"].(string)
			link, _ := c.data["pdfUrl"].(string)
			switch {
			case isBad && (c.data["status"] != "failed" || reason == "" || !strings.HasPrefix(reason, bad)):
				sim.broken("order %s with cart %s shows as %v because of %q", wi.orderID, wi.cartID, c.data["status"], reason)
			case !isBad && !strings.HasPrefix(link, "https://"):
				sim.broken("order %s shows the link %q to its invoice", wi.orderID, link)
			}
		}()
	}
}

// check holds what is left against what was promised.
func (sim *simulation) check() {
	sim.startReads()
	sim.settle()
	orders := sim.checkOrders()
	sim.checkNumbers(orders)
	sim.checkKeys()
	sim.checkInvoices(orders)
	sim.checkMails(orders)
	sim.checkDeadLetters()
	sim.checkChanges()
	sim.checkTenants()
	sim.checkExpiry()
}

// checkExpiry: after a month nothing is known of an order that failed, although the table still has its receipt.
func (sim *simulation) checkExpiry() {
	time.Sleep(31 * 24 * time.Hour)
	for i, wi := range sim.wishes {
		if _, bad := badCarts()[kindOf(wi.cartID)]; !bad || wi.orderID == "" {
			continue
		}
		sim.count("receipts expired")
		go func() {
			c := sim.request(fmt.Sprintf("latecomer %d", i), "get_order", wi.tenant, func(e *events.APIGatewayProxyRequest) {
				e.PathParameters = map[string]string{"orderId": wi.orderID}
			})
			if c.status != http.StatusNotFound {
				sim.broken("order %s: GET was answered %d after its receipt expired", wi.orderID, c.status)
			}
		}()
	}
	sim.settle()
}

// checkOrders: every 202 has one order record with the number and time of its answer and the right amounts, or says why not.
func (sim *simulation) checkOrders() map[string]world.Item {
	orders := map[string]world.Item{}
	for _, item := range sim.cloud.Table.Items() {
		if strings.HasPrefix(item.Text("SK"), "ORDER#") {
			orders[item.Text("id")] = item
		}
	}
	sim.add("recorded", len(orders))
	wanted := map[string]bool{}
	for _, wi := range sim.wishes {
		ids := map[string]bool{}
		if len(wi.posts) == 0 && wi.orderID != "" {
			ids[wi.orderID] = true // Another producer's.
		}
		for _, c := range wi.posts {
			if c.status == http.StatusAccepted {
				id, _ := c.data["orderId"].(string)
				ids[id] = true
				if number := c.data["orderNumber"]; number != sim.messages[id].OrderNumber {
					sim.broken("order %s was answered as %v and queued as %s", id, number, sim.messages[id].OrderNumber)
				}
				if c.header["Location"] != "/v1.0/orders/"+id {
					sim.broken("order %s was answered with the location %s", id, c.header["Location"])
				}
			}
		}
		for id := range ids {
			wanted[id] = true
			item := orders[id]
			if _, bad := badCarts()[kindOf(wi.cartID)]; bad {
				sim.count("failed for good")
				if item != nil {
					sim.broken("order %s was recorded with cart %s", id, wi.cartID)
				}
				continue
			}
			if item == nil {
				sim.broken("order %s was accepted and is not recorded", id)
				continue
			}
			sim.checkOrder(wi, id, item)
		}
	}
	for id, item := range orders {
		if !wanted[id] {
			if inv := sim.receipts[id]; inv == nil || inv.status == http.StatusAccepted {
				sim.broken("order %s is recorded and was never asked for", id)
			}
			sim.count("recorded though POST failed")
		}
		if !sim.listed[item.Text("tenantId")][id] {
			sim.broken("order %s is not listed", id)
		}
	}
	for tenant, listed := range sim.listed {
		for id := range listed {
			if orders[id].Text("tenantId") != tenant {
				sim.broken("order %s is listed for %s", id, tenant)
			}
		}
	}
	for _, item := range sim.cloud.Table.Items() {
		id := item.Text("id")
		if !strings.HasPrefix(item.Text("SK"), "RECEIPT#") || orders[id] != nil || item.Text("state") == "failed" {
			continue
		}
		if wanted[id] {
			sim.broken("receipt of order %s says %s for ever", id, item.Text("state"))
		}
		sim.count("receipts left by failed POSTs")
	}
	return orders
}

func (sim *simulation) checkOrder(wi *wish, id string, item world.Item) {
	want := map[string]string{
		"PK": "TENANT#" + wi.tenant, "tenantId": wi.tenant, "cartId": wi.cartID, "customerEmail": fmt.Sprint(wi.body["customerEmail"]),
	}
	if m, ok := sim.messages[id]; ok {
		want["orderNumber"], want["dateCreated"] = m.OrderNumber, m.DateCreated
		sim.checkDate(id, m.DateCreated)
	}
	if wi.date != "" {
		want["dateCreated"] = wi.date
	}
	for name, text := range want {
		if item.Text(name) != text {
			sim.broken("order %s has the %s %q, not %q", id, name, item.Text(name), text)
		}
	}
	subtotal, tax, total := sim.basketOf(wi.tenant, wi.cartID).totals()
	for name, text := range map[string]string{"subtotal": subtotal, "tax": tax, "total": total} {
		if got := item.Text(name); got != plain(text) {
			sim.broken("order %s has the %s %s, not %s", id, name, got, text)
		}
	}
}

// plain gives a decimal the form in which DynamoDB keeps numbers.
func plain(decimal string) string { return strings.TrimSuffix(strings.TrimRight(decimal, "0"), ".") }

// checkDate: the time of an order is the time of its acceptance, by the clock of whoever accepted it.
func (sim *simulation) checkDate(id, date string) {
	inv := sim.receipts[id]
	t, err := time.Parse(time.RFC3339Nano, date)
	if err != nil || inv == nil || t.Before(inv.began.Truncate(time.Microsecond)) || t.After(inv.ended) {
		sim.broken("order %s is dated %s, which is not when it was accepted", id, date)
	}
}

// checkNumbers: no two orders of a tenant share a number, and a number is missing only where an acceptance failed.
func (sim *simulation) checkNumbers(orders map[string]world.Item) {
	owner := map[string]string{}
	for _, item := range sim.cloud.Table.Items() {
		kind, _, _ := strings.Cut(item.Text("SK"), "#")
		if kind != "ORDER" && kind != "RECEIPT" || item.Text("orderNumber") == "" {
			continue
		}
		number := item.Text("tenantId") + " " + item.Text("orderNumber")
		if other := owner[number]; other != "" && other != item.Text("id") {
			sim.broken("%s belongs to %s and %s", number, other, item.Text("id"))
		}
		owner[number] = item.Text("id")
	}
	for id, item := range orders {
		if sim.numbers[item.Text("tenantId")+" "+item.Text("orderNumber")] == nil {
			sim.broken("order %s has the number %s, which was never given out", id, item.Text("orderNumber"))
		}
	}
	for number, inv := range sim.numbers {
		if owner[number] != "" {
			continue
		}
		sim.count("gaps in numbers")
		if inv.replayed {
			sim.count("  gaps: its twin with the same key was quicker")
			continue
		}
		if inv.status == http.StatusAccepted || inv.role == "order_creator_record" && inv.failures == 0 {
			sim.broken("%s is missing, although %s did not fail", number, inv.name)
		}
	}
}

// checkKeys: a repeated Idempotency-Key never makes a second order.
func (sim *simulation) checkKeys() {
	accepted := sim.accepted()
	for _, wi := range sim.wishes {
		if wi.key == "" {
			continue
		}
		ids := map[string]bool{}
		for _, c := range wi.posts {
			if id := accepted[c.inv]; id != "" {
				ids[id] = true
			}
			if id, ok := c.data["orderId"].(string); ok {
				ids[id] = true
			}
		}
		if len(ids) > 1 {
			sim.broken("key %s of %s made %d orders", wi.key, wi.tenant, len(ids))
		}
	}
}

// accepted returns the order that each invocation accepted, if it did.
func (sim *simulation) accepted() map[*invocation]string {
	ids := make(map[*invocation]string, len(sim.receipts))
	for id, inv := range sim.receipts {
		ids[inv] = id
	}
	return ids
}

// checkInvoices: every order has one invoice, with the bytes of that order, and points to it.
func (sim *simulation) checkInvoices(orders map[string]world.Item) {
	brand, logo := sim.brand()
	brands := []invoice.Brand{brand, brand, invoice.TextBrand(), invoice.TextBrand()}
	brands[0].Logo, brands[2].Logo = logo, logo
	invoices := 0
	for _, name := range sim.cloud.Objects() {
		if strings.HasPrefix(name, ordersBucket+"/") {
			invoices++
		}
	}
	if invoices != len(orders) {
		sim.broken("%d orders have %d invoices", len(orders), invoices)
	}
	for id, item := range orders {
		name := ordersBucket + "/" + item.Text("tenantId") + "/orders/order_" + id + ".pdf"
		object, ok := sim.cloud.Object(name)
		if !ok || item.Text("pdfUrl") != "s3://"+name {
			sim.broken("order %s points to the invoice %q; is there one: %v", id, item.Text("pdfUrl"), ok)
			continue
		}
		if object.Header.Get("Content-Type") != "application/pdf" || object.Header.Get("X-Amz-Server-Side-Encryption") != "AES256" {
			sim.broken("invoice of order %s was stored with %v", id, object.Header)
		}
		if !sim.isInvoice(id, object.Body, brands) {
			sim.broken("invoice of order %s is of something else", id)
		}
	}
}

func (sim *simulation) brand() (invoice.Brand, invoice.Logo) {
	company, _ := sim.cloud.Object(templatesBucket + "/branding/company.json")
	brand, err := invoice.ParseBrand(company.Body)
	if err != nil {
		sim.t.Fatal(err)
	}
	picture, _ := sim.cloud.Object(templatesBucket + "/branding/logo.png")
	logo, err := invoice.ParseLogo(picture.Body)
	if err != nil {
		sim.t.Fatal(err)
	}
	return brand, logo
}

// isInvoice reports whether the bytes are the invoice of a version of the order, with whatever branding could be read.
func (sim *simulation) isInvoice(id string, pdf []byte, brands []invoice.Brand) bool {
	tried := map[string]bool{}
	for _, v := range sim.history[id] {
		looks, _ := json.Marshal([]any{v.item["status"], v.item["paymentDetails"]})
		if tried[string(looks)] {
			continue
		}
		tried[string(looks)] = true
		o, err := decodeOrder(v.item)
		if err != nil {
			sim.broken("order %s cannot be read: %v", id, err)
			return true
		}
		for _, brand := range brands {
			if want, _, err := invoice.Render(o, brand); err == nil && bytes.Equal(want, pdf) {
				return true
			}
		}
	}
	return false
}

// decodeOrder reads an order as the store does.
func decodeOrder(item world.Item) (order.Order, error) {
	c := world.New(tableName, time.Now)
	c.Table.Restore(item)
	client := dynamodb.NewFromConfig(aws.Config{
		Region: "eu-west-1", HTTPClient: &http.Client{Transport: c}, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	return store.New(client, tableName, time.Now).Order(context.Background(), item.Text("tenantId"), item.Text("id"))
}

// checkMails: both mails went out, and more than once only where nobody could know that one had gone out before.
func (sim *simulation) checkMails(orders map[string]world.Item) {
	roles := map[string]string{"internal": "order_internal_notifier", "customer": "customer_order_confirmation"}
	for id := range orders {
		for kind, role := range roles {
			mails := sim.mails[kind+" "+id]
			if len(mails) == 0 {
				sim.broken("order %s: no %s mail was sent", id, kind)
				continue
			}
			for i, m := range mails[1:] {
				sim.count("mails sent twice")
				before := mails[i]
				switch {
				case m.known:
					sim.broken("order %s: a second %s mail, although the ledger knew of the first", id, kind)
				case !before.answered && !before.by.dead():
					sim.count("  twice: answer of SES lost")
				case before.by.dead():
					sim.count("  twice: process died")
				case before.noting:
					sim.count("  twice: ledger not written")
				default:
					sim.broken("order %s: a second %s mail by %s, after %s had sent one", id, kind, m.by.name, before.by.name)
				}
			}
			if mails[len(mails)-1].by.role != role {
				sim.broken("order %s: %s mail by %s", id, kind, mails[0].by.role)
			}
		}
	}
	sim.add("mails", len(sim.cloud.Mails()))
	for _, m := range sim.cloud.Mails() {
		id := m.Tags["orderId"]
		item := orders[id]
		to := team
		if m.Tags["mail"] == "customer" {
			to = item.Text("customerEmail")
		}
		if item == nil || !slices.Equal(m.To, []string{to}) || !strings.HasSuffix(m.Subject, ": "+item.Text("orderNumber")) {
			sim.broken("mail %q to %v for order %s", m.Subject, m.To, id)
		}
		for _, tenant := range tenants() {
			if tenant != item.Text("tenantId") && strings.Contains(m.Subject+m.Text+m.HTML+strings.Join(m.To, ""), marker(tenant)) {
				sim.broken("mail for order %s of %s speaks of %s", id, item.Text("tenantId"), tenant)
			}
		}
	}
}

// checkDeadLetters: only what can never succeed is left, and nothing that can is.
func (sim *simulation) checkDeadLetters() {
	accepted := sim.accepted()
	kinds := map[string]string{}
	for _, wi := range sim.wishes {
		if wi.orderID != "" {
			kinds[wi.orderID] = kindOf(wi.cartID)
		}
		for _, c := range wi.posts {
			kinds[accepted[c.inv]] = kindOf(wi.cartID)
		}
	}
	dead := map[string]bool{}
	noise := map[string]int{}
	for _, s := range sim.sources {
		if n := len(s.queue.Messages()); n > 0 {
			sim.broken("%d messages are left on %s", n, s.queue.Name)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(s.queue.Name, "bbws-order-"), "-dev")
		for _, m := range s.queue.Dead().Messages() {
			id := orderOf(m.Body)
			if _, bad := badCarts()[kinds[id]]; bad && name == "creation" {
				dead[id] = true
			} else if id == m.Body {
				noise[name]++
			} else {
				sim.broken("a good message is in the dead-letter queue of %s: %s", name, m.Body)
			}
		}
	}
	if !maps.Equal(noise, sim.deadNoise) {
		sim.broken("dead-letter queues hold %v, not %v", noise, sim.deadNoise)
	}
	for _, wi := range sim.wishes {
		if _, bad := badCarts()[kindOf(wi.cartID)]; bad && wi.orderID != "" && !dead[wi.orderID] {
			sim.broken("the message for order %s with cart %s is in no dead-letter queue", wi.orderID, wi.cartID)
		}
	}
}

// checkChanges replays every order's history against a model: statuses move along the edges that the contract has, and every
// version is the one before with one update applied, so that none is lost.
func (sim *simulation) checkChanges() {
	done := map[*invocation]int{}
	for id, versions := range sim.history {
		for i, v := range versions {
			if i == 0 {
				if v.by.role != "order_creator_record" || v.item.Text("status") != "pending" {
					sim.broken("order %s began as %s by %s", id, v.item.Text("status"), v.by.name)
				}
				continue
			}
			was := versions[i-1].item
			want := maps.Clone(was)
			switch v.by.role {
			case "order_pdf_creator":
				want["pdfUrl"] = v.item["pdfUrl"]
			case "update_order":
				done[v.by]++
				u := sim.changes[v.by]
				if u == nil || u.orderID != id {
					sim.broken("order %s was changed by %s, which was not asked to", id, v.by.name)
					continue
				}
				if err := apply(want, u.update); err != nil {
					sim.broken("order %s: %s by %s", id, err, v.by.name)
				}
				if u.ifMatch != "" && u.ifMatch != `"`+was.Text("dateLastUpdated")+`"` {
					sim.broken("order %s was changed from %s although If-Match was %s", id, was.Text("dateLastUpdated"), u.ifMatch)
				}
				if v.item.Text("dateLastUpdated") <= was.Text("dateLastUpdated") {
					sim.broken("order %s went back in time: %s after %s", id, v.item.Text("dateLastUpdated"), was.Text("dateLastUpdated"))
				}
				want["dateLastUpdated"], want["lastUpdatedBy"] = v.item["dateLastUpdated"], v.item["lastUpdatedBy"]
			default:
				sim.broken("order %s was changed by %s", id, v.by.name)
			}
			if a, b := text(want), text(v.item); a != b {
				sim.broken("order %s: %s made\n%s of\n%s", id, v.by.name, b, a)
			}
		}
	}
	for inv, u := range sim.changes {
		sim.checkAnswer(inv, u, done[inv])
	}
}

// checkAnswer holds the answer to a PUT against what it did.
func (sim *simulation) checkAnswer(inv *invocation, u *change, effects int) {
	shown, _ := u.call.data["dateLastUpdated"].(string)
	switch {
	case effects > 1:
		sim.broken("order %s: %s took effect %d times", u.orderID, inv.name, effects)
	case u.call.status == http.StatusOK:
		i := slices.IndexFunc(sim.history[u.orderID], func(v version) bool { return v.item.Text("dateLastUpdated") == shown })
		if i < 0 || u.call.header["ETag"] != `"`+shown+`"` {
			sim.broken("order %s: %s answered a version of %s, which never was", u.orderID, inv.name, shown)
		} else if effects == 1 && sim.history[u.orderID][i].by != inv {
			sim.broken("order %s: %s answered somebody else's version", u.orderID, inv.name)
		}
		if status, ok := u.update["status"].(string); ok && u.call.data["status"] != status {
			sim.broken("order %s: %s asked for %s and answered %v", u.orderID, inv.name, status, u.call.data["status"])
		}
	case u.call.status == http.StatusConflict:
		if effects == 1 {
			sim.count("409 after it took effect") // Its answer was lost, and somebody else's update came before the second try.
		}
		if !sim.lostRace(inv, u) {
			sim.broken("order %s: %s answered 409 %s, although nobody else came in between", u.orderID, inv.name, u.call.code)
		}
	case u.call.status >= http.StatusBadRequest && u.call.status < http.StatusInternalServerError && effects > 0:
		sim.broken("order %s: %s answered %d and took effect", u.orderID, inv.name, u.call.status)
	}
}

// lostRace reports whether a PUT had a reason to be answered 409: somebody else updated the order while it ran, and after its own
// effect if it had one; or the order was not yet recorded when it began.
func (sim *simulation) lostRace(inv *invocation, u *change) bool {
	versions := sim.history[u.orderID]
	if u.call.code == "order_not_recorded" {
		return len(versions) == 0 || versions[0].serial > inv.since
	}
	since := inv.since
	for _, v := range versions {
		if v.by == inv {
			since = v.serial
		}
	}
	return slices.ContainsFunc(versions, func(v version) bool {
		return v.by != inv && v.by.role == "update_order" && since < v.serial && v.serial <= inv.until
	})
}

// apply is the model of an update: the table of transitions of the contract, written out once more.
func apply(item world.Item, update map[string]any) error {
	edges := map[string][]string{
		"pending":         {"payment_pending", "paid", "cancelled"},
		"payment_pending": {"paid", "cancelled"},
		"paid":            {"processing", "refunded"},
		"processing":      {"completed", "refunded"},
		"completed":       {"refunded"},
	}
	from := item.Text("status")
	if to, ok := update["status"].(string); ok && to != from {
		if !slices.Contains(edges[from], to) {
			return fmt.Errorf("moved from %s to %s", from, to)
		}
		item["status"] = world.Value{S: &to}
		from = to
	}
	details, ok := update["paymentDetails"].(map[string]any)
	if !ok {
		return nil
	}
	if from == "pending" || from == "cancelled" {
		return fmt.Errorf("took payment details while %s", from)
	}
	merged := map[string]world.Value{}
	if old := item["paymentDetails"].M; old != nil {
		merged = maps.Clone(*old)
	}
	for name, v := range details {
		s, _ := v.(string)
		merged[name] = world.Value{S: &s}
	}
	item["paymentDetails"] = world.Value{M: &merged}
	return nil
}

func text(item world.Item) string {
	data, _ := json.Marshal(item)
	return string(data)
}

// checkTenants: no item mixes two tenants.
func (sim *simulation) checkTenants() {
	for _, item := range sim.cloud.Table.Items() {
		owner := strings.TrimPrefix(item.Text("PK"), "TENANT#")
		content := text(item)
		for _, tenant := range tenants() {
			if tenant != owner && (strings.Contains(content, marker(tenant)) || strings.Contains(content, `"`+tenant+`"`)) {
				sim.broken("%s|%s speaks of %s", item.Text("PK"), item.Text("SK"), tenant)
			}
		}
	}
}
