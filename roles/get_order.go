package roles

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/order"
)

func getOrderRole() Role {
	return Role{Name: "get_order", Settings: apiSettings(ordersBucket()), build: buildGetOrder}
}

func buildGetOrder(s Settings, d Deps) handler {
	h := &getOrder{orders: newStore(s, d), links: newLinker(s, d)}
	return api(s.get("CORS_ALLOWED_ORIGIN"), h.handle)
}

func newLinker(s Settings, d Deps) *invoice.Linker {
	return invoice.NewLinker(s3.NewFromConfig(d.AWS), s.get("S3_ORDERS_BUCKET"))
}

// knownOrders is what get_order needs of the table.
type knownOrders interface {
	Order(ctx context.Context, tenantID, orderID string) (order.Order, error)
	OrderByID(ctx context.Context, orderID string) (order.Order, error)
	Receipt(ctx context.Context, tenantID, orderID string) (order.Receipt, error)
}

// linker makes short-lived https links to stored invoices.
type linker interface {
	Link(ctx context.Context, location string) (string, error)
}

// getOrder answers GET /v1.0/orders/{orderId}.
type getOrder struct {
	orders knownOrders
	links  linker
}

func (h *getOrder) handle(ctx context.Context, r request) (response, error) {
	id, err := r.orderID()
	if err != nil {
		return response{}, err
	}
	annotate(ctx, "", id)
	o, err := h.find(ctx, r, id)
	if errors.Is(err, order.ErrNotFound) {
		receipt, err := h.orders.Receipt(ctx, r.tenantID, id)
		return response{status: http.StatusOK, data: receipt}, err
	}
	if err != nil {
		return response{}, err
	}
	return showOrder(ctx, h.links, o), nil
}

// find reads the caller's own order. An administrator also finds those of other tenants; the index behind that may lag, so
// the own tenant's comes first.
func (h *getOrder) find(ctx context.Context, r request, id string) (order.Order, error) {
	o, err := h.orders.Order(ctx, r.tenantID, id)
	if r.admin && errors.Is(err, order.ErrNotFound) {
		return h.orders.OrderByID(ctx, id)
	}
	return o, err
}

// showOrder is the answer with a whole order: its ETag, and a working link in place of the invoice's location.
func showOrder(ctx context.Context, links linker, o order.Order) response {
	if o.PDFURL != "" {
		link, err := links.Link(ctx, o.PDFURL)
		if err != nil {
			logger(ctx).Error().Str("error", redact(err.Error())).Msg("invoice cannot be linked")
		}
		o.PDFURL = link
	}
	return response{status: http.StatusOK, headers: map[string]string{"ETag": etag(o)}, data: o}
}

// etag is made of the time of the last update alone: it is the version of the order.
func etag(o order.Order) string { return `"` + o.DateLastUpdated.String() + `"` }
