package invoice

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/signintech/gopdf"
)

// common are the characters of nearly every invoice. A document has them all in each basic font file that it uses: so most
// documents have the same fonts, which are made once in a process. An invoice of three lines is 3 kB larger for it, and takes a third
// of the time.
const common = " \u00a0.,:'&@/()%+-–−0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// A usedFont is a font file that a document needs, and which characters of it.
type usedFont struct {
	file  *fontFile
	basic bool   // has the common characters
	seen  []bool // by character
	rare  []rune // those that are not common
}

func newUsedFont(file *fontFile, pt part, characters int) *usedFont {
	u := &usedFont{file: file, basic: pt == basic, seen: make([]bool, characters)}
	if u.basic {
		for _, r := range common {
			u.seen[r] = true
		}
	}
	return u
}

// use sees to it that documents have a character of the font.
func (u *usedFont) use(r rune) {
	if !u.seen[r] {
		u.seen[r] = true
		u.rare = append(u.rare, r)
	}
}

// chars returns all that a document has of the font, in an order that depends on nothing else.
func (u *usedFont) chars() string {
	slices.Sort(u.rare)
	if u.basic {
		return common + string(u.rare)
	}
	return string(u.rare)
}

const (
	firstFont   = 5 // the number of a document's first object that is of a font
	fontObjects = 5 // how many objects a font has; the last is the one that pages refer to
	mostKept    = 32
)

// embeddings keeps the fonts of documents, as the objects that gopdf makes of them, by their files and characters. It may be
// used by several goroutines at a time.
type embeddings struct {
	mu   sync.Mutex
	kept map[string][]string
}

// embed returns the objects of the fonts that a document uses. The first has the number firstFont. The same fonts and
// characters always make the same objects.
func (fs *fonts) embed(used []*usedFont) ([]string, error) {
	var key strings.Builder
	for _, u := range used {
		key.WriteString(u.file.name + "\x00" + u.chars() + "\x00")
	}
	e := &fs.embeddings
	e.mu.Lock()
	objects, found := e.kept[key.String()]
	e.mu.Unlock()
	if found {
		return objects, nil
	}
	objects, err := fs.makeFonts(used)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) >= mostKept || e.kept == nil {
		e.kept = map[string][]string{} // The common ones will soon be back.
	}
	e.kept[key.String()] = objects
	return objects, nil
}

// makeFonts makes a document without pages, for its fonts. Measuring a text is what makes gopdf take its characters.
func (fs *fonts) makeFonts(used []*usedFont) ([]string, error) {
	var pdf gopdf.GoPdf
	pdf.Start(gopdf.Config{})
	for _, u := range used {
		if err := u.file.parse(); err != nil {
			return nil, fmt.Errorf("read %s: %w", u.file.name, err)
		}
		if err := pdf.AddTTFFontFromFontContainer(u.file.family, &fs.container); err != nil {
			return nil, fmt.Errorf("use %s: %w", u.file.name, err)
		}
		if err := pdf.SetFont(u.file.family, "", 1); err != nil {
			return nil, fmt.Errorf("use %s: %w", u.file.name, err)
		}
		if _, err := pdf.MeasureTextWidth(u.chars()); err != nil {
			return nil, fmt.Errorf("use %s: %w", u.file.name, err)
		}
	}
	var b bytes.Buffer
	if _, err := pdf.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write fonts: %w", err)
	}
	all, err := split(b.Bytes())
	if err != nil {
		return nil, err
	}
	if len(all) != firstFont-1+len(used)*fontObjects {
		return nil, errUnexpected
	}
	var objects []string
	for _, o := range all[firstFont-1:] {
		objects = append(objects, string(o))
	}
	return objects, nil
}

// addFonts adds to gopdf's resources the fonts of a document. They are F1, F2 and so on.
func addFonts(resources []byte, fonts int) ([]byte, error) {
	const names = "/Font <<\n"
	before, after, found := bytes.Cut(resources, []byte(names))
	if !found {
		return nil, errUnexpected
	}
	b := slices.Concat(before, []byte(names))
	for i := range fonts {
		b = fmt.Appendf(b, "\t\t/F%d %d 0 R\n", i+1, firstFont-1+(i+1)*fontObjects)
	}
	return append(b, after...), nil
}
