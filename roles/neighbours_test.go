package roles

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/matryer/is"
)

func TestNeighbours(t *testing.T) {
	for role, want := range map[string][]string{
		"create_order":                {"DynamoDB", "SQS"},
		"get_order":                   {"DynamoDB"},
		"list_orders":                 {"DynamoDB"},
		"update_order":                {"DynamoDB"},
		"order_creator_record":        {"DynamoDB", "https://api-dev.bbws.io/v1.0/cart", "SNS"},
		"order_pdf_creator":           {"DynamoDB", "S3 orders"},
		"order_internal_notifier":     {"DynamoDB", "SESv2"},
		"customer_order_confirmation": {"DynamoDB", "SESv2"},
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			settings, err := Configure(getter(complete(role)))
			is.NoErr(err)
			is.Equal(settings.Neighbours(), want) // whom the role calls
		})
	}
}

func TestPrepare(t *testing.T) {
	for role, want := range map[string][]string{
		"create_order":                nil,
		"get_order":                   nil,
		"list_orders":                 nil,
		"update_order":                nil,
		"order_creator_record":        nil,
		"order_pdf_creator":           {"/branding/company.json", "/branding/logo.png"},
		"order_internal_notifier":     {"/branding/company.json", "/internal/order_notification.html"},
		"customer_order_confirmation": {"/branding/company.json", "/customer/order_confirmation.html"},
	} {
		t.Run(role, func(t *testing.T) {
			is := is.New(t)
			a := newAccount(t, role)
			var mu sync.Mutex
			var asked []string
			a.next = func(_ http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, strings.TrimPrefix(r.URL.Path, "/templates"))
				return false
			}
			a.build(t, complete(role), io.Discard).(Handler).Prepare(t.Context())
			slices.Sort(asked)
			is.Equal(asked, want) // what the role reads before its first event
		})
	}
}
