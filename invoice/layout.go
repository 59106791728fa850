package invoice

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bbws/order-lambda/order"
)

// The page is A4, in points from its upper left corner.
const (
	pageWidth    = 595.0
	pageHeight   = 842.0
	left         = 48.0
	right        = pageWidth - left
	contentWidth = right - left
	contentEnd   = 776.0 // nothing of the content lies below
	footerLine   = 790.0
	pageEnd      = 820.0 // nothing at all lies below
)

// A page is what is drawn on one sheet: rectangles first, then images, then
// texts.
type page struct {
	fills  []fill
	images []picture
	texts  []text
	links  []link
}

// A box is a rectangle; x and y are its upper left corner.
type box struct{ x, y, w, h float64 }

func (b box) String() string { return fmt.Sprintf("%7.2f %7.2f %7.2f %7.2f", b.x, b.y, b.w, b.h) }

// A fill is a coloured rectangle, with round corners if radius is not zero.
type fill struct {
	box
	radius float64
	colour colour
}

// A picture is the logo.
type picture struct {
	box
	logo Logo
}

// A style is how a text looks.
type style struct {
	face   face
	size   float64
	colour colour
}

// A text is one line in one style; y is its baseline, w its width.
type text struct {
	x, y, w float64
	s       string
	style
}

// A link makes a rectangle lead to an address.
type link struct {
	box
	address string
}

// caption is the style of labels.
var caption = style{regular, 7.5, grey}

// A layout places a document on pages.
type layout struct {
	fonts   *fonts
	o       order.Order // what is shown of it, clean; a credit note's amounts are negative
	d       order.Document
	s       order.Supplier // clean
	logo    Logo
	siteURL string // the supplier's website as it is linked
	site    string // and as it is shown
	accent  colour
	missing int // how many characters are shown as placeholders
	wording
	pages []page
	cur   *page   // the last of pages
	y     float64 // where the next thing goes on it
}

// A wording is what the kinds of documents say in different ways.
type wording struct {
	title    string
	subtitle string // without which the title would mislead
	number   string // the label of the document's own number
	total    string // the label of the sum that a reader looks for
	to       string // the label of the recipient
	tax      string // what the tax is called
}

// lay places a document on pages. The arguments are those of Render.
func lay(fs *fonts, o order.Order, d order.Document, s order.Supplier, logo Logo) *layout {
	c := cleaner{fonts: fs}
	l := &layout{fonts: fs, o: c.order(o), d: d, s: c.supplier(s), logo: logo}
	l.accent = accentOf(s.AccentColour)
	l.siteURL, l.site = site(s.Website)
	l.site = c.clean(l.site) // A host may be in any script.
	l.missing = c.missing
	l.wording = l.choose()
	if d.Kind == order.CreditNote {
		negate(&l.o)
	}
	l.addPage()
	l.masthead()
	l.summary()
	l.parties()
	l.items()
	for i := range l.pages {
		l.cur = &l.pages[i]
		l.footer(i+1, len(l.pages))
	}
	return l
}

func (l *layout) choose() wording {
	invoice, tax := "Invoice", "tax"
	if l.s.VATNumber != "" {
		tax = "VAT"
	}
	if l.s.TaxInvoices(l.o.Currency) {
		invoice = "Tax Invoice"
	}
	w := wording{title: invoice, number: "Invoice number", total: "Total", to: "Billed to", tax: tax}
	switch l.d.Kind {
	case order.ProForma:
		w.title, w.subtitle, w.total = "Pro-forma Invoice", "This is not a tax invoice", "Amount due"
	case order.CreditNote:
		of, _ := l.o.Document(order.TaxInvoice)
		w.title, w.number, w.total, w.to = "Credit Note", "Credit note number", "Total credited", "Credited to"
		w.subtitle = fmt.Sprintf("for %s %s of %s", strings.ToLower(invoice), of.Number, of.DateIssued.Display())
	case order.TaxInvoice:
	}
	return w
}

// name returns the document's title with its number, or the order's number if
// it has none.
func (l *layout) name() string {
	if l.d.Number == "" {
		return l.title + " " + l.o.Number
	}
	return l.title + " " + l.d.Number
}

// negate turns every amount of an order into its opposite, so that what is
// given back adds up as it is printed.
func negate(o *order.Order) {
	amounts := []*order.Money{&o.Subtotal, &o.Shipping, &o.Tax, &o.Total}
	for i := range o.Items {
		amounts = append(amounts, &o.Items[i].UnitPrice, &o.Items[i].Discount, &o.Items[i].Subtotal)
	}
	for _, m := range amounts {
		*m, _ = m.Times(-1) // No larger than before.
	}
}

