package lineage

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Path of the route.
const Path = "/kiwerk/v1/lineage"

// Records are tracking's tables. *store.Store is one.
type Records interface {
	ModelVersion(ctx context.Context, namespace, name, version string) (model.ModelVersion, error)
	VersionByAlias(ctx context.Context, namespace, name, alias string) (model.ModelVersion, error)
	SearchModelVersions(ctx context.Context, namespace string, q store.Query) ([]model.ModelVersion, string, error)
	Run(ctx context.Context, namespace, id string) (model.Run, error)
}

// Endpoint that serves a version of a model.
type Endpoint struct {
	Name string `json:"name"`
	// Model is the address that the endpoint names: models:/digits@champion.
	Model string `json:"model"`
	// Ready says whether it answers.
	Ready bool `json:"ready"`
}

// Endpoints are asked for all endpoints of a project that serve a registered model.
type Endpoints interface {
	Endpoints(ctx context.Context, namespace string) ([]Endpoint, error)
}

// Service answers.
type Service struct {
	records   Records
	endpoints Endpoints
}

// New makes a service; endpoints may be nil.
func New(records Records, endpoints Endpoints) *Service { return &Service{records, endpoints} }

// Request names a version, an alias, or with neither all versions.
type Request struct {
	Model, Version, Alias string
}

// FromRequest takes the query.
func (q *Request) FromRequest(r *http.Request) error {
	v := r.URL.Query()
	q.Model, q.Version, q.Alias = v.Get("model"), v.Get("version"), v.Get("alias")
	if q.Model == "" {
		return server.Invalid("the query names no model: ?model=NAME&version=3")
	}
	return nil
}

// Answer of the route.
type Answer struct {
	Model    string    `json:"model"`
	Versions []Version `json:"versions"`
}

