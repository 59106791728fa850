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

// A page is what is drawn on one sheet: rectangles first, then those with round corners, then images, then texts.
type page struct {
	fills  []fill
	images []picture
	texts  []text
	links  []link
}

// A box is a rectangle; x and y are its upper left corner.
type box struct{ x, y, w, h float64 }

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

// A text is one line in one face; y is its baseline, w its width.
type text struct {
	x, y, w float64
	s       string
	face    face
	size    float64
	colour  colour
}

// A link makes a rectangle lead to an address.
type link struct {
	box
	address string
}

// bounds returns the rectangle that the glyphs of the text may fill, without the room that a font keeps above capitals with two
// accents.
func (t text) bounds() box {
	return box{t.x, t.y - 0.8*t.size, t.w, t.size}
}

// dump writes the page as text, one element a line, for people and golden files.
func (p page) dump(b *strings.Builder) {
	for _, f := range p.fills {
		fmt.Fprintf(b, "fill  %s radius %.4g %s\n", f.box, f.radius, f.colour)
	}
	for _, i := range p.images {
		fmt.Fprintf(b, "image %s %d×%d px\n", i.box, i.logo.width, i.logo.height)
	}
	for _, t := range p.texts {
		fmt.Fprintf(b, "text  %7.2f %7.2f %7.2f  %-8s %4.4g %s %q\n", t.x, t.y, t.w, [faces]string{"regular", "semibold"}[t.face], t.size, t.colour, t.s)
	}
	for _, l := range p.links {
		fmt.Fprintf(b, "link  %s %s\n", l.box, l.address)
	}
}

func (b box) String() string { return fmt.Sprintf("%7.2f %7.2f %7.2f %7.2f", b.x, b.y, b.w, b.h) }

func (c colour) String() string { return fmt.Sprintf("#%02X%02X%02X", c.r, c.g, c.b) }

// The colours that do not come from the brand.
var (
	ink   = colour{0x1B, 0x1F, 0x24}
	grey  = colour{0x5B, 0x64, 0x70}
	line  = colour{0xDD, 0xE1, 0xE6}
	tint  = colour{0xF4, 0xF6, 0xF8}
	amber = colour{0x8A, 0x55, 0x00}
	green = colour{0x1A, 0x6B, 0x3C}
	red   = colour{0xA3, 0x26, 0x26}
)

// A layout places an order on pages.
type layout struct {
	fonts   *fonts
	o       order.Order // what is shown of it, clean
	b       Brand       // the same
	missing int         // how many characters are shown as placeholders
	note    string      // about the document itself
	accent  colour
	title   string
	site    string // the website as it is shown
	siteURL string // and as it is linked
	pages   []page
	cur     *page   // the last of pages
	y       float64 // where the next thing goes on it
}

