package order_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func timestamp(t testing.TB, s string) order.Timestamp {
	t.Helper()
	ts, err := order.ParseTimestamp(s)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestParseTimestamp(t *testing.T) {
	for in, want := range map[string]string{
		"2025-12-30T10:30:00Z":                "2025-12-30T10:30:00.000000Z",
		"2025-12-30T10:30:00.5Z":              "2025-12-30T10:30:00.500000Z",
		"2025-12-30T10:30:00.123456Z":         "2025-12-30T10:30:00.123456Z",
		"2025-12-30T10:30:00.999999999Z":      "2025-12-30T10:30:00.999999Z", // cut, not rounded
		"2025-12-30T12:30:00+02:00":           "2025-12-30T10:30:00.000000Z",
		"2025-12-31T23:30:00.000001-05:00":    "2026-01-01T04:30:00.000001Z",
		"2024-02-29T00:00:00Z":                "2024-02-29T00:00:00.000000Z",
		"0001-01-01T00:00:00.000001Z":         "0001-01-01T00:00:00.000001Z",
		"2025-12-31T23:59:00+23:59":           "2025-12-31T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999999-00:00": "9999-12-31T23:59:59.999999Z",
	} {
		t.Run(in, func(t *testing.T) {
			is := is.New(t)
			ts, err := order.ParseTimestamp(in)
			is.NoErr(err)
			is.Equal(ts.String(), want)
			is.Equal(ts.Time().Location(), time.UTC) // whatever the offset was
			is.Equal(timestamp(t, want), ts)         // reads its own form
		})
	}
	for _, in := range []string{
		"", "2025-12-30", "2025-12-30T10:30Z", "2025-12-30 10:30:00Z", "2025-12-30T10:30:00",
		"2025-02-29T00:00:00Z", "2025-12-30T24:00:00Z", "2025-12-30T23:59:60Z",
		"0000-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01", "12025-12-30T10:30:00Z", "1767090600",
		"0001-01-01T00:00:00+00:01",
		"2025-12-30T9:30:00Z", "2025-12-30T10:30:00,5Z", "2025-12-30T10:30:00+24:00", "2025-12-30T10:30:00+02:60",
	} {
		t.Run("not "+in, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseTimestamp(in)
			is.True(err != nil) // refused
		})
	}
}

func TestTimestampText(t *testing.T) {
	type holder struct {
		At order.Timestamp `json:"at"`
	}
	t.Run("round trip", func(t *testing.T) {
		is := is.New(t)
		data, err := json.Marshal(holder{timestamp(t, "2025-12-30T12:30:00+02:00")})
		is.NoErr(err)
		is.Equal(string(data), `{"at":"2025-12-30T10:30:00.000000Z"}`)
		var got holder
		is.NoErr(json.Unmarshal(data, &got))
		is.Equal(got.At, timestamp(t, "2025-12-30T10:30:00Z"))
	})
	t.Run("not set", func(t *testing.T) {
		is := is.New(t)
		got := holder{timestamp(t, "2025-12-30T10:30:00Z")}
		is.NoErr(json.Unmarshal([]byte(`{"at":""}`), &got))
		is.True(got.At.IsZero())                          // as if it were absent
		is.Equal(got.At, order.NewTimestamp(time.Time{})) // the zero time
		is.Equal(got.At.String(), "")
	})
	t.Run("no time", func(t *testing.T) {
		is := is.New(t)
		got := holder{timestamp(t, "2025-12-30T10:30:00Z")}
		is.True(json.Unmarshal([]byte(`{"at":"soon"}`), &got) != nil) // refused
		is.Equal(got.At, timestamp(t, "2025-12-30T10:30:00Z"))        // untouched
	})
}

func TestTimestampsSortAsText(t *testing.T) {
	is := is.New(t)
	sorted := []string{
		"0001-01-01T00:00:00.000001Z", "0999-06-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z",
		"2025-12-30T10:29:59.999999Z", "2025-12-30T10:30:00Z", "2025-12-30T10:30:00.000001Z", "2025-12-30T10:30:00.1Z",
		"2025-12-30T14:00:00+02:00", "2025-12-30T14:00:00Z", "9999-12-31T23:59:59.999999Z",
	}
	texts := make([]string, len(sorted))
	for i, s := range sorted {
		texts[i] = timestamp(t, s).String()
		is.Equal(len(texts[i]), len("2025-12-30T10:30:00.000000Z")) // fixed width
	}
	is.True(slices.IsSorted(texts)) // in the order of time
}

func TestTimestampNextIsLater(t *testing.T) {
	last := timestamp(t, "2025-12-30T10:30:00.000005Z")
	for name, test := range map[string]struct {
		now  time.Time
		want string
	}{
		"a clock that moved on":               {last.Time().Add(time.Second), "2025-12-30T10:30:01.000005Z"},
		"a clock that moved by a microsecond": {last.Time().Add(time.Microsecond), "2025-12-30T10:30:00.000006Z"},
		"a clock that moved by less":          {last.Time().Add(999 * time.Nanosecond), "2025-12-30T10:30:00.000006Z"},
		"a clock that stands":                 {last.Time(), "2025-12-30T10:30:00.000006Z"},
		"a clock that was set back":           {last.Time().Add(-time.Hour), "2025-12-30T10:30:00.000006Z"},
		"a clock that knows nothing":          {time.Time{}, "2025-12-30T10:30:00.000006Z"},
		"a clock of another zone that moved on": {
			last.Time().Add(time.Second).In(time.FixedZone("", 7200)), "2025-12-30T10:30:01.000005Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			next := last.Next(test.now)
			is.Equal(next.String(), test.want)
			is.True(next.String() > last.String()) // as text, too
		})
	}
}

// FuzzTimestamp holds that what is read is written in the fixed form, is read
// again as the same moment, and sorts as text in the order of time.
func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{
		"2025-12-30T10:30:00Z", "2025-12-30T10:30:00.123456789+02:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
		"2024-02-29T23:59:60Z", "2025-12-30T1:30:00Z", "2025-12-30T10:30:00,5Z", "9999-12-31T23:59:59-23:59", "",
	} {
		f.Add(s, "2025-12-30T10:30:00.000001Z")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		a, err := order.ParseTimestamp(s)
		if err != nil || a.IsZero() {
			return
		}
		if exact, err := time.Parse(
			time.RFC3339Nano, s,
		); err != nil || exact.Sub(a.Time()) < 0 || exact.Sub(a.Time()) >= time.Microsecond {
			t.Fatalf("%q is read as %s", s, a)
		}
		if again := timestamp(t, a.String()); again != a || again.String() != a.String() {
			t.Fatalf("%s is read again as %s", a, again)
		}
		b, err := order.ParseTimestamp(other)
		if err != nil || b.IsZero() {
			return
		}
		if strings.Compare(a.String(), b.String()) != a.Time().Compare(b.Time()) {
			t.Fatalf("%s and %s sort differently as text", a, b)
		}
		if next := a.Next(b.Time()); !next.Time().After(a.Time()) {
			t.Fatalf("%s is not after %s", next, a)
		}
	})
}
