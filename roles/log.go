package roles

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/bbws/order-lambda/order"
)

// NewLogger returns a logger that writes a JSON object a line: level, time in
// UTC with microseconds, message. The level is DEBUG, INFO, WARN or ERROR;
// anything else counts as INFO.
func NewLogger(w io.Writer, now func() time.Time, level string) zerolog.Logger {
	l := zerolog.InfoLevel
	switch level {
	case "DEBUG":
		l = zerolog.DebugLevel
	case "WARN":
		l = zerolog.WarnLevel
	case "ERROR":
		l = zerolog.ErrorLevel
	}
	stamp := zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str("time", order.NewTimestamp(now()).String())
	})
	return zerolog.New(zerolog.SyncWriter(w)).Level(l).Hook(stamp)
}

// traced returns a logger with the id of the trace that an X-Ray header names.
func traced(log zerolog.Logger, header string) zerolog.Logger {
	return log.With().Str("traceId", traceRoot(header)).Logger()
}

// logger returns the logger of the invocation or, in a batch, of the message.
func logger(ctx context.Context) *zerolog.Logger { return &scopeOf(ctx).log }

// annotate adds the tenant and the order, if known, to the log lines that
// follow.
func annotate(ctx context.Context, tenantID, orderID string) {
	logger(ctx).UpdateContext(func(c zerolog.Context) zerolog.Context {
		if tenantID != "" {
			c = c.Str("tenantId", tenantID)
		}
		if orderID != "" {
			c = c.Str("orderId", orderID)
		}
		return c
	})
}

// redact hides e-mail addresses, which errors of other services may quote.
func redact(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	const edges = " \t\n\"'<>(),;:[]{}"
	var b strings.Builder
	for {
		end := strings.IndexAny(s, edges)
		word := s
		if end >= 0 {
			word = s[:end]
		}
		if strings.Contains(word, "@") {
			b.WriteString("***")
		} else {
			b.WriteString(word)
		}
		if end < 0 {
			break
		}
		b.WriteByte(s[end])
		s = s[end+1:]
	}
	return b.String()
}

// reason returns the short text of a permanent error for the log, or "".
func reason(err error) string {
	var p *order.PermanentError
	if errors.As(err, &p) {
		return p.Reason
	}
	return ""
}
