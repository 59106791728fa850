package invoice

import (
	"math"
	"strconv"
)

// A content is what is drawn on pages, as PDF says it (ISO 32000-1, sections 8.5 and 9.4). Places are in points from the page's
// upper left corner; they are kept to a hundredth.
type content []byte

// colour sets the colour of what follows.
func (c *content) colour(to colour) {
	for _, v := range [...]uint8{to.r, to.g, to.b} {
		c.number((int(v)*1000+127)/255, 1000)
	}
	*c = append(*c, "rg\n"...)
}

// fill draws a rectangle.
func (c *content) fill(b box) {
	c.points(b.x)
	c.points(pageHeight - b.y - b.h)
	c.points(b.w)
	c.points(b.h)
	*c = append(*c, "re f\n"...)
}

// begin begins a text at the start of its baseline.
func (c *content) begin(x, y float64) {
	*c = append(*c, "BT\n"...)
	c.points(x)
	c.points(pageHeight - y)
	*c = append(*c, "Td\n"...)
}

// font sets a font, by the number that the document has for it, in a size in points.
func (c *content) font(number int, size float64) {
	*c = append(*c, "/F"...)
	c.number(number, 1)
	c.points(size)
	*c = append(*c, "Tf\n"...)
}

// glyphs draws glyphs, by their numbers in the font file, behind those that the text already has.
func (c *content) glyphs(numbers []uint16) {
	const hex = "0123456789ABCDEF"
	*c = append(*c, '<')
	for _, n := range numbers {
		*c = append(*c, hex[n>>12], hex[n>>8&15], hex[n>>4&15], hex[n&15])
	}
	*c = append(*c, ">Tj\n"...)
}

func (c *content) end() { *c = append(*c, "ET\n"...) }

func (c *content) points(v float64) { c.number(int(math.Round(v*100)), 100) }

// number writes n/of and a space; of is a power of ten.
func (c *content) number(n, of int) {
	if n < 0 {
		*c = append(*c, '-')
		n = -n
	}
	*c = strconv.AppendInt(*c, int64(n/of), 10)
	if n %= of; n != 0 {
		*c = append(*c, '.')
		for n != 0 {
			of /= 10
			*c = append(*c, '0'+byte(n/of)) //nolint:gosec // A digit.
			n %= of
		}
	}
	*c = append(*c, ' ')
}
