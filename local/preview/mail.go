package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

// mails renders every mail that an order's history calls for, made with the
// default templates, into files NAME-AUDIENCE-TYPE.html and .txt, and returns
// the names without the sample's.
func mails(dir string, s sample.Sample, supplier order.Supplier) ([]string, error) {
	senders := []struct {
		audience string
		*notify.Sender
	}{
		{"customer", notify.NewCustomer(nil, nil, notify.Settings{PortalURL: "https://portal.kimmyai.io"}, time.Now)},
		{"internal", notify.NewInternal(nil, nil, notify.Settings{PortalURL: "https://admin.kimmyai.io"}, time.Now)},
	}
	var names []string
	for _, e := range s.Order.History {
		for _, sender := range senders {
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
