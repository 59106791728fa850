package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/order"
	"github.com/bbws/order-lambda/store"
)

func TestAccept(t *testing.T) {
	t.Run("numbers orders and lets them be asked for", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		for n := int64(1); n <= 3; n++ {
			c := creation(tenant)
			o, err := s.Accept(t.Context(), c)
			is.NoErr(err)
			is.Equal(o, c.Accepted(order.FormatNumber(2025, n), order.NewTimestamp(noon)))
			is.Equal(read(t, s, tenant, c.OrderID), o)
		}
	})
	t.Run("returns an order that is there as it stands", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		first, err := s.Accept(t.Context(), c)
		is.NoErr(err)
		is.NoErr(s.Fail(t.Context(), tenant, c.OrderID, "cart not found"))
		first.Status, first.FailureReason = order.Failed, "cart not found"
		again, err := s.Accept(t.Context(), c)
		is.NoErr(err)
		is.Equal(again, first)
		recorded := priced(t, first, c)
		is.NoErr(s.Record(t.Context(), recorded))
		again, err = s.Accept(t.Context(), c)
		is.NoErr(err)
		is.Equal(again, recorded)
	})
	t.Run("does not bring a deleted order back", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		_, err := s.Accept(t.Context(), c)
		is.NoErr(err)
		deleteOrder(t, tenant, c.OrderID)
		_, err = s.Accept(t.Context(), c)
		is.True(errors.Is(err, order.ErrDeleted))
	})
}

func TestAcceptTwice(t *testing.T) {
	t.Run("yields to another call that came first", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		var first order.Order
		w := &wire{before: func(call string) {
			if call == "PutItem 1" {
				var err error
				first, err = s.Accept(t.Context(), c)
				is.NoErr(err)
			}
		}}
		second, err := over(w).Accept(t.Context(), c)
		is.NoErr(err)
		is.Equal(second, first)
		is.Equal(second.Number, "ORD-2025-00002") // the one that it took itself is skipped
	})
	t.Run("knows its own write when the answer was lost", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		w := &wire{lose: "PutItem 1"}
		c := creation(tenant)
		o, err := over(w).Accept(t.Context(), c)
		is.NoErr(err)
		is.Equal(w.operations(), "UpdateItem PutItem PutItem GetItem")
		is.Equal(o, c.Accepted("ORD-2025-00001", order.NewTimestamp(noon)))
	})
}

func TestOrderNumber(t *testing.T) {
	t.Run("is that of South Africa's year", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		var now time.Time
		s := storeAt(&now)
		for at, want := range map[string]string{
			"2025-12-31T21:59:59Z": "ORD-2025-00001",
			"2025-12-31T22:30:00Z": "ORD-2026-00001", // half past midnight in Johannesburg
			"2026-12-31T22:30:00Z": "ORD-2027-00001",
		} {
			var err error
			now, err = time.Parse(time.RFC3339, at)
			is.NoErr(err)
			o, err := s.Accept(t.Context(), creation(tenant))
			is.NoErr(err)
			is.Equal(o.Number, want)
		}
		o, err := s.Accept(t.Context(), creation(tenant+"-other"))
		is.NoErr(err)
		is.True(strings.HasSuffix(o.Number, "-00001")) // each tenant counts for itself
	})
	t.Run("never comes twice, however many orders come at once", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		const orders = 60
		numbers, want := make([]string, orders), make([]string, orders)
		var wg sync.WaitGroup
		for i := range orders {
			want[i] = order.FormatNumber(2025, int64(i+1))
			wg.Go(func() {
				o, err := s.Accept(t.Context(), creation(tenant))
				if err != nil {
					t.Error(err)
				}
				numbers[i] = o.Number
			})
		}
		wg.Wait()
		is.Equal(slices.Sorted(slices.Values(numbers)), want)
	})
	t.Run("is skipped where its answer was lost", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		o, err := over(&wire{lose: "UpdateItem 1"}).Accept(t.Context(), creation(tenant))
		is.NoErr(err)
		is.Equal(o.Number, "ORD-2025-00002")
	})
}

