package migrate

import (
	"context"
	"errors"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// Run is a run without its points, and when it was deleted.
type Run struct {
	model.Run
	DeletedAt int64
}

// Source is where things come from. Each method calls fn for one after the
// other, the deleted ones too, and ends with its error.
type Source interface {
	Experiments(ctx context.Context, fn func(model.Experiment) error) error
	Runs(ctx context.Context, fn func(Run) error) error
	Points(ctx context.Context, run string, fn func(model.Metric) error) error
	Models(ctx context.Context, fn func(model.LoggedModel) error) error
	Registry(ctx context.Context, fn func(store.Registered) error) error
}

// Traced is a source that has traces too.
type Traced interface {
	Traces(ctx context.Context, fn func(traces.Whole) error) error
}

// ErrUnsupported is a source that cannot be read, with the reason.
var ErrUnsupported = errors.New("cannot be brought over")

// kiwerk is our own database as a source: of an export, and of the check of an import.
type kiwerk struct{ *store.Store }

// Kiwerk lets a tracking store be read, with its traces unless t is nil.
func Kiwerk(s *store.Store, t *traces.Store) Source {
	if t == nil {
		return kiwerk{s}
	}
	return traced{kiwerk{s}, t}
}

func (k kiwerk) Experiments(ctx context.Context, fn func(model.Experiment) error) error {
	return k.EachExperiment(ctx, fn)
}

func (k kiwerk) Runs(ctx context.Context, fn func(Run) error) error {
	return k.EachRun(ctx, func(r model.Run, at int64) error { return fn(Run{r, at}) })
}

func (k kiwerk) Points(ctx context.Context, run string, fn func(model.Metric) error) error {
	return k.EachPoint(ctx, run, fn)
}

func (k kiwerk) Models(ctx context.Context, fn func(model.LoggedModel) error) error {
	return k.EachLoggedModel(ctx, fn)
}

func (k kiwerk) Registry(ctx context.Context, fn func(store.Registered) error) error {
	return k.EachRegistered(ctx, fn)
}

// traced is our own database with its traces.
type traced struct {
	kiwerk
	traces *traces.Store
}

func (t traced) Traces(ctx context.Context, fn func(traces.Whole) error) error {
	return t.traces.Each(ctx, fn)
}
