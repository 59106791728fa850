package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"
)

// What an order needs at least.
const (
	leastAddress = `{"street":"s","city":"c","province":"p","postalCode":"1","country":"ZA"}`
	least        = `{"customerEmail":"a@example.com","cartId":"c","billingAddress":` + leastAddress + `}`
)

// ofOwner returns everything that the table has of the owner, as one text.
func (h *house) ofOwner() string {
	var b strings.Builder
	for _, item := range h.world.Table.Items() {
		if item.Text("PK") == "TENANT#"+owner {
			text, _ := json.Marshal(item)
			b.Write(append(text, '\n'))
		}
	}
	return b.String()
}

// The routes of TestIdentities, in the order of its rows: POST, GET of a
// recorded order, GET of an accepted one, list, PUT of a status that anybody may
// set, PUT of a payment.
const routes = 6

func (h *house) routes(recorded, accepted string) [routes]func(identity) reply {
	return [routes]func(identity) reply{
		func(who identity) reply { return h.post(who, nil) },
		func(who identity) reply { return h.get(who, recorded) },
		func(who identity) reply { return h.get(who, accepted) },
		func(who identity) reply { return h.list(who, owner, "") },
		func(who identity) reply { return h.put(who, recorded, `{"status":"payment_pending"}`) },
		func(who identity) reply {
			return h.put(who, recorded, `{"status":"payment_pending","paymentDetails":{"transactionId":"t-1"}}`)
		},
	}
}

// TestIdentities holds what each caller gets from each route, where PAYMENT_GROUP
// is payments.
func TestIdentities(t *testing.T) {
	h := newHouse(t)
	h.build("update_order", map[string]string{"PAYMENT_GROUP": "payments"})
	recorded := h.order(as(owner))
	h.drain()
	accepted := h.order(as(owner))
	h.publish()

	nobody := [routes]int{401, 401, 401, 401, 401, 401}
	malformed := [routes]int{403, 403, 403, 403, 403, 403}
	stranger := [routes]int{202, 404, 404, 403, 404, 403}
	for _, row := range []struct {
		identity
		want [routes]int
	}{
		{identity{"no authorizer", nil}, nobody},
		{identity{"no claims", map[string]any{}}, nobody},
		{identity{"no tenant", map[string]any{"sub": "s", "cognito:groups": "admin"}}, malformed},
		{identity{"a tenant that is no text", map[string]any{"custom:tenantId": []any{owner}}}, malformed},
		{as(""), malformed},
		{as("TENANT#" + owner), malformed},
		{as(owner + "#ORDER"), malformed},
		{as("../" + owner), malformed},
		{as(owner + "/"), malformed},
		{as("." + owner), malformed},
		{as(" " + owner), malformed},
		{as(owner + "\x00"), malformed},
		{as(owner + "\u202e"), malformed},
		{as("\uFFFE" + owner), malformed},
		{as("\u0430cme"), malformed}, // a Cyrillic a
		{as(strings.Repeat("a", 129), "cognito:groups", "admin"), malformed},
		{as(rival), stranger},
		{as(rival, "cognito:groups", "administrators"), stranger},
		{as(rival, "cognito:groups", "payments"), [routes]int{202, 404, 404, 403, 404, 404}},
		{as(strings.ToUpper(owner)), stranger},
		{as(owner + ".x"), stranger},
		{as(owner), [routes]int{202, 200, 200, 200, 200, 403}},
		{as(owner, "cognito:groups", "staff,payments"), [routes]int{202, 200, 200, 200, 200, 200}},
		// An administrator sees what is recorded of every tenant, and changes it.
		{as(rival, "cognito:groups", "[staff admin]"), [routes]int{202, 200, 404, 200, 200, 200}},
	} {
		for i, call := range h.routes(recorded, accepted) {
			t.Run(fmt.Sprint(row.name, " ", i), func(t *testing.T) {
				is := is.New(t)
				before := h.ofOwner()
				r := call(row.identity)
				is.Equal(r.status, row.want[i])
				if row.claims["custom:tenantId"] != owner && row.want[i] != http.StatusOK {
					is.Equal(h.ofOwner(), before) // nothing of another tenant is written
				}
				if r.status >= 400 {
					for _, secret := range []string{"buyer@", "Private", street, "ORD-", recorded, accepted} {
						is.True(!strings.Contains(r.body, secret)) // nor shown
					}
				}
			})
		}
	}
}

