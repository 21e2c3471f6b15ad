package mcp

import (
	"context"
	"errors"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// terms of a search.
type terms struct {
	Filter  string   `ml:"filter_string"`
	Max     *int64   `ml:"max_results"`
	OrderBy []string `ml:"order_by"`
	Token   string   `ml:"page_token"`
	Version string   `ml:"server_version"`
	Alias   string   `ml:"server_alias"`
}

// search looks among what belongs to a server.
type search struct {
	ref
	terms
}

// searchAll looks among all that the caller may see.
type searchAll struct {
	route.Scope
	terms
}

// seen selects the servers that a caller may see; nil is all.
func seen(v *model.Visible) query.Clause {
	switch {
	case v == nil || v.MCPServers.Everything():
		return query.All()
	case v.MCPServers.All:
		return query.Of("s.name NOT IN (??)", v.MCPServers.List)
	}
	return query.Of("s.name IN (??)", append([]string{}, v.MCPServers.List...))
}

const (
	pageOf     = 100
	maxServers = 1000
	maxOthers  = 50_000
)

var attribute = map[string]filter.Entity{"attribute": filter.Attribute, "attributes": filter.Attribute, "attr": filter.Attribute}

var serverLanguage = filter.Language{
	Entities: map[string]filter.Entity{"attribute": filter.Attribute, "attributes": filter.Attribute, "attr": filter.Attribute, "tag": filter.Tag, "tags": filter.Tag},
	Attributes: map[string]filter.Kind{
		"name": filter.Text, "display_name": filter.Text, "status": filter.Text, "has_access_endpoints": filter.Text, "created_at": filter.Number, "last_updated_at": filter.Number,
	},
	OrderBy: []string{"name", "created_at", "last_updated_at"}, OrderIsColumn: true,
	Lists: []string{"status", "name"},
	Operators: func(_ filter.Entity, key string) ([]filter.Op, error) {
		if key == "has_access_endpoints" {
			return []filter.Op{filter.Eq}, nil
		}
		return nil, nil
	},
}

var versionLanguage = filter.Language{
	Entities: attribute,
	Attributes: map[string]filter.Kind{
		"name": filter.Text, "version": filter.Text, "status": filter.Text, "created_at": filter.Number, "last_updated_at": filter.Number,
	},
	OrderBy: []string{"version", "created_at", "last_updated_at"}, OrderIsColumn: true,
	Lists: []string{"status"},
	Operators: func(_ filter.Entity, key string) ([]filter.Op, error) {
		if key == "version" {
			return []filter.Op{filter.Eq, filter.Ne, filter.Lt, filter.Le, filter.Gt, filter.Ge}, nil
		}
		return nil, nil
	},
}

var endpointLanguage = filter.Language{
	Entities: attribute,
	Attributes: map[string]filter.Kind{
		"status": filter.Text, "server_name": filter.Text, "transport_type": filter.Text, "created_at": filter.Number, "last_updated_at": filter.Number,
	},
	OrderBy: []string{"id", "server_name", "created_at", "last_updated_at"}, OrderIsColumn: true,
	Lists: []string{"server_name"},
}

// plan is a search that was read.
type plan[T any] struct {
	where query.Clause
	order query.Order[T]
	token query.Token
	max   int
}

// read checks what is asked for; condition makes SQL of one comparison.
func read[T any](q terms, of string, l *filter.Language, most int64, kind string, condition func(filter.Comparison) (query.Clause, error), order func([]filter.Order) query.Order[T]) (p plan[T], err error) {
	if p.max, err = route.MaxResults(q.Max, pageOf, most); err != nil {
		return p, err
	}
	comparisons, err := l.Parse(q.Filter)
	if err != nil {
		return p, asInvalid(err)
	}
	var orders []filter.Order
	given := map[string]bool{}
	for _, text := range q.OrderBy {
		o, err := l.ParseOrder(text)
		if err != nil {
			return p, asInvalid(err)
		}
		if given[o.Key] {
			return p, model.Invalid("Duplicate order_by field: '%s'", o.Key)
		}
		given[o.Key] = true
		orders = append(orders, o)
	}
	p.order = order(orders)
	if p.token, err = query.ParseToken(q.Token, query.Hash(kind, of, q.Filter, q.Version, q.Alias, strings.Join(q.OrderBy, "\x00"))); err != nil {
		return p, err
	}
	behind, err := p.order.Behind(p.token)
	if err != nil {
		return p, err
	}
	conditions := []query.Clause{behind}
	for _, c := range comparisons {
		part, err := condition(c)
		if err != nil {
			return p, err
		}
		conditions = append(conditions, part)
	}
	p.where = query.All(conditions...)
	return p, nil
}

func asInvalid(err error) error {
	var f *filter.Error
	if errors.As(err, &f) {
		return model.Invalid("%s", f.Message)
	}
	return err
}

// run reads one page.
func run[T any](ctx context.Context, s *Service, p plan[T], read func(t *db.Tx, tail string, args ...any) ([]T, error)) (list []T, next *string, err error) {
	err = s.db.View(ctx, func(t *db.Tx) error {
		found, err := read(t, p.order.End(), p.max+1, p.token.Offset)
		if err != nil {
			return err
		}
		var token string
		if list, token, err = p.order.Page(found, p.max, p.token); token != "" {
			next = &token
		}
		if list == nil {
			list = []T{}
		}
		return err
	})
	return list, next, err
}

type serversOut struct {
	List []serverRow `json:"mcp_servers"`
	Next *string     `json:"next_page_token"`
}

func serverOrder(orders []filter.Order) query.Order[serverRow] {
	return query.OrderOf(orders, map[string]query.Column[serverRow]{
		"name":            query.By("s.name", func(r *serverRow) any { return r.Name }),
		"created_at":      query.By("s.created", func(r *serverRow) any { return r.Created }),
		"last_updated_at": query.By("s.updated", func(r *serverRow) any { return r.Updated }),
	}, filter.Order{Key: "name"})
}

func serverCondition(c filter.Comparison) (query.Clause, error) {
	if c.Entity == filter.Tag {
		value := query.Text("g.value", c)
		return query.Of("EXISTS(SELECT 1 FROM mcp_server_tags g WHERE g.server = s.id AND g.key = ? AND "+value.SQL+")", append([]any{c.Key}, value.Args...)...), nil
	}
	switch c.Key {
	case "created_at":
		return query.Number("s.created", c), nil
	case "last_updated_at":
		return query.Number("s.updated", c), nil
	case "status":
		return query.Text("l.status", c), nil
	case "has_access_endpoints":
		const there = "EXISTS(SELECT 1 FROM mcp_endpoints e JOIN mcp_versions v ON v.id = "
		not := map[string]string{"true": "", "false": "NOT "}
		word, ok := not[strings.ToLower(c.Text)]
		if !ok {
			return query.Clause{}, model.Invalid("has_access_endpoints only supports '= true' or '= false'")
		}
		return query.Of(word + there + targetOf + " AND v.status <> 'deleted' WHERE e.server = s.id)"), nil
	}
	return query.Text("s."+c.Key, c), nil
}

func (s *Service) searchServers(ctx context.Context, q *searchAll) (*serversOut, error) {
	p, err := read(q.terms, "", &serverLanguage, maxServers, "servers", serverCondition, serverOrder)
	if err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	where := query.All(query.Of("s.namespace = ?", namespace), seen(q.Visible), p.where)
	list, next, err := run(ctx, s, p, func(t *db.Tx, tail string, args ...any) ([]serverRow, error) {
		return servers(t, namespace, where, tail, args...)
	})
	return &serversOut{list, next}, err
}

type versionsOut struct {
	List []versionRow `json:"mcp_server_versions"`
	Next *string      `json:"next_page_token"`
}

// versionOrder is that of semantic versions where the version orders.
func versionOrder(orders []filter.Order) (out query.Order[versionRow]) {
	columns := map[string][]query.Column[versionRow]{
		"version": {
			query.By("v.major", func(r *versionRow) any { return r.major }), query.By("v.minor", func(r *versionRow) any { return r.minor }),
			query.By("v.patch", func(r *versionRow) any { return r.patch }), query.By("v.pre", func(r *versionRow) any { return r.pre }),
		},
		"created_at":      {query.By("v.created", func(r *versionRow) any { return r.Created })},
		"last_updated_at": {query.By("v.updated", func(r *versionRow) any { return r.Updated })},
		"raw":             {query.By("v.version", func(r *versionRow) any { return r.Version })},
	}
	for _, o := range append(orders, filter.Order{Key: "created_at"}, filter.Order{Key: "raw"}) {
		for _, c := range columns[o.Key] {
			out = out.Then(c, o.Desc)
		}
	}
	return out
}

func versionCondition(c filter.Comparison) (query.Clause, error) {
	switch c.Key {
	case "created_at":
		return query.Number("v.created", c), nil
	case "last_updated_at":
		return query.Number("v.updated", c), nil
	case "name":
		return query.Text("s.name", c), nil
	case "status":
		return query.Text("v.status", c), nil
	}
	if c.Op == filter.Eq || c.Op == filter.Ne {
		return query.Text("v.version", c), nil // builds of one version are told apart
	}
	v, err := parseSemver("filter_string version", c.Text)
	return query.Of("(v.major, v.minor, v.patch, v.pre) "+string(c.Op)+" (?, ?, ?, ?)", v.major, v.minor, v.patch, v.pre), err
}

func (s *Service) searchVersions(ctx context.Context, q *search) (*versionsOut, error) {
	p, err := read(q.terms, q.name, &versionLanguage, maxOthers, "versions", versionCondition, versionOrder)
	if err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	where := query.All(query.Of("s.namespace = ? AND s.name = ? AND v.status <> 'deleted'", namespace, q.name), p.where)
	list, next, err := run(ctx, s, p, func(t *db.Tx, tail string, args ...any) ([]versionRow, error) {
		return versions(t, namespace, where, tail, args...)
	})
	return &versionsOut{list, next}, err
}

type endpointsOut struct {
	List []endpointRow `json:"mcp_access_endpoints"`
	Next *string       `json:"next_page_token"`
}

func endpointOrder(orders []filter.Order) query.Order[endpointRow] {
	return query.OrderOf(orders, map[string]query.Column[endpointRow]{
		"id":              query.By("e.id", func(r *endpointRow) any { return r.ID }),
		"server_name":     query.By("s.name", func(r *endpointRow) any { return r.Name }),
		"created_at":      query.By("e.created", func(r *endpointRow) any { return r.Created }),
		"last_updated_at": query.By("e.updated", func(r *endpointRow) any { return r.Updated }),
	}, filter.Order{Key: "id"})
}

func endpointCondition(c filter.Comparison) (query.Clause, error) {
	switch c.Key {
	case "created_at":
		return query.Number("e.created", c), nil
	case "last_updated_at":
		return query.Number("e.updated", c), nil
	}
	return query.Text(map[string]string{"status": "v.status", "server_name": "s.name", "transport_type": "e.transport"}[c.Key], c), nil
}

func (s *Service) searchEndpoints(ctx context.Context, q *search) (*endpointsOut, error) {
	return s.findEndpoints(ctx, q.terms, q.name, query.Of("s.name = ?", q.name))
}

func (s *Service) searchAllEndpoints(ctx context.Context, q *searchAll) (*endpointsOut, error) {
	return s.findEndpoints(ctx, q.terms, "", seen(q.Visible))
}

// findEndpoints looks among the endpoints of one server, or of all that may be seen.
func (s *Service) findEndpoints(ctx context.Context, q terms, of string, among query.Clause) (*endpointsOut, error) {
	p, err := read(q, of, &endpointLanguage, maxOthers, "endpoints", endpointCondition, endpointOrder)
	if err != nil {
		return nil, err
	}
	namespace := server.NamespaceOf(ctx)
	where := query.All(query.Of("s.namespace = ?", namespace), among, p.where)
	if q.Alias != "" {
		where = query.All(where, query.Of("e.alias = ?", q.Alias))
	}
	if q.Version != "" {
		where = query.All(where, query.Of("e.version IS NOT NULL AND v.version = ?", q.Version))
	}
	list, next, err := run(ctx, s, p, func(t *db.Tx, tail string, args ...any) ([]endpointRow, error) {
		return endpoints(t, namespace, where, tail, args...)
	})
	return &endpointsOut{list, next}, err
}
