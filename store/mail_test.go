package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// minute is how long the claims of these tests last.
var minute = noon.Add(time.Minute)

func mail(tenant, claim string) store.Mail {
	const id = "6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"
	return store.Mail{TenantID: tenant, OrderID: id, Role: "r", Sequence: 1, Claim: claim}
}

func rawMail(t *testing.T, m store.Mail) item {
	t.Helper()
	return rawItem(t, "TENANT#"+m.TenantID, fmt.Sprintf("MAIL#%s#%s#%d", m.OrderID, m.Role, m.Sequence))
}

// held returns until when a mail is claimed, or the zero time where the error
// does not say so.
func held(err error) time.Time {
	var claimed *store.MailClaimedError
	if !errors.As(err, &claimed) {
		return time.Time{}
	}
	return claimed.Until.UTC()
}

func TestClaimMail(t *testing.T) {
	t.Run("is granted to one of many", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		const callers = 10
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { errs[i] = s.ClaimMail(t.Context(), mail(tenant, fmt.Sprint(i)), minute) })
		}
		wg.Wait()
		granted := 0
		for _, err := range errs {
			if err == nil {
				granted++
				continue
			}
			is.Equal(held(err), minute)
		}
		is.Equal(granted, 1)
	})
	t.Run("is granted though the answer was lost", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		w := &wire{lose: "UpdateItem 1"}
		is.NoErr(over(w).ClaimMail(t.Context(), mail(tenant, "mine"), minute))
		is.Equal(w.operations(), "UpdateItem UpdateItem")
	})
	t.Run("ends to the second", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := noon
		s := storeAt(&now)
		is.NoErr(s.ClaimMail(t.Context(), mail(tenant, "mine"), minute))
		now = minute.Add(-time.Second)
		is.Equal(held(s.ClaimMail(t.Context(), mail(tenant, "other"), minute)), minute)
		now = minute
		is.NoErr(s.ClaimMail(t.Context(), mail(tenant, "other"), minute.Add(time.Minute)))
		is.NoErr(s.ReleaseMail(t.Context(), mail(tenant, "mine"))) // has no effect any more
		is.Equal(held(s.ClaimMail(t.Context(), mail(tenant, "mine"), minute)), minute.Add(time.Minute))
	})
	t.Run("is granted again once it was released", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		is.NoErr(s.ClaimMail(t.Context(), mail(tenant, "mine"), minute))
		is.NoErr(s.ReleaseMail(t.Context(), mail(tenant, "mine")))
		is.NoErr(s.ClaimMail(t.Context(), mail(tenant, "other"), minute))
	})
}

func TestMailIsOfOneTenantOrderRoleAndEntry(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	is.NoErr(s.ClaimMail(t.Context(), mail(tenant, "mine"), minute))
	for _, change := range []func(*store.Mail){
		func(m *store.Mail) { m.TenantID += "-other" },
		func(m *store.Mail) { m.OrderID = order.NewID() },
		func(m *store.Mail) { m.Role = "r2" },
		func(m *store.Mail) { m.Sequence = 2 },
	} {
		m := mail(tenant, "other")
		change(&m)
		is.NoErr(s.ClaimMail(t.Context(), m, minute))
	}
}

func TestMailSent(t *testing.T) {
	t.Run("is remembered for good", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := noon
		s := storeAt(&now)
		m := mail(tenant, "mine")
		is.NoErr(s.ClaimMail(t.Context(), m, minute))
		is.NoErr(s.MailSent(t.Context(), m, "ses-1"))
		now = noon.Add(10 * 365 * 24 * time.Hour)
		is.True(errors.Is(s.ClaimMail(t.Context(), m, now.Add(time.Minute)), store.ErrMailSent))
		is.NoErr(s.ReleaseMail(t.Context(), m))
		is.NoErr(s.MailFailed(t.Context(), m, "refused")) // neither has an effect
		is.True(errors.Is(s.ClaimMail(t.Context(), m, now.Add(time.Minute)), store.ErrMailSent))
		is.Equal(rawMail(t, m), item{
			"PK": text("TENANT#" + tenant), "SK": text("MAIL#" + m.OrderID + "#r#1"),
			"state": text("sent"), "messageId": text("ses-1"),
		}) // no end
	})
	t.Run("keeps its first note", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		m := mail(tenant, "mine")
		is.NoErr(s.MailSent(t.Context(), m, "ses-1"))
		is.NoErr(s.MailSent(t.Context(), m, "ses-2"))
		is.Equal(rawMail(t, m)["messageId"], text("ses-1"))
	})
}

func TestMailFailed(t *testing.T) {
	t.Run("may be claimed again", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		m := mail(tenant, "mine")
		is.NoErr(s.ClaimMail(t.Context(), m, minute))
		is.NoErr(s.MailFailed(t.Context(), m, "refused"))
		is.Equal(rawMail(t, m), item{
			"PK": text("TENANT#" + tenant), "SK": text("MAIL#" + m.OrderID + "#r#1"),
			"state": text("failed"), "reason": text("refused"),
		})
		other := mail(tenant, "other")
		is.NoErr(s.ClaimMail(t.Context(), other, minute))
		is.Equal(rawMail(t, m), item{
			"PK": text("TENANT#" + tenant), "SK": text("MAIL#" + m.OrderID + "#r#1"),
			"state": text("sending"), "claim": text("other"), "claimedUntil": num(minute.Unix()),
		}) // without the reason
		is.NoErr(s.MailSent(t.Context(), other, "ses-1"))
		is.True(errors.Is(s.ClaimMail(t.Context(), m, minute), store.ErrMailSent))
	})
	t.Run("is said by the holder of the claim only", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		is.NoErr(s.ClaimMail(t.Context(), mail(tenant, "mine"), minute))
		is.NoErr(s.MailFailed(t.Context(), mail(tenant, "other"), "refused"))
		is.Equal(rawMail(t, mail(tenant, ""))["state"], text("sending"))
	})
}

func TestMailClaimedError(t *testing.T) {
	is := is.New(t)
	err := &store.MailClaimedError{Until: minute.In(time.FixedZone("SAST", 2*60*60))}
	is.Equal(err.Error(), "mail is claimed until 2025-12-30T10:31:00Z")
}
