//go:build linux

package cgroup

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		limits  Limits
		unified bool
		want    []string
		reason  string
	}{
		"NothingV1":    {Limits{}, false, nil, "zero leaves everything"},
		"NothingV2":    {Limits{}, true, nil, "zero leaves everything"},
		"CPUV1":        {Limits{CPUShares: 512, CPUQuota: 50000, CPUPeriod: 100000}, false, []string{"cpu.shares 512", "cpu.cfs_period_us 100000", "cpu.cfs_quota_us 50000"}, "the period first: the quota is checked against it"},
		"CPUV2":        {Limits{CPUShares: 1024, CPUQuota: 50000}, true, []string{"cpu.weight 39", "cpu.max 50000 100000"}, "the kernel's period"},
		"TooFewShares": {Limits{CPUShares: 1}, false, []string{"cpu.shares 2"}, "the kernel's minimum"},
		"NoQuotaV1":    {Limits{CPUQuota: -1}, false, []string{"cpu.cfs_quota_us -1"}, "a quota is taken away"},
		"NoQuotaV2":    {Limits{CPUQuota: -1, CPUPeriod: 20000}, true, []string{"cpu.max max 20000"}, "a quota is taken away"},
		"MemoryV1":     {Limits{Memory: 1 << 20}, false, []string{"memory.limit_in_bytes 1048576", "memory.memsw.limit_in_bytes 1048576"}, "no swap beyond"},
		"MemoryV2":     {Limits{Memory: 1 << 20, MemoryHigh: 1 << 19, OOMGroup: true}, true, []string{"memory.max 1048576", "memory.swap.max 0", "memory.high 524288", "memory.oom.group 1"}, "no swap beyond"},
		"AnyMemoryV2":  {Limits{Memory: -1}, true, []string{"memory.max max"}, "a limit is taken away"},
		"PidsV1":       {Limits{Pids: 10}, false, []string{"pids.max 10"}, "one name in both versions"},
		"AnyPidsV2":    {Limits{Pids: -1}, true, []string{"pids.max max"}, "one name in both versions"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range settings(c.limits, c.unified) {
				got = append(got, s.file+" "+s.value)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[int64]int64{0: 1, 2: 1, 1024: 39, 262144: 10000, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("weight(%d) = %d, want %d", shares, got, want)
		}
	}
}

func TestLocate(t *testing.T) {
	const v1 = "/sys/fs/cgroup/"
	for name, c := range map[string]struct {
		mounts []rootfs.Mount
		own    map[string]string
		want   map[string]string
	}{
		"Separate": {
			[]rootfs.Mount{{Point: v1 + "memory", FSType: "cgroup", Root: "/", Options: "rw,memory"}, {Point: v1 + "systemd", FSType: "cgroup", Root: "/", Options: "rw,name=systemd"}},
			map[string]string{memory: "/user/x", "name=systemd": "/y"},
			map[string]string{memory: v1 + "memory/user/x"},
		},
		"Together": {
			[]rootfs.Mount{{Point: v1 + "cpu,cpuacct", FSType: "cgroup", Root: "/", Options: "rw,cpu,cpuacct"}},
			map[string]string{cpu: "/", cpuacct: "/"},
			map[string]string{cpu: v1 + "cpu,cpuacct", cpuacct: v1 + "cpu,cpuacct"},
		},
		"InContainer": {
			[]rootfs.Mount{{Point: v1 + "memory", FSType: "cgroup", Root: "/docker/1", Options: "rw,memory"}},
			map[string]string{memory: "/docker/1/sub"},
			map[string]string{memory: v1 + "memory/sub"},
		},
		"OutsideOfWhatIsMounted": {
			[]rootfs.Mount{{Point: v1 + "memory", FSType: "cgroup", Root: "/docker/1", Options: "rw,memory"}},
			map[string]string{memory: "/docker/12"},
			map[string]string{memory: v1 + "memory"},
		},
		"AboveTheNamespace": {
			[]rootfs.Mount{{Point: "/sys/fs/cgroup", FSType: "cgroup2", Root: "/"}},
			map[string]string{unified: "/../other"},
			map[string]string{unified: "/sys/fs/cgroup/other"},
		},
		"Version2": {
			[]rootfs.Mount{{Point: "/sys/fs/cgroup", FSType: "cgroup2", Root: "/"}},
			map[string]string{unified: "/user.slice/a.scope"},
			map[string]string{unified: "/sys/fs/cgroup/user.slice/a.scope"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := locate(c.mounts, c.own); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzParseOwn(f *testing.F) {
	f.Add("4:memory:/a/b\n0::/\n1:name=systemd:/x:y\n")
	f.Add("2:cpu,cpuacct:/")
	f.Fuzz(func(t *testing.T, s string) {
		own, err := parseOwn(strings.NewReader(s))
		if err != nil {
			return
		}
		for name, at := range own {
			if !strings.HasPrefix(at, "/") {
				t.Errorf("%s: %q", name, at)
			}
			if got := below(rootfs.Mount{Point: "/m", Root: "/r"}, at); got != "/m" && !strings.HasPrefix(got, "/m/") {
				t.Errorf("%q lies at %q, outside of the mount", at, got)
			}
		}
	})
}

func FuzzParseTable(f *testing.F) {
	f.Add("oom_kill_disable 0\noom_kill 3\nusage_usec 18446744073709551615\n")
	f.Fuzz(func(_ *testing.T, s string) { parseTable([]byte(s)) })
}

// unifiedTree is a directory that looks like version 2, as far as files go.
func unifiedTree(t *testing.T, controllers, enabled string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"cgroup.controllers": controllers, "cgroup.subtree_control": enabled, "cgroup.procs": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTryV2 has no kernel behind its files: that decides whether they are right, not whether the kernel likes it.
func TestTryV2(t *testing.T) {
	for name, c := range map[string]struct {
		controllers, enabled string
		want                 string
	}{
		"NoController": {"hugetlb", "", "neither the memory nor the pids controller"},
		"NotAsked":     {"cpu memory", "cpu memory", "cgroup.subtree_control: no such file"}, // of the new directory, where the kernel would make it
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tryV2(unifiedTree(t, c.controllers, c.enabled), "k"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	dir := unifiedTree(t, "cpu memory pids", "memory")
	if err := enable(dir, []string{cpu, memory, pids}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); err != nil || string(data) != "+cpu +pids" {
		t.Errorf("wrote %q, %v", data, err)
	}
}

// openHere opens a tree on this host, or skips.
func openHere(t *testing.T) *Tree {
	t.Helper()
	tree, err := Open("kiwerk-test-" + strconv.Itoa(os.Getpid()))
	var none *Unavailable
	if errors.As(err, &none) {
		if none.Why == "" || none.Fix == "" {
			t.Errorf("reason %q, remedy %q", none.Why, none.Fix)
		}
		t.Skip(none)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(); err != nil {
			t.Error(err)
		}
		for _, dir := range tree.root.dirs() {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", dir, err)
			}
		}
	})
	return tree
}

func TestTree(t *testing.T) {
	tree := openHere(t)
	if _, err := tree.MakeParent(Limits{CPUShares: 100, Pids: 50}, "pod"); err != nil {
		t.Fatal(err)
	}
	g, err := tree.Make(Limits{Memory: 64 << 20, CPUQuota: 50000, CPUPeriod: 100000}, "pod", "c")
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{32 << 20, 128 << 20} { // down and up again
		if err := g.Set(Limits{Memory: limit}); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	cmd := exec.Command("sh", "-c", "read x; echo on; sleep 1000")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range g.dirs() {
		if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	s, err := g.Stats()
	if err != nil || s.Pids == 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
	if got := tree.Children("pod"); !slices.Equal(got, []string{"c"}) {
		t.Errorf("children %v", got)
	}
	file := filepath.Join(t.TempDir(), "saved")
	if err := tree.Save(file); err != nil {
		t.Fatal(err)
	}
	saved, err := Saved(file)
	if err != nil || !tree.Is(saved) {
		t.Errorf("saved %v, %v", saved, err)
	}
	// Nobody reaps the process before it is killed, as after a crash.
	go func() { _ = cmd.Wait() }()
	if err := saved.Remove(); err != nil {
		t.Error(err)
	}
	if err := unix.Kill(cmd.Process.Pid, 0); err == nil {
		t.Error("the process of a removed group still runs")
	}
}

func TestSaved_none(t *testing.T) {
	g, err := Saved(filepath.Join(t.TempDir(), "none"))
	if g != nil || err != nil {
		t.Errorf("%v, %v", g, err)
	}
	e, enterErr := g.Enter()
	if err := errors.Join(enterErr, e.Finish(), g.Remove(), g.Set(Limits{Memory: 1})); err != nil {
		t.Errorf("an empty group does nothing: %v", err)
	}
}
