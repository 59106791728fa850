package proof

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Value is one attribute of an item, in DynamoDB's own JSON form. Binary
// values and sets are not supported.
type Value struct {
	S    *string           `json:"S,omitempty"`
	N    *string           `json:"N,omitempty"`
	BOOL *bool             `json:"BOOL,omitempty"`
	NULL *bool             `json:"NULL,omitempty"`
	L    *[]Value          `json:"L,omitempty"`
	M    *map[string]Value `json:"M,omitempty"`
}

// An Item is one item of the table. Items are never changed, only replaced.
type Item map[string]Value

// Text returns the text or number of an attribute, or "".
func (i Item) Text(name string) string { return i[name].text() }

func (v Value) text() string {
	switch {
	case v.S != nil:
		return *v.S
	case v.N != nil:
		return *v.N
	default:
		return ""
	}
}

// normalise checks a value that came in, and gives numbers the form in which
// DynamoDB keeps them: without needless zeros.
func (v *Value) normalise() error {
	n := 0
	for _, set := range []bool{v.S != nil, v.N != nil, v.BOOL != nil, v.NULL != nil, v.L != nil, v.M != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return invalid(
			"Supplied AttributeValue has %d datatypes set, must contain exactly one of the supported datatypes",
			n,
		)
	}
	switch {
	case v.N != nil:
		r, ok := new(big.Rat).SetString(*v.N)
		if !ok {
			return invalid("The parameter cannot be converted to a numeric value: %s", *v.N)
		}
		v.N = decimal(r)
	case v.L != nil:
		for i := range *v.L {
			if err := (*v.L)[i].normalise(); err != nil {
				return err
			}
		}
	case v.M != nil:
		return normaliseAll(*v.M)
	}
	return nil
}

func normaliseAll(values map[string]Value) error {
	for name, v := range values {
		if err := v.normalise(); err != nil {
			return err
		}
		values[name] = v
	}
	return nil
}

func decimal(r *big.Rat) *string {
	return new(strings.TrimSuffix(strings.TrimRight(r.FloatString(38), "0"), "."))
}

// compare orders two values of one type; ok is false where they have none in
// common that has an order.
func compare(a, b Value) (order int, ok bool) {
	switch {
	case a.S != nil && b.S != nil:
		return strings.Compare(*a.S, *b.S), true
	case a.N != nil && b.N != nil:
		return ratOf(*a.N).Cmp(ratOf(*b.N)), true
	default:
		return 0, false
	}
}

func equal(a, b Value) bool {
	x, _ := json.Marshal(a) // Maps are written in the order of their keys.
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

type key struct{ PK, SK string }

func (k key) String() string { return k.PK + "|" + k.SK }

// A Table is a DynamoDB table with the keys and indexes of the order service.
// Items that have expired stay, as they do for days in DynamoDB.
type Table struct {
	mu      sync.Mutex
	name    string
	now     func() time.Time
	items   map[key]Item
	sorted  map[string][]entry // by index|partition
	tokens  map[string]token   // of transactions
	flights map[key][]*Call    // writes under way
	seconds map[key]*second
	used    Usage
	stream  *Stream
	// OnWrite is told of every change of an item, nil standing for its absence.
	// It must not use the table.
	OnWrite func(before, after Item)
	// Lag returns by how much a read that is not consistent, and thus every read
	// of an index, is late. It may be nil, and is at most mostLag.
	Lag     func(c *Call) time.Duration
	changes []change // of the last mostLag, oldest first
}

// mostLag is how long the table remembers what an item was before.
const mostLag = 10 * time.Second

// A change is one that stale reads do not show yet.
type change struct {
	at     time.Time
	key    key
	before Item
}

// stale returns what a read does not see yet: the items that changed lately, as
// they were before.
func (t *Table) stale(c *Call, consistent bool) map[key]Item {
	was := map[key]Item{}
	if consistent || t.Lag == nil {
		return was
	}
	at := t.now().Add(-t.Lag(c))
	for _, change := range slices.Backward(t.changes) {
		if !change.at.After(at) {
			break
		}
		was[change.key] = change.before
	}
	return was
}

type entry struct {
	sort string
	key  key
}

func (e entry) compare(f entry) int {
	if c := strings.Compare(e.sort, f.sort); c != 0 {
		return c
	}
	return strings.Compare(e.key.String(), f.key.String())
}

func newTable(name string, now func() time.Time) *Table {
	return &Table{
		name: name, now: now, items: map[key]Item{}, sorted: map[string][]entry{}, tokens: map[string]token{},
		flights: map[key][]*Call{}, seconds: map[key]*second{}, stream: newStream(),
	}
}

// Item returns the item with a key, or nil.
func (t *Table) Item(pk, sk string) Item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.items[key{pk, sk}]
}

// Items returns all items in the order of their keys.
func (t *Table) Items() []Item {
	t.mu.Lock()
	defer t.mu.Unlock()
	var items []Item
	for _, k := range t.keys() {
		items = append(items, t.items[k])
	}
	return items
}

