package roles

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeMails is the ledger and the mail service. It fails where it is told to.
type fakeMails struct {
	fail     map[string]error
	fallback error // of what is sent
	stale    error
	calls    []string
	claimed  store.Mail
	until    time.Time
}

func (f *fakeMails) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeMails) ClaimMail(_ context.Context, m store.Mail, until time.Time) error {
	f.claimed, f.until = m, until
	return f.call("claim")
}

func (f *fakeMails) MailSent(ctx context.Context, _ store.Mail, _ string) error {
	return errors.Join(ctx.Err(), f.call("note"))
}

func (f *fakeMails) ReleaseMail(ctx context.Context, _ store.Mail) error {
	return errors.Join(ctx.Err(), f.call("release"))
}

func (f *fakeMails) Send(context.Context, order.Order) (notify.Sent, error) {
	return notify.Sent{MessageID: "ses-1", Fallback: f.fallback, Stale: f.stale}, f.call("send")
}

func TestMailer(t *testing.T) {
	refused := &order.Permanent{Reason: "address refused", Err: errors.New("thandi@example.com is on the list")}
	for _, tt := range []struct {
		name  string
		fake  fakeMails
		calls string
		sent  float64
		dup   float64
		fails bool
		perm  bool
	}{
		{"claims, sends and notes", fakeMails{}, "claim send note", 1, 0, false, false},
		{"sends no mail twice", fakeMails{fail: map[string]error{"claim": store.ErrMailSent}}, "claim", 0, 1, false, false},
		{"waits while someone else sends", fakeMails{fail: map[string]error{"claim": &store.MailClaimedError{Until: noon.Add(time.Minute)}}}, "claim", 0, 0, true, false},
		{"fails when it cannot claim", fakeMails{fail: map[string]error{"claim": errFault}}, "claim", 0, 0, true, false},
		{"gives the claim back when the mail cannot be sent", fakeMails{fail: map[string]error{"send": errFault}}, "claim send release", 0, 0, true, false},
		{"gives the claim back when the address is refused", fakeMails{fail: map[string]error{"send": refused}}, "claim send release", 0, 0, true, true},
		{"fails all the same when it cannot give the claim back", fakeMails{fail: map[string]error{"send": errFault, "release": errFault}}, "claim send release", 0, 0, true, false},
		{"is done when the mail is out but not noted", fakeMails{fail: map[string]error{"note": errFault}}, "claim send note", 1, 0, false, false},
		{"counts a mail without its template", fakeMails{fallback: errFault}, "claim send note", 1, 0, false, false},
		{"tells of a mail with an old template", fakeMails{stale: errFault}, "claim send note", 1, 0, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := tt.fake
			n := &mailer{role: "r", ledger: &f, mails: &f, newID: func() string { return "claim-1" }, now: atNoon}
			err := n.handle(ctx, sampleOrder(t))
			is.Equal(err != nil, tt.fails)
			is.Equal(isPermanent(err), tt.perm)
			is.Equal(strings.Join(f.calls, " "), tt.calls)
			is.Equal(counted(ctx, mailsSent), tt.sent)
			is.Equal(counted(ctx, duplicates), tt.dup)
			is.Equal(counted(ctx, mailFallbacks) > 0, tt.fake.fallback != nil)
			is.Equal(strings.Contains(log.String(), "old template"), tt.fake.stale != nil)
			is.Equal(f.claimed, store.Mail{TenantID: acme, OrderID: orderID, Role: "r", Claim: "claim-1"})
			is.Equal(f.until, noon.Add(150*time.Second))
			is.True(!strings.Contains(log.String(), "thandi@example.com")) // no address in the log
			var later *laterError
			if errors.As(err, &later) {
				is.Equal(later.wait, time.Minute) // until the other's claim ends
			}
		})
	}
}

// The claim must outlast every invocation of a mail role, and end before the queue delivers the message of a dead one again.
func TestClaimFitsTimeouts(t *testing.T) {
	is := is.New(t)
	const timeout = 30 * time.Second // of both mail roles, section 1 of the contract
	is.True(claimFor > timeout)
	is.True(claimFor < 6*timeout) // the queue's visibility timeout
	is.True(safetyMargin > batchReserve)
	is.True(batchReserve > answerReserve)
}

type fakeInvoices struct {
	created invoice.Created
	fail    map[string]error
	calls   []string
}

func (f *fakeInvoices) Create(context.Context, order.Order) (invoice.Created, error) {
	f.calls = append(f.calls, "create")
	return f.created, f.fail["create"]
}

func (f *fakeInvoices) SetPDF(_ context.Context, _, _, location string) error {
	f.calls = append(f.calls, "set "+location)
	return f.fail["set"]
}

func TestPDFCreator(t *testing.T) {
	created := invoice.Created{Location: "s3://bucket/key", Bytes: 28_000, Missing: 2, Warnings: []error{errFault}}
	for _, tt := range []struct {
		name   string
		pdfURL string
		fail   map[string]error
		calls  string
		made   float64
		fails  bool
	}{
		{"creates the invoice and notes where it is", "", nil, "create, set s3://bucket/key", 1, false},
		{"leaves an invoice that is there", "s3://bucket/key", nil, "", 0, false},
		{"fails when it cannot create", "", map[string]error{"create": errFault}, "create", 0, true},
		{"fails when it cannot note", "", map[string]error{"set": errFault}, "create, set s3://bucket/key", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := &fakeInvoices{created: created, fail: tt.fail}
			o := sampleOrder(t)
			o.PDFURL = tt.pdfURL
			err := (&pdfCreator{orders: f, invoices: f}).handle(ctx, o)
			is.Equal(err != nil, tt.fails)
			is.Equal(strings.Join(f.calls, ", "), tt.calls)
			is.Equal(counted(ctx, invoicesCreated), tt.made)
			is.Equal(counted(ctx, invoiceMilliseconds) > 0, tt.made > 0)
			is.Equal(strings.Contains(log.String(), `"placeholders":2`), tt.made > 0)
		})
	}
}
