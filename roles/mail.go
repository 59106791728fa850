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

// claimFor is how long a mail is reserved for the invocation that sends it. It outlasts the invocation (30 s) by far, so
// that clocks may differ; and it ends before SQS delivers the message of an invocation that died again (180 s).
const claimFor = 150 * time.Second

// mailLedger remembers which mails were sent, so that a message that comes twice makes one mail.
type mailLedger interface {
	ClaimMail(ctx context.Context, m store.Mail, until time.Time) error
	MailSent(ctx context.Context, m store.Mail, messageID string) error
	ReleaseMail(ctx context.Context, m store.Mail) error
}

// mailSender sends the mail of one kind about an order.
type mailSender interface {
	Send(ctx context.Context, o order.Order) (notify.Sent, error)
}

// mailer sends one mail for each recorded order.
type mailer struct {
	role   string
	ledger mailLedger
	mails  mailSender
	newID  func() string
	now    func() time.Time
}

func (n *mailer) handle(ctx context.Context, o order.Order) error {
	m := store.Mail{TenantID: o.TenantID, OrderID: o.ID, Role: n.role, Claim: n.newID()}
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
	sent, err := n.mails.Send(ctx, o)
	if err != nil {
		// Whether SES took the mail before its answer was lost is unknown; a mail too many is better than none.
		tidy, cancel := afterwards(ctx)
		defer cancel()
		if releaseErr := n.ledger.ReleaseMail(tidy, m); releaseErr != nil {
			return fmt.Errorf("%w (and the claim stays: %w)", err, releaseErr)
		}
		return err
	}
	if sent.Fallback != nil {
		count(ctx, mailFallbacks)
		logger(ctx).Warn().Str("error", redact(sent.Fallback.Error())).Msg("mail without its template")
	}
	if sent.Stale != nil {
		logger(ctx).Warn().Str("error", redact(sent.Stale.Error())).Msg("mail with an old template")
	}
	count(ctx, mailsSent)
	tidy, cancel := afterwards(ctx)
	defer cancel()
	if err := n.ledger.MailSent(tidy, m, sent.MessageID); err != nil {
		// The mail is out: to fail now would send it again.
		logger(ctx).Error().Str("error", redact(err.Error())).Msg("mail sent but not noted")
	}
	logger(ctx).Info().Str("sesMessageId", sent.MessageID).Msg("mail sent")
	return nil
}
