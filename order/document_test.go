package order_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// histories calls f with every history of up to six entries that an order can
// have: every path through the table of transitions, with a payment told of
// and a mail that failed anywhere on the way.
func histories(f func([]order.Entry)) {
	const most = 6
	var extend func(h []order.Entry)
	extend = func(h []order.Entry) {
		f(h)
		if len(h) == most {
			return
		}
		last := h[len(h)-1]
		grow := func(t order.EventType, s order.Status) {
			extend(append(slices.Clone(h), order.Entry{Sequence: len(h) + 1, Type: t, Status: s}))
		}
		for _, next := range transitions[last.Status] {
			grow(order.EventType("order."+next), next)
		}
		grow(order.EventMailFailed, last.Status)
		if last.Status != order.Pending && last.Status != order.Cancelled {
			grow(order.EventPaymentUpdated, last.Status)
		}
	}
	extend([]order.Entry{{Sequence: 1, Type: order.EventCreated, Status: order.Pending}})
}

func TestDocumentsDue(t *testing.T) {
	is := is.New(t)
	is.Equal(order.DocumentsDue(order.Order{}), nil) // an accepted order calls for nothing
	n := 0
	histories(func(h []order.Entry) {
		n++
		// The expectation is spelled out by the text of the history.
		var types []string
		for _, e := range h {
			types = append(types, string(e.Type))
		}
		want := []order.DueDocument{{Kind: order.ProForma, Sequence: 1}}
		paid := slices.Index(types, "order.paid")
		if paid >= 0 {
			want = append(want, order.DueDocument{Kind: order.TaxInvoice, Sequence: paid + 1})
		}
		if refunded := slices.Index(types, "order.refunded"); paid >= 0 && refunded >= 0 {
			want = append(want, order.DueDocument{Kind: order.CreditNote, Sequence: refunded + 1})
		}
		o := order.Order{History: h}
		for len(want) > 0 { // as one after the other is issued
			if got := order.DocumentsDue(o); !slices.Equal(got, want) {
				t.Fatalf("%s: due are %v, want %v", strings.Join(types, ", "), got, want)
			}
			o.Issue(order.Document{Kind: want[0].Kind})
			want = want[1:]
		}
		if got := order.DocumentsDue(o); got != nil {
			t.Fatalf("%s: due are still %v", strings.Join(types, ", "), got)
		}
	})
	is.True(n > 300) // histories
}

func TestIssue(t *testing.T) {
	is := is.New(t)
	var o order.Order
	o.Issue(order.Document{Kind: order.CreditNote})
	o.Issue(order.Document{Kind: order.ProForma})
	o.Issue(order.Document{Kind: order.TaxInvoice, Number: "INV-2026-00001"})
	o.Issue(order.Document{Kind: order.TaxInvoice, Number: "INV-2026-00002"})
	kinds := make([]order.DocumentKind, len(o.Documents))
	for i, d := range o.Documents {
		kinds[i] = d.Kind
	}
	is.Equal(kinds, order.DocumentKinds()) // in their order, each once
	d, ok := o.Document(order.TaxInvoice)
	is.True(ok)
	is.Equal(d.Number, "INV-2026-00002")
}

func TestFormatDocumentNumber(t *testing.T) {
	is := is.New(t)
	is.Equal(order.FormatDocumentNumber(order.TaxInvoice.Series(), 2026, 1), "INV-2026-00001")
	is.Equal(order.FormatDocumentNumber(order.CreditNote.Series(), 2026, 123_456), "CN-2026-123456")
	is.Equal(order.ProForma.Series(), "") // has none
}

func TestParseSupplier(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string // lines of the error, or none
	}{
		"all fields": {`{"name": "Karoo", "addressLines": ["1 Main Road"], "vatNumber": "4012345678", "registrationNumber": "2020/1",
			"country": "NA", "phone": "+27", "email": "a@b.example", "website": "https://b.example", "accentColour": "#00aaFF",
			"footer": "f", "paymentLines": ["Bank: B"]}`, nil},
		"the name alone": {`{"name": "Karoo"}`, nil},
		"as many lines as there may be": {`{"name": "Karoo", "addressLines": ["1","2","3","4","5","6"],
			"paymentLines": ["1","2","3","4","5","6","7","8"]}`, nil},
		"a colour without #": {`{"name": "Karoo", "accentColour": "00aaff"}`, []string{
			`company.json: accentColour "00aaff" is not of the form #RRGGBB`,
		}},
		"a colour of other letters": {`{"name": "Karoo", "accentColour": "#00aafg"}`, []string{
			`company.json: accentColour "#00aafg" is not of the form #RRGGBB`,
		}},
		"a field that is not known": {`{"name": "Karoo", "motto": 1}`, nil},
		"no object": {
			`[]`, []string{"company.json: json: cannot unmarshal array into Go value of type order.Supplier"},
		},
		"everything wrong": {
			`{"name": " ", "country": "za", "accentColour": "red", "email": "x", "footer": "a\nb",
			  "addressLines": ["1","2","3","4","5","6","7"], "paymentLines": ["1","2","3","4","5","6","7","8","9"]}`,
			[]string{
				"company.json: name is missing",
				"company.json: addressLines has more than 6 lines",
				"company.json: paymentLines has more than 8 lines",
				`company.json: country "za" must be an ISO 3166-1 alpha-2 code in upper case, for example ZA`,
				`company.json: accentColour "red" is not of the form #RRGGBB`,
				`company.json: email "x" is not an e-mail address`,
				"company.json: \"a\ufffdb\" is too long or has control characters",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			s, err := order.ParseSupplier([]byte(test.text))
			if test.want != nil {
				is.True(err != nil)
				is.Equal(strings.Split(err.Error(), "\n"), test.want)
				return
			}
			is.NoErr(err)
			is.Equal(s.Name, "Karoo")
			is.True(s.Country != "" && s.AccentColour != "") // have a default
		})
	}
}

func TestSupplierNumbers(t *testing.T) {
	is := is.New(t)
	vendor := order.Supplier{Name: "Karoo", VATNumber: "401 234 5678", Country: "ZA"}
	is.Equal(vendor.ID(), "4012345678") // however it is written
	is.True(vendor.TaxInvoices("ZAR"))
	is.True(!vendor.TaxInvoices("JPY")) // a South African tax invoice is in rand
	vendor.Country = "NA"
	is.True(vendor.TaxInvoices("NAD"))
	vendor.VATNumber = " "
	is.Equal(vendor.ID(), "Karoo")
	is.True(!vendor.TaxInvoices("NAD"))
	is.Equal(order.PlainSupplier().ID(), "KimmyAI")
}

func TestCountryName(t *testing.T) {
	is := is.New(t)
	is.Equal(order.CountryName("ZA"), "South Africa")
	is.Equal(order.CountryName("AD"), "Andorra") // the first
	is.Equal(order.CountryName("XX"), "XX")      // none
	is.Equal(order.CountryName("D:"), "D:")
}
