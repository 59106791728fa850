package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

func TestRun(t *testing.T) {
	s := newStage(t)
	t.Run("names the commands", func(t *testing.T) {
		is := is.New(t)
		for _, args := range [][]string{nil, {"dlq"}, {"nothing"}} {
			_, err := s.run(args...)
			is.True(err != nil)
			for _, c := range commands() {
				has(is, s.stderr.String(), c.name+" "+c.args)
			}
		}
	})
	t.Run("wants its arguments", func(t *testing.T) {
		is := is.New(t)
		for _, args := range [][]string{{"find", "tenant-1"}, {"dlq", "list", "all"}, {"verify", "-no-such-flag"}} {
			_, err := s.run(args...)
			is.True(err != nil)
		}
	})
	t.Run("names every missing setting", func(t *testing.T) {
		is := is.New(t)
		err := run(t.Context(), []string{"verify"}, world{
			getenv: func(string) string { return "" }, stderr: &s.stderr, now: time.Now,
		})
		is.Equal(err.Error(), "missing in the environment: "+
			"DYNAMODB_TABLE_NAME, ENVIRONMENT, S3_ORDERS_BUCKET, S3_EMAIL_TEMPLATES_BUCKET")
	})
	t.Run("says why there are no clients", func(t *testing.T) {
		is := is.New(t)
		down := errors.New("no such profile")
		err := run(t.Context(), []string{"find", tenant, "ORD-2026-00001"}, world{
			getenv: func(string) string { return "x" }, now: time.Now,
			connect: func(context.Context) (clients, error) { return clients{}, down },
		})
		is.True(errors.Is(err, down))
	})
	t.Run("prints JSON", func(t *testing.T) {
		is := is.New(t)
		o := s.place("a@example.com")
		var row struct{ Row, Number, ID, State string }
		is.NoErr(json.Unmarshal([]byte(s.ops("find", "-json", tenant, o.Number)), &row))
		is.Equal(row.Row, "order")
		is.Equal(row.ID, o.ID)
		is.Equal(row.State, "recorded")
	})
}

func TestPrinter(t *testing.T) {
	is := is.New(t)
	var b strings.Builder
	p := newPrinter(&b)
	p.row("one", "name", "a\tb\x1b[2J\n", "count", 1)
	p.row("one", "name", "longer", "count", 20)
	p.row("two", "other", "")
	is.NoErr(p.flush())
	// One line, and nothing that a terminal obeys.
	is.Equal(b.String(), "NAME      COUNT\na�b�[2J�  1\nlonger    20\n\nOTHER\n-\n")
}

func TestTrail(t *testing.T) {
	s := newStage(t)
	o := s.change(s.place("a@example.com"), order.Paid)
	s.die(pdfCreator, event(o, 1))
	failed := s.accept(creation("b@example.com"))
	s.must(s.orders.Fail(t.Context(), tenant, failed.ID, "cart not found"))

	t.Run("shows all there is", func(t *testing.T) {
		is := is.New(t)
		for _, name := range []string{o.ID, o.Number} {
			out := s.ops("trail", name)
			has(is, out, o.ID, "order.paid", teamMail, customer, "ses-", "pro_forma", "tax_invoice", "INV-", " bytes",
				s.operator().line(pdfCreator).dead)
		}
		is.Equal(len(s.take(s.operator().line(pdfCreator).dead)), 1) // the message is still there, and visible
	})
	t.Run("finds an order that is only accepted", func(t *testing.T) {
		is := is.New(t)
		has(is, s.ops("trail", failed.ID, "-tenant", tenant), "failed", "cart not found")
	})
	t.Run("looks into the queues if it is asked to", func(t *testing.T) {
		is := is.New(t)
		s.must(s.operator().tell(t.Context(), teamMail, o, o.History[0]))
		is.True(!strings.Contains(s.ops("trail", o.ID), s.lineOf(teamMail)))
		has(is, s.ops("trail", "-queues", o.ID), s.lineOf(teamMail))
	})
	t.Run("asks for the tenant where several have the number", func(t *testing.T) {
		is := is.New(t)
		c := creation("c@example.com")
		c.TenantID = "tenant-2"
		twin := s.accept(c)
		is.Equal(twin.Number, o.Number)
		s.must(s.orders.NumberOrder(t.Context(), "tenant-2", twin.Number, twin.ID))
		_, err := s.run("trail", o.Number)
		is.True(err != nil && strings.Contains(err.Error(), "tenant-2"))
		has(is, s.ops("trail", o.Number, "-tenant", "tenant-2"), twin.ID, "accepted")
	})
	t.Run("says that there is none", func(t *testing.T) {
		is := is.New(t)
		_, err := s.run("trail", order.NewID())
		is.True(errors.Is(err, order.ErrNotFound))
	})
}

