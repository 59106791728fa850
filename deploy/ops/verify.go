package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

func verifyCommand() command {
	return command{
		name: "verify", does: "look for what is lost or does not fit, and mend it with -fix", changes: true,
		needs: []setting{table, environment, documents, templates},
		setUp: func(f *flag.FlagSet) action {
			v := verifier{}
			f.StringVar(&v.only, "tenant", "", "only this tenant; the gaps of series are not looked for then")
			f.BoolVar(&v.fix, "fix", false, "mend what can be mended")
			f.BoolVar(&v.mails, "mails", false,
				"-fix also sends mails that the ledger does not have; after a restore they may have gone out")
			f.DurationVar(&v.settle, "settle", 15*time.Minute, "what is younger may still be on its way")
			f.Int64Var(&v.margin, "margin", 0,
				"after a restore: raise counters of orders this far above the highest number that is found")
			return func(ctx context.Context, o *operator, _ []string) error {
				v.operator = o
				o.act = o.act && v.fix
				return v.verify(ctx)
			}
		},
	}
}

// A verifier compares what the table and the bucket say of orders. Each tenant
// is read once, in the order of the order ids, in which orders, documents,
// mails and objects all come: no more than a page of each is held.
type verifier struct {
	*operator
	only       string
	fix, mails bool
	settle     time.Duration
	margin     int64

	series   map[seriesOf]*taken
	supplier *invoice.Creator
	later    []finding // documents to be made, for which no counter may be low
	mended   int
	left     int
}

// A seriesOf is a series of numbers in a year.
type seriesOf struct {
	store.Partition
	series string
	year   int
}

// taken is what is known of the numbers of a series.
type taken struct{ highest, issued int64 }

// errLeft says that not all is well.
var errLeft = errors.New("not all is well")

func (v *verifier) verify(ctx context.Context) error {
	v.series = map[seriesOf]*taken{}
	v.supplier = invoice.New(v.s3, v.get(documents), v.get(templates), v.now)
	known := map[string]bool{}
	for tenantID, err := range v.tenants(ctx, v.only) {
		if err != nil {
			return err
		}
		known[tenantID] = true
		if err := v.tenant(ctx, tenantID); err != nil {
			return fmt.Errorf("tenant %s: %w", tenantID, err)
		}
	}
	if v.only == "" {
		for tenantID, err := range v.objectTenants(ctx) {
			if err != nil {
				return err
			}
			if known[tenantID] {
				continue
			}
			if err := v.tenant(ctx, tenantID); err != nil {
				return fmt.Errorf("tenant %s: %w", tenantID, err)
			}
		}
	}
	if err := v.counters(ctx); err != nil {
		return err
	}
	for _, f := range v.later {
		if err := v.report(ctx, f); err != nil {
			return err
		}
	}
	v.out.row("summary", "orders", v.progress.done, "mended", v.mended, "left", v.left)
	if v.left > 0 {
		return fmt.Errorf("%w: %d findings are left", errLeft, v.left)
	}
	return nil
}

// A finding is something that does not fit.
type finding struct {
	tenantID, orderID, number string
	what                      string
	left                      string                      // why it is left, or ""
	mend                      func(context.Context) error // else
	mended                    string                      // what mend does, in the past tense
}

// report tells of a finding and, if it is asked to, mends it.
func (v *verifier) report(ctx context.Context, f finding) error {
	done := "left: " + f.left
	switch {
	case f.left != "":
		v.left++
	case !v.fix:
		v.left++
		done = "left: -fix mends it"
	case !v.act:
		v.left++
		done = v.did(f.mended)
	default:
		if err := f.mend(ctx); err != nil {
			return err
		}
		v.mended++
		done = v.did(f.mended)
	}
	v.out.row("finding", "tenant", f.tenantID, "number", f.number, "order", f.orderID, "what", f.what, "done", done)
	return nil
}

// of returns a finding about an order.
func of(o order.Order, what string) finding {
	return finding{tenantID: o.TenantID, orderID: o.ID, number: o.Number, what: what}
}

