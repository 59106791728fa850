package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/guregu/dynamo/v2"
)

// sentLife is how long the ledger remembers a sent mail: longer than any redelivery or redrive of its message.
const sentLife = 90 * 24 * time.Hour

// ErrMailSent says that a mail went out before.
var ErrMailSent = errors.New("mail already sent")

// A MailClaimedError says that another invocation is about to send the mail, or died while it was.
type MailClaimedError struct {
	Until time.Time // when its claim ends
}

// Error says until when the mail is claimed.
func (e *MailClaimedError) Error() string {
	return "mail is claimed until " + e.Until.UTC().Format(time.RFC3339)
}

// A Mail names one mail in the ledger: that of a role about an order of a tenant.
type Mail struct {
	TenantID, OrderID, Role string
	Claim                   string // a random text that marks the claim as the caller's
}

// ClaimMail reserves a mail for the caller until a time. It returns ErrMailSent if the mail went out before, and a
// *MailClaimedError while someone else holds the claim. A claim that has ended may be taken by anyone, so it must
// outlast the invocation of whoever holds it.
func (s *Store) ClaimMail(ctx context.Context, m Mail, until time.Time) error {
	now := s.now()
	err := s.mail(m).
		Set("claim", m.Claim).
		Set("claimedUntil", until.Unix()).
		Set("expiresAt", now.Add(sentLife).Unix()).
		If("attribute_not_exists('messageId')").
		If("attribute_not_exists('claim') OR 'claim' = ? OR 'claimedUntil' <= ?", m.Claim, now.Unix()).
		Run(ctx)
	if !dynamo.IsCondCheckFailed(err) {
		return wrap(err, "claim mail of order %s", m.OrderID)
	}
	var held sentItem
	if err := s.get(m.TenantID, sentKey(m.OrderID, m.Role)).One(ctx, &held); err != nil {
		return wrap(err, "read mail ledger of order %s", m.OrderID)
	}
	if held.MessageID != "" {
		return fmt.Errorf("claim mail of order %s: %w", m.OrderID, ErrMailSent)
	}
	return fmt.Errorf("claim mail of order %s: %w", m.OrderID, &MailClaimedError{held.ClaimedUntil})
}

// MailSent notes in the ledger that SES took the mail, under the id that SES gave it. The first note stays.
func (s *Store) MailSent(ctx context.Context, m Mail, messageID string) error {
	err := s.mail(m).
		SetIfNotExists("messageId", messageID).
		Set("expiresAt", s.now().Add(sentLife).Unix()).
		Run(ctx)
	return wrap(err, "note mail of order %s", m.OrderID)
}

// ReleaseMail gives up the caller's claim, so that the next delivery of the message need not wait for its end.
func (s *Store) ReleaseMail(ctx context.Context, m Mail) error {
	err := s.mail(m).
		Remove("claim", "claimedUntil").
		If("'claim' = ? AND attribute_not_exists('messageId')", m.Claim).
		Run(ctx)
	if dynamo.IsCondCheckFailed(err) {
		return nil // It is no longer the caller's.
	}
	return wrap(err, "release mail of order %s", m.OrderID)
}

func (s *Store) mail(m Mail) *dynamo.Update {
	return s.table.Update(attrPK, tenantKey(m.TenantID)).Range(attrSK, sentKey(m.OrderID, m.Role))
}
