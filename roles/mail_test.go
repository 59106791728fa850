package roles

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// fakeMails is the ledger, the history and the mail service. It fails where it
// is told to.
type fakeMails struct {
	fail     map[string]error
	fallback error // of what is sent
	stale    error

	calls  []string
	mail   store.Mail // of the last call
	until  time.Time
	order  order.Order // that was sent
	entry  order.Entry
	reason string // that the ledger was told
	noted  string // that the history was told
}

func (f *fakeMails) call(name string) error {
	f.calls = append(f.calls, name)
	return f.fail[name]
}

func (f *fakeMails) ClaimMail(_ context.Context, m store.Mail, until time.Time) error {
	f.mail, f.until = m, until
	return f.call("claim")
}

func (f *fakeMails) MailSent(ctx context.Context, m store.Mail, messageID string) error {
	return errors.Join(ctx.Err(), f.call("sent "+messageID), f.same(m))
}

func (f *fakeMails) MailFailed(ctx context.Context, m store.Mail, reason string) error {
	f.reason = reason
	return errors.Join(ctx.Err(), f.call("failed"), f.same(m))
}

func (f *fakeMails) ReleaseMail(ctx context.Context, m store.Mail) error {
	return errors.Join(ctx.Err(), f.call("release"), f.same(m))
}

func (f *fakeMails) NoteMailFailed(
	ctx context.Context, tenantID, orderID string, about order.Entry, role, reason string,
) error {
	f.noted = strings.Join([]string{tenantID, orderID, string(about.Type), role, reason}, " ")
	return errors.Join(ctx.Err(), f.call("note"))
}

// same says whether a mail is the one that was claimed.
func (f *fakeMails) same(m store.Mail) error {
	if m != f.mail {
		return errors.New("not the mail that was claimed")
	}
	return nil
}

func (f *fakeMails) Serves(order.EventType) bool { return true }

func (f *fakeMails) Send(_ context.Context, o order.Order, e order.Entry) (notify.Sent, error) {
	f.order, f.entry = o, e
	return notify.Sent{MessageID: "ses-1", Fallback: f.fallback, Stale: f.stale}, f.call("send")
}

// handle gives the mailer an entry, which happened a minute and a half ago.
func (f *fakeMails) handle(ctx context.Context, o order.Order, sequence int) error {
	e, _ := o.Entry(sequence)
	now := func() time.Time { return e.Date.Time().Add(90 * time.Second) }
	n := &mailer{role: "r", ledger: f, mails: f, newID: func() string { return "claim-1" }, now: now}
	return n.handle(ctx, o, e)
}

func TestMailer(t *testing.T) {
	refused := &order.PermanentError{Reason: "address refused", Err: errors.New("thandi@example.com is on the list")}
	fails := func(name string, err error) fakeMails { return fakeMails{fail: map[string]error{name: err}} }
	for _, tt := range []struct {
		name  string
		fake  fakeMails
		calls string
		sent  float64
		dup   float64
		err   bool
		perm  bool
	}{
		{"claims, sends and notes", fakeMails{}, "claim, send, sent ses-1", 1, 0, false, false},
		{"sends no mail twice", fails("claim", store.ErrMailSent), "claim", 0, 1, false, false},
		{"waits while someone else sends", fails("claim", &store.MailClaimedError{Until: noon}), "claim", 0, 0, true, false},
		{"fails when it cannot claim", fails("claim", errFault), "claim", 0, 0, true, false},
		{
			"gives the claim back when the mail cannot be sent now", fails("send", errFault), "claim, send, release", 0, 0,
			true, false,
		},
		{
			"tells history and ledger when the address is refused", fails("send", refused), "claim, send, failed, note", 0, 0,
			true, true,
		},
		{
			"fails all the same when it cannot give the claim back",
			fakeMails{fail: map[string]error{"send": errFault, "release": errFault}},
			"claim, send, release", 0, 0, true,
			false,
		},
		{
			"tells the ledger when it cannot tell the history",
			fakeMails{fail: map[string]error{"send": refused, "note": errFault}},
			"claim, send, failed, note", 0, 0, true,
			true,
		},
		{
			"is done when the mail is out and the ledger is down", fails("sent ses-1", errFault), "claim, send, sent ses-1", 1,
			0, false, false,
		},
		{"counts a mail without its template", fakeMails{fallback: errFault}, "claim, send, sent ses-1", 1, 0, false, false},
		{"tells of a mail with an old template", fakeMails{stale: errFault}, "claim, send, sent ses-1", 1, 0, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			f := tt.fake
			err := f.handle(ctx, sampleOrder(t), 1)
			is.Equal(err != nil, tt.err)
			is.Equal(isPermanent(err), tt.perm)
			is.Equal(strings.Join(f.calls, ", "), tt.calls)
			is.Equal(counted(ctx, mailsSent), tt.sent)
			is.Equal(counted(ctx, duplicates), tt.dup)
			is.Equal(counted(ctx, mailFallbacks) > 0, tt.fake.fallback != nil)
			is.Equal(counted(ctx, changeToMailMilliseconds), tt.sent*90_000) // since the entry
			is.Equal(strings.Contains(log.String(), "old template"), tt.fake.stale != nil)
			is.Equal(strings.Contains(log.String(), "mail sent but not noted"), tt.fake.fail["sent ses-1"] != nil)
			is.Equal(f.mail, store.Mail{TenantID: acme, OrderID: orderID, Role: "r", Sequence: 1, Claim: "claim-1"})
			is.Equal(f.until, noon.Add(90*time.Second+claimFor))
			is.True(!strings.Contains(log.String(), "thandi@example.com")) // no address in the log
			if tt.perm {
				is.Equal(f.reason, "address refused")
				is.Equal(f.noted, "acme "+orderID+" order.created r address refused")
			}
		})
	}
}