func (v *verifier) tenant(ctx context.Context, tenantID string) error {
	legal := newCursor(v.orders.LegalDocuments(ctx, tenantID, ""), func(d store.LegalDocument) string { return d.OrderID })
	defer legal.stop()
	mails := newCursor(v.orders.Mails(ctx, tenantID, ""), func(m store.LedgerMail) string { return m.OrderID })
	defer mails.stop()
	objects := newCursor(v.objects(ctx, tenantID), func(o object) string { return o.orderID })
	defer objects.stop()

	var batch []order.Order // whose numbers are looked up together
	advance := func(id string) (s scene, err error) {
		s.objects, err = objects.to(id, func(x object) error { return v.strayObject(ctx, tenantID, x) })
		if err != nil {
			return s, err
		}
		s.legal, err = legal.to(id, func(d store.LegalDocument) error {
			v.issued(d)
			return v.stray(ctx, tenantID, d.OrderID, string(d.Kind)+" "+d.Number)
		})
		if err != nil {
			return s, err
		}
		s.mails, err = mails.to(id, func(m store.LedgerMail) error {
			return v.stray(ctx, tenantID, m.OrderID, fmt.Sprintf("mail of %s about entry %d", m.Role, m.Sequence))
		})
		return s, err
	}
	for o, err := range v.orders.Orders(ctx, tenantID) {
		if err != nil {
			return err
		}
		s, err := advance(o.ID)
		if err != nil {
			return err
		}
		if err := v.order(ctx, o, s); err != nil {
			return fmt.Errorf("order %s: %w", o.ID, err)
		}
		if o.Recorded() && o.Active {
			batch = append(batch, o)
		}
		if len(batch) == store.MaxNumbered {
			if err := v.numbers(ctx, tenantID, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		v.progress.step("orders")
	}
	if err := v.numbers(ctx, tenantID, batch); err != nil {
		return err
	}
	_, err := advance(behindAll)
	return err
}

// behindAll sorts behind every order id.
const behindAll = "~"

// A cursor walks what belongs to orders and comes by order id.
type cursor[T any] struct {
	next func() (T, error, bool)
	stop func()
	id   func(T) string

	ahead *T // read and not passed yet
}

func newCursor[T any](all iter.Seq2[T, error], id func(T) string) *cursor[T] {
	next, stop := iter.Pull2(all)
	return &cursor[T]{next: next, stop: stop, id: id}
}

// to moves on to an order and returns what is of it. What belongs to orders
// before, it hands to stray.
func (c *cursor[T]) to(id string, stray func(T) error) (own []T, err error) {
	for {
		if c.ahead == nil {
			v, err, ok := c.next()
			if !ok {
				return own, nil
			}
			if err != nil {
				return nil, err
			}
			c.ahead = &v
		}
		switch of := c.id(*c.ahead); {
		case of > id:
			return own, nil
		case of == id:
			own = append(own, *c.ahead)
		default:
			if err := stray(*c.ahead); err != nil {
				return nil, err
			}
		}
		c.ahead = nil
	}
}

// A scene is what there is around an order.
type scene struct {
	legal   []store.LegalDocument
	mails   []store.LedgerMail
	objects []object
}

// numbered reports whether a kind of document has its number in a series.
func (s scene) numbered(k order.DocumentKind) bool {
	return slices.ContainsFunc(s.legal, func(d store.LegalDocument) bool { return d.Kind == k })
}

// order verifies one order.
func (v *verifier) order(ctx context.Context, o order.Order, s scene) error {
	if n, ok := readNumber(o.Number); ok {
		v.take(seriesOf{store.Partition{TenantID: o.TenantID}, store.OrderSeries, n.year}, n.n)
	}
	for _, d := range s.legal {
		v.issued(d)
	}
	if !o.Active {
		return nil
	}
	if !o.Recorded() {
		return v.accepted(ctx, o)
	}
	return errors.Join(v.documents(ctx, o, s), v.unknownObjects(ctx, o, s), v.mailsOf(ctx, o, s.mails))
}

// isYoung reports whether what should follow a moment may still come.
func (v *verifier) isYoung(t order.Timestamp) bool { return v.now().Sub(t.Time()) < v.settle }

func (v *verifier) accepted(ctx context.Context, o order.Order) error {
	if v.isYoung(o.DateCreated) {
		return nil
	}
	f := of(o, "accepted and not recorded since "+o.DateCreated.String())
	f.left = "its message may be in a queue: ops trail " + o.ID
	if o.Status == order.Failed {
		f.what = "failed: " + o.FailureReason
		f.left = "its message may be dead: ops dlq redrive -order " + o.ID
	}
	return v.report(ctx, f)
}

func (v *verifier) documents(ctx context.Context, o order.Order, s scene) error {
	hasObject := func(k order.DocumentKind) (bool, error) {
		if slices.ContainsFunc(s.objects, func(x object) bool { return x.kind == k }) {
			return true, nil
		}
		return v.isThere(ctx, o, k) // It may have come since the objects were listed.
	}
	all, err := losses(o, s.numbered, hasObject)
	if err != nil {
		return err
	}
	for _, l := range all {
		if !l.noted && v.isYoung(o.DateLastUpdated) {
			continue
		}
		f := of(o, l.what)
		f.left, f.mended = l.left, "made again"
		about := order.Order{
			ID: o.ID, TenantID: o.TenantID, Number: o.Number, CustomerEmail: o.CustomerEmail, DateCreated: o.DateCreated,
			History: o.History[:1],
		}
		f.mend = func(ctx context.Context) error { _, err := v.remake(ctx, about, l); return err }
		v.later = append(v.later, f)
	}
	return nil
}

// unknownObjects looks for legal documents in the bucket that the order knows
// nothing of: they were made after the moment that the table was restored to.
func (v *verifier) unknownObjects(ctx context.Context, o order.Order, s scene) error {
	for _, x := range s.objects {
		_, noted := o.Document(x.kind)
		if noted || x.kind.Series() == "" || s.numbered(x.kind) || v.isYoung(o.DateLastUpdated) {
			continue
		}
		if err := v.orphan(ctx, o.TenantID, x, "object that its order does not know"); err != nil {
			return err
		}
	}
	return nil
}

// mailsOf looks for mails that the history calls for and that did not go out.
// Whether one that the ledger does not know went out, nobody can say: it is
// sent only if -mails says so.
func (v *verifier) mailsOf(ctx context.Context, o order.Order, ledger []store.LedgerMail) error {
	for _, m := range v.mailsDue(o, ledger) {
		if m.note.Sent() || v.isYoung(m.entry.Date) || m.note.ClaimedUntil.After(v.now()) {
			continue
		}
		f := of(o, fmt.Sprintf("mail of %s about entry %d (%s) ", m.role, m.entry.Sequence, m.entry.Type))
		f.mended = "sent"
		f.mend = func(ctx context.Context) error { return v.tell(ctx, m.role, o, m.entry) }
		switch {
		case m.note.Reason != "":
			f.what += "failed: " + m.note.Reason
			f.left = "ops replay mail tries again"
		case m.known:
			f.what += "was begun and is not sent"
		default:
			f.what += "is not in the ledger"
		}
		if f.left == "" && !v.mails {
			f.left = "-mails or ops replay mail sends it"
		}
		if err := v.report(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// numbers verifies that recorded orders are found by their numbers.
func (v *verifier) numbers(ctx context.Context, tenantID string, orders []order.Order) error {
	texts := make([]string, len(orders))
	for i, o := range orders {
		texts[i] = o.Number
	}
	ids, err := v.orders.Numbered(ctx, tenantID, texts)
	if err != nil {
		return err
	}
	for _, o := range orders {
		f := of(o, "not found by its number")
		switch ids[o.Number] {
		case o.ID:
			continue
		case "":
			f.mended = "made findable"
			f.mend = func(ctx context.Context) error { return v.orders.NumberOrder(ctx, tenantID, o.Number, o.ID) }
		default:
			f.what, f.left = "its number leads to order "+ids[o.Number], "two orders may have one number"
		}
		if err := v.report(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// stray reports what belongs to an order that is not there, unless the order
// came meanwhile.
func (v *verifier) stray(ctx context.Context, tenantID, orderID, what string) error {
	_, err := v.orders.StoredOrder(ctx, tenantID, orderID)
	if !errors.Is(err, order.ErrNotFound) {
		return err
	}
	return v.report(ctx, finding{
		tenantID: tenantID, orderID: orderID, what: what + " without its order", left: "it may be all that is left of it",
	})
}

func (v *verifier) strayObject(ctx context.Context, tenantID string, x object) error {
	if x.orderID == "" {
		return v.report(ctx, finding{
			tenantID: tenantID, what: "object " + x.key + " is no document", left: "nobody reads it",
		})
	}
	_, err := v.orders.StoredOrder(ctx, tenantID, x.orderID)
	if !errors.Is(err, order.ErrNotFound) {
		return err
	}
	return v.orphan(ctx, tenantID, x, "object without its order")
}

// orphan reports an object that the table knows nothing of, and takes the
// number on it for used.
func (v *verifier) orphan(ctx context.Context, tenantID string, x object, what string) error {
	text, n, ok, err := v.printedNumber(ctx, x.key)
	if errors.Is(err, errNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	of := seriesOf{store.Partition{TenantID: tenantID}, store.OrderSeries, n.year}
	if x.kind.Series() != "" {
		// The object does not tell its supplier: it is today's, unless that has
		// changed since.
		supplier, err := v.supplier.Supplier(ctx, tenantID)
		if err != nil {
			return err
		}
		of = seriesOf{store.Partition{SupplierID: supplier.ID()}, x.kind.Series(), n.year}
	}
	if ok {
		v.take(of, n.n)
	}
	return v.report(ctx, finding{
		tenantID: tenantID, orderID: x.orderID, number: text, what: what + ": " + x.key, left: "it may be the only copy",
	})
}

// issued takes the number of a legal document for used.
func (v *verifier) issued(d store.LegalDocument) {
	if n, ok := readNumber(d.Number); ok {
		v.take(seriesOf{store.Partition{SupplierID: d.Supplier.ID()}, n.series, n.year}, n.n).issued++
	}
}

func (v *verifier) take(of seriesOf, n int64) *taken {
	t, ok := v.series[of]
	if !ok {
		t = new(taken)
		v.series[of] = t
	}
	t.highest = max(t.highest, n)
	return t
}

// counters verifies that no number will be given twice, and that no series of
// legal numbers has a gap.
func (v *verifier) counters(ctx context.Context) error {
	names := slices.SortedFunc(maps.Keys(v.series), func(a, b seriesOf) int {
		return cmp.Or(cmp.Compare(a.SupplierID, b.SupplierID), cmp.Compare(a.TenantID, b.TenantID),
			cmp.Compare(a.series, b.series), a.year-b.year)
	})
	for _, of := range names {
		if err := v.counter(ctx, of, *v.series[of]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) counter(ctx context.Context, of seriesOf, t taken) error {
	value, err := v.orders.Counter(ctx, of.Partition, of.series, of.year)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("counter %s of %d", of.series, of.year)
	want := t.highest
	if of.SupplierID == "" {
		want += v.margin
	} else {
		name += " of supplier " + of.SupplierID
	}
	if value < want {
		err := v.report(ctx, finding{
			tenantID: of.TenantID, what: fmt.Sprintf("%s stands at %d, below %d", name, value, want),
			mended: fmt.Sprint("raised to ", want),
			mend: func(ctx context.Context) error {
				return v.orders.RaiseCounter(ctx, of.Partition, of.series, of.year, want)
			},
		})
		if err != nil {
			return err
		}
	}
	last := max(t.highest, value)
	if of.SupplierID == "" || v.only != "" || t.issued == last {
		return nil
	}
	return v.report(ctx, finding{
		what: fmt.Sprintf("%s: %d documents for %d numbers", name, t.issued, last),
		left: "a gap, or a number that came twice: the accountant must know",
	})
}
