package rest

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

var batches = []string{
	`{"run_id": "a", "metrics": [{"key": "m", "value": 0.5, "timestamp": 1, "step": 2}, {"key": "m", "value": "NaN", "timestamp": 2, "step": -3}], "params": [{"key": "p", "value": "v\n\u00e4"}], "tags": []}`,
	`{"run_id":"a"}`, `{}`, `{"run_id":"a","metrics":[]} `, `{"run_id":"a","metrics":[{}]}`,
	`{"run_id":"a","metrics":[{"key":"k","value":"1","timestamp":"1"}]}`, `{"run_id":"a","future":1}`, `{"runId":"a"}`,
	`{"run_id":"a","tags":[{"key":"t"}]}`, `{"run_id":"a","metrics":[{"key":"k","value":1e400,"timestamp":1}]}`,
	`{"run_id":"a","metrics":[{"key":"k","value":1,"timestamp":01}]}`, `{"run_id":"a",}`, `{"run_id":"a"}x`,
	`{"run_id":"a","metrics":[{"key":"k","value":1,"timestamp":1,"model_id":"m-1","dataset_name":"d","dataset_digest":"x"}]}`,
}

// FuzzLogBatch: what the quick way accepts, the general way reads the same.
func FuzzLogBatch(f *testing.F) {
	for _, b := range batches {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var fast logBatch
		if !fast.DecodeFast(body) {
			return
		}
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		var slow struct {
			ID      string         `ml:"run_id"`
			Metrics []metricIn     `ml:"metrics"`
			Params  []route.PairIn `ml:"params"`
			Tags    []route.PairIn `ml:"tags"`
		}
		if err := (mlwire.Codec{}).Decode(r, &slow); err != nil {
			t.Fatalf("%q: only the quick way accepts it: %v", body, err)
		}
		q := logBatch{Metrics: slow.Metrics, Params: slow.Params, Tags: slow.Tags}
		if diff := cmp.Diff(q.batch(), fast.batch(), cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" || slow.ID != fast.ID {
			t.Errorf("%q: %s", body, diff)
		}
	})
}

func TestLogBatch_takesTheQuickWay(t *testing.T) {
	var q logBatch
	if !q.DecodeFast([]byte(batches[0])) || len(q.fast.Metrics) != 2 || q.fast.Params[0].Value != "v\nä" {
		t.Errorf("%+v", q.fast)
	}
}
