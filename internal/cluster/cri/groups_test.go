//go:build linux

package cri_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
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
	dirs, err := filepath.Glob("/sys/fs/cgroup/*/" + n.cfg.CgroupName)
	if own, _ := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(own)) {
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			at := filepath.Join("/sys/fs/cgroup", f[1], f[2], n.cfg.CgroupName)
			if _, err := os.Stat(at); err == nil && f[2] != "/" {
				dirs = append(dirs, at)
			}
		}
	}
	if err != nil || len(dirs) == 0 {
		n.t.Fatalf("cgroups %v, %v", dirs, err)
	}
	return dirs
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
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, sb, id)); err != nil {
			t.Error(err)
		}
	}
	if _, err := n.rt.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: sb}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, sb)); err == nil {
			t.Errorf("%s is left", filepath.Join(dir, sb))
		}
	}
}

// TestServer_cleansGroups is a crash between the end of a container and the removal of its cgroup.
func TestServer_cleansGroups(t *testing.T) {
	n := newNode(t)
	dirs := n.groupDirs()
	sb, sc := n.sandbox("crash")
	id := n.run(sb, sc, shell("true"))
	n.awaitExit(id)
	n.stop()
	for _, dir := range dirs {
		for _, left := range []string{sb + "/" + id, "unknown/container"} {
			if err := os.MkdirAll(filepath.Join(dir, left), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.start()
	for _, dir := range dirs {
		for _, left := range []string{sb + "/" + id, "unknown"} {
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
