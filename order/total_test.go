package order_test

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func line(t testing.TB, quantity int, unitPrice, discount string) order.CartItem {
	t.Helper()
	return order.CartItem{
		ID: "item", ProductID: "product", ProductName: "Product", Quantity: quantity,
		UnitPrice: zar(t, unitPrice), Discount: zar(t, discount),
	}
}

// cartOf returns the cart of message with the lines.
func cartOf(t testing.TB, lines ...order.CartItem) order.Cart {
	t.Helper()
	return order.Cart{ID: "cart-1", TenantID: "tenant-001", Currency: "ZAR", Items: lines, Shipping: zar(t, "0")}
}

func message(t testing.TB) order.Creation {
	t.Helper()
	return order.Creation{
		OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", TenantID: "tenant-001",
		CustomerEmail: "thandi@example.com", CartID: "cart-1", CreatedBy: "clerk",
	}
}

// price returns the order of a message that was accepted as ORD-2025-00001.
func price(t testing.TB, c order.Creation, cart order.Cart, tax order.Rate) (order.Order, error) {
	t.Helper()
	return order.New(c.Accepted("ORD-2025-00001", timestamp(t, "2025-12-30T10:30:00Z")), c, cart, tax)
}

func TestNewTotals(t *testing.T) {
	tests := map[string]struct {
		lines                []order.CartItem
		shipping, rate       string
		lineSubtotals        []string
		subtotal, tax, total string
	}{
		"one line": {
			[]order.CartItem{line(t, 1, "250", "0")}, "0", "0.15", []string{"250.00"}, "250.00", "37.50", "287.50",
		},
		"shipping is taxed": {
			[]order.CartItem{line(t, 2, "99.99", "10"), line(t, 1, "120", "0")},
			"50.50", "0.15",
			[]string{"189.98", "120.00"},
			"309.98", "54.07", "414.55", // 0.15 × 360.48 = 54.072
		},
		"the tax is rounded once, half away from zero": {
			[]order.CartItem{line(t, 1, "0.10", "0"), line(t, 1, "0.10", "0"), line(t, 1, "0.10", "0")},
			"0", "0.15",
			[]string{"0.10", "0.10", "0.10"},
			"0.30", "0.05", "0.35", // 0.045; line by line it would be 0.06
		},
		"a discount is on the line, not on the piece": {
			[]order.CartItem{line(t, 3, "10", "5")}, "0", "0", []string{"25.00"}, "25.00", "0.00", "25.00",
		},
		"a discount takes a line to zero": {
			[]order.CartItem{line(t, 1, "10", "10")}, "0", "0.15", []string{"0.00"}, "0.00", "0.00", "0.00",
		},
		"a discount does not take it below, nor from other lines": {
			[]order.CartItem{
				line(t, 1, "10", "10.01"), line(t, 1, "1", "0"),
			}, "0", "0", []string{"0.00", "1.00"}, "1.00", "0.00", "1.00",
		},
		"a free line": {
			[]order.CartItem{line(t, 9_999, "0", "0")}, "9.99", "0.15", []string{"0.00"}, "0.00", "1.50", "11.49",
		},
		"the largest amounts": {
			[]order.CartItem{line(t, 9_999, "1000100010", "0.00")},
			"0", "0",
			[]string{"9999999999990.00"},
			"9999999999990.00", "0.00", "9999999999990.00",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			cart := cartOf(t, test.lines...)
			cart.Shipping = zar(t, test.shipping)
			o, err := price(t, message(t), cart, rate(t, test.rate))
			is.NoErr(err)
			for i, want := range test.lineSubtotals {
				is.Equal(o.Items[i].Subtotal.String(), want) // line
			}
			is.Equal(o.Subtotal.String(), test.subtotal) // subtotal
			is.Equal(o.Tax.String(), test.tax)           // tax
			is.Equal(o.Total.String(), test.total)       // total
		})
	}
}

