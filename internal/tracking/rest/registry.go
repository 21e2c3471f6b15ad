package rest

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createRegistered struct {
	Name        string         `ml:"name,required" about:"new registered_model"`
	Tags        []route.PairIn `ml:"tags"`
	Description string         `ml:"description"`
}

type registeredRef struct {
	Name string `ml:"name,required" about:"registered_model"`
}

type describeRegistered struct {
	Name        string `ml:"name,required" about:"registered_model"`
	Description string `ml:"description"`
}

type renameRegistered struct {
	Name    string `ml:"name,required" about:"registered_model"`
	NewName string `ml:"new_name,required" about:"- nothing has it yet"`
}

type search struct {
	route.Scope

	Filter  string   `ml:"filter"`
	Max     *int64   `ml:"max_results"`
	OrderBy []string `ml:"order_by"`
	Token   string   `ml:"page_token"`
}

type latestVersions struct {
	Name   string   `ml:"name,required" about:"version"`
	Stages []string `ml:"stages"`
}

type registeredTag struct {
	Name  string `ml:"name,required" about:"registered_model"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

type aliasRef struct {
	Name  string `ml:"name,required" about:"registered_model"`
	Alias string `ml:"alias,required"`
}

// ofAlias reads what an alias names, which is a version.
type ofAlias struct {
	Name  string `ml:"name,required" about:"version"`
	Alias string `ml:"alias,required"`
}

type setAlias struct {
	Name    string `ml:"name,required" about:"registered_model"`
	Alias   string `ml:"alias,required"`
	Version string `ml:"version,required"`
}

// changed tells the followers of a model what has been stored.
func (a *API) changed(ctx context.Context, err error, names ...string) error {
	if err == nil {
		for _, n := range names {
			a.o.Changed(server.NamespaceOf(ctx), n)
		}
	}
	return err
}

func (a *API) registry() []server.Endpoint {
	answer := func(m model.RegisteredModel, err error) (*route.One[registeredJSON], error) {
		return route.OneOf("registered_model", registeredJSON(m), err)
	}
	latest := func(ctx context.Context, q *latestVersions) (*route.Many[versionJSON], error) {
		list, err := a.store.LatestVersions(ctx, server.NamespaceOf(ctx), q.Name, q.Stages)
		return route.ManyOf("model_versions", list, "", err, func(v model.ModelVersion) versionJSON { return versionJSON(v) })
	}
	return route.Flat(
		call(a, "POST", "/registered-models/create", "create", route.Registered, "make a registered model", route.Small, func(ctx context.Context, q *createRegistered) (*route.One[registeredJSON], error) {
			return answer(a.store.CreateRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name, q.Description, route.PairsIn(q.Tags)))
		}),
		call(a, "GET", "/registered-models/get", "get", route.Registered, "one registered model", route.Small, func(ctx context.Context, q *registeredRef) (*route.One[registeredJSON], error) {
			return answer(a.store.RegisteredModel(ctx, server.NamespaceOf(ctx), q.Name))
		}),
		call(a, "PATCH", "/registered-models/update", "update", route.Registered, "describe a registered model", route.Small, func(ctx context.Context, q *describeRegistered) (*route.One[registeredJSON], error) {
			return answer(a.store.DescribeRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name, q.Description))
		}),
		call(a, "POST", "/registered-models/rename", "update", route.Registered, "rename a registered model", route.Small, func(ctx context.Context, q *renameRegistered) (*route.One[registeredJSON], error) {
			m, err := a.store.RenameRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name, q.NewName)
			return answer(m, a.changed(ctx, err, q.Name, q.NewName))
		}),
		call(a, "DELETE", "/registered-models/delete", "delete", route.Registered, "delete a registered model with all versions", route.Small, func(ctx context.Context, q *registeredRef) (*route.Empty, error) {
			return route.Done(a.changed(ctx, a.store.DeleteRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name), q.Name))
		}),
		call(a, "GET", "/registered-models/search", "list", route.Registered, "find registered models", route.Small, func(ctx context.Context, q *search) (*route.Many[registeredJSON], error) {
			n, err := route.MaxResults(q.Max, 100, 1000)
			if err != nil {
				return nil, err
			}
			list, next, err := a.store.SearchRegisteredModels(ctx, server.NamespaceOf(ctx), store.Query{Filter: q.Filter, Max: n, OrderBy: q.OrderBy, Token: q.Token, Visible: q.Visible})
			return route.ManyOf("registered_models", list, next, err, func(m model.RegisteredModel) registeredJSON { return registeredJSON(m) })
		}),
		call(a, "POST", "/registered-models/get-latest-versions", "get", route.Registered, "newest version of each stage", route.Small, latest),
		call(a, "GET", "/registered-models/get-latest-versions", "get", route.Registered, "newest version of each stage", route.Small, latest),
		call(a, "POST", "/registered-models/set-tag", "update", route.Registered, "set a tag of a registered model", route.Small, func(ctx context.Context, q *registeredTag) (*route.Empty, error) {
			return route.Done(a.changed(ctx, a.store.SetRegisteredModelTag(ctx, server.NamespaceOf(ctx), q.Name, model.Pair{Key: q.Key, Value: q.Value}), q.Name))
		}),
		call(a, "DELETE", "/registered-models/delete-tag", "update", route.Registered, "delete a tag of a registered model", route.Small, func(ctx context.Context, q *registeredTag) (*route.Empty, error) {
			return route.Done(a.changed(ctx, a.store.DeleteRegisteredModelTag(ctx, server.NamespaceOf(ctx), q.Name, q.Key), q.Name))
		}),
		call(a, "POST", "/registered-models/alias", "update", route.Registered, "let an alias name a version", route.Small, func(ctx context.Context, q *setAlias) (*route.Empty, error) {
			return route.Done(a.changed(ctx, a.store.SetAlias(ctx, server.NamespaceOf(ctx), q.Name, q.Alias, q.Version), q.Name))
		}),
		call(a, "DELETE", "/registered-models/alias", "update", route.Registered, "delete an alias", route.Small, func(ctx context.Context, q *aliasRef) (*route.Empty, error) {
			return route.Done(a.changed(ctx, a.store.DeleteAlias(ctx, server.NamespaceOf(ctx), q.Name, q.Alias), q.Name))
		}),
		call(a, "GET", "/registered-models/alias", "get", route.Registered, "the version that an alias names", route.Small, func(ctx context.Context, q *ofAlias) (*route.One[versionJSON], error) {
			v, err := a.store.VersionByAlias(ctx, server.NamespaceOf(ctx), q.Name, q.Alias)
			return route.OneOf("model_version", versionJSON(v), err)
		}),
	)
}
