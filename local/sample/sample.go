// Package sample has orders to look at: what the preview shows, and what the
// tests of invoice and notify render.
package sample

import (
	"fmt"
	"strings"
	"time"

	"github.com/bbws/order-lambda/order"
)

// A Sample is an order with a name that can be part of a file's name.
type Sample struct {
	Name  string
	Order order.Order
}

// line is a product, a quantity, and a unit price and a discount in cents.
type line struct {
	name            string
	quantity        int
	price, discount int64
}

// Orders returns the samples. They are the same on every call.
func Orders() []Sample {
	three := []line{
		{"Ceramic pour-over coffee set", 1, 64_900, 0},
		{"Single origin beans, Yirgacheffe, 1 kg", 3, 38_950, 11_685},
		{"Paper filters, size 02, pack of 100", 2, 8_990, 0},
	}
	samples := []Sample{
		{"completed", build(16, "ZAR", three, 9_900)},
		{"one-line", build(1, "ZAR", []line{{"Web hosting, 12 months", 1, 118_800, 0}}, 0)},
		{"three-lines", build(2, "ZAR", three, 9_900)},
		{"forty-lines", build(3, "ZAR", catalogue(40), 15_000)},
		{"two-hundred-lines", build(4, "ZAR", catalogue(order.MaxItems), 0)},
		{"long-names", build(5, "ZAR", longNames(), 9_900)},
		{"many-scripts", build(6, "ZAR", scripts(), 9_900)},
		{"large-amounts", build(7, "ZAR", []line{
			{"Data centre, turnkey", 1, 99_999_999_999, 100},
			{"Fibre, per metre", order.MaxQuantity, 1_000_000_000, 99_999_999_999},
			{"Paper clip", 1, 1, 0},
		}, 99_999)},
		{"free", build(8, "ZAR", []line{{"Trial licence, 30 days", 1, 0, 0}, {"Welcome pack", 2, 5_000, 1_000_000}}, 0)},
		{"paid", build(9, "ZAR", three, 9_900)},
		{"refunded", build(10, "ZAR", three, 9_900)},
		{"cancelled", build(11, "ZAR", three[:1], 0)},
		{"campaign", build(12, "ZAR", three, 9_900)},
		{"dollars", build(13, "USD", catalogue(5), 2_500)},
		{"no-name", build(14, "ZAR", three[:1], 0)},
		{"foreign-name", build(15, "ZAR", three[:1], 0)},
		{"arabic", build(17, "ZAR", three, 9_900)},
	}
	for i := range samples {
		samples[i].Order = change(samples[i].Name, samples[i].Order)
	}
	return samples
}

// change gives an order what its sample is about.
func change(name string, o order.Order) order.Order {
	a := &o.BillingAddress
	switch name {
	case "paid", "forty-lines", "two-hundred-lines", "large-amounts", "campaign", "free", "dollars", "arabic":
		apply(&o, paid(o))
	case "completed":
		apply(&o, paid(o), order.Update{Status: order.Processing}, order.Update{Status: order.Completed})
	case "refunded", "long-names", "many-scripts":
		apply(&o, paid(o), order.Update{Status: order.Refunded, Reason: "The coffee set arrived broken"})
	case "cancelled":
		apply(&o, order.Update{Status: order.Cancelled, Reason: "Ordered twice"})
	}
	switch name {
	case "campaign":
		percent, err := order.ParsePercent("10")
		must(err)
		o.Campaign = &order.Campaign{
			Code: "SUMMER10", Description: "Ten percent off all coffee until the end of January",
			DiscountPercentage: percent, IsValid: true, Active: true,
		}
	case "one-line":
		a.Company, a.VATNumber = "", ""
	case "no-name":
		o.CustomerName, a.FullName, a.Company, a.VATNumber = "", "", "", ""
	case "foreign-name":
		o.CustomerName, a.FullName, a.Company, a.VATNumber = "山田 太郎", "山田 太郎", "", ""
	case "long-names":
		o.CustomerName = ""
		a.FullName = "Maximiliane Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh of the Upper Valley"
		a.Company = "International Association of Manufacturers, Importers and Distributors of " +
			"Extraordinarily Long Product Names (Pty) Ltd"
		a.Street = strings.Repeat("Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch Avenue ", 3)
	case "many-scripts":
		o.CustomerName, a.FullName = "Nguyễn Thị Ánh Tuyết", "Nguyễn Thị Ánh Tuyết"
		a.Company = "Łódź Žižkov Şişli Ørsted ĐẠI Ḽiḓa (Edms) Bpk"
		a.Street = "Οδός Ερμού 15, ул. Тверская 7"
		a.City = "東京 القاهرة मुंबई"
	case "arabic":
		o.CustomerName = "فاطمة الزهراء"
		o.BillingAddress = order.BillingAddress{
			FullName: "فاطمة الزهراء", Street: "١٢ شارع التحرير", City: "القاهرة", Province: "القاهرة",
			PostalCode: "11511", Country: "EG",
		}
	}
	return o
}

// An Issue is a document that an order's history calls for, and the order as
// the document shows it.
type Issue struct {
	Order    order.Order
	Document order.Document
}