func TestNewRefuses(t *testing.T) {
	const outOfRange = "cart amounts are out of range"
	most := "9999999999999.99"
	many := make([]order.CartItem, order.MaxItems+1)
	for i := range many {
		many[i] = line(t, 1, "1", "0")
	}
	tests := map[string]struct {
		change func(c *order.Creation, cart *order.Cart)
		reason string
		says   string
	}{
		"another tenant's cart": {
			func(_ *order.Creation, cart *order.Cart) { cart.TenantID = "tenant-002" },
			"cart belongs to another tenant", "",
		},
		"another cart": {
			func(_ *order.Creation, cart *order.Cart) { cart.ID = "cart-2" }, "cart answer is for another cart", "",
		},
		"an empty cart": {func(_ *order.Creation, cart *order.Cart) { cart.Items = nil }, "cart is empty", ""},
		"too many lines": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items = many }, "cart has more than 200 lines", "",
		},
		"no campaign": {
			func(c *order.Creation, _ *order.Cart) { c.CampaignCode = "A" }, "campaign is not on the cart", "",
		},
		"another campaign": {func(c *order.Creation, cart *order.Cart) {
			c.CampaignCode, cart.Campaign = "A", &order.Campaign{Code: "B"}
		}, "campaign is not on the cart", ""},
		"no quantity": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0].Quantity = 0 }, outOfRange, "quantity 0",
		},
		"too large a quantity": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0].Quantity = 10_000 }, outOfRange,
			"quantity 10000",
		},
		"a price below zero": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0].UnitPrice = zar(t, "-0.01") }, outOfRange,
			"items[0]: unit price",
		},
		"a discount below zero": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0].Discount = zar(t, "-0.01") }, outOfRange,
			"items[0]: discount",
		},
		"shipping below zero": {
			func(_ *order.Creation, cart *order.Cart) { cart.Shipping = zar(t, "-0.01") }, outOfRange, "shipping",
		},
		"a line too large": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0] = line(t, 2, most, "0") }, outOfRange,
			"items[0]",
		},
		"a sum too large": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items = append(cart.Items, line(t, 1, most, "0")) },
			outOfRange, "items[1]",
		},
		"shipping too large": {
			func(_ *order.Creation, cart *order.Cart) { cart.Shipping = zar(t, most) }, outOfRange, "shipping",
		},
		"a total too large": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0] = line(t, 1, most, "0") }, outOfRange,
			"total",
		},
		"a price of no currency": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0].UnitPrice = order.Money{} }, outOfRange,
			"items[0]",
		},
		"a discount in dollars": {
			func(_ *order.Creation, cart *order.Cart) { cart.Items[0].Discount = money(t, "1", "USD") }, outOfRange,
			"items[0]",
		},
		"shipping in dollars": {
			func(_ *order.Creation, cart *order.Cart) { cart.Shipping = money(t, "1", "USD") }, outOfRange,
			"shipping",
		},
		"lines in another currency": {
			func(_ *order.Creation, cart *order.Cart) { cart.Currency = "USD" }, outOfRange, "items[0]",
		},
		"an unknown currency": {
			func(_ *order.Creation, cart *order.Cart) { cart.Currency = "ZZZ" }, outOfRange, "unknown currency",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			c, cart := message(t), cartOf(t, line(t, 1, "250", "0"))
			test.change(&c, &cart)
			o, err := price(t, c, cart, rate(t, "0.15"))
			var p *order.PermanentError
			is.True(errors.As(err, &p)) // permanent
			is.Equal(p.Reason, test.reason)
			is.True(strings.Contains(err.Error(), test.says)) // says where
			is.Equal(o, order.Order{})                        // no order
		})
	}
}

func TestNewTakesTheWholeCart(t *testing.T) {
	t.Run("200 lines", func(t *testing.T) {
		is := is.New(t)
		o, err := price(t, message(t), largeCart(t, order.MaxItems), rate(t, "0.15"))
		is.NoErr(err)
		is.Equal(len(o.Items), 200)
		is.Equal(o.Subtotal.String(), "110044.07")
	})
	t.Run("a campaign code in other letters", func(t *testing.T) {
		is := is.New(t)
		c, cart := message(t), cartOf(t, line(t, 1, "250", "0"))
		c.CampaignCode, cart.Campaign = "summer25", &order.Campaign{Code: "SUMMER25"}
		o, err := price(t, c, cart, rate(t, "0.15"))
		is.NoErr(err)
		is.Equal(o.Campaign, cart.Campaign)
	})
	t.Run("a campaign that the message does not ask for", func(t *testing.T) {
		is := is.New(t)
		cart := cartOf(t, line(t, 1, "250", "0"))
		cart.Campaign = &order.Campaign{Code: "SUMMER25"}
		o, err := price(t, message(t), cart, rate(t, "0.15"))
		is.NoErr(err)
		is.Equal(o.Campaign.Code, "SUMMER25") // the cart's prices include it
	})
	t.Run("what was accepted", func(t *testing.T) {
		is := is.New(t)
		o, err := price(t, message(t), largeCart(t, 1), rate(t, "0.15"))
		is.NoErr(err)
		is.Equal(o.Number, "ORD-2025-00001")
		is.Equal(o.LastUpdatedBy, "clerk")
		is.True(o.Recorded())
		is.Equal(o.History, []order.Entry{{
			Sequence: 1, Type: "order.created", Status: "pending", Date: timestamp(t, "2025-12-30T10:30:00Z"), By: "clerk",
		}})
		is.Equal(o.Documents, []order.Document{}) // none, but a list
	})
	t.Run("a discount is at most the line", func(t *testing.T) {
		is := is.New(t)
		o, err := price(t, message(t), cartOf(t, line(t, 2, "10", "100")), rate(t, "0.15"))
		is.NoErr(err)
		is.Equal(o.Items[0].Discount.String(), "20.00") // as it is stored and shown
		is.Equal(o.Items[0].Subtotal.String(), "0.00")
	})
	t.Run("the same order again", func(t *testing.T) {
		is := is.New(t)
		first, err := price(t, message(t), largeCart(t, 3), rate(t, "0.15"))
		is.NoErr(err)
		again, err := price(t, message(t), largeCart(t, 3), rate(t, "0.15"))
		is.NoErr(err)
		is.Equal(again, first) // whenever the message comes
	})
}

