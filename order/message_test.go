package order_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// absent is the value of a field that with leaves out.
type absent struct{}

// with returns the document in a file with one field set, by its path.
func with(t testing.TB, name, path string, value any) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(read(t, name), &doc); err != nil {
		t.Fatal(err)
	}
	at, field := doc, path
	if parent, child, nested := strings.Cut(path, "."); nested {
		at, field = doc[parent].(map[string]any), child
	}
	if at[field] = value; value == any(absent{}) {
		delete(at, field)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fields returns what an InvalidError says, by field.
func fields(t testing.TB, err error) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err == nil {
		return got
	}
	var invalid order.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("not an InvalidError: %v", err)
	}
	for _, f := range invalid {
		got[f.Field] = f.Message
	}
	if len(got) != len(invalid) || len(got) == 0 {
		t.Fatalf("a field twice, or none: %v", err)
	}
	return got
}

func TestParseRequest(t *testing.T) {
	t.Run("all fields", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseRequest(read(t, "request.json"))
		is.NoErr(err)
		is.Equal(got, order.Request{
			CustomerEmail: "thandi@example.com", CustomerName: "Thandi Nkosi", CartID: "cart-8f14e45f",
			BillingAddress: order.BillingAddress{
				FullName: "Thandi Nkosi", Company: "Nkosi Büro (Pty) Ltd", VATNumber: "4012345678", Street: "1 Long Street",
				City: "Cape Town", Province: "Western Cape", PostalCode: "8001", Country: "ZA",
			},
			CampaignCode: "SUMMER25", PaymentMethod: "payfast",
		})
	})
	t.Run("the required fields only", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseRequest(read(t, "request-least.json"))
		is.NoErr(err)
		is.Equal(got, order.Request{
			CustomerEmail: "a@b.example", CartID: "1", PaymentMethod: "payfast",
			BillingAddress: order.BillingAddress{Street: "s", City: "c", Province: "p", PostalCode: "1", Country: "NA"},
		})
	})
	t.Run("as the message to the record creator", func(t *testing.T) {
		is := is.New(t)
		request, err := order.ParseRequest(read(t, "request.json"))
		is.NoErr(err)
		c := request.Creation("tenant-001", "clerk@example.com")
		is.Equal(c.TenantID, "tenant-001")
		is.Equal(c.CreatedBy, "clerk@example.com")
		is.Equal(c.OrderID, "") // for the caller to set
		c.OrderID = order.NewID()
		body, err := json.Marshal(c)
		is.NoErr(err)
		got, err := order.ParseCreation(body)
		is.NoErr(err)
		is.Equal(got, c) // nothing is lost between the two
	})
}

// The words for what is wrong with a field.
const (
	required = "is required"
	blank    = "must not be blank"
	text     = "must be a string"
	noEmail  = "must be an e-mail address, for example name@example.com"
	name     = "must be 1 to 128 of A-Z a-z 0-9 _ . : - and start with a letter or digit"
	campaign = "must be 1 to 64 of A-Z a-z 0-9 _ -"
	method   = "must be 1 to 64 of a-z 0-9 _ -"
	country  = "must be an ISO 3166-1 alpha-2 code in upper case, for example ZA"
	tooLong  = "must have at most 256 characters, has 257"
	unknown  = "is not a known field"
)

// A fieldRule is a value of a field of a request and the message about it, ""
// where it is accepted.
type fieldRule struct {
	field string
	value any
	want  string
}

// checkRules holds the good request to rules, each with one field changed.
func checkRules(t *testing.T, rules []fieldRule) {
	t.Helper()
	for _, rule := range rules {
		value, err := json.Marshal(rule.value)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(rule.field+" "+string(value[:min(len(value), 40)]), func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseRequest(with(t, "request.json", rule.field, rule.value))
			want := map[string]string{}
			if rule.want != "" {
				want[rule.field] = rule.want
			}
			is.Equal(fields(t, err), want) // this field, and no other
		})
	}
}

