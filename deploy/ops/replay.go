package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

func replayDocumentCommand() command {
	return command{
		name: "replay document", args: "ID|NUMBER", does: "make an order's missing documents", least: 1, most: 1,
		changes: true, needs: []setting{table, environment, documents},
		setUp: func(f *flag.FlagSet) action {
			tenant := f.String("tenant", "", "whose order it is")
			return func(ctx context.Context, o *operator, args []string) error {
				about, err := o.recorded(ctx, *tenant, args[0])
				if err != nil {
					return err
				}
				return o.replayDocuments(ctx, about)
			}
		},
	}
}

func replayMailCommand() command {
	return command{
		name: "replay mail", args: "ID|NUMBER", does: "send an order's mails that did not go out", least: 1, most: 1,
		changes: true, needs: []setting{table, environment},
		setUp: func(f *flag.FlagSet) action {
			tenant := f.String("tenant", "", "whose order it is")
			role := f.String("role", "", "only mails of this role: "+teamMail+" or "+customer)
			sequence := f.Int("sequence", 0, "only mails about this entry of the history")
			again := f.Bool("again", false, "also a mail that went out; needs -role and -sequence")
			return func(ctx context.Context, o *operator, args []string) error {
				if *again && (*role == "" || *sequence == 0) {
					return errors.New("-again needs -role and -sequence: one mail at a time is sent twice")
				}
				about, err := o.recorded(ctx, *tenant, args[0])
				if err != nil {
					return err
				}
				return o.replayMails(ctx, about, *role, *sequence, *again)
			}
		},
	}
}

func replayEventCommand() command {
	return command{
		name: "replay event", args: "ID|NUMBER", does: "publish an order's history again, to everybody", least: 1, most: 1,
		changes: true, needs: []setting{table, topic},
		setUp: func(f *flag.FlagSet) action {
			tenant := f.String("tenant", "", "whose order it is")
			sequence := f.Int("sequence", 0, "only this entry of the history")
			return func(ctx context.Context, o *operator, args []string) error {
				about, err := o.recorded(ctx, *tenant, args[0])
				if err != nil {
					return err
				}
				return o.replayEvents(ctx, about, *sequence)
			}
		},
	}
}

// recorded resolves an order that must be recorded and not deleted.
func (o *operator) recorded(ctx context.Context, tenant, name string) (order.Order, error) {
	about, err := o.resolve(ctx, tenant, name)
	switch {
	case err != nil:
		return order.Order{}, err
	case !about.Active:
		return order.Order{}, order.ErrDeleted
	case !about.Recorded():
		return order.Order{}, fmt.Errorf("order %s is not recorded: its message makes it, see ops trail", about.ID)
	}
	return about, nil
}

// A loss is a document that is not where it should be.
type loss struct {
	kind  order.DocumentKind
	what  string // is wrong
	noted bool   // the order says that it is issued
	left  string // why it cannot be made again, or ""
}

