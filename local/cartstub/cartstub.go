// Package cartstub stands in for the Cart API (contract, section 8). The id of a cart chooses what it answers.
package cartstub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Kind is a group of carts that behave alike.
type Kind struct {
	Name string // the id without the prefix "cart-" and without what follows a further "-"
	What string // what the stub answers
	// answer answers the nth request for one cart, counted from 1.
	answer func(w http.ResponseWriter, c cart, n int)
}

// Kinds returns the carts, for people to choose from. cart-missing, cart-missing-1 and cart-missing-tuesday are all of
// the kind missing; the kinds that count do so for each id. Every other id is a good cart.
func Kinds() []Kind {
	return []Kind{
		{"good", "one line at 250.00 after a discount of 50.00, campaign SUMMER25", good},
		{"shipping", "three lines and shipping of 99.50", with(func(c *cart) { c.Items, c.Shipping = threeItems(), "99.50" })},
		{"bare", "as good, but neither inside an envelope nor with a currency or a campaign", bare},
		{"large", "200 lines, which is as many as allowed", with(func(c *cart) { c.Items = manyItems(200) })},
		{"totals", "as good, with totals that are wrong", with(func(c *cart) { c.Total = "1.00" })},
		{"flaky", "500 twice, then as good", func(w http.ResponseWriter, c cart, n int) {
			if n <= 2 {
				fail(w, http.StatusInternalServerError)
				return
			}
			good(w, c, n)
		}},
		{"late", "503 six times, so that a whole delivery fails, then as good", func(w http.ResponseWriter, c cart, n int) {
			if n <= 6 {
				fail(w, http.StatusServiceUnavailable)
				return
			}
			good(w, c, n)
		}},
		{"broken", "500 always", status(http.StatusInternalServerError)},
		{"limited", "429 always", status(http.StatusTooManyRequests)},
		{"slow", "an answer after five seconds, two more than the client waits", func(w http.ResponseWriter, c cart, n int) {
			time.Sleep(5 * time.Second)
			good(w, c, n)
		}},
		{"missing", "404", status(http.StatusNotFound)},
		{"gone", "410", status(http.StatusGone)},
		{"refused", "400", status(http.StatusBadRequest)},
		{"empty", "no lines", with(func(c *cart) { c.Items = []item{} })},
		{"crowded", "201 lines, which is one too many", with(func(c *cart) { c.Items = manyItems(201) })},
		{"foreign", "the cart of another tenant", with(func(c *cart) { c.TenantID = "another-tenant" })},
		{"currency", "a currency that does not exist", with(func(c *cart) { c.Currency = "ZZZ" })},
		{"fraction", "a price of a tenth of a cent", with(func(c *cart) { c.Items[0].UnitPrice = "0.001" })},
		{"malformed", "a body that is no JSON", func(w http.ResponseWriter, _ cart, _ int) { _, _ = w.Write([]byte(`{"cartId": `)) }},
		{"huge", "a body of more than 1 MiB", with(func(c *cart) { c.Items[0].ProductName = strings.Repeat("x", 1<<20) })},
	}
}

type cart struct {
	CartID   string      `json:"cartId"`
	TenantID string      `json:"tenantId"`
	Currency string      `json:"currency,omitempty"`
	Items    []item      `json:"items"`
	Shipping json.Number `json:"shipping,omitempty"`
	Campaign *campaign   `json:"campaign,omitempty"`
	Total    json.Number `json:"total,omitempty"`
}

// item is a line. Amounts are JSON numbers with two decimals, which a float would not keep.
type item struct {
	ID          string      `json:"id"`
	ProductID   string      `json:"productId"`
	ProductName string      `json:"productName"`
	Quantity    int         `json:"quantity"`
	UnitPrice   json.Number `json:"unitPrice"`
	Discount    json.Number `json:"discount,omitempty"`
}

