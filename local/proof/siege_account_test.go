package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/invoice"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/poller"
	"github.com/bbws/order-lambda/local/stack"
	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// stream returns a reader of all that the table's stream has.
func (s *siege) stream() *poller.Stream {
	table, err := s.stack.DynamoDB.DescribeTable(s.t.Context(), &dynamodb.DescribeTableInput{
		TableName: aws.String(stack.Table),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	client := dynamodbstreams.NewFromConfig(emulator.Config(*s.stack.DynamoDB.Options().BaseEndpoint))
	return &poller.Stream{
		Client: client, StreamARN: aws.ToString(table.Table.LatestStreamArn), BatchSize: 100, Function: s,
		Wait: 20 * time.Millisecond,
	}
}

// Invoke implements poller.Invoker: it keeps the records of the stream.
func (s *siege) Invoke(_ context.Context, payload []byte, _ string) ([]byte, error) {
	var event struct{ Records []poller.Record }
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range event.Records {
		s.records = append(s.records, r)
		if strings.Contains(string(r.Change.Keys), `"ORDER#`) && r.Change.NewImage != nil {
			s.versions.Add(1)
		}
	}
	return nil, nil
}

// account takes stock of all that happened.
func (s *siege) account() {
	s.Team, s.Bucket, s.Links = stack.TeamAddress, stack.OrdersBucket, "http"
	s.Totals, s.Brand = totals, s.brandOf
	orders := store.New(s.stack.DynamoDB, stack.Table, time.Now)
	s.Order = func(tenant, id string) (order.Order, error) { return orders.Order(context.Background(), tenant, id) }
	s.takeVersions()
	s.takeEvents()
	s.takeMails()
	s.takeObjects()
	s.takeQueues()
	for _, judge := range s.shown {
		judge()
	}
	s.readAll()
}

// takeVersions notes every change of every item, and finds out who made it.
func (s *siege) takeVersions() {
	for _, r := range s.records {
		before, after := item(s, r.Change.OldImage), item(s, r.Change.NewImage)
		s.Written(before, after, s.writer(before, after))
	}
}

func item(s *siege, image json.RawMessage) (i Item) {
	if image != nil {
		if err := json.Unmarshal(image, &i); err != nil {
			s.t.Fatal(err)
		}
	}
	return i
}

// writer finds out whose change of an item it was: by what changed, and by who
// the history says did it.
func (s *siege) writer(before, after Item) *Run {
	was, is := entriesOf(before), entriesOf(after)
	by := func(role string) *Run { return &Run{Name: role, Role: role} }
	active := func(i Item) bool { return i["active"].BOOL != nil && *i["active"].BOOL }
	documents := func(i Item) int {
		if m := i["documents"].M; m != nil {
			return len(*m)
		}
		return 0
	}
	switch {
	case !strings.HasPrefix(after.Text("SK"), "ORDER#"):
		return by("somebody")
	case before == nil:
		return s.acceptor(after)
	case active(before) && !active(after):
		return nil // an operator
	case len(was) == 0 || len(is) < len(was) || documents(after) < documents(before):
		return by(recorder) // who alone writes an order as a whole
	case len(is) == len(was):
		return by(documenter)
	}
	entry := Item(is[len(is)-1])
	if u := s.changes[entry.Text("by")]; u != nil {
		return u.Call.Run
	}
	for _, mailer := range []string{teamMailer, customerMailer} {
		if strings.Contains(entry.Text("reason"), mailer) {
			return by(mailer)
		}
	}
	return by("update_order") // that nobody asked for
}

// acceptor returns the POST that made an order. One whose answer was lost is
// told apart by the customer's address.
func (s *siege) acceptor(o Item) *Run {
	i := slices.IndexFunc(s.Wishes, func(wi *Wish) bool {
		return wi.Body["customerEmail"] == o.Text("customerEmail")
	})
	if i < 0 {
		return &Run{Name: "somebody", Role: "nobody"}
	}
	wi := s.Wishes[i]
	if len(wi.Posts) == 0 {
		return &Run{Name: recorder, Role: recorder}
	}
	lost := &Run{Name: "create_order of " + wi.Actor.Client, Role: "create_order"}
	for _, c := range wi.Posts {
		if c.Data["orderId"] == o.Text("id") && c.Header["Idempotent-Replayed"] == "" {
			return c.Run
		}
	}
	wi.Posts = append(wi.Posts, Exchange{Run: lost})
	return lost
}

// takeEvents notes what was published, as another system got it.
func (s *siege) takeEvents() {
	messages, err := s.stack.Heard(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range messages {
		s.Published(m.Body, s.news[m.Body])
	}
}

// takeMails notes the inbox. Its mails are those that SES was asked for.
func (s *siege) takeMails() {
	inbox, err := s.stack.Mails(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, got := range inbox {
		m := s.letters[got.MessageID]
		if m == nil {
			s.Broken("a mail %q that no role sent", got.Subject)
			continue
		}
		m.Subject, m.To, m.Text, m.HTML = got.Subject, got.Destination.To, got.Body.Text, got.Body.HTML
		m.By.Died = m.By.Died || slices.ContainsFunc(s.stack.Batches(m.By.Role), func(b stack.Batch) bool {
			return b.Err != nil && slices.ContainsFunc(b.Messages, func(e events.SQSMessage) bool {
				return strings.Contains(e.Body, m.Tags["orderId"])
			})
		})
		about := s.Sent(&m.SentMail)
		noted := s.noted[about]
		m.Known = !noted.IsZero() && noted.Before(m.asked)
	}
}

// takeObjects notes the documents.
func (s *siege) takeObjects() {
	pages := s3.NewListObjectsV2Paginator(s.stack.S3, &s3.ListObjectsV2Input{Bucket: aws.String(stack.OrdersBucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, o := range page.Contents {
			name := stack.OrdersBucket + "/" + *o.Key
			s.Objects[name] = Object{Header: s.puts[name].Header, Body: s.object(stack.OrdersBucket, *o.Key)}
		}
	}
}

// object reads an object of a bucket.
func (s *siege) object(bucket, key string) []byte {
	got, err := s.stack.S3.GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

// takeQueues notes what is left of the queues.
func (s *siege) takeQueues() {
	bodies := func(messages []stack.Message, err error) (all []string) {
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range messages {
			all = append(all, m.Body)
		}
		return all
	}
	for _, role := range consumers() {
		q := Leftover{
			Role: role,
			Left: bodies(s.stack.Waiting(s.t.Context(), role)), Dead: bodies(s.stack.DeadLetters(s.t.Context(), role)),
		}
		if role == recorder {
			q.Noise = s.noise
		}
		s.Queues = append(s.Queues, q)
		s.Add("dead letters", len(q.Dead))
	}
	s.Lost = bodies(s.stack.LostEvents(s.t.Context()))
}

// readAll reads everything through the API, some at a time.
func (s *siege) readAll() {
	var readers errgroup.Group
	readers.SetLimit(8)
	for _, tenant := range tenants() {
		seen := map[string]bool{}
		s.Listed[tenant] = seen
		readers.Go(func() error { s.ReadList(s, tenant, seen); return nil })
	}
	for i, wi := range s.Wishes {
		if wi.OrderID != "" {
			reader := Actor{Client: fmt.Sprintf("reader %d", i), Tenant: wi.Actor.Tenant}
			readers.Go(func() error { s.ReadOrder(s, reader, wi, i%20 == 0); return nil })
		}
	}
	_ = readers.Wait() // What is wrong is in the account.
}

// totals are those of the two good kinds of cart, in cents.
func totals(_, cart string) (subtotal, tax, total string) {
	of := map[string][3]int64{"good": {250_00, 37_50, 287_50}, "shipping": {519_97, 92_92, 712_39}}[kindOf(cart)]
	text := func(cents int64) string { return big.NewRat(cents, 100).FloatString(2) }
	return text(of[0]), text(of[1]), text(of[2])
}

// brandOf returns what a tenant's documents show: only the common company has a
// logo beside it.
func (s *siege) brandOf(tenant string) (order.Supplier, invoice.Logo) {
	var logo invoice.Logo
	key := "branding/" + tenant + "/company.json"
	if tenant == tenants()[0] {
		key = "branding/company.json"
		picture, err := branding.Files.ReadFile("logo.png")
		if err != nil {
			s.t.Fatal(err)
		}
		if logo, err = invoice.ParseLogo(picture); err != nil {
			s.t.Fatal(err)
		}
	}
	supplier, err := order.ParseSupplier(s.object(stack.TemplatesBucket, key))
	if err != nil {
		s.t.Fatal(err)
	}
	return supplier, logo
}
