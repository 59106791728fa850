package roles

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestAnswers holds what every role answers, byte for byte, to the event of testdata: testdata/{role}.answer.json.
func TestAnswers(t *testing.T) {
	o := sampleOrder(t)
	o.PDFURL = "s3://orders/acme/orders/order_" + orderID + ".pdf"
	summary := order.Summary{ID: o.ID, Number: o.Number, Status: o.Status, Total: o.Total, Currency: o.Currency, DateCreated: o.DateCreated}
	known := &fakeKnown{mine: &o}
	updates := &fakeUpdates{fakeKnown: *known}
	mails := &fakeMails{}
	made := &fakeInvoices{created: invoice.Created{Location: o.PDFURL}}
	recorded := &fakeRecords{cart: sampleCart(t)}
	mail := &mailer{role: "r", ledger: mails, mails: mails, newID: order.NewID, now: atNoon}
	consumer := func(h messageHandler) handler { return batch(&fakeVisibility{}, h) }
	toOrder := func(h eventHandler) handler { return consumer(onRecorded(fakeOrders{order: sampleOrder(t)}, h)) }

	for role, h := range map[string]handler{
		"create_order":                api("*", newCreateOrder(&fakeAcceptances{}).handle),
		"get_order":                   api("*", (&getOrder{orders: known, links: known}).handle),
		"list_orders":                 api("*", (&listOrders{orders: &fakeLists{page: store.Page{Orders: []order.Summary{summary}}}}).handle),
		"update_order":                api("*", (&updateOrder{orders: updates, links: updates, now: atNoon}).handle),
		"order_creator_record":        consumer((&recorder{orders: recorded, carts: recorded, events: recorded, taxRate: vat(t)}).handle),
		"order_pdf_creator":           toOrder((&pdfCreator{orders: made, invoices: made}).handle),
		"order_internal_notifier":     toOrder(mail.handle),
		"customer_order_confirmation": toOrder(mail.handle),
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			event, err := os.ReadFile(filepath.Join("testdata", role+".json"))
			is.NoErr(err)
			ctx, _ := invocation(t)
			got, err := h(ctx, event)
			is.NoErr(err)
			var indented bytes.Buffer
			is.NoErr(json.Indent(&indented, got, "", "  "))
			indented.WriteByte('\n')

			path := filepath.Join("testdata", role+".answer.json")
			if *update {
				is.NoErr(os.WriteFile(path, indented.Bytes(), 0o600))
			}
			want, err := os.ReadFile(path)
			is.NoErr(err)
			is.Equal(indented.String(), string(want))
		})
	}
}
