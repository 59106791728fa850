package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// thisYear is the year that numbers carry now.
func thisYear() int { return order.NewTimestamp(time.Now()).Year() }

func TestVerifyMends(t *testing.T) {
	s := newStage(t)
	o := s.change(s.place("a@example.com"), order.Paid)
	other := s.place("b@example.com")
	mails := append(s.mails(o), s.mails(other)...)
	proForma, invoice := s.object(other, order.ProForma), s.object(o, order.TaxInvoice)

	t.Run("finds nothing where all is well", func(t *testing.T) {
		is := is.New(t)
		has(is, s.ops("verify", "-settle", "0s"), "2       0       0")
	})
	s.loseObject(other, order.ProForma)
	s.loseObject(o, order.TaxInvoice)
	s.must(s.orders.ForgetDocument(t.Context(), tenant, o.ID, order.ProForma))
	s.lose("NUMBER#" + o.Number)
	s.rewind("TENANT#"+tenant, fmt.Sprintf("COUNTER#ORDER#%d", thisYear()), "1")
	s.rewind("SUPPLIER#"+order.PlainSupplier().ID(), fmt.Sprintf("COUNTER#INV#%d", thisYear()), "0")
	spoilt := s.items()

	t.Run("says what it would do", func(t *testing.T) {
		is := is.New(t)
		for _, flags := range [][]string{nil, {"-fix"}, {"-yes"}} {
			out, err := s.run(append([]string{"verify", "-settle", "0s"}, flags...)...)
			is.True(err != nil) // not all is well
			has(is, out, "not found by its number", "stands at 1, below 2", "stands at 0, below 1",
				"pro_forma has no object", "tax_invoice has no object", "pro_forma is due and not issued")
			is.Equal(s.items(), spoilt) // nothing was changed
		}
	})
	t.Run("and does it", func(t *testing.T) {
		is := is.New(t)
		has(is, s.ops("verify", "-settle", "0s", "-fix", "-yes"),
			"made findable", "raised to 2", "raised to 1", "made again", "2       6       0")
		s.work()
		has(is, s.ops("verify", "-settle", "0s"), "2       0       0")
		is.Equal(s.object(other, order.ProForma), proForma) // the same bytes
		is.Equal(s.object(o, order.TaxInvoice), invoice)
		is.Equal(append(s.mails(o), s.mails(other)...), mails) // nobody had a mail twice
		is.Equal(s.place("c@example.com").Number, order.FormatNumber(thisYear(), 3))
	})
}

func TestVerifyLeaves(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o, gone := s.place("a@example.com"), s.change(s.place("b@example.com"), order.Paid)
	unsent := s.place("c@example.com")
	failed := s.accept(creation("d@example.com"))
	s.must(s.orders.Fail(t.Context(), tenant, failed.ID, "cart not found"))
	accepted := s.accept(creation("e@example.com"))
	s.lose("ORDER#" + gone.ID)
	s.lose("MAIL#" + o.ID + "#" + customer + "#1")
	s.lose("MAIL#" + unsent.ID + "#" + teamMail + "#1")
	s.must(s.orders.ClaimMail(t.Context(), store.Mail{
		TenantID: tenant, OrderID: unsent.ID, Role: teamMail, Sequence: 1, Claim: "dead",
	}, time.Now().Add(-time.Minute)))
	s.lose("DOCUMENT#" + gone.ID + "#tax_invoice")
	before := s.items()

	out, err := s.run("verify", "-settle", "0s", "-fix", "-yes")
	is.True(err != nil)
	has(is, out, "accepted and not recorded since "+accepted.DateCreated.String(), "failed: cart not found",
		"object without its order", "mail of "+teamMail+" about entry 2 without its order",
		"is not in the ledger", "was begun and is not sent", "0 documents for 1 numbers")
	is.Equal(s.items(), before)                  // nothing of it can be mended safely
	is.Equal(len(s.take(s.lineOf(customer))), 0) // no mail is tried unasked

	out, err = s.run("verify", "-settle", "0s", "-fix", "-yes", "-mails")
	is.True(err != nil) // the rest is still there
	is.Equal(strings.Count(out, "  sent\n"), 2)
	is.Equal(len(s.take(s.lineOf(customer))), 1)
	is.Equal(len(s.take(s.lineOf(teamMail))), 1)

	out, err = s.run("verify", "-settle", "1h")
	is.True(err != nil)
	is.True(!strings.Contains(out, "ledger") && !strings.Contains(out, "accepted and")) // they may be on their way
}

func (s *stage) lineOf(role string) string { return s.operator().line(role).queue }

