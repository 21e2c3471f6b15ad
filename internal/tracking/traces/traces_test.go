package traces_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	tracking "github.com/kiwerk/kiwerk/internal/tracking/store"
	"github.com/kiwerk/kiwerk/internal/tracking/traces"
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
	svc, err := traces.New(tb.Context(), traces.Options{
		DB: d, Tracking: tr, Blobs: blobs, KeyPrefix: "tracking", ArtifactRoot: "mlflow-artifacts:", Clock: time.Now, NewID: newID, Logger: slog.New(slog.DiscardHandler),
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
	return &platform{tb, h, tr, d, blobs, fmt.Sprint(id)}
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

// search finds the ids of traces.
func (p *platform) search(filter string, orderBy ...string) (ids []string) {
	p.t.Helper()
	out := p.ok("POST", v3+"/search", p.query(filter, orderBy...))
	return idsOf(out)
}

func (p *platform) query(filter string, orderBy ...string) object {
	return object{
		"locations": []any{object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": p.experiment}}},
		"filter":    filter, "order_by": orderBy,
	}
}

func idsOf(out object) (ids []string) {
	list, _ := out["traces"].([]any)
	for _, t := range list {
		ids = append(ids, t.(object)["trace_id"].(string))
	}
	return ids
}

func attribute(key string, v any) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: anyValue(v)}
}

func anyValue(v any) *commonpb.AnyValue {
	switch t := v.(type) {
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: t}}
	case int:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(t)}}
	case float64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: t}}
	case []any:
		list := new(commonpb.ArrayValue)
		for _, e := range t {
			list.Values = append(list.Values, anyValue(e))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
	case []*commonpb.KeyValue:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: t}}}
	}
	return nil
}

// step is a span; trace and ids are small numbers.
func step(trace, id, parent byte, name string, attributes ...*commonpb.KeyValue) *tracepb.Span {
	s := &tracepb.Span{
		TraceId: append(make([]byte, 15), trace), SpanId: append(make([]byte, 7), id), Name: name, Attributes: attributes,
		StartTimeUnixNano: 1_700_000_000_000_000_000 + uint64(id)*1_000_000, EndTimeUnixNano: 1_700_000_001_000_000_000,
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK},
	}
	if parent != 0 {
		s.ParentSpanId = append(make([]byte, 7), parent)
	}
	return s
}

func traceID(n byte) string { return fmt.Sprintf("tr-%032x", n) }

func export(spans ...*tracepb.Span) *tracepb.TracesData {
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", "shop"), attribute("telemetry.sdk.name", "x")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}}
}

