package workbench

import (
	"context"
	"net/http"
	"net/url"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
)

// Lineage of a model, or of one version of it. A server without a route for it
// is asked by MLflow's own calls; endpoints it does not know.
func Lineage(ctx context.Context, c *client.Client, ref string) (lineage.Answer, error) {
	name, version, alias, err := ParseVersion(ref)
	if err != nil {
		return lineage.Answer{}, err
	}
	q := url.Values{"model": {name}}
	if version == "latest" {
		v, err := c.LatestVersion(ctx, name)
		if err != nil {
			return lineage.Answer{}, err
		}
		version = v.Version
	}
	if version != "" {
		q.Set("version", version)
	}
	if alias != "" {
		q.Set("alias", alias)
	}
	var a lineage.Answer
	err = c.Do(ctx, client.Request{Method: http.MethodGet, Path: lineage.Path, Query: q}, &a)
	if !client.IsUnknownRoute(err) {
		return a, err
	}
	return composed(ctx, c, name, version, alias)
}

func composed(ctx context.Context, c *client.Client, name, version, alias string) (lineage.Answer, error) {
	a := lineage.Answer{Model: name, Versions: []lineage.Version{}}
	var list []client.ModelVersion
	if version+alias != "" {
		ref := name + "/" + version
		if alias != "" {
			ref = name + "@" + alias
		}
		v, err := Version(ctx, c, ref)
		if err != nil {
			return a, err
		}
		list = append(list, v)
	} else {
		for v, err := range Versions(ctx, c, name) {
			if err != nil {
				return a, err
			}
			list = append(list, v)
		}
	}
	for _, v := range list {
		out := lineage.Version{Version: v.Version, Aliases: v.Aliases, Source: v.Source, ModelID: v.ModelID, Endpoints: []lineage.Endpoint{}}
		if v.RunID != "" {
			run, err := lineageRun(ctx, c, v.RunID)
			if err != nil {
				return a, err
			}
			out.Run = run
		}
		a.Versions = append(a.Versions, out)
	}
	return a, nil
}

func lineageRun(ctx context.Context, c *client.Client, id string) (*lineage.Run, error) {
	got, err := c.Run(ctx, id)
	if client.IsNotFound(err) {
		return &lineage.Run{ID: id, Gone: true, Data: []lineage.Dataset{}}, nil
	}
	if err != nil {
		return nil, err
	}
	r := RunOf(got)
	out := &lineage.Run{
		ID: r.ID, Name: r.Name, Status: r.Status, Commit: r.Tags[TagGitCommit], EntryPoint: r.Tags["mlflow.source.name"],
		Image: r.Tags[TagImage], Digest: r.Tags[TagImageDigest], Workflow: r.Tags[TagWorkflow], Step: r.Tags[TagStep], Parent: r.Tags[TagParent],
		Data: []lineage.Dataset{}, Inputs: r.ModelInputs,
	}
	for _, d := range r.Datasets {
		use, _ := client.Value(d.Tags, "mlflow.data.context")
		out.Data = append(out.Data, lineage.Dataset{Name: d.Dataset.Name, Digest: d.Dataset.Digest, Source: d.Dataset.Source, Use: use})
	}
	return out, nil
}
