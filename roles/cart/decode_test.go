package cart

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func money(t *testing.T, s string, c order.Currency) order.Money {
	t.Helper()
	m, err := order.ParseMoney(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecode(t *testing.T) {
	zar := func(s string) order.Money { return money(t, s, "ZAR") }
	jpy := func(s string) order.Money { return money(t, s, "JPY") }
	percentage, err := order.ParsePercent("12.5")
	if err != nil {
		t.Fatal(err)
	}
	total, yen := zar("414.55"), jpy("7935")
	tests := map[string]order.Cart{
		"envelope.json": {
			ID: "cart-8f14e45f", TenantID: "tenant-001", Currency: "ZAR",
			Items: []order.CartItem{
				{
					ID: "item-1", ProductID: "prod-wp-basic", ProductName: "WordPress Basic – 12 months",
					Quantity: 2, UnitPrice: zar("99.99"), Discount: zar("10"),
				},
				{
					ID: "item-2", ProductID: "prod-domain-co-za", ProductName: "Domain example.co.za",
					Quantity: 1, UnitPrice: zar("120"), Discount: zar("0"),
				},
			},
			Shipping: zar("50.50"),
			Total:    &total,
			Campaign: &order.Campaign{
				ID: "camp-9", Code: "SUMMER25", Description: "Summer sale", DiscountPercentage: percentage,
				ProductID: "prod-wp-basic", TermsConditionsLink: "https://kimmyai.io/terms/summer25",
				FromDate: "2025-11-01", ToDate: "2026-01-31", IsValid: true,
				DateCreated:     order.NewTimestamp(time.Date(2025, 10, 15, 8, 0, 0, 0, time.UTC)),
				DateLastUpdated: order.NewTimestamp(time.Date(2025, 10, 16, 6, 0, 0, 123456000, time.UTC)),
				LastUpdatedBy:   "marketing@kimmyai.io", Active: true,
			},
		},
		"bare.json": {
			ID: "cart-1", TenantID: "tenant-001", Currency: "ZAR",
			Items: []order.CartItem{
				{ID: "1", ProductID: "p1", ProductName: "One", Quantity: 1, UnitPrice: zar("250"), Discount: zar("0")},
			},
			Shipping: zar("0"),
		},
		"decimals-as-text.json": {
			ID: "cart-2", TenantID: "tenant-001", Currency: "JPY",
			Items: []order.CartItem{
				{ID: "1", ProductID: "p1", ProductName: "茶碗", Quantity: 3, UnitPrice: jpy("1500"), Discount: jpy("0")},
				{ID: "2", ProductID: "p2", ProductName: "箸", Quantity: 2, UnitPrice: jpy("1200"), Discount: jpy("0")},
			},
			Shipping: jpy("0"),
			Total:    &yen,
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := decode(read(t, name))
			is.NoErr(err)
			is.Equal(got, want) // the cart
		})
	}
}

// with returns a good answer with one field replaced, by a path such as
// "items.0.quantity"; a nil value removes it.
func with(t *testing.T, path string, value any) []byte {
	t.Helper()
	var doc any
	if err := json.Unmarshal(read(t, "envelope.json"), &doc); err != nil {
		t.Fatal(err)
	}
	at := doc.(map[string]any)["data"].(map[string]any)
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		switch next := at[step].(type) {
		case map[string]any:
			at = next
		case []any:
			at = next[0].(map[string]any)
		}
	}
	at[steps[len(steps)-1]] = value
	if value == nil {
		delete(at, steps[len(steps)-1])
	}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeRefuses(t *testing.T) {
	long := strings.Repeat("é", order.MaxText+1)
	tests := map[string]struct {
		data []byte
		want string // what the error says beside "malformed"
	}{
		"no object":               {[]byte(`[]`), "array"},
		"null":                    {[]byte(`null`), "cartId is required"},
		"success of a wrong type": {[]byte(`{"success": "yes"}`), "success"},
		"success without data":    {[]byte(`{"success": true}`), "data is missing"},
		"data of a wrong type":    {[]byte(`{"success": true, "data": []}`), "data"},
		"deep nesting":            {[]byte(strings.Repeat(`{"data":`, 20_000)), "depth"},
		"no cart id":              {with(t, "cartId", nil), "cartId is required"},
		"number as cart id":       {with(t, "cartId", 5), "cartId"},
		"no tenant id":            {with(t, "tenantId", nil), "tenantId is required"},
		"control in cart id":      {with(t, "cartId", "a\nb"), "cartId is longer"},
		"unknown currency":        {with(t, "currency", "ZZZ"), "currency is unknown"},
		"currency in lower case":  {with(t, "currency", "zar"), "currency is unknown"},
		"items no list":           {with(t, "items", map[string]any{}), "items is not a list"},
		"items as text":           {with(t, "items", "none"), "items is not a list"},
		"an item of a wrong type": {with(t, "items", []any{map[string]any{}, 5}), "items[1]: json"},
		"no item id":              {with(t, "items.id", " "), "items[0].id is required"},
		"long item id": {
			with(t, "items.id", long), "items[0].id is longer than 256 characters or has control characters",
		},
		"no product id":   {with(t, "items.productId", nil), "items[0].productId is required"},
		"no product name": {with(t, "items.productName", "\t\n "), "items[0].productName is required"},
		"no quantity":     {with(t, "items.quantity", nil), "items[0].quantity is not a whole number"},
		"half a quantity": {with(t, "items.quantity", 1.5), "items[0].quantity is not a whole number"},
		"huge quantity": {
			with(t, "items.quantity", json.Number("1e30")), "items[0].quantity is not a whole number",
		},
		"no unit price":       {with(t, "items.unitPrice", nil), "items[0].unitPrice is required"},
		"fine unit price":     {with(t, "items.unitPrice", json.Number("1.005")), "items[0].unitPrice: invalid amount"},
		"unit price as words": {with(t, "items.unitPrice", "free"), "json"},
		"fine discount":       {with(t, "items.discount", json.Number("0.001")), "items[0].discount: invalid amount"},
		"huge shipping":       {with(t, "shipping", json.Number("1e13")), "shipping: invalid amount"},
		"high percentage":     {with(t, "campaign.discountPercentage", 101), "campaign.discountPercentage: percentage"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := decode(test.data)
			var p *order.PermanentError
			is.True(errors.As(err, &p))                       // permanent
			is.Equal(p.Reason, "cart answer is malformed")    // reason
			is.True(strings.Contains(err.Error(), test.want)) // says what is wrong
		})
	}
}