// log sends spans as an exporter does.
func (p *platform) log(spans ...*tracepb.Span) {
	p.t.Helper()
	b, err := proto.Marshal(export(spans...))
	if err != nil {
		p.t.Fatal(err)
	}
	if code, body := p.send("POST", "/v1/traces", bytes.NewReader(b), "Content-Type", "application/x-protobuf", "X-Mlflow-Experiment-Id", p.experiment); code != http.StatusOK || len(body) != 0 {
		p.t.Fatalf("%d %s", code, body)
	}
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

func TestService_otlp(t *testing.T) { both(t, testOtlp) }

func testOtlp(t *testing.T, p *platform) {
	// The child, which has the tokens, comes first; the root later and twice.
	p.log(step(1, 2, 1, "llm",
		attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.usage.input_tokens", 10), attribute("gen_ai.usage.output_tokens", 5),
		attribute("gen_ai.request.model", "gpt"), attribute("mlflow.llm.cost", []*commonpb.KeyValue{attribute("input_cost", 0.25), attribute("output_cost", 0.5), attribute("total_cost", 0.75)}),
	))
	info := func() object { return p.ok("GET", v3+"/"+traceID(1), nil)["trace"].(object)["trace_info"].(object) }
	if got := info(); got["state"] != "IN_PROGRESS" {
		t.Errorf("state without a root: %v", got["state"])
	}
	root := step(1, 1, 0, "root",
		attribute("mlflow.spanInputs", []*commonpb.KeyValue{attribute("x", 1), attribute("why", "ä<b>")}), attribute("mlflow.spanOutputs", `{"y": [1, 2]}`),
		attribute("session.id", "s1"), attribute("user.id", `"u1"`), attribute("mlflow.traceTag.team", "red"), attribute("mlflow.traceRequestId", "tr-evil"),
	)
	p.log(root)
	p.log(root)
	got := info()
	want := object{
		"trace_id": traceID(1), "state": "OK", "request_time": "2023-11-14T22:13:20.001Z", "execution_duration": "0.999s",
		"request_preview": `{"x": 1, "why": "ä<b>"}`, "response_preview": `{"y": [1, 2]}`,
		"trace_location": object{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": object{"experiment_id": p.experiment}},
		"tags": object{
			"mlflow.artifactLocation":    "mlflow-artifacts:/" + p.experiment + "/traces/" + traceID(1) + "/artifacts",
			"mlflow.trace.spansLocation": "TRACKING_STORE", "service.name": "shop", "team": "red",
		},
		"trace_metadata": object{
			"mlflow.trace.session": "s1", "mlflow.trace.user": "u1",
			"mlflow.trace.tokenUsage": `{"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}`,
			"mlflow.trace.cost":       `{"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}`,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	trace := p.ok("GET", v3+"/get?trace_id="+traceID(1), nil)["trace"].(object)
	spans := trace["spans"].([]any)
	if len(spans) != 2 || spans[0].(object)["name"] != "root" || spans[1].(object)["parent_span_id"] != spans[0].(object)["span_id"] {
		t.Fatalf("spans: %v", spans)
	}
	values := map[string]any{}
	for _, a := range spans[0].(object)["attributes"].([]any) {
		values[a.(object)["key"].(string)] = a.(object)["value"]
	}
	if diff := cmp.Diff(map[string]any{
		"mlflow.spanInputs": object{"kvlist_value": object{"values": []any{
			object{"key": "x", "value": object{"int_value": 1.0}}, object{"key": "why", "value": object{"string_value": "ä<b>"}},
		}}},
		"mlflow.spanOutputs": object{"kvlist_value": object{"values": []any{
			object{"key": "y", "value": object{"array_value": object{"values": []any{object{"int_value": 1.0}, object{"int_value": 2.0}}}}},
		}}},
		"session.id": object{"string_value": "s1"}, "user.id": object{"string_value": "u1"}, "mlflow.traceTag.team": object{"string_value": "red"},
		"mlflow.traceRequestId": object{"string_value": traceID(1)},
	}, values); diff != "" {
		t.Error(diff)
	}
	list := p.ok("GET", v3+"/batchGet?trace_ids="+traceID(1)+"&trace_ids=tr-none", nil)["traces"].([]any)
	if diff := cmp.Diff([]any{trace}, list); diff != "" {
		t.Error(diff)
	}
	file := p.ok("GET", "/ajax-api/3.0/mlflow/get-trace-artifact?request_id="+traceID(1), nil)
	if n := len(file["spans"].([]any)); n != 2 {
		t.Errorf("traces.json has %d spans", n)
	}
}

// The client's word on the whole stays, whatever spans come later.
func TestService_otlp_finalized(t *testing.T) { both(t, testOtlpFinalized) }

func testOtlpFinalized(t *testing.T, p *platform) {
	p.store(traceID(1), object{"trace_metadata": object{
		"mlflow.trace.tokenUsage": `{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}`, "mlflow.trace.sizeStats": `{"num_spans": 2}`,
	}})
	p.log(step(1, 1, 0, "root", attribute("mlflow.chat.tokenUsage", `{"input_tokens": 90, "output_tokens": 9, "total_tokens": 99}`)))
	p.refused(404, "is not fully exported yet", "GET", v3+"/get?trace_id="+traceID(1), nil)
	p.ok("GET", v3+"/get?allow_partial=true&trace_id="+traceID(1), nil)
	p.log(step(1, 2, 1, "child"))
	got := p.ok("GET", v3+"/get?trace_id="+traceID(1), nil)["trace"].(object)["trace_info"].(object)
	if got["request_time"] != "2026-11-26T21:00:00.500Z" || got["execution_duration"] != "1.250s" || !strings.Contains(got["trace_metadata"].(object)["mlflow.trace.tokenUsage"].(string), `"total_tokens": 2`) {
		t.Errorf("changed: %v", got)
	}
}

func TestService_otlp_forms(t *testing.T) { both(t, testOtlpForms) }

func testOtlpForms(t *testing.T, p *platform) {
	asJSON := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000000b","spanId":"00000000000000AA","name":"j","kind":1,
		"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":1700000000500000000,"attributes":[{"key":"a","value":{"stringValue":"b"}}],
		"links":[{"traceId":"0000000000000000000000000000000c","spanId":"00000000000000ab"}],"events":[{"name":"e","timeUnixNano":"5","attributes":[{"key":"n","value":{"intValue":"7"}}]}]}]}]}]}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(asJSON))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	code, body := p.send("POST", "/v1/traces", &packed, "Content-Type", "application/json; charset=utf-8", "Content-Encoding", "gzip", "X-Mlflow-Experiment-Id", p.experiment)
	if code != 200 || string(body) != "{}" {
		t.Fatalf("%d %s", code, body)
	}
	spans := p.ok("GET", v3+"/get?trace_id="+traceID(11), nil)["trace"].(object)["spans"].([]any)
	got := spans[0].(object)
	if diff := cmp.Diff([]any{object{"trace_id": "AAAAAAAAAAAAAAAAAAAADA==", "span_id": "AAAAAAAAAKs="}}, got["links"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{object{"name": "e", "time_unix_nano": 5.0, "attributes": []any{object{"key": "n", "value": object{"int_value": 7.0}}}}}, got["events"]); diff != "" {
		t.Error(diff)
	}
}

