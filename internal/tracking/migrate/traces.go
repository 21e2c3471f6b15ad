package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// Metadata that MLflow keeps in columns of the trace since 3.17.
const (
	metaSession = "mlflow.trace.session"
	metaUsage   = "mlflow.trace.tokenUsage"
	metaCost    = "mlflow.trace.cost"
)

// tracePage is how many traces are read and written at once; their spans may be long.
const tracePage = 100

// Traces implements [Traced].
func (d *Database) Traces(ctx context.Context, fn func(traces.Whole) error) error {
	if !d.has("trace_info") {
		return nil
	}
	for from := ""; ; {
		list, err := d.tracesAfter(ctx, from)
		if err != nil || len(list) == 0 {
			return err
		}
		last := list[len(list)-1].ID
		if err := d.fillTraces(ctx, list, from, last); err != nil {
			return err
		}
		for _, w := range list {
			if err := fn(w); err != nil {
				return err
			}
		}
		from = last
	}
}

// maybe is a column of trace_info that came with a later revision.
func (d *Database) maybe(name string) string {
	if slices.Contains(d.columns["trace_info"], name) {
		return "t." + name
	}
	return "NULL"
}

func (d *Database) tracesAfter(ctx context.Context, from string) (list []traces.Whole, err error) {
	workspace := "'default'"
	if d.column("experiments", "workspace", "") != "" {
		workspace = "coalesce(e.workspace, 'default')"
	}
	columns := make([]string, 0, 13)
	for _, c := range slices.Concat([]string{"client_request_id", "request_preview", "response_preview", "trace_name", "session_id"}, usageColumns, costColumns) {
		columns = append(columns, d.maybe(c))
	}
	err = d.query(ctx, "SELECT t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, "+workspace+", "+strings.Join(columns, ", ")+
		" FROM trace_info t JOIN experiments e ON e.experiment_id = t.experiment_id WHERE t.request_id > ? ORDER BY t.request_id LIMIT ?", func(scan func(...any) error) error {
		w := traces.Whole{Info: traces.Info{Tags: map[string]string{}, Metadata: map[string]string{}}}
		var name, session *string
		usage, cost := make([]*int64, len(usageColumns)), make([]*float64, len(costColumns))
		into := []any{&w.ID, &w.Experiment, &w.Time, &w.Duration, &w.State, &w.Namespace, &w.ClientRequestID, &w.Request, &w.Response, &name, &session}
		for i := range usage {
			into = append(into, &usage[i])
		}
		for i := range cost {
			into = append(into, &cost[i])
		}
		if err := scan(into...); err != nil {
			return err
		}
		if !slices.Contains([]string{traces.OK, traces.Error, traces.InProgress}, w.State) {
			w.State = traces.Unspecified // other releases have other names for it
		}
		set(w.Tags, traces.TagName, name)
		set(w.Metadata, metaSession, session)
		list = append(list, w)
		return errors.Join(amounts(w.Metadata, metaUsage, usageColumns, usage), amounts(w.Metadata, metaCost, costColumns, cost))
	}, from, tracePage)
	return list, err
}

