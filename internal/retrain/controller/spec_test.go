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

	"github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/retrain"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every YAML block of the specification is one that the API server takes and our types know in full.
func TestSpecification_blocksApply(t *testing.T) {
	root, err := kwtest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "spec", "retrainpolicy.md"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d YAML blocks found", len(blocks))
	}
	for _, block := range blocks {
		b, err := yaml.ToJSON(block[1])
		w.must(err)
		u := &unstructured.Unstructured{}
		w.must(json.Unmarshal(b, &u.Object))
		u.SetNamespace(w.namespace)
		if err := w.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Errorf("%v\n%s", err, block[1])
		}
		var p v1alpha1.RetrainPolicy
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			t.Errorf("%v\n%s", err, block[1])
		}
		spec := p.Spec.WithDefaults()
		if problems := validate(&spec); len(problems) > 0 {
			t.Errorf("%v\n%s", problems, block[1])
		}
	}
	for path := range retrain.Kinds()[0].Spec.Properties {
		if path != "approval" && path != "include" && !strings.Contains(string(text), ".spec."+path) {
			t.Errorf("the specification does not explain .spec.%s", path)
		}
	}
}
