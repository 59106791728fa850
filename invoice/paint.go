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
}

// A pageContent is what goes around that which gopdf drew on a page.
type pageContent struct{ below, above content }

// A painter makes a document with gopdf, and draws with it what is rare on a page. Texts and rectangles, which are many, it writes
// itself: gopdf has a call of Fprintf for every glyph, and says font and place anew for every text, which took half of the
// time of a long invoice. The painter remembers what is set, so that the PDF says it once.
type painter struct {
	pdf     gopdf.GoPdf
	fonts   *fonts
	used    []*usedFont
	font    *usedFont
	size    float64
	colour  colour
	numbers []uint16 // of the glyphs of a run
}

// A usedFont is a font file that the document needs, and which characters of it.
type usedFont struct {
	file   *fontFile
	number int // by which the pages know it
	chars  []rune
	seen   []bool // by character
}

// paint draws pages.
func paint(fs *fonts, pages []page) (painting, error) {
	p := painter{fonts: fs}
	p.pdf.Start(gopdf.Config{PageSize: gopdf.Rect{W: pageWidth, H: pageHeight}})
	p.pdf.SetNoCompression()
	done := painting{pages: make([]pageContent, len(pages))}
	for i := range pages {
		var err error
		if done.pages[i], err = p.page(&pages[i]); err != nil {
			return painting{}, fmt.Errorf("paint page %d: %w", i+1, err)
		}
	}
	if err := p.embed(); err != nil {
		return painting{}, err
	}
	const usual = 64 << 10 // bytes, with a logo
	b := bytes.NewBuffer(make([]byte, 0, usual))
	if _, err := p.pdf.WriteTo(b); err != nil {
		return painting{}, fmt.Errorf("write PDF: %w", err)
	}
	done.pdf = b.Bytes()
	return done, nil
}

func (p *painter) page(page *page) (pageContent, error) {
	const lines, texts = 2 << 10, 24 << 10 // bytes, of a full page
	c := pageContent{below: make(content, 0, lines), above: make(content, 0, texts)}
	p.font, p.colour = nil, colour{} // A page begins in black.
	for _, f := range page.fills {
		if f.radius == 0 {
			p.setColour(&c.below, f.colour)
			c.below.fill(f.box)
		}
	}
	if err := p.rare(page); err != nil {
		return pageContent{}, err
	}
	for i := range page.texts {
		p.text(&c.above, &page.texts[i])
	}
	return c, nil
}

// rare draws what gopdf draws.
func (p *painter) rare(page *page) error {
	p.pdf.AddPage()
	p.pdf.SetFillColor(p.colour.r, p.colour.g, p.colour.b) // Without an operator there would be no content to put ours around.
	for _, f := range page.fills {
		if f.radius == 0 {
			continue
		}
		p.pdf.SetFillColor(f.colour.r, f.colour.g, f.colour.b)
		p.colour = f.colour
		if err := p.pdf.Rectangle(f.x, f.y, f.x+f.w, f.y+f.h, "F", f.radius, 8); err != nil {
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
	for _, l := range page.links {
		p.pdf.AddExternalLink(l.address, l.x, l.y, l.w, l.h)
	}
	return nil
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
			p.numbers = append(p.numbers, p.glyph(r, t.face))
		}
		c.glyphs(p.numbers)
		s = s[n:]
	}
	c.end()
}

// glyph returns the number of a character's glyph in the font file that is set, and sees to it that the document has it.
func (p *painter) glyph(r rune, f face) uint16 {
	if !p.font.seen[r] {
		p.font.seen[r] = true
		p.font.chars = append(p.font.chars, r)
	}
	if r == ' ' {
		return p.font.file.space
	}
	return p.fonts.glyph(r, f).number
}

func (p *painter) setFont(c *content, f face, pt part, size float64) {
	file := &p.fonts.files[f][pt]
	if p.font != nil && p.font.file == file && p.size == size {
		return
	}
	i := slices.IndexFunc(p.used, func(u *usedFont) bool { return u.file == file })
	if i < 0 {
		i = len(p.used)
		p.used = append(p.used, &usedFont{file: file, number: i + 1, seen: make([]bool, len(p.fonts.glyphs[f]))})
	}
	p.font, p.size = p.used[i], size
	c.font(p.font.number, size)
}

func (p *painter) setColour(c *content, to colour) {
	if p.colour != to {
		c.colour(to)
		p.colour = to
	}
}

// embed has gopdf put the fonts into the document, with the glyphs that are used: measuring a text is what makes it take them.
func (p *painter) embed() error {
	for _, u := range p.used {
		if err := u.file.parse(); err != nil {
			return fmt.Errorf("read %s: %w", u.file.family, err)
		}
		if err := p.pdf.AddTTFFontFromFontContainer(u.file.family, &p.fonts.container); err != nil {
			return fmt.Errorf("use %s: %w", u.file.family, err)
		}
		if err := p.pdf.SetFont(u.file.family, "", 1); err != nil {
			return fmt.Errorf("use %s: %w", u.file.family, err)
		}
		if _, err := p.pdf.MeasureTextWidth(string(u.chars)); err != nil {
			return fmt.Errorf("use %s: %w", u.file.family, err)
		}
	}
	return nil
}
