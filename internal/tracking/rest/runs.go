package rest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createRun struct {
	Experiment string         `ml:"experiment_id" about:"experiment,of run,zero"`
	User       string         `ml:"user_id" about:"- a text"`
	Name       string         `ml:"run_name" about:"- need not be the only one"`
	Start      *int64         `ml:"start_time"`
	Tags       []route.PairIn `ml:"tags"`
}

// runRef names a run, by its older field too.
type runRef struct {
	ID   string `ml:"run_id,required" about:"run"`
	UUID string `ml:"run_uuid" about:"run"`
}

type updateRun struct {
	ID     string           `ml:"run_id,required" about:"run"`
	UUID   string           `ml:"run_uuid" about:"run"`
	Status *model.RunStatus `ml:"status"`
	End    *int64           `ml:"end_time"`
	Name   *string          `ml:"run_name" about:"- need not be the only one"`
}

type searchRuns struct {
	Experiments []string   `ml:"experiment_ids" about:"experiment,of run"`
	Filter      string     `ml:"filter"`
	View        model.View `ml:"run_view_type"`
	Max         *int64     `ml:"max_results"`
	OrderBy     []string   `ml:"order_by"`
	Token       string     `ml:"page_token"`
}

// Sift implements route.Sifted.
func (q *searchRuns) Sift(keep func(experiment string) bool) bool {
	q.Experiments = slices.DeleteFunc(q.Experiments, func(id string) bool { return !keep(id) })
	return len(q.Experiments) > 0
}

func (a *API) getRun(ctx context.Context, q *runRef) (*route.One[runJSON], error) {
	r, err := a.store.Run(ctx, server.NamespaceOf(ctx), q.ID)
	return route.OneOf("run", runJSON(r), err)
}

func (a *API) searchRuns(ctx context.Context, q *searchRuns) (*route.Many[runJSON], error) {
	n, err := route.MaxResults(q.Max, 1000, 50000)
	if err != nil {
		return nil, err
	}
	list, next, err := a.store.SearchRuns(ctx, server.NamespaceOf(ctx), store.RunQuery{
		Experiments: q.Experiments, Filter: q.Filter, View: q.View, Max: n, OrderBy: q.OrderBy, Token: q.Token,
	})
	return route.ManyOf("runs", list, next, err, func(r model.Run) runJSON { return runJSON(r) })
}

func (a *API) runs() []server.Endpoint {
	return route.Flat(
		call(a, "POST", "/runs/create", "create", route.Experiments, "begin a run", route.Small, func(ctx context.Context, q *createRun) (*route.One[newRunJSON], error) {
			if err := route.CheckKeys("tags", q.Tags); err != nil {
				return nil, err
			}
			n := store.NewRun{Experiment: q.Experiment, User: q.User, Name: q.Name, Tags: route.PairsIn(q.Tags), Start: a.o.Clock().UnixMilli()}
			if q.Start != nil {
				n.Start = *q.Start
			}
			if n.User == "" {
				n.User = server.UserOf(ctx).Name
			}
			r, err := a.createWithOrigin(ctx, n)
			return route.OneOf("run", newRunJSON(r), err)
		}),
		call(a, "GET", "/runs/get", "get", route.Experiments, "one run", route.Small, a.getRun),
		call(a, "POST", "/runs/update", "update", route.Experiments, "change status, end or name of a run", route.Small, func(ctx context.Context, q *updateRun) (*route.One[runInfoJSON], error) {
			r, err := a.store.UpdateRun(ctx, server.NamespaceOf(ctx), q.ID, store.RunChange{Status: q.Status, End: q.End, Name: q.Name})
			return route.OneOf("run_info", runInfoJSON(r), err)
		}),
		call(a, "POST", "/runs/delete", "delete", route.Experiments, "delete a run", route.Small, func(ctx context.Context, q *runRef) (*route.Empty, error) {
			return route.Done(a.store.SetRunDeleted(ctx, server.NamespaceOf(ctx), q.ID, true))
		}),
		call(a, "POST", "/runs/restore", "update", route.Experiments, "restore a run", route.Small, func(ctx context.Context, q *runRef) (*route.Empty, error) {
			return route.Done(a.store.SetRunDeleted(ctx, server.NamespaceOf(ctx), q.ID, false))
		}),
		call(a, "POST", "/runs/search", "list", route.Experiments, "find runs", route.Small, a.searchRuns),
	)
}

type logMetric struct {
	ID        string   `ml:"run_id,required" about:"run"`
	UUID      string   `ml:"run_uuid" about:"run"`
	Key       string   `ml:"key,required"`
	Value     *float64 `ml:"value,required"`
	Timestamp *int64   `ml:"timestamp,required"`
	Step      int64    `ml:"step"`
	ModelID   string   `ml:"model_id" about:"logged_model"`
	Dataset   string   `ml:"dataset_name" about:"- a text"`
	Digest    string   `ml:"dataset_digest"`
}

