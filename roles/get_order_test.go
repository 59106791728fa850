package roles

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
)

// fakeKnown is a table with at most one order, in the tenant and in the index
// over all tenants. It fails where it is told to.
type fakeKnown struct {
	mine, any *order.Order
	fail      map[string]error
	calls     []string
}

func (f *fakeKnown) find(name string, o *order.Order) (order.Order, error) {
	f.calls = append(f.calls, name)
	if err := f.fail[name]; err != nil {
		return order.Order{}, err
	}
	if o == nil {
		return order.Order{}, order.ErrNotFound
	}
	return *o, nil
}

func (f *fakeKnown) Order(context.Context, string, string) (order.Order, error) {
	return f.find("order", f.mine)
}

func (f *fakeKnown) OrderByID(context.Context, string) (order.Order, error) {
	return f.find("any", f.any)
}

func (f *fakeKnown) Link(_ context.Context, location string) (string, error) {
	if err := f.fail["link "+location]; err != nil {
		return "", err
	}
	return "https://example.com/" + location, nil
}

func TestGetOrder(t *testing.T) {
	o := orderIn(t, order.Paid)
	foreign := o
	foreign.TenantID = "other"
	accepted := sampleAcceptance(t)
	failed := accepted
	failed.Status, failed.FailureReason = order.Failed, "cart not found"
	calls := func(name string, err error) map[string]error { return map[string]error{name: err} }
	for _, tt := range []struct {
		name   string
		fake   fakeKnown
		change func(*events.APIGatewayProxyRequest)
		status int
		calls  string
		data   map[string]any // the fields to look at
	}{
		{"the whole order, in one read", fakeKnown{mine: &o}, nil, 200, "order", map[string]any{
			"state": "recorded", "id": orderID, "total": 287.5, "tenantId": "acme", "status": "paid", "pdfUrl": nil,
			"documents": []any{},
		}},
		{
			"the whole order to its administrator, in one read",
			fakeKnown{mine: &o, any: &foreign},
			asAdmin, 200, "order",
			map[string]any{"tenantId": "acme"},
		},
		{
			"what is known before the record, in one read",
			fakeKnown{mine: &accepted},
			nil, 200, "order",
			map[string]any{"status": "pending"},
		},
		{
			"why it could not be recorded",
			fakeKnown{mine: &failed},
			nil, 200, "order",
			map[string]any{"state": "failed", "status": "failed", "failureReason": "cart not found"},
		},
		{"not found for what is unknown", fakeKnown{}, nil, 404, "order", nil},
		{"not found for what is deleted", fakeKnown{fail: calls("order", order.ErrDeleted)}, nil, 404, "order", nil},
		{
			"not found for what is deleted, to an administrator",
			fakeKnown{any: &foreign, fail: calls("order", order.ErrDeleted)},
			asAdmin, 404, "order", nil,
		},
		{
			"not found for another tenant's that is deleted",
			fakeKnown{fail: calls("any", order.ErrDeleted)},
			asAdmin, 404,
			"order any", nil,
		},
		{
			"not found for a malformed id, unasked",
			fakeKnown{mine: &o},
			func(e *events.APIGatewayProxyRequest) { e.PathParameters["orderId"] = "../" + orderID }, 404, "", nil,
		},
		{"not found for another tenant's order", fakeKnown{any: &foreign}, nil, 404, "order", nil},
		{"not found for what no tenant has", fakeKnown{}, asAdmin, 404, "order any", nil},
		{
			"any order to an administrator",
			fakeKnown{any: &foreign},
			asAdmin, 200, "order any",
			map[string]any{"tenantId": "other"},
		},
		{"an error when the table is down", fakeKnown{fail: calls("order", errFault)}, nil, 500, "order", nil},
		{"an error when the index is down", fakeKnown{fail: calls("any", errFault)}, asAdmin, 500, "order any", nil},
	} {
		t.Run("answers "+tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			f := tt.fake
			a := call(t, ctx, (&getOrder{orders: &f, links: &f}).handle, apiEvent(t, "get_order", tt.change))
			is.Equal(a.Status, tt.status)
			is.Equal(strings.Join(f.calls, " "), tt.calls)
			for field, want := range tt.data {
				is.Equal(a.Data[field], want) // field
			}
			recorded := a.Status == http.StatusOK && a.Data["items"] != nil
			is.Equal(a.Headers["ETag"] == `"2025-12-30T10:31:00.000000Z"`, recorded) // only an order has a version
		})
	}
	t.Run("shows no more of an acceptance than there is", func(t *testing.T) {
		is := is.New(t)
		ctx, _ := invocation(t)
		f := &fakeKnown{mine: &accepted}
		a := call(t, ctx, (&getOrder{orders: f, links: f}).handle, apiEvent(t, "get_order", nil))
		is.Equal(a.Data, map[string]any{
			"state": "accepted", "id": orderID, "orderNumber": "ORD-2025-00001", "tenantId": "acme",
			"customerEmail": "thandi@example.com",
			"status":        "pending", "dateCreated": "2025-12-30T10:30:00.000000Z",
		})
	})
}

