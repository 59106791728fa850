package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/guregu/dynamo/v2"
)

// ErrMailSent says that a mail went out before.
var ErrMailSent = errors.New("mail already sent")

// A MailClaimedError says that another invocation is sending the mail, or
// crashed while it was.
type MailClaimedError struct {
	Until time.Time // when its claim ends
}

// Error says until when the mail is claimed.
func (e *MailClaimedError) Error() string {
	return "mail is claimed until " + e.Until.UTC().Format(time.RFC3339)
}

// A Mail names one mail in the ledger: that of a role about an entry of an
// order's history.
type Mail struct {
	TenantID, OrderID, Role string
	Sequence                int
	Claim                   string // a random text that marks the claim as the caller's
}

// ClaimMail reserves a mail for the caller until a time. It returns ErrMailSent
// if the mail went out before, and a *MailClaimedError while someone else holds
// the claim. A claim that has ended may be taken by anyone, so it must outlast
// the invocation that holds it. A mail that failed may be claimed again. The
// ledger remembers a mail for as long as the order.
func (s *Store) ClaimMail(ctx context.Context, m Mail, until time.Time) error {
	err := s.mail(m).
		Set("state", mailSending).
		Set("claim", m.Claim).
		Set("claimedUntil", until.Unix()).
		Remove("reason").
		If("attribute_not_exists('messageId')").
		If("attribute_not_exists('claim') OR 'claim' = ? OR 'claimedUntil' <= ?", m.Claim, s.now().Unix()).
		Run(ctx)
	if !dynamo.IsCondCheckFailed(err) {
		return wrap(err, "claim mail of order %s", m.OrderID)
	}
	var held mailItem
	if err := s.get(m.TenantID, mailKey(m.OrderID, m.Role, m.Sequence)).One(ctx, &held); err != nil {
		return wrap(err, "read mail ledger of order %s", m.OrderID)
	}
	if held.MessageID != "" {
		return fmt.Errorf("claim mail of order %s: %w", m.OrderID, ErrMailSent)
	}
	return fmt.Errorf("claim mail of order %s: %w", m.OrderID, &MailClaimedError{held.ClaimedUntil})
}

// MailSent notes in the ledger that SES took the mail, under the id that SES
// gave it. The first note stays.
func (s *Store) MailSent(ctx context.Context, m Mail, messageID string) error {
	err := s.mail(m).
		Set("state", mailSent).
		SetIfNotExists("messageId", messageID).
		Remove("claim", "claimedUntil").
		Run(ctx)
	return wrap(err, "note mail of order %s", m.OrderID)
}

// MailFailed notes in the ledger that the mail cannot be sent, and why, and
// gives up the caller's claim.
func (s *Store) MailFailed(ctx context.Context, m Mail, reason string) error {
	return s.releaseMail(ctx, m, s.mail(m).Set("state", mailFailed).Set("reason", reason))
}

// ReleaseMail gives up the caller's claim, so that the next delivery of the
// message need not wait for its end.
func (s *Store) ReleaseMail(ctx context.Context, m Mail) error {
	return s.releaseMail(ctx, m, s.mail(m))
}

func (s *Store) releaseMail(ctx context.Context, m Mail, u *dynamo.Update) error {
	err := u.Remove("claim", "claimedUntil").
		If("'claim' = ? AND attribute_not_exists('messageId')", m.Claim).
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return nil // It is no longer the caller's.
	}
	return wrap(err, "release mail of order %s", m.OrderID)
}

func (s *Store) mail(m Mail) *dynamo.Update {
	return s.update(m.TenantID, mailKey(m.OrderID, m.Role, m.Sequence))
}
