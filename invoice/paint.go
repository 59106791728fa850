package invoice

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/signintech/gopdf"
)

// A painting is a document before the finishing pass.
type painting struct {
	pdf   []byte // what gopdf wrote, not compressed, except for the fonts
	pages []pageContent
	fonts int // how many the pages use
}

// A pageContent is what goes around that which gopdf draws on a page.
type pageContent struct{ below, above content }

// A painter draws what is many on a page, texts and rectangles, itself: gopdf has a call of Fprintf for every glyph, and says font and
// place anew for every text, which took half of the time of a long invoice. The painter remembers what is set, so that the PDF
// says it once.
type painter struct {
	fonts   *fonts
	used    []*usedFont
	font    int // the place of the one that is set among those used, or -1
	size    float64
	colour  colour
	numbers []uint16 // of the glyphs of a run
}

// paint draws pages.
func paint(fs *fonts, pages []page) (painting, error) {
	p := painter{fonts: fs}
	done := painting{pages: make([]pageContent, len(pages))}
	for i := range pages {
		done.pages[i] = p.page(&pages[i])
	}
	done.fonts = len(p.used)
	objects, err := fs.embed(p.used)
	if err != nil {
		return painting{}, err
	}
	done.pdf, err = assemble(objects, pages)
	return done, err
}

func (p *painter) page(page *page) pageContent {
	const lines, texts = 2 << 10, 24 << 10 // bytes, of a full page
	c := pageContent{below: make(content, 0, lines), above: make(content, 0, texts)}
	p.colour = colour{} // A page begins in black.
	for _, f := range page.fills {
		if f.radius == 0 {
			p.setColour(&c.below, f.colour)
			c.below.fill(f.box)
		}
	}
	p.font = -1
	for i := range page.texts {
		if i == 0 { // gopdf has left some colour.
			p.colour = page.texts[i].colour
			c.above.colour(p.colour)
		}
		p.text(&c.above, &page.texts[i])
	}
	return c
}

// text draws a text in runs of one font file each.
func (p *painter) text(c *content, t *text) {
	p.setColour(c, t.colour)
	c.begin(t.x, t.y)
	for s := t.s; s != ""; {
		n, part := p.fonts.run(s, t.face)
		p.setFont(c, t.face, part, t.size)
		p.numbers = p.numbers[:0]
		for _, r := range s[:n] {
			p.used[p.font].use(r)
			p.numbers = append(p.numbers, p.glyph(r, t.face))
		}
		c.glyphs(p.numbers)
		s = s[n:]
	}
	c.end()
}

// glyph returns the number of a character's glyph in the font file that is set.
func (p *painter) glyph(r rune, f face) uint16 {
	if r == ' ' {
		return p.used[p.font].file.space
	}
	return p.fonts.glyph(r, f).number
}

func (p *painter) setFont(c *content, f face, pt part, size float64) {
	file := &p.fonts.files[f][pt]
	if p.font >= 0 && p.used[p.font].file == file && p.size == size {
		return
	}
	p.font = slices.IndexFunc(p.used, func(u *usedFont) bool { return u.file == file })
	if p.font < 0 {
		p.font = len(p.used)
		p.used = append(p.used, newUsedFont(file, pt, len(p.fonts.glyphs[f])))
	}
	p.size = size
	c.font(p.font+1, size)
}

func (p *painter) setColour(c *content, to colour) {
	if p.colour != to {
		c.colour(to)
		p.colour = to
	}
}

// assemble makes a document with gopdf: its fonts, and of its pages what the painter does not draw.
func assemble(fonts []string, pages []page) ([]byte, error) {
	var pdf gopdf.GoPdf
	pdf.Start(gopdf.Config{PageSize: gopdf.Rect{W: pageWidth, H: pageHeight}})
	pdf.SetNoCompression()
	if pdf.GetNextObjectID() != firstFont {
		return nil, errUnexpected
	}
	imported := make(map[int]string, len(fonts))
	for i, o := range fonts {
		imported[firstFont+i] = o
	}
	pdf.ImportObjects(imported, firstFont)
	for i := range pages {
		if err := addPage(&pdf, &pages[i]); err != nil {
			return nil, fmt.Errorf("paint page %d: %w", i+1, err)
		}
	}
	const usual = 64 << 10 // bytes, with a logo
	b := bytes.NewBuffer(make([]byte, 0, usual))
	if _, err := pdf.WriteTo(b); err != nil {
		return nil, fmt.Errorf("write PDF: %w", err)
	}
	return b.Bytes(), nil
}

func addPage(pdf *gopdf.GoPdf, page *page) error {
	pdf.AddPage()
	pdf.SetFillColor(0, 0, 0) // Without an operator there would be no content to put the painter's around.
	for _, f := range page.fills {
		if f.radius == 0 {
			continue
		}
		pdf.SetFillColor(f.colour.r, f.colour.g, f.colour.b)
		if err := pdf.Rectangle(f.x, f.y, f.x+f.w, f.y+f.h, "F", f.radius, 8); err != nil {
			return err
		}
	}
	for _, i := range page.images {
		holder, err := gopdf.ImageHolderByBytes(i.logo.data)
		if err != nil {
			return err
		}
		if err := pdf.ImageByHolder(holder, i.x, i.y, &gopdf.Rect{W: i.w, H: i.h}); err != nil {
			return err
		}
	}
	for _, l := range page.links {
		pdf.AddExternalLink(l.address, l.x, l.y, l.w, l.h)
	}
	return nil
}
