package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/guregu/dynamo/v2"

	"github.com/bbws/order-lambda/order"
)

// A Sort is an order of a list. The zero value is the table's own: by order id.
type Sort string

// The sorts of a list.
const (
	ByID        Sort = ""
	OldestFirst Sort = "dateCreated"
	NewestFirst Sort = "-dateCreated"
)

// A ListQuery asks for a page of a tenant's orders.
type ListQuery struct {
	TenantID string
	Size     int             // orders on the page, 1 to 100
	StartAt  string          // token of the page, or "" for the first
	Status   order.Status    // "" for any
	Sort     Sort            // ByID reads AP2, the others AP3
	From, To order.Timestamp // first and last moment of creation, or zero; only with a sort by date
}

// A Page is a part of a list.
type Page struct {
	Orders []order.Summary
	Next   string // token of the next page, "" on the last
}

// List reads a page of a tenant's orders, without deleted ones. A page is full
// unless it is the last, whatever the filter. The last page is empty only if
// there is no order at all. It returns ErrPageToken for a token that is
// malformed, or of another tenant or query.
func (s *Store) List(ctx context.Context, q ListQuery) (Page, error) {
	key, err := q.startKey()
	if err != nil {
		return Page{}, err
	}
	// One more than requested shows whether there is a next page.
	want := q.Size + 1
	items := make([]summaryItem, 0, want)
	// Deleted orders and other statuses are filtered after the read: read on until
	// the page is full, in larger steps if the filter leaves little.
	const mostRead = 1000
	for step := want; ; step = min(step*2, mostRead) {
		query := s.list(q).SearchLimit(step)
		if key != nil {
			query.StartFrom(key)
		}
		if key, err = query.AllWithLastEvaluatedKey(ctx, &items); err != nil {
			return Page{}, wrap(err, "list orders")
		}
		if len(items) >= want || len(key) == 0 {
			break
		}
	}
	page := Page{Orders: make([]order.Summary, 0, min(len(items), q.Size))}
	for _, item := range items[:min(len(items), q.Size)] {
		summary, err := decodeSummary(item)
		if err != nil {
			return Page{}, err
		}
		page.Orders = append(page.Orders, summary)
	}
	if len(items) > q.Size {
		page.Next = q.token(items[q.Size-1])
	}
	return page, nil
}

func (s *Store) list(q ListQuery) *dynamo.Query {
	var query *dynamo.Query
	if q.Sort == ByID {
		query = s.table.Get(attrPK, tenantKey(q.TenantID)).Range(attrSK, dynamo.BeginsWith, orderPrefix)
	} else {
		query = s.table.Get(attrGSI1PK, tenantKey(q.TenantID)).Index(indexByDate).Order(q.Sort == OldestFirst)
		switch {
		case !q.From.IsZero() && !q.To.IsZero():
			query.Range(attrGSI1SK, dynamo.Between, firstAt(q.From), lastAt(q.To))
		case !q.From.IsZero():
			query.Range(attrGSI1SK, dynamo.GreaterOrEqual, firstAt(q.From))
		case !q.To.IsZero():
			query.Range(attrGSI1SK, dynamo.LessOrEqual, lastAt(q.To))
		}
	}
	query.Project(summaryAttributes()...).Filter("'active' = ?", true)
	if q.Sort == ByID {
		query.Filter("attribute_exists('GSI1_PK')") // What is only accepted is not listed.
	}
	if q.Status != "" {
		query.Filter("'status' = ?", string(q.Status))
	}
	return query
}

// pageToken is the last key of a page, and the query that it belongs to. On the
// wire it is base64url JSON.
type pageToken struct {
	PK     string `json:"PK"`
	SK     string `json:"SK"`
	GSI1PK string `json:"GSI1_PK,omitempty"`
	GSI1SK string `json:"GSI1_SK,omitempty"`
	Query  string `json:"query"`
}

// fingerprint tells queries apart whose pages must not be mixed. The size of a
// page may change on the way.
func (q ListQuery) fingerprint() string {
	return strings.Join([]string{string(q.Sort), string(q.Status), q.From.String(), q.To.String()}, "|")
}

func (q ListQuery) token(last summaryItem) string {
	t := pageToken{PK: last.PK, SK: last.SK, Query: q.fingerprint()}
	if q.Sort != ByID {
		t.GSI1PK, t.GSI1SK = last.GSI1PK, last.GSI1SK
	}
	text, _ := json.Marshal(t) // Strings only: cannot fail.
	return base64.RawURLEncoding.EncodeToString(text)
}

// startKey reads the query's token as the key to start after, or returns nil
// where there is none. It refuses a token that DynamoDB would refuse or that
// reaches beyond the query.
func (q ListQuery) startKey() (dynamo.PagingKey, error) {
	if q.StartAt == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(q.StartAt)
	if err != nil {
		return nil, order.ErrPageToken
	}
	var t pageToken
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, order.ErrPageToken
	}
	orderID, isOrder := strings.CutPrefix(t.SK, orderPrefix)
	if t.PK != tenantKey(q.TenantID) || t.Query != q.fingerprint() || !isOrder || !order.IsID(orderID) {
		return nil, order.ErrPageToken
	}
	key := map[string]string{attrPK: t.PK, attrSK: t.SK}
	if q.Sort != ByID {
		dated, ok := splitDateKey(t.GSI1SK)
		if !ok || dated != orderID || t.GSI1PK != t.PK ||
			!q.From.IsZero() && t.GSI1SK < firstAt(q.From) || !q.To.IsZero() && t.GSI1SK > lastAt(q.To) {
			return nil, order.ErrPageToken
		}
		key[attrGSI1PK], key[attrGSI1SK] = t.GSI1PK, t.GSI1SK
	}
	item, err := dynamo.MarshalItem(key)
	if err != nil {
		return nil, fmt.Errorf("page token: %w", err)
	}
	return dynamo.PagingKey(item), nil
}

func decodeSummary(item summaryItem) (order.Summary, error) {
	currency := order.Currency(item.Currency)
	total, err := order.ParseMoney(string(item.Total), currency)
	if err != nil {
		return order.Summary{}, fmt.Errorf("stored order %s: %w", item.ID, err)
	}
	return order.Summary{
		ID:          item.ID,
		Number:      item.Number,
		Status:      order.Status(item.Status),
		Total:       total,
		Currency:    currency,
		DateCreated: item.DateCreated,
	}, nil
}
