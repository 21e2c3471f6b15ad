package tracking

import (
	"context"
	"errors"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// ModelVersion is where a model's files lie and what is known about it.
type ModelVersion struct {
	// Name and Version in the registry; empty and 0 for runs:/… and logged models.
	Name    string
	Version int64
	RunID   string
	ModelID string
	// ArtifactURI is the folder's address for clients (mlflow-artifacts:/…),
	// ProxyPath what follows /api/2.0/mlflow-artifacts/artifacts/, and Key its
	// place in the bucket.
	ArtifactURI, ProxyPath, Key string
	Aliases                     []string
	Tags                        map[string]string
}

// ResolveModel finds the files of models:/name@alias, models:/name/3,
// models:/name/latest, models:/m-…, and runs:/run/path. What does not exist is
// a server.Error with status 404; a bad address one with 400.
func (s *Service) ResolveModel(ctx context.Context, namespace, uri string) (ModelVersion, error) {
	if rest, ok := strings.CutPrefix(uri, "models:"); ok {
		return s.resolveModels(ctx, namespace, strings.TrimLeft(rest, "/"), uri)
	}
	if rest, ok := strings.CutPrefix(uri, "runs:"); ok {
		id, folder, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		r, err := s.store.RunInfo(ctx, namespace, id)
		if err != nil {
			return ModelVersion{}, err
		}
		v := ModelVersion{RunID: r.ID}
		return v, s.locate(&v, strings.TrimSuffix(r.ArtifactURI+"/"+folder, "/"))
	}
	return ModelVersion{}, badURI(uri)
}

func badURI(uri string) error {
	return model.Invalid("%q is not the address of a model; write models:/name@alias, models:/name/3, models:/name/latest or runs:/run_id/path", uri)
}

func (s *Service) resolveModels(ctx context.Context, namespace, rest, uri string) (out ModelVersion, err error) {
	var v model.ModelVersion
	name, version, numbered := strings.Cut(rest, "/")
	aliasOf, alias, aliased := strings.Cut(rest, "@")
	switch {
	case numbered && strings.EqualFold(version, "latest"):
		v, err = s.store.VersionByAlias(ctx, namespace, name, "latest")
	case numbered:
		if _, err := strconv.ParseInt(version, 10, 64); err != nil {
			return out, badURI(uri)
		}
		v, err = s.store.ModelVersion(ctx, namespace, name, version)
	case aliased && alias != "":
		v, err = s.store.VersionByAlias(ctx, namespace, aliasOf, alias)
		if errors.Is(err, model.ErrNoAlias) {
			err = model.Missing("model %s has no alias %s", aliasOf, alias)
		}
	case strings.HasPrefix(rest, "m-"):
		m, err := s.store.LoggedModel(ctx, namespace, rest, false)
		if err != nil {
			return out, err
		}
		out = ModelVersion{RunID: m.SourceRun, ModelID: m.ID, Tags: tagMap(m.Tags)}
		return out, s.locate(&out, m.ArtifactURI)
	default:
		return out, badURI(uri)
	}
	if err != nil {
		return out, err
	}
	out = ModelVersion{Name: v.Name, Version: v.Version, RunID: v.RunID, ModelID: v.ModelID, Aliases: v.Aliases, Tags: tagMap(v.Tags)}
	folder, err := s.store.VersionFolder(ctx, namespace, v)
	if err != nil {
		return out, err
	}
	return out, s.locate(&out, folder)
}

// locate fills the addresses.
func (s *Service) locate(v *ModelVersion, uri string) error {
	p, ok := model.Proxied(uri)
	if !ok {
		return model.Invalid("the files of the model lie in %s, which the platform does not read; log the model through its artifact store", uri)
	}
	if err := blob.CheckKey(p); err != nil {
		return model.Invalid("the files of the model have the address %s: %w", uri, err)
	}
	v.ArtifactURI, v.ProxyPath, v.Key = uri, p, path.Join(s.prefix, p)
	return nil
}

func tagMap(tags []model.Pair) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// Run is what was logged to a run.
type Run struct {
	ID, Name, ExperimentID, Status string
	Start, End                     int64 // milliseconds since 1970; End is 0 while it runs
	Metrics                        map[string]float64
	Params, Tags                   map[string]string
}

// GetRun finds a run with the newest value of each metric.
func (s *Service) GetRun(ctx context.Context, namespace, id string) (Run, error) {
	r, err := s.store.Run(ctx, namespace, id)
	if err != nil {
		return Run{}, err
	}
	out := Run{
		ID: r.ID, Name: r.Name, ExperimentID: strconv.FormatInt(r.ExperimentID, 10), Status: r.Status.String(), Start: r.Start, End: r.End,
		Metrics: make(map[string]float64, len(r.Metrics)), Params: tagMap(r.Params), Tags: tagMap(r.Tags),
	}
	for _, m := range r.Metrics {
		out.Metrics[m.Key] = m.Value
	}
	return out, nil
}

// Artifact opens an artifact of a run; the caller closes it. One that does not
// exist is fs.ErrNotExist.
func (s *Service) Artifact(ctx context.Context, namespace, runID, file string) (io.ReadCloser, error) {
	r, err := s.store.RunInfo(ctx, namespace, runID)
	if err != nil {
		return nil, err
	}
	var v ModelVersion
	if err := s.locate(&v, r.ArtifactURI+"/"+file); err != nil {
		return nil, err
	}
	content, _, err := s.blobs.Open(ctx, v.Key, 0, -1)
	return content, err
}

// SetAlias lets an alias name a version.
func (s *Service) SetAlias(ctx context.Context, namespace, name, alias string, version int64) error {
	return s.note(namespace, name, s.store.SetAlias(ctx, namespace, name, alias, strconv.FormatInt(version, 10)))
}

// DeleteAlias deletes an alias; one that does not exist is no error.
func (s *Service) DeleteAlias(ctx context.Context, namespace, name, alias string) error {
	return s.note(namespace, name, s.store.DeleteAlias(ctx, namespace, name, alias))
}

// SetModelVersionTag sets a tag of a version.
func (s *Service) SetModelVersionTag(ctx context.Context, namespace, name string, version int64, key, value string) error {
	return s.note(namespace, name, s.store.SetModelVersionTag(ctx, namespace, name, strconv.FormatInt(version, 10), model.Pair{Key: key, Value: value}))
}

func (s *Service) note(namespace, name string, err error) error {
	if err == nil {
		s.changes.send(Change{Namespace: namespace, Model: name})
	}
	return err
}

// ArtifactDigest is the SHA-256, in hexadecimal, of an artifact of a run; ""
// if it did not come through the server.
func (s *Service) ArtifactDigest(ctx context.Context, namespace, runID, path string) (string, error) {
	r, err := s.store.RunInfo(ctx, namespace, runID)
	if err != nil {
		return "", err
	}
	v := ModelVersion{}
	if err := s.locate(&v, r.ArtifactURI+"/"+path); err != nil {
		return "", err
	}
	info, err := s.blobs.Stat(ctx, v.Key)
	if err != nil {
		return "", err
	}
	return s.digests.Of(ctx, info)
}
