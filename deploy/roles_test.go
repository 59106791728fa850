package deploy_test

import (
	"slices"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/roles"
)

// TestRolesAreTheContracts holds the table to section 1 of the contract, which is written out here once more.
func TestRolesAreTheContracts(t *testing.T) {
	want := map[string]deploy.Role{
		"create_order": {Memory: 512, Timeout: 30, Method: "POST", Path: "/v1.0/orders"},
		"get_order":    {Memory: 512, Timeout: 30, Method: "GET", Path: "/v1.0/orders/{orderId}"},
		"list_orders":  {Memory: 512, Timeout: 30, Method: "GET", Path: "/v1.0/tenants/{tenantId}/orders"},
		"update_order": {Memory: 512, Timeout: 30, Method: "PUT", Path: "/v1.0/orders/{orderId}"},

		"order_creator_record":        {Memory: 512, Timeout: 30, Queue: "bbws-order-creation", BatchSize: 10, BatchWindow: 5, MaxConcurrency: 5},
		"order_pdf_creator":           {Memory: 512, Timeout: 60, Queue: "bbws-order-pdf", BatchSize: 5, BatchWindow: 2, MaxConcurrency: 10},
		"order_internal_notifier":     {Memory: 256, Timeout: 30, Queue: "bbws-order-internal-notify", BatchSize: 10, BatchWindow: 5, MaxConcurrency: 5},
		"customer_order_confirmation": {Memory: 256, Timeout: 30, Queue: "bbws-order-customer-notify", BatchSize: 10, BatchWindow: 5, MaxConcurrency: 5},
	}

	is := is.New(t)
	deployed, err := deploy.Roles()
	is.NoErr(err)
	is.Equal(len(deployed), len(want)) // eight roles
	for name, role := range deployed {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			role.Settings = nil        // held to the code's own table
			is.Equal(role, want[name]) // section 1
		})
	}
}

// TestSettingsAreTheCodes holds what each function is told to what its role reads.
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
