package store_test

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// all returns the elements of a sequence that must not fail.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) (found []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, v)
	}
	return found
}

func TestPartitions(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	seller := supplier(tenant)
	for range 3 {
		record(t, s, tenant)
		record(t, s, tenant+"-other")
		issue(t, s, tenant, order.TaxInvoice, seller)
	}
	found := map[store.Partition]int{}
	for _, p := range all(t, s.Partitions(t.Context())) {
		found[p]++
	}
	is.Equal(found[store.Partition{TenantID: tenant}], 1) // once, whatever it holds
	is.Equal(found[store.Partition{TenantID: tenant + "-other"}], 1)
	is.Equal(found[store.Partition{SupplierID: tenant}], 1)
	for _, err := range s.Partitions(t.Context()) {
		is.NoErr(err)
		break // It can be left.
	}
}

func TestOrders(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	var want []string
	for range 5 {
		want = append(want, record(t, s, tenant).ID)
	}
	accepted := accept(t, s, tenant).ID
	deleteOrder(t, tenant, want[0])
	want = append(want, accepted)
	slices.Sort(want)
	var got []string
	for _, o := range all(t, s.Orders(t.Context(), tenant)) {
		got = append(got, o.ID)
	}
	is.Equal(got, want) // deleted and accepted ones, too, by id
	o, err := s.StoredOrder(t.Context(), tenant, accepted)
	is.NoErr(err)
	is.True(!o.Recorded())
	_, err = s.StoredOrder(t.Context(), tenant, order.NewID())
	is.True(errors.Is(err, order.ErrNotFound))
}

func TestOrdersUnreadable(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	i := rawOrder(t, tenant, o.ID)
	i["total"] = text("much")
	putRaw(t, i)
	var failed error
	for _, err := range s.Orders(t.Context(), tenant) {
		failed = err
	}
	is.True(failed != nil) // an order that cannot be read is not passed over
}

func TestLegalDocuments(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	seller := supplier(tenant)
	invoice, err := s.IssueDocument(t.Context(), tenant, o.ID, order.TaxInvoice, seller)
	is.NoErr(err)
	credit, err := s.IssueDocument(t.Context(), tenant, o.ID, order.CreditNote, seller)
	is.NoErr(err)
	issue(t, s, tenant, order.TaxInvoice, seller) // of another order
	is.Equal(all(t, s.LegalDocuments(t.Context(), tenant, o.ID)), []store.LegalDocument{
		{o.ID, order.CreditNote, credit}, {o.ID, order.TaxInvoice, invoice},
	})
	is.Equal(len(all(t, s.LegalDocuments(t.Context(), tenant, ""))), 3)
}

func TestMails(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	sent := store.Mail{TenantID: tenant, OrderID: o.ID, Role: "a", Sequence: 2, Claim: "one"}
	held := store.Mail{TenantID: tenant, OrderID: o.ID, Role: "b", Sequence: 10, Claim: "two"}
	until := noon.Add(time.Minute)
	is.NoErr(s.ClaimMail(t.Context(), sent, until))
	is.NoErr(s.MailSent(t.Context(), sent, "ses-1"))
	is.NoErr(s.ClaimMail(t.Context(), held, until))
	found := all(t, s.Mails(t.Context(), tenant, o.ID))
	is.Equal(len(found), 2)
	is.True(found[0].Sent() && found[0].MessageID == "ses-1" && found[0].Sequence == 2)
	is.True(!found[1].Sent() && found[1].ClaimedUntil.Equal(until) && found[1].Role == "b" && found[1].Sequence == 10)

	is.NoErr(s.ForgetMail(t.Context(), found[0].Mail))
	is.NoErr(s.ForgetMail(t.Context(), found[0].Mail)) // gone is gone
	is.Equal(len(all(t, s.Mails(t.Context(), tenant, ""))), 1)
	is.NoErr(s.ClaimMail(t.Context(), sent, until)) // and may be sent again
}

func TestMailsOfAnotherForm(t *testing.T) {
	for _, key := range []string{"MAIL#order", "MAIL#order#role#first"} {
		t.Run(key, func(t *testing.T) {
			is := is.New(t)
			s, tenant := newStore(t)
			putRaw(t, item{"PK": text("TENANT#" + tenant), "SK": text(key)})
			var failed error
			for _, err := range s.Mails(t.Context(), tenant, "") {
				failed = err
			}
			is.True(failed != nil)
		})
	}
}