// TestAcceptedItem holds the stored form of an order that is only accepted.
func TestAcceptedItem(t *testing.T) {
	is := is.New(t)
	s, _ := newStore(t)
	c := creation("golden-accepted")
	c.OrderID = "7a1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"
	o, err := s.Accept(t.Context(), c)
	is.NoErr(err)
	putRaw(t, golden(t, "accepted.json", rawOrder(t, o.TenantID, o.ID)))
	is.Equal(read(t, s, o.TenantID, o.ID), o) // read as it is written

	is.Equal(rawOrder(t, o.TenantID, o.ID)["expiresAt"], num(noon.Add(30*24*time.Hour).Unix()))
}

// TestOrderItem holds the stored form of an order on which everything has
// happened that can.
func TestOrderItem(t *testing.T) {
	is := is.New(t)
	s, _ := newStore(t)
	c := creation("golden")
	c.OrderID = "6f1c2a5e-9d5b-4c3a-8b1e-0a1b2c3d4e5f"
	accepted, err := s.Accept(t.Context(), c)
	is.NoErr(err)
	o := priced(t, accepted, c)
	is.NoErr(s.Record(t.Context(), o))
	is.NoErr(s.NoteMailFailed(t.Context(), o.TenantID, o.ID, o.History[0], "r", "no such mailbox"))
	changed := apply(t, read(t, s, o.TenantID, o.ID), paid())
	o, err = s.Update(t.Context(), changed, o.DateLastUpdated)
	is.NoErr(err)
	for _, d := range []order.Document{
		proForma(o.ID),
		{
			Kind: order.TaxInvoice, Number: "INV-2025-00001", DateIssued: order.NewTimestamp(noon),
			URL: "s3://bucket/order_t.pdf",
		},
	} {
		is.NoErr(s.AddDocument(t.Context(), o.TenantID, o.ID, d))
		o.Issue(d)
	}
	putRaw(t, golden(t, "order.json", rawOrder(t, o.TenantID, o.ID)))
	is.Equal(read(t, s, o.TenantID, o.ID), o) // read as it is written
}

func TestOrder(t *testing.T) {
	t.Run("is found by id and by number", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		is.Equal(read(t, s, tenant, o.ID), o)
		byID, err := s.OrderByID(t.Context(), o.ID)
		is.NoErr(err)
		is.Equal(byID, o) // AP4
		byNumber, err := s.OrderByNumber(t.Context(), tenant, o.Number)
		is.NoErr(err)
		is.Equal(byNumber, o) // AP6
	})
	t.Run("is found by no index before it is recorded", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := accept(t, s, tenant)
		_, err := s.OrderByID(t.Context(), o.ID)
		is.True(errors.Is(err, order.ErrNotFound))
		_, err = s.OrderByNumber(t.Context(), tenant, o.Number)
		is.True(errors.Is(err, order.ErrNotFound))
	})
	t.Run("is not found for another tenant", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		_, err := s.Order(t.Context(), tenant+"-other", o.ID)
		is.True(errors.Is(err, order.ErrNotFound))
		_, err = s.OrderByNumber(t.Context(), tenant+"-other", o.Number)
		is.True(errors.Is(err, order.ErrNotFound))
	})
	t.Run("is said to be deleted", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		deleteOrder(t, tenant, o.ID)
		_, err := s.Order(t.Context(), tenant, o.ID)
		is.True(errors.Is(err, order.ErrDeleted))
		_, err = s.OrderByID(t.Context(), o.ID)
		is.True(errors.Is(err, order.ErrDeleted))
		_, err = s.OrderByNumber(t.Context(), tenant, o.Number)
		is.True(errors.Is(err, order.ErrDeleted))
	})
}

