package proof

import (
	"encoding/json"
	"errors"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"time"
)

func dynamoError(status int, kind, message string) Answer {
	return jsonError(status, "com.amazonaws.dynamodb.v20120810#"+kind, message)
}

// cancelled is the answer to a transaction that was not carried out, with the
// reason of each of its operations.
func cancelled(codes ...string) Answer {
	type reason struct {
		Code    string
		Message string `json:",omitempty"`
	}
	reasons := make([]reason, len(codes))
	for i, code := range codes {
		if reasons[i].Code = code; code != "None" {
			reasons[i].Message = code
		}
	}
	return jsonAnswer(400, map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
		"Message": "Transaction cancelled, please refer cancellation reasons for specific reasons [" +
			strings.Join(codes, ", ") + "]",
		"CancellationReasons": reasons,
	})
}

func refused(err error) Answer {
	var f *failure
	if !errors.As(err, &f) {
		f = invalid("%v", err)
	}
	return dynamoError(400, f.kind, f.message)
}

func (w *World) readDynamoDB(operation string, body []byte) (*Call, error) {
	t := w.Table
	call := &Call{Service: "dynamodb", Operation: operation, table: t}
	var err error
	// A locked operation is carried out when its turn has come.
	locked := func(do func() Answer) func() Answer {
		return func() Answer {
			t.mu.Lock()
			defer t.mu.Unlock()
			if refusal := call.conflicted(); refusal != nil {
				return *refusal
			}
			return do()
		}
	}
	switch operation {
	case "GetItem":
		var in get
		err = json.Unmarshal(body, &in)
		call.Target = keyOf(in.Key).String()
		call.do = locked(func() Answer { return t.get(call, in) })
	case "PutItem", "UpdateItem", "DeleteItem":
		var in write
		err = json.Unmarshal(body, &in)
		k := keyOf(in.Key)
		if operation == "PutItem" {
			k = keyOf(in.Item)
		}
		call.Target, call.writes = k.String(), []key{k}
		call.do = locked(func() Answer { return t.write(operation, in) })
	case "Query":
		var in query
		err = json.Unmarshal(body, &in)
		call.Target = in.IndexName + "|" + in.FilterExpression
		for _, name := range slices.Sorted(maps.Keys(in.KeyConditions)) {
			for _, v := range in.KeyConditions[name].AttributeValueList {
				call.Target += "|" + v.text()
			}
		}
		call.do = locked(func() Answer { return t.query(call, in) })
	case "TransactWriteItems":
		var in transaction
		err = json.Unmarshal(body, &in)
		for _, operation := range in.TransactItems {
			for _, w := range operation {
				k := keyOf(w.Key)
				if w.Key == nil {
					k = keyOf(w.Item)
				}
				call.Target += k.String() + " "
				call.writes = append(call.writes, k)
			}
		}
		call.transaction = true
		call.do = locked(func() Answer { return t.transact(in, canonical(body)) })
	default:
		err = errors.New("DynamoDB's " + operation + " is not supported")
	}
	return call, err
}

func keyOf(item Item) key { return key{item.Text("PK"), item.Text("SK")} }

type get struct {
	TableName      string
	Key            Item
	ConsistentRead bool
}

func (t *Table) get(c *Call, in get) Answer {
	if in.TableName != t.name {
		return dynamoError(400, "ResourceNotFoundException", "Requested resource not found")
	}
	k, err := readKey(in.Key, true)
	if err != nil {
		return refused(err)
	}
	item := t.items[k]
	if was, changed := t.stale(c, in.ConsistentRead)[k]; changed {
		item = was
	}
	read := readUnits(item.size(), in.ConsistentRead)
	t.used.add("GetItem", read, 0)
	out := map[string]any{}
	if item != nil {
		out["Item"] = item
	}
	return t.answer(out, read, 0)
}

// answer is a success that also says what it cost.
func (t *Table) answer(out map[string]any, read, write float64) Answer {
	out["ConsumedCapacity"] = t.cost(read, write)
	return jsonAnswer(200, out)
}

func (t *Table) cost(read, write float64) map[string]any {
	return map[string]any{"TableName": t.name, "CapacityUnits": read + write}
}

// throttled is the answer to a write of an item that has had its units.
func (t *Table) throttled(operation string) Answer {
	t.used.add(operation, 0, 0)
	t.used.Refused["ThrottlingError"]++
	return dynamoError(400, "ThrottlingException",
		"Throughput exceeds the current capacity of your table or index")
}

