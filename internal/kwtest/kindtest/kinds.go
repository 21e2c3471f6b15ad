package kindtest

import (
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kiwerk/kiwerk/internal/kube"
)

// Check holds a kind of ours to what people expect of `kubectl explain` and
// `kubectl get`: each field and column says what it is, each number of the spec
// has bounds whose refusal says what to do, and the table tells age and readiness.
func Check(t *testing.T, k kube.Kind) {
	t.Helper()
	checkText(t, k.Kind, k.About)
	checkFields(t, "spec", k.Spec, true)
	checkFields(t, "status", k.Status, false)
	named := map[string]bool{}
	for _, c := range k.Columns {
		named[c.Name] = true
		checkText(t, "column "+c.Name, c.Description)
	}
	for _, name := range []string{"Ready", "Age"} {
		if !named[name] {
			t.Errorf("%s: kubectl get has no column %s", k.Kind, name)
		}
	}
}

func checkText(t *testing.T, what, text string) {
	t.Helper()
	if len(strings.Fields(text)) < 2 || strings.Contains(text, "+kubebuilder") {
		t.Errorf("%s is not described: %q", what, text)
	}
}

func checkFields(t *testing.T, path string, s *apiextensionsv1.JSONSchemaProps, bounded bool) {
	t.Helper()
	if s == nil {
		t.Errorf("%s has no schema", path)
		return
	}
	for name, p := range s.Properties {
		below := path + "." + name
		checkText(t, below, p.Description)
		checkFields(t, below, &p, bounded)
	}
	if s.Items != nil {
		checkFields(t, path+"[]", s.Items.Schema, bounded)
	}
	if bounded && (s.Type == "integer" || s.Type == "number") && (len(s.XValidations) != 1 || !strings.Contains(s.XValidations[0].Message, "; ")) {
		t.Errorf("%s has no bounds that say what to do: %+v", path, s.XValidations)
	}
}
