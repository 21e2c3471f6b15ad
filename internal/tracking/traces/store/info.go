package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

// States of a trace.
const (
	Unspecified = "STATE_UNSPECIFIED"
	OK          = "OK"
	Error       = "ERROR"
	InProgress  = "IN_PROGRESS"
)

// Tags and metadata with a meaning.
const (
	TagName          = "mlflow.traceName"
	TagLocation      = "mlflow.artifactLocation"
	TagSpansLocation = "mlflow.trace.spansLocation"
	TagPrompts       = "mlflow.linkedPrompts"

	// InStore and InFiles are values of TagSpansLocation: here, or in the file traces.json of the trace's artifacts.
	InStore = "TRACKING_STORE"
	InFiles = "ARTIFACT_REPO"

	metaSession   = "mlflow.trace.session"
	metaUser      = "mlflow.trace.user"
	metaUsage     = "mlflow.trace.tokenUsage"
	metaCost      = "mlflow.trace.cost"
	MetaRun       = "mlflow.sourceRun"
	metaSizes     = "mlflow.trace.sizeStats"
	metaFinalized = "mlflow.trace.infoFinalized"
)

// Info is a trace without its spans.
type Info struct {
	Row             int64
	ID              string
	Experiment      int64
	Time            int64 // milliseconds since 1970
	Duration        *int64
	State           string
	ClientRequestID *string
	// Request and Response are previews.
	Request, Response *string
	Tags, Metadata    map[string]string
	Assessments       []Assessment
}

// Trace is an Info with the content of its spans, the root first.
type Trace struct {
	Info  Info
	Spans []string
}

const infoColumns = `t.id, t.trace_id, t.exp, t.ts, t.duration, t.state, t.client_request_id, t.request_preview, t.response_preview, t.name, t.session,
	t.input_tokens, t.output_tokens, t.total_tokens, t.cache_read_input_tokens, t.cache_creation_input_tokens, t.input_cost, t.output_cost, t.total_cost, t.finalized`

func scanInfo(r db.Rows) (i Info, err error) {
	var name, session *string
	var tokens [5]sql.NullInt64
	var costs [3]sql.NullFloat64
	var finalized int64
	err = r.Scan(&i.Row, &i.ID, &i.Experiment, &i.Time, &i.Duration, &i.State, &i.ClientRequestID, &i.Request, &i.Response, &name, &session,
		&tokens[0], &tokens[1], &tokens[2], &tokens[3], &tokens[4], &costs[0], &costs[1], &costs[2], &finalized)
	i.Tags, i.Metadata = map[string]string{}, map[string]string{}
	if name != nil {
		i.Tags[TagName] = *name
	}
	if session != nil {
		i.Metadata[metaSession] = *session
	}
	var usage, cost []string
	for n, v := range tokens {
		if v.Valid {
			usage = append(usage, `"`+span.TokenNames[n]+`": `+strconv.FormatInt(v.Int64, 10))
		}
	}
	for n, v := range costs {
		if v.Valid {
			cost = append(cost, `"`+span.CostNames[n]+`": `+span.Number(v.Float64))
		}
	}
	for key, parts := range map[string][]string{metaUsage: usage, metaCost: cost} {
		if len(parts) > 0 {
			i.Metadata[key] = "{" + strings.Join(parts, ", ") + "}"
		}
	}
	if finalized != 0 {
		i.Metadata[metaFinalized] = "true"
	}
	return i, err
}

// row finds the number of a trace.
func (t *tx) row(namespace, id string) (row int64, err error) {
	err = t.Row("SELECT id FROM traces WHERE namespace = ? AND trace_id = ?", namespace, id).Scan(&row)
	if db.IsNoRows(err) {
		return 0, missing(id)
	}
	return row, err
}

// Info finds a trace.
func (s *Store) Info(ctx context.Context, namespace, id string) (out Info, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		out, err = t.info(namespace, id)
		return err
	})
	return out, err
}

func (t *tx) info(namespace, id string) (Info, error) {
	list, err := t.infos(query.Of("t.namespace = ? AND t.trace_id = ?", namespace, id))
	if err != nil {
		return Info{}, err
	}
	if len(list) == 0 {
		return Info{}, missing(id)
	}
	return list[0], nil
}

// infos reads traces with everything but their spans.
func (t *tx) infos(where clause) (list []Info, err error) {
	err = t.Each(func(r db.Rows) error {
		i, err := scanInfo(r)
		list = append(list, i)
		return err
	}, "SELECT "+infoColumns+" FROM traces t WHERE "+where.SQL, where.Args...)
	if err != nil {
		return nil, err
	}
	return list, t.complete(list)
}