func (t *Table) keys() []key {
	return slices.SortedFunc(
		maps.Keys(t.items),
		func(a, b key) int { return strings.Compare(a.String(), b.String()) },
	)
}

func (t *Table) put(k key, after Item) { t.replace(k, after, false) }

// replace replaces the item with a key; nil deletes it.
func (t *Table) replace(k key, after Item, expired bool) {
	before := t.items[k]
	for _, ix := range indexes() {
		at := func(i Item) string { return ix.name + "|" + i.Text(ix.partition) }
		if was := ix.entry(before); was != nil {
			list := t.sorted[at(was)]
			if i, ok := slices.BinarySearchFunc(list, entry{was.Text(ix.sort), k}, entry.compare); ok {
				t.sorted[at(was)] = slices.Delete(list, i, i+1)
			}
		}
		if is := ix.entry(after); is != nil {
			list := t.sorted[at(is)]
			i, _ := slices.BinarySearchFunc(list, entry{is.Text(ix.sort), k}, entry.compare)
			t.sorted[at(is)] = slices.Insert(list, i, entry{is.Text(ix.sort), k})
		}
	}
	if after == nil {
		delete(t.items, k)
	} else {
		t.items[k] = after
	}
	if t.Lag != nil {
		t.changes = append(t.changes, change{t.now(), k, before})
		for t.now().Sub(t.changes[0].at) > mostLag {
			t.changes = t.changes[1:]
		}
	}
	if !equalItems(before, after) {
		t.stream.add(Record{Before: before, After: after, at: t.now(), expired: expired}, k.PK)
	}
	if t.OnWrite != nil {
		t.OnWrite(before, after)
	}
}

// Expire deletes what has expired, as DynamoDB does some time after.
func (t *Table) Expire() (deleted int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().Unix()
	for _, k := range t.keys() {
		if at, err := strconv.ParseInt(t.items[k].Text("expiresAt"), 10, 64); err == nil && at < now {
			t.replace(k, nil, true)
			deleted++
		}
	}
	return deleted
}

func readKey(item Item, exact bool) (key, error) {
	k := key{item.Text("PK"), item.Text("SK")}
	if k.PK == "" || k.SK == "" || exact && len(item) != 2 {
		return key{}, invalid("The provided key element does not match the schema")
	}
	return k, nil
}

// conditionFailed is the failure of a write whose condition did not hold.
const conditionFailed = "ConditionalCheckFailedException"

// A failure is an error in DynamoDB's own words.
type failure struct {
	kind, message string
}

func (f *failure) Error() string { return f.kind + ": " + f.message }

func invalid(format string, args ...any) *failure {
	return &failure{kind: "ValidationException", message: fmt.Sprintf(format, args...)}
}

// A write is a conditional change of one item: one operation, or one part of a
// transaction.
type write struct {
	TableName                           string
	Item, Key                           Item
	UpdateExpression                    string
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]Value
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
}

// plan checks a write against the table as it is, and returns what it would put
// in the item's place.
func (t *Table) plan(operation string, w write) (k key, before, after Item, err error) {
	if w.TableName != t.name {
		return k, nil, nil, &failure{kind: "ResourceNotFoundException", message: "Requested resource not found"}
	}
	target := w.Key
	if operation == "Put" {
		target = w.Item
	}
	if k, err = readKey(target, operation != "Put"); err != nil {
		return k, nil, nil, err
	}
	after = maps.Clone(w.Item)
	if err := cmp.Or(normaliseAll(after), normaliseAll(w.ExpressionAttributeValues)); err != nil {
		return k, nil, nil, err
	}
	before = t.items[k]
	e := &expression{names: w.ExpressionAttributeNames, values: w.ExpressionAttributeValues}
	switch operation {
	case "Update":
		after = e.update(w.UpdateExpression, k, before)
	case "ConditionCheck":
		after = before
	}
	holds := e.hold(e.parse(w.ConditionExpression), before)
	// DynamoDB checks the request as a whole before it looks at the condition.
	switch {
	case e.err != nil:
		return k, nil, nil, e.err
	case !holds:
		return k, before, nil, &failure{kind: conditionFailed, message: "The conditional request failed"}
	}
	return k, before, after, nil
}

// Restore puts items into the table as they are.
func (t *Table) Restore(items ...Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, item := range items {
		t.put(keyOf(item), item)
	}
}

// Change replaces an item by what change makes of a copy of it, as an operator
// does. Where there is none, nothing happens.
func (t *Table) Change(pk, sk string, change func(Item)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{pk, sk}
	if item, ok := t.items[k]; ok {
		item = maps.Clone(item)
		change(item)
		t.put(k, item)
	}
}

// Reset empties the table.
func (t *Table) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := newTable(t.name, t.now)
	t.items, t.sorted, t.tokens, t.stream, t.used = fresh.items, fresh.sorted, fresh.tokens, fresh.stream, fresh.used
}
