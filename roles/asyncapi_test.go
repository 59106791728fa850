package roles

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/oasdiff/yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
)

// An asyncAPI is roles/asyncapi.yaml.
type asyncAPI struct {
	t          *testing.T
	Channels   map[string]struct{ Description string }
	Components struct {
		Messages map[string]struct {
			Examples []struct {
				Name    string
				Payload map[string]any
			}
		}
		Schemas map[string]struct {
			Required   []string
			Properties map[string]any
		}
	}
	document any
}

func loadAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		t.Fatal(err)
	}
	a := &asyncAPI{t: t}
	if err := json.Unmarshal(text, a); err != nil {
		t.Fatal(err)
	}
	if a.document, err = jsonschema.UnmarshalJSON(strings.NewReader(string(text))); err != nil {
		t.Fatal(err)
	}
	return a
}

// check holds a message to the schema of a name.
func (a *asyncAPI) check(schema string, message any) error {
	a.t.Helper()
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("asyncapi.json", a.document); err != nil {
		a.t.Fatal(err)
	}
	compiled, err := compiler.Compile("asyncapi.json#/components/schemas/" + schema)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := json.Marshal(message)
	if err != nil {
		a.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		a.t.Fatal(err)
	}
	return compiled.Validate(value)
}

// properties returns the names of a schema's properties, sorted.
func (a *asyncAPI) properties(schema string) []string {
	return slices.Sorted(maps.Keys(a.Components.Schemas[schema].Properties))
}

// fieldsOf returns the names of the fields that a message has on the wire,
// sorted.
func fieldsOf(t *testing.T, message any) []string {
	t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(fields))
}

// TestAsyncAPI holds the messages of the service to asyncapi.yaml.
func TestAsyncAPI(t *testing.T) {
	a := loadAsyncAPI(t)
	t.Run("examples", func(t *testing.T) { testMessageExamples(t, a) })
	t.Run("creations", func(t *testing.T) { testCreations(t, a) })
	t.Run("events", func(t *testing.T) { testEvents(t, a) })
	t.Run("dead letters", func(t *testing.T) {
		is := is.New(t)
		m := unpublished{orderID, acme, 2, "496"}
		is.NoErr(a.check("Unpublished", m))
		is.Equal(fieldsOf(t, m), a.properties("Unpublished"))
		is.NoErr(a.check("Unpublished", unpublished{SequenceNumber: "496"})) // a record that cannot be read
	})
	t.Run("who is told of what", func(t *testing.T) { testServed(t, a) })
}

func testMessageExamples(t *testing.T, a *asyncAPI) {
	is := is.New(t)
	schemas := map[string]string{"creation": "Creation", "event": "Event", "unpublished": "Unpublished"}
	for message, schema := range schemas {
		is.True(len(a.Components.Messages[message].Examples) > 0) // has an example
		for _, example := range a.Components.Messages[message].Examples {
			is.NoErr(a.check(schema, example.Payload))
		}
	}
}

// testCreations holds what create_order queues and what order_creator_record
// reads to the schema: the same fields, the same of them required.
func testCreations(t *testing.T, a *asyncAPI) {
	is := is.New(t)
	examples := a.Components.Messages["creation"].Examples
	full := examples[slices.IndexFunc(examples, func(e struct {
		Name    string
		Payload map[string]any
	},
	) bool {
		return e.Name == "full"
	})].Payload
	text, err := json.Marshal(full)
	is.NoErr(err)
	c, err := order.ParseCreation(text)
	is.NoErr(err)
	is.NoErr(a.check("Creation", c))                                        // as it is queued
	is.Equal(fieldsOf(t, c), a.properties("Creation"))                      // every field
	is.Equal(fieldsOf(t, c.BillingAddress), a.properties("BillingAddress")) // of the address, too
	is.Equal(slices.Sorted(maps.Keys(full)), a.properties("Creation"))      // and the example has them all
	required := a.Components.Schemas["Creation"].Required
	for field := range full {
		less := maps.Clone(full)
		delete(less, field)
		text, err := json.Marshal(less)
		is.NoErr(err)
		_, err = order.ParseCreation(text)
		is.Equal(err != nil, slices.Contains(required, field))                       // refused without it
		is.Equal(a.check("Creation", less) != nil, slices.Contains(required, field)) // by both
	}
}

// testEvents holds the event of every entry that is told to the schema.
func testEvents(t *testing.T, a *asyncAPI) {
	is := is.New(t)
	at := order.NewTimestamp(noon)
	var types []any
	for _, status := range order.Statuses() {
		types = append(types, "order."+string(status))
	}
	types[0] = string(order.EventCreated)
	types = append(types, string(order.EventPaymentUpdated))
	o := order.Order{
		ID: orderID, TenantID: acme, Number: "ORD-2025-00001", CustomerEmail: "thandi@example.com", DateCreated: at,
	}
	for i, name := range types {
		e := o.Event(order.Entry{
			Sequence: i + 1, Type: order.EventType(name.(string)), Status: order.Paid,
			Date: order.NewTimestamp(noon.Add(time.Hour)), TraceID: "1-2-3",
		})
		is.NoErr(a.check("Event", e))
		is.Equal(fieldsOf(t, e), a.properties("Event"))
	}
	documented := a.Components.Schemas["Event"].Properties["eventType"].(map[string]any)["enum"].([]any)
	is.Equal(documented, types) // these and no others
	private := o.Event(order.Entry{Sequence: 9, Type: order.EventMailFailed, Status: order.Paid, Date: at})
	is.True(a.check("Event", private) != nil)
}

// testServed holds the types that each consumer serves to what its channel
// says.
func testServed(t *testing.T, a *asyncAPI) {
	for channel, role := range map[string]string{
		"documents":     "order_pdf_creator",
		"teamMails":     "order_internal_notifier",
		"customerMails": "customer_order_confirmation",
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			serves := servedBy(t, role)
			words := strings.FieldsFunc(a.Channels[channel].Description, func(r rune) bool {
				return strings.ContainsRune(" \n,", r)
			})
			for i := range words {
				words[i] = strings.TrimSuffix(words[i], ".")
			}
			for _, status := range order.Statuses() {
				name := "order." + string(status)
				if status == order.Pending {
					name = "order.created"
				}
				is.Equal(serves(order.EventType(name)), slices.Contains(words, name))
			}
			is.True(!serves(order.EventPaymentUpdated))
			is.True(!serves("order.shipped")) // nobody knows it
		})
	}
}

// servedBy returns what a role says of the types that it serves.
func servedBy(t *testing.T, role string) func(order.EventType) bool {
	t.Helper()
	switch role {
	case "order_pdf_creator":
		return (&pdfCreator{}).serves
	case "order_internal_notifier":
		return notify.NewInternal(nil, nil, notify.Settings{}, atNoon).Serves
	default:
		return notify.NewCustomer(nil, nil, notify.Settings{}, atNoon).Serves
	}
}
