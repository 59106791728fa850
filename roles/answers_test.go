package roles

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestAnswers holds what every role answers, byte for byte, to the event of
// testdata: testdata/{role}.answer.json.
func TestAnswers(t *testing.T) {
	o := withDocuments(orderIn(t, order.PaymentPending), order.ProForma)
	updates := updatesOf(o)
	mails := &fakeMails{}
	mail := &mailer{role: "r", ledger: mails, mails: mails, newID: order.NewID, now: atNoon}
	drawn := &pdfCreator{orders: &fakeDocuments{}, documents: &fakeDocuments{}, now: atNoon}
	accepted, records, topic := &fakeAcceptances{}, newRecords(t), &fakeTopic{}
	consumer := func(h messageHandler) handler { return batch(&fakeQueue{}, atNoon, h) }
	toOrder := func(h entryHandler) handler {
		return consumer(onEvent(mails.Serves, &fakeOrders{order: sampleOrder(t)}, h))
	}

	for role, h := range map[string]handler{
		"create_order": api(
			"*", (&createOrder{orders: accepted, queue: accepted, newID: func() string { return orderID }}).handle,
		),
		"get_order": api("*", (&getOrder{orders: updates, links: updates}).handle),
		"list_orders": api(
			"*", (&listOrders{orders: &fakeLists{page: store.Page{Orders: []order.Summary{o.Summary()}}}}).handle,
		),
		"update_order": api(
			"*", (&updateOrder{orders: updates, links: updates, now: func() time.Time { return noon.Add(time.Hour) }}).handle,
		),
		"order_creator_record": consumer(
			(&recorder{orders: records, carts: records, taxRate: vat(t), now: atNoon}).handle,
		),
		"order_creator_record.stream": (&publisher{events: topic, dead: topic}).handle,
		"order_pdf_creator":           toOrder(drawn.handle),
		"order_internal_notifier":     toOrder(mail.handle),
		"customer_order_confirmation": toOrder(mail.handle),
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			ctx, _ := invocation(t)
			got, err := h(ctx, roleEvent(t, role))
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
