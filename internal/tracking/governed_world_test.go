package tracking_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/access"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

// world is tracking with users: alice and mallory each have one object of every
// kind, and nothing of each other's; reader may read what is alice's.
type world struct {
	*platform
	endpoints []server.Endpoint
	governed  []server.Endpoint
	users     []server.Endpoint
	dir       string
	own       map[string]map[string]string // user → kind → id
}

// byHeader takes the user from a header.
type byHeader struct{}

// Authenticate implements server.Authenticator.
func (byHeader) Authenticate(r *http.Request) (server.User, error) {
	return server.User{Name: r.Header.Get("User")}, nil
}

// usersAt opens a database with the users of basic-auth.
func usersAt(t *testing.T, dir string) (database string, db *store.Store, users *access.Service) {
	t.Helper()
	database = filepath.Join(dir, "kiwerk.db")
	var err error
	db, err = store.Open(t.Context(), store.Options{Path: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // it was only read in the end
	users, err = access.New(t.Context(), access.Options{
		DB: db, Clock: time.Now, Rounds: 1, Config: access.Config{Standard: access.None, Admin: "admin", Password: "a long password"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return database, db, users
}

func govern(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	database, db, users := usersAt(t, dir)
	p := startAt(t, database, dir, nil, func(d *tracking.Deps) { d.Store, d.Owners = db, users })
	p.db = db
	spaces, err := workspaces.New(t.Context(), workspaces.Options{DB: db, Contents: p.Service, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{platform: p, dir: dir, endpoints: slices.Concat(p.Endpoints(), spaces.Endpoints()), own: map[string]map[string]string{}}
	w.governed = users.Govern(w.endpoints, p.Service, access.Artifacts{})
	w.endpoints = withPlainNames(w.endpoints)
	w.users = users.Endpoints()
	p.handler, err = server.New(server.Options{Authenticator: byHeader{}, Authorizer: users, Logger: slog.New(slog.DiscardHandler), Endpoints: append(slices.Clip(w.governed), w.users...), Hosts: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "mallory", "reader"} {
		p.must("POST", "users/create", fmt.Sprintf(`{"username":%q,"password":"password of %s"}`, name, name), "User", "admin")
	}
	w.own["alice"], w.own["mallory"] = w.objectsOf("alice"), w.objectsOf("mallory")
	for kind, id := range map[string]string{"experiment": w.own["alice"]["experiment"], "registered_model": w.own["alice"]["registered_model"], "mcp_server": w.own["alice"]["mcp_server"]} {
		w.v3("POST", "users/permissions/grant", fmt.Sprintf(`{"username":"reader","resource_type":%q,"resource_id":%q,"permission":"READ"}`, kind, id), "admin")
	}
	return w
}

// withPlainNames puts the calls of MCP servers with a plain slash in the name
// in place of the route that takes them all.
func withPlainNames(list []server.Endpoint) (out []server.Endpoint) {
	for _, e := range list {
		if strings.HasSuffix(e.Pattern, "/mcp-servers/{path...}") {
			continue
		}
		out = append(out, e)
		if before, after, ok := strings.Cut(e.Pattern, "/mcp-servers/{name}"); ok {
			e.Pattern = before + "/mcp-servers/{plain}" + after
			out = append(out, e)
		}
	}
	return out
}

// v3 is a call of version 3 of the API that works.
func (p *platform) v3(method, call, body, user string) map[string]any {
	p.t.Helper()
	status, out := p.do(method, "/api/3.0/mlflow/"+call, body, "User", user)
	if status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v", method, call, status, out)
	}
	return out
}

// objectsOf makes one object of each kind as a user.
func (w *world) objectsOf(user string) map[string]string {
	w.t.Helper()
	text := func(v any) string { return fmt.Sprint(v) }
	must := func(call, body string) map[string]any { return w.must("POST", call, body, "User", user) }
	exp := text(must("experiments/create", fmt.Sprintf(`{"name":"experiment of %s"}`, user))["experiment_id"])
	in := func(fields string) string { return fmt.Sprintf(`{"experiment_id":%q%s}`, exp, fields) }
	o := map[string]string{"experiment": exp, "experiment_name": "experiment of " + user, "registered_model": "model of " + user, "workspace": "default", "scorer_name": "s", "new experiment": "new", "new registered_model": "new"}
	o["run"] = text(dig(must("runs/create", in("")), "run", "info", "run_id"))
	o["logged_model"] = text(dig(must("logged-models", in(`,"source_run_id":"`+o["run"]+`"`)), "model", "info", "model_id"))
	o["path"] = exp + "/" + o["run"] + "/artifacts/a"
	if status := w.put(o["path"], "secret of "+user, "User", user); status != http.StatusOK {
		w.t.Fatal(status)
	}
	o["source"] = "mlflow-artifacts:/" + o["path"]
	must("registered-models/create", fmt.Sprintf(`{"name":%q}`, o["registered_model"]))
	must("model-versions/create", fmt.Sprintf(`{"name":%q,"source":%q,"run_id":%q}`, o["registered_model"], o["source"], o["run"]))
	must("registered-models/alias", fmt.Sprintf(`{"name":%q,"alias":"x","version":"1"}`, o["registered_model"]))
	o["version"] = o["registered_model"]
	o["trace"] = fmt.Sprintf("tr-%032x", user[:1])
	w.v3("POST", "traces", traceBody(o["trace"], exp), user)
	o["assessment"] = text(dig(w.v3("POST", "traces/"+o["trace"]+"/assessments", `{"assessment":{"assessment_name":"a","source":{"source_type":"HUMAN","source_id":"x"},"feedback":{"value":1}}}`, user), "assessment", "assessment_id"))
	o["dataset"] = text(dig(w.v3("POST", "datasets/create", `{"name":"d","experiment_ids":["`+exp+`"]}`, user), "dataset", "dataset_id"))
	o["issue"] = text(dig(w.v3("POST", "issues", in(`,"name":"i","description":"d"`), user), "issue", "issue_id"))
	o["label_schema"] = text(dig(w.v3("POST", "label-schemas/create", in(`,"name":"l","type":"FEEDBACK","input":{"text":{}}`), user), "label_schema", "schema_id"))
	o["review_queue"] = text(dig(w.v3("POST", "review-queues/create", in(`,"name":"q","queue_type":"CUSTOM"`), user), "review_queue", "queue_id"))
	w.v3("POST", "review-queues/items/add", fmt.Sprintf(`{"queue_id":%q,"item_ids":[%q]}`, o["review_queue"], o["trace"]), user)
	o["scorer"] = text(w.v3("POST", "scorers/register", in(`,"name":"s","serialized_scorer":"{}"`), user)["scorer_id"])
	o["job"] = text(dig(w.v3("POST", "prompt-optimization/jobs", in(`,"source_prompt_uri":"prompts:/p/1","config":{"optimizer_type":1}`), user), "job", "job_id"))
	o["mcp_server"] = "com.example/" + user
	o["mcp_server_version"], o["new mcp_server"], o["new mcp_server_version"] = o["mcp_server"], "com.example/new", o["mcp_server"]
	inMCP := "mcp-servers/com.example%2F" + user
	w.v3("POST", inMCP+"/versions", `{"server_json":{"name":"`+o["mcp_server"]+`","version":"1.0.0","description":"secret of `+user+`"}}`, user)
	w.v3("POST", inMCP+"/versions/1.0.0/tags", `{"key":"x","value":"secret of `+user+`"}`, user)
	w.v3("POST", inMCP+"/tags", `{"key":"x","value":"secret of `+user+`"}`, user)
	w.v3("POST", inMCP+"/aliases", `{"alias":"x","version":"1.0.0"}`, user)
	o["endpoint"] = text(w.v3("POST", inMCP+"/endpoints", `{"url":"https://example.org/secret of `+user+`","server_version":"1.0.0"}`, user)["id"])
	return o
}

func traceBody(id, exp string) string {
	return fmt.Sprintf(`{"trace":{"trace_info":{"trace_id":%s,"trace_location":{"type":"MLFLOW_EXPERIMENT","mlflow_experiment":{"experiment_id":%q}},"request_time":"2026-11-27T00:00:00Z","state":"OK"}}}`, jsonOf(id), exp)
}

// fillers are values of fields that name no object and cannot be guessed.
var fillers = map[string]any{
	"status": "READY", "type": "FEEDBACK", "input": map[string]any{"text": map[string]any{}}, "queue_type": "CUSTOM", "stage": "Staging", "version": "1", "alias": "x",
	"view_type": "TRACES", "metric_name": "trace_count", "aggregations": []any{map[string]any{"aggregation_type": "COUNT"}}, "update_mask": "rationale",
	"serialized_scorer": "{}", "tags": "{}", "records": "[]", "config": map[string]any{"optimizer_type": 1}, "source_prompt_uri": "prompts:/p/1", "model_json": "{}",
	"assessment": map[string]any{"assessment_name": "a", "source": map[string]any{"source_type": "HUMAN", "source_id": "x"}, "feedback": map[string]any{"value": 1}},
	"name":       "s", "filter_string1": "trace.status = 'OK'", "filter_string2": "trace.status = 'OK'", "path": "a", "num_parts": 1, "max_timestamp_millis": 9e12, "locations": []any{},
}

// fill makes a request that names the objects of its kinds. Optional fields are given only if they name one.
func fill(typ reflect.Type, own map[string]string) map[string]any {
	out := map[string]any{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("ml"), ",")
		if name == "" {
			continue
		}
		base := f.Type
		for base.Kind() == reflect.Pointer {
			base = base.Elem()
		}
		about, _, _ := strings.Cut(f.Tag.Get("about"), ",")
		switch {
		case about != "" && about[0] != '-' && base.Kind() == reflect.Slice:
			out[name] = []any{own[about]}
		case about != "" && about[0] != '-':
			out[name] = own[about]
		case options == "required" && fillers[name] != nil:
			out[name] = fillers[name]
		case base.Kind() == reflect.Struct:
			if inner := fill(base, own); len(inner) > 0 {
				out[name] = inner
			}
		case base.Kind() == reflect.Slice && base.Elem().Kind() == reflect.Struct:
			if inner := fill(base.Elem(), own); len(inner) > 0 && options == "required" {
				out[name] = []any{inner}
			}
		case options != "required":
		default:
			out[name] = map[reflect.Kind]any{reflect.String: "x", reflect.Int64: 1, reflect.Float64: 1, reflect.Bool: true, reflect.Slice: []any{"x"}}[base.Kind()]
		}
	}
	return out
}

// special are requests whose fields stand elsewhere or depend on one another.
func special(call string, own map[string]string) (fields map[string]any, ok bool) {
	switch call {
	case "POST /api/3.0/mlflow/traces":
		ok = json.Unmarshal([]byte(traceBody(own["trace"], own["experiment"])), &fields) == nil
		return fields, ok
	case "POST /api/3.0/mlflow/traces/search":
		return map[string]any{"locations": []any{map[string]any{"mlflow_experiment": map[string]any{"experiment_id": own["experiment"]}}}}, true
	case "POST /api/2.0/mlflow/artifacts/presigned-upload-url", "POST /api/2.0/mlflow/artifacts/presigned-download-url":
		return map[string]any{"run_id": own["run"], "path": "a"}, true
	case "GET /api/3.0/mlflow/scorers/list":
		return map[string]any{"experiment_id": own["experiment"]}, true
	case "GET /get-artifact":
		return map[string]any{"run_id": own["run"], "path": "a"}, true
	case "POST /api/2.0/mlflow/upload-artifact":
		return map[string]any{"run_uuid": own["run"], "path": "a"}, true
	case "GET /api/2.0/mlflow/metrics/get-history-bulk":
		return map[string]any{"run_id": own["run"], "metric_key": "m"}, true
	case "PATCH /api/2.0/mlflow/logged-models/{model_id}":
		return map[string]any{"status": "LOGGED_MODEL_READY"}, true
	case "POST /api/3.0/mlflow/review-queues/items/set-status":
		return map[string]any{"queue_id": own["review_queue"], "item_id": own["trace"], "status": "COMPLETE"}, true
	case "GET /model-versions/get-artifact":
		return map[string]any{"name": own["version"], "version": "1", "path": "a"}, true
	case "GET /api/2.0/mlflow/logged-models/{model_id}/artifacts/files":
		return map[string]any{"artifact_file_path": "a"}, true
	case "GET /api/2.0/mlflow/get-trace-artifact", "GET /api/3.0/mlflow/get-trace-artifact":
		return map[string]any{"request_id": own["trace"]}, true
	case "GET /api/2.0/mlflow-artifacts/artifacts":
		return map[string]any{"path": own["experiment"]}, true
	case "GET /graphql", "POST /graphql":
		return map[string]any{"query": fmt.Sprintf(`{mlflowGetRun(input:{runId:%q}){run{info{runUuid}}}}`, own["run"])}, true
	}
	if _, of, found := strings.Cut(call, "/mcp-servers"); found {
		return ofMCP(strings.Fields(call)[0], of, own), true
	}
	if strings.Contains(call, "/mpu/") {
		return map[string]any{"path": "a", "num_parts": 1, "upload_id": "x"}, true
	}
	return nil, false
}

// ofMCP are the bodies of calls of MCP servers, whose fields have no tags.
func ofMCP(method, path string, own map[string]string) map[string]any {
	_, last, _ := strings.Cut(path, "}/")
	switch {
	case method == http.MethodPost && path == "":
		return map[string]any{"name": own["new mcp_server"]}
	case method == http.MethodPost && last == "versions":
		return map[string]any{"server_json": map[string]any{"name": own["mcp_server"], "version": "9.0.0"}}
	case method == http.MethodPost && strings.HasSuffix(last, "tags"):
		return map[string]any{"key": "x", "value": "y"}
	case method == http.MethodPost && last == "aliases":
		return map[string]any{"alias": "x", "version": "1.0.0"}
	case method == http.MethodPost && last == "endpoints":
		return map[string]any{"url": "https://example.org", "server_alias": "latest"}
	case method == http.MethodPatch && strings.Contains(last, "endpoints"):
		return map[string]any{"url": "https://example.org/2"}
	}
	return map[string]any{}
}

var places = map[string]string{"model_id": "logged_model", "trace_id": "trace", "request_id": "trace", "workspace_name": "workspace", "path...": "path", "assessment_id": "assessment", "name": "mcp_server", "plain": "mcp_server", "endpoint_id": "endpoint"}

// message is a request on its way.
type message struct {
	call, method, path string
	fields             map[string]any
	query, body        string
	header             []string
	ids                map[string]string // that the fields may name
}

// requestOf is the request that names a user's objects and nothing else.
func requestOf(e server.Endpoint, own map[string]string) message {
	m := message{call: callOf(e), method: e.Method, path: e.Pattern, ids: own}
	if m.method == "" {
		m.method = http.MethodPost
	}
	kind := ""
	typ := reflect.TypeOf(e.Request).Elem()
	for i := range typ.NumField() {
		if f := typ.Field(i); f.Anonymous && f.Tag.Get("about") != "" {
			kind = f.Tag.Get("about")
		}
	}
	for strings.Contains(m.path, "{") {
		from, rest, _ := strings.Cut(m.path, "{")
		name, rest, _ := strings.Cut(rest, "}")
		id := own[places[name]]
		if name == "id" {
			id = own[kind]
		}
		if name == "version" {
			id = "1.0.0"
		}
		if id == "" {
			id = "x"
		}
		m.path = from + id + rest
	}
	var ok bool
	if m.fields, ok = special(m.call, own); !ok {
		m.fields = fill(typ, own)
	}
	switch {
	case m.call == "POST /v1/traces":
		m.header = []string{"X-Mlflow-Experiment-Id", own["experiment"], "Content-Type", "application/json"}
		m.body = fmt.Sprintf(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":%q,"spanId":"0000000000000009","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`, strings.TrimPrefix(own["trace"], "tr-"))
	case m.method == http.MethodGet || strings.HasSuffix(m.call, "/upload-artifact"):
		m.query = queryOf(m.fields)
		if m.method != http.MethodGet {
			m.body = "new content"
		}
	case m.method == http.MethodPut && strings.Contains(m.path, "mlflow-artifacts"):
		m.body = "new content"
	default:
		m.body = jsonText(m.fields)
	}
	return m
}

func queryOf(fields map[string]any) string {
	q := url.Values{}
	for k, v := range fields {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, e := range list {
			q.Add(k, fmt.Sprint(e))
		}
	}
	return q.Encode()
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) //nolint:forbidigo // Maps of plain values always marshal.
	}
	return string(b)
}

func (w *world) ask(m message, user string) (int, map[string]any) {
	w.t.Helper()
	path := (&url.URL{Path: m.path}).EscapedPath()
	if !strings.Contains(m.call, "{plain}") {
		path = strings.Replace(path, "/com.example/", "/com.example%2F", 1)
	}
	if m.query != "" {
		path += "?" + m.query
	}
	return w.do(m.method, path, m.body, append([]string{"User", user}, m.header...)...)
}

// open are calls that everybody may make: they show or make what is the caller's own.
var open = []string{"experiments/create", "experiments/search", "mlflow/workspaces/{workspace_name}", "registered-models/create", "registered-models/search", "model-versions/search", "mlflow/workspaces", "/graphql", "/mcp-servers", "GET /api/3.0/mlflow/mcp-servers/endpoints"}

// isOpen tells whether a call refuses nobody.
func isOpen(call string) bool {
	return slices.ContainsFunc(open, func(o string) bool { return strings.HasSuffix(call, o) })
}

// refused asks for what must not happen.
func (w *world) refused(t *testing.T, m message, user, what string, statuses ...int) {
	t.Helper()
	before := w.state(w.dir)
	status, answer := w.ask(m, user)
	if !slices.Contains(statuses, status) {
		t.Errorf("%s, %s: %s %s?%s %s: status %d %v", m.call, what, m.method, m.path, m.query, m.body, status, answer)
	}
	if said := fmt.Sprint(answer); strings.Contains(said, "secret of alice") {
		t.Errorf("%s, %s: the answer shows what is not the caller's: %s", m.call, what, said)
	}
	if after := w.state(w.dir); !maps.Equal(before, after) {
		t.Errorf("%s, %s: something has changed", m.call, what)
	}
}