type logPair struct {
	ID    string `ml:"run_id,required" about:"run"`
	UUID  string `ml:"run_uuid" about:"run"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

type datasetInputIn struct {
	Tags    []route.PairIn `ml:"tags"`
	Dataset struct {
		Name       string `ml:"name" about:"- a text"`
		Digest     string `ml:"digest"`
		SourceType string `ml:"source_type"`
		Source     string `ml:"source" about:"- a text"`
		Schema     string `ml:"schema"`
		Profile    string `ml:"profile"`
	} `ml:"dataset"`
}

type modelIn struct {
	ID   string `ml:"model_id" about:"logged_model"`
	Step int64  `ml:"step"`
}

type logInputs struct {
	ID       string           `ml:"run_id,required" about:"run"`
	Datasets []datasetInputIn `ml:"datasets"`
	Models   []modelIn        `ml:"models"`
}

type logOutputs struct {
	ID     string    `ml:"run_id,required" about:"run"`
	Models []modelIn `ml:"models,required"`
}

type logModel struct {
	ID   string `ml:"run_id,required" about:"run"`
	JSON string `ml:"model_json,required"`
}

// entry is what the run remembers of a model.
func (q *logModel) entry() (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(q.JSON), &fields); err != nil {
		return nil, model.Invalid("Malformed model info. It is not a valid JSON object: %v", err)
	}
	var missing []string
	for _, f := range []string{"artifact_path", "flavors", "run_id", "utc_time_created"} {
		if fields[f] == nil {
			missing = append(missing, "'"+f+"'")
		}
	}
	if len(missing) > 0 {
		return nil, model.Invalid("Model json is missing mandatory fields: {%s}", strings.Join(missing, ", "))
	}
	return json.Marshal(map[string]json.RawMessage{
		"run_id": fields["run_id"], "artifact_path": fields["artifact_path"], "utc_time_created": fields["utc_time_created"],
		"model_uuid": fields["model_uuid"], "flavors": fields["flavors"],
	})
}

func (a *API) logging() []server.Endpoint {
	return route.Flat(
		call(a, "POST", "/runs/log-metric", "update", route.Experiments, "write one point of a metric", route.Small, func(ctx context.Context, q *logMetric) (*route.Empty, error) {
			return route.Done(a.store.LogMetric(ctx, server.NamespaceOf(ctx), q.ID, model.Metric{
				Key: q.Key, Value: *q.Value, Timestamp: *q.Timestamp, Step: q.Step, ModelID: q.ModelID, DatasetName: q.Dataset, DatasetDigest: q.Digest,
			}))
		}),
		call(a, "POST", "/runs/log-parameter", "update", route.Experiments, "write one param", route.Small, func(ctx context.Context, q *logPair) (*route.Empty, error) {
			return route.Done(a.store.LogParam(ctx, server.NamespaceOf(ctx), q.ID, model.Pair{Key: q.Key, Value: q.Value}))
		}),
		call(a, "POST", "/runs/set-tag", "update", route.Experiments, "write one tag", route.Small, func(ctx context.Context, q *logPair) (*route.Empty, error) {
			return route.Done(a.store.SetTag(ctx, server.NamespaceOf(ctx), q.ID, model.Pair{Key: q.Key, Value: q.Value}))
		}),
		call(a, "POST", "/runs/delete-tag", "update", route.Experiments, "delete a tag", route.Small, func(ctx context.Context, q *logPair) (*route.Empty, error) {
			return route.Done(a.store.DeleteTag(ctx, server.NamespaceOf(ctx), q.ID, q.Key))
		}),
		call(a, "POST", "/runs/log-batch", "update", route.Experiments, "write many metrics, params and tags, all or none", route.Batch, func(ctx context.Context, q *logBatch) (*route.Empty, error) {
			if err := q.check(); err != nil {
				return nil, err
			}
			return route.Done(a.store.LogBatch(ctx, server.NamespaceOf(ctx), q.ID, q.batch()))
		}),
		call(a, "POST", "/runs/log-inputs", "update", route.Experiments, "note what a run read", route.Inputs, func(ctx context.Context, q *logInputs) (*route.Empty, error) {
			datasets := route.Convert(q.Datasets, func(d datasetInputIn) model.DatasetInput {
				return model.DatasetInput{Dataset: model.Dataset(d.Dataset), Tags: route.PairsIn(d.Tags)}
			})
			return route.Done(a.store.LogInputs(ctx, server.NamespaceOf(ctx), q.ID, datasets, route.Convert(q.Models, func(m modelIn) string { return m.ID })))
		}),
		call(a, "POST", "/runs/outputs", "update", route.Experiments, "note which models a run made", route.Small, func(ctx context.Context, q *logOutputs) (*route.Empty, error) {
			return route.Done(a.store.LogOutputs(ctx, server.NamespaceOf(ctx), q.ID, route.Convert(q.Models, func(m modelIn) model.ModelOutput {
				return model.ModelOutput{ModelID: m.ID, Step: m.Step}
			})))
		}),
		call(a, "POST", "/runs/log-model", "update", route.Experiments, "note a model as clients before 3.0 do", route.Small, func(ctx context.Context, q *logModel) (*route.Empty, error) {
			entry, err := q.entry()
			if err != nil {
				return nil, err
			}
			return route.Done(a.store.AppendHistory(ctx, server.NamespaceOf(ctx), q.ID, entry))
		}),
	)
}
