package invoice

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// reference returns a face as another library reads it.
func reference(tb testing.TB, f face) *sfnt.Font {
	tb.Helper()
	parsed, err := sfnt.Parse([faces][]byte{regularTTF, semiboldTTF}[f])
	if err != nil {
		tb.Fatal(err)
	}
	return parsed
}

func TestAdvancesAreTheFonts(t *testing.T) {
	is := is.New(t)
	fs := testFonts(t)
	count := 0
	for f := range faces {
		ref := reference(t, f)
		var buf sfnt.Buffer
		for r := range rune(0x3000) {
			id, err := ref.GlyphIndex(&buf, r)
			is.NoErr(err)
			is.Equal(fs.has(r), id != 0) // Both faces have the same characters.
			if id == 0 {
				continue
			}
			count++
			advance, err := ref.GlyphAdvance(&buf, id, fixed.I(1000), font.HintingNone)
			is.NoErr(err)
			is.Equal(fixed.I(fs.advance(r, f)), advance)
		}
	}
	is.Equal(count, 2*1378) // every character of subset.py
}

// TestAlphabets says in plain words which texts are right.
func TestAlphabets(t *testing.T) {
	fs := testFonts(t)
	for name, alphabet := range map[string]string{
		"Afrikaans":    "áéíóúêëîïôöûŉ",
		"Czech":        "áčďéěíňóřšťúůýžÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ",
		"French":       "àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ«»",
		"German":       "äöüßÄÖÜẞ„“",
		"Greek":        "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΆΈΉΊΌΎΏΪΫ",
		"Hungarian":    "áéíóöőúüűŐŰ",
		"Icelandic":    "áéíóúýþæöðÞÐ",
		"Latvian":      "āčēģīķļņšūž",
		"Polish":       "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ",
		"Romanian":     "ăâîșțĂÂÎȘȚ",
		"Russian":      "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
		"Serbian":      "ђјљњћџЂЈЉЊЋЏ",
		"Tshivenda":    "ḓḽṋṅṱḒḼṊṄṰ",
		"Turkish":      "çğıöşüÇĞİÖŞÜ",
		"Ukrainian":    "ґєіїҐЄІЇ",
		"Vietnamese":   "ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ",
		"currencies":   "$€£¥₦₹₽₿₺₴₩₫¢",
		"punctuation":  "–—‘’“”„…•·†‡‰′″‹›⁄№™©®°±×÷−½¼¾²³",
		"placeholders": "□",
	} {
		for _, r := range alphabet {
			if !fs.has(r) {
				t.Errorf("%s: %q (%U) is missing", name, r, r)
			}
		}
	}
}

