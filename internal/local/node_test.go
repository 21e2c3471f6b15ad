//go:build linux

package local

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/internal/cli"
)

func TestNodeSpec(t *testing.T) {
	seed := "apiVersion: v1\nkind: Node\nmetadata: {name: gpu-node-1, labels: {accelerator: nvidia-tesla-v100}}\nspec: {taints: [{key: nvidia.com/gpu, effect: NoSchedule}]}\n"
	for name, tc := range map[string]struct {
		options cli.SimulateOptions
		stdin   string
		gpus    string
		taints  int
		labels  map[string]string
		err     string
	}{
		"Number":   {options: cli.SimulateOptions{GPUs: "8"}, gpus: "h100:8", labels: map[string]string{}},
		"Model":    {options: cli.SimulateOptions{GPUs: "t4:2", Labels: []string{"a=b=c"}}, gpus: "t4:2", labels: map[string]string{"a": "b=c"}},
		"Manifest": {options: cli.SimulateOptions{File: "-", Taints: []string{"x=y:NoExecute"}}, stdin: seed, taints: 2, labels: map[string]string{"accelerator": "nvidia-tesla-v100"}},
		"NoNode":   {options: cli.SimulateOptions{File: "-"}, stdin: "apiVersion: v1\nkind: Pod\n", err: "is not a Node"},
		"Misspelt": {options: cli.SimulateOptions{File: "-"}, stdin: "apiVersion: v1\nkind: Node\nmetdata: {}\n", err: "metdata"},
		"NoFile":   {options: cli.SimulateOptions{File: "/does/not/be"}, err: "/does/not/be"},
		"Label":    {options: cli.SimulateOptions{Labels: []string{"a"}}, err: "KEY=VALUE"},
		"Taint":    {options: cli.SimulateOptions{Taints: []string{"a:Never"}}, err: "KEY[=VALUE]:EFFECT"},
	} {
		s, err := nodeSpec(tc.options, strings.NewReader(tc.stdin))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v does not say %q", name, err, tc.err)
			}
			continue
		}
		if diff := cmp.Diff(tc.labels, s.Base.Labels); err != nil || diff != "" || s.GPUs != tc.gpus || len(s.Base.Spec.Taints) != tc.taints {
			t.Errorf("%s: %v: %+v\n%s", name, err, s, diff)
		}
	}
}

func TestFirstFree(t *testing.T) {
	named := func(names ...string) (list []corev1.Node) {
		for _, n := range names {
			list = append(list, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}})
		}
		return list
	}
	if got := firstFree(named("a")); got != 0 {
		t.Errorf("a name without a number gives %d", got)
	}
	for want, list := range map[int][]corev1.Node{0: named(), 8: named("sim-3", "x-7", "gpu-node"), 5: named("4")} {
		if got := firstFree(list); got != want {
			t.Errorf("firstFree(%d nodes) = %d, want %d", len(list), got, want)
		}
	}
}

func FuzzParseTaint(f *testing.F) {
	f.Add("a=b:NoSchedule")
	f.Fuzz(func(t *testing.T, s string) {
		if taint, err := parseTaint(s); err == nil && (taint.Key == "" || taint.Effect == "") {
			t.Errorf("%q: %+v", s, taint)
		}
	})
}
