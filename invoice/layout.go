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

// A page is what is drawn on one sheet: fills first, then images, then texts.
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
	writer
	o      *order.Order
	b      Brand
	accent colour
	title  string
	pages  []page
	cur    *page // the last of pages
	y      float64
	cols   columns
}

// lay places an order on pages. It returns them and how many characters are shown as placeholders.
func lay(fs *fonts, o *order.Order, b Brand) ([]page, int) {
	l := &layout{writer: writer{fonts: fs}, o: o, b: b, accent: b.accent(), title: "Invoice"}
	if strings.TrimSpace(b.VATNumber) != "" {
		l.title = "Tax Invoice"
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
	return l.pages, l.missing
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

// write places a line of text that is clean; x is its left edge.
func (l *layout) write(x, y float64, s string, st style) text {
	t := text{x: x, y: y, w: l.fonts.width(s, st.face, st.size), s: s, face: st.face, size: st.size, colour: st.colour}
	if s != "" {
		l.cur.texts = append(l.cur.texts, t)
	}
	return t
}

// writeRight places a line of text that is clean; x is its right edge.
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
	const top, half = 42.0, contentWidth/2 - 10
	if logo := l.b.Logo; !logo.IsZero() {
		w, h := float64(logo.width), float64(logo.height)
		scale := min(1, logoWidth/3/w, logoHeight/3/h)
		l.cur.images = append(l.cur.images, picture{box{left, top, w * scale, h * scale}, logo})
	} else {
		name, st := l.fit(l.clean(l.b.Name), style{semibold, 20, l.accent}, half, 9)
		l.write(left, top+24, name, st)
	}
	l.writeRight(right, top+24, l.title, style{semibold, 24, ink})
	number, st := l.fit(l.clean(l.o.Number), style{regular, 10, grey}, half, 6)
	l.writeRight(right, top+40, number, st)
	l.y = top + 66
}

// summary places the band with what a reader looks for first.
func (l *layout) summary() {
	const height, pad = 50.0, 14.0
	l.fill(box{left, l.y, contentWidth, height}, 3, tint)
	x := left + pad
	column := func(w float64, label, value string) {
		l.write(x, l.y+18, label, style{regular, 7.5, grey})
		value, st := l.fit(value, style{semibold, 10.5, ink}, w-pad, 6)
		l.write(x, l.y+35, value, st)
		x += w
	}
	column(140, "Order number", l.clean(l.o.Number))
	column(115, "Order date", l.o.DateCreated.Display())

	l.write(x, l.y+18, "Payment", style{regular, 7.5, grey})
	state, c := paymentState(l.o.Status)
	const badge = 8.0
	w := l.fonts.width(state, semibold, badge)
	l.fill(box{x, l.y + 24.5, w + 14, 15}, 7.5, c.pale())
	l.write(x+7, l.y+35, state, style{semibold, badge, c})

	l.writeRight(right-pad, l.y+18, "Total", style{regular, 7.5, grey})
	total, st := l.fit(l.o.Total.Display(), style{semibold, 13, ink}, 130, 6)
	l.writeRight(right-pad, l.y+35, total, st)
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
	const gap = 24.0
	const width = (contentWidth - gap) / 2
	top := l.y
	a := l.o.BillingAddress
	name := a.FullName
	if name == "" {
		name = l.o.CustomerName
	}
	to := l.party(left, top, width, "Billed to", 6, []string{name, a.Company})
	to = l.lines(left, to, width, 6, a.Street, a.City, strings.Trim(a.Province+" "+a.PostalCode, " "), countryName(a.Country))
	to = l.lines(left, to, width, 2, labelled("VAT number", a.VATNumber), l.o.CustomerEmail)

	x := left + width + gap
	from := l.party(x, top, width, "From", 2, []string{l.b.Name})
	from = l.lines(x, from, width, 2, l.b.AddressLines...)
	from = l.lines(x, from, width, 2, labelled("VAT number", l.b.VATNumber),
		labelled("Registration number", l.b.RegistrationNumber), l.b.Phone)
	from = l.linked(x, from, width, l.b.Email, mailto(l.b.Email))
	address, shown := l.b.site()
	from = l.linked(x, from, width, shown, address)
	l.y = max(to, from) + 22
}

const lineHeight = 12.5

// party places a heading and the name below it; it returns the baseline that follows.
func (l *layout) party(x, y, width float64, heading string, most int, names []string) float64 {
	l.write(x, y, heading, style{regular, 7.5, grey})
	y += 15
	for i, name := range slices.DeleteFunc(names, func(s string) bool { return s == "" }) {
		f := regular
		if i == 0 {
			f = semibold
		}
		y = l.paragraph(x, y, width, most, name, style{f, 9, ink})
	}
	return y
}

// lines places texts below each other, each wrapped; it returns the baseline that follows.
func (l *layout) lines(x, y, width float64, most int, lines ...string) float64 {
	for _, s := range lines {
		y = l.paragraph(x, y, width, most, s, style{regular, 9, ink})
	}
	return y
}

// paragraph places a text, wrapped, from the baseline y on; it returns the baseline that follows.
func (l *layout) paragraph(x, y, width float64, most int, s string, st style) float64 {
	for _, s := range l.fonts.wrap(l.clean(s), st.face, st.size, width, most) {
		l.write(x, y, s, st)
		y += lineHeight
	}
	return y
}

// linked places one line that leads to an address.
func (l *layout) linked(x, y, width float64, s, address string) float64 {
	s = l.clean(s)
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
	l.fill(box{left, footerLine, contentWidth, 0.5}, 0, line)
	number := l.writeRight(right, footerLine+14, fmt.Sprintf("Page %d of %d", n, of), style{regular, 7.5, grey})
	y := footerLine + 14
	for _, s := range l.fonts.wrap(l.clean(l.b.Footer), regular, 7.5, number.x-left-20, 2) {
		l.write(left, y, s, style{regular, 7.5, grey})
		y += 10
	}
}

// columns are the right edges of the table's columns of figures, and the size in which it is set.
type columns struct {
	size                                  float64
	name, nameWidth                       float64
	quantity, unitPrice, discount, amount float64
}

var heads = [...]string{"Description", "Qty", "Unit price", "Discount", "Amount"}

// measure chooses the columns so that the widest figure of the order fits each, and leaves the rest to the names. The size
// shrinks where the names would have too little.
func (l *layout) measure() columns {
	const gap, least = 14.0, 150.0
	c := columns{size: 9, name: left + 24}
	for ; ; c.size-- {
		widths := [3]float64{}
		for i, s := range heads[2:] {
			widths[i] = l.fonts.width(s, semibold, headSize)
		}
		for i := range l.o.Items {
			for j, s := range figures(&l.o.Items[i]) {
				widths[j] = max(widths[j], l.fonts.width(s, regular, c.size))
			}
		}
		c.amount = right
		c.discount = c.amount - widths[2] - gap
		c.unitPrice = c.discount - widths[1] - gap
		c.quantity = c.unitPrice - widths[0] - gap
		c.nameWidth = c.quantity - 24 - gap - c.name
		if c.nameWidth >= least || c.size <= 6 {
			return c
		}
	}
}

const headSize = 8.0

// figures returns the unit price, the discount and the amount of a line, as they are shown.
func figures(i *order.Item) [3]string {
	discount := "–"
	if !i.Discount.IsZero() {
		discount = "−" + i.Discount.Display()
	}
	return [3]string{i.UnitPrice.Display(), discount, i.Subtotal.Display()}
}

// items places the table, on as many pages as it needs, and the totals below it.
func (l *layout) items() {
	const pad, rowLine = 7.0, 12.0
	l.cols = l.measure()
	c := &l.cols
	closing := l.closing()
	const least = 70 // head and one short line
	if l.y+least > contentEnd {
		l.nextPage()
	}
	l.tableHead()
	for i := range l.o.Items {
		item := &l.o.Items[i]
		name := l.fonts.wrap(l.clean(item.ProductName), regular, c.size, c.nameWidth, order.MaxText)
		height := float64(max(1, len(name)))*rowLine + pad
		needed := height
		if i == len(l.o.Items)-1 {
			needed += closing.height
		}
		if l.y+needed > contentEnd {
			l.nextPage()
			l.tableHead()
		}
		y := l.y + pad/2 + 9
		plain := style{regular, c.size, ink}
		l.write(left, y, strconv.Itoa(i+1), style{regular, 7.5, grey})
		for j, s := range name {
			l.write(c.name, y+float64(j)*rowLine, s, plain)
		}
		f := figures(item)
		l.writeRight(c.quantity, y, strconv.Itoa(item.Quantity), plain)
		l.writeRight(c.unitPrice, y, f[0], plain)
		l.writeRight(c.discount, y, f[1], plain)
		l.writeRight(c.amount, y, f[2], plain)
		l.y += height
		l.fill(box{left, l.y, contentWidth, 0.5}, 0, line)
	}
	closing.place(l.y)
}

// nextPage begins a page that continues the table.
func (l *layout) nextPage() {
	l.addPage()
	st := style{regular, 8, grey}
	number := l.writeRight(right, l.y, l.fonts.ellipsize(l.title+" "+l.clean(l.o.Number), st.face, st.size, contentWidth/2), st)
	l.write(left, l.y, l.fonts.ellipsize(l.clean(l.b.Name), semibold, 8, number.x-left-20), style{semibold, 8, grey})
	l.y += 18
}

// tableHead places the head of the table.
func (l *layout) tableHead() {
	st := style{semibold, headSize, ink}
	y := l.y + 10
	l.write(l.cols.name, y, heads[0], st)
	for i, x := range [...]float64{l.cols.quantity, l.cols.unitPrice, l.cols.discount, l.cols.amount} {
		l.writeRight(x, y, heads[i+1], st)
	}
	l.y += 17
	l.fill(box{left, l.y, contentWidth, 1}, 0, l.accent)
	l.y++
}

// An ending is what stands below the table, measured before it is placed so that it is never torn from the last line.
type ending struct {
	height float64
	place  func(y float64)
}

// closing prepares the totals and, to their left, payment and campaign.
func (l *layout) closing() ending {
	const width = 215.0
	const notesWidth = contentWidth - width - 30
	o := l.o
	tax := "Tax"
	if l.title != "Invoice" {
		tax = "VAT"
	}
	rows := [][2]string{
		{"Subtotal", o.Subtotal.Display()},
		{"Shipping", o.Shipping.Display()},
		{tax + " (" + o.TaxRate.Percent().Display() + ")", o.Tax.Display()},
	}
	type note struct {
		label string
		lines []string
	}
	var notes []note
	height := 0.0
	for _, n := range l.notes() {
		lines := l.fonts.wrap(n[1], regular, 9, notesWidth-82, 4)
		notes = append(notes, note{n[0], lines})
		height += float64(len(lines)) * lineHeight
	}
	const top, rowHeight, totalHeight = 18.0, 16.0, 26.0
	return ending{
		height: top + max(height, float64(len(rows))*rowHeight+totalHeight),
		place: func(y float64) {
			y += top
			at := y
			for _, n := range notes {
				l.write(left, at, n.label, style{regular, 9, grey})
				for _, s := range n.lines {
					l.write(left+82, at, s, style{regular, 9, ink})
					at += lineHeight
				}
			}
			for _, r := range rows {
				l.write(right-width, y, r[0], style{regular, 9, grey})
				l.writeRight(right, y, r[1], style{regular, 9, ink})
				y += rowHeight
			}
			l.fill(box{right - width, y - 7, width, 1}, 0, l.accent)
			l.write(right-width, y+11, "Total", style{semibold, 11, ink})
			total, st := l.fit(o.Total.Display(), style{semibold, 13, ink}, width-50, 6)
			l.writeRight(right, y+11, total, st)
		},
	}
}

// notes returns what there is to say about payment and campaign: labels and texts.
func (l *layout) notes() [][2]string {
	o := l.o
	p := o.PaymentDetails
	if p == nil {
		p = &order.PaymentDetails{}
	}
	method := p.Method
	if method == "" {
		method = o.PaymentMethod
	}
	state, _ := paymentState(o.Status)
	all := [][2]string{
		{"Payment", state},
		{"Method", methodName(method)},
		{"Paid on", p.PaidAt.Display()},
		{"Reference", p.TransactionID},
		{"Payfast id", p.PayfastPaymentID},
	}
	if c := o.Campaign; c != nil {
		all = append(all, [2]string{"Campaign", c.Code + " (−" + c.DiscountPercentage.Display() + ")"}, [2]string{"", c.Description})
	}
	for i := range all {
		all[i][1] = l.clean(all[i][1])
	}
	if l.missing > 0 {
		all = append(all, [2]string{"Note", string(placeholder) + " stands for a character that this document cannot show."})
	}
	return slices.DeleteFunc(all, func(n [2]string) bool { return n[1] == "" })
}

// methodName returns a payment method for people.
func methodName(method string) string {
	switch method {
	case "":
		return ""
	case "eft":
		return "EFT"
	default:
		words := strings.Map(func(r rune) rune {
			if r == '_' || r == '-' {
				return ' '
			}
			return r
		}, method)
		return strings.ToUpper(words[:1]) + words[1:]
	}
}

// mailto returns the address of a link to a mail address, or "" if it does not look like one.
func mailto(address string) string {
	if strings.Count(address, "@") != 1 || strings.ContainsAny(address, " \t\r\n<>()[]\\,;:\"%?&#") {
		return ""
	}
	return "mailto:" + address
}
