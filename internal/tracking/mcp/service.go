package mcp

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
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
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-mcp", FS: migrations} }

// Owners keep who may manage a server in step with it, in the transaction of
// the change. Settled is called when that is on the disk.
type Owners interface {
	Made(ctx context.Context, t *db.Tx, o model.Owned) error
	Gone(ctx context.Context, t *db.Tx, o model.Owned) error
	Settled()
}

// Options of the service; all but Config and Owners are required.
type Options struct {
	Config
	Owners Owners
	DB     *db.Store
	Clock  func() time.Time
	// NewID makes ids of 32 hexadecimal digits.
	NewID  func() string
	Logger *slog.Logger
}

// Service keeps and serves the registry.
type Service struct {
	o     Options
	db    *db.Store
	codec codec
}

// New brings the schema up to date.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.DB == nil || o.Clock == nil || o.NewID == nil || o.Logger == nil {
		return nil, errors.New("mcp: DB, Clock, NewID and Logger are required")
	}
	if len(o.Schemes) == 0 {
		o.Config = DefaultConfig()
	}
	if err := o.DB.Migrate(ctx, Migrations()); err != nil {
		return nil, err
	}
	return &Service{o: o, db: o.DB, codec: codec{mlwire.Codec{Log: o.Logger}}}, nil
}

// Resource that permissions are about.
const Resource = "mcpservers"

// root begins the paths.
const root = route.V3 + "/mcp-servers"

// ref is a server that a path names, and what of it.
type ref struct {
	name string `about:"mcp_server"`
	rest
}

// versionRef is a version that a path names.
type versionRef struct {
	name string `about:"mcp_server_version"`
	rest
}

type rest struct{ version, key, alias, endpoint string }

func (q *rest) fromPath(r *http.Request) {
	q.version, q.key, q.alias, q.endpoint = r.PathValue("version"), r.PathValue("key"), r.PathValue("alias"), r.PathValue("endpoint_id")
}

// FromPath implements mlwire.FromPath.
func (q *ref) FromPath(r *http.Request) {
	q.name = r.PathValue("name")
	q.fromPath(r)
}

// FromPath implements mlwire.FromPath.
func (q *versionRef) FromPath(r *http.Request) {
	q.name = r.PathValue("name")
	q.fromPath(r)
}

// none is the answer of calls that only do something.
type none struct{}

func done(err error) (*none, error) { return &none{}, err }

// Endpoints are the routes.
func (s *Service) Endpoints() []server.Endpoint {
	list := []server.Endpoint{
		call(s, "POST", "", "create", "register an MCP server", s.createServer),
		call(s, "GET", "", "list", "find MCP servers", s.searchServers),
		call(s, "GET", "/endpoints", "list", "find endpoints of MCP servers", s.searchAllEndpoints),
		call(s, "GET", "/{name}", "get", "one MCP server", s.getServer),
		call(s, "PATCH", "/{name}", "update", "change an MCP server", s.updateServer),
		call(s, "DELETE", "/{name}", "delete", "delete an MCP server", s.deleteServer),
		call(s, "POST", "/{name}/tags", "update", "set a tag of an MCP server", s.setTag),
		call(s, "DELETE", "/{name}/tags/{key}", "update", "delete a tag of an MCP server", s.deleteTag),
		call(s, "POST", "/{name}/versions", "create", "register a version of an MCP server", s.createVersion),
		call(s, "GET", "/{name}/versions", "list", "versions of an MCP server", s.searchVersions),
		call(s, "GET", "/{name}/versions/{version}", "get", "one version of an MCP server", s.getVersion),
		call(s, "PATCH", "/{name}/versions/{version}", "update", "change a version of an MCP server", s.updateVersion),
		call(s, "DELETE", "/{name}/versions/{version}", "delete", "delete a version of an MCP server", s.deleteVersion),
		call(s, "POST", "/{name}/versions/{version}/tags", "update", "set a tag of a version of an MCP server", s.setVersionTag),
		call(s, "DELETE", "/{name}/versions/{version}/tags/{key}", "update", "delete a tag of a version of an MCP server", s.deleteVersionTag),
		call(s, "POST", "/{name}/aliases", "update", "let an alias name a version of an MCP server", s.setAlias),
		call(s, "GET", "/{name}/aliases/{alias}", "get", "the version of an MCP server that an alias names", s.versionByAlias),
		call(s, "DELETE", "/{name}/aliases/{alias}", "update", "delete an alias of an MCP server", s.deleteAlias),
		call(s, "POST", "/{name}/endpoints", "update", "add an endpoint to an MCP server", s.createEndpoint),
		call(s, "GET", "/{name}/endpoints", "list", "endpoints of an MCP server", s.searchEndpoints),
		call(s, "GET", "/{name}/endpoints/{endpoint_id}", "get", "one endpoint of an MCP server", s.getEndpoint),
		call(s, "PATCH", "/{name}/endpoints/{endpoint_id}", "update", "change an endpoint of an MCP server", s.updateEndpoint),
		call(s, "DELETE", "/{name}/endpoints/{endpoint_id}", "update", "delete an endpoint of an MCP server", s.deleteEndpoint),
	}
	var out []server.Endpoint
	for _, e := range append(list, s.plainNames(list)...) {
		out = append(out, route.Both(e)...)
	}
	return out
}

