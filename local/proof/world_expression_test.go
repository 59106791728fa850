package proof

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// An expression evaluates the expressions of one request. What it does not know
// it refuses, but not all that DynamoDB refuses: it takes placeholders that are
// not used, reserved words, and updates of a key or of one attribute twice. The
// store's tests notice these on DynamoDB Local.
//
// Source: "Condition and filter expressions, operators, and functions" and
// "Update expressions" in the DynamoDB developer guide.
type expression struct {
	names  map[string]string
	values map[string]Value
	err    error // the first one
}

// asGo turns DynamoDB's expressions into Go's, whose grammar is the same but for
// NOT: here, that needs parentheses around a comparison.
var asGo = strings.NewReplacer(" AND ", " && ", " OR ", " || ", "NOT ", "!",
	"<>", "!=", "<=", "<=", ">=", ">=", "=", "==", "#", "name_", ":", "value_")

// clauses puts the clauses of an update on lines of their own.
var clauses = strings.NewReplacer(" SET ", "\nSET ", " REMOVE ", "\nREMOVE ", " ADD ", "\nADD ")

func (e *expression) fail(format string, args ...any) Value {
	e.err = cmp.Or(e.err, error(invalid(format, args...)))
	return Value{}
}

// parse reads expressions with commas between them; "" has none.
func (e *expression) parse(text string) []ast.Expr {
	x, err := parser.ParseExpr("list(" + asGo.Replace(text) + ")")
	if list, ok := x.(*ast.CallExpr); ok && err == nil {
		return list.Args
	}
	e.fail("Invalid expression: Syntax error in %q: %v", text, err)
	return nil
}

// hold reports whether conditions hold for an item, which is nil where there is
// none.
func (e *expression) hold(conditions []ast.Expr, item Item) bool {
	return !slices.ContainsFunc(conditions, func(x ast.Expr) bool { return !e.truth(e.eval(x, item)) })
}

func (e *expression) truth(v Value) bool {
	if v.BOOL == nil {
		e.fail("Invalid expression: Syntax error; a condition is missing")
		return false
	}
	return *v.BOOL
}

// name returns the name of a top-level attribute, or of a member of a map.
func (e *expression) name(x ast.Expr) string {
	id, ok := x.(*ast.Ident)
	if !ok {
		e.fail("Invalid expression: Syntax error; an attribute's name is missing")
		return ""
	}
	short, placeholder := strings.CutPrefix(id.Name, "name_")
	if !placeholder {
		return id.Name
	}
	name, ok := e.names["#"+short]
	if !ok {
		e.fail("An expression attribute name used in the document path is not defined; attribute name: #%s", short)
	}
	return name
}

// eval returns the value of an expression for an item: none where it leads to
// nothing, a BOOL for a condition.
func (e *expression) eval(x ast.Expr, item Item) Value {
	switch x := x.(type) {
	case *ast.ParenExpr:
		return e.eval(x.X, item)
	case *ast.Ident:
		short, placeholder := strings.CutPrefix(x.Name, "value_")
		if !placeholder {
			return item[e.name(x)]
		}
		v, ok := e.values[":"+short]
		if !ok {
			return e.fail("An expression attribute value used in expression is not defined; attribute value: :%s", short)
		}
		return v
	case *ast.SelectorExpr:
		name := e.name(x.Sel)
		if outer := e.eval(x.X, item); outer.M != nil {
			return (*outer.M)[name]
		}
		return Value{}
	case *ast.UnaryExpr:
		if x.Op.String() == "!" {
			return Value{BOOL: new(!e.truth(e.eval(x.X, item)))}
		}
	case *ast.BinaryExpr:
		return Value{BOOL: new(e.operator(x.Op.String(), e.eval(x.X, item), e.eval(x.Y, item)))}
	case *ast.CallExpr:
		args := make([]Value, len(x.Args))
		for i, arg := range x.Args {
			args[i] = e.eval(arg, item)
		}
		return e.call(fmt.Sprintf("%s/%d", x.Fun, len(args)), args)
	}
	return e.fail("Invalid expression: Syntax error")
}

