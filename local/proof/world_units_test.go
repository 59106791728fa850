package proof

import (
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
)

// mostUnits is how many write units one item takes in a second. Source: "Best
// practices for designing and using partition keys effectively" in the DynamoDB
// developer guide.
const mostUnits = 1000

// Usage is what calls of the table cost. Units are those that DynamoDB bills:
// 4 KB read or 1 KB written, begun ones counting as whole; half for a read that
// is not consistent, twice for a write in a transaction, and once more for each
// entry of an index that is written.
type Usage struct {
	Calls      map[string]int // by operation
	ReadUnits  float64
	WriteUnits float64
	Refused    map[string]int // by the reason: TransactionConflict, ThrottlingError
}

func (u *Usage) add(operation string, read, write float64) {
	if u.Calls == nil {
		u.Calls, u.Refused = map[string]int{}, map[string]int{}
	}
	u.Calls[operation]++
	u.ReadUnits += read
	u.WriteUnits += write
}

// Total returns how many calls there were.
func (u Usage) Total() (n int) {
	for _, c := range u.Calls {
		n += c
	}
	return n
}

// Usage returns what was used since the last call of it.
func (t *Table) Usage() Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := t.used
	t.used = Usage{}
	return used
}

// size returns what DynamoDB counts as the bytes of an item. Source: "DynamoDB
// item sizes and formats" in the developer guide.
func (i Item) size() (n int) {
	for name, v := range i {
		n += len(name) + v.size()
	}
	return n
}

func (v Value) size() int {
	const container, member = 3, 1
	switch {
	case v.S != nil:
		return len(*v.S)
	case v.N != nil:
		return numberSize(*v.N)
	case v.L != nil:
		n := container
		for _, m := range *v.L {
			n += member + m.size()
		}
		return n
	case v.M != nil:
		n := container
		for name, m := range *v.M {
			n += member + len(name) + m.size()
		}
		return n
	default:
		return 1
	}
}

// numberSize is one byte for two digits, counted from the decimal point and
// without the zeros at either end, one more, and one for a sign.
func numberSize(text string) int {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := strings.Repeat("0", len(whole)%2) + whole + fraction + strings.Repeat("0", len(fraction)%2)
	for strings.HasPrefix(digits, "00") {
		digits = digits[2:]
	}
	for strings.HasSuffix(digits, "00") {
		digits = digits[:len(digits)-2]
	}
	n := len(digits)/2 + 1
	if strings.HasPrefix(text, "-") {
		n++
	}
	return n
}

// units returns how many units of a size so many bytes are, one at least.
func units(bytes, size int) float64 {
	return math.Max(1, math.Ceil(float64(bytes)/float64(size)))
}

func readUnits(bytes int, consistent bool) float64 {
	if consistent {
		return units(bytes, 4<<10)
	}
	return units(bytes, 4<<10) / 2
}

// writeUnits returns what a write of an item costs, without its indexes.
func writeUnits(before, after Item) float64 { return units(max(before.size(), after.size()), 1<<10) }

// indexUnits returns what a change of an item costs in its indexes: one write
// where an entry comes, goes or changes, two where it moves to another key.
func indexUnits(before, after Item) (n float64) {
	for _, ix := range indexes()[1:] {
		was, is := ix.entry(before), ix.entry(after)
		switch {
		case was == nil && is == nil, was != nil && is != nil && equalItems(was, is):
		case was == nil || is == nil:
			n += writeUnits(was, is)
		case was.Text(ix.partition) == is.Text(ix.partition) && was.Text(ix.sort) == is.Text(ix.sort):
			n += writeUnits(was, is)
		default:
			n += writeUnits(was, nil) + writeUnits(nil, is)
		}
	}
	return n
}

func equalItems(a, b Item) bool {
	return maps.EqualFunc(a, b, equal)
}

// An index is a way to find items, and what its entries hold of them.
type index struct {
	name, partition, sort string
	holds                 []string // beside the keys; nil for all
}

