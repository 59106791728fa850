package roles

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bbws/order-lambda/order"
)

func updateOrderRole() Role {
	return Role{Name: "update_order", Settings: apiSettings(ordersBucket()), build: buildUpdateOrder}
}

func buildUpdateOrder(s Settings, d Deps) handler {
	h := &updateOrder{orders: newStore(s, d), links: newLinker(s, d), now: d.Now}
	return api(s.get("CORS_ALLOWED_ORIGIN"), h.handle)
}

// updatableOrders is what update_order needs of the table.
type updatableOrders interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
	Receipt(ctx context.Context, tenantID, orderID string) (order.Receipt, error)
	Update(ctx context.Context, o order.Order, was order.Timestamp) (order.Order, error)
}

// updateOrder answers PUT /v1.0/orders/{orderId}.
type updateOrder struct {
	orders updatableOrders
	links  linker
	now    func() time.Time
}

func (h *updateOrder) handle(ctx context.Context, r request) (response, error) {
	id, err := r.orderID()
	if err != nil {
		return response{}, err
	}
	annotate(ctx, "", id)
	body, err := r.body()
	if err != nil {
		return response{}, err
	}
	update, err := order.ParseUpdate(body)
	if err != nil {
		return response{}, err
	}
	o, err := h.find(ctx, r.tenantID, id)
	if err != nil {
		return response{}, err
	}
	if !matches(r.header("If-Match"), etag(o)) {
		return response{}, errPrecondition
	}
	was := o.DateLastUpdated
	changed, err := o.Apply(update, r.user, h.now())
	if err != nil {
		return response{}, err
	}
	if changed {
		if o, err = h.orders.Update(ctx, o, was); err != nil {
			return response{}, err
		}
	}
	return showOrder(ctx, h.links, o), nil
}

// find reads the order. One that is accepted but not recorded is not unknown: the client should come back later.
func (h *updateOrder) find(ctx context.Context, tenantID, id string) (order.Order, error) {
	o, err := h.orders.Order(ctx, tenantID, id)
	if !errors.Is(err, order.ErrNotFound) {
		return o, err
	}
	if _, err := h.orders.Receipt(ctx, tenantID, id); err != nil {
		return order.Order{}, err
	}
	return order.Order{}, errNotRecorded
}

// matches reports whether If-Match, if there is one, allows an update of the version with the tag. Weak tags never
// match (RFC 9110, section 13.1.1).
func matches(ifMatch []string, tag string) bool {
	if len(ifMatch) == 0 {
		return true
	}
	for candidate := range strings.SplitSeq(strings.Join(ifMatch, ","), ",") {
		if c := strings.TrimSpace(candidate); c == "*" || c == tag {
			return true
		}
	}
	return false
}
