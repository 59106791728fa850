package invoice

import (
	"bytes"
	"fmt"
	"time"

	"github.com/signintech/gopdf"
)

// paint draws pages with gopdf. The streams of the result are not compressed.
func paint(fs *fonts, pages []page, title, author string, created time.Time) ([]byte, error) {
	var pdf gopdf.GoPdf
	pdf.Start(gopdf.Config{PageSize: gopdf.Rect{W: pageWidth, H: pageHeight}})
	pdf.SetInfo(gopdf.PdfInfo{Title: title, Author: author, CreationDate: created})
	for f := range faces {
		if err := pdf.AddTTFFontFromFontContainer(f.String(), &fs.container); err != nil {
			return nil, fmt.Errorf("use font %s: %w", f, err)
		}
	}
	for _, p := range pages {
		pdf.AddPage()
		if err := paintPage(&pdf, p); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if _, err := pdf.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write PDF: %w", err)
	}
	return b.Bytes(), nil
}

func paintPage(pdf *gopdf.GoPdf, p page) error {
	for _, f := range p.fills {
		pdf.SetFillColor(f.colour.r, f.colour.g, f.colour.b)
		if f.radius == 0 {
			pdf.RectFromUpperLeftWithStyle(f.x, f.y, f.w, f.h, "F")
			continue
		}
		if err := pdf.Rectangle(f.x, f.y, f.x+f.w, f.y+f.h, "F", f.radius, 8); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	for _, i := range p.images {
		holder, err := gopdf.ImageHolderByBytes(i.logo.data)
		if err != nil {
			return fmt.Errorf("logo: %w", err)
		}
		if err := pdf.ImageByHolder(holder, i.x, i.y, &gopdf.Rect{W: i.w, H: i.h}); err != nil {
			return fmt.Errorf("logo: %w", err)
		}
	}
	for _, t := range p.texts {
		if err := pdf.SetFont(t.face.String(), "", t.size); err != nil {
			return fmt.Errorf("font %s: %w", t.face, err)
		}
		pdf.SetTextColor(t.colour.r, t.colour.g, t.colour.b)
		pdf.SetXY(t.x, t.y)
		if err := pdf.Text(t.s); err != nil {
			return fmt.Errorf("text: %w", err)
		}
	}
	for _, l := range p.links {
		pdf.AddExternalLink(l.address, l.x, l.y, l.w, l.h)
	}
	return nil
}