func (l *layout) addPage() {
	l.pages = append(l.pages, page{})
	l.cur = &l.pages[len(l.pages)-1]
	l.fill(box{0, 0, pageWidth, 6}, 0, l.accent)
	l.y = 40
}

func (l *layout) fill(b box, radius float64, c colour) {
	l.cur.fills = append(l.cur.fills, fill{b, radius, c})
}

// write places a line of text; x is its left edge.
func (l *layout) write(x, y float64, s string, st style) text {
	t := text{x, y, l.fonts.width(s, st.face, st.size), s, st}
	if s != "" {
		l.cur.texts = append(l.cur.texts, t)
	}
	return t
}

// writeRight places a line of text; x is its right edge.
func (l *layout) writeRight(x, y float64, s string, st style) text {
	return l.write(x-l.fonts.width(s, st.face, st.size), y, s, st)
}

// fit returns the style with the largest size down to smallest in which the
// text is not wider than w, and the text, cut if even that is not enough.
func (l *layout) fit(s string, st style, w, smallest float64) (string, style) {
	for st.size > smallest && l.fonts.width(s, st.face, st.size) > w {
		st.size -= 0.5
	}
	return l.fonts.ellipsize(s, st.face, st.size, w), st
}

// masthead places the supplier's sign, the title, and what the title needs to
// be understood.
func (l *layout) masthead() {
	const top, height, half = 40.0, logoHeight / logoScale, contentWidth/2 - 10
	const baseline = top + height/2 + 8.5 // half of a capital below the middle
	if !l.logo.IsZero() {
		w, h := float64(l.logo.width), float64(l.logo.height)
		scale := min(1, logoWidth/logoScale/w, height/h)
		place := box{left, top + (height-h*scale)/2, w * scale, h * scale}
		l.cur.images = append(l.cur.images, picture{place, l.logo})
	} else {
		name, st := l.fit(l.s.Name, style{semibold, 20, l.accent}, half, 9)
		l.write(left, baseline, name, st)
	}
	raised := 0.0
	if l.subtitle != "" {
		raised = 7
		s, st := l.fit(l.subtitle, style{semibold, 9, grey}, half, 6)
		l.writeRight(right, baseline+9, s, st)
	}
	l.writeRight(right, baseline-raised, l.title, style{semibold, 24, ink})
	l.y = top + height + 20
}

// summary places the band with what a reader looks for first.
func (l *layout) summary() {
	const height, pad, column, width = 58.0, 14.0, 116.0, 106.0
	top, x := l.y, left+pad
	l.fill(box{left, top, contentWidth, height}, 3, tint)
	cell := func(label, value, more string) {
		value, st := l.fit(value, style{semibold, 10, ink}, width, 5)
		l.write(x, top+18, label, caption)
		l.write(x, top+34, value, st)
		l.write(x, top+47, more, caption)
		x += column
	}
	if l.d.Number != "" {
		cell(l.number, l.d.Number, "")
	}
	cell("Date of issue", l.d.DateIssued.Display(), "")
	cell("Order number", l.o.Number, "of "+l.o.DateCreated.Display())

	edge := right - pad
	total, st := l.fit(l.o.Total.Display(), style{semibold, 14, ink}, edge-x, 5)
	l.writeRight(edge, top+18, l.total, caption)
	l.writeRight(edge, top+35, total, st)
	l.writeRight(edge, top+47, "including "+l.tax, caption)
	l.y += height + 26
}

// parties places the customer and the supplier beside each other.
func (l *layout) parties() {
	const gap, width = 24.0, (contentWidth - 24) / 2
	top := l.y
	to := l.party(left, top, width, 6, l.to, l.recipient()...)
	x := left + width + gap
	from := l.party(x, top, width, 2, "From", slices.Concat([]string{l.s.Name}, l.s.AddressLines, []string{
		labelled("VAT number", l.s.VATNumber), labelled("Registration number", l.s.RegistrationNumber), l.s.Phone,
	})...)
	from = l.linked(x, from, width, l.s.Email, mailto(l.s.Email))
	from = l.linked(x, from, width, l.site, l.siteURL)
	l.y = max(to, from) + 14
}

