package rest

import (
	"context"
	"slices"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createExperiment struct {
	Name     string         `ml:"name,required" about:"new experiment"`
	Location string         `ml:"artifact_location" about:"location,update"`
	Tags     []route.PairIn `ml:"tags"`
}

type experimentID struct {
	ID string `ml:"experiment_id,required" about:"experiment"`
}

type experimentName struct {
	Name string `ml:"experiment_name,required" about:"experiment_name,maybe"`
}

type renameExperiment struct {
	ID   string `ml:"experiment_id,required" about:"experiment"`
	Name string `ml:"new_name,required" about:"- nothing has it yet"`
}

type searchExperiments struct {
	route.Scope

	Max     *int64     `ml:"max_results"`
	Token   string     `ml:"page_token"`
	Filter  string     `ml:"filter"`
	OrderBy []string   `ml:"order_by"`
	View    model.View `ml:"view_type"`
}

type experimentTag struct {
	ID    string `ml:"experiment_id,required" about:"experiment"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

type searchDatasets struct {
	IDs []string `ml:"experiment_ids" about:"experiment"`
}

// Sift implements route.Sifted.
func (q *searchDatasets) Sift(keep func(experiment string) bool) bool {
	q.IDs = slices.DeleteFunc(q.IDs, func(id string) bool { return !keep(id) })
	return len(q.IDs) > 0
}

func (a *API) getExperiment(ctx context.Context, q *experimentID) (*route.One[experimentJSON], error) {
	e, err := a.store.Experiment(ctx, server.NamespaceOf(ctx), q.ID)
	return route.OneOf("experiment", experimentJSON(e), err)
}

func (a *API) experiments() []server.Endpoint {
	search := func(ctx context.Context, q *searchExperiments) (*route.Many[experimentJSON], error) {
		if q.Max == nil {
			return nil, model.Invalid("Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer")
		}
		n, err := route.MaxResults(q.Max, 0, 50000)
		if err != nil {
			return nil, err
		}
		list, next, err := a.store.SearchExperiments(ctx, server.NamespaceOf(ctx), store.Query{Filter: q.Filter, Max: n, OrderBy: q.OrderBy, Token: q.Token, View: q.View, Visible: q.Visible})
		return route.ManyOf("experiments", list, next, err, func(e model.Experiment) experimentJSON { return experimentJSON(e) })
	}
	return route.Flat(
		call(a, "POST", "/experiments/create", "create", route.Experiments, "make an experiment", route.Small, func(ctx context.Context, q *createExperiment) (*route.Text, error) {
			n, err := a.store.CreateExperiment(ctx, server.NamespaceOf(ctx), q.Name, q.Location, route.PairsIn(q.Tags))
			return &route.Text{Name: "experiment_id", Value: id(n)}, err
		}),
		call(a, "GET", "/experiments/get", "get", route.Experiments, "one experiment", route.Small, a.getExperiment),
		call(a, "GET", "/experiments/get-by-name", "get", route.Experiments, "one experiment by name", route.Small, func(ctx context.Context, q *experimentName) (*route.One[experimentJSON], error) {
			e, err := a.store.ExperimentByName(ctx, server.NamespaceOf(ctx), q.Name)
			return route.OneOf("experiment", experimentJSON(e), err)
		}),
		call(a, "POST", "/experiments/search", "list", route.Experiments, "find experiments", route.Small, search),
		call(a, "GET", "/experiments/search", "list", route.Experiments, "find experiments", route.Small, search),
		call(a, "POST", "/experiments/delete", "delete", route.Experiments, "delete an experiment and its runs", route.Small, func(ctx context.Context, q *experimentID) (*route.Empty, error) {
			return route.Done(a.store.SetExperimentDeleted(ctx, server.NamespaceOf(ctx), q.ID, true))
		}),
		call(a, "POST", "/experiments/restore", "update", route.Experiments, "restore an experiment and its runs", route.Small, func(ctx context.Context, q *experimentID) (*route.Empty, error) {
			return route.Done(a.store.SetExperimentDeleted(ctx, server.NamespaceOf(ctx), q.ID, false))
		}),
		call(a, "POST", "/experiments/update", "update", route.Experiments, "rename an experiment", route.Small, func(ctx context.Context, q *renameExperiment) (*route.Empty, error) {
			return route.Done(a.store.RenameExperiment(ctx, server.NamespaceOf(ctx), q.ID, q.Name))
		}),
		call(a, "POST", "/experiments/set-experiment-tag", "update", route.Experiments, "set a tag of an experiment", route.Small, func(ctx context.Context, q *experimentTag) (*route.Empty, error) {
			return route.Done(a.store.SetExperimentTag(ctx, server.NamespaceOf(ctx), q.ID, model.Pair{Key: q.Key, Value: q.Value}))
		}),
		call(a, "POST", "/experiments/delete-experiment-tag", "update", route.Experiments, "delete a tag of an experiment", route.Small, func(ctx context.Context, q *experimentTag) (*route.Empty, error) {
			return route.Done(a.store.DeleteExperimentTag(ctx, server.NamespaceOf(ctx), q.ID, q.Key))
		}),
		a.searchDatasets(),
	)
}

const maxDatasetExperiments = 20

func (a *API) findDatasets(ctx context.Context, q *searchDatasets) (*route.Many[datasetSummaryJSON], error) {
	switch n := len(q.IDs); {
	case n == 0:
		return nil, model.Invalid("SearchDatasets request must specify at least one experiment_id.")
	case n > maxDatasetExperiments:
		return nil, model.Invalid("SearchDatasets request cannot specify more than %d experiment_ids. Received %d experiment_ids.", maxDatasetExperiments, n)
	}
	list, err := a.store.Datasets(ctx, server.NamespaceOf(ctx), q.IDs)
	return route.ManyOf("dataset_summaries", list, "", err, func(d model.DatasetSummary) datasetSummaryJSON { return datasetSummaryJSON(d) })
}

// searchDatasets has a path without its slash in upstream's API, and clients use it so.
func (a *API) searchDatasets() (list []server.Endpoint) {
	for _, path := range []string{"/api/2.0mlflow", "/ajax-api/2.0mlflow", "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"} {
		e := server.Typed("POST", path+"/experiments/search-datasets", server.Can("list", route.Experiments), a.codec, a.findDatasets)
		e.Summary = "data sets that runs of experiments read"
		list = append(list, e)
	}
	return list
}

type datasetSummaryJSON model.DatasetSummary

func (d datasetSummaryJSON) AppendJSON(w *writer) {
	w.Begin()
	w.Str("experiment_id", id(d.ExperimentID))
	w.Str("name", d.Name)
	w.Str("digest", d.Digest)
	w.OptStr("context", d.Context)
	w.End()
}
