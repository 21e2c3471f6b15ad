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
	"github.com/kiwerk/kiwerk/internal/tracking/digests"
	"github.com/kiwerk/kiwerk/internal/tracking/gc"
	"github.com/kiwerk/kiwerk/internal/tracking/genai"
	"github.com/kiwerk/kiwerk/internal/tracking/graphql"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
	"github.com/kiwerk/kiwerk/internal/tracking/mcp"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/rest"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
	"github.com/kiwerk/kiwerk/internal/tracking/traces"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/prices"
	"github.com/kiwerk/kiwerk/internal/tracking/unserved"
	"github.com/kiwerk/kiwerk/internal/tracking/webhooks"
)

// Version is the release of MLflow whose API is served.
const Version = "3.17.2"

// KeyPrefix is where artifacts lie in the bucket; below it the keys are those
// of MLflow: experiment/run/artifacts/….
const KeyPrefix = "tracking"

// artifactRoot is how the addresses of artifacts begin.
const artifactRoot = "mlflow-artifacts:"

// Deps of the service. Store, Blobs, Clock, NewID and Logger are required.
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
	// Prices of language models give spans their cost; nil are none.
	Prices *prices.Catalog
	// GraphQL bounds the queries of the web page.
	GraphQL graphql.Limits
	// Webhooks is how they are delivered; the zero value is webhooks.DefaultConfig.
	Webhooks webhooks.Config
	// MCP says which icons MCP servers may have; the zero value is mcp.DefaultConfig.
	MCP mcp.Config
	// KeyPrefix is where artifacts lie in the bucket, e.g. [KeyPrefix]; empty is its top.
	KeyPrefix string
	// ArtifactRoot begins the addresses of new experiments' artifacts; empty
	// is the server's own store, mlflow-artifacts:.
	ArtifactRoot string
	// Location makes the address that a client gives a new experiment whole; nil leaves it.
	Location func(string) (string, error)
	// Elsewhere opens what an address beside mlflow-artifacts: names: a bucket
	// and the key of the folder in it. Nil reads nothing there.
	Elsewhere func(ctx context.Context, uri string) (bucket blob.Bucket, key string, err error)
	// NoProxy turns mlflow-artifacts off: clients reach the artifacts themselves.
	NoProxy bool
	// Origin is what the platform knows of who creates a run, as tags; nil is nothing.
	Origin func(ctx context.Context) []model.Pair
	// Served are the endpoints of a project; nil are none.
	Served lineage.Endpoints
	// Owners are told of objects that are made, renamed and deleted; nil is nobody.
	Owners store.Owners
	// NoWorkspaces says that there is one project only.
	NoWorkspaces bool
}

// Service is tracking and registry.
type Service struct {
	db       *db.Store
	store    *store.Store
	digests  *digests.Digests
	blobs    blob.Bucket
	prefix   string
	api      *rest.API
	web      *graphql.Handler
	webhooks *webhooks.Service
	traces   *traces.Service
	gc       *gc.Service
	genai    *genai.Service
	mcp      *mcp.Service
	lineage  *lineage.Service
	changes  broadcast
	// removeFolder removes a folder of artifacts by its address.
	removeFolder func(ctx context.Context, uri string) error
}

// New brings the schema up to date. It starts no goroutine; [Service.Background] does.
func New(ctx context.Context, d Deps) (*Service, error) {
	if d.Store == nil || d.Blobs == nil || d.Clock == nil || d.NewID == nil || d.Logger == nil {
		return nil, errors.New("tracking: all dependencies are required")
	}
	hooks, err := webhooks.New(ctx, webhooks.Options{Config: d.Webhooks, DB: d.Store, Clock: d.Clock, NewID: d.NewID, Logger: d.Logger, Workspaces: !d.NoWorkspaces})
	if err != nil {
		return nil, err
	}
	root := d.ArtifactRoot
	if root == "" {
		root = artifactRoot
	}
	st, err := store.New(ctx, store.Options{
		DB: d.Store, Clock: d.Clock, NewID: d.NewID, Location: d.Location, Sources: d.Sources, Listener: hooks, Owners: d.Owners,
		ArtifactRoot: root, DefaultNamespace: server.DefaultNamespace,
	})
	if err != nil {
		return nil, err
	}
	sums, err := digests.New(ctx, d.Store)
	if err != nil {
		return nil, err
	}
	secret, err := sums.Secret(ctx, "parts")
	if err != nil {
		return nil, err
	}
	s := &Service{db: d.Store, store: st, digests: sums, blobs: d.Blobs, prefix: d.KeyPrefix, webhooks: hooks}
	s.api, err = rest.New(rest.Options{
		Store: st, Blobs: d.Blobs, Digests: sums, Secret: secret, KeyPrefix: d.KeyPrefix, ArtifactRoot: artifactRoot, Root: d.ArtifactRoot, Version: Version,
		Elsewhere: d.Elsewhere, NoProxy: d.NoProxy, Origin: d.Origin, NoWorkspaces: d.NoWorkspaces,
		Clock: d.Clock, Logger: d.Logger, MaxArtifact: d.MaxArtifact,
		Changed:  func(namespace, name string) { s.changes.send(Change{Namespace: namespace, Model: name}) },
		Uploaded: func(namespace, path string) { s.changes.send(Change{Namespace: namespace, Artifact: path}) },
	})
	if err != nil {
		return nil, err
	}
	s.traces, err = traces.New(ctx, traces.Options{
		DB: d.Store, Tracking: st, Blobs: d.Blobs, KeyPrefix: d.KeyPrefix, Open: s.api.Open, Clock: d.Clock, NewID: d.NewID, Logger: d.Logger,
		Prices: d.Prices,
	})
	if err != nil {
		return nil, err
	}
	s.lineage = lineage.New(st, d.Served)
	s.genai, err = genai.New(ctx, genai.Options{DB: d.Store, Clock: d.Clock, NewID: d.NewID, Logger: d.Logger, Experiments: st, Traces: s.traces, Owners: d.Owners})
	if err != nil {
		return nil, err
	}
	s.mcp, err = mcp.New(ctx, mcp.Options{Config: d.MCP, Owners: d.Owners, DB: d.Store, Clock: d.Clock, NewID: d.NewID, Logger: d.Logger})
	if err != nil {
		return nil, err
	}
	s.removeFolder = s.remover(d.Elsewhere)
	s.gc = gc.New(gc.Options{Records: st, Traces: s.traces, Evaluation: s.genai, RemoveArtifacts: s.removeFolder, Clock: d.Clock, Logger: d.Logger})
	s.web, err = graphql.New(graphql.Options{Calls: s.api.Calls(), Limits: d.GraphQL, Codec: mlwire.Codec{Log: d.Logger}})
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
		s.traces.Endpoints(),
		s.web.Endpoints(),
		s.webhooks.Endpoints(),
		s.gc.Endpoints(),
		s.genai.Endpoints(),
		s.mcp.Endpoints(),
		s.lineage.Endpoints(),
		unserved.Endpoints(mlwire.Codec{}),
	)
}

// Background are the components that work beside the requests: the delivery of webhooks.
func (s *Service) Background() lifecycle.Component { return s.webhooks.Deliveries() }