func call[Req, Resp any](s *Service, method, path, verb, summary string, execute func(context.Context, *Req) (*Resp, error)) server.Endpoint {
	e := server.Typed(method, root+path, server.Can(verb, Resource), s.codec, execute)
	e.Summary, e.MaxBody = summary, route.Batch
	return e
}

// plainNames are the same routes for names whose slash was not written as %2F,
// as MLflow's client writes it. The route that is meant asks for its permission.
func (s *Service) plainNames(list []server.Endpoint) (out []server.Endpoint) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.codec.Error(w, r, server.Errorf(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "There is no such call of MCP servers: %s %s", r.Method, r.URL.Path))
	})
	for _, e := range list {
		mux.HandleFunc(e.Method+" "+strings.TrimPrefix(e.Pattern, root)+"/{$}", func(w http.ResponseWriter, r *http.Request) {
			if err := server.Permit(r.Context(), e.Permission); err != nil {
				s.codec.Error(w, r, err)
				return
			}
			judge, _ := r.Context().Value(judgeKey{}).(server.Judge)
			//nolint:forcetypeassert // Typed makes nothing else.
			e.Handler.(server.Judged)(w, r, func(ctx context.Context, req any) error {
				return judge(ctx, route.Behind{Endpoint: e, Request: req})
			})
		})
	}
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		out = append(out, server.Endpoint{
			Method: method, Pattern: root + "/{path...}", Permission: server.Known("the call that is meant asks for its own permission"), Codec: s.codec, MaxBody: route.Batch,
			Summary: "MCP servers whose names are written with a plain slash", Request: &ref{},
			Handler: server.Judged(func(w http.ResponseWriter, r *http.Request, judge server.Judge) {
				mux.ServeHTTP(w, joined(r.WithContext(context.WithValue(r.Context(), judgeKey{}, judge))))
			}),
		})
	}
	return out
}

// judgeKey is where a judge lies on its way through the inner routes.
type judgeKey struct{}

// joined makes one segment of the two that a name has.
func joined(r *http.Request) *http.Request {
	_, rest, _ := strings.Cut(r.URL.EscapedPath(), "/mcp-servers/")
	raw := "/" + strings.Replace(strings.TrimSuffix(rest, "/"), "/", "%2F", 1) + "/"
	out := r.Clone(r.Context())
	if plain, err := url.PathUnescape(raw); err == nil {
		out.URL.Path, out.URL.RawPath = plain, raw
	}
	return out
}

// Has tells whether a server exists.
func (s *Service) Has(ctx context.Context, namespace, name string) (bool, error) {
	err := s.db.View(ctx, func(t *db.Tx) error {
		_, err := serverID(t, namespace, name)
		return err
	})
	if model.IsMissing(err) {
		return false, nil
	}
	return err == nil, err
}

// made notes who may manage a new server.
func (s *Service) made(ctx context.Context, t *db.Tx, namespace, name string) error {
	if s.o.Owners == nil {
		return nil
	}
	return s.o.Owners.Made(ctx, t, model.Owned{Namespace: namespace, Kind: model.OwnedMCPServer, ID: name})
}

// settled tells the owners of a change.
func (s *Service) settled(err error) error {
	if err == nil && s.o.Owners != nil {
		s.o.Owners.Settled()
	}
	return err
}

func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

// caller is who calls; the person at the machine is nobody in particular.
func caller(ctx context.Context) *string {
	if u := server.UserOf(ctx); !u.Local && u.Name != "" {
		return &u.Name
	}
	return nil
}
