package world

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

func dynamoError(status int, kind, message string) Answer {
	return jsonError(status, "com.amazonaws.dynamodb.v20120810#"+kind, message)
}

// cancelled is the answer to a transaction that was not carried out, with the reason of each of its operations.
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
		"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
		"Message":             "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
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
	call := &Call{Service: "dynamodb", Operation: operation}
	t := w.Table
	parse := func(in any) error { return json.Unmarshal(body, in) }
	var err error
	switch operation {
	case "GetItem":
		var in struct {
			TableName string
			Key       Item
		}
		err = parse(&in)
		call.Target = in.Key.Text("PK") + "|" + in.Key.Text("SK")
		call.do = func() Answer { return t.get(in.TableName, in.Key) }
	case "PutItem", "UpdateItem", "DeleteItem":
		var in write
		err = parse(&in)
		k := in.Key
		if operation == "PutItem" {
			k = in.Item
		}
		call.Target = k.Text("PK") + "|" + k.Text("SK")
		call.do = func() Answer { return t.write(strings.TrimSuffix(operation, "Item"), in) }
	case "Query":
		var in query
		err = parse(&in)
		call.Target = in.IndexName + "|" + in.FilterExpression
		for _, name := range slices.Sorted(maps.Keys(in.KeyConditions)) {
			for _, v := range in.KeyConditions[name].AttributeValueList {
				call.Target += "|" + Item{"": v}.Text("")
			}
		}
		call.do = func() Answer { return t.query(in) }
	case "TransactWriteItems":
		var in transaction
		err = parse(&in)
		for _, operation := range in.TransactItems {
			for _, w := range operation {
				k := w.Key
				if k == nil {
					k = w.Item
				}
				call.Target += k.Text("PK") + "|" + k.Text("SK") + " "
			}
		}
		call.do = func() Answer { return t.transact(in, canonical(body)) }
	default:
		err = errors.New("DynamoDB's " + operation + " is not supported")
	}
	return call, err
}

func (t *Table) get(table string, target Item) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if table != t.name {
		return dynamoError(400, "ResourceNotFoundException", "Requested resource not found")
	}
	k, err := readKey(target, true)
	if err != nil {
		return refused(err)
	}
	if item, ok := t.items[k]; ok {
		return jsonAnswer(200, map[string]Item{"Item": item})
	}
	return jsonAnswer(200, struct{}{})
}

func (t *Table) write(operation string, w write) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, before, after, touched, err := t.plan(operation, w)
	if err != nil {
		return refused(err)
	}
	t.put(k, after)
	out := Item{}
	switch w.ReturnValues {
	case "", "NONE":
		return jsonAnswer(200, struct{}{})
	case "ALL_OLD":
		out = before
	case "ALL_NEW":
		out = after
	case "UPDATED_NEW":
		for name := range touched {
			if v, ok := after[name]; ok {
				out[name] = v
			}
		}
	default:
		return refused(invalid("ReturnValues %s is not supported", w.ReturnValues))
	}
	if len(out) == 0 {
		return jsonAnswer(200, struct{}{})
	}
	return jsonAnswer(200, map[string]Item{"Attributes": out})
}

// canonical returns a request with its fields in order: the SDK writes those of a key as they come.
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

func (t *Table) transact(tx transaction, request string) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if tx.ClientRequestToken != "" {
		if was, ok := t.tokens[tx.ClientRequestToken]; ok && now.Sub(was.at) < tokenLife {
			if was.request != request {
				return dynamoError(400, "IdempotentParameterMismatchException",
					"The request uses the same client token as a previous, but non-identical request")
			}
			return jsonAnswer(200, struct{}{})
		}
	}
	type change struct {
		key   key
		after Item
	}
	var changes []change
	codes := make([]string, len(tx.TransactItems))
	failed := false
	for i, operation := range tx.TransactItems {
		codes[i] = "None"
		for name, w := range operation {
			k, _, after, _, err := t.plan(name, w)
			var f *failure
			switch {
			case errors.As(err, &f) && f.kind == "ConditionalCheckFailedException":
				codes[i], failed = "ConditionalCheckFailed", true
			case err != nil:
				return refused(err)
			}
			for _, c := range changes {
				if c.key == k {
					return refused(invalid("Transaction request cannot include multiple operations on one item"))
				}
			}
			changes = append(changes, change{k, after})
		}
	}
	if failed {
		return cancelled(codes...)
	}
	for _, c := range changes {
		t.put(c.key, c.after)
	}
	if tx.ClientRequestToken != "" {
		t.tokens[tx.ClientRequestToken] = token{request, now}
	}
	return jsonAnswer(200, struct{}{})
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