func TestOrderThatCannotBeRead(t *testing.T) {
	s, tenant := newStore(t)
	o := record(t, s, tenant)
	for name, total := range map[string]types.AttributeValue{
		"finer than a cent": &types.AttributeValueMemberN{Value: "1.234"},
		"a text":            text("1.23"),
		"absent":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			i := rawOrder(t, tenant, o.ID)
			i["total"] = total
			if total == nil {
				delete(i, "total")
			}
			putRaw(t, i)
			_, err := s.Order(t.Context(), tenant, o.ID)
			is.True(err != nil)
			_, err = s.List(t.Context(), store.ListQuery{TenantID: tenant, Size: 10})
			is.True(err != nil)
		})
	}
}

func TestRecord(t *testing.T) {
	t.Run("completes an accepted order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := accept(t, s, tenant)
		is.NoErr(s.Fail(t.Context(), tenant, o.ID, "cart not found"))
		is.NoErr(s.Record(t.Context(), o))
		is.Equal(read(t, s, tenant, o.ID), o) // pending, without a reason
		i := rawOrder(t, tenant, o.ID)
		_, expires := i["expiresAt"]
		is.True(!expires)
		_, reason := i["failureReason"]
		is.True(!reason)
		is.Equal(i["GSI1_PK"], text("TENANT#"+tenant))
		is.Equal(i["GSI1_SK"], text("2025-12-30T10:30:00.000000Z#"+o.ID))
		is.Equal(i["GSI2_PK"], text("ORDER#"+o.ID))
		is.Equal(i["GSI2_SK"], text("METADATA"))
		is.Equal(rawItem(t, "TENANT#"+tenant, "NUMBER#"+o.Number)["orderId"], text(o.ID))
	})
	t.Run("refuses what was never accepted", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		c := creation(tenant)
		o := priced(t, c.Accepted("ORD-2025-00001", order.NewTimestamp(noon)), c)
		is.True(errors.Is(s.Record(t.Context(), o), order.ErrNotFound))
		is.Equal(len(rawOrder(t, tenant, o.ID)), 0) // nothing is written
	})
	t.Run("is done once", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		again := o
		again.CustomerName = "Somebody else"
		is.True(errors.Is(s.Record(t.Context(), again), order.ErrExists))
		is.Equal(read(t, s, tenant, o.ID), o)
	})
	t.Run("leaves an order that was deleted meanwhile", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := accept(t, s, tenant)
		deleteOrder(t, tenant, o.ID)
		before := rawOrder(t, tenant, o.ID)
		is.True(errors.Is(s.Record(t.Context(), o), order.ErrDeleted))
		is.Equal(rawOrder(t, tenant, o.ID), before)
	})
	t.Run("refuses for good what is larger than an item", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := accept(t, s, tenant)
		o.Items = lines(o.Items[0], order.MaxItems, order.MaxText)
		err := s.Record(t.Context(), o)
		var permanent *order.PermanentError
		is.True(errors.As(err, &permanent))
		is.Equal(permanent.Reason, "order is too large to be recorded")
		is.Equal(len(read(t, s, tenant, o.ID).History), 0) // it is still only accepted
	})
}

// lines returns n lines with names of so many characters of four bytes each.
func lines(line order.Item, n, characters int) []order.Item {
	long := strings.Repeat("😀", characters)
	line.ID, line.ProductID, line.ProductName = long, long, long
	return slices.Repeat([]order.Item{line}, n)
}