// indexes returns the table's own key and its two indexes (contract, section 5).
func indexes() []index {
	return []index{
		{name: "", partition: "PK", sort: "SK"},
		{
			name: "OrdersByDateIndex", partition: "GSI1_PK", sort: "GSI1_SK",
			holds: []string{"id", "orderNumber", "status", "total", "currency", "dateCreated", "active"},
		},
		{name: "OrderByIdIndex", partition: "GSI2_PK", sort: "GSI2_SK", holds: []string{}},
	}
}

func indexNamed(name string) (index, bool) {
	for _, ix := range indexes() {
		if ix.name == name {
			return ix, true
		}
	}
	return index{}, false
}

// entry returns what the index has of an item, or nil.
func (x index) entry(item Item) Item {
	if item.Text(x.partition) == "" || item.Text(x.sort) == "" {
		return nil
	}
	if x.name == "" {
		return item
	}
	e := Item{}
	for _, name := range append([]string{"PK", "SK", x.partition, x.sort}, x.holds...) {
		if v, ok := item[name]; ok {
			e[name] = v
		}
	}
	return e
}

// A second counts what was used in one second.
type second struct {
	at   int64
	used float64
}

// spend uses n, if this second still has as much of most.
func (s *second) spend(now time.Time, n, most float64) bool {
	if s.at != now.Unix() {
		*s = second{at: now.Unix()}
	}
	if s.used+n > most {
		return false
	}
	s.used += n
	return true
}

// spend takes write units of an item, if this second still has as many.
func (t *Table) spend(k key, n float64) bool {
	if t.seconds[k] == nil {
		t.seconds[k] = &second{}
	}
	return t.seconds[k].spend(t.now(), n, mostUnits)
}

// Begin marks the items of a write as being written until the call is carried
// out or given up. A call that is carried out without it begins then.
//
// A transaction that meets another write of one of its items is cancelled, and a
// plain write that meets a transaction is refused. Source: "Transaction conflict
// handling in DynamoDB" in the developer guide.
func (c *Call) Begin() {
	if c.begun || c.table == nil {
		return
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	var others []*Call
	for _, k := range c.writes {
		others = append(others, c.table.flights[k]...)
	}
	if c.Meet(others...) {
		return // It writes nothing.
	}
	for _, k := range c.writes {
		c.table.flights[k] = append(c.table.flights[k], c)
	}
}

// Meet lets a call begin while others are under way, and reports whether it will
// be refused for one of them.
func (c *Call) Meet(others ...*Call) bool {
	c.begun = true
	c.conflicts = make([]bool, len(c.writes))
	for i, k := range c.writes {
		for _, other := range others {
			c.conflicts[i] = c.conflicts[i] ||
				(c.transaction || other.transaction) && slices.Contains(other.writes, k)
		}
	}
	return slices.Contains(c.conflicts, true)
}

// End gives the items free again. It is not needed after Do.
func (c *Call) End() {
	if c.table == nil {
		return
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	for _, k := range c.writes {
		left := slices.DeleteFunc(c.table.flights[k], func(other *Call) bool { return other == c })
		if c.table.flights[k] = left; len(left) == 0 {
			delete(c.table.flights, k)
		}
	}
}

// conflicted returns the answer to a write that met another, or nil.
func (c *Call) conflicted() *Answer {
	if !slices.Contains(c.conflicts, true) {
		return nil
	}
	c.table.used.add(c.Operation, 0, 0)
	c.table.used.Refused["TransactionConflict"]++
	if !c.transaction {
		a := dynamoError(400, "TransactionConflictException", "Transaction is ongoing for the item")
		return &a
	}
	codes := make([]string, len(c.conflicts))
	for i, conflict := range c.conflicts {
		if codes[i] = "None"; conflict {
			codes[i] = "TransactionConflict"
		}
	}
	a := cancelled(codes...)
	return &a
}

// ratOf returns the value of a number that DynamoDB took.
func ratOf(text string) *big.Rat {
	r, _ := new(big.Rat).SetString(text)
	return r
}
