package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
)

// mails renders the two mails about an order, made with the default templates, into NAME-customer and NAME-internal, each
// as .html and .txt.
func mails(dir string, s sample.Sample) error {
	for _, m := range []struct {
		name, template string
		sender         *notify.Sender
	}{
		{"customer", "customer/order_confirmation.html", notify.NewCustomer(nil, nil, notify.Settings{PortalURL: "https://portal.kimmyai.io"}, time.Now)},
		{"internal", "internal/order_notification.html", notify.NewInternal(nil, nil, notify.Settings{PortalURL: "https://admin.kimmyai.io"}, time.Now)},
	} {
		src, err := templates.FS.ReadFile(m.template)
		if err != nil {
			return err
		}
		message, err := m.sender.Render(s.Order, string(src))
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.Name, m.template, err)
		}
		path := filepath.Join(dir, s.Name+"-"+m.name)
		if err := os.WriteFile(path+".html", []byte(message.HTML), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(path+".txt", []byte("Subject: "+message.Subject+"\n\n"+message.Text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
