package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

func trailCommand() command {
	return command{
		name: "trail", args: "ID|NUMBER", does: "show all there is about an order", least: 1, most: 1,
		needs: []setting{table, environment, documents},
		setUp: func(f *flag.FlagSet) action {
			tenant := f.String("tenant", "", "whose order it is; without, all tenants are looked at")
			queues := f.Bool("queues", false, "look into the queues, too: a look counts as one of a message's three deliveries")
			return func(ctx context.Context, o *operator, args []string) error {
				about, err := o.resolve(ctx, *tenant, args[0])
				if err != nil {
					return err
				}
				return errors.Join(o.showOrder(ctx, about), o.showMessages(ctx, about.ID, *queues))
			}
		},
	}
}

func findCommand() command {
	return command{
		name: "find", args: "TENANT NUMBER", does: "find an order by its number", least: 2, most: 2,
		needs: []setting{table},
		setUp: func(*flag.FlagSet) action {
			return func(ctx context.Context, o *operator, args []string) error {
				found, err := o.orders.OrderByNumber(ctx, args[0], args[1])
				if err != nil {
					return err
				}
				o.showHead(found)
				return nil
			}
		},
	}
}

func (o *operator) showHead(about order.Order) {
	state, total := "recorded", fmt.Sprint(about.Total, " ", about.Currency)
	switch {
	case !about.Active:
		state = "deleted"
	case !about.Recorded():
		state = string(about.Acceptance().State)
	}
	if !about.Recorded() {
		total = ""
	}
	o.out.row("order", "number", about.Number, "id", about.ID, "tenant", about.TenantID, "state", state,
		"status", about.Status, "total", total, "customer", about.CustomerEmail, "created", about.DateCreated,
		"updated", about.DateLastUpdated, "failure", about.FailureReason)
}

// showOrder shows what the table and the bucket know of an order.
func (o *operator) showOrder(ctx context.Context, about order.Order) error {
	o.showHead(about)
	for _, e := range about.History {
		o.out.row("entry", "sequence", e.Sequence, "event", e.Type, "status", e.Status, "date", e.Date, "by", e.By,
			"reason", e.Reason, "trace", e.TraceID)
	}
	for m, err := range o.orders.Mails(ctx, about.TenantID, about.ID) {
		if err != nil {
			return err
		}
		e, _ := about.Entry(m.Sequence)
		o.out.row("mail", "sequence", m.Sequence, "event", e.Type, "role", m.Role, "mail", m.State, "ses id", m.MessageID,
			"reason", m.Reason)
	}
	return o.showDocuments(ctx, about)
}

// showDocuments shows each document that the order, its series or the bucket
// knows of, and which of the three do.
func (o *operator) showDocuments(ctx context.Context, about order.Order) error {
	numbers := map[order.DocumentKind]string{}
	for d, err := range o.orders.LegalDocuments(ctx, about.TenantID, about.ID) {
		if err != nil {
			return err
		}
		numbers[d.Kind] = d.Number
	}
	for _, kind := range order.DocumentKinds() {
		key := invoice.Key(about.TenantID, about.ID, kind)
		size := "none"
		out, err := o.head(ctx, key)
		switch {
		case err == nil:
			size = fmt.Sprint(*out.ContentLength, " bytes")
		case !errors.Is(err, errNoObject):
			return err
		}
		noted, isNoted := about.Document(kind)
		if !isNoted && numbers[kind] == "" && size == "none" {
			continue
		}
		o.out.row("document", "kind", kind, "number", numbers[kind], "on the order", isNoted, "issued", noted.DateIssued,
			"object", size, "key", key)
	}
	return nil
}

// mostLooked is how many messages of one queue are looked at.
const mostLooked = 1000

// showMessages shows the messages about an order that are in dead-letter queues
// and, if asked, in queues.
func (o *operator) showMessages(ctx context.Context, orderID string, queues bool) error {
	var names []string
	for _, l := range o.lines {
		names = append(names, l.dead)
		if queues && l.queue != "" {
			names = append(names, l.queue)
		}
	}
	found := make([][]letter, len(names))
	complete := make([]bool, len(names))
	looks, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		looks.Go(func() (err error) {
			complete[i], err = o.look(ctx, name, mostLooked, func(_ context.Context, l letter) (bool, error) {
				if l.orderID == orderID {
					found[i] = append(found[i], l)
				}
				return false, nil
			})
			return err
		})
	}
	if err := looks.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		for _, l := range found[i] {
			o.out.row("message", "queue", name, "message", *l.message.MessageId, "event", l.eventType, "sequence", l.sequence,
				"sent", order.NewTimestamp(l.sent), "receives", l.receives)
		}
		if !complete[i] {
			o.progress.say(fmt.Sprintf("only %d messages of %s were looked at", mostLooked, name))
		}
	}
	return nil
}
