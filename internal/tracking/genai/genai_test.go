package genai

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/store"
)

type platform struct {
	*Service

	t       *testing.T
	records *store.Store
	handler http.Handler
	exp     string
}

// some are traces of an experiment: those whose ids begin with tr-.
type some struct{ exp int64 }

func (s some) Experiments(_ context.Context, _ string, ids []string) (map[string]int64, error) {
	found := map[string]int64{}
	for _, id := range ids {
		if strings.HasPrefix(id, "tr-") {
			found[id] = s.exp
		}
	}
	return found, nil
}

func (some) IssueCounts(_ context.Context, _ string, issues []string) (map[string]int64, error) {
	return map[string]int64{issues[len(issues)-1]: 7}, nil
}

type anna struct{}

func (anna) Authenticate(r *http.Request) (server.User, error) {
	return server.User{Name: "Anna", Local: r.Header.Get("Local") != ""}, nil
}

func (anna) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

// both runs a test on both databases.
func both(t *testing.T, test func(*testing.T, *platform)) {
	t.Helper()
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) { test(t, start(t, open(t))) })
}

func start(t *testing.T, database *db.Store) *platform {
	t.Helper()
	var n atomic.Int64
	now := time.UnixMilli(1_700_000_000_000)
	clock := func() time.Time { return now.Add(time.Duration(n.Add(1)) * time.Millisecond) }
	newID := func() string { return fmt.Sprintf("%032x", n.Add(1)) }
	tracking, err := store.New(t.Context(), store.Options{DB: database, Clock: clock, NewID: newID, ArtifactRoot: "mlflow-artifacts:", DefaultNamespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	exp, err := tracking.CreateExperiment(t.Context(), "default", "exp", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), Options{
		DB: database, Clock: clock, NewID: newID, Logger: slog.New(slog.DiscardHandler), Experiments: tracking,
		Traces: some{exp},
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := server.New(server.Options{Authenticator: anna{}, Authorizer: anna{}, Logger: slog.New(slog.DiscardHandler), Endpoints: s.Endpoints(), Hosts: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	return &platform{s, t, tracking, h, fmt.Sprint(exp)}
}

// do sends a request; EXP in it is the experiment.
func (p *platform) do(method, path, body string, header ...string) (int, map[string]any) {
	p.t.Helper()
	fill := strings.NewReplacer("EXP", p.exp)
	r := httptest.NewRequest(method, "/api/3.0/mlflow/"+fill.Replace(path), strings.NewReader(fill.Replace(body)))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		p.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code, out
}

func (p *platform) must(method, path, body string, header ...string) map[string]any {
	p.t.Helper()
	status, out := p.do(method, path, body, header...)
	if status != http.StatusOK {
		p.t.Fatalf("%s %s %s: %d %v", method, path, body, status, out)
	}
	return out
}

// refuses expects a status and a part of the message.
func (p *platform) refuses(method, path, body string, status int, part string, header ...string) {
	p.t.Helper()
	got, out := p.do(method, path, body, header...)
	if text, _ := out["message"].(string); got != status || !strings.Contains(text, part) {
		p.t.Errorf("%s %s %.200s: %d %v, want %d %q", method, path, body, got, out, status, part)
	}
}

func at(v any, path ...any) any {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return v
}

func TestDatasets(t *testing.T) { both(t, testDatasets) }

func testDatasets(t *testing.T, p *platform) {
	t.Helper()
	d := at(p.must("POST", "datasets/create", `{"name":"qa","experiment_ids":["EXP"],"tags":"{\"team\":\"a\",\"mlflow.user\":\"eva\"}"}`), "dataset")
	id := at(d, "dataset_id").(string)
	if at(d, "created_by") != "eva" || at(d, "tags") != `{"mlflow.user":"eva","team":"a"}` || !strings.HasPrefix(id, "d-") {
		t.Errorf("%v", d)
	}
	records := `[{"inputs":{"q":"1","n":1.5},"expectations":{"a":1},"source":{"source_type":"trace","source_data":{"trace_id":"tr-1"}}},{"inputs":{"n":1.5,"q":"1"},"expectations":{"b":true},"tags":{"x":"y"},"outputs":"plain"},{"inputs":{"q":"2"}}]`
	if got := p.must("POST", "datasets/"+id+"/records", fmt.Sprintf(`{"records":%q}`, records)); got["inserted_count"] != 2.0 || got["updated_count"] != 1.0 {
		t.Errorf("%v", got)
	}
	var all []map[string]any
	token := ""
	for {
		out := p.must("GET", "datasets/"+id+"/records?max_results=1&page_token="+token, "")
		var list []map[string]any
		if err := json.Unmarshal([]byte(out["records"].(string)), &list); err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
		if token, _ = out["next_page_token"].(string); token == "" {
			break
		}
	}
	want := map[string]any{
		"dataset_record_id": all[0]["dataset_record_id"], "dataset_id": id, "inputs": map[string]any{"q": "1", "n": 1.5}, "expectations": map[string]any{"a": 1.0, "b": true},
		"tags": map[string]any{"x": "y"}, "outputs": "plain", "source": map[string]any{"source_type": "TRACE", "source_data": map[string]any{"trace_id": "tr-1"}},
		"source_id": "tr-1", "source_type": "TRACE", "created_time": all[0]["created_time"], "last_update_time": all[0]["last_update_time"],
	}
	if diff := cmp.Diff(want, all[0]); diff != "" || len(all) != 2 {
		t.Errorf("%d records %s", len(all), diff)
	}
	d = at(p.must("GET", "datasets/"+id, ""), "dataset")
	if at(d, "profile") != `{"num_records": 2}` || !strings.Contains(at(d, "schema").(string), `"inputs":{"n":"float","q":"string"}`) {
		t.Errorf("%v", d)
	}
	if got := p.must("DELETE", "datasets/"+id+"/records", fmt.Sprintf(`{"dataset_record_ids":[%q,"none"]}`, all[0]["dataset_record_id"])); got["deleted_count"] != 1.0 {
		t.Errorf("%v", got)
	}
	p.must("PATCH", "datasets/"+id+"/tags", `{"tags":"{\"team\":\"b\",\"n\":1,\"gone\":null}"}`)
	p.must("DELETE", "datasets/"+id+"/tags/mlflow.user", "")
	if d = at(p.must("GET", "datasets/"+id, ""), "dataset"); at(d, "tags") != `{"n":"1","team":"b"}` {
		t.Errorf("%v", d)
	}
	p.must("POST", "datasets/"+id+"/remove-experiments", `{"experiment_ids":["EXP"]}`)
	if got := p.must("GET", "datasets/"+id+"/experiment-ids", ""); len(got) != 0 {
		t.Errorf("%v", got)
	}
	p.must("POST", "datasets/"+id+"/add-experiments", `{"experiment_ids":["EXP","EXP","0"]}`)
	if got := p.must("GET", "datasets/"+id+"/experiment-ids", ""); !cmp.Equal(got["experiment_ids"], []any{p.exp, "0"}) {
		t.Errorf("%v", got)
	}
	p.refuses("POST", "datasets/"+id+"/add-experiments", `{"experiment_ids":["99"]}`, 404, "No Experiment with id=99")
	p.refuses("GET", "datasets/d-none", "", 404, "not found")
	p.refuses("GET", "datasets/"+id, "", 404, "not found", "X-Mlflow-Workspace", "other")
	p.refuses("POST", "datasets/"+id+"/records", `{"records":"[]"}`, 404, "not found", "X-Mlflow-Workspace", "other")
	for records, part := range map[string]string{`{`: "JSON list", `{}`: "JSON list", `[] []`: "behind the end", `[{"inputs":{},"source":{"source_type":"rumour"}}]`: "source type", `[{"inputs":[1]}]`: "JSON list"} {
		p.refuses("POST", "datasets/"+id+"/records", fmt.Sprintf(`{"records":%q}`, records), 400, part)
	}
	p.refuses("POST", "datasets/create", `{}`, 400, "'name'")
	p.refuses("POST", "datasets/create", `{"name":"x","tags":"[]"}`, 400, "'tags'")
	p.must("DELETE", "datasets/"+id, "")
	p.must("DELETE", "datasets/"+id, "")
}

func TestDatasets_search(t *testing.T) { both(t, testDatasets_search) }

func testDatasets_search(t *testing.T, p *platform) {
	t.Helper()
	for i, name := range []string{"alpha", "beta", "gamma"} {
		p.must("POST", "datasets/create", fmt.Sprintf(`{"name":%q,"experiment_ids":[%q],"tags":"{\"n\":\"%d\"}"}`, name, map[bool]string{true: "0", false: p.exp}[i == 2], i))
	}
	for query, want := range map[string]string{
		`{}`:                                                      "gamma beta alpha",
		`{"experiment_ids":["EXP"]}`:                              "beta alpha",
		`{"filter_string":"name = 'beta'"}`:                       "beta",
		`{"filter_string":"name LIKE '%a%m%a'"}`:                  "gamma",
		`{"filter_string":"name ILIKE 'BETA'"}`:                   "beta",
		`{"filter_string":"name IN ('alpha','gamma')"}`:           "gamma alpha",
		`{"filter_string":"tags.n != '1'"}`:                       "gamma alpha",
		`{"filter_string":"created_time > 5 AND name != 'beta'"}`: "gamma alpha",
		`{"filter_string":"created_by = 'x'"}`:                    "",
		`{"order_by":["name ASC"]}`:                               "alpha beta gamma",
		`{"order_by":["name DESC"],"max_results":2}`:              "gamma beta",
	} {
		var names []string
		list, _ := p.must("POST", "datasets/search", query)["datasets"].([]any)
		for _, d := range list {
			names = append(names, at(d, "name").(string))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	out := p.must("GET", "datasets/search?max_results=2", "")
	if next := p.must("GET", "datasets/search?max_results=2&page_token="+out["next_page_token"].(string), ""); at(next, "datasets", 0, "name") != "alpha" || next["next_page_token"] != nil {
		t.Errorf("%v", next)
	}
	for query, part := range map[string]string{
		`{"filter_string":"colour = 'x'"}`: "colour", `{"filter_string":"name ="}`: "", `{"order_by":["colour"]}`: "colour", `{"max_results":-1}`: "max_results", `{"page_token":"!"}`: "page token",
	} {
		p.refuses("POST", "datasets/search", query, 400, part)
	}
}

func TestScorers(t *testing.T) { both(t, testScorers) }

func testScorers(t *testing.T, p *platform) {
	t.Helper()
	first := p.must("POST", "scorers/register", `{"experiment_id":"EXP","name":"tone","serialized_scorer":"{\"name\":\"tone\"}"}`)
	second := p.must("POST", "scorers/register", `{"experiment_id":"EXP","name":"tone","serialized_scorer":"{\"name\":\"tone\",\"v\":2}"}`)
	if first["version"] != 1.0 || second["version"] != 2.0 || first["scorer_id"] != second["scorer_id"] || second["experiment_id"] != p.exp {
		t.Errorf("%v %v", first, second)
	}
	p.must("POST", "scorers/register", `{"experiment_id":"0","name":"other","serialized_scorer":"{}"}`)
	if got := at(p.must("GET", "scorers/list?experiment_id=EXP", ""), "scorers").([]any); len(got) != 1 || at(got, 0, "scorer_version") != 2.0 {
		t.Errorf("%v", got)
	}
	if got := at(p.must("GET", "scorers/list", ""), "scorers").([]any); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := at(p.must("GET", "scorers/list?experiment_ids=EXP&experiment_ids=77", ""), "scorers").([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got := at(p.must("GET", "scorers/versions?experiment_id=EXP&name=tone", ""), "scorers").([]any); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := at(p.must("GET", "scorers/get?experiment_id=EXP&name=tone&version=1", ""), "scorer", "serialized_scorer"); got != `{"name":"tone"}` {
		t.Errorf("%v", got)
	}
	c := at(p.must("PUT", "scorers/online-config", `{"experiment_id":"EXP","name":"tone","sample_rate":0.5,"filter_string":"x"}`), "config")
	if at(c, "sample_rate") != 0.5 || at(c, "scorer_id") != first["scorer_id"] {
		t.Errorf("%v", c)
	}
	if got := at(p.must("GET", "scorers/online-configs?scorer_ids=none&scorer_ids="+first["scorer_id"].(string), ""), "configs").([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
	p.must("DELETE", "scorers/delete", `{"experiment_id":"EXP","name":"tone","version":1}`)
	p.refuses("GET", "scorers/get?experiment_id=EXP&name=tone&version=1", "", 404, "version 1 not found")
	p.must("DELETE", "scorers/delete", `{"experiment_id":"EXP","name":"tone"}`)
	p.refuses("GET", "scorers/get?experiment_id=EXP&name=tone", "", 404, "Scorer with name 'tone' not found")
	for body, part := range map[string]string{
		`{"experiment_id":"EXP","name":" ","serialized_scorer":"{}"}`:                                                                  "empty",
		`{"experiment_id":"EXP","name":"x","serialized_scorer":"{"}`:                                                                   "valid JSON",
		`{"experiment_id":"EXP","name":"x","serialized_scorer":"{\"call_source\":\"import os\"}"}`:                                     "@scorer",
		`{"experiment_id":"EXP","name":"x","serialized_scorer":"{\"ensemble\":[{\"call_source\":\"import os\"}]}"}`:                    "@scorer",
		`{"experiment_id":"EXP","name":"x","serialized_scorer":"{\"instructions_judge_pydantic_data\":{\"model\":\"gateway:/gpt\"}}"}`: "AI gateway",
	} {
		p.refuses("POST", "scorers/register", body, 400, part)
	}
	p.refuses("POST", "scorers/register", `{"experiment_id":"99","name":"x","serialized_scorer":"{}"}`, 404, "99")
	p.refuses("PUT", "scorers/online-config", `{"experiment_id":"EXP","name":"tone","sample_rate":1.5}`, 400, "between")
}

func TestIssues(t *testing.T) { both(t, testIssues) }

func testIssues(t *testing.T, p *platform) {
	t.Helper()
	i := at(p.must("POST", "issues", `{"experiment_id":"EXP","name":"wrong","description":"d","severity":"low","root_causes":["a","b"],"categories":["c"],"source_run_id":"r","created_by":"eva"}`), "issue")
	id := at(i, "issue_id").(string)
	if at(i, "status") != "pending" || at(i, "experiment_id") != p.exp || !cmp.Equal(at(i, "root_causes"), []any{"a", "b"}) || !strings.HasPrefix(id, "iss-") {
		t.Errorf("%v", i)
	}
	p.must("POST", "issues", `{"experiment_id":"EXP","name":"worse","description":"d","severity":"high"}`)
	p.must("POST", "issues", `{"experiment_id":"0","name":"elsewhere","description":"d"}`)
	names := func(query string) (out string) {
		list, _ := p.must("POST", "issues/search", query)["issues"].([]any)
		for _, i := range list {
			out += at(i, "name").(string) + " "
		}
		return out
	}
	for query, want := range map[string]string{
		`{"experiment_id":"EXP"}`: "worse wrong ", `{}`: "worse wrong elsewhere ", `{"filter_string":"source_run_id = 'r'"}`: "wrong ", `{"filter_string":"status != 'pending'"}`: "", `{"max_results":1}`: "worse ",
	} {
		if got := names(query); got != want {
			t.Errorf("%s: %q", query, got)
		}
	}
	if counted := at(p.must("POST", "issues/search", `{"include_trace_count":true,"filter_string":"source_run_id = 'r'"}`), "issues", 0); at(counted, "trace_count") != 7.0 {
		t.Errorf("%v", counted)
	}
	i = at(p.must("PATCH", "issues/"+id, `{"status":"resolved","name":"right"}`), "issue")
	if at(i, "status") != "resolved" || at(i, "name") != "right" || at(i, "severity") != "low" || !cmp.Equal(at(p.must("GET", "issues/"+id, ""), "issue"), i) {
		t.Errorf("%v", i)
	}
	p.refuses("PATCH", "issues/"+id, `{"status":"lost"}`, 400, "status")
	p.refuses("PATCH", "issues/none", `{"status":"resolved"}`, 404, "Issue with ID 'none' not found")
	p.refuses("POST", "issues", `{"experiment_id":"EXP","name":"x"}`, 400, "description")
	p.refuses("POST", "issues/search", `{"filter_string":"name = 'x'"}`, 400, "name")
	p.refuses("GET", "issues/"+id, "", 404, "not found", "X-Mlflow-Workspace", "other")
}

func TestLabels(t *testing.T) { both(t, testLabels) }

func testLabels(t *testing.T, p *platform) {
	t.Helper()
	l := at(p.must("POST", "label-schemas/create", `{"experiment_id":"EXP","name":"good","type":"FEEDBACK","input":{"categorical":{"options":["a","b"]}},"instruction":"i","enable_comment":true}`), "label_schema")
	id := at(l, "schema_id").(string)
	if at(l, "type") != "FEEDBACK" || !cmp.Equal(at(l, "input", "categorical", "options"), []any{"a", "b"}) || at(l, "created_by") != "Anna" {
		t.Errorf("%v", l)
	}
	list := at(p.must("GET", "label-schemas/list?experiment_id=EXP", ""), "label_schemas").([]any)
	if len(list) != 2 || at(list, 0, "name") != "Feedback" || at(list, 0, "is_default") != true {
		t.Errorf("%v", list)
	}
	standard := at(list, 0, "schema_id").(string)
	if again := at(p.must("GET", "label-schemas/list?experiment_id=EXP", ""), "label_schemas"); !cmp.Equal(again, any(list)) {
		t.Errorf("%v", again)
	}
	p.must("PATCH", "label-schemas/update", `{"schema_id":"`+id+`","name":"fine","input":{"categorical":{"options":["c"]}}}`)
	if got := at(p.must("GET", "label-schemas/get-by-name?experiment_id=EXP&name=fine", ""), "label_schema"); at(got, "schema_id") != id || !cmp.Equal(at(got, "input", "categorical", "options"), []any{"c"}) {
		t.Errorf("%v", got)
	}
	create := func(name, input string) string {
		return `{"experiment_id":"EXP","name":"` + name + `","type":2,"input":` + input + `}`
	}
	for body, part := range map[string]string{
		create("x", `{}`):                                                        "must be one of",
		create("x", `{"text":{},"numeric":{}}`):                                  "must be one of",
		create("x", `{"numeric":{"min_value":2,"max_value":1}}`):                 "strictly less",
		create("x", `{"numeric":{"min_value":"NaN","max_value":1}}`):             "strictly less",
		create("x", `{"text":{"max_length":0}}`):                                 "max_length",
		create("x", `{"categorical":{"options":["a","a"]}}`):                     "twice",
		create("x", `{"categorical":{"options":[]}}`):                            "options",
		create("x", `{"pass_fail":{"positive_label":"a","negative_label":"a"}}`): "distinct",
		create(" feedback", `{"text":{}}`):                                       "reserved",
		create("fine", `{"text":{}}`):                                            "already exists",
		`{"schema_id":"` + id + `"}`:                                             "",
	} {
		status, out := p.do("POST", "label-schemas/create", body)
		if text, _ := out["message"].(string); status != 400 || !strings.Contains(text, part) {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	p.refuses("PATCH", "label-schemas/update", `{"schema_id":"`+id+`","input":{"text":{}}}`, 400, "cannot be changed")
	p.refuses("PATCH", "label-schemas/update", `{"schema_id":"`+id+`","input":{"categorical":{"options":["a"],"multi_select":true}}}`, 400, "multi_select")
	p.refuses("PATCH", "label-schemas/update", `{"schema_id":"`+standard+`","name":"x"}`, 400, "default question")
	p.refuses("DELETE", "label-schemas/delete", `{"schema_id":"`+standard+`"}`, 400, "default question")
	p.must("DELETE", "label-schemas/delete", `{"schema_id":"`+id+`"}`)
	p.must("DELETE", "label-schemas/delete", `{"schema_id":"`+id+`"}`)
	p.refuses("GET", "label-schemas/get?schema_id="+id, "", 404, "not found")
}

func TestQueues(t *testing.T) { both(t, testQueues) }

func testQueues(t *testing.T, p *platform) {
	t.Helper()
	label := at(p.must("POST", "label-schemas/create", `{"experiment_id":"EXP","name":"good","type":1,"input":{"text":{}}}`), "label_schema", "schema_id").(string)
	q := at(p.must("POST", "review-queues/create", `{"experiment_id":"EXP","name":"Hard ones","queue_type":"CUSTOM","users":[" Eva ","eva","bob"],"schema_ids":["`+label+`"],"created_by":"somebody"}`), "review_queue")
	id := at(q, "queue_id").(string)
	if !cmp.Equal(at(q, "users"), []any{"bob", "eva"}) || at(q, "created_by") != "Anna" || !cmp.Equal(at(q, "schema_ids"), []any{label}) {
		t.Errorf("%v", q)
	}
	mine := at(p.must("POST", "review-queues/get-or-create-user", `{"experiment_id":"EXP","user":"Bob"}`), "review_queue")
	again := at(p.must("POST", "review-queues/get-or-create-user", `{"experiment_id":"EXP","user":" bob "}`), "review_queue")
	if !cmp.Equal(mine, again) || at(mine, "name") != "bob" || !cmp.Equal(at(mine, "users"), []any{"bob"}) {
		t.Errorf("%v %v", mine, again)
	}
	items := at(p.must("POST", "review-queues/items/add", `{"queue_id":"`+id+`","item_type":"TRACE","item_ids":["tr-1","tr-2","tr-1"]}`), "items").([]any)
	if len(items) != 2 || at(items, 0, "status") != "PENDING" {
		t.Errorf("%v", items)
	}
	p.refuses("POST", "review-queues/items/add", `{"queue_id":"`+id+`","item_ids":["nowhere"]}`, 404, "do not exist in experiment")
	for query, want := range map[string]int{"": 2, "&user=EVA": 1, "&user=nobody": 0, "&item_id=tr-1": 1, "&item_id=tr-9": 0} {
		list, _ := p.must("GET", "review-queues/list?experiment_id=EXP"+query, "")["review_queues"].([]any)
		if len(list) != want {
			t.Errorf("%s: %v", query, list)
		}
	}
	i := at(p.must("POST", "review-queues/items/set-status", `{"queue_id":"`+id+`","item_id":"tr-1","status":"COMPLETE","completed_by":"mallory"}`), "item")
	if at(i, "completed_by") != "anna" || at(i, "status") != "COMPLETE" || at(i, "completed_time_ms") == nil {
		t.Errorf("who calls has done it: %v", i)
	}
	i = at(p.must("POST", "review-queues/items/set-status", `{"queue_id":"`+id+`","item_id":"tr-1","status":"PENDING"}`), "item")
	if at(i, "completed_by") != nil || at(i, "completed_time_ms") != nil {
		t.Errorf("%v", i)
	}
	i = at(p.must("POST", "review-queues/items/set-status", `{"queue_id":"`+id+`","item_id":"tr-2","status":"DECLINED","completed_by":"Eva"}`, "Local", "1"), "item")
	if at(i, "completed_by") != "eva" {
		t.Errorf("%v", i)
	}
	p.refuses("POST", "review-queues/items/set-status", `{"queue_id":"`+id+`","item_id":"tr-1","status":"COMPLETE"}`, 400, "required", "Local", "1")
	if list := at(p.must("GET", "review-queues/items/list?queue_id="+id+"&status=PENDING", ""), "items").([]any); len(list) != 1 || at(list, 0, "item_id") != "tr-1" {
		t.Errorf("%v", list)
	}
	p.refuses("POST", "review-queues/update", `{"queue_id":"`+id+`","update_schema_ids":true}`, 400, "locked")
	p.must("POST", "review-queues/items/remove", `{"queue_id":"`+id+`","item_ids":["tr-1","tr-2"]}`)
	q = at(p.must("POST", "review-queues/update", `{"queue_id":"`+id+`","update_schema_ids":true,"update_users":true,"name":"Harder","new_owner":"eva"}`), "review_queue")
	if at(q, "name") != "Harder" || at(q, "users") != nil || at(q, "schema_ids") != nil || at(q, "created_by") != "eva" {
		t.Errorf("%v", q)
	}
	if got := at(p.must("GET", "review-queues/get-by-name?experiment_id=EXP&name=hARDER", ""), "review_queue", "queue_id"); got != id {
		t.Errorf("%v", got)
	}
	p.refuses("POST", "review-queues/update", `{"queue_id":"`+at(mine, "queue_id").(string)+`","name":"x"}`, 400, "user queue")
	for body, part := range map[string]string{
		`{"experiment_id":"EXP","name":"HARDER","queue_type":"CUSTOM"}`:                                             "already exists",
		`{"experiment_id":"EXP","name":"Default","queue_type":"CUSTOM"}`:                                            "reserved",
		`{"experiment_id":"EXP","name":"x","queue_type":"REVIEW_QUEUE_TYPE_UNSPECIFIED"}`:                           "queue_type",
		`{"experiment_id":"EXP","name":"x","queue_type":"USER","users":["y"]}`:                                      "exactly one",
		`{"experiment_id":"EXP","name":"x","queue_type":"CUSTOM","schema_ids":["ls-none"]}`:                         "not found",
		`{"experiment_id":"EXP","name":"x","queue_type":2,"users":["1","2","3","4","5","6","7","8","9","10","11"]}`: "at most 10",
	} {
		p.refuses("POST", "review-queues/create", body, 400, part)
	}
	p.must("POST", "review-queues/delete", `{"queue_id":"`+id+`"}`)
	p.refuses("GET", "review-queues/items/list?queue_id="+id, "", 404, "not found")
}

func TestJobs(t *testing.T) { both(t, testJobs) }

func testJobs(t *testing.T, p *platform) {
	t.Helper()
	j := at(p.must("POST", "prompt-optimization/jobs", `{"experiment_id":"EXP","source_prompt_uri":"prompts:/p/1","config":{"optimizer_type":"OPTIMIZER_TYPE_GEPA","dataset_id":"d-1","scorers":["a"],"optimizer_config_json":"{}"},"tags":[{"key":"k","value":"v"}]}`), "job")
	id := at(j, "job_id").(string)
	if at(j, "state", "status") != "JOB_STATUS_PENDING" || !strings.Contains(at(j, "state", "status_message").(string), "Nothing will run this job") || at(j, "config", "dataset_id") != "d-1" {
		t.Errorf("%v", j)
	}
	for _, got := range []any{at(p.must("GET", "prompt-optimization/jobs/"+id, ""), "job"), at(p.must("GET", "prompt-optimization/jobs/search?experiment_id=EXP", ""), "jobs", 0), at(p.must("POST", "prompt-optimization/jobs/search", `{"experiment_id":"EXP"}`), "jobs", 0)} {
		if !cmp.Equal(got, j) {
			t.Errorf("%v", got)
		}
	}
	if got := at(p.must("POST", "prompt-optimization/jobs/"+id+"/cancel", "{}"), "job", "state", "status"); got != "JOB_STATUS_CANCELED" {
		t.Errorf("%v", got)
	}
	p.refuses("POST", "prompt-optimization/jobs/"+id+"/cancel", "{}", 400, "already")
	p.must("DELETE", "prompt-optimization/jobs/"+id, "")
	p.refuses("GET", "prompt-optimization/jobs/"+id, "", 404, "not found")
	p.refuses("POST", "prompt-optimization/jobs", `{"experiment_id":"EXP","source_prompt_uri":"x","config":{"optimizer_type":1,"optimizer_config_json":"{"}}`, 400, "JSON")
	p.refuses("POST", "prompt-optimization/jobs", `{"experiment_id":"EXP","source_prompt_uri":"x","config":{}}`, 400, "optimizer_type")
}

func FuzzParseRecords(f *testing.F) {
	f.Add(`[{"inputs":{"a":1},"outputs":[1],"source":{"source_type":"human"}}]`)
	f.Add(`[{"inputs":null,"source":{}}]`)
	f.Add(`[]x`)
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseRecords(s)
		if err != nil {
			if server.AsError(err).Status != http.StatusBadRequest {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		d := dataset{}
		if err := d.learn(list); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func TestEraseExperiment(t *testing.T) { both(t, testEraseExperiment) }

func testEraseExperiment(t *testing.T, p *platform) {
	t.Helper()
	p.must("POST", "issues", `{"experiment_id":"EXP","name":"a","description":"d"}`)
	p.must("POST", "issues", `{"experiment_id":"0","name":"b","description":"d"}`)
	d := at(p.must("POST", "datasets/create", `{"name":"qa","experiment_ids":["EXP","0"]}`), "dataset", "dataset_id").(string)
	q := at(p.must("POST", "review-queues/create", `{"experiment_id":"EXP","name":"q","queue_type":"CUSTOM"}`), "review_queue", "queue_id").(string)
	p.must("POST", "review-queues/items/add", `{"queue_id":"`+q+`","item_ids":["tr-1"]}`)
	erase := func(issues int) {
		t.Helper()
		if err := p.EraseExperiment(t.Context(), "default", p.exp); err != nil {
			t.Fatal(err)
		}
		if list := at(p.must("POST", "issues/search", `{}`), "issues").([]any); len(list) != issues {
			t.Errorf("%d issues, want %d", len(list), issues)
		}
	}
	erase(2) // it is not deleted
	if err := p.records.SetExperimentDeleted(t.Context(), "default", p.exp, true); err != nil {
		t.Fatal(err)
	}
	erase(1)
	erase(1)
	p.refuses("GET", "review-queues/items/list?queue_id="+q, "", 404, "not found")
	if got := p.must("GET", "datasets/"+d+"/experiment-ids", ""); !cmp.Equal(got["experiment_ids"], []any{"0"}) {
		t.Errorf("%v", got)
	}
}
