package traces_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

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

// TestService_otlp_cost: a span that tells its model and tokens gets the cost
// of the price list, and the trace the sum.
func TestService_otlp_cost(t *testing.T) { both(t, testOtlpCost) }

func testOtlpCost(t *testing.T, p *platform) {
	t.Helper()
	tokens := func(model string) []*commonpb.KeyValue {
		return []*commonpb.KeyValue{attribute("gen_ai.request.model", model), attribute("gen_ai.usage.input_tokens", 3), attribute("gen_ai.usage.output_tokens", 2)}
	}
	p.log(step(9, 1, 0, "root"), step(9, 2, 1, "a", tokens("priced")...), step(9, 3, 1, "b", tokens("maker/priced")...), step(9, 4, 1, "c", tokens("unknown")...))
	info, _ := p.ok("GET", v3+"/"+traceID(9), nil)["trace"].(object)["trace_info"].(object)
	if got := info["trace_metadata"].(object)["mlflow.trace.cost"]; got != `{"input_cost": 6.0, "output_cost": 8.0, "total_cost": 14.0}` {
		t.Errorf("%v", got)
	}
}
