package world

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// An expression evaluates DynamoDB's expressions over top-level attributes. Source: "Condition and filter expressions,
// operators, and functions" and "Update expressions" in the DynamoDB developer guide.
type expression struct {
	names  map[string]string
	values map[string]Value
	used   map[string]bool
	tokens []string
}

// unused refuses placeholders that no expression uses, as DynamoDB does.
func (e *expression) unused() error {
	for _, name := range slices.Sorted(maps.Keys(e.names)) {
		if !e.used[name] {
			return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		if !e.used[name] {
			return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
	}
	return nil
}

func tokenize(text string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ':
			i++
		case isWord(c) || c == '#' || c == ':':
			end := i + 1
			for end < len(text) && isWord(text[end]) {
				end++
			}
			tokens = append(tokens, text[i:end])
			i = end
		case strings.HasPrefix(text[i:], "<=") || strings.HasPrefix(text[i:], ">=") || strings.HasPrefix(text[i:], "<>"):
			tokens = append(tokens, text[i:i+2])
			i += 2
		case strings.IndexByte("()=<>,+-", c) >= 0:
			tokens = append(tokens, string(c))
			i++
		default:
			return nil, invalid("Invalid expression: Syntax error; token: %q", string(c))
		}
	}
	return tokens, nil
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func (e *expression) start(text string) error {
	tokens, err := tokenize(text)
	e.tokens = tokens
	return err
}

func (e *expression) peek() string {
	if len(e.tokens) == 0 {
		return ""
	}
	return e.tokens[0]
}

func (e *expression) next() string {
	t := e.peek()
	if t != "" {
		e.tokens = e.tokens[1:]
	}
	return t
}

// accept takes the next token if it is the word, in whatever case.
func (e *expression) accept(word string) bool {
	if strings.EqualFold(e.peek(), word) {
		e.next()
		return true
	}
	return false
}

func (e *expression) expect(word string) error {
	if !e.accept(word) {
		return e.unexpected()
	}
	return nil
}

func (e *expression) unexpected() error {
	return invalid("Invalid expression: Syntax error; token: %q", e.peek())
}

// condition evaluates a condition over an item, which is nil where there is none.
func (e *expression) condition(text string, item Item) (bool, error) {
	if err := e.start(text); err != nil {
		return false, err
	}
	holds, err := e.or(item)
	if err == nil && e.peek() != "" {
		err = e.unexpected()
	}
	return holds, err
}

func (e *expression) or(item Item) (bool, error) {
	holds, err := e.and(item)
	for err == nil && e.accept("OR") {
		var other bool
		other, err = e.and(item)
		holds = holds || other
	}
	return holds, err
}

func (e *expression) and(item Item) (bool, error) {
	holds, err := e.not(item)
	for err == nil && e.accept("AND") {
		var other bool
		other, err = e.not(item)
		holds = holds && other
	}
	return holds, err
}

func (e *expression) not(item Item) (bool, error) {
	if e.accept("NOT") {
		holds, err := e.not(item)
		return !holds, err
	}
	if e.accept("(") {
		holds, err := e.or(item)
		if err != nil {
			return false, err
		}
		return holds, e.expect(")")
	}
	return e.comparison(item)
}

func (e *expression) comparison(item Item) (bool, error) {
	switch function := strings.ToLower(e.peek()); function {
	case "attribute_exists", "attribute_not_exists", "begins_with":
		e.next()
		if err := e.expect("("); err != nil {
			return false, err
		}
		name, err := e.name()
		if err != nil {
			return false, err
		}
		v, exists := item[name]
		holds := exists == (function == "attribute_exists")
		if function == "begins_with" {
			if err := e.expect(","); err != nil {
				return false, err
			}
			prefix, _, err := e.operand(item)
			if err != nil {
				return false, err
			}
			holds = exists && v.S != nil && prefix.S != nil && strings.HasPrefix(*v.S, *prefix.S)
		}
		return holds, e.expect(")")
	}
	a, hasA, err := e.operand(item)
	if err != nil {
		return false, err
	}
	operator := e.next()
	b, hasB, err := e.operand(item)
	if err != nil {
		return false, err
	}
	switch operator {
	case "=":
		return hasA && hasB && equal(a, b), nil
	case "<>":
		return !hasA || !hasB || !equal(a, b), nil
	}
	order, ok := compare(a, b)
	ok = ok && hasA && hasB
	switch operator {
	case "<":
		return ok && order < 0, nil
	case "<=":
		return ok && order <= 0, nil
	case ">":
		return ok && order > 0, nil
	case ">=":
		return ok && order >= 0, nil
	default:
		return false, invalid("Invalid expression: operator %q is not supported here", operator)
	}
}

// name reads the name of an attribute.
func (e *expression) name() (string, error) {
	t := e.next()
	switch {
	case strings.HasPrefix(t, "#"):
		name, ok := e.names[t]
		if !ok {
			return "", invalid("An expression attribute name used in the document path is not defined; attribute name: %s", t)
		}
		e.used[t] = true
		return name, nil
	case t == "" || !isWord(t[0]):
		return "", invalid("Invalid expression: Syntax error; token: %q", t)
	case reserved(t):
		return "", invalid("Invalid expression: Attribute name is a reserved keyword; reserved keyword: %s", t)
	default:
		return t, nil
	}
}

// reserved reports whether a word must not stand for an attribute by itself: those of DynamoDB's reserved words that this
// service's attributes have.
func reserved(word string) bool {
	switch strings.ToLower(word) {
	case "active", "date", "items", "key", "name", "names", "number", "state", "status", "total", "value", "values":
		return true
	default:
		return false
	}
}

// operand reads a value or an attribute, and says whether the attribute is there.
func (e *expression) operand(item Item) (v Value, ok bool, err error) {
	if strings.HasPrefix(e.peek(), ":") {
		t := e.next()
		v, ok = e.values[t]
		if !ok {
			return v, false, invalid("An expression attribute value used in expression is not defined; attribute value: %s", t)
		}
		e.used[t] = true
		return v, true, nil
	}
	if e.accept("if_not_exists") {
		if err := e.expect("("); err != nil {
			return v, false, err
		}
		name, err := e.name()
		if err != nil {
			return v, false, err
		}
		if err := e.expect(","); err != nil {
			return v, false, err
		}
		other, has, err := e.operand(item)
		if err != nil {
			return v, false, err
		}
		if v, ok = item[name]; !ok {
			v, ok = other, has
		}
		return v, ok, e.expect(")")
	}
	name, err := e.name()
	if err != nil {
		return v, false, err
	}
	v, ok = item[name]
	return v, ok, nil
}

// update returns what an update makes of an item, which is nil where there is none yet, and the names that it sets.
func (e *expression) update(text string, k key, before Item) (Item, map[string]bool, error) {
	after := maps.Clone(before)
	if after == nil {
		pk, sk := k.PK, k.SK
		after = Item{"PK": {S: &pk}, "SK": {S: &sk}}
	}
	if err := e.start(text); err != nil {
		return nil, nil, err
	}
	clause := ""
	touched := map[string]bool{}
	for e.peek() != "" {
		switch word := strings.ToUpper(e.peek()); word {
		case "SET", "REMOVE", "ADD":
			clause = word
			e.next()
		case ",":
			e.next()
		}
		name, err := e.name()
		if err != nil {
			return nil, nil, err
		}
		switch {
		case name == "PK" || name == "SK":
			return nil, nil, invalid("Cannot update attribute %s. This attribute is part of the key", name)
		case touched[name]:
			return nil, nil, invalid("Two document paths overlap with each other: %s", name)
		}
		touched[name] = true
		switch clause {
		case "SET":
			if err := e.expect("="); err != nil {
				return nil, nil, err
			}
			v, ok, err := e.operand(before)
			if err != nil {
				return nil, nil, err
			}
			if !ok {
				return nil, nil, invalid("The provided expression refers to an attribute that does not exist in the item")
			}
			after[name] = v
		case "REMOVE":
			delete(after, name)
		case "ADD":
			v, _, err := e.operand(before)
			if err != nil {
				return nil, nil, err
			}
			sum, err := add(before[name], v)
			if err != nil {
				return nil, nil, err
			}
			after[name] = sum
		default:
			return nil, nil, e.unexpected()
		}
	}
	return after, touched, nil
}

func add(a, b Value) (Value, error) {
	zero := "0"
	if a == (Value{}) {
		a = Value{N: &zero}
	}
	if a.N == nil || b.N == nil {
		return Value{}, invalid("An operand in the update expression has an incorrect data type")
	}
	x, _ := new(big.Rat).SetString(*a.N)
	y, _ := new(big.Rat).SetString(*b.N)
	text := x.Add(x, y).FloatString(38)
	v := Value{N: &text}
	return v, v.normalise()
}

// keyConditions finds the entries of a sorted list that meet the conditions on the sort key.
type keyCondition struct {
	AttributeValueList []Value
	ComparisonOperator string
}

func (c keyCondition) holds(sort string) (bool, error) {
	texts := make([]string, len(c.AttributeValueList))
	for i, v := range c.AttributeValueList {
		if v.S == nil {
			return false, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
		}
		texts[i] = *v.S
	}
	want := 1
	if c.ComparisonOperator == "BETWEEN" {
		want = 2
	}
	if len(texts) != want {
		return false, invalid("One or more parameter values were invalid: Invalid number of argument(s) for the %s ComparisonOperator", c.ComparisonOperator)
	}
	switch c.ComparisonOperator {
	case "EQ":
		return sort == texts[0], nil
	case "GE":
		return sort >= texts[0], nil
	case "GT":
		return sort > texts[0], nil
	case "LE":
		return sort <= texts[0], nil
	case "LT":
		return sort < texts[0], nil
	case "BEGINS_WITH":
		return strings.HasPrefix(sort, texts[0]), nil
	case "BETWEEN":
		return texts[0] <= sort && sort <= texts[1], nil
	default:
		return false, fmt.Errorf("comparison operator %q is not supported", c.ComparisonOperator)
	}
}
