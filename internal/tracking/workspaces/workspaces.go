package workspaces

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema.
func Migrations() db.Migrations { return db.Migrations{Owner: "tracking-workspaces", FS: migrations} }

// Contents is what lies in workspaces.
type Contents interface {
	// Held says what lies in one, for people; empty is nothing.
	Held(t *db.Tx, workspace string) (string, error)
	// Holds tells whether an object lies in its namespace.
	Holds(t *db.Tx, o model.Owned) (bool, error)
	// Move gives all of it to another.
	Move(t *db.Tx, from, to string) error
	// Clear removes all of it for good, files as well. One that was broken off goes on when it is called again.
	Clear(ctx context.Context, workspace string) error
}

// Options of the service; all but Roles are required; Enabled says whether there is more than one workspace.
type Options struct {
	DB       *db.Store
	Contents Contents
	Codec    mlwire.Codec
	Enabled  bool
	// Roles go with their workspace: one of the same name must not inherit them. Nil is none.
	Roles Roles
}

// Roles are what users have in workspaces.
type Roles interface {
	// Moved is called before the contents of a workspace move to another, in the
	// same transaction. Holds tells whether an object is among them.
	Moved(t *db.Tx, from, to string, holds func(*db.Tx, model.Owned) (bool, error)) error
	// Closed is called in the transaction that deletes a workspace.
	Closed(t *db.Tx, workspace string) error
	// Settled is called when it is on the disk.
	Settled()
}

// Service knows the workspaces.
type Service struct{ o Options }

// New brings the schema up to date. Where workspaces are not enabled it needs neither DB nor Contents.
func New(ctx context.Context, o Options) (*Service, error) {
	if !o.Enabled {
		return &Service{o}, nil
	}
	if o.DB == nil || o.Contents == nil {
		return nil, errors.New("workspaces: DB and Contents are required")
	}
	return &Service{o}, o.DB.Migrate(ctx, Migrations())
}

// Resource of the permissions.
const Resource = "workspaces"

const path = route.V3 + "/workspaces"

// Endpoints are the routes.
func (s *Service) Endpoints() []server.Endpoint {
	make := func(method, pattern, verb, summary string, h func(http.ResponseWriter, *http.Request) error) []server.Endpoint {
		return route.Both(server.Endpoint{
			Method: method, Pattern: pattern, Permission: server.Can(verb, Resource), Summary: summary, Codec: s.o.Codec,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				err := s.enabled()
				if err == nil {
					err = h(w, r)
				}
				if err != nil {
					s.o.Codec.Error(w, r, err)
				}
			}),
		})
	}
	judged := func(e server.Endpoint, pattern, verb, summary string) server.Endpoint {
		e.Method, e.Pattern, e.Permission, e.Summary = http.MethodGet, pattern, server.Can(verb, Resource), summary
		return e
	}
	common := server.Endpoint{Codec: s.o.Codec}
	return route.Flat(
		route.Both(judged(server.Handled(common, s.readList, s.list), path, "list", "the workspaces that the caller may see")),
		route.Both(judged(server.Handled(common, s.readOne, s.get), path+"/{workspace_name}", "get", "one workspace")),
		make("POST", path, "create", "make a workspace", s.create),
		make("PATCH", path+"/{workspace_name}", "update", "change a workspace", s.change),
		make("DELETE", path+"/{workspace_name}", "delete", "delete a workspace, and on demand what lies in it", s.remove),
	)
}

func (s *Service) enabled() error {
	if s.o.Enabled {
		return nil
	}
	return server.Errorf(http.StatusBadRequest, "FEATURE_DISABLED", "Workspace APIs are not available: workspaces are not enabled on this server; start it with --enable-workspaces")
}

// Wrap refuses requests for a workspace that does not exist, and what they
// write once it does no longer. Who has not
// logged in does not learn which ones do: next refuses those.
func (s *Service) Wrap(next http.Handler, login server.Authenticator) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimSpace(r.Header.Get(server.WorkspaceHeader))
		if name == "" || strings.HasSuffix(r.URL.Path, "/mlflow/server-info") {
			r.Header.Del(server.WorkspaceHeader)
			next.ServeHTTP(w, r)
			return
		}
		err := s.enabled()
		if err == nil {
			_, err = s.find(r.Context(), name)
		}
		if model.IsMissing(err) {
			if _, stranger := login.Authenticate(r); stranger != nil {
				next.ServeHTTP(w, r)
				return
			}
		}
		if err != nil {
			s.o.Codec.Error(w, r, err)
			return
		}
		r.Header.Set(server.WorkspaceHeader, name)
		if name != server.DefaultNamespace {
			r = r.WithContext(db.WithGuard(r.Context(), func(t *db.Tx) error { return stays(t, name) }))
		}
		next.ServeHTTP(w, r)
	})
}

// stays makes sure that a workspace is there until the update ends. A request
// may write long after it has found its workspace, and what it made in one that
// is gone would belong to whoever makes the next one of that name.
func stays(t *db.Tx, name string) error {
	query := "SELECT 1 FROM workspaces WHERE name = ?"
	if t.Dialect() == db.Postgres {
		query += " FOR KEY SHARE" // keeps other copies from deleting it
	}
	var one int64
	err := t.Row(query, name).Scan(&one)
	if db.IsNoRows(err) {
		return notFound(name)
	}
	return err
}

func notFound(name string) error { return model.Missing("Workspace '%s' not found", name) }

// workspace on the wire.
type workspace struct {
	Name        string  `json:"name"`
	Description *string `json:"description,omitempty"`
}