func TestDeadLetters(t *testing.T) {
	s := newStage(t)
	o := s.place("a@example.com")
	mails := s.mails(o)
	dead := s.operator().line(customer).dead
	s.die(customer, event(o, 1))
	s.die(customer, "{")

	t.Run("counts", func(t *testing.T) {
		is := is.New(t)
		has(is, s.ops("dlq", "list"), dead, s.lineOf(recorder))
	})
	t.Run("shows why", func(t *testing.T) {
		is := is.New(t)
		out := s.ops("dlq", "show", "-queue", "customer")
		has(is, out, "mail went out", "message is malformed")
		has(is, s.ops("dlq", "show", "-queue", "customer", "-json"), `"body":"{"`)
		is.True(!strings.Contains(s.ops("dlq", "show", "-queue", "customer", "-reason", "went"), "malformed"))
		is.Equal(s.ops("dlq", "show", "-queue", "customer", "-older", "1h"), "")
		is.Equal(s.ops("dlq", "show", "-queue", "customer", "-order", order.NewID()), "")
	})
	t.Run("sends again, and nobody has a mail twice", func(t *testing.T) {
		is := is.New(t)
		has(is, s.ops("dlq", "redrive", "-queue", "customer", "-order", o.ID), "would be sent again")
		has(is, s.ops("dlq", "redrive", "-queue", "customer", "-order", o.ID, "-yes"), "sent again")
		s.work()
		is.Equal(s.mails(o), mails)
		is.True(!strings.Contains(s.ops("dlq", "show", "-queue", "customer"), o.ID)) // it left
	})
	t.Run("deletes only what it is told to", func(t *testing.T) {
		is := is.New(t)
		_, err := s.run("dlq", "drop", "-yes")
		is.True(err != nil) // not all there is
		has(is, s.ops("dlq", "drop", "-reason", "malformed", "-queue", "customer"), "would be deleted")
		has(is, s.ops("dlq", "drop", "-reason", "malformed", "-queue", "customer", "-yes"), "deleted")
		is.Equal(len(s.take(dead)), 0)
	})
}

// brokenSQS fails calls.
type brokenSQS struct {
	queueClient
	send, remove error
}

func (b brokenSQS) SendMessage(
	ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options),
) (*sqs.SendMessageOutput, error) {
	if b.send != nil {
		return nil, b.send
	}
	return b.queueClient.SendMessage(ctx, in, opts...)
}

func (b brokenSQS) DeleteMessage(
	ctx context.Context, in *sqs.DeleteMessageInput, opts ...func(*sqs.Options),
) (*sqs.DeleteMessageOutput, error) {
	if b.remove != nil {
		return nil, b.remove
	}
	return b.queueClient.DeleteMessage(ctx, in, opts...)
}

