package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// platform is the registry behind the HTTP server.
type platform struct {
	*Service
	t       *testing.T
	handler http.Handler
}

type anna struct{ may func(server.Permission) bool }

func (anna) Authenticate(*http.Request) (server.User, error) { return server.User{Name: "anna"}, nil }

func (a anna) Authorize(_ context.Context, _ server.User, p server.Permission, _ string) error {
	if a.may == nil || a.may(p) {
		return nil
	}
	return fmt.Errorf("no role")
}

func both(t *testing.T, test func(*testing.T, *platform)) {
	t.Helper()
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) { test(t, start(t, open(t), nil)) })
}

func start(t *testing.T, database *db.Store, may func(server.Permission) bool) *platform {
	t.Helper()
	var n atomic.Int64
	now := time.UnixMilli(1_700_000_000_000)
	s, err := New(t.Context(), Options{
		DB: database, Clock: func() time.Time { return now.Add(time.Duration(n.Add(1)) * time.Millisecond) },
		NewID: func() string { return fmt.Sprintf("%032x", n.Add(1)) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := server.New(server.Options{Authenticator: anna{may}, Authorizer: anna{may}, Logger: slog.New(slog.DiscardHandler), Endpoints: s.Endpoints(), Hosts: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	return &platform{s, t, h}
}

// do sends a request; NAME in the path is com.example/files as clients write it.
func (p *platform) do(method, path, body string, header ...string) (int, object) {
	p.t.Helper()
	r := httptest.NewRequest(method, "/api/3.0/mlflow/mcp-servers"+strings.ReplaceAll(path, "NAME", "com.example%2Ffiles"), strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	var out object
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		p.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code, out
}

func (p *platform) must(method, path, body string, header ...string) object {
	p.t.Helper()
	status, out := p.do(method, path, body, header...)
	if status != http.StatusOK {
		p.t.Fatalf("%s %s %s: %d %v", method, path, body, status, out)
	}
	return out
}

// refuses expects a status and a part of the message.
func (p *platform) refuses(method, path, body string, status int, part string) {
	p.t.Helper()
	got, out := p.do(method, path, body)
	if text, _ := out["message"].(string); got != status || !strings.Contains(text, part) {
		p.t.Errorf("%s %s %.200s: %d %v, want %d and %q", method, path, body, got, out, status, part)
	}
}

// version registers one.
func (p *platform) version(number, more string) object {
	p.t.Helper()
	return p.must("POST", "/NAME/versions", fmt.Sprintf(`{"server_json":{"name":"com.example/files","version":%q,"description":"of %s"}%s}`, number, number, more))
}

// names are one field of a list.
func names(out object, list, field string) string {
	var all []string
	rows, _ := out[list].([]any)
	for _, r := range rows {
		o, _ := r.(object)
		all = append(all, fmt.Sprint(o[field]))
	}
	return strings.Join(all, " ")
}

func TestServers(t *testing.T) { both(t, testServers) }

func testServers(t *testing.T, p *platform) {
	t.Helper()
	made := p.must("POST", "", `{"name":"com.example/files","description":"d","icons":[{"src":"https://example.org/a.png","mimeType":" Image/PNG ","theme":"dark","source":"server","x":1}]}`)
	want := object{
		"name": "com.example/files", "display_name": nil, "description": "d", "workspace": "default", "status": nil, "access_endpoints": []any{}, "latest_version": nil, "aliases": []any{}, "tags": object{},
		"icons":      []any{object{"src": "https://example.org/a.png", "mimeType": "image/png", "theme": "dark", "source": "server", "x": 1.0}},
		"created_by": "anna", "last_updated_by": "anna", "creation_timestamp": 1700000000001.0, "last_updated_timestamp": 1700000000001.0,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	p.refuses("POST", "", `{"name":"com.example/files"}`, 400, "already exists")
	p.must("POST", "/NAME/tags", `{"key":"team","value":"a"}`)
	p.must("POST", "/NAME/tags", `{"key":"team","value":"b"}`)
	p.must("POST", "/NAME/tags", `{"key":"a/b","value":""}`)
	changed := p.must("PATCH", "/NAME", `{"display_name":"Files","description":null,"icons":[]}`)
	if diff := cmp.Diff([]any{"Files", nil, []any{}, object{"team": "b", "a/b": ""}}, []any{changed["display_name"], changed["description"], changed["icons"], changed["tags"]}); diff != "" {
		t.Error(diff)
	}
	p.version("1.0.0", `,"status":"active"`)
	got := p.must("GET", "/NAME", "")
	if diff := cmp.Diff([]any{"of 1.0.0", "1.0.0", "active", []any{}}, []any{got["description"], got["latest_version"], got["status"], got["icons"]}); diff != "" {
		t.Error(diff)
	}
	p.must("DELETE", "/NAME/tags/a%2Fb", "")
	p.refuses("DELETE", "/NAME/tags/a%2Fb", "", 404, "not found")
	p.refuses("PATCH", "/NAME", `{"latest_version":"2"}`, 400, "read-only")
	p.refuses("DELETE", "/NAME", "", 400, "still has an active version ('1.0.0')")
	p.must("PATCH", "/NAME/versions/1.0.0", `{"status":"draft"}`)
	p.must("DELETE", "/NAME", "")
	p.refuses("GET", "/NAME", "", 404, "not found")
	p.refuses("GET", "/NAME/versions/1.0.0", "", 404, "not found")
}

func TestServers_workspace(t *testing.T) { both(t, testWorkspace) }

func testWorkspace(t *testing.T, p *platform) {
	t.Helper()
	p.version("1.0.0", "")
	other := []string{"X-Mlflow-Workspace", "other"}
	if status, _ := p.do("GET", "/NAME", "", other...); status != http.StatusNotFound {
		t.Errorf("another project reads it: %d", status)
	}
	if got := p.must("GET", "", "", other...); names(got, "mcp_servers", "name") != "" {
		t.Errorf("%v", got)
	}
	e := p.must("POST", "/NAME/endpoints", `{"url":"https://example.org/mcp","server_alias":"latest"}`)["id"].(string)
	for _, call := range []string{"GET /NAME/versions/1.0.0", "GET /NAME/aliases/latest", "GET /NAME/endpoints/" + e, "DELETE /NAME/endpoints/" + e, "DELETE /NAME/versions/1.0.0", "DELETE /NAME"} {
		method, path, _ := strings.Cut(call, " ")
		if status, _ := p.do(method, path, "", other...); status != http.StatusNotFound {
			t.Errorf("%s of another project: %d", call, status)
		}
	}
	p.must("POST", "", `{"name":"com.example/files"}`, other...) // a name for each project
}

// tool has every field.
func tool(name string, given object) object {
	out := object{"name": name}
	for _, f := range toolShape[1:] {
		out[f.name] = given[f.name]
	}
	return out
}

func TestVersions(t *testing.T) { both(t, testVersions) }

func testVersions(t *testing.T, p *platform) {
	t.Helper()
	tools := `[{"name":"read","inputSchema":{"type":"object"},"title":null,"unknown":1,"icons":[{"src":"https://example.org/i.png"}]}]`
	made := p.version("1.0.0", `,"source":"git","tools":`+tools+`,"connect_options":{"remote":{"hidden":true}}`)
	want := object{
		"name": "com.example/files", "version": "1.0.0", "workspace": "default", "status": "draft", "source": "git", "aliases": []any{}, "tags": object{},
		"server_json":     object{"name": "com.example/files", "version": "1.0.0", "description": "of 1.0.0"},
		"tools":           []any{tool("read", object{"inputSchema": object{"type": "object"}, "icons": []any{object{"src": "https://example.org/i.png"}}})},
		"connect_options": object{"remote": object{"hidden": true}},
		"created_by":      "anna", "last_updated_by": "anna", "creation_timestamp": made["creation_timestamp"], "last_updated_timestamp": made["creation_timestamp"],
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	p.refuses("POST", "/NAME/versions", `{"server_json":{"name":"com.example/files","version":"1.0.0"}}`, 400, "already exists")
	for _, v := range []string{"1.10.0", "1.9.0", "2.0.0-alpha.2", "2.0.0-alpha.10", "2.0.0-beta", "2.0.0-alpha"} {
		p.version(v, "")
	}
	latest := func(want string) {
		t.Helper()
		if got := p.must("GET", "/NAME/aliases/latest", ""); got["version"] != want {
			t.Errorf("the latest is %v, want %s", got["version"], want)
		}
	}
	latest("2.0.0-beta") // none is active
	p.must("PATCH", "/NAME/versions/1.9.0", `{"status":"active","tools":[],"connect_options":null}`)
	latest("1.9.0")
	p.must("PATCH", "/NAME/versions/1.10.0", `{"status":"active"}`)
	latest("1.10.0")
	for query, want := range map[string]string{
		"order_by=version":                                "1.0.0 1.9.0 1.10.0 2.0.0-alpha 2.0.0-alpha.2 2.0.0-alpha.10 2.0.0-beta",
		"order_by=version+DESC&max_results=2":             "2.0.0-beta 2.0.0-alpha.10",
		"filter_string=version+>=+'2.0.0-alpha.2'":        "2.0.0-alpha.2 2.0.0-alpha.10 2.0.0-beta",
		"filter_string=version+<+'1.10.0'":                "1.0.0 1.9.0",
		"filter_string=version+!=+'1.0.0'+AND+status='x'": "",
		"filter_string=status+IN+('active','x')":          "1.10.0 1.9.0",
		"filter_string=status+LIKE+'act%25'":              "1.10.0 1.9.0",
	} {
		if got := names(p.must("GET", "/NAME/versions?"+strings.NewReplacer("<", "%3C", ">", "%3E").Replace(query), ""), "mcp_server_versions", "version"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for _, c := range []struct{ from, to, part string }{
		{"1.0.0", "deprecated", "Invalid status transition from 'draft' to 'deprecated'"},
		{"1.9.0", "deleted", "from 'active' to 'deleted'"},
		{"1.9.0", "active", "from 'active' to 'active'"},
		{"1.9.0", "gone", "Invalid status: 'gone'"},
	} {
		p.refuses("PATCH", "/NAME/versions/"+c.from, `{"status":"`+c.to+`"}`, 400, c.part)
	}
	if got := p.must("GET", "/NAME/versions/1.9.0", ""); got["status"] != "active" {
		t.Errorf("a refused change was stored: %v", got)
	}
	p.must("POST", "/NAME/versions/1.0.0/tags", `{"key":"k","value":"v"}`)
	if got := p.must("GET", "/NAME/versions/1.0.0", ""); !cmp.Equal(got["tags"], any(object{"k": "v"})) {
		t.Errorf("%v", got)
	}
	p.must("DELETE", "/NAME/versions/1.0.0/tags/k", "")
	p.refuses("DELETE", "/NAME/versions/1.0.0/tags/k", "", 404, "Tag 'k' not found")
	p.must("DELETE", "/NAME/versions/1.0.0", "")
	p.refuses("GET", "/NAME/versions/1.0.0", "", 404, "not found")
	p.refuses("DELETE", "/NAME/versions/1.0.0", "", 400, "from 'deleted'")
	p.refuses("POST", "/NAME/versions", `{"server_json":{"name":"com.example/files","version":"1.0.0"}}`, 400, "already exists")
	p.must("POST", "/NAME/versions", `{"server_json":{"server":{"name":"com.example/files","version":"3.0.0+b1"},"_meta":{}}}`) // as the public registry answers
	p.must("GET", "/NAME/versions/3.0.0%2Bb1", "")
}

func TestEndpoints(t *testing.T) { both(t, testEndpoints) }

func testEndpoints(t *testing.T, p *platform) {
	t.Helper()
	p.version("1.0.0", `,"tools":[{"name":"a"}]`)
	p.version("2.0.0", "")
	p.must("POST", "/NAME/aliases", `{"alias":"stable","version":"1.0.0"}`)
	p.refuses("POST", "/NAME/aliases", `{"alias":"latest","version":"1.0.0"}`, 400, "reserved")
	p.refuses("POST", "/NAME/aliases", `{"alias":"x","version":"9.0.0"}`, 404, "not found")
	if got := p.must("GET", "/NAME/aliases/stable", ""); got["version"] != "1.0.0" || !cmp.Equal(got["aliases"], any([]any{"stable"})) {
		t.Errorf("%v", got)
	}
	add := func(target string) string {
		t.Helper()
		return p.must("POST", "/NAME/endpoints", `{"url":"https://example.org/mcp",`+target+`}`)["id"].(string)
	}
	direct, stable, newest := add(`"server_version":"1.0.0"`), add(`"server_alias":"stable","transport_type":"sse"`), add(`"server_alias":"latest"`)
	for _, body := range []string{`{"url":"u"}`, `{"url":"u","server_version":"1.0.0","server_alias":"stable"}`} {
		p.refuses("POST", "/NAME/endpoints", body, 400, "Exactly one of")
	}
	p.refuses("POST", "/NAME/endpoints", `{"url":" ","server_version":"1.0.0"}`, 400, "cannot be empty")
	p.refuses("POST", "/NAME/endpoints", `{"url":"u","server_version":"1.0.0","transport_type":"stdio"}`, 400, "Invalid transport_type: 'stdio'")
	p.refuses("POST", "/NAME/endpoints", `{"url":"u","server_alias":"none"}`, 404, "Alias 'none' not found")
	got := p.must("GET", "/NAME/endpoints/"+direct, "")
	resolved, _ := got["resolved_version"].(object)
	if diff := cmp.Diff([]any{"com.example/files", "1.0.0", nil, "streamable-http", []any{tool("a", nil)}, "1.0.0"},
		[]any{got["server_name"], got["server_version"], got["server_alias"], got["transport_type"], got["tools"], resolved["version"]}); diff != "" {
		t.Error(diff)
	}
	for query, want := range map[string]string{
		"/NAME/endpoints":                     strings.Join([]string{direct, stable, newest}, " "),
		"/endpoints?server_alias=latest":      newest,
		"/endpoints?server_version=1.0.0":     direct,
		"/NAME/endpoints?server_alias=stable": stable,
		"/endpoints?filter_string=" + url.QueryEscape("transport_type = 'sse' AND status = 'draft'"): stable,
		"/endpoints?filter_string=" + url.QueryEscape("server_name IN ('x')"):                        "",
		"/NAME/endpoints?order_by=created_at+DESC&max_results=1":                                     newest,
	} {
		if got := names(p.must("GET", query, ""), "mcp_access_endpoints", "id"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	of := p.must("GET", "/NAME", "")
	if nested, _ := of["access_endpoints"].([]any); len(nested) != 3 || nested[0].(object)["tools"] != nil {
		t.Errorf("%v", of["access_endpoints"])
	}
	for filter, want := range map[string]string{"has_access_endpoints = 'true'": "com.example/files", "has_access_endpoints = 'false'": ""} {
		if got := names(p.must("GET", "?filter_string="+url.QueryEscape(filter), ""), "mcp_servers", "name"); got != want {
			t.Errorf("%s: %s", filter, got)
		}
	}
	p.must("PATCH", "/NAME/endpoints/"+direct, `{"server_alias":"stable","url":"https://example.org/2"}`)
	p.refuses("PATCH", "/NAME/endpoints/"+direct, `{"url":null}`, 400, "url cannot be None")
	if got := p.must("GET", "/NAME/endpoints/"+direct, ""); got["server_version"] != nil || got["server_alias"] != "stable" || got["url"] != "https://example.org/2" {
		t.Errorf("%v", got)
	}
	p.must("PATCH", "/NAME/endpoints/"+direct, `{"server_version":"2.0.0","transport_type":"sse"}`)
	p.must("DELETE", "/NAME/versions/1.0.0", "") // with its alias and what is reached by that
	p.refuses("GET", "/NAME/endpoints/"+stable, "", 404, "not found")
	p.refuses("GET", "/NAME/aliases/stable", "", 404, "not found")
	p.must("PATCH", "/NAME/versions/2.0.0", `{"status":"deleted"}`) // the last one
	if got := names(p.must("GET", "/endpoints", ""), "mcp_access_endpoints", "id"); got != "" {
		t.Errorf("endpoints that lead nowhere: %s", got)
	}
	p.refuses("DELETE", "/NAME/endpoints/"+newest, "", 404, "not found")
	p.refuses("GET", "/NAME/aliases/latest", "", 404, "No resolved latest version")
}

func TestSearch(t *testing.T) { both(t, testSearch) }

func testSearch(t *testing.T, p *platform) {
	t.Helper()
	for i := range 7 {
		name := fmt.Sprintf("com.example/s%d", i)
		p.must("POST", "", `{"name":"`+name+`","description":"`+name+`"}`)
		p.must("POST", "/"+url.PathEscape(name)+"/tags", fmt.Sprintf(`{"key":"half","value":"%d"}`, i%2))
	}
	p.must("PATCH", "/com.example%2Fs3", `{"display_name":"Third"}`)
	for query, want := range map[string]string{
		"filter_string=" + url.QueryEscape("name LIKE '%s5' OR 1"):                           "!",
		"filter_string=" + url.QueryEscape("name LIKE '%s5'"):                                "com.example/s5",
		"filter_string=" + url.QueryEscape("display_name ILIKE 'third' AND tags.half = '1'"): "com.example/s3",
		"filter_string=" + url.QueryEscape("status = 'active'"):                              "",
		"filter_string=" + url.QueryEscape("created_at < 0"):                                 "",
		"filter_string=" + url.QueryEscape("has_access_endpoints = 'perhaps'"):               "!",
		"filter_string=" + url.QueryEscape("colour = 'x'"):                                   "!",
		"order_by=last_updated_at+DESC&max_results=1":                                        "com.example/s3",
		"order_by=name&order_by=name+DESC":                                                   "!",
		"order_by=colour":                                                                    "!",
		"max_results=1001":                                                                   "!",
		"max_results=0":                                                                      "!",
		"page_token=x":                                                                       "!",
	} {
		status, out := p.do("GET", "?"+query, "")
		if got := names(out, "mcp_servers", "name"); (status != 200) != (want == "!") || want != "!" && got != want {
			t.Errorf("%s: %d %v, want %s", query, status, out, want)
		}
	}
	for _, order := range []string{"", "&order_by=created_at+DESC"} {
		var seen []string
		for token, more := "", true; more; more = token != "" {
			out := p.must("GET", "?max_results=3"+order+"&page_token="+url.QueryEscape(token), "")
			seen = append(seen, strings.Fields(names(out, "mcp_servers", "name"))...)
			token, _ = out["next_page_token"].(string)
		}
		if len(seen) != 7 {
			t.Errorf("%s: %v", order, seen)
		}
	}
}

// TestPlainNames: a name is found whether or not its slash is written as %2F.
func TestPlainNames(t *testing.T) {
	p := start(t, storetest.Open(t), func(perm server.Permission) bool { return perm.Verb != "delete" })
	p.version("1.0.0", "")
	for _, call := range []string{"GET /com.example/files", "GET /com.example/files/", "GET /com.example/files/versions", "GET /com.example/files/versions/1.0.0", "GET /com.example/files/aliases/latest", "GET /com.example/files/endpoints"} {
		method, path, _ := strings.Cut(call, " ")
		p.must(method, path, "")
	}
	p.must("POST", "/com.example/files/versions/1.0.0/tags", `{"key":"a","value":"b"}`)
	p.must("DELETE", "/com.example/files/versions/1.0.0/tags/a", "")
	p.refuses("DELETE", "/com.example/files", "", http.StatusForbidden, "")
	for _, path := range []string{"/a", "/a/b/c", "/a/b/versions/1/x/y/z"} {
		if status, _ := p.do("GET", path, ""); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}
