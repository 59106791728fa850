package notify_test

import (
	"flag"
	stdhtml "html"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/notify"
	"github.com/bbws/order-lambda/order"
)

var update = flag.Bool("update", false, "write the golden files")

// A mail is one that a sender makes about a sample's last entry.
type mail struct {
	sample, template string
	sender           *notify.Sender
}

// mails returns one mail of each kind.
func mails() []mail {
	c, i := customerOf(nil, nil), internal(nil, nil)
	return []mail{
		{"three-lines", "customer/order_confirmation.html", c},
		{"paid", "customer/order_paid.html", c},
		{"completed", "customer/order_completed.html", c},
		{"cancelled", "customer/order_cancelled.html", c},
		{"refunded", "customer/order_refunded.html", c},
		{"three-lines", "internal/order_notification.html", i},
		{"refunded", "internal/order_update.html", i},
	}
}

// completed returns an order that is paid, processed and completed.
func completed() order.Order {
	o := sampled("paid")
	for _, s := range []order.Status{order.Processing, order.Completed} {
		if _, err := o.Apply(
			order.Update{Status: s, By: "team@example.co.za"}, o.DateLastUpdated.Time().Add(24*time.Hour),
		); err != nil {
			panic(err)
		}
	}
	return o
}

// about returns an order and its last entry.
func about(name string) (order.Order, order.Entry) {
	o := completed()
	if name != "completed" {
		o = sampled(name)
	}
	return o, o.History[len(o.History)-1]
}

func (m mail) render(t testing.TB) notify.Message {
	t.Helper()
	o, e := about(m.sample)
	message, err := m.sender.Render(o, e, supplier(), defaultTemplate(t, m.template))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestGolden(t *testing.T) {
	for _, m := range mails() {
		t.Run(m.template, func(t *testing.T) {
			message := m.render(t)
			name := strings.TrimSuffix(filepath.Base(m.template), ".html")
			golden(t, name+".html", message.HTML)
			golden(t, name+".txt", "Subject: "+message.Subject+"\n\n"+message.Text)
		})
	}
}

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (look at it, then go test ./notify -update):\n%s", name, got)
	}
}

// A mail shows the state and the payment of its entry, whatever became of the
// order.
func TestMailShowsItsEntry(t *testing.T) {
	is := is.New(t)
	o := sampled("refunded")
	m, err := customer().Render(o.At(1), o.History[0], supplier(), defaultTemplate(t, key))
	is.NoErr(err)
	for _, part := range []string{m.HTML, m.Text} {
		is.True(strings.Contains(part, "Not paid yet"))
		is.True(strings.Contains(part, "Example Bank, account 1234567")) // how to pay
		is.True(!strings.Contains(part, "TXN-"))
		is.True(!strings.Contains(part, "Refunded"))
	}
}

func TestMailsHaveNoThanksInACancellation(t *testing.T) {
	for _, m := range mails() {
		message := m.render(t)
		all := message.Subject + message.HTML + message.Text
		is := is.New(t)
		is.True(m.sample != "cancelled" || !strings.Contains(strings.ToLower(all), "thank"))
		is.True(!strings.Contains(all, "Tax"))   // it is VAT
		is.True(!strings.Contains(all, "Kimmy")) // the brand is the supplier's
	}
}

func TestNextSteps(t *testing.T) {
	late := sampled("cancelled")
	_, err := late.Apply(order.Update{
		Status: order.Refunded, By: "team@example.co.za", PaymentDetails: &order.PaymentDetails{TransactionID: "TXN-1"},
	}, late.DateLastUpdated.Time().Add(time.Hour))
	is.New(t).NoErr(err)
	free := sampled("free")
	free = free.At(1)
	for _, tt := range []struct {
		name string
		o    order.Order
		want string
	}{
		{"to be paid", placed(), "We will start on your order once your payment has arrived."},
		{"free", free, "There is nothing to pay."},
		{"paid", sampled("paid"), "Your invoice is with your order."},
		{"completed", completed(), "There is nothing more for you to do."},
		{"cancelled", sampled("cancelled"), "You do not need to pay for it."},
		{"refunded", sampled("refunded"), "Your credit note is with your order."},
		{"refunded after a cancellation", late, "Your payment arrived after the order was cancelled."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m, err := customer().Render(tt.o, tt.o.History[len(tt.o.History)-1], supplier(), "{{nextSteps}}")
			is.NoErr(err)
			is.True(strings.Contains(m.HTML, tt.want))
			is.True(strings.Contains(m.Text, tt.want))
		})
	}
}

