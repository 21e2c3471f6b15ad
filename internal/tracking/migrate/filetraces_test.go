package migrate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
	traces "github.com/kiwerk/kiwerk/internal/tracking/traces/store"
)

// write files below a folder.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestImport_fileTraces: traces of a folder as MLflow 3 and MLflow 2 wrote them.
func TestImport_fileTraces(t *testing.T) {
	dir := t.TempDir()
	const newer, older, torn = "7/traces/tr-1", "7/traces/0a1b", "7/traces/tr-2"
	write(t, dir, map[string]string{
		"7/meta.yaml":              "experiment_id: '7'\nname: seven\nartifact_location: file://" + dir + "/7\nlifecycle_stage: active\n",
		newer + "/trace_info.yaml": "execution_duration_ms: 1500\nrequest_time: '2025-11-26T08:00:00.250Z'\nstate: ERROR\ntrace_id: tr-1\ntrace_location:\n  mlflow_experiment:\n    experiment_id: '7'\n  type: MLFLOW_EXPERIMENT\n",
		newer + "/request_metadata/mlflow.trace.session": "s1",
		newer + "/tags/mlflow.artifactLocation":          "file://" + dir + "/" + newer + "/artifacts",
		newer + "/assessments/a-1.yaml":                  "assessment_id: a-1\nassessment_name: n\ntrace_id: tr-1\nfeedback:\n  value: 3.0\nsource:\n  source_id: kim\n  source_type: HUMAN\ncreate_time: '2025-11-26T08:00:01Z'\nlast_update_time: '2025-11-26T08:00:01Z'\nvalid: false\n",
		newer + "/artifacts/traces.json":                 `{"spans": [{"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAAE=", "parent_span_id": null, "name": "ask", "start_time_unix_nano": 5, "end_time_unix_nano": 9, "events": [], "status": {"code": "STATUS_CODE_ERROR", "message": ""}, "attributes": {"mlflow.spanType": "\"LLM\""}, "links": []}]}`,
		newer + "/artifacts/attachments/x.png":           "png",
		older + "/trace_info.yaml":                       "request_id: 0a1b\nexperiment_id: '7'\ntimestamp_ms: 100\nexecution_time_ms: 40\nstatus: OK\n",
		older + "/tags/mlflow.artifactLocation":          "file://" + dir + "/" + older + "/artifacts",
		older + "/artifacts/traces.json":                 `{"spans": [{"name": "old", "context": {"span_id": "0x1", "trace_id": "0x2"}, "parent_id": null, "start_time": 1, "end_time": 2, "status_code": "OK", "attributes": {}, "events": []}]}`,
		torn + "/request_metadata/x":                     "a writer died before it wrote what the trace is",
	})
	src, err := migrate.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	d, s := target(t)
	ts, bucket := tracesOf(t, d), folder(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "f", Source: src, DB: d, Store: s, Traces: ts, Artifacts: &migrate.Artifacts{Bucket: bucket, Dir: dir}})
	if err != nil || !r.Same() || counts(r)["traces"] != 2 || counts(r)["spans"] != 1 || counts(r)["assessments"] != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	one, err := ts.Trace(t.Context(), "default", "tr-1", false)
	if err != nil {
		t.Fatal(err)
	}
	old, err := ts.Info(t.Context(), "default", "0a1b")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string][2]any{
		"time": {one.Info.Time, int64(1764144000250)}, "duration": {*one.Info.Duration, int64(1500)}, "state": {one.Info.State, traces.Error}, "session": {one.Info.Metadata["mlflow.trace.session"], "s1"},
		"assessment": {one.Info.Assessments[0].Value, "3.0"}, "replaced": {one.Info.Assessments[0].Valid, false}, "old duration": {*old.Duration, int64(40)},
		"old spans": {old.Tags[traces.TagSpansLocation], ""}, "old files": {old.Tags[traces.TagLocation], "mlflow-artifacts:/7/traces/0a1b/artifacts"},
	} {
		if diff := cmp.Diff(c[1], c[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if r.Artifacts.Copied != 2 { // not what the database holds
		t.Errorf("%d files were copied", r.Artifacts.Copied)
	}
	for _, key := range []string{"7/traces/tr-1/artifacts/attachments/x.png", "7/traces/0a1b/artifacts/traces.json"} {
		if _, err := bucket.Stat(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

// TestImport_fileTrash: MLflow moves a deleted experiment with all its files, and leaves the addresses as they were.
func TestImport_fileTrash(t *testing.T) {
	dir := t.TempDir()
	const run, model, trace = ".trash/7/a0000000000000000000000000000001", ".trash/7/models/m-1", ".trash/7/traces/tr-1"
	there := func(of string) string { return "file://" + dir + strings.TrimPrefix(of, ".trash") + "/artifacts" }
	write(t, dir, map[string]string{
		".trash/7/meta.yaml":                    "experiment_id: '7'\nname: seven\nartifact_location: file://" + dir + "/7\nlifecycle_stage: deleted\n",
		run + "/meta.yaml":                      "run_id: a0000000000000000000000000000001\nexperiment_id: '7'\nstatus: 3\nlifecycle_stage: deleted\nartifact_uri: " + there(run) + "\n",
		run + "/artifacts/a/b.txt":              "of the run",
		model + "/meta.yaml":                    "model_id: m-1\nexperiment_id: '7'\nname: m\nstatus: 2\nartifact_location: " + there(model) + "\n",
		model + "/artifacts/MLmodel":            "of the model",
		trace + "/trace_info.yaml":              "request_id: tr-1\nexperiment_id: '7'\ntimestamp_ms: 100\nstatus: OK\n",
		trace + "/tags/mlflow.artifactLocation": there(trace),
		trace + "/artifacts/attachments/x.png":  "of the trace",
	})
	src, err := migrate.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	d, s := target(t)
	bucket := folder(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "f", Source: src, DB: d, Store: s, Traces: tracesOf(t, d), Artifacts: &migrate.Artifacts{Bucket: bucket, Dir: dir}})
	if err != nil || !r.Same() || r.Artifacts.Missing != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, key := range []string{"7/a0000000000000000000000000000001/artifacts/a/b.txt", "7/models/m-1/artifacts/MLmodel", "7/traces/tr-1/artifacts/attachments/x.png"} {
		if _, err := bucket.Stat(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}
