package traces

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

type startOld struct {
	Experiment string         `ml:"experiment_id" about:"experiment,of trace,zero"`
	Time       int64          `ml:"timestamp_ms"`
	Metadata   []route.PairIn `ml:"request_metadata"`
	Tags       []route.PairIn `ml:"tags"`
}

type endOld struct {
	ID       string         `ml:"request_id" about:"trace"`
	Time     int64          `ml:"timestamp_ms"`
	State    state          `ml:"status"`
	Metadata []route.PairIn `ml:"request_metadata"`
	Tags     []route.PairIn `ml:"tags"`
}

// FromPath implements mlwire.FromPath.
func (q *endOld) FromPath(r *http.Request) { q.ID = r.PathValue("trace_id") }

type searchOld struct {
	Experiments []string `ml:"experiment_ids,required" about:"experiment,of trace"`
	Filter      string   `ml:"filter"`
	Max         *int64   `ml:"max_results"`
	OrderBy     []string `ml:"order_by"`
	Token       string   `ml:"page_token"`
}

type linkToRun struct {
	IDs []string `ml:"trace_ids,required" about:"trace"`
	Run string   `ml:"run_id,required" about:"run"`
}

type linkPrompts struct {
	ID       string `ml:"trace_id,required" about:"trace"`
	Versions []struct {
		Name    string `ml:"name,required" about:"- a text"`
		Version string `ml:"version,required"`
	} `ml:"prompt_versions,required"`
}

// maxLinks bounds the traces of one request that links them to a run.
const maxLinks = 100

func (s *Service) v2() []server.Endpoint {
	return slices.Concat(
		call(s, "POST", v2traces, "update", "begin a trace", func(ctx context.Context, ns string, q *startOld) (*oldJSON, error) {
			e, err := s.experiment(ctx, ns, q.Experiment)
			if err != nil {
				return nil, err
			}
			i, err := s.store.StartOld(ctx, ns, e, store.Info{Time: q.Time, Tags: mapOf(q.Tags), Metadata: mapOf(q.Metadata)})
			return &oldJSON{i}, err
		}),
		call(s, "PATCH", v2traces+"/{trace_id}", "update", "end a trace", func(ctx context.Context, ns string, q *endOld) (*oldJSON, error) {
			i, err := s.store.EndOld(ctx, ns, q.ID, q.Time, q.State.stored(), mapOf(q.Tags), mapOf(q.Metadata))
			return &oldJSON{i}, err
		}),
		call(s, "GET", v2traces+"/{trace_id}/info", "get", "one trace without its spans", func(ctx context.Context, ns string, q *traceRef) (*oldJSON, error) {
			i, err := s.store.Info(ctx, ns, q.ID)
			return &oldJSON{i}, err
		}),
		call(s, "GET", v2traces, "list", "find traces", func(ctx context.Context, ns string, q *searchOld) (*oldListJSON, error) {
			list, next, err := s.search(ctx, ns, q.Experiments, q.Filter, q.Max, q.OrderBy, q.Token)
			return &oldListJSON{list, next}, err
		}),
		call(s, "POST", v2traces+"/delete-traces", "delete", "delete traces", s.deleteTraces),
		call(s, "PATCH", v2traces+"/{trace_id}/tags", "update", "set a tag of a trace", s.setTag),
		call(s, "DELETE", v2traces+"/{trace_id}/tags", "update", "delete a tag of a trace", s.deleteTag),
		call(s, "POST", v2traces+"/link-to-run", "update", "let traces belong to a run", func(ctx context.Context, ns string, q *linkToRun) (*route.Empty, error) {
			if len(q.IDs) > maxLinks {
				return nil, model.Invalid("Cannot link more than %d traces to a run in a single request. Provided %d traces.", maxLinks, len(q.IDs))
			}
			if _, err := s.o.Tracking.RunInfo(ctx, ns, q.Run); err != nil {
				return nil, err
			}
			return route.Done(s.store.LinkRun(ctx, ns, q.IDs, q.Run))
		}),
		call(s, "POST", v2traces+"/link-prompts", "update", "note the prompts that a trace used", s.linkPrompts),
	)
}

func (s *Service) linkPrompts(ctx context.Context, ns string, q *linkPrompts) (*route.Empty, error) {
	var versions []string
	for _, v := range q.Versions {
		if _, err := strconv.ParseInt(v.Version, 10, 64); err != nil {
			return nil, model.Invalid("Invalid version '%s' of prompt '%s': it must be an integer.", v.Version, v.Name)
		}
		versions = append(versions, v.Name+"/"+v.Version)
	}
	return route.Done(s.store.LinkPrompts(ctx, ns, q.ID, versions))
}

func mapOf(list []route.PairIn) map[string]string {
	m := make(map[string]string, len(list))
	for _, p := range list {
		m[p.Key] = p.Value
	}
	return m
}

// oldJSON is a trace as version 2 of the API has it.
type oldJSON struct{ store.Info }

// AppendJSON implements mlwire.Appender.
func (o oldJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Object("trace_info", oldInfo(o.Info))
	w.End()
}

type oldInfo store.Info

// AppendJSON implements mlwire.Appender.
func (i oldInfo) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("request_id", i.ID)
	w.Str("experiment_id", strconv.FormatInt(i.Experiment, 10))
	w.Int("timestamp_ms", i.Time)
	var took int64
	if i.Duration != nil {
		took = *i.Duration
	}
	w.Int("execution_time_ms", took)
	status := i.State
	if status == store.Unspecified {
		status = "TRACE_STATUS_UNSPECIFIED"
	}
	w.Str("status", status)
	route.Pairs(w, "request_metadata", pairsOf(i.Metadata))
	route.Pairs(w, "tags", pairsOf(i.Tags))
	w.End()
}

type oldListJSON struct {
	list []store.Info
	next string
}

// AppendJSON implements mlwire.Appender.
func (l oldListJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	mlwire.List(w, "traces", route.Convert(l.list, func(i store.Info) oldInfo { return oldInfo(i) }))
	w.OptStr("next_page_token", l.next)
	w.End()
}