func TestService_otlp_refusals(t *testing.T) { both(t, testOtlpRefusals) }

func testOtlpRefusals(t *testing.T, p *platform) {
	good, err := proto.Marshal(export(step(1, 1, 0, "x")))
	if err != nil {
		t.Fatal(err)
	}
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		zeros := make([]byte, 1<<20)
		for range 65 {
			_, _ = z.Write(zeros)
		}
		_ = z.Close()
		return b.Bytes()
	}()
	deep := anyValue(1)
	for range 200 {
		deep = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{deep}}}}
	}
	marshal := func(s *tracepb.Span) []byte {
		b, err := proto.Marshal(export(s))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const pb = "application/x-protobuf"
	noID, longID := step(1, 1, 0, "x"), step(1, 1, 0, "x")
	noID.SpanId, longID.TraceId = nil, make([]byte, 17)
	for name, c := range map[string]struct {
		kind, encoding, experiment string
		body                       []byte
		status                     int
		text                       string
	}{
		"Type":         {"text/plain", "", p.experiment, good, 400, "Invalid Content-Type"},
		"NoExperiment": {pb, "", "", good, 422, "x-mlflow-experiment-id is required"},
		"Unknown":      {pb, "", "77", good, 404, "No Experiment with id=77"},
		"NotANumber":   {pb, "", "x", good, 400, "Invalid experiment ID"},
		"Encoding":     {pb, "br", p.experiment, good, 400, "Unsupported Content-Encoding: br"},
		"NotGzip":      {pb, "gzip", p.experiment, good, 400, "Failed to decompress gzip"},
		"Bomb":         {pb, "gzip", p.experiment, bomb, 400, "larger than 67108864 bytes"},
		"Garbage":      {pb, "", p.experiment, []byte("garbage"), 400, "Invalid OpenTelemetry format"},
		"Truncated":    {pb, "", p.experiment, good[:len(good)-3], 400, "Invalid OpenTelemetry format"},
		"Empty":        {pb, "", p.experiment, nil, 400, "no spans found"},
		"BadJSON":      {"application/json", "", p.experiment, []byte("{"), 400, "Invalid OpenTelemetry format"},
		"BadHex":       {"application/json", "", p.experiment, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}`), 400, "traceId"},
		"NoSpanID":     {pb, "", p.experiment, marshal(noID), 422, "span_id is required"},
		"LongTraceID":  {pb, "", p.experiment, marshal(longID), 422, "trace_id has 17 bytes"},
		"Deep":         {pb, "", p.experiment, marshal(step(1, 1, 0, "x", &commonpb.KeyValue{Key: "a", Value: deep})), 400, "Invalid OpenTelemetry format"},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Content-Type", c.kind, "Content-Encoding", c.encoding}
			if c.experiment != "" {
				header = append(header, "X-Mlflow-Experiment-Id", c.experiment)
			}
			code, body := p.send("POST", "/v1/traces", bytes.NewReader(c.body), header...)
			if code != c.status || !strings.Contains(string(body), c.text) {
				t.Errorf("got %d %s", code, body)
			}
		})
	}
	if ids := p.search(""); len(ids) != 0 {
		t.Errorf("something was stored: %v", ids)
	}
}

func TestService_search(t *testing.T) { both(t, testSearch) }

func testSearch(t *testing.T, p *platform) {
	for i, e := range []struct {
		state, name, session, stage string
		took                        string
	}{
		{"OK", "greet", "s1", "dev", "1s"}, {"ERROR", "Greet", "s1", "prod", "2s"}, {"OK", "part", "s2", "", "3s"}, {"IN_PROGRESS", "", "", "dev%x", ""},
	} {
		tags, meta := object{}, object{}
		if e.name != "" {
			tags["mlflow.traceName"] = e.name
		}
		if e.stage != "" {
			tags["stage"] = e.stage
		}
		if e.session != "" {
			meta["mlflow.trace.session"] = e.session
		}
		if i == 0 {
			meta["mlflow.sourceRun"] = "run1"
		}
		more := object{"state": e.state, "tags": tags, "trace_metadata": meta, "request_time": fmt.Sprintf("2026-01-01T00:00:0%dZ", i), "client_request_id": fmt.Sprint("c", i)}
		if e.took != "" {
			more["execution_duration"] = e.took
		} else {
			more["execution_duration"] = nil
		}
		p.store(fmt.Sprintf("tr-%032x", i+1), more)
	}
	p.log(step(1, 1, 0, "root", attribute("mlflow.spanType", "AGENT"), attribute("model", "gpt-4"), attribute("mlflow.spanInputs", "Grüße an Alle")),
		step(1, 2, 1, "call", attribute("mlflow.spanType", "TOOL"), attribute("temperature", 0.5)),
		step(2, 1, 0, "root", attribute("mlflow.spanType", "TOOL"), attribute("llm.model", "Claude")))
	assess := func(trace byte, kind, name string, value any, metadata object) {
		p.ok("POST", v3+"/"+traceID(trace)+"/assessments", object{"assessment": object{
			"assessment_name": name, "source": object{"source_type": "CODE"}, kind: object{"value": value}, "metadata": metadata,
		}})
	}
	assess(1, "feedback", "score", 0.9, nil)
	assess(2, "feedback", "score", "yes", nil)
	assess(1, "feedback", "tone", "warm", object{"mlflow.trace.session": "s1"})
	assess(3, "expectation", "answer", true, nil)
	p.ok("POST", v3+"/"+traceID(3)+"/assessments", object{"assessment": object{"assessment_name": "iss-1", "source": object{"source_type": "CODE"}, "issue": object{"issue_name": "slow"}}})
	run, err := p.tracking.CreateRun(t.Context(), server.DefaultNamespace, tracking.NewRun{Experiment: p.experiment, Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	p.ok("POST", v2+"/link-to-run", object{"trace_ids": []string{traceID(3), "tr-none"}, "run_id": run.ID})
	p.ok("POST", v2+"/link-prompts", object{"trace_id": traceID(2), "prompt_versions": []any{object{"name": "ask", "version": "3"}}})
	const t1, t2, t3, t4 = "1", "2", "3", "4"
	for filter, want := range map[string]string{
		"":                     t4 + t3 + t2 + t1,
		"status = 'OK'":        t3 + t1,
		"trace.status != 'OK'": t4 + t2,
		"attributes.status IN ('ERROR', 'IN_PROGRESS')":      t4 + t2,
		"status NOT IN ('OK')":                               t4 + t2,
		"status RLIKE '^(OK|ERR)'":                           t3 + t2 + t1,
		"request_id = '" + traceID(2) + "'":                  t2,
		"client_request_id LIKE 'c%' AND status = 'OK'":      t3 + t1,
		"timestamp_ms >= 1767225602000":                      t4 + t3,
		"timestamp > 1767225601999.5":                        t4 + t3,
		"timestamp = 1767225602000.5":                        "",
		"execution_time < 3000":                              t2 + t1,
		"execution_time_ms >= 2000":                          t3 + t2,
		"end_time <= 1767225603000":                          t4 + t2 + t1,
		"name = 'greet'":                                     t1,
		"name LIKE '%reet'":                                  t2 + t1,
		"name LIKE 'G%'":                                     t2,
		"name ILIKE 'G%'":                                    t2 + t1,
		"name RLIKE '^[gG]r'":                                t2 + t1,
		"name IS NULL":                                       t4,
		"name IN ('part', 'greet')":                          t3 + t1,
		"tags.stage = 'dev'":                                 t1,
		"tag.stage LIKE 'dev%'":                              t4 + t1,
		"tags.stage ILIKE 'DEV'":                             t1,
		"tags.stage != 'dev'":                                t4 + t2,
		"tags.stage IS NULL":                                 t3,
		"tags.stage IS NOT NULL":                             t4 + t2 + t1,
		"tags.`mlflow.traceName` = 'part'":                   t3,
		"metadata.`mlflow.trace.session` = 's1'":             t2 + t1,
		"request_metadata.`mlflow.trace.session` RLIKE '2$'": t3,
		"metadata.mlflow.trace.session IS NULL":              t4,
		"run_id = 'run1'":                                    t1,
		"run_id = '" + run.ID + "'":                          t3,
		"span.name = 'root'":                                 t2 + t1,
		"span.name != 'root'":                                t1,
		"span.type = 'TOOL'":                                 t2 + t1,
		"span.type = 'TOOL' AND span.name = 'root'":          t2,
		"span.type IN ('AGENT')":                             t1,
		"span.status = 'OK' AND span.name LIKE 'c%'":         t1,
		"span.name LIKE 'R%'":                                "",
		"span.name ILIKE 'R%'":                               t2 + t1,
		"span.attributes.model = 'gpt-4'":                    t1,
		"span.attributes.model LIKE 'gpt%'":                  t1,
		"span.attributes.model LIKE 'GPT%'":                  "",
		"span.attributes.`llm.model` ILIKE 'CLAUDE'":         t2,
		"span.attributes.llm.model RLIKE '^Cl.*e$'":          t2,
		"span.attributes.temperature = '0.5'":                t1,
		"span.attributes.temperature != '0.5'":               "",
		"span.content LIKE '%temperature%'":                  t1,
		"trace.text LIKE '%Grüße%'":                          t1,
		"text ILIKE '%GRÜSSE%'":                              "",
		"text ILIKE '%grÜße%'":                               t1,
		"text LIKE '%grüße%'":                                "",
		"feedback.score > 0.5":                               t1,
		"feedback.score <= 0.5":                              "",
		"feedback.score = 'yes'":                             t2,
		"feedback.score != 'yes'":                            t1,
		"feedback.score IS NOT NULL":                         t2 + t1,
		"feedback.score IS NULL":                             t4 + t3,
		"feedback.tone = 'warm'":                             t2 + t1,
		"feedback.tone LIKE '%war%'":                         t2 + t1,
		"feedback.tone RLIKE 'cold'":                         "",
		"expectation.answer = 'true'":                        t3,
		"expectation.answer IS NULL AND status = 'OK'":       t1,
		"issue.id = 'iss-1'":                                 t3,
		"prompt = 'ask/3'":                                   t2,
		"prompt = 'ask/4'":                                   "",
	} {
		t.Run(filter, func(t *testing.T) {
			q := *p
			q.t = t
			got := ""
			for _, id := range q.search(filter) {
				got += strings.TrimLeft(id, "tr-0")
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	for order, want := range map[string]string{
		"timestamp ASC": "1234", "execution_time DESC": "3214", "execution_time": "1234", "name ASC": "2134", "tags.stage DESC": "2413",
		"status": "2431", "request_id DESC": "4321", "metadata.`mlflow.trace.session` DESC": "3214", "run_id": "1432", "end_time DESC": "3421",
	} {
		t.Run("order "+order, func(t *testing.T) {
			q := *p
			q.t = t
			whole, token := "", ""
			for range 5 { // one by one
				query := q.query("", order)
				query["max_results"], query["page_token"] = 1, token
				out := q.ok("POST", v3+"/search", query)
				for _, id := range idsOf(out) {
					whole += strings.TrimLeft(id, "tr-0")
				}
				if token, _ = out["next_page_token"].(string); token == "" {
					break
				}
			}
			if whole != want {
				t.Errorf("got %q, want %q", whole, want)
			}
		})
	}
	query := url.Values{"experiment_ids": {p.experiment}, "filter": {"status = 'OK'"}, "max_results": {"1"}}
	old := p.ok("GET", v2+"?"+query.Encode(), nil)
	if first := old["traces"].([]any)[0].(object); first["request_id"] != traceID(3) || first["status"] != "OK" || old["next_page_token"] == "" {
		t.Errorf("version 2: %v", old)
	}
}

func TestService_search_faults(t *testing.T) { both(t, testSearchFaults) }

func testSearchFaults(t *testing.T, p *platform) {
	for filter, want := range map[string]string{
		"status = OK":                           "Expected a quoted string",
		"colour = 'red'":                        "Invalid attribute key 'colour'",
		"metrics.x > 1":                         "Invalid entity type 'metrics'",
		"timestamp LIKE 'x'":                    "Invalid comparator 'LIKE'",
		"timestamp = 'x'":                       "Expected numeric value",
		"span.colour = 'red'":                   "Invalid span attribute 'colour'",
		"span.attributes. = 'red'":              "cannot be empty",
		"span.content = 'x'":                    "Invalid comparator '='",
		"text = 'x'":                            "Invalid comparator '='",
		"issue.name = 'x'":                      "Invalid issue attribute 'name'",
		"feedback.x > '1'":                      "Expected numeric value",
		"feedback.x = 1":                        "Expected a quoted string",
		"prompt LIKE 'x'":                       "Invalid comparator 'LIKE'",
		"prompt = 'x'":                          "Invalid prompts filter value",
		"name RLIKE '('":                        "Invalid regular expression",
		"name RLIKE '(?<x>a)(?=b)'":             "Invalid regular expression",
		"status = 'OK' OR name = 'x'":           "Invalid clause(s)",
		"metadata.`mlflow.trace.cost` LIKE 'x'": "not supported for reserved metadata",
	} {
		p.refused(400, want, "POST", v3+"/search", p.query(filter))
	}
	p.refused(400, "Invalid attribute key 'colour'", "POST", v3+"/search", p.query("", "colour"))
	p.refused(400, "duplicate fields", "POST", v3+"/search", p.query("", "timestamp", "timestamp_ms DESC"))
	p.refused(400, "reserved metadata", "POST", v3+"/search", p.query("", "metadata.`mlflow.trace.cost`"))
	for _, n := range []int{0, -1, 501} {
		q := p.query("")
		q["max_results"] = n
		p.refused(400, "max_results", "POST", v3+"/search", q)
	}
	p.store("tr-1", nil)
	p.store("tr-2", nil)
	q := p.query("")
	q["max_results"] = 1
	token := p.ok("POST", v3+"/search", q)["next_page_token"]
	for _, bad := range []any{"x", "e30=", token.(string) + "A", "bnVsbA=="} {
		q["page_token"] = bad
		p.refused(400, "Invalid page token", "POST", v3+"/search", q)
	}
	q = p.query("status = 'OK'")
	q["page_token"] = token
	p.refused(400, "does not belong to this search", "POST", v3+"/search", q)
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

func TestService_correlation(t *testing.T) { both(t, testCorrelation) }

func testCorrelation(t *testing.T, p *platform) {
	for i := range 4 {
		tags := object{"even": fmt.Sprint(i%2 == 0)}
		if i < 2 {
			tags["low"] = "yes"
		}
		p.store(fmt.Sprint("tr-", i), object{"tags": tags})
	}
	ask := func(first, second string) object {
		return p.ok("POST", v3+"/calculate-filter-correlation", object{"experiment_ids": []string{p.experiment}, "filter_string1": first, "filter_string2": second})
	}
	got := ask("tags.even = 'true'", "tags.low = 'yes'")
	if diff := cmp.Diff(object{"npmi": 0.0, "npmi_smoothed": 0.0, "filter1_count": 2.0, "filter2_count": 2.0, "joint_count": 1.0, "total_count": 4.0}, got); diff != "" {
		t.Error(diff)
	}
	got = ask("tags.even = 'true'", "tags.even RLIKE 'tru'")
	if got["npmi"].(float64) < 0.999 || got["joint_count"] != 2.0 {
		t.Errorf("the same twice: %v", got)
	}
	if got = ask("tags.even = 'true'", "tags.even = 'false'"); got["npmi"] != -1.0 {
		t.Errorf("never together: %v", got)
	}
	if got = ask("tags.even = 'true'", "tags.none = 'x'"); got["npmi"] != nil {
		t.Errorf("not defined: %v", got)
	}
}

func TestService_metrics(t *testing.T) { both(t, testMetrics) }

func testMetrics(t *testing.T, p *platform) {
	for i := range 4 {
		p.store(fmt.Sprint("tr-", i), object{
			"request_time": fmt.Sprintf("2026-01-01T00:0%d:00Z", i), "execution_duration": fmt.Sprintf("%ds", i+1), "state": []string{"OK", "ERROR"}[i%2],
			"tags":           object{"mlflow.traceName": []string{"a", "b"}[i/2], "stage": "x"},
			"trace_metadata": object{"mlflow.trace.session": fmt.Sprint("s", i/2), "mlflow.trace.tokenUsage": fmt.Sprintf(`{"input_tokens": %d}`, 10*i)},
		})
	}
	p.log(step(1, 1, 0, "root", attribute("mlflow.llm.cost", `{"total_cost": 0.5}`), attribute("mlflow.llm.model", "m")), step(1, 2, 1, "call"))
	for _, v := range []any{0.25, 0.75, true} {
		p.ok("POST", v3+"/tr-0/assessments", object{"assessment": object{"assessment_name": "score", "feedback": object{"value": v}}})
	}
	ask := func(q object) []any {
		t.Helper()
		q["experiment_ids"] = []string{p.experiment}
		list := p.ok("POST", v3+"/metrics", q)["data_points"].([]any)
		for _, point := range list {
			delete(point.(object), "metric_name")
		}
		return list
	}
	agg := func(kinds ...string) (list []any) {
		for _, k := range kinds {
			list = append(list, object{"aggregation_type": k})
		}
		return list
	}
	pct := func(v float64) object { return object{"aggregation_type": "PERCENTILE", "percentile_value": v} }
	for name, c := range map[string]struct {
		q    object
		want []any
	}{
		"Count":      {object{"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "filters": []string{"trace.tag.stage = 'x'"}}, []any{object{"values": object{"COUNT": 4.0}}}},
		"ByStatus":   {object{"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "dimensions": []string{"trace_status"}, "filters": []string{"trace.tag.stage = 'x'"}}, []any{object{"dimensions": object{"trace_status": "ERROR"}, "values": object{"COUNT": 2.0}}, object{"dimensions": object{"trace_status": "OK"}, "values": object{"COUNT": 2.0}}}},
		"Percentile": {object{"view_type": "TRACES", "metric_name": "latency", "aggregations": []any{pct(50), pct(75), object{"aggregation_type": "AVG"}}, "filters": []string{"trace.tag.stage = 'x'"}}, []any{object{"values": object{"P50.0": 2500.0, "P75.0": 3250.0, "AVG": 2500.0}}}},
		"Sum":        {object{"view_type": "TRACES", "metric_name": "input_tokens", "aggregations": agg("SUM", "MIN", "MAX"), "filters": []string{"trace.status = 'OK'"}}, []any{object{"values": object{"SUM": 20.0, "MIN": 0.0, "MAX": 20.0}}}},
		"Sessions":   {object{"view_type": "TRACES", "metric_name": "session_count", "aggregations": agg("COUNT")}, []any{object{"values": object{"COUNT": 2.0}}}},
		"Buckets": {object{
			"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "time_interval_seconds": 120, "start_time_ms": 1767225600000, "end_time_ms": 1767225800000,
		}, []any{
			object{"dimensions": object{"time_bucket": "2026-01-01T00:00:00+00:00"}, "values": object{"COUNT": 2.0}},
			object{"dimensions": object{"time_bucket": "2026-01-01T00:02:00+00:00"}, "values": object{"COUNT": 2.0}},
		}},
		"Session":     {object{"view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT"), "filters": []string{"trace.metadata.`mlflow.trace.session` = 's1'"}}, []any{object{"values": object{"COUNT": 2.0}}}},
		"Spans":       {object{"view_type": "SPANS", "metric_name": "span_count", "aggregations": agg("COUNT"), "dimensions": []string{"span_name"}}, []any{object{"dimensions": object{"span_name": "call"}, "values": object{"COUNT": 1.0}}, object{"dimensions": object{"span_name": "root"}, "values": object{"COUNT": 1.0}}}},
		"SpanLatency": {object{"view_type": "SPANS", "metric_name": "latency", "aggregations": agg("MAX"), "filters": []string{"span.name = 'root'"}}, []any{object{"values": object{"MAX": 999.0}}}},
		"Cost":        {object{"view_type": "SPANS", "metric_name": "total_cost", "aggregations": agg("SUM"), "dimensions": []string{"span_model_name"}}, []any{object{"dimensions": object{"span_model_name": "m"}, "values": object{"SUM": 0.5}}}},
		"Assessments": {object{"view_type": "ASSESSMENTS", "metric_name": "assessment_value", "aggregations": agg("AVG"), "dimensions": []string{"assessment_name"}, "filters": []string{"assessment.type = 'feedback'"}}, []any{object{"dimensions": object{"assessment_name": "score"}, "values": object{"AVG": 2.0 / 3}}}},
	} {
		if diff := cmp.Diff(c.want, ask(c.q)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	base := func(more object) object {
		q := object{"experiment_ids": []string{p.experiment}, "view_type": "TRACES", "metric_name": "trace_count", "aggregations": agg("COUNT")}
		for k, v := range more {
			q[k] = v
		}
		return q
	}
	for want, q := range map[string]object{
		"view_type":               base(object{"view_type": "RUNS"}),
		"metric_name must be":     base(object{"metric_name": "x"}),
		"aggregation_type(s)":     base(object{"aggregations": agg("SUM")}),
		"between 0 and 100":       base(object{"metric_name": "latency", "aggregations": []any{pct(101)}}),
		"only allowed for":        base(object{"aggregations": []any{object{"aggregation_type": "COUNT", "percentile_value": 3}}}),
		"dimension(s)":            base(object{"dimensions": []string{"span_name"}}),
		"start_time_ms and":       base(object{"time_interval_seconds": 1}),
		"Invalid entity 'x'":      base(object{"filters": []string{"trace.x = 'a'"}}),
		"requires a key":          base(object{"filters": []string{"trace.tag = 'a'"}}),
		"does not require a key":  base(object{"filters": []string{"trace.status.x = 'a'"}}),
		"only supported for":      base(object{"filters": []string{"span.name = 'a'"}}),
		"one filter clause":       base(object{"filters": []string{"trace.status = 'a' AND trace.status = 'b'"}}),
		"Invalid comparator '!='": base(object{"filters": []string{"trace.status != 'a'"}}),
	} {
		p.refused(400, want, "POST", v3+"/metrics", q)
	}
	first := p.ok("POST", v3+"/metrics", base(object{"dimensions": []string{"trace_status"}, "max_results": 1}))
	second := p.ok("POST", v3+"/metrics", base(object{"dimensions": []string{"trace_status"}, "max_results": 1, "page_token": first["next_page_token"]}))
	if len(second["data_points"].([]any)) != 1 || cmp.Equal(first["data_points"], second["data_points"]) || second["next_page_token"] != nil {
		t.Errorf("pages: %v, %v", first, second)
	}
}

// A trace of 10,000 spans is one transaction.
func TestService_otlp_large(t *testing.T) { both(t, testOtlpLarge) }

func testOtlpLarge(t *testing.T, p *platform) {
	spans := []*tracepb.Span{step(1, 1, 0, "root")}
	for i := 2; i <= 10_000; i++ {
		s := step(1, 1, 1, "child")
		s.SpanId = []byte{0, 0, 0, 0, 0, 1, byte(i >> 8), byte(i)}
		spans = append(spans, s)
	}
	p.log(spans...)
	trace := p.ok("GET", v3+"/get?trace_id="+traceID(1), nil)["trace"].(object)
	if n := len(trace["spans"].([]any)); n != 10_000 {
		t.Errorf("%d spans", n)
	}
}
