package controller

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every YAML block of the specification is one that the API server takes and our types know in full.
func TestSpecification_blocksApply(t *testing.T) {
	root, err := kwtest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "spec", "modelmonitor.md"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d YAML blocks found", len(blocks))
	}
	for _, block := range blocks {
		b, err := yaml.ToJSON(block[1])
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal(b, &u.Object); err != nil {
			t.Fatal(err)
		}
		u.SetNamespace(f.namespace)
		if err := f.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%v\n%s", err, block[1])
		}
		if u.GetKind() != "ModelMonitor" {
			continue
		}
		var m v1alpha1.ModelMonitor
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&m); err != nil {
			t.Errorf("%v\n%s", err, block[1])
		}
		if fault := faultOf(m.Spec.WithDefaults()); fault != "" {
			t.Errorf("%s\n%s", fault, block[1])
		}
	}
	for path := range Kinds()[0].Spec.Properties {
		if !strings.Contains(string(text), ".spec."+path) {
			t.Errorf("the specification does not explain .spec.%s", path)
		}
	}
}
