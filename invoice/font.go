package invoice

import (
	_ "embed" // for the fonts
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/signintech/gopdf"
)

// A face is one of the two weights of the invoice's font.
type face int

const (
	regular face = iota
	semibold
	faces
)

func (f face) String() string {
	return [faces]string{"Invoice Sans Regular", "Invoice Sans SemiBold"}[f]
}

//go:embed fonts/InvoiceSans-Regular.ttf
var regularTTF []byte

//go:embed fonts/InvoiceSans-SemiBold.ttf
var semiboldTTF []byte

// placeholder stands for a character that the fonts do not have.
const placeholder = '□'

// fonts is what a process reads from the font files once: advances for the layout, gopdf's own reading for the painter.
type fonts struct {
	advances  [faces][]int16 // thousandths of the font size by character, -1 where there is no glyph
	container gopdf.FontContainer
}

// loadFonts reads the fonts on its first call in a process.
//
//nolint:gochecknoglobals // Never changes once it is read.
var loadFonts = sync.OnceValues(func() (*fonts, error) {
	var fs fonts
	for f, ttf := range [faces][]byte{regularTTF, semiboldTTF} {
		var err error
		if fs.advances[f], err = readAdvances(ttf); err != nil {
			return nil, fmt.Errorf("read %s: %w", face(f), err)
		}
		if err = fs.container.AddTTFFontData(face(f).String(), ttf); err != nil {
			return nil, fmt.Errorf("read %s: %w", face(f), err)
		}
	}
	return &fs, nil
})

// has reports whether the fonts have a glyph for the character.
func (fs *fonts) has(r rune) bool {
	a := fs.advances[regular]
	return int(r) < len(a) && a[r] >= 0
}

// advance returns the width of a character in thousandths of the font size, 0 where there is no glyph.
func (fs *fonts) advance(r rune, f face) int {
	if a := fs.advances[f]; int(r) < len(a) {
		return max(0, int(a[r]))
	}
	return 0
}

// width returns the width of a text in points.
func (fs *fonts) width(s string, f face, size float64) float64 {
	sum := 0
	for _, r := range s {
		sum += fs.advance(r, f)
	}
	return float64(sum) * size / 1000
}

// readAdvances returns the advance of every character of a TrueType font, -1 for characters without a glyph. The font
// must have 1000 units to the em and a character map of format 4 (OpenType specification, cmap and hmtx).
func readAdvances(ttf []byte) (advances []int16, err error) {
	defer func() {
		if recover() != nil { // An index out of range: the file is shorter than its tables say.
			err = errors.New("font is cut short")
		}
	}()
	u16 := func(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	tables := map[string][]byte{}
	for i := range u16(ttf, 4) {
		entry := ttf[12+16*i:]
		offset, length := binary.BigEndian.Uint32(entry[8:]), binary.BigEndian.Uint32(entry[12:])
		tables[string(entry[:4])] = ttf[offset : offset+length]
	}
	if u16(tables["head"], 18) != 1000 {
		return nil, errors.New("font does not have 1000 units to the em")
	}
	hmtx, metrics := tables["hmtx"], u16(tables["hhea"], 34)
	cmap := tables["cmap"]
	for i := range u16(cmap, 2) {
		sub := cmap[binary.BigEndian.Uint32(cmap[4+8*i+4:]):]
		if u16(sub, 0) != 4 {
			continue
		}
		segments := u16(sub, 6) / 2
		ends, starts := sub[14:], sub[16+2*segments:]
		deltas, offsets := sub[16+4*segments:], sub[16+6*segments:]
		for s := range segments {
			first, last := u16(starts, 2*s), u16(ends, 2*s)
			if last == 0xFFFF {
				break // The end of the map.
			}
			for len(advances) <= last {
				advances = append(advances, -1)
			}
			for c := first; c <= last; c++ {
				glyph := c
				if o := u16(offsets, 2*s); o != 0 {
					if glyph = u16(offsets, 2*s+o+2*(c-first)); glyph == 0 {
						continue
					}
				}
				glyph = (glyph + u16(deltas, 2*s)) & 0xFFFF
				advances[c] = int16(u16(hmtx, 4*min(glyph, metrics-1))) //nolint:gosec // Advances are below 2^15.
			}
		}
		return advances, nil
	}
	return nil, errors.New("font has no character map of format 4")
}