func TestNumbers(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	one, two := record(t, s, tenant), accept(t, s, tenant)
	ids, err := s.Numbered(t.Context(), tenant, []string{one.Number, two.Number})
	is.NoErr(err)
	is.Equal(ids, map[string]string{one.Number: one.ID}) // the other is not recorded
	ids, err = s.Numbered(t.Context(), tenant, nil)
	is.NoErr(err)
	is.Equal(len(ids), 0)
	ids, err = s.Numbered(t.Context(), tenant, []string{"ORD-1999-00001"})
	is.NoErr(err)
	is.Equal(len(ids), 0) // none of them

	is.NoErr(s.NumberOrder(t.Context(), tenant, two.Number, two.ID))
	is.NoErr(s.NumberOrder(t.Context(), tenant, one.Number, two.ID)) // leads somewhere
	ids, err = s.Numbered(t.Context(), tenant, []string{one.Number, two.Number})
	is.NoErr(err)
	is.Equal(ids, map[string]string{one.Number: one.ID, two.Number: two.ID})
}

// What operators compare is read consistently.
func TestOperatorsReadConsistently(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	w := &wire{}
	s = over(w)
	is.Equal(all(t, s.Orders(t.Context(), tenant)), []order.Order{o})
	_, err := s.Counter(t.Context(), store.Partition{TenantID: tenant}, store.OrderSeries, 2025)
	is.NoErr(err)
	_, err = s.Numbered(t.Context(), tenant, []string{o.Number})
	is.NoErr(err)
	is.Equal(w.operations(), "Query GetItem BatchGetItem")
	for _, r := range w.sent {
		is.True(r.ConsistentRead || r.RequestItems[table].ConsistentRead)
	}
}

func TestRaiseCounter(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	orders := store.Partition{TenantID: tenant}
	value := func(p store.Partition, series string) int64 {
		n, err := s.Counter(t.Context(), p, series, 2025)
		is.NoErr(err)
		return n
	}
	is.Equal(value(orders, store.OrderSeries), int64(0)) // not there
	for _, n := range []int64{7, 3, 7} {
		is.NoErr(s.RaiseCounter(t.Context(), orders, store.OrderSeries, 2025, n))
		is.Equal(value(orders, store.OrderSeries), int64(7)) // never back
	}
	is.Equal(record(t, s, tenant).Number, "ORD-2025-00008")

	seller := supplier(tenant)
	invoices := store.Partition{SupplierID: seller.ID()}
	is.NoErr(s.RaiseCounter(t.Context(), invoices, order.TaxInvoice.Series(), 2025, 41))
	is.Equal(issue(t, s, tenant, order.TaxInvoice, seller).Number, "INV-2025-00042")
	is.Equal(value(invoices, order.TaxInvoice.Series()), int64(42))
}

func TestForgetDocument(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	is.NoErr(s.AddDocument(t.Context(), tenant, o.ID, proForma(o.ID)))
	is.NoErr(s.ForgetDocument(t.Context(), tenant, o.ID, order.ProForma))
	is.Equal(len(order.DocumentsDue(read(t, s, tenant, o.ID))), 1) // due again
	is.NoErr(s.ForgetDocument(t.Context(), tenant, o.ID, order.ProForma))
	err := s.ForgetDocument(t.Context(), tenant, accept(t, s, tenant).ID, order.ProForma)
	is.True(errors.Is(err, order.ErrNotFound)) // not recorded
}

func TestRewritePeople(t *testing.T) {
	t.Run("of a recorded order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		want := o
		want.CustomerEmail, want.CustomerName, want.LastUpdatedBy = "a@example.com", "", "b"
		want.BillingAddress = order.BillingAddress{Street: "s", City: "c", Province: "p", PostalCode: "1", Country: "ZA"}
		want.History = slices.Clone(o.History)
		want.History[0].By = "b"
		want.Items = slices.Clone(o.Items)
		want.Items[1].LastUpdatedBy = "b"
		is.NoErr(s.RewritePeople(t.Context(), want))
		is.Equal(read(t, s, tenant, o.ID), want) // and nothing else
	})
	t.Run("of an accepted order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		o, err := s.Accept(t.Context(), c)
		is.NoErr(err)
		o.CustomerEmail = "a@example.com"
		is.NoErr(s.RewritePeople(t.Context(), o))
		is.Equal(read(t, s, tenant, o.ID), o)
		is.NoErr(s.Record(t.Context(), priced(t, o, c)))
		is.True(errors.Is(s.RewritePeople(t.Context(), o), order.ErrChanged)) // recorded meanwhile
	})
	t.Run("not where somebody changed it", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		_, err := s.Update(t.Context(), apply(t, o, paid()), o.DateLastUpdated)
		is.NoErr(err)
		is.True(errors.Is(s.RewritePeople(t.Context(), o), order.ErrChanged))
	})
}
