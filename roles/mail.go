package roles

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// claimFor is how long a mail is reserved for the invocation that sends it. It
// outlasts the invocation (30 s) by far, so that clocks may differ; and it ends
// before SQS delivers the message of a crashed invocation again (180 s).
const claimFor = 150 * time.Second

// mailLedger remembers which mails were sent, so that a message that comes
// twice sends one mail.
type mailLedger interface {
	ClaimMail(ctx context.Context, m store.Mail, until time.Time) error
	MailSent(ctx context.Context, m store.Mail, messageID string) error
	MailFailed(ctx context.Context, m store.Mail, reason string) error
	ReleaseMail(ctx context.Context, m store.Mail) error
	NoteMailFailed(ctx context.Context, tenantID, orderID string, about order.Entry, role, reason string) error
}

// mailSender sends a role's mails about the entries of an order's history.
type mailSender interface {
	// Serves reports whether there is a mail about entries of a type.
	Serves(t order.EventType) bool
	// Send sends the mail about an entry. The order is as it stood at it.
	Send(ctx context.Context, o order.Order, e order.Entry) (notify.Sent, error)
}

// mailNeighbours returns the services that a role that sends mails calls, but
// S3: Prepare asks it.
func mailNeighbours(Settings) []string { return []string{"SESv2"} }

// mailer sends one mail for each entry that its role has a mail about.
type mailer struct {
	role   string
	ledger mailLedger
	mails  mailSender
	newID  func() string
	now    func() time.Time
}

// sendMails returns the handler of a mail role, and what prepares it.
func sendMails(s Settings, d Deps, mails *notify.Sender) (handler, preparation) {
	orders := newStore(s, d)
	n := &mailer{role: s.Role(), ledger: orders, mails: mails, newID: order.NewID, now: d.Now}
	return consume(s, d, onEvent(mails.Serves, orders, n.handle)), mails.Prepare
}

func (n *mailer) handle(ctx context.Context, o order.Order, e order.Entry) error {
	m := store.Mail{TenantID: o.TenantID, OrderID: o.ID, Role: n.role, Sequence: e.Sequence, Claim: n.newID()}
	err := n.ledger.ClaimMail(ctx, m, n.now().Add(claimFor))
	var claimed *store.MailClaimedError
	switch {
	case errors.Is(err, store.ErrMailSent):
		count(ctx, duplicates)
		return nil
	case errors.As(err, &claimed):
		return &laterError{err, min(max(claimed.Until.Sub(n.now()), time.Second), claimFor)}
	case err != nil:
		return err
	}
	sent, err := n.mails.Send(ctx, o.At(e.Sequence), e)
	tidy, cancel := afterwards(ctx)
	defer cancel()
	if err != nil {
		return n.failed(tidy, m, e, err)
	}
	if sent.Fallback != nil {
		count(ctx, mailFallbacks)
		logger(ctx).Warn().Str("error", redact(sent.Fallback.Error())).Msg("mail without its template")
	}
	if sent.Stale != nil {
		logger(ctx).Warn().Str("error", redact(sent.Stale.Error())).Msg("mail with old branding or an old template")
	}
	count(ctx, mailsSent)
	measureSince(ctx, changeToMailMilliseconds, e.Date, n.now())
	if err := n.ledger.MailSent(tidy, m, sent.MessageID); err != nil {
		// The mail is sent. An error now would send it again.
		logger(ctx).Error().Str("error", redact(err.Error())).Msg("mail sent but not noted")
	}
	logger(ctx).Info().Str("sesMessageId", sent.MessageID).Str("eventType", string(e.Type)).Msg("mail sent")
	return nil
}

// failed gives up the claim on a mail that was not sent, and returns the error
// of its message. SES may have taken the mail even if its answer was lost: a
// second mail is better than none. If the mail can never be sent, the ledger
// and the order's history say so.
func (n *mailer) failed(ctx context.Context, m store.Mail, e order.Entry, err error) error {
	var note error
	if isPermanent(err) {
		note = errors.Join( // The claim first: nobody should wait for it.
			n.ledger.MailFailed(ctx, m, reason(err)),
			n.ledger.NoteMailFailed(ctx, m.TenantID, m.OrderID, e, m.Role, reason(err)),
		)
	} else {
		note = n.ledger.ReleaseMail(ctx, m)
	}
	if note != nil {
		return fmt.Errorf("%w (and it is not noted: %w)", err, note)
	}
	return err
}
