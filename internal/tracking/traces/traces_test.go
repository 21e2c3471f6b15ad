package traces_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	tracking "github.com/kiwerk/kiwerk/internal/tracking/store"
	"github.com/kiwerk/kiwerk/internal/tracking/traces"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/prices"
)

type everybody struct{}

func (everybody) Authenticate(*http.Request) (server.User, error) {
	return server.User{Name: "anna"}, nil
}

func (everybody) Authorize(context.Context, server.User, server.Permission, string) error { return nil }

// platform is traces behind the HTTP server, with an experiment.
type platform struct {
	t          testing.TB
	handler    http.Handler
	tracking   *tracking.Store
	db         *db.Store
	blobs      blob.Bucket
	experiment string
	service    *traces.Service
}

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// both runs a test on SQLite and on PostgreSQL.
func both(t *testing.T, test func(*testing.T, *platform)) {
	t.Helper()
	storetest.Both(t, func(t *testing.T, open func(testing.TB, ...db.Migrations) *db.Store) { test(t, start(t, open(t))) })
}

func start(tb testing.TB, d *db.Store) *platform {
	tb.Helper()
	blobs, err := blob.OpenFolder(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := blobs.Close(); err != nil {
			tb.Error(err)
		}
	})
	var n atomic.Int64
	newID := func() string { return fmt.Sprintf("%032x", n.Add(1)) }
	tr, err := tracking.New(tb.Context(), tracking.Options{
		DB: d, Clock: time.Now, NewID: newID, ArtifactRoot: "mlflow-artifacts:", DefaultNamespace: server.DefaultNamespace,
	})
	if err != nil {
		tb.Fatal(err)
	}
	list := tb.TempDir()
	if err := os.WriteFile(filepath.Join(list, "maker.json"), []byte(`{"models":{"priced":{"pricing":{"input_per_million_tokens":1000000,"output_per_million_tokens":2000000}}}}`), 0o600); err != nil {
		tb.Fatal(err)
	}
	known, err := prices.Open(list, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	svc, err := traces.New(tb.Context(), traces.Options{
		DB: d, Prices: known, Tracking: tr, Blobs: blobs, KeyPrefix: "tracking", Clock: time.Now, NewID: newID, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	h, err := server.New(server.Options{
		Authenticator: everybody{}, Authorizer: everybody{}, Logger: slog.New(slog.DiscardHandler), Endpoints: svc.Endpoints(), Hosts: []string{"example.com"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	id, err := tr.CreateExperiment(tb.Context(), server.DefaultNamespace, "exp", "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &platform{tb, h, tr, d, blobs, fmt.Sprint(id), svc}
}

type object = map[string]any

// send sends a request and returns status and body.
func (p *platform) send(method, path string, body io.Reader, header ...string) (int, []byte) {
	p.t.Helper()
	r := httptest.NewRequest(method, path, body)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// do sends JSON and reads JSON.
func (p *platform) do(method, path string, body any, header ...string) (int, object) {
	p.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	code, b := p.send(method, path, r, append([]string{"Content-Type", "application/json"}, header...)...)
	var out object
	if err := json.Unmarshal(b, &out); err != nil {
		p.t.Fatalf("%s %s: %d %s: %v", method, path, code, b, err)
	}
	return code, out
}

// ok is do that must succeed.
func (p *platform) ok(method, path string, body any, header ...string) object {
	p.t.Helper()
	code, out := p.do(method, path, body, header...)
	if code != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v", method, path, code, out)
	}
	return out
}

// refused is do that must fail.
func (p *platform) refused(status int, text, method, path string, body any, header ...string) {
	p.t.Helper()
	code, out := p.do(method, path, body, header...)
	if message, _ := out["message"].(string); code != status || !strings.Contains(message, text) {
		p.t.Errorf("%s %s: got %d %v, want %d %q", method, path, code, out, status, text)
	}
}

const v3, v2 = "/api/3.0/mlflow/traces", "/api/2.0/mlflow/traces"

// info is a trace as clients send it.
func (p *platform) info(id string, more object) object {
	i := object{
		"trace_id":       id,
		"trace_location": object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": p.experiment}},
		"request_time":   "2026-11-26T21:00:00.500Z", "execution_duration": "1.250s", "state": "OK",
	}
	for k, v := range more {
		i[k] = v
	}
	return object{"trace": object{"trace_info": i}}
}

func (p *platform) store(id string, more object) object {
	p.t.Helper()
	return p.ok("POST", v3, p.info(id, more))["trace"].(object)["trace_info"].(object)
}

func TestService_start(t *testing.T) { both(t, testStart) }

func testStart(t *testing.T, p *platform) {
	got := p.store("tr-1", object{
		"request_preview": "hello", "client_request_id": "c1", "tags": object{"mlflow.traceName": "greet", "stage": "dev"},
		"trace_metadata": object{"mlflow.trace.session": "s1", "mlflow.trace.tokenUsage": `{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}`, "k": "v"},
		"assessments":    []any{object{"assessment_name": "good", "source": object{"source_type": "HUMAN", "source_id": "a"}, "feedback": object{"value": true}}},
	})
	assessments := got["assessments"].([]any)
	delete(got, "assessments")
	want := object{
		"trace_id": "tr-1", "client_request_id": "c1", "request_preview": "hello", "state": "OK",
		"request_time": "2026-11-26T21:00:00.500Z", "execution_duration": "1.250s",
		"trace_location": object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": p.experiment}},
		"tags": object{
			"mlflow.traceName": "greet", "stage": "dev", "mlflow.artifactLocation": "mlflow-artifacts:/" + p.experiment + "/traces/tr-1/artifacts",
		},
		"trace_metadata": object{
			"mlflow.trace.session": "s1", "mlflow.trace.tokenUsage": `{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}`, "k": "v", "mlflow.trace.infoFinalized": "true",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if a := assessments[0].(object); a["trace_id"] != "tr-1" || a["valid"] != true || !strings.HasPrefix(a["assessment_id"].(string), "a-") {
		t.Errorf("assessment: %v", a)
	}
	// What is said again counts; what is not said again stays.
	got = p.store("tr-1", object{"state": "ERROR", "tags": object{"stage": "prod"}, "response_preview": "bye"})
	if got["state"] != "ERROR" || got["request_preview"] != "hello" || got["response_preview"] != "bye" || got["tags"].(object)["stage"] != "prod" || got["tags"].(object)["mlflow.traceName"] != "greet" {
		t.Errorf("merged: %v", got)
	}
	again := p.ok("GET", v3+"/tr-1", nil)["trace"].(object)["trace_info"].(object)
	if diff := cmp.Diff(got, again); diff != "" {
		t.Error(diff)
	}
}

func TestService_start_refusals(t *testing.T) { both(t, testStartRefusals) }

func testStartRefusals(t *testing.T, p *platform) {
	p.refused(404, "No Experiment with id=99 exists", "POST", v3, p.info("tr-1", object{"trace_location": object{"mlflow_experiment": object{"experiment_id": "99"}}}))
	p.refused(400, "Missing value for required parameter 'trace'", "POST", v3, object{})
	p.refused(400, "trace_id", "POST", v3, p.info("", nil))
	p.refused(400, "Invalid trace ID", "POST", v3, p.info("../x", nil))
	p.refused(400, "request_time", "POST", v3, p.info("tr-1", object{"request_time": "yesterday"}))
	p.refused(400, "execution_duration", "POST", v3, p.info("tr-1", object{"execution_duration": "1e9"}))
	p.refused(400, "must not be negative", "POST", v3, p.info("tr-1", object{"execution_duration": "-1s"}))
	p.refused(400, "state", "POST", v3, p.info("tr-1", object{"state": "FINE"}))
	p.refused(400, "tags", "POST", v3, p.info("tr-1", object{"tags": object{"a": 1}}))
	p.refused(400, "'key' exceeds", "POST", v3, p.info("tr-1", object{"tags": object{strings.Repeat("k", 251): "v"}}))
	p.refused(400, "Session ID", "POST", v3, p.info("tr-1", object{"trace_metadata": object{"mlflow.trace.session": strings.Repeat("s", 251)}}))
	p.refused(404, "Trace with ID 'tr-1' not found", "GET", v3+"/tr-1", nil)
	if ids := p.search(""); len(ids) != 0 {
		t.Errorf("something was stored: %v", ids)
	}
}

func TestService_namespaces(t *testing.T) { both(t, testNamespaces) }

func testNamespaces(t *testing.T, p *platform) {
	p.store("tr-1", nil)
	other := []string{"X-Mlflow-Workspace", "team"}
	p.refused(404, "not found", "GET", v3+"/tr-1", nil, other...)
	p.refused(404, "No Experiment", "POST", v3, p.info("tr-2", nil), other...)
	p.refused(404, "not found", "PATCH", v3+"/tr-1/tags", object{"key": "a", "value": "b"}, other...)
	if out := p.ok("POST", v3+"/search", p.query(""), other...); len(idsOf(out)) != 0 {
		t.Errorf("another project finds %v", out)
	}
	if out := p.ok("POST", v3+"/delete-traces", object{"experiment_id": p.experiment, "request_ids": []string{"tr-1"}}, other...); out["traces_deleted"] != 0.0 {
		t.Errorf("another project deletes %v", out)
	}
	// The same id is another trace there, in an experiment that begins to exist.
	mine := p.info("tr-1", object{"trace_location": object{"mlflow_experiment": object{"experiment_id": "0"}}, "state": "ERROR"})
	p.ok("POST", v3, mine, other...)
	if got := p.ok("GET", v3+"/tr-1", nil)["trace"].(object)["trace_info"].(object); got["state"] != "OK" {
		t.Errorf("changed from outside: %v", got)
	}
}

func TestService_tags(t *testing.T) { both(t, testTags) }

func testTags(t *testing.T, p *platform) {
	p.store("tr-1", nil)
	for _, prefix := range []string{v3, v2, "/ajax-api/3.0/mlflow/traces"} {
		p.ok("PATCH", prefix+"/tr-1/tags", object{"key": "a", "value": strings.Repeat("ü", 8001)})
		p.ok("PATCH", prefix+"/tr-1/tags", object{"key": "mlflow.traceName", "value": "n"})
		tags := p.ok("GET", v3+"/tr-1", nil)["trace"].(object)["trace_info"].(object)["tags"].(object)
		if tags["a"] != strings.Repeat("ü", 8000) || tags["mlflow.traceName"] != "n" {
			t.Errorf("tags: %v", tags)
		}
		p.ok("DELETE", prefix+"/tr-1/tags", object{"key": "a"})
		p.ok("DELETE", prefix+"/tr-1/tags", object{"key": "mlflow.traceName"})
		p.refused(404, "No trace tag with key 'a' for trace with ID 'tr-1'", "DELETE", prefix+"/tr-1/tags", object{"key": "a"})
		p.refused(404, "No trace tag", "DELETE", prefix+"/tr-1/tags", object{"key": "mlflow.traceName"})
	}
	p.refused(400, "immutable and cannot be set", "PATCH", v3+"/tr-1/tags", object{"key": "mlflow.trace.spansLocation", "value": "x"})
	p.refused(400, "immutable and cannot be deleted", "DELETE", v3+"/tr-1/tags", object{"key": "mlflow.trace.spansLocation"})
	p.refused(400, "maximum length", "PATCH", v3+"/tr-1/tags", object{"key": strings.Repeat("k", 251), "value": "x"})
	p.refused(404, "not found", "PATCH", v3+"/tr-9/tags", object{"key": "a", "value": "x"})
}

func TestService_delete(t *testing.T) { both(t, testDelete) }

func testDelete(t *testing.T, p *platform) {
	for i := range 5 {
		p.store(fmt.Sprint("tr-", i), object{"request_time": fmt.Sprintf("2026-01-01T00:00:0%dZ", i)})
	}
	key := "tracking/" + p.experiment + "/traces/tr-1/artifacts/traces.json"
	if _, err := p.blobs.Create(t.Context(), key, strings.NewReader(`{"spans":[]}`)); err != nil {
		t.Fatal(err)
	}
	if got := p.ok("GET", "/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-1", nil); got["spans"] == nil {
		t.Errorf("traces.json: %v", got)
	}
	remove := func(want float64, q object) {
		t.Helper()
		q["experiment_id"] = p.experiment
		if got := p.ok("POST", v3+"/delete-traces", q)["traces_deleted"]; got != want {
			t.Errorf("%v: deleted %v", q, got)
		}
	}
	remove(1, object{"request_ids": []string{"tr-1", "tr-none"}})
	if _, err := p.blobs.Stat(t.Context(), key); !blob.IsNotExist(err) {
		t.Errorf("the artifact remains: %v", err)
	}
	remove(1, object{"max_timestamp_millis": 1767225602000, "max_traces": 1})
	if diff := cmp.Diff([]string{"tr-4", "tr-3", "tr-2"}, p.search("")); diff != "" {
		t.Error(diff)
	}
	remove(2, object{"max_timestamp_millis": 1767225603000})
	for _, bad := range []object{
		{}, {"request_ids": []string{"a"}, "max_timestamp_millis": 1}, {"request_ids": []string{"a"}, "max_traces": 1}, {"max_timestamp_millis": 1, "max_traces": 0},
	} {
		bad["experiment_id"] = p.experiment
		p.refused(400, "`", "POST", v2+"/delete-traces", bad)
	}
	if diff := cmp.Diff([]string{"tr-4"}, p.search("")); diff != "" {
		t.Error(diff)
	}
}

func TestService_assessments(t *testing.T) { both(t, testAssessments) }

func testAssessments(t *testing.T, p *platform) {
	p.store("tr-1", nil)
	path := v3 + "/tr-1/assessments"
	create := func(a object) object {
		t.Helper()
		a["source"] = object{"source_type": "LLM_JUDGE", "source_id": "j"}
		return p.ok("POST", path, object{"assessment": a})["assessment"].(object)
	}
	first := create(object{"assessment_name": "ok", "feedback": object{"value": []any{1.5, "x", nil}}, "metadata": object{"a": "1"}, "create_time": "2026-01-01T00:00:00Z"})
	if diff := cmp.Diff(object{"value": []any{1.5, "x", nil}}, first["feedback"]); diff != "" || first["valid"] != true || first["create_time"] != "2026-01-01T00:00:00Z" {
		t.Errorf("%s %v", diff, first)
	}
	failed := create(object{"assessment_name": "judge", "feedback": object{"value": nil, "error": object{"error_code": "RATE_LIMIT", "error_message": "slow", "stack_trace": strings.Repeat("x", 20_000)}}})
	if e := failed["feedback"].(object)["error"].(object); e["error_code"] != "RATE_LIMIT" || len(e["stack_trace"].(string)) != 10_000 {
		t.Errorf("error: %v", e)
	}
	wanted := create(object{"assessment_name": "want", "expectation": object{"serialized_value": object{"serialization_format": "JSON_FORMAT", "value": `{"a": [1]}`}}})
	if diff := cmp.Diff(object{"serialized_value": object{"serialization_format": "JSON_FORMAT", "value": `{"a": [1]}`}}, wanted["expectation"]); diff != "" {
		t.Error(diff)
	}
	get := func(id any) object { return p.ok("GET", path+"/"+id.(string), nil)["assessment"].(object) }
	second := create(object{"assessment_name": "ok", "feedback": object{"value": false}, "overrides": first["assessment_id"]})
	if get(first["assessment_id"])["valid"] != false {
		t.Error("an assessment that was replaced is still valid")
	}
	p.refused(404, "Assessment with ID 'a-none' not found for trace 'tr-1'", "POST", path, object{"assessment": object{"assessment_name": "ok", "feedback": object{"value": 1}, "overrides": "a-none"}})
	p.ok("DELETE", path+"/"+second["assessment_id"].(string), nil)
	p.ok("DELETE", path+"/"+second["assessment_id"].(string), nil)
	if get(first["assessment_id"])["valid"] != true {
		t.Error("an assessment is not valid again after the one that replaced it was deleted")
	}
	changed := p.ok("PATCH", path+"/"+first["assessment_id"].(string), object{
		"assessment": object{"feedback": object{"value": "no"}, "rationale": "because", "metadata": object{"b": "2"}, "assessment_name": "left alone"}, "update_mask": "feedback,rationale,metadata",
	})["assessment"].(object)
	if changed["feedback"].(object)["value"] != "no" || changed["rationale"] != "because" || changed["assessment_name"] != "ok" || len(changed["metadata"].(object)) != 2 {
		t.Errorf("changed: %v", changed)
	}
	p.refused(400, "Cannot update expectation", "PATCH", path+"/"+first["assessment_id"].(string), object{"assessment": object{"expectation": object{"value": 1}}, "update_mask": "expectation"})
	p.refused(400, "Cannot specify both", "PATCH", path+"/"+first["assessment_id"].(string), object{"assessment": object{}, "update_mask": "expectation,feedback"})
	p.refused(404, "Assessment with ID 'a-9' not found for trace 'tr-1'", "GET", path+"/a-9", nil)
	p.refused(404, "Trace with ID 'tr-9' not found", "GET", v3+"/tr-9/assessments/a-9", nil)
	p.refused(400, "Exactly one of", "POST", path, object{"assessment": object{"assessment_name": "x"}})
	p.refused(400, "Only JSON_FORMAT", "POST", path, object{"assessment": object{"assessment_name": "x", "expectation": object{"serialized_value": object{"serialization_format": "PICKLE", "value": "x"}}}})
	p.refused(400, "source_type", "POST", path, object{"assessment": object{"assessment_name": "x", "feedback": object{"value": 1}, "source": object{"source_type": "ORACLE"}}})
	p.refused(400, "already exists", "POST", path, object{"assessment": object{"assessment_id": first["assessment_id"], "assessment_name": "x", "feedback": object{"value": 1}}})
}

// TestService_assessments_order: they are listed as they came, also within a millisecond.
func TestService_assessments_order(t *testing.T) { both(t, testAssessmentsOrder) }

func testAssessmentsOrder(t *testing.T, p *platform) {
	p.store("tr-1", nil)
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint("a", i))
		p.ok("POST", v3+"/tr-1/assessments", object{"assessment": object{
			"assessment_id": fmt.Sprintf("a-%02d", 99-i), "assessment_name": want[i], "source": object{"source_type": "CODE"}, "feedback": object{"value": i}, "create_time": "2026-01-01T00:00:00Z",
		}})
	}
	var got []string
	for _, a := range p.ok("GET", v3+"/tr-1", nil)["trace"].(object)["trace_info"].(object)["assessments"].([]any) {
		got = append(got, a.(object)["assessment_name"].(string))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestService_version2(t *testing.T) { both(t, testVersion2) }

func testVersion2(t *testing.T, p *platform) {
	begun := p.ok("POST", v2, object{
		"experiment_id": p.experiment, "timestamp_ms": 1000, "tags": []any{object{"key": "mlflow.traceName", "value": "n"}}, "request_metadata": []any{object{"key": "k", "value": "v"}},
	})["trace_info"].(object)
	id := begun["request_id"].(string)
	if begun["status"] != "IN_PROGRESS" || len(id) != 32 {
		t.Errorf("begun: %v", begun)
	}
	ended := p.ok("PATCH", v2+"/"+id, object{"timestamp_ms": 3500, "status": "ERROR", "tags": []any{object{"key": "t", "value": "u"}}})["trace_info"].(object)
	if ended["execution_time_ms"] != 2500.0 || ended["status"] != "ERROR" {
		t.Errorf("ended: %v", ended)
	}
	if diff := cmp.Diff(ended, p.ok("GET", v2+"/"+id+"/info", nil)["trace_info"]); diff != "" {
		t.Error(diff)
	}
	p.refused(404, "not found", "GET", v2+"/tr-9/info", nil)
}
