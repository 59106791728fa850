package invoice

import (
	"errors"
	"testing"

	"github.com/matryer/is"
)

func TestContentSaysWhatIsDrawn(t *testing.T) {
	is := is.New(t)
	var c content
	c.colour(colour{255, 27, 0})
	c.fill(box{48, 100.25, 499, 0.5})
	c.begin(-0.004, 836.996)
	c.font(12, 7.5)
	c.glyphs([]uint16{0, 0x1A, 0xBEEF})
	c.end()
	is.Equal(string(c), "1 0.106 0 rg\n"+
		"48 741.25 499 0.5 re f\n"+
		"BT\n"+
		"0 5 Td\n"+
		"/F12 7.5 Tf\n"+
		"<0000001ABEEF>Tj\n"+
		"ET\n")
}

func TestNumbersAreAsShortAsTheyCanBe(t *testing.T) {
	for _, c := range []struct {
		n, of int
		want  string
	}{
		{0, 100, "0 "},
		{7, 1, "7 "},
		{100, 100, "1 "},
		{150, 100, "1.5 "},
		{105, 100, "1.05 "},
		{5, 100, "0.05 "},
		{-1250, 100, "-12.5 "},
		{78, 1000, "0.078 "},
		{59_500, 100, "595 "},
	} {
		t.Run(c.want, func(t *testing.T) {
			is := is.New(t)
			var got content
			got.number(c.n, c.of)
			is.Equal(string(got), c.want)
		})
	}
}

// TestContentWithoutAPlaceIsAnError is for the day when gopdf writes its pages otherwise.
func TestContentWithoutAPlaceIsAnError(t *testing.T) {
	page := []byte("<<\n  /Type /Page\n  /Parent 2 0 R\n  /Resources 4 0 R\n  /Contents  1 0 R \n>>\n")
	for name, objects := range map[string][][]byte{
		"a page too few":              {[]byte("<<>>\n")},
		"a page too many":             {page, page},
		"a content that is not there": {[]byte("<<\n  /Type /Page\n  /Contents  2 0 R \n>>\n")},
		"a page without content":      {[]byte("<<\n  /Type /Page\n  /Contents \n>>\n")},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			_, err := contentsOf(objects, make([]pageContent, 1))
			is.True(errors.Is(err, errUnexpected))
		})
	}
	t.Run("an object that is no stream", func(t *testing.T) {
		is := is.New(t)
		var out assembly
		is.True(errors.Is(out.compress([]byte("<<>>\n"), pageContent{above: content("BT\n")}), errUnexpected))
	})
}