// TestRestore follows the runbook: a table that is restored to an older state
// forgets the numbers that were given since.
func TestRestore(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	kept := s.change(s.place("a@example.com"), order.Paid)
	backup := s.items()
	lost := []order.Order{s.change(s.place("b@example.com"), order.Paid), s.place("c@example.com")}
	taken := map[string]bool{}
	for _, o := range append(lost, kept) {
		taken[o.Number] = true
		for _, d := range o.Documents {
			taken[d.Number] = true
		}
	}

	s.restore(backup)
	_, err := s.run("verify", "-settle", "0s", "-fix", "-yes", "-margin", "10")
	is.True(err != nil) // the lost orders' objects, and the gap in the series
	again := []order.Order{s.change(s.place("d@example.com"), order.Paid), s.place("e@example.com")}
	for _, o := range again {
		is.True(!taken[o.Number]) // no number twice
		for _, d := range o.Documents {
			is.True(d.Number == "" || !taken[d.Number])
		}
	}
	is.Equal(again[0].Number, order.FormatNumber(thisYear(), 14)) // three were given, ten may have been
	invoice, _ := again[0].Document(order.TaxInvoice)
	is.Equal(invoice.Number, order.FormatDocumentNumber("INV", thisYear(), 3)) // no gap that is not a document
}

// TestRestoreBeforeInvoice restores a table to the moment between a payment and
// its invoice, which is in the bucket under a number that the series forgot.
func TestRestoreBeforeInvoice(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o := s.change(s.place("a@example.com"), order.Paid)
	s.lose("DOCUMENT#" + o.ID + "#tax_invoice")
	s.rewind("SUPPLIER#"+order.PlainSupplier().ID(), fmt.Sprintf("COUNTER#INV#%d", thisYear()), "0")
	s.must(s.orders.ForgetDocument(t.Context(), tenant, o.ID, order.TaxInvoice))

	out, err := s.run("verify", "-settle", "0s", "-fix", "-yes")
	is.True(err != nil)
	has(is, out, "object that its order does not know", "tax_invoice is not in its series", "raised to 1")
	is.Equal(len(s.take(s.lineOf(pdfCreator))), 0) // another invoice is not issued over it
	out = s.ops("replay", "document", o.ID, "-yes")
	has(is, out, "left: the object may be the only copy")
	is.Equal(len(s.take(s.lineOf(pdfCreator))), 0)
}

// restore puts a copy of the table under a new name, as a restore does.
func (s *stage) restore(items []item) {
	s.Helper()
	name := s.env["DYNAMODB_TABLE_NAME"] + "-restored"
	s.must(emulator.CreateTable(s.Context(), s.dynamodb, name))
	for _, i := range items {
		_, err := s.dynamodb.PutItem(s.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: i})
		s.must(err)
	}
	s.env["DYNAMODB_TABLE_NAME"] = name
	s.orders = store.New(s.dynamodb, name, time.Now)
}

func TestVerifyTenantsOfObjects(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o := s.place("a@example.com")
	all := s.items()
	s.restore(slices.DeleteFunc(all, func(item) bool { return true }))
	out, err := s.run("verify", "-fix", "-yes")
	is.True(err != nil)
	has(is, out, "object without its order", o.Number, "raised to 1") // of a tenant that the table does not know
	is.Equal(s.place("a@example.com").Number, order.FormatNumber(thisYear(), 2))
}

func TestVerifyWhatCannotBe(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o, other := s.place("a@example.com"), s.change(s.place("b@example.com"), order.Paid)
	s.lose("NUMBER#" + o.Number)
	s.must(s.orders.NumberOrder(t.Context(), tenant, o.Number, other.ID)) // another order's now
	s.lose("DOCUMENT#" + other.ID + "#tax_invoice")
	s.loseObject(other, order.TaxInvoice)
	_, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(s.env["S3_ORDERS_BUCKET"]), Key: aws.String(tenant + "/orders/notes.txt"),
	})
	s.must(err)
	refused := store.Mail{TenantID: tenant, OrderID: o.ID, Role: customer, Sequence: 1, Claim: "c"}
	s.lose("MAIL#" + o.ID + "#" + customer + "#1")
	s.must(s.orders.ClaimMail(t.Context(), refused, time.Now().Add(time.Minute)))
	s.must(s.orders.MailFailed(t.Context(), refused, "address refused"))

	out, err := s.run("verify", "-settle", "0s", "-fix", "-yes", "-mails", "-tenant", tenant)
	is.True(err != nil)
	has(is, out, "its number leads to order "+other.ID, "notes.txt is no document", "failed: address refused",
		"left: its number is not in its series", "0       4\n") // nothing is mended
	is.Equal(len(s.take(s.lineOf(pdfCreator))), 0)
	is.Equal(len(s.take(s.lineOf(customer))), 0)
}
