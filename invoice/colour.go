package invoice

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A colour is red, green and blue.
type colour struct{ r, g, b uint8 }

// The colours that do not come from the supplier.
var (
	ink   = colour{0x1B, 0x1F, 0x24}
	grey  = colour{0x5B, 0x64, 0x70}
	line  = colour{0xDD, 0xE1, 0xE6}
	tint  = colour{0xF4, 0xF6, 0xF8}
	amber = colour{0x8A, 0x55, 0x00}
	green = colour{0x1A, 0x6B, 0x3C}
)

func (c colour) String() string { return fmt.Sprintf("#%02X%02X%02X", c.r, c.g, c.b) }

// accentOf returns a colour of the form #RRGGBB, dark enough to be read on
// white. If the text is not a colour, it returns ink.
func accentOf(s string) colour {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 24)
	if err != nil {
		return ink
	}
	c := colour{uint8(n >> 16), uint8(n >> 8), uint8(n)} //nolint:gosec // Cut to bytes on purpose.
	for c.luminance() > darkEnough {
		c = colour{c.r - c.r/10, c.g - c.g/10, c.b - c.b/10}
	}
	return c
}

// darkEnough is the luminance of a colour that has a contrast of 4.5 to 1 on
// white (WCAG 2.2, success criterion 1.4.3).
const darkEnough = 1.05/4.5 - 0.05

// luminance returns the relative luminance of a colour (WCAG 2.2), between 0
// and 1.
func (c colour) luminance() float64 {
	linear := func(v uint8) float64 {
		if s := float64(v) / 255; s > 0.04045 {
			return math.Pow((s+0.055)/1.055, 2.4)
		}
		return float64(v) / 255 / 12.92
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// pale returns a light tone of the colour, for what lies behind it.
func (c colour) pale() colour {
	mix := func(v uint8) uint8 { return uint8(255 - (255-int(v))*13/100) } //nolint:gosec // Between v and 255.
	return colour{mix(c.r), mix(c.g), mix(c.b)}
}
