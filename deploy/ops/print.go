package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// A printer prints rows: in columns for people, or as a JSON object a line for
// scripts. It keeps its first error for flush.
type printer struct {
	w      io.Writer
	asJSON bool

	table *tabwriter.Writer
	kind  string // of the rows in the table
	rows  int    // that the table holds
	err   error
}

func newPrinter(w io.Writer) *printer {
	const gap = 2
	return &printer{w: w, table: tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)}
}

// mostRows is how many rows of a table are aligned with each other.
const mostRows = 200

// row prints one row of a kind. Fields are pairs of a name and a value; rows of
// one kind have the same names.
func (p *printer) row(kind string, fields ...any) {
	if p.err != nil {
		return
	}
	if p.asJSON {
		p.err = p.object(kind, fields)
		return
	}
	if kind != p.kind || p.rows == mostRows {
		p.err = p.head(kind, fields)
	}
	p.rows++
	cells := make([]string, 0, len(fields))
	for i := 1; i < len(fields); i += 2 {
		cells = append(cells, cell(fields[i]))
	}
	if _, err := fmt.Fprintln(p.table, strings.Join(cells, "\t")); err != nil && p.err == nil {
		p.err = err
	}
}

// head ends the table before, and begins the next with its names.
func (p *printer) head(kind string, fields []any) error {
	if err := p.table.Flush(); err != nil {
		return err
	}
	if p.kind != "" {
		if _, err := fmt.Fprintln(p.w); err != nil {
			return err
		}
	}
	p.kind, p.rows = kind, 0
	names := make([]string, 0, len(fields))
	for i := 0; i < len(fields); i += 2 {
		names = append(names, strings.ToUpper(fmt.Sprint(fields[i])))
	}
	_, err := fmt.Fprintln(p.table, strings.Join(names, "\t"))
	return err
}

func (p *printer) object(kind string, fields []any) error {
	b := bytes.NewBufferString(`{"row":`)
	fmt.Fprintf(b, "%q", kind)
	for i := 0; i < len(fields); i += 2 {
		value, err := json.Marshal(fields[i+1])
		if err != nil {
			return err
		}
		fmt.Fprintf(b, ",%q:%s", fields[i], value)
	}
	b.WriteString("}\n")
	_, err := p.w.Write(b.Bytes())
	return err
}

func (p *printer) flush() error {
	if err := p.table.Flush(); p.err == nil {
		p.err = err
	}
	return p.err
}

// cell returns a value as it stands in a table: on one line, and without what a
// terminal would obey. Much of it comes from customers.
func cell(v any) string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, fmt.Sprint(v))
	if text == "" {
		return "-"
	}
	return text
}

// progress tells an operator how far long work is.
type progress struct {
	w    io.Writer
	now  func() time.Time
	last time.Time
	done int
}

// step counts one more thing done, and says so every few seconds.
func (p *progress) step(what string) {
	const every = 5 * time.Second
	p.done++
	if now := p.now(); now.Sub(p.last) >= every {
		p.last = now
		p.say(fmt.Sprintf("%d %s", p.done, what))
	}
}

func (p *progress) say(what string) { _, _ = fmt.Fprintln(p.w, what) }
