package store

import (
	"fmt"
	"strings"

	"github.com/bbws/order-lambda/order"
)

// The attributes of the table's and the indexes' keys, and the names of the indexes.
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
	orderPrefix = "ORDER#"
	metadataKey = "METADATA"
)

func tenantKey(tenantID string) string            { return "TENANT#" + tenantID }
func orderKey(orderID string) string              { return orderPrefix + orderID }
func receiptKey(orderID string) string            { return "RECEIPT#" + orderID }
func counterKey(year int) string                  { return fmt.Sprintf("COUNTER#ORDER#%04d", year) }
func idempotencyKey(key string) string            { return "IDEMPOTENCY#" + key }
func sentKey(orderID, role string) string         { return "SENT#" + orderID + "#" + role }
func dateKey(o order.Timestamp, id string) string { return o.String() + "#" + id }

// firstAt and lastAt are the bounds of the date keys of a moment: every order created then lies between them.
func firstAt(t order.Timestamp) string { return t.String() }
func lastAt(t order.Timestamp) string  { return t.String() + "#~" } // "~" sorts after every character of an id.

// splitDateKey returns the order id of a date key, and whether the key has the form that dateKey gives.
func splitDateKey(key string) (orderID string, ok bool) {
	date, id, found := strings.Cut(key, "#")
	t, err := order.ParseTimestamp(date)
	return id, found && err == nil && t.String() == date && order.IsID(id)
}
