// Package deflate compresses once more what a PDF holds compressed, and does nothing else: what no program that makes the same
// bytes can do without.
package deflate

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
)

// A Floor has the streams of one PDF, and one compressor for each level that they were compressed with.
type Floor struct {
	streams     []stream
	compressors map[int]*zlib.Writer
	out         bytes.Buffer
}

type stream struct {
	content []byte
	level   int
	font    bool
}

var (
	// head is the dictionary of a compressed stream, with what stands between it and the stream.
	head   = regexp.MustCompile(`(?s)<<[^<>]*/Filter ?/FlateDecode[^<>]*>>\s*stream\n`)
	length = regexp.MustCompile(`/Length (\d+)`)
)

// New finds the compressed streams of a PDF, images aside: they are stored as they come. It returns an error if it does not
// know how to make the very bytes of a stream again, since a floor by another compressor would be none.
func New(pdf []byte) (*Floor, error) {
	f := &Floor{compressors: map[int]*zlib.Writer{}}
	for _, at := range head.FindAllIndex(pdf, -1) {
		dictionary := pdf[at[0]:at[1]]
		if bytes.Contains(dictionary, []byte("/Image")) {
			continue
		}
		m := length.FindSubmatch(dictionary)
		if m == nil {
			return nil, errors.New("a stream does not say how long it is")
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil || n > len(pdf)-at[1] {
			return nil, errors.New("a stream does not end")
		}
		if err := f.add(pdf[at[1]:][:n], bytes.Contains(dictionary, []byte("/Length1"))); err != nil { // only font files have one
			return nil, err
		}
	}
	if len(f.streams) == 0 {
		return nil, errors.New("the PDF has no compressed streams")
	}
	return f, nil
}

// add takes a stream as it is compressed, and finds out at which level.
func (f *Floor) add(compressed []byte, font bool) error {
	r, err := zlib.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return fmt.Errorf("inflate a stream: %w", err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("inflate a stream: %w", err)
	}
	for level := zlib.BestSpeed; level <= zlib.BestCompression; level++ {
		s := stream{content, level, font}
		if err := f.deflate(s); err != nil {
			return err
		}
		if bytes.Equal(f.out.Bytes(), compressed) {
			f.streams = append(f.streams, s)
			return nil
		}
	}
	return errors.New("a stream is compressed as compress/zlib does at no level")
}

// WithoutFonts returns the floor of a PDF whose fonts are there already: many documents may have the same.
func (f *Floor) WithoutFonts() *Floor {
	others := slices.DeleteFunc(slices.Clone(f.streams), func(s stream) bool { return s.font })
	return &Floor{streams: others, compressors: f.compressors}
}

// Run compresses all streams once.
func (f *Floor) Run() {
	for _, s := range f.streams {
		_ = f.deflate(s) // It was done before.
	}
}

// Size returns how many bytes the streams have before they are compressed.
func (f *Floor) Size() (n int) {
	for _, s := range f.streams {
		n += len(s.content)
	}
	return n
}

func (f *Floor) deflate(s stream) (err error) {
	w := f.compressors[s.level]
	if w == nil {
		if w, err = zlib.NewWriterLevel(nil, s.level); err != nil {
			return err
		}
		f.compressors[s.level] = w
	}
	f.out.Reset()
	w.Reset(&f.out)
	_, err = w.Write(s.content)
	return errors.Join(err, w.Close())
}