// Version with what is linked to it.
type Version struct {
	Version   string     `json:"version"`
	Aliases   []string   `json:"aliases,omitempty"`
	Source    string     `json:"source"`
	ModelID   string     `json:"model_id,omitempty"`
	Run       *Run       `json:"run,omitempty"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Run that made a version. Gone says that it was removed since.
type Run struct {
	ID         string    `json:"run_id"`
	Name       string    `json:"run_name,omitempty"`
	Status     string    `json:"status,omitempty"`
	Gone       bool      `json:"gone,omitempty"`
	Commit     string    `json:"commit,omitempty"`
	EntryPoint string    `json:"entry_point,omitempty"`
	Image      string    `json:"image,omitempty"`
	Digest     string    `json:"image_digest,omitempty"`
	Workflow   string    `json:"workflow,omitempty"`
	Step       string    `json:"step,omitempty"`
	Parent     string    `json:"parent_run_id,omitempty"`
	Data       []Dataset `json:"data"`
	Inputs     []string  `json:"model_inputs,omitempty"`
}

// Dataset that a run read.
type Dataset struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Source string `json:"source,omitempty"`
	Use    string `json:"use,omitempty"`
}

// most versions in one answer.
const most = 1000

// Endpoints is the one route.
func (s *Service) Endpoints() []server.Endpoint {
	e := server.Typed(http.MethodGet, Path, server.Can("get", "registeredmodels"), server.JSONCodec{}, func(ctx context.Context, q *Request) (*Answer, error) {
		if err := server.Permit(ctx, server.Can("get", "experiments")); err != nil {
			return nil, err // it shows their runs, too
		}
		return s.Of(ctx, q)
	})
	e.Summary = "data, run and endpoints of model versions"
	return []server.Endpoint{e}
}

// Of finds what is linked to versions.
func (s *Service) Of(ctx context.Context, q *Request) (*Answer, error) {
	namespace := server.NamespaceOf(ctx)
	versions, err := s.versions(ctx, namespace, q)
	if err != nil {
		return nil, err
	}
	var endpoints []Endpoint
	if s.endpoints != nil {
		if endpoints, err = s.endpoints.Endpoints(ctx, namespace); err != nil {
			return nil, err
		}
	}
	newest := int64(0)
	if list, _, err := s.records.SearchModelVersions(ctx, namespace, store.Query{Filter: filter(q.Model), Max: 1, OrderBy: []string{"version_number DESC"}}); err != nil {
		return nil, err
	} else if len(list) > 0 {
		newest = list[0].Version
	}
	a := &Answer{Model: q.Model, Versions: []Version{}}
	for _, v := range versions {
		run, err := s.runOf(ctx, namespace, v.RunID)
		if err != nil {
			return nil, err
		}
		a.Versions = append(a.Versions, Version{
			Version: strconv.FormatInt(v.Version, 10), Aliases: v.Aliases, Source: v.Source, ModelID: v.ModelID, Run: run,
			Endpoints: serving(endpoints, v, v.Version == newest),
		})
	}
	return a, nil
}

func filter(name string) string { return "name='" + strings.ReplaceAll(name, "'", "''") + "'" }

func (s *Service) versions(ctx context.Context, namespace string, q *Request) ([]model.ModelVersion, error) {
	switch {
	case q.Version != "":
		v, err := s.records.ModelVersion(ctx, namespace, q.Model, q.Version)
		return []model.ModelVersion{v}, err
	case q.Alias != "":
		v, err := s.records.VersionByAlias(ctx, namespace, q.Model, q.Alias)
		return []model.ModelVersion{v}, err
	}
	list, _, err := s.records.SearchModelVersions(ctx, namespace, store.Query{Filter: filter(q.Model), Max: most, OrderBy: []string{"version_number DESC"}})
	if err == nil && len(list) == 0 {
		err = model.Missing("Registered Model with name=%s not found, or it has no versions", q.Model)
	}
	return list, err
}

func (s *Service) runOf(ctx context.Context, namespace, id string) (*Run, error) {
	if id == "" {
		return nil, nil
	}
	r, err := s.records.Run(ctx, namespace, id)
	if model.IsMissing(err) {
		return &Run{ID: id, Gone: true, Data: []Dataset{}}, nil
	}
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, t := range r.Tags {
		tags[t.Key] = t.Value
	}
	out := &Run{
		ID: r.ID, Name: r.Name, Status: r.Status.String(), Commit: tags["mlflow.source.git.commit"], EntryPoint: tags["mlflow.source.name"],
		Image: tags[TagImage], Digest: tags[TagImageDigest], Workflow: tags[TagWorkflow], Step: tags[TagStep], Parent: tags["mlflow.parentRunId"],
		Data: []Dataset{}, Inputs: r.Inputs,
	}
	for _, d := range r.Datasets {
		use := ""
		for _, t := range d.Tags {
			if t.Key == "mlflow.data.context" {
				use = t.Value
			}
		}
		out.Data = append(out.Data, Dataset{d.Dataset.Name, d.Dataset.Digest, d.Dataset.Source, use})
	}
	return out, nil
}

// serving are the endpoints whose address means this version.
func serving(all []Endpoint, v model.ModelVersion, newest bool) []Endpoint {
	list := []Endpoint{}
	for _, e := range all {
		if names(e.Model, v, newest) {
			list = append(list, e)
		}
	}
	return list
}

// names tells whether an address means a version.
func names(address string, v model.ModelVersion, newest bool) bool {
	rest, ok := strings.CutPrefix(address, "models:")
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, "/")
	if v.ModelID != "" && rest == v.ModelID {
		return true
	}
	if alias, ok := strings.CutPrefix(rest, v.Name+"@"); ok {
		return slices.Contains(v.Aliases, alias) || alias == "latest" && newest
	}
	version, ok := strings.CutPrefix(rest, v.Name+"/")
	return ok && (version == strconv.FormatInt(v.Version, 10) || strings.EqualFold(version, "latest") && newest)
}
