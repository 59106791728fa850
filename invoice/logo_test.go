package invoice

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	shipped "github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/order"
)

func TestLogoKinds(t *testing.T) {
	names, err := filepath.Glob("testdata/logo/*.*")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			is := is.New(t)
			file, err := os.ReadFile(name)
			is.NoErr(err)
			logo, err := ParseLogo(file)
			is.NoErr(err)

			// All show the same: pink on the left, blue on the right. The one
			// without colours shows greys.
			img, _, err := image.Decode(bytes.NewReader(logo.data))
			is.NoErr(err)
			is.Equal(img.Bounds(), image.Rect(0, 0, logo.width, logo.height))
			wantLeft, wantRight := color.RGBA{255, 127, 127, 255}, color.RGBA{0, 0, 255, 255}
			if strings.Contains(name, "gray") {
				wantLeft, wantRight = color.RGBA{127, 127, 127, 255}, color.RGBA{90, 90, 90, 255}
			}
			is.True(near(img.At(1, 1), wantLeft))
			is.True(near(img.At(logo.width-2, logo.height-2), wantRight))

			pdf := mustRender(t, issue(t, "one-line", order.ProForma), order.PlainSupplier(), logo)
			tool(t, "qpdf", "qpdf", "--check", save(t, pdf))
		})
	}
}

func near(got, want color.Color) bool {
	const slack = 24 << 8 // JPEG is not exact
	r, g, b, a := got.RGBA()
	wr, wg, wb, wa := want.RGBA()
	for _, d := range [...]int{int(r) - int(wr), int(g) - int(wg), int(b) - int(wb), int(a) - int(wa)} {
		if d > slack || d < -slack {
			return false
		}
	}
	return true
}

func TestLargeLogoIsMadeSmaller(t *testing.T) {
	for _, c := range []struct{ w, h, wantW, wantH int }{
		{600, 60, 480, 48},
		{30, 300, 14, 144},
		{500, 150, 480, 144},
		{480, 144, 480, 144},
		{30, 20, 30, 20},
		{1000, 1, 480, 1},
	} {
		is := is.New(t)
		img := image.NewRGBA(image.Rect(0, 0, c.w, c.h))
		for y := range c.h {
			for x := range c.w {
				img.Set(x, y, color.RGBA{200, 100, 50, 255})
			}
		}
		var b bytes.Buffer
		is.NoErr(png.Encode(&b, img))
		logo, err := ParseLogo(b.Bytes())
		is.NoErr(err)
		is.Equal([2]int{logo.width, logo.height}, [2]int{c.wantW, c.wantH})
		small, err := png.Decode(bytes.NewReader(logo.data))
		is.NoErr(err)
		last := color.RGBAModel.Convert(small.At(logo.width-1, logo.height-1))
		is.Equal(last, color.Color(color.RGBA{200, 100, 50, 255})) // the mean of equal pixels
	}
}

func TestBadLogos(t *testing.T) {
	var good bytes.Buffer
	if err := png.Encode(&good, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 64, 64)), nil); err != nil {
		t.Fatal(err)
	}
	// A head that promises more pixels than there may be, with the right
	// checksum.
	bomb := bytes.Clone(good.Bytes())
	binary.BigEndian.PutUint32(bomb[16:], 60_000)
	binary.BigEndian.PutUint32(bomb[20:], 60_000)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	flat := bytes.Clone(photo.Bytes())
	head := bytes.Index(flat, []byte{0xff, 0xc0}) // of the frame: length, precision, height, width
	binary.BigEndian.PutUint16(flat[head+5:], 0)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no height":        {flat, "no pixels"},
		"nothing":          {nil, "EOF"},
		"text":             {[]byte("<svg/>"), "invalid JPEG"},
		"cut PNG":          {good.Bytes()[:good.Len()-20], "EOF"},
		"cut JPEG":         {photo.Bytes()[:photo.Len()/2], "EOF"},
		"too many pixels":  {bomb, "60000 × 60000 pixels"},
		"too many bytes":   {make([]byte, maxLogoBytes+1), "more than 1048576 bytes"},
		"GIF":              {[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), "invalid JPEG"},
		"broken PNG chunk": {append(good.Bytes()[:40:40], 0xff, 0xff, 0xff, 0xff), "logo:"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			logo, err := ParseLogo(c.data)
			is.True(err != nil)
			is.True(logo.IsZero())
			is.True(strings.Contains(err.Error(), c.want)) // says what is wrong
		})
	}
}

func FuzzParseLogo(f *testing.F) {
	names, err := filepath.Glob("testdata/logo/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	logo, err := shipped.Files.ReadFile("logo.png")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(logo)
	one := issue(f, "one-line", order.ProForma)
	f.Fuzz(func(t *testing.T, data []byte) {
		logo, err := ParseLogo(data)
		if err != nil {
			return
		}
		if logo.width > logoWidth || logo.height > logoHeight {
			t.Errorf("%d × %d pixels", logo.width, logo.height)
		}
		mustRender(t, one, order.PlainSupplier(), logo)
	})
}

// A pixel of a logo that was made smaller is the mean of those that it covers.
func TestShrinkTakesMeans(t *testing.T) {
	is := is.New(t)
	src := image.NewRGBA(image.Rect(0, 0, 2*logoWidth, 4))
	for y := range 4 {
		for x := range 2 * logoWidth {
			src.SetRGBA(x, y, color.RGBA{uint8(x), uint8(50 * y), uint8(x / 4), 255})
		}
	}
	got := shrink(src)
	is.Equal(got.Rect, image.Rect(0, 0, logoWidth, 2))
	for y := range 2 {
		for x := range logoWidth {
			is.Equal(got.RGBAAt(x, y), color.RGBA{uint8(2*x + 1), uint8(100*y + 25), uint8(x / 2), 255})
		}
	}
}

func TestTallLogo(t *testing.T) {
	is := is.New(t)
	got := shrink(image.NewRGBA(image.Rect(0, 0, 100, 2*logoHeight)))
	is.Equal(got.Rect, image.Rect(0, 0, 50, logoHeight))
	i := issue(t, "three-lines", order.ProForma)
	l := lay(testFonts(t), i.Order, i.Document, testSupplier(), Logo{data: []byte{0}, width: 50, height: logoHeight})
	place := l.pages[0].images[0].box
	is.Equal(place.h, logoHeight/logoScale)
	is.True(place.w > 16.66 && place.w < 16.67) // in proportion
	l = lay(testFonts(t), i.Order, i.Document, testSupplier(), Logo{data: []byte{0}, width: logoWidth, height: 48})
	place = l.pages[0].images[0].box
	is.True(place.y > 55.99 && place.y < 56.01) // a flat one in the middle
}
