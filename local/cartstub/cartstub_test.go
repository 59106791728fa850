package cartstub_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/cartstub"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/roles/cart"
)

// newClient returns the service's own client, so that the stub is held to what
// that reads.
func newClient(t *testing.T) *cart.Client {
	server := httptest.NewServer(cartstub.New())
	t.Cleanup(server.Close)
	return cart.New(
		server.URL,
		http.DefaultTransport,
		cart.WithPause(func(context.Context, time.Duration) error { return nil }),
	)
}

func TestCarts(t *testing.T) {
	for _, c := range []struct {
		id    string
		lines int
	}{
		{"cart-good", 1},
		{"cart-1001", 1},
		{"anything", 1},
		{"cart-shipping-7", 3},
		{"cart-bare", 1},
		{"cart-precise", 1},
		{"cart-large", 200},
		{"cart-totals", 1},
		{"cart-flaky", 1},
		{"cart-empty", 0},
		{"cart-foreign", 1},
	} {
		t.Run(c.id, func(t *testing.T) {
			is := is.New(t)
			got, err := newClient(t).Get(t.Context(), "tenant-1", c.id, "trace")
			is.NoErr(err)
			is.Equal(got.ID, c.id)
			is.Equal(len(got.Items), c.lines)
			is.Equal(got.TenantID == "tenant-1", c.id != "cart-foreign") // a cart is the asking tenant's
			is.Equal(string(got.Currency), "ZAR")
		})
	}
}

func TestFailures(t *testing.T) {
	for id, permanent := range map[string]bool{
		"cart-missing": true, "cart-gone": true, "cart-refused": true, "cart-malformed": true,
		"cart-huge": true, "cart-currency": true,
		"cart-fraction": true, "cart-crowded": true, "cart-broken": false, "cart-limited": false, "cart-late": false,
	} {
		t.Run(id, func(t *testing.T) {
			is := is.New(t)
			_, err := newClient(t).Get(t.Context(), "tenant-1", id, "trace")
			var reason *order.PermanentError
			is.True(err != nil)
			is.Equal(errors.As(err, &reason), permanent) // the client tells both kinds apart
		})
	}
}

func TestCountsForEachID(t *testing.T) {
	is := is.New(t)
	client := newClient(t)
	for _, id := range []string{"cart-late-1", "cart-late-2"} {
		for delivery := range 3 {
			_, err := client.Get(t.Context(), "tenant-1", id, "trace")
			is.Equal(err == nil, delivery == 2) // two deliveries of three tries fail
		}
	}
}
