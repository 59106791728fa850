// Preview renders sample orders as documents and mails into one folder with an
// index page, so that a person who changes a template or the layout sees
// everything at once. It needs pdftoppm.
//
//	preview DIRECTORY
package main

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

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: preview DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "preview:", err)
		os.Exit(1)
	}
}

//go:embed index.html
var index string

// An entry is what the index page shows of one order. The names of its files
// begin with its name.
type entry struct {
	Name      string
	Documents []drawing
	Mails     []string // customer-created, internal-created and so on
}

func run(dir string) error {
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
