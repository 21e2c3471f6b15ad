package cli

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const cronJob = `# nightly
apiVersion: batch/v1beta1
kind: CronJob

metadata:
  name: nightly
spec:
  schedule: '0 2 * * *'   # at two
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: c
            image: retraining:latest
            command: [python, retrain.py]
            resources: {limits: {cpu: 1, memory: 1Gi}}
          restartPolicy: OnFailure
`

// lintDir makes a folder with a manifest and something that is none, and goes there.
func lintDir(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, content := range map[string]string{
		"m/cron.yaml": cronJob, "m/notes.txt": "kind: x", "m/good.json": `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}`,
		"m/workflow.yml": "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: a\n  serviceAccountNam: x\n  templates:\n  - name: a\n    steps:\n    - - {name: check, template: evaluate}\n    - - {name: go, template: evaluate, when: \"{{steps.evaluate.outputs.result}} == ok\"}\n  - name: evaluate\n    suspend: {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -update:\n%s", path, diff)
	}
}

func TestLint_output(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	lintDir(t)
	for name, args := range map[string][]string{
		"text.txt": nil, "german.txt": {"--lang", "de"}, "report.json": {"-o", "json"}, "report.sarif": {"-o", "sarif"}, "server.txt": {"--server", "--disable", "latest-tag,no-security-context"},
		"diff.txt": {"--fix", "--dry-run"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := run(t, nil, append([]string{"lint", "-f", "m"}, args...)...)
			if r.code != ExitFailed && name != "diff.txt" {
				t.Errorf("code %d", r.code)
			}
			if strings.HasSuffix(name, "on") || strings.HasSuffix(name, "sarif") {
				if !json.Valid([]byte(r.out)) {
					t.Errorf("no JSON: %s", r.out)
				}
				r.out = strings.ReplaceAll(r.out, `"version": "unknown"`, `"version": "V"`)
			}
			golden(t, filepath.Join(here, "testdata", "lint", name), r.out+"--- stderr\n"+r.err)
		})
	}
}

func TestLint_exitCodes(t *testing.T) {
	lintDir(t)
	cases := map[string]struct {
		args []string
		code int
		err  string
	}{
		"NoFiles":      {nil, ExitUsage, "kiwerk lint FILE"},
		"Arguments":    {[]string{"m/good.json", "m/notes.txt", "-f", "m/good.json"}, ExitFailed, "in 2 files"},
		"MissingToo":   {[]string{"nowhere.yaml"}, ExitNotFound, "nowhere.yaml"},
		"Missing":      {[]string{"-f", "nowhere.yaml"}, ExitNotFound, "nowhere.yaml"},
		"UnknownRule":  {[]string{"-f", "m", "--disable", "nonsense"}, ExitUsage, "kiwerk lint --rules"},
		"Good":         {[]string{"-f", "m/good.json"}, ExitOK, "nothing to say"},
		"Errors":       {[]string{"-f", "m/cron.yaml"}, ExitFailed, "1 errors, 2 warnings"},
		"OnlyWarnings": {[]string{"-f", "m/cron.yaml", "--disable", "removed-api"}, ExitOK, "0 errors"},
		"Strict":       {[]string{"-f", "m/cron.yaml", "--disable", "removed-api", "--strict"}, ExitFailed, ""},
		"OtherFormat":  {[]string{"-f", "m", "-o", "xml"}, ExitUsage, "text, table, json, yaml, sarif"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, _ := run(t, nil, append([]string{"lint"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.err, c.err) {
				t.Errorf("code %d, stderr %s", r.code, r.err)
			}
		})
	}
}

// Only what is wrong changes; comments, blank lines, quotes and the file's mode stay.
func TestLint_fix(t *testing.T) {
	lintDir(t)
	r, _ := run(t, nil, "lint", "-f", "m/cron.yaml", "--fix")
	if r.code != ExitOK || !strings.Contains(r.err, "m/cron.yaml: 2 findings corrected") {
		t.Errorf("code %d: %s", r.code, r.err)
	}
	got, err := os.ReadFile("m/cron.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(cronJob, "batch/v1beta1", "batch/v1", 1)
	want = strings.Replace(want, "          restartPolicy", "            securityContext:\n              allowPrivilegeEscalation: false\n              capabilities:\n                drop: [ALL]\n              runAsNonRoot: true\n              seccompProfile:\n                type: RuntimeDefault\n          restartPolicy", 1)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if st, err := os.Stat("m/cron.yaml"); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// Standard input is corrected to standard output.
func TestLint_stdin(t *testing.T) {
	var seen []any
	p, out, errs := program(&seen, nil, "lint", "-f", "-", "--fix")
	p.In = strings.NewReader(cronJob)
	if code := Run(t.Context(), p); code != ExitOK || !strings.HasPrefix(out.String(), "# nightly\napiVersion: batch/v1\n") {
		t.Errorf("code %d\n%s\n%s", code, out, errs)
	}
	if !strings.Contains(errs.String(), "latest-tag") {
		t.Errorf("what is left is not said: %s", errs)
	}
}