func TestRedriveLosesNothing(t *testing.T) {
	down := errors.New("down")
	for name, tt := range map[string]struct {
		broken     brokenSQS
		sent, dead int
	}{
		"not sent":    {brokenSQS{send: down}, 0, 2},
		"not deleted": {brokenSQS{remove: down}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			is := is.New(t)
			o := s.place("a@example.com")
			s.die(pdfCreator, event(o, 1))
			s.die(pdfCreator, event(o, 1))
			whole := s.sqs
			tt.broken.queueClient = whole
			s.sqs = tt.broken
			_, err := s.run("dlq", "redrive", "-yes", "-queue", "pdf")
			is.True(errors.Is(err, down))
			s.sqs = whole
			is.Equal(len(s.take(s.lineOf(pdfCreator))), tt.sent)
			is.Equal(len(s.take(s.operator().line(pdfCreator).dead)), tt.dead) // visible at once
		})
	}
}

func TestRedriveEvents(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o := s.place("a@example.com")
	var dead string
	for _, l := range s.operator().lines {
		if l.queue == "" {
			dead = l.dead
		}
	}
	body, err := json.Marshal(map[string]any{"orderId": o.ID, "tenantId": tenant, "sequence": 1, "sequenceNumber": "1"})
	is.NoErr(err)
	is.NoErr(s.operator().send(t.Context(), dead, string(body), tenant, ""))
	has(is, s.ops("dlq", "redrive", "-yes", "-queue", "events"), "event was not published", "sent again")
	is.Equal(len(s.take(dead)), 0)
	is.Equal(s.take(s.lineOf(customer)), []string{event(o, 1)}) // the event, to everybody
	is.Equal(len(s.take(s.lineOf(pdfCreator))), 1)
}

func TestReplayDocument(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o := s.change(s.place("a@example.com"), order.Paid)
	invoice, number := s.object(o, order.TaxInvoice), o.Documents[1].Number
	is.Equal(s.ops("replay", "document", o.Number, "-yes"), "") // all is there
	s.loseObject(o, order.TaxInvoice)
	has(is, s.ops("replay", "document", o.Number), "tax_invoice has no object", "would be made again")
	is.Equal(s.read(o.ID).Documents, o.Documents)
	has(is, s.ops("replay", "document", o.Number, "-yes"), "made again")
	s.work()
	is.Equal(s.read(o.ID).Documents[1].Number, number) // the number that it had
	is.Equal(s.object(o, order.TaxInvoice), invoice)   // and the same bytes
}

func TestReplayMail(t *testing.T) {
	s := newStage(t)
	o := s.place("a@example.com")
	once := s.mails(o)
	t.Run("not one that went out", func(t *testing.T) {
		is := is.New(t)
		has(is, s.ops("replay", "mail", o.ID, "-yes"), "left: it went out")
		_, err := s.run("replay", "mail", o.ID, "-yes", "-again")
		is.True(err != nil) // which?
		_, err = s.run("replay", "mail", o.ID, "-sequence", "2")
		is.True(err != nil) // there is none
		s.work()
		is.Equal(s.mails(o), once)
	})
	t.Run("again where it is asked for", func(t *testing.T) {
		is := is.New(t)
		args := []string{"replay", "mail", o.ID, "-again", "-role", customer, "-sequence", "1"}
		has(is, s.ops(args...), "would be sent again")
		has(is, s.ops(append(args, "-yes")...), "sent again")
		s.work()
		is.Equal(len(s.mails(o)), len(once)+1) // this one
	})
	t.Run("not while it is being sent", func(t *testing.T) {
		is := is.New(t)
		s.lose("MAIL#" + o.ID + "#" + customer + "#1")
		m := store.Mail{TenantID: tenant, OrderID: o.ID, Role: customer, Sequence: 1, Claim: "busy"}
		is.NoErr(s.orders.ClaimMail(t.Context(), m, time.Now().Add(time.Minute)))
		has(is, s.ops("replay", "mail", o.ID, "-yes", "-role", customer), "left: it is being sent")
		is.NoErr(s.orders.ReleaseMail(t.Context(), m))
		has(is, s.ops("replay", "mail", o.ID, "-yes", "-role", customer), "sent")
		is.Equal(len(s.take(s.lineOf(customer))), 1)
	})
}

