package store

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

// Limits, in characters.
const (
	maxKey     = 250
	maxValue   = 8000
	maxName    = 4096
	maxSession = 250
	maxPreview = 10_000
)

var traceID = regexp.MustCompile(`^[a-zA-Z0-9][\w\-]{0,249}$`)

// expected is how many spans the client has said there are.
func expected(i Info) int {
	var s struct {
		Spans float64 `json:"num_spans"`
	}
	if json.Unmarshal([]byte(i.Metadata[metaSizes]), &s) != nil || s.Spans < 0 || s.Spans > math.MaxInt32 {
		return 0
	}
	return int(s.Spans)
}

// Start stores what a client says about a whole trace. Spans may have come
// before; what the client says now counts.
func (s *Store) Start(ctx context.Context, namespace string, e model.Experiment, i Info) (out Info, err error) {
	if err := check(&i); err != nil {
		return out, err
	}
	for n := range i.Assessments {
		if err := i.Assessments[n].check(); err != nil {
			return out, err
		}
	}
	err = s.update(ctx, func(t *tx) (err error) {
		out, err = t.start(namespace, e, i)
		return err
	})
	return out, err
}

func (t *tx) start(namespace string, e model.Experiment, i Info) (out Info, err error) {
	var row int64
	err = t.Row(`INSERT INTO traces(namespace, trace_id, exp, ts, duration, state, client_request_id, request_preview, response_preview, finalized)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
		ON CONFLICT(namespace, trace_id) DO UPDATE SET exp = excluded.exp, ts = excluded.ts, duration = excluded.duration, state = excluded.state,
			client_request_id = excluded.client_request_id, finalized = 1,
			request_preview = COALESCE(excluded.request_preview, traces.request_preview),
			response_preview = COALESCE(excluded.response_preview, traces.response_preview)
		RETURNING id`,
		namespace, i.ID, e.ID, i.Time, i.Duration, i.State, i.ClientRequestID, i.Request, i.Response).Scan(&row)
	if err != nil {
		return out, err
	}
	if err := t.arrived(row, namespace, i.ID); err != nil {
		return out, err
	}
	tags := maps.Clone(i.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[TagLocation] = Location(e, i.ID)
	if err := t.put(row, tags, i.Metadata); err != nil {
		return out, err
	}
	for _, a := range i.Assessments {
		if err := t.putAssessment(row, a); err != nil {
			return out, err
		}
	}
	return t.info(namespace, i.ID)
}

// Location is where clients keep files of a trace.
func Location(e model.Experiment, id string) string {
	return e.ArtifactLocation + "/traces/" + id + "/artifacts"
}

// check validates a trace and cuts what is too long.
func check(i *Info) error {
	if !traceID.MatchString(i.ID) {
		return model.Invalid("Invalid trace ID '%s': it must begin with a letter or digit, may contain letters, digits, _ and -, and have at most 250 characters.", model.Cut(i.ID, 300))
	}
	if i.Time < 0 || i.Duration != nil && *i.Duration < 0 {
		return model.Invalid("Invalid times of trace '%s': request_time and execution_duration must not be negative.", i.ID)
	}
	for _, p := range []*string{i.Request, i.Response} {
		if p != nil {
			*p = model.Cut(*p, maxPreview)
		}
	}
	if i.ClientRequestID != nil {
		if err := tooLong("client_request_id", *i.ClientRequestID, maxKey); err != nil {
			return err
		}
	}
	return checkPairs(i.Tags, i.Metadata)
}

func checkPairs(tags, metadata map[string]string) error {
	for _, m := range []map[string]string{tags, metadata} {
		for k, v := range m {
			if err := tooLong("key", k, maxKey); err != nil {
				return err
			}
			m[k] = model.Cut(v, maxValue)
		}
	}
	if err := tooLong("Session ID", metadata[metaSession], maxSession); err != nil {
		return err
	}
	return tooLong("Trace name", tags[TagName], maxName)
}

func tooLong(what, value string, limit int) error {
	if model.Cut(value, limit) != value {
		return model.Invalid("'%s' exceeds the maximum length of %d characters", what, limit)
	}
	return nil
}

const (
	upsertPair = "ON CONFLICT(trace, key) DO UPDATE SET value = excluded.value"
	setTokens  = `UPDATE traces SET input_tokens = ?, output_tokens = ?, total_tokens = ?, cache_read_input_tokens = ?, cache_creation_input_tokens = ? WHERE id = ?`
	setCosts   = `UPDATE traces SET input_cost = ?, output_cost = ?, total_cost = ? WHERE id = ?`
)

// put writes tags and metadata. Those that are searched and summed up by value
// are columns of the trace.
func (t *tx) put(row int64, tags, metadata map[string]string) error {
	var rows [][]any
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if k == TagName {
			if _, err := t.Exec("UPDATE traces SET name = ? WHERE id = ?", tags[k], row); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []any{row, k, tags[k]})
	}
	if err := t.insert("trace_tags(trace, key, value)", 3, upsertPair, rows); err != nil {
		return err
	}
	rows = nil
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		v := metadata[k]
		var err error
		switch k {
		case metaSession:
			_, err = t.Exec("UPDATE traces SET session = ? WHERE id = ?", v, row)
		case metaUsage:
			_, err = t.Exec(setTokens, append(tokens(span.Tokens(v)), row)...)
		case metaCost:
			_, err = t.Exec(setCosts, append(costs(span.Costs(v)), row)...)
		case metaFinalized:
		default:
			rows = append(rows, []any{row, k, v})
		}
		if err != nil {
			return err
		}
	}
	return t.insert("trace_metadata(trace, key, value)", 3, upsertPair, rows)
}

