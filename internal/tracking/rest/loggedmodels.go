package rest

import (
	"context"
	"net/http"
	"slices"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createLoggedModel struct {
	Experiment string         `ml:"experiment_id,required" about:"experiment,of logged_model"`
	Name       string         `ml:"name" about:"- need not be the only one"`
	Type       string         `ml:"model_type"`
	SourceRun  string         `ml:"source_run_id" about:"run,read"`
	Params     []route.PairIn `ml:"params"`
	Tags       []route.PairIn `ml:"tags"`
}

type modelRef struct {
	ID      string `ml:"model_id" about:"logged_model"`
	Deleted bool   `ml:"allow_deleted"`
}

// FromPath implements mlwire.FromPath.
func (q *modelRef) FromPath(r *http.Request) { q.ID = r.PathValue("model_id") }

type finalizeModel struct {
	ID     string                   `ml:"model_id" about:"logged_model"`
	Status *model.LoggedModelStatus `ml:"status,required"`
}

// FromPath implements mlwire.FromPath.
func (q *finalizeModel) FromPath(r *http.Request) { q.ID = r.PathValue("model_id") }

type modelPairs struct {
	ID     string         `ml:"model_id" about:"logged_model"`
	Params []route.PairIn `ml:"params"`
	Tags   []route.PairIn `ml:"tags"`
}

// FromPath implements mlwire.FromPath.
func (q *modelPairs) FromPath(r *http.Request) { q.ID = r.PathValue("model_id") }

type modelTagRef struct {
	ID  string `ml:"model_id" about:"logged_model"`
	Key string `ml:"tag_key"`
}

// FromPath implements mlwire.FromPath.
func (q *modelTagRef) FromPath(r *http.Request) {
	q.ID, q.Key = r.PathValue("model_id"), r.PathValue("tag_key")
}

type searchLoggedModels struct {
	Experiments []string `ml:"experiment_ids,required" about:"experiment,of logged_model"`
	Filter      string   `ml:"filter"`
	Datasets    []struct {
		Name   string `ml:"dataset_name" about:"- a condition"`
		Digest string `ml:"dataset_digest"`
	} `ml:"datasets"`
	Max     *int64 `ml:"max_results"`
	OrderBy []struct {
		Field     string `ml:"field_name" about:"- an order"`
		Ascending *bool  `ml:"ascending"`
		Dataset   string `ml:"dataset_name" about:"- a condition"`
		Digest    string `ml:"dataset_digest"`
	} `ml:"order_by"`
	Token string `ml:"page_token"`
}

// Sift implements route.Sifted.
func (q *searchLoggedModels) Sift(keep func(experiment string) bool) bool {
	q.Experiments = slices.DeleteFunc(q.Experiments, func(id string) bool { return !keep(id) })
	return len(q.Experiments) > 0
}

func (a *API) loggedModels() []server.Endpoint {
	answer := func(m model.LoggedModel, err error) (*route.One[loggedModelJSON], error) {
		return route.OneOf("model", loggedModelJSON(m), err)
	}
	return route.Flat(
		call(a, "POST", "/logged-models", "create", route.Experiments, "begin the upload of a model", route.Small, func(ctx context.Context, q *createLoggedModel) (*route.One[loggedModelJSON], error) {
			return answer(a.store.CreateLoggedModel(ctx, server.NamespaceOf(ctx), q.Experiment, model.LoggedModel{
				Name: q.Name, Type: q.Type, SourceRun: q.SourceRun, Params: route.PairsIn(q.Params), Tags: route.PairsIn(q.Tags),
			}))
		}),
		call(a, "POST", "/logged-models/search", "list", route.Experiments, "find logged models", route.Small, a.searchLoggedModels),
		call(a, "GET", "/logged-models/{model_id}", "get", route.Experiments, "one logged model", route.Small, func(ctx context.Context, q *modelRef) (*route.One[loggedModelJSON], error) {
			return answer(a.store.LoggedModel(ctx, server.NamespaceOf(ctx), q.ID, q.Deleted))
		}),
		call(a, "PATCH", "/logged-models/{model_id}", "update", route.Experiments, "end the upload of a model", route.Small, func(ctx context.Context, q *finalizeModel) (*route.One[loggedModelJSON], error) {
			return answer(a.store.FinalizeLoggedModel(ctx, server.NamespaceOf(ctx), q.ID, *q.Status))
		}),
		call(a, "DELETE", "/logged-models/{model_id}", "delete", route.Experiments, "delete a logged model", route.Small, func(ctx context.Context, q *modelRef) (*route.Empty, error) {
			return route.Done(a.store.DeleteLoggedModel(ctx, server.NamespaceOf(ctx), q.ID))
		}),
		call(a, "POST", "/logged-models/{model_id}/params", "update", route.Experiments, "add params to a logged model", route.Small, func(ctx context.Context, q *modelPairs) (*route.Empty, error) {
			return route.Done(a.store.LogLoggedModelParams(ctx, server.NamespaceOf(ctx), q.ID, route.PairsIn(q.Params)))
		}),
		call(a, "PATCH", "/logged-models/{model_id}/tags", "update", route.Experiments, "set tags of a logged model", route.Small, func(ctx context.Context, q *modelPairs) (*route.Empty, error) {
			return route.Done(a.store.SetLoggedModelTags(ctx, server.NamespaceOf(ctx), q.ID, route.PairsIn(q.Tags)))
		}),
		call(a, "DELETE", "/logged-models/{model_id}/tags/{tag_key}", "update", route.Experiments, "delete a tag of a logged model", route.Small, func(ctx context.Context, q *modelTagRef) (*route.Empty, error) {
			return route.Done(a.store.DeleteLoggedModelTag(ctx, server.NamespaceOf(ctx), q.ID, q.Key))
		}),
	)
}

// loggedModelPage is the page size of clients that name none.
const loggedModelPage = 50

func (a *API) searchLoggedModels(ctx context.Context, q *searchLoggedModels) (*route.Many[loggedModelJSON], error) {
	if q.Max != nil && *q.Max == 0 {
		q.Max = nil
	}
	n, err := route.MaxResults(q.Max, loggedModelPage, 1000)
	if err != nil {
		return nil, err
	}
	query := store.ModelQuery{Experiments: q.Experiments, Filter: q.Filter, Max: n, Token: q.Token}
	for _, d := range q.Datasets {
		query.Datasets = append(query.Datasets, store.DatasetFilter(d))
	}
	for _, o := range q.OrderBy {
		query.OrderBy = append(query.OrderBy, store.ModelOrder{Field: o.Field, Desc: o.Ascending != nil && !*o.Ascending, Dataset: o.Dataset, Digest: o.Digest})
	}
	list, next, err := a.store.SearchLoggedModels(ctx, server.NamespaceOf(ctx), query)
	return route.ManyOf("models", list, next, err, func(m model.LoggedModel) loggedModelJSON { return loggedModelJSON(m) })
}
