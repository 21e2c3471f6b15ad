package rest

import (
	"context"
	"encoding/json"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createRun struct {
	Experiment string   `ml:"experiment_id"`
	User       string   `ml:"user_id"`
	Name       string   `ml:"run_name"`
	Start      *int64   `ml:"start_time"`
	Tags       []pairIn `ml:"tags"`
}

// runRef names a run, by its older field too.
type runRef struct {
	ID   string `ml:"run_id,required"`
	UUID string `ml:"run_uuid"`
}

type updateRun struct {
	ID     string           `ml:"run_id,required"`
	UUID   string           `ml:"run_uuid"`
	Status *model.RunStatus `ml:"status"`
	End    *int64           `ml:"end_time"`
	Name   *string          `ml:"run_name"`
}

type searchRuns struct {
	Experiments []string   `ml:"experiment_ids"`
	Filter      string     `ml:"filter"`
	View        model.View `ml:"run_view_type"`
	Max         *int64     `ml:"max_results"`
	OrderBy     []string   `ml:"order_by"`
	Token       string     `ml:"page_token"`
}

func (a *API) runs() []server.Endpoint {
	return flat(
		call(a, "POST", "/runs/create", "create", experiments, "begin a run", small, func(ctx context.Context, q *createRun) (*one[runJSON], error) {
			if err := checkKeys("tags", q.Tags); err != nil {
				return nil, err
			}
			n := store.NewRun{Experiment: q.Experiment, User: q.User, Name: q.Name, Tags: pairsIn(q.Tags), Start: a.o.Clock().UnixMilli()}
			if q.Start != nil {
				n.Start = *q.Start
			}
			if n.User == "" {
				n.User = server.UserOf(ctx).Name
			}
			r, err := a.store.CreateRun(ctx, server.NamespaceOf(ctx), n)
			return oneOf("run", runJSON(r), err)
		}),
		call(a, "GET", "/runs/get", "get", experiments, "one run", small, func(ctx context.Context, q *runRef) (*one[runJSON], error) {
			r, err := a.store.Run(ctx, server.NamespaceOf(ctx), q.ID)
			return oneOf("run", runJSON(r), err)
		}),
		call(a, "POST", "/runs/update", "update", experiments, "change status, end or name of a run", small, func(ctx context.Context, q *updateRun) (*one[runInfoJSON], error) {
			r, err := a.store.UpdateRun(ctx, server.NamespaceOf(ctx), q.ID, store.RunChange{Status: q.Status, End: q.End, Name: q.Name})
			return oneOf("run_info", runInfoJSON(r), err)
		}),
		call(a, "POST", "/runs/delete", "delete", experiments, "delete a run", small, func(ctx context.Context, q *runRef) (*empty, error) {
			return done(a.store.SetRunDeleted(ctx, server.NamespaceOf(ctx), q.ID, true))
		}),
		call(a, "POST", "/runs/restore", "update", experiments, "restore a run", small, func(ctx context.Context, q *runRef) (*empty, error) {
			return done(a.store.SetRunDeleted(ctx, server.NamespaceOf(ctx), q.ID, false))
		}),
		call(a, "POST", "/runs/search", "list", experiments, "find runs", small, func(ctx context.Context, q *searchRuns) (*many[runJSON], error) {
			n, err := maxResults(q.Max, 1000, 50000)
			if err != nil {
				return nil, err
			}
			list, next, err := a.store.SearchRuns(ctx, server.NamespaceOf(ctx), store.RunQuery{
				Experiments: q.Experiments, Filter: q.Filter, View: q.View, Max: n, OrderBy: q.OrderBy, Token: q.Token,
			})
			return manyOf("runs", list, next, err, func(r model.Run) runJSON { return runJSON(r) })
		}),
	)
}

type logMetric struct {
	ID        string   `ml:"run_id,required"`
	UUID      string   `ml:"run_uuid"`
	Key       string   `ml:"key,required"`
	Value     *float64 `ml:"value,required"`
	Timestamp *int64   `ml:"timestamp,required"`
	Step      int64    `ml:"step"`
	ModelID   string   `ml:"model_id"`
	Dataset   string   `ml:"dataset_name"`
	Digest    string   `ml:"dataset_digest"`
}

type logPair struct {
	ID    string `ml:"run_id,required"`
	UUID  string `ml:"run_uuid"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

type datasetInputIn struct {
	Tags    []pairIn `ml:"tags"`
	Dataset struct {
		Name       string `ml:"name"`
		Digest     string `ml:"digest"`
		SourceType string `ml:"source_type"`
		Source     string `ml:"source"`
		Schema     string `ml:"schema"`
		Profile    string `ml:"profile"`
	} `ml:"dataset"`
}

type modelIn struct {
	ID   string `ml:"model_id"`
	Step int64  `ml:"step"`
}

type logInputs struct {
	ID       string           `ml:"run_id,required"`
	Datasets []datasetInputIn `ml:"datasets"`
	Models   []modelIn        `ml:"models"`
}

type logOutputs struct {
	ID     string    `ml:"run_id,required"`
	Models []modelIn `ml:"models,required"`
}

type logModel struct {
	ID   string `ml:"run_id,required"`
	JSON string `ml:"model_json,required"`
}

func (a *API) logging() []server.Endpoint {
	return flat(
		call(a, "POST", "/runs/log-metric", "update", experiments, "write one point of a metric", small, func(ctx context.Context, q *logMetric) (*empty, error) {
			return done(a.store.LogMetric(ctx, server.NamespaceOf(ctx), q.ID, model.Metric{
				Key: q.Key, Value: *q.Value, Timestamp: *q.Timestamp, Step: q.Step, ModelID: q.ModelID, DatasetName: q.Dataset, DatasetDigest: q.Digest,
			}))
		}),
		call(a, "POST", "/runs/log-parameter", "update", experiments, "write one param", small, func(ctx context.Context, q *logPair) (*empty, error) {
			return done(a.store.LogParam(ctx, server.NamespaceOf(ctx), q.ID, model.Pair{Key: q.Key, Value: q.Value}))
		}),
		call(a, "POST", "/runs/set-tag", "update", experiments, "write one tag", small, func(ctx context.Context, q *logPair) (*empty, error) {
			return done(a.store.SetTag(ctx, server.NamespaceOf(ctx), q.ID, model.Pair{Key: q.Key, Value: q.Value}))
		}),
		call(a, "POST", "/runs/delete-tag", "update", experiments, "delete a tag", small, func(ctx context.Context, q *logPair) (*empty, error) {
			return done(a.store.DeleteTag(ctx, server.NamespaceOf(ctx), q.ID, q.Key))
		}),
		call(a, "POST", "/runs/log-batch", "update", experiments, "write many metrics, params and tags, all or none", batch, func(ctx context.Context, q *logBatch) (*empty, error) {
			if err := q.check(); err != nil {
				return nil, err
			}
			return done(a.store.LogBatch(ctx, server.NamespaceOf(ctx), q.ID, q.batch()))
		}),
		call(a, "POST", "/runs/log-inputs", "update", experiments, "note what a run read", inputs, func(ctx context.Context, q *logInputs) (*empty, error) {
			datasets := convert(q.Datasets, func(d datasetInputIn) model.DatasetInput {
				return model.DatasetInput{Dataset: model.Dataset(d.Dataset), Tags: pairsIn(d.Tags)}
			})
			return done(a.store.LogInputs(ctx, server.NamespaceOf(ctx), q.ID, datasets, convert(q.Models, func(m modelIn) string { return m.ID })))
		}),
		call(a, "POST", "/runs/outputs", "update", experiments, "note which models a run made", small, func(ctx context.Context, q *logOutputs) (*empty, error) {
			return done(a.store.LogOutputs(ctx, server.NamespaceOf(ctx), q.ID, convert(q.Models, func(m modelIn) model.ModelOutput {
				return model.ModelOutput{ModelID: m.ID, Step: m.Step}
			})))
		}),
		call(a, "POST", "/runs/log-model", "update", experiments, "note a model as clients before 3.0 do", small, func(ctx context.Context, q *logModel) (*empty, error) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(q.JSON), &fields); err != nil {
				return nil, model.Invalid("Malformed model info. It is not a valid JSON object: %v", err)
			}
			kept := map[string]json.RawMessage{}
			for _, f := range []string{"artifact_path", "flavors", "utc_time_created", "run_id"} {
				if fields[f] == nil {
					return nil, model.Invalid("Model json is missing mandatory field '%s'", f)
				}
				kept[f] = fields[f]
			}
			b, err := json.Marshal(kept)
			if err != nil {
				return nil, err
			}
			return done(a.store.AppendHistory(ctx, server.NamespaceOf(ctx), q.ID, b))
		}),
	)
}
