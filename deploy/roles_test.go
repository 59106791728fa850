package deploy_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/roles"
)

// TestRolesAreTheContracts holds the table to sections 1 and 10 of the
// contract, which are written out here once more.
func TestRolesAreTheContracts(t *testing.T) {
	want := map[string]deploy.Role{
		"create_order": {Memory: 512, Timeout: 30, Method: "POST", Path: "/v1.0/orders"},
		"get_order":    {Memory: 512, Timeout: 30, Method: "GET", Path: "/v1.0/orders/{orderId}"},
		"list_orders":  {Memory: 512, Timeout: 30, Method: "GET", Path: "/v1.0/tenants/{tenantId}/orders"},
		"update_order": {Memory: 512, Timeout: 30, Method: "PUT", Path: "/v1.0/orders/{orderId}"},

		"order_creator_record": {
			Memory: 512, Timeout: 30, Queue: "bbws-order-creation", BatchSize: 10, BatchWindow: 1, MaxConcurrency: 5,
			Stream: &deploy.Stream{BatchSize: 100, BatchWindow: 0, DeadLetters: "bbws-order-events-dlq"},
		},
		"order_pdf_creator": {
			Memory: 512, Timeout: 60, Queue: "bbws-order-pdf", BatchSize: 5, BatchWindow: 1, MaxConcurrency: 10,
			Events: []string{"order.created", "order.paid", "order.refunded"},
		},
		"order_internal_notifier": {
			Memory: 256, Timeout: 30, Queue: "bbws-order-internal-notify", BatchSize: 10, BatchWindow: 1, MaxConcurrency: 5,
			Events: []string{"order.created", "order.paid", "order.cancelled", "order.refunded"},
		},
		"customer_order_confirmation": {
			Memory: 256, Timeout: 30, Queue: "bbws-order-customer-notify", BatchSize: 10, BatchWindow: 1, MaxConcurrency: 5,
			Events: []string{"order.created", "order.paid", "order.completed", "order.cancelled", "order.refunded"},
		},
	}

	is := is.New(t)
	deployed, err := deploy.Roles()
	is.NoErr(err)
	is.Equal(len(deployed), len(want)) // eight roles
	for name, role := range deployed {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			role.Settings = nil // held to the code's own table
			if role.Stream != nil {
				role.Stream.Filter = nil // held to the stored item
			}
			is.Equal(role, want[name]) // sections 1 and 10
		})
	}
}

// TestSettingsAreTheCodes holds what each function is told to what its role
// reads.
func TestSettingsAreTheCodes(t *testing.T) {
	is := is.New(t)
	deployed, err := deploy.Roles()
	is.NoErr(err)
	all := roles.All()
	is.Equal(len(all), len(deployed)) // every role of the code is deployed, and no other
	for _, role := range all {
		t.Run(role.Name, func(t *testing.T) {
			is := is.New(t)
			var names []string
			for _, setting := range role.Settings {
				names = append(names, setting.Name)
			}
			slices.Sort(names)
			is.Equal(slices.Sorted(slices.Values(deployed[role.Name].Settings)), names) // roles.json and roles.All()
		})
	}
}

// TestSettingsStartARole: with the settings of a place every role starts, and
// the queue is the one that the role consumes or fills.
func TestSettingsStartARole(t *testing.T) {
	is := is.New(t)
	deployed, err := deploy.Roles()
	is.NoErr(err)
	place := deploy.Place{
		Environment: "dev", Region: "eu-west-1", Table: "orders", TopicARN: "arn:aws:sns:eu-west-1:000000000000:events",
		QueueURL: func(queue string) string { return "https://sqs.example/" + queue },
		CartURL:  "https://cart.example", OrdersBucket: "documents", TemplatesBucket: "templates",
		FromAddress: "orders@example.com", TeamAddress: "team@example.com",
	}
	for name, queue := range map[string]string{
		"create_order": "bbws-order-creation", "get_order": "", "list_orders": "", "update_order": "",
		"order_creator_record": "bbws-order-creation", "order_pdf_creator": "bbws-order-pdf",
		"order_internal_notifier":     "bbws-order-internal-notify",
		"customer_order_confirmation": "bbws-order-customer-notify",
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			env := deploy.Settings(deployed, name, place)
			_, err := roles.Configure(func(setting string) string { return env[setting] })
			is.NoErr(err)
			is.Equal(strings.TrimPrefix(env["SQS_QUEUE_URL"], "https://sqs.example/"), queue)
			for setting := range env {
				is.True(slices.Contains(deployed[name].Settings, setting)) // and no others
			}
		})
	}
}

// TestStreamPassesOrders holds the filter of the stream to the items that the
// store writes: one that does not fit would publish nothing, and no error would
// say so.
func TestStreamPassesOrders(t *testing.T) {
	is := is.New(t)
	deployed, err := deploy.Roles()
	is.NoErr(err)
	var filter any
	is.NoErr(json.Unmarshal(deployed["order_creator_record"].Stream.Filter, &filter))
	text, err := os.ReadFile("../store/testdata/order.json")
	is.NoErr(err)

	// record returns the stream's record of a change of the stored order.
	record := func(change func(record, image map[string]any)) map[string]any {
		var image map[string]any
		is.NoErr(json.Unmarshal(text, &image))
		r := map[string]any{"eventName": "MODIFY", "dynamodb": map[string]any{
			"Keys": map[string]any{"PK": image["PK"], "SK": image["SK"]}, "NewImage": image,
		}}
		change(r, image)
		return r
	}
	for _, tt := range []struct {
		name   string
		change func(record, image map[string]any)
		want   bool
	}{
		{"a changed order", func(_, _ map[string]any) {}, true},
		{"a new order", func(r, _ map[string]any) { r["eventName"] = "INSERT" }, true},
		{"a removed order", func(r, _ map[string]any) { r["eventName"] = "REMOVE" }, false},
		{"an item of another key", func(r, _ map[string]any) {
			r["dynamodb"].(map[string]any)["Keys"] = map[string]any{"SK": map[string]any{"S": "MAIL#1"}}
		}, false},
		{"an item of another type", func(_, image map[string]any) { image["entityType"] = map[string]any{"S": "X"} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is.New(t).Equal(matches(filter, record(tt.change)), tt.want)
		})
	}
}

// matches reports whether a value matches a pattern of Lambda's event
// filtering, as far as roles.json uses it.
func matches(pattern, value any) bool {
	switch pattern := pattern.(type) {
	case map[string]any:
		fields, _ := value.(map[string]any)
		for name, inner := range pattern {
			if !matches(inner, fields[name]) {
				return false
			}
		}
		return true
	case []any:
		return slices.ContainsFunc(pattern, func(rule any) bool {
			text, isText := value.(string)
			if prefix, ok := rule.(map[string]any); ok {
				return isText && strings.HasPrefix(text, prefix["prefix"].(string))
			}
			return rule == value
		})
	}
	return false
}
