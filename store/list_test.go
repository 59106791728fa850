package store_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

// at is the moment so many hours after noon.
func at(hours int) order.Timestamp {
	return order.NewTimestamp(noon.Add(time.Duration(hours) * time.Hour))
}

// fillList records 25 orders, one an hour. Every tenth is deleted, every fifth
// of the others paid. It returns those that are not deleted, oldest first.
func fillList(t *testing.T, tenant string) []order.Order {
	t.Helper()
	var now time.Time
	s := storeAt(&now)
	var orders []order.Order
	for i := range 25 {
		now = at(i).Time()
		o := record(t, s, tenant)
		switch {
		case i%10 == 9:
			deleteOrder(t, tenant, o.ID)
			continue
		case i%5 == 0:
			was := o.DateLastUpdated
			var err error
			if _, err = o.Apply(paid(), now); err == nil {
				o, err = s.Update(t.Context(), o, was)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		orders = append(orders, o)
	}
	// What else is in the table and not on the list:
	accept(t, s, tenant)
	record(t, s, tenant+"x")
	if _, err := s.IssueDocument(t.Context(), tenant, orders[0].ID, order.TaxInvoice, supplier(tenant)); err != nil {
		t.Fatal(err)
	}
	return orders
}

// ids returns the ids of the orders to keep, sorted.
func ids(orders []order.Order, keep func(order.Order) bool, compare func(a, b order.Order) int) []string {
	ids := []string{}
	for _, o := range slices.SortedFunc(slices.Values(orders), compare) {
		if keep(o) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// pages reads a list to its end. Every page must be full unless it is the last,
// and the last must not be empty unless it is the first.
func pages(t *testing.T, s *store.Store, q store.ListQuery) []string {
	t.Helper()
	is := is.New(t)
	got := []string{}
	for {
		page, err := s.List(t.Context(), q)
		is.NoErr(err)
		for _, o := range page.Orders {
			got = append(got, o.ID)
		}
		if page.Next == "" {
			is.True(len(page.Orders) > 0 || q.StartAt == "") // not empty
			return got
		}
		is.Equal(len(page.Orders), q.Size) // full
		q.StartAt = page.Next
	}
}

func TestList(t *testing.T) {
	s, tenant := newStore(t)
	orders := fillList(t, tenant)
	anyOrder := func(order.Order) bool { return true }
	isPaid := func(o order.Order) bool { return o.Status == order.Paid }
	within := func(from, to int) func(order.Order) bool {
		return func(o order.Order) bool {
			created := o.DateCreated.Time()
			return !created.Before(at(from).Time()) && !created.After(at(to).Time())
		}
	}
	byID := func(a, b order.Order) int { return strings.Compare(a.ID, b.ID) }
	oldest := func(a, b order.Order) int { return a.DateCreated.Time().Compare(b.DateCreated.Time()) }
	newest := func(a, b order.Order) int { return oldest(b, a) }
	for name, test := range map[string]struct {
		query store.ListQuery
		want  []string
	}{
		"all by id":          {store.ListQuery{}, ids(orders, anyOrder, byID)},
		"paid by id":         {store.ListQuery{Status: order.Paid}, ids(orders, isPaid, byID)},
		"newest first":       {store.ListQuery{Sort: store.NewestFirst}, ids(orders, anyOrder, newest)},
		"oldest first":       {store.ListQuery{Sort: store.OldestFirst}, ids(orders, anyOrder, oldest)},
		"paid, newest first": {store.ListQuery{Sort: store.NewestFirst, Status: order.Paid}, ids(orders, isPaid, newest)},
		"from":               {store.ListQuery{Sort: store.NewestFirst, From: at(20)}, ids(orders, within(20, 99), newest)},
		"to":                 {store.ListQuery{Sort: store.OldestFirst, To: at(3)}, ids(orders, within(0, 3), oldest)},
		"from and to": {
			store.ListQuery{Sort: store.NewestFirst, From: at(3), To: at(12)}, ids(orders, within(3, 12), newest),
		},
		"none": {store.ListQuery{Status: order.Refunded}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			for _, size := range []int{1, 3, max(len(test.want), 1), 100} {
				q := test.query
				q.TenantID, q.Size = tenant, size
				is.Equal(pages(t, s, q), test.want)
			}
		})
	}
}

func TestListShowsSummaries(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	for _, sort := range []store.Sort{store.ByID, store.OldestFirst} {
		page, err := s.List(t.Context(), store.ListQuery{TenantID: tenant, Size: 1, Sort: sort})
		is.NoErr(err)
		is.Equal(page, store.Page{Orders: []order.Summary{o.Summary()}})
	}
}

// TestListReadsOn holds that a filter which leaves little costs few calls.
func TestListReadsOn(t *testing.T) {
	is := is.New(t)
	s, tenant := newStore(t)
	for range 20 {
		accept(t, s, tenant) // not on the list
	}
	w := &wire{}
	page, err := over(w).List(t.Context(), store.ListQuery{TenantID: tenant, Size: 1})
	is.NoErr(err)
	is.Equal(len(page.Orders), 0)
	var limits []int
	for _, r := range w.sent {
		is.Equal(r.operation, "Query")
		limits = append(limits, r.Limit)
	}
	is.Equal(limits, []int{2, 4, 8, 16})

	for range 3 {
		record(t, s, tenant+"x")
	}
	w = &wire{}
	page, err = over(w).List(t.Context(), store.ListQuery{TenantID: tenant + "x", Size: 1})
	is.NoErr(err)
	is.True(page.Next != "")
	is.Equal(len(w.sent), 1) // one order more shows that there is a next page
}

// edit returns a token with some of its fields changed. The arguments are names
// and values in turn.
func edit(t *testing.T, token string, namesAndValues ...string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]string
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(namesAndValues, 2) {
		fields[pair[0]] = pair[1]
	}
	text, _ = json.Marshal(fields)
	return base64.RawURLEncoding.EncodeToString(text)
}

func TestListToken(t *testing.T) {
	s, tenant := newStore(t)
	orders := fillList(t, tenant)
	base := store.ListQuery{TenantID: tenant, Size: 2}
	dated := store.ListQuery{TenantID: tenant, Size: 2, Sort: store.NewestFirst, From: at(3), To: at(12)}
	other, sized, paid, oldest, later := base, base, base, dated, dated
	other.TenantID = tenant + "x"
	sized.Size = 1
	paid.Status = order.Paid
	oldest.Sort = store.OldestFirst
	later.From = at(4)
	next := func(q store.ListQuery) string {
		page, err := s.List(t.Context(), q)
		if err != nil || page.Next == "" {
			t.Fatal(err, "no next page")
		}
		return page.Next
	}
	id := orders[0].ID
	from := func(date string) []string { return []string{"SK", "ORDER#" + id, "GSI1_SK", date + "#" + id} }
	for name, test := range map[string]struct {
		query store.ListQuery
		token string
		ok    bool
	}{
		"its own":                    {base, next(base), true},
		"its own, with another size": {sized, next(base), true},
		"its own, dated":             {dated, next(dated), true},
		"no base64":                  {base, "!", false},
		"no JSON":                    {base, "AAAA", false},
		"another tenant":             {other, next(base), false},
		"another status":             {paid, next(base), false},
		"another sort":               {oldest, next(dated), false},
		"no sort":                    {dated, next(base), false},
		"another range":              {later, next(dated), false},
		"another tenant's key":       {base, edit(t, next(base), "PK", "TENANT#other"), false},
		"a counter's key":            {base, edit(t, next(base), "SK", "COUNTER#ORDER#2025"), false},
		"a bad id":                   {base, edit(t, next(base), "SK", "ORDER#x"), false},
		"no date":                    {dated, edit(t, next(dated), "GSI1_SK", "x#y"), false},
		"a date of another form":     {dated, edit(t, next(dated), from("2025-12-30T15:30:00Z")...), false},
		"another order's date":       {dated, edit(t, next(dated), "GSI1_SK", at(5).String()+"#"+id), false},
		"another index key":          {dated, edit(t, next(dated), "GSI1_PK", "TENANT#other"), false},
		"within the range":           {dated, edit(t, next(dated), from(at(5).String())...), true},
		"before the range":           {dated, edit(t, next(dated), from(at(1).String())...), false},
		"after the range":            {dated, edit(t, next(dated), from(at(15).String())...), false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			test.query.StartAt = test.token
			_, err := s.List(t.Context(), test.query)
			is.Equal(errors.Is(err, order.ErrPageToken), !test.ok)
			is.Equal(err == nil, test.ok)
		})
	}
}