// TestInk draws every character of the fonts through gopdf and a PDF renderer,
// and compares its pixels with those that another library makes of the whole
// font: a composed letter that lost its accent looks right to everything that
// only extracts text.
func TestInk(t *testing.T) {
	const (
		cellWidth, cellHeight = 36, 30 // points
		originX, originY      = 10, 20 // of a character in its cell
		columns, rows         = 16, 27
		size                  = 14.0
		scale                 = 2 // pixels to the point
	)
	fs := testFonts(t)
	type cell struct {
		r rune
		f face
	}
	var cells []cell
	for f := range faces {
		for r := range fs.advances[f] {
			if fs.has(rune(r)) {
				cells = append(cells, cell{rune(r), f})
			}
		}
	}
	place := func(i int) (page, x, y int) {
		i, page = i%(columns*rows), i/(columns*rows)
		return page, i%columns*cellWidth + originX, i/columns*cellHeight + originY
	}
	pages := make([]page, (len(cells)+columns*rows-1)/(columns*rows))
	for i, c := range cells {
		n, x, y := place(i)
		pages[n].texts = append(pages[n].texts, text{
			x: float64(x), y: float64(y), s: string(c.r), style: style{face: c.f, size: size},
		})
	}
	pdf, err := paint(fs, pages, info{})
	if err != nil {
		t.Fatal(err)
	}
	drawn := rasterize(t, pdf, 72*scale, len(pages))

	var outlines [faces]font.Face
	for f := range faces {
		outlines[f], err = opentype.NewFace(reference(t, f), &opentype.FaceOptions{Size: size, DPI: 72 * scale})
		if err != nil {
			t.Fatal(err)
		}
	}
	wanted := image.NewAlpha(image.Rect(0, 0, cellWidth*scale, cellHeight*scale))
	// differs reports whether the i-th cell as it was drawn shows something else
	// than the character.
	differs := func(i int, r rune) bool {
		c := cells[i]
		clear(wanted.Pix)
		at, mask, from, _, _ := outlines[c.f].Glyph(fixed.P(originX*scale, originY*scale), r)
		draw.Draw(wanted, at, mask, from, draw.Src)
		n, x, y := place(i)
		corner := image.Pt((x-originX)*scale, (y-originY)*scale)
		ink, difference := 0, 0
		for py := range wanted.Rect.Dy() {
			gots := drawn[n].Pix[drawn[n].PixOffset(corner.X, corner.Y+py):]
			for px, w := range wanted.Pix[wanted.PixOffset(0, py):][:wanted.Rect.Dx()] {
				want, got := int(w), 255-int(gots[px])
				ink += want
				difference += max(want-got, got-want)
			}
		}
		return difference > ink*5/100+255 // A twentieth of the ink and one pixel: two renderers agree better than that.
	}
	bases := map[rune]rune{'š': 's', 'Ё': 'Е', 'ñ': 'n', 'ẵ': 'ă', 'į': 'i', 'İ': 'I', 'ḓ': 'd', 'ΐ': 'ι'}
	bad := 0
	for i, c := range cells {
		if differs(i, c.r) {
			bad++
			t.Errorf("%q (%U) in face %d has lost some of its ink", c.r, c.r, c.f)
		}
		if base, composed := bases[c.r]; composed && !differs(i, base) {
			t.Errorf("%q would pass for %q", base, c.r) // Then the test above could not fail.
		}
	}
	t.Logf("%d characters drawn", len(cells))
	if bad > 0 {
		keep(t, drawn)
	}
}

// keep writes pages for a person to look at, where go test has -artifacts.
func keep(tb testing.TB, pages []*image.Gray) {
	tb.Helper()
	dir := tb.ArtifactDir()
	for i, p := range pages {
		var b bytes.Buffer
		fmt.Fprintf(&b, "P5 %d %d 255\n", p.Rect.Dx(), p.Rect.Dy())
		b.Write(p.Pix)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("page-%d.pgm", i+1)), b.Bytes(), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("pages are in %s", dir)
}

// tool runs a program that a test needs, and returns what it prints.
func tool(tb testing.TB, debian, name string, args ...string) []byte {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%s is missing: run make setup, or install %s", name, debian)
	}
	out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}

// rasterize returns the pages of a PDF as images.
func rasterize(tb testing.TB, pdf []byte, dpi, pages int) []*image.Gray {
	tb.Helper()
	dir := tb.TempDir()
	path := filepath.Join(dir, "document.pdf")
	if err := os.WriteFile(path, pdf, 0o600); err != nil {
		tb.Fatal(err)
	}
	tool(tb, "poppler-utils", "pdftoppm", "-gray", "-r", fmt.Sprint(dpi), path, filepath.Join(dir, "page"))
	names, err := filepath.Glob(filepath.Join(dir, "page-*.pgm"))
	if err != nil || len(names) != pages {
		tb.Fatalf("%d pages of %d: %v", len(names), pages, err)
	}
	images := make([]*image.Gray, len(names))
	for i, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		in := bufio.NewReader(bytes.NewReader(file))
		var w, h, most int
		if _, err := fmt.Fscanf(in, "P5\n%d %d\n%d\n", &w, &h, &most); err != nil || most != 255 {
			tb.Fatalf("%s: not an image of 8 bits: %v", name, err)
		}
		images[i] = image.NewGray(image.Rect(0, 0, w, h))
		copy(images[i].Pix, file[len(file)-w*h:])
	}
	return images
}
