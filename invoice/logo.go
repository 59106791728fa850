package invoice

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
)

// The limits of a logo, as it comes and as it is printed.
const (
	maxLogoBytes  = 1 << 20
	maxLogoPixels = 4 << 20
	logoScale     = 3.0 // pixels to the point
	logoWidth     = 480 // pixels
	logoHeight    = 144
)

// A Logo is an image that is ready to be printed: opaque, in eight bits a
// channel, no larger than it is shown. The zero value is no logo.
type Logo struct {
	data          []byte // PNG or JPEG
	width, height int    // pixels
}

// IsZero reports whether there is no logo.
func (l Logo) IsZero() bool { return l.data == nil }

// ParseLogo reads a PNG of any kind or a JPEG, of at most 1 MiB and 4
// megapixels. Transparent pixels become white. An image that is too large for
// the page is made smaller.
func ParseLogo(data []byte) (Logo, error) {
	if len(data) > maxLogoBytes {
		return Logo{}, fmt.Errorf("logo: more than %d bytes", maxLogoBytes)
	}
	isPNG := bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n"))
	readConfig, read := jpeg.DecodeConfig, jpeg.Decode
	if isPNG {
		readConfig, read = png.DecodeConfig, png.Decode
	}
	config, err := readConfig(bytes.NewReader(data))
	if err != nil {
		return Logo{}, fmt.Errorf("logo: %w", err)
	}
	if config.Width < 1 || config.Height < 1 {
		return Logo{}, errors.New("logo: no pixels")
	}
	if config.Width > maxLogoPixels/config.Height {
		return Logo{}, fmt.Errorf("logo: %d × %d pixels, more than %d", config.Width, config.Height, maxLogoPixels)
	}
	decoded, err := read(bytes.NewReader(data))
	if err != nil {
		return Logo{}, fmt.Errorf("logo: %w", err)
	}
	img := shrink(flatten(decoded))
	var b bytes.Buffer
	if isPNG {
		err = png.Encode(&b, img) // The best compression takes ten times as long for a twentieth less.
	} else {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	}
	if err != nil {
		return Logo{}, fmt.Errorf("logo: %w", err)
	}
	return Logo{data: b.Bytes(), width: img.Rect.Dx(), height: img.Rect.Dy()}, nil
}

// flatten lays an image onto white.
func flatten(src image.Image) *image.RGBA {
	r := src.Bounds()
	dst := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(dst, dst.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(dst, dst.Rect, src, r.Min, draw.Over)
	return dst
}

// shrink makes an image that is larger than a printed logo smaller, keeping its
// proportions. A new pixel is the mean of the pixels that it covers.
func shrink(src *image.RGBA) *image.RGBA {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	nw, nh := w, h
	if nw > logoWidth {
		nw, nh = logoWidth, max(1, h*logoWidth/w)
	}
	if nh > logoHeight {
		nw, nh = max(1, w*logoHeight/h), logoHeight
	}
	if nw == w && nh == h {
		return src
	}
	dst := image.NewRGBA(image.Rect(0, 0, nw, nh))
	for y := range nh {
		top, bottom := y*h/nh, max(y*h/nh+1, (y+1)*h/nh)
		for x := range nw {
			left, right := x*w/nw, max(x*w/nw+1, (x+1)*w/nw)
			var sum [4]int
			for sy := top; sy < bottom; sy++ {
				for sx := left; sx < right; sx++ {
					pixel := src.Pix[src.PixOffset(sx, sy):]
					for c := range sum {
						sum[c] += int(pixel[c])
					}
				}
			}
			n := (bottom - top) * (right - left)
			for c := range sum {
				dst.Pix[dst.PixOffset(x, y)+c] = uint8((sum[c] + n/2) / n) //nolint:gosec // A mean of bytes.
			}
		}
	}
	return dst
}
