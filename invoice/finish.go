package invoice

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"
)

// A document is what a PDF says about itself.
type document struct {
	title, author string
	created       time.Time
}

// errUnexpected says that gopdf writes its documents in another way than the finishing pass knows.
var errUnexpected = errors.New("finish PDF: gopdf wrote something unexpected")

// level is the fastest: the usual one makes an invoice of three lines 2 % smaller, and takes twice as long for one of 200.
const level = zlib.BestSpeed

// finish gives a PDF that gopdf wrote without compression what gopdf has no way for: compressed streams, all by one compressor;
// the document's language, title, identity and metadata (ISO 32000-1, sections 7.5.5, 12.2, 14.2 to 14.4, 14.9.2).
func finish(p painting, d document, compressors *sync.Pool) ([]byte, error) {
	objects, err := split(p.pdf)
	if err != nil {
		return nil, err
	}
	contents, err := contentsOf(objects, p.pages)
	if err != nil {
		return nil, err
	}
	zw, kept := compressors.Get().(*zlib.Writer)
	if !kept {
		if zw, err = zlib.NewWriterLevel(nil, level); err != nil {
			return nil, fmt.Errorf("finish PDF: %w", err)
		}
	}
	defer compressors.Put(zw)
	const compressed = 6 << 10 // bytes of a page
	out := assembly{buf: bytes.NewBuffer(make([]byte, 0, len(p.pdf)+len(p.pages)*compressed)), zw: zw}
	out.buf.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	for i, o := range objects {
		switch i { // gopdf begins with the catalog, the page tree, the outlines, and the resources of all pages.
		case 0:
			out.add(fmt.Appendf(nil, "<</Type/Catalog/Pages 2 0 R/Lang(en-ZA)/ViewerPreferences<</DisplayDocTitle true>>/Metadata %d 0 R>>",
				len(objects)+1))
			continue
		case 3:
			if o, err = addFonts(o, p.fonts); err != nil {
				return nil, err
			}
		}
		if err := out.compress(o, contents[i]); err != nil {
			return nil, err
		}
	}
	xmp := d.xmp()
	out.add(fmt.Appendf(nil, "<</Type/Metadata/Subtype/XML/Length %d>>stream\n%s\nendstream", len(xmp), xmp))
	out.add(fmt.Appendf(nil, "<</Title%s/Author%s/Producer(gopdf)/CreationDate(D:%s)>>",
		textString(d.title), textString(d.author), d.created.UTC().Format("20060102150405-07'00'")))
	return out.end(), nil
}

// split returns the objects of a PDF that gopdf wrote, in the order of their numbers, without "obj" and "endobj".
func split(raw []byte) ([][]byte, error) {
	at := bytes.LastIndex(raw, []byte("startxref\n"))
	if at < 0 {
		return nil, errUnexpected
	}
	number, _, _ := bytes.Cut(raw[at+len("startxref\n"):], []byte("\n"))
	table, err := strconv.Atoi(string(number))
	if err != nil || table >= at {
		return nil, errUnexpected
	}
	var count int
	if _, err := fmt.Sscanf(string(raw[table:min(len(raw), table+32)]), "xref\n0 %d\n", &count); err != nil {
		return nil, errUnexpected
	}
	const entry = 20 // bytes of an entry: "0000000015 00000 n \n"
	first := table + len("xref\n0 ") + len(strconv.Itoa(count)) + 1
	if first+count*entry > at {
		return nil, errUnexpected
	}
	offsets := make([]int, 0, count)
	for i := 1; i < count; i++ { // The first entry is the head of the list of free objects.
		offset, err := strconv.Atoi(string(raw[first+i*entry:][:10]))
		if err != nil || offset >= table {
			return nil, errUnexpected
		}
		offsets = append(offsets, offset)
	}
	offsets = append(offsets, table)
	objects := make([][]byte, count-1)
	for i := range objects {
		o, begins := bytes.CutPrefix(raw[offsets[i]:max(offsets[i], offsets[i+1])], fmt.Appendf(nil, "%d 0 obj\n", i+1))
		o, ends := bytes.CutSuffix(o, []byte("endobj\n\n"))
		if !begins || !ends {
			return nil, errUnexpected
		}
		objects[i] = o
	}
	return objects, nil
}

