package tracking

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/lifecycle"
	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/rest"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
)

// Version is the release of MLflow whose API is served.
const Version = "3.17.2"

// KeyPrefix is where artifacts lie in the bucket; below it the keys are those
// of MLflow: experiment/run/artifacts/….
const KeyPrefix = "tracking"

// artifactRoot is how the addresses of artifacts begin.
const artifactRoot = "mlflow-artifacts:"

// Deps of the service; all but MaxArtifact, Sources and Webhooks are required.
type Deps struct {
	Store *db.Store
	Blobs blob.Bucket
	Clock func() time.Time
	// NewID makes ids of 32 hexadecimal digits: [RandomID] outside of tests.
	NewID  func() string
	Logger *slog.Logger
	// MaxArtifact bounds one uploaded file in bytes; 0 is no bound.
	MaxArtifact int64
	// Sources say which addresses model versions and experiments may name; the
	// zero value has upstream's defaults.
	Sources model.SourceRules
	// Webhooks is how they are delivered; the zero value is webhooks.DefaultConfig.
	Webhooks webhooks.Config
}

// Service is tracking and registry.
type Service struct {
	store    *store.Store
	blobs    blob.Bucket
	api      *rest.API
	webhooks *webhooks.Service
	changes  broadcast
}

// New brings the schema up to date. It starts no goroutine; [Service.Background] does.
func New(ctx context.Context, d Deps) (*Service, error) {
	if d.Store == nil || d.Blobs == nil || d.Clock == nil || d.NewID == nil || d.Logger == nil {
		return nil, errors.New("tracking: all dependencies are required")
	}
	hooks, err := webhooks.New(ctx, webhooks.Options{Config: d.Webhooks, DB: d.Store, Clock: d.Clock, NewID: d.NewID, Logger: d.Logger, Workspaces: true})
	if err != nil {
		return nil, err
	}
	st, err := store.New(ctx, store.Options{
		DB: d.Store, Clock: d.Clock, NewID: d.NewID,
		ArtifactRoot: artifactRoot, DefaultNamespace: server.DefaultNamespace, Sources: d.Sources, Listener: hooks,
	})
	if err != nil {
		return nil, err
	}
	s := &Service{store: st, blobs: d.Blobs, webhooks: hooks}
	s.api, err = rest.New(rest.Options{
		Store: st, Blobs: d.Blobs, KeyPrefix: KeyPrefix, ArtifactRoot: artifactRoot, Version: Version,
		Clock: d.Clock, Logger: d.Logger, MaxArtifact: d.MaxArtifact,
		Changed:  func(namespace, name string) { s.changes.send(Change{Namespace: namespace, Model: name}) },
		Uploaded: func(namespace, path string) { s.changes.send(Change{Namespace: namespace, Artifact: path}) },
	})
	return s, err
}

// RandomID is 32 hexadecimal digits, as MLflow's ids are.
func RandomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails, as its documentation promises
	return hex.EncodeToString(b[:])
}

// Endpoints are the routes of the API.
func (s *Service) Endpoints() []server.Endpoint {
	return route.Flat(
		s.api.Endpoints(),
		s.webhooks.Endpoints(),
	)
}

// Background are the components that work beside the requests: the delivery of webhooks.
func (s *Service) Background() lifecycle.Component { return s.webhooks.Deliveries() }
