package invoice

import (
	"fmt"

	"github.com/bbws/order-lambda/order"
)

// A Report says what came of rendering an invoice.
type Report struct {
	Pages   int
	Missing int // characters that the fonts do not have, shown as placeholders
}

// Render makes the invoice of an order as a PDF. The same order and brand always make the same bytes. The error is an
// order.Permanent where the order has more lines than an order can have.
func Render(o order.Order, b Brand) ([]byte, Report, error) {
	if len(o.Items) > order.MaxItems {
		return nil, Report{}, &order.Permanent{Reason: fmt.Sprintf("invoice of more than %d lines", order.MaxItems)}
	}
	fs, err := loadFonts()
	if err != nil {
		return nil, Report{}, err
	}
	l := lay(fs, o, b)
	pdf, err := paint(fs, l.pages, document{title: l.title + " " + l.o.Number, author: l.b.Name, created: o.DateCreated.Time()})
	if err != nil {
		return nil, Report{}, err
	}
	return pdf, Report{Pages: len(l.pages), Missing: l.missing}, nil
}
