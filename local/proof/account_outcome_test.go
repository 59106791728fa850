package proof

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

// checkDocuments: every order has the documents that its history calls for, each
// with the bytes that it has when it is made again; and a supplier's numbers have
// no gap and never come twice.
func (a *Account) checkDocuments(orders map[string]Item) {
	issued := a.checkSeries()
	noted := 0
	for _, id := range sorted(orders) {
		item := orders[id]
		noted += len(documents(item))
		if _, gone := a.Deletion(id); gone {
			continue
		}
		o, err := a.Order(item.Text("tenantId"), id)
		if err != nil {
			a.Broken("order %s cannot be read: %v", id, err)
			continue
		}
		a.checkDocumentsOf(o, issued)
	}
	if len(a.Objects) < noted {
		a.Broken("%d documents are noted and %d stored", noted, len(a.Objects))
	}
	a.Add("documents", len(a.Objects))
}

// checkSeries: the numbers of every series are 1, 2, 3 …, and its counter is
// where they end. It returns the items of the documents, by their sort keys.
func (a *Account) checkSeries() map[string]Item {
	issued, series := map[string]Item{}, map[string][]string{}
	counters := map[string]string{}
	for _, item := range a.items {
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
				a.Broken("series %s has %s in place of %s", key, number, want)
				break
			}
		}
		if counters[key] != fmt.Sprint(len(numbers)) {
			a.Broken("series %s counts %s and has %d documents", key, counters[key], len(numbers))
		}
		a.Add("legal documents", len(numbers))
	}
	a.Add("series", len(series))
	return issued
}

// checkDocumentsOf: an order has a pro forma; a tax invoice if it was paid; and a
// credit note if it was refunded after that.
func (a *Account) checkDocumentsOf(o order.Order, issued map[string]Item) {
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
		a.Broken("order %s has %d documents, not %d", o.ID, len(o.Documents), len(due))
	}
	for _, d := range o.Documents {
		a.Count("documents of kind " + string(d.Kind))
		name := a.Bucket + "/" + invoice.Key(o.TenantID, o.ID, d.Kind)
		object, ok := a.Objects[name]
		if !ok || d.URL != "s3://"+name || due[d.Kind] == 0 {
			a.Broken("order %s: its %s is at %q; is there one: %v; is one due: %v", o.ID, d.Kind, d.URL, ok, due[d.Kind] > 0)
			continue
		}
		if object.Header.Get("Content-Type") != "application/pdf" ||
			object.Header.Get("X-Amz-Server-Side-Encryption") != "AES256" {
			a.Broken("the %s of order %s was stored with %v", d.Kind, o.ID, object.Header)
		}
		supplier, logo := a.Brand(o.TenantID)
		if d.Kind.Series() != "" {
			item := issued["DOCUMENT#"+o.ID+"#"+string(d.Kind)]
			if item.Text("number") != d.Number || item.Text("dateIssued") != d.DateIssued.String() ||
				!strings.Contains(item.Text("GSI2_PK"), "#"+supplier.ID()+"#"+d.Kind.Series()+"#") {
				a.Broken("order %s: its %s is %s and was issued as %s", o.ID, d.Kind, d.Number, text(item))
			}
		}
		then := o.At(due[d.Kind])
		then.Documents = slices.DeleteFunc(slices.Clone(o.Documents), func(other order.Document) bool {
			return slices.Index(order.DocumentKinds(), other.Kind) >= slices.Index(order.DocumentKinds(), d.Kind)
		})
		if pdf, _, err := invoice.Render(then, d, supplier, logo); err != nil || !bytes.Equal(pdf, object.Body) {
			a.Broken("order %s: its %s is another when it is made again (%v)", o.ID, d.Kind, err)
		}
	}
}

// checkMails: for every entry that has one, the mail went out, and more than once
// only where nobody could know that one had gone out before; where SES refuses
// the address, the ledger and the history say so instead.
func (a *Account) checkMails() {
	sent := map[string][]*SentMail{}
	for _, m := range a.Mails {
		sent[m.about] = append(sent[m.about], m)
	}
	for id := range a.history {
		item := a.Last(id)
		_, gone := a.Deletion(id)
		for _, role := range []string{teamMailer, customerMailer} {
			types := slices.Collect(maps.Values(mailTypes(role)))
			for i, e := range entriesOf(item) {
				if !slices.Contains(types, textOf(e, "type")) {
					continue
				}
				about := fmt.Sprintf("%s#%s#%d", id, role, i+1)
				refused := strings.HasPrefix(item.Text("customerEmail"), "refused") && role == customerMailer
				if len(sent[about]) == 0 && !gone && !refused {
					a.Broken("order %s: no mail about its %s by %s", id, textOf(e, "type"), role)
				}
				if refused && !gone {
					a.checkRefusal(item, about, textOf(e, "type")+" by "+role)
				}
				a.checkTwice(id, sent[about])
			}
		}
	}
	a.Add("mails", len(a.Mails))
	for _, m := range a.Mails {
		item := a.Last(m.Tags["orderId"])
		to := a.Team
		if slices.Contains(m.To, item.Text("customerEmail")) {
			to = item.Text("customerEmail")
		}
		if item == nil || !slices.Equal(m.To, []string{to}) ||
			!strings.HasSuffix(m.Subject, ": "+item.Text("orderNumber")) {
			a.Broken("mail %q to %v for order %s", m.Subject, m.To, item.Text("id"))
		}
		for _, tenant := range tenants() {
			if tenant != item.Text("tenantId") &&
				strings.Contains(m.Subject+m.Text+m.HTML+strings.Join(m.To, ""), marker(tenant)) {
				a.Broken("mail for order %s of %s speaks of %s", item.Text("id"), item.Text("tenantId"), tenant)
			}
		}
	}
}

// checkRefusal: the ledger and the history say that a mail was refused.
func (a *Account) checkRefusal(item Item, about, what string) {
	id := item.Text("id")
	ledger := a.item(item.Text("PK"), "MAIL#"+about)
	if ledger.Text("state") != "failed" || ledger.Text("reason") == "" {
		a.Broken("order %s: the ledger of its refused mail about %s says %s", id, what, text(ledger))
	}
	if !slices.ContainsFunc(entriesOf(item), func(e map[string]Value) bool {
		return textOf(e, "type") == "mail.failed" && strings.HasPrefix(textOf(e, "reason"), what)
	}) {
		a.Broken("order %s: its history does not say that the mail about %s failed", id, what)
	}
}

// checkTwice: whoever sends a mail again could not know of the one before.
func (a *Account) checkTwice(id string, mails []*SentMail) {
	for i, m := range mails[min(1, len(mails)):] {
		a.Count("mails sent twice")
		before := mails[i]
		switch {
		case m.Late:
			a.Count("mails sent twice: taken after the process died")
		case m.Known:
			a.Broken("order %s: a second mail by %s, although the ledger knew of the first", id, m.By.Name)
		case !before.Answered && !before.By.Died:
			a.Count("mails sent twice: answer of SES lost")
		case before.By.Died:
			a.Count("mails sent twice: process died")
		case before.Noting:
			a.Count("mails sent twice: ledger not written")
		default:
			a.Broken("order %s: a second mail by %s, after %s had sent one", id, m.By.Name, before.By.Name)
		}
	}
}
