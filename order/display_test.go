package order_test

import (
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// spaced returns s with the spaces that an amount has.
func spaced(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }

func TestMoneyDisplay(t *testing.T) {
	for _, tt := range []struct {
		minor    int64
		currency order.Currency
		want     string
	}{
		{0, "ZAR", "R 0,00"},
		{5, "ZAR", "R 0,05"},
		{99_999, "ZAR", "R 999,99"},
		{100_000, "ZAR", "R 1 000,00"},
		{123_456_750, "ZAR", "R 1 234 567,50"},
		{order.MaxMinor, "ZAR", "R 9 999 999 999 999,99"},
		{-123_450, "ZAR", "\u2212R 1 234,50"},
		{123_450, "USD", "USD 1 234,50"},
		{1_234, "JPY", "JPY 1 234"},
		{1_234_567, "KWD", "KWD 1 234,567"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			is := is.New(t)
			m, err := order.NewMoney(tt.minor, tt.currency)
			is.NoErr(err)
			is.Equal(m.Display(), spaced(tt.want)) // amount for people
		})
	}
	t.Run("no money of no currency", func(t *testing.T) {
		is := is.New(t)
		is.Equal(order.Money{}.Display(), "0") // no symbol and no dangling space
	})
}

func TestPercentDisplay(t *testing.T) {
	for rate, want := range map[string]string{"0.15": "15%", "0.125": "12,5%", "0.155": "15,5%", "0": "0%", "1": "100%"} {
		t.Run(want, func(t *testing.T) {
			is := is.New(t)
			r, err := order.ParseRate(rate)
			is.NoErr(err)
			is.Equal(r.Percent().Display(), want) // percentage for people
		})
	}
}

func TestTimestampDisplay(t *testing.T) {
	for _, tt := range []struct{ moment, want string }{
		{"2025-12-30T10:30:00Z", "30 December 2025"},
		{"2025-12-31T21:59:59.999999Z", "31 December 2025"},
		{"2025-12-31T22:00:00Z", "1 January 2026"}, // midnight in South Africa
		{"2025-07-01T00:30:00+02:00", "1 July 2025"},
		{"", ""},
	} {
		t.Run(tt.moment, func(t *testing.T) {
			is := is.New(t)
			var ts order.Timestamp
			is.NoErr(ts.UnmarshalText([]byte(tt.moment)))
			is.Equal(ts.Display(), tt.want) // day in South Africa
		})
	}
}

func TestStatusDisplay(t *testing.T) {
	is := is.New(t)
	is.Equal(order.PaymentPending.Display(), "Payment pending") // a word each, as in a sentence
	is.Equal(order.Paid.Display(), "Paid")                      // one word
	is.Equal(order.Status("").Display(), "")                    // nothing stays nothing
}
