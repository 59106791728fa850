package invoice

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/sample"
)

// newUsed returns the basic file of the regular face with what a text needs of it.
func newUsed(fs *fonts, text string) []*usedFont {
	u := newUsedFont(&fs.files[regular][basic], basic, len(fs.glyphs[regular]))
	for _, r := range text {
		u.use(r)
	}
	return []*usedFont{u}
}

func TestCommonCharacters(t *testing.T) {
	fs := testFonts(t)
	for r := range '~' + 1 {
		if (unicode.IsLetter(r) || unicode.IsDigit(r)) && !strings.ContainsRune(common, r) {
			t.Errorf("%q is not common", r)
		}
	}
	for _, r := range common {
		for f := range faces {
			if fs.glyph(r, f).part != basic {
				t.Errorf("%q is not in the basic file of face %d", r, f)
			}
		}
	}
}

func TestFontsDependOnTheCharactersOnly(t *testing.T) {
	is := is.New(t)
	fs := testFonts(t)
	plain, err := fs.makeFonts(newUsed(fs, "Order"))
	is.NoErr(err)
	is.Equal(len(plain), fontObjects)
	other, err := fs.makeFonts(newUsed(fs, "Invoice 12"))
	is.NoErr(err)
	is.True(slices.Equal(plain, other)) // Both texts are of common characters.

	first, err := fs.makeFonts(newUsed(fs, "Größe €"))
	is.NoErr(err)
	second, err := fs.makeFonts(newUsed(fs, "€ öß, ß"))
	is.NoErr(err)
	is.True(slices.Equal(first, second)) // in whatever order they come
	is.True(!slices.Equal(first, plain))
}

func TestFontsAreKept(t *testing.T) {
	is := is.New(t)
	fs := testFonts(t)
	fs.embeddings.mu.Lock()
	fs.embeddings.kept = nil
	fs.embeddings.mu.Unlock()
	plain, err := fs.embed(newUsed(fs, "Order"))
	is.NoErr(err)
	again, err := fs.embed(newUsed(fs, "Invoice"))
	is.NoErr(err)
	is.True(&plain[0] == &again[0]) // not made anew
	for r := 'À'; r < 'À'+mostKept; r++ {
		_, err := fs.embed(newUsed(fs, string(r)))
		is.NoErr(err)
		is.True(len(fs.embeddings.kept) <= mostKept)
	}
	back, err := fs.embed(newUsed(fs, "Order"))
	is.NoErr(err)
	is.True(&plain[0] != &back[0]) // It was among those that were let go,
	is.True(slices.Equal(plain, back))
}

// TestMostInvoicesHaveTheSameFonts is why fonts are kept: of the samples all but two have them in common.
func TestMostInvoicesHaveTheSameFonts(t *testing.T) {
	is := is.New(t)
	fs := testFonts(t)
	sets := map[*string]int{}
	most := 0
	for _, s := range sample.Orders() {
		p := painter{fonts: fs}
		pages := lay(fs, s.Order, shippedBrand(t)).pages
		for i := range pages {
			p.page(&pages[i])
		}
		objects, err := fs.embed(p.used)
		is.NoErr(err)
		sets[&objects[0]]++
		most = max(most, sets[&objects[0]])
	}
	is.Equal(most, len(sample.Orders())-2)
}

func TestResourcesWithoutAPlaceForFontsAreAnError(t *testing.T) {
	is := is.New(t)
	b, err := addFonts([]byte("<<\n\t/Font <<\n\t>>\n>>\n"), 2)
	is.NoErr(err)
	is.Equal(string(b), "<<\n\t/Font <<\n\t\t/F1 9 0 R\n\t\t/F2 14 0 R\n\t>>\n>>\n")
	_, err = addFonts([]byte(strings.Repeat("<<\n>>\n", 2)), 2)
	is.True(errors.Is(err, errUnexpected))
}
