package rest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

// Options of the API; all but MaxArtifact are required.
type Options struct {
	Store *store.Store
	Blobs blob.Bucket
	// KeyPrefix is where artifacts lie in the bucket, e.g. "tracking".
	KeyPrefix string
	// ArtifactRoot is how their addresses begin, e.g. "mlflow-artifacts:".
	ArtifactRoot string
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
}

// API serves the calls.
type API struct {
	o     Options
	store *store.Store
	codec mlwire.Codec
}

// New checks the options.
func New(o Options) (*API, error) {
	if o.Store == nil || o.Blobs == nil || o.KeyPrefix == "" || o.ArtifactRoot == "" || o.Version == "" || o.Clock == nil || o.Logger == nil || o.Changed == nil || o.Uploaded == nil {
		return nil, errors.New("tracking API: all options are required")
	}
	return &API{o: o, store: o.Store, codec: mlwire.Codec{Log: o.Logger}}, nil
}

// Endpoints are all routes.
func (a *API) Endpoints() []server.Endpoint {
	var list []server.Endpoint
	for _, group := range [][]server.Endpoint{
		a.experiments(), a.runs(), a.logging(), a.histories(), a.loggedModels(), a.registry(), a.versions(), a.artifacts(), a.webPage(), a.fallback(),
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
