package chaos

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/proof/world"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

const customerMailer = "customer_order_confirmation"

// checkDocuments: every order has the documents that its history calls for, each
// with the bytes that it has when it is made again; and a supplier's numbers have
// no gap and never come twice.
func (sim *simulation) checkDocuments(orders map[string]world.Item) {
	issued := sim.checkSeries()
	stored := 0
	for _, name := range sim.world.Objects() {
		if strings.HasPrefix(name, world.OrdersBucket+"/") {
			stored++
		}
	}
	noted := 0
	client := dynamodb.NewFromConfig(world.Config(sim.world))
	s := store.New(client, world.TableName, sim.clock)
	logo, err := invoice.ParseLogo(smallLogo())
	if err != nil {
		sim.t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(orders)) {
		item := orders[id]
		noted += len(*item["documents"].M)
		if _, gone := sim.deletion(id); gone {
			continue
		}
		o, err := s.Order(context.Background(), item.Text("tenantId"), id)
		if err != nil {
			sim.broken("order %s cannot be read: %v", id, err)
			continue
		}
		sim.checkDocumentsOf(o, issued, logo)
	}
	if stored < noted {
		sim.broken("%d documents are noted and %d stored", noted, stored)
	}
	sim.add("documents", stored)
	sim.add("documents made again", sim.twice)
}

// checkSeries: the numbers of every series are 1, 2, 3 …, and its counter is
// where they end. It returns the items of the documents, by their sort keys.
func (sim *simulation) checkSeries() map[string]world.Item {
	issued, series := map[string]world.Item{}, map[string][]string{}
	counters := map[string]string{}
	for _, item := range sim.world.Table.Items() {
		pk, sk := item.Text("PK"), item.Text("SK")
		switch {
		case strings.HasPrefix(sk, "DOCUMENT#"):
			issued[sk] = item
			key := item.Text("GSI2_PK")
			series[key] = append(series[key], item.Text("GSI2_SK"))
		case strings.HasPrefix(pk, "SUPPLIER#"):
			counters[pk+strings.TrimPrefix(sk, "COUNTER")] = item.Text("value")
		}
	}
	for key, numbers := range series {
		slices.Sort(numbers)
		for i, number := range numbers {
			parts := strings.Split(key, "#")
			if want := fmt.Sprintf("%s-%s-%05d", parts[2], parts[3], i+1); number != want {
				sim.broken("series %s has %s in place of %s", key, number, want)
				break
			}
		}
		if counters[key] != fmt.Sprint(len(numbers)) {
			sim.broken("series %s counts %s and has %d documents", key, counters[key], len(numbers))
		}
		sim.add("legal documents", len(numbers))
	}
	sim.add("series", len(series))
	return issued
}

// checkDocumentsOf: an order has a pro forma; a tax invoice if it was paid; and a
// credit note if it was refunded after that.
func (sim *simulation) checkDocumentsOf(o order.Order, issued map[string]world.Item, logo invoice.Logo) {
	due := map[order.DocumentKind]int{}
	for _, e := range o.History {
		switch e.Type {
		case order.EventCreated:
			due[order.ProForma] = e.Sequence
		case order.EventPaid:
			due[order.TaxInvoice] = e.Sequence
		case order.EventRefunded:
			if due[order.TaxInvoice] > 0 {
				due[order.CreditNote] = e.Sequence
			}
		default: // calls for no document
		}
	}
	if len(o.Documents) != len(due) {
		sim.broken("order %s has %d documents, not %d", o.ID, len(o.Documents), len(due))
	}
	for _, d := range o.Documents {
		sim.count("documents of kind " + string(d.Kind))
		name := world.OrdersBucket + "/" + invoice.Key(o.TenantID, o.ID, d.Kind)
		object, ok := sim.world.Object(name)
		if !ok || d.URL != "s3://"+name || due[d.Kind] == 0 {
			sim.broken(
				"order %s: its %s is at %q; is there one: %v; is one due: %v",
				o.ID,
				d.Kind,
				d.URL,
				ok,
				due[d.Kind] > 0,
			)
			continue
		}
		if object.Header.Get("Content-Type") != "application/pdf" ||
			object.Header.Get("X-Amz-Server-Side-Encryption") != "AES256" {
			sim.broken("the %s of order %s was stored with %v", d.Kind, o.ID, object.Header)
		}
		supplier := sim.supplierOf(o.TenantID)
		if d.Kind.Series() != "" {
			item := issued["DOCUMENT#"+o.ID+"#"+string(d.Kind)]
			if item.Text("number") != d.Number || item.Text("dateIssued") != d.DateIssued.String() ||
				!strings.Contains(item.Text("GSI2_PK"), "#"+supplier.ID()+"#"+d.Kind.Series()+"#") {
				sim.broken("order %s: its %s is %s and was issued as %s", o.ID, d.Kind, d.Number, text(item))
			}
		}
		then := o.At(due[d.Kind])
		then.Documents = slices.DeleteFunc(slices.Clone(o.Documents), func(other order.Document) bool {
			return slices.Index(order.DocumentKinds(), other.Kind) >= slices.Index(order.DocumentKinds(), d.Kind)
		})
		if pdf, _, err := invoice.Render(
			then,
			d,
			supplier,
			logoOf(o.TenantID, logo),
		); err != nil ||
			!bytes.Equal(pdf, object.Body) {
			sim.broken("order %s: its %s is another when it is made again (%v)", o.ID, d.Kind, err)
		}
	}
}

