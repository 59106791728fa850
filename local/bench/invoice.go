package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/sample"
)

// invoices measures the making of invoices against deflating their bytes, which every writer of PDF has to do.
func (b *bench) invoices(context.Context) error {
	b.say("invoices")
	company, err := branding.Files.ReadFile("company.json")
	if err != nil {
		return err
	}
	logo, err := branding.Files.ReadFile("logo.png")
	if err != nil {
		return err
	}
	brand, err := invoice.ParseBrand(company)
	if err != nil {
		return err
	}
	if brand.Logo, err = invoice.ParseLogo(logo); err != nil {
		return err
	}
	b.printf("\n### Invoice\n\n| lines | render | allocated | deflating the same bytes | × | size |\n|---|---|---|---|---|---|\n")
	for _, s := range sample.Orders() {
		if s.Name != "three-lines" && s.Name != "two-hundred-lines" {
			continue
		}
		pdf, _, err := invoice.Render(s.Order, brand)
		if err != nil {
			return err
		}
		streams, err := inflate(pdf)
		if err != nil {
			return err
		}
		var render, floor []time.Duration
		for range b.rounds {
			begin := time.Now()
			if _, _, err := invoice.Render(s.Order, brand); err != nil {
				return err
			}
			middle := time.Now()
			deflate(streams)
			render, floor = append(render, middle.Sub(begin)), append(floor, time.Since(middle))
		}
		allocated := testing.Benchmark(func(t *testing.B) {
			for t.Loop() {
				_, _, _ = invoice.Render(s.Order, brand)
			}
		})
		b.printf("| %d | %s | %d KB in %d | %s | %s | %d KB |\n", len(s.Order.Items), milliseconds(median(render)), allocated.AllocedBytesPerOp()>>10,
			allocated.AllocsPerOp(), milliseconds(median(floor)), ratio(median(render), median(floor)), len(pdf)>>10)
	}
	return nil
}

// inflate returns the contents of a PDF's deflated streams.
func inflate(pdf []byte) ([][]byte, error) {
	var streams [][]byte
	for rest := pdf; ; {
		head, after, ok := bytes.Cut(rest, []byte("stream\n"))
		if !ok {
			break
		}
		body, tail, ok := bytes.Cut(after, []byte("endstream"))
		if !ok {
			return nil, errors.New("a stream does not end")
		}
		dictionary := head[max(0, bytes.LastIndex(head, []byte("obj"))):]
		if bytes.Contains(dictionary, []byte("/FlateDecode")) {
			r, err := zlib.NewReader(bytes.NewReader(body))
			if err != nil {
				return nil, fmt.Errorf("inflate a stream: %w", err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				return nil, fmt.Errorf("inflate a stream: %w", err)
			}
			streams = append(streams, content)
		}
		rest = tail
	}
	if len(streams) == 0 {
		return nil, errors.New("the PDF has no deflated streams")
	}
	return streams, nil
}

func deflate(streams [][]byte) {
	var out bytes.Buffer
	for _, s := range streams {
		w := zlib.NewWriter(&out)
		_, _ = w.Write(s)
		_ = w.Close()
	}
}
