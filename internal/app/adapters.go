package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"sync"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/monitor"
	"github.com/kiwerk/kiwerk/internal/pipeline"
	"github.com/kiwerk/kiwerk/internal/retrain"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/serving"
	"github.com/kiwerk/kiwerk/internal/tracking"
)

// resolver lets serving find models in the registry.
type resolver struct{ tracking *tracking.Service }

// ResolveModel implements serving.Resolver.
func (r resolver) ResolveModel(ctx context.Context, namespace, uri string) (serving.Model, error) {
	v, err := r.tracking.ResolveModel(ctx, namespace, uri)
	if err != nil {
		return serving.Model{}, modelError(err)
	}
	m := serving.Model{Name: v.Name, RunID: v.RunID, Source: v.ArtifactURI}
	if v.Version > 0 {
		m.Version = strconv.FormatInt(v.Version, 10)
	}
	return m, nil
}

// modelError keeps the text and tells serving what kind of fault it is.
func modelError(err error) error {
	switch server.AsError(err).Status {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", serving.ErrModelNotFound, err)
	case http.StatusBadRequest:
		return fmt.Errorf("%w: %w", serving.ErrInvalidAddress, err)
	}
	return err
}

// references lets monitors read the reference of the run that trained a version.
type references struct{ tracking *tracking.Service }

// RunOf implements monitor.Source.
func (r references) RunOf(ctx context.Context, namespace, name, version string) (string, error) {
	v, err := r.tracking.ResolveModel(ctx, namespace, "models:/"+name+"/"+version)
	if err != nil && server.AsError(err).Status == http.StatusNotFound {
		return "", fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	if err != nil {
		return "", err
	}
	if v.RunID == "" {
		return "", fmt.Errorf("version %s of model %q was made by no run: %w", version, name, fs.ErrNotExist)
	}
	return v.RunID, nil
}

// OpenArtifact implements monitor.Source. A file that is not there has no status; a 404 is about the run.
func (r references) OpenArtifact(ctx context.Context, namespace, run, path string) (io.ReadCloser, error) {
	f, err := r.tracking.Artifact(ctx, namespace, run, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && server.AsError(err).Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", monitor.ErrNoRun, err)
	}
	return f, err
}

// artifacts lets retraining hand data to workflows.
type artifacts struct{ blobs blob.Bucket }

// Put implements retrain.Artifacts.
func (a artifacts) Put(ctx context.Context, namespace, key string, r io.Reader) error {
	_, err := a.blobs.Create(ctx, pipeline.BlobKey(namespace, key), r)
	return err
}

// registry lets retraining mark versions.
type registry struct{ tracking *tracking.Service }

// VersionTags implements retrain.Registry.
func (r registry) VersionTags(ctx context.Context, namespace, name, version string) (map[string]string, error) {
	v, err := r.tracking.ResolveModel(ctx, namespace, "models:/"+name+"/"+version)
	if err != nil && server.AsError(err).Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", retrain.ErrNotFound, err)
	}
	return v.Tags, err
}

// SetVersionTag implements retrain.Registry.
func (r registry) SetVersionTag(ctx context.Context, namespace, name, version, key, value string) error {
	n, err := versionNumber(version)
	if err != nil {
		return err
	}
	return r.tracking.SetModelVersionTag(ctx, namespace, name, n, key, value)
}

// SetAlias implements retrain.Registry.
func (r registry) SetAlias(ctx context.Context, namespace, name, alias, version string) error {
	n, err := versionNumber(version)
	if err != nil {
		return err
	}
	return r.tracking.SetAlias(ctx, namespace, name, alias, n)
}

func versionNumber(version string) (int64, error) {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("model version %q is not a number: %w", version, retrain.ErrNotFound)
	}
	return n, nil
}

// ticker turns changes of tracking into ticks that never pile up.
type ticker struct {
	tracking *tracking.Service
	// matter tells which changes do; those that were missed always do.
	matter func(tracking.Change) bool
	ticks  chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func newTicker(t *tracking.Service, matter func(tracking.Change) bool) (<-chan struct{}, *ticker) {
	k := &ticker{tracking: t, matter: matter, ticks: make(chan struct{}, 1)}
	return k.ticks, k
}

// Init does nothing.
func (*ticker) Init(context.Context) error { return nil }

// Start begins to listen.
func (k *ticker) Start(ctx context.Context) error {
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	changes := k.tracking.Changes(ctx)
	k.done.Go(func() {
		for c := range changes {
			if c != (tracking.Change{}) && !k.matter(c) {
				continue
			}
			select {
			case k.ticks <- struct{}{}:
			default: // one is waiting already
			}
		}
	})
	return nil
}

// Stop ends the ticks.
func (k *ticker) Stop(context.Context) error {
	if k.cancel != nil {
		k.cancel()
		k.done.Wait()
	}
	return nil
}