func TestPayment(t *testing.T) {
	const src = "{{paymentStatus}}|{{paymentMethod}}|{{paymentReference}}|{{paymentDate}}|{{if paymentLines}}how{{end}}"
	for _, tt := range []struct{ sample, want string }{
		{"three-lines", "Not paid yet|Payfast|||how"},
		{"paid", "Paid|Credit card|TXN-20251230-004711|20 December 2025|"},
		{"completed", "Paid|Credit card|TXN-20251230-004711|20 December 2025|"},
		{"cancelled", "Not due|Payfast|||"},
		{"refunded", "Refunded|Credit card|TXN-20251230-004711|21 December 2025|"},
	} {
		t.Run(tt.sample, func(t *testing.T) {
			is := is.New(t)
			o, e := about(tt.sample)
			m, err := customer().Render(o, e, supplier(), src)
			is.NoErr(err)
			is.Equal(m.HTML, tt.want)
		})
	}
}

func TestPaymentMethod(t *testing.T) {
	for _, tt := range []struct{ method, want string }{
		{"payfast", "Payfast"}, {"eft", "EFT"}, {
			"credit_card", "Credit card",
		}, {"snap-scan", "Snap scan"}, {"élan", "Élan"}, {" ", ""},
	} {
		t.Run(tt.method, func(t *testing.T) {
			is := is.New(t)
			o := placed()
			o.PaymentMethod = tt.method
			m, err := customer().Render(o, created(o), supplier(), "{{paymentMethod}}")
			is.NoErr(err)
			is.Equal(m.HTML, tt.want)
		})
	}
}

// phishing are texts that a customer could try to have delivered by us.
var phishing = []string{
	"Your parcel is held. Pay R 49 at https://evil.example/pay",
	"Pay at evil.example", "www.evil.example", "WWW.EVIL.EXAMPLE", "evil.example/pay?x=1", "//evil.example", "pay@evil.example", "mailto:pay@evil.example",
	"tel:+27820000000", "http://1.2.3.4/", "1.2.3.4", "evil。example", "evil．example", "evil.\u00adexample", "evil.\u200bexample", "evil.例え.jp",
	"javascript:alert(1)", "hxxp://evil.example", "evil.co.za.", "(evil.example)",
}

func TestNoLinkOfACustomers(t *testing.T) {
	for _, text := range phishing {
		t.Run(text, func(t *testing.T) {
			for _, m := range mails() {
				o, e := about(m.sample)
				o.CustomerName, o.BillingAddress.FullName, o.BillingAddress.Company = text, text, text
				o.BillingAddress.Street, o.BillingAddress.City, o.BillingAddress.Province = text, text, text
				o.BillingAddress.VATNumber, o.PaymentMethod, e.Reason = text, text, text
				o.PaymentDetails = &order.PaymentDetails{Method: text, TransactionID: text}
				o.Items[0].ProductName = text
				message, err := m.sender.Render(o, e, supplier(), defaultTemplate(t, m.template))
				is := is.New(t)
				is.NoErr(err)
				for _, part := range []string{message.HTML, message.Text} {
					is.True(!strings.Contains(part, text))                        // not as it was
					is.True(!strings.Contains(strings.ToLower(part), "evil.exa")) // not in parts
				}
				if strings.HasPrefix(m.template, "customer/") {
					is.True(strings.Contains(message.Text, "Dear customer,")) // not greeted
				}
			}
		})
	}
}

func TestGreeting(t *testing.T) {
	for _, tt := range []struct{ customer, billing, want string }{
		{"Thandi Example", "Someone Else", "Thandi Example"},
		{"", "Accounts Department", "Accounts Department"},
		{" \u202e ", "", "customer"},
		{"Thandi\r\nof\tthe\u2028South\u0000", "", "Thandi  of the South"},
		{"J.R.R. Tolkien", "", "J.R.R. Tolkien"},
		{"Thandi M.N", "", "Thandi M.N"},
		{"O'Brien & Sons: Attorneys", "", "O'Brien & Sons: Attorneys"},
		{"山田 太郎", "", "山田 太郎"},
		{"فاطمة الزهراء", "", "فاطمة الزهراء"},
		{strings.Repeat("x", 60), "", strings.Repeat("x", 60)},
		{strings.Repeat("x", 61), "", "customer"},
		{"evil.example", "Accounts Department", "Accounts Department"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			is := is.New(t)
			o := placed()
			o.CustomerName, o.BillingAddress.FullName = tt.customer, tt.billing
			m, err := customer().Render(o, created(o), supplier(), "<b>{{customerName}}</b>")
			is.NoErr(err)
			is.True(strings.HasPrefix(m.Text, "Dear "+tt.want+","))        // in the text
			is.Equal(stdhtml.UnescapeString(m.HTML), "<b>"+tt.want+"</b>") // and in the template
		})
	}
}

