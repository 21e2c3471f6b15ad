package query

import (
	"math"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
)

// Clause is a piece of SQL with its arguments.
type Clause struct {
	SQL  string
	Args []any
}

// Of makes a clause.
func Of(text string, args ...any) Clause { return Clause{text, args} }

// All joins conditions by AND; none is always true.
func All(list ...Clause) Clause {
	if len(list) == 0 {
		return Of("1 = 1")
	}
	var texts []string
	var args []any
	for _, c := range list {
		texts = append(texts, "("+c.SQL+")")
		args = append(args, c.Args...)
	}
	return Clause{strings.Join(texts, " AND "), args}
}

// Text compares a column with what a filter says.
func Text(column string, c filter.Comparison) Clause {
	switch c.Op {
	case filter.In:
		return Of(column+" IN (??)", c.List)
	case filter.NotIn:
		return Of(column+" NOT IN (??)", c.List)
	case filter.Like:
		return Of(column+` LIKE ? ESCAPE '\'`, plainBackslash(c.Text))
	case filter.ILike:
		return Of("lower("+column+`) LIKE lower(?) ESCAPE '\'`, plainBackslash(c.Text))
	case filter.IsNull, filter.IsNotNull:
		return Of(column + " " + string(c.Op))
	default:
		return Of(column+" "+string(c.Op)+" ?", c.Text)
	}
}

// plainBackslash: a filter has no escapes, so its backslashes stand for themselves.
func plainBackslash(pattern string) string { return strings.ReplaceAll(pattern, `\`, `\\`) }

// Number compares a column of whole numbers.
func Number(column string, c filter.Comparison) Clause {
	op, n := string(c.Op), c.Number
	if n != math.Trunc(n) {
		switch c.Op {
		case filter.Eq:
			return Of("1 = 0")
		case filter.Ne:
			return Of(column + " IS NOT NULL")
		case filter.Gt, filter.Ge:
			op, n = ">", math.Floor(n)
		default:
			op, n = "<", math.Ceil(n)
		}
	}
	whole := int64(math.MaxInt64)
	if n <= math.MinInt64 {
		whole = math.MinInt64
	} else if n < math.MaxInt64 {
		whole = int64(n)
	}
	return Of(column+" "+op+" ?", whole)
}
