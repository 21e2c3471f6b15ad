package rest

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createRegistered struct {
	Name        string   `ml:"name,required"`
	Tags        []pairIn `ml:"tags"`
	Description string   `ml:"description"`
}

type registeredRef struct {
	Name string `ml:"name,required"`
}

type describeRegistered struct {
	Name        string `ml:"name,required"`
	Description string `ml:"description"`
}

type renameRegistered struct {
	Name    string `ml:"name,required"`
	NewName string `ml:"new_name,required"`
}

type search struct {
	Filter  string   `ml:"filter"`
	Max     *int64   `ml:"max_results"`
	OrderBy []string `ml:"order_by"`
	Token   string   `ml:"page_token"`
}

type latestVersions struct {
	Name   string   `ml:"name,required"`
	Stages []string `ml:"stages"`
}

type registeredTag struct {
	Name  string `ml:"name,required"`
	Key   string `ml:"key,required"`
	Value string `ml:"value"`
}

type aliasRef struct {
	Name  string `ml:"name,required"`
	Alias string `ml:"alias,required"`
}

type setAlias struct {
	Name    string `ml:"name,required"`
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
	answer := func(m model.RegisteredModel, err error) (*one[registeredJSON], error) {
		return oneOf("registered_model", registeredJSON(m), err)
	}
	latest := func(ctx context.Context, q *latestVersions) (*many[versionJSON], error) {
		list, err := a.store.LatestVersions(ctx, server.NamespaceOf(ctx), q.Name, q.Stages)
		return manyOf("model_versions", list, "", err, func(v model.ModelVersion) versionJSON { return versionJSON(v) })
	}
	return flat(
		call(a, "POST", "/registered-models/create", "create", registered, "make a registered model", small, func(ctx context.Context, q *createRegistered) (*one[registeredJSON], error) {
			return answer(a.store.CreateRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name, q.Description, pairsIn(q.Tags)))
		}),
		call(a, "GET", "/registered-models/get", "get", registered, "one registered model", small, func(ctx context.Context, q *registeredRef) (*one[registeredJSON], error) {
			return answer(a.store.RegisteredModel(ctx, server.NamespaceOf(ctx), q.Name))
		}),
		call(a, "PATCH", "/registered-models/update", "update", registered, "describe a registered model", small, func(ctx context.Context, q *describeRegistered) (*one[registeredJSON], error) {
			return answer(a.store.DescribeRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name, q.Description))
		}),
		call(a, "POST", "/registered-models/rename", "update", registered, "rename a registered model", small, func(ctx context.Context, q *renameRegistered) (*one[registeredJSON], error) {
			m, err := a.store.RenameRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name, q.NewName)
			return answer(m, a.changed(ctx, err, q.Name, q.NewName))
		}),
		call(a, "DELETE", "/registered-models/delete", "delete", registered, "delete a registered model with all versions", small, func(ctx context.Context, q *registeredRef) (*empty, error) {
			return done(a.changed(ctx, a.store.DeleteRegisteredModel(ctx, server.NamespaceOf(ctx), q.Name), q.Name))
		}),
		call(a, "GET", "/registered-models/search", "list", registered, "find registered models", small, func(ctx context.Context, q *search) (*many[registeredJSON], error) {
			n, err := maxResults(q.Max, 100, 1000)
			if err != nil {
				return nil, err
			}
			list, next, err := a.store.SearchRegisteredModels(ctx, server.NamespaceOf(ctx), store.Query{Filter: q.Filter, Max: n, OrderBy: q.OrderBy, Token: q.Token})
			return manyOf("registered_models", list, next, err, func(m model.RegisteredModel) registeredJSON { return registeredJSON(m) })
		}),
		call(a, "POST", "/registered-models/get-latest-versions", "get", registered, "newest version of each stage", small, latest),
		call(a, "GET", "/registered-models/get-latest-versions", "get", registered, "newest version of each stage", small, latest),
		call(a, "POST", "/registered-models/set-tag", "update", registered, "set a tag of a registered model", small, func(ctx context.Context, q *registeredTag) (*empty, error) {
			return done(a.changed(ctx, a.store.SetRegisteredModelTag(ctx, server.NamespaceOf(ctx), q.Name, model.Pair{Key: q.Key, Value: q.Value}), q.Name))
		}),
		call(a, "DELETE", "/registered-models/delete-tag", "update", registered, "delete a tag of a registered model", small, func(ctx context.Context, q *registeredTag) (*empty, error) {
			return done(a.changed(ctx, a.store.DeleteRegisteredModelTag(ctx, server.NamespaceOf(ctx), q.Name, q.Key), q.Name))
		}),
		call(a, "POST", "/registered-models/alias", "update", registered, "let an alias name a version", small, func(ctx context.Context, q *setAlias) (*empty, error) {
			return done(a.changed(ctx, a.store.SetAlias(ctx, server.NamespaceOf(ctx), q.Name, q.Alias, q.Version), q.Name))
		}),
		call(a, "DELETE", "/registered-models/alias", "update", registered, "delete an alias", small, func(ctx context.Context, q *aliasRef) (*empty, error) {
			return done(a.changed(ctx, a.store.DeleteAlias(ctx, server.NamespaceOf(ctx), q.Name, q.Alias), q.Name))
		}),
		call(a, "GET", "/registered-models/alias", "get", registered, "the version that an alias names", small, func(ctx context.Context, q *aliasRef) (*one[versionJSON], error) {
			v, err := a.store.VersionByAlias(ctx, server.NamespaceOf(ctx), q.Name, q.Alias)
			return oneOf("model_version", versionJSON(v), err)
		}),
	)
}
