package stack_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
)

// A life is an order on its way, from its acceptance to its refund. Its methods
// are the steps.
type life struct {
	user
	id string
}

func wholeLife(t *testing.T) {
	l := &life{user: newUser(t)}
	for _, step := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"accepted", l.accepted},
		{"recorded", l.recordedWithProForma},
		{"paid", l.paid},
		{"processed and completed", l.completed},
		{"refunded", l.refunded},
		{"its history", l.history},
		{"found", l.found},
	} {
		if !t.Run(step.name, func(t *testing.T) { l.t = t; step.do(t) }) {
			return // the next steps would wait for what did not happen
		}
	}
}

func (l *life) accepted(t *testing.T) {
	is := is.New(t)
	a := l.call("POST", "/v1.0/orders", gateway.Placement(l.email, "cart-shipping"))
	is.Equal(a.Status, http.StatusAccepted)
	placed := data[struct{ OrderID, OrderNumber, Status string }](t, a)
	is.Equal(a.Header.Get("Location"), "/v1.0/orders/"+placed.OrderID)
	is.Equal(placed.Status, "pending")
	is.True(strings.HasSuffix(placed.OrderNumber, "-00001"))          // the tenant's first
	is.Equal(l.order(placed.OrderID).OrderNumber, placed.OrderNumber) // it can be asked for at once
	l.id = placed.OrderID
}

func (l *life) recordedWithProForma(t *testing.T) {
	is := is.New(t)
	o := l.finished(l.id)
	is.Equal(o.TenantID, l.tenant)
	is.Equal(len(o.Items), 3)
	is.Equal(o.Total.String(), "712.39") // 250.00 + 120.00 + 149.97 + 99.50 shipping, and 15 %
	mail := mailsAbout(t, o, l.email)[0]
	is.Equal(mail.ReplyTo, []string{"support@kimmyai.io"})
	is.True(strings.Contains(mail.Body.HTML, "Welcome parcel &amp; guide"))
	is.True(strings.Contains(mail.Body.Text, o.OrderNumber))
	l.document(t, o, order.ProForma, "/"+l.tenant+"/orders/order_"+l.id+".pdf")
	is.Equal(l.put(l.id, `{"status": "refunded"}`).Code, "invalid_transition") // nothing was paid
}

func (l *life) paid(t *testing.T) {
	is := is.New(t)
	read := l.call("GET", "/v1.0/orders/"+l.id, "")
	const body = `{"status": "paid", "paymentDetails": {"transactionId": "tx-1", "method": "card"}}`
	is.Equal(l.put(l.id, body, "If-Match", `"2020-01-01T00:00:00.000000Z"`).Status, http.StatusPreconditionFailed)
	is.Equal(l.put(l.id, body, "If-Match", read.Header.Get("ETag")).Status, http.StatusOK)
	is.Equal(l.put(l.id, body).Status, http.StatusOK) // once more changes nothing
	o := l.documented(l.id, 2,
		[]string{"Order Confirmation", "Payment Received"}, []string{"New Order Received", "Order Paid"})
	l.document(t, o, order.TaxInvoice, "/"+l.tenant+"/orders/order_"+l.id+"_tax_invoice.pdf")
}

func (l *life) completed(t *testing.T) {
	is := is.New(t)
	is.Equal(l.put(l.id, `{"status": "completed"}`).Code, "invalid_transition") // it was not processed
	is.Equal(l.put(l.id, `{"status": "processing"}`).Status, http.StatusOK)
	is.Equal(l.put(l.id, `{"status": "completed"}`).Status, http.StatusOK)
	l.documented(l.id, 2,
		[]string{"Order Completed", "Order Confirmation", "Payment Received"}, []string{"New Order Received", "Order Paid"})
}

