package span_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/traces/span"
)

func str(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func export(spans ...*tracepb.Span) *tracepb.TracesData {
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}}}}}
}

// one makes a span with attributes of texts.
func one(t *testing.T, attributes map[string]string) span.Span {
	t.Helper()
	p := &tracepb.Span{TraceId: []byte{1}, SpanId: []byte{2}, Name: "s"}
	for k, v := range attributes {
		p.Attributes = append(p.Attributes, &commonpb.KeyValue{Key: k, Value: str(v)})
	}
	list, err := span.FromOTLP(export(p))
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

func TestFromOTLP_conventions(t *testing.T) {
	cases := map[string]struct {
		in, want map[string]string
		kind     string
	}{
		"GenAI": {
			map[string]string{"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "3", "gen_ai.usage.output_tokens": "4", "gen_ai.usage.cache_creation.input_tokens": "1", "gen_ai.response.model": "m", "gen_ai.provider.name": "p", "gen_ai.output.messages": "[1]"},
			map[string]string{"mlflow.chat.tokenUsage": `{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "cache_creation_input_tokens": 1}`, "mlflow.llm.model": `"m"`, "mlflow.llm.provider": `"p"`, "mlflow.spanOutputs": "[1]"},
			"CHAT_MODEL",
		},
		"OpenInference": {
			map[string]string{"openinference.span.kind": "RETRIEVER", "input.value": "where", "llm.token_count.total": "9", "llm.model_name": "m"},
			map[string]string{"mlflow.chat.tokenUsage": `{"total_tokens": 9}`, "mlflow.spanInputs": `"where"`, "mlflow.llm.model": `"m"`},
			"RETRIEVER",
		},
		"Traceloop": {
			map[string]string{"traceloop.span.kind": "workflow", "gen_ai.prompt.0.content": "hi", "gen_ai.usage.prompt_tokens": "2", "gen_ai.system": "x"},
			map[string]string{"mlflow.chat.tokenUsage": `{"input_tokens": 2}`, "mlflow.spanInputs": `"hi"`, "mlflow.llm.provider": `"x"`},
			"WORKFLOW",
		},
		"OwnNamesWin": {
			map[string]string{"mlflow.spanType": "AGENT", "gen_ai.operation.name": "chat", "mlflow.spanInputs": "{}", "input.value": "x", "mlflow.llm.model": "mine", "gen_ai.request.model": "theirs"},
			map[string]string{"mlflow.spanInputs": "{}", "mlflow.llm.model": `"mine"`},
			"AGENT",
		},
		"ModelInInputs": {map[string]string{"mlflow.spanInputs": `{"model": "gpt", "x": 1}`}, map[string]string{"mlflow.spanInputs": `{"model": "gpt", "x": 1}`, "mlflow.llm.model": `"gpt"`}, "UNKNOWN"},
		"Empty":         {map[string]string{"input.value": "", "gen_ai.input.messages": "[]"}, map[string]string{}, "UNKNOWN"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := one(t, c.in)
			got := map[string]string{}
			for k, v := range s.Attributes {
				if strings.HasPrefix(k, "mlflow.") && k != "mlflow.traceRequestId" && k != "mlflow.spanType" {
					got[k] = v
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if s.Type() != c.kind {
				t.Errorf("type %s, want %s", s.Type(), c.kind)
			}
		})
	}
}

func TestTotals(t *testing.T) {
	use := func(n float64) span.Amounts { return span.Amounts{"input_tokens": n, "total_tokens": n} }
	chain := []span.Node{{ID: "0", Usage: nil}}
	for i := 1; i < 5000; i++ {
		chain = append(chain, span.Node{ID: fmt.Sprint(i), Parent: fmt.Sprint(i - 1)})
	}
	chain[4999].Usage = use(7)
	cases := map[string]struct {
		nodes []span.Node
		want  float64
		none  bool
	}{
		"None":         {[]span.Node{{ID: "a"}}, 0, true},
		"Leaves":       {[]span.Node{{ID: "a"}, {ID: "b", Parent: "a", Usage: use(1)}, {ID: "c", Parent: "a", Usage: use(2)}}, 3, false},
		"SummedUp":     {[]span.Node{{ID: "a", Usage: use(3)}, {ID: "b", Parent: "a", Usage: use(1)}, {ID: "c", Parent: "b", Usage: use(2)}}, 3, false},
		"ParentAbsent": {[]span.Node{{ID: "b", Parent: "gone", Usage: use(1)}, {ID: "c", Parent: "gone", Usage: use(2)}}, 3, false},
		"OwnParent":    {[]span.Node{{ID: "a", Parent: "a", Usage: use(1)}}, 1, false},
		"Circle":       {[]span.Node{{ID: "a", Parent: "b", Usage: use(1)}, {ID: "b", Parent: "a", Usage: use(1)}}, 0, true},
		"Deep":         {chain, 7, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			usage, cost := span.Totals(c.nodes)
			if cost != nil || (usage == nil) != c.none || usage["total_tokens"] != c.want {
				t.Errorf("got %v, %v", usage, cost)
			}
		})
	}
}

func TestSummarise_previews(t *testing.T) {
	long := strings.Repeat("ü", 1200)
	for name, c := range map[string]struct{ in, want string }{
		"Text":     {"hello", `"hello"`},
		"Object":   {`{"x": 1}`, `{"x": 1}`},
		"Messages": {`{"messages": [{"role": "user", "content": "first"}, {"role": "user", "content": "last"}, {"role": "assistant", "content": "no"}]}`, "last"},
		"Parts":    {`{"input": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "look"}]}]}`, "look"},
		"Nested":   {`{"request": {"input": [{"role": "system", "content": "only"}]}}`, "only"},
		"NoText":   {`{"messages": [{"role": "user", "content": 3}]}`, `{"messages": [{"role": "user", "content": 3}]}`},
		"Long":     {`"` + long + `"`, `"` + strings.Repeat("ü", 996) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			s := span.Summarise([]span.Span{one(t, map[string]string{"mlflow.spanInputs": c.in})})
			if s.Request != c.want {
				t.Errorf("got %q, want %q", s.Request, c.want)
			}
		})
	}
	answer := span.Summarise([]span.Span{one(t, map[string]string{"mlflow.spanOutputs": `{"choices": [{"message": {"role": "assistant", "content": "42"}}]}`})})
	if answer.Response != "42" {
		t.Errorf("answer %q", answer.Response)
	}
}

// What clients send comes back as they sent it.
func TestStored_roundTrip(t *testing.T) {
	p := &tracepb.Span{
		TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), ParentSpanId: []byte("76543210"), Name: "n", StartTimeUnixNano: 5, EndTimeUnixNano: 9,
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "m"},
		Events: []*tracepb.Span_Event{{Name: "e", TimeUnixNano: 7, Attributes: []*commonpb.KeyValue{{Key: "k", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}}}}},
		Links:  []*tracepb.Span_Link{{TraceId: []byte("fedcba9876543210"), SpanId: []byte("abcdefgh")}},
		Attributes: []*commonpb.KeyValue{
			{Key: "double", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 1e21}}},
			{Key: "empty", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{}}}},
			{Key: "int", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 1<<62 + 1}}},
			{Key: "nothing", Value: &commonpb.AnyValue{}},
			{Key: "text", Value: str("a \"b\" <\u2028> 12")},
		},
	}
	list, err := span.FromOTLP(export(p))
	if err != nil {
		t.Fatal(err)
	}
	content, err := list[0].Content()
	if err != nil {
		t.Fatal(err)
	}
	w := new(mlwire.Writer)
	span.Stored(content).AppendJSON(w)
	got := new(tracepb.Span)
	if err := protojson.Unmarshal(w.Bytes(), got); err != nil {
		t.Fatalf("%v in %s", err, w.Bytes())
	}
	want := proto.CloneOf(p)
	want.Attributes = append(want.Attributes[:3:3], &commonpb.KeyValue{Key: "mlflow.traceRequestId", Value: str("tr-30313233343536373839616263646566")}, want.Attributes[3], want.Attributes[4])
	if !proto.Equal(want, got) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for key, want := range map[string]string{"double": "1e+21", "text": "a \"b\" <\u2028> 12", "nothing": "null", "empty": "{}"} {
		if v, ok := span.Attribute(content, key); !ok || v != want {
			t.Errorf("%s: %q, %v", key, v, ok)
		}
	}
	if _, ok := span.Attribute(content, "absent"); ok {
		t.Error("an attribute that is not there was found")
	}
}

