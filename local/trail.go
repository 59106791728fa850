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

	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
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

// A stage of an order's life is what a client asks for, and what comes of it.
type stage struct {
	change       string // body of the PUT; none for the first stage, which places it
	document     order.DocumentKind
	mail, toTeam string // how the subjects begin; "" for no mail
}

// life returns the stages of the first order's life.
func life() []stage {
	return []stage{
		{document: order.ProForma, mail: "Order Confirmation", toTeam: "New Order Received"},
		{
			change:   `{"status": "paid", "paymentDetails": {"method": "payfast", "transactionId": "TXN-1"}}`,
			document: order.TaxInvoice, mail: "Payment Received", toTeam: "Order Paid",
		},
		{change: `{"status": "processing"}`},
		{change: `{"status": "completed"}`, mail: "Order Completed"},
		{
			change:   `{"status": "refunded", "reason": "The parcel came back"}`,
			document: order.CreditNote,
			mail:     "Refund",
			toTeam:   "Order Refunded",
		},
	}
}

// firstOrder is an order on its way.
type firstOrder struct {
	*trail
	stack      *stack.Stack
	api        gateway.Client
	dir        string // where its documents go
	id, number string
}

// firstOrder places an order and takes it through its whole life, in which all
// eight roles have their part. It writes the documents to dir.
func (t *trail) firstOrder(ctx context.Context, s *stack.Stack, dir string) error {
	api, err := s.Client(gateway.Identity{Tenant: tenant, Email: customer})
	if err != nil {
		return err
	}
	f := firstOrder{trail: t, stack: s, api: api, dir: dir}
	_, _ = fmt.Fprintln(t.out)
	t.start = time.Now()
	if err := f.place(ctx); err != nil {
		return err
	}
	for _, stage := range life() {
		if stage.change != "" {
			if err := f.change(ctx, stage.change); err != nil {
				return err
			}
		}
		if err := f.follow(ctx, stage); err != nil {
			return err
		}
	}
	return f.show(ctx)
}

func (f *firstOrder) place(ctx context.Context) error {
	var accepted struct{ OrderID, OrderNumber, Status string }
	body := gateway.Placement(customer, "cart-shipping-1")
	if err := f.api.Do(ctx, http.MethodPost, "/v1.0/orders", body, &accepted); err != nil {
		return err
	}
	f.id, f.number = accepted.OrderID, accepted.OrderNumber
	f.step("accepted    %s %s, %s  (create_order)", f.number, f.id, accepted.Status)
	return f.await(ctx, "recorded", func(o gateway.Order) (string, error) {
		if !o.Recorded() {
			return "", nil
		}
		return fmt.Sprintf("%d lines, total %s  (order_creator_record)", len(o.Items), o.Total), nil
	})
}

func (f *firstOrder) change(ctx context.Context, body string) error {
	var o gateway.Order
	if err := f.api.Do(ctx, http.MethodPut, "/v1.0/orders/"+f.id, body, &o); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(f.out)
	f.step("%-11s %s  (update_order)", o.Status, body)
	return nil
}

// follow waits for what comes of a stage, all of it at the same time: the
// document and the mails.
func (f *firstOrder) follow(ctx context.Context, s stage) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return f.document(ctx, s.document) })
	all.Go(func() error { return f.mail(ctx, "team mail", stack.TeamAddress, s.toTeam, "order_internal_notifier") })
	all.Go(func() error { return f.mail(ctx, "mail", customer, s.mail, "customer_order_confirmation") })
	return all.Wait()
}

// await waits for something, and tells of it as soon as it is seen. There is
// nothing to tell while it is not.
func (f *firstOrder) await(ctx context.Context, what string, seen func(gateway.Order) (string, error)) error {
	for ; ; time.Sleep(pollInterval) {
		o, err := f.api.Order(ctx, f.id)
		if err != nil {
			return fmt.Errorf("waiting for: %s: %w", what, err)
		}
		said, err := seen(o)
		if err != nil {
			return err
		}
		if said != "" {
			f.step("%-11s %s", what, said)
			return nil
		}
	}
}

// document waits for a document of the order, if the stage has one, and stores
// it.
func (f *firstOrder) document(ctx context.Context, kind order.DocumentKind) error {
	if kind == "" {
		return nil
	}
	return f.await(ctx, "document", func(o gateway.Order) (string, error) {
		document, issued := o.Document(kind)
		if !issued {
			return "", nil
		}
		file := f.number + "_" + string(kind) + ".pdf"
		size, err := download(ctx, document.URL, filepath.Join(f.dir, file))
		file = filepath.Join(filepath.Base(f.dir), file)
		what := strings.TrimSpace(strings.ReplaceAll(string(kind), "_", " ") + " " + document.Number)
		return fmt.Sprintf("%s: %s, %d bytes  (order_pdf_creator)", what, file, size), err
	})
}

// mail waits for a mail about the order, if the stage has one.
func (f *firstOrder) mail(ctx context.Context, what, to, subject, role string) error {
	if subject == "" {
		return nil
	}
	return f.await(ctx, what, func(gateway.Order) (string, error) {
		mails, err := f.stack.Mails(ctx)
		for _, m := range mails {
			if slices.Contains(m.Destination.To, to) && m.Subject == subject+": "+f.number {
				return fmt.Sprintf("%q to %s  (%s)", m.Subject, to, role), nil
			}
		}
		return "", err
	})
}

// show tells how the order stands at its end: in the list, in its own history,
// and to another system that hears the topic's events.
func (f *firstOrder) show(ctx context.Context) error {
	var list struct{ Orders []gateway.Order }
	path := "/v1.0/tenants/" + tenant + "/orders?orderNumber=" + f.number
	if err := f.api.Do(ctx, http.MethodGet, path, "", &list); err != nil {
		return err
	}
	if len(list.Orders) != 1 || list.Orders[0].ID != f.id {
		return errors.New("the order is not in the tenant's list")
	}
	_, _ = fmt.Fprintln(f.out)
	f.step("listed      %s of %s  (list_orders)", f.number, tenant)

	o, err := f.api.Order(ctx, f.id)
	if err != nil {
		return err
	}
	f.step("history     as the API shows it  (get_order)")
	for _, e := range o.History {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(f.out, "             %s\n", line)
	}
	return f.await(ctx, "events", func(o gateway.Order) (string, error) {
		published, err := f.stack.Published(ctx)
		said := "as another system got them"
		heard := map[int]bool{}
		for _, e := range published {
			if e.OrderID == f.id {
				heard[e.Sequence] = true
				said += fmt.Sprintf("\n             %s  %-17s %s", e.DateOccurred, e.Type, e.ID)
			}
		}
		if len(heard) < len(o.History) {
			return "", err
		}
		return said, nil
	})
}

// download stores what a document's link gives, and returns its size.
func download(ctx context.Context, url, file string) (size int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK || !bytes.HasPrefix(content, []byte("%PDF-")) {
		return 0, fmt.Errorf("the document's link gives no PDF: %s", resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return 0, err
	}
	return len(content), os.WriteFile(file, content, 0o600)
}