func (l *life) refunded(t *testing.T) {
	is := is.New(t)
	is.Equal(l.put(l.id, `{"status": "refunded", "reason": "It came back"}`).Status, http.StatusOK)
	o := l.documented(l.id, 3,
		[]string{"Order Completed", "Order Confirmation", "Payment Received", "Refund"},
		[]string{"New Order Received", "Order Paid", "Order Refunded"})
	l.document(t, o, order.CreditNote, "/"+l.tenant+"/orders/order_"+l.id+"_credit_note.pdf")
	is.Equal(l.put(l.id, `{"status": "paid"}`).Code, "invalid_transition") // it is over
}

func (l *life) history(t *testing.T) {
	is := is.New(t)
	want := []order.EventType{
		order.EventCreated,
		order.EventPaid,
		order.EventProcessing,
		order.EventCompleted,
		order.EventRefunded,
	}
	o := l.order(l.id)
	is.Equal(len(o.History), len(want))
	for i, e := range o.History {
		is.Equal(e.Type, want[i])
		is.Equal(e.Sequence, i+1)
		is.Equal(e.By, l.email)
	}
	is.Equal(o.History[1].PaymentDetails.TransactionID, "tx-1")
	is.Equal(o.History[4].Reason, "It came back")
	eventually(t, "another system has every event", func() bool { return len(published(t, l.id)) == len(want) })
	is.Equal(published(t, l.id), want) // in their order
}

func (l *life) found(t *testing.T) {
	is := is.New(t)
	o := l.order(l.id)
	for query, want := range map[string]int{
		"": 1, "?status=refunded": 1, "?status=paid": 0, "?sort=-dateCreated": 1,
		"?orderNumber=" + o.OrderNumber: 1, "?orderNumber=ORD-1999-00001": 0,
	} {
		found := l.list(query)
		is.Equal(len(found), want)
		if want == 1 {
			is.Equal(found[0].ID, l.id)
			is.Equal(found[0].Total.String(), "712.39")
		}
	}
}

// document follows the link of an order's document.
func (l *life) document(t *testing.T, o gateway.Order, kind order.DocumentKind, path string) {
	t.Helper()
	is := is.New(t)
	document, issued := o.Document(kind)
	is.True(issued)
	link, err := http.Get(document.URL)
	is.NoErr(err)
	defer func() { _ = link.Body.Close() }()
	pdf, err := io.ReadAll(link.Body)
	is.NoErr(err)
	is.Equal(link.StatusCode, http.StatusOK)
	is.Equal(link.Header.Get("Content-Type"), "application/pdf")
	is.True(strings.HasPrefix(string(pdf), "%PDF-"))
	target, err := url.Parse(document.URL)
	is.NoErr(err)
	is.True(strings.HasSuffix(target.Path, path))
	if series := kind.Series(); series != "" {
		is.True(strings.HasPrefix(document.Number, series+"-")) // a legal number
	}
}

func latePayment(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good")
	u.finished(id)
	is.Equal(u.put(id, `{"status": "cancelled", "reason": "Too late"}`).Status, http.StatusOK)
	is.Equal(u.put(id, `{"status": "paid"}`).Code, "invalid_transition")
	is.Equal(u.put(id, `{"status": "refunded", "paymentDetails": {"transactionId": "tx-9"}}`).Status, http.StatusOK)
	o := u.documented(id, 1, // neither a tax invoice nor a credit note: there was no supply
		[]string{"Order Cancelled", "Order Confirmation", "Refund"},
		[]string{"New Order Received", "Order Cancelled", "Order Refunded"})
	is.Equal(o.History[2].PaymentDetails.TransactionID, "tx-9") // the payment is not lost
}

