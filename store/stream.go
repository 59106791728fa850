package store

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

// News returns the events that a record of the table's stream carries: one for
// each entry that the history of the new image has and the old one's has not,
// oldest first. The images are in DynamoDB's JSON; the old one may be empty.
// There are no events for items that are not orders, for orders that are only
// accepted, and for deleted ones. The error means that the image was not
// written by this service; the order's id is returned with it if it can be
// read.
func News(newImage, oldImage []byte) (orderID string, events []order.Event, err error) {
	after, err := readImage(newImage)
	if err != nil || !after.Active || after.EntityType != entityOrder {
		return after.orderID(), nil, err
	}
	before, err := readImage(oldImage)
	if err != nil {
		return after.orderID(), nil, err
	}
	o := order.Order{
		ID:            after.ID,
		TenantID:      after.TenantID,
		Number:        after.Number,
		CustomerEmail: after.CustomerEmail,
		DateCreated:   after.DateCreated,
		History:       decodeHistory(after.History),
	}
	for _, e := range o.History[min(len(before.History), len(o.History)):] {
		if e.Told() {
			events = append(events, o.Event(e))
		}
	}
	return o.ID, events, nil
}

// streamItem is what an event needs of an order's image.
type streamItem struct {
	SK            string
	EntityType    string          `dynamo:"entityType"`
	ID            string          `dynamo:"id"`
	TenantID      string          `dynamo:"tenantId"`
	Number        string          `dynamo:"orderNumber"`
	CustomerEmail string          `dynamo:"customerEmail"`
	DateCreated   order.Timestamp `dynamo:"dateCreated"`
	Active        bool            `dynamo:"active"`
	History       []entryItem     `dynamo:"history"`
}

// orderID returns the id of the order in the item's key, or "".
func (i streamItem) orderID() string {
	id, ok := strings.CutPrefix(i.SK, orderPrefix)
	if !ok {
		return ""
	}
	return id
}

func readImage(image []byte) (streamItem, error) {
	var item streamItem
	if len(image) == 0 {
		return item, nil
	}
	values, err := attributevalue.UnmarshalMapJSON(image)
	if err != nil {
		return item, fmt.Errorf("read image: %w", err)
	}
	_ = dynamo.Unmarshal(values[attrSK], &item.SK) // even if the rest cannot be read
	if err := dynamo.UnmarshalItem(values, &item); err != nil {
		return item, fmt.Errorf("read image: %w", err)
	}
	return item, nil
}
