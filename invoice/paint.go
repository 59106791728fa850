package invoice

import (
	"bytes"
	_ "embed" // for the font files
	"fmt"
	"sync"
	"time"

	"github.com/signintech/gopdf"
	"github.com/signintech/gopdf/fontmaker/core"
)

// This file is the only one that knows gopdf: its fonts and its pages.

// A face is one of the two weights of the documents' font.
type face int

const (
	regular face = iota
	semibold
	faces
)

// The font files, as fonts/subset.py writes them.
var (
	//go:embed fonts/InvoiceSans-Regular.ttf
	regularTTF []byte
	//go:embed fonts/InvoiceSans-SemiBold.ttf
	semiboldTTF []byte
)

// family returns the name of a face in a PDF. gopdf makes a plus of its space,
// and so of its first word the tag of a subset (ISO 32000-1, section 9.6.4).
func (f face) family() string {
	return [faces]string{"INVOIC InvoiceSans-Regular", "INVOIC InvoiceSans-SemiBold"}[f]
}

// fonts is what a process reads from the font files.
type fonts struct {
	advances  [faces][]int16 // by character, in thousandths of the size; noGlyph
	container gopdf.FontContainer
}

const noGlyph = -1

// loadFonts reads the fonts on its first call in a process.
var loadFonts = sync.OnceValues(func() (*fonts, error) {
	fs := new(fonts)
	for f, ttf := range [faces][]byte{regularTTF, semiboldTTF} {
		if err := fs.load(face(f), ttf); err != nil {
			return nil, fmt.Errorf("read %s: %w", face(f).family(), err)
		}
	}
	return fs, nil
})

func (fs *fonts) load(f face, ttf []byte) error {
	var parsed core.TTFParser
	if err := parsed.ParseFontData(ttf); err != nil {
		return err
	}
	widths, em := parsed.Widths(), parsed.UnitsPerEm()
	for r, glyph := range parsed.Chars() {
		for len(fs.advances[f]) <= r {
			fs.advances[f] = append(fs.advances[f], noGlyph)
		}
		fs.advances[f][r] = int16(widths[glyph] * 1000 / em) //nolint:gosec // Two ems at most.
	}
	return fs.container.AddTTFFontData(f.family(), ttf)
}

// An info is what a PDF says about itself.
type info struct {
	title, author string
	created       time.Time
}

// paint draws pages. The same pages always make the same bytes.
func paint(fs *fonts, pages []page, d info) ([]byte, error) {
	p := painter{fonts: fs}
	p.pdf.Start(gopdf.Config{PageSize: gopdf.Rect{W: pageWidth, H: pageHeight}})
	p.pdf.SetInfo(gopdf.PdfInfo{Title: d.title, Author: d.author, CreationDate: d.created.UTC()})
	for i := range pages {
		if err := p.page(&pages[i]); err != nil {
			return nil, fmt.Errorf("paint page %d: %w", i+1, err)
		}
	}
	var b bytes.Buffer // gopdf does not report a writer that fails, so it gets one that does not.
	if _, err := p.pdf.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write PDF: %w", err)
	}
	return b.Bytes(), nil
}

type painter struct {
	pdf   gopdf.GoPdf
	fonts *fonts
	added [faces]bool // Each face costs its share of the file, so it is there if it is used.
}

func (p *painter) page(page *page) error {
	p.pdf.AddPage()
	for _, f := range page.fills {
		p.pdf.SetFillColor(f.colour.r, f.colour.g, f.colour.b)
		if f.radius == 0 {
			p.pdf.RectFromUpperLeftWithStyle(f.x, f.y, f.w, f.h, "F")
		} else if err := p.pdf.Rectangle(f.x, f.y, f.x+f.w, f.y+f.h, "F", f.radius, 8); err != nil {
			return err
		}
	}
	for _, i := range page.images {
		holder, err := gopdf.ImageHolderByBytes(i.logo.data)
		if err != nil {
			return err
		}
		if err := p.pdf.ImageByHolder(holder, i.x, i.y, &gopdf.Rect{W: i.w, H: i.h}); err != nil {
			return err
		}
	}
	for i := range page.texts {
		if err := p.text(&page.texts[i]); err != nil {
			return err
		}
	}
	for _, l := range page.links {
		p.pdf.AddExternalLink(l.address, l.x, l.y, l.w, l.h)
	}
	return nil
}

func (p *painter) text(t *text) error {
	family := t.face.family()
	if !p.added[t.face] {
		if err := p.pdf.AddTTFFontFromFontContainer(family, &p.fonts.container); err != nil {
			return err
		}
		p.added[t.face] = true
	}
	if err := p.pdf.SetFont(family, "", t.size); err != nil {
		return err
	}
	p.pdf.SetTextColor(t.colour.r, t.colour.g, t.colour.b)
	p.pdf.SetXY(t.x, t.y)
	return p.pdf.Text(t.s)
}
