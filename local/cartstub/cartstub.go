// Package cartstub stands in for the Cart API (contract, section 8). The id of
// a cart chooses what it answers.
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
	Name string `json:"name"` // the id without the prefix "cart-" and without what follows a further "-"
	What string `json:"what"` // what the stub answers

	status int           // in place of 200
	times  int           // answers with that status before good ones; 0 means that all have it
	change func(*cart)   // of the cart that a good answer shows; nil means none
	body   string        // in place of the cart
	wait   time.Duration // before the answer
}

// Kinds returns the carts, for people to choose from. cart-missing,
// cart-missing-1 and cart-missing-tuesday are all of the kind missing; the
// kinds that count do so for each id. Every other id is a good cart.
func Kinds() []Kind {
	return []Kind{
		{Name: "good", What: "one line at 250.00 after a discount of 50.00, campaign SUMMER25"},
		{
			Name:   "shipping",
			What:   "three lines and shipping of 99.50",
			change: func(c *cart) { c.Items, c.Shipping = threeItems(), "99.50" },
		},
		{
			Name:   "bare",
			What:   "as good, but neither inside an envelope nor with a currency or a campaign",
			change: func(c *cart) { c.bare, c.Currency, c.Campaign = true, "", nil },
		},
		{
			Name: "precise", What: "one line at 131072.01, which a 32-bit float does not hold",
			change: func(c *cart) { c.Items[0].Quantity, c.Items[0].UnitPrice, c.Items[0].Discount = 1, "131072.01", "" },
		},
		{Name: "large", What: "200 lines, which is as many as allowed", change: func(c *cart) { c.Items = manyItems(200) }},
		{Name: "totals", What: "as good, with totals that are wrong", change: func(c *cart) { c.Total = "1.00" }},
		{Name: "flaky", What: "500 twice, then as good", status: http.StatusInternalServerError, times: 2},
		{
			Name: "late", What: "503 six times, so that whole deliveries fail, then as good",
			status: http.StatusServiceUnavailable, times: 6,
		},
		{Name: "broken", What: "500 always", status: http.StatusInternalServerError},
		{Name: "limited", What: "429 always", status: http.StatusTooManyRequests},
		{Name: "slow", What: "an answer after five seconds, two more than the client waits", wait: 5 * time.Second},
		{Name: "missing", What: "404", status: http.StatusNotFound},
		{Name: "gone", What: "410", status: http.StatusGone},
		{Name: "refused", What: "400", status: http.StatusBadRequest},
		{Name: "empty", What: "no lines", change: func(c *cart) { c.Items = []item{} }},
		{Name: "crowded", What: "201 lines, which is one too many", change: func(c *cart) { c.Items = manyItems(201) }},
		{Name: "foreign", What: "the cart of another tenant", change: func(c *cart) { c.TenantID = "another-tenant" }},
		{Name: "currency", What: "a currency that does not exist", change: func(c *cart) { c.Currency = "ZZZ" }},
		{Name: "fraction", What: "a price of a tenth of a cent", change: func(c *cart) { c.Items[0].UnitPrice = "0.001" }},
		{Name: "malformed", What: "a body that is no JSON", body: `{"cartId": `},
		{
			Name:   "huge",
			What:   "a body of more than 1 MiB",
			change: func(c *cart) { c.Items[0].ProductName = strings.Repeat("x", 1<<20) },
		},
	}
}

// Answer returns the nth answer, counted from 1, for a tenant's cart, and how
// long it takes. A cart belongs to whichever tenant asks for it.
func Answer(tenant, id string, n int) (status int, body []byte, wait time.Duration) {
	name, _, _ := strings.Cut(strings.TrimPrefix(id, "cart-"), "-")
	kind := Kind{}
	for _, k := range Kinds() {
		if k.Name == name {
			kind = k
		}
	}
	if kind.status != 0 && (kind.times == 0 || n <= kind.times) {
		return kind.status, fmt.Appendf(nil, `{"success": false, "error": %q}`, http.StatusText(kind.status)), 0
	}
	if kind.body != "" {
		return http.StatusOK, []byte(kind.body), 0
	}
	c := cart{CartID: id, TenantID: tenant, Currency: "ZAR", Items: []item{hosting()}, Campaign: json.RawMessage(summer)}
	if kind.change != nil {
		kind.change(&c)
	}
	var answer any = c
	if !c.bare {
		answer = map[string]any{"success": true, "data": c}
	}
	body, _ = json.Marshal(answer) // numbers of ours always marshal
	return http.StatusOK, body, kind.wait
}

// New returns the Cart API: GET /{cartId} with the header X-Tenant-Id.
func New() http.Handler {
	var mu sync.Mutex
	asked := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{cartId}", func(w http.ResponseWriter, r *http.Request) {
		tenant, id := r.Header.Get("X-Tenant-Id"), r.PathValue("cartId")
		if tenant == "" || r.Header.Get("X-Correlation-Id") == "" {
			http.Error(w, `{"success": false}`, http.StatusBadRequest)
			return
		}
		mu.Lock()
		asked[id]++
		n := asked[id]
		mu.Unlock()
		status, body, wait := Answer(tenant, id, n)
		time.Sleep(wait)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
	return mux
}

type cart struct {
	CartID   string          `json:"cartId"`
	TenantID string          `json:"tenantId"`
	Currency string          `json:"currency,omitempty"`
	Items    []item          `json:"items"`
	Shipping json.Number     `json:"shipping,omitempty"`
	Campaign json.RawMessage `json:"campaign,omitempty"`
	Total    json.Number     `json:"total,omitempty"`

	bare bool // not inside an envelope
}

// item is a line. Amounts are JSON numbers with two decimals, which a float
// would not keep.
type item struct {
	ID          string      `json:"id"`
	ProductID   string      `json:"productId"`
	ProductName string      `json:"productName"`
	Quantity    int         `json:"quantity"`
	UnitPrice   json.Number `json:"unitPrice"`
	Discount    json.Number `json:"discount,omitempty"`
}

// summer is a campaign with all that the Cart API says of one.
const summer = `{
	"id": "camp-9", "code": "SUMMER25", "description": "Summer sale", "discountPercentage": 12.5, "productId": "prod-1",
	"termsConditionsLink": "https://kimmyai.io/terms/summer25", "fromDate": "2025-11-01", "toDate": "2095-01-31",
	"isValid": true, "dateCreated": "2025-10-15T08:00:00Z", "dateLastUpdated": "2025-10-16T08:00:00Z",
	"lastUpdatedBy": "marketing@kimmyai.io", "active": true
}`

func hosting() item {
	return item{
		ID: "line-1", ProductID: "prod-1", ProductName: "Hosting, business",
		Quantity: 2, UnitPrice: "150.00", Discount: "50.00",
	}
}

func threeItems() []item {
	return []item{
		hosting(),
		{ID: "line-2", ProductID: "prod-2", ProductName: "Domain žiraffe.co.za, one year", Quantity: 1, UnitPrice: "120.00"},
		{
			ID: "line-3", ProductID: "prod-3", ProductName: "Welcome parcel & guide",
			Quantity: 3, UnitPrice: "49.99", Discount: "0.00",
		},
	}
}

func manyItems(n int) []item {
	items := make([]item, n)
	for i := range items {
		items[i] = item{
			ID: fmt.Sprintf("line-%d", i+1), ProductID: fmt.Sprintf("prod-%d", i+1),
			ProductName: fmt.Sprintf("Product number %d", i+1),
			Quantity:    i%9 + 1, UnitPrice: json.Number(fmt.Sprintf("%d.%02d", i+1, i%100)),
		}
	}
	return items
}
