package roles

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/proof/contract"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/cart"
	"github.com/bbws/order-lambda/store"
)

// TestNoFieldIsLost gives every field of a request, a cart and an update a
// value of its own and carries them through parsing, the queue, pricing, the
// table and the API. Each value must come out, each documented property must be
// seen, and each seen one documented: a field that is added and forgotten at
// one of the places that carry it fails here.
func TestNoFieldIsLost(t *testing.T) {
	is := is.New(t)
	c, err := contract.Load("openapi.yaml")
	is.NoErr(err)
	schemas := c.Document().Components.Schemas

	request := filled(schemas["OrderRequest"], "request")
	update := filled(schemas["OrderUpdate"], "update")
	o := lived(t, request, update)
	shown := asJSON(t, showOrder(t.Context(), asItIs{}, o).data)

	for _, input := range []any{request, update, fullCart()} {
		for path, value := range leaves("", input) {
			if !hasValue(shown, value) {
				t.Errorf("%s: the value %v is lost", path, value)
			}
		}
	}
	is.Equal(paths(shown), documented("", schemas["Order"])) // seen is what is documented
	is.Equal(paths(asJSON(t, o.Summary())), documented("", schemas["OrderSummary"]))
	is.Equal(paths(asJSON(t, o.Acceptance())), documented("", schemas["AcceptedOrder"]))
	for _, part := range []any{o.Summary(), o.Acceptance()} {
		for path, value := range leaves("", asJSON(t, part)) {
			is.True(path == ".state" || value == leaves("", shown)[path]) // what a part says is the order's
		}
	}
	failed := o
	failed.Status, failed.FailureReason = order.Failed, "why"
	is.Equal(paths(asJSON(t, failed.Acceptance())), documented("", schemas["FailedOrder"]))
}

// asItIs shows the places of documents instead of links to them.
type asItIs struct{}

func (asItIs) Link(_ context.Context, location string) (string, error) { return location, nil }

// lived takes an order through its life: accepted as the request says, priced,
// recorded, updated, documented, and read from the table.
func lived(t *testing.T, request, update map[string]any) order.Order {
	t.Helper()
	is := is.New(t)
	const table = "fields"
	is.NoErr(startEmulators())
	is.NoErr(emulator.CreateTable(t.Context(), db.Client(), table))
	orders := store.New(db.Client(), table, time.Now)

	wanted, err := order.ParseRequest(text(t, request))
	is.NoErr(err)
	creation := wanted.Creation(acme, "creator-1")
	creation.OrderID = orderID
	queued, err := order.ParseCreation(text(t, creation))
	is.NoErr(err)
	for i := range reflect.ValueOf(queued).NumField() {
		is.True(!reflect.ValueOf(queued).Field(i).IsZero()) // a field of the message
	}
	accepted, err := orders.Accept(t.Context(), queued)
	is.NoErr(err)
	priced, err := order.New(accepted, queued, fetched(t, queued), vat(t))
	is.NoErr(err)
	is.NoErr(orders.Record(t.Context(), priced))

	u, err := order.ParseUpdate(text(t, update))
	is.NoErr(err)
	u.By = "updater-1"
	o := priced
	_, err = o.Apply(u, time.Now())
	is.NoErr(err)
	_, err = orders.Update(t.Context(), o, priced.DateLastUpdated)
	is.NoErr(err)
	is.NoErr(orders.AddDocument(t.Context(), acme, orderID, order.Document{
		Kind: order.TaxInvoice, Number: "INV-2025-00001", DateIssued: o.DateCreated, URL: "s3://bucket/invoice",
	}))
	read, err := orders.Order(t.Context(), acme, orderID)
	is.NoErr(err)
	return read
}

// fullCart is an answer of the Cart API with every field.
func fullCart() map[string]any {
	return map[string]any{
		"cartId": "request-cartid", "tenantId": acme, "currency": "ZAR", "shipping": json.Number("11.11"),
		"items": []any{map[string]any{
			"id": "line-1", "productId": "product-1", "productName": "name-1",
			"quantity": json.Number("7"), "unitPrice": json.Number("22.22"), "discount": json.Number("3.33"),
		}},
		"campaign": map[string]any{
			"id": "campaign-1", "code": "request-campaigncode", "description": "description-1",
			"discountPercentage": json.Number("12.5"), "productId": "product-2",
			"termsConditionsLink": "https://example.com/terms", "fromDate": "2001-01-01", "toDate": "2999-12-31",
			"isValid": true, "dateCreated": "2001-02-03T04:05:06.000000Z",
			"dateLastUpdated": "2002-03-04T05:06:07.000000Z",
			"lastUpdatedBy":   "marketing-1", "active": true,
		},
	}
}

// fetched returns the cart as the client reads it.
func fetched(t *testing.T, c order.Creation) order.Cart {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(text(t, fullCart()))
	}))
	defer server.Close()
	got, err := cart.New(server.URL, http.DefaultTransport).Get(t.Context(), c.TenantID, c.CartID, c.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// filled returns a value of a schema in which each text is its own.
func filled(ref *openapi3.SchemaRef, name string) map[string]any {
	object := map[string]any{}
	for property, schema := range plain(ref).Value.Properties {
		schema = plain(schema)
		own := strings.ToLower(name + "-" + property)
		switch {
		case len(schema.Value.Properties) > 0:
			object[property] = filled(schema, own)
		case strings.HasSuffix(schema.Ref, "/Email"):
			object[property] = own + "@example.com"
		case strings.HasSuffix(schema.Ref, "/Country"):
			object[property] = "NA"
		case strings.HasSuffix(schema.Ref, "/OrderStatus"):
			object[property] = string(order.Paid)
		case strings.HasSuffix(schema.Ref, "/Time"):
			object[property] = "2003-04-05T06:07:08.000000Z"
		default:
			object[property] = own
		}
	}
	return object
}

// leaves returns the values of a JSON document that are no objects or lists, by
// their paths.
func leaves(at string, v any) map[string]any {
	all := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			maps.Copy(all, leaves(at+"."+name, inner))
		}
	case []any:
		for i, inner := range v {
			maps.Copy(all, leaves(fmt.Sprint(at, "#", i), inner))
		}
	default:
		all[at] = v
	}
	return all
}

// paths returns the paths of the values of a JSON document, without the places
// in lists, sorted.
func paths(v any) []string {
	seen := map[string]bool{}
	for path := range leaves("", v) {
		parts := strings.Split(path, ".")
		for i := range parts {
			parts[i], _, _ = strings.Cut(parts[i], "#")
		}
		seen[strings.Join(parts, ".")] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// documented returns the paths of the values that a schema describes, sorted.
func documented(at string, ref *openapi3.SchemaRef) []string {
	s := plain(ref).Value
	if s.Items != nil {
		return documented(at, s.Items)
	}
	if len(s.Properties) == 0 {
		return []string{at}
	}
	var all []string
	for name, property := range s.Properties {
		all = append(all, documented(at+"."+name, property)...)
	}
	slices.Sort(all)
	return all
}

func hasValue(document, value any) bool {
	for _, v := range leaves("", document) {
		if fmt.Sprint(v) == fmt.Sprint(value) {
			return true
		}
	}
	return false
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// asJSON returns what a value is on the wire.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(text(t, v))))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return document
}
