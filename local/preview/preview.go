// Package preview shows sample orders as documents and mails, so that a person
// who changes a template, the branding or the layout sees what comes of it.
package preview

import (
	_ "embed"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/notify/templates"
	"github.com/bbws/order-lambda/order"
)

// Branding returns the supplier and the logo of a directory with company.json
// and logo.png.
func Branding(dir fs.FS) (supplier order.Supplier, logo invoice.Logo, err error) {
	company, err := fs.ReadFile(dir, "company.json")
	if err != nil {
		return supplier, logo, err
	}
	picture, err := fs.ReadFile(dir, "logo.png")
	if err != nil {
		return supplier, logo, err
	}
	if supplier, err = order.ParseSupplier(company); err != nil {
		return supplier, logo, err
	}
	logo, err = invoice.ParseLogo(picture)
	return supplier, logo, err
}

// senders returns the senders of all mails.
func senders() []*notify.Sender {
	return []*notify.Sender{
		notify.NewCustomer(nil, nil, notify.Settings{PortalURL: "https://portal.kimmyai.io"}, time.Now),
		notify.NewInternal(nil, nil, notify.Settings{PortalURL: "https://admin.kimmyai.io"}, time.Now),
	}
}

// Mail renders the mail of a template under its key, made with its text and
// with a branding, as the first sample order shows it that has such a mail. If
// the template is broken, the error says how. A key that no mail has is an
// error, too.
func Mail(key, template string, supplier order.Supplier) (notify.Message, error) {
	for _, s := range sample.Orders() {
		for _, e := range s.Order.History {
			for _, sender := range senders() {
				if sender.Serves(e.Type) && sender.Template(e.Type) == key {
					return sender.Render(s.Order.At(e.Sequence), e, supplier, template)
				}
			}
		}
	}
	return notify.Message{}, fmt.Errorf("no mail has the template %s", key)
}

// Document renders the documents of a sample order that was refunded, with a
// branding.
func Document(kind order.DocumentKind, supplier order.Supplier, logo invoice.Logo) ([]byte, error) {
	for _, s := range sample.Orders() {
		for _, i := range s.Issues() {
			if s.Name == "refunded" && i.Document.Kind == kind {
				pdf, _, err := invoice.Render(i.Order, i.Document, supplier, logo)
				return pdf, err
			}
		}
	}
	return nil, fmt.Errorf("there is no document %q", kind)
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

// A drawing is a document of an order, as a PDF and as pictures of its pages.
type drawing struct {
	File     string // of the PDF
	Report   invoice.Report
	Bytes    int
	Pictures []string
}

// Write renders everything into one directory, with an index page. It needs
// pdftoppm.
func Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	shipped, logo, err := Branding(branding.Files)
	if err != nil {
		return err
	}
	var entries []entry
	add := func(s sample.Sample, supplier order.Supplier, logo invoice.Logo) (err error) {
		e := entry{Name: s.Name}
		if e.Documents, err = documents(dir, s, supplier, logo); err != nil {
			return fmt.Errorf("documents of %s: %w", s.Name, err)
		}
		if e.Mails, err = mails(dir, s, supplier); err != nil {
			return fmt.Errorf("mails of %s: %w", s.Name, err)
		}
		entries = append(entries, e)
		return nil
	}
	for _, s := range sample.Orders() {
		if err := add(s, shipped, logo); err != nil {
			return err
		}
		if s.Name == "refunded" { // once more, as if there were no branding
			s.Name = "plain-supplier"
			if err := add(s, order.PlainSupplier(), invoice.Logo{}); err != nil {
				return err
			}
		}
	}
	page, err := template.New("index").Parse(index)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "index.html"))
	if err != nil {
		return err
	}
	if err := page.Execute(file, entries); err != nil {
		return err
	}
	fmt.Println("open", file.Name())
	return file.Close()
}

// documents draws what the history of a sample calls for, into NAME-KIND.pdf
// and a picture of each page.
func documents(dir string, s sample.Sample, supplier order.Supplier, logo invoice.Logo) ([]drawing, error) {
	var drawings []drawing
	for _, i := range s.Issues() {
		pdf, report, err := invoice.Render(i.Order, i.Document, supplier, logo)
		if err != nil {
			return nil, err
		}
		name := s.Name + "-" + strings.ReplaceAll(string(i.Document.Kind), "_", "-")
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".pdf", pdf, 0o644); err != nil {
			return nil, err
		}
		out, err := exec.Command("pdftoppm", "-r", "96", "-png", file+".pdf", file+"-page").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("pdftoppm (Debian package poppler-utils): %w: %s", err, out)
		}
		pictures, err := fs.Glob(os.DirFS(dir), name+"-page*.png")
		if err != nil {
			return nil, err
		}
		drawings = append(drawings, drawing{name + ".pdf", report, len(pdf), pictures})
		fmt.Printf("%-32s %d pages, %d bytes, %d placeholders\n", name+".pdf", report.Pages, len(pdf), report.Missing)
	}
	return drawings, nil
}

// mails renders every mail that an order's history calls for, made with the
// default templates, into files NAME-AUDIENCE-TYPE.html and .txt, and returns
// the names without the sample's.
func mails(dir string, s sample.Sample, supplier order.Supplier) (names []string, err error) {
	for _, e := range s.Order.History {
		for _, sender := range senders() {
			if !sender.Serves(e.Type) {
				continue
			}
			key := sender.Template(e.Type)
			src, err := templates.FS.ReadFile(key)
			if err != nil {
				return nil, err
			}
			message, err := sender.Render(s.Order.At(e.Sequence), e, supplier, string(src))
			if err != nil {
				return nil, err
			}
			name := path.Dir(key) + "-" + strings.TrimPrefix(string(e.Type), "order.")
			file := filepath.Join(dir, s.Name+"-"+name)
			if err := os.WriteFile(file+".html", []byte(message.HTML), 0o644); err != nil {
				return nil, err
			}
			if err := os.WriteFile(file+".txt", []byte("Subject: "+message.Subject+"\n\n"+message.Text), 0o644); err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	return names, nil
}
