package invoice

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/sample"
	"github.com/bbws/order-lambda/order"
)

func TestClean(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string
		missing  int
	}{
		"plain":               {"12 Long Street", "12 Long Street", 0},
		"decomposed":          {"e\u0301 Z\u030c Nguye\u0302\u0303n", "é Ž Nguyễn", 0},
		"mark without letter": {"ẹ\u0301", "ẹ\u0301", 0},
		"lines":               {"a\r\nb\tc\u2028d", "a  b c d", 0},
		"spaces":              {" \u00a0a\u202fb\u3000c ", "\u00a0a\u00a0b c", 0},
		"controls":            {"a\x00b\x1bc\x7fd\u0085", "abcd", 0},
		"zero width":          {"a\u200bb\u200dc\ufeffd\u2060", "abcd", 0},
		"bidirectional":       {"\u202eabc\u202c\u2066d\u2069\u200f", "abcd", 0},
		"soft hyphen":         {"soft\u00adhyphen", "softhyphen", 0},
		"Chinese":             {"茶 tea", "□ tea", 1},
		"Arabic with marks":   {"شَاي", "□□□", 3},
		"Hindi":               {"चाय", "□□", 2},
		"emoji with selector": {"❤\ufe0f 👩\u200d🚀", "□ □□", 3},
		"invalid UTF-8":       {"a\xffb", "a\ufffdb", 0},
		"non-characters":      {"a\ufffeb", "a□b", 1},
		"private use":         {"a\ue000b", "a□b", 1},
		"markup":              {"Tom & <b>Jerry</b><br/>", "Tom & <b>Jerry</b><br/>", 0},
		"too long":            {strings.Repeat("a", order.MaxText+1), strings.Repeat("a", order.MaxText) + "…", 0},
		"long enough":         {strings.Repeat("é", order.MaxText), strings.Repeat("é", order.MaxText), 0},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			cl := cleaner{fonts: testFonts(t)}
			if strings.Contains(c.want, "\ufffd") && !cl.fonts.has(utf8.RuneError) {
				c.want, c.missing = strings.ReplaceAll(c.want, "\ufffd", "□"), 1
			}
			is.Equal(cl.clean(c.in), strings.Trim(c.want, " "))
			is.Equal(cl.missing, c.missing)
		})
	}
}

func TestWrap(t *testing.T) {
	fs := testFonts(t)
	const size = 10
	width := fs.width("four words are here", regular, size)
	for name, c := range map[string]struct {
		in   string
		most int
		want []string
	}{
		"nothing":        {"", 3, nil},
		"fits":           {"four words are here", 3, []string{"four words are here"}},
		"after a space":  {"four words are here and there", 3, []string{"four words are here", "and there"}},
		"after a hyphen": {"four-words-are-here-and-there", 3, []string{"four-words-are-", "here-and-there"}},
		"within a word":  {"fourwordsareherefourwords", 3, []string{"fourwordsareheref", "ourwords"}},
		"cut": {
			"four words are here and there and everywhere", 2,
			[]string{"four words are here", "and there and eve…"},
		},
		"never in a figure": {"that makes R\u00a01\u00a0234,50", 3, []string{"that makes", "R\u00a01\u00a0234,50"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			got := fs.wrap(c.in, regular, size, width, c.most)
			is.Equal(got, c.want)
			for _, s := range got {
				is.True(fs.width(s, regular, size) <= width)
			}
		})
	}
}

// FuzzClean holds clean and wrap to what the rest of the layout relies on.
func FuzzClean(f *testing.F) {
	for _, s := range []string{
		"Tom & <b>Jerry</b>", "e\u0301\u200b\u202e", "日本 語", "a\xff", "  ", strings.Repeat("W", 300), "a-b/c–d",
	} {
		f.Add(s, uint8(100))
	}
	for _, o := range sample.Orders() {
		a := &o.Order.BillingAddress
		for _, s := range []string{o.Order.CustomerName, a.Street, a.Company, o.Order.Items[0].ProductName} {
			f.Add(s, uint8(200))
		}
	}
	fs := testFonts(f)
	f.Fuzz(func(t *testing.T, s string, points uint8) {
		c := cleaner{fonts: fs}
		clean := c.clean(s)
		for _, r := range clean {
			if !fs.has(r) {
				t.Fatalf("%q has no glyph", r)
			}
		}
		if utf8.RuneCountInString(clean) > order.MaxText+1 {
			t.Fatalf("%d characters", utf8.RuneCountInString(clean))
		}
		if again := (&cleaner{fonts: fs}).clean(clean); again != clean && utf8.RuneCountInString(clean) <= order.MaxText {
			t.Fatalf("%q becomes %q the second time", clean, again)
		}
		width := float64(points) + 20
		lines := fs.wrap(clean, regular, 9, width, order.MaxText+1)
		for _, line := range lines {
			if fs.width(line, regular, 9) > width {
				t.Fatalf("%q is wider than %g", line, width)
			}
		}
		got, want := strings.ReplaceAll(strings.Join(lines, ""), " ", ""), strings.ReplaceAll(clean, " ", "")
		if got != want {
			t.Fatalf("%q is left of %q", got, want)
		}
	})
}
