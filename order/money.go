package order

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// MaxMinor is the largest amount of money, in minor units, that the service
// handles: 10¹⁵ − 1, which is 9 999 999 999 999.99 in a currency with two
// decimals. It is below 2⁵³, so that a client that reads JSON numbers as floats
// still reads every amount exactly.
const MaxMinor = 999_999_999_999_999

// ErrAmount is wrapped by every error about an amount that is not a decimal
// number, is finer than its currency's decimals, or lies beyond ±MaxMinor.
var ErrAmount = errors.New("invalid amount")

// Money is an exact amount of one currency. The zero value is no money of no
// currency; it is only good for IsZero.
type Money struct {
	minor    int64
	currency Currency
}

// NewMoney returns an amount of minor units (cents, for most currencies). The
// error wraps ErrAmount if minor lies beyond ±MaxMinor or the currency is
// unknown.
func NewMoney(minor int64, c Currency) (Money, error) {
	if _, ok := c.Decimals(); !ok {
		return Money{}, fmt.Errorf("%w: unknown currency %q", ErrAmount, string(c))
	}
	if minor > MaxMinor || minor < -MaxMinor {
		return Money{}, fmt.Errorf("%w: beyond the largest amount", ErrAmount)
	}
	return Money{minor, c}, nil
}

// ParseMoney reads a decimal number in the form of JSON or DynamoDB ("250",
// "250.00", "2.5E+2") as an amount of the currency. Zeros beyond the currency's
// decimals are accepted; other digits there are an error that wraps ErrAmount.
func ParseMoney(s string, c Currency) (Money, error) {
	decimals, ok := c.Decimals()
	if !ok {
		return Money{}, fmt.Errorf("%w: unknown currency %q", ErrAmount, string(c))
	}
	minor, err := parseDecimal(s, decimals)
	if err != nil {
		return Money{}, fmt.Errorf("%w: %w", ErrAmount, err)
	}
	return NewMoney(minor, c)
}

// Minor returns the amount in the currency's minor units.
func (m Money) Minor() int64 { return m.minor }

// Currency returns the currency of the amount.
func (m Money) Currency() Currency { return m.currency }

// IsZero reports whether the amount is nothing.
func (m Money) IsZero() bool { return m.minor == 0 }

// Add returns m + n. The error wraps ErrAmount if the currencies differ or the
// sum is too large.
func (m Money) Add(n Money) (Money, error) {
	if m.currency != n.currency {
		return Money{}, fmt.Errorf("%w: %s and %s do not add", ErrAmount, m.currency, n.currency)
	}
	return NewMoney(m.minor+n.minor, m.currency) // Cannot wrap: both are within ±MaxMinor.
}

// Sub returns m − n, with the errors of Add.
func (m Money) Sub(n Money) (Money, error) {
	return m.Add(Money{-n.minor, n.currency})
}

// Times returns the amount multiplied by a count. The error wraps ErrAmount if
// the product is too large.
func (m Money) Times(count int) (Money, error) {
	minor, err := mulDiv(m.minor, int64(count), 1)
	if err != nil {
		return Money{}, err
	}
	return NewMoney(minor, m.currency)
}

// At returns the amount multiplied by a rate, rounded half away from zero to
// the currency's minor unit.
func (m Money) At(r Rate) Money {
	minor, _ := mulDiv(m.minor, r.millionths, rateOne) // A rate is at most 1, so the result is no larger than m.
	return Money{minor, m.currency}
}

// String returns the amount with exactly the currency's decimals, for example
// "250.00". It is the form on the wire.
func (m Money) String() string {
	decimals, _ := m.currency.Decimals()
	return formatDecimal(m.minor, decimals)
}

// MarshalJSON writes the amount as a JSON number with the currency's decimals.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }

const (
	rateDecimals = 6
	rateOne      = 1_000_000
)

// Rate is an exact fraction between 0 and 1, such as a tax rate, with up to six
// decimals.
type Rate struct{ millionths int64 }

