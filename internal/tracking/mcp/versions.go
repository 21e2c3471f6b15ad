package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// follows are the states that may come after one.
var follows = map[string][]string{
	draft:      {active, deleted},
	active:     {deprecated, draft},
	deprecated: {active, deleted},
}

func checkTransition(from, to string) error {
	if slices.Contains(follows[from], to) {
		return nil
	}
	allowed := strings.Join(follows[from], "', '")
	if allowed != "" {
		allowed = "'" + allowed + "'"
	}
	return model.Invalid("Invalid status transition from '%s' to '%s'. Allowed transitions: [%s]", from, to, allowed)
}

func checkStatus(s string) error {
	if !slices.Contains([]string{draft, active, deprecated, deleted}, s) {
		return model.Invalid("Invalid status: '%s'", model.Cut(s, 100))
	}
	return nil
}

func noVersion(name, version string) error {
	return model.Missing("MCP server version '%s' version '%s' not found", model.Cut(name, 100), model.Cut(version, 100))
}

// pick reads the one version that fits and was not deleted.
func pick(t *db.Tx, namespace, name string, where query.Clause, missing error) (*versionRow, error) {
	list, err := versions(t, namespace, query.All(query.Of("s.namespace = ? AND s.name = ? AND v.status <> 'deleted'", namespace, name), where), "")
	if err == nil && len(list) == 0 {
		err = missing
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// numbered reads a version by its number.
func numbered(t *db.Tx, namespace, name, version string) (*versionRow, error) {
	return pick(t, namespace, name, query.Of("v.version = ?", version), noVersion(name, version))
}

// aliased reads the version that an alias names.
func aliased(t *db.Tx, namespace, name, alias string) (*versionRow, error) {
	if alias == latest {
		if _, err := serverID(t, namespace, name); err != nil {
			return nil, err
		}
		return pick(t, namespace, name, query.Of("v.id = "+latestOf("s.id")), model.Missing("No resolved latest version found for MCP server '%s'", name))
	}
	return pick(t, namespace, name, query.Of("v.id = (SELECT a.version FROM mcp_aliases a WHERE a.server = s.id AND a.alias = ?)", alias),
		model.Missing("Alias '%s' not found for MCP server '%s'", model.Cut(alias, 100), model.Cut(name, 100)))
}

// serverID is find for those who only read.
func serverID(t *db.Tx, namespace, name string) (row int64, err error) {
	err = t.Row("SELECT id FROM mcp_servers WHERE namespace = ? AND name = ?", namespace, name).Scan(&row)
	if db.IsNoRows(err) {
		err = noServer(name)
	}
	return row, err
}

type createVersion struct {
	name    string                 `about:"new mcp_server_version"`
	Doc     opt[object]            `json:"server_json"`
	Status  opt[string]            `json:"status"`
	Source  opt[string]            `json:"source" about:"- where it is from, for people only"`
	Tools   opt[[]object]          `json:"tools"`
	Options opt[map[string]option] `json:"connect_options"`
}

// FromPath implements mlwire.FromPath.
func (q *createVersion) FromPath(r *http.Request) { q.name = r.PathValue("name") }

// check reads what is given; a server.json may come in the envelope of the public registry.
func (q *createVersion) check(c Config) (doc object, v semver, err error) {
	doc = q.Doc.value
	if !q.Doc.set || q.Doc.null {
		return nil, v, invalid("server_json", "Field required")
	}
	if inner, ok := doc["server"].(object); ok && (doc["name"] == nil || doc["version"] == nil) && inner["name"] != nil && inner["version"] != nil {
		doc = inner
	}
	if err := c.check("server_json", doc, serverShape); err != nil {
		return nil, v, err
	}
	name, _ := doc["name"].(string)
	version, _ := doc["version"].(string)
	if err := errors.Join(checkName(name), checkName(q.name)); err != nil {
		return nil, v, err
	}
	if name != q.name {
		return nil, v, model.Invalid("server_json.name '%s' does not match path parameter '%s'", name, q.name)
	}
	if !q.Status.set {
		q.Status = opt[string]{set: true, value: draft}
	}
	status, err := required("status", q.Status)
	if err == nil {
		err = checkStatus(status)
	}
	if err == nil && status != draft && status != active {
		err = model.Invalid("Initial MCP server registration status must be 'draft' or 'active'.")
	}
	if err != nil {
		return nil, v, err
	}
	if err := checkLength("source", q.Source.ptr(), maxSource); err != nil {
		return nil, v, err
	}
	v, err = parseSemver("server_json.version", version)
	return doc, v, err
}

func (s *Service) createVersion(ctx context.Context, q *createVersion) (out *versionRow, err error) {
	doc, number, err := q.check(s.o.Config)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	tools, err := s.givenTools(q.Tools)
	if err != nil {
		return nil, err
	}
	settings, err := document(q.Options.value, q.Options.ptr() != nil)
	if err != nil {
		return nil, err
	}
	namespace, who, now := server.NamespaceOf(ctx), column(caller(ctx)), s.now()
	version, _ := doc["version"].(string)
	err = s.db.Update(ctx, func(t *db.Tx) error {
		n, err := t.Exec("INSERT INTO mcp_servers(namespace, name, created_by, updated_by, created, updated) VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(namespace, name) DO NOTHING",
			namespace, q.name, who, who, now, now)
		if err == nil && n > 0 {
			err = s.made(ctx, t, namespace, q.name)
		}
		if err != nil {
			return err
		}
		row, err := find(t, namespace, q.name)
		if err != nil {
			return err
		}
		_, err = t.Exec(`INSERT INTO mcp_versions(server, version, major, minor, patch, pre, status, doc, tools, options, source, created_by, updated_by, created, updated)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			row, version, number.major, number.minor, number.patch, number.pre, q.Status.value, string(text), tools, settings, column(q.Source.ptr()), who, who, now, now)
		if errors.Is(err, db.ErrConflict) {
			return model.Exists("MCP server version '%s' version '%s' already exists", q.name, version)
		}
		if err != nil {
			return err
		}
		out, err = numbered(t, namespace, q.name, version)
		return err
	})
	return out, s.settled(err)
}

func (s *Service) givenTools(o opt[[]object]) (any, error) {
	if o.ptr() == nil {
		return nil, nil //nolint:nilnil // NULL is a value.
	}
	list, err := s.o.tools(o.value)
	if err != nil {
		return nil, err
	}
	return document(list, true)
}

func (s *Service) getVersion(ctx context.Context, q *versionRef) (out *versionRow, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		out, err = numbered(t, server.NamespaceOf(ctx), q.name, q.version)
		return err
	})
	return out, err
}

func (s *Service) versionByAlias(ctx context.Context, q *ref) (out *versionRow, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		out, err = aliased(t, server.NamespaceOf(ctx), q.name, q.alias)
		return err
	})
	return out, err
}

type updateVersion struct {
	versionRef

	Status  opt[string]            `json:"status"`
	Tools   opt[[]object]          `json:"tools"`
	Options opt[map[string]option] `json:"connect_options"`
}

func (q *updateVersion) checkStatus() error {
	switch {
	case q.Status.null:
		return model.Invalid("status cannot be null; omit the field to leave it unchanged")
	case q.Status.set:
		return checkStatus(q.Status.value)
	}
	return nil
}

func (s *Service) updateVersion(ctx context.Context, q *updateVersion) (out *versionRow, err error) {
	if err := q.checkStatus(); err != nil {
		return nil, err
	}
	tools, err := s.givenTools(q.Tools)
	if err != nil {
		return nil, err
	}
	settings, err := document(q.Options.value, q.Options.ptr() != nil)
	if err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	err = s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, namespace, q.name)
		if err != nil {
			return err
		}
		v, err := numbered(t, namespace, q.name, q.version)
		if err != nil {
			return err
		}
		if q.Status.set {
			err = checkTransition(v.Status, q.Status.value)
		}
		if err == nil {
			err = s.assign(ctx, t, "mcp_versions", v.row, value{"status", q.Status.set, q.Status.value}, value{"tools", q.Tools.set, tools}, value{"options", q.Options.set, settings})
		}
		if err != nil {
			return err
		}
		list, err := versions(t, namespace, query.Of("v.id = ?", v.row), "")
		if err != nil {
			return err
		}
		out = &list[0]
		if q.Status.value == deleted {
			return bury(t, row, v.row)
		}
		return nil
	})
	return out, err
}

func (s *Service) deleteVersion(ctx context.Context, q *versionRef) (*none, error) {
	namespace := server.NamespaceOf(ctx)
	return done(s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, namespace, q.name)
		if model.IsMissing(err) {
			err = noVersion(q.name, q.version)
		}
		if err != nil {
			return err
		}
		var id int64
		var status string
		err = t.Row("SELECT id, status FROM mcp_versions WHERE server = ? AND version = ?", row, q.version).Scan(&id, &status)
		if db.IsNoRows(err) {
			err = noVersion(q.name, q.version)
		}
		if err != nil {
			return err
		}
		if err := checkTransition(status, deleted); err != nil {
			return err
		}
		if err := s.assign(ctx, t, "mcp_versions", id, value{"status", true, deleted}); err != nil {
			return err
		}
		return bury(t, row, id)
	}))
}

// bury removes the aliases of a deleted version, and the endpoints that lead nowhere without it.
func bury(t *db.Tx, server, version int64) error {
	for _, step := range []struct {
		query string
		args  []any
	}{
		{"DELETE FROM mcp_endpoints WHERE server = ? AND alias IN (SELECT alias FROM mcp_aliases WHERE version = ?)", []any{server, version}},
		{"DELETE FROM mcp_aliases WHERE version = ?", []any{version}},
		{"DELETE FROM mcp_endpoints WHERE version = ?", []any{version}},
		{"DELETE FROM mcp_endpoints WHERE server = ? AND alias = 'latest' AND NOT EXISTS(SELECT 1 FROM mcp_versions WHERE server = ? AND status <> 'deleted')", []any{server, server}},
	} {
		if _, err := t.Exec(step.query, step.args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) setVersionTag(ctx context.Context, q *setVersionTag) (*none, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	return done(s.onVersion(ctx, q.name, q.version, func(t *db.Tx, _, version int64) error {
		_, err := t.Exec("INSERT INTO mcp_version_tags(version, key, value) VALUES(?, ?, ?) ON CONFLICT(version, key) DO UPDATE SET value = excluded.value", version, q.Key.value, q.Value.value)
		return err
	}))
}

func (s *Service) deleteVersionTag(ctx context.Context, q *versionRef) (*none, error) {
	return done(s.onVersion(ctx, q.name, q.version, func(t *db.Tx, _, version int64) error {
		return change(t, model.Missing("Tag '%s' not found on MCP server version '%s' version '%s'", model.Cut(q.key, 100), q.name, q.version),
			"DELETE FROM mcp_version_tags WHERE version = ? AND key = ?", version, q.key)
	}))
}

// onVersion runs fn on a version that was not deleted.
func (s *Service) onVersion(ctx context.Context, name, version string, fn func(t *db.Tx, server, version int64) error) error {
	return s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, server.NamespaceOf(ctx), name)
		if model.IsMissing(err) {
			err = noVersion(name, version)
		}
		if err != nil {
			return err
		}
		id, err := liveVersion(t, row, name, version)
		if err != nil {
			return err
		}
		return fn(t, row, id)
	})
}

func liveVersion(t *db.Tx, server int64, name, version string) (id int64, err error) {
	err = t.Row("SELECT id FROM mcp_versions WHERE server = ? AND version = ? AND status <> 'deleted'", server, version).Scan(&id)
	if db.IsNoRows(err) {
		err = noVersion(name, version)
	}
	return id, err
}

type setAlias struct {
	ref

	Alias   opt[string] `json:"alias"`
	Version opt[string] `json:"version"`
}

func (s *Service) setAlias(ctx context.Context, q *setAlias) (*none, error) {
	alias, err := required("alias", q.Alias)
	if err != nil {
		return nil, err
	}
	number, err := required("version", q.Version)
	if err != nil {
		return nil, err
	}
	if alias == latest {
		return nil, model.Invalid("The alias name 'latest' is reserved for automatic resolution")
	}
	if alias == "" {
		return nil, invalid("alias", "it must not be empty")
	}
	if err := checkLength("The alias", &alias, maxName); err != nil {
		return nil, err
	}
	return done(s.onVersion(ctx, q.name, number, func(t *db.Tx, server, version int64) error {
		_, err := t.Exec("INSERT INTO mcp_aliases(server, alias, version) VALUES(?, ?, ?) ON CONFLICT(server, alias) DO UPDATE SET version = excluded.version", server, alias, version)
		return err
	}))
}

// deleteAlias removes an alias with the endpoints that are reached by it.
func (s *Service) deleteAlias(ctx context.Context, q *ref) (*none, error) {
	return done(s.onServer(ctx, q.name, func(t *db.Tx, server int64) error {
		if err := change(t, model.Missing("Alias '%s' not found on MCP server '%s'", model.Cut(q.alias, 100), q.name),
			"DELETE FROM mcp_aliases WHERE server = ? AND alias = ?", server, q.alias); err != nil {
			return err
		}
		_, err := t.Exec("DELETE FROM mcp_endpoints WHERE server = ? AND alias = ?", server, q.alias)
		return err
	}))
}