// logoOf returns the logo beside a tenant's company: only the common one has
// one.
func logoOf(tenant string, common invoice.Logo) invoice.Logo {
	if tenant == tenants()[0] {
		return common
	}
	return invoice.Logo{}
}

func (sim *simulation) supplierOf(tenant string) order.Supplier {
	for _, folder := range []string{"branding/" + tenant + "/", "branding/"} {
		if company, ok := sim.world.Object(world.TemplatesBucket + "/" + folder + "company.json"); ok {
			s, err := order.ParseSupplier(company.Body)
			if err != nil {
				sim.t.Fatal(err)
			}
			return s
		}
	}
	return order.PlainSupplier()
}

// checkMails: for every entry that has one, the mail went out, and more than once
// only where nobody could know that one had gone out before; where SES refuses
// the address, the ledger and the history say so instead.
func (sim *simulation) checkMails() {
	for id := range sim.history {
		item := sim.last(id)
		_, gone := sim.deletion(id)
		for _, role := range []string{"order_internal_notifier", customerMailer} {
			types := slices.Collect(maps.Values(mailTypes(role)))
			for i, e := range entries(item) {
				if !slices.Contains(types, textOf(e, "type")) {
					continue
				}
				mails := sim.mails[fmt.Sprintf("%s %s %d", id, role, i+1)]
				refused := strings.HasPrefix(item.Text("customerEmail"), "refused") && role == customerMailer
				if len(mails) == 0 && !gone && !refused {
					sim.broken("order %s: no mail about its %s by %s", id, textOf(e, "type"), role)
				}
				if refused && !gone {
					sim.checkRefusal(item, role, i+1, textOf(e, "type"))
				}
				sim.checkTwice(id, mails)
			}
		}
	}
	sim.add("mails", len(sim.world.Mails()))
	for _, m := range sim.world.Mails() {
		item := sim.last(m.Tags["orderId"])
		to := world.Team
		if slices.Contains(m.To, item.Text("customerEmail")) {
			to = item.Text("customerEmail")
		}
		if item == nil || !slices.Equal(m.To, []string{to}) ||
			!strings.HasSuffix(m.Subject, ": "+item.Text("orderNumber")) {
			sim.broken("mail %q to %v for order %s", m.Subject, m.To, item.Text("id"))
		}
		for _, tenant := range tenants() {
			if tenant != item.Text("tenantId") &&
				strings.Contains(m.Subject+m.Text+m.HTML+strings.Join(m.To, ""), marker(tenant)) {
				sim.broken("mail for order %s of %s speaks of %s", item.Text("id"), item.Text("tenantId"), tenant)
			}
		}
	}
}

func (sim *simulation) checkRefusal(item world.Item, role string, sequence int, about string) {
	id := item.Text("id")
	ledger := sim.world.Table.Item(item.Text("PK"), fmt.Sprintf("MAIL#%s#%s#%d", id, role, sequence))
	if ledger.Text("state") != "failed" || ledger.Text("reason") == "" {
		sim.broken("order %s: the ledger of its refused mail about %s says %s", id, about, text(ledger))
	}
	if !slices.ContainsFunc(entries(item), func(e map[string]world.Value) bool {
		return textOf(e, "type") == "mail.failed" && strings.HasPrefix(textOf(e, "reason"), about+" by "+role)
	}) {
		sim.broken("order %s: its history does not say that the mail about %s failed", id, about)
	}
}

func (sim *simulation) checkTwice(id string, mails []*sentMail) {
	for i, m := range mails[min(1, len(mails)):] {
		sim.count("mails sent twice")
		before := mails[i]
		switch {
		case m.known:
			sim.broken("order %s: a second mail by %s, although the ledger knew of the first", id, m.by.name)
		case !before.answered && !before.by.dead():
			sim.count("mails sent twice: answer of SES lost")
		case before.by.dead():
			sim.count("mails sent twice: process died")
		case before.noting:
			sim.count("mails sent twice: ledger not written")
		default:
			sim.broken("order %s: a second mail by %s, after %s had sent one", id, m.by.name, before.by.name)
		}
	}
}