// lay places an order on pages.
func lay(fs *fonts, o order.Order, b Brand) *layout {
	c := cleaner{fonts: fs}
	l := &layout{fonts: fs, o: c.order(o), b: c.brand(b), accent: b.accent(), title: "Invoice"}
	l.siteURL, l.site = b.site()
	l.site = c.clean(l.site) // A host may be in any script.
	if l.b.VATNumber != "" {
		l.title = "Tax Invoice"
	}
	if l.missing = c.missing; l.missing > 0 {
		l.note = string(placeholder) + " stands for a character that this document cannot show."
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

func (l *layout) addPage() {
	l.pages = append(l.pages, page{})
	l.cur = &l.pages[len(l.pages)-1]
	l.fill(box{0, 0, pageWidth, 6}, 0, l.accent)
	l.y = 40
}

func (l *layout) fill(b box, radius float64, c colour) {
	l.cur.fills = append(l.cur.fills, fill{b, radius, c})
}

// A style is how a text looks.
type style struct {
	face   face
	size   float64
	colour colour
}

// caption is the style of labels.
var caption = style{regular, 7.5, grey}

// write places a line of text; x is its left edge.
func (l *layout) write(x, y float64, s string, st style) text {
	t := text{x: x, y: y, w: l.fonts.width(s, st.face, st.size), s: s, face: st.face, size: st.size, colour: st.colour}
	if s != "" {
		l.cur.texts = append(l.cur.texts, t)
	}
	return t
}

// writeRight places a line of text; x is its right edge.
func (l *layout) writeRight(x, y float64, s string, st style) text {
	return l.write(x-l.fonts.width(s, st.face, st.size), y, s, st)
}

// fit returns the style with the largest size down to smallest in which the text is not wider than w, and the text, cut if even
// that is not enough.
func (l *layout) fit(s string, st style, w, smallest float64) (string, style) {
	for st.size > smallest && l.fonts.width(s, st.face, st.size) > w {
		st.size -= 0.5
	}
	return l.fonts.ellipsize(s, st.face, st.size, w), st
}

// masthead places the brand and the title of the first page.
func (l *layout) masthead() {
	const top, height, half = 40.0, logoHeight / logoScale, contentWidth/2 - 10
	const baseline = top + height/2 + 8.5 // half of a capital below the middle
	if logo := l.b.Logo; !logo.IsZero() {
		w, h := float64(logo.width), float64(logo.height)
		scale := min(1, logoWidth/logoScale/w, height/h)
		l.cur.images = append(l.cur.images, picture{box{left, top + (height-h*scale)/2, w * scale, h * scale}, logo})
	} else {
		name, st := l.fit(l.b.Name, style{semibold, 20, l.accent}, half, 9)
		l.write(left, baseline, name, st)
	}
	l.writeRight(right, baseline, l.title, style{semibold, 24, ink})
	l.y = top + height + 20
}

// summary places the band with what a reader looks for first.
func (l *layout) summary() {
	const height, pad, label, value = 50.0, 14.0, 18.0, 35.0
	l.fill(box{left, l.y, contentWidth, height}, 3, tint)

	x := left + pad
	l.write(x, l.y+label, "Order number", caption)
	number, st := l.fit(l.o.Number, style{semibold, 10.5, ink}, 116, 6)
	l.write(x, l.y+value, number, st)

	x += 130
	l.write(x, l.y+label, "Order date", caption)
	l.write(x, l.y+value, l.o.DateCreated.Display(), style{semibold, 10.5, ink})

	x += 115
	l.write(x, l.y+label, "Payment", caption)
	state, c := paymentState(l.o.Status)
	t := l.write(x+8, l.y+value, state, style{semibold, 8, c})
	l.fill(box{x, l.y + value - 10.5, t.w + 16, 15}, 7.5, c.pale())

	l.writeRight(right-pad, l.y+label, "Total", caption)
	total, st := l.fit(l.o.Total.Display(), style{semibold, 13, ink}, 128, 6)
	l.writeRight(right-pad, l.y+value, total, st)
	l.y += height + 26
}

// pale returns a light tone of the colour, for what lies behind it.
func (c colour) pale() colour {
	mix := func(v uint8) uint8 { return uint8(255 - (255-int(v))*13/100) } //nolint:gosec // Between v and 255.
	return colour{mix(c.r), mix(c.g), mix(c.b)}
}

// paymentState says whether an order is paid, for a reader of its invoice.
func paymentState(s order.Status) (string, colour) {
	switch s {
	case order.Paid, order.Processing, order.Completed:
		return "Paid", green
	case order.Refunded:
		return "Refunded", grey
	case order.Cancelled:
		return "Cancelled", red
	default:
		return "Payment pending", amber
	}
}

// parties places the customer and the supplier beside each other.
func (l *layout) parties() {
	const gap, width = 24.0, (contentWidth - 24) / 2
	top := l.y
	a := &l.o.BillingAddress
	to := l.party(left, top, width, 6, "Billed to", a.FullName, a.Company, a.Street, a.City,
		strings.Trim(a.Province+" "+a.PostalCode, " "), a.Country, labelled("VAT number", a.VATNumber), l.o.CustomerEmail)

	x := left + width + gap
	from := l.party(x, top, width, 2, "From", append(append([]string{l.b.Name}, l.b.AddressLines...),
		labelled("VAT number", l.b.VATNumber), labelled("Registration number", l.b.RegistrationNumber), l.b.Phone)...)
	from = l.linked(x, from, width, l.b.Email, mailto(l.b.Email))
	from = l.linked(x, from, width, l.site, l.siteURL)
	l.y = max(to, from) + 14
}

const lineHeight = 12.5

// party places a heading and texts below it, the first in bold, each wrapped; it returns the baseline that follows.
func (l *layout) party(x, y, width float64, most int, heading string, texts ...string) float64 {
	l.write(x, y, heading, caption)
	y += 15
	st := style{semibold, 9, ink}
	for _, s := range texts {
		for _, s := range l.fonts.wrap(s, st.face, st.size, width, most) {
			l.write(x, y, s, st)
			y += lineHeight
		}
		st.face = regular
	}
	return y
}

// linked places one line that leads to an address, if there is one; it returns the baseline that follows.
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
	for i, s := range l.fonts.wrap(l.b.Footer, caption.face, caption.size, number.x-left-20, 2) {
		l.write(left, first+10*float64(i), s, caption)
	}
}

// A table is the table of an order's lines: the right edges of its columns of figures, and the size in which it is set.
type table struct {
	size                                  float64
	name, nameWidth                       float64
	quantity, unitPrice, discount, amount float64
	figures                               [][3]string // unit price, discount and amount of each line
}

const (
	headSize    = 8.0
	rowLine     = 12.0
	rowPad      = 7.0
	headHeight  = 18.0
	numberWidth = 24.0 // of the number of a line, and as much for the quantity
)

// measure chooses the columns so that the widest figure of the order fits each, and leaves the rest to the names. The size
// shrinks where the names would have too little.
func (l *layout) measure() table {
	const gap, least, smallest = 14.0, 150.0, 6.0
	t := table{size: 9, name: left + numberWidth, figures: make([][3]string, len(l.o.Items))}
	for i := range l.o.Items {
		item := &l.o.Items[i]
		discount := "–"
		if !item.Discount.IsZero() {
			discount = "−" + item.Discount.Display()
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

// items places the table, on as many pages as it needs, and the closing below it. The closing is never torn from the last line.
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
	if len(rows) > 0 && l.y+headHeight+rowHeight(0) > contentEnd {
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
	number := l.writeRight(right, l.y, l.fonts.ellipsize(l.title+" "+l.o.Number, caption.face, caption.size, contentWidth/2), caption)
	st := style{semibold, caption.size, grey}
	l.write(left, l.y, l.fonts.ellipsize(l.b.Name, st.face, st.size, number.x-left-20), st)
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

// A note is a label and what there is to say about it, wrapped.
type note struct {
	label string
	lines []string
}

// The closing is the totals and, to their left, the notes.
const (
	closingTop   = 24.0 // from the table to the first baseline
	totalsWidth  = 215.0
	totalsLine   = 17.0
	totalsHeight = 3*totalsLine + 24 // three rows and the total
	noteLabel    = 76.0
	notesWidth   = contentWidth - totalsWidth - 30
)

func closingHeight(notes []note) float64 {
	lines := 0
	for _, n := range notes {
		lines += len(n.lines)
	}
	return closingTop + max(totalsHeight, float64(lines)*lineHeight)
}

// closing places the totals and, to their left, the notes.
func (l *layout) closing(notes []note) {
	y := l.y + closingTop
	for _, n := range notes {
		l.write(left, y, n.label, style{regular, 9, grey})
		for _, s := range n.lines {
			l.write(left+noteLabel, y, s, style{regular, 9, ink})
			y += lineHeight
		}
	}
	tax := "Tax"
	if l.b.VATNumber != "" {
		tax = "VAT"
	}
	y = l.y + closingTop
	total := func(label, amount string) {
		l.write(right-totalsWidth, y, label, style{regular, 9, grey})
		l.writeRight(right, y, amount, style{regular, 9, ink})
		y += totalsLine
	}
	total("Subtotal", l.o.Subtotal.Display())
	total("Shipping", l.o.Shipping.Display())
	total(tax+" ("+l.o.TaxRate.Percent().Display()+")", l.o.Tax.Display())
	l.fill(box{right - totalsWidth, y - 8, totalsWidth, 1}, 0, l.accent)
	y += 11
	l.write(right-totalsWidth, y, "Total", style{semibold, 11, ink})
	sum, st := l.fit(l.o.Total.Display(), style{semibold, 13, ink}, totalsWidth-50, 6)
	l.writeRight(right, y, sum, st)
}

// notes returns what there is to say about payment, campaign and the document.
func (l *layout) notes() []note {
	p := l.o.PaymentDetails
	state, _ := paymentState(l.o.Status)
	notes := []note{
		{"Payment", []string{state}},
		{"Method", []string{methodName(p.Method)}},
		{"Paid on", []string{p.PaidAt.Display()}},
		{"Reference", []string{p.TransactionID}},
		{"Payfast ID", []string{p.PayfastPaymentID}},
	}
	if c := l.o.Campaign; c != nil {
		notes = append(notes, note{"Campaign", []string{c.Code + " (−" + c.DiscountPercentage.Display() + ")", c.Description}})
	}
	notes = append(notes, note{"Note", []string{l.note}})
	for i := range notes {
		var lines []string
		for _, s := range notes[i].lines {
			lines = append(lines, l.fonts.wrap(s, regular, 9, notesWidth-noteLabel, 4)...)
		}
		notes[i].lines = lines
	}
	return slices.DeleteFunc(notes, func(n note) bool { return len(n.lines) == 0 })
}

// methodName returns a payment method for people: "eft" is "EFT", "credit_card" is "Credit card".
func methodName(method string) string {
	if method == "eft" {
		return "EFT"
	}
	words := strings.NewReplacer("_", " ", "-", " ").Replace(method)
	if words != "" && 'a' <= words[0] && words[0] <= 'z' {
		words = strings.ToUpper(words[:1]) + words[1:]
	}
	return words
}

// mailto returns the address of a link to a mail address, or "" if it does not look like one.
func mailto(address string) string {
	name, domain, ok := strings.Cut(address, "@")
	if !ok || name == "" || domain == "" || strings.ContainsFunc(address, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`<>()[]\,;:"%?&#`, r)
	}) || strings.Contains(domain, "@") {
		return ""
	}
	return "mailto:" + address
}