// Every mail has its template among the shipped ones, and every shipped one is
// some mail's.
func TestShippedTemplates(t *testing.T) {
	is := is.New(t)
	var used []string
	for _, s := range []*notify.Sender{customerOf(nil, nil), internal(nil, nil)} {
		for _, status := range order.Statuses() {
			used = append(used, s.Template(order.EventType("order."+string(status))))
		}
		used = append(used, s.Template(order.EventCreated))
	}
	slices.Sort(used)
	used = slices.DeleteFunc(slices.Compact(used), func(key string) bool { return key == "" })
	is.Equal(used, templateKeys())
	for _, key := range templateKeys() {
		is.NoErr(notify.CheckTemplate(key, defaultTemplate(t, key)))
	}
	is.True(notify.CheckTemplate(key, "{{orderDetailsUrl}}") != nil)   // the team's
	is.True(notify.CheckTemplate("customer/other.html", "<p>") != nil) // no mail's
}

func TestTeamSeesTheCustomer(t *testing.T) {
	is := is.New(t)
	o := placed()
	o.CustomerName, o.CustomerEmail = "evil.example", "www.evil/x@example.com"
	m, err := internal(nil, nil).Render(o, created(o), supplier(), "{{customerName}}|{{customerEmail}}")
	is.NoErr(err)
	is.Equal(m.HTML, "evil.\u200cexample|www.\u200cevil/x@\u200cexample.\u200ccom") // but no link
}

// Large mail providers cut a mail behind 102 KB and hide the rest, the total
// among it.
func TestLargestMail(t *testing.T) {
	for _, m := range mails() {
		t.Run(m.template, func(t *testing.T) {
			is := is.New(t)
			o, e := about(m.sample)
			long := strings.Repeat(`"`, order.MaxText) // Five bytes each in HTML, as many as any.
			o.CustomerName, o.PaymentMethod, e.Reason = long, long, long
			o.BillingAddress = order.BillingAddress{
				FullName: long, Company: long, VATNumber: long, Street: long, City: long, Province: long, PostalCode: long, Country: "ZA",
			}
			o.PaymentDetails = &order.PaymentDetails{Method: long, TransactionID: long}
			o.Items[0].ProductName = long
			o.Items = slices.Repeat(o.Items[:1], order.MaxItems)
			message, err := m.sender.Render(o, e, supplier(), defaultTemplate(t, m.template))
			is.NoErr(err)
			is.Equal(strings.Count(message.HTML, "</bdi><br><span"), 30) // lines
			is.True(strings.Contains(message.HTML, "… 170 more in"))
			is.True(strings.Contains(message.Text, "… 170 more in your invoice"))
			if len(message.HTML) >= 90_000 || len(message.Text) >= 90_000 {
				t.Errorf("%d bytes of HTML, %d of text", len(message.HTML), len(message.Text))
			}
		})
	}
}

func TestMoreLinesThanAMailLists(t *testing.T) {
	for lines, more := range map[int]string{30: "", 31: "1"} {
		t.Run(strconv.Itoa(lines), func(t *testing.T) {
			is := is.New(t)
			o := placed()
			o.Items = slices.Repeat(o.Items[:1], lines)
			m, err := customer().Render(o, created(o), supplier(), "{{moreItems}}")
			is.NoErr(err)
			is.Equal(m.HTML, more)
		})
	}
}

func TestWebsite(t *testing.T) {
	for website, want := range map[string]string{
		"https://shop.example/za/":  "https://shop.example/za/ shop.example/za",
		" http://shop.example ":     "http://shop.example shop.example",
		"":                          " ",
		"shop.example":              " ",
		"ftp://shop.example":        " ",
		"javascript:alert(1)":       " ",
		"https:///za":               " ", // no host
		"https://shop@evil.example": " ",
		"https://shop example":      " ",
	} {
		t.Run(website, func(t *testing.T) {
			is := is.New(t)
			s := supplier()
			s.Website = website
			m, err := customer().Render(placed(), created(placed()), s, "{{companyUrl}} {{companyWebsite}}")
			is.NoErr(err)
			is.Equal(m.HTML, want)
		})
	}
}

// Every name of a template is in the README, for its author.
func TestREADME(t *testing.T) {
	is := is.New(t)
	readme, err := os.ReadFile("README.md")
	is.NoErr(err)
	values, lists := notify.Names()
	names := values
	for name, fields := range lists {
		names = append(append(names, name), fields...)
	}
	for _, name := range names {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not say what %s is", name)
		}
	}
}