func TestFail(t *testing.T) {
	t.Run("keeps the order for as long again", func(t *testing.T) {
		is := is.New(t)
		_, tenant := newStore(t)
		now := noon
		s := storeAt(&now)
		c := creation(tenant)
		o, err := s.Accept(t.Context(), c)
		is.NoErr(err)
		now = noon.Add(24 * time.Hour)
		is.NoErr(s.Fail(t.Context(), tenant, o.ID, "cart not found"))
		is.Equal(rawOrder(t, tenant, o.ID)["expiresAt"], num(noon.Add(31*24*time.Hour).Unix()))
		o.Status, o.FailureReason = order.Failed, "cart not found"
		is.Equal(read(t, s, tenant, o.ID), o)
		is.NoErr(s.Fail(t.Context(), tenant, o.ID, "cart is empty"))
		is.Equal(read(t, s, tenant, o.ID).FailureReason, "cart is empty") // the last one stands
	})
	for name, prepare := range map[string]func(*testing.T, *store.Store, string) string{
		"recorded": func(t *testing.T, s *store.Store, tenant string) string { return record(t, s, tenant).ID },
		"deleted": func(t *testing.T, s *store.Store, tenant string) string {
			o := accept(t, s, tenant)
			deleteOrder(t, tenant, o.ID)
			return o.ID
		},
		"not there": func(*testing.T, *store.Store, string) string { return order.NewID() },
	} {
		t.Run("leaves an order that is "+name, func(t *testing.T) {
			is := is.New(t)
			s, tenant := newStore(t)
			id := prepare(t, s, tenant)
			before := rawOrder(t, tenant, id)
			is.NoErr(s.Fail(t.Context(), tenant, id, "cart not found"))
			is.Equal(rawOrder(t, tenant, id), before)
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Run("writes the change and its entry, and nothing else", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		changed := apply(t, o, paid())
		is.NoErr(s.AddDocument(t.Context(), tenant, o.ID, proForma(o.ID))) // meanwhile
		got, err := s.Update(t.Context(), changed, o.DateLastUpdated)
		is.NoErr(err)
		changed.Issue(proForma(o.ID)) // is not lost
		is.Equal(got, changed)
		is.Equal(len(got.History), 2)
		is.Equal(read(t, s, tenant, o.ID), changed)

		cancelled := apply(t, record(t, s, tenant), order.Update{Status: order.Cancelled, By: "x"})
		got, err = s.Update(t.Context(), cancelled, o.DateLastUpdated)
		is.NoErr(err)
		is.Equal(got, cancelled) // no payment, no reason
	})
	t.Run("comes after a note that was made meanwhile", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		is.NoErr(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r", "refused"))
		got, err := s.Update(t.Context(), apply(t, o, paid()), o.DateLastUpdated)
		is.NoErr(err)
		is.Equal(eventTypes(got.History), []order.EventType{order.EventCreated, order.EventMailFailed, order.EventPaid})
		is.Equal(got.History[2].Sequence, 3)
	})
}

func TestUpdateRefuses(t *testing.T) {
	t.Run("a stale order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		_, err := s.Update(t.Context(), apply(t, o, paid()), o.DateLastUpdated)
		is.NoErr(err)
		before := rawOrder(t, tenant, o.ID)
		_, err = s.Update(t.Context(), apply(t, o, order.Update{Status: order.Cancelled, By: "x"}), o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrChanged))
		is.Equal(rawOrder(t, tenant, o.ID), before)
	})
	t.Run("an order that is not there", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		changed := apply(t, o, paid())
		deleteOrder(t, tenant, o.ID)
		before := rawOrder(t, tenant, o.ID)
		_, err := s.Update(t.Context(), changed, o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrDeleted))
		is.Equal(rawOrder(t, tenant, o.ID), before)
		changed.ID = order.NewID()
		_, err = s.Update(t.Context(), changed, o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrNotFound))
		is.Equal(len(rawOrder(t, tenant, changed.ID)), 0) // none is made
	})
	t.Run("a history that would outgrow the item", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := accept(t, s, tenant)
		const bytes = 400<<10 - 4<<10 // of an item's 400 KB, all but the rest of the order
		o.Items = lines(o.Items[0], 100, bytes/100/12-30)
		is.NoErr(s.Record(t.Context(), o))
		for i := range order.MaxHistory {
			next := apply(t, o, order.Update{
				Status: map[bool]order.Status{true: order.PaymentPending}[i == 0], By: strings.Repeat("😀", order.MaxText),
				PaymentDetails: &order.PaymentDetails{Method: fmt.Sprint(i)},
			})
			got, err := s.Update(t.Context(), next, o.DateLastUpdated)
			if err != nil {
				is.True(errors.Is(err, order.ErrTooManyChanges))
				is.Equal(read(t, s, tenant, o.ID), o)
				return
			}
			o = got
		}
		t.Fatal("the item never was too large")
	})
}