// TestAdministrator holds that what an administrator does to another tenant's
// order is that order's: its history, its mails, its documents.
func TestAdministrator(t *testing.T) {
	is := is.New(t)
	h := newHouse(t)
	id := h.order(as(owner))
	h.drain()
	ann := as(rival, "cognito:groups", "admin", "email", "ann@"+rival+".example")
	is.Equal(h.put(ann, id, `{"status":"paid","paymentDetails":{"transactionId":"t-1"}}`).status, http.StatusOK)
	h.drain()
	whole := h.get(as(owner), id)
	is.Equal(whole.data["tenantId"], owner)
	history, _ := whole.data["history"].([]any)
	is.Equal(history[1].(map[string]any)["by"], "ann@"+rival+".example")
	is.Equal(len(whole.data["documents"].([]any)), 2)
	for _, item := range h.world.Table.Items() {
		pk := item.Text("PK")
		is.True(!strings.HasPrefix(pk, "TENANT#"+rival)) // nothing is the administrator's tenant's
	}
	for _, name := range h.world.Objects() {
		is.True(!strings.Contains(name, "/"+rival+"/") && !strings.HasPrefix(name, ordersBucket+"/"+rival))
	}
}

func TestTenantsAreApart(t *testing.T) {
	h := newHouse(t)
	recorded := h.order(as(owner))
	other := h.order(as(rival))
	h.drain()
	t.Run("an order of another tenant looks like none", func(t *testing.T) {
		is := is.New(t)
		accepted := h.order(as(owner))
		const none = "00000000-0000-4000-8000-000000000000"
		for _, id := range []string{recorded, accepted} {
			is.Equal(h.get(as(rival), id), h.get(as(rival), none))
			is.Equal(h.put(as(rival), id, `{"status":"paid"}`), h.put(as(rival), none, `{"status":"paid"}`))
		}
		h.drain()
	})
	t.Run("nor is it found by its number", func(t *testing.T) {
		is := is.New(t)
		number, _ := h.get(as(owner), recorded).data["orderNumber"].(string)
		second := h.order(as(rival)) // which has the number that the owner's second order has
		h.drain()
		r := h.call("list_orders", as(rival), func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"tenantId": rival}
			e.QueryStringParameters = map[string]string{"orderNumber": number}
		})
		is.Equal(r.status, http.StatusOK)
		is.True(!strings.Contains(r.body, recorded) && !strings.Contains(r.body, second))
		is.True(strings.Contains(r.body, other)) // the first of the rival's own
	})
	t.Run("the tenant of a new order is the token's", func(t *testing.T) {
		is := is.New(t)
		r := h.post(as(rival), func(body map[string]any) { body["tenantId"] = owner })
		is.Equal(r.status, http.StatusBadRequest)
	})
	t.Run("an event with another tenant's order has no effect", func(t *testing.T) {
		is := is.New(t)
		mails, objects, before := len(h.world.Mails()), h.world.Objects(), h.ofOwner()
		for _, role := range consumers()[1:] {
			h.world.Queue(role).Send(fmt.Sprintf(`{"orderId":%q,"tenantId":%q}`, other, owner))
		}
		h.drain()
		is.Equal(len(h.world.Mails()), mails)
		is.Equal(h.world.Objects(), objects)
		is.Equal(h.ofOwner(), before)
	})
}

// hostile are texts that try to get out of where they are put.
func hostile() []string {
	return []string{
		"", ".", "..", "../x", "a/../b", "a/b", `a\b`, "a#b", "ORDER#x", "#", "%2e%2e", "%2F", "a%00b", "a\x00b",
		"a\r\nb", "a\tb", "\u202ea", "\u2066a", "\u200ba", "\uFFFE", "\uFEFFa", "a?b=c", "a;b", "a&b", "a|b", "*",
		"~", "😀", strings.Repeat("a", 5000), "${jndi:x}", "' OR 1=1", "<script>", "{{.}}",
	}
}

