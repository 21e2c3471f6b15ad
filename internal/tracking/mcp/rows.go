package mcp

import (
	"encoding/json"
	"slices"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// stamps are who did something last, and when.
type stamps struct {
	CreatedBy *string `json:"created_by"`
	UpdatedBy *string `json:"last_updated_by"`
	Created   int64   `json:"creation_timestamp"`
	Updated   int64   `json:"last_updated_timestamp"`
}

func (s *stamps) dest() []any { return []any{&s.CreatedBy, &s.UpdatedBy, &s.Created, &s.Updated} }

// serverRow is a server, as it is stored and as it is answered.
type serverRow struct {
	row         int64
	icons       *string
	Name        string            `json:"name"`
	DisplayName *string           `json:"display_name"`
	Description *string           `json:"description"`
	Icons       []object          `json:"icons"`
	Workspace   string            `json:"workspace"`
	Status      *string           `json:"status"`
	Endpoints   []endpointRow     `json:"access_endpoints"`
	Latest      *string           `json:"latest_version"`
	Aliases     []aliasOut        `json:"aliases"`
	Tags        map[string]string `json:"tags"`
	stamps
}

type aliasOut struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

// versionRow is a version of a server.
type versionRow struct {
	row, server int64
	semver
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Doc       json.RawMessage   `json:"server_json"`
	Workspace string            `json:"workspace"`
	Status    string            `json:"status"`
	Tools     json.RawMessage   `json:"tools"`
	Aliases   []string          `json:"aliases"`
	Tags      map[string]string `json:"tags"`
	Options   json.RawMessage   `json:"connect_options"`
	Source    *string           `json:"source"`
	stamps

	// tools as they are stored: NULL is not known.
	tools *string
}

// endpointRow is an address of a server with the version that it leads to.
type endpointRow struct {
	server    int64
	ID        string `json:"id"`
	Name      string `json:"server_name"`
	URL       string `json:"url"`
	Transport string `json:"transport_type"`
	Workspace string `json:"workspace"`
	// Tools are those of the version; an endpoint inside of a server's answer does not name them.
	Tools    json.RawMessage `json:"tools,omitempty"`
	Version  *string         `json:"server_version"`
	Alias    *string         `json:"server_alias"`
	Resolved *versionRow     `json:"resolved_version"`
	stamps
}

// States of a version.
const (
	draft      = "draft"
	active     = "active"
	deprecated = "deprecated"
	deleted    = "deleted"
)

// latest is an alias that is found and not stored.
const latest = "latest"

// latestOf is the version that "latest" means of the server in a column.
func latestOf(server string) string {
	return `(SELECT x.id FROM mcp_versions x WHERE x.server = ` + server + ` AND x.status <> 'deleted'
		ORDER BY CASE WHEN x.status = 'active' THEN 0 ELSE 1 END, x.major DESC, x.minor DESC, x.patch DESC, x.pre DESC, x.created DESC, x.version DESC LIMIT 1)`
}

const versionColumns = "v.id, v.server, s.name, v.version, v.major, v.minor, v.patch, v.pre, v.status, v.doc, v.tools, v.options, v.source, v.created_by, v.updated_by, v.created, v.updated"

// dest are the places of versionColumns; doc and options still are texts.
func (v *versionRow) dest(doc *string, options **string) []any {
	return append([]any{
		&v.row, &v.server, &v.Name, &v.Version, &v.major, &v.minor, &v.patch, &v.pre, &v.Status, doc, &v.tools, options, &v.Source,
	}, v.stamps.dest()...)
}

func (v *versionRow) fill(namespace, doc string, options *string) {
	v.Workspace, v.Doc, v.Tools, v.Options = namespace, json.RawMessage(doc), json.RawMessage("[]"), json.RawMessage("{}")
	if v.tools != nil {
		v.Tools = json.RawMessage(*v.tools)
	}
	if options != nil {
		v.Options = json.RawMessage(*options)
	}
}

// versions reads versions with their tags and aliases; tail follows WHERE.
func versions(t *db.Tx, namespace string, where query.Clause, tail string, args ...any) (list []versionRow, err error) {
	err = t.Each(func(r db.Rows) error {
		var v versionRow
		var doc string
		var options *string
		err := r.Scan(v.dest(&doc, &options)...)
		v.fill(namespace, doc, options)
		list = append(list, v)
		return err
	}, "SELECT "+versionColumns+" FROM mcp_versions v JOIN mcp_servers s ON s.id = v.server WHERE "+where.SQL+tail, append(slices.Clone(where.Args), args...)...)
	if err != nil {
		return nil, err
	}
	refs := make([]*versionRow, len(list))
	for i := range list {
		refs[i] = &list[i]
	}
	return list, addToVersions(t, refs)
}

// addToVersions reads tags and aliases of versions, one query for each.
func addToVersions(t *db.Tx, list []*versionRow) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([]int64, len(list))
	byRow := map[int64][]*versionRow{}
	for i, v := range list {
		v.Tags, v.Aliases = map[string]string{}, []string{}
		rows[i] = v.row
		byRow[v.row] = append(byRow[v.row], v)
	}
	err := t.Each(func(r db.Rows) error {
		var row int64
		var key, value string
		err := r.Scan(&row, &key, &value)
		for _, v := range byRow[row] {
			v.Tags[key] = value
		}
		return err
	}, "SELECT version, key, value FROM mcp_version_tags WHERE version IN (??)", rows)
	if err != nil {
		return err
	}
	return t.Each(func(r db.Rows) error {
		var row int64
		var alias string
		err := r.Scan(&row, &alias)
		for _, v := range byRow[row] {
			v.Aliases = append(v.Aliases, alias)
		}
		return err
	}, "SELECT version, alias FROM mcp_aliases WHERE version IN (??) ORDER BY alias", rows)
}