type campaign struct {
	ID                  string      `json:"id"`
	Code                string      `json:"code"`
	Description         string      `json:"description"`
	DiscountPercentage  json.Number `json:"discountPercentage"`
	ProductID           string      `json:"productId"`
	TermsConditionsLink string      `json:"termsConditionsLink"`
	FromDate            string      `json:"fromDate"`
	ToDate              string      `json:"toDate"`
	IsValid             bool        `json:"isValid"`
	DateCreated         string      `json:"dateCreated"`
	DateLastUpdated     string      `json:"dateLastUpdated"`
	LastUpdatedBy       string      `json:"lastUpdatedBy"`
	Active              bool        `json:"active"`
}

func hosting() item {
	return item{ID: "line-1", ProductID: "prod-1", ProductName: "Hosting, business", Quantity: 2, UnitPrice: "150.00", Discount: "50.00"}
}

func threeItems() []item {
	return []item{
		hosting(),
		{ID: "line-2", ProductID: "prod-2", ProductName: "Domain žiraffe.co.za, one year", Quantity: 1, UnitPrice: "120.00"},
		{ID: "line-3", ProductID: "prod-3", ProductName: "Welcome parcel & guide", Quantity: 3, UnitPrice: "49.99", Discount: "0.00"},
	}
}

func manyItems(n int) []item {
	items := make([]item, n)
	for i := range items {
		items[i] = item{
			ID: fmt.Sprintf("line-%d", i+1), ProductID: fmt.Sprintf("prod-%d", i+1), ProductName: fmt.Sprintf("Product number %d", i+1),
			Quantity: i%9 + 1, UnitPrice: json.Number(fmt.Sprintf("%d.%02d", i+1, i%100)),
		}
	}
	return items
}

func summer() *campaign {
	return &campaign{
		ID: "camp-9", Code: "SUMMER25", Description: "Summer sale", DiscountPercentage: "12.5", ProductID: "prod-1",
		TermsConditionsLink: "https://kimmyai.io/terms/summer25", FromDate: "2025-11-01", ToDate: "2026-01-31", IsValid: true,
		DateCreated: "2025-10-15T08:00:00Z", DateLastUpdated: "2025-10-16T08:00:00Z", LastUpdatedBy: "marketing@kimmyai.io", Active: true,
	}
}

// New returns the Cart API: GET /{cartId} with the header X-Tenant-Id. A cart belongs to whichever tenant asks for it.
func New() http.Handler {
	kinds := map[string]Kind{}
	for _, kind := range Kinds() {
		kinds[kind.Name] = kind
	}
	var mu sync.Mutex
	asked := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{cartId}", func(w http.ResponseWriter, r *http.Request) {
		tenant, id := r.Header.Get("X-Tenant-Id"), r.PathValue("cartId")
		if tenant == "" || r.Header.Get("X-Correlation-Id") == "" {
			fail(w, http.StatusBadRequest)
			return
		}
		mu.Lock()
		asked[id]++
		n := asked[id]
		mu.Unlock()
		name, _, _ := strings.Cut(strings.TrimPrefix(id, "cart-"), "-")
		kind, ok := kinds[name]
		if !ok {
			kind = kinds["good"]
		}
		w.Header().Set("Content-Type", "application/json")
		kind.answer(w, cart{CartID: id, TenantID: tenant, Currency: "ZAR", Items: []item{hosting()}, Campaign: summer()}, n)
	})
	return mux
}

func good(w http.ResponseWriter, c cart, _ int) {
	_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "data": c})
}

func bare(w http.ResponseWriter, c cart, _ int) {
	c.Currency, c.Campaign = "", nil
	_ = json.NewEncoder(w).Encode(c)
}

func with(change func(*cart)) func(http.ResponseWriter, cart, int) {
	return func(w http.ResponseWriter, c cart, n int) {
		change(&c)
		good(w, c, n)
	}
}

func status(code int) func(http.ResponseWriter, cart, int) {
	return func(w http.ResponseWriter, _ cart, _ int) { fail(w, code) }
}

func fail(w http.ResponseWriter, code int) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "error": http.StatusText(code)})
}