// TestMailShowsItsEntry holds that each entry has a mail of its own, which
// shows the order as it stood then, however late it goes out.
func TestMailShowsItsEntry(t *testing.T) {
	o := orderIn(t, order.Paid, order.Refunded)
	for sequence, want := range map[int]order.Status{1: order.Pending, 2: order.Paid, 3: order.Refunded} {
		is := is.New(t)
		ctx, log := invocation(t)
		f := &fakeMails{}
		is.NoErr(f.handle(ctx, o, sequence))
		is.Equal(f.mail.Sequence, sequence) // the ledger knows each
		is.Equal(f.entry, o.History[sequence-1])
		is.Equal(f.order.Status, want)
		is.Equal(len(f.order.History), sequence)
		is.Equal(f.order.PaymentDetails != nil, sequence > 1)
		is.True(strings.Contains(log.String(), `"sesMessageId":"ses-1","eventType":"`+string(o.History[sequence-1].Type)+`"`))
	}
}

func TestMailClaimed(t *testing.T) {
	for until, wait := range map[time.Duration]time.Duration{ // from when it is asked
		time.Minute: time.Minute, -time.Hour: time.Second, time.Hour: claimFor, // clocks differ
	} {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := fakeMails{fail: map[string]error{"claim": &store.MailClaimedError{Until: noon.Add(90*time.Second + until)}}}
		err := f.handle(ctx, sampleOrder(t), 1)
		got, permanent := retryIn(err, 1)
		is.Equal(got, wait) // until the other's claim ends
		is.Equal(permanent, false)
		is.True(!message{}.waits(err)) // no outage: another sends it
	}
}

func TestMailFailsThoughItsTimeIsUp(t *testing.T) {
	for name, err := range map[string]error{
		"release": errFault, "note": &order.PermanentError{Reason: "address refused"},
	} {
		is := is.New(t)
		ctx, _ := invocation(t)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		f := fakeMails{fail: map[string]error{"send": err}}
		got := f.handle(ctx, sampleOrder(t), 1)
		is.Equal(got.Error(), err.Error()) // and nothing of a context that has ended
		is.Equal(f.calls[len(f.calls)-1], name)
	}
}

// The claim must outlast every invocation of a mail role, and end before the
// queue delivers the message of a dead one again.
func TestClaimFitsTimeouts(t *testing.T) {
	is := is.New(t)
	const timeout = 30 * time.Second // of both mail roles, section 1 of the contract
	is.True(claimFor > timeout)
	is.True(claimFor < 6*timeout) // the queue's visibility timeout
	is.True(safetyMargin > batchReserve)
	is.True(batchReserve > answerReserve)
}