func (t *Table) write(operation string, w write) Answer {
	k, before, after, err := t.plan(strings.TrimSuffix(operation, "Item"), w)
	var f *failure
	failed := errors.As(err, &f) && f.kind == conditionFailed
	if err != nil && !failed {
		t.used.add(operation, 0, 0)
		return refused(err)
	}
	cost := writeUnits(before, after)
	if !t.spend(k, cost) {
		return t.throttled(operation)
	}
	if failed {
		t.used.add(operation, 0, cost)
		return t.conditionFailure(w, before, err)
	}
	cost += indexUnits(before, after)
	t.used.add(operation, 0, cost)
	t.put(k, after)
	out := map[string]any{}
	attributes := Item{}
	switch w.ReturnValues {
	case "", "NONE":
		return t.answer(out, 0, cost)
	case "ALL_OLD":
		attributes = before
	case "ALL_NEW":
		attributes = after
	case "UPDATED_NEW":
		// What is set to what it was is missing here; the store asks after ADD only.
		for name, v := range after {
			if name != "PK" && name != "SK" && !equal(v, before[name]) {
				attributes[name] = v
			}
		}
	default:
		return refused(invalid("ReturnValues %s is not supported", w.ReturnValues))
	}
	if len(attributes) > 0 {
		out["Attributes"] = attributes
	}
	return t.answer(out, 0, cost)
}

// conditionFailure is the answer to a write whose condition did not hold. It has
// the item if the write asked for it.
func (t *Table) conditionFailure(w write, before Item, err error) Answer {
	a := refused(err)
	if w.ReturnValuesOnConditionCheckFailure != "ALL_OLD" || before == nil {
		return a
	}
	var out map[string]any
	_ = json.Unmarshal(a.Body, &out) // It was made by refused.
	out["Item"] = before
	return jsonAnswer(a.Status, out)
}

// canonical returns a request with its fields in order: the SDK writes those of
// a key as they come.
func canonical(body []byte) string {
	var request any
	_ = json.Unmarshal(body, &request) // It was read before.
	text, _ := json.Marshal(request)
	return string(text)
}

type transaction struct {
	TransactItems      []map[string]write // one entry each: Put, Update, Delete or ConditionCheck
	ClientRequestToken string
}

// A token is what a transaction did under its client request token, which is
// remembered for ten minutes.
type token struct {
	request string
	at      time.Time
}

const tokenLife = 10 * time.Minute

func (t *Table) transact(tx transaction, request string) Answer {
	const operation = "TransactWriteItems"
	if tx.ClientRequestToken != "" {
		was, ok := t.tokens[tx.ClientRequestToken]
		switch {
		case !ok || t.now().Sub(was.at) >= tokenLife:
		case was.request != request:
			return dynamoError(400, "IdempotentParameterMismatchException",
				"The request uses the same client token as a previous, but non-identical request")
		default:
			t.used.add(operation, float64(2*len(tx.TransactItems)), 0) // It is only looked up.
			return jsonAnswer(200, struct{}{})
		}
	}
	type part struct {
		key           key
		before, after Item
		check         bool
	}
	var parts []part
	codes := make([]string, len(tx.TransactItems))
	cost, failed := 0.0, false
	for i, operation := range tx.TransactItems {
		codes[i] = "None"
		for name, w := range operation {
			k, before, after, err := t.plan(name, w)
			var f *failure
			switch {
			case errors.As(err, &f) && f.kind == conditionFailed:
				codes[i], failed = "ConditionalCheckFailed", true
			case err != nil:
				return refused(err)
			}
			if slices.ContainsFunc(parts, func(p part) bool { return p.key == k }) {
				return refused(invalid("Transaction request cannot include multiple operations on one item"))
			}
			n := 2 * writeUnits(before, after)
			cost += n
			if !t.spend(k, n) {
				codes[i], failed = "ThrottlingError", true
			}
			parts = append(parts, part{k, before, after, name == "ConditionCheck"})
		}
	}
	if failed {
		t.used.add(operation, 0, cost)
		if slices.Contains(codes, "ThrottlingError") {
			t.used.Refused["ThrottlingError"]++
		}
		return cancelled(codes...)
	}
	for _, p := range parts {
		if !p.check {
			cost += indexUnits(p.before, p.after)
			t.put(p.key, p.after)
		}
	}
	t.used.add(operation, 0, cost)
	if tx.ClientRequestToken != "" {
		t.tokens[tx.ClientRequestToken] = token{request, t.now()}
	}
	return jsonAnswer(200, map[string]any{"ConsumedCapacity": []any{t.cost(0, cost)}})
}

type query struct {
	TableName                 string
	IndexName                 string
	KeyConditions             map[string]keyCondition
	FilterExpression          string
	ProjectionExpression      string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]Value
	Limit                     int
	ScanIndexForward          *bool
	ExclusiveStartKey         Item
	ConsistentRead            bool
}

