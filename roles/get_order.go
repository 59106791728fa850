package roles

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

func getOrderRole() Role {
	return Role{Name: "get_order", Settings: apiSettings(ordersBucket()), build: buildGetOrder}
}

func buildGetOrder(s Settings, d Deps) (handler, preparation) {
	h := &getOrder{orders: newStore(s, d), links: newLinker(s, d)}
	return api(s.get(allowedOrigin()), h.handle), nil
}

func newLinker(s Settings, d Deps) *invoice.Linker {
	return invoice.NewLinker(s3.NewFromConfig(d.AWS), s.get(ordersBucket()))
}

// knownOrders finds orders of a tenant, or for administrators of any.
type knownOrders interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
	OrderByID(ctx context.Context, orderID string) (order.Order, error)
}

// linker makes short-lived https links to stored documents.
type linker interface {
	Link(ctx context.Context, location string) (string, error)
}

// getOrder answers GET /v1.0/orders/{orderId}.
type getOrder struct {
	orders knownOrders
	links  linker
}

func (h *getOrder) handle(ctx context.Context, r request) (response, error) {
	o, err := findOrder(ctx, h.orders, r)
	if err != nil {
		return response{}, err
	}
	if !o.Recorded() {
		return response{status: http.StatusOK, data: o.Acceptance()}, nil
	}
	return showOrder(ctx, h.links, o), nil
}

// findOrder reads the order of the path, if it is the caller's own. An
// administrator also finds those of other tenants; the index behind that may
// lag, so the own tenant's comes first.
func findOrder(ctx context.Context, orders knownOrders, r request) (order.Order, error) {
	id, err := r.orderID()
	if err != nil {
		return order.Order{}, err
	}
	annotate(ctx, "", id)
	o, err := orders.Order(ctx, r.tenantID, id)
	if r.admin() && errors.Is(err, order.ErrNotFound) {
		return orders.OrderByID(ctx, id)
	}
	return o, err
}

// showOrder is the answer with a whole recorded order: its ETag, and working
// links in place of its documents' locations.
func showOrder(ctx context.Context, links linker, o order.Order) response {
	o.State = order.StateRecorded
	o.Documents = slices.Clone(o.Documents)
	for i := range o.Documents {
		d := &o.Documents[i]
		link, err := links.Link(ctx, d.URL)
		if err != nil {
			logger(ctx).Error().Str("error", redact(err.Error())).Msg("document cannot be linked")
		}
		d.URL = link
		if d.Kind == order.TaxInvoice || o.PDFURL == "" {
			o.PDFURL = link
		}
	}
	return response{status: http.StatusOK, headers: map[string]string{"ETag": etag(o)}, data: o}
}

// etag is made of the time of the last update alone: it is the version of the
// order.
func etag(o order.Order) string { return `"` + o.DateLastUpdated.String() + `"` }
