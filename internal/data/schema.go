package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
)

// Type of a column.
type Type string

// The types of columns.
const (
	Float  Type = "float"
	Int    Type = "int"
	String Type = "string"
	Bool   Type = "bool"
)

// Column of a data set, or what is demanded of it.
type Column struct {
	Name     string   `json:"name"`
	Type     Type     `json:"type"`
	Min      *float64 `json:"min,omitempty"`
	Max      *float64 `json:"max,omitempty"`
	Nullable bool     `json:"nullable,omitempty"`
}

// Schema is the columns in order.
type Schema struct {
	Columns []Column `json:"columns"`
}

// Names of the columns.
func (s Schema) Names() []string {
	names := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		names[i] = c.Name
	}
	return names
}

// Limits of a table.
const (
	maxColumns    = 10_000
	maxViolations = 10
)

// ParseSchema reads what a client demands of the data.
func ParseSchema(b []byte) (*Schema, error) {
	var s Schema
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, server.Invalid("the schema is not valid: %w", err)
	}
	if len(s.Columns) == 0 || len(s.Columns) > maxColumns {
		return nil, server.Invalid("the schema needs 1 to %d columns, it has %d", maxColumns, len(s.Columns))
	}
	seen := map[string]bool{}
	for i, c := range s.Columns {
		switch {
		case c.Name == "" || seen[c.Name]:
			return nil, server.Invalid("schema column %d: the name %q is empty or there twice", i+1, c.Name)
		case !slices.Contains([]Type{Float, Int, String, Bool}, c.Type):
			return nil, server.Invalid("schema column %q: type %q is none of float, int, string, bool", c.Name, c.Type)
		case (c.Min != nil || c.Max != nil) && c.Type != Float && c.Type != Int:
			return nil, server.Invalid("schema column %q: min and max need type float or int", c.Name)
		case c.Min != nil && c.Max != nil && *c.Min > *c.Max:
			return nil, server.Invalid("schema column %q: min %v is above max %v", c.Name, *c.Min, *c.Max)
		}
		seen[c.Name] = true
	}
	return &s, nil
}

// cell is one value as a reader found it. A CSV cell is text whose type is not known yet.
type cell struct {
	null  bool
	typed Type // "" for text out of CSV
	text  string
	num   float64
}

// table yields rows; the cells are valid until the next call.
type table interface {
	columns() []Column // Type is "" where it must be found out
	next() ([]cell, error)
}

// check reads a table to its end and returns its schema and number of rows.
// With demands, violations come back as one error that names rows and columns.
func check(t table, demand *Schema) (Schema, int64, error) {
	found := t.columns()
	if err := checkHeader(found, demand); err != nil {
		return Schema{}, 0, err
	}
	c := newChecker(found, demand)
	for len(c.violations) < maxViolations {
		cells, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Schema{}, 0, err
		}
		c.row(cells)
	}
	if len(c.violations) >= maxViolations {
		c.violations = append(c.violations[:maxViolations], "checking stopped here")
	}
	if len(c.violations) > 0 {
		return Schema{}, 0, violationError(c.violations)
	}
	if c.rows == 0 {
		return Schema{}, 0, server.Invalid("the data set has columns but no row")
	}
	return c.schema(), c.rows, nil
}

// checker sees the rows of a table one after the other.
type checker struct {
	found      []Column
	demands    []*Column // of each column that was found; nil where nothing is demanded
	guesses    []guess
	rows       int64
	violations []string
}

func newChecker(found []Column, demand *Schema) *checker {
	c := &checker{found: found, demands: make([]*Column, len(found)), guesses: make([]guess, len(found))}
	for i, f := range found {
		c.guesses[i] = newGuess(f.Type)
		if demand != nil {
			k := slices.IndexFunc(demand.Columns, func(d Column) bool { return d.Name == f.Name })
			c.demands[i] = &demand.Columns[k] // checkHeader has made sure that it is there
		}
	}
	return c
}

func (c *checker) row(cells []cell) {
	c.rows++
	for i, v := range cells {
		c.guesses[i].see(v)
		if c.demands[i] == nil {
			continue
		}
		if why := c.demands[i].fault(v); why != "" {
			c.violations = append(c.violations, fmt.Sprintf("row %d, column %q: %s", c.rows, c.found[i].Name, why))
		}
	}
}

// schema is what was demanded, else what was found.
func (c *checker) schema() Schema {
	s := Schema{Columns: c.found}
	for i := range c.found {
		if c.demands[i] != nil {
			s.Columns[i] = *c.demands[i]
			continue
		}
		s.Columns[i].Type, s.Columns[i].Nullable = c.guesses[i].result()
	}
	return s
}

