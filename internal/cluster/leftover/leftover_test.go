//go:build linux

package leftover

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestCluster_role(t *testing.T) {
	c := Cluster{DataDir: "/data/k", RuntimeDir: "/run/k"}
	for name, x := range map[string]struct {
		o    observed
		want Role
	}{
		"Holder":          {observed{args: []string{"kiwerk-agent", "hold", "/run/k", "/data/k"}}, Holder},
		"HolderOfOther":   {observed{args: []string{"kiwerk-agent", "hold", "/run/o", "/data/o"}}, ""},
		"Shim":            {observed{args: []string{"kiwerk-agent", "shim", "/data/k/runtime/containers/1"}}, Shim},
		"ShimOfNeighbour": {observed{args: []string{"kiwerk-agent", "shim", "/data/k2/runtime/containers/1"}}, ""},
		"Init":            {observed{args: []string{"kiwerk-agent", "init", "1"}, inside: true}, Init},
		"InitOfOther":     {observed{args: []string{"kiwerk-agent", "init", "1"}}, ""},
		"Daemon":          {observed{args: []string{"kiwerk", "internal", "daemon"}, files: []string{"/data/k/lock"}, inside: true}, Daemon},
		"Node":            {observed{args: []string{"kiwerk", "internal", "node"}, inside: true}, Daemon},
		"NodeOfOther":     {observed{args: []string{"kiwerk", "internal", "node"}}, ""},
		"Launcher":        {observed{args: []string{"/usr/bin/kiwerk", "up"}, files: []string{"/data/k/lock"}}, Launcher},
		"OtherLauncher":   {observed{args: []string{"/usr/bin/kiwerk", "up"}, files: []string{"/data/o/lock"}}, ""},
		"Reader":          {observed{args: []string{"less", "/data/k/lock"}, files: []string{"/data/k/lock"}}, ""},
		"Container":       {observed{args: []string{"python3"}, inside: true}, Container},
		"Anything":        {observed{args: []string{"python3", "/data/k"}}, ""},
		"Nothing":         {observed{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.role(x.o); got != x.want {
				t.Errorf("role %q, want %q", got, x.want)
			}
		})
	}
}

const hostMounts = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:2 /users /home rw - xfs /dev/sdb1 rw
31 22 0:5 / /proc rw - proc proc rw
`

func TestMountsInto(t *testing.T) {
	at, ok := locate(parseMounts(hostMounts), "/home/me/k x")
	if want := (root{"8:2", "/users/me/k x"}); !ok || at != want {
		t.Fatalf("located at %+v", at)
	}
	roots := []root{{"8:2", "/users/me/k x/kubelet"}, {"", "/home/me/k x/ns"}}
	for name, c := range map[string]struct {
		line   string
		want   bool
		reason string
	}{
		"Bind":       {`40 39 8:2 /users/me/k\040x/kubelet /var/lib/kubelet rw - xfs /dev/sdb1 rw`, true, "the holder's"},
		"Below":      {`40 39 8:2 /users/me/k\040x/kubelet/pods/1/volumes/v /data rw - xfs /dev/sdb1 rw`, true, "a container's volume"},
		"Deleted":    {`40 39 8:2 /users/me/k\040x/kubelet//deleted /var/lib/kubelet rw - xfs /dev/sdb1 rw`, true, "the data directory was removed"},
		"Overlay":    {`40 39 0:50 / /var/lib rw - overlay kiwerk rw,lowerdir=/var/lib,upperdir=/home/me/k\040x/ns/upper`, true, "an ordinary user's /var/lib"},
		"Whole":      {`40 39 8:2 /users/me/k\040x /backup rw - xfs /dev/sdb1 rw`, false, "somebody looks at all of it from a container of theirs"},
		"Neighbour":  {`40 39 8:2 /users/me/k\040x/kubelet2 /x rw - xfs /dev/sdb1 rw`, false, "another folder"},
		"OtherDisk":  {`40 39 8:1 /users/me/k\040x/kubelet /x rw - ext4 /dev/sda1 rw`, false, "another file system"},
		"NotALine":   {`nonsense`, false, "left out"},
		"HalfALine":  {`40 39 8:2 - `, false, "left out"},
		"NoMountAll": {``, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mountsInto(parseMounts(c.line), roots); got != c.want {
				t.Errorf("%s: %v", c.reason, got)
			}
		})
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(hostMounts)
	f.Fuzz(func(_ *testing.T, text string) { mountsInto(parseMounts(text), []root{{"8:1", "/x"}}) })
}

// TestCluster_Clean ends processes that do not answer, and no others.
func TestCluster_Clean(t *testing.T) {
	c := Cluster{DataDir: t.TempDir(), RuntimeDir: filepath.Join(t.TempDir(), "run")}
	if err := os.MkdirAll(filepath.Join(c.RuntimeDir, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	hangs := stub(t, "kiwerk-agent", "shim", filepath.Join(c.DataDir, "runtime", "containers", "1"))
	if err := hangs.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	other := stub(t, "kiwerk-agent", "shim", filepath.Join(c.DataDir+"2", "runtime", "containers", "1"))
	reaped := make(chan error, 1)
	go func() { reaped <- hangs.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended, err := c.Clean(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(ended) != 1 || ended[0].PID != hangs.Process.Pid || ended[0].Role != Shim {
		t.Errorf("ended %+v", ended)
	}
	<-reaped
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process of another cluster: %v", err)
	}
	if _, err := os.Stat(c.RuntimeDir); !os.IsNotExist(err) {
		t.Errorf("the runtime directory: %v", err)
	}
	if again, err := c.Clean(ctx); err != nil || len(again) != 0 {
		t.Errorf("again: %v, %v", again, err)
	}
}

// stub is this test program under another command line; it waits to be killed.
func stub(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: args, Env: []string{envStub + "=1"}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

const envStub = "KIWERK_TEST_STUB"

func TestMain(m *testing.M) {
	if os.Getenv(envStub) != "" {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGUSR1) // waits without being called a deadlock
		<-signals
	}
	os.Exit(m.Run())
}
