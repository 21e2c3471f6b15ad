package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/kiwerk/kiwerk/internal/data"
)

// Data is what was recorded of an endpoint. *data.Service is one.
type Data interface {
	CountSamples(ctx context.Context, namespace, endpoint string, from time.Time) (int, error)
	Freeze(ctx context.Context, r data.FreezeRequest) (*data.Frozen, error)
	Scores(ctx context.Context, namespace, endpoint string, from time.Time) ([]data.VersionScore, error)
}

// Datasets reads what was frozen. *data.Service is one.
type Datasets interface {
	Version(ctx context.Context, namespace, name, version string) (*data.Version, error)
	LatestOf(ctx context.Context, namespace, name, origin string) (*data.Version, error)
	Frame(ctx context.Context, v *data.Version, label string) (data.Frame, error)
	Open(ctx context.Context, v *data.Version) (io.ReadCloser, error)
}

// Artifacts takes what workflows get as input artifacts.
type Artifacts interface {
	Put(ctx context.Context, namespace, key string, r io.Reader) error
}

// ErrNotFound means that the registry has no such version.
var ErrNotFound = errors.New("not found")

// Registry knows model versions.
type Registry interface {
	// VersionTags returns the tags of a version, or ErrNotFound.
	VersionTags(ctx context.Context, namespace, model, version string) (map[string]string, error)
	SetVersionTag(ctx context.Context, namespace, model, version, key, value string) error
	SetAlias(ctx context.Context, namespace, model, alias, version string) error
}

// Predictor asks an endpoint without being recorded.
type Predictor interface {
	// Predict returns one output for each row.
	Predict(ctx context.Context, namespace, endpoint string, rows [][]float64) ([]json.RawMessage, error)
}

// Traffic counts what the gateway sent to a revision since it started.
type Traffic interface {
	Counts(namespace, endpoint, revision string) (requests, errors int64)
}

// Alias of the version that serves, and the tags by which decisions are told.
const (
	AliasChampion = "champion"
	// TagVerdict of a version is promoted, rejected or rolled-back.
	TagVerdict = "kiwerk.retrain.verdict"
	// TagReason says why.
	TagReason = "kiwerk.retrain.reason"
	// TagRetraining names the retraining that made a version.
	TagRetraining = "kiwerk.retrain.id"
)

// Values of TagVerdict.
const (
	VerdictPromoted   = "promoted"
	VerdictRejected   = "rejected"
	VerdictRolledBack = "rolled-back"
)
