package invoice

import (
	_ "embed" // for the font files
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/signintech/gopdf"
)

// A face is one of the two weights of the invoice's font.
type face int

const (
	regular face = iota
	semibold
	faces
)

// A part is one of the two files of a face: a PDF carries the metrics of a whole file, so what few invoices need is kept apart.
type part uint8

const (
	absent part = iota // of characters that the font does not have
	basic
	extended
	parts
)

// The font files, as subset.py writes them.
var (
	//go:embed fonts/InvoiceSans-Regular.ttf
	regularTTF []byte
	//go:embed fonts/InvoiceSans-RegularExtended.ttf
	regularExtendedTTF []byte
	//go:embed fonts/InvoiceSans-SemiBold.ttf
	semiboldTTF []byte
	//go:embed fonts/InvoiceSans-SemiBoldExtended.ttf
	semiboldExtendedTTF []byte
)

// placeholder stands for a character that the fonts do not have.
const placeholder = '□'

// A glyph says where a character is found and how wide it is, in thousandths of the font size.
type glyph struct {
	advance int16
	number  uint16 // in the file of its part
	part    part
}

// fonts is what a process reads from the font files: advances for the layout, and gopdf's own reading for the painter.
// The compressors are here because they, too, are worth keeping: each new one takes a megabyte.
type fonts struct {
	glyphs      [faces][]glyph // by character
	files       [faces][parts]fontFile
	container   gopdf.FontContainer
	embeddings  embeddings
	compressors sync.Pool // of *zlib.Writer
}

// A fontFile is a part of a face as the painter knows it.
type fontFile struct {
	name   string
	ttf    []byte
	space  uint16       // the number of its glyph for a space: each part has one
	family string       // gopdf makes its space a plus, and so its prefix the tag of a subset (ISO 32000-1, section 9.6.4)
	parse  func() error // fills the container, once
}

// loadFonts reads the fonts on its first call in a process.
//
//nolint:gochecknoglobals // Never changes once it is read.
var loadFonts = sync.OnceValues(func() (*fonts, error) {
	fs := &fonts{files: [faces][parts]fontFile{
		regular:  {basic: {name: "InvoiceSans-Regular", ttf: regularTTF}, extended: {name: "InvoiceSans-RegularExtended", ttf: regularExtendedTTF}},
		semibold: {basic: {name: "InvoiceSans-SemiBold", ttf: semiboldTTF}, extended: {name: "InvoiceSans-SemiBoldExtended", ttf: semiboldExtendedTTF}},
	}}
	for f := range faces {
		for p := basic; p < parts; p++ {
			file := &fs.files[f][p]
			var err error
			if fs.glyphs[f], file.space, err = readGlyphs(fs.glyphs[f], file.ttf, p); err != nil {
				return nil, fmt.Errorf("read %s: %w", file.name, err)
			}
			file.family = "INVOIC " + file.name
			file.parse = sync.OnceValue(func() error { return fs.container.AddTTFFontData(file.family, file.ttf) })
		}
	}
	return fs, nil
})

func (fs *fonts) glyph(r rune, f face) glyph {
	if g := fs.glyphs[f]; int(r) < len(g) {
		return g[r]
	}
	return glyph{}
}

// has reports whether the fonts have a glyph for the character. Both faces have the same.
func (fs *fonts) has(r rune) bool { return fs.glyph(r, regular).part != absent }

// advance returns the width of a character in thousandths of the font size, 0 where there is no glyph.
func (fs *fonts) advance(r rune, f face) int { return int(fs.glyph(r, f).advance) }

// width returns the width of a text in points.
func (fs *fonts) width(s string, f face, size float64) float64 {
	sum := 0
	for _, r := range s {
		sum += fs.advance(r, f)
	}
	return float64(sum) * size / 1000
}

// run returns how many bytes at the start of a text are in the same part, and which. A space goes with what stands before it.
func (fs *fonts) run(s string, f face) (int, part) {
	first, n := utf8.DecodeRuneInString(s)
	p := fs.glyph(first, f).part
	for i, r := range s[n:] {
		if r != ' ' && fs.glyph(r, f).part != p {
			return n + i, p
		}
	}
	return len(s), p
}

// readGlyphs adds the characters of a TrueType font to a table, except those that are in it, and returns the font's own glyph for a
// space, too. The font must have 1000 units to the em and a character map of format 4 (OpenType specification, cmap and hmtx).
func readGlyphs(table []glyph, ttf []byte, p part) (glyphs []glyph, space uint16, err error) {
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
		return nil, 0, errors.New("font does not have 1000 units to the em")
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
		last := u16(ends, 2*(segments-2)) // The last segment only ends the map.
		table = append(table, make([]glyph, max(0, last+1-len(table)))...)
		for s := range segments - 1 {
			first, last := u16(starts, 2*s), u16(ends, 2*s)
			for c := first; c <= last; c++ {
				id := c
				if o := u16(offsets, 2*s); o != 0 {
					if id = u16(offsets, 2*s+o+2*(c-first)); id == 0 {
						continue
					}
				}
				id = (id + u16(deltas, 2*s)) & 0xFFFF
				if c == ' ' {
					space = uint16(id) //nolint:gosec // Cut to 16 bits above.
				}
				if table[c].part == absent {
					table[c] = glyph{int16(u16(hmtx, 4*min(id, metrics-1))), uint16(id), p} //nolint:gosec // Advances are below 2^15.
				}
			}
		}
		return table, space, nil
	}
	return nil, 0, errors.New("font has no character map of format 4")
}
