package step

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithRunContext(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "venv", "lib", "python3.11", "site-packages")
	for _, d := range []string{filepath.Join(site, "numpy-2.4.6.dist-info"), filepath.Join(site, "scikit_learn-1.9.1.dist-info"), filepath.Join(site, "numpy"), filepath.Join(dir, "venv", "bin"), filepath.Join(dir, "code", ".git", "refs", "heads")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	commit := strings.Repeat("ab", 20)
	for file, content := range map[string]string{
		"venv/bin/python3": "", "code/.git/HEAD": "ref: refs/heads/main\n", "code/.git/packed-refs": "# pack-refs\n" + commit + " refs/heads/main\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o755); err != nil { //nolint:gosec // One of them is a program.
			t.Fatal(err)
		}
	}
	environ := []string{"KIWERK_URL=http://p", "MLFLOW_TRACKING_URI=http://p", "PATH=" + filepath.Join(dir, "venv", "bin"), "PYTHONHASHSEED=7"}
	command := []string{"python3", "train.py", "--epochs", "3"}
	out := withRunContext(environ, command, filepath.Join(dir, "code"), nil)
	var tags map[string]string
	if err := json.Unmarshal([]byte(lookup(out, envContext)), &tags); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		tagCommit: commit, tagBranch: "main", tagCommand: "python3 train.py --epochs 3", tagSeed: "7", tagPackages: "numpy==2.4.6\nscikit-learn==1.9.1\n",
	} {
		if tags[key] != want {
			t.Errorf("%s is %q, want %q", key, tags[key], want)
		}
	}
	script := "print(1)"
	out = withRunContext(environ, []string{"python3", "/tmp/kiwerk-step-1/script"}, dir, &script)
	if got := lookup(out, envContext); !strings.Contains(got, `"python3 script"`) || !strings.Contains(got, tagScript) || strings.Contains(got, "kiwerk-step-1") {
		t.Errorf("of a script: %s", got)
	}
	for name, changed := range map[string][]string{
		"OtherServer": {"MLFLOW_TRACKING_URI=http://elsewhere"}, "OwnContext": {envContext + "={}"}, "NoPlatform": {"KIWERK_URL="},
	} {
		if out := withRunContext(append(environ[:4:4], changed...), command, dir, nil); len(out) != 5 {
			t.Errorf("%s: %v", name, out[4:])
		}
	}
}

// TestEncodeTags_fits: a command with a longer variable would not start.
func TestEncodeTags_fits(t *testing.T) {
	long := strings.Repeat("\x01", maxDiff)
	if got := encodeTags(map[string]string{tagDiff: long, tagPackages: "a==1\n", tagCommit: "c"}); len(got) > maxContext || !strings.Contains(got, "a==1") || strings.Contains(got, tagDiff) {
		t.Errorf("%d bytes: %.100s", len(got), got)
	}
}

// TestGitTags_diff needs git, as the diff does.
func TestGitTags_diff(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal("git is needed, as it is to fetch the sources: ", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "train.py")
	do := func(args ...string) {
		t.Helper()
		c := exec.Command(git, append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	do("init", "-q")
	if err := os.WriteFile(file, []byte("epochs = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do("add", ".")
	do("commit", "-q", "-m", "first")
	if err := os.WriteFile(file, []byte("epochs = 2\n"+strings.Repeat("#\n", maxDiff)), 0o600); err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	gitTags(dir, os.Environ(), tags)
	if !strings.Contains(tags[tagDiff], "+epochs = 2") || len(tags[tagDiff]) != maxDiff || len(tags[tagCommit]) != 40 {
		t.Errorf("commit %q, diff of %d bytes: %.200s", tags[tagCommit], len(tags[tagDiff]), tags[tagDiff])
	}
}
