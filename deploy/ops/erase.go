package main

import (
	"context"
	"errors"
	"flag"
	"slices"
	"strings"

	"github.com/bbws/order-lambda/order"
)

func eraseCommand() command {
	return command{
		name: "erase", args: "CUSTOMER", does: "take a person out of all orders, by e-mail address", least: 1, most: 1,
		changes: true, needs: []setting{table, environment, documents},
		setUp: func(f *flag.FlagSet) action {
			tenant := f.String("tenant", "", "only in this tenant's orders")
			return func(ctx context.Context, o *operator, args []string) error { return o.erase(ctx, *tenant, args[0]) }
		},
	}
}

// What stands where a person stood. The domain can be nobody's (RFC 2606).
const (
	erased      = "erased"
	erasedEmail = "erased@erased.invalid"
)

// erase takes a person out of the orders that he placed or changed. What the
// law wants kept stays: legal documents, and amounts and payments, which name
// nobody.
func (o *operator) erase(ctx context.Context, tenant, person string) error {
	for tenantID, err := range o.tenants(ctx, tenant) {
		if err != nil {
			return err
		}
		for found, err := range o.orders.Orders(ctx, tenantID) {
			if err != nil {
				return err
			}
			o.progress.step("orders")
			if err := o.eraseFrom(ctx, found, person); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *operator) eraseFrom(ctx context.Context, about order.Order, person string) error {
	without, isCustomer := withoutPerson(about, person)
	if !isCustomer && !names(about, person) {
		return nil
	}
	done, kept := "", ""
	switch {
	case isCustomer && !atRest(about):
		done = "left: it is " + string(about.Status) + ", and needs its customer until it ends"
	default:
		done = o.did("erased")
		kept = keptDocuments(about)
	}
	if o.act && !strings.HasPrefix(done, "left") {
		if err := o.rewrite(ctx, without, isCustomer); errors.Is(err, order.ErrChanged) {
			done = "left: it changed meanwhile, erase again"
		} else if err != nil {
			return err
		}
	}
	as := "who changed it"
	if isCustomer {
		as = "customer"
	}
	o.out.row("order", "tenant", about.TenantID, "number", about.Number, "order", about.ID,
		"as", as, "done", done, "kept", kept)
	return nil
}

// rewrite stores an order without a person. Its pro forma, which no law wants
// kept, is drawn anew.
func (o *operator) rewrite(ctx context.Context, without order.Order, isCustomer bool) error {
	if err := o.orders.RewritePeople(ctx, without); err != nil {
		return err
	}
	if _, drawn := without.Document(order.ProForma); !drawn || !isCustomer || !without.Active {
		return nil
	}
	_, err := o.remake(ctx, without, loss{kind: order.ProForma, noted: true})
	return err
}

// atRest reports whether nothing is on its way about an order that needs the
// customer's name: it is at an end, deleted, or was never recorded, and no
// document is due.
func atRest(about order.Order) bool {
	switch about.Status {
	case order.Completed, order.Cancelled, order.Refunded, order.Failed:
		return len(order.DocumentsDue(about)) == 0 || !about.Active
	default:
		return !about.Active
	}
}

// names reports whether the person acted on the order.
func names(about order.Order, person string) bool {
	return strings.EqualFold(about.LastUpdatedBy, person) ||
		slices.ContainsFunc(about.History, func(e order.Entry) bool { return strings.EqualFold(e.By, person) })
}

// withoutPerson returns the order without a person, and whether he is its
// customer. Of a customer's address the country stays: tax depends on it.
func withoutPerson(about order.Order, person string) (without order.Order, isCustomer bool) {
	without = about
	isCustomer = strings.EqualFold(about.CustomerEmail, person)
	if isCustomer {
		without.CustomerEmail, without.CustomerName = erasedEmail, ""
		without.BillingAddress = order.BillingAddress{
			Street: erased, City: erased, Province: erased, PostalCode: erased, Country: about.BillingAddress.Country,
		}
	}
	forget := func(by *string) {
		if strings.EqualFold(*by, person) {
			*by = erased
		}
	}
	without.History, without.Items = slices.Clone(about.History), slices.Clone(about.Items)
	forget(&without.LastUpdatedBy)
	for i := range without.History {
		forget(&without.History[i].By)
	}
	for i := range without.Items {
		forget(&without.Items[i].LastUpdatedBy)
	}
	return without, isCustomer
}

// keptDocuments names the legal documents of an order.
func keptDocuments(about order.Order) string {
	var kept []string
	for _, d := range about.Documents {
		if d.Kind.Series() != "" {
			kept = append(kept, d.Number)
		}
	}
	return strings.Join(kept, ", ")
}
