package store_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// A scene is a table in which a tenant has one order of each kind.
type scene struct {
	*store.Store
	tenant             string
	new                order.Creation // not accepted yet
	accepted, recorded order.Order
}

func newScene(t *testing.T) scene {
	s, tenant := newStore(t)
	tenant += "-" + order.NewID() // a test plays several scenes
	return scene{s, tenant, creation(tenant), accept(t, s, tenant), record(t, s, tenant)}
}

// An operation is a method of the store in one of its cases.
type operation struct {
	before func(context.Context, scene) error // makes it the case
	do     func(context.Context, scene) error
	want   error  // what comes of it
	calls  string // what goes over the wire
}

// operations returns every operation of the store: the rows of the README's
// table of costs.
func operations() map[string]operation {
	all := orderOperations()
	maps.Copy(all, readOperations())
	maps.Copy(all, documentAndMailOperations())
	return all
}

func orderOperations() map[string]operation {
	acceptNew := func(ctx context.Context, s scene) error { _, err := s.Accept(ctx, s.new); return err }
	acceptOnce := func(ctx context.Context, s scene) error { _, _, err := s.AcceptOnce(ctx, s.new, key); return err }
	recordAccepted := func(ctx context.Context, s scene) error { return s.Record(ctx, s.accepted) }
	updateBy := func(by string) func(context.Context, scene) error {
		return func(ctx context.Context, s scene) error {
			o := s.recorded
			if _, err := o.Apply(order.Update{Status: order.Cancelled, By: by}, minute); err != nil {
				return err
			}
			_, err := s.Update(ctx, o, s.recorded.DateLastUpdated)
			return err
		}
	}
	note := func(ctx context.Context, s scene) error {
		return s.NoteMailFailed(ctx, s.tenant, s.recorded.ID, s.recorded.History[0], "r", "refused")
	}
	return map[string]operation{
		"Accept":                  {do: acceptNew, calls: "UpdateItem PutItem"},
		"Accept, accepted before": {before: acceptNew, do: acceptNew, calls: "UpdateItem PutItem GetItem"},
		"AcceptOnce":              {do: acceptOnce, calls: "PutItem UpdateItem PutItem"},
		"AcceptOnce, repeated":    {before: acceptOnce, do: acceptOnce, calls: "PutItem GetItem GetItem"},
		"Record":                  {do: recordAccepted, calls: "PutItem PutItem"},
		"Record, recorded before": {
			before: recordAccepted, do: recordAccepted, want: order.ErrExists, calls: "PutItem PutItem GetItem",
		},
		"Update": {do: updateBy("me"), calls: "UpdateItem"},
		"Update, stale": {
			before: updateBy("you"), do: updateBy("me"), want: order.ErrChanged, calls: "UpdateItem GetItem",
		},
		"NoteMailFailed":        {do: note, calls: "GetItem UpdateItem"},
		"NoteMailFailed, again": {before: note, do: note, calls: "GetItem"},
		"Fail": {calls: "UpdateItem", do: func(ctx context.Context, s scene) error {
			return s.Fail(ctx, s.tenant, s.accepted.ID, "cart not found")
		}},
		"AddDocument": {calls: "UpdateItem", do: func(ctx context.Context, s scene) error {
			return s.AddDocument(ctx, s.tenant, s.recorded.ID, proForma(s.recorded.ID))
		}},
	}
}

func readOperations() map[string]operation {
	return map[string]operation{
		"Order": {calls: "GetItem", do: func(ctx context.Context, s scene) error {
			_, err := s.Order(ctx, s.tenant, s.recorded.ID)
			return err
		}},
		"OrderByID": {calls: "Query GetItem", do: func(ctx context.Context, s scene) error {
			_, err := s.OrderByID(ctx, s.recorded.ID)
			return err
		}},
		"OrderByNumber": {calls: "GetItem GetItem", do: func(ctx context.Context, s scene) error {
			_, err := s.OrderByNumber(ctx, s.tenant, s.recorded.Number)
			return err
		}},
		"List": {calls: "Query", do: func(ctx context.Context, s scene) error {
			_, err := s.List(ctx, store.ListQuery{TenantID: s.tenant, Size: 25, Sort: store.NewestFirst})
			return err
		}},
		"NumberedDocuments": {calls: "Query", do: func(ctx context.Context, s scene) error {
			_, err := s.NumberedDocuments(ctx, s.tenant, "INV", 2025)
			return err
		}},
	}
}

func documentAndMailOperations() map[string]operation {
	invoice := func(ctx context.Context, s scene) error {
		_, err := s.IssueDocument(ctx, s.tenant, s.recorded.ID, order.TaxInvoice, supplier(s.tenant))
		return err
	}
	claim := func(ctx context.Context, s scene) error { return s.ClaimMail(ctx, mail(s.tenant, "mine"), minute) }
	sent := func(ctx context.Context, s scene) error { return s.MailSent(ctx, mail(s.tenant, "mine"), "ses-1") }
	return map[string]operation{
		"IssueDocument":          {do: invoice, calls: "GetItem TransactWriteItems"},
		"IssueDocument, again":   {before: invoice, do: invoice, calls: "GetItem TransactWriteItems GetItem"},
		"ClaimMail":              {do: claim, calls: "UpdateItem"},
		"ClaimMail, sent before": {before: sent, do: claim, want: store.ErrMailSent, calls: "UpdateItem GetItem"},
		"MailSent":               {before: claim, do: sent, calls: "UpdateItem"},
		"MailFailed": {
			before: claim, calls: "UpdateItem",
			do: func(ctx context.Context, s scene) error { return s.MailFailed(ctx, mail(s.tenant, "mine"), "refused") },
		},
		"ReleaseMail": {
			before: claim, calls: "UpdateItem",
			do: func(ctx context.Context, s scene) error { return s.ReleaseMail(ctx, mail(s.tenant, "mine")) },
		},
	}
}

// play performs an operation in a scene of its own, the last part over a wire.
func (op operation) play(t *testing.T, w *wire) error {
	t.Helper()
	s := newScene(t)
	if op.before != nil {
		if err := op.before(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	s.Store = over(w)
	return op.do(t.Context(), s)
}

func TestCalls(t *testing.T) {
	for name, op := range operations() {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			w := &wire{}
			is.True(errors.Is(op.play(t, w), op.want))
			is.Equal(w.operations(), op.calls)
			for _, r := range w.sent {
				is.Equal(r.ConsistentRead, r.operation == "GetItem") // an index cannot be read consistently
			}
		})
	}
}

// TestFaultsComeThrough refuses every call of every operation, one after the
// other: none is taken for an answer.
func TestFaultsComeThrough(t *testing.T) {
	for name, op := range operations() {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			for n := range strings.Fields(op.calls) {
				err := op.play(t, &wire{refuse: n + 1})
				var fault smithy.APIError
				is.True(errors.As(err, &fault)) // whichever call it was
				is.Equal(fault.ErrorCode(), "AccessDeniedException")
			}
		})
	}
}
