package traces

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

const (
	v3traces = route.V3 + "/traces"
	v2traces = route.V2 + "/traces"
)

// Page sizes of searches.
const (
	standardPage = 100
	maxPage      = 500
	// metricPoints bounds rows of statistics.
	metricPoints    = 1000
	maxMetricPoints = 50_000
)

type startTrace struct {
	Trace *struct {
		Info infoIn `ml:"trace_info"`
	} `ml:"trace,required"`
}

type traceRef struct {
	ID      string `ml:"trace_id" about:"trace"`
	Partial bool   `ml:"allow_partial"`
}

// FromPath implements mlwire.FromPath.
func (q *traceRef) FromPath(r *http.Request) {
	if id := r.PathValue("trace_id"); id != "" {
		q.ID = id
	}
}

type batchGet struct {
	IDs         []string `ml:"trace_ids,required" about:"trace"`
	Experiments []string `ml:"experiment_ids" about:"experiment,of trace"`
}

type searchTraces struct {
	Locations []locationIn `ml:"locations,required"`
	Filter    string       `ml:"filter"`
	Max       *int64       `ml:"max_results"`
	OrderBy   []string     `ml:"order_by"`
	Token     string       `ml:"page_token"`
}

type deleteTraces struct {
	Experiment string   `ml:"experiment_id,required" about:"experiment,of trace"`
	Before     *int64   `ml:"max_timestamp_millis"`
	Max        *int64   `ml:"max_traces"`
	IDs        []string `ml:"request_ids" about:"trace,maybe"`
}

