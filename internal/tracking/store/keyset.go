package store

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// column is something that a search can be ordered by, in SQL and of a row
// that was read: an int64 or a string, never null.
type column[T any] struct {
	sql   string
	value func(*T) any
}

// sortKey is one column of an order.
type sortKey[T any] struct {
	column[T]
	desc bool
}

// sorting is an order that no two rows share, so that a page continues behind
// its last row whatever was added or deleted meanwhile.
type sorting[T any] []sortKey[T]

// sorted makes an order of what was asked for and of the last resort, which tells all rows apart.
func sorted[T any](orders []filter.Order, columns map[string]column[T], last ...filter.Order) (s sorting[T]) {
	for _, o := range append(append([]filter.Order{}, orders...), last...) {
		if !s.has(columns[o.Key].sql) {
			s = append(s, sortKey[T]{columns[o.Key], o.Desc})
		}
	}
	return s
}

func (s sorting[T]) has(sql string) bool {
	for _, k := range s {
		if k.sql == sql {
			return true
		}
	}
	return false
}

// orderBy is the end of a query; its arguments are the number of rows and how many to leave out.
func (s sorting[T]) orderBy() string {
	var list []string
	for _, k := range s {
		list = append(list, k.sql+direction(k.desc))
	}
	return " ORDER BY " + strings.Join(list, ", ") + " LIMIT ? OFFSET ?"
}

// after selects what lies behind the last row of the page before.
func (s sorting[T]) after(t token) (clause, error) {
	if len(t.Last) == 0 {
		return always, nil
	}
	values, err := s.values(t.Last)
	if err != nil {
		return clause{}, err
	}
	var text strings.Builder
	var args []any
	for i, k := range s {
		op := " > ?"
		if k.desc {
			op = " < ?"
		}
		text.WriteString("(" + k.sql + op)
		args = append(args, values[i])
		if i < len(s)-1 {
			text.WriteString(" OR " + k.sql + " = ? AND ")
			args = append(args, values[i])
		}
	}
	text.WriteString(strings.Repeat(")", len(s)))
	return clause{text.String(), args}, nil
}

// values reads what page wrote; anyone may have written something else.
func (s sorting[T]) values(last []json.RawMessage) ([]any, error) {
	bad := model.Invalid("Invalid page token: it does not name a row of this search.")
	if len(last) != len(s) {
		return nil, bad
	}
	var row T
	out := make([]any, len(s))
	for i, k := range s {
		d := json.NewDecoder(bytes.NewReader(last[i]))
		var err error
		switch k.value(&row).(type) {
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

// page cuts a result that has one row more than asked for, and names the next page.
func (s sorting[T]) page(list []T, limit int, t token) ([]T, string, error) {
	if len(list) <= limit {
		return list, "", nil
	}
	list = list[:limit]
	next := token{Query: t.Query}
	for _, k := range s {
		b, err := json.Marshal(k.value(&list[limit-1]))
		if err != nil {
			return nil, "", err
		}
		next.Last = append(next.Last, b)
	}
	return list, next.encode(), nil
}
