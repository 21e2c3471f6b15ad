package mcp

import (
	"context"
	"errors"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// find gives the row of a server and keeps other copies from changing it until the update ends.
func find(t *db.Tx, namespace, name string) (row int64, err error) {
	if err := t.Hold("SELECT id FROM mcp_servers WHERE namespace = ? AND name = ?", namespace, name); err != nil {
		return 0, err
	}
	err = t.Row("SELECT id FROM mcp_servers WHERE namespace = ? AND name = ?", namespace, name).Scan(&row)
	if db.IsNoRows(err) {
		err = noServer(name)
	}
	return row, err
}

// onServer runs fn on a server of the project.
func (s *Service) onServer(ctx context.Context, name string, fn func(t *db.Tx, server int64) error) error {
	return s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, server.NamespaceOf(ctx), name)
		if err != nil {
			return err
		}
		return fn(t, row)
	})
}

// change runs a statement on something that has to be there.
func change(t *db.Tx, missing error, statement string, args ...any) error {
	n, err := t.Exec(statement, args...)
	if err == nil && n == 0 {
		err = missing
	}
	return err
}

func noServer(name string) error {
	return model.Missing("MCP server '%s' not found", model.Cut(name, 100))
}

// one reads a server.
func one(t *db.Tx, namespace, name string) (*serverRow, error) {
	list, err := servers(t, namespace, query.Of("s.namespace = ? AND s.name = ?", namespace, name), "")
	if err == nil && len(list) == 0 {
		err = noServer(name)
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

type createServer struct {
	Name        *string     `json:"name" about:"new mcp_server"`
	Description opt[string] `json:"description"`
	Icons       opt[any]    `json:"icons"`
}

func (s *Service) createServer(ctx context.Context, q *createServer) (out *serverRow, err error) {
	if q.Name == nil {
		return nil, invalid("name", "Field required")
	}
	name := *q.Name
	if err := checkName(name); err != nil {
		return nil, err
	}
	list, err := s.givenIcons(q.Icons)
	if err != nil {
		return nil, err
	}
	namespace, who, now := server.NamespaceOf(ctx), column(caller(ctx)), s.now()
	err = s.db.Update(ctx, func(t *db.Tx) error {
		_, err := t.Exec("INSERT INTO mcp_servers(namespace, name, description, icons, created_by, updated_by, created, updated) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
			namespace, name, column(q.Description.ptr()), list, who, who, now, now)
		if errors.Is(err, db.ErrConflict) {
			return model.Exists("MCP server with name '%s' already exists", name)
		}
		if err == nil {
			err = s.made(ctx, t, namespace, name)
		}
		if err != nil {
			return err
		}
		out, err = one(t, namespace, name)
		return err
	})
	return out, s.settled(err)
}

// givenIcons are the icons of a request as they are stored.
func (s *Service) givenIcons(o opt[any]) (any, error) {
	if o.ptr() == nil {
		return nil, nil //nolint:nilnil // NULL is a value.
	}
	list, err := s.o.icons("icons", o.value)
	if err != nil {
		return nil, err
	}
	return document(list, true)
}

func (s *Service) getServer(ctx context.Context, q *ref) (out *serverRow, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		out, err = one(t, server.NamespaceOf(ctx), q.name)
		return err
	})
	return out, err
}

type updateServer struct {
	ref

	DisplayName opt[string] `json:"display_name" about:"- what people read"`
	Description opt[string] `json:"description"`
	Icons       opt[any]    `json:"icons"`
	Latest      opt[any]    `json:"latest_version"`
}

func (s *Service) updateServer(ctx context.Context, q *updateServer) (out *serverRow, err error) {
	if q.Latest.set {
		return nil, invalid("latest_version", "it is read-only: the highest version is the latest one")
	}
	list, err := s.givenIcons(q.Icons)
	if err != nil {
		return nil, err
	}
	if err := checkLength("display_name", q.DisplayName.ptr(), maxName); err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	err = s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, namespace, q.name)
		if err != nil {
			return err
		}
		err = s.assign(ctx, t, "mcp_servers", row,
			value{"display_name", q.DisplayName.set, column(q.DisplayName.ptr())}, value{"description", q.Description.set, column(q.Description.ptr())}, value{"icons", q.Icons.set, list})
		if err != nil {
			return err
		}
		out, err = one(t, namespace, q.name)
		return err
	})
	return out, err
}

// value of a column, if it is given.
type value struct {
	column string
	given  bool
	value  any
}

// assign changes a row and notes who did, and when.
func (s *Service) assign(ctx context.Context, t *db.Tx, table string, row int64, list ...value) error {
	set, args := "updated_by = ?, updated = ?", []any{column(caller(ctx)), s.now()}
	for _, v := range list {
		if v.given {
			set, args = set+", "+v.column+" = ?", append(args, v.value)
		}
	}
	_, err := t.Exec("UPDATE "+table+" SET "+set+" WHERE id = ?", append(args, row)...)
	return err
}

func (s *Service) deleteServer(ctx context.Context, q *ref) (*none, error) {
	namespace := server.NamespaceOf(ctx)
	return done(s.settled(s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, namespace, q.name)
		if err != nil {
			return err
		}
		var version string
		err = t.Row("SELECT version FROM mcp_versions WHERE server = ? AND status = ? ORDER BY id LIMIT 1", row, active).Scan(&version)
		if err == nil {
			return model.Invalid("Cannot delete MCP server '%s' while it still has an active version ('%s'). Delete or deactivate the active version first.", q.name, version)
		}
		if !db.IsNoRows(err) {
			return err
		}
		if _, err := t.Exec("DELETE FROM mcp_servers WHERE id = ?", row); err != nil || s.o.Owners == nil {
			return err
		}
		return s.o.Owners.Gone(ctx, t, model.Owned{Namespace: namespace, Kind: model.OwnedMCPServer, ID: q.name})
	})))
}

type setTag struct {
	ref
	pair
}

type setVersionTag struct {
	versionRef
	pair
}

type pair struct {
	Key   opt[string] `json:"key"`
	Value opt[string] `json:"value"`
}

func (q *pair) check() error {
	key, err := required("key", q.Key)
	if err != nil {
		return err
	}
	value, err := required("value", q.Value)
	if err != nil {
		return err
	}
	if key == "" {
		return invalid("key", "it must not be empty")
	}
	return errors.Join(checkLength("The key of the tag", &key, maxKey), checkLength("The value of the tag", &value, maxValue))
}

func (s *Service) setTag(ctx context.Context, q *setTag) (*none, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	return done(s.onServer(ctx, q.name, func(t *db.Tx, server int64) error {
		_, err := t.Exec("INSERT INTO mcp_server_tags(server, key, value) VALUES(?, ?, ?) ON CONFLICT(server, key) DO UPDATE SET value = excluded.value", server, q.Key.value, q.Value.value)
		return err
	}))
}

func (s *Service) deleteTag(ctx context.Context, q *ref) (*none, error) {
	return done(s.onServer(ctx, q.name, func(t *db.Tx, server int64) error {
		return change(t, model.Missing("Tag '%s' not found on MCP server '%s'", model.Cut(q.key, 100), q.name),
			"DELETE FROM mcp_server_tags WHERE server = ? AND key = ?", server, q.key)
	}))
}
