package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/bbws/order-lambda/order"
)

func smokeCommand() command {
	return command{
		name: "smoke", args: "URL", does: "place an order through a deployed API, wait for its document, cancel it",
		least: 1, most: 1, changes: true,
		setUp: func(f *flag.FlagSet) action {
			s := smoke{}
			f.StringVar(&s.cart, "cart", "", "a cart of the token's tenant")
			f.StringVar(&s.email, "email", "", "the customer's address: the mails go there")
			f.DurationVar(&s.wait, "wait", time.Minute, "how long it may take")
			return func(ctx context.Context, o *operator, args []string) error {
				s.operator, s.url, s.token = o, strings.TrimSuffix(args[0], "/"), o.getenv("TOKEN")
				return s.run(ctx)
			}
		},
	}
}

// A smoke is a first order through a stage, from the outside.
type smoke struct {
	*operator
	url, token, cart, email string
	wait                    time.Duration
}

// A shownOrder is what is asked of an order as the API shows it.
type shownOrder struct {
	State     order.State
	Status    order.Status
	Documents []order.Document

	FailureReason string
}

func (s *smoke) run(ctx context.Context) error {
	if s.token == "" || s.cart == "" || s.email == "" {
		return errors.New("smoke needs -cart, -email and, in the variable TOKEN, an ID token of a customer")
	}
	if !s.act {
		return errors.New("smoke places an order: -yes does it")
	}
	ctx, stop := context.WithTimeout(ctx, s.wait)
	defer stop()
	begin := s.now()
	step := func(what, detail string) {
		s.out.row("step", "step", what, "after", s.now().Sub(begin).Round(time.Millisecond).String(), "detail", detail)
	}
	var accepted struct{ OrderID, OrderNumber string }
	body, err := json.Marshal(map[string]any{
		"customerEmail": s.email, "customerName": "Smoke Test", "cartId": s.cart,
		"billingAddress": map[string]string{
			"street": "1 Long Street", "city": "Cape Town", "province": "Western Cape", "postalCode": "8001", "country": "ZA",
		},
	})
	if err != nil {
		return err
	}
	if err := s.call(ctx, http.MethodPost, "/v1.0/orders", body, &accepted); err != nil {
		return err
	}
	step("accepted", accepted.OrderNumber+" "+accepted.OrderID)
	place := "/v1.0/orders/" + accepted.OrderID
	recorded, err := s.await(ctx, place, func(o shownOrder) bool { return o.State == order.StateRecorded })
	if err != nil {
		return fmt.Errorf("order %s is not recorded: %w", accepted.OrderID, err)
	}
	step("recorded", string(recorded.Status))
	documented, err := s.await(ctx, place, func(o shownOrder) bool { return len(o.Documents) > 0 })
	if err != nil {
		return fmt.Errorf("order %s has no document: %w", accepted.OrderID, err)
	}
	size, err := s.document(ctx, documented.Documents[0].URL)
	if err != nil {
		return err
	}
	step("document", fmt.Sprintf("%s, %d bytes", documented.Documents[0].Kind, size))
	var cancelled shownOrder
	cancel := []byte(`{"status": "cancelled", "reason": "Smoke test"}`)
	if err := s.call(ctx, http.MethodPut, place, cancel, &cancelled); err != nil {
		return err
	}
	step("cancelled", "the mails about it go to "+s.email+" and to the team")
	return nil
}

// await reads an order until it is as it should be, or failed.
func (s *smoke) await(ctx context.Context, place string, ready func(shownOrder) bool) (shownOrder, error) {
	const pause = 500 * time.Millisecond
	for {
		var o shownOrder
		if err := s.call(ctx, http.MethodGet, place, nil, &o); err != nil {
			return o, err
		}
		if ready(o) {
			return o, nil
		}
		if o.State == order.StateFailed {
			return o, errors.New(o.FailureReason)
		}
		select {
		case <-ctx.Done():
			return o, fmt.Errorf("within %s: %w", s.wait, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// call asks the API, and decodes what it answers.
func (s *smoke) call(ctx context.Context, method, path string, body []byte, data any) error {
	text, err := s.fetch(ctx, method, s.url+path, body, "Bearer "+s.token)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &struct{ Data any }{data}); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// document fetches a document by its link, and returns its size.
func (s *smoke) document(ctx context.Context, link string) (int, error) {
	pdf, err := s.fetch(ctx, http.MethodGet, link, nil, "")
	if err == nil && !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		err = errors.New("the document's link gives no PDF")
	}
	return len(pdf), err
}

// fetch sends a request that must succeed. An error shows the answer, but not
// the link: it may be a signed one.
func (s *smoke) fetch(ctx context.Context, method, url string, body []byte, authorization string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 8 << 20
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		path, _, _ := strings.Cut(url, "?")
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return text, nil
}
