//go:build linux

package local

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/config"
)

func TestPlanWorkers(t *testing.T) {
	for name, c := range map[string]struct {
		wanted int
		have   []int
		want   []workerNode
	}{
		"Usual":   {1, nil, nil},
		"First":   {3, nil, []workerNode{{number: 2}, {number: 3}}},
		"Same":    {3, []int{2, 3}, []workerNode{{number: 2}, {number: 3}}},
		"More":    {3, []int{2}, []workerNode{{number: 2}, {number: 3}}},
		"Fewer":   {2, []int{2, 3, 4}, []workerNode{{number: 2}, {number: 3, former: true}, {number: 4, former: true}}},
		"OneLeft": {1, []int{2}, []workerNode{{number: 2, former: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, planWorkers(c.wanted, c.have), cmp.AllowUnexported(workerNode{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRuntimeStates(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"2", "10", "1", "11", "x", "3.old"} {
		if err := os.MkdirAll(filepath.Join(dir, nodesDir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, nodesDir, "3"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "runtime"), filepath.Join(dir, "nodes", "2", "runtime"), filepath.Join(dir, "nodes", "10", "runtime")}
	if diff := cmp.Diff(want, runtimeStates(dir)); diff != "" {
		t.Error(diff)
	}
}

func TestMaxNodes(t *testing.T) {
	if config.MaxNodes > network.MaxNodes {
		t.Errorf("%d nodes may be configured, but only %d have an address", config.MaxNodes, network.MaxNodes)
	}
}
