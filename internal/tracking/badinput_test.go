package tracking_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBadInput: what cannot be is answered with MLflow's error, and nothing of
// the request is stored, not even what came before the fault.
func TestBadInput(t *testing.T) {
	a := attack(t, nil)
	a.must("POST", "runs/log-parameter", fmt.Sprintf(`{"run_id":%q,"key":"fixed","value":"1"}`, a.run))
	good := `{"key":"good","value":1,"timestamp":1,"step":0}`
	pairs := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"key":"k%d","value":"v"}`, i)
		}
		return "[" + b.String()[1:] + "]"
	}
	long := strings.Repeat("k", 251)
	for name, c := range map[string]struct{ call, body string }{
		"LongMetricKey":           {"runs/log-metric", `{"run_id":"RUN","key":"` + long + `","value":1,"timestamp":1}`},
		"LongParamKey":            {"runs/log-parameter", `{"run_id":"RUN","key":"` + long + `","value":"1"}`},
		"LongTagKey":              {"runs/set-tag", `{"run_id":"RUN","key":"` + long + `","value":"1"}`},
		"LongKeyInBatch":          {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `],"params":[{"key":"p","value":"1"},{"key":"` + long + `","value":"1"}]}`},
		"LongTagKeyInBatch":       {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `],"tags":[{"key":"t","value":"1"},{"key":"` + long + `","value":"1"}]}`},
		"LongExperimentName":      {"experiments/create", `{"name":"` + strings.Repeat("n", 501) + `"}`},
		"LongAlias":               {"registered-models/alias", `{"name":"m","version":"1","alias":"` + strings.Repeat("a", 256) + `"}`},
		"ReservedAlias":           {"registered-models/alias", `{"name":"m","version":"1","alias":"latest"}`},
		"VersionAlias":            {"registered-models/alias", `{"name":"m","version":"1","alias":"v1"}`},
		"LongRegistryTag":         {"registered-models/set-tag", `{"name":"m","key":"k","value":"` + strings.Repeat("v", 100_001) + `"}`},
		"LongRegistryKey":         {"model-versions/set-tag", `{"name":"m","version":"1","key":"` + long + `","value":"v"}`},
		"EmptyModelName":          {"registered-models/create", `{"name":""}`},
		"ModelNameWithSlash":      {"registered-models/create", `{"name":"a/b"}`},
		"ModelNameWithColon":      {"registered-models/create", `{"name":"a:b"}`},
		"EmptyName":               {"experiments/create", `{"name":""}`},
		"KeyThatClimbs":           {"runs/log-metric", `{"run_id":"RUN","key":"../x","value":1,"timestamp":1}`},
		"KeyThatNormalizes":       {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"a//b","value":1,"timestamp":1}]}`},
		"KeyWithControl":          {"runs/set-tag", `{"run_id":"RUN","key":"a\u0007","value":"1"}`},
		"KeyWithNul":              {"runs/log-parameter", `{"run_id":"RUN","key":"a\u0000b","value":"1"}`},
		"KeyEmpty":                {"runs/log-parameter", `{"run_id":"RUN","key":"","value":"1"}`},
		"KeyNull":                 {"runs/log-metric", `{"run_id":"RUN","key":null,"value":1,"timestamp":1}`},
		"DuplicateParams":         {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `],"params":[{"key":"p","value":"1"},{"key":"p","value":"2"}]}`},
		"ChangedParam":            {"runs/log-parameter", `{"run_id":"RUN","key":"fixed","value":"2"}`},
		"ChangedParamInBatch":     {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `],"tags":[{"key":"t","value":"x"}],"params":[{"key":"q","value":"1"},{"key":"fixed","value":"2"}]}`},
		"TooManyMetrics":          {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + strings.Repeat(","+good, 1000) + `]}`},
		"TooManyParams":           {"runs/log-batch", `{"run_id":"RUN","params":` + pairs(101) + `}`},
		"TooManyTags":             {"runs/log-batch", `{"run_id":"RUN","tags":` + pairs(101) + `}`},
		"NoTimestamp":             {"runs/log-metric", `{"run_id":"RUN","key":"k","value":1}`},
		"NegativeTimestamp":       {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","value":1,"timestamp":-1}]}`},
		"TimestampBeyondInt64":    {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","value":1,"timestamp":9223372036854775808}]}`},
		"TimestampFraction":       {"runs/log-metric", `{"run_id":"RUN","key":"k","value":1,"timestamp":1.5}`},
		"TimestampText":           {"runs/log-metric", `{"run_id":"RUN","key":"k","value":1,"timestamp":"soon"}`},
		"TimestampHuge":           {"runs/log-metric", `{"run_id":"RUN","key":"k","value":1,"timestamp":1e400}`},
		"StepBeyondInt64":         {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","value":1,"timestamp":1,"step":99999999999999999999}]}`},
		"StepFraction":            {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","value":1,"timestamp":1,"step":0.5}]}`},
		"StepNaN":                 {"runs/log-metric", `{"run_id":"RUN","key":"k","value":1,"timestamp":1,"step":"NaN"}`},
		"ValueMissing":            {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","timestamp":1}]}`},
		"ValueNull":               {"runs/log-metric", `{"run_id":"RUN","key":"k","value":null,"timestamp":1}`},
		"ValueBool":               {"runs/log-metric", `{"run_id":"RUN","key":"k","value":true,"timestamp":1}`},
		"ValueText":               {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","value":"high","timestamp":1}]}`},
		"ValueList":               {"runs/log-metric", `{"run_id":"RUN","key":"k","value":[1],"timestamp":1}`},
		"ValueObject":             {"runs/log-metric", `{"run_id":"RUN","key":"k","value":{"a":1},"timestamp":1}`},
		"ValueHex":                {"runs/log-metric", `{"run_id":"RUN","key":"k","value":0x10,"timestamp":1}`},
		"BareNaNInObject":         {"runs/log-metric", `{"run_id":"RUN","key":"k","value":nan,"timestamp":1}`},
		"ParamNumber":             {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `],"params":[{"key":"p","value":1}]}`},
		"ParamObject":             {"runs/log-parameter", `{"run_id":"RUN","key":"p","value":{"a":1}}`},
		"TagList":                 {"runs/set-tag", `{"run_id":"RUN","key":"t","value":["a"]}`},
		"MetricsNoList":           {"runs/log-batch", `{"run_id":"RUN","metrics":{"key":"k"}}`},
		"MetricsText":             {"runs/log-batch", `{"run_id":"RUN","metrics":"all"}`},
		"MetricsOfNumbers":        {"runs/log-batch", `{"run_id":"RUN","metrics":[1,2]}`},
		"RunNumber":               {"runs/log-metric", `{"run_id":7,"key":"k","value":1,"timestamp":1}`},
		"RunMissing":              {"runs/log-batch", `{"metrics":[` + good + `]}`},
		"RunOdd":                  {"runs/log-batch", `{"run_id":"../x","metrics":[` + good + `]}`},
		"RunLong":                 {"runs/log-metric", `{"run_id":"` + strings.Repeat("a", 300) + `","key":"k","value":1,"timestamp":1}`},
		"BodyList":                {"runs/log-batch", `[{"run_id":"RUN"}]`},
		"BodyNumber":              {"runs/log-metric", `42`},
		"BodyText":                {"runs/create", `"hello"`},
		"BodyTruncated":           {"runs/log-batch", `{"run_id":"RUN","metrics":[` + good + `,{"key":"k","val`},
		"BodyTruncatedText":       {"runs/log-parameter", `{"run_id":"RUN","key":"p","value":"abc`},
		"BodyTwice":               {"runs/set-tag", `{"run_id":"RUN","key":"t","value":"1"}{"run_id":"RUN","key":"u","value":"1"}`},
		"BodyTrailing":            {"runs/log-metric", `{"run_id":"RUN","key":"k","value":1,"timestamp":1} x`},
		"BodyBinary":              {"runs/log-batch", "\x00\x01\x02\xff"},
		"BodyXML":                 {"experiments/create", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`},
		"InvalidUTF8Key":          {"runs/set-tag", "{\"run_id\":\"RUN\",\"key\":\"a\xff\",\"value\":\"1\"}"},
		"InvalidUTF8MetricKey":    {"runs/log-batch", "{\"run_id\":\"RUN\",\"metrics\":[" + good + ",{\"key\":\"\xc3\x28\",\"value\":1,\"timestamp\":1}]}"},
		"DeepList":                {"runs/log-batch", `{"run_id":"RUN","metrics":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`},
		"DeepObject":              {"runs/set-tag", `{"run_id":"RUN","key":"t","value":` + strings.Repeat(`{"a":`, 50_000) + "1" + strings.Repeat("}", 50_000) + `}`},
		"DeepUnknown":             {"runs/set-tag", `{"run_id":"RUN","key":"t","value":"1","x":` + strings.Repeat("[", 200_000)},
		"ExperimentText":          {"runs/create", `{"experiment_id":"all"}`},
		"ExperimentHuge":          {"runs/create", `{"experiment_id":"99999999999999999999"}`},
		"ExperimentNegative":      {"runs/create", `{"experiment_id":"-1"}`},
		"RunTagsWrong":            {"runs/create", `{"experiment_id":"0","tags":[{"key":"ok","value":"1"},{"key":"a//b","value":"1"}]}`},
		"RunStartText":            {"runs/create", `{"experiment_id":"0","start_time":"today"}`},
		"StatusUnknown":           {"runs/update", `{"run_id":"RUN","status":"ASLEEP"}`},
		"StatusNumber":            {"runs/update", `{"run_id":"RUN","status":99}`},
		"EndText":                 {"runs/update", `{"run_id":"RUN","status":"FINISHED","end_time":"never"}`},
		"DatasetNoName":           {"runs/log-inputs", `{"run_id":"RUN","datasets":[{"dataset":{"name":"d","digest":"1","source_type":"s","source":"s"}},{"dataset":{"digest":"1","source_type":"s","source":"s"}}]}`},
		"DatasetLongDigest":       {"runs/log-inputs", `{"run_id":"RUN","datasets":[{"dataset":{"name":"d","digest":"` + strings.Repeat("1", 37) + `","source_type":"s","source":"s"}}]}`},
		"DatasetLongTag":          {"runs/log-inputs", `{"run_id":"RUN","datasets":[{"tags":[{"key":"` + strings.Repeat("k", 256) + `","value":"v"}],"dataset":{"name":"d","digest":"1","source_type":"s","source":"s"}}]}`},
		"OutputsNothing":          {"runs/outputs", `{"run_id":"RUN"}`},
		"VersionOdd":              {"model-versions/set-tag", `{"name":"m","version":"one","key":"k","value":"v"}`},
		"StageUnknown":            {"model-versions/transition-stage", `{"name":"m","version":"1","stage":"Somewhere","archive_existing_versions":false}`},
		"LoggedModelNoExperiment": {"logged-models", `{"name":"x"}`},
		"LoggedModelOddName":      {"logged-models", `{"experiment_id":"0","name":"a/b:c%d"}`},
		"LoggedModelDuplicates":   {"logged-models", `{"experiment_id":"0","params":[{"key":"p","value":"1"},{"key":"p","value":"2"}]}`},
		"LegacyModelNoJSON":       {"runs/log-model", `{"run_id":"RUN","model_json":"not json"}`},
		"MaxResultsZero":          {"runs/search", `{"experiment_ids":["0"],"max_results":0}`},
		"MaxResultsHuge":          {"runs/search", `{"experiment_ids":["0"],"max_results":50001}`},
		"TokenOdd":                {"runs/search", `{"experiment_ids":["0"],"page_token":"%%%"}`},
	} {
		t.Run(name, func(t *testing.T) {
			a.refuse(t, missing, "POST", "/api/2.0/mlflow/"+c.call, strings.ReplaceAll(c.body, "RUN", a.run))
		})
	}
}

// TestBadInput_kept: what looks odd and is allowed is stored as upstream stores it.
func TestBadInput_kept(t *testing.T) {
	a := attack(t, nil)
	for _, c := range []struct{ key, value, want string }{
		{"nan", `"NaN"`, "NaN"}, {"inf", `"Infinity"`, "1.7976931348623157e+308"}, {"minus", `"-Infinity"`, "-1.7976931348623157e+308"}, {"text", `"0.5"`, "0.5"},
	} {
		a.must("POST", "runs/log-metric", fmt.Sprintf(`{"run_id":%q,"key":%q,"value":%s,"timestamp":9223372036854775807,"step":-9223372036854775808}`, a.run, c.key, c.value))
		list := a.must("GET", "metrics/get-history?run_id="+a.run+"&metric_key="+c.key, "")["metrics"].([]any)
		if got := fmt.Sprint(dig(list[0], "value")); len(list) != 1 || got != c.want {
			t.Errorf("%s: %v", c.key, list)
		}
	}
	// Points that differ in nothing are one; the last of equal keys in a JSON object counts.
	point := `{"key":"same","value":1,"timestamp":1,"step":1}`
	for range 2 {
		a.must("POST", "runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[%s,%s]}`, a.run, point, point))
	}
	if list := a.must("GET", "metrics/get-history?run_id="+a.run+"&metric_key=same", "")["metrics"].([]any); len(list) != 1 {
		t.Errorf("%v", list)
	}
	a.must("POST", "runs/set-tag", fmt.Sprintf(`{"run_id":%q,"key":"t","value":"first","value":"second"}`, a.run))
	a.must("POST", "runs/log-parameter", fmt.Sprintf(`{"run_id":%q,"key":"cut","value":%q}`, a.run, strings.Repeat("ä", 7000)))
	run, err := a.GetRun(t.Context(), "default", a.run)
	if err != nil || run.Tags["t"] != "second" || len([]rune(run.Params["cut"])) != 6000 {
		t.Errorf("%q, %d, %v", run.Tags["t"], len([]rune(run.Params["cut"])), err)
	}
}

// zeros is a body of any size that nobody has to hold.
type zeros struct{ left int64 }

var manyZeros = bytes.Repeat([]byte("0"), 64<<10)

func (z *zeros) Read(p []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), z.left)], manyZeros)
	z.left -= int64(n)
	return n, nil
}

// TestBadInput_hugeBodies: no write route takes 100 MB or nests without end.
func TestBadInput_hugeBodies(t *testing.T) {
	a := attack(t, nil)
	before := a.state(a.dir)
	routes := 0
	for _, e := range a.Endpoints() {
		if e.Permission.IsPublic() || e.Method == http.MethodGet || e.MaxBody < 0 || e.Method == http.MethodDelete && strings.Contains(e.Pattern, "artifacts") || strings.HasPrefix(e.Pattern, "/ajax-api") {
			continue
		}
		path := e.Pattern
		for strings.Contains(path, "{") {
			from, rest, _ := strings.Cut(path, "{")
			_, rest, _ = strings.Cut(rest, "}")
			path = from + "x" + rest
		}
		routes++
		for name, body := range map[string]func() io.Reader{
			"100 MB": func() io.Reader {
				return io.MultiReader(strings.NewReader(`{"run_id":"`), &zeros{100 << 20}, strings.NewReader(`"}`))
			},
			"Nested":    func() io.Reader { return strings.NewReader(strings.Repeat(`{"a":[`, 100_000)) },
			"Truncated": func() io.Reader { return strings.NewReader(`{"run_id":"x","name":"x","experiment_id":"0`) },
			"List":      func() io.Reader { return strings.NewReader(`[]`) },
			"NotUTF8": func() io.Reader {
				return strings.NewReader("{\"name\":\"\xff\xfe\",\"key\":\"\xff\",\"run_id\":\"\xff\"")
			},
		} {
			r := httptest.NewRequest(e.Method, path, body())
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			a.handler.ServeHTTP(w, r)
			if w.Code < 400 || w.Code >= 500 && w.Code != http.StatusNotImplemented {
				t.Errorf("%s %s, %s: %d %.200s", e.Method, path, name, w.Code, w.Body)
			}
		}
	}
	if routes < 40 {
		t.Errorf("only %d routes", routes)
	}
	if diff := cmp.Diff(before, a.state(a.dir)); diff != "" {
		t.Error(diff)
	}
}
