package world

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// An expression evaluates DynamoDB's expressions over top-level attributes.
// Source: "Condition and filter expressions, operators, and functions" and
// "Update expressions" in the DynamoDB developer guide.
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
		case strings.IndexByte("()=<>,+-.", c) >= 0:
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
		path, err := e.path()
		if err != nil {
			return false, err
		}
		v, exists := path.in(item)
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
			return "", invalid(
				"An expression attribute name used in the document path is not defined; attribute name: %s",
				t,
			)
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

// reserved reports whether a word must not stand for an attribute by itself:
// those of DynamoDB's reserved words that this service's attributes have.
func reserved(word string) bool {
	words := "active date items key name names number state status total type value values"
	return slices.Contains(strings.Fields(words), strings.ToLower(word))
}

// A path leads to an attribute, or to a member of a map. Places in lists are not
// supported.
type path []string

func (e *expression) path() (path, error) {
	var p path
	for {
		name, err := e.name()
		if err != nil {
			return nil, err
		}
		if p = append(p, name); !e.accept(".") {
			return p, nil
		}
	}
}

// in returns what the path leads to in an item, and whether there is anything.
func (p path) in(item Item) (v Value, ok bool) {
	v, ok = item[p[0]]
	for _, name := range p[1:] {
		if v.M == nil {
			return Value{}, false
		}
		v, ok = (*v.M)[name]
	}
	return v, ok
}

// set puts a value into a copy of what the path leads through; item is a copy
// already.
func (p path) set(item map[string]Value, v Value) error {
	if len(p) == 1 {
		item[p[0]] = v
		return nil
	}
	if item[p[0]].M == nil {
		return invalid("The document path provided in the update expression is invalid for update")
	}
	inner := maps.Clone(*item[p[0]].M)
	item[p[0]] = Value{M: &inner}
	return p[1:].set(inner, v)
}

// operand reads a value, an attribute or a function of them, and says whether
// there is anything.
func (e *expression) operand(item Item) (v Value, ok bool, err error) {
	if strings.HasPrefix(e.peek(), ":") {
		t := e.next()
		v, ok = e.values[t]
		if !ok {
			return v, false, invalid(
				"An expression attribute value used in expression is not defined; attribute value: %s",
				t,
			)
		}
		e.used[t] = true
		return v, true, nil
	}
	function := strings.ToLower(e.peek())
	switch function {
	case "if_not_exists", "list_append", "size":
		if len(e.tokens) < 2 || e.tokens[1] != "(" {
			break
		}
		e.tokens = e.tokens[2:]
		if v, ok, err = e.call(function, item); err != nil {
			return v, false, err
		}
		return v, ok, e.expect(")")
	}
	p, err := e.path()
	if err != nil {
		return v, false, err
	}
	v, ok = p.in(item)
	return v, ok, nil
}

// call evaluates a function whose arguments come next.
func (e *expression) call(function string, item Item) (v Value, ok bool, err error) {
	a, hasA, err := e.operand(item)
	if err != nil {
		return v, false, err
	}
	if function == "size" {
		n, sized := a.length()
		text := strconv.Itoa(n)
		return Value{N: &text}, hasA && sized, nil
	}
	if err := e.expect(","); err != nil {
		return v, false, err
	}
	b, hasB, err := e.operand(item)
	switch {
	case err != nil:
		return v, false, err
	case function == "if_not_exists" && hasA:
		return a, true, nil
	case function == "if_not_exists":
		return b, hasB, nil
	case !hasA || !hasB:
		return v, false, nil
	case a.L == nil || b.L == nil:
		return v, false, invalid("An operand in the update expression has an incorrect data type")
	}
	list := slices.Concat(*a.L, *b.L)
	return Value{L: &list}, true, nil
}

// length returns what size() says of a value, and whether it says anything.
func (v Value) length() (n int, ok bool) {
	switch {
	case v.S != nil:
		return len(*v.S), true
	case v.L != nil:
		return len(*v.L), true
	case v.M != nil:
		return len(*v.M), true
	default:
		return 0, false
	}
}

// update returns what an update makes of an item, which is nil where there is
// none yet, and the names that it sets.
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
		p, err := e.path()
		if err != nil {
			return nil, nil, err
		}
		name := p[0]
		switch {
		case name == "PK" || name == "SK":
			return nil, nil, invalid("Cannot update attribute %s. This attribute is part of the key", name)
		case touched[name]:
			return nil, nil, invalid("Two document paths overlap with each other: %s", name)
		case len(p) > 1 && clause != "SET":
			return nil, nil, invalid("Only SET is supported for %s", p)
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
				return nil, nil, invalid(
					"The provided expression refers to an attribute that does not exist in the item",
				)
			}
			if err := p.set(after, v); err != nil {
				return nil, nil, err
			}
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
	text := new(big.Rat).Add(ratOf(*a.N), ratOf(*b.N)).FloatString(38)
	v := Value{N: &text}
	return v, v.normalise()
}

// keyConditions finds the entries of a sorted list that meet the conditions on
// the sort key.
type keyCondition struct {
	AttributeValueList []Value
	ComparisonOperator string
}

func (c keyCondition) holds(sort string) (bool, error) {
	texts := make([]string, len(c.AttributeValueList))
	for i, v := range c.AttributeValueList {
		if v.S == nil {
			return false, invalid(
				"One or more parameter values were invalid: Condition parameter type does not match schema type",
			)
		}
		texts[i] = *v.S
	}
	want := 1
	if c.ComparisonOperator == "BETWEEN" {
		want = 2
	}
	if len(texts) != want {
		return false, invalid(
			"One or more parameter values were invalid: Invalid number of argument(s) for the %s ComparisonOperator",
			c.ComparisonOperator,
		)
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