func TestReplayEvent(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o := s.change(s.place("a@example.com"), order.Paid)
	is.NoErr(s.orders.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], customer, "refused"))
	has(is, s.ops("replay", "event", o.ID), "would be published", "left: it is told to nobody")
	is.Equal(len(s.take(s.lineOf(customer))), 0)
	s.ops("replay", "event", o.ID, "-yes")
	is.Equal(len(s.take(s.lineOf(customer))), 2) // one for each entry that is told
	s.ops("replay", "event", o.ID, "-yes", "-sequence", "2")
	is.Equal(s.take(s.lineOf(customer)), []string{event(o, 2)})
	_, err := s.run("replay", "event", o.ID, "-sequence", "9")
	is.True(err != nil)

	accepted := s.accept(creation("b@example.com"))
	_, err = s.run("replay", "event", accepted.ID)
	is.True(err != nil) // its message makes it
}

func TestErase(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	ended := s.change(s.change(s.place("a@example.com"), order.Paid), order.Refunded)
	invoice := s.object(ended, order.TaxInvoice)
	open, other := s.place("A@example.com"), s.place("b@example.com")
	mails := s.mails(ended)

	out := s.ops("erase", "a@example.com")
	has(is, out, "would be erased", "left: it is pending")
	is.Equal(s.read(ended.ID), ended) // nothing yet
	out = s.ops("erase", "a@example.com", "-yes")
	has(is, out, ended.Documents[1].Number+", "+ended.Documents[2].Number) // what the law wants kept
	s.work()

	now := s.read(ended.ID)
	text, err := json.Marshal(now)
	is.NoErr(err)
	is.True(!strings.Contains(strings.ToLower(string(text)), "a@example.com") && !strings.Contains(string(text), "Thandi"))
	is.Equal(now.Total, ended.Total)                                      // the books stay
	is.Equal(now.Documents, ended.Documents)                              // with their numbers
	is.Equal(s.object(now, order.TaxInvoice), invoice)                    // as they were issued
	is.True(s.object(now, order.ProForma) != "")                          // drawn anew
	is.Equal(s.mails(ended), mails)                                       // and nobody is told
	is.Equal(s.read(open.ID).CustomerEmail, "A@example.com")              // needs its customer
	is.Equal(s.read(other.ID), other)                                     // another's
	is.True(!strings.Contains(s.ops("erase", "a@example.com"), ended.ID)) // once
}

func TestExport(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o := s.change(s.place("a@example.com"), order.Paid)
	s.accept(creation("b@example.com"))
	dir := filepath.Join(t.TempDir(), "export")
	for range 2 { // an export that was cut off goes on
		has(is, s.ops("export", tenant, dir), "orders.ndjson", "objects")
	}
	file := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name))
		is.NoErr(err)
		return string(content)
	}
	is.Equal(strings.Count(file("orders.ndjson"), "\n"), 2)
	has(is, file("orders.ndjson"), o.ID, `"state":"accepted"`)
	is.Equal(strings.Count(file("mails.ndjson"), "\n"), 4)
	has(is, file("documents.ndjson"), o.Documents[1].Number)
	is.Equal(file("objects/"+objectKey(o.Documents[1])), s.object(o, order.TaxInvoice))
}

