package data

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/store"
)

//go:embed migrations
var migrationFiles embed.FS

// Migrations is the schema of this package.
func Migrations() store.Migrations {
	return store.Migrations{Owner: "data", FS: migrationFiles}
}

// Deps are what the service works with. Store, Blobs, TempDir, Now and Logger are required.
type Deps struct {
	Store *store.Store
	Blobs blob.Bucket
	// TempDir takes uploads while they are checked; it should be on the disk of the data directory.
	TempDir string
	Now     func() time.Time
	Logger  *slog.Logger
	// Metrics gets the counters; nil leaves them out.
	Metrics prometheus.Registerer
	// Retention of predictions of endpoints that no monitor asks about; 0 is 30 days.
	Retention time.Duration
	// MaxUpload bounds a data-set version in bytes; 0 is 2 GiB.
	MaxUpload int64
	// Queue is the number of predictions that may wait to be written; 0 is 16,384.
	Queue int
}

const (
	defaultRetention = 30 * 24 * time.Hour
	defaultMaxUpload = 2 << 30
	defaultQueue     = 16_384
)

// Service stores data sets and predictions. It is a lifecycle.Component.
type Service struct {
	deps Deps
	recorder

	mu         sync.RWMutex
	recordings map[endpointKey]*Recording
	watchers   map[int]func(namespace, endpoint string)
	watcherID  int
}

type endpointKey struct{ namespace, endpoint string }

// New checks the dependencies. Nothing is recorded before Start.
func New(d Deps) (*Service, error) {
	if d.Store == nil || d.Blobs == nil || d.TempDir == "" || d.Now == nil || d.Logger == nil {
		return nil, errors.New("data: Store, Blobs, TempDir, Now and Logger are required")
	}
	if d.Retention <= 0 {
		d.Retention = defaultRetention
	}
	if d.MaxUpload <= 0 {
		d.MaxUpload = defaultMaxUpload
	}
	if d.Queue <= 0 {
		d.Queue = defaultQueue
	}
	s := &Service{deps: d, recordings: map[endpointKey]*Recording{}, watchers: map[int]func(string, string){}}
	s.init(d.Queue)
	if d.Metrics != nil {
		for _, c := range s.collectors() {
			if err := d.Metrics.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// Init brings the schema up to date and reads what is to be recorded.
func (s *Service) Init(ctx context.Context) error {
	if err := os.MkdirAll(s.deps.TempDir, 0o700); err != nil {
		return fmt.Errorf("folder for uploads: %w", err)
	}
	// What a crash left behind; nothing is being uploaded yet.
	left, err := filepath.Glob(filepath.Join(s.deps.TempDir, tempPattern))
	if err != nil {
		return err
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("folder for uploads: %w", err)
		}
	}
	if err := s.deps.Store.Migrate(ctx, Migrations()); err != nil {
		return err
	}
	return s.loadRecordings(ctx)
}

// tempPattern of the names of uploads.
const tempPattern = "dataset-*"

// Start begins to write what Record takes.
func (s *Service) Start(ctx context.Context) error {
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.done.Go(func() { s.write(ctx) })
	s.done.Go(func() { s.sweepLoop(ctx) })
	return nil
}

// Stop writes what was taken and ends.
func (s *Service) Stop(context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.done.Wait()
	return nil
}

// Watch calls fn after rows or labels of an endpoint were stored. fn must not
// block: the writer waits for it. The returned function ends the calls.
func (s *Service) Watch(fn func(namespace, endpoint string)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.watcherID
	s.watcherID++
	s.watchers[id] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
	}
}

func (s *Service) changed(key endpointKey) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, fn := range s.watchers {
		fn(key.namespace, key.endpoint)
	}
}
