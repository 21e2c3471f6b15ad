package rest

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type getHistory struct {
	ID    string `ml:"run_id,required" about:"run"`
	UUID  string `ml:"run_uuid" about:"run"`
	Key   string `ml:"metric_key,required"`
	Token string `ml:"page_token"`
	Max   *int64 `ml:"max_results"`
}

type getHistoryBulk struct {
	IDs []string `ml:"run_id" about:"run"`
	Key *string  `ml:"metric_key"`
	Max *int64   `ml:"max_results"`
}

type getHistoryInterval struct {
	IDs  []string `ml:"run_ids,required" about:"run"`
	Key  string   `ml:"metric_key,required"`
	From *int64   `ml:"start_step"`
	To   *int64   `ml:"end_step"`
	Max  *int64   `ml:"max_results"`
}

// Bounds of histories of many runs.
const (
	maxHistoryRuns   = 100
	maxHistoryPoints = 25_000
	maxPerRun        = 2500
)

type pointsJSON struct {
	list []model.Metric
	next string
}

func (p pointsJSON) AppendJSON(w *writer) {
	w.Begin()
	metrics(w, "metrics", p.list)
	w.OptStr("next_page_token", p.next)
	w.End()
}

// bulkJSON is what the web page reads, which takes a bare NaN.
type bulkJSON []model.Metric

// AppendJSON implements mlwire.Appender.
func (p bulkJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Name("metrics")
	w.BeginList()
	for _, m := range p {
		w.Elem()
		w.Begin()
		w.Str("key", m.Key)
		w.BareFloat("value", m.Value)
		w.Int("timestamp", m.Timestamp)
		w.Int("step", m.Step)
		w.Str("run_id", m.RunUUID)
		w.End()
	}
	w.EndList()
	w.End()
}

func (a *API) histories() []server.Endpoint {
	bulk := call(a, "GET", "/metrics/get-history-bulk", "get", route.Experiments, "points of a metric of many runs", route.Small, a.historyBulk)[1:] // as upstream, under /ajax-api only
	return route.Flat(
		call(a, "GET", "/metrics/get-history", "get", route.Experiments, "points of a metric", route.Small, func(ctx context.Context, q *getHistory) (*pointsJSON, error) {
			n := 0
			if q.Max != nil {
				if n = int(*q.Max); n <= 0 {
					return nil, model.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", n)
				}
			}
			list, next, err := a.store.History(ctx, server.NamespaceOf(ctx), q.ID, q.Key, n, q.Token)
			return &pointsJSON{list, next}, err
		}),
		call(a, "GET", "/metrics/get-history-bulk-interval", "get", route.Experiments, "an even sample of a metric of many runs", route.Small, a.historyInterval),
		bulk,
	)
}

func (a *API) historyBulk(ctx context.Context, q *getHistoryBulk) (*bulkJSON, error) {
	switch n := len(q.IDs); {
	case n == 0:
		return nil, model.Invalid("GetMetricHistoryBulk request must specify at least one run_id.")
	case n > maxHistoryRuns:
		return nil, model.Invalid("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.", maxHistoryRuns, n)
	case q.Key == nil:
		return nil, model.Invalid("GetMetricHistoryBulk request must specify a metric_key.")
	}
	n := maxHistoryPoints
	if q.Max != nil && *q.Max < int64(n) {
		n = int(max(*q.Max, 0))
	}
	list, err := a.store.HistoryBulk(ctx, server.NamespaceOf(ctx), q.IDs, *q.Key, n)
	return (*bulkJSON)(&list), err
}

func (a *API) historyInterval(ctx context.Context, q *getHistoryInterval) (*pointsJSON, error) {
	if len(q.IDs) > maxHistoryRuns {
		return nil, model.Invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.", maxHistoryRuns, len(q.IDs))
	}
	n, err := route.MaxResults(q.Max, maxPerRun, maxPerRun)
	if err != nil {
		return nil, model.Invalid("max_results must be between 1 and %d.", maxPerRun)
	}
	var in *store.Interval
	switch {
	case (q.From == nil) != (q.To == nil):
		return nil, model.Invalid("If either start step or end step are specified, both must be specified.")
	case q.From != nil && *q.From > *q.To:
		return nil, model.Invalid("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", *q.From, *q.To)
	case q.From != nil:
		in = &store.Interval{From: *q.From, To: *q.To}
	}
	list, err := a.store.HistoryInterval(ctx, server.NamespaceOf(ctx), q.IDs, q.Key, n, in)
	return &pointsJSON{list, ""}, err
}
