package traces_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/traces"
)

// FuzzParseInfo: what was read and is written again is the same.
func FuzzParseInfo(f *testing.F) {
	for _, s := range []string{
		`{"trace_id":"tr-1","trace_location":{"mlflow_experiment":{"experiment_id":"3"}},"request_time":"2025-11-26T08:00:00.250Z","execution_duration":"1.5s","state":"OK","tags":{"a":"b"},"assessments":[{"assessment_name":"n","feedback":{"value":[1,{"a":null}]},"source":{"source_type":"HUMAN"}}]}`,
		`{"request_id":"x","experiment_id":"3","timestamp_ms":1,"execution_time_ms":2,"status":"TRACE_STATUS_UNSPECIFIED","tags":[{"key":"k","value":"v"}]}`,
		`{"trace_id":"tr-1"}`, `[]`, `{"request_id":{}}`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := traces.ParseInfo(b)
		if err != nil {
			return
		}
		again, err := traces.ParseInfo(traces.InfoJSON(i))
		if err != nil {
			t.Fatalf("%s became %s: %v", b, traces.InfoJSON(i), err)
		}
		if first, second := string(traces.InfoJSON(i)), string(traces.InfoJSON(again)); first != second {
			t.Error(cmp.Diff(first, second))
		}
	})
}