func (t *Table) query(c *Call, q query) Answer {
	page, err := t.find(q, t.stale(c, q.ConsistentRead))
	if err != nil {
		return refused(err)
	}
	read := readUnits(page.bytes, q.ConsistentRead)
	t.used.add("Query", read, 0)
	out := map[string]any{"Items": page.items, "Count": len(page.items), "ScannedCount": page.scanned}
	if page.last != nil {
		out["LastEvaluatedKey"] = page.last
	}
	return t.answer(out, read, 0)
}

// A page is what a query found.
type page struct {
	items   []Item
	last    Item // where the next page begins after, or nil
	scanned int
	bytes   int
}

// mostBytes is how much a query reads for one page.
const mostBytes = 1 << 20

// find returns a page of a query that sees some items as they were.
func (t *Table) find(q query, was map[key]Item) (p page, err error) {
	ix, ok := indexNamed(q.IndexName)
	switch {
	case q.TableName != t.name:
		return p, &failure{kind: "ResourceNotFoundException", message: "Requested resource not found"}
	case !ok:
		return p, invalid("The table does not have the specified index: %s", q.IndexName)
	case q.ConsistentRead && q.IndexName != "":
		return p, invalid("Consistent reads are not supported on global secondary indexes")
	}
	list, err := t.candidates(q, ix, was)
	if err != nil {
		return p, err
	}
	e := &expression{names: q.ExpressionAttributeNames, values: q.ExpressionAttributeValues}
	filter, projection := e.parse(q.FilterExpression), e.parse(q.ProjectionExpression)
	p.items = []Item{}
	for _, at := range list {
		if p.bytes >= mostBytes {
			return p, e.err
		}
		item, stale := was[at.key]
		if !stale {
			item = t.items[at.key]
		}
		item = ix.entry(item)
		p.scanned++
		p.bytes += item.size()
		p.last = Item{"PK": item["PK"], "SK": item["SK"]}
		p.last[ix.partition], p.last[ix.sort] = item[ix.partition], item[ix.sort]
		if e.hold(filter, item) {
			p.items = append(p.items, e.project(projection, item))
		}
		if p.scanned == q.Limit {
			return p, e.err // There may be more: DynamoDB does not look.
		}
	}
	p.last = nil
	return p, e.err
}

// candidates returns the entries of an index that meet a query's conditions on
// the key, in its order, from where it starts.
func (t *Table) candidates(q query, ix index, was map[key]Item) ([]entry, error) {
	equals := q.KeyConditions[ix.partition]
	if equals.ComparisonOperator != "EQ" || len(equals.AttributeValueList) != 1 ||
		equals.AttributeValueList[0].S == nil {
		return nil, invalid("Query condition missed key schema element: %s", ix.partition)
	}
	partition := *equals.AttributeValueList[0].S
	condition, bounded := q.KeyConditions[ix.sort]
	if len(q.KeyConditions) > 2 || len(q.KeyConditions) == 2 && !bounded {
		return nil, invalid("Query key condition not supported")
	}
	backward := q.ScanIndexForward != nil && !*q.ScanIndexForward
	start := entry{q.ExclusiveStartKey.Text(ix.sort), keyOf(q.ExclusiveStartKey)}
	if q.ExclusiveStartKey != nil && (start.sort == "" || q.ExclusiveStartKey.Text(ix.partition) != partition) {
		return nil, invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	list := t.sorted[ix.name+"|"+partition]
	if len(was) > 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(e entry) bool { _, stale := was[e.key]; return stale })
		for k, item := range was {
			if e := ix.entry(item); e != nil && e.Text(ix.partition) == partition {
				list = append(list, entry{e.Text(ix.sort), k})
			}
		}
		slices.SortFunc(list, entry.compare)
	}
	var out []entry
	for _, e := range list {
		if c := e.compare(start); q.ExclusiveStartKey != nil && (c == 0 || (c < 0) != backward) {
			continue
		}
		if bounded {
			if holds, err := condition.holds(e.sort); err != nil {
				return nil, err
			} else if !holds {
				continue
			}
		}
		out = append(out, e)
	}
	if backward {
		slices.Reverse(out)
	}
	return out, nil
}

// project returns the attributes of an item that a projection names; an empty
// one names all.
func (e *expression) project(projection []ast.Expr, item Item) Item {
	if len(projection) == 0 {
		return item
	}
	out := Item{}
	for _, x := range projection {
		name := e.name(x)
		if v, ok := item[name]; ok {
			out[name] = v
		}
	}
	return out
}