// Every rule, just inside and just outside.
func TestParseRequestRules(t *testing.T) {
	repeat := strings.Repeat
	checkRules(t, []fieldRule{
		{"cartId", absent{}, required},
		{"cartId", "", blank},
		{"cartId", 7, text},
		{"cartId", "7", ""},
		{"cartId", "Cart_1.2:3-4", ""},
		{"cartId", repeat("c", 128), ""},
		{"cartId", repeat("c", 129), name},
		{"cartId", "-cart", name},
		{"cartId", "..", name},
		{"cartId", "a/../b", name},
		{"cartId", "a#b", name},
		{"cartId", "a%2fb", name},
		{"cartId", "cärt", name},

		{"customerName", absent{}, ""},
		{"customerName", "", ""},
		{"customerName", nil, text},
		{"customerName", true, text},
		{"customerName", repeat("é", 256), ""},
		{"customerName", repeat("é", 257), tooLong},
		{"customerName", "a\u0000b", "must not contain the control character U+0000"},
		{"customerName", "a\u007f", "must not contain the control character U+007F"},
		{"customerName", "a\u0085", "must not contain the control character U+0085"},
		{"customerName", "a\ufffe", "must not contain the control character U+FFFE"},
		{"customerName", "a\uffff", "must not contain the control character U+FFFF"},
		{"customerName", "<b>Ünïcödé 茶碗 😀</b>", ""},

		{"campaignCode", absent{}, ""},
		{"campaignCode", "", campaign},
		{"campaignCode", "Summer_25-x", ""},
		{"campaignCode", repeat("C", 64), ""},
		{"campaignCode", repeat("C", 65), campaign},
		{"campaignCode", "A B", campaign},
		{"campaignCode", json.Number("25"), text},

		{"paymentMethod", absent{}, ""},
		{"paymentMethod", "", method},
		{"paymentMethod", "eft_2-x", ""},
		{"paymentMethod", repeat("m", 64), ""},
		{"paymentMethod", repeat("m", 65), method},
		{"paymentMethod", "A", method},
		{"paymentMethod", "Z", method},

		{"tenantId", "tenant-002", unknown},
		{"orderId", "x", unknown},
		{"CartID", "cart-2", unknown}, // encoding/json by itself takes it for cartId
		{"billingAddress.Country", "US", unknown},
		{"billingAddress.zip", "8001", unknown},
	})
}

func TestParseRequestEmail(t *testing.T) {
	repeat := strings.Repeat
	domain63 := repeat("d", 63)
	checkRules(t, []fieldRule{
		{"customerEmail", absent{}, required},
		{"customerEmail", nil, text},
		{"customerEmail", "", blank},
		{"customerEmail", " \t", "must not contain the control character U+0009"},
		{"customerEmail", "\u00a0 ", blank},
		{"customerEmail", 5, text},
		{"customerEmail", []string{"a@b.example"}, text},
		{"customerEmail", "o'brien+shop@sub.example.co.za", ""},
		{"customerEmail", "a@1-2.x3", ""},
		{"customerEmail", "!#$%&'*+/=?^_`{|}~-@b.example", ""},
		{"customerEmail", repeat("l", 64) + "@b.example", ""},
		{"customerEmail", repeat("l", 65) + "@b.example", noEmail},
		{"customerEmail", "a@" + domain63 + ".example", ""},
		{"customerEmail", "a@" + domain63 + "d.example", noEmail},
		{"customerEmail", repeat("l", 62) + "@" + repeat(domain63+".", 2) + domain63, ""},      // 254
		{"customerEmail", repeat("l", 63) + "@" + repeat(domain63+".", 2) + domain63, noEmail}, // 255
		{"customerEmail", "a", noEmail},
		{"customerEmail", "@b.example", noEmail},
		{"customerEmail", "a@", noEmail},
		{"customerEmail", "a@b", noEmail},
		{"customerEmail", "a@b.", noEmail},
		{"customerEmail", "a@.b.example", noEmail},
		{"customerEmail", "a@b..example", noEmail},
		{"customerEmail", "a@-b.example", noEmail},
		{"customerEmail", "a@b-.example", noEmail},
		{"customerEmail", "a@b@c.example", noEmail},
		{"customerEmail", ".a@b.example", noEmail},
		{"customerEmail", "a.@b.example", noEmail},
		{"customerEmail", "a..b@c.example", noEmail},
		{"customerEmail", "a b@c.example", noEmail},
		{"customerEmail", "a@b.example ", noEmail},
		{"customerEmail", "Thandi <a@b.example>", noEmail},
		{"customerEmail", "a@b.example,c@d.example", noEmail},
		{"customerEmail", "a@bü.example", noEmail},
		{"customerEmail", "a@b.example\r\nBcc: c@d.example", "must not contain the control character U+000D"},
	})
}