// Issues returns the order's documents as the service would issue them, each on
// the day of its entry.
func (s Sample) Issues() []Issue {
	o := s.Order
	var issues []Issue
	for _, due := range order.DocumentsDue(o) {
		entry, _ := o.Entry(due.Sequence)
		d := order.Document{Kind: due.Kind, DateIssued: entry.Date}
		if series := due.Kind.Series(); series != "" {
			d.Number = order.FormatDocumentNumber(series, entry.Date.Year(), 1)
		}
		issues = append(issues, Issue{o.At(due.Sequence), d})
		o.Issue(d) // A credit note names the invoice.
	}
	return issues
}

func build(n int, currency order.Currency, lines []line, shipping int64) order.Order {
	created, err := order.ParseTimestamp(fmt.Sprintf("2025-12-%02dT10:30:00Z", 10+n))
	must(err)
	c := order.Creation{
		OrderID:       fmt.Sprintf("0b8f1d2e-5c3a-4e6f-9a7b-%012d", n),
		TenantID:      "tenant-1",
		CustomerEmail: "thandi@example.co.za",
		CustomerName:  "Thandi Example",
		CartID:        "cart-1",
		BillingAddress: order.BillingAddress{
			FullName: "Thandi Example", Company: "Example Roasters (Pty) Ltd", VATNumber: "4123456789", Street: "12 Long Street",
			City: "Cape Town", Province: "Western Cape", PostalCode: "8001", Country: "ZA",
		},
		PaymentMethod: order.DefaultPaymentMethod,
		CreatedBy:     "thandi@example.co.za",
	}
	money := func(cents int64) order.Money {
		m, err := order.NewMoney(cents, currency)
		must(err)
		return m
	}
	cart := order.Cart{ID: c.CartID, TenantID: c.TenantID, Currency: currency, Shipping: money(shipping)}
	for i, l := range lines {
		cart.Items = append(cart.Items, order.CartItem{
			ID: fmt.Sprintf("item-%d", i+1), ProductID: fmt.Sprintf("product-%d", i+1), ProductName: l.name,
			Quantity: l.quantity, UnitPrice: money(l.price), Discount: money(l.discount),
		})
	}
	tax, err := order.ParseRate("0.15")
	must(err)
	o, err := order.New(c.Accepted(order.FormatNumber(2025, int64(n)), created), c, cart, tax)
	must(err)
	return o
}

// apply moves an order on, as clients of the API would: a day for each update.
func apply(o *order.Order, updates ...order.Update) {
	at := o.DateCreated.Time()
	for _, u := range updates {
		at = at.Add(24 * time.Hour)
		u.By = "payments@example.co.za"
		_, err := o.Apply(u, at)
		must(err)
	}
}

// paid is a payment on the day after the order.
func paid(o order.Order) order.Update {
	return order.Update{Status: order.Paid, PaymentDetails: &order.PaymentDetails{
		Method: "credit_card", TransactionID: "TXN-20251230-004711", PayfastPaymentID: "1089250",
		PaidAt: order.NewTimestamp(o.DateCreated.Time().Add(23 * time.Hour)),
	}}
}

// catalogue returns n lines of everyday goods, some of them discounted.
func catalogue(n int) []line {
	names := []string{
		"Notebook A5, dotted", "Fountain pen, medium nib", "Ink, royal blue, 50 ml", "Desk lamp with dimmer",
		"USB-C cable, 2 m", "Wireless mouse",
		"Mechanical keyboard, ISO layout, brown switches, with wrist rest and a spare set of key caps", "Monitor arm",
		"Webcam cover, set of three", "Laptop stand, aluminium", "Whiteboard markers, assorted",
	}
	lines := make([]line, n)
	for i := range lines {
		price := int64(1_995 + 7_919*i%250_000)
		lines[i] = line{names[i%len(names)], 1 + i*7%12, price, 0}
		if i%4 == 1 {
			lines[i].discount = price / 10
		}
	}
	return lines
}

func longNames() []line {
	return []line{
		{strings.Repeat("Aluminium", 28) + "Case", 1, 12_345_00, 100_00},
		{strings.Repeat("extra ", 42) + "long", 2, 99_99, 0},
		{"Tom & <b>Jerry</b>, 10 × 20 mm, «quoted», “curly”, back\\slash, (brackets) " +
			"and a 100 % honest description of what it is", 3, 1_00, 0},
		{strings.Repeat("W", order.MaxText), 1, 5_00, 0},
	}
}

func scripts() []line {
	return []line{
		{"Ελληνικό ελαιόλαδο, 500 ml — Ёлка, Київ, Ђорђе", 1, 189_00, 0},
		{"Crème brûlée, Äpfel, Łódź, Žluťoučký kůň, İstanbul, Þór, Ő", 2, 75_50, 0},
		{"Phở bò tái, Bánh mì ốp la, Cà phê sữa đá", 3, 95_00, 10_00},
		{"Tshivenḓa: ṱhoho, ḽivhisa, ṋamusi; Yorùbá: ẹ́, ọ̀, ṣ", 1, 120_00, 0},
		{"Price tags: € £ ¥ ₦ ₹ ₽ ₿ № ™ ½ ‰", 5, 9_90, 0},
		{"日本語のお茶 (green tea), شاي أخضر, 차, ชา, चाय 🍵", 1, 60_00, 0},
		{"zero\u200bwidth, \u202eoverride\u202c, soft\u00adhyphen, e\u0301 composed", 1, 1_00, 0},
	}
}

func must(err error) {
	if err != nil {
		panic(err) // The samples are constants.
	}
}