// contentsOf returns which object gets what of the pages, by its index.
func contentsOf(objects [][]byte, pages []pageContent) (map[int]pageContent, error) {
	contents := make(map[int]pageContent, len(pages))
	for _, o := range objects {
		if !bytes.HasPrefix(o, []byte("<<\n  /Type /Page\n")) {
			continue
		}
		_, rest, _ := bytes.Cut(o, []byte("\n  /Contents  "))
		number, _, _ := bytes.Cut(rest, []byte(" 0 R \n"))
		n, err := strconv.Atoi(string(number))
		if err != nil || n < 1 || n > len(objects) || len(contents) == len(pages) {
			return nil, errUnexpected
		}
		contents[n-1] = pages[len(contents)]
	}
	if len(contents) != len(pages) {
		return nil, errUnexpected
	}
	return contents, nil
}

// An assembly writes a PDF object by object.
type assembly struct {
	buf      *bytes.Buffer
	offsets  []int
	zw       *zlib.Writer
	deflated bytes.Buffer
}

// add writes the next object.
func (a *assembly) add(body []byte) {
	a.offsets = append(a.offsets, a.buf.Len())
	fmt.Fprintf(a.buf, "%d 0 obj\n", len(a.offsets))
	a.buf.Write(body)
	a.buf.WriteString("\nendobj\n")
}

// compress writes the next object, and if it is a stream that gopdf did not compress, compresses it, with what goes around it.
func (a *assembly) compress(o []byte, around pageContent) error {
	rest, isPlain := bytes.CutPrefix(o, []byte("<<\n/Length "))
	if !isPlain {
		if around.above != nil {
			return errUnexpected
		}
		a.add(bytes.TrimSuffix(o, []byte("\n")))
		return nil
	}
	length, rest, found := bytes.Cut(rest, []byte("\n>>\nstream\n"))
	n, err := strconv.Atoi(string(length))
	if !found || err != nil || n > len(rest) {
		return errUnexpected
	}
	z, err := a.deflate(around.below, rest[:n], around.above)
	if err != nil {
		return fmt.Errorf("finish PDF: %w", err)
	}
	a.add(fmt.Appendf(nil, "<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream", len(z), z))
	return nil
}

// deflate compresses a stream that comes in parts. The result is valid until the next call.
func (a *assembly) deflate(parts ...[]byte) ([]byte, error) {
	a.deflated.Reset()
	a.zw.Reset(&a.deflated)
	for _, data := range parts {
		if _, err := a.zw.Write(data); err != nil {
			return nil, err
		}
	}
	if err := a.zw.Close(); err != nil {
		return nil, err
	}
	return a.deflated.Bytes(), nil
}

// end writes the table of objects and the trailer. The last object is the document information. The identity of the document comes
// from what it holds.
func (a *assembly) end() []byte {
	identity := sha256.Sum256(a.buf.Bytes())
	table := a.buf.Len()
	fmt.Fprintf(a.buf, "xref\n0 %d\n0000000000 65535 f \n", len(a.offsets)+1)
	for _, o := range a.offsets {
		fmt.Fprintf(a.buf, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(a.buf, "trailer\n<</Size %d/Root 1 0 R/Info %d 0 R/ID[<%X><%[3]X>]>>\nstartxref\n%d\n%%%%EOF\n",
		len(a.offsets)+1, len(a.offsets), identity[:16], table)
	return a.buf.Bytes()
}

// xmp returns the document's metadata (ISO 16684-1).
func (d document) xmp() string {
	return `<?xpacket begin="` + "\ufeff" + `" id="W5M0MpCehiHzreSzNTczkc9d"?>` +
		`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
		`<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"` +
		` xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmp:CreateDate="` + d.created.UTC().Format(time.RFC3339) + `" pdf:Producer="gopdf">` +
		`<dc:format>application/pdf</dc:format>` +
		`<dc:language><rdf:Bag><rdf:li>en-ZA</rdf:li></rdf:Bag></dc:language>` +
		`<dc:title><rdf:Alt><rdf:li xml:lang="x-default">` + escape(d.title) + `</rdf:li></rdf:Alt></dc:title>` +
		`<dc:creator><rdf:Seq><rdf:li>` + escape(d.author) + `</rdf:li></rdf:Seq></dc:creator>` +
		`</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>`
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // A bytes.Buffer takes everything.
	return b.String()
}

// textString returns a text as a PDF string in UTF-16 (ISO 32000-1, section 7.9.2.2).
func textString(s string) string {
	b := []byte("<FEFF")
	for _, unit := range utf16.Encode([]rune(s)) {
		b = fmt.Appendf(b, "%04X", unit)
	}
	return string(append(b, '>'))
}
