package order_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func zar(t testing.TB, s string) order.Money {
	t.Helper()
	return money(t, s, "ZAR")
}

func money(t testing.TB, s string, c order.Currency) order.Money {
	t.Helper()
	m, err := order.ParseMoney(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rate(t testing.TB, s string) order.Rate {
	t.Helper()
	r, err := order.ParseRate(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseMoney(t *testing.T) {
	tests := []struct {
		in       string
		currency order.Currency
		minor    int64
		out      string
	}{
		{"0", "ZAR", 0, "0.00"},
		{"-0", "ZAR", 0, "0.00"},
		{"0e999999", "ZAR", 0, "0.00"},
		{"250", "ZAR", 25_000, "250.00"},
		{"250.0", "ZAR", 25_000, "250.00"},
		{"250.00", "ZAR", 25_000, "250.00"},
		{"250.000000000", "ZAR", 25_000, "250.00"},
		{"000250", "ZAR", 25_000, "250.00"},                 // as DynamoDB and people write it
		{strings.Repeat("0", 63) + "1", "ZAR", 100, "1.00"}, // as long as a number may be
		{"2.5E+2", "ZAR", 25_000, "250.00"},
		{"2.5e2", "ZAR", 25_000, "250.00"},
		{"2500E-1", "ZAR", 25_000, "250.00"},
		{"0.07", "ZAR", 7, "0.07"},
		{"-0.07", "ZAR", -7, "-0.07"},
		{"-12.3", "ZAR", -1230, "-12.30"},
		{"1e-2", "ZAR", 1, "0.01"},
		{"100e-4", "ZAR", 1, "0.01"},
		{"9999999999999.99", "ZAR", order.MaxMinor, "9999999999999.99"},
		{"-9999999999999.99", "ZAR", -order.MaxMinor, "-9999999999999.99"},
		{"0.1", "ZAR", 10, "0.10"}, // which no float is
		{"1500", "JPY", 1500, "1500"},
		{"1500.0", "JPY", 1500, "1500"},
		{"999999999999999", "JPY", order.MaxMinor, "999999999999999"},
		{"1.234", "KWD", 1234, "1.234"},
		{"0.001", "KWD", 1, "0.001"},
	}
	for _, test := range tests {
		t.Run(test.in+" "+string(test.currency), func(t *testing.T) {
			is := is.New(t)
			m, err := order.ParseMoney(test.in, test.currency)
			is.NoErr(err)
			is.Equal(m.Minor(), test.minor)       // minor units
			is.Equal(m.Currency(), test.currency) // currency
			is.Equal(m.String(), test.out)        // on the wire
			is.Equal(m.IsZero(), test.minor == 0) // zero
			wire, err := json.Marshal(m)
			is.NoErr(err)
			is.Equal(string(wire), test.out) // a JSON number
		})
	}
}

func TestParseMoneyRefuses(t *testing.T) {
	tests := []struct {
		in       string
		currency order.Currency
		why      string
	}{
		{"", "ZAR", "not a decimal number"},
		{"-", "ZAR", "not a decimal number"},
		{"--1", "ZAR", "not a decimal number"},
		{"+1", "ZAR", "not a decimal number"},
		{".5", "ZAR", "not a decimal number"},
		{"5.", "ZAR", "not a decimal number"},
		{"1.2.3", "ZAR", "not a decimal number"},
		{"1,5", "ZAR", "not a decimal number"},
		{" 1", "ZAR", "not a decimal number"},
		{"1_000", "ZAR", "not a decimal number"},
		{"0x1F", "ZAR", "not a decimal number"},
		{"NaN", "ZAR", "not a decimal number"},
		{"1e", "ZAR", "not a decimal number"},
		{"1e1.5", "ZAR", "not a decimal number"},
		{"1e99999999999999999999", "ZAR", "not a decimal number"},
		{"١٢", "ZAR", "not a decimal number"},
		{"1.005", "ZAR", "finer than 2 decimals"},
		{"1e-3", "ZAR", "finer than 2 decimals"},
		{"0.0000000001", "ZAR", "finer than 2 decimals"},
		{"1e-9223372036854775808", "ZAR", "finer than 2 decimals"},
		{"1.555e-9223372036854775808", "ZAR", "finer than 2 decimals"}, // the exponent wraps if it is summed up as it is
		{"1.5", "JPY", "finer than 0 decimals"},
		{"1.0005", "KWD", "finer than 3 decimals"},
		{"10000000000000.00", "ZAR", "too large"},
		{"1e13", "ZAR", "too large"},
		{"-1e13", "ZAR", "too large"},
		{"1e9223372036854775807", "ZAR", "too large"},
		{strings.Repeat("0", 64) + "1", "ZAR", "too many digits"},
		{"1", "", "unknown currency"},
		{"1", "zar", "unknown currency"},
		{"1", "XAU", "unknown currency"},
	}
	for _, test := range tests {
		t.Run(test.in+" "+string(test.currency), func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseMoney(test.in, test.currency)
			is.True(errors.Is(err, order.ErrAmount))         // an error about the amount
			is.True(strings.Contains(err.Error(), test.why)) // that says why
		})
	}
}

func TestNewMoneyBounds(t *testing.T) {
	is := is.New(t)
	for _, minor := range []int64{order.MaxMinor, -order.MaxMinor, 0} {
		m, err := order.NewMoney(minor, "ZAR")
		is.NoErr(err)
		is.Equal(m.Minor(), minor)
	}
	for _, minor := range []int64{order.MaxMinor + 1, -order.MaxMinor - 1, math.MaxInt64, math.MinInt64} {
		_, err := order.NewMoney(minor, "ZAR")
		is.True(errors.Is(err, order.ErrAmount)) // beyond the largest amount
	}
	_, err := order.NewMoney(1, "ZZZ")
	is.True(errors.Is(err, order.ErrAmount)) // unknown currency
}

func TestMoneyArithmetic(t *testing.T) {
	most, some := zar(t, "9999999999999.99"), zar(t, "0.01")
	tests := map[string]struct {
		calculate func() (order.Money, error)
		want      string // "" for an error
	}{
		"sum": {func() (order.Money, error) { return zar(t, "0.10").Add(zar(t, "0.20")) }, "0.30"},
		"sum up to the largest": {
			func() (order.Money, error) { return zar(t, "9999999999999.98").Add(some) }, "9999999999999.99",
		},
		"sum too large":            {func() (order.Money, error) { return most.Add(some) }, ""},
		"sum of two currencies":    {func() (order.Money, error) { return most.Add(money(t, "1", "USD")) }, ""},
		"sum of no currency":       {func() (order.Money, error) { return order.Money{}.Add(order.Money{}) }, ""},
		"difference":               {func() (order.Money, error) { return zar(t, "1").Sub(zar(t, "2.50")) }, "-1.50"},
		"difference too large":     {func() (order.Money, error) { return zar(t, "-9999999999999.99").Sub(some) }, ""},
		"difference of currencies": {func() (order.Money, error) { return most.Sub(money(t, "1", "USD")) }, ""},
		"product":                  {func() (order.Money, error) { return zar(t, "99.99").Times(3) }, "299.97"},
		"product with nothing":     {func() (order.Money, error) { return most.Times(0) }, "0.00"},
		"product with less":        {func() (order.Money, error) { return zar(t, "1.50").Times(-2) }, "-3.00"},
		"product of two negatives": {func() (order.Money, error) { return zar(t, "-1.50").Times(-2) }, "3.00"},
		"product up to the largest": {
			func() (order.Money, error) { return zar(t, "3333333333333.33").Times(3) }, "9999999999999.99",
		},
		"product too large":           {func() (order.Money, error) { return zar(t, "3333333333333.34").Times(3) }, ""},
		"product beyond 64 bits":      {func() (order.Money, error) { return most.Times(math.MaxInt) }, ""},
		"product with the least":      {func() (order.Money, error) { return most.Times(math.MinInt) }, ""},
		"product just beyond 64 bits": {func() (order.Money, error) { return most.Times(20_000) }, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := test.calculate()
			if test.want == "" {
				is.True(errors.Is(err, order.ErrAmount)) // refused
				return
			}
			is.NoErr(err)
			is.Equal(got.String(), test.want)
		})
	}
}

func TestMoneyAtRoundsHalfAwayFromZero(t *testing.T) {
	tests := []struct{ amount, rate, want string }{
		{"0.10", "0.15", "0.02"}, // 0.015
		{"0.30", "0.15", "0.05"}, // 0.045: to even would be 0.04
		{"0.50", "0.15", "0.08"}, // 0.075
		{"0.03", "0.5", "0.02"},  // 0.015
		{"0.01", "0.5", "0.01"},  // 0.005
		{"-0.01", "0.5", "-0.01"},
		{"-0.30", "0.15", "-0.05"},
		{"0.01", "0.499999", "0.00"},
		{"0.01", "0.500001", "0.01"},
		{"-0.01", "0.499999", "0.00"},
		{"9999999999999.99", "1", "9999999999999.99"},
		{"-9999999999999.99", "1", "-9999999999999.99"},
		{"9999999999999.99", "0", "0.00"},
		{"309.98", "0.15", "46.50"},                          // 46.497
		{"0.33", "0.155", "0.05"},                            // 0.05115
		{"9999999999999.99", "0.15", "1500000000000.00"},     // …499.9985
		{"9999999999999.97", "0.999999", "9999989999999.97"}, // …999.97000000003
		{"368934881474.19", "1", "368934881474.19"},          // the half that rounds carries into the upper 64 bits
	}
	for _, test := range tests {
		t.Run(test.amount+" at "+test.rate, func(t *testing.T) {
			is := is.New(t)
			is.Equal(zar(t, test.amount).At(rate(t, test.rate)).String(), test.want)
		})
	}
}

func TestRates(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "0.15": "0.15", "0.150000": "0.15", "1": "1", "1.0": "1", "0.000001": "0.000001", "15e-2": "0.15", "0.1": "0.1",
	} {
		t.Run("rate "+in, func(t *testing.T) {
			is := is.New(t)
			r, err := order.ParseRate(in)
			is.NoErr(err)
			is.Equal(r.String(), want)
			wire, err := json.Marshal(r)
			is.NoErr(err)
			is.Equal(string(wire), want) // a JSON number
		})
	}
	for _, in := range []string{"", "15%", "-0.1", "-0.000001", "1.000001", "2", "0.0000001", "1e999"} {
		t.Run("no rate "+in, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseRate(in)
			is.True(err != nil) // refused
		})
	}
	for in, want := range map[string]string{
		"0": "0", "12.5": "12.5", "100": "100", "100.0000": "100", "0.0001": "0.0001", "20": "20",
	} {
		t.Run("percentage "+in, func(t *testing.T) {
			is := is.New(t)
			p, err := order.ParsePercent(in)
			is.NoErr(err)
			is.Equal(p.String(), want)
			wire, err := json.Marshal(p)
			is.NoErr(err)
			is.Equal(string(wire), want) // a JSON number
		})
	}
	for _, in := range []string{"", "x", "-1", "100.0001", "0.00001"} {
		t.Run("no percentage "+in, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParsePercent(in)
			is.True(err != nil) // refused
		})
	}
	t.Run("a rate as a percentage", func(t *testing.T) {
		is := is.New(t)
		is.Equal(rate(t, "0.15").Percent().String(), "15")
		is.Equal(rate(t, "0.155555").Percent().String(), "15.5555")
	})
}