func TestSmoke(t *testing.T) {
	const id = "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d"
	var cancelled bool
	var answer string // of GET
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	write := func(w http.ResponseWriter, text string) { _, _ = w.Write([]byte(text)) }
	mux.HandleFunc("POST /v1.0/orders", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			http.Error(w, `{"message": "no token"}`, http.StatusUnauthorized)
			return
		}
		write(w, `{"data": {"orderId": "`+id+`", "orderNumber": "ORD-2026-00001"}}`)
	})
	mux.HandleFunc("GET /v1.0/orders/"+id, func(w http.ResponseWriter, _ *http.Request) { write(w, answer) })
	mux.HandleFunc("PUT /v1.0/orders/"+id, func(w http.ResponseWriter, _ *http.Request) {
		cancelled = true
		write(w, `{"data": {"status": "cancelled"}}`)
	})
	mux.HandleFunc("GET /good.pdf", func(w http.ResponseWriter, _ *http.Request) { write(w, "%PDF-1.7") })
	mux.HandleFunc("GET /bad.pdf", func(w http.ResponseWriter, _ *http.Request) { write(w, "<html>") })

	document := func(name string) string {
		return `{"data": {"state": "recorded", "status": "pending",
			"documents": [{"kind": "pro_forma", "url": "` + server.URL + "/" + name + `"}]}}`
	}
	whole := []string{"smoke", server.URL + "/", "-cart", "c", "-email", "a@example.com", "-yes", "-wait", "300ms"}
	for name, tt := range map[string]struct {
		token, answer string
		args          []string
		want          string // of the error, or ""
	}{
		"all is well":        {"good", document("good.pdf"), whole, ""},
		"no token":           {"", "", whole, "TOKEN"},
		"only said":          {"good", "", whole[:6], "-yes does it"},
		"a bad token":        {"bad", "", whole, "401"},
		"the cart is gone":   {"good", `{"data": {"state": "failed", "failureReason": "no cart"}}`, whole, "no cart"},
		"it takes too long":  {"good", `{"data": {"state": "accepted"}}`, whole, "deadline"},
		"the link is broken": {"good", document("bad.pdf"), whole, "no PDF"},
		"the link is dead":   {"good", document("none.pdf"), whole, "404"},
		"no JSON":            {"good", "<html>", whole, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			cancelled, answer = false, tt.answer
			var out, help strings.Builder
			err := run(t.Context(), tt.args, world{
				getenv: func(string) string { return tt.token }, stdout: &out, stderr: &help, now: time.Now,
			})
			is.Equal(cancelled, tt.want == "") // nobody ships it
			if tt.want != "" {
				is.True(err != nil && strings.Contains(err.Error(), tt.want))
				return
			}
			is.NoErr(err)
			has(is, out.String(), "accepted", "recorded", "pro_forma, 8 bytes", "cancelled")
		})
	}
}

func TestDeadReasons(t *testing.T) {
	s := newStage(t)
	is := is.New(t)
	o, deleted := s.place("a@example.com"), s.place("b@example.com")
	failed, unknown := s.accept(creation("c@example.com")), o
	unknown.ID = order.NewID()
	s.must(s.orders.Fail(t.Context(), tenant, failed.ID, "cart not found"))
	_, err := s.dynamodb.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 aws.String(s.env["DYNAMODB_TABLE_NAME"]),
		Key:                       item{"PK": text("TENANT#" + tenant), "SK": text("ORDER#" + deleted.ID)},
		UpdateExpression:          aws.String("SET active = :no"),
		ExpressionAttributeValues: item{":no": &dynamodbtypes.AttributeValueMemberBOOL{Value: false}},
	})
	s.must(err)
	want := map[string]string{
		o.ID: "order is recorded", deleted.ID: "order is deleted", failed.ID: "cart not found", unknown.ID: "order not found",
	}
	for id := range want {
		s.die(recorder, `{"orderId": "`+id+`", "tenantId": "`+tenant+`"}`)
	}
	s.die(pdfCreator, event(o, 1))
	want[o.ID+" pdf"] = "documents are issued"

	got := map[string]string{}
	for row := range strings.Lines(s.ops("dlq", "show", "-json")) {
		var m struct{ Queue, Order, Reason string }
		is.NoErr(json.Unmarshal([]byte(row), &m))
		if strings.Contains(m.Queue, "pdf") {
			m.Order += " pdf"
		}
		got[m.Order] = m.Reason
	}
	is.Equal(got, want)
}