func TestKeysAndPathsHold(t *testing.T) {
	h := newHouse(t)
	id := h.order(as(owner))
	h.drain()
	before := h.ofOwner()
	for _, text := range hostile() {
		t.Run(strconv.Quote(text[:min(len(text), 20)]), func(t *testing.T) {
			is := is.New(t)
			h.t = t
			for _, orderID := range []string{text, id + text, text + id, strings.ToUpper(id)} {
				if orderID == id {
					continue
				}
				for _, who := range []identity{as(owner), as(rival, "cognito:groups", "admin")} {
					is.Equal(h.get(who, orderID).status, http.StatusNotFound)
				}
				is.Equal(h.put(as(owner), orderID, `{"status":"paid"}`).status, http.StatusNotFound)
			}
			is.Equal(h.list(as(owner), owner+"/"+text, "").status, http.StatusForbidden)
			is.Equal(h.list(as(owner, "cognito:groups", "admin"), text, "").status, http.StatusForbidden)
			is.Equal(h.ofOwner(), before) // nothing is written
		})
	}
}

// TestCartPathsHold holds that a cart id stays one part of the Cart API's path.
func TestCartPathsHold(t *testing.T) {
	is := is.New(t)
	h := newHouse(t)
	for _, text := range hostile() {
		h.carts = nil
		r := h.post(as(rival), func(body map[string]any) { body["cartId"] = text })
		h.drain()
		is.True(r.status == http.StatusAccepted || r.status == http.StatusBadRequest)
		is.Equal(r.status == http.StatusAccepted, len(h.carts) > 0)
		for _, path := range h.carts {
			part := strings.TrimPrefix(path, "/v1.0/cart/")
			is.True(part != path && part != "" && part != "." && part != ".." && !strings.ContainsAny(part, "/?#\\"))
		}
	}
}

func TestWrittenKeysHold(t *testing.T) {
	h := newHouse(t)
	id := h.order(as(owner))
	h.drain()
	recorded := h.world.Table.Item("TENANT#"+owner, "ORDER#"+id)
	t.Run("an Idempotency-Key reaches no other item", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		for _, key := range append(hostile(), "../ORDER#"+id, "x#"+id, "ORDER#"+id) {
			r := h.call("create_order", as(owner), func(e *events.APIGatewayProxyRequest) {
				e.Headers["Idempotency-Key"] = key
				e.Body = least
			})
			if r.status == http.StatusAccepted {
				is.True(h.world.Table.Item("TENANT#"+owner, "IDEMPOTENCY#"+key) != nil)
			} else {
				is.Equal(r.status, http.StatusBadRequest)
			}
		}
		is.Equal(h.world.Table.Item("TENANT#"+owner, "ORDER#"+id), recorded) // the order is as it was
	})

	t.Run("a message with hostile ids writes nothing", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		h.drain()
		items, objects := len(h.world.Table.Items()), len(h.world.Objects())
		for _, text := range hostile() {
			for _, ids := range [][2]string{{owner, text}, {text, id}, {text, text}} {
				body, err := json.Marshal(map[string]any{
					"tenantId": ids[0], "orderId": ids[1], "customerEmail": "a@example.com", "cartId": "c",
					"billingAddress": json.RawMessage(leastAddress),
				})
				is.NoErr(err)
				if ids[0] == "a&b" {
					continue
				}
				for _, role := range consumers() {
					h.world.Queue(role).Send(string(body))
				}
			}
		}
		h.drain()
		is.Equal(len(h.world.Table.Items()), items)
		is.Equal(len(h.world.Objects()), objects)
	})
}

func TestNothingIsInjected(t *testing.T) {
	h := newHouse(t)
	t.Run("into headers", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		for _, email := range []string{
			"a@example.com\r\nBcc: x@example.com", "a@example.com\nx", "a@example.com,b@example.com",
			"a@example.com b@example.com", "A <a@example.com>", "a@example.com(\r\n)", "=?utf-8?q?a?=@example.com\u2028",
			"a@exam\u202eple.com", "\"a\r\n\"@example.com", "a@example.com>", ";@example.com;",
		} {
			r := h.post(as(owner), func(body map[string]any) { body["customerEmail"] = email })
			if r.status == http.StatusBadRequest {
				continue
			}
			h.drain()
			for _, m := range h.world.Mails() {
				is.True(len(m.To) == 1 && !strings.ContainsAny(m.To[0], "\r\n,<> ")) // one bare address
			}
		}
		for _, m := range []map[string]any{
			{"customerName": "a\r\nBcc: x@example.com"}, {"paymentMethod": "a\nb"}, {"campaignCode": "\x1b[31m"},
		} {
			r := h.post(as(owner), func(body map[string]any) { maps.Copy(body, m) })
			is.Equal(r.status, http.StatusBadRequest)
		}
		q := h.world.Queue("order_creator_record")
		q.Send(`{"tenantId":"acme","orderId":"6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f","customerEmail":"a@example.com",
			"orderNumber":"ORD-2025-00001\r\nBcc: x@example.com","cartId":"c","billingAddress":` + leastAddress + `}`)
		h.drain()
		for _, m := range h.world.Mails() {
			is.True(!strings.ContainsAny(m.Subject, "\r\n") && !strings.Contains(m.Subject, "Bcc"))
		}
		is.Equal(len(q.Dead().Messages()), 0) // the number is the acceptance's, whatever the message says
	})
}

