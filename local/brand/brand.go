// Package brand has the branding that comes with the service, ready for use.
package brand

import (
	"io/fs"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/order"
)

// Shipped returns the supplier and the logo. It fails if what ships is not what
// a document can use.
func Shipped() (order.Supplier, invoice.Logo, error) { return Read(branding.Files) }

// Read returns the supplier and the logo of a directory with company.json and
// logo.png.
func Read(dir fs.FS) (order.Supplier, invoice.Logo, error) {
	company, err := fs.ReadFile(dir, "company.json")
	if err != nil {
		return order.Supplier{}, invoice.Logo{}, err
	}
	supplier, err := order.ParseSupplier(company)
	if err != nil {
		return order.Supplier{}, invoice.Logo{}, err
	}
	picture, err := fs.ReadFile(dir, "logo.png")
	if err != nil {
		return order.Supplier{}, invoice.Logo{}, err
	}
	logo, err := invoice.ParseLogo(picture)
	return supplier, logo, err
}
