package notify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/notify"
)

const key = "customer/order_confirmation.html"

// Time stands still in a synctest bubble unless every goroutine waits, so these tests take no time of their own.

func TestTemplateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		o, m := defaults(t), &mailer{}
		s := customerOf(m, o)
		html := func() string {
			sent, err := s.Send(t.Context(), placed())
			is.NoErr(err)
			is.NoErr(sent.Fallback)
			is.NoErr(sent.Stale)
			return *m.sent[len(m.sent)-1].Content.Simple.Body.Html.Data
		}
		o.data[key] = "first"
		is.Equal(html(), "first")
		o.data[key] = "second"
		time.Sleep(5*time.Minute - time.Nanosecond)
		is.Equal(html(), "first") // for five minutes
		time.Sleep(time.Nanosecond)
		is.Equal(html(), "second") // and no longer
		is.Equal(o.reads.Load(), int32(2))
	})
}

// A clock that is set back must not keep an old template alive.
func TestTemplateIsReadAgainWhenTheClockGoesBack(t *testing.T) {
	is := is.New(t)
	o, m := defaults(t), &mailer{}
	clock := time.Date(2025, 12, 30, 10, 30, 0, 0, time.UTC)
	s := notify.NewCustomer(m, o, settings(), func() time.Time { return clock })
	for range 2 {
		_, err := s.Send(t.Context(), placed())
		is.NoErr(err)
		clock = clock.Add(-time.Hour)
	}
	is.Equal(o.reads.Load(), int32(2))
}

func TestTemplateSurvivesFailedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		o, m := defaults(t), &mailer{}
		s := customerOf(m, o)
		o.data[key] = "first"
		_, err := s.Send(t.Context(), placed())
		is.NoErr(err)

		down := errors.New("service unavailable")
		o.before = func(context.Context) error { return down }
		time.Sleep(5 * time.Minute)
		for range 3 {
			sent, err := s.Send(t.Context(), placed())
			is.NoErr(err)
			is.NoErr(sent.Fallback)              // the old template is better than none
			is.True(errors.Is(sent.Stale, down)) // but it is told
		}
		is.Equal(o.reads.Load(), int32(2)) // a batch does not ask again for every mail

		o.before, o.data[key] = nil, "second"
		time.Sleep(10 * time.Second)
		sent, err := s.Send(t.Context(), placed())
		is.NoErr(err)
		is.NoErr(sent.Stale)
		is.Equal(*m.sent[4].Content.Simple.Body.Html.Data, "second") // soon after S3 is back
	})
}

func TestMissingTemplateIsKept(t *testing.T) {
	for name, broken := range map[string]func(*objects){
		"missing": func(o *objects) { delete(o.data, key) },
		"broken":  func(o *objects) { o.data[key] = "{{" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				o, m := defaults(t), &mailer{}
				s := customerOf(m, o)
				_, err := s.Send(t.Context(), placed())
				is.NoErr(err)
				broken(o)
				time.Sleep(5 * time.Minute)
				for range 2 {
					sent, err := s.Send(t.Context(), placed())
					is.NoErr(err)
					is.True(sent.Fallback != nil) // what the operator put there is what counts, not what was there before
				}
				is.Equal(o.reads.Load(), int32(2)) // known for five minutes
			})
		})
	}
}

func TestSlowTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		o, m := defaults(t), &mailer{}
		o.before = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		start := time.Now()
		sent, err := customerOf(m, o).Send(t.Context(), placed())
		is.NoErr(err)
		is.True(errors.Is(sent.Fallback, context.DeadlineExceeded)) // the mail did not wait for its looks
		is.Equal(time.Since(start), 3*time.Second)                  // in the bubble's time
	})
}

func TestBatchReadsTemplateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		o, m := defaults(t), &mailer{}
		release := make(chan struct{})
		o.before = func(context.Context) error { <-release; return nil }
		s := customerOf(m, o)
		const batch = 10
		failures := make(chan error, batch)
		for range batch {
			go func() {
				sent, err := s.Send(t.Context(), placed())
				failures <- errors.Join(err, sent.Fallback)
			}()
		}
		synctest.Wait()
		close(release)
		for range batch {
			is.NoErr(<-failures) // every mail from the template
		}
		is.Equal(o.reads.Load(), int32(1)) // one read for all
		is.Equal(len(m.sent), batch)
	})
}

func TestWaitingForTheTemplateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		o, m := defaults(t), &mailer{}
		release := make(chan struct{})
		o.before = func(context.Context) error { <-release; return nil }
		s := customerOf(m, o)
		done := make(chan struct{})
		go func() { defer close(done); _, _ = s.Send(t.Context(), placed()) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		sent, err := s.Send(ctx, placed())
		is.NoErr(err)
		is.True(errors.Is(sent.Fallback, context.Canceled)) // did not wait behind the slow read
		close(release)
		<-done
	})
}

// A caller that gives up says nothing about the template: the next one reads it.
func TestCancelledReadIsNotKept(t *testing.T) {
	is := is.New(t)
	o, m := defaults(t), &mailer{}
	ctx, cancel := context.WithCancel(t.Context())
	o.before = func(ctx context.Context) error { cancel(); return ctx.Err() }
	s := customerOf(m, o)
	sent, err := s.Send(ctx, placed())
	is.NoErr(err)
	is.True(errors.Is(sent.Fallback, context.Canceled))
	o.before = nil
	sent, err = s.Send(t.Context(), placed())
	is.NoErr(err)
	is.NoErr(sent.Fallback)
	is.True(strings.Contains(*m.sent[1].Content.Simple.Body.Html.Data, "Thandi Example"))
}

// A body that breaks off is a failed read, not a broken template.
func TestTruncatedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		o, m := defaults(t), &mailer{}
		o.cut = errors.New("unexpected EOF")
		s := customerOf(m, o)
		sent, err := s.Send(t.Context(), placed())
		is.NoErr(err)
		is.True(errors.Is(sent.Fallback, o.cut))
		o.cut = nil
		time.Sleep(10 * time.Second)
		sent, err = s.Send(t.Context(), placed())
		is.NoErr(err)
		is.NoErr(sent.Fallback) // read again after ten seconds, not five minutes
	})
}

func TestTemplateIsNotReadInVain(t *testing.T) {
	is := is.New(t)
	o := defaults(t)
	s := customerOf(&mailer{}, o)
	ended, end := context.WithCancel(t.Context())
	end()
	for range 20 {
		_, _ = s.Send(ended, placed())
	}
	is.Equal(o.reads.Load(), int32(0))
}
