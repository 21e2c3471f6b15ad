package rest

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type pairIn struct {
	Key   string `ml:"key"`
	Value string `ml:"value"`
}

func pairsIn(list []pairIn) []model.Pair {
	return convert(list, func(p pairIn) model.Pair { return model.Pair(p) })
}

// checkKeys: every pair has a key.
func checkKeys(name string, list []pairIn) error {
	for i, p := range list {
		if p.Key == "" {
			return model.Invalid("Missing value for required parameter '%s[%d].key'. See the API docs for more information about request parameters.", name, i)
		}
	}
	return nil
}

type createExperiment struct {
	Name     string   `ml:"name,required"`
	Location string   `ml:"artifact_location"`
	Tags     []pairIn `ml:"tags"`
}

type experimentID struct {
	ID string `ml:"experiment_id,required"`
}

type experimentName struct {
	Name string `ml:"experiment_name,required"`
}

type renameExperiment struct {
	ID   string `ml:"experiment_id,required"`
	Name string `ml:"new_name,required"`
}

type searchExperiments struct {
	Max     *int64     `ml:"max_results"`
	Token   string     `ml:"page_token"`
	Filter  string     `ml:"filter"`
	OrderBy []string   `ml:"order_by"`
	View    model.View `ml:"view_type"`
}

type experimentTag struct {
	ID    string `ml:"experiment_id,required"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

type searchDatasets struct {
	IDs []string `ml:"experiment_ids"`
}

// maxResults checks a page size; without one the default counts.
func maxResults(given *int64, standard, limit int64) (int, error) {
	n := standard
	if given != nil {
		n = *given
	}
	if n < 1 || n > limit {
		return 0, model.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be between 1 and %d.", n, limit)
	}
	return int(n), nil
}

func (a *API) experiments() []server.Endpoint {
	search := func(ctx context.Context, q *searchExperiments) (*many[experimentJSON], error) {
		if q.Max == nil {
			return nil, model.Invalid("Invalid value 0 for parameter 'max_results' supplied. It must be at least 1 and at most 50000.")
		}
		n, err := maxResults(q.Max, 0, 50000)
		if err != nil {
			return nil, err
		}
		list, next, err := a.store.SearchExperiments(ctx, server.NamespaceOf(ctx), store.Query{Filter: q.Filter, Max: n, OrderBy: q.OrderBy, Token: q.Token, View: q.View})
		return manyOf("experiments", list, next, err, func(e model.Experiment) experimentJSON { return experimentJSON(e) })
	}
	return flat(
		call(a, "POST", "/experiments/create", "create", experiments, "make an experiment", small, func(ctx context.Context, q *createExperiment) (*text, error) {
			n, err := a.store.CreateExperiment(ctx, server.NamespaceOf(ctx), q.Name, q.Location, pairsIn(q.Tags))
			return &text{"experiment_id", id(n)}, err
		}),
		call(a, "GET", "/experiments/get", "get", experiments, "one experiment", small, func(ctx context.Context, q *experimentID) (*one[experimentJSON], error) {
			e, err := a.store.Experiment(ctx, server.NamespaceOf(ctx), q.ID)
			return oneOf("experiment", experimentJSON(e), err)
		}),
		call(a, "GET", "/experiments/get-by-name", "get", experiments, "one experiment by name", small, func(ctx context.Context, q *experimentName) (*one[experimentJSON], error) {
			e, err := a.store.ExperimentByName(ctx, server.NamespaceOf(ctx), q.Name)
			return oneOf("experiment", experimentJSON(e), err)
		}),
		call(a, "POST", "/experiments/search", "list", experiments, "find experiments", small, search),
		call(a, "GET", "/experiments/search", "list", experiments, "find experiments", small, search),
		call(a, "POST", "/experiments/delete", "delete", experiments, "delete an experiment and its runs", small, func(ctx context.Context, q *experimentID) (*empty, error) {
			return done(a.store.SetExperimentDeleted(ctx, server.NamespaceOf(ctx), q.ID, true))
		}),
		call(a, "POST", "/experiments/restore", "update", experiments, "restore an experiment and its runs", small, func(ctx context.Context, q *experimentID) (*empty, error) {
			return done(a.store.SetExperimentDeleted(ctx, server.NamespaceOf(ctx), q.ID, false))
		}),
		call(a, "POST", "/experiments/update", "update", experiments, "rename an experiment", small, func(ctx context.Context, q *renameExperiment) (*empty, error) {
			return done(a.store.RenameExperiment(ctx, server.NamespaceOf(ctx), q.ID, q.Name))
		}),
		call(a, "POST", "/experiments/set-experiment-tag", "update", experiments, "set a tag of an experiment", small, func(ctx context.Context, q *experimentTag) (*empty, error) {
			return done(a.store.SetExperimentTag(ctx, server.NamespaceOf(ctx), q.ID, model.Pair{Key: q.Key, Value: q.Value}))
		}),
		call(a, "POST", "/experiments/delete-experiment-tag", "update", experiments, "delete a tag of an experiment", small, func(ctx context.Context, q *experimentTag) (*empty, error) {
			return done(a.store.DeleteExperimentTag(ctx, server.NamespaceOf(ctx), q.ID, q.Key))
		}),
		a.searchDatasets(),
	)
}

// searchDatasets has a path without its slash in upstream's API, and clients use it so.
func (a *API) searchDatasets() (list []server.Endpoint) {
	search := func(ctx context.Context, q *searchDatasets) (*many[datasetSummaryJSON], error) {
		if n := len(q.IDs); n == 0 || n > 20 {
			return nil, model.Invalid("SearchDatasets request must specify at least one experiment_id and at most 20. Received %d experiment_ids.", n)
		}
		list, err := a.store.Datasets(ctx, server.NamespaceOf(ctx), q.IDs)
		return manyOf("dataset_summaries", list, "", err, func(d model.DatasetSummary) datasetSummaryJSON { return datasetSummaryJSON(d) })
	}
	for _, path := range []string{"/api/2.0mlflow", "/ajax-api/2.0mlflow", "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"} {
		e := server.Typed("POST", path+"/experiments/search-datasets", server.Can("list", experiments), a.codec, search)
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