func TestParseRequestAddress(t *testing.T) {
	repeat := strings.Repeat
	checkRules(t, []fieldRule{
		{"billingAddress", absent{}, required},
		{"billingAddress", nil, "must be an object"},
		{"billingAddress", "1 Long Street", "must be an object"},
		{"billingAddress", []any{}, "must be an object"},
		{"billingAddress.street", absent{}, required},
		{"billingAddress.street", "", blank},
		{"billingAddress.street", repeat("s", 256), ""},
		{"billingAddress.street", repeat("s", 257), tooLong},
		{"billingAddress.city", absent{}, required},
		{"billingAddress.city", "\u2003", blank},
		{"billingAddress.city", "Cape\nTown", "must not contain the control character U+000A"},
		{"billingAddress.province", absent{}, required},
		{"billingAddress.province", map[string]any{}, text},
		{"billingAddress.postalCode", absent{}, required},
		{"billingAddress.postalCode", 8001, text},
		{"billingAddress.country", absent{}, required},
		{"billingAddress.country", "GB", ""},
		{"billingAddress.country", "ZW", ""},
		{"billingAddress.country", "AD", ""},
		{"billingAddress.country", "za", country},
		{"billingAddress.country", "ZAF", country},
		{"billingAddress.country", "UK", country},
		{"billingAddress.country", "XX", country},
		{"billingAddress.country", "D ", country},
		{"billingAddress.country", " A", country},
		{"billingAddress.fullName", absent{}, ""},
		{"billingAddress.fullName", 1, text},
		{"billingAddress.company", repeat("c", 257), tooLong},
		{"billingAddress.vatNumber", false, text},
	})
}

func TestParseRequestNamesEveryFieldAtOnce(t *testing.T) {
	is := is.New(t)
	_, err := order.ParseRequest([]byte(`{
		"zebra": 1, "customerEmail": "nobody", "customerName": 5, "cartId": "", "campaignCode": " ", "paymentMethod": "X",
		"billingAddress": {
			"street": 1, "city": " ", "country": "Za", "fullName": {}, "company": [], "vatNumber": 0, "floor": 3
		},
		"tenantId": "t"
	}`))
	var invalid order.InvalidError
	is.True(errors.As(err, &invalid))
	names := make([]string, len(invalid))
	for i, f := range invalid {
		names[i] = f.Field
	}
	is.Equal(names, []string{ // those of the contract in its order, then the unknown ones
		"customerEmail", "customerName", "cartId", "campaignCode", "paymentMethod",
		"billingAddress.fullName", "billingAddress.company", "billingAddress.vatNumber", "billingAddress.street",
		"billingAddress.city", "billingAddress.province", "billingAddress.postalCode", "billingAddress.country",
		"tenantId", "zebra", "billingAddress.floor",
	})
	is.True(strings.HasPrefix(err.Error(), "invalid: customerEmail must be an e-mail address")) // lists them
	is.Equal(strings.Count(err.Error(), "; "), len(names)-1)
}

func TestParseRequestRefusesBodies(t *testing.T) {
	const noJSON, noObject = "is not valid JSON", "must be a JSON object"
	for name, test := range map[string]struct{ body, want string }{
		"nothing":           {"", noJSON},
		"spaces":            {"  ", noJSON},
		"cut":               {`{"cartId": "c`, noJSON},
		"two documents":     {`{} {}`, noJSON},
		"a trailing comma":  {`{"cartId": "c",}`, noJSON},
		"null":              {"null", noObject},
		"a list":            {"[{}]", noObject},
		"a string":          {`"{}"`, noObject},
		"a number":          {"1", noObject},
		"UTF-16":            {"{\x00}\x00", noJSON},
		"a byte order mark": {"\ufeff{}", noJSON},
		"no UTF-8":          {"{\"cartId\": \"\xff\"}", "is not valid UTF-8"},
		"deep lists":        {strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), noJSON},
		"deep objects":      {strings.Repeat(`{"billingAddress":`, 20_000) + "1" + strings.Repeat("}", 20_000), noJSON},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseRequest([]byte(test.body))
			is.Equal(fields(t, err), map[string]string{"body": test.want})
		})
	}
}

func TestFieldsNamedTwiceAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		old, body string
		want      map[string]string
	}{
		"a field":     {"{", `{"cartId": 5,`, map[string]string{"cartId": "is named twice"}},
		"escaped":     {"{", `{"cart\u0049d": 5,`, map[string]string{"cartId": "is named twice"}},
		"three times": {"{", `{"cartId": 5, "cartId": 6,`, map[string]string{"cartId": "is named twice"}},
		"the last one bad": {
			`"cartId"`, `"cartId": "cart-1", "cartId": 5, "x"`,
			map[string]string{"cartId": "is named twice", "x": "is not a known field"},
		},
		"within another": {`"street"`, `"city": "Durban", "street"`, map[string]string{"billingAddress.city": "is named twice"}},
		"an unknown one": {"{", `{"x": 5, "x": 6,`, map[string]string{"x": "is not a known field"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			body := strings.Replace(string(read(t, "request.json")), test.old, test.body, 1)
			_, err := order.ParseRequest([]byte(body))
			is.Equal(fields(t, err), test.want)
		})
	}
	t.Run("but not where a message has them beyond what it needs", func(t *testing.T) {
		is := is.New(t)
		body := strings.Replace(string(read(t, "creation.json")), "{", `{"x": 1, "x": 2,`, 1)
		_, err := order.ParseCreation([]byte(body))
		is.NoErr(err)
	})
}

func TestUnknownFieldsAreNamedPrintably(t *testing.T) {
	for name, test := range map[string]struct{ field, want string }{
		"as they are":                    {"Größe", "Größe"},
		"without control characters":     {"a\nb\u202ec\u0000", "a�b�c�"},
		"shortened":                      {strings.Repeat("é", 65), strings.Repeat("é", 64) + "…"},
		"not shortened while they fit":   {strings.Repeat("é", 64), strings.Repeat("é", 64)},
		"even if the name is empty text": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseRequest(with(t, "request.json", test.field, 1))
			is.Equal(fields(t, err), map[string]string{test.want: "is not a known field"})
		})
	}
}

func TestParseUpdate(t *testing.T) {
	t.Run("all fields", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseUpdate(read(t, "update.json"))
		is.NoErr(err)
		is.Equal(got, order.Update{Status: "paid", PaymentDetails: &order.PaymentDetails{
			Method: "payfast", TransactionID: "tx-991", PayfastPaymentID: "1089250", PaidAt: timestamp(t, "2025-12-30T10:45:00Z"),
		}})
	})
	t.Run("a status alone", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseUpdate([]byte(`{"status": "cancelled"}`))
		is.NoErr(err)
		is.Equal(got, order.Update{Status: "cancelled"})
	})
	t.Run("a status with its reason", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseUpdate([]byte(`{"status": "cancelled", "reason": "out of stock"}`))
		is.NoErr(err)
		is.Equal(got, order.Update{Status: "cancelled", Reason: "out of stock"})
	})
	t.Run("payment details alone", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseUpdate([]byte(`{"paymentDetails": {"transactionId": "tx-1"}}`))
		is.NoErr(err)
		is.Equal(got, order.Update{PaymentDetails: &order.PaymentDetails{TransactionID: "tx-1"}})
	})

	const (
		text   = "must be a string"
		status = "must be one of pending, payment_pending, paid, processing, completed, cancelled, refunded"
		moment = "must be an RFC 3339 time, for example 2025-12-30T10:30:00Z"
		some   = "needs at least one of method, transactionId, payfastPaymentId and paidAt"
	)
	for name, test := range map[string]struct {
		body string
		want map[string]string
	}{
		"nothing":               {`{}`, map[string]string{"body": "needs status, paymentDetails or both"}},
		"no JSON":               {`status=paid`, map[string]string{"body": "is not valid JSON"}},
		"a reason alone":        {`{"reason": "x"}`, map[string]string{"reason": "is only accepted with a status"}},
		"a blank reason":        {`{"status": "paid", "reason": " "}`, map[string]string{"reason": "must not be blank"}},
		"an unknown status":     {`{"status": "shipped"}`, map[string]string{"status": status}},
		"a receipt's status":    {`{"status": "failed"}`, map[string]string{"status": status}},
		"an empty status":       {`{"status": ""}`, map[string]string{"status": status}},
		"no status":             {`{"status": null}`, map[string]string{"status": text}},
		"no payment details":    {`{"paymentDetails": null}`, map[string]string{"paymentDetails": "must be an object"}},
		"empty payment details": {`{"status": "paid", "paymentDetails": {}}`, map[string]string{"paymentDetails": some}},
		"payment details with empty texts": {
			`{"paymentDetails": {"method": "", "transactionId": "", "payfastPaymentId": "", "paidAt": ""}}`,
			map[string]string{
				"paymentDetails.method":           "must be 1 to 64 of a-z 0-9 _ -",
				"paymentDetails.transactionId":    "must not be empty",
				"paymentDetails.payfastPaymentId": "must not be empty",
				"paymentDetails.paidAt":           moment,
			},
		},
		"everything wrong at once": {
			`{"status": 1, "total": 0, "paymentDetails": {"method": 1, "transactionId": "\n", "paidAt": "today", "amount": 1}}`,
			map[string]string{
				"status": text, "total": "is not a known field", "paymentDetails.method": text,
				"paymentDetails.transactionId": "must not contain the control character U+000A",
				"paymentDetails.paidAt":        moment, "paymentDetails.amount": "is not a known field",
			},
		},
		"a payment at no time": {`{"paymentDetails": {"paidAt": "0001-01-01T00:00:00Z"}}`, map[string]string{"paymentDetails.paidAt": moment}},
		"long texts": {
			`{"paymentDetails": {"transactionId": "` + strings.Repeat("x", 257) + `"}}`,
			map[string]string{"paymentDetails.transactionId": "must have at most 256 characters, has 257"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseUpdate([]byte(test.body))
			is.Equal(fields(t, err), test.want)
		})
	}
}