func FuzzDecodeOTLP(f *testing.F) {
	good, err := proto.Marshal(export(&tracepb.Span{TraceId: []byte{1}, SpanId: []byte{2}, Name: "s", Attributes: []*commonpb.KeyValue{{Key: "a", Value: str(`{"b": [1, "c"]}`)}}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0a","spanId":"0b","parentSpanId":"0c","links":[{"traceId":"0a","spanId":"0b"}],"attributes":[{"key":"k","value":{"kvlistValue":{"values":[{"key":"x","value":{"doubleValue":"NaN"}}]}}}]}]}]}]}`), true)
	f.Add([]byte(`{"resource_spans":[{"scope_spans":[{"spans":[null]}]}]}`), true)
	f.Add([]byte("\x0a\x00"), false)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		data, err := span.DecodeOTLP(body, asJSON)
		if err != nil {
			if !errors.Is(err, span.ErrFormat) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		list, err := span.FromOTLP(data)
		if err != nil {
			if !errors.Is(err, span.ErrFormat) && !errors.Is(err, span.ErrSpan) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for i := range list {
			content, err := list[i].Content()
			if err != nil || !json.Valid([]byte(content)) {
				t.Fatalf("content %q: %v", content, err)
			}
			w := new(mlwire.Writer)
			span.Stored(content).AppendJSON(w)
			if err := protojson.Unmarshal(w.Bytes(), new(tracepb.Span)); err != nil {
				t.Errorf("%s: %v", w.Bytes(), err)
			}
			for k := range list[i].Attributes {
				if _, ok := span.Attribute(content, k); !ok {
					t.Errorf("attribute %q is lost", k)
				}
			}
		}
		span.Summarise(list)
	})
}

func FuzzStored(f *testing.F) {
	f.Add(`{"trace_id":"AQ==","attributes":{"a":"{\"b\": [1, {}]}"},"events":[{"attributes":{"x":null}}],"links":[{}]}`)
	f.Add(`{"attributes":{"a":"[1","b":"1 2","c":"1e999"}}`)
	f.Fuzz(func(t *testing.T, content string) {
		w := new(mlwire.Writer)
		span.Stored(content).AppendJSON(w)
		if !json.Valid(w.Bytes()) {
			t.Errorf("%q became %s", content, w.Bytes())
		}
	})
}

func TestParseHead(t *testing.T) {
	for content, want := range map[string]span.Head{
		`{"span_id": "AAAAAAAAAAI=", "parent_span_id": "AAAAAAAAAAE=", "name": "n", "start_time_unix_nano": 5, "status": {"code": "STATUS_CODE_OK"}, "attributes": {"mlflow.spanType": "\"LLM\""}}`: {
			ID: "0000000000000002", Parent: "0000000000000001", Name: "n", Type: "LLM", Status: "OK", Start: 5,
		},
		`{"span_id": "0000000000000002", "start_time_unix_nano": 5, "status": {"code": "ERROR"}}`: {ID: "0000000000000002", Type: "UNKNOWN", Status: "ERROR", Start: 5}, // as MLflow 3.5.0 wrote them
	} {
		if got, err := span.ParseHead(content); err != nil || got != want {
			t.Errorf("%s: %+v, %v", content, got, err)
		}
	}
	for _, content := range []string{``, `[]`, `{}`, `{"context": {"span_id": "0x1"}, "start_time": 1}`, `{"span_id": "x", "start_time_unix_nano": 1, "attributes": {"a": 1}}`} {
		if _, err := span.ParseHead(content); err == nil {
			t.Errorf("%q is taken for a span", content)
		}
	}
}
