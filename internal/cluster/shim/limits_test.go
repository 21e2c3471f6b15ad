//go:build linux

package shim_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/seccomp"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// limit gives the container a cgroup, or skips where there is none to be had.
func (b *box) limit(t *testing.T, l cgroup.Limits) {
	t.Helper()
	tree, err := cgroup.Open(fmt.Sprintf("kiwerk-test-%d-%s", os.Getpid(), filepath.Base(b.data)))
	var none *cgroup.Unavailable
	if errors.As(err, &none) {
		t.Skip(none)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(); err != nil {
			t.Error(err)
		}
	})
	if b.spec.Cgroup, err = tree.Make(l, "c"); err != nil {
		t.Fatal(err)
	}
}

// hog takes memory until somebody stops it.
const hog = `exec awk 'BEGIN { s = "x"; while (1) s = s s }'`

func TestStart_memoryHog(t *testing.T) {
	for name, script := range map[string]string{
		"Main":  hog,
		"Child": `sh -c "` + strings.ReplaceAll(hog, `"`, `\"`) + `"; exit $?`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, script)
			b.limit(t, cgroup.Limits{Memory: 48 << 20})
			b.spec.OOMScoreAdj = 1000
			e, out := b.run(t)
			if e.Code != 137 || e.Reason != shim.ReasonOOMKilled {
				t.Errorf("exit %+v, output %q", e, out)
			}
		})
	}
}

// TestStart_memoryUsedWell is a container that lives within its limit.
func TestStart_memoryUsedWell(t *testing.T) {
	b := newBox(t, `head -c 8000000 /dev/zero | wc -c; exit 3`)
	b.limit(t, cgroup.Limits{Memory: 48 << 20})
	if e, out := b.run(t); e.Code != 3 || e.Reason != shim.ReasonError || out != "8000000\n" {
		t.Errorf("exit %+v, output %q", e, out)
	}
}

// forkBomb starts processes until it cannot, tells how many it could, and ends.
const forkBomb = `
n=0
while [ $n -lt 3000 ]; do
  sleep 1000 & n=$((n+1))
done 2>/dev/null
echo $n`

func TestStart_forkBomb(t *testing.T) {
	b := newBox(t, forkBomb)
	b.limit(t, cgroup.Limits{Pids: 100})
	e, out := b.run(t)
	if out == "3000\n" || e.Code == 0 {
		t.Errorf("exit %+v, output %q: more processes than the limit of 100", e, out)
	}
}

// TestStart_forkBombWithoutCgroup is what an ordinary user has instead.
func TestStart_forkBombWithoutCgroup(t *testing.T) {
	if !rootfs.InUserNamespace() {
		t.Skip("the bound counts the processes of a user namespace; root has cgroups")
	}
	b := newBox(t, "grep processes /proc/self/limits; "+forkBomb)
	b.spec.Processes = 300
	e, out := b.run(t)
	if !strings.Contains(out, " 300 ") || strings.Contains(out, "3000\n") || e.Code == 0 {
		t.Errorf("exit %+v, output %q: more processes than the limit of 300", e, out)
	}
}

// BenchmarkStart_isolated is BenchmarkStart with a cgroup of its own and the default filter.
func BenchmarkStart_isolated(b *testing.B) {
	tree, err := cgroup.Open(fmt.Sprintf("kiwerk-bench-%d", os.Getpid()))
	if err != nil {
		b.Skip(err)
	}
	defer func() { _ = tree.Remove() }()
	for b.Loop() {
		x := newBox(b, "")
		x.spec.Process.Args = []string{"/bin/true"}
		if x.spec.Cgroup, err = tree.Make(cgroup.Limits{Memory: 64 << 20, CPUShares: 100, Pids: 100}, "c"); err != nil {
			b.Fatal(err)
		}
		if x.spec.Process.Seccomp, err = seccomp.Default(x.spec.Process.Caps).Compile(); err != nil {
			b.Fatal(err)
		}
		wait(b, x.start(b).Done())
		if err := tree.Remove("c"); err != nil {
			b.Fatal(err)
		}
	}
}