func TestNothingIsInjectedIntoContent(t *testing.T) {
	h := newHouse(t)
	t.Run("of mails and documents", func(t *testing.T) {
		is := is.New(t)
		h.t = t
		const evil = `<script>alert(1)</script>"><img src=x onerror=y>{{orderNumber}}${x}) /JS (app.alert(1)) >> endobj`
		h.world.Cart = func(tenant, id string) Answer {
			return Answer{Status: http.StatusOK, Body: fmt.Appendf(nil, `{"cartId": %q, "tenantId": %q, "items": [
				{"id": "1", "productId": "p", "productName": %q, "quantity": 1, "unitPrice": 100}]}`, id, tenant, evil)}
		}
		r := h.post(as(owner), func(body map[string]any) {
			body["customerName"] = evil
			body["billingAddress"].(map[string]any)["fullName"] = evil
		})
		is.Equal(r.status, http.StatusAccepted)
		id, _ := r.data["orderId"].(string)
		number, _ := r.data["orderNumber"].(string)
		h.drain()
		seen := 0
		for _, m := range h.world.Mails() {
			if m.Tags["orderId"] != id {
				continue
			}
			seen++
			is.True(!strings.Contains(m.HTML, "<script") && !strings.Contains(m.HTML, "<img src=x")) // as text
			// What a customer writes is no template.
			is.True(strings.Contains(m.HTML+m.Text, "{{orderNumber}}") || m.Tags["mail"] == "internal")
			is.True(!strings.Contains(m.HTML+m.Text, number+"${x}"))
		}
		is.Equal(seen, 2)
		invoice, ok := h.world.Object(ordersBucket + "/acme/orders/order_" + id + ".pdf")
		is.True(ok)
		for _, name := range []string{"/JS", "/JavaScript", "/Launch", "/OpenAction", "/AA", "/EmbeddedFile"} {
			is.True(!bytes.Contains(invoice.Body, []byte(name)))
		}
	})
}

func TestPageTokensHold(t *testing.T) {
	h := newHouse(t)
	for range 4 {
		h.order(as(owner))
		h.order(as(rival))
	}
	h.drain()
	token := func(r reply) string {
		pagination, _ := r.data["pagination"].(map[string]any)
		next, _ := pagination["nextToken"].(string)
		return next
	}
	good := token(h.list(as(owner), owner, ""))
	text, err := base64.RawURLEncoding.DecodeString(good)
	if good == "" || err != nil {
		t.Fatal("no token", err)
	}
	forge := func(old, replacement string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), old, replacement)))
	}
	is := is.New(t)
	is.Equal(h.list(as(owner), owner, good).status, http.StatusOK)
	for _, forged := range []string{
		token(h.list(as(rival), rival, "")), forge(owner, rival), forge("ORDER#", "DOCUMENT#"),
		forge("ORDER#", "COUNTER#ORDER#"), forge("ORDER#", ""), forge("-", "/"), forge("{", "["), "e30",
		"bnVsbA", "W10", "IiI", good + "=", "." + good, good[:len(good)-4],
	} {
		if r := h.list(as(owner), owner, forged); r.status != http.StatusBadRequest {
			t.Errorf("%s was answered %d", forged, r.status)
		}
	}
	is.Equal(h.list(as(rival), rival, good).status, http.StatusBadRequest)
	is.Equal(h.list(as(rival), owner, good).status, http.StatusForbidden)
	for i := range len(good) { // Every byte changed once.
		for _, c := range []byte{'A', '_', '%'} {
			changed := []byte(good)
			changed[i] = c
			r := h.list(as(owner), owner, string(changed))
			is.True(r.status == http.StatusOK || r.status == http.StatusBadRequest)
			orders, _ := r.data["orders"].([]any)
			for _, o := range orders {
				id, _ := o.(map[string]any)["id"].(string)
				is.True(h.world.Table.Item("TENANT#"+owner, "ORDER#"+id) != nil) // only one's own
			}
		}
	}
}