func TestCurrencies(t *testing.T) {
	for c, decimals := range map[order.Currency]int{
		"ZAR": 2, "USD": 2, "EUR": 2, "JPY": 0, "XAF": 0, "UGX": 0, "KWD": 3, "TND": 3,
	} {
		t.Run(string(c), func(t *testing.T) {
			is := is.New(t)
			got, ok := c.Decimals()
			is.True(ok)             // known
			is.Equal(got, decimals) // decimals
		})
	}
	for _, c := range []order.Currency{"", "ZA", "ZARR", "zar", "XXX", "XTS", "XAU", "CLF"} {
		t.Run("not "+string(c), func(t *testing.T) {
			is := is.New(t)
			_, ok := c.Decimals()
			is.True(!ok) // unknown
		})
	}
}

// FuzzMoney compares with exact rational arithmetic.
func FuzzMoney(f *testing.F) {
	for _, s := range []string{
		"250.00", "2.5E+2", "-0.07", "0.1", "9999999999999.99", "1e13", "1.005", "0e9", "1.555e-9223372036854775808", "NaN", "",
	} {
		for _, c := range []string{"ZAR", "JPY", "KWD", "ZZZ"} {
			f.Add(s, c, int64(150_000))
		}
	}
	f.Fuzz(func(t *testing.T, s, currency string, millionths int64) {
		m, err := order.ParseMoney(s, order.Currency(currency))
		if err != nil {
			if !errors.Is(err, order.ErrAmount) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if got, _ := new(big.Rat).SetString(m.String()); !ok || got.Cmp(exact) != 0 {
			t.Fatalf("%q is read as %s", s, m)
		}
		if again := money(t, m.String(), m.Currency()); again != m {
			t.Fatalf("%s is read again as %s", m, again)
		}

		millionths = max(0, min(millionths, 1_000_000))
		r := rate(t, big.NewRat(millionths, 1_000_000).FloatString(6))
		share := m.At(r)
		decimals, _ := m.Currency().Decimals()
		want := exact.Mul(exact, big.NewRat(millionths, 1_000_000)).FloatString(decimals) // which rounds half away from zero
		if wanted, _ := new(big.Rat).SetString(want); wanted.Cmp(mustRat(share.String())) != 0 {
			t.Fatalf("%s at %s is %s, want %s", m, r, share, want)
		}
	})
}

func mustRat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("not a number: " + s)
	}
	return r
}