// largeCart returns a cart of n lines: of the line i, i mod 9 + 1 pieces at i +
// 10.99, less 1.50.
func largeCart(t testing.TB, n int) order.Cart {
	t.Helper()
	cart := order.Cart{ID: "cart-1", TenantID: "tenant-001", Currency: "ZAR", Shipping: zar(t, "99.95")}
	for i := range n {
		cart.Items = append(cart.Items, order.CartItem{
			ID: "item-" + strconv.Itoa(i), ProductID: "prod-" + strconv.Itoa(i), ProductName: "Product number " + strconv.Itoa(i),
			Quantity: i%9 + 1, UnitPrice: zar(t, fmt.Sprintf("%d.99", i+10)), Discount: zar(t, "1.50"),
		})
	}
	return cart
}

// FuzzNew compares the totals of a two-line cart with exact rational
// arithmetic.
func FuzzNew(f *testing.F) {
	f.Add(2, int64(9_999), int64(1_000), 1, int64(12_000), int64(0), int64(5_050), int64(150_000))
	f.Add(1, int64(10), int64(0), 9_999, int64(1), int64(1_000_000), int64(0), int64(155_555))
	f.Add(9_999, int64(order.MaxMinor), int64(0), 1, int64(1), int64(0), int64(0), int64(1_000_000))
	f.Fuzz(func(
		t *testing.T, quantity1 int, price1, discount1 int64, quantity2 int, price2, discount2, shipping,
		millionths int64,
	) {
		cent := func(minor int64) order.Money {
			m, err := order.NewMoney(minor%(order.MaxMinor+1), "ZAR")
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		millionths = max(0, min(millionths, 1_000_000))
		r := rate(t, strconv.FormatInt(millionths, 10)+"e-6")
		cart := order.Cart{Currency: "ZAR", Shipping: cent(shipping), Items: []order.CartItem{
			{Quantity: quantity1, UnitPrice: cent(price1), Discount: cent(discount1)},
			{Quantity: quantity2, UnitPrice: cent(price2), Discount: cent(discount2)},
		}}
		o, err := price(t, order.Creation{}, cart, r)
		if err != nil {
			return
		}
		subtotal := new(big.Int)
		for _, item := range cart.Items {
			net := new(big.Int).Mul(big.NewInt(int64(item.Quantity)), big.NewInt(item.UnitPrice.Minor()))
			if net.Sub(net, big.NewInt(item.Discount.Minor())); net.Sign() > 0 {
				subtotal.Add(subtotal, net)
			}
		}
		taxable := new(big.Int).Add(subtotal, big.NewInt(cart.Shipping.Minor()))
		exact := new(big.Rat).Mul(new(big.Rat).SetInt(taxable), big.NewRat(millionths, 1_000_000))
		tax, _ := new(big.Int).SetString(exact.FloatString(0), 10) // which rounds half away from zero
		total := new(big.Int).Add(taxable, tax)
		for name, pair := range map[string][2]*big.Int{
			"subtotal": {big.NewInt(o.Subtotal.Minor()), subtotal},
			"tax":      {big.NewInt(o.Tax.Minor()), tax},
			"total":    {big.NewInt(o.Total.Minor()), total},
		} {
			if pair[0].Cmp(pair[1]) != 0 {
				t.Fatalf("%s is %s, want %s", name, pair[0], pair[1])
			}
		}
	})
}
