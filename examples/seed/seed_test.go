package seed

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/lint/dryrun"
	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/pipeline"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

// theText lies beside the checkout, not in it.
const theText = "../../../shared/seed.md"

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Each block of the text is here, word by word, and nothing else.
func TestBlocks_areThoseOfTheText(t *testing.T) {
	b, err := os.ReadFile(theText)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not there to compare with", theText)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	inBlock := make([]bool, len(lines)+1)
	for _, k := range Blocks {
		want := strings.Join(lines[k.First-1:k.Last], "\n") + "\n"
		if diff := cmp.Diff(want, read(t, "found", k.File)); diff != "" {
			t.Errorf("%s: %s", k.File, diff)
		}
		for i := k.First; i <= k.Last; i++ {
			inBlock[i] = true
		}
	}
	for i, l := range lines {
		code := false
		for _, begin := range []string{"# ", "apiVersion:", "kind:", "import ", "from ", "def ", "export ", "curl ", "tar ", "mkdir ", "cd ", "securityContext:", "@dsl", "mlflow."} {
			code = code || strings.HasPrefix(l, begin)
		}
		if code && !inBlock[i+1] {
			t.Errorf("line %d looks like code and belongs to no block: %s", i+1, l)
		}
	}
}

// Only blanks at the beginning of lines differ.
func TestRestored_differsInIndentationOnly(t *testing.T) {
	strip := func(text string) string {
		var b strings.Builder
		for l := range strings.Lines(text) {
			b.WriteString(strings.TrimLeft(l, " "))
		}
		return b.String()
	}
	for _, k := range Blocks {
		if diff := cmp.Diff(read(t, "found", k.File), strip(read(t, "restored", k.File))); diff != "" {
			t.Errorf("%s: %s", k.File, diff)
		}
	}
}

func TestFolders_haveTheSameFiles(t *testing.T) {
	var want []string
	for _, k := range Blocks {
		want = append(want, k.File)
	}
	for _, dir := range []string{"found", "restored", "corrected"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", dir, diff)
		}
	}
}

func TestReadme_hasTheTable(t *testing.T) {
	if !strings.Contains(read(t, "README.md"), Table()) {
		t.Errorf("README.md lacks the table of seed.go:\n%s", Table())
	}
}

// findings of kiwerk lint, by file.
func findings(t *testing.T, args ...string) map[string][]lint.Finding {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), cli.Program{
		Args: append([]string{"lint", "-o", "json"}, args...), In: strings.NewReader(""), Out: &out, Err: &errs,
		Getenv: func(string) string { return "" }, Home: t.TempDir(),
	})
	var report struct{ Findings []lint.Finding }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("code %d, %v: %s %s", code, err, &out, &errs)
	}
	byFile := map[string][]lint.Finding{}
	for _, f := range report.Findings {
		name := filepath.Base(f.File)
		byFile[name] = append(byFile[name], f)
	}
	return byFile
}

func TestFound_haveLostTheirIndentation(t *testing.T) {
	all := findings(t, "-f", "found")
	for _, k := range Blocks {
		if !strings.HasSuffix(k.File, ".yaml") || k.File == "17-security-context.yaml" { // a fragment has no kind
			continue
		}
		if f := all[k.File]; len(f) != 1 || f[0].Rule != "indentation-lost" {
			t.Errorf("%s: %+v", k.File, f)
		}
	}
}