func TestParseCreation(t *testing.T) {
	address := order.BillingAddress{
		Street: "1 Long Street", City: "Cape Town", Province: "Western Cape", PostalCode: "8001", Country: "ZA",
	}
	t.Run("from create_order", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseCreation(read(t, "creation.json"))
		is.NoErr(err)
		address := address
		address.FullName = "Thandi Nkosi"
		want := order.Creation{
			OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", TenantID: "tenant-001",
			CustomerEmail: "thandi@example.com", CustomerName: "Thandi Nkosi", CartID: "cart-8f14e45f", BillingAddress: address,
			CampaignCode: "summer25", PaymentMethod: "payfast", CreatedBy: "thandi@example.com",
		}
		is.Equal(got, want)

		body, err := json.Marshal(got)
		is.NoErr(err)
		again, err := order.ParseCreation(body)
		is.NoErr(err)
		is.Equal(again, got) // decode, encode, decode
	})
	t.Run("from another producer", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseCreation(read(t, "creation-other-producer.json"))
		is.NoErr(err)
		is.Equal(got, order.Creation{
			OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", TenantID: "tenant-001", CustomerEmail: "thandi@example.com",
			CartID: "cart-8f14e45f", BillingAddress: address, PaymentMethod: "payfast", CreatedBy: "system",
		})
	})
	t.Run("in spite of unknown fields", func(t *testing.T) {
		is := is.New(t)
		_, err := order.ParseCreation(with(t, "creation.json", "billingAddress.floor", 3))
		is.NoErr(err)
	})
	t.Run("not JSON", func(t *testing.T) {
		is := is.New(t)
		got, err := order.ParseCreation([]byte("order"))
		is.Equal(fields(t, err), map[string]string{"body": "is not valid JSON"})
		is.Equal(got, order.Creation{})
	})
}

