package proof

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
)

// A basket is a cart as the simulation thinks of it: amounts in minor units.
type basket struct {
	lines    []basketLine
	shipping int64
}

type basketLine struct {
	quantity            int64
	unitPrice, discount int64
}

// basketOf returns the cart with an id: the same for whoever asks, and
// different from every other.
func (sim *simulation) basketOf(tenant, cartID string) basket {
	r := sim.chance("cart " + tenant + " " + cartID)
	n := 1 + r.IntN(4)
	if r.IntN(100) == 0 {
		n = 60
	}
	b := basket{shipping: r.Int64N(20_000)}
	for range n {
		b.lines = append(b.lines, basketLine{1 + r.Int64N(20), r.Int64N(500_000), r.Int64N(3) * r.Int64N(40_000)})
	}
	return b
}

// totals adds the cart up, independently of package order.
func (b basket) totals() (subtotal, tax, total string) {
	sum := new(big.Int)
	for _, l := range b.lines {
		line := new(big.Int).Mul(big.NewInt(l.quantity), big.NewInt(l.unitPrice))
		if line.Sub(line, big.NewInt(l.discount)); line.Sign() > 0 {
			sum.Add(sum, line)
		}
	}
	taxable := new(big.Int).Add(sum, big.NewInt(b.shipping))
	rate, _ := new(big.Rat).SetString(taxRate)
	exact := new(big.Rat).Mul(new(big.Rat).SetInt(taxable), rate)
	// Half away from zero: add a half and cut.
	rounded := new(big.Rat).Add(exact, big.NewRat(1, 2))
	due := new(big.Int).Quo(rounded.Num(), rounded.Denom())
	return cents(sum), cents(due), cents(new(big.Int).Add(taxable, due))
}

func cents(minor *big.Int) string { return new(big.Rat).SetFrac(minor, big.NewInt(100)).FloatString(2) }

// answerCart is the Cart API.
func (sim *simulation) answerCart(tenant, id string) Answer {
	kind := kindOf(id)
	switch kind {
	case "missing":
		return Answer{Status: http.StatusNotFound}
	case "gone":
		return Answer{Status: http.StatusGone}
	case "refused":
		return Answer{Status: http.StatusBadRequest}
	case "noise":
		return Answer{Status: http.StatusOK, Body: []byte(`{"cartId": "` + id + `", "items": "`)}
	}
	b := sim.basketOf(tenant, id)
	amount := func(minor int64) json.Number { return json.Number(cents(big.NewInt(minor))) }
	items := []map[string]any{}
	for i, l := range b.lines {
		items = append(items, map[string]any{
			"id": fmt.Sprintf("line-%d", i+1), "productId": fmt.Sprintf("p-%d", i+1),
			"productName": marker(tenant) + " product",
			"quantity":    l.quantity, "unitPrice": amount(l.unitPrice), "discount": amount(l.discount),
		})
	}
	cart := map[string]any{
		"cartId": id, "tenantId": tenant, "currency": "ZAR", "shipping": amount(b.shipping), "items": items,
	}
	switch kind {
	case "foreign":
		cart["tenantId"] = "somebody-else"
	case "empty":
		cart["items"] = []any{}
	case "range":
		items[0]["unitPrice"], items[0]["quantity"] = json.Number("1000000000000.00"), 9999
	}
	body, err := json.Marshal(map[string]any{"success": true, "data": cart})
	if err != nil {
		sim.t.Fatal(err)
	}
	return Answer{Status: http.StatusOK, Body: body}
}
