package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Entity is what an identifier belongs to.
type Entity string

// Entities.
const (
	Attribute Entity = "attribute"
	Metric    Entity = "metric"
	Param     Entity = "parameter"
	Tag       Entity = "tag"
	Dataset   Entity = "dataset"

	// Those of traces.
	Metadata    Entity = "request_metadata"
	Span        Entity = "span"
	Feedback    Entity = "feedback"
	Expectation Entity = "expectation"
	Issue       Entity = "issue"
)

// Op is an operator.
type Op string

// Operators.
const (
	Eq        Op = "="
	Ne        Op = "!="
	Lt        Op = "<"
	Le        Op = "<="
	Gt        Op = ">"
	Ge        Op = ">="
	Like      Op = "LIKE"
	ILike     Op = "ILIKE"
	RLike     Op = "RLIKE"
	In        Op = "IN"
	NotIn     Op = "NOT IN"
	IsNull    Op = "IS NULL"
	IsNotNull Op = "IS NOT NULL"
)

// Comparison is one condition.
type Comparison struct {
	Entity Entity
	Key    string
	Op     Op
	// One of these is the value: Number for numeric keys, List for IN, else Text.
	Text   string
	Number float64
	List   []string
}

// Order is one order_by clause.
type Order struct {
	Entity Entity
	Key    string
	Desc   bool
}

// Kind is the type of an attribute.
type Kind int

// Kinds of attributes.
const (
	Text Kind = iota
	Number
	// TextOrNumber takes both 3 and '3'.
	TextOrNumber
)

// Language is what one search understands.
type Language struct {
	// Entities by every name that they have.
	Entities map[string]Entity
	// Attributes that can be compared; Aliases maps other names to them.
	Attributes map[string]Kind
	Aliases    map[string]string
	// OrderBy lists the attributes for ordering; OrderEntities what else can order.
	OrderBy       []string
	OrderEntities []Entity
	// OrderIsColumn is the wording of errors: an order is by a "key" and not by an "attribute".
	OrderIsColumn bool
	// Lists are the attributes that IN takes; nil means all.
	Lists []string
	// PairLists lets IN compare params and tags, too.
	PairLists bool
	// Nulls are the entities that IS NULL takes.
	Nulls []Entity
	// Operators, if set, says what a key takes; without any, the rules above do.
	Operators func(e Entity, key string) ([]Op, error)
}

// Faultf is a fault in a filter, for [Language.Operators].
func Faultf(format string, args ...any) error { return faultf(format, args...) }

// Error is a fault in a filter, told to the one who wrote it.
type Error struct{ Message string }

// Error is the message.
func (e *Error) Error() string { return e.Message }

