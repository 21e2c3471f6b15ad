//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// suite is Kubernetes' end-to-end suite and the programs that its images hold.
type suite struct {
	dir    string
	source string // of the module k8s.io/kubernetes
}

func (s *suite) program(name string) string {
	path, err := filepath.Abs(filepath.Join(s.dir, name))
	if err != nil {
		return filepath.Join(s.dir, name) // only without a working directory
	}
	return path
}

// compile builds what is missing; the build cache makes the rest cheap. The
// flags are those of the program itself, so that Kubernetes is not compiled twice.
func compile(ctx context.Context, cache string) (*suite, error) {
	s := &suite{dir: filepath.Join(cache, "programs")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	modules, err := suiteModules(cache)
	if err != nil {
		return nil, err
	}
	build := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
		}
		return nil
	}
	fmt.Fprintln(os.Stderr, "compiling the suite (the first time about half an hour of CPU)")
	flags := []string{"-mod=mod", "-modfile=" + modules, "-ldflags", os.Getenv("CONFORMANCE_LDFLAGS")}
	if err := build(append(append([]string{"test", "-vet=off", "-c", "-o", s.program("e2e.test")}, flags...), "k8s.io/kubernetes/test/e2e")...); err != nil {
		return nil, err
	}
	for name, pkg := range map[string]string{
		"agnhost": "k8s.io/kubernetes/test/images/agnhost", "nnp": "k8s.io/kubernetes/test/images/nonewprivs", "kubectl": "k8s.io/kubernetes/cmd/kubectl",
		"sample-apiserver": "k8s.io/sample-apiserver", "etcd": "go.etcd.io/etcd/server/v3",
	} {
		if err := build(append(append([]string{"build", "-o", s.program(name)}, flags...), pkg)...); err != nil {
			return nil, err
		}
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		return nil, fmt.Errorf("where is k8s.io/kubernetes: %w", err)
	}
	s.source = strings.TrimSpace(string(out))
	return s, nil
}

// suiteModules writes the go.mod that the suite is compiled with: ours, and the
// sums of the few modules that only the suite needs.
func suiteModules(cache string) (string, error) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return "", fmt.Errorf("run it in the root of the project: %w", err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		return "", err
	}
	extra, err := os.ReadFile("conformance/kubernetes/suite.sum")
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "suite.mod")
	if err := os.WriteFile(path, mod, 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(cache, "suite.sum"), append(sums, extra...), 0o600); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// spec is one test of the suite.
type spec struct {
	Name   string
	Serial bool
}

// report is what the suite writes about a run, as far as we read it.
type report []struct {
	SpecReports []struct {
		ContainerHierarchyTexts []string
		LeafNodeText            string
		LeafNodeType            string
		State                   string
		RunTime                 int64
		Failure                 struct{ Message string }
	}
}

func readReport(path string) (report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// outcomes calls f for each spec that was not skipped.
func (r report) outcomes(f func(name, state string, nanoseconds int64, message string)) {
	for _, suite := range r {
		for _, s := range suite.SpecReports {
			if s.LeafNodeType == "It" && s.State != "skipped" && s.State != "pending" {
				f(strings.Join(append(slices.Clone(s.ContainerHierarchyTexts), s.LeafNodeText), " "), s.State, s.RunTime, s.Failure.Message)
			}
		}
	}
}

// marks select the specs of both suites.
const marks = `\[(Node)?Conformance\]`

// specs lists them, in the order of their names.
func (s *suite) specs(ctx context.Context) ([]spec, error) {
	file := s.program("specs.json")
	cmd := exec.CommandContext(ctx, s.program("e2e.test"), "--ginkgo.dry-run", "--ginkgo.focus="+marks, "--ginkgo.json-report="+file,
		"--kubeconfig=/dev/null", "--provider=skeleton")
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list the specs: %w\n%s", err, out)
	}
	r, err := readReport(file)
	if err != nil {
		return nil, err
	}
	var list []spec
	r.outcomes(func(name, _ string, _ int64, _ string) {
		list = append(list, spec{name, strings.Contains(name, "[Serial]") || strings.Contains(name, "[Disruptive]")})
	})
	slices.SortFunc(list, func(a, b spec) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
