package rest

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createVersion struct {
	Name        string   `ml:"name,required"`
	Source      string   `ml:"source,required"`
	RunID       string   `ml:"run_id"`
	Tags        []pairIn `ml:"tags"`
	RunLink     string   `ml:"run_link"`
	Description *string  `ml:"description"`
	ModelID     string   `ml:"model_id"`
}

type versionRef struct {
	Name    string `ml:"name,required"`
	Version string `ml:"version,required"`
}

type describeVersion struct {
	Name        string  `ml:"name,required"`
	Version     string  `ml:"version,required"`
	Description *string `ml:"description"`
}

type transition struct {
	Name    string `ml:"name,required"`
	Version string `ml:"version,required"`
	Stage   string `ml:"stage,required"`
	Archive bool   `ml:"archive_existing_versions"`
}

type versionTag struct {
	Name    string `ml:"name,required"`
	Version string `ml:"version,required"`
	Key     string `ml:"key,required"`
	Value   string `ml:"value"`
}

// maxVersions is also what clients get that name no page size.
const maxVersions = 200_000

func (a *API) versions() []server.Endpoint {
	answer := func(v model.ModelVersion, err error) (*one[versionJSON], error) {
		return oneOf("model_version", versionJSON(v), err)
	}
	return flat(
		call(a, "POST", "/model-versions/create", "create", registered, "make a version of a registered model", small, func(ctx context.Context, q *createVersion) (*one[versionJSON], error) {
			v, err := a.store.CreateModelVersion(ctx, server.NamespaceOf(ctx), store.NewVersion{
				Name: q.Name, Source: q.Source, RunID: q.RunID, RunLink: q.RunLink, ModelID: q.ModelID,
				User: server.UserOf(ctx).Name, Description: q.Description, Tags: pairsIn(q.Tags),
			})
			return answer(v, a.changed(ctx, err, q.Name))
		}),
		call(a, "GET", "/model-versions/get", "get", registered, "one version", small, func(ctx context.Context, q *versionRef) (*one[versionJSON], error) {
			return answer(a.store.ModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version))
		}),
		call(a, "PATCH", "/model-versions/update", "update", registered, "describe a version", small, func(ctx context.Context, q *describeVersion) (*one[versionJSON], error) {
			return answer(a.store.DescribeModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version, q.Description))
		}),
		call(a, "POST", "/model-versions/transition-stage", "update", registered, "move a version to a stage", small, func(ctx context.Context, q *transition) (*one[versionJSON], error) {
			v, err := a.store.TransitionStage(ctx, server.NamespaceOf(ctx), q.Name, q.Version, q.Stage, q.Archive)
			return answer(v, a.changed(ctx, err, q.Name))
		}),
		call(a, "DELETE", "/model-versions/delete", "delete", registered, "delete a version", small, func(ctx context.Context, q *versionRef) (*empty, error) {
			return done(a.changed(ctx, a.store.DeleteModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version), q.Name))
		}),
		call(a, "GET", "/model-versions/search", "list", registered, "find versions", small, func(ctx context.Context, q *search) (*many[versionJSON], error) {
			n, err := maxResults(q.Max, maxVersions, maxVersions)
			if err != nil {
				return nil, err
			}
			list, next, err := a.store.SearchModelVersions(ctx, server.NamespaceOf(ctx), store.Query{Filter: q.Filter, Max: n, OrderBy: q.OrderBy, Token: q.Token})
			return manyOf("model_versions", list, next, err, func(v model.ModelVersion) versionJSON { return versionJSON(v) })
		}),
		call(a, "GET", "/model-versions/get-download-uri", "get", registered, "where the files of a version lie", small, func(ctx context.Context, q *versionRef) (*text, error) {
			v, err := a.store.ModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version)
			return &text{"artifact_uri", v.StorageLocation}, err
		}),
		call(a, "POST", "/model-versions/set-tag", "update", registered, "set a tag of a version", small, func(ctx context.Context, q *versionTag) (*empty, error) {
			return done(a.changed(ctx, a.store.SetModelVersionTag(ctx, server.NamespaceOf(ctx), q.Name, q.Version, model.Pair{Key: q.Key, Value: q.Value}), q.Name))
		}),
		call(a, "DELETE", "/model-versions/delete-tag", "update", registered, "delete a tag of a version", small, func(ctx context.Context, q *versionTag) (*empty, error) {
			return done(a.changed(ctx, a.store.DeleteModelVersionTag(ctx, server.NamespaceOf(ctx), q.Name, q.Version, q.Key), q.Name))
		}),
	)
}
