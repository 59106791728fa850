package preview

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

// A sender is a sender of mails and whom they are for.
type sender struct {
	audience string
	*notify.Sender
}

func senders() []sender {
	return []sender{
		{"customer", notify.NewCustomer(nil, nil, notify.Settings{PortalURL: "https://portal.kimmyai.io"}, time.Now)},
		{"internal", notify.NewInternal(nil, nil, notify.Settings{PortalURL: "https://admin.kimmyai.io"}, time.Now)},
	}
}

// Mail renders the mail of a template under its key, made with its text and
// with a branding, as sample orders show it. If the template is broken, the
// error says how. A key that no mail has is an error, too.
func Mail(key, template string, supplier order.Supplier) (notify.Message, error) {
	samples := sample.Orders()
	more, err := mailSamples(samples)
	if err != nil {
		return notify.Message{}, err
	}
	for _, s := range append(more, samples...) { // the completed one first: it has most of the steps
		for _, e := range s.Order.History {
			for _, sender := range senders() {
				if sender.Serves(e.Type) && sender.Template(e.Type) == key {
					return sender.Render(s.Order.At(e.Sequence), e, supplier, template)
				}
			}
		}
	}
	return notify.Message{}, fmt.Errorf("no mail has the template %s", key)
}

// Document renders the documents of a sample order that was refunded, with a
// branding.
func Document(kind order.DocumentKind, supplier order.Supplier, logo invoice.Logo) ([]byte, error) {
	for _, s := range sample.Orders() {
		if s.Name != "refunded" {
			continue
		}
		for _, i := range s.Issues() {
			if i.Document.Kind == kind {
				pdf, _, err := invoice.Render(i.Order, i.Document, supplier, logo)
				return pdf, err
			}
		}
	}
	return nil, fmt.Errorf("there is no document %q", kind)
}

// mails renders every mail that an order's history calls for, made with the
// default templates, into files NAME-AUDIENCE-TYPE.html and .txt, and returns
// the names without the sample's.
func mails(dir string, s sample.Sample, supplier order.Supplier) ([]string, error) {
	var names []string
	for _, e := range s.Order.History {
		for _, sender := range senders() {
			if !sender.Serves(e.Type) {
				continue
			}
			src, err := templates.FS.ReadFile(sender.Template(e.Type))
			if err != nil {
				return nil, err
			}
			message, err := sender.Render(s.Order.At(e.Sequence), e, supplier, string(src))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			name := sender.audience + "-" + strings.TrimPrefix(string(e.Type), "order.")
			path := filepath.Join(dir, s.Name+"-"+name)
			if err := os.WriteFile(path+".html", []byte(message.HTML), 0o644); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path+".txt", []byte("Subject: "+message.Subject+"\n\n"+message.Text), 0o644); err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// mailSamples are orders whose documents look like those of other samples, but
// not their mails.
func mailSamples(samples []sample.Sample) ([]sample.Sample, error) {
	completed, arabic := samples[0], samples[0]
	for _, s := range samples {
		if s.Name == "paid" {
			completed, arabic = s, s
		}
	}
	completed.Name = "completed"
	for _, status := range []order.Status{order.Processing, order.Completed} {
		at := completed.Order.DateLastUpdated.Time().Add(24 * time.Hour)
		if _, err := completed.Order.Apply(order.Update{Status: status, By: "team@example.co.za"}, at); err != nil {
			return nil, err
		}
	}
	arabic.Name = "arabic"
	arabic.Order.CustomerName = "فاطمة الزهراء"
	arabic.Order.BillingAddress = order.BillingAddress{
		FullName: "فاطمة الزهراء", Street: "١٢ شارع التحرير", City: "القاهرة", Province: "القاهرة",
		PostalCode: "11511", Country: "EG",
	}
	return []sample.Sample{completed, arabic}, nil
}