func TestDecodeForgives(t *testing.T) {
	get := func(t *testing.T, path string, value any) order.Cart {
		t.Helper()
		c, err := decode(with(t, path, value))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Run("control characters in a product's name become spaces", func(t *testing.T) {
		is := is.New(t)
		is.Equal(get(t, "items.productName", "\x00Tea\r\nset\ufffe").Items[0].ProductName, "Tea  set")
	})
	t.Run("a long product name is cut", func(t *testing.T) {
		is := is.New(t)
		name := strings.Repeat("é", order.MaxText)
		is.Equal(get(t, "items.productName", name).Items[0].ProductName, name) // just fits
		is.Equal(get(t, "items.productName", name+"é").Items[0].ProductName, strings.Repeat("é", order.MaxText-1)+"…")
	})
	t.Run("ids of the largest length", func(t *testing.T) {
		is := is.New(t)
		id := strings.Repeat("é", order.MaxText)
		is.Equal(get(t, "items.id", id).Items[0].ID, id)
	})
	t.Run("a total that is no amount differs from every amount", func(t *testing.T) {
		is := is.New(t)
		for _, total := range []any{"", "many", -1.001, true, []int{1}} {
			c := get(t, "total", total)
			is.True(c.Total != nil)           // there is one
			is.Equal(*c.Total, order.Money{}) // of no currency
		}
		is.Equal(get(t, "total", nil).Total, nil)                     // none
		is.Equal(get(t, "total", json.RawMessage("null")).Total, nil) // none
	})
	t.Run("a campaign without a code is none", func(t *testing.T) {
		is := is.New(t)
		is.Equal(get(t, "campaign", nil).Campaign, nil)
		is.Equal(get(t, "campaign", map[string]any{}).Campaign, nil)
	})
	t.Run("a campaign is in force unless it says otherwise", func(t *testing.T) {
		is := is.New(t)
		campaign := get(t, "campaign", map[string]any{"code": "A", "dateCreated": "yesterday"}).Campaign
		is.Equal(campaign, &order.Campaign{Code: "A", IsValid: true, Active: true})
		is.Equal(get(t, "campaign.isValid", false).Campaign.IsValid, false)
		is.Equal(get(t, "campaign.active", false).Campaign.Active, false)
	})
}

// lines returns an answer with as many lines.
func lines(n int, line string) []byte {
	return []byte(
		`{"cartId": "c", "tenantId": "t", "items": [` + strings.TrimSuffix(strings.Repeat(line+",", n), ",") + `]}`,
	)
}

func TestDecodeManyLines(t *testing.T) {
	const line = `{"id": "1", "productId": "p", "productName": "Tea", "quantity": 1, "unitPrice": 1}`
	t.Run("as many as an order may have", func(t *testing.T) {
		is := is.New(t)
		c, err := decode(lines(order.MaxItems, line))
		is.NoErr(err)
		is.Equal(len(c.Items), order.MaxItems)
	})
	t.Run("no lines: that is for order.New to say", func(t *testing.T) {
		is := is.New(t)
		for _, items := range []string{"[]", "null"} {
			c, err := decode([]byte(`{"cartId": "c", "tenantId": "t", "items": ` + items + `}`))
			is.NoErr(err)
			is.Equal(len(c.Items), 0)
		}
	})
	for name, envelope := range map[string]string{"bare": "%s", "in an envelope": `{"success": true, "data": %s}`} {
		t.Run("one more, "+name, func(t *testing.T) {
			is := is.New(t)
			_, err := decode([]byte(strings.Replace(envelope, "%s", string(lines(order.MaxItems+1, line)), 1)))
			var p *order.PermanentError
			is.True(errors.As(err, &p))
			is.Equal(err.Error(), order.TooManyItems().Error()) // the same that order.New says
		})
	}
	t.Run("memory is not taken for lines that are refused", func(t *testing.T) {
		is := is.New(t)
		empty := lines((1<<20)/len("{},"), "{}")
		is.True(len(empty) > 1<<20-100) // an answer of 1 MiB, with 350 000 lines
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 { // a batch of them
			_, err := decode(empty)
			is.True(err != nil)
		}
		runtime.ReadMemStats(&after)
		const most = 8 << 20 // in all, garbage included: a line takes 96 bytes, 350 000 of them 33 MiB an answer
		is.True(after.TotalAlloc-before.TotalAlloc < most)
	})
}

// FuzzDecode holds that whatever the Cart API answers, there is a cart within
// its bounds or an error that says whether to

// try again, and that a cart written as an answer is read as the same cart.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no answers in testdata", err)
	}
	for _, file := range files {
		f.Add(read(f, filepath.Base(file)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decode(data)
		if err != nil {
			var p *order.PermanentError
			if !errors.As(err, &p) && !errors.Is(err, errUnsuccessful) {
				t.Fatalf("neither permanent nor unsuccessful: %v", err)
			}
			return
		}
		for _, line := range c.Items {
			for _, s := range []string{line.ID, line.ProductID, line.ProductName} {
				if s == "" || utf8.RuneCountInString(s) > order.MaxText || strings.ContainsFunc(s, order.IsControl) {
					t.Fatalf("text out of bounds: %q", s)
				}
			}
			if line.UnitPrice.Currency() != c.Currency || line.Discount.Currency() != c.Currency {
				t.Fatalf("currencies mixed: %+v", line)
			}
		}
		again, err := decode(encode(t, c))
		if err != nil {
			t.Fatal(err)
		}
		is.New(t).Equal(again, c)
		priced, err := order.New(order.Order{}, order.Creation{TenantID: c.TenantID, CartID: c.ID}, c, order.Rate{})
		if err == nil && (priced.Total.Minor() < 0 || len(priced.Items) != len(c.Items)) {
			t.Fatalf("priced wrongly: %+v", priced)
		}
	})
}

func encode(t *testing.T, c order.Cart) []byte {
	t.Helper()
	items := make([]map[string]any, len(c.Items))
	for i, line := range c.Items {
		items[i] = map[string]any{
			"id": line.ID, "productId": line.ProductID, "productName": line.ProductName,
			"quantity": line.Quantity, "unitPrice": line.UnitPrice, "discount": line.Discount,
		}
	}
	doc := map[string]any{
		"cartId": c.ID, "tenantId": c.TenantID, "currency": c.Currency, "items": items,
		"shipping": c.Shipping, "campaign": c.Campaign,
	}
	if c.Total != nil {
		doc["total"] = c.Total.String()
		if c.Total.Currency() == "" {
			doc["total"] = "not an amount"
		}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