func violationError(violations []string) error {
	e := server.Errorf(422, "SCHEMA_VIOLATION", "the data break the schema, nothing was stored: %s", strings.Join(violations, "; "))
	e.Remedy = "correct the data, or the schema in the query parameter schema"
	return e
}

func checkHeader(found []Column, demand *Schema) error {
	if len(found) == 0 || len(found) > maxColumns {
		return server.Invalid("a data set needs 1 to %d columns, this one has %d", maxColumns, len(found))
	}
	seen := map[string]bool{}
	for i, c := range found {
		if c.Name == "" || seen[c.Name] {
			return server.Invalid("column %d: the name %q is empty or there twice", i+1, c.Name)
		}
		seen[c.Name] = true
	}
	if demand == nil {
		return nil
	}
	var violations []string
	for _, d := range demand.Columns {
		if !seen[d.Name] {
			violations = append(violations, fmt.Sprintf("column %q is missing", d.Name))
		}
		delete(seen, d.Name)
	}
	for _, c := range found {
		if seen[c.Name] {
			violations = append(violations, fmt.Sprintf("column %q is not in the schema", c.Name))
		}
	}
	if len(violations) > 0 {
		return violationError(violations[:min(len(violations), maxViolations)])
	}
	return nil
}

// fault says what is wrong with a cell, or nothing.
func (d *Column) fault(c cell) string {
	if c.null {
		if d.Nullable {
			return ""
		}
		return "is empty"
	}
	var n float64
	switch d.Type {
	case String:
		if c.typed != "" && c.typed != String {
			return fmt.Sprintf("is %s, expected string", c.typed)
		}
		return ""
	case Bool:
		if c.typed == Bool || c.typed == "" && isBool(c.text) {
			return ""
		}
		return fmt.Sprintf("%s is not bool", c)
	case Int:
		v, ok := c.integer()
		if !ok {
			return fmt.Sprintf("%s is not int", c)
		}
		n = v
	case Float:
		v, ok := c.number()
		if !ok {
			return fmt.Sprintf("%s is not float", c)
		}
		n = v
	}
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return fmt.Sprintf("%s is not a finite number", c)
	case d.Min != nil && n < *d.Min:
		return fmt.Sprintf("%s is below the minimum %v", c, *d.Min)
	case d.Max != nil && n > *d.Max:
		return fmt.Sprintf("%s is above the maximum %v", c, *d.Max)
	}
	return ""
}

// String is the value as it is quoted in messages.
func (c cell) String() string {
	switch c.typed {
	case Float, Int:
		return strconv.FormatFloat(c.num, 'g', -1, 64)
	case Bool, String:
	}
	const most = 40
	if len(c.text) > most {
		return strconv.Quote(c.text[:most]) + "…"
	}
	return strconv.Quote(c.text)
}

func (c cell) integer() (float64, bool) {
	switch c.typed {
	case Int:
		return c.num, true
	case "":
		v, err := strconv.ParseInt(c.text, 10, 64)
		return float64(v), err == nil
	case Float, String, Bool:
	}
	return 0, false
}

func (c cell) number() (float64, bool) {
	switch c.typed {
	case Int, Float:
		return c.num, true
	case "":
		v, err := strconv.ParseFloat(c.text, 64)
		return v, err == nil
	case String, Bool:
	}
	return 0, false
}

func isBool(s string) bool {
	_, err := strconv.ParseBool(s)
	return err == nil && !strings.ContainsAny(s, "01")
}

// guess finds the narrowest type that all cells of a column have.
type guess struct {
	fixed              Type
	int, float, bool   bool
	anyValue, anyEmpty bool
}

func newGuess(fixed Type) guess { return guess{fixed: fixed, int: true, float: true, bool: true} }

func (g *guess) see(c cell) {
	if c.null {
		g.anyEmpty = true
		return
	}
	g.anyValue = true
	if g.fixed != "" {
		return
	}
	if g.int {
		_, g.int = c.integer()
	}
	if g.float {
		_, g.float = c.number()
	}
	if g.bool {
		g.bool = isBool(c.text)
	}
}

func (g *guess) result() (Type, bool) {
	switch {
	case g.fixed != "":
		return g.fixed, g.anyEmpty
	case !g.anyValue:
		return String, true
	case g.int:
		return Int, g.anyEmpty
	case g.float:
		return Float, g.anyEmpty
	case g.bool:
		return Bool, g.anyEmpty
	}
	return String, g.anyEmpty
}
