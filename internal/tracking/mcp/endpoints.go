package mcp

import (
	"context"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// transports are how a server can be spoken to.
var transports = []string{"streamable-http", "sse"}

func checkTransport(s string) error {
	if !slices.Contains(transports, s) {
		return model.Invalid("Invalid transport_type: '%s'", model.Cut(s, 100))
	}
	return nil
}

func checkURL(s string) error {
	if strings.TrimSpace(s) == "" {
		return model.Invalid("MCP access endpoint url cannot be empty or just whitespace: '%s'", s)
	}
	return checkLength("url", &s, maxURL)
}

type writeEndpoint struct {
	ref

	Version   opt[string] `json:"server_version"`
	Alias     opt[string] `json:"server_alias"`
	URL       opt[string] `json:"url"`
	Transport opt[string] `json:"transport_type"`
}

func (q *writeEndpoint) checkGiven() error {
	if q.Transport.ptr() != nil {
		if err := checkTransport(q.Transport.value); err != nil {
			return err
		}
	}
	if q.URL.ptr() != nil {
		return checkURL(q.URL.value)
	}
	return nil
}

// target finds what an endpoint is to lead to: a version, or an alias that names one.
func (q *writeEndpoint) target(t *db.Tx, namespace string, row int64) (version, alias any, err error) {
	if q.Version.ptr() != nil {
		id, err := liveVersion(t, row, q.name, q.Version.value)
		return id, nil, err
	}
	_, err = aliased(t, namespace, q.name, q.Alias.value)
	return nil, q.Alias.value, err
}

func (s *Service) createEndpoint(ctx context.Context, q *writeEndpoint) (out *endpointRow, err error) {
	if _, err := required("url", q.URL); err != nil {
		return nil, err
	}
	if !q.Transport.set {
		q.Transport = opt[string]{set: true, value: transports[0]}
	}
	if _, err := required("transport_type", q.Transport); err != nil {
		return nil, err
	}
	if err := q.checkGiven(); err != nil {
		return nil, err
	}
	if (q.Version.ptr() == nil) == (q.Alias.ptr() == nil) {
		return nil, model.Invalid("Exactly one of server_version or server_alias must be provided")
	}
	namespace, who, now, id := server.NamespaceOf(ctx), column(caller(ctx)), s.now(), "ae-"+s.o.NewID()
	err = s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, namespace, q.name)
		if err != nil {
			return err
		}
		version, alias, err := q.target(t, namespace, row)
		if err != nil {
			return err
		}
		_, err = t.Exec("INSERT INTO mcp_endpoints(id, server, version, alias, url, transport, created_by, updated_by, created, updated) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, row, version, alias, q.URL.value, q.Transport.value, who, who, now, now)
		if err != nil {
			return err
		}
		out, err = endpoint(t, namespace, q.name, id)
		return err
	})
	return out, err
}

// endpoint reads one that leads somewhere.
func endpoint(t *db.Tx, namespace, name, id string) (*endpointRow, error) {
	list, err := endpoints(t, namespace, query.Of("e.id = ? AND s.namespace = ? AND s.name = ?", id, namespace, name), "")
	if err == nil && len(list) == 0 {
		err = noEndpoint(id, name)
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

func noEndpoint(id, name string) error {
	return model.Missing("MCPAccessEndpoint %s not found at server '%s'", model.Cut(id, 100), model.Cut(name, 100))
}

func (s *Service) getEndpoint(ctx context.Context, q *ref) (out *endpointRow, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		out, err = endpoint(t, server.NamespaceOf(ctx), q.name, q.endpoint)
		return err
	})
	return out, err
}

func (s *Service) updateEndpoint(ctx context.Context, q *writeEndpoint) (out *endpointRow, err error) {
	switch {
	case q.Version.ptr() != nil && q.Alias.ptr() != nil:
		return nil, model.Invalid("Cannot set both server_version and server_alias in a single update")
	case q.URL.null:
		return nil, model.Invalid("MCP access endpoint url cannot be None")
	}
	if err := q.checkGiven(); err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	err = s.db.Update(ctx, func(t *db.Tx) error {
		row, err := find(t, namespace, q.name)
		if err != nil {
			return err
		}
		set, args := "updated_by = ?, updated = ?", []any{column(caller(ctx)), s.now()}
		if q.Version.ptr() != nil || q.Alias.ptr() != nil {
			version, alias, err := q.target(t, namespace, row)
			if err != nil {
				return err
			}
			set, args = set+", version = ?, alias = ?", append(args, version, alias)
		}
		if q.URL.set {
			set, args = set+", url = ?", append(args, q.URL.value)
		}
		if q.Transport.ptr() != nil {
			set, args = set+", transport = ?", append(args, q.Transport.value)
		}
		if err := change(t, noEndpoint(q.endpoint, q.name), "UPDATE mcp_endpoints SET "+set+" WHERE id = ? AND server = ?", append(args, q.endpoint, row)...); err != nil {
			return err
		}
		out, err = endpoint(t, namespace, q.name, q.endpoint)
		return err
	})
	return out, err
}

func (s *Service) deleteEndpoint(ctx context.Context, q *ref) (*none, error) {
	return done(s.onServer(ctx, q.name, func(t *db.Tx, server int64) error {
		return change(t, noEndpoint(q.endpoint, q.name), "DELETE FROM mcp_endpoints WHERE id = ? AND server = ?", q.endpoint, server)
	}))
}