// recipient returns the lines that say who receives the document. The first
// says who it is: company or name, else the e-mail address, which also follows
// the name if the fonts cannot show it.
func (l *layout) recipient() []string {
	a := &l.o.BillingAddress
	who := []string{a.Company, a.FullName}
	if a.FullName == a.Company {
		who = who[:1]
	}
	address := []string{
		a.Street, a.City, strings.Trim(a.Province+" "+a.PostalCode, " "), a.Country,
		labelled("VAT number", a.VATNumber),
	}
	lines := slices.Concat(who, address, []string{l.o.CustomerEmail})
	if name := strings.Join(who, ""); name == "" || strings.ContainsRune(name, placeholder) {
		lines = slices.Concat(who, []string{l.o.CustomerEmail}, address)
	}
	return lines
}

const lineHeight = 12.5

// party places a heading and texts below it, the first in bold, each wrapped;
// it returns the baseline that follows.
func (l *layout) party(x, y, width float64, most int, heading string, texts ...string) float64 {
	l.write(x, y, heading, caption)
	y += 15
	st := style{semibold, 9, ink}
	for _, s := range texts {
		for _, s := range l.fonts.wrap(s, st.face, st.size, width, most) {
			l.write(x, y, s, st)
			y += lineHeight
		}
		if s != "" {
			st.face = regular
		}
	}
	return y
}

// linked places one line that leads to an address, if there is one; it returns
// the baseline that follows.
func (l *layout) linked(x, y, width float64, s, address string) float64 {
	if s == "" {
		return y
	}
	st := style{regular, 9, ink}
	if address != "" {
		st.colour = l.accent
	}
	t := l.write(x, y, l.fonts.ellipsize(s, st.face, st.size, width), st)
	if address != "" {
		l.cur.links = append(l.cur.links, link{box{t.x, t.y - 8, t.w, 10}, address})
	}
	return y + lineHeight
}

func labelled(label, value string) string {
	if value == "" {
		return ""
	}
	return label + " " + value
}

// footer places what stands at the end of every page.
func (l *layout) footer(n, of int) {
	const first = footerLine + 14
	l.fill(box{left, footerLine, contentWidth, 0.5}, 0, line)
	number := l.writeRight(right, first, fmt.Sprintf("Page %d of %d", n, of), caption)
	for i, s := range l.fonts.wrap(l.s.Footer, caption.face, caption.size, number.x-left-20, 2) {
		l.write(left, first+10*float64(i), s, caption)
	}
}

// A table is the table of an order's lines: the right edges of its columns of
// figures, the size in which it is set, and the unit price, discount and amount
// of each line.
type table struct {
	size                                  float64
	name, nameWidth                       float64
	quantity, unitPrice, discount, amount float64
	figures                               [][3]string
}

const (
	headSize    = 8.0
	rowLine     = 12.0
	rowPad      = 7.0
	headHeight  = 27.0
	numberWidth = 24.0 // of the number of a line, and as much for the quantity
)

// measure chooses the columns so that the widest figure of the order fits each,
// and leaves the rest to the names. The size shrinks if the names would have
// too little room.
func (l *layout) measure() table {
	const gap, least, smallest = 14.0, 150.0, 6.0
	t := table{size: 9, name: left + numberWidth, figures: make([][3]string, len(l.o.Items))}
	for i := range l.o.Items {
		item := &l.o.Items[i]
		discount := "–"
		if off, _ := item.Discount.Times(-1); !off.IsZero() {
			discount = off.Display()
		}
		t.figures[i] = [3]string{item.UnitPrice.Display(), discount, item.Subtotal.Display()}
	}
	for ; ; t.size-- {
		var widths [3]float64
		for i, s := range [...]string{"Unit price", "Discount", "Amount"} {
			widths[i] = l.fonts.width(s, semibold, headSize)
		}
		for i := range t.figures {
			for j, s := range t.figures[i] {
				widths[j] = max(widths[j], l.fonts.width(s, regular, t.size))
			}
		}
		t.amount = right
		t.discount = t.amount - widths[2] - gap
		t.unitPrice = t.discount - widths[1] - gap
		t.quantity = t.unitPrice - widths[0] - gap
		t.nameWidth = t.quantity - numberWidth - gap - t.name
		if t.nameWidth >= least || t.size <= smallest {
			return t
		}
	}
}