func TestParseCreationRules(t *testing.T) {
	const (
		required = "is required"
		id       = "must be a UUID version 4 in lower case"
		tenant   = "must be 1 to 128 of A-Z a-z 0-9 _ . : - and start with a letter or digit"
		number   = "must look like ORD-2025-00001"
		moment   = "must be an RFC 3339 time, for example 2025-12-30T10:30:00Z"
		text     = "must be a string"
	)
	tests := []struct {
		field string
		value any
		want  string
	}{
		{"orderId", absent{}, required},
		{"orderId", nil, required},
		{"orderId", "", required},
		{"orderId", " ", "must not be blank"},
		{"orderId", "1", id},
		{"orderId", "2B1F4C1E-7C59-4D38-9A63-0F5A4E1B2C3D", id},
		{"tenantId", absent{}, required},
		{"tenantId", "tenant#1", tenant},
		{"tenantId", strings.Repeat("t", 128), ""},
		{"tenantId", strings.Repeat("t", 129), tenant},
		{"customerEmail", nil, required},
		{"cartId", 5, text},
		{"billingAddress", nil, required},
		{"billingAddress", "x", "must be an object"},
		{"billingAddress.country", "", required},
		{"billingAddress.company", nil, ""},
		{"createdBy", nil, ""},
		{"createdBy", "a\u0000", "must not contain the control character U+0000"},
		{"campaignCode", "", ""},
		{"campaignCode", "a b", "must be 1 to 64 of A-Z a-z 0-9 _ -"},
		{"paymentMethod", nil, ""},
		{"customerName", strings.Repeat("n", 257), "must have at most 256 characters, has 257"},
	}
	for _, test := range tests {
		value, err := json.Marshal(test.value)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(test.field+" "+string(value[:min(len(value), 40)]), func(t *testing.T) {
			is := is.New(t)
			got, err := order.ParseCreation(with(t, "creation.json", test.field, test.value))
			want := map[string]string{}
			if test.want != "" {
				want[test.field] = test.want
			}
			is.Equal(fields(t, err), want) // this field, and no other
			if test.field != "orderId" && test.field != "tenantId" {
				is.Equal(got.OrderID, "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d") // so that the failure can be told
				is.Equal(got.TenantID, "tenant-001")
			}
		})
	}
}

func TestParseEvent(t *testing.T) {
	want := order.Event{
		Type: "order.paid", Sequence: 2, OrderID: "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", TenantID: "tenant-001", TraceID: "1-67891233-abcdef012345678912345678",
	}
	least := order.Event{Type: "order.created", OrderID: want.OrderID, TenantID: want.TenantID}
	first, later := least, least
	first.Sequence = 1
	later.Type = `["x"]`
	ids := `"orderId": "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d", "tenantId": "tenant-001"`
	long := strings.Repeat("x", 257)
	for name, test := range map[string]struct {
		body string
		want order.Event
	}{
		"raw":                     {string(read(t, "event.json")), want},
		"in an SNS envelope":      {string(read(t, "event-envelope.json")), want},
		"the ids only":            {`{` + ids + `}`, least},
		"a later version":         {`{` + ids + `, "version": 2, "eventType": ["x"], "orderNumber": 5, "dateCreated": "x"}`, later},
		"the first entry":         {`{` + ids + `, "sequence": 1}`, first},
		"a sequence of odd type":  {`{` + ids + `, "sequence": "2"}`, least},
		"a sequence of none":      {`{` + ids + `, "sequence": -1}`, least},
		"a trace id of odd type":  {`{` + ids + `, "traceId": {"a": 1}}`, least},
		"a trace id too long":     {`{` + ids + `, "traceId": "` + long + `"}`, least},
		"a trace id with a break": {`{` + ids + `, "traceId": "a\nb"}`, least},
		"a Type, but no envelope": {`{` + ids + `, "Type": "Notification"}`, least},
		"another Type":            {`{` + ids + `, "Type": "x", "Message": "{}"}`, least},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got, err := order.ParseEvent([]byte(test.body))
			is.NoErr(err)
			is.Equal(got, test.want)
		})
	}
	for name, test := range map[string]struct {
		body string
		want map[string]string
	}{
		"nothing":              {``, map[string]string{"body": "is not valid JSON"}},
		"no ids":               {`{}`, map[string]string{"orderId": "is required", "tenantId": "is required"}},
		"ids of a wrong type":  {`{"orderId": 1, "tenantId": []}`, map[string]string{"orderId": "must be a string", "tenantId": "must be a string"}},
		"malformed ids":        {`{"orderId": "x", "tenantId": "#"}`, map[string]string{"orderId": "must be a UUID version 4 in lower case", "tenantId": "must be 1 to 128 of A-Z a-z 0-9 _ . : - and start with a letter or digit"}},
		"an envelope of words": {`{"Type": "Notification", "Message": "hello"}`, map[string]string{"body": "is not valid JSON"}},
		"an empty envelope":    {`{"Type": "Notification", "Message": ""}`, map[string]string{"body": "is not valid JSON"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := order.ParseEvent([]byte(test.body))
			is.Equal(fields(t, err), test.want)
		})
	}
}