// targetOf is the version that an endpoint leads to.
var targetOf = `CASE WHEN e.version IS NOT NULL THEN e.version WHEN e.alias = 'latest' THEN ` + latestOf("e.server") + `
	ELSE (SELECT a.version FROM mcp_aliases a WHERE a.server = e.server AND a.alias = e.alias) END`

// endpoints reads endpoints that lead somewhere.
func endpoints(t *db.Tx, namespace string, where query.Clause, tail string, args ...any) (list []endpointRow, err error) {
	var found []*versionRow
	err = t.Each(func(r db.Rows) error {
		var e endpointRow
		v := &versionRow{}
		var doc string
		var options *string
		var direct *int64
		dest := append([]any{&e.ID, &e.server, &e.URL, &e.Transport, &direct, &e.Alias}, e.dest()...)
		err := r.Scan(append(dest, v.dest(&doc, &options)...)...)
		v.fill(namespace, doc, options)
		if direct != nil {
			e.Version = &v.Version
		}
		e.Name, e.Workspace, e.Resolved, e.Tools = v.Name, namespace, v, json.RawMessage("null")
		if v.tools != nil {
			e.Tools = v.Tools
		}
		list, found = append(list, e), append(found, v)
		return err
	}, "SELECT e.id, e.server, e.url, e.transport, e.version, e.alias, e.created_by, e.updated_by, e.created, e.updated, "+versionColumns+`
		FROM mcp_endpoints e JOIN mcp_servers s ON s.id = e.server JOIN mcp_versions v ON v.id = `+targetOf+` AND v.status <> 'deleted'
		WHERE `+where.SQL+tail, append(slices.Clone(where.Args), args...)...)
	if err != nil {
		return nil, err
	}
	return list, addToVersions(t, found)
}

// servers reads servers with all that belongs to them.
func servers(t *db.Tx, namespace string, where query.Clause, tail string, args ...any) (list []serverRow, err error) {
	err = t.Each(func(r db.Rows) error {
		var s serverRow
		var doc *string
		err := r.Scan(append([]any{&s.row, &s.Name, &s.DisplayName, &s.Description, &s.icons, &s.Latest, &s.Status, &doc}, s.dest()...)...)
		s.Workspace, s.Endpoints, s.Aliases, s.Tags = namespace, []endpointRow{}, []aliasOut{}, map[string]string{}
		list = append(list, s)
		if err != nil {
			return err
		}
		return list[len(list)-1].inherit(doc)
	}, `SELECT s.id, s.name, s.display_name, s.description, s.icons, l.version, l.status, l.doc, s.created_by, s.updated_by, s.created, s.updated
		FROM mcp_servers s LEFT JOIN mcp_versions l ON l.id = `+latestOf("s.id")+" WHERE "+where.SQL+tail, append(slices.Clone(where.Args), args...)...)
	if err != nil || len(list) == 0 {
		return list, err
	}
	return list, addToServers(t, namespace, list)
}

func addToServers(t *db.Tx, namespace string, list []serverRow) error {
	rows := make([]int64, len(list))
	byRow := map[int64]*serverRow{}
	for i := range list {
		rows[i] = list[i].row
		byRow[list[i].row] = &list[i]
	}
	err := t.Each(func(r db.Rows) error {
		var row int64
		var key, value string
		if err := r.Scan(&row, &key, &value); err != nil {
			return err
		}
		byRow[row].Tags[key] = value
		return nil
	}, "SELECT server, key, value FROM mcp_server_tags WHERE server IN (??)", rows)
	if err != nil {
		return err
	}
	err = t.Each(func(r db.Rows) error {
		var row int64
		var a aliasOut
		if err := r.Scan(&row, &a.Alias, &a.Version); err != nil {
			return err
		}
		byRow[row].Aliases = append(byRow[row].Aliases, a)
		return nil
	}, "SELECT a.server, a.alias, v.version FROM mcp_aliases a JOIN mcp_versions v ON v.id = a.version WHERE a.server IN (??) ORDER BY a.alias", rows)
	if err != nil {
		return err
	}
	found, err := endpoints(t, namespace, query.Of("e.server IN (??)", rows), " ORDER BY e.id")
	for _, e := range found {
		e.Tools = nil
		byRow[e.server].Endpoints = append(byRow[e.server].Endpoints, e)
	}
	return err
}

// inherit takes from the latest version what the server says nothing of.
func (s *serverRow) inherit(doc *string) error {
	var own []object
	if s.icons != nil {
		if err := mlwire.ReadValue([]byte(*s.icons), &own); err != nil {
			return err
		}
	}
	var of struct {
		Description *string  `json:"description"`
		Icons       []object `json:"icons"`
	}
	if doc != nil {
		if err := mlwire.ReadValue([]byte(*doc), &of); err != nil {
			return err
		}
	}
	if s.Description == nil {
		s.Description = of.Description
	}
	if s.icons != nil && len(own) == 0 { // none, and not those of the version
		s.Icons = []object{}
		return nil
	}
	themes := map[any]bool{}
	for _, icon := range own {
		themes[icon["theme"]] = true
		icon["source"] = "server"
		s.Icons = append(s.Icons, icon)
	}
	for _, icon := range of.Icons {
		if !themes[icon["theme"]] {
			icon["source"] = "version"
			s.Icons = append(s.Icons, icon)
		}
	}
	return nil
}
