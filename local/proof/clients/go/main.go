// Takes orders through their lives with the client that oapi-codegen makes from
// roles/openapi.yaml: client URL TOKEN TENANT. It prints a line for each order,
// and stops at the first thing that is wrong.
package main

import (
	"cmp"
	"context"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"client/api"
)

func main() {
	log.SetFlags(0)
	url, token, tenant := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	authorize := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	client, err := api.NewClientWithResponses(url, api.WithRequestEditorFn(authorize))
	must(err)
	c := customer{client, ctx, tenant}
	for _, bought := range []cart{
		{id: "cart-shipping", lines: []line{{2, 15000, 5000}, {1, 12000, 0}, {3, 4999, 0}}, shipping: 9950},
		{id: "cart-precise", lines: []line{{1, 13107201, 0}}},
	} {
		o := c.recorded(c.place(bought.id))
		bought.compare(o)
		c.live(o.Id)
		total := bought.total()
		c.find(o, total)
		log.Printf("%s: %s refunded, %d.%02d", bought.id, o.OrderNumber, total/100, total%100)
	}
	c.failed()
	c.refused()
}

// A cart is what the Cart API has under an id, in cents.
type cart struct {
	id       string
	lines    []line
	shipping int64
}

type line struct{ quantity, unitPrice, discount int64 }

func (l line) subtotal() int64 { return l.quantity*l.unitPrice - l.discount }

func (c cart) subtotal() (sum int64) {
	for _, l := range c.lines {
		sum += l.subtotal()
	}
	return sum
}

func (c cart) tax() int64   { return (15*(c.subtotal()+c.shipping) + 50) / 100 }
func (c cart) total() int64 { return c.subtotal() + c.shipping + c.tax() }

// compare holds every amount of an order to the cart.
func (c cart) compare(o api.Order) {
	equal("lines", len(o.Items), len(c.lines))
	for i, item := range o.Items {
		equal("quantity", int64(item.Quantity), c.lines[i].quantity)
		equal("unitPrice", cents(item.UnitPrice), c.lines[i].unitPrice)
		equal("discount", cents(item.Discount), c.lines[i].discount)
		equal("subtotal of a line", cents(item.Subtotal), c.lines[i].subtotal())
	}
	equal("subtotal", cents(o.Subtotal), c.subtotal())
	equal("shipping", cents(o.Shipping), c.shipping)
	equal("tax", cents(o.Tax), c.tax())
	equal("total", cents(o.Total), c.total())
	equal("taxRate", o.TaxRate, 0.15)
}

func cents(amount api.Money) int64 { return int64(math.Round(float64(amount) * 100)) }

type customer struct {
	*api.ClientWithResponses
	ctx    context.Context
	tenant string
}

func (c customer) place(cartID string) api.OrderId {
	answer, err := c.CreateOrderWithResponse(c.ctx, &api.CreateOrderParams{}, api.OrderRequest{
		CustomerEmail: "thandi@example.com", CartId: cartID,
		BillingAddress: api.BillingAddress{
			Street: "12 Long Street", City: "Cape Town", Province: "Western Cape", PostalCode: "8001", Country: api.ZA,
		},
	})
	must(err)
	if answer.JSON202 == nil {
		log.Fatalf("POST: %s %s", answer.Status(), answer.Body)
	}
	placed := answer.JSON202.Data
	equal("Location", answer.Headers202.Location, "/v1.0/orders/"+placed.OrderId)
	return placed.OrderId
}

// read returns the order, decoded by its discriminator, and its ETag.
func (c customer) read(id api.OrderId) (order any, etag string) {
	answer, err := c.GetOrderWithResponse(c.ctx, id)
	must(err)
	if answer.JSON200 == nil {
		log.Fatalf("GET: %s %s", answer.Status(), answer.Body)
	}
	order, err = answer.JSON200.Data.ValueByDiscriminator()
	must(err)
	return order, *cmp.Or(answer.Headers200.ETag, new(string))
}