func eventTypes(history []order.Entry) []order.EventType {
	types := make([]order.EventType, len(history))
	for i, e := range history {
		types[i] = e.Type
	}
	return types
}

// TestUpdateWhoseAnswerWasLost tells an own write from another's: the SDK tries
// again and meets the condition's failure.
func TestUpdateWhoseAnswerWasLost(t *testing.T) {
	note := func(t *testing.T, s *store.Store, o order.Order, role string) {
		t.Helper()
		if err := s.NoteMailFailed(t.Context(), o.TenantID, o.ID, o.History[0], role, "refused"); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("is an own write", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		w := &wire{lose: "UpdateItem 1"}
		got, err := over(w).Update(t.Context(), apply(t, o, paid()), o.DateLastUpdated)
		is.NoErr(err)
		is.Equal(w.operations(), "UpdateItem UpdateItem GetItem")
		is.Equal(got, apply(t, o, paid()))
	})
	t.Run("is an own write between notes", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		w := &wire{lose: "UpdateItem 1", before: func(call string) {
			note(t, s, o, call) // before the write and before it is tried again
		}}
		got, err := over(w).Update(t.Context(), apply(t, o, paid()), o.DateLastUpdated)
		is.NoErr(err)
		is.Equal(eventTypes(got.History), []order.EventType{
			order.EventCreated, order.EventMailFailed, order.EventPaid, order.EventMailFailed, order.EventMailFailed,
		})
	})
	t.Run("is no answer where somebody else updated the order since", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		mine := apply(t, o, paid())
		w := &wire{lose: "UpdateItem 1", before: func(call string) {
			if call == "UpdateItem 2" {
				_, err := s.Update(t.Context(), apply(t, mine, order.Update{Status: order.Processing}), mine.DateLastUpdated)
				is.NoErr(err)
			}
		}}
		_, err := over(w).Update(t.Context(), mine, o.DateLastUpdated)
		is.True(errors.Is(err, order.ErrChanged))
	})
}

// TestUpdateOfAnother holds that an own write is known by the whole of its
// entry: somebody else may update the order in the same microsecond.
func TestUpdateOfAnother(t *testing.T) {
	for name, change := range map[string]func(*order.Entry){
		"type":                func(e *order.Entry) { e.Type = order.EventPaymentUpdated },
		"status":              func(e *order.Entry) { e.Status = order.Processing },
		"date":                func(e *order.Entry) { e.Date = e.Date.Next(noon) },
		"who":                 func(e *order.Entry) { e.By = "other@example.com" },
		"reason":              func(e *order.Entry) { e.Reason = "" },
		"trace":               func(e *order.Entry) { e.TraceID = "trace-2" },
		"payment":             func(e *order.Entry) { e.PaymentDetails = nil },
		"payment method":      func(e *order.Entry) { e.PaymentDetails.Method = "payfast" },
		"payment transaction": func(e *order.Entry) { e.PaymentDetails.TransactionID = "t-2" },
		"PayFast id":          func(e *order.Entry) { e.PaymentDetails.PayfastPaymentID = "pf-2" },
		"payment time":        func(e *order.Entry) { e.PaymentDetails.PaidAt = e.Date },
	} {
		t.Run("by its "+name, func(t *testing.T) {
			is := is.New(t)
			s, tenant := newStore(t)
			o := record(t, s, tenant)
			theirs := apply(t, o, paid())
			change(&theirs.History[1])
			_, err := s.Update(t.Context(), theirs, o.DateLastUpdated)
			is.NoErr(err)
			_, err = s.Update(t.Context(), apply(t, o, paid()), o.DateLastUpdated)
			is.True(errors.Is(err, order.ErrChanged))
		})
	}
}