var (
	pattern  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])$`)
	reserved = map[string]bool{"workspaces": true, "api": true, "ajax-api": true, "static-files": true}
)

func checkName(name string) error {
	if !pattern.MatchString(name) {
		return model.Invalid("Workspace name '%s' must match the pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ (lowercase alphanumeric with optional internal hyphens) and have 2 to 63 characters.", name)
	}
	if reserved[name] {
		return model.Invalid("Workspace name '%s' is reserved and cannot be used.", name)
	}
	return nil
}

func (s *Service) find(ctx context.Context, name string) (workspace, error) {
	if name != server.DefaultNamespace {
		if err := checkName(name); err != nil {
			return workspace{}, err
		}
	}
	ws := workspace{Name: name}
	err := s.o.DB.View(ctx, func(t *db.Tx) error {
		err := t.Row("SELECT description FROM workspaces WHERE name = ?", name).Scan(&ws.Description)
		if db.IsNoRows(err) && name == server.DefaultNamespace {
			return nil
		}
		if db.IsNoRows(err) {
			return notFound(name)
		}
		return err
	})
	return ws, err
}

type listIn struct{ route.Scope }

func (s *Service) readList(*http.Request) (*listIn, error) { return &listIn{}, s.enabled() }

func (s *Service) list(w http.ResponseWriter, r *http.Request, q *listIn) error {
	all := []workspace{}
	standard, err := s.find(r.Context(), server.DefaultNamespace)
	if err != nil {
		return err
	}
	all = append(all, standard)
	err = s.o.DB.View(r.Context(), func(t *db.Tx) error {
		return t.Each(func(rows db.Rows) error {
			var ws workspace
			err := rows.Scan(&ws.Name, &ws.Description)
			all = append(all, ws)
			return err
		}, "SELECT name, description FROM workspaces WHERE name <> ? ORDER BY name", server.DefaultNamespace)
	})
	if err != nil {
		return err
	}
	if v := q.Visible; v != nil {
		all = slices.DeleteFunc(all, func(ws workspace) bool { return !v.Workspaces.Has(ws.Name) })
	}
	server.WriteJSON(w, http.StatusOK, map[string]any{"workspaces": all})
	return nil
}

// wish is what a request wants a workspace to be.
type wish struct {
	Name        string  `ml:"name"`
	Description *string `ml:"description"`
	Root        *string `ml:"default_artifact_root"`
	Archive     *struct {
		Location  string `ml:"location"`
		Retention string `ml:"retention"`
	} `ml:"trace_archival_config"`
}

func (s *Service) wish(r *http.Request) (q wish, err error) {
	if err := s.o.Codec.Decode(r, &q); err != nil {
		return q, err
	}
	if a := q.Archive; a != nil && a.Location+a.Retention != "" {
		return q, model.Invalid("trace_archival_config of a workspace is not offered: traces stay in the database; leave it out.")
	}
	if q.Root != nil && *q.Root != "" {
		err = model.Invalid("default_artifact_root of a workspace is not offered: its artifacts lie with those of the server; leave it empty.")
	}
	return q, err
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) error {
	q, err := s.wish(r)
	if err != nil {
		return err
	}
	switch q.Name {
	case "":
		return model.Invalid("Missing value for required parameter 'name'. See the API docs for more information about request parameters.")
	case server.DefaultNamespace:
		return model.Invalid("The 'default' workspace is reserved and cannot be created")
	}
	if err := checkName(q.Name); err != nil {
		return err
	}
	err = s.o.DB.Update(r.Context(), func(t *db.Tx) error {
		_, err := t.Exec("INSERT INTO workspaces(name, description) VALUES(?, ?)", q.Name, q.Description)
		if errors.Is(err, db.ErrConflict) {
			err = model.Exists("Workspace '%s' already exists.", q.Name)
		}
		return err
	})
	if err != nil {
		return err
	}
	server.WriteJSON(w, http.StatusCreated, map[string]any{"workspace": workspace{q.Name, q.Description}})
	return nil
}

type oneIn struct {
	Name string `about:"workspace"`
}

func (s *Service) readOne(r *http.Request) (*oneIn, error) {
	return &oneIn{r.PathValue("workspace_name")}, s.enabled()
}

func (s *Service) get(w http.ResponseWriter, r *http.Request, q *oneIn) error {
	ws, err := s.find(r.Context(), q.Name)
	if err != nil {
		return err
	}
	server.WriteJSON(w, http.StatusOK, map[string]any{"workspace": ws})
	return nil
}

func (s *Service) change(w http.ResponseWriter, r *http.Request) error {
	ws, err := s.find(r.Context(), r.PathValue("workspace_name"))
	if err != nil {
		return err
	}
	q, err := s.wish(r)
	if err != nil {
		return err
	}
	if q.Description == nil && q.Root == nil && q.Archive == nil {
		return model.Invalid("Workspace update must have at least one key")
	}
	if q.Description != nil {
		ws.Description = q.Description
	}
	err = s.o.DB.Update(r.Context(), func(t *db.Tx) error {
		if ws.Name != server.DefaultNamespace { // which needs no row
			if err := stays(t, ws.Name); err != nil {
				return err
			}
		}
		_, err := t.Exec("INSERT INTO workspaces(name, description) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET description = excluded.description", ws.Name, ws.Description)
		return err
	})
	if err != nil {
		return err
	}
	server.WriteJSON(w, http.StatusOK, map[string]any{"workspace": ws})
	return nil
}
