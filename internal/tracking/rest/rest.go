package rest

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/digests"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Options of the API; those that may be empty say so.
type Options struct {
	Store *store.Store
	// ArtifactsOnly says that there is no store: only the routes of
	// mlflow-artifacts and the handshake may be served.
	ArtifactsOnly bool
	Blobs         blob.Bucket
	// Digests has the SHA-256 of each artifact.
	Digests *digests.Digests
	// Secret signs the addresses of parts of uploads.
	Secret []byte
	// KeyPrefix is where artifacts lie in the bucket, e.g. "tracking"; empty is its top.
	KeyPrefix string
	// ArtifactRoot is how their addresses begin, e.g. "mlflow-artifacts:".
	ArtifactRoot string
	// Root is where new experiments keep their artifacts, if it is not ArtifactRoot.
	Root string
	// Version is the release of MLflow whose API this is.
	Version string
	Clock   func() time.Time
	Logger  *slog.Logger
	// Changed hears of every change of a registered model.
	Changed func(namespace, name string)
	// Uploaded hears of every artifact that was stored.
	Uploaded func(namespace, path string)
	// MaxArtifact bounds one uploaded file in bytes; 0 is no bound.
	MaxArtifact int64
	// Elsewhere opens an address beside ArtifactRoot: a bucket and the key of
	// the folder in it. Nil reads nothing there.
	Elsewhere func(ctx context.Context, uri string) (bucket blob.Bucket, key string, err error)
	// NoProxy refuses the routes of mlflow-artifacts; clients reach the artifacts themselves.
	NoProxy bool
	// Origin is what the platform knows of who creates a run; nil is nothing.
	Origin func(ctx context.Context) []model.Pair
	// NoWorkspaces says that there is one project only.
	NoWorkspaces bool
}

// API serves the calls.
type API struct {
	o     Options
	store *store.Store
	codec mlwire.Codec
	// tidied is the hour, since 1970, in which old parts of uploads were last looked for.
	tidied atomic.Int64
}

// New checks the options.
func New(o Options) (*API, error) {
	if o.Store == nil && !o.ArtifactsOnly || o.Blobs == nil || o.Digests == nil || len(o.Secret) == 0 || o.ArtifactRoot == "" || o.Version == "" || o.Clock == nil || o.Logger == nil || o.Changed == nil || o.Uploaded == nil {
		return nil, errors.New("tracking API: all options are required")
	}
	return &API{o: o, store: o.Store, codec: mlwire.Codec{Log: o.Logger}}, nil
}

// Endpoints are all routes.
func (a *API) Endpoints() []server.Endpoint {
	var list []server.Endpoint
	for _, group := range [][]server.Endpoint{
		a.experiments(), a.runs(), a.logging(), a.histories(), a.loggedModels(), a.registry(), a.versions(), a.artifacts(), a.multipart(), a.webPage(), a.promptLab(), a.fallback(),
	} {
		list = append(list, group...)
	}
	return list
}

// call is one call below /api/2.0/mlflow.
func call[Req any, Resp any, PResp interface {
	*Resp
	mlwire.Appender
}](a *API, method, path, verb, resource, summary string, maxBody int64, execute func(context.Context, *Req) (*Resp, error)) []server.Endpoint {
	return route.Call[Req, Resp, PResp](a.codec, route.Spec{
		Method: method, Path: route.V2 + path, Verb: verb, Resource: resource, Summary: summary, MaxBody: maxBody,
	}, execute)
}