func (t *Table) query(q query) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	items, last, scanned, err := t.find(q)
	if err != nil {
		return refused(err)
	}
	out := map[string]any{"Items": items, "Count": len(items), "ScannedCount": scanned}
	if last != nil {
		out["LastEvaluatedKey"] = last
	}
	return jsonAnswer(200, out)
}

func (t *Table) find(q query) (items []Item, last Item, scanned int, err error) {
	partition, sort, ok := keySchema(q.IndexName)
	switch {
	case q.TableName != t.name:
		return nil, nil, 0, &failure{"ResourceNotFoundException", "Requested resource not found"}
	case !ok:
		return nil, nil, 0, invalid("The table does not have the specified index: %s", q.IndexName)
	case q.ConsistentRead && q.IndexName != "":
		return nil, nil, 0, invalid("Consistent reads are not supported on global secondary indexes")
	}
	equals := q.KeyConditions[partition]
	if equals.ComparisonOperator != "EQ" || len(equals.AttributeValueList) != 1 || equals.AttributeValueList[0].S == nil {
		return nil, nil, 0, invalid("Query condition missed key schema element: %s", partition)
	}
	condition, bounded := q.KeyConditions[sort]
	if len(q.KeyConditions) > 2 || len(q.KeyConditions) == 2 && !bounded {
		return nil, nil, 0, invalid("Query key condition not supported")
	}
	list := slices.Clone(t.sorted[q.IndexName+"|"+*equals.AttributeValueList[0].S])
	backward := q.ScanIndexForward != nil && !*q.ScanIndexForward
	if backward {
		slices.Reverse(list)
	}
	after := func(entry) bool { return true }
	if q.ExclusiveStartKey != nil {
		k := key{q.ExclusiveStartKey.Text("PK"), q.ExclusiveStartKey.Text("SK")}
		start := entry{q.ExclusiveStartKey.Text(sort), k}
		if start.sort == "" || q.ExclusiveStartKey.Text(partition) != *equals.AttributeValueList[0].S {
			return nil, nil, 0, invalid("The provided starting key is outside query boundaries based on provided conditions")
		}
		after = func(e entry) bool {
			c := e.compare(start)
			return backward && c < 0 || !backward && c > 0
		}
	}
	e := &expression{names: q.ExpressionAttributeNames, values: q.ExpressionAttributeValues, used: map[string]bool{}}
	items = []Item{}
	for _, at := range list {
		if !after(at) {
			continue
		}
		if bounded {
			if holds, err := condition.holds(at.sort); err != nil {
				return nil, nil, 0, err
			} else if !holds {
				continue
			}
		}
		if q.Limit > 0 && scanned == q.Limit {
			return items, last, scanned, nil
		}
		item := t.items[at.key]
		scanned++
		last = Item{"PK": item["PK"], "SK": item["SK"]}
		last[partition], last[sort] = item[partition], item[sort]
		if q.FilterExpression != "" {
			if holds, err := e.condition(q.FilterExpression, item); err != nil {
				return nil, nil, 0, err
			} else if !holds {
				continue
			}
		}
		if item, err = e.project(q.ProjectionExpression, item); err != nil {
			return nil, nil, 0, err
		}
		items = append(items, item)
	}
	if q.Limit > 0 && scanned == q.Limit {
		return items, last, scanned, nil // There may be more: DynamoDB does not look.
	}
	return items, nil, scanned, nil
}

// project returns the attributes of an item that a projection names; "" names all.
func (e *expression) project(text string, item Item) (Item, error) {
	if text == "" {
		return item, nil
	}
	if err := e.start(text); err != nil {
		return nil, err
	}
	out := Item{}
	for {
		name, err := e.name()
		if err != nil {
			return nil, err
		}
		if v, ok := item[name]; ok {
			out[name] = v
		}
		if !e.accept(",") {
			return out, nil
		}
	}
}
