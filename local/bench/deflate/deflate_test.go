package deflate_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/local/bench/deflate"
	"github.com/bbws/order-lambda/local/sample"
)

// content is long and varied enough for levels to differ.
var content = strings.Repeat("BT /F1 9 Tf 40 700 Td (12 Long Street) Tj ET 40 690 m 200 690 l S\n", 50) + strings.Repeat("0123456789 abcdefg (Tj) ", 40)

func compressed(t *testing.T, level int) string {
	t.Helper()
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(content))
	_ = w.Close()
	return out.String()
}

func object(dictionary, data string) string {
	return fmt.Sprintf("1 0 obj\n<<%s/Length %d>>stream\n%s\nendstream\nendobj\n", dictionary, len(data), data)
}

func TestNew(t *testing.T) {
	const filter = "/Filter/FlateDecode"
	fastest, usual := compressed(t, zlib.BestSpeed), compressed(t, zlib.DefaultCompression)
	is.New(t).True(fastest != usual) // else the test would not tell levels apart
	for _, tt := range []struct {
		name string
		pdf  string
		want int // bytes before compression, or 0 for an error
		err  string
	}{
		{"takes streams of every level", object(filter, fastest) + object(filter, usual), 2 * len(content), ""},
		{"leaves out what is not compressed, and images", object(filter, fastest) + object("", content) + object("/Subtype/Image"+filter, "\x00"), len(content), ""},
		{"wants a stream", object("", content), 0, "the PDF has no compressed streams"},
		{"wants a length", "<<" + filter + ">>stream\n" + fastest, 0, "a stream does not say how long it is"},
		{"wants the whole stream", object(filter, fastest)[:60], 0, "a stream does not end"},
		{"wants zlib", object(filter, content), 0, "inflate a stream: zlib: invalid header"},
		{"wants a stream that is whole", object(filter, fastest[:40]), 0, "inflate a stream: unexpected EOF"},
		{"refuses another compressor", object(filter, compressed(t, zlib.HuffmanOnly)), 0, "a stream is compressed as compress/zlib does at no level"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			f, err := deflate.New([]byte(tt.pdf))
			if tt.err != "" {
				is.True(err != nil)
				is.Equal(err.Error(), tt.err)
				return
			}
			is.NoErr(err)
			is.Equal(f.Size(), tt.want)
			f.Run()
		})
	}
}

func TestWithoutFonts(t *testing.T) {
	is := is.New(t)
	fastest := compressed(t, zlib.BestSpeed)
	pdf := object("/Filter/FlateDecode", fastest) + object("/Filter/FlateDecode/Length1 9", fastest)
	f, err := deflate.New([]byte(pdf))
	is.NoErr(err)
	without := f.WithoutFonts()
	without.Run()
	is.Equal(without.Size(), len(content))
	is.Equal(f.Size(), 2*len(content)) // as before
}

// TestInvoice holds the floor to the invoices: whoever compresses them in another way has to say so here.
func TestInvoice(t *testing.T) {
	is := is.New(t)
	pdf, _, err := invoice.Render(sample.Orders()[0].Order, invoice.Brand{Name: "Example"})
	is.NoErr(err)
	f, err := deflate.New(pdf)
	is.NoErr(err)
	is.True(f.WithoutFonts().Size() > 0)
	is.True(f.WithoutFonts().Size() < f.Size()) // it has fonts
}