// tokens are the columns of token counts; what is no whole number is NULL.
func tokens(a span.Amounts) []any {
	out := make([]any, len(span.TokenNames))
	for i, name := range span.TokenNames {
		if v, ok := a[name]; ok && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			out[i] = int64(v)
		}
	}
	return out
}

func costs(a span.Amounts) []any {
	out := make([]any, len(span.CostNames))
	for i, name := range span.CostNames {
		if v, ok := a[name]; ok {
			out[i] = v
		}
	}
	return out
}

// StartOld begins a trace of the API's version 2, whose id the server makes.
func (s *Store) StartOld(ctx context.Context, namespace string, e model.Experiment, i Info) (out Info, err error) {
	i.ID, i.State = s.o.NewID(), InProgress
	if err := check(&i); err != nil {
		return out, err
	}
	err = s.update(ctx, func(t *tx) error {
		var row int64
		err := t.Row("INSERT INTO traces(namespace, trace_id, exp, ts, state) VALUES(?, ?, ?, ?, ?) RETURNING id", namespace, i.ID, e.ID, i.Time, i.State).Scan(&row)
		if err != nil {
			return err
		}
		tags := map[string]string{TagLocation: Location(e, i.ID)}
		maps.Copy(tags, i.Tags)
		if err := t.put(row, tags, i.Metadata); err != nil {
			return err
		}
		out, err = t.info(namespace, i.ID)
		return err
	})
	return out, err
}

// EndOld ends a trace of the API's version 2.
func (s *Store) EndOld(ctx context.Context, namespace, id string, at int64, state string, tags, metadata map[string]string) (out Info, err error) {
	if err := checkPairs(tags, metadata); err != nil {
		return out, err
	}
	err = s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, id)
		if err != nil {
			return err
		}
		if _, err := t.Exec("UPDATE traces SET duration = ? - ts, state = ? WHERE id = ?", at, state, row); err != nil {
			return err
		}
		if err := t.put(row, tags, metadata); err != nil {
			return err
		}
		out, err = t.info(namespace, id)
		return err
	})
	return out, err
}

// systemTags say where spans lie; nobody changes them from outside.
var systemTags = []string{TagSpansLocation, "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"}

