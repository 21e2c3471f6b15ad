package graphql

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// answers stand for the REST API, whose own tests are elsewhere.
func answers() map[string]Call {
	always := func(answer string) Call {
		return func(context.Context, server.Judge, []byte) ([]byte, error) { return []byte(answer), nil }
	}
	return map[string]Call{
		"GetExperiment": func(_ context.Context, _ server.Judge, request []byte) ([]byte, error) {
			var q map[string]string
			if err := json.Unmarshal(request, &q); err != nil {
				return nil, err
			}
			id := q["experimentId"] + q["experiment_id"]
			if id == "" {
				return nil, model.Missing("No Experiment with id= exists")
			}
			return fmt.Appendf(nil, `{"experiment": {"experiment_id": %q, "name": "e%s", "creation_time": 9007199254740993}}`, id, id), nil
		},
		"GetRun": always(`{"run": {"info": {"run_id": "r", "experiment_id": "7", "status": "FINISHED"},
			"data": {"metrics": [{"key": "a", "value": "NaN"}, {"key": "b", "value": 0.5, "step": 3}]}, "inputs": {}}}`),
		"SearchModelVersions":          always(`{"model_versions": [{"name": "m", "version": "1", "run_id": "r", "aliases": ["best"]}]}`),
		"ListArtifacts":                always(`{"files": [{"path": "a", "is_dir": true}]}`),
		"GetMetricHistoryBulkInterval": always(`{}`), "SearchRuns": always(`{"runs": []}`), "SearchDatasets": always(`{}`),
	}
}

var discard = slog.New(slog.DiscardHandler)

// everyone may do everything but what refused names.
type everyone struct{ refused string }

func (everyone) Authenticate(*http.Request) (server.User, error) {
	return server.User{Name: "anna"}, nil
}

func (e everyone) Authorize(_ context.Context, _ server.User, p server.Permission, _ string) error {
	if p.Resource == e.refused {
		return fmt.Errorf("no role")
	}
	return nil
}

func serve(tb testing.TB, refused string) http.Handler {
	tb.Helper()
	return serveCalls(tb, refused, answers())
}

