// Package brand has the branding that comes with the service, ready for use.
package brand

import (
	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/invoice/branding"
)

// Shipped returns it. It fails if what ships is not what an invoice can use.
func Shipped() (invoice.Brand, error) {
	company, err := branding.Files.ReadFile("company.json")
	if err != nil {
		return invoice.Brand{}, err
	}
	brand, err := invoice.ParseBrand(company)
	if err != nil {
		return invoice.Brand{}, err
	}
	logo, err := branding.Files.ReadFile("logo.png")
	if err != nil {
		return invoice.Brand{}, err
	}
	brand.Logo, err = invoice.ParseLogo(logo)
	return brand, err
}