// complete reads tags, metadata and assessments of traces.
func (t *tx) complete(list []Info) error {
	for from := 0; from < len(list); from += chunk {
		part := list[from:min(from+chunk, len(list))]
		byRow := make(map[int64]*Info, len(part))
		rows := make([]int64, len(part))
		for i := range part {
			byRow[part[i].Row], rows[i] = &part[i], part[i].Row
		}
		pairs := func(table string, into func(*Info) map[string]string) error {
			return t.Each(func(r db.Rows) error {
				var row int64
				var key, value string
				err := r.Scan(&row, &key, &value)
				if i := byRow[row]; i != nil {
					into(i)[key] = value
				}
				return err
			}, "SELECT trace, key, value FROM "+table+" WHERE trace IN (??)", rows)
		}
		assessments := t.Each(func(r db.Rows) error {
			row, a, err := scanAssessment(r)
			if i := byRow[row]; i != nil {
				a.TraceID = i.ID
				i.Assessments = append(i.Assessments, a)
			}
			return err
		}, "SELECT "+assessmentColumns+" FROM trace_assessments a WHERE a.trace IN (??) ORDER BY a.created, a.seq, a.id", rows)
		err := errors.Join(
			pairs("trace_tags", func(i *Info) map[string]string { return i.Tags }),
			pairs("trace_metadata", func(i *Info) map[string]string { return i.Metadata }),
			assessments,
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// Infos finds traces by id, in the order of the ids; what does not exist is
// left out. With experiments, only their traces are found.
func (s *Store) Infos(ctx context.Context, namespace string, ids []string, experiments []int64) (list []Info, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		list, err = t.byID(namespace, ids, experiments)
		return err
	})
	return list, err
}

func (t *tx) byID(namespace string, ids []string, experiments []int64) ([]Info, error) {
	wanted := map[int64]bool{}
	for _, e := range experiments {
		wanted[e] = true
	}
	found := map[string]Info{}
	for from := 0; from < len(ids); from += chunk {
		part := ids[from:min(from+chunk, len(ids))]
		list, err := t.infos(query.Of("t.namespace = ? AND t.trace_id IN (??)", namespace, part))
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			if experiments == nil || wanted[i.Experiment] {
				found[i.ID] = i
			}
		}
	}
	var list []Info
	for _, id := range ids {
		if i, ok := found[id]; ok {
			list = append(list, i)
			delete(found, id)
		}
	}
	return list, nil
}

// Traces finds traces with their spans as Infos finds traces. One whose spans
// do not lie in the store, or have not all arrived, is left out.
func (s *Store) Traces(ctx context.Context, namespace string, ids []string, experiments []int64) (list []Trace, err error) {
	err = s.view(ctx, func(t *tx) error {
		infos, err := t.byID(namespace, ids, experiments)
		if err != nil {
			return err
		}
		for _, i := range infos {
			if i.Tags[TagSpansLocation] != InStore {
				continue
			}
			spans, err := t.spans(i.Row)
			if err != nil {
				return err
			}
			if len(spans) > 0 && len(spans) >= expected(i) {
				list = append(list, Trace{i, spans})
			}
		}
		return nil
	})
	return list, err
}

// Trace finds a trace with its spans. Unless partial, all of them must have arrived.
func (s *Store) Trace(ctx context.Context, namespace, id string, partial bool) (out Trace, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		out.Info, err = t.info(namespace, id)
		if model.IsMissing(err) {
			return model.Missing("Trace with ID %s is not found.", model.Cut(id, maxKey))
		}
		if err != nil {
			return err
		}
		if out.Info.Tags[TagSpansLocation] != InStore {
			return model.Missing("The spans of trace %s do not lie in the tracking store; clients read them from its artifacts.", id)
		}
		if out.Spans, err = t.spans(out.Info.Row); err != nil {
			return err
		}
		if !partial && (len(out.Spans) == 0 || len(out.Spans) < expected(out.Info)) {
			return model.Missing("Trace with ID %s is not fully exported yet, please try again later.", id)
		}
		return nil
	})
	return out, err
}

func (t *tx) spans(row int64) (list []string, err error) {
	err = t.Each(func(r db.Rows) error {
		var content string
		err := r.Scan(&content)
		list = append(list, content)
		return err
	}, "SELECT content FROM trace_spans WHERE trace = ? ORDER BY CASE WHEN parent IS NULL THEN 0 ELSE 1 END, start, span_id", row)
	return list, err
}