type traceTag struct {
	ID    string `ml:"trace_id" about:"trace"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

// FromPath implements mlwire.FromPath.
func (q *traceTag) FromPath(r *http.Request) { q.ID = r.PathValue("trace_id") }

type correlate struct {
	Experiments []string `ml:"experiment_ids,required" about:"experiment,of trace"`
	First       string   `ml:"filter_string1,required"`
	Second      string   `ml:"filter_string2,required"`
	Base        string   `ml:"base_filter"`
}

type queryMetrics struct {
	Experiments  []string      `ml:"experiment_ids,required" about:"experiment,of trace"`
	View         *view         `ml:"view_type,required"`
	Metric       string        `ml:"metric_name,required" about:"- of a list"`
	Aggregations []aggregation `ml:"aggregations,required"`
	Dimensions   []string      `ml:"dimensions"`
	Filters      []string      `ml:"filters"`
	Interval     int64         `ml:"time_interval_seconds"`
	From         *int64        `ml:"start_time_ms"`
	To           *int64        `ml:"end_time_ms"`
	Max          *int64        `ml:"max_results"`
	Token        string        `ml:"page_token"`
}

func (s *Service) v3() []server.Endpoint {
	return slices.Concat(
		call(s, "POST", v3traces, "update", "store a trace", s.start),
		call(s, "GET", v3traces+"/{trace_id}", "get", "one trace without its spans", func(ctx context.Context, ns string, q *traceRef) (*traceJSON, error) {
			i, err := s.store.Info(ctx, ns, q.ID)
			return &traceJSON{spansJSON{info: i}}, err
		}),
		call(s, "GET", v3traces+"/get", "get", "one trace", func(ctx context.Context, ns string, q *traceRef) (*traceJSON, error) {
			if q.ID == "" {
				return nil, mlwire.Missing("trace_id")
			}
			t, err := s.store.Trace(ctx, ns, q.ID, q.Partial)
			return &traceJSON{spansJSON{t.Info, t.Spans}}, err
		}),
		call(s, "GET", v3traces+"/batchGet", "get", "several traces", func(ctx context.Context, ns string, q *batchGet) (*traceListJSON, error) {
			list, err := s.batch(ctx, ns, q)
			if err != nil {
				return nil, err
			}
			found, err := s.store.Traces(ctx, ns, q.IDs, list)
			return &traceListJSON{found}, err
		}),
		call(s, "POST", v3traces+"/batchGetInfos", "get", "several traces without their spans", func(ctx context.Context, ns string, q *batchGet) (*infosJSON, error) {
			list, err := s.batch(ctx, ns, q)
			if err != nil {
				return nil, err
			}
			found, err := s.store.Infos(ctx, ns, q.IDs, list)
			return &infosJSON{name: "trace_infos", list: found}, err
		}),
		call(s, "POST", v3traces+"/search", "list", "find traces", s.searchV3),
		call(s, "POST", v3traces+"/delete-traces", "delete", "delete traces", s.deleteTraces),
		call(s, "PATCH", v3traces+"/{trace_id}/tags", "update", "set a tag of a trace", s.setTag),
		call(s, "DELETE", v3traces+"/{trace_id}/tags", "update", "delete a tag of a trace", s.deleteTag),
		call(s, "POST", v3traces+"/calculate-filter-correlation", "list", "how often traces fit two filters", s.correlate),
		call(s, "POST", v3traces+"/metrics", "list", "statistics of traces, spans and assessments", s.metrics),
	)
}

func (s *Service) start(ctx context.Context, ns string, q *startTrace) (*traceJSON, error) {
	e, err := s.experiment(ctx, ns, q.Trace.Info.Location.Experiment.ID)
	if err != nil {
		return nil, err
	}
	i, err := q.Trace.Info.info()
	if err != nil {
		return nil, err
	}
	i, err = s.store.Start(ctx, ns, e, i)
	return &traceJSON{spansJSON{info: i}}, err
}

// batch checks the ids of a request and resolves its experiments; none is no restriction.
func (s *Service) batch(ctx context.Context, ns string, q *batchGet) ([]int64, error) {
	if len(q.IDs) > maxPage {
		return nil, model.Invalid("A request can ask for at most %d traces, got %d.", maxPage, len(q.IDs))
	}
	if q.Experiments == nil {
		return nil, nil
	}
	return s.experiments(ctx, ns, q.Experiments)
}

func (s *Service) searchV3(ctx context.Context, ns string, q *searchTraces) (*infosJSON, error) {
	var list []string
	for _, l := range q.Locations {
		if l.Experiment.ID != "" {
			list = append(list, l.Experiment.ID)
		}
	}
	found, next, err := s.search(ctx, ns, list, q.Filter, q.Max, q.OrderBy, q.Token)
	return &infosJSON{"traces", found, next}, err
}

func (s *Service) search(ctx context.Context, ns string, experiments []string, filter string, most *int64, orderBy []string, token string) ([]store.Info, string, error) {
	n, err := route.MaxResults(most, standardPage, maxPage)
	if err != nil {
		return nil, "", err
	}
	list, err := s.experiments(ctx, ns, experiments)
	if err != nil {
		return nil, "", err
	}
	return s.store.Search(ctx, ns, store.Query{Experiments: list, Filter: filter, OrderBy: orderBy, Max: n, Token: token})
}

// countJSON is how many traces were deleted.
type countJSON struct{ n int }

// AppendJSON implements mlwire.Appender.
func (c countJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Int("traces_deleted", int64(c.n))
	w.End()
}

func (s *Service) deleteTraces(ctx context.Context, ns string, q *deleteTraces) (*countJSON, error) {
	n, err := s.Delete(ctx, ns, q.Experiment, store.Selection{IDs: q.IDs, Before: q.Before, Max: q.Max})
	return &countJSON{n}, err
}

func (s *Service) setTag(ctx context.Context, ns string, q *traceTag) (*route.Empty, error) {
	return route.Done(s.store.SetTag(ctx, ns, q.ID, model.Pair{Key: q.Key, Value: q.Value}))
}

func (s *Service) deleteTag(ctx context.Context, ns string, q *traceTag) (*route.Empty, error) {
	return route.Done(s.store.DeleteTag(ctx, ns, q.ID, q.Key))
}

type correlationJSON store.Correlation

// AppendJSON implements mlwire.Appender.
func (c correlationJSON) AppendJSON(w *mlwire.Writer) {
	npmi, smoothed := store.Correlation(c).NPMI()
	w.Begin()
	if !math.IsNaN(npmi) {
		w.Float("npmi", npmi)
	}
	if !math.IsNaN(smoothed) {
		w.Float("npmi_smoothed", smoothed)
	}
	w.Int("filter1_count", c.First)
	w.Int("filter2_count", c.Second)
	w.Int("joint_count", c.Both)
	w.Int("total_count", c.Total)
	w.End()
}

func (s *Service) correlate(ctx context.Context, ns string, q *correlate) (*correlationJSON, error) {
	list, err := s.experiments(ctx, ns, q.Experiments)
	if err != nil {
		return nil, err
	}
	c, err := s.store.Correlate(ctx, ns, list, q.Base, q.First, q.Second)
	return (*correlationJSON)(&c), err
}

// view is what statistics are about.
type view store.View

var views = []store.View{store.OfTraces, store.OfSpans, store.OfAssessments}

// SetName implements mlwire.Enum.
func (v *view) SetName(name string) bool {
	*v = view(name)
	return slices.Contains(views, store.View(name))
}

// SetNumber implements mlwire.Enum.
func (v *view) SetNumber(n int64) bool {
	if n < 1 || n > int64(len(views)) {
		return false
	}
	*v = view(views[n-1])
	return true
}

type aggregation struct {
	Kind       *kind    `ml:"aggregation_type,required"`
	Percentile *float64 `ml:"percentile_value"`
}

type kind string

var kinds = []kind{"COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX"}

// SetName implements mlwire.Enum.
func (k *kind) SetName(name string) bool {
	*k = kind(name)
	return slices.Contains(kinds, *k)
}

// SetNumber implements mlwire.Enum.
func (k *kind) SetNumber(n int64) bool {
	if n < 1 || n > int64(len(kinds)) {
		return false
	}
	*k = kinds[n-1]
	return true
}

type pointJSON struct {
	metric string
	store.Point
}

// AppendJSON implements mlwire.Appender.
func (p pointJSON) AppendJSON(w *mlwire.Writer) {
	values := make(map[string]any, len(p.Values))
	for k, v := range p.Values {
		values[k] = v
	}
	w.Begin()
	w.Str("metric_name", p.metric)
	w.Map("dimensions", p.Dimensions)
	w.Value("values", values)
	w.End()
}

type pointsJSON struct {
	metric string
	list   []store.Point
	next   string
}

// AppendJSON implements mlwire.Appender.
func (p pointsJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	mlwire.List(w, "data_points", route.Convert(p.list, func(e store.Point) pointJSON { return pointJSON{p.metric, e} }))
	w.OptStr("next_page_token", p.next)
	w.End()
}

func (s *Service) metrics(ctx context.Context, ns string, q *queryMetrics) (*pointsJSON, error) {
	n, err := route.MaxResults(q.Max, metricPoints, maxMetricPoints)
	if err != nil {
		return nil, err
	}
	if len(q.Aggregations) == 0 {
		return nil, mlwire.Missing("aggregations")
	}
	from := 0
	if q.Token != "" {
		if from, err = strconv.Atoi(q.Token); err != nil || from < 0 || from > math.MaxInt32 {
			return nil, model.Invalid("Invalid page token '%s'", model.Cut(q.Token, standardPage))
		}
	}
	list, err := s.experiments(ctx, ns, q.Experiments)
	if err != nil {
		return nil, err
	}
	query := store.MetricsQuery{
		Experiments: list, View: store.View(*q.View), Metric: q.Metric, Dimensions: q.Dimensions, Filters: q.Filters,
		Interval: q.Interval, From: q.From, To: q.To, Max: from + n + 1,
	}
	for _, a := range q.Aggregations {
		query.Aggregations = append(query.Aggregations, store.Aggregation{Kind: string(*a.Kind), Percentile: a.Percentile})
	}
	points, err := s.store.Metrics(ctx, ns, query)
	if err != nil {
		return nil, err
	}
	out := &pointsJSON{metric: q.Metric, list: points[min(from, len(points)):]}
	if len(out.list) > n {
		out.list, out.next = out.list[:n], strconv.Itoa(from+n)
	}
	return out, nil
}
