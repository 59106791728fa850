package roles

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bbws/order-lambda/order"
)

func updateOrderRole() Role {
	return Role{Name: "update_order", Settings: apiSettings(ordersBucket(), paymentGroup()), build: buildUpdateOrder}
}

func buildUpdateOrder(s Settings, d Deps) (handler, preparation) {
	h := &updateOrder{
		orders:       newStore(s, d),
		links:        newLinker(s, d),
		paymentGroup: s.get(paymentGroup()),
		now:          d.Now,
	}
	return api(s.get(allowedOrigin()), h.handle), nil
}

// updatableOrders is what update_order needs of the table.
type updatableOrders interface {
	knownOrders
	Update(ctx context.Context, o order.Order, was order.Timestamp) (order.Order, error)
}

// updateOrder answers PUT /v1.0/orders/{orderId}.
type updateOrder struct {
	orders       updatableOrders
	links        linker
	paymentGroup string // whose members may set what concerns payment; "" for everybody
	now          func() time.Time
}

func (h *updateOrder) handle(ctx context.Context, r request) (response, error) {
	update, err := h.read(ctx, r)
	if err != nil {
		return response{}, err
	}
	o, err := findOrder(ctx, h.orders, r)
	if err != nil {
		return response{}, err
	}
	if !o.Recorded() {
		return response{}, errNotRecorded // Known: the client should come back later.
	}
	matched, seen := matches(r.header("If-Match"), etag(o))
	if !matched {
		return response{}, errPrecondition
	}
	update.Seen = seen
	was, from := o.DateLastUpdated, o.Status
	changed, err := o.Apply(update, h.now())
	if err != nil {
		return response{}, err
	}
	if changed {
		if o, err = h.orders.Update(ctx, o, was); err != nil {
			return response{}, err
		}
		count(ctx, ordersChanged)
		logger(ctx).Info().Str("from", string(from)).Str("to", string(o.Status)).Str("who", r.subject).Msg("order changed")
	}
	return showOrder(ctx, h.links, o), nil
}

// read reads the body, and checks that the caller may ask for what it says.
func (h *updateOrder) read(ctx context.Context, r request) (order.Update, error) {
	if _, err := r.orderID(); err != nil {
		return order.Update{}, err
	}
	body, err := r.body()
	if err != nil {
		return order.Update{}, err
	}
	update, err := order.ParseUpdate(body)
	if err != nil {
		return order.Update{}, err
	}
	if h.paymentGroup != "" && update.Paying() && !r.admin() && !r.isIn(h.paymentGroup) {
		return order.Update{}, fmt.Errorf("%w: payments are for the group %s", errForbidden, h.paymentGroup)
	}
	update.By, update.TraceID = r.user, traceRoot(traceHeader(ctx))
	return update, nil
}

// matches reports whether If-Match, if there is one, allows an update of the
// version with the tag, and whether it names that tag: then the client has seen
// the version. Weak tags never match (RFC 9110, section 13.1.1).
func matches(ifMatch []string, tag string) (matched, seen bool) {
	if len(ifMatch) == 0 {
		return true, false
	}
	candidates := strings.Split(strings.Join(ifMatch, ","), ",")
	for i := range candidates {
		candidates[i] = strings.TrimSpace(candidates[i])
	}
	seen = slices.Contains(candidates, tag)
	return seen || slices.Contains(candidates, "*"), seen
}