func TestRestored_lintFindsWhatTheTableSays(t *testing.T) {
	all := findings(t, "-f", "restored")
	for _, k := range Blocks {
		var got []string
		for _, f := range all[k.File] {
			if !slices.Contains(Habits, f.Rule) {
				got = append(got, f.Rule)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(k.Finds, slices.Compact(got)); diff != "" {
			t.Errorf("%s: %s", k.File, diff)
		}
	}
}

func TestCorrected_lintIsSilent(t *testing.T) {
	for file, found := range findings(t, "-f", "corrected") {
		for _, f := range found {
			if f.Severity != lint.Info {
				t.Errorf("%s:%d: %s: %s", file, f.Line, f.Rule, f.Message)
			}
		}
	}
}

// What --fix can decide it has decided: no such finding is left, and no error but a fragment.
func TestRestored_fixLeavesNothingThatItCouldDo(t *testing.T) {
	dir := t.TempDir()
	for _, k := range Blocks {
		if err := os.WriteFile(filepath.Join(dir, k.File), []byte(read(t, "restored", k.File)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, found := range findings(t, "-f", dir, "--fix") {
		for _, f := range found {
			if f.Fixable || f.Severity == lint.Error && f.Rule != "not-an-object" {
				t.Errorf("%s:%d: %s: %s", file, f.Line, f.Rule, f.Message)
			}
		}
	}
	for file, want := range map[string]string{
		"02-gpu-pod.yaml":          "nvidia.com/gpu: 2\n      requests:\n        nvidia.com/gpu: 2\n",
		"03-multi-gpu-job.yaml":    "command: ['torchrun', '--standalone', '--nproc-per-node=4', 'train.py']\n",
		"13-ml-pipeline.yaml":      "when: \"{{steps.model-evaluation.outputs.result}} == 'pass'\"\n",
		"14-model-retraining.yaml": "apiVersion: batch/v1\n",
	} {
		if got := read(t, dir, file); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", file, want, got)
		}
	}
}

// refusals of the API server, by file.
func refusals(t *testing.T, dir string) map[string][]lint.Refusal {
	t.Helper()
	if err := kube.EnsureCRDs(t.Context(), kwtest.Config(t), pipeline.Kinds()); err != nil {
		t.Fatal(err)
	}
	ns := kwtest.Namespace(t)
	byFile := map[string][]lint.Refusal{}
	for _, k := range Blocks {
		if !strings.HasSuffix(k.File, ".yaml") {
			continue
		}
		f := manifest.Parse(k.File, []byte(read(t, dir, k.File)))
		refused, err := dryrun.Try(t.Context(), kwtest.Config(t), ns, lint.Objects([]*manifest.File{f}))
		if err != nil {
			t.Fatal(err)
		}
		byFile[k.File] = refused
	}
	return byFile
}

func TestCorrected_theAPIServerTakesThem(t *testing.T) {
	for file, refused := range refusals(t, "corrected") {
		for _, r := range refused {
			t.Errorf("%s: %s %s: %s", file, r.Object, r.Path, r.Message)
		}
	}
}

// The API server refuses exactly those of which lint says so.
func TestRestored_theAPIServerRefusesWhatLintSays(t *testing.T) {
	var got []string
	for file, refused := range refusals(t, "restored") {
		if len(refused) > 0 {
			got = append(got, file)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"02-gpu-pod.yaml", "14-model-retraining.yaml"}, got); diff != "" {
		t.Error(diff)
	}
}

// Every image of the corrected blocks that is fictional has a program, and each program an image.
func TestImages(t *testing.T) {
	all := ""
	for _, k := range Blocks {
		all += read(t, "corrected", k.File)
	}
	for _, i := range Images {
		if !strings.Contains(all, "image: "+i.Name+"\n") {
			t.Errorf("no block uses %s", i.Name)
		}
	}
	entries, err := os.ReadDir("images")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.ContainsFunc(Images, func(i Image) bool { return i.Dir == e.Name() }) {
			t.Errorf("images/%s belongs to no image", e.Name())
		}
	}
}

// Scripts that need what is not here are at least ones that their languages read.
func TestScripts_parse(t *testing.T) {
	for _, k := range Blocks {
		file := filepath.Join("corrected", k.File)
		var cmd *exec.Cmd
		switch filepath.Ext(k.File) {
		case ".sh":
			cmd = exec.CommandContext(t.Context(), "sh", "-n", file)
		case ".py":
			cmd = exec.CommandContext(t.Context(), "python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())", file)
		default:
			continue
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", k.File, err, out)
		}
	}
}
