//go:build linux

package cri_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
)

// groupDirs returns the directories of this node's cgroups, or skips where it has none.
func (n *node) groupDirs() []string {
	n.t.Helper()
	if _, none := n.srv.Limits(); none != nil {
		if none.Why == "" || none.Fix == "" {
			n.t.Errorf("reason %q, remedy %q", none.Why, none.Fix)
		}
		n.t.Skip(none)
	}
	tree, err := cgroup.Saved(filepath.Join(n.cfg.StateDir, cri.CgroupsFile))
	if err != nil || len(tree) == 0 {
		n.t.Fatalf("cgroups %v, %v", tree, err)
	}
	return slices.Collect(maps.Values(tree))
}

func TestServer_limits(t *testing.T) {
	n := newNode(t)
	dirs := n.groupDirs()
	sb, sc := n.sandbox("limits")
	cfg := shell(`echo ready; while :; do sleep 0.02; done`)
	cfg.Linux = &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{
		CpuShares: 256, CpuQuota: 20000, CpuPeriod: 100000, MemoryLimitInBytes: 64 << 20,
	}}
	id := n.run(sb, sc, cfg)
	n.ready(id)
	st, err := n.rt.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: id})
	if err != nil || st.GetStats().GetMemory().GetWorkingSetBytes().GetValue() == 0 || st.GetStats().GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 {
		t.Errorf("stats %v, %v", st, err)
	}
	u, err := n.srv.Stats(id)
	if err != nil || u.Pids < 2 {
		t.Errorf("stats %+v, %v", u, err)
	}
	update := func(memory int64) error {
		_, err := n.rt.UpdateContainerResources(t.Context(), &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: id, Linux: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memory, CpuShares: 512},
		})
		return err
	}
	if err := update(128 << 20); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.start() // the changed limits are on disk
	r := n.status(id).GetResources().GetLinux()
	if r.GetMemoryLimitInBytes() != 128<<20 || r.GetCpuShares() != 512 || r.GetCpuQuota() != 20000 {
		t.Errorf("resources %v", r)
	}
	if err := update(4096); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "memory limit 4096") {
		t.Errorf("far below what is in use: %v", err)
	}
	if got := n.status(id).GetResources().GetLinux().GetMemoryLimitInBytes(); got != 128<<20 {
		t.Errorf("after a refused change: %d", got)
	}
	pod := "poduid-limits-" + sb
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, pod, id)); err != nil {
			t.Error(err)
		}
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, pod)); err == nil {
			t.Errorf("%s is left", filepath.Join(dir, pod))
		}
	}
}

// TestServer_podLimits gives a pod limits of its own, before and after its container starts.
func TestServer_podLimits(t *testing.T) {
	n := newNode(t)
	dirs := n.groupDirs()
	sb, sc := n.sandbox("together")
	set := func(memory, quota int64) {
		t.Helper()
		_, err := n.rt.UpdatePodSandboxResources(t.Context(), &runtimeapi.UpdatePodSandboxResourcesRequest{
			PodSandboxId: sb, Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memory, CpuQuota: quota, CpuPeriod: 100000},
			Overhead: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 1 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(127<<20, 50000)
	cfg := shell(`cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; cut -d: -f3 /proc/self/cgroup | grep -c kiwerk
		grep -c '/sys/fs/cgroup/unified' /proc/mounts
		echo 1 2>/dev/null > /sys/fs/cgroup/pids.max || echo 1 2>/dev/null > /sys/fs/cgroup/pids/pids.max || echo refused; echo ready; sleep 1000`)
	cfg.Linux = &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}}
	id := n.run(sb, sc, cfg)
	n.ready(id)
	if got, want := n.log(n.status(id)), "67108864\n0\n0\nrefused\nready\n"; got != want {
		t.Errorf("the container sees %q, want %q: its own limit, itself at the top, read-only", got, want)
	}
	for _, want := range []string{"134217728", "268435456"} {
		if got := podMemory(dirs, "poduid-together-"+sb); got != want {
			t.Errorf("memory of the pod %s, want %s", got, want)
		}
		set(255<<20, 60000)
	}
	n.stop()
	n.start() // they are on disk
	resp, err := n.rt.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: sb, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	want := cgroup.Limits{Memory: 256 << 20, CPUQuota: 60000, CPUPeriod: 100000}
	if got, err := cri.PodLimits(resp); err != nil || got != want {
		t.Errorf("limits %+v, %v, want %+v", got, err, want)
	}
}

// podMemory reads the limit of a pod's cgroup, in either version.
func podMemory(dirs []string, pod string) string {
	for _, dir := range dirs {
		for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
			if data, err := os.ReadFile(filepath.Join(dir, pod, name)); err == nil {
				return strings.TrimSpace(string(data))
			}
		}
	}
	return "none"
}

// TestServer_cleansGroups is a crash between the end of a container and the removal of its cgroup.
func TestServer_cleansGroups(t *testing.T) {
	n := newNode(t)
	dirs := n.groupDirs()
	sb, sc := n.sandbox("crash")
	id := n.run(sb, sc, shell("true"))
	n.awaitExit(id)
	n.stop()
	left := filepath.Join("poduid-crash-"+sb, id)
	for _, dir := range dirs {
		for _, left := range []string{left, "unknown/container"} {
			if err := os.MkdirAll(filepath.Join(dir, left), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.start()
	for _, dir := range dirs {
		for _, left := range []string{left, "unknown"} {
			if _, err := os.Stat(filepath.Join(dir, left)); err == nil {
				t.Errorf("%s is left", filepath.Join(dir, left))
			}
		}
	}
}

func TestServer_writableLayer(t *testing.T) {
	n := newNode(t)
	sb, sc := n.sandbox("writes")
	id := n.run(sb, sc, shell(`head -c 2000000 /dev/zero > /tmp/disk; head -c 3000000 /dev/zero > /etc/memory; echo ready; sleep 1000`))
	n.ready(id)
	st, err := n.rt.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	if used := st.GetStats().GetWritableLayer().GetUsedBytes().GetValue(); used < 5000000 || used > 8000000 {
		t.Errorf("%d bytes written, want 5 MB and a little", used)
	}
}
