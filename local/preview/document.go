package preview

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/order"
)

// A drawing is a document of an order, as a PDF and as pictures of its pages.
type drawing struct {
	File     string // of the PDF
	Report   invoice.Report
	Bytes    int
	Pictures []string
}

// documents draws what the history of a sample calls for, into NAME-KIND.pdf
// and pictures.
func documents(dir string, s sample.Sample, from order.Supplier, logo invoice.Logo) ([]drawing, error) {
	var drawings []drawing
	for _, i := range s.Issues() {
		pdf, report, err := invoice.Render(i.Order, i.Document, from, logo)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		name := s.Name + "-" + strings.ReplaceAll(string(i.Document.Kind), "_", "-")
		d := drawing{File: name + ".pdf", Report: report, Bytes: len(pdf)}
		if err := os.WriteFile(filepath.Join(dir, d.File), pdf, 0o644); err != nil {
			return nil, err
		}
		if d.Pictures, err = pictures(dir, name); err != nil {
			return nil, err
		}
		drawings = append(drawings, d)
		fmt.Printf("%-32s %d pages, %d bytes%s\n", d.File, report.Pages, len(pdf),
			strings.Repeat(fmt.Sprintf(", %d placeholders", report.Missing), min(1, report.Missing)))
	}
	return drawings, nil
}

// pictures makes a picture of each page of NAME.pdf and returns their names.
func pictures(dir, name string) ([]string, error) {
	path := filepath.Join(dir, name)
	if out, err := exec.Command("pdftoppm", "-r", "96", "-png", path+".pdf", path+"-page").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pdftoppm (Debian package poppler-utils): %w: %s", err, out)
	}
	files, err := filepath.Glob(path + "-page*.png")
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	slices.Sort(files)
	return files, err
}
