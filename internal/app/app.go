package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/lifecycle"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
)

// Options of an [App]. All but Local and Phase are required.
type Options struct {
	Config config.Config
	// DataDir holds the database and the artifacts.
	DataDir string
	// Platform is how pods reach us.
	Platform kube.Platform
	// Local is nil on a cluster.
	Local  *Local
	Front  *front.Front
	Clock  clock.WithTicker
	Logger *slog.Logger
	// Collectors and Endpoints belong to who starts the platform: what of the
	// machine it shows beside the capabilities.
	Collectors []prometheus.Collector
	Endpoints  []server.Endpoint
	// Phase, if set, hears when a part of the start is done and how long it took.
	Phase func(name string, took time.Duration)
}

// Phases of a start.
const (
	PhaseData        = "data"
	PhaseDefinitions = "definitions"
	PhaseControllers = "controllers"
)

// App is the platform.
type App struct {
	opts    Options
	log     *slog.Logger
	store   *store.Store
	blobs   blob.Bucket
	manager ctrl.Manager
	group   *lifecycle.Group
	// metrics of the capabilities; those of the controllers are in controller-runtime's registry.
	metrics *prometheus.Registry

	capabilities []capability
	stopOnce     sync.Once
	stopErr      error
}

// New checks the options.
func New(o Options) (*App, error) {
	if o.DataDir == "" || o.Front == nil || o.Clock == nil || o.Logger == nil {
		return nil, errors.New("app: DataDir, Front, Clock and Logger are required")
	}
	if err := CheckConfig(o.Config); err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	for _, c := range o.Collectors {
		if err := metrics.Register(c); err != nil {
			return nil, fmt.Errorf("app: %w", err)
		}
	}
	return &App{opts: o, log: o.Logger, group: lifecycle.NewGroup(), metrics: metrics}, nil
}

// CheckConfig returns every problem of a configuration.
func CheckConfig(c config.Config) error {
	err := c.Validate()
	if c.Tracking.Artifacts == "" {
		return err
	}
	problem := config.Problem{Path: "tracking.artifacts"}
	p, placeErr := blob.ParsePlace(c.Tracking.Artifacts)
	switch {
	case placeErr != nil:
		problem.Text = placeErr.Error()
	case p.Scheme == "file" && (!filepath.IsAbs(p.Bucket) || p.Bucket == "/"):
		problem.Text = fmt.Sprintf("%q must be an absolute folder below /, or a bucket", c.Tracking.Artifacts)
	default:
		return err
	}
	return errors.Join(err, problem)
}

// DatabaseFile is where the SQL database lies below the data directory.
func DatabaseFile(dataDir string) string { return filepath.Join(dataDir, "platform.db") }

// ArtifactDir is where artifacts lie below the data directory.
func ArtifactDir(dataDir string) string { return filepath.Join(dataDir, "artifacts") }

// Open opens the database and the artifacts; it needs no Kubernetes, so a
// local start does it while the API server comes up.
func (a *App) Open(ctx context.Context) error {
	return a.phase(PhaseData, func() (err error) {
		a.store, err = store.Open(ctx, store.Options{Path: DatabaseFile(a.opts.DataDir), Logger: a.logger("store")})
		if err != nil {
			return err
		}
		bucket, err := a.openArtifacts(ctx)
		if err == nil {
			a.blobs = bucket
		}
		return err
	})
}

// openArtifacts opens the configured place. What lies in the folder of the
// data directory stays there.
func (a *App) openArtifacts(ctx context.Context) (blob.Bucket, error) {
	folder, place := ArtifactDir(a.opts.DataDir), a.opts.Config.Tracking.Artifacts
	if place == "" {
		return blob.OpenFolder(folder)
	}
	if entries, err := os.ReadDir(folder); err == nil && len(entries) > 1 { // one is that of writes under way
		a.log.WarnContext(ctx, "artifacts of before are not found any more; copy them to tracking.artifacts", "from", folder, "to", place)
	}
	return blob.Open(ctx, place)
}

// Start returns when every kind is served, all controllers have synced and the
// routes answer. [App.Open] comes first.
func (a *App) Start(ctx context.Context, cfg *rest.Config) error {
	if a.store == nil || a.blobs == nil {
		return errors.New("app: Open was not called")
	}
	cfg = clientConfig(cfg)
	if err := a.buildManager(cfg); err != nil {
		return err
	}
	var err error
	if a.capabilities, err = a.build(ctx, a.manager); err != nil {
		return err
	}
	if err := a.phase(PhaseDefinitions, func() error { return a.define(ctx, cfg) }); err != nil {
		return err
	}
	if err := a.phase(PhaseControllers, func() error { return a.startControllers(ctx) }); err != nil {
		return err
	}
	if err := a.canWrite(ctx); err != nil {
		return fmt.Errorf("the database cannot be written: %w", err)
	}
	return a.serve()
}

// clientConfig drops the loopback client's protobuf: our kinds know JSON only,
// and controller-runtime picks per type. Nor does it wait by itself: the API
// server says when it is busy, and five reviews a second would hold up logins.
func clientConfig(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.ContentType, cfg.AcceptContentTypes = "", ""
	if cfg.QPS == 0 {
		cfg.QPS = -1
	}
	return cfg
}

