// Preview renders sample orders as invoices and mails into one folder with an index page, so that a person who changes a
// template sees everything at once.
//
//	preview DIRECTORY
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/sample"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: preview DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	brand, err := shipped()
	if err != nil {
		return err
	}
	for _, s := range sample.Orders() {
		pdf, report, err := invoice.Render(s.Order, brand)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		path := filepath.Join(dir, s.Name+".pdf")
		if err := os.WriteFile(path, pdf, 0o644); err != nil {
			return err
		}
		if out, err := exec.Command("pdftoppm", "-r", "80", "-png", path, filepath.Join(dir, s.Name)).CombinedOutput(); err != nil {
			return fmt.Errorf("pdftoppm: %w: %s", err, out)
		}
		if err := mails(dir, s); err != nil {
			return err
		}
		fmt.Printf("%-20s %2d pages %6d bytes %3d placeholders\n", s.Name, report.Pages, len(pdf), report.Missing)
	}
	return nil
}

// shipped returns the branding that comes with the service.
func shipped() (invoice.Brand, error) {
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
