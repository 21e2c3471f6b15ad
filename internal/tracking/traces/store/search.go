package store

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// Query is a search.
type Query struct {
	Experiments []int64
	Filter      string
	OrderBy     []string
	Max         int
	Token       string
}

// Search finds traces, the newest first unless ordered otherwise, and the
// token of the next page.
func (s *Store) Search(ctx context.Context, namespace string, q Query) (list []Info, next string, err error) {
	comparisons, err := parse(q.Filter)
	if err != nil {
		return nil, "", err
	}
	orders, err := parseOrders(q.OrderBy)
	if err != nil {
		return nil, "", err
	}
	hash := query.Hash(append([]string{namespace, q.Filter, strings.Join(q.OrderBy, "\x01")}, ids(q.Experiments)...)...)
	after, err := parseToken(q.Token, hash, orders)
	if err != nil || len(q.Experiments) == 0 {
		return nil, "", err
	}
	err = s.view(ctx, func(t *tx) error {
		list, next = nil, ""
		conds, err := t.conditionsOf(comparisons)
		if err != nil {
			return err
		}
		w := walk{tx: t, conds: conds, orders: orders, after: after}
		w.scope(namespace, q.Experiments)
		found, err := w.take(q.Max + 1)
		if err != nil {
			return err
		}
		if len(found) > q.Max {
			found = found[:q.Max]
			next = token{hash, found[q.Max-1].values}.encode()
		}
		list, err = t.inOrder(found)
		return err
	})
	return list, next, err
}

func ids(list []int64) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = strconv.FormatInt(n, 10)
	}
	return out
}

// inOrder reads the traces that a walk found.
func (t *tx) inOrder(found []hit) ([]Info, error) {
	byRow := map[int64]Info{}
	for from := 0; from < len(found); from += chunk {
		part := found[from:min(from+chunk, len(found))]
		rows := make([]int64, len(part))
		for i, h := range part {
			rows[i] = h.row
		}
		list, err := t.infos(query.Of("t.id IN (??)", rows))
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			byRow[i.Row] = i
		}
	}
	var list []Info
	for _, h := range found {
		list = append(list, byRow[h.row])
	}
	return list, nil
}

// term is a part of an order.
type term struct {
	clause
	desc, nullable bool
	// numeric says how the values look in a token.
	numeric bool
}

func parseOrders(list []string) (terms []term, err error) {
	seen := map[filter.Order]bool{}
	for _, text := range list {
		o, err := language.ParseOrder(text)
		if err != nil {
			return nil, asInvalid(err)
		}
		t, err := orderTerm(o)
		if err != nil {
			return nil, err
		}
		id := filter.Order{Entity: o.Entity, Key: o.Key}
		if seen[id] {
			return nil, model.Invalid("`order_by` contains duplicate fields: %s", strings.Join(list, ", "))
		}
		seen[id] = true
		terms = append(terms, t)
	}
	for _, last := range []struct {
		key string
		term
	}{
		{attrTime, term{clause: query.Of("t.ts"), desc: true, numeric: true}},
		{attrID, term{clause: query.Of("t.trace_id")}},
	} {
		if !seen[filter.Order{Entity: filter.Attribute, Key: last.key}] {
			terms = append(terms, last.term)
		}
	}
	return terms, nil
}

func orderTerm(o filter.Order) (term, error) {
	t := term{desc: o.Desc, nullable: true}
	pair := func(table, key string) clause {
		return query.Of("(SELECT c.value FROM "+table+" c WHERE c.trace = t.id AND c.key = ?)", key)
	}
	switch {
	case o.Entity == filter.Metadata && (o.Key == metaUsage || o.Key == metaCost):
		return t, model.Invalid("Ordering by reserved metadata '%s' is not supported because it is represented by multiple columns.", o.Key)
	case o.Entity == filter.Attribute && o.Key == attrName, o.Entity == filter.Tag && o.Key == TagName:
		t.clause = query.Of("t.name")
	case o.Entity == filter.Metadata && o.Key == metaSession:
		t.clause = query.Of("t.session")
	case o.Entity == filter.Attribute && o.Key == attrRun:
		t.clause = pair("trace_metadata", MetaRun)
	case o.Entity == filter.Tag:
		t.clause = pair("trace_tags", o.Key)
	case o.Entity == filter.Metadata:
		t.clause = pair("trace_metadata", o.Key)
	case o.Key == attrDuration:
		t.clause, t.numeric = query.Of("t.duration"), true
	default:
		t.nullable = false
		switch o.Key {
		case attrStatus, attrID:
			t.clause = query.Of(textColumns[o.Key])
		case attrExp:
			t.clause, t.numeric = query.Of("t.exp"), true
		default:
			t.clause, t.numeric = query.Of(numberColumns[o.Key]), true
		}
	}
	return t, nil
}

// hit is a trace that a walk found, with the values that it is ordered by.
type hit struct {
	row    int64
	values []any // int64, string or nil
}

// walk goes through traces in an order, in chunks as long as checks in Go may
// leave some out.
type walk struct {
	*tx
	conds  conditions
	orders []term
	after  []any
}

func (w *walk) scope(namespace string, experiments []int64) {
	w.conds.sql = append(w.conds.sql, inExperiments(namespace, experiments))
}

// inExperiments is a condition: the trace belongs to one of them. That of one
// alone is written so that an index gives its traces in order.
func inExperiments(namespace string, list []int64) clause {
	if len(list) == 1 {
		return query.Of("t.namespace = ? AND t.exp = ?", namespace, list[0])
	}
	return query.Of("t.namespace = ? AND t.exp IN (??)", namespace, list)
}

