package stack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
)

func foreignTenant(t *testing.T) {
	owner, stranger := newUser(t), newUser(t)
	id := owner.place("cart-good", "Idempotency-Key", "the-owners-key")
	o := owner.finished(id)
	path := "/v1.0/orders/" + id
	for _, c := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"read", "GET", path, "", http.StatusNotFound},
		{"change", "PUT", path, `{"status": "cancelled"}`, http.StatusNotFound},
		{"change nothing", "PUT", path, `{"status": "pending"}`, http.StatusNotFound},
		{"list", "GET", "/v1.0/tenants/" + owner.tenant + "/orders", "", http.StatusForbidden},
		{
			"find by number", "GET", "/v1.0/tenants/" + owner.tenant + "/orders?orderNumber=" + o.OrderNumber,
			"", http.StatusForbidden,
		},
		{
			"list under a filter", "GET",
			"/v1.0/tenants/" + owner.tenant + "/orders?status=pending&sort=-dateCreated", "",
			http.StatusForbidden,
		},
		{
			"place for another tenant", "POST", "/v1.0/orders",
			`{"tenantId": "` + owner.tenant + `", ` + gateway.Placement("a@example.com", "cart-good")[1:],
			http.StatusBadRequest,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			a := stranger.call(c.method, c.path, c.body)
			is.Equal(a.Status, c.want)
			said := a.Text + fmt.Sprint(a.Header)
			for _, secret := range []string{
				owner.tenant, owner.email, "Thandi", "Long Street", o.OrderNumber, o.DateCreated, o.DateLastUpdated,
				"Hosting", o.Total.String(), "cart-good",
			} {
				is.True(!strings.Contains(said, secret)) // not a byte of the other's data
			}
		})
	}
	is := is.New(t)
	is.Equal(owner.order(id).History, o.History)                                    // nothing was changed
	is.True(stranger.place("cart-good", "Idempotency-Key", "the-owners-key") != id) // a key is a tenant's own
	is.True(!slices.ContainsFunc(stranger.list(""), func(o gateway.Order) bool { return o.ID == id }))
}

func badRequests(t *testing.T) {
	u := newUser(t)
	for _, c := range []struct {
		name, body string
		fields     []string
	}{
		{"nothing", `{}`, []string{"billingAddress", "cartId", "customerEmail"}},
		{"empty address", `{"customerEmail": "a@example.com", "cartId": "c", "billingAddress": {}}`, []string{
			"billingAddress.city", "billingAddress.country", "billingAddress.postalCode",
			"billingAddress.province", "billingAddress.street",
		}},
		{
			"unknown fields", `{"tenantId": "x", "total": 1, ` + gateway.Placement("a@example.com", "c")[1:],
			[]string{"tenantId", "total"},
		},
		{"everything wrong", `{"customerEmail": "nobody", "cartId": "a b",
			"customerName": "` + strings.Repeat("x", 257) + `", "paymentMethod": "\u0007",
			"billingAddress": {"street": " ", "city": "C", "province": "P", "postalCode": "1", "country": "Narnia"}}`, []string{
			"billingAddress.country", "billingAddress.street", "cartId", "customerEmail", "customerName", "paymentMethod",
		}},
		{
			"wrong types", `{"customerEmail": 1, "cartId": ["c"], "billingAddress": "here"}`,
			[]string{"billingAddress", "cartId", "customerEmail"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := is.New(t)
			a := u.call("POST", "/v1.0/orders", c.body)
			is.Equal(a.Status, http.StatusBadRequest)
			is.Equal(fields(a), c.fields) // every bad field, and no other
		})
	}
	t.Run("list", func(t *testing.T) {
		is := is.New(t)
		a := u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders?pageSize=0&sort=total&from=yesterday", "")
		is.Equal(a.Status, http.StatusBadRequest)
		is.Equal(fields(a), []string{"from", "pageSize", "sort"})
		is.Equal(fields(u.call("GET", "/v1.0/tenants/"+u.tenant+"/orders?startAt=x", "")), []string{"startAt"})
	})
	t.Run("update", func(t *testing.T) {
		is := is.New(t)
		a := u.put(lambdaapi.NewID(), `{"status": "shipped", "total": 1, "paymentDetails": {"paidAt": "today", "amount": 1}}`)
		is.Equal(a.Status, http.StatusBadRequest)
		is.Equal(fields(a), []string{"paymentDetails.amount", "paymentDetails.paidAt", "status", "total"})
	})
}

func noRequests(t *testing.T) {
	u := newUser(t)
	for name, body := range map[string]string{
		"no JSON": `{"customerEmail": `, "no object": `[]`, "nothing at all": ``, "two values": `{} {}`,
		"binary": "\xff\xfe\x00",
		"huge":   `{"customerEmail": "` + strings.Repeat("x", 65<<10) + `"}`, "deep": strings.Repeat(`{"a":`, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(u.call("POST", "/v1.0/orders", body).Status, http.StatusBadRequest)
		})
	}
	t.Run("larger than API Gateway takes", func(t *testing.T) {
		is := is.New(t)
		is.Equal(u.call("POST", "/v1.0/orders", strings.Repeat(" ", 11<<20)).Status, http.StatusRequestEntityTooLarge)
	})
}

func idempotency(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good", "Idempotency-Key", "key-1")
	body := gateway.Placement(u.email, "cart-good")
	again := u.call("POST", "/v1.0/orders", body, "Idempotency-Key", "key-1")
	is.Equal(again.Status, http.StatusAccepted)
	is.Equal(again.Header.Get("Idempotent-Replayed"), "true")
	is.Equal(data[struct{ OrderID string }](t, again).OrderID, id)
	is.Equal(u.call("POST", "/v1.0/orders", body+" ", "Idempotency-Key", "key-1").Status, http.StatusUnprocessableEntity)
	u.finished(id)
	is.Equal(len(u.list("")), 1) // one order
}

func functionError(t *testing.T) {
	is := is.New(t)
	_, err := service.Invoke(t.Context(), recorder, []byte(`"not an event"`))
	is.True(err != nil) // a queue's event that cannot be read fails the batch
	event, err := json.Marshal(events.APIGatewayProxyRequest{HTTPMethod: "GET", Resource: "/v1.0/orders/{orderId}"})
	is.NoErr(err)
	out, err := service.Invoke(t.Context(), "get_order", event)
	is.NoErr(err)
	var said events.APIGatewayProxyResponse
	is.NoErr(json.Unmarshal(out, &said))
	is.Equal(said.StatusCode, http.StatusUnauthorized) // without claims
}
