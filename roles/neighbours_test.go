package roles

import (
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
