package query

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Column is something that a search can be ordered by, in SQL and of a row
// that was read: an int64 or a string, never null.
type Column[T any] struct {
	SQL   string
	Value func(*T) any
}

// By makes a column.
func By[T any](sql string, value func(*T) any) Column[T] { return Column[T]{sql, value} }

// sortKey is one column of an order.
type sortKey[T any] struct {
	Column[T]
	desc bool
}

// Order is one that no two rows share, so that a page continues behind its
// last row whatever was added or deleted meanwhile.
type Order[T any] []sortKey[T]

// OrderOf makes an order of what was asked for and of the last resort, which tells all rows apart.
func OrderOf[T any](orders []filter.Order, columns map[string]Column[T], last ...filter.Order) (s Order[T]) {
	for _, o := range append(append([]filter.Order{}, orders...), last...) {
		s = s.Then(columns[o.Key], o.Desc)
	}
	return s
}

// Then orders what is alike so far by a column, unless it did already.
func (s Order[T]) Then(c Column[T], desc bool) Order[T] {
	if slices.ContainsFunc(s, func(k sortKey[T]) bool { return k.SQL == c.SQL }) {
		return s
	}
	return append(s, sortKey[T]{c, desc})
}

// End of a query; its arguments are the number of rows and how many to leave out.
func (s Order[T]) End() string {
	var list []string
	for _, k := range s {
		list = append(list, k.SQL+map[bool]string{false: " ASC", true: " DESC"}[k.desc])
	}
	return " ORDER BY " + strings.Join(list, ", ") + " LIMIT ? OFFSET ?"
}

// Behind selects what lies behind the last row of the page before.
func (s Order[T]) Behind(t Token) (Clause, error) {
	if len(t.Last) == 0 {
		return All(), nil
	}
	values, err := s.values(t.Last)
	if err != nil {
		return Clause{}, err
	}
	var text strings.Builder
	var args []any
	for i, k := range s {
		op := " > ?"
		if k.desc {
			op = " < ?"
		}
		text.WriteString("(" + k.SQL + op)
		args = append(args, values[i])
		if i < len(s)-1 {
			text.WriteString(" OR " + k.SQL + " = ? AND ")
			args = append(args, values[i])
		}
	}
	text.WriteString(strings.Repeat(")", len(s)))
	return Clause{text.String(), args}, nil
}

// values reads what Page wrote; anyone may have written something else.
func (s Order[T]) values(last []json.RawMessage) ([]any, error) {
	bad := model.Invalid("Invalid page token: it does not name a row of this search.")
	if len(last) != len(s) {
		return nil, bad
	}
	var row T
	out := make([]any, len(s))
	for i, k := range s {
		d := json.NewDecoder(bytes.NewReader(last[i]))
		var err error
		switch k.Value(&row).(type) {
		case int64:
			var n int64
			err = d.Decode(&n)
			out[i] = n
		default:
			var text string
			err = d.Decode(&text)
			out[i] = text
			if strings.ContainsRune(text, 0) {
				return nil, bad
			}
		}
		if err != nil {
			return nil, bad
		}
	}
	return out, nil
}

// Page cuts a result that has one row more than asked for, and names the next page.
func (s Order[T]) Page(list []T, limit int, t Token) ([]T, string, error) {
	if len(list) <= limit {
		return list, "", nil
	}
	list = list[:limit]
	next := Token{Query: t.Query}
	for _, k := range s {
		b, err := json.Marshal(k.Value(&list[limit-1]))
		if err != nil {
			return nil, "", err
		}
		next.Last = append(next.Last, b)
	}
	return list, Encode(next), nil
}

// Cut is Page for rows that are all there, in any order: those of an order that no database knows.
func (s Order[T]) Cut(list []T, limit int, t Token) ([]T, string, error) {
	slices.SortFunc(list, func(a, b T) int {
		return s.compare(func(i int) (any, any) { return s[i].Value(&a), s[i].Value(&b) })
	})
	if len(t.Last) > 0 {
		last, err := s.values(t.Last)
		if err != nil {
			return nil, "", err
		}
		list = slices.DeleteFunc(list, func(v T) bool {
			return s.compare(func(i int) (any, any) { return s[i].Value(&v), last[i] }) <= 0
		})
	}
	list = list[min(t.Offset, len(list)):]
	return s.Page(list, limit, t)
}

// compare two rows by what they have in each column.
func (s Order[T]) compare(column func(int) (any, any)) int {
	for i, k := range s {
		x, y := column(i)
		c := 0
		switch x := x.(type) {
		case int64:
			n, _ := y.(int64)
			c = cmp.Compare(x, n)
		case string:
			text, _ := y.(string)
			c = cmp.Compare(x, text)
		}
		if k.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
