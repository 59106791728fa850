package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A narrator tells what the roles do, from their logs: a line for each step of
// each order, and for every warning and error. It says nothing until it is
// started.
type narrator struct {
	out     io.Writer
	started atomic.Bool
}

// line tells of a line of a role's log, if that is worth it.
func (n *narrator) line(role, line string) {
	if said := narrate(role, line); said != "" && n.started.Load() {
		_, _ = fmt.Fprintln(n.out, said)
	}
}

// A lockedWriter has one writer at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// narrate returns what there is to say about a line of a role's log, or "". A
// line that is not the service's own is passed on as it is.
func narrate(role, line string) string {
	var entry map[string]any
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		return role + "  " + line
	}
	text := func(name string) string {
		if entry[name] == nil {
			return ""
		}
		return fmt.Sprint(entry[name])
	}
	level, message := text("level"), text("message")
	switch {
	case level == "warn" || level == "error":
		message = strings.ToUpper(level) + " " + message
	case level != "info" || message == "metrics":
		return ""
	case message == "request answered" && role != "create_order":
		return "" // a change of an order says so itself; reads are no steps
	}
	parts := []string{clock(text("time")), fmt.Sprintf("%-27s", role), message}
	for _, name := range []string{
		"orderNumber", "eventType", "kind", "number", "from", "to", "status", "lines", "bytes",
		"reason", "error", "receives", "attempt", "tenantId", "orderId",
	} {
		if value := text(name); value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	return strings.Join(parts, "  ")
}

// clock returns a moment as the wall clock of this machine shows it.
func clock(moment string) string {
	t, err := time.Parse(time.RFC3339Nano, moment)
	if err != nil {
		return moment
	}
	return t.Local().Format("15:04:05.000")
}
