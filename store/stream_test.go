package store_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// TestNews follows an order from its acceptance, one write after the other, and
// says what each of them tells.
func TestNews(t *testing.T) {
	s, tenant := newStore(t)
	o := accept(t, s, tenant)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	update := func(u order.Update) {
		t.Helper()
		o = read(t, s, tenant, o.ID)
		_, err := s.Update(t.Context(), apply(t, o, u), o.DateLastUpdated)
		must(err)
	}
	var before []byte
	for _, step := range []struct {
		name  string
		write func()
		want  []order.EventType
	}{
		{"accepted", func() {}, nil},
		{"failed", func() { must(s.Fail(t.Context(), tenant, o.ID, "cart not found")) }, nil},
		{"recorded", func() { must(s.Record(t.Context(), o)) }, []order.EventType{order.EventCreated}},
		{"document", func() { must(s.AddDocument(t.Context(), tenant, o.ID, proForma(o.ID))) }, nil},
		{"note", func() { must(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r", "x")) }, nil},
		{"updated", func() { update(paid()) }, []order.EventType{order.EventPaid}},
		{"several entries", func() { // as one write, which the service never makes
			update(order.Update{Status: order.Processing})
			update(order.Update{Status: order.Completed})
			must(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r2", "x"))
			update(order.Update{Status: order.Refunded})
		}, []order.EventType{order.EventProcessing, order.EventCompleted, order.EventRefunded}},
		{"deleted", func() { deleteOrder(t, tenant, o.ID) }, nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			is := is.New(t)
			step.write()
			after := image(t, rawOrder(t, tenant, o.ID))
			_, events, err := store.News(after, before)
			is.NoErr(err)
			var got []order.EventType
			for _, e := range events {
				got = append(got, e.Type)
			}
			is.Equal(got, step.want)
			_, events, err = store.News(after, after)
			is.NoErr(err)
			is.Equal(len(events), 0) // nothing is told twice
			before = after
		})
	}
}

// TestNewsOfStoredItems reads the golden items in the form that the stream has:
// DynamoDB's JSON.
func TestNewsOfStoredItems(t *testing.T) {
	accepted, recorded := readFile(t, "accepted.json"), readFile(t, "order.json")
	const id = "6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"
	event := func(sequence string, kind order.EventType, status order.Status, at, trace string) order.Event {
		created, _ := order.ParseTimestamp("2025-12-30T10:30:00Z")
		occurred, _ := order.ParseTimestamp(at)
		return order.Event{
			ID: id + "#" + sequence, Type: kind, Version: "1", Sequence: int(sequence[0] - '0'), OrderID: id,
			TenantID: "golden", OrderNumber: "ORD-2025-00001", CustomerEmail: "thandi@example.com", Status: status,
			DateCreated: created, DateOccurred: occurred, TraceID: trace,
		}
	}
	for name, old := range map[string][]byte{"after its acceptance": accepted, "without an old image": nil} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			orderID, events, err := store.News(recorded, old)
			is.NoErr(err)
			is.Equal(orderID, id)
			is.Equal(events, []order.Event{ // the second entry is a note
				event("1", order.EventCreated, order.Pending, "2025-12-30T10:30:00Z", ""),
				event("3", order.EventPaid, order.Paid, "2025-12-30T10:31:00Z", "trace-1"),
			})
		})
	}
	t.Run("when it is deleted", func(t *testing.T) {
		is := is.New(t)
		_, events, err := store.News(changed(t, recorded, "active", `{"BOOL": false}`), nil)
		is.NoErr(err)
		is.Equal(len(events), 0)
	})
	t.Run("when it is removed", func(t *testing.T) {
		is := is.New(t)
		orderID, events, err := store.News(nil, recorded)
		is.NoErr(err)
		is.Equal(orderID, "")
		is.Equal(len(events), 0)
	})
}

func TestNewsOfOtherItems(t *testing.T) {
	s, tenant := newStore(t)
	is := is.New(t)
	c := creation(tenant)
	o, _, err := s.AcceptOnce(t.Context(), c, key)
	is.NoErr(err)
	is.NoErr(s.Record(t.Context(), priced(t, o, c)))
	_, err = s.IssueDocument(t.Context(), tenant, o.ID, order.TaxInvoice, supplier(tenant))
	is.NoErr(err)
	m := mail(tenant, "mine")
	is.NoErr(s.ClaimMail(t.Context(), m, minute))
	for name, i := range map[string]item{
		"counter":         rawItem(t, "TENANT#"+tenant, "COUNTER#ORDER#2025"),
		"number":          rawItem(t, "TENANT#"+tenant, "NUMBER#"+o.Number),
		"idempotency key": rawItem(t, "TENANT#"+tenant, "IDEMPOTENCY#"+key.Key),
		"mail":            rawMail(t, m),
		"document":        rawItem(t, "TENANT#"+tenant, "DOCUMENT#"+o.ID+"#tax_invoice"),
		"series":          rawItem(t, "SUPPLIER#"+tenant, "COUNTER#INV#2025"),
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.True(len(i) > 0)
			_, events, err := store.News(image(t, i), nil)
			is.NoErr(err)
			is.Equal(len(events), 0)
			// Whatever it has that an order has, it is none without the type.
			i["active"] = &types.AttributeValueMemberBOOL{Value: true}
			i["history"] = rawOrder(t, tenant, o.ID)["history"]
			_, events, err = store.News(image(t, i), nil)
			is.NoErr(err)
			is.Equal(len(events), 0)
		})
	}
}

// changed returns an image with another value of an attribute.
func changed(t *testing.T, image []byte, name, value string) []byte {
	t.Helper()
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(image, &attributes); err != nil {
		t.Fatal(err)
	}
	attributes[name] = json.RawMessage(value)
	text, err := json.Marshal(attributes)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNewsThatCannotBeRead says which order it is wherever the key can be read.
func TestNewsThatCannotBeRead(t *testing.T) {
	good := readFile(t, "order.json")
	const id = "6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"
	for name, test := range map[string]struct {
		after, before []byte
		orderID       string
	}{
		"no JSON":                 {[]byte("{"), nil, ""},
		"no attribute":            {[]byte(`{"SK": "ORDER#1"}`), nil, ""},
		"history of another type": {changed(t, good, "history", `{"S": "x"}`), nil, id},
		"entry of another type":   {changed(t, good, "history", `{"L": [{"S": "x"}]}`), nil, id},
		"date that is none":       {changed(t, good, "dateCreated", `{"S": "yesterday"}`), nil, id},
		"key of another item": {
			changed(t, good, "SK", `{"S": "NUMBER#1"}`), changed(t, good, "history", `{"S": "x"}`), "",
		},
		"old image":                {good, changed(t, good, "history", `{"S": "x"}`), id},
		"old image that is no map": {good, []byte("[]"), id},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			orderID, events, err := store.News(test.after, test.before)
			is.True(err != nil)
			is.Equal(orderID, test.orderID)
			is.Equal(len(events), 0)
		})
	}
}
