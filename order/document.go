package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A DocumentKind is a kind of document about an order (section 9 of the
// contract).
type DocumentKind string

// The kinds of documents. A pro forma asks for payment and is no tax invoice;
// a supply that is paid for has one tax invoice; a refund takes it back with a
// credit note (South Africa's VAT Act, sections 9, 20 and 21).
const (
	ProForma   DocumentKind = "pro_forma"
	TaxInvoice DocumentKind = "tax_invoice"
	CreditNote DocumentKind = "credit_note"
)

// DocumentKinds returns the kinds in the order in which documents are issued.
func DocumentKinds() []DocumentKind { return []DocumentKind{ProForma, TaxInvoice, CreditNote} }

// Series returns the prefix of the kind's legal numbers, or "" for a kind that
// has none.
func (k DocumentKind) Series() string {
	switch k {
	case TaxInvoice:
		return "INV"
	case CreditNote:
		return "CN"
	default:
		return ""
	}
}

// FormatDocumentNumber returns the n-th number of a series in a year:
// INV-2026-00001. The count has at least five digits.
func FormatDocumentNumber(series string, year int, n int64) string {
	return fmt.Sprintf("%s-%04d-%05d", series, year, n)
}

// A Document is one that was issued about an order.
type Document struct {
	Kind       DocumentKind `json:"kind"`
	Number     string       `json:"number,omitempty"` // INV-2026-00001, CN-2026-00001; none for a pro forma
	DateIssued Timestamp    `json:"dateIssued"`
	URL        string       `json:"url"` // s3://bucket/key at rest, https when it is shown
}

// Document returns the order's document of a kind, and whether it is issued.
func (o *Order) Document(k DocumentKind) (Document, bool) {
	i := slices.IndexFunc(o.Documents, func(d Document) bool { return d.Kind == k })
	if i < 0 {
		return Document{}, false
	}
	return o.Documents[i], true
}

// Issue adds a document to the order, in the order of DocumentKinds, in place
// of one of the same kind.
func (o *Order) Issue(d Document) {
	o.Documents = slices.DeleteFunc(slices.Clone(o.Documents), func(e Document) bool { return e.Kind == d.Kind })
	o.Documents = append(o.Documents, d)
	slices.SortFunc(o.Documents, func(a, b Document) int {
		return slices.Index(DocumentKinds(), a.Kind) - slices.Index(DocumentKinds(), b.Kind)
	})
}

// A DueDocument is one that an order's history calls for and that is not
// issued yet.
type DueDocument struct {
	Kind     DocumentKind
	Sequence int // of the entry that calls for it, whose state it shows
}

// DocumentsDue returns the documents that are due, in the order in which they
// are to be issued: a pro forma for a recorded order, a tax invoice for one
// that was ever paid, a credit note for one that was refunded after that. It
// looks at the history only, so that it does not matter which event came, or
// when.
func DocumentsDue(o Order) []DueDocument {
	var due []DueDocument
	call := func(k DocumentKind, t EventType) (called bool) {
		e, called := o.FirstEntry(t)
		if _, issued := o.Document(k); called && !issued {
			due = append(due, DueDocument{k, e.Sequence})
		}
		return called
	}
	call(ProForma, EventCreated)
	if call(TaxInvoice, EventPaid) {
		call(CreditNote, EventRefunded)
	}
	return due
}

// A Supplier is who sells: what documents and mails say of the company behind
// them. Its JSON form is branding/company.json.
type Supplier struct {
	Name               string   `json:"name"`
	AddressLines       []string `json:"addressLines,omitempty"` // at most MaxAddressLines
	VATNumber          string   `json:"vatNumber,omitempty"`
	RegistrationNumber string   `json:"registrationNumber,omitempty"`
	Country            string   `json:"country,omitempty"` // ISO 3166-1 alpha-2
	Phone              string   `json:"phone,omitempty"`
	Email              string   `json:"email,omitempty"`
	Website            string   `json:"website,omitempty"`      // http or https
	AccentColour       string   `json:"accentColour,omitempty"` // #RRGGBB
	Footer             string   `json:"footer,omitempty"`
	PaymentLines       []string `json:"paymentLines,omitempty"` // how to pay, at most MaxPaymentLines
}

// The bounds of what a document shows of its supplier.
const (
	MaxAddressLines = 6
	MaxPaymentLines = 8
)

// The country and the colour of a supplier that names none.
const (
	homeCountry   = "ZA"
	defaultAccent = "#1F4E79"
)

// PlainSupplier returns the supplier of documents and mails if there is no
// branding.
func PlainSupplier() Supplier {
	return Supplier{
		Name:         "KimmyAI",
		Country:      homeCountry,
		Email:        "support@kimmyai.io",
		Website:      "https://kimmyai.io",
		AccentColour: defaultAccent,
	}
}

// ParseSupplier reads company.json. Every field but the name may be missing.
// The error names everything that is wrong at once.
func ParseSupplier(data []byte) (Supplier, error) {
	var s Supplier
	if err := json.Unmarshal(data, &s); err != nil {
		return Supplier{}, fmt.Errorf("company.json: %w", err)
	}
	if s.Country == "" {
		s.Country = homeCountry
	}
	if s.AccentColour == "" {
		s.AccentColour = defaultAccent
	}
	var problems []error
	complain := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf("company.json: "+format, args...))
		}
	}
	complain(strings.TrimSpace(s.Name) == "", "name is missing")
	complain(len(s.AddressLines) > MaxAddressLines, "addressLines has more than %d lines", MaxAddressLines)
	complain(len(s.PaymentLines) > MaxPaymentLines, "paymentLines has more than %d lines", MaxPaymentLines)
	complain(country(s.Country) != "", "country %q %s", s.Country, country(s.Country))
	complain(!isColour(s.AccentColour), "accentColour %q is not of the form #RRGGBB", s.AccentColour)
	complain(s.Email != "" && !IsEmail(s.Email), "email %q is not an e-mail address", s.Email)
	for _, text := range slices.Concat([]string{
		s.Name, s.VATNumber, s.RegistrationNumber, s.Phone, s.Website, s.Footer,
	}, s.AddressLines, s.PaymentLines) {
		complain(!IsText(text), "%q is too long or has control characters", Printable(text))
	}
	if len(problems) > 0 {
		return Supplier{}, errors.Join(problems...)
	}
	return s, nil
}

func isColour(s string) bool {
	hex, ok := strings.CutPrefix(s, "#")
	_, err := strconv.ParseUint(hex, 16, 24)
	return ok && len(hex) == 6 && err == nil
}

// ID returns what the supplier's legal numbers are counted by: the VAT number
// without spaces, else the name.
func (s Supplier) ID() string {
	if id := strings.Join(strings.Fields(s.VATNumber), ""); id != "" {
		return id
	}
	return s.Name
}

// TaxInvoices reports whether the supplier's invoices in a currency are tax
// invoices: it needs a VAT number, and in South Africa the amounts must be in
// rand (VAT Act, section 20(4)).
func (s Supplier) TaxInvoices(c Currency) bool {
	return strings.TrimSpace(s.VATNumber) != "" && (s.Country != homeCountry || c == "ZAR")
}
