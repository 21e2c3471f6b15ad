package store

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

// Log stores spans of any number of traces, all or none. It returns the traces
// whose root is among them.
func (s *Store) Log(ctx context.Context, namespace string, e model.Experiment, spans []span.Span) (roots []string, err error) {
	byTrace := map[string][]span.Span{}
	for _, sp := range spans {
		byTrace[sp.TraceID] = append(byTrace[sp.TraceID], sp)
		if sp.Parent == "" && !slices.Contains(roots, sp.TraceID) {
			roots = append(roots, sp.TraceID)
		}
	}
	batches := make([]batch, 0, len(byTrace))
	for _, id := range slices.Sorted(maps.Keys(byTrace)) { // the same order for all: no deadlocks
		b, err := newBatch(id, byTrace[id])
		if err != nil {
			return nil, err
		}
		batches = append(batches, b)
	}
	return roots, s.update(ctx, func(t *tx) error {
		for _, b := range batches {
			if err := t.log(namespace, e, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// batch is what a request says about one trace, prepared before the transaction.
type batch struct {
	trace   string
	rows    [][]any // columns of trace_spans but the first
	nodes   []span.Node
	summary span.Summary
}

const spanColumns = 16

func newBatch(trace string, list []span.Span) (batch, error) {
	b := batch{trace: trace, summary: span.Summarise(list)}
	last := map[string]int{} // a span that comes twice in a request: its last word counts
	for i := range list {
		last[list[i].ID] = i
	}
	for i := range list {
		s := &list[i]
		if last[s.ID] != i {
			continue
		}
		content, err := s.Content()
		if err != nil {
			return b, err
		}
		n := s.Node()
		usage, err := amountsText(n.Usage)
		if err != nil {
			return b, err
		}
		cost, err := amountsText(n.Cost)
		if err != nil {
			return b, err
		}
		var finish any
		if s.End != 0 {
			finish = s.End
		}
		row := []any{s.ID, null(s.Parent), s.Name, s.Type(), s.Status, s.Start, finish, null(s.Model()), null(s.Provider()), usage, cost}
		row = append(row, costs(n.Cost)...)
		b.rows, b.nodes = append(b.rows, append(row, content)), append(b.nodes, n)
	}
	return b, nil
}

func amountsText(a span.Amounts) (any, error) {
	if a == nil {
		return nil, nil
	}
	b, err := json.Marshal(a)
	return string(b), err
}

// known is what the database has of a trace before spans are added.
type known struct {
	row, ts, finalized         int64
	duration                   *int64
	state                      string
	request, response, session *string
	hasUsage, hasCost          int64 // 1: the client has told it
	isNew                      bool
}

func (t *tx) log(namespace string, e model.Experiment, b batch) error {
	k, err := t.known(namespace, e, b)
	if err != nil {
		return err
	}
	rows := make([][]any, len(b.rows))
	for i, r := range b.rows {
		rows[i] = append([]any{k.row}, r...)
	}
	if err := t.putSpans(rows); err != nil {
		return err
	}
	if err := t.updateTrace(k, b.summary); err != nil {
		return err
	}
	if err := t.updateTotals(k, b.nodes); err != nil {
		return err
	}
	tags := map[string]string{}
	maps.Copy(tags, b.summary.ResourceTags)
	maps.Copy(tags, b.summary.Tags) // what the sender said of the trace beats what is said of its program
	tags[TagSpansLocation] = InStore
	if k.isNew {
		tags[TagLocation] = Location(e, b.trace)
	}
	return t.put(k.row, tags, nil)
}

// putSpans writes rows of trace_spans, or over those with their ids.
func (t *tx) putSpans(rows [][]any) error {
	return t.insert("trace_spans(trace, span_id, parent, name, type, status, start, finish, model, provider, usage, cost, input_cost, output_cost, total_cost, content)",
		spanColumns, `ON CONFLICT(trace, span_id) DO UPDATE SET parent = excluded.parent, name = excluded.name, type = excluded.type, status = excluded.status,
			start = excluded.start, finish = excluded.finish, model = excluded.model, provider = excluded.provider, usage = excluded.usage, cost = excluded.cost,
			input_cost = excluded.input_cost, output_cost = excluded.output_cost, total_cost = excluded.total_cost, content = excluded.content`, rows)
}

// known finds the trace of spans, or begins it.
func (t *tx) known(namespace string, e model.Experiment, b batch) (k known, err error) {
	const columns = "SELECT id, ts, finalized, duration, state, request_preview, response_preview, session, CASE WHEN COALESCE(input_tokens, output_tokens, total_tokens) IS NULL THEN 0 ELSE 1 END, CASE WHEN COALESCE(input_cost, output_cost, total_cost) IS NULL THEN 0 ELSE 1 END FROM traces WHERE namespace = ? AND trace_id = ?"
	scan := func() error {
		return t.Row(columns, namespace, b.trace).Scan(&k.row, &k.ts, &k.finalized, &k.duration, &k.state, &k.request, &k.response, &k.session, &k.hasUsage, &k.hasCost)
	}
	if err := scan(); !db.IsNoRows(err) {
		return k, err
	}
	n, err := t.Exec("INSERT INTO traces(namespace, trace_id, exp, ts, state) VALUES(?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", namespace, b.trace, e.ID, b.summary.Start, InProgress)
	k.isNew = n > 0
	if err == nil {
		err = scan()
	}
	if err == nil && k.isNew {
		err = t.arrived(k.row, namespace, b.trace)
	}
	return k, err
}

// updateTrace brings what the trace says up to date with its spans. What the
// client itself has said stays.
func (t *tx) updateTrace(k known, s span.Summary) error {
	if k.finalized == 0 {
		end := s.End
		if k.duration != nil {
			end = max(end, k.ts+*k.duration)
		}
		k.ts = min(k.ts, s.Start)
		if end != 0 {
			d := max(0, end-k.ts)
			k.duration = &d
		}
	}
	if s.State != "" && (k.state == InProgress || k.state == Unspecified) {
		k.state = s.State
	}
	for _, f := range []struct {
		have **string
		new  string
	}{{&k.request, s.Request}, {&k.response, s.Response}, {&k.session, s.Session}} {
		if *f.have == nil && f.new != "" {
			*f.have = &f.new
		}
	}
	if _, err := t.Exec("UPDATE traces SET ts = ?, duration = ?, state = ?, request_preview = ?, response_preview = ?, session = ? WHERE id = ?",
		k.ts, k.duration, k.state, k.request, k.response, k.session, k.row); err != nil {
		return err
	}
	if s.User == "" {
		return nil
	}
	_, err := t.Exec("INSERT INTO trace_metadata(trace, key, value) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", k.row, metaUser, model.Cut(s.User, maxValue))
	return err
}

// updateTotals sums up usage and cost over all spans that have come so far:
// a span and the one that sums it up may come in different requests.
func (t *tx) updateTotals(k known, nodes []span.Node) error {
	wantsUsage := (k.finalized == 0 || k.hasUsage == 0) && slices.ContainsFunc(nodes, func(n span.Node) bool { return n.Usage != nil })
	wantsCost := (k.finalized == 0 || k.hasCost == 0) && slices.ContainsFunc(nodes, func(n span.Node) bool { return n.Cost != nil })
	if !wantsUsage && !wantsCost {
		return nil
	}
	if !k.isNew {
		var err error
		if nodes, err = t.nodes(k.row); err != nil {
			return err
		}
	}
	usage, cost := span.Totals(nodes)
	if wantsUsage {
		if _, err := t.Exec(setTokens, append(tokens(usage), k.row)...); err != nil {
			return err
		}
	}
	if wantsCost {
		if _, err := t.Exec(setCosts, append(costs(cost), k.row)...); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) nodes(row int64) (list []span.Node, err error) {
	err = t.Each(func(r db.Rows) error {
		var n span.Node
		var parent, usage, cost *string
		if err := r.Scan(&n.ID, &parent, &usage, &cost); err != nil {
			return err
		}
		n.Parent, n.Usage, n.Cost = text(parent), span.Tokens(text(usage)), span.Costs(text(cost))
		list = append(list, n)
		return nil
	}, "SELECT span_id, parent, usage, cost FROM trace_spans WHERE trace = ?", row)
	return list, err
}
