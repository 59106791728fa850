package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/stack"
)

const (
	tenant         = "tenant-1"
	customer       = "thandi@example.com"
	firstOrderTime = time.Minute
	pollInterval   = 10 * time.Millisecond
)

// A trail tells what happens, and when.
type trail struct {
	out   io.Writer
	start time.Time
}

func (t *trail) step(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, "%7.3f s  %s\n", time.Since(t.start).Seconds(), fmt.Sprintf(format, args...))
}

// firstOrder places an order and follows it until all eight roles have done their part. It writes the invoice to dir.
func (t *trail) firstOrder(ctx context.Context, s *stack.Stack, dir string) error {
	token, err := s.Token(gateway.Identity{Tenant: tenant, Email: customer})
	if err != nil {
		return err
	}
	api := client{base: s.URL, token: token}
	_, _ = fmt.Fprintln(t.out)
	t.start = time.Now()
	var accepted struct{ OrderID, OrderNumber, Status string }
	err = api.call(ctx, http.MethodPost, "/v1.0/orders", map[string]any{
		"customerEmail": customer, "customerName": "Thandi Nkosi", "cartId": "cart-shipping-1", "campaignCode": "SUMMER25",
		"billingAddress": map[string]string{
			"fullName": "Thandi Nkosi", "street": "12 Long Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA",
		},
	}, &accepted)
	if err != nil {
		return err
	}
	t.step("accepted    %s %s, %s  (create_order)", accepted.OrderNumber, accepted.OrderID, accepted.Status)

	path := "/v1.0/orders/" + accepted.OrderID
	var order struct {
		Items  []json.RawMessage
		Total  json.Number
		PDFURL string
	}
	// Three things happen at the same time once the order is recorded; each is told when it is seen.
	waiting := []struct {
		what string
		seen func() (string, error)
	}{
		{"recorded ", func() (string, error) {
			if len(order.Items) == 0 {
				return "", nil
			}
			return fmt.Sprintf("%d lines, total %s  (order_creator_record)", len(order.Items), order.Total), nil
		}},
		{"invoice  ", func() (string, error) {
			if order.PDFURL == "" {
				return "", nil
			}
			file, size, err := download(ctx, order.PDFURL, filepath.Join(dir, accepted.OrderNumber+".pdf"))
			return fmt.Sprintf("%s, %d bytes  (order_pdf_creator)", file, size), err
		}},
		{"team mail", t.mail(ctx, s, stack.TeamAddress, accepted.OrderNumber, "order_internal_notifier")},
		{"mail     ", t.mail(ctx, s, customer, accepted.OrderNumber, "customer_order_confirmation")},
	}
	for len(waiting) > 0 {
		if err := api.call(ctx, http.MethodGet, path, nil, &order); err != nil {
			return fmt.Errorf("waiting for: %s: %w", strings.TrimSpace(waiting[0].what), err)
		}
		for i := 0; i < len(waiting); {
			said, err := waiting[i].seen()
			if err != nil {
				return err
			}
			if said == "" {
				i++
				continue
			}
			t.step("%-11s %s", waiting[i].what, said)
			waiting = slices.Delete(waiting, i, i+1)
		}
		time.Sleep(pollInterval)
	}

	var changed struct{ Status string }
	if err := api.call(ctx, http.MethodPut, path, map[string]string{"status": "payment_pending"}, &changed); err != nil {
		return err
	}
	t.step("changed     status is now %s  (update_order)", changed.Status)
	var list struct {
		Orders []struct{ OrderNumber string }
	}
	if err := api.call(ctx, http.MethodGet, "/v1.0/tenants/"+tenant+"/orders", nil, &list); err != nil {
		return err
	}
	if len(list.Orders) == 0 || list.Orders[0].OrderNumber != accepted.OrderNumber {
		return errors.New("the order is not in the tenant's list")
	}
	t.step("listed      %d order of %s  (list_orders)", len(list.Orders), tenant)
	var whole json.RawMessage
	if err := api.call(ctx, http.MethodGet, path, nil, &whole); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, whole, "           ", "  "); err != nil {
		return err
	}
	t.step("the order as the API shows it  (get_order)")
	_, err = fmt.Fprintf(t.out, "           %s\n", &text)
	return err
}

// mail waits for a mail about an order to an address.
func (t *trail) mail(ctx context.Context, s *stack.Stack, to, orderNumber, role string) func() (string, error) {
	return func() (string, error) {
		mails, err := s.Mails(ctx)
		if err != nil {
			return "", err
		}
		for _, m := range mails {
			if slices.Contains(m.Destination.To, to) && strings.Contains(m.Subject, orderNumber) {
				return fmt.Sprintf("%q to %s  (%s)", m.Subject, to, role), nil
			}
		}
		return "", nil
	}
}

func download(ctx context.Context, url, file string) (path string, size int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, err
	}
	if resp.StatusCode != http.StatusOK || !bytes.HasPrefix(content, []byte("%PDF-")) {
		return "", 0, fmt.Errorf("the invoice's link gives no PDF: %s", resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return "", 0, err
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return "", 0, err
	}
	if here, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(here, file); err == nil {
			file = relative
		}
	}
	return file, len(content), nil
}

// A client calls the API.
type client struct{ base, token string }

// call sends a request and decodes the data of the answer.
func (c client) call(ctx context.Context, method, path string, body, data any) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, &content)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(text))
	}
	return json.Unmarshal(text, &struct{ Data any }{data})
}
