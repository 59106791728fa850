package order

import (
	"fmt"
	"strings"
	"time"
)

// timestampLayout has a fixed width, so that timestamps sort as text in the
// order of time.
const timestampLayout = "2006-01-02T15:04:05.000000Z"

// A Timestamp is a moment in UTC with microseconds, between the years 0001 and
// 9999. Its text form sorts. The zero value means "not set".
type Timestamp struct{ t time.Time }

// NewTimestamp returns the timestamp of a moment, cut to microseconds.
func NewTimestamp(t time.Time) Timestamp { return Timestamp{t.UTC().Truncate(time.Microsecond)} }

// ParseTimestamp reads an RFC 3339 time with any offset and precision. What is
// finer than a microsecond is cut off.
func ParseTimestamp(s string) (Timestamp, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || lax(s) {
		return Timestamp{}, fmt.Errorf("%q is not an RFC 3339 time", s)
	}
	ts := NewTimestamp(t)
	if year := ts.t.Year(); year < 1 || year > 9999 {
		return Timestamp{}, fmt.Errorf("%q is out of range", s)
	}
	return ts, nil
}

// lax reports whether a text that time.Parse takes for an RFC 3339 time is
// none: with an hour of one digit, a comma for the point, or an offset beyond
// 23:59 (https://go.dev/issue/54580).
func lax(s string) bool {
	offset := s[len(s)-len("00:00"):]
	return s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") ||
		s[len(s)-1] != 'Z' && (offset[:2] > "23" || offset[3:] > "59")
}

// Time returns the moment in UTC.
func (t Timestamp) Time() time.Time { return t.t }

// Year returns the calendar year of the moment in South Africa, by which orders
// and documents are numbered.
func (t Timestamp) Year() int { return t.t.In(johannesburg()).Year() }

// johannesburg returns South Africa's time zone: two hours ahead of UTC all
// year, since 1944. It needs no time zone database.
func johannesburg() *time.Location { return time.FixedZone("SAST", 2*60*60) }

// IsZero reports whether the timestamp is not set.
func (t Timestamp) IsZero() bool { return t.t.IsZero() }

// String returns the timestamp as RFC 3339 with six decimals, for example
// "2025-12-30T10:30:00.000000Z", or "" if it is not set.
func (t Timestamp) String() string {
	if t.IsZero() {
		return ""
	}
	return t.t.Format(timestampLayout)
}

// Next returns now, or one microsecond after t if the clock has not moved
// beyond t. The result is always later than t.
func (t Timestamp) Next(now time.Time) Timestamp {
	if next := NewTimestamp(now); next.t.After(t.t) {
		return next
	}
	return Timestamp{t.t.Add(time.Microsecond)}
}

// MarshalText writes the form of String.
func (t Timestamp) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what ParseTimestamp reads; an empty text is a timestamp
// that is not set.
func (t *Timestamp) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*t = Timestamp{}
		return nil
	}
	ts, err := ParseTimestamp(string(text))
	if err != nil {
		return err
	}
	*t = ts
	return nil
}
