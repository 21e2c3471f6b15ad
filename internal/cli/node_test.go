package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNode(t *testing.T) {
	got, _ := run(t, nil, "--lang", "de", "node", "list")
	if !strings.Contains(got.out, "gpu=2") || !strings.Contains(got.out, "nicht bereit   simuliert") {
		t.Errorf("list:\n%s", got.out)
	}
	got, seen := run(t, nil, "node", "simulate", "--count", "1000", "--gpus", "8", "--taint", "a=b:NoSchedule", "--taint", "c:NoExecute")
	want := SimulateOptions{Count: 1000, Name: "sim", GPUs: "8", CPU: usualCPU, Memory: usualMemory, Pods: usualPods, Taints: []string{"a=b:NoSchedule", "c:NoExecute"}}
	if diff := cmp.Diff([]any{want}, seen); diff != "" || !strings.Contains(got.out, "1,000 simulated nodes") || !strings.Contains(got.out, "remove --simulated") {
		t.Errorf("%+v\n%s", got, diff)
	}
	if _, seen := run(t, nil, "node", "remove", "a", "b"); !cmp.Equal(seen, []any{[]string{"a", "b"}, false}) {
		t.Errorf("remove: %v", seen)
	}
	for _, args := range [][]string{{"node", "remove"}, {"node", "remove", "a", "--simulated"}} {
		if got, seen := run(t, nil, args...); got.code != ExitUsage || len(seen) > 0 {
			t.Errorf("%v: %+v %v", args, got, seen)
		}
	}
}
