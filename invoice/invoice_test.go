package invoice_test

import (
	"bytes"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/sample"
)

func TestRenderTwiceGivesTheSameBytes(t *testing.T) {
	for _, s := range sample.Orders() {
		t.Run(s.Name, func(t *testing.T) {
			is := is.New(t)
			first, _, err := invoice.Render(s.Order, invoice.TextBrand())
			is.NoErr(err)
			second, _, err := invoice.Render(s.Order, invoice.TextBrand())
			is.NoErr(err)
			is.True(bytes.Equal(first, second)) // The same order always gives the same bytes.
		})
	}
}
