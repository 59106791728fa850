package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/gateway"
)

func TestDemo(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	is.NoErr(run(t.Context(), []string{"demo"}, &out)) // the order got through
	for _, role := range []string{
		"create_order", "get_order", "list_orders", "update_order",
		"order_creator_record", "order_pdf_creator", "order_internal_notifier", "customer_order_confirmation",
	} {
		is.True(strings.Contains(out.String(), "("+role+")")) // every role is seen at work
	}
	for _, said := range []string{
		`accepted    ORD-`, `"Order Confirmation: `, `"New Order Received: `, `"Payment Received: `, `"Order Paid: `,
		`"Order Completed: `, `"Refund: `, `"Order Refunded: `, "tax invoice INV-", "credit note CN-",
		`{"sequence":5,"type":"order.refunded"`, "order.refunded    ",
	} {
		is.True(strings.Contains(out.String(), said)) // every step of the life
	}
	files := regexp.MustCompile(`\S+\.pdf,`).FindAllString(out.String(), -1)
	is.Equal(len(files), 3) // documents
	for _, file := range files {
		pdf, err := os.ReadFile(filepath.Join("..", strings.TrimSuffix(file, ",")))
		is.NoErr(err)
		is.True(bytes.HasPrefix(pdf, []byte("%PDF-")))
	}
	left, err := exec.Command("ps", "-axo", "ppid=,stat=,comm=").Output()
	is.NoErr(err)
	for line := range strings.Lines(string(left)) {
		var parent int
		var state, name string
		_, err := fmt.Sscan(line, &parent, &state, &name)
		is.NoErr(err)
		is.True(parent != os.Getpid() || name == "ps") // no process is left behind
	}
}

// A signalWriter closes a channel when a text has been written.
type signalWriter struct {
	text string
	seen chan struct{}
	buf  bytes.Buffer
}

func (w *signalWriter) Write(p []byte) (int, error) {
	before := strings.Contains(w.buf.String(), w.text)
	w.buf.Write(p)
	if !before && strings.Contains(w.buf.String(), w.text) {
		close(w.seen)
	}
	return len(p), nil
}

func TestRunStaysUpUntilItIsStopped(t *testing.T) {
	is := is.New(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	is.NoErr(err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = run(ctx, []string{"run", "-port", port}, io.Discard)
	is.Equal(fmt.Sprint(err),
		"127.0.0.1:"+port+" is in use: stop what listens there, or choose another port with PORT=…")
	is.NoErr(listener.Close())

	out := &signalWriter{text: "error of the roles:", seen: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"run", "-port", port}, out) }()
	select {
	case <-out.seen:
	case err := <-ended:
		t.Fatalf("ended by itself: %v\n%s", err, out.buf.String())
	}
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	is.NoErr(err) // it is still there
	is.NoErr(conn.Close())
	placeOrder(t, port)
	cancel()
	is.NoErr(<-ended)
	is.True(strings.Contains(out.buf.String(), "request answered  status=202")) // it tells of orders
}

// placeOrder places an order at the API on a port of this machine.
func placeOrder(t *testing.T, port string) {
	t.Helper()
	is := is.New(t)
	token, err := gateway.Token(gateway.Identity{Tenant: "tenant-1", Email: customer}, time.Minute)
	is.NoErr(err)
	api := gateway.Client{URL: "http://127.0.0.1:" + port, Token: token}
	var accepted struct{ OrderID string }
	is.NoErr(api.Do(t.Context(), "POST", "/v1.0/orders", gateway.Placement(customer, "cart-good"), &accepted))
	for o := (gateway.Order{}); !o.Recorded(); {
		o, err = api.Order(t.Context(), accepted.OrderID)
		is.NoErr(err)
	}
}

func TestToken(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	is.NoErr(run(t.Context(), []string{"token", "-tenant", "tenant-9", "-admin"}, &out))
	is.Equal(strings.Count(out.String(), "."), 2)  // a JWT
	is.Equal(strings.Count(out.String(), "\n"), 1) // and nothing else
}

func TestTemplateCheck(t *testing.T) {
	is := is.New(t)
	const file = "../notify/templates/customer/order_paid.html"
	var out bytes.Buffer
	is.NoErr(run(t.Context(), []string{"template-check", file}, &out))
	is.Equal(out.String(), file+" is a template that the service takes\n")

	text, err := os.ReadFile(file)
	is.NoErr(err)
	broken := filepath.Join(t.TempDir(), "customer", "order_paid.html")
	is.NoErr(os.Mkdir(filepath.Dir(broken), 0o700))
	is.NoErr(os.WriteFile(broken, bytes.ReplaceAll(text, []byte("{{orderNumber}}"), []byte("{{orderNumbr}}")), 0o600))
	out.Reset()
	is.True(run(t.Context(), []string{"template-check", broken}, &out) != nil)
	is.True(regexp.MustCompile(`^\S+/customer/order_paid.html:\d+:\d+: .*"orderNumber"`).MatchString(out.String()))
	is.True(run(t.Context(), []string{"template-check", "../notify/templates/layout.html"}, &out) != nil) // no mail's
}

func TestUnknownCommand(t *testing.T) {
	is := is.New(t)
	for _, args := range [][]string{nil, {"fly"}} {
		err := run(t.Context(), args, io.Discard)
		is.Equal(fmt.Sprint(err), "what to do is missing: run, dev, demo, token, invoke, preview or template-check")
	}
}