func serveCalls(tb testing.TB, refused string, calls map[string]Call) http.Handler {
	tb.Helper()
	h, err := New(Options{Calls: calls})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := server.New(server.Options{Authenticator: everyone{}, Authorizer: everyone{refused}, Endpoints: h.Endpoints(), Logger: discard, Hosts: []string{"example.com"}})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func ask(tb testing.TB, h http.Handler, body any) (status int, answer string) {
	tb.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(b)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestHandler(t *testing.T) {
	h := serve(t, "")
	for name, c := range map[string]struct {
		query     string
		variables map[string]any
		want      string
	}{
		"Scalars": {
			`{ mlflowGetExperiment(input: {experimentId: "3"}) { experiment { name creationTime workspace tags { key } } apiError { code } } }`, nil,
			`{"data":{"mlflowGetExperiment":{"experiment":{"name":"e3","creationTime":"9007199254740993","workspace":"","tags":[]},"apiError":null}},"errors":null}`,
		},
		"Metrics": {
			`{ mlflowGetRun(input: {}) { run { data { metrics { key value step modelId } } inputs { modelInputs { modelId } } outputs { modelOutputs { step } } } } }`, nil,
			`{"data":{"mlflowGetRun":{"run":{"data":{"metrics":[{"key":"a","value":null,"step":"0","modelId":""},{"key":"b","value":0.5,"step":"3","modelId":""}]},"inputs":{"modelInputs":[]},"outputs":{"modelOutputs":[]}}}},"errors":null}`,
		},
		"Extensions": {
			`{ mlflowGetRun { run { experiment { name } modelVersions { name aliases status } } } }`, nil,
			`{"data":{"mlflowGetRun":{"run":{"experiment":{"name":"e7"},"modelVersions":[{"name":"m","aliases":["best"],"status":"PENDING_REGISTRATION"}]}}},"errors":null}`,
		},
		"Merged": {
			`query Q($f: Boolean = true) { mlflowGetRun { run { info { runId } } ...A } } fragment A on MlflowGetRunResponse { run { info { status @include(if: $f) s: status @skip(if: $f) } __typename } }`, nil,
			`{"data":{"mlflowGetRun":{"run":{"info":{"runId":"r","status":"FINISHED"},"__typename":"MlflowRunExtension"}}},"errors":null}`,
		},
		"Variables": {
			`query Q($i: MlflowGetExperimentInput!) { a: mlflowGetExperiment(input: $i) { experiment { n: name } } }`,
			map[string]any{"i": map[string]any{"experimentId": "5"}},
			`{"data":{"a":{"experiment":{"n":"e5"}}},"errors":null}`,
		},
		"OneFails": {
			`{ a: mlflowGetExperiment { experiment { name } } test(inputString: "x") { output } }`, nil,
			`{"data":{"a":null,"test":{"output":"x"}},"errors":["No Experiment with id= exists"]}`,
		},
		"WrongVariable": {`query Q($i: String!) { test(inputString: $i) { output } }`, map[string]any{"i": 5}, `"data":null`},
		"Depth":         {"{ " + strings.Repeat("a { ", 10) + "b" + strings.Repeat(" }", 11), nil, `maximum depth of 10`},
		"Roots":         {"{ " + strings.Repeat(`test { output } `, 11) + "}", nil, `at most 10 root fields, got 11`},
		"Aliases":       {"{ test { ...A a: output b: output c: output d: output e: output f: output } } fragment A on Test { g: output h: output i: output j: output k: output }", nil, `at most 10 aliases, got 11`},
		"Spare":         {"{ test { output } } fragment F on Query { " + strings.Repeat("test ", 1001) + "}", nil, `maximum total selections of 1000`},
		"Selections":    {"{ test { " + strings.Repeat("output ", 1001) + "} }", nil, `maximum total selections of 1000`},
		"Cycle":         {"{ test { ...A } } fragment A on Test { ...B } fragment B on Test { ...A }", nil, `"data":null`},
		"Introspection": {"{ __schema { types { name } } }", nil, `the schema cannot be asked for`},
		"Syntax":        {"{ test {", nil, `"data":null`},
	} {
		t.Run(name, func(t *testing.T) {
			status, got := ask(t, h, map[string]any{"query": c.query, "variables": c.variables})
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, got)
			}
			if strings.HasPrefix(c.want, "{") {
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			} else if !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestHandler_GET(t *testing.T) {
	w := httptest.NewRecorder()
	serve(t, "").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/graphql?query=%7Btest(inputString:%22x%22)%7Boutput%7D%7D", nil))
	if got := strings.TrimSpace(w.Body.String()); got != `{"data":{"test":{"output":"x"}},"errors":null}` {
		t.Error(got)
	}
}

// A field needs the permission of its call, not only that of the route.
func TestHandler_permission(t *testing.T) {
	_, got := ask(t, serve(t, "registeredmodels"), map[string]any{"query": "{ mlflowGetRun { run { info { runId } modelVersions { name } } } mlflowSearchModelVersions { nextPageToken } }"})
	if !strings.HasPrefix(got, `{"data":{"mlflowGetRun":{"run":{"info":{"runId":"r"},"modelVersions":[]}},"mlflowSearchModelVersions":null},"errors":["user \"anna\" may not list`) {
		t.Error(got)
	}
}

// TestHandler_calls: a page of runs costs one call for all of their versions
// and one for their experiment, however many runs it has.
func TestHandler_calls(t *testing.T) {
	calls, asked := answers(), map[string]int{}
	var runs, versions []string
	for i := range 2500 {
		runs = append(runs, fmt.Sprintf(`{"info": {"run_id": "r%d", "experiment_id": "7"}}`, i))
	}
	calls["SearchRuns"] = func(context.Context, server.Judge, []byte) ([]byte, error) {
		return fmt.Appendf(nil, `{"runs": [%s]}`, strings.Join(runs, ",")), nil
	}
	calls["SearchModelVersions"] = func(_ context.Context, _ server.Judge, request []byte) ([]byte, error) {
		for i := range runs {
			if id := fmt.Sprintf("r%d", i); i%2 == 0 && strings.Contains(string(request), "'"+id+"'") {
				versions = append(versions, fmt.Sprintf(`{"name": "m", "version": "%d", "run_id": %q}`, i, id))
			}
		}
		defer func() { versions = nil }()
		return fmt.Appendf(nil, `{"model_versions": [%s]}`, strings.Join(versions, ",")), nil
	}
	for name, call := range calls {
		calls[name] = func(ctx context.Context, judge server.Judge, request []byte) ([]byte, error) {
			asked[name]++
			return call(ctx, judge, request)
		}
	}
	_, answer := ask(t, serveCalls(t, "", calls), map[string]any{"query": `mutation { mlflowSearchRuns(input: {}) { runs { info { runId } experiment { name } modelVersions { version } } } }`})
	var got struct {
		Data struct {
			Answer struct {
				Runs []struct {
					Info     struct{ RunID string }
					Versions []struct{ Version string } `json:"modelVersions"`
				}
			} `json:"mlflowSearchRuns"`
		}
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got.Data.Answer.Runs) != len(runs) {
		t.Fatalf("%v %.200s", err, answer)
	}
	for i, r := range got.Data.Answer.Runs {
		if i%2 == 0 && (len(r.Versions) != 1 || "r"+r.Versions[0].Version != r.Info.RunID) || i%2 == 1 && len(r.Versions) > 0 {
			t.Fatalf("run %s has %v", r.Info.RunID, r.Versions)
		}
	}
	if diff := cmp.Diff(map[string]int{"SearchRuns": 1, "GetExperiment": 1, "SearchModelVersions": 3}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsOf(t *testing.T) {
	env := map[string]string{"MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS": "3", "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES": "4"}
	l, err := LimitsOf(func(name string) string { return env[name] })
	if err != nil || l != (Limits{3, 4}) {
		t.Errorf("%+v, %v", l, err)
	}
	env["MLFLOW_SERVER_GRAPHQL_MAX_ALIASES"] = "0"
	if _, err := LimitsOf(func(name string) string { return env[name] }); err == nil {
		t.Error("0 was taken")
	}
}

func FuzzHandler_execute(f *testing.F) {
	f.Add(`{ mlflowGetRun(input: {runId: "a"}) { run { info { runId } } } }`)
	f.Add(`query Q($a: Int = 5) { test(inputString: "\u0000") { ...F } } fragment F on Test { output }`)
	f.Add(`mutation { mlflowSearchRuns(input: {runViewType: ALL, maxResults: 99999999999}) { runs { info { status } } } }`)
	h, err := New(Options{Calls: answers()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		data, problems := h.execute(t.Context(), request{Query: query}, server.Allow)
		if data == nil && len(problems) == 0 || data != nil && !json.Valid(data) {
			t.Errorf("%s %v", data, problems)
		}
	})
}
