package invoice

import (
	"bytes"
	"fmt"

	"github.com/signintech/gopdf"
)

// A painter draws pages with gopdf. It remembers what is set, so that the PDF says each thing once.
type painter struct {
	pdf    gopdf.GoPdf
	fonts  *fonts
	used   [faces][parts]bool
	font   *fontFile
	size   float64
	colour colour
}

// paint draws pages. The result is not compressed, except for the fonts.
func paint(fs *fonts, pages []page) ([]byte, error) {
	p := painter{fonts: fs}
	p.pdf.Start(gopdf.Config{PageSize: gopdf.Rect{W: pageWidth, H: pageHeight}})
	p.pdf.SetNoCompression()
	for i := range pages {
		if err := p.page(&pages[i]); err != nil {
			return nil, fmt.Errorf("paint page %d: %w", i+1, err)
		}
	}
	const most = 32 << 10 // bytes of a page, without compression
	b := bytes.NewBuffer(make([]byte, 0, (len(pages)+2)*most))
	if _, err := p.pdf.WriteTo(b); err != nil {
		return nil, fmt.Errorf("write PDF: %w", err)
	}
	return b.Bytes(), nil
}

func (p *painter) page(page *page) error {
	p.pdf.AddPage()
	p.font, p.colour = nil, colour{} // A page begins in black.
	for _, f := range page.fills {
		p.setColour(f.colour)
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
	for _, t := range page.texts {
		if err := p.text(t); err != nil {
			return err
		}
	}
	for _, l := range page.links {
		p.pdf.AddExternalLink(l.address, l.x, l.y, l.w, l.h)
	}
	return nil
}

// text draws a text in runs of one font file each.
func (p *painter) text(t text) error {
	p.setColour(t.colour)
	for s := t.s; s != ""; {
		n, part := p.fonts.run(s, t.face)
		if err := p.setFont(t.face, part, t.size); err != nil {
			return err
		}
		p.pdf.SetXY(t.x, t.y)
		if err := p.pdf.Text(s[:n]); err != nil {
			return err
		}
		t.x += p.fonts.width(s[:n], t.face, t.size)
		s = s[n:]
	}
	return nil
}

func (p *painter) setFont(f face, pt part, size float64) error {
	file := &p.fonts.files[f][pt]
	if file == p.font && size == p.size {
		return nil
	}
	if !p.used[f][pt] {
		if err := file.parse(); err != nil {
			return fmt.Errorf("read %s: %w", file.family, err)
		}
		if err := p.pdf.AddTTFFontFromFontContainer(file.family, &p.fonts.container); err != nil {
			return fmt.Errorf("use %s: %w", file.family, err)
		}
		p.used[f][pt] = true
	}
	p.font, p.size = file, size
	return p.pdf.SetFont(file.family, "", size)
}

// setColour sets the colour of fills. Texts take it too, as long as gopdf is never told a colour for texts.
func (p *painter) setColour(c colour) {
	if p.colour != c {
		p.pdf.SetFillColor(c.r, c.g, c.b)
		p.colour = c
	}
}
