package store

import (
	"fmt"
	"strings"

	"github.com/bbws/order-lambda/order"
)

// The attributes of the table's and the indexes' keys, and the names of the
// indexes.
const (
	attrPK     = "PK"
	attrSK     = "SK"
	attrGSI1PK = "GSI1_PK"
	attrGSI1SK = "GSI1_SK"
	attrGSI2PK = "GSI2_PK"
	attrGSI2SK = "GSI2_SK"

	indexByDate = "OrdersByDateIndex"
	indexByID   = "OrderByIdIndex"
)

const (
	tenantPrefix   = "TENANT#"
	orderPrefix    = "ORDER#"
	documentPrefix = "DOCUMENT#"
	mailPrefix     = "MAIL#"
	numberPrefix   = "NUMBER#"
	supplierPrefix = "SUPPLIER#"
	metadataKey    = "METADATA"
)

func tenantKey(tenantID string) string            { return tenantPrefix + tenantID }
func tenantOf(key string) string                  { return strings.TrimPrefix(key, tenantPrefix) }
func orderKey(orderID string) string              { return orderPrefix + orderID }
func orderCounterKey(year int) string             { return seriesKey(OrderSeries, year) }
func numberKey(number string) string              { return numberPrefix + number }
func idempotencyKey(key string) string            { return "IDEMPOTENCY#" + key }
func dateKey(o order.Timestamp, id string) string { return o.String() + "#" + id }
func supplierKey(supplierID string) string        { return supplierPrefix + supplierID }
func seriesKey(series string, year int) string    { return fmt.Sprintf("COUNTER#%s#%04d", series, year) }

func mailKey(orderID, role string, sequence int) string {
	return fmt.Sprintf("%s%s#%s#%d", mailPrefix, orderID, role, sequence)
}

func documentKey(orderID string, kind order.DocumentKind) string {
	return documentPrefix + orderID + "#" + string(kind)
}

func supplierSeriesKey(supplierID, series string, year int) string {
	return fmt.Sprintf("%s%s#%s#%04d", supplierPrefix, supplierID, series, year)
}

// firstAt and lastAt are the bounds of the date keys of a moment: every order
// created then lies between them.
func firstAt(t order.Timestamp) string { return t.String() }
func lastAt(t order.Timestamp) string  { return t.String() + "#~" } // "~" sorts after every character of an id.

// splitDateKey returns the order id of a date key, and whether the key has the
// form that dateKey gives.
func splitDateKey(key string) (orderID string, ok bool) {
	date, id, _ := strings.Cut(key, "#")
	t, err := order.ParseTimestamp(date)
	return id, err == nil && t.String() == date && order.IsID(id)
}