// settled waits until an order is no longer only accepted.
func (c customer) settled(id api.OrderId) any {
	for {
		order, _ := c.read(id)
		if _, waits := order.(api.AcceptedOrder); !waits {
			return order
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c customer) recorded(id api.OrderId) api.Order {
	o, ok := c.settled(id).(api.Order)
	equal("is recorded", ok, true)
	return o
}

// live pays, processes, completes and refunds an order, and reads what is left
// of that: its history and its documents.
func (c customer) live(id api.OrderId) {
	_, first := c.read(id)
	transaction, reason := "tx-1", "It came back"
	paid := api.OrderUpdate{Status: new(api.OrderStatusPaid)}
	paid.PaymentDetails = &api.PaymentUpdate{TransactionId: &transaction}
	etag := c.change(id, first, paid)
	etag = c.change(id, etag, api.OrderUpdate{Status: new(api.OrderStatusProcessing)})
	etag = c.change(id, etag, api.OrderUpdate{Status: new(api.OrderStatusCompleted)})
	c.change(id, etag, api.OrderUpdate{Status: new(api.OrderStatusRefunded), Reason: &reason})
	stale, err := c.UpdateOrderWithResponse(c.ctx, id, &api.UpdateOrderParams{IfMatch: &first}, paid)
	must(err)
	equal("412", stale.JSON412 != nil && stale.JSON412.Code == "precondition_failed", true)

	o := c.recorded(id)
	for len(o.Documents) < 3 {
		time.Sleep(100 * time.Millisecond)
		o = c.recorded(id)
	}
	for i, kind := range []api.DocumentKind{api.ProForma, api.TaxInvoice, api.CreditNote} {
		equal("document", o.Documents[i].Kind, kind)
		equal("has a number", o.Documents[i].Number != nil, kind != api.ProForma)
		equal("PDF", strings.HasPrefix(c.download(o.Documents[i].Url), "%PDF-"), true)
	}
	var types []api.EntryType
	for i, entry := range o.History {
		types = append(types, entry.Type)
		equal("sequence", entry.Sequence, i+1)
	}
	want := []api.EntryType{api.OrderCreated, api.OrderPaid, api.OrderProcessing, api.OrderCompleted, api.OrderRefunded}
	equal("history", slices.Equal(types, want), true)
	equal("transaction", *o.History[1].PaymentDetails.TransactionId, transaction)
	equal("reason", *o.History[4].Reason, reason)
}

func (c customer) change(id api.OrderId, etag string, update api.OrderUpdate) string {
	answer, err := c.UpdateOrderWithResponse(c.ctx, id, &api.UpdateOrderParams{IfMatch: &etag}, update)
	must(err)
	if answer.JSON200 == nil {
		log.Fatalf("PUT: %s %s", answer.Status(), answer.Body)
	}
	equal("status", answer.JSON200.Data.Status, *update.Status)
	return answer.Headers200.ETag
}

func (c customer) download(url string) string {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, url, nil)
	must(err)
	resp, err := http.DefaultClient.Do(req)
	must(err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	must(err)
	return string(text)
}

func (c customer) find(o api.Order, total int64) {
	answer, err := c.ListOrdersWithResponse(c.ctx, c.tenant, &api.ListOrdersParams{OrderNumber: &o.OrderNumber})
	must(err)
	if answer.JSON200 == nil {
		log.Fatalf("list: %s %s", answer.Status(), answer.Body)
	}
	page := answer.JSON200.Data
	equal("orders found", len(page.Orders), 1)
	equal("id", page.Orders[0].Id, o.Id)
	equal("status in the list", page.Orders[0].Status, api.OrderStatusRefunded)
	equal("total in the list", cents(page.Orders[0].Total), total)
	equal("no further page", page.Pagination.NextToken == nil, true)
}

func (c customer) failed() {
	o, ok := c.settled(c.place("cart-missing")).(api.FailedOrder)
	equal("is failed", ok && o.Status == api.FailedOrderStatusFailed, true)
	equal("has a reason", o.FailureReason != "", true)
	log.Printf("cart-missing: %s failed: %s", o.OrderNumber, o.FailureReason)
}

func (c customer) refused() {
	answer, err := c.CreateOrderWithResponse(c.ctx, nil, api.OrderRequest{})
	must(err)
	if answer.JSON400 == nil || answer.JSON400.Details == nil {
		log.Fatalf("an empty order: %s %s", answer.Status(), answer.Body)
	}
	equal("code", answer.JSON400.Code, "invalid_request")
	for _, detail := range *answer.JSON400.Details {
		log.Printf("refused: %s %s", detail.Field, detail.Message)
	}
}

func equal[T comparable](what string, got, want T) {
	if got != want {
		log.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
