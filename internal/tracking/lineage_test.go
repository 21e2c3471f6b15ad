package tracking_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/lineage"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

type served []lineage.Endpoint

func (s served) Endpoints(context.Context, string) ([]lineage.Endpoint, error) { return s, nil }

// TestLineage follows a version from its data to its endpoint.
func TestLineage(t *testing.T) {
	dir := t.TempDir()
	p := startAt(t, filepath.Join(dir, "kiwerk.db"), dir, nil, func(d *tracking.Deps) {
		d.Origin = func(context.Context) []model.Pair {
			return []model.Pair{{Key: lineage.TagWorkflow, Value: "train-1"}, {Key: lineage.TagImageDigest, Value: "sha256:1"}}
		}
		d.Served = served{{Name: "digits", Model: "models:/digits@champion", Ready: true}, {Name: "other", Model: "models:/other/1"}}
	})
	info := dig(p.must("POST", "runs/create", `{"experiment_id":"0","start_time":1,"tags":[{"key":"mlflow.source.git.commit","value":"c0ffee"},{"key":"kiwerk.workflow","value":"forged"},{"key":"kiwerk.env.packages","value":"numpy==2.0\n"}]}`), "run", "info").(map[string]any)
	run := info["run_id"].(string)
	p.must("POST", "runs/log-inputs", fmt.Sprintf(`{"run_id":%q,"datasets":[{"dataset":{"name":"train","digest":"d1","source_type":"s","source":"s"},"tags":[{"key":"mlflow.data.context","value":"training"}]}]}`, run))
	p.must("POST", "registered-models/create", `{"name":"digits"}`)
	p.must("POST", "model-versions/create", fmt.Sprintf(`{"name":"digits","source":"mlflow-artifacts:/0/%s/artifacts/model","run_id":%q}`, run, run))
	p.must("POST", "registered-models/alias", `{"name":"digits","alias":"champion","version":"1"}`)

	if status, out := p.do("GET", "/get-artifact?run_id="+run+"&path=kiwerk/environment.txt", ""); status != 200 || out["text"] != "numpy==2.0\n" {
		t.Errorf("the packages: %d %v", status, out)
	}
	for _, query := range []string{"model=digits&version=1", "model=digits&alias=champion", "model=digits"} {
		status, out := p.do("GET", "/kiwerk/v1/lineage?"+query, "")
		if status != 200 {
			t.Fatalf("%s: %d %v", query, status, out)
		}
		v := dig(out, "versions").([]any)[0]
		got := fmt.Sprintln(dig(v, "version"), dig(v, "run", "workflow"), dig(v, "run", "commit"), dig(v, "run", "image_digest"), dig(v, "run", "data"), dig(v, "endpoints"))
		if want := "1 train-1 c0ffee sha256:1 [map[digest:d1 name:train source:s use:training]] [map[model:models:/digits@champion name:digits ready:true]]\n"; got != want {
			t.Errorf("%s: %s\nwant %s", query, got, want)
		}
	}
	for query, want := range map[string]int{"": 400, "model=none": 404, "model=digits&version=9": 404} {
		if status, out := p.do("GET", "/kiwerk/v1/lineage?"+query, ""); status != want {
			t.Errorf("%q: %d %v", query, status, out)
		}
	}
}

// TestLineage_needsItsRuns: who may read models only does not see their runs and data.
func TestLineage_needsItsRuns(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, func(p server.Permission, _ string) bool { return p.Resource != "experiments" || p.Verb != "get" })
	if status, out := p.do("GET", "/kiwerk/v1/lineage?model=digits", ""); status != http.StatusForbidden {
		t.Errorf("%d %v", status, out)
	}
}
