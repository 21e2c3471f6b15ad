package dryrun

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/manifest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

func TestTry(t *testing.T) {
	const (
		pod     = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: a"
		refused = "}]\n"
	)
	cases := map[string]struct {
		text string
		want []string // path: of each refusal
	}{
		"Good":            {pod + "}]\n", nil},
		"TwicePossible":   {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-root-ca.crt}\n", nil},
		"Generated":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n", nil},
		"GPUs":            {pod + ", resources: {requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}" + refused, []string{"spec.containers[0].resources.requests"}},
		"UnknownField":    {pod + ", imge: b" + refused, []string{""}},
		"NotServed":       {"apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c}\n", []string{"kind"}},
		"NewNamespace":    {"apiVersion: v1\nkind: Namespace\nmetadata: {name: brand-new}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: brand-new}\n", nil},
		"NoSuchNamespace": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: nowhere}\n", []string{""}},
	}
	cfg, ns := kwtest.Config(t), kwtest.Namespace(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := lint.Objects([]*manifest.File{manifest.Parse("f.yaml", []byte(c.text))})
			got, err := Try(t.Context(), cfg, ns, objects)
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for _, r := range got {
				paths = append(paths, r.Path)
			}
			if diff := cmp.Diff(c.want, paths); diff != "" {
				t.Errorf("%s\n%+v", diff, got)
			}
		})
	}
}
