package store

import (
	"context"
	"errors"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

// Whole is a trace with all that belongs to it, as it moves from one database
// to another.
type Whole struct {
	Namespace string
	Info
	Spans []StoredSpan
	// Runs and Prompts are what the trace was linked to.
	Runs, Prompts []string
}

// StoredSpan is a span with its content and what is searched for.
type StoredSpan struct {
	ID, Parent, Name, Type, Status string
	Start                          int64
	End                            *int64
	Content                        string
}

// SpanOf reads the content of a span; see [span.ParseHead].
func SpanOf(content string) (StoredSpan, error) {
	h, err := span.ParseHead(content)
	return StoredSpan{h.ID, h.Parent, h.Name, h.Type, h.Status, h.Start, h.End, content}, err
}

// ErrTaken is a trace whose id another one has here.
var ErrTaken = errors.New("a trace with this id belongs to another experiment here")

// Import writes a trace of another database in a transaction of the caller.
func (s *Store) Import(in *db.Tx, w Whole) error {
	t := &tx{in, s}
	finalized := 0
	if _, ok := w.Metadata[metaFinalized]; ok {
		finalized = 1
	}
	var row int64
	if err := t.Row(`INSERT INTO traces(namespace, trace_id, exp, ts, duration, state, client_request_id, request_preview, response_preview, finalized)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(namespace, trace_id) DO UPDATE SET exp = excluded.exp, ts = excluded.ts, duration = excluded.duration,
			state = excluded.state, client_request_id = excluded.client_request_id, request_preview = excluded.request_preview,
			response_preview = excluded.response_preview, finalized = excluded.finalized WHERE traces.exp = excluded.exp RETURNING id`,
		w.Namespace, w.ID, w.Experiment, w.Time, w.Duration, w.State, w.ClientRequestID, w.Request, w.Response, finalized).Scan(&row); db.IsNoRows(err) {
		return ErrTaken
	} else if err != nil {
		return err
	}
	if err := t.put(row, w.Tags, w.Metadata); err != nil {
		return err
	}
	rows := make([][]any, len(w.Spans))
	for i, sp := range w.Spans {
		var err error
		if rows[i], err = sp.row(row); err != nil {
			return err
		}
	}
	if err := t.putSpans(rows); err != nil {
		return err
	}
	for _, a := range w.Assessments {
		if err := t.putAssessment(row, a); err != nil {
			return err
		}
	}
	var links [][]any
	for _, run := range w.Runs {
		links = append(links, []any{row, "run", run})
	}
	for _, prompt := range w.Prompts {
		links = append(links, []any{row, "prompt", prompt})
	}
	return t.insert("trace_links(trace, kind, target)", 3, "ON CONFLICT DO NOTHING", links)
}

// row is what trace_spans has of a span.
func (sp StoredSpan) row(trace int64) ([]any, error) {
	d := span.DimensionsOf(sp.Content)
	usage, err := amountsText(d.Usage)
	if err != nil {
		return nil, err
	}
	cost, err := amountsText(d.Cost)
	if err != nil {
		return nil, err
	}
	row := []any{trace, sp.ID, null(sp.Parent), sp.Name, sp.Type, sp.Status, sp.Start, sp.End, null(d.Model), null(d.Provider), usage, cost}
	return append(append(row, costs(d.Cost)...), sp.Content), nil
}

// dumpPage is how many traces are read at once; their spans may be long.
const dumpPage = 100

// Each calls fn for every trace of all namespaces.
func (s *Store) Each(ctx context.Context, fn func(Whole) error) error {
	for from := int64(0); ; {
		var list []Whole
		if err := s.view(ctx, func(t *tx) (err error) {
			list, err = t.wholes(from)
			return err
		}); err != nil {
			return err
		}
		for _, w := range list {
			if err := fn(w); err != nil {
				return err
			}
			from = w.Row
		}
		if len(list) < dumpPage {
			return nil
		}
	}
}

// wholes reads a page of traces.
func (t *tx) wholes(from int64) (list []Whole, err error) {
	var rows []int64
	namespaces := map[int64]string{}
	if err := t.Each(func(r db.Rows) error {
		var row int64
		var namespace string
		err := r.Scan(&row, &namespace)
		rows, namespaces[row] = append(rows, row), namespace
		return err
	}, "SELECT id, namespace FROM traces WHERE id > ? ORDER BY id LIMIT ?", from, dumpPage); err != nil || len(rows) == 0 {
		return nil, err
	}
	infos, err := t.infos(query.Of("t.id IN (??) ORDER BY t.id", rows))
	if err != nil {
		return nil, err
	}
	byRow := map[int64]*Whole{}
	list = make([]Whole, len(infos))
	for i, info := range infos {
		list[i] = Whole{Namespace: namespaces[info.Row], Info: info}
		byRow[info.Row] = &list[i]
	}
	if err := t.Each(func(r db.Rows) error {
		var row int64
		var parent *string
		var sp StoredSpan
		err := r.Scan(&row, &sp.ID, &parent, &sp.Name, &sp.Type, &sp.Status, &sp.Start, &sp.End, &sp.Content)
		sp.Parent = text(parent)
		byRow[row].Spans = append(byRow[row].Spans, sp)
		return err
	}, "SELECT trace, span_id, parent, name, type, status, start, finish, content FROM trace_spans WHERE trace IN (??) ORDER BY trace, span_id", rows); err != nil {
		return nil, err
	}
	return list, t.Each(func(r db.Rows) error {
		var row int64
		var kind, target string
		err := r.Scan(&row, &kind, &target)
		if kind == "run" {
			byRow[row].Runs = append(byRow[row].Runs, target)
		} else {
			byRow[row].Prompts = append(byRow[row].Prompts, target)
		}
		return err
	}, "SELECT trace, kind, target FROM trace_links WHERE trace IN (??) ORDER BY trace, kind, target", rows)
}

// Totals are usage and cost in metadata as the columns of a trace keep them.
func Totals(metadata map[string]string) []any {
	return append(tokens(span.Tokens(metadata[metaUsage])), costs(span.Costs(metadata[metaCost]))...)
}