// ParseRate reads a decimal number from 0 to 1 with at most six decimals, for
// example "0.15".
func ParseRate(s string) (Rate, error) {
	n, err := parseDecimal(s, rateDecimals)
	if err != nil {
		return Rate{}, fmt.Errorf("rate: %w", err)
	}
	if n < 0 || n > rateOne {
		return Rate{}, errors.New("rate: not between 0 and 1")
	}
	return Rate{n}, nil
}

// String returns the rate as a decimal without needless zeros, for example
// "0.15".
func (r Rate) String() string { return trimZeros(formatDecimal(r.millionths, rateDecimals)) }

// Percent returns the rate as a percentage.
func (r Rate) Percent() Percent { return Percent{r.millionths} }

// MarshalJSON writes the rate as a JSON number.
func (r Rate) MarshalJSON() ([]byte, error) { return []byte(r.String()), nil }

const percentDecimals = 4

// Percent is an exact percentage from 0 to 100 with up to four decimals, for
// example 12.5.
type Percent struct{ tenThousandths int64 }

// ParsePercent reads a decimal number from 0 to 100 with at most four decimals.
func ParsePercent(s string) (Percent, error) {
	n, err := parseDecimal(s, percentDecimals)
	if err != nil {
		return Percent{}, fmt.Errorf("percentage: %w", err)
	}
	if n < 0 || n > 100*10_000 {
		return Percent{}, errors.New("percentage: not between 0 and 100")
	}
	return Percent{n}, nil
}

// String returns the percentage without needless zeros and without the sign,
// for example "12.5".
func (p Percent) String() string { return trimZeros(formatDecimal(p.tenThousandths, percentDecimals)) }

// MarshalJSON writes the percentage as a JSON number.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(p.String()), nil }

// parseDecimal reads s as an integer count of 10^-decimals. The count is at
// most MaxMinor digits wide.
func parseDecimal(s string, decimals int) (int64, error) {
	const maxLength = 64
	if len(s) > maxLength {
		return 0, errors.New("too many digits")
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil {
			return 0, fmt.Errorf("%q is not a decimal number", s)
		}
		// Exponents that no amount has all mean the same; cut, so that the sums
		// below cannot wrap.
		mantissa, exponent = s[:i], max(-2*maxLength, min(e, 2*maxLength))
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if whole == "" || hasPoint && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return 0, nil
	}
	// The value is digits × 10^shift in units of 10^-decimals.
	trimmed := strings.TrimRight(digits, "0")
	shift := exponent - len(fraction) + decimals + len(digits) - len(trimmed)
	switch {
	case shift < 0:
		return 0, fmt.Errorf("%q is finer than %d decimals", s, decimals)
	case len(trimmed)+shift > len(strconv.Itoa(MaxMinor)):
		return 0, fmt.Errorf("%q is too large", s)
	}
	n, _ := strconv.ParseInt(trimmed+strings.Repeat("0", shift), 10, 64) // At most 15 digits.
	if negative {
		n = -n
	}
	return n, nil
}

func formatDecimal(n int64, decimals int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	digits := strconv.FormatInt(n, 10)
	if decimals == 0 {
		return sign + digits
	}
	digits = strings.Repeat("0", max(0, decimals+1-len(digits))) + digits
	point := len(digits) - decimals
	return sign + digits[:point] + "." + digits[point:]
}

func trimZeros(decimal string) string {
	return strings.TrimSuffix(strings.TrimRight(decimal, "0"), ".")
}

// mulDiv returns a × b ÷ c, rounded half away from zero, for a positive c. The
// product may exceed 64 bits.
func mulDiv(a, b, c int64) (int64, error) {
	negative := (a < 0) != (b < 0)
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	lo, carry := bits.Add64(lo, uint64(c)/2, 0) //nolint:gosec // c is positive.
	hi += carry
	if hi >= uint64(c) { //nolint:gosec // c is positive.
		return 0, fmt.Errorf("%w: too large", ErrAmount)
	}
	quotient, _ := bits.Div64(hi, lo, uint64(c)) //nolint:gosec // c is positive.
	if quotient > MaxMinor {
		return 0, fmt.Errorf("%w: too large", ErrAmount)
	}
	if negative {
		return -int64(quotient), nil
	}
	return int64(quotient), nil
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-n)
	}
	return uint64(n)
}