// take finds the next n traces.
func (w *walk) take(n int) (found []hit, err error) {
	size := n
	if len(w.conds.checks) > 0 {
		size = chunk
	}
	for {
		part, err := w.page(size)
		if err != nil {
			return nil, err
		}
		if len(part) > 0 {
			w.after = part[len(part)-1].values
		}
		whole := len(part) == size
		if part, err = w.filter(part); err != nil {
			return nil, err
		}
		found = append(found, part...)
		if !whole || len(found) >= n {
			return found[:min(n, len(found))], nil
		}
	}
}

// filter leaves out what the checks do not let through.
func (w *walk) filter(list []hit) ([]hit, error) {
	for _, c := range w.conds.checks {
		if len(list) == 0 {
			return nil, nil
		}
		rows := make([]int64, len(list))
		for i, h := range list {
			rows[i] = h.row
		}
		keep, err := c(w.tx, rows)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(h hit) bool { return !keep[h.row] })
	}
	return list, nil
}

// query finds up to n traces behind w.after: their numbers and what they are ordered by.
func (w *walk) query(n int) clause {
	var columns, order []string
	var args []any
	for i, o := range w.orders {
		alias := "o" + strconv.Itoa(i)
		columns = append(columns, o.SQL+" AS "+alias)
		args = append(args, o.Args...)
		if o.nullable {
			order = append(order, "CASE WHEN q."+alias+" IS NULL THEN 1 ELSE 0 END")
		}
		dir := ""
		if o.desc {
			dir = " DESC"
		}
		order = append(order, "q."+alias+dir)
	}
	where := query.All(w.conds.sql...)
	args = append(args, where.Args...)
	behind := w.behind()
	sql := "SELECT * FROM (SELECT t.id AS found, " + strings.Join(columns, ", ") + " FROM traces t WHERE " + where.SQL + ") q WHERE " + behind.SQL + " ORDER BY " + strings.Join(order, ", ") + " LIMIT ?"
	return query.Of(sql, append(append(args, behind.Args...), n)...)
}

// page reads what query finds.
func (w *walk) page(n int) (list []hit, err error) {
	query := w.query(n)
	err = w.Each(func(r db.Rows) error {
		h := hit{values: make([]any, len(w.orders))}
		dest := []any{&h.row}
		for i, o := range w.orders {
			if o.numeric {
				v := new(*int64)
				dest, h.values[i] = append(dest, v), v
			} else {
				v := new(*string)
				dest, h.values[i] = append(dest, v), v
			}
		}
		if err := r.Scan(dest...); err != nil {
			return err
		}
		for i, v := range h.values {
			switch p := v.(type) {
			case **int64:
				h.values[i] = plain(*p)
			case **string:
				h.values[i] = plain(*p)
			}
		}
		list = append(list, h)
		return nil
	}, query.SQL, query.Args...)
	return list, err
}

// behind is the condition of what follows w.after. That of the default order
// is written so that a database begins to read at the place.
func (w *walk) behind() clause {
	if w.after == nil {
		return query.Of("1 = 1")
	}
	if len(w.orders) == 2 && w.orders[0].desc && w.orders[0].SQL == "t.ts" && w.orders[1].SQL == "t.trace_id" {
		return query.Of("q.o0 <= ? AND NOT (q.o0 = ? AND q.o1 <= ?)", w.after[0], w.after[0], w.after[1])
	}
	var out clause
	var same []clause // what comes before a term is the same
	for i, o := range w.orders {
		column, value := "q.o"+strconv.Itoa(i), w.after[i]
		isNull := value == nil
		var later clause
		switch op := map[bool]string{true: " < ?", false: " > ?"}[o.desc]; {
		case isNull: // nothing comes after NULL
			later = query.Of("1 = 0")
		case o.nullable:
			later = query.Of(column+op+" OR "+column+" IS NULL", value)
		default:
			later = query.Of(column+op, value)
		}
		both := query.All(append(slices.Clone(same), later)...)
		if out.SQL != "" {
			out.SQL += " OR "
		}
		out.SQL += "(" + both.SQL + ")"
		out.Args = append(out.Args, both.Args...)
		if isNull {
			same = append(same, query.Of(column+" IS NULL"))
		} else {
			same = append(same, query.Of(column+" = ?", value))
		}
	}
	return query.Of("("+out.SQL+")", out.Args...)
}

func plain[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// token is the last trace of a page. Clients pass it on without reading it.
type token struct {
	// Query is a hash of what was asked: a token of one search is no good for another.
	Query  string `json:"q"`
	Values []any  `json:"v"`
}

func (t token) encode() string { return query.Encode(t) }

// parseToken gives the values behind which to go on.
func parseToken(s, hash string, orders []term) ([]any, error) {
	if s == "" {
		return nil, nil
	}
	var t token
	if err := query.Decode(s, &t); err != nil {
		return nil, err
	}
	if t.Query != hash || len(t.Values) != len(orders) {
		return nil, model.Invalid("Invalid page token: it does not belong to this search. Send the filter, order_by and experiments of the first page with it.")
	}
	for i, v := range t.Values {
		switch n := v.(type) {
		case json.Number:
			whole, err := n.Int64()
			if err != nil || !orders[i].numeric {
				return nil, model.Invalid("Invalid page token")
			}
			t.Values[i] = whole
		case string:
			if orders[i].numeric {
				return nil, model.Invalid("Invalid page token")
			}
		case nil:
			if !orders[i].nullable {
				return nil, model.Invalid("Invalid page token")
			}
		default:
			return nil, model.Invalid("Invalid page token")
		}
	}
	return t.Values, nil
}
