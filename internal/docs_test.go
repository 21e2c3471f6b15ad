package internal_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// folders of Go code below the root of the repository.
var roots = []string{"api", "bench", "cmd", "conformance", "internal"}

// packages lists every folder with Go code that is no test.
func packages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), "_")) {
				return fs.SkipDir
			}
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				dirs = append(dirs, filepath.Dir(path))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func TestPackages_haveOneDocumentationFile(t *testing.T) {
	dirs := packages(t)
	if len(dirs) < 10 {
		t.Fatalf("only %d packages found; the test looks in the wrong place", len(dirs))
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		var documented []string
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if hasText(parsed.Doc) && !strings.HasSuffix(file, "_test.go") {
				documented = append(documented, filepath.Base(file))
			}
		}
		want := []string{"doc.go"}
		if strings.HasPrefix(dir, "../cmd/") && slices.Equal(documented, []string{"main.go"}) {
			continue // the comment of a program stands where the program is
		}
		if !slices.Equal(documented, want) {
			t.Errorf("%s: the package comment stands in %v, want exactly one, in doc.go", dir, documented)
		}
	}
}

func hasText(c *ast.CommentGroup) bool { return c != nil && strings.TrimSpace(c.Text()) != "" }

// programs and what they must not link; a prefix ends with a slash or is a whole path.
var programs = map[string]struct {
	cgo       string
	forbidden []string
	only      []string // if set, nothing else but the standard library and our own packages
	reason    string
}{
	"./cmd/kiwerk-operator":    {forbidden: []string{"k8s.io/kubernetes/"}, reason: "it runs on the cluster's Kubernetes"},
	"./cmd/kiwerk-nvidia-smi":  {only: []string{}, reason: "it runs in containers whatever their image"},
	"./cmd/kiwerk-agent":       {only: []string{"golang.org/x/sys/"}, reason: "it is started for every container"},
	"./cmd/kiwerk-nvml":        {cgo: "1", only: []string{"github.com/NVIDIA/go-nvml/"}, reason: "it asks NVIDIA's library and nothing else"},
	"./cmd/kiwerk-modelserver": {cgo: "1", forbidden: []string{"k8s.io/", "sigs.k8s.io/"}, reason: "it serves models only"},
	"./internal/cli":           {forbidden: []string{"k8s.io/kubernetes/", "github.com/kiwerk/kiwerk/internal/local", "github.com/kiwerk/kiwerk/internal/cluster"}, reason: "cmd/kiwerk fills its runners"},
	"./internal/server":        {forbidden: []string{"k8s.io/", "sigs.k8s.io/"}, reason: "app fills authenticator and authorizer"},
	"./internal/app":           {forbidden: []string{"k8s.io/kubernetes/", "github.com/kiwerk/kiwerk/internal/cluster"}, reason: "it is the same on every cluster"},
	"./internal/kwtest":        {forbidden: []string{"k8s.io/kubernetes/"}, reason: "tests start the built program"},
}

func TestPrograms_linkOnlyWhatTheyMay(t *testing.T) {
	for program, rule := range programs {
		t.Run(filepath.Base(program), func(t *testing.T) {
			for _, dep := range dependencies(t, program, rule.cgo) {
				for _, p := range rule.forbidden {
					if strings.HasPrefix(dep+"/", strings.TrimSuffix(p, "/")+"/") {
						t.Errorf("%s links %s, but %s", program, dep, rule.reason)
					}
				}
				if rule.only != nil && !allowed(dep, rule.only) {
					t.Errorf("%s links %s, but %s: standard library and %v only", program, dep, rule.reason, rule.only)
				}
			}
		})
	}
}

// It lies in every container, and its pages are read at every start of one.
func TestAgent_isSmall(t *testing.T) {
	const most = 6_000_000
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^AGENT_LDFLAGS = \$\(LDFLAGS\)(.*)$`).FindSubmatch(makefile)
	if flags == nil {
		t.Fatal("the Makefile does not say how it links kiwerk-agent")
	}
	program := filepath.Join(t.TempDir(), "kiwerk-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w"+string(flags[1]), "-o", program, "./cmd/kiwerk-agent")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= most {
		t.Errorf("kiwerk-agent has %d bytes, it must have less than %d: look with `go tool nm -size -sort size` for what it does not need", info.Size(), most)
	}
}

func allowed(dep string, only []string) bool {
	if strings.HasPrefix(dep, "github.com/kiwerk/kiwerk/") {
		return true
	}
	return slices.ContainsFunc(only, func(p string) bool { return strings.HasPrefix(dep+"/", p) })
}

// dependencies lists what a package links beyond the standard library.
func dependencies(t *testing.T, pkg, cgo string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard", pkg)
	cmd.Dir = ".."
	if cgo == "" {
		cgo = "0"
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pkg, err, stderr.String())
	}
	var deps []string
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Standard   bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return deps
		} else if err != nil {
			t.Fatal(err)
		}
		if !p.Standard {
			deps = append(deps, p.ImportPath)
		}
	}
}
