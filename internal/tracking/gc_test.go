package tracking_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking"
)

func (p *platform) gc(body string) (int, []any) {
	status, out := p.do("POST", "/kiwerk/v1/tracking/gc", body)
	list, _ := out["removed"].([]any)
	return status, list
}

// TestGC_removesRecordsAndArtifacts follows a run, a logged model and an experiment to their end.
func TestGC_removesRecordsAndArtifacts(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	exp := dig(p.must("POST", "experiments/create", `{"name":"e"}`), "experiment_id").(string)
	kept, keptFiles := p.newRun()
	run := dig(p.must("POST", "runs/create", fmt.Sprintf(`{"experiment_id":%q,"start_time":1}`, exp)), "run", "info", "run_id").(string)
	gone, goneFiles := p.newRun()
	for _, files := range []string{keptFiles, goneFiles} {
		p.put(files+"/f", "x")
	}
	for _, id := range []string{kept, gone, run} {
		p.must("POST", "runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"m","value":1,"timestamp":1},{"key":"m","value":2,"timestamp":2},{"key":"n","value":2,"timestamp":2}],"params":[{"key":"a","value":"b"}],"tags":[{"key":"a","value":"b"}]}`, id))
		p.must("POST", "runs/log-inputs", fmt.Sprintf(`{"run_id":%q,"datasets":[{"dataset":{"name":"d","digest":"x","source_type":"s","source":"s"}}]}`, id))
	}
	m := dig(p.must("POST", "logged-models", fmt.Sprintf(`{"experiment_id":%q,"name":"m"}`, exp)), "model", "info", "model_id").(string)

	if status, _ := p.gc(fmt.Sprintf(`{"run_ids":[%q]}`, gone)); status != http.StatusBadRequest {
		t.Errorf("a run that is not deleted: %d", status)
	}
	p.must("POST", "runs/delete", fmt.Sprintf(`{"run_id":%q}`, gone))
	if status, list := p.gc(`{"older_than":3600}`); status != 200 || len(list) != 0 {
		t.Errorf("too young: %d %v", status, list)
	}
	if status, list := p.gc(`{"dry_run":true}`); status != 200 || len(list) != 1 {
		t.Errorf("dry run: %d %v", status, list)
	}
	if status, list := p.gc(`{}`); status != 200 || len(list) != 1 || dig(list[0], "id") != gone {
		t.Errorf("%d %v", status, list)
	}
	if status, _ := p.do("GET", "/api/2.0/mlflow/runs/get?run_id="+gone, ""); status != http.StatusNotFound {
		t.Errorf("the run is there: %d", status)
	}
	if status, _ := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+goneFiles+"/f", ""); status != http.StatusNotFound {
		t.Errorf("its files are there: %d", status)
	}
	if status, out := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+keptFiles+"/f", ""); status != 200 {
		t.Errorf("files of another run: %d %v", status, out)
	}
	if data := dig(p.must("GET", "runs/get?run_id="+kept, ""), "run", "inputs"); data.(map[string]any)["dataset_inputs"] == nil {
		t.Error("the data set of another run is gone")
	}
	p.must("POST", "experiments/delete", fmt.Sprintf(`{"experiment_id":%q}`, exp))
	status, list := p.gc(`{}`)
	if status != 200 || len(list) != 3 || dig(list[0], "id") != run || dig(list[1], "id") != m || dig(list[2], "id") != exp {
		t.Errorf("%d %v", status, list)
	}
	p.must("POST", "experiments/create", `{"name":"e"}`) // the name is free
	if status, list := p.gc(fmt.Sprintf(`{"run_ids":[%q],"experiment_ids":[%q]}`, gone, exp)); status != 200 || len(list) != 0 {
		t.Errorf("again: %d %v", status, list)
	}
	for i, run := range []string{kept, "another"} {
		body := fmt.Sprintf(`{"trace":{"trace_info":{"trace_id":"tr-%d","trace_location":{"type":"MLFLOW_EXPERIMENT","mlflow_experiment":{"experiment_id":"0"}},"request_time":"2026-01-01T00:00:00Z","state":"OK","trace_metadata":{"mlflow.sourceRun":%q}}}}`, i, run)
		if status, out := p.do("POST", "/api/3.0/mlflow/traces", body); status != 200 {
			t.Fatal(out)
		}
	}
	if status, list := p.gc(fmt.Sprintf(`{"run_ids":[%q],"erase":true}`, kept)); status != 200 || len(list) != 1 || fmt.Sprint(dig(list[0], "traces")) != "1" {
		t.Errorf("erase: %d %v", status, list)
	}
	if status, _ := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+keptFiles+"/f", ""); status != http.StatusNotFound {
		t.Errorf("erased files are there: %d", status)
	}
}

