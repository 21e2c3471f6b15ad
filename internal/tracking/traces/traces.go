package traces

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/prices"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// Tracking knows the experiments and runs that traces belong to.
type Tracking interface {
	// Experiment finds an experiment by id, also a deleted one.
	Experiment(ctx context.Context, namespace, id string) (model.Experiment, error)
	// CreateExperiment makes one.
	CreateExperiment(ctx context.Context, namespace, name, location string, tags []model.Pair) (int64, error)
	// RunInfo finds a run.
	RunInfo(ctx context.Context, namespace, id string) (model.RunInfo, error)
}

// Options of the service; all but KeyPrefix and Open are required.
type Options struct {
	DB       *db.Store
	Tracking Tracking
	// Blobs has the artifacts; KeyPrefix is where they lie; empty is the top.
	Blobs     blob.Bucket
	KeyPrefix string
	// Open opens a file below an address that the caller may read; nil reads the artifacts of this server only.
	Open  func(ctx context.Context, uri, file string) (io.ReadCloser, error)
	Clock func() time.Time
	// NewID makes ids of 32 hexadecimal digits.
	NewID  func() string
	Logger *slog.Logger
	// Prices of tokens; nil knows none.
	Prices *prices.Catalog
}

// Service serves traces.
type Service struct {
	o     Options
	store *store.Store
	codec mlwire.Codec
}

// New brings the schema up to date.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.Tracking == nil || o.Blobs == nil || o.Logger == nil {
		return nil, errors.New("traces: all options are required")
	}
	st, err := store.New(ctx, store.Options{DB: o.DB, Clock: o.Clock, NewID: o.NewID})
	return &Service{o, st, mlwire.Codec{Log: o.Logger}}, err
}

// Endpoints are all routes.
func (s *Service) Endpoints() []server.Endpoint {
	return slices.Concat(s.v3(), s.v2(), s.assessments(), s.artifacts(), s.otlp())
}

// call is one call of the API.
func call[Req any, Resp any, PResp interface {
	*Resp
	mlwire.Appender
}](s *Service, method, path, verb, summary string, execute func(ctx context.Context, namespace string, q *Req) (*Resp, error)) []server.Endpoint {
	return route.Call[Req, Resp, PResp](s.codec, route.Spec{
		Method: method, Path: path, Verb: verb, Resource: route.Experiments, Summary: summary, MaxBody: route.Batch,
	}, func(ctx context.Context, q *Req) (*Resp, error) { return execute(ctx, server.NamespaceOf(ctx), q) })
}

// defaultName is the experiment of those who name none.
const defaultName = "Default"

// experiment finds one that can be written to. The default experiment of a
// namespace begins to exist with the first trace.
func (s *Service) experiment(ctx context.Context, namespace, id string) (model.Experiment, error) {
	e, err := s.o.Tracking.Experiment(ctx, namespace, id)
	if n, _ := model.ParseExperimentID(id); n == 0 && model.IsMissing(err) {
		if _, err := s.o.Tracking.CreateExperiment(ctx, namespace, defaultName, "", nil); err != nil && !isExists(err) {
			return e, err
		}
		e, err = s.o.Tracking.Experiment(ctx, namespace, id)
	}
	if err == nil && e.Deleted {
		err = model.Invalid("The experiment %d must be in the 'active' state. Current state is deleted.", e.ID)
	}
	return e, err
}

func isExists(err error) bool {
	var e *server.Error
	return errors.As(err, &e) && e.Code == model.CodeExists
}

// experiments resolves ids; one that does not exist has no traces.
func (s *Service) experiments(ctx context.Context, namespace string, list []string) ([]int64, error) {
	found := []int64{}
	for _, id := range list {
		n, err := model.ParseExperimentID(id)
		if err != nil {
			return nil, err
		}
		if n == 0 && namespace != server.DefaultNamespace {
			e, err := s.o.Tracking.Experiment(ctx, namespace, id)
			if err != nil && !model.IsMissing(err) {
				return nil, err
			}
			n = e.ID
		}
		if !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	return found, nil
}

// Delete deletes traces of an experiment and their artifacts, and tells how many there were.
func (s *Service) Delete(ctx context.Context, namespace, experiment string, which store.Selection) (int, error) {
	list, err := s.experiments(ctx, namespace, []string{experiment})
	if err != nil {
		return 0, err
	}
	ids, err := s.store.Delete(ctx, namespace, list[0], which)
	for _, id := range ids { // the records are gone: what is left behind now can be reached by nobody
		key := path.Join(s.o.KeyPrefix, strconv.FormatInt(list[0], 10), "traces", id)
		if fault := s.o.Blobs.Delete(ctx, key); fault != nil {
			s.o.Logger.WarnContext(ctx, "artifacts of a deleted trace remain", "trace", id, "key", key, "error", fault)
		}
	}
	return len(ids), err
}

// Experiments tells the experiments of traces by trace id; what does not exist is left out.
func (s *Service) Experiments(ctx context.Context, namespace string, ids []string) (map[string]int64, error) {
	list, err := s.store.Infos(ctx, namespace, ids, nil)
	found := make(map[string]int64, len(list))
	for _, i := range list {
		found[i.ID] = i.Experiment
	}
	return found, err
}

// ExperimentOf is the number of the experiment that a trace belongs to.
func (s *Service) ExperimentOf(ctx context.Context, namespace, trace string) (int64, error) {
	i, err := s.store.Info(ctx, namespace, trace)
	return i.Experiment, err
}

// IssueCounts tells how many traces have each of some issues.
func (s *Service) IssueCounts(ctx context.Context, namespace string, issues []string) (map[string]int64, error) {
	return s.store.IssueCounts(ctx, namespace, issues)
}