func TestNoteMailFailed(t *testing.T) {
	t.Run("is made once and is no update", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		for range 2 {
			is.NoErr(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r", "refused"))
		}
		got := read(t, s, tenant, o.ID)
		is.Equal(len(got.History), 2)
		is.Equal(got.History[1], order.Entry{
			Sequence: 2, Type: order.EventMailFailed, Status: order.Pending, Date: order.NewTimestamp(noon),
			By: order.SystemUser, Reason: "order.created by r: refused",
		})
		got.History = got.History[:1]
		is.Equal(got, o) // DateLastUpdated stays
		is.NoErr(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r2", "refused"))
		is.Equal(len(read(t, s, tenant, o.ID).History), 3) // another mail
	})
	t.Run("is made once though the answer was lost", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		w := &wire{lose: "UpdateItem 1"}
		is.NoErr(over(w).NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r", "refused"))
		is.Equal(w.operations(), "GetItem UpdateItem UpdateItem GetItem")
		is.Equal(len(read(t, s, tenant, o.ID).History), 2)
	})
	t.Run("finds no order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		deleteOrder(t, tenant, o.ID)
		is.True(errors.Is(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r", "x"), order.ErrDeleted))
		is.True(errors.Is(s.NoteMailFailed(t.Context(), tenant, order.NewID(), o.History[0], "r", "x"), order.ErrNotFound))
	})
}

func TestNoteMailFailedAmongOthers(t *testing.T) {
	t.Run("finds its place", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if err := s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], fmt.Sprint(i), "refused"); err != nil {
					t.Error(err)
				}
			})
		}
		changed := apply(t, o, paid())
		wg.Go(func() {
			if _, err := s.Update(t.Context(), changed, o.DateLastUpdated); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		got := read(t, s, tenant, o.ID)
		is.Equal(len(got.History), 5) // none is lost
		is.Equal(got.Status, order.Paid)
	})
	t.Run("gives up where the history never stands still", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		w := &wire{before: func(call string) {
			if strings.HasPrefix(call, "UpdateItem") {
				is.NoErr(s.NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], call, "refused"))
			}
		}}
		err := over(w).NoteMailFailed(t.Context(), tenant, o.ID, o.History[0], "r", "refused")
		is.True(errors.Is(err, order.ErrChanged))
		is.Equal(strings.Count(w.operations(), "UpdateItem"), 5)
	})
}

func TestAddDocument(t *testing.T) {
	t.Run("keeps one of each kind and is no update", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		is.NoErr(s.AddDocument(t.Context(), tenant, o.ID, proForma("first")))
		for range 2 {
			is.NoErr(s.AddDocument(t.Context(), tenant, o.ID, proForma(o.ID)))
		}
		o.Documents = []order.Document{proForma(o.ID)}
		is.Equal(read(t, s, tenant, o.ID), o) // DateLastUpdated stays
	})
	t.Run("loses none of several at once", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := record(t, s, tenant)
		var wg sync.WaitGroup
		for _, kind := range order.DocumentKinds() {
			d := order.Document{
				Kind: kind, Number: string(kind) + "-1", DateIssued: order.NewTimestamp(noon), URL: "s3://" + string(kind),
			}
			o.Issue(d)
			wg.Go(func() {
				if err := s.AddDocument(t.Context(), tenant, o.ID, d); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		is.Equal(read(t, s, tenant, o.ID), o)
	})
	t.Run("finds no recorded order", func(t *testing.T) {
		is := is.New(t)
		s, tenant := newStore(t)
		o := accept(t, s, tenant)
		before := rawOrder(t, tenant, o.ID)
		is.True(errors.Is(s.AddDocument(t.Context(), tenant, o.ID, proForma(o.ID)), order.ErrNotFound))
		is.Equal(rawOrder(t, tenant, o.ID), before)
		unknown := order.NewID()
		is.True(errors.Is(s.AddDocument(t.Context(), tenant, unknown, proForma(o.ID)), order.ErrNotFound))
		is.Equal(len(rawOrder(t, tenant, unknown)), 0) // none is made
	})
}