// SetTag sets a tag.
func (s *Store) SetTag(ctx context.Context, namespace, id string, tag model.Pair) error {
	if slices.Contains(systemTags, tag.Key) {
		return model.Invalid("Tag '%s' is immutable and cannot be set on a trace.", tag.Key)
	}
	if err := model.CheckTraceTag(&tag); err != nil {
		return err
	}
	pairs := map[string]string{tag.Key: tag.Value}
	if err := checkPairs(pairs, nil); err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, id)
		if err != nil {
			return err
		}
		return t.put(row, pairs, nil)
	})
}

// DeleteTag deletes a tag.
func (s *Store) DeleteTag(ctx context.Context, namespace, id, key string) error {
	if slices.Contains(systemTags[:2], key) {
		return model.Invalid("Tag '%s' is immutable and cannot be deleted on a trace.", key)
	}
	return s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, id)
		if err != nil {
			return err
		}
		var n int64
		if key == TagName {
			n, err = t.Exec("UPDATE traces SET name = NULL WHERE id = ? AND name IS NOT NULL", row)
		} else {
			n, err = t.Exec("DELETE FROM trace_tags WHERE trace = ? AND key = ?", row, key)
		}
		if err == nil && n == 0 {
			return model.Missing("No trace tag with key '%s' for trace with ID '%s'", key, id)
		}
		return err
	})
}

// LinkRun lets traces belong to a run; those that have not come yet, once they come.
func (s *Store) LinkRun(ctx context.Context, namespace string, ids []string, run string) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !traceID.MatchString(id) }) // those will never come
	slices.Sort(ids)                                                                                     // the same order for all: no deadlocks
	return s.update(ctx, func(t *tx) error {
		for _, id := range ids {
			if err := t.linkRun(namespace, id, run); err != nil {
				return err
			}
		}
		_, err := t.Exec("DELETE FROM trace_links_ahead WHERE created < ?", s.now()-aheadFor.Milliseconds())
		return err
	})
}

func (t *tx) linkRun(namespace, id, run string) error {
	row, err := t.row(namespace, id)
	if model.IsMissing(err) {
		if row, err = t.absent(namespace, id); err == nil && row == 0 {
			_, err = t.Exec("INSERT INTO trace_links_ahead(namespace, trace_id, run, created) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING", namespace, id, run, t.s.now())
			return err
		}
	}
	if err == nil {
		_, err = t.Exec("INSERT INTO trace_links(trace, kind, target) VALUES(?, 'run', ?) ON CONFLICT DO NOTHING", row, run)
	}
	return err
}

// absent makes sure that a trace which was not found has not come, and does not
// until the update ends: otherwise another copy of the program could begin it
// without seeing what waits for it. For that it takes the trace's place in the
// unique index and gives it up again: one side waits there for the other. An
// advisory lock for each trace would also do, but the server's memory for those
// is small. If the trace has come meanwhile, this is its row.
func (t *tx) absent(namespace, id string) (row int64, err error) {
	if t.Dialect() != db.Postgres {
		return 0, nil // there is one writer
	}
	n, err := t.Exec("INSERT INTO traces(namespace, trace_id, exp, ts, state) VALUES(?, ?, 0, 0, ?) ON CONFLICT DO NOTHING", namespace, id, Unspecified)
	if err != nil {
		return 0, err
	}
	if n > 0 {
		return 0, t.Later("DELETE FROM traces WHERE namespace = ? AND trace_id = ?", namespace, id)
	}
	row, err = t.row(namespace, id)
	if model.IsMissing(err) {
		return 0, nil // and has been deleted
	}
	return row, err
}

// aheadFor is how long a link waits for its trace.
const aheadFor = 7 * 24 * time.Hour

