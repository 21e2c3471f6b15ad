package lint

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// The example of the documentation is one that runs.
func TestDocs_example(t *testing.T) {
	b, err := os.ReadFile("../../../docs/spec/workflow.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```yaml\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("no example")
	}
	wf := &argo.Workflow{}
	raw := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(block), wf); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(block), &raw); err != nil {
		t.Fatal(err)
	}
	spec, _ := raw["spec"].(map[string]any)
	if errs, warnings := Split(append(Fields(spec), Spec(&wf.Spec, Options{})...)); errs+warnings != "" {
		t.Error(errs, warnings)
	}
}