func (a *App) buildManager(cfg *rest.Config) error {
	scheme := runtime.NewScheme()
	for _, add := range schemes {
		if err := add(scheme); err != nil {
			return err
		}
	}
	skipNames := true // two platforms in one test process are two managers
	var err error
	a.manager, err = ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme, MapperProvider: mapper(scheme), Logger: logr.FromSlogHandler(Quieter(a.logger("controllers"), slog.LevelWarn).Handler()),
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		Controller:             ctrlconfig.Controller{SkipNameValidation: &skipNames},
		Cache:                  cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: uncached()}},
	})
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	return nil
}

// define installs kinds and roles.
func (a *App) define(ctx context.Context, cfg *rest.Config) error {
	var kinds []kube.Kind
	for _, c := range a.capabilities {
		kinds = append(kinds, c.kinds...)
	}
	if err := kube.EnsureCRDs(ctx, cfg, kinds); err != nil {
		return err
	}
	return ensureRoles(ctx, cfg)
}

func (a *App) startControllers(ctx context.Context) error {
	for _, c := range a.capabilities {
		if c.before != nil {
			a.group.Add(c.name, c.before)
		}
		if c.setup == nil {
			continue
		}
		if err := c.setup(a.manager); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	a.group.Add("controllers", &lifecycle.Runner{
		Run:    a.manager.Start,
		OnExit: func(err error) { a.group.Fail(fmt.Errorf("the controllers ended: %w", err)) },
	})
	a.group.Add("caches", synced{a.manager.GetCache()})
	for _, c := range a.capabilities {
		if c.after != nil {
			a.group.Add(c.name, c.after)
		}
	}
	return a.group.Start(ctx)
}

// synced is started when the caches are full.
type synced struct{ cache cache.Cache }

func (synced) Init(context.Context) error { return nil }

func (s synced) Start(ctx context.Context) error {
	if !s.cache.WaitForCacheSync(ctx) {
		return fmt.Errorf("the caches of the controllers were not filled in time: %w", ctx.Err())
	}
	return nil
}

func (synced) Stop(context.Context) error { return nil }

func (a *App) logger(component string) *slog.Logger { return a.log.With("component", component) }

// canWrite proves that an acknowledged write reaches the disk.
func (a *App) canWrite(ctx context.Context) error {
	return a.store.Update(ctx, func(t *store.Tx) error {
		if err := t.Script("CREATE TABLE IF NOT EXISTS platform_starts(id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL)"); err != nil {
			return err
		}
		_, err := t.Exec("INSERT INTO platform_starts(id, at) VALUES(1, ?) ON CONFLICT(id) DO UPDATE SET at = excluded.at", a.opts.Clock.Now().UnixMilli())
		return err
	})
}

func (a *App) serve() error {
	var endpoints []server.Endpoint
	for _, c := range a.capabilities {
		endpoints = append(endpoints, c.endpoints...)
	}
	own := &ownRoutes{app: a}
	endpoints = append(endpoints, own.endpoints()...)
	endpoints = append(endpoints, a.opts.Endpoints...)
	c := a.manager.GetClient()
	s, err := server.New(server.Options{
		Authenticator: newAuthenticator(a.opts.Local, c, a.opts.Clock),
		Authorizer:    newAuthorizer(c, a.opts.Clock),
		Hosts:         a.hosts(),
		Endpoints:     endpoints,
		Logger:        a.logger("server"),
	})
	if err != nil {
		return err
	}
	own.server = s
	a.opts.Front.SetHandler(s)
	return nil
}

// Failed delivers the error of a part that ended by itself.
func (a *App) Failed() <-chan error { return a.group.Failed() }

// Stop ends everything that Open and Start began. The front is its owner's.
func (a *App) Stop(ctx context.Context) error {
	a.stopOnce.Do(func() {
		errs := []error{a.group.Stop(ctx)}
		if a.blobs != nil {
			errs = append(errs, blob.Close(a.blobs))
		}
		if a.store != nil {
			errs = append(errs, a.store.Close())
		}
		a.stopErr = errors.Join(errs...)
	})
	return a.stopErr
}

func (a *App) phase(name string, f func() error) error {
	begun := a.opts.Clock.Now()
	if err := f(); err != nil {
		return err
	}
	took := a.opts.Clock.Since(begun)
	a.log.Info("phase done", "phase", name, "duration", took)
	if a.opts.Phase != nil {
		a.opts.Phase(name, took)
	}
	return nil
}

// StopControllers ends the controllers and leaves the routes; [App.Stop] ends the rest.
func (a *App) StopControllers(ctx context.Context) error { return a.group.Stop(ctx) }

// Summary names the capabilities, for a person.
func (a *App) Summary() string {
	names := make([]string, 0, len(a.capabilities))
	for _, c := range a.capabilities {
		names = append(names, c.name)
	}
	const shown = 4
	if len(names) > shown {
		names = append(names[:shown], "…")
	}
	return strings.Join(names, ", ")
}