// TestGC_erasesLoggedModels that a run made, but for what a version of a registered model uses.
func TestGC_erasesLoggedModels(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	run, _ := p.newRun()
	other, _ := p.newRun()
	logged := func(run string) (id, file string) {
		info := dig(p.must("POST", "logged-models", fmt.Sprintf(`{"experiment_id":"0","name":"m","source_run_id":%q}`, run)), "model", "info")
		file = strings.TrimPrefix(dig(info, "artifact_uri").(string), "mlflow-artifacts:/") + "/f"
		p.put(file, "x")
		return dig(info, "model_id").(string), file
	}
	gone, goneFile := logged(run)
	used, usedFile := logged(run)
	foreign, _ := logged(other)
	p.must("POST", "registered-models/create", `{"name":"r"}`)
	for range 2 {
		p.must("POST", "model-versions/create", fmt.Sprintf(`{"name":"r","source":"models:/%s","model_id":%q}`, used, used))
	}
	body := fmt.Sprintf(`{"run_ids":[%q],"erase":true}`, run)
	_, out := p.do("POST", "/kiwerk/v1/tracking/gc", body)
	list, _ := out["removed"].([]any)
	if len(list) != 2 || dig(list[0], "id") != run || dig(list[1], "id") != gone {
		t.Errorf("removed %v", out)
	}
	spared, _ := out["spared"].([]any)
	if len(spared) != 1 || dig(spared[0], "id") != used || fmt.Sprint(dig(spared[0], "used_by")) != "[r/1 r/2]" {
		t.Errorf("spared %v", out)
	}
	for id, want := range map[string]int{gone: http.StatusNotFound, used: http.StatusOK, foreign: http.StatusOK} {
		if status, _ := p.do("GET", "/api/2.0/mlflow/logged-models/"+id, ""); status != want {
			t.Errorf("logged model %s: %d, want %d", id, status, want)
		}
	}
	for file, want := range map[string]int{goneFile: http.StatusNotFound, usedFile: http.StatusOK} {
		if status, _ := p.do("GET", "/api/2.0/mlflow-artifacts/artifacts/"+file, ""); status != want {
			t.Errorf("%s: %d, want %d", file, status, want)
		}
	}
	for _, v := range []string{"1", "2"} {
		p.must("DELETE", "model-versions/delete", fmt.Sprintf(`{"name":"r","version":%q}`, v))
	}
	if status, list := p.gc(body); status != 200 || len(list) != 1 || dig(list[0], "id") != used {
		t.Errorf("no longer used: %d %v", status, list)
	}
}

func TestGC_isRefused(t *testing.T) {
	p := start(t, t.TempDir(), func(perm server.Permission, _ string) bool { return perm.Verb != "erase" })
	if status, _ := p.gc(`{}`); status != http.StatusForbidden {
		t.Errorf("without the permission: %d", status)
	}
	p = start(t, t.TempDir(), nil)
	for _, body := range []string{`{"older_than":-1}`, `{"erase":true}`, `{"erase":true,"run_ids":["a"],"older_than":5}`, `{"unknown":1}`} {
		if status, _ := p.gc(body); status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, status)
		}
	}
	run, _ := p.newRun()
	if status, _ := p.do("POST", "/kiwerk/v1/tracking/gc", fmt.Sprintf(`{"run_ids":[%q],"erase":true}`, run), "X-Mlflow-Workspace", "other"); status != 200 {
		t.Errorf("another project: %d", status)
	}
	p.must("GET", "runs/get?run_id="+run, "") // and the run is still there
}

// TestGC_leavesALine in a log that has errors only.
func TestGC_leavesALine(t *testing.T) {
	var log strings.Builder
	dir := t.TempDir()
	p := startAt(t, filepath.Join(dir, "kiwerk.db"), dir, nil, func(d *tracking.Deps) {
		d.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})).With("component", "tracking")
	})
	run, _ := p.newRun()
	if status, _ := p.gc(fmt.Sprintf(`{"run_ids":[%q],"erase":true}`, run)); status != 200 {
		t.Fatal(status)
	}
	for _, want := range []string{"audit=true", "project=default", "kind=run", "id=" + run, "component=tracking"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %q", want, log.String())
		}
	}
}
