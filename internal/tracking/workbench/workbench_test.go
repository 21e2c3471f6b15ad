package workbench

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

func TestParseVersion(t *testing.T) {
	for ref, want := range map[string][3]string{
		"digits": {"digits"}, "digits/3": {"digits", "3"}, "digits@champion": {"digits", "", "champion"}, "models:/digits/latest": {"digits", "latest"}, "a/b/3": {"a/b", "3"},
	} {
		name, version, alias, err := ParseVersion(ref)
		if got := [3]string{name, version, alias}; err != nil || got != want {
			t.Errorf("%s: %v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"", "digits/x", "digits@", "/3", "@a", "models:/"} {
		if _, _, _, err := ParseVersion(ref); err == nil {
			t.Errorf("%q is taken", ref)
		}
	}
}

func TestPackages(t *testing.T) {
	got := Packages("# lock\nNumPy==2.0 \\\n    --hash=sha256:x\nscipy==1.0 ; python_version > '3'\nmine @ file:///x\n-e .\n\n")
	if diff := cmp.Diff(map[string]string{"numpy": "2.0", "scipy": "1.0", "mine": "file:///x"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestVersionFolder_ofARun is what a plain server says of a version that was registered by runs:/….
func TestVersionFolder_ofARun(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"artifact_uri":"runs:/r1/model"}`
		if strings.HasSuffix(r.URL.Path, "runs/get") {
			answer = `{"run":{"info":{"run_id":"r1","artifact_uri":"mlflow-artifacts:/0/r1/artifacts"}}}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	c, err := client.New(client.Options{URI: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	f, err := VersionFolder(t.Context(), c, client.ModelVersion{Name: "d", Version: "1"})
	if err != nil || f.URI != "mlflow-artifacts:/0/r1/artifacts/model" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestJudge(t *testing.T) {
	run := func(acc float64, tags ...string) Run {
		r := Run{Metrics: map[string]client.Float{"acc": client.Float(acc)}, Params: map[string]string{}, Tags: map[string]string{}}
		for i := 0; i+1 < len(tags); i += 2 {
			r.Tags[tags[i]] = tags[i+1]
		}
		return r
	}
	cases := map[string]struct {
		a, b      Run
		tolerance float64
		same      bool
	}{
		"Equal":         {run(0.5), run(0.5), 0, true},
		"Within":        {run(0.5), run(0.501), 0.01, true},
		"Outside":       {run(0.5), run(0.51), 0.01, false},
		"BothNaN":       {run(math.NaN()), run(math.NaN()), 0, true},
		"OneNaN":        {run(math.NaN()), run(1), 1, false},
		"Infinite":      {run(math.Inf(1)), run(math.Inf(1)), 0, true},
		"MetricMissing": {run(0.5), Run{}, 1, false},
		"OtherImage":    {run(0.5, TagImageDigest, "a"), run(0.5, TagImageDigest, "b"), 0, false},
		"ScriptFile":    {run(0.5, "mlflow.source.name", "/tmp/kiwerk-step-1/script"), run(0.5, "mlflow.source.name", "/tmp/kiwerk-step-2/script"), 0, true},
		"OtherScript":   {run(0.5, "kiwerk.code.script.sha256", "a"), run(0.5, "kiwerk.code.script.sha256", "b"), 0, false},
		"OtherPod":      {run(0.5, TagPod, "a", TagWorkflow, "w"), run(0.5, TagPod, "b", TagWorkflow, "x"), 0, true},
	}
	for name, c := range cases {
		if got := Judge(c.a, c.b, c.tolerance); got.Same != c.same {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRepeats(t *testing.T) {
	tags := func(workflow, step string) map[string]string {
		return map[string]string{TagWorkflow: workflow, TagStep: step}
	}
	original := Run{ID: "o", Name: "fit", Tags: tags("train-a", "train-a.fit")}
	candidates := []Run{
		{ID: "other", Tags: tags("train-b", "train-b.score")},
		{ID: "elsewhere", Tags: tags("train-c", "train-c.fit")},
		{ID: "second", Name: "x", Tags: tags("train-b", "train-b.fit")},
		{ID: "named", Name: "fit", Tags: tags("train-b", "train-b.fit")},
	}
	if r, err := Repeats(original, "train-b", candidates); err != nil || r.ID != "named" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Repeats(original, "train-d", candidates); err == nil {
		t.Error("a run of another workflow was taken")
	}
	if got := MissingOf(Run{}); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}