func paymentTwice(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good")
	u.recorded(id)
	is.Equal(u.put(id, `{"status": "paid", "paymentDetails": {"transactionId": "tx-1"}}`).Status, http.StatusOK)
	const other = `{"paymentDetails": {"transactionId": "tx-2"}}`
	refused := u.put(id, other)
	is.Equal(refused.Status, http.StatusConflict)
	is.Equal(refused.Code, "payment_exists")
	is.Equal(u.order(id).PaymentDetails.TransactionID, "tx-1")
	seen := u.call("GET", "/v1.0/orders/"+id, "").Header.Get("ETag")
	is.Equal(u.put(id, other, "If-Match", seen).Status, http.StatusOK) // by who has seen the other
	o := u.order(id)
	is.Equal(o.PaymentDetails.TransactionID, "tx-2")
	is.Equal(o.History[len(o.History)-1].Type, order.EventPaymentUpdated)
	is.Equal(o.History[1].PaymentDetails.TransactionID, "tx-1") // and the history keeps both
}

func paymentGroup(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	clerk := u.colleague("sales")
	id := u.place("cart-good")
	u.recorded(id)
	for _, body := range []string{
		`{"status": "paid"}`, `{"status": "refunded"}`, `{"status": "payment_pending", "paymentDetails": {"method": "card"}}`,
	} {
		is.Equal(clerk.put(id, body).Status, http.StatusForbidden)
	}
	is.Equal(clerk.put(id, `{"status": "payment_pending"}`).Status, http.StatusOK)
	is.Equal(clerk.put(id, `{"status": "cancelled"}`).Status, http.StatusOK)
	is.Equal(len(u.order(id).History), 3)
}

func administrator(t *testing.T) {
	is := is.New(t)
	owner, admin := newUser(t), newUser(t, "support", "admin")
	id := owner.place("cart-good")
	owner.finished(id)
	is.Equal(admin.order(id).TenantID, owner.tenant)
	a := admin.call("GET", "/v1.0/tenants/"+owner.tenant+"/orders", "")
	is.Equal(len(data[struct{ Orders []gateway.Order }](t, a).Orders), 1)
	is.Equal(admin.put(id, `{"status": "paid"}`).Status, http.StatusOK) // without being in the group of payments
	o := owner.documented(id, 2,
		[]string{"Order Confirmation", "Payment Received"}, []string{"New Order Received", "Order Paid"})
	is.Equal(o.History[1].By, admin.email) // the owner sees who it was
}

func deleted(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good")
	o := u.finished(id)
	_, err := service.DynamoDB.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(stack.Table),
		Key: map[string]dynamodbtypes.AttributeValue{
			"PK": &dynamodbtypes.AttributeValueMemberS{Value: "TENANT#" + u.tenant},
			"SK": &dynamodbtypes.AttributeValueMemberS{Value: "ORDER#" + id},
		},
		UpdateExpression: aws.String("SET active = :no"),
		ExpressionAttributeValues: map[string]dynamodbtypes.AttributeValue{
			":no": &dynamodbtypes.AttributeValueMemberBOOL{Value: false},
		},
	})
	is.NoErr(err)
	is.NoErr(service.Deliver(t.Context(), recorder, creation(u, id, "cart-good")))
	for _, role := range append(mailers(), documenter) {
		is.NoErr(service.Deliver(t.Context(), role, fmt.Sprintf(
			`{"eventType": "order.paid", "sequence": 2, "orderId": %q, "tenantId": %q}`, id, u.tenant)))
	}
	eventually(t, "every message is handled", func() bool {
		done := handled(recorder, id) == 2
		for _, role := range append(mailers(), documenter) {
			done = done && handled(role, id) == 2
		}
		return done
	})
	is.Equal(u.call("GET", "/v1.0/orders/"+id, "").Status, http.StatusNotFound)
	is.Equal(u.put(id, `{"status": "cancelled"}`).Status, http.StatusNotFound)
	is.Equal(len(u.list("")), 0)
	is.Equal(len(u.list("?orderNumber="+o.OrderNumber)), 0)
	is.Equal(subjects(t, o, u.email), []string{"Order Confirmation"}) // no mail after that
	is.Equal(published(t, id), []order.EventType{order.EventCreated}) // and no event
	is.True(strings.HasPrefix(o.OrderNumber, fmt.Sprint("ORD-", time.Now().In(time.FixedZone("", 2*60*60)).Year(), "-")))
}