// Columns of usage and cost, as they are called in metadata too.
var (
	usageColumns = []string{"input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}
	costColumns  = []string{"input_cost", "output_cost", "total_cost"}
)

func set(m map[string]string, key string, value *string) {
	if value != nil {
		m[key] = *value
	}
}

// amounts writes columns as the metadata that they stand for.
func amounts[T int64 | float64](m map[string]string, key string, names []string, values []*T) error {
	all := map[string]T{}
	for i, v := range values {
		if v != nil {
			all[names[i]] = *v
		}
	}
	if len(all) == 0 {
		return nil
	}
	b, err := json.Marshal(all)
	m[key] = string(b)
	return err
}

// fillTraces reads what belongs to the traces whose ids are above from, up to last.
func (d *Database) fillTraces(ctx context.Context, list []traces.Whole, from, last string) error {
	byID := map[string]*traces.Whole{}
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	// of calls fn for the rows of a table that belong to one of the traces.
	of := func(table, id, columns, more string, fn func(w *traces.Whole, scan func(...any) error) error) error {
		if !d.has(table) {
			return nil
		}
		return d.query(ctx, "SELECT "+columns+", "+id+" FROM "+table+" WHERE "+id+" > ? AND "+id+" <= ?"+more, func(scan func(...any) error) error {
			// The id comes last: first the row is read into something of its own.
			var w traces.Whole
			if err := fn(&w, func(into ...any) error { return scan(append(into, &w.ID)...) }); err != nil {
				return fmt.Errorf("%s of trace %s: %w", table, w.ID, err)
			}
			if to := byID[w.ID]; to != nil {
				join(to, w)
			}
			return nil
		}, from, last)
	}
	return errors.Join(
		of("trace_tags", "request_id", "key, coalesce(value, '')", "", func(w *traces.Whole, scan func(...any) error) error {
			return pair(&w.Tags, scan)
		}),
		of("trace_request_metadata", "request_id", "key, coalesce(value, '')", "", func(w *traces.Whole, scan func(...any) error) error {
			return pair(&w.Metadata, scan)
		}),
		// Spans of a trace in MLflow's archive have no content here.
		of("spans", "trace_id", `span_id, coalesce(parent_span_id, ''), coalesce(name, ''), coalesce(type, 'UNKNOWN'), status, start_time_unix_nano, end_time_unix_nano, content`,
			" AND content <> '' ORDER BY trace_id, span_id", scanSpan),
		of("assessments", "trace_id", `assessment_id, name, assessment_type, value, coalesce(error, ''), created_timestamp, last_updated_timestamp, source_type,
			coalesce(source_id, ''), coalesce(span_id, ''), coalesce(rationale, ''), coalesce(overrides, ''), CASE WHEN valid THEN 1 ELSE 0 END, coalesce(assessment_metadata, '')`,
			"", scanAssessment),
		of("entity_associations", "source_id", "destination_type, destination_id", " AND source_type = 'trace' AND destination_type IN ('run', 'prompt_version')", scanLink),
	)
}

// join adds one row to the trace that it belongs to; columns of the trace beat rows.
func join(to *traces.Whole, w traces.Whole) {
	for k, v := range w.Tags {
		if _, ok := to.Tags[k]; !ok {
			to.Tags[k] = v
		}
	}
	for k, v := range w.Metadata {
		if _, ok := to.Metadata[k]; !ok {
			to.Metadata[k] = v
		}
	}
	to.Spans, to.Assessments = append(to.Spans, w.Spans...), append(to.Assessments, w.Assessments...)
	to.Runs, to.Prompts = append(to.Runs, w.Runs...), append(to.Prompts, w.Prompts...)
}

func pair(m *map[string]string, scan func(...any) error) error {
	var k, v string
	err := scan(&k, &v)
	*m = map[string]string{k: v}
	return err
}

func scanSpan(w *traces.Whole, scan func(...any) error) error {
	var s traces.StoredSpan
	err := scan(&s.ID, &s.Parent, &s.Name, &s.Type, &s.Status, &s.Start, &s.End, &s.Content)
	w.Spans = append(w.Spans, s)
	return err
}

func scanAssessment(w *traces.Whole, scan func(...any) error) error {
	var a traces.Assessment
	var valid int64
	var metadata string
	if err := scan(&a.ID, &a.Name, &a.Kind, &a.Value, &a.Error, &a.Created, &a.Updated, &a.SourceType, &a.SourceID, &a.SpanID, &a.Rationale, &a.Overrides, &valid, &metadata); err != nil {
		return err
	}
	a.Valid = valid == 1
	w.Assessments = append(w.Assessments, a)
	if metadata == "" {
		return nil
	}
	all := map[string]any{}
	if err := json.Unmarshal([]byte(metadata), &all); err != nil {
		return fmt.Errorf("metadata of assessment %s: %w", a.ID, err)
	}
	to := map[string]string{}
	for k, v := range all {
		if text, ok := v.(string); ok {
			to[k] = text
		} else if b, err := json.Marshal(v); err == nil { // it came from JSON
			to[k] = string(b)
		}
	}
	w.Assessments[0].Metadata = to
	return nil
}

func scanLink(w *traces.Whole, scan func(...any) error) error {
	var kind, id string
	err := scan(&kind, &id)
	if kind == "run" {
		w.Runs = []string{id}
	} else {
		w.Prompts = []string{id}
	}
	return err
}

// parseSpans reads the file traces.json; ok is false where its spans are in the form of MLflow 2, which only files keep.
func parseSpans(data []byte) (list []traces.StoredSpan, ok bool) {
	var file struct {
		Spans []json.RawMessage `json:"spans"`
	}
	if json.Unmarshal(data, &file) != nil {
		return nil, false
	}
	for _, content := range file.Spans {
		sp, err := traces.SpanOf(string(content))
		if err != nil {
			return nil, false
		}
		list = append(list, sp)
	}
	slices.SortFunc(list, func(a, b traces.StoredSpan) int { return strings.Compare(a.ID, b.ID) })
	return list, true
}

// takeSpans moves the spans of a file into the store.
func takeSpans(w *traces.Whole, data []byte) (ok bool) {
	if w.Spans, ok = parseSpans(data); ok {
		w.Tags[traces.TagSpansLocation] = traces.InStore
	}
	return ok
}

// allTraces brings traces in batches, each with its notes.
func (i *importer) allTraces(ctx context.Context) error {
	src, ok := i.Source.(Traced)
	if !ok || i.Traces == nil {
		return nil
	}
	var waiting []traces.Whole
	if err := src.Traces(ctx, func(w traces.Whole) error {
		if i.done[traceUnit(w)] {
			return nil
		}
		if err := i.traceFiles(ctx, &w); err != nil {
			return fmt.Errorf("artifacts of trace %s: %w", w.ID, err)
		}
		if waiting = append(waiting, w); len(waiting) < tracePage {
			return nil
		}
		err := i.writeTraces(ctx, waiting)
		waiting = nil
		return err
	}); err != nil {
		return err
	}
	return i.writeTraces(ctx, waiting)
}

// traceFiles brings the files of a trace and says where they lie now.
func (i *importer) traceFiles(ctx context.Context, w *traces.Whole) error {
	uri, folder := w.Tags[traces.TagLocation], fmt.Sprintf("%d/traces/%s/artifacts", w.Experiment, w.ID)
	if uri == "" {
		return nil
	}
	from := client.Folder{URI: uri}
	if i.Artifacts != nil && i.Artifacts.Server != nil {
		if _, ok := from.Proxied(); !ok {
			return i.spansFile(ctx, w, folder)
		}
	}
	w.Tags[traces.TagLocation] = i.Artifacts.address(uri, folder)
	var without []string
	if len(w.Spans) > 0 { // they are in the database, so nobody reads them from the file
		without = []string{path.Base(traceData)}
	}
	return i.Artifacts.bring(ctx, from, folder, &i.report.Artifacts, without...)
}

// spansFile brings the only file that a server gives out of a trace whose files
// lie where it does not list them. It is not needed where the spans have come.
func (i *importer) spansFile(ctx context.Context, w *traces.Whole, folder string) error {
	if w.Tags[traces.TagSpansLocation] == traces.InStore {
		return nil
	}
	data, err := i.Artifacts.Server.c.TraceData(ctx, w.ID)
	if noData(err) {
		i.report.Artifacts.Elsewhere++
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := i.Artifacts.Bucket.Create(ctx, path.Join(i.Artifacts.Prefix, folder, path.Base(traceData)), bytes.NewReader(data)); err != nil {
		return err
	}
	i.report.Artifacts.Copied++
	i.report.Artifacts.Bytes += int64(len(data))
	w.Tags[traces.TagLocation] = proxied + "/" + folder
	return nil
}

func (i *importer) writeTraces(ctx context.Context, list []traces.Whole) error {
	if len(list) == 0 {
		return nil
	}
	if err := i.Store.Import(ctx, func(in store.Import) error {
		for _, w := range list {
			if err := i.Traces.Import(in.Tx(), w); errors.Is(err, traces.ErrTaken) {
				return fmt.Errorf("trace %s %w: a trace of another experiment", w.ID, store.ErrTaken)
			} else if err != nil {
				return fmt.Errorf("trace %s: %w", w.ID, err)
			}
			if err := i.note(in, traceUnit(w)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	i.traced += int64(len(list))
	i.told()
	return nil
}

func traceUnit(w traces.Whole) string { return "trace " + w.Namespace + "/" + w.ID }

// trace counts a trace. Where its files lie is not compared, as with runs.
func (s side) trace(w traces.Whole) {
	plain := func(m map[string]string, without ...string) (list []model.Pair) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !slices.Contains(without, k) {
				list = append(list, model.Pair{Key: k, Value: m[k]})
			}
		}
		return list
	}
	slices.Sort(w.Runs)
	slices.Sort(w.Prompts)
	s["traces"].add(w.Namespace, w.ID, w.Experiment, w.Time, value(w.Duration), w.State, value(w.ClientRequestID), value(w.Request), value(w.Response),
		plain(w.Tags, traces.TagLocation), plain(w.Metadata, metaUsage, metaCost), traces.Totals(w.Metadata), w.Runs, w.Prompts)
	for _, sp := range w.Spans {
		s["spans"].add(w.Namespace, w.ID, sp.ID, sp.Parent, sp.Name, sp.Type, sp.Status, sp.Start, value(sp.End), sp.Content)
	}
	for _, a := range w.Assessments {
		s["assessments"].add(w.Namespace, w.ID, a.ID, a.Name, a.Kind, canonical(a.Value), canonical(a.Error), a.Created, a.Updated, a.SourceType, a.SourceID, a.SpanID, a.Rationale,
			a.Overrides, a.Valid, plain(a.Metadata))
	}
}

// canonical JSON is the same for the same values: on its way through protocol buffers 3 becomes 3.0.
func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(b)
}

// value of what may be unknown, which is not the same as empty.
func value[T any](v *T) []T {
	if v == nil {
		return nil
	}
	return []T{*v}
}

func takeTraces(ctx context.Context, src Source, s side, o *only, note bool) error {
	t, ok := src.(Traced)
	if !ok {
		return nil
	}
	return t.Traces(ctx, func(w traces.Whole) error {
		id := traceUnit(w)
		if note {
			o.traces[id] = true
		}
		if o.traces[id] {
			s.trace(w)
		}
		return nil
	})
}