func (e *expression) operator(op string, a, b Value) bool {
	order, ordered := compare(a, b)
	switch op {
	case "&&":
		return e.truth(a) && e.truth(b)
	case "||":
		return e.truth(a) || e.truth(b)
	case "==":
		return a != (Value{}) && equal(a, b)
	case "!=":
		return a == (Value{}) || !equal(a, b)
	case "<":
		return ordered && order < 0
	case "<=":
		return ordered && order <= 0
	case ">":
		return ordered && order > 0
	case ">=":
		return ordered && order >= 0
	default:
		e.fail("Invalid expression: operator %s is not supported here", op)
		return false
	}
}

// call evaluates a function, which comes with the number of its arguments.
func (e *expression) call(function string, args []Value) Value {
	switch function {
	case "attribute_exists/1":
		return Value{BOOL: new(args[0] != Value{})}
	case "attribute_not_exists/1":
		return Value{BOOL: new(args[0] == Value{})}
	case "begins_with/2":
		return Value{BOOL: new(args[0].S != nil && args[1].S != nil && strings.HasPrefix(*args[0].S, *args[1].S))}
	case "if_not_exists/2":
		return cmp.Or(args[0], args[1])
	case "size/1":
		if args[0] == (Value{}) {
			return Value{}
		}
		if args[0].L != nil {
			return Value{N: new(strconv.Itoa(len(*args[0].L)))}
		}
	case "list_append/2":
		if args[0].L != nil && args[1].L != nil {
			return Value{L: new(slices.Concat(*args[0].L, *args[1].L))}
		}
	}
	return e.fail("Invalid expression: function %s is not supported for these operands", function)
}

// update returns what an update makes of an item, which is nil where there is
// none yet.
func (e *expression) update(text string, k key, before Item) Item {
	after := maps.Clone(before)
	if after == nil {
		after = Item{"PK": {S: &k.PK}, "SK": {S: &k.SK}}
	}
	for line := range strings.SplitSeq(clauses.Replace(text), "\n") {
		clause, list, _ := strings.Cut(line, " ")
		if clause == "ADD" {
			list = strings.ReplaceAll(list, " :", " = :")
		}
		for _, x := range e.parse(list) {
			action, ok := x.(*ast.BinaryExpr)
			ok = ok && action.Op.String() == "=="
			switch {
			case clause == "REMOVE":
				delete(after, e.name(x))
			case ok && clause == "SET":
				e.set(after, action.X, e.eval(action.Y, before))
			case ok && clause == "ADD":
				e.set(after, action.X, e.add(e.eval(action.X, before), e.eval(action.Y, before)))
			default:
				e.fail("Invalid UpdateExpression: Syntax error in %q", line)
			}
		}
	}
	return after
}

// set puts a value where a path leads. The item is a copy already; the maps that
// the path leads through are copied.
func (e *expression) set(item Item, path ast.Expr, v Value) {
	if v == (Value{}) {
		e.fail("The provided expression refers to an attribute that does not exist in the item")
	}
	member, ok := path.(*ast.SelectorExpr)
	if !ok {
		item[e.name(path)] = v
		return
	}
	outer := e.eval(member.X, item)
	if outer.M == nil {
		e.fail("The document path provided in the update expression is invalid for update")
		return
	}
	inner := maps.Clone(*outer.M)
	inner[e.name(member.Sel)] = v
	e.set(item, member.X, Value{M: &inner})
}

func (e *expression) add(a, b Value) Value {
	a = cmp.Or(a, Value{N: new("0")})
	if a.N == nil || b.N == nil {
		return e.fail("An operand in the update expression has an incorrect data type")
	}
	return Value{N: decimal(new(big.Rat).Add(ratOf(*a.N), ratOf(*b.N)))}
}

// A keyCondition is one of a query on a key of its index.
type keyCondition struct {
	AttributeValueList []Value
	ComparisonOperator string
}

func (c keyCondition) holds(sort string) (bool, error) {
	if len(c.AttributeValueList) == 0 {
		return false, invalid("One or more parameter values were invalid: Invalid number of argument(s)")
	}
	first, last := c.AttributeValueList[0].text(), c.AttributeValueList[len(c.AttributeValueList)-1].text()
	switch c.ComparisonOperator {
	case "EQ":
		return sort == first, nil
	case "GE":
		return sort >= first, nil
	case "LE":
		return sort <= first, nil
	case "BEGINS_WITH":
		return strings.HasPrefix(sort, first), nil
	case "BETWEEN":
		return first <= sort && sort <= last, nil
	default:
		return false, fmt.Errorf("comparison operator %q is not supported", c.ComparisonOperator)
	}
}
