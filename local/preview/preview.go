// Package preview shows sample orders as documents and mails, so that a person
// who changes a template, the branding or the layout sees what comes of it.
package preview

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/brand"
	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/order"
)

//go:embed index.html
var index string

// An entry is what the index page shows of one order. The names of its files
// begin with its name.
type entry struct {
	Name      string
	Documents []drawing
	Mails     []string // customer-created, internal-created and so on
}

// Write renders everything into one directory, with an index page. It needs
// pdftoppm.
func Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	shipped, logo, err := brand.Shipped()
	if err != nil {
		return err
	}
	var entries []entry
	for _, s := range sample.Orders() {
		e := entry{Name: s.Name}
		if e.Documents, err = documents(dir, s, shipped, logo); err != nil {
			return err
		}
		if e.Mails, err = mails(dir, s, shipped); err != nil {
			return err
		}
		entries = append(entries, e)
		if s.Name == "refunded" {
			plain := entry{Name: "plain-supplier"} // as if there were no branding
			s.Name = plain.Name
			if plain.Documents, err = documents(dir, s, order.PlainSupplier(), invoice.Logo{}); err != nil {
				return err
			}
			if plain.Mails, err = mails(dir, s, order.PlainSupplier()); err != nil {
				return err
			}
			entries = append(entries, plain)
		}
	}
	more, err := mailSamples(sample.Orders())
	if err != nil {
		return err
	}
	for _, s := range more {
		e := entry{Name: s.Name}
		if e.Mails, err = mails(dir, s, shipped); err != nil {
			return err
		}
		entries = append(entries, e)
	}
	page, err := template.New("index").Parse(index)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "index.html")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := page.Execute(file, entries); err != nil {
		return err
	}
	fmt.Println("open", path)
	return file.Close()
}
