package rest

import (
	"context"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type createVersion struct {
	Name        string         `ml:"name,required" about:"version"`
	Source      string         `ml:"source,required" about:"source,read"`
	RunID       string         `ml:"run_id" about:"run,read"`
	Tags        []route.PairIn `ml:"tags"`
	RunLink     string         `ml:"run_link"`
	Description string         `ml:"description"`
	ModelID     string         `ml:"model_id" about:"logged_model,read"`
}

type versionRef struct {
	Name    string `ml:"name,required" about:"version"`
	Version string `ml:"version,required"`
}

type describeVersion struct {
	Name        string  `ml:"name,required" about:"version"`
	Version     string  `ml:"version,required"`
	Description *string `ml:"description"`
}

type transition struct {
	Name    string `ml:"name,required" about:"version"`
	Version string `ml:"version,required"`
	Stage   string `ml:"stage,required"`
	Archive bool   `ml:"archive_existing_versions"`
}

type versionTag struct {
	Name    string `ml:"name,required" about:"version"`
	Version string `ml:"version,required"`
	Key     string `ml:"key,required"`
	Value   string `ml:"value"`
}

// approval is the tag with the verdict of `kiwerk models approve`.
const approval = "kiwerk.approval"

// decided keeps who set a version's approval: the tags beside it hold what the caller says of himself.
func (a *API) decided(ctx context.Context, err error, name, version, tag, verdict string) {
	if err == nil && tag == approval {
		server.Audit(ctx, a.o.Logger, "approval", "project", server.NamespaceOf(ctx), "model", name, "version", version, "verdict", verdict)
	}
}

// maxVersions is also what clients get that name no page size.
const maxVersions = 200_000

func (a *API) searchVersions(ctx context.Context, q *search) (*route.Many[versionJSON], error) {
	if q.Max != nil && *q.Max < 1 {
		return nil, model.Invalid("Invalid value for max_results. It must be a positive integer, but got %d", *q.Max)
	}
	n, err := route.MaxResults(q.Max, maxVersions, maxVersions)
	if err != nil {
		return nil, err
	}
	list, next, err := a.store.SearchModelVersions(ctx, server.NamespaceOf(ctx), store.Query{Filter: q.Filter, Max: n, OrderBy: q.OrderBy, Token: q.Token, Visible: q.Visible})
	return route.ManyOf("model_versions", list, next, err, func(v model.ModelVersion) versionJSON { return versionJSON(v) })
}

func (a *API) versions() []server.Endpoint {
	answer := func(v model.ModelVersion, err error) (*route.One[versionJSON], error) {
		return route.OneOf("model_version", versionJSON(v), err)
	}
	return route.Flat(
		call(a, "POST", "/model-versions/create", "create", route.Registered, "make a version of a registered model", route.Small, func(ctx context.Context, q *createVersion) (*route.One[versionJSON], error) {
			v, err := a.store.CreateModelVersion(ctx, server.NamespaceOf(ctx), store.NewVersion{
				Name: q.Name, Source: q.Source, RunID: q.RunID, RunLink: q.RunLink, ModelID: q.ModelID,
				User: server.UserOf(ctx).Name, Description: &q.Description, Tags: route.PairsIn(q.Tags),
			})
			for _, tag := range q.Tags {
				a.decided(ctx, err, q.Name, strconv.FormatInt(v.Version, 10), tag.Key, tag.Value)
			}
			return answer(v, a.changed(ctx, err, q.Name))
		}),
		call(a, "GET", "/model-versions/get", "get", route.Registered, "one version", route.Small, func(ctx context.Context, q *versionRef) (*route.One[versionJSON], error) {
			return answer(a.store.ModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version))
		}),
		call(a, "PATCH", "/model-versions/update", "update", route.Registered, "describe a version", route.Small, func(ctx context.Context, q *describeVersion) (*route.One[versionJSON], error) {
			return answer(a.store.DescribeModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version, q.Description))
		}),
		call(a, "POST", "/model-versions/transition-stage", "update", route.Registered, "move a version to a stage", route.Small, func(ctx context.Context, q *transition) (*route.One[versionJSON], error) {
			v, err := a.store.TransitionStage(ctx, server.NamespaceOf(ctx), q.Name, q.Version, q.Stage, q.Archive)
			return answer(v, a.changed(ctx, err, q.Name))
		}),
		call(a, "DELETE", "/model-versions/delete", "delete", route.Registered, "delete a version", route.Small, func(ctx context.Context, q *versionRef) (*route.Empty, error) {
			return route.Done(a.changed(ctx, a.store.DeleteModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version), q.Name))
		}),
		call(a, "GET", "/model-versions/search", "list", route.Registered, "find versions", route.Small, a.searchVersions),
		call(a, "GET", "/model-versions/get-download-uri", "get", route.Registered, "where the files of a version lie", route.Small, func(ctx context.Context, q *versionRef) (*route.Text, error) {
			v, err := a.store.ModelVersion(ctx, server.NamespaceOf(ctx), q.Name, q.Version)
			return &route.Text{Name: "artifact_uri", Value: v.StorageLocation}, err
		}),
		call(a, "POST", "/model-versions/set-tag", "update", route.Registered, "set a tag of a version", route.Small, func(ctx context.Context, q *versionTag) (*route.Empty, error) {
			err := a.store.SetModelVersionTag(ctx, server.NamespaceOf(ctx), q.Name, q.Version, model.Pair{Key: q.Key, Value: q.Value})
			a.decided(ctx, err, q.Name, q.Version, q.Key, q.Value)
			return route.Done(a.changed(ctx, err, q.Name))
		}),
		call(a, "DELETE", "/model-versions/delete-tag", "update", route.Registered, "delete a tag of a version", route.Small, func(ctx context.Context, q *versionTag) (*route.Empty, error) {
			err := a.store.DeleteModelVersionTag(ctx, server.NamespaceOf(ctx), q.Name, q.Version, q.Key)
			a.decided(ctx, err, q.Name, q.Version, q.Key, "withdrawn")
			return route.Done(a.changed(ctx, err, q.Name))
		}),
	)
}
