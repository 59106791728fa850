// Preview renders sample orders as invoices and mails into one folder with an index page, so that a person who changes a
// template or the layout sees everything at once. It needs pdftoppm.
//
//	preview DIRECTORY
package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/brand"
	"github.com/bbws/order-lambda/local/sample"
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

// An entry is what the index page shows of one order. The names of its files begin with its name.
type entry struct {
	Name   string
	Report invoice.Report
	Bytes  int
	Pages  []string // the pictures of the invoice
	Mails  []string // customer, internal; none for an invoice in another brand
}

func run(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	shipped, err := brand.Shipped()
	if err != nil {
		return err
	}
	var entries []entry
	for _, s := range sample.Orders() {
		e, err := render(dir, s, shipped)
		if err != nil {
			return err
		}
		if err := mails(dir, s); err != nil {
			return err
		}
		e.Mails = []string{"customer", "internal"}
		entries = append(entries, e)
		if s.Name == "three-lines" {
			s.Name = "text-brand"
			if e, err = render(dir, s, invoice.TextBrand()); err != nil {
				return err
			}
			entries = append(entries, e)
		}
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

// render writes the invoice of a sample as a PDF and as pictures of its pages.
func render(dir string, s sample.Sample, b invoice.Brand) (entry, error) {
	pdf, report, err := invoice.Render(s.Order, b)
	if err != nil {
		return entry{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	path := filepath.Join(dir, s.Name)
	if err := os.WriteFile(path+".pdf", pdf, 0o644); err != nil {
		return entry{}, err
	}
	if out, err := exec.Command("pdftoppm", "-r", "96", "-png", path+".pdf", path+"-page").CombinedOutput(); err != nil {
		return entry{}, fmt.Errorf("pdftoppm (Debian package poppler-utils): %w: %s", err, out)
	}
	pages, err := filepath.Glob(path + "-page*.png")
	if err != nil {
		return entry{}, err
	}
	sort.Strings(pages)
	for i := range pages {
		pages[i] = filepath.Base(pages[i])
	}
	fmt.Printf("%-20s %d pages, %d bytes%s\n", s.Name, report.Pages, len(pdf),
		strings.Repeat(fmt.Sprintf(", %d placeholders", report.Missing), min(1, report.Missing)))
	return entry{Name: s.Name, Report: report, Bytes: len(pdf), Pages: pages}, nil
}
