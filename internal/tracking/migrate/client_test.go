package migrate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
)

const readBack = `
import sys
from mlflow import MlflowClient
c = MlflowClient("file://" + sys.argv[1], "file://" + sys.argv[1])
r = c.get_run("a0000000000000000000000000000001")
print(r.info.run_name, r.info.status, r.info.end_time, sorted(r.data.params.items()))
print(sorted(m.key for m in c.get_metric_history(r.info.run_id, "loss")), sorted(e.name for e in c.search_experiments()))
print(sorted(v.version for v in c.search_model_versions("name='net'")), c.get_model_version_by_alias("net", "champion").version)
t = c.get_trace("tr-00000000000000000000000000000001")
print(t.info.execution_duration, t.info.tags["mlflow.traceName"], sorted(s.name for s in t.data.spans), sorted((a.name, a.value, a.valid) for a in t.info.assessments))
print(len(c.search_traces(["3"])), t.info.token_usage)
`

// TestExport_client: MLflow's own client reads what was written.
func TestExport_client(t *testing.T) {
	python, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("needs the Python environment of make setup:", err)
	}
	d, s := target(t)
	if _, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s, Traces: tracesOf(t, d)}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mlruns")
	if _, err := migrate.Export(t.Context(), migrate.ExportOptions{Source: migrate.Kiwerk(s, tracesOf(t, d)), Dir: dir, Bucket: folder(t)}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-c", readBack, dir)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "MLFLOW_ALLOW_FILE_STORE=true", "MLFLOW_TRACKING_URI=file://"+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "one FINISHED 200 [('depth', '3'), ('lr', '0.1')]\n['loss', 'loss', 'loss'] ['Default', 'vision']\n[1, 3, 4] 3\n" +
		"40 answer ['ask', 'tool'] [('correct', 0.5, True), ('correct', True, False)]\n1 {'input_tokens': 3, 'output_tokens': 4, 'total_tokens': 7}\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
}