func TestLogHoldsNothingPersonal(t *testing.T) {
	is := is.New(t)
	h := newHouse(t)
	id := h.order(as(owner))
	h.drain()
	h.post(as(owner), func(body map[string]any) { body["customerEmail"] = "wrong@address@example" })
	h.post(as(owner), func(body map[string]any) { body["secret@example.com"] = street })
	refused := h.post(as(owner), func(body map[string]any) { body["customerEmail"] = "refused@example.com" })
	is.Equal(refused.status, http.StatusAccepted) // SES will not take it
	h.drain()
	h.get(as(owner), id)
	h.list(as(owner), owner, base64.RawURLEncoding.EncodeToString([]byte(`{"PK":"a@example.com"}`)))
	h.put(as(owner), id, `{"paymentDetails":{"transactionId":"secret-transaction"},"status":"paid"}`)
	h.world.Queue(recorder).Send(
		`{"tenantId":"acme","customerEmail":"noise@example.com","billingAddress":"` + street + `"}`)
	h.drain()
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	is.True(len(lines) > 20)
	for _, line := range lines {
		is.True(json.Valid([]byte(line)))
		for _, secret := range []string{
			"@", street, "Private Buyer", "Cape Town", bearer, "eyJ", "secret-transaction", "X-Amz-Signature",
		} {
			if strings.Contains(line, secret) {
				t.Errorf("%s is logged: %s", secret, line)
			}
		}
	}
	is.True(strings.Contains(h.log.String(), id)) // but the order can be followed
}

// TestDeletedIsNone holds that a deleted order is as if it had never been, for
// every role.
func TestDeletedIsNone(t *testing.T) {
	h := newHouse(t)
	withKey := func(e *events.APIGatewayProxyRequest) {
		e.Headers["Idempotency-Key"] = "checkout-1"
		e.Body = least
	}
	first := h.call("create_order", as(owner), withKey)
	id, _ := first.data["orderId"].(string)
	number, _ := first.data["orderNumber"].(string)
	h.drain()
	is.New(t).Equal(h.get(as(owner), id).status, http.StatusOK) // so far
	no := false
	h.world.Table.Change("TENANT#"+owner, "ORDER#"+id, func(item Item) { item["active"] = Value{BOOL: &no} })

	t.Run("to clients", func(t *testing.T) {
		is := is.New(t)
		const none = "00000000-0000-4000-8000-000000000000"
		admin := []string{"cognito:groups", "admin"}
		for _, who := range []identity{as(owner), as(owner, admin...), as(rival, admin...)} {
			is.Equal(h.get(who, id), h.get(who, none))
			is.Equal(h.put(who, id, `{"status":"paid"}`), h.put(who, none, `{"status":"paid"}`))
		}
		is.Equal(len(h.list(as(owner), owner, "").data["orders"].([]any)), 0)
		byNumber := h.call("list_orders", as(owner), func(e *events.APIGatewayProxyRequest) {
			e.PathParameters = map[string]string{"tenantId": owner}
			e.QueryStringParameters = map[string]string{"orderNumber": number}
		})
		is.Equal(byNumber.status, http.StatusOK)
		is.Equal(len(byNumber.data["orders"].([]any)), 0)
		is.Equal(h.call("create_order", as(owner), withKey).status, http.StatusNotFound) // the key's order
	})
	t.Run("to messages", func(t *testing.T) {
		is := is.New(t)
		h.drain()
		before, mails, objects := h.ofOwner(), h.world.Mails(), h.world.Objects()
		for _, role := range consumers() {
			h.world.Queue(role).Send(fmt.Sprintf(
				`{"orderId":%q,"tenantId":%q,"customerEmail":"a@example.com","cartId":"c","billingAddress":%s}`,
				id, owner, leastAddress))
		}
		h.drain()
		is.Equal(h.ofOwner(), before)
		is.Equal(h.world.Mails(), mails)
		is.Equal(h.world.Objects(), objects)
		for _, role := range consumers() {
			is.Equal(len(h.world.Queue(role).Messages())+len(h.world.Queue(role).Dead().Messages()), 0) // success
		}
	})
}