// arrived gives a new trace the links that came before it.
func (t *tx) arrived(row int64, namespace, id string) error {
	n, err := t.Exec("INSERT INTO trace_links(trace, kind, target) SELECT CAST(? AS BIGINT), 'run', run FROM trace_links_ahead WHERE namespace = ? AND trace_id = ? ON CONFLICT DO NOTHING", row, namespace, id)
	if err != nil || n == 0 {
		return err
	}
	_, err = t.Exec("DELETE FROM trace_links_ahead WHERE namespace = ? AND trace_id = ?", namespace, id)
	return err
}

// LinkPrompts notes which versions of prompts (name/version) a trace used.
func (s *Store) LinkPrompts(ctx context.Context, namespace, id string, versions []string) error {
	return s.update(ctx, func(t *tx) error {
		row, err := t.row(namespace, id)
		if err != nil {
			return err
		}
		rows := make([][]any, len(versions))
		for i, v := range versions {
			rows[i] = []any{row, "prompt", v}
		}
		return t.insert("trace_links(trace, kind, target)", 3, "ON CONFLICT DO NOTHING", rows)
	})
}

// Selection says which traces of an experiment to delete.
type Selection struct {
	IDs []string
	// Before selects by time: those that began then or earlier, the oldest first.
	Before *int64
	Max    *int64
}

func (s Selection) check() error {
	switch {
	case s.Before == nil && len(s.IDs) == 0:
		return model.Invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.")
	case s.Before != nil && len(s.IDs) > 0:
		return model.Invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
	case len(s.IDs) > 0 && s.Max != nil:
		return model.Invalid("`max_traces` can't be specified if `trace_ids` is specified.")
	case s.Max != nil && *s.Max <= 0:
		return model.Invalid("`max_traces` must be a positive integer, received %d.", *s.Max)
	}
	return nil
}

// deleteAtOnce bounds the traces of one transaction, so that others get a turn.
const deleteAtOnce = 200

// Delete deletes traces with all that belongs to them and returns their ids.
func (s *Store) Delete(ctx context.Context, namespace string, experiment int64, which Selection) (deleted []string, err error) {
	if err := which.check(); err != nil {
		return nil, err
	}
	rest := math.MaxInt
	if which.Max != nil {
		rest = int(min(*which.Max, math.MaxInt32))
	}
	ids := which.IDs
	for rest > 0 {
		where := query.Of("t.namespace = ? AND t.exp = ?", namespace, experiment)
		if which.Before != nil {
			where = query.Of(where.SQL+" AND t.ts <= ?", append(where.Args, *which.Before)...)
		} else {
			n := min(deleteAtOnce, len(ids))
			if n == 0 {
				return deleted, nil
			}
			where = query.Of(where.SQL+" AND t.trace_id IN (??)", append(where.Args, ids[:n])...)
			ids = ids[n:]
		}
		var gone []string
		err := s.update(ctx, func(t *tx) (err error) {
			gone, err = t.delete(where, min(deleteAtOnce, rest))
			return err
		})
		if err != nil {
			return deleted, err
		}
		deleted, rest = append(deleted, gone...), rest-len(gone)
		if len(gone) == 0 && which.Before != nil {
			break
		}
	}
	return deleted, nil
}

var tablesOfTraces = []string{"trace_tags", "trace_metadata", "trace_spans", "trace_assessments", "trace_links"}

func (t *tx) delete(where clause, most int) (ids []string, err error) {
	var rows []int64
	err = t.Each(func(r db.Rows) error {
		var row int64
		var id string
		err := r.Scan(&row, &id)
		rows, ids = append(rows, row), append(ids, id)
		return err
	}, "SELECT t.id, t.trace_id FROM traces t WHERE "+where.SQL+" ORDER BY t.ts, t.trace_id LIMIT ?", append(where.Args, most)...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	for _, table := range tablesOfTraces {
		if _, err := t.Exec("DELETE FROM "+table+" WHERE trace IN (??)", rows); err != nil {
			return nil, err
		}
	}
	_, err = t.Exec("DELETE FROM traces WHERE id IN (??)", rows)
	return ids, err
}
