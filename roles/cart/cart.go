// Package cart is the client of the Cart API, by section 8 of the contract.
package cart

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bbws/order-lambda/order"
)

const (
	tries      = 3
	tryTimeout = 3 * time.Second
	firstPause = 200 * time.Millisecond // at most; the next one is at most twice as long
	maxBody    = 1 << 20
	maxDrain   = 64 << 10 // of an answer nobody reads, to keep its connection
)

// A Client reads carts. It is safe for concurrent use.
type Client struct {
	base  string
	http  http.Client
	pause func(ctx context.Context, most time.Duration) error
}

// An Option changes how a Client works.
type Option func(*Client)

// WithPause replaces the pause before a retry. A pause lasts a random time of
// at most most, or until the context ends; then it returns the context's error.
func WithPause(pause func(ctx context.Context, most time.Duration) error) Option {
	return func(c *Client) { c.pause = pause }
}

// New returns a client of the Cart API at an absolute http or https URL without
// query. Redirects are not followed.
func New(baseURL string, transport http.RoundTripper, options ...Option) *Client {
	c := &Client{
		base: strings.TrimRight(baseURL, "/"),
		http: http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		pause: pause,
	}
	for _, option := range options {
		option(c)
	}
	return c
}

// Get returns a tenant's cart. Each try has three seconds. Connection errors
// and 5xx answers are tried twice more, after a pause and only if the context's
// deadline leaves time for a whole try. The error is an *order.PermanentError
// if another call would not help: the cart is unknown (404, 410), the request
// is refused (other 4xx), or the answer is malformed or larger than 1 MiB.
// Every other error, 429 included, is transient. Whether the cart is the
// tenant's is for order.New to say.
func (c *Client) Get(ctx context.Context, tenantID, cartID, correlationID string) (order.Cart, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/"+url.PathEscape(cartID), http.NoBody)
	if err != nil {
		return order.Cart{}, fmt.Errorf("get cart: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Tenant-Id", tenantID)
	req.Header.Set("X-Correlation-Id", correlationID)

	body, again, err := c.try(req)
	for n := 1; again && n < tries; n++ {
		most := firstPause << (n - 1)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < most+tryTimeout {
			break
		}
		if c.pause(ctx, most) != nil {
			break
		}
		body, again, err = c.try(req)
	}
	if err != nil {
		return order.Cart{}, fmt.Errorf("get cart: %w", err)
	}
	cart, err := decode(body)
	if err != nil {
		return order.Cart{}, fmt.Errorf("get cart: %w", err)
	}
	return cart, nil
}

// try makes one call and returns the body of a 200, or an error and whether to
// try again at once.
func (c *Client) try(req *http.Request) (body []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(req.Context(), tryTimeout)
	defer cancel()
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, true, fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	}
	defer resp.Body.Close() //nolint:errcheck // Nothing was written.
	if resp.StatusCode == http.StatusOK {
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
		switch {
		case err != nil:
			return nil, true, fmt.Errorf("read the answer: %w: %w", order.ErrUnavailable, err)
		case len(body) > maxBody:
			return nil, false, &order.PermanentError{Reason: "cart answer is larger than 1 MiB"}
		}
		return body, false, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // Only for the connection's sake.
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return nil, false, &order.PermanentError{Reason: "cart not found"}
	case code == http.StatusTooManyRequests:
		return nil, false, fmt.Errorf("%w: the Cart API answered %d", order.ErrUnavailable, code)
	case code >= 400 && code < 500:
		return nil, false, &order.PermanentError{Reason: fmt.Sprintf("cart refused by the Cart API with %d", code)}
	default:
		return nil, code >= 500, unavailable(code)
	}
}

// unavailable returns the error of an answer that is neither a cart nor a
// refusal. Only one of the server's faults is over by itself.
func unavailable(code int) error {
	if code >= 500 {
		return fmt.Errorf("%w: the Cart API answered %d", order.ErrUnavailable, code)
	}
	return fmt.Errorf("the Cart API answered %d", code)
}

func pause(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(rand.N(most)) //nolint:gosec // Jitter is no secret.
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