func faultf(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// maxLength bounds a filter; the longest sensible ones list a few thousand ids.
const maxLength = 1 << 18

// maxComparisons keeps the statement that a filter becomes within what
// databases take: SQLite's expressions are at most 1000 deep.
const maxComparisons = 200

// Parse reads a filter. An empty one has no comparisons.
func (l *Language) Parse(text string) ([]Comparison, error) {
	if len(text) > maxLength {
		return nil, faultf("Invalid filter: it is %d characters long, the limit is %d.", len(text), maxLength)
	}
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	p := parser{l, text, tokens}
	var list []Comparison
	for len(p.tokens) > 0 {
		if len(list) > 0 {
			if t := p.next(); !t.word("AND") {
				return nil, faultf("Invalid clause(s) in filter string: '%s'. Comparisons are joined by AND; OR, NOT and parentheses are not supported.", t.text)
			}
		}
		if len(list) == maxComparisons {
			return nil, faultf("Invalid filter: it has more than %d comparisons.", maxComparisons)
		}
		c, err := p.comparison()
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// ParseOrder reads one order_by clause.
func (l *Language) ParseOrder(text string) (Order, error) {
	tokens, err := scan(text)
	if err != nil {
		return Order{}, err
	}
	if len(tokens) == 0 || len(tokens) > 2 || tokens[0].kind != name && tokens[0].kind != quoted {
		return Order{}, faultf("Invalid order_by clause '%s'. Could not be parsed.", text)
	}
	var o Order
	if len(tokens) == 2 {
		switch {
		case tokens[1].word("DESC"):
			o.Desc = true
		case !tokens[1].word("ASC"):
			return Order{}, faultf("Invalid ordering key in order_by clause '%s'.", text)
		}
	}
	if o.Entity, o.Key, err = l.identifier(tokens[0]); err != nil {
		return Order{}, err
	}
	if o.Entity != Attribute {
		if !slices.Contains(l.OrderEntities, o.Entity) {
			return Order{}, faultf("Invalid order_by entity: %s", o.Entity)
		}
		return o, nil
	}
	o.Key = l.alias(o.Key)
	if !slices.Contains(l.OrderBy, o.Key) {
		what := "attribute key"
		if l.OrderIsColumn {
			what = "order by key"
		}
		return Order{}, faultf("Invalid %s '%s' specified. Valid keys are '%s'", what, o.Key, strings.Join(l.OrderBy, "', '"))
	}
	return o, nil
}

func (l *Language) alias(key string) string {
	if a, ok := l.Aliases[key]; ok {
		return a
	}
	return key
}

// identifier splits "entity.key".
func (l *Language) identifier(t token) (Entity, string, error) {
	head, key, dotted := t.text, "", false
	if t.kind == name {
		head, key, dotted = strings.Cut(t.text, ".")
	}
	if !dotted {
		return Attribute, unquote(head), nil
	}
	e, ok := l.Entities[unquote(head)]
	if !ok {
		return "", "", faultf("Invalid entity type '%s'. Valid values are %s", head, strings.Join(l.entityNames(), ", "))
	}
	return e, unquote(key), nil
}

func (l *Language) entityNames() []string {
	var names []string
	for n := range l.Entities {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Unquote takes the quotation marks off a part of an identifier.
func Unquote(s string) string { return unquote(s) }

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '`' || s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

type parser struct {
	*Language
	text   string
	tokens []token
}

func (p *parser) next() token {
	if len(p.tokens) == 0 {
		return token{}
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) comparison() (c Comparison, err error) {
	t := p.next()
	if t.kind != name && t.kind != quoted {
		return c, faultf("Invalid clause(s) in filter string: '%s'. Expected an identifier such as metrics.loss.", t.text)
	}
	if len(p.tokens) == 0 || p.tokens[0].word("AND") || p.tokens[0].word("OR") {
		return c, faultf("Invalid clause(s) in filter string: '%s'. Expected a comparison operator after '%s'.", p.text, t.text)
	}
	if len(p.tokens) > 1 && p.tokens[1].isConstant() {
		return c, p.cutOff(p.tokens[1])
	}
	if c.Entity, c.Key, err = p.identifier(t); err != nil {
		return c, err
	}
	if c.Entity == Attribute {
		c.Key = p.alias(c.Key)
		if len(p.Attributes) == 0 {
			return c, faultf("Invalid identifier '%s'. It has to begin with one of %s and a point.", t.text, strings.Join(p.entityNames(), ", "))
		}
		if _, ok := p.Attributes[c.Key]; !ok {
			return c, faultf("Invalid attribute key '%s' specified. Valid keys are '%s'", c.Key, strings.Join(p.attributeNames(), "', '"))
		}
	}
	if c.Entity == Dataset && !slices.Contains(datasetKeys, c.Key) {
		return c, faultf("Invalid dataset key '%s' specified. Valid keys are '%s'", c.Key, strings.Join(datasetKeys, "', '"))
	}
	if c.Op, err = p.operator(); err != nil {
		return c, err
	}
	valid, err := p.operators(c)
	switch {
	case err != nil:
		return c, err
	case slices.Contains(valid, c.Op):
	case c.Op == IsNull || c.Op == IsNotNull:
		return c, faultf("IS NULL / IS NOT NULL is only supported for %s, not for %s '%s'", p.nullable(), c.Entity, c.Key)
	case (c.Op == In || c.Op == NotIn) && c.Entity == Attribute && p.Attributes[c.Key] == Text && len(p.Lists) > 0:
		return c, faultf("Only ['%s'] attributes support comparison with a list of quoted string values.", strings.Join(p.Lists, "', '"))
	default:
		return c, faultf("Invalid comparator '%s' for %s '%s'; valid ones are %v", c.Op, c.Entity, c.Key, valid)
	}
	return c, p.value(&c)
}

// nullable names the entities that IS NULL takes.
func (l *Language) nullable() string {
	var names []string
	for _, e := range l.Nulls {
		if e == Param {
			e = "param"
		}
		names = append(names, string(e)+"s")
	}
	slices.Sort(names)
	slices.Reverse(names)
	if len(names) == 0 {
		return "other searches"
	}
	return strings.Join(names, " and ")
}

var datasetKeys = []string{"context", "digest", "name"}

func (p *parser) attributeNames() []string {
	var names []string
	for n := range p.Attributes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (p *parser) operator() (Op, error) {
	t := p.next()
	switch {
	case t.kind == symbol:
		switch t.text {
		case "=", "!=", "<", "<=", ">", ">=":
			return Op(t.text), nil
		}
	case t.word("LIKE"):
		return Like, nil
	case t.word("ILIKE"):
		return ILike, nil
	case t.word("RLIKE"):
		return RLike, nil
	case t.word("IN"):
		return In, nil
	case t.word("NOT"):
		if p.next().word("IN") {
			return NotIn, nil
		}
	case t.word("IS"):
		t = p.next()
		if t.word("NULL") {
			return IsNull, nil
		}
		if t.word("NOT") && p.next().word("NULL") {
			return IsNotNull, nil
		}
	}
	return "", faultf("Invalid clause(s) in filter string: '%s'. Expected a comparison operator, found '%s'.", p.text, t.text)
}

var (
	numberOps = []Op{Gt, Ge, Ne, Eq, Lt, Le}
	textOps   = []Op{Ne, Eq, Like, ILike}
	listOps   = []Op{Ne, Eq, Like, ILike, In, NotIn}
)

// operators that a key takes.
func (p *parser) operators(c Comparison) ([]Op, error) {
	if p.Operators != nil {
		if ops, err := p.Operators(c.Entity, c.Key); len(ops) > 0 || err != nil {
			return ops, err
		}
	}
	return p.standard(c), nil
}

func (p *parser) standard(c Comparison) []Op {
	switch c.Entity {
	case Metric:
		return numberOps
	case Attribute:
		switch {
		case p.Attributes[c.Key] != Text:
			return numberOps
		case p.Lists == nil || slices.Contains(p.Lists, c.Key):
			return listOps
		default:
			return textOps
		}
	case Dataset:
		return listOps
	default:
		ops := textOps
		if p.PairLists {
			ops = listOps
		}
		if slices.Contains(p.Nulls, c.Entity) {
			ops = append(slices.Clone(ops), IsNull, IsNotNull)
		}
		return ops
	}
}

// kind of value that a comparison takes.
func (p *parser) kind(c Comparison) Kind {
	switch c.Entity {
	case Metric:
		return Number
	case Attribute:
		return p.Attributes[c.Key]
	case Feedback, Expectation:
		if c.Op == Lt || c.Op == Le || c.Op == Gt || c.Op == Ge {
			return Number
		}
	default:
	}
	return Text
}

func (p *parser) value(c *Comparison) (err error) {
	if c.Op == IsNull || c.Op == IsNotNull {
		return nil
	}
	if c.Op == In || c.Op == NotIn {
		c.List, err = p.list()
		return err
	}
	t := p.next()
	if t.kind == none {
		return p.cutOff(t)
	}
	kind := p.kind(*c)
	digits := t.text
	if kind == TextOrNumber && t.text2 != "" {
		digits = t.text2
	} else if kind != Text && t.kind != numeral {
		return faultf("Expected numeric value type for %s '%s'. Found '%s'", c.Entity, c.Key, t.text)
	}
	if kind != Text {
		if c.Number, err = strconv.ParseFloat(digits, 64); err != nil {
			return faultf("Invalid value for numeric %s '%s': '%s'", c.Entity, c.Key, digits)
		}
		return nil
	}
	if t.kind == name {
		return faultf("Parameter value is either not quoted or unidentified quote types used for string value %s. Use either single or double quotes. Expected a quoted string value for %s '%s'.", t.text, c.Entity, c.Key)
	}
	if !t.isText() {
		return faultf("Expected a quoted string value for %s '%s' (e.g. 'my-value'). Got value %s", c.Entity, c.Key, t.text)
	}
	c.Text = t.text2
	if c.Op == RLike {
		_, err = c.regexp()
		return err
	}
	if (c.Op == Like || c.Op == ILike) && (len(c.Text) > maxPattern || strings.Count(c.Text, "%") > maxWildcards) {
		return faultf("Invalid pattern for %s '%s': it may have at most %d characters and %d times %%.", c.Entity, c.Key, maxPattern, maxWildcards)
	}
	return nil
}

// Bounds of a pattern: matching takes time that grows with the power of its wildcards.
const (
	maxPattern   = 1000
	maxWildcards = 8 // mlflow.load_table sends 7
)

func (p *parser) list() (list []string, err error) {
	if t := p.next(); t.text != "(" {
		return nil, p.cutOff(t)
	}
	for {
		t := p.next()
		switch {
		case t.isText():
		case t.kind == none:
			return nil, p.cutOff(t)
		case t.text == ")" && len(list) == 0:
			return nil, badList("a non-empty list of string values, but got empty list")
		case t.kind == symbol:
			return nil, badList("a non-empty list of string values, but got ill-formed list")
		default:
			return nil, badList("string value, punctuation, or whitespace, but got different type in list: '" + t.text + "'. Write ('a', 'b')")
		}
		list = append(list, t.text2)
		switch t = p.next(); {
		case t.text == ")":
			return list, nil
		case t.kind == none:
			return nil, p.cutOff(t)
		case t.text != ",":
			return nil, badList("a non-empty list of string values, but got ill-formed list")
		case len(p.tokens) > 0 && p.tokens[0].text == ")": // ('a',)
			p.next()
			return list, nil
		}
	}
}

// badList ends in what clients look for.
func badList(text string) error {
	return faultf("While parsing a list in the query, expected %s.", text)
}

func (p *parser) cutOff(t token) error {
	return faultf("Invalid clause(s) in filter string: '%s'. Expected a value, found '%s'.", p.text, t.text)
}