// seeds adds every file in testdata with the prefix, and every text.
func seeds(f *testing.F, prefix string, texts ...string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", prefix+"*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		f.Add(read(f, filepath.Base(file)))
	}
	for _, s := range append(texts, "", "null", "[]", "{}", `{"":0}`, `{"billingAddress":{}}`, "{\"a\":\"\xff\"}") {
		f.Add([]byte(s))
	}
}

// checkInvalid holds that an error names fields in words that can be shown to
// anyone.
func checkInvalid(t *testing.T, err error) {
	t.Helper()
	for field, message := range fields(t, err) {
		if message == "" || len(message) > 200 || strings.ContainsFunc(field+message, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("not for showing: %q %q", field, message)
		}
	}
}

// FuzzParseRequest holds that the record creator reads whatever the API
// accepted, as it was accepted.
func FuzzParseRequest(f *testing.F) {
	seeds(f, "request")
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := order.ParseRequest(body)
		if err != nil {
			checkInvalid(t, err)
			return
		}
		c := request.Creation("tenant-001", "clerk")
		c.OrderID = "2b1f4c1e-7c59-4d38-9a63-0f5a4e1b2c3d"
		checkCreation(t, c)
	})
}

// FuzzParseCreation holds that a creation message that was read is written and
// read again as the same.
func FuzzParseCreation(f *testing.F) {
	seeds(f, "creation")
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := order.ParseCreation(body)
		if err != nil {
			checkInvalid(t, err)
			if c.OrderID != "" && !order.IsID(c.OrderID) || c.TenantID != "" && !order.IsTenantID(c.TenantID) {
				t.Fatalf("bad ids: %q %q", c.OrderID, c.TenantID)
			}
			return
		}
		if !order.IsID(c.OrderID) || !order.IsTenantID(c.TenantID) || c.CreatedBy == "" || c.PaymentMethod == "" {
			t.Fatalf("incomplete: %+v", c)
		}
		checkCreation(t, c)
	})
}

func checkCreation(t *testing.T, c order.Creation) {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := order.ParseCreation(body)
	if err != nil || again != c {
		t.Fatalf("%+v is read again as %+v, %v", c, again, err)
	}
}

// FuzzParseUpdate holds that an update that was read is read again from its own
// JSON, and that applying it to an order of any status keeps to the table of
// transitions.
func FuzzParseUpdate(f *testing.F) {
	seeds(f, "update", `{"status":"paid"}`, `{"paymentDetails":{"paidAt":"0001-01-01T00:00:00Z"}}`, `{"paymentDetails":{}}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		u, err := order.ParseUpdate(body)
		if err != nil {
			checkInvalid(t, err)
			return
		}
		doc := map[string]any{}
		if u.Status != "" {
			doc["status"] = u.Status
		}
		if u.PaymentDetails != nil {
			doc["paymentDetails"] = u.PaymentDetails
		}
		if u.Reason != "" {
			doc["reason"] = u.Reason
		}
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := order.ParseUpdate(data)
		is := is.New(t)
		is.NoErr(err)
		is.Equal(again, u) // read again
		for _, from := range order.Statuses() {
			o := placed(t, from)
			changed, err := o.Apply(u, time.Time{})
			if o.Status != from && !slices.Contains(transitions[from], o.Status) {
				t.Fatalf("%s became %s", from, o.Status)
			}
			if later := o.DateLastUpdated.String() > placed(t, from).DateLastUpdated.String(); changed != later || changed && err != nil {
				t.Fatalf("changed %t, later %t, error %v", changed, later, err)
			}
		}
	})
}

// FuzzParseEvent holds that an event says the same raw and inside an SNS
// envelope.
func FuzzParseEvent(f *testing.F) {
	seeds(f, "event", `{"Type":"Notification","Message":"{}"}`, `{"Type":"Notification","Message":null}`, `{"Type":1}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := order.ParseEvent(body)
		if err != nil {
			checkInvalid(t, err)
			return
		}
		if !order.IsID(e.OrderID) || !order.IsTenantID(e.TenantID) {
			t.Fatalf("bad ids: %+v", e)
		}
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := json.Marshal(map[string]string{"Type": "Notification", "Message": string(raw)})
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{raw, envelope} {
			if again, err := order.ParseEvent(data); err != nil || again != e {
				t.Fatalf("%+v is read again as %+v, %v", e, again, err)
			}
		}
	})
}
