package genai

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-genai", FS: migrations} }

// Experiments finds the experiments that things belong to.
type Experiments interface {
	Experiment(ctx context.Context, namespace, id string) (model.Experiment, error)
}

// Options of the service; all but Owners are required.
type Options struct {
	DB    *db.Store
	Clock func() time.Time
	// NewID makes ids of 32 hexadecimal digits.
	NewID       func() string
	Logger      *slog.Logger
	Experiments Experiments
	Traces      Traces
	Owners      Owners
}

// Traces answers what is asked about traces.
type Traces interface {
	// Experiments of traces, by trace id; unknown ones are left out.
	Experiments(ctx context.Context, namespace string, ids []string) (map[string]int64, error)
	// IssueCounts tells how many traces have each of some issues.
	IssueCounts(ctx context.Context, namespace string, issues []string) (map[string]int64, error)
}

// Service keeps and serves the objects.
type Service struct {
	o     Options
	db    *db.Store
	codec mlwire.Codec
}

// New brings the schema up to date.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.DB == nil || o.Clock == nil || o.NewID == nil || o.Logger == nil || o.Experiments == nil || o.Traces == nil {
		return nil, errors.New("genai: all options are required")
	}
	if err := o.DB.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	return &Service{o: o, db: o.DB, codec: mlwire.Codec{Log: o.Logger}}, nil
}

// Endpoints are the routes.
func (s *Service) Endpoints() []server.Endpoint {
	return route.Flat(s.datasets(), s.records(), s.scorers(), s.issues(), s.labels(), s.queues(), s.items(), s.jobs())
}

// read, write and erase are the permissions of a route; all of them are on experiments.
const (
	read  = "get"
	write = "update"
	erase = "delete"
)

func call[Req, Resp any, PResp interface {
	*Resp
	mlwire.Appender
}](s *Service, method, path, verb, summary string, execute func(context.Context, *Req) (*Resp, error)) []server.Endpoint {
	return route.Call[Req, Resp, PResp](s.codec, route.Spec{Method: method, Path: route.V3 + path, Verb: verb, Resource: route.Experiments, Summary: summary, MaxBody: route.Inputs}, execute)
}

func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

// active finds an experiment that things can be added to.
func (s *Service) active(ctx context.Context, id string) (int64, error) {
	e, err := s.o.Experiments.Experiment(ctx, server.NamespaceOf(ctx), id)
	if err == nil && e.Deleted {
		err = model.Invalid("The experiment %d must be in the 'active' state. Current state is deleted.", e.ID)
	}
	return e.ID, err
}

// byID takes the id of an object from the path.
type byID struct{ id, key string }

// FromPath implements mlwire.FromPath.
func (b *byID) FromPath(r *http.Request) { b.id, b.key = r.PathValue("id"), r.PathValue("key") }

func number(n int64) string { return strconv.FormatInt(n, 10) }