// items places the table, on as many pages as it needs, and the closing below
// it. The closing is never torn from the last line.
func (l *layout) items() {
	t := l.measure()
	notes := l.notes()
	needed := closingHeight(notes)
	rows := make([][]string, len(l.o.Items)) // the names, wrapped
	for i := range rows {
		rows[i] = l.fonts.wrap(l.o.Items[i].ProductName, regular, t.size, t.nameWidth, order.MaxText)
		if len(rows[i]) == 0 {
			rows[i] = []string{""}
		}
	}
	rowHeight := func(i int) float64 {
		h := float64(len(rows[i]))*rowLine + rowPad
		if i == len(rows)-1 {
			h += needed
		}
		return h
	}
	first := needed
	if len(rows) > 0 {
		first = rowHeight(0)
	}
	if l.y+headHeight+first > contentEnd {
		l.nextPage()
	}
	l.tableHead(&t)
	for i := range rows {
		if l.y+rowHeight(i) > contentEnd {
			l.nextPage()
			l.tableHead(&t)
		}
		l.row(&t, i, rows[i])
	}
	l.closing(notes)
}

// nextPage begins a page that continues the table.
func (l *layout) nextPage() {
	l.addPage()
	title := l.fonts.ellipsize(l.name(), caption.face, caption.size, contentWidth/2)
	name := l.writeRight(right, l.y, title, caption)
	st := style{semibold, caption.size, grey}
	l.write(left, l.y, l.fonts.ellipsize(l.s.Name, st.face, st.size, name.x-left-20), st)
	l.y += 20
}

// tableHead places the head of the table.
func (l *layout) tableHead(t *table) {
	st := style{semibold, headSize, ink}
	y := l.y + 10
	l.write(t.name, y, "Description", st)
	l.writeRight(t.quantity, y, "Qty", st)
	l.writeRight(t.unitPrice, y, "Unit price", st)
	l.writeRight(t.discount, y, "Discount", st)
	l.writeRight(t.amount, y, "Amount", st)
	for _, x := range [...]float64{t.unitPrice, t.discount, t.amount} {
		l.writeRight(x, y+9, "excl. "+l.tax, style{regular, 6.5, grey})
	}
	l.y += headHeight
	l.fill(box{left, l.y - 1, contentWidth, 1}, 0, l.accent)
}

// row places the i-th line of the order.
func (l *layout) row(t *table, i int, name []string) {
	y := l.y + rowPad/2 + 9
	st := style{regular, t.size, ink}
	l.write(left, y, strconv.Itoa(i+1), caption)
	for j, s := range name {
		l.write(t.name, y+float64(j)*rowLine, s, st)
	}
	l.writeRight(t.quantity, y, grouped(l.o.Items[i].Quantity), st)
	l.writeRight(t.unitPrice, y, t.figures[i][0], st)
	l.writeRight(t.discount, y, t.figures[i][1], st)
	l.writeRight(t.amount, y, t.figures[i][2], st)
	l.y += float64(len(name))*rowLine + rowPad
	l.fill(box{left, l.y - 0.5, contentWidth, 0.5}, 0, line)
}

// grouped returns a count with its thousands set apart, as amounts have them.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + string(noBreakSpace) + s[i:]
	}
	return s
}

// The closing is the totals and, to their left, the notes.
const (
	closingTop   = 26.0 // from the table to the first baseline
	totalsWidth  = 235.0
	totalsLine   = 17.0
	totalsHeight = 4*totalsLine + 24 // four rows and the total
	noteLabel    = 68.0
	notesWidth   = contentWidth - totalsWidth - 26
)

func closingHeight(notes []note) float64 {
	height := badgePad
	for _, n := range notes {
		height += float64(len(n.lines))*lineHeight + noteGap
	}
	return closingTop + max(totalsHeight, height)
}

// closing places the totals and the notes.
func (l *layout) closing(notes []note) {
	y := l.y + closingTop
	for _, n := range notes {
		y = l.note(n, y)
	}
	y = l.y + closingTop
	const x = right - totalsWidth
	sum := func(label string, amount order.Money) {
		l.write(x, y, label, style{regular, 9, grey})
		l.writeRight(right, y, amount.Display(), style{regular, 9, ink})
		y += totalsLine
	}
	value, _ := l.o.Subtotal.Add(l.o.Shipping) // The total is no smaller.
	sum("Subtotal", l.o.Subtotal)
	sum("Shipping", l.o.Shipping)
	sum("Total excluding "+l.tax, value)
	sum(strings.ToUpper(l.tax[:1])+l.tax[1:]+" ("+l.o.TaxRate.Percent().Display()+")", l.o.Tax)
	l.fill(box{x, y - 8, totalsWidth, 1}, 0, l.accent)
	y += 11
	label := l.write(x, y, "Total including "+l.tax, style{semibold, 10, ink})
	total, st := l.fit(l.o.Total.Display(), style{semibold, 13, ink}, right-label.x-label.w-10, 5)
	l.writeRight(right, y, total, st)
}