func TestGetOrderHistory(t *testing.T) {
	is := is.New(t)
	ctx, _ := invocation(t)
	o := orderIn(t, order.Paid)
	if _, err := o.Apply(
		order.Update{Status: order.Refunded, Reason: "broken", By: "clerk"}, noon.Add(2*60e9),
	); err != nil {
		t.Fatal(err)
	}
	f := &fakeKnown{mine: &o}
	a := call(t, ctx, (&getOrder{orders: f, links: f}).handle, apiEvent(t, "get_order", nil))
	is.Equal(a.Data["history"], []any{
		map[string]any{
			"sequence": 1.0, "type": "order.created", "status": "pending", "date": "2025-12-30T10:30:00.000000Z",
			"by": "thandi@example.com",
		},
		map[string]any{
			"sequence": 2.0, "type": "order.paid", "status": "paid", "date": "2025-12-30T10:31:00.000000Z", "by": "clerk",
			"paymentDetails": map[string]any{"transactionId": "t-1", "paidAt": "2025-12-30T10:30:00.000000Z"},
		},
		map[string]any{
			"sequence": 3.0, "type": "order.refunded", "status": "refunded", "date": "2025-12-30T10:32:00.000000Z",
			"by": "clerk", "reason": "broken",
		},
	})
}

// TestGetOrderLinks holds that documents have working links, and that pdfUrl is
// the tax invoice's, else the pro forma's.
func TestGetOrderLinks(t *testing.T) {
	link := func(k order.DocumentKind) string { return "https://example.com/s3://bucket/" + string(k) }
	for _, tt := range []struct {
		name   string
		kinds  []order.DocumentKind
		broken order.DocumentKind
		pdfURL any
	}{
		{"none", nil, "", nil},
		{"a pro forma", []order.DocumentKind{order.ProForma}, "", link(order.ProForma)},
		{"a tax invoice beside it", []order.DocumentKind{order.ProForma, order.TaxInvoice}, "", link(order.TaxInvoice)},
		{"all", order.DocumentKinds(), "", link(order.TaxInvoice)},
		{"a tax invoice alone", []order.DocumentKind{order.TaxInvoice}, "", link(order.TaxInvoice)},
		{"a link that cannot be made", order.DocumentKinds(), order.CreditNote, link(order.TaxInvoice)},
		{"no link at all", []order.DocumentKind{order.ProForma}, order.ProForma, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			ctx, log := invocation(t)
			o := withDocuments(sampleOrder(t), tt.kinds...)
			f := &fakeKnown{mine: &o, fail: map[string]error{"link s3://bucket/" + string(tt.broken): errFault}}
			a := call(t, ctx, (&getOrder{orders: f, links: f}).handle, apiEvent(t, "get_order", nil))
			is.Equal(a.Status, http.StatusOK)
			is.Equal(a.Data["pdfUrl"], tt.pdfURL)
			for i, shown := range a.Data["documents"].([]any) {
				want := link(tt.kinds[i])
				if tt.kinds[i] == tt.broken {
					want = "" // never the place in the bucket
				}
				is.Equal(shown.(map[string]any)["kind"], string(tt.kinds[i]))
				is.Equal(shown.(map[string]any)["url"], want)
			}
			is.Equal(strings.Contains(log.String(), "document cannot be linked"), tt.broken != "")
			for _, d := range o.Documents {
				is.True(strings.HasPrefix(d.URL, "s3://")) // the caller's order is as it was
			}
		})
	}
}
