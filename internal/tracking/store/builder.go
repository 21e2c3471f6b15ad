package store

import (
	"errors"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// clause is a piece of SQL with its arguments. Texts are constants of this
// package; everything that a caller sent is an argument.
type clause = query.Clause

// thisRun stands in conditions of runs for the column with the run's number.
const thisRun = "{run}"

// of puts a column for [thisRun]. What is known of a run without its row is
// looked at before the row is read.
func of(run string, c clause) clause {
	return query.Of(strings.ReplaceAll(c.SQL, thisRun, run), c.Args...)
}

var (
	always = query.Of("1 = 1")
	never  = query.Of("1 = 0")
)

// by names the index that SQLite has to take; PostgreSQL's planner knows its statistics.
func (t *tx) by(index string) string {
	if t.Dialect() == db.SQLite {
		return " INDEXED BY " + index
	}
	return ""
}

// then joins; in SQLite the left side is read first.
func (t *tx) then() string {
	if t.Dialect() == db.SQLite {
		return "CROSS JOIN"
	}
	return "JOIN"
}

// runOf joins the row of each run of a driver. PostgreSQL would rather read all
// runs than look a thousand up, which takes longer.
func (t *tx) runOf(column string) string {
	if t.Dialect() == db.Postgres {
		return " JOIN LATERAL (SELECT * FROM runs WHERE id = " + column + " OFFSET 0) r ON true"
	}
	return " CROSS JOIN runs r ON r.id = " + column
}

// metricCondition compares the value of a metric. NaN, which is stored as 0
// with a mark, differs from every number and is neither less nor greater.
func metricCondition(c filter.Comparison) clause {
	if c.Op == filter.Ne {
		return query.Of("(c.value <> ? OR c.nan = 1)", c.Number)
	}
	return query.Of("c.value "+string(c.Op)+" ? AND c.nan = 0", c.Number)
}

// has is "a row of a side table fits".
func has(not bool, text string, args ...any) clause {
	if not {
		return query.Of("NOT EXISTS("+text+")", args...)
	}
	return query.Of("EXISTS("+text+")", args...)
}

// tagCondition looks into a table of key and value.
func tagCondition(table, owner string, c filter.Comparison) clause {
	from := "SELECT 1 FROM " + table + " c WHERE c." + owner + " AND c.key = ?"
	if c.Op == filter.IsNull || c.Op == filter.IsNotNull {
		return has(c.Op == filter.IsNull, from, c.Key)
	}
	v := query.Text("c.value", c)
	return has(false, from+" AND "+v.SQL, append([]any{c.Key}, v.Args...)...)
}

// parse reads a filter and orders; their faults are the caller's.
func parse(l *filter.Language, text string, orderBy []string) ([]filter.Comparison, []filter.Order, error) {
	comparisons, err := l.Parse(text)
	if err != nil {
		return nil, nil, asInvalid(err)
	}
	var orders []filter.Order
	seen := map[filter.Order]bool{}
	for _, o := range orderBy {
		order, err := l.ParseOrder(o)
		if err != nil {
			return nil, nil, asInvalid(err)
		}
		id := filter.Order{Entity: order.Entity, Key: order.Key}
		if seen[id] {
			return nil, nil, model.Invalid("`order_by` contains duplicate fields: %s", strings.Join(orderBy, ", "))
		}
		seen[id] = true
		orders = append(orders, order)
	}
	return comparisons, orders, nil
}

func asInvalid(err error) error {
	var f *filter.Error
	if errors.As(err, &f) {
		return model.Invalid("%s", f.Message)
	}
	return err
}

func direction(desc bool) string {
	if desc {
		return " DESC"
	}
	return " ASC"
}

// stagesOf a view.
func stagesOf(v model.View) []int64 {
	switch v {
	case model.DeletedOnly:
		return []int64{1}
	case model.All:
		return []int64{0, 1}
	default:
		return []int64{0}
	}
}
