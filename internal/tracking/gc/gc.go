package gc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Path of the route.
const Path = "/kiwerk/v1/tracking/gc"

// Records are tracking's tables. *store.Store is one.
type Records interface {
	Doomed(ctx context.Context, namespace string, q store.DoomedQuery) ([]store.Doomed, error)
	MarkErased(ctx context.Context, namespace string, runs []string) ([]store.Spared, error)
	EraseRun(ctx context.Context, namespace, id string) error
	EraseLoggedModel(ctx context.Context, namespace, id string) error
	EraseExperiment(ctx context.Context, namespace, id string) error
}

// Traces of runs and experiments.
type Traces interface {
	// EraseTraces removes the traces of a run or an experiment with their artifacts and tells how many there were.
	EraseTraces(ctx context.Context, namespace, kind, id string) (int, error)
}

// Evaluation is what an experiment has of it.
type Evaluation interface {
	// EraseExperiment removes what belongs to a deleted experiment.
	EraseExperiment(ctx context.Context, namespace, id string) error
}

// Options of a service; Traces and Evaluation may be nil.
type Options struct {
	Records    Records
	Traces     Traces
	Evaluation Evaluation
	// RemoveArtifacts removes a folder by its address. [ErrElsewhere] leaves it.
	RemoveArtifacts func(ctx context.Context, uri string) error
	Clock           func() time.Time
	Logger          *slog.Logger
}

// ErrElsewhere: artifacts lie where the server reads and writes nothing.
var ErrElsewhere = errors.New("the artifacts lie where the server does not reach")

// Service removes.
type Service struct{ o Options }

// New makes a service.
func New(o Options) *Service { return &Service{o} }

// Request says what to remove. Without ids it is everything that was deleted long enough ago.
type Request struct {
	// OlderThan is in seconds.
	OlderThan   int64    `json:"older_than,omitempty"`
	Runs        []string `json:"run_ids,omitempty"`
	Experiments []string `json:"experiment_ids,omitempty"`
	DryRun      bool     `json:"dry_run,omitempty"`
	// Erase marks the named runs and the logged models that they made as deleted first.
	Erase bool `json:"erase,omitempty"`
	// After is where a dry run goes on.
	After *Removed `json:"after,omitempty"`
}

// Removed is something that is gone, or would be.
type Removed struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Artifacts is where the files were; Kept says that the server cannot remove them there.
	Artifacts string `json:"artifacts,omitempty"`
	Kept      bool   `json:"artifacts_kept,omitempty"`
	Traces    int    `json:"traces,omitempty"`
}

// Answer of the route.
type Answer struct {
	Removed []Removed `json:"removed"`
	// Spared are logged models of erased runs that versions of registered models use; the last call tells them.
	Spared []store.Spared `json:"spared,omitempty"`
	// More says that the call is to be repeated.
	More bool `json:"more,omitempty"`
}

const (
	// batch is how much one call removes, so that it ends before a proxy loses patience.
	batch = 50
	// maxNamed bounds the ids of one call.
	maxNamed = 1000
)

// Endpoints is the one route. Whoever may change runs may not yet remove them
// for good: the verb is a word of its own.
func (s *Service) Endpoints() []server.Endpoint {
	e := server.Typed(http.MethodPost, Path, server.Can("erase", "experiments"), server.JSONCodec{}, s.Remove)
	e.Summary = "remove records and artifacts for good"
	return []server.Endpoint{e}
}

// Remove does a part of the work in the project that the request is about.
func (s *Service) Remove(ctx context.Context, q *Request) (*Answer, error) {
	return s.RemoveFrom(ctx, server.NamespaceOf(ctx), q)
}

// RemoveFrom does a part of the work in any project.
func (s *Service) RemoveFrom(ctx context.Context, namespace string, q *Request) (*Answer, error) {
	if err := check(q); err != nil {
		return nil, err
	}
	var spared []store.Spared
	if q.Erase && !q.DryRun {
		var err error
		if spared, err = s.o.Records.MarkErased(ctx, namespace, q.Runs); err != nil {
			return nil, err
		}
	}
	d := store.DoomedQuery{Runs: q.Runs, Experiments: q.Experiments, Made: q.Erase, Max: batch + 1}
	if q.OlderThan > 0 {
		d.Before = s.o.Clock().Add(-time.Duration(q.OlderThan) * time.Second).UnixMilli()
	}
	if q.After != nil && q.DryRun {
		d.After = store.Doomed{Kind: q.After.Kind, ID: q.After.ID}
	}
	list, err := s.o.Records.Doomed(ctx, namespace, d)
	if err != nil {
		return nil, err
	}
	a := &Answer{Removed: []Removed{}}
	if a.More = len(list) > batch; a.More {
		list, spared = list[:batch], nil
	}
	a.Spared = spared
	for _, x := range list {
		r := Removed{Kind: x.Kind, ID: x.ID, Artifacts: x.ArtifactURI}
		if !q.DryRun {
			if err := s.remove(ctx, namespace, x, &r, q.Erase); err != nil {
				return nil, err
			}
		}
		a.Removed = append(a.Removed, r)
	}
	return a, nil
}

func check(q *Request) error {
	switch {
	case q.OlderThan < 0:
		return server.Invalid("older_than is %d seconds; it cannot be in the future", q.OlderThan)
	case len(q.Runs)+len(q.Experiments) > maxNamed:
		return server.Invalid("at most %d ids go into one call", maxNamed)
	case q.Erase && (len(q.Runs) == 0 || len(q.Experiments) > 0 || q.OlderThan > 0):
		return server.Invalid("erase needs run_ids, and nothing else")
	}
	return nil
}

// remove takes artifacts and traces before the record that names them.
func (s *Service) remove(ctx context.Context, namespace string, d store.Doomed, r *Removed, erase bool) error {
	if d.Kind != store.KindExperiment && d.ArtifactURI != "" {
		err := s.o.RemoveArtifacts(ctx, d.ArtifactURI)
		r.Kept = errors.Is(err, ErrElsewhere)
		if err != nil && !r.Kept {
			return err
		}
	}
	if s.o.Traces != nil {
		var err error
		if r.Traces, err = s.o.Traces.EraseTraces(ctx, namespace, d.Kind, d.ID); err != nil {
			return err
		}
	}
	var err error
	switch d.Kind {
	case store.KindRun:
		err = s.o.Records.EraseRun(ctx, namespace, d.ID)
	case store.KindLoggedModel:
		err = s.o.Records.EraseLoggedModel(ctx, namespace, d.ID)
	default:
		err = s.eraseExperiment(ctx, namespace, d.ID)
	}
	if err != nil {
		return err
	}
	server.Audit(ctx, s.o.Logger, "removed for good", "project", namespace,
		"kind", d.Kind, "id", d.ID, "artifacts", d.ArtifactURI, "artifactsKept", r.Kept, "traces", r.Traces, "erasure", erase)
	return nil
}

func (s *Service) eraseExperiment(ctx context.Context, namespace, id string) error {
	if s.o.Evaluation != nil {
		if err := s.o.Evaluation.EraseExperiment(ctx, namespace, id); err != nil {
			return err
		}
	}
	return s.o.Records.EraseExperiment(ctx, namespace, id)
}