// losses returns the documents that an order's history calls for and that are
// not issued, and those that it notes and that have no object. A legal document
// keeps its number only as long as it is in its series: one that the series has
// lost is not made again, nor is one whose object is there already.
func losses(
	about order.Order, numbered func(order.DocumentKind) bool, hasObject func(order.DocumentKind) (bool, error),
) ([]loss, error) {
	var all []loss
	add := func(k order.DocumentKind, noted bool) error {
		there, err := hasObject(k)
		if err != nil {
			return err
		}
		l := loss{kind: k, noted: noted, what: string(k) + " is due and not issued"}
		if noted {
			l.what = string(k) + " has no object"
		}
		switch lost := k.Series() != "" && !numbered(k); {
		case lost && there:
			l.what, l.left = string(k)+" is not in its series", "the object may be the only copy"
		case lost && noted:
			l.left = "its number is not in its series"
		case there && noted:
			return nil
		}
		all = append(all, l)
		return nil
	}
	for _, d := range order.DocumentsDue(about) {
		if err := add(d.Kind, false); err != nil {
			return nil, err
		}
	}
	for _, d := range about.Documents {
		if err := add(d.Kind, true); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (o *operator) replayDocuments(ctx context.Context, about order.Order) error {
	numbers := map[order.DocumentKind]bool{}
	for d, err := range o.orders.LegalDocuments(ctx, about.TenantID, about.ID) {
		if err != nil {
			return err
		}
		numbers[d.Kind] = true
	}
	all, err := losses(about, func(k order.DocumentKind) bool { return numbers[k] },
		func(k order.DocumentKind) (bool, error) { return o.isThere(ctx, about, k) })
	if err != nil {
		return err
	}
	if len(all) == 0 {
		o.progress.say("every document of " + about.Number + " is there")
	}
	for _, l := range all {
		done := "left: " + l.left
		if l.left == "" {
			if done, err = o.remake(ctx, about, l); err != nil {
				return err
			}
		}
		o.out.row("document", "order", about.ID, "number", about.Number, "what", l.what, "done", done)
	}
	return nil
}

// remake lets the document creator make a document that is lost: it issues what
// is due, whichever event wakes it. A legal document keeps its number, its day
// and its supplier, which are in the table.
func (o *operator) remake(ctx context.Context, about order.Order, l loss) (done string, err error) {
	done = o.did("made again")
	if !o.act {
		return done, nil
	}
	if l.noted {
		if err := o.orders.ForgetDocument(ctx, about.TenantID, about.ID, l.kind); err != nil {
			return "", err
		}
	}
	return done, o.tell(ctx, pdfCreator, about, about.History[0])
}

// A dueMail is one that an entry of an order's history calls for.
type dueMail struct {
	role  string
	entry order.Entry
	known bool             // the ledger knows it
	note  store.LedgerMail // what it says
}

// mailsDue returns the mails that an order's history calls for, with what is
// in the ledger about each.
func (o *operator) mailsDue(about order.Order, ledger []store.LedgerMail) []dueMail {
	var all []dueMail
	for _, role := range mailRoles() {
		l := o.line(role)
		for _, e := range about.History {
			if !l.serves(e.Type) {
				continue
			}
			m := dueMail{role: role, entry: e}
			for _, note := range ledger {
				if note.Role == role && note.Sequence == e.Sequence {
					m.known, m.note = true, note
				}
			}
			all = append(all, m)
		}
	}
	return all
}

func (o *operator) replayMails(ctx context.Context, about order.Order, role string, sequence int, again bool) error {
	var ledger []store.LedgerMail
	for m, err := range o.orders.Mails(ctx, about.TenantID, about.ID) {
		if err != nil {
			return err
		}
		ledger = append(ledger, m)
	}
	found := false
	for _, m := range o.mailsDue(about, ledger) {
		if role != "" && m.role != role || sequence != 0 && m.entry.Sequence != sequence {
			continue
		}
		found = true
		done, err := o.replayMail(ctx, about, m, again)
		if err != nil {
			return err
		}
		o.out.row("mail", "order", about.ID, "number", about.Number, "sequence", m.entry.Sequence, "event", m.entry.Type,
			"role", m.role, "done", done)
	}
	if !found {
		return errors.New("the order's history calls for no such mail")
	}
	return nil
}

// replayMail sends the event of a mail to its role alone, which sends the mail
// unless the ledger says that it went out.
func (o *operator) replayMail(ctx context.Context, about order.Order, m dueMail, again bool) (done string, err error) {
	words := "sent"
	switch {
	case m.note.Sent() && !again:
		return "left: it went out, SES id " + m.note.MessageID, nil
	case m.note.ClaimedUntil.After(o.now()):
		return "left: it is being sent, until " + m.note.ClaimedUntil.UTC().Format("15:04:05"), nil
	case m.note.Sent():
		words = "sent again"
	}
	if !o.act {
		return o.did(words), nil
	}
	if m.note.Sent() {
		if err := o.orders.ForgetMail(ctx, m.note.Mail); err != nil {
			return "", err
		}
	}
	return o.did(words), o.tell(ctx, m.role, about, m.entry)
}

func (o *operator) replayEvents(ctx context.Context, about order.Order, sequence int) error {
	entries := about.History
	if sequence != 0 {
		e, ok := about.Entry(sequence)
		if !ok {
			return fmt.Errorf("the history of %s has %d entries", about.Number, len(about.History))
		}
		entries = []order.Entry{e}
	}
	for _, e := range entries {
		done := "left: it is told to nobody"
		if e.Told() {
			done = o.did("published")
		}
		if o.act {
			if err := o.publish(ctx, about, []order.Entry{e}); err != nil {
				return err
			}
		}
		o.out.row("event", "order", about.ID, "sequence", e.Sequence, "event", e.Type, "done", done)
	}
	return nil
}
