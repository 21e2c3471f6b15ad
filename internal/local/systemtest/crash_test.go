//go:build linux

package systemtest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// identity is what must not change when a pod is adopted.
func (p *platform) identity(pod string) string {
	return p.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt} {.status.phase}")
}

// TestKill_podsAreAdopted kills launcher or daemon and starts again.
func TestKill_podsAreAdopted(t *testing.T) {
	t.Parallel()
	victims := map[string]func(runState) int{
		"Launcher": func(r runState) int { return r.Launcher },
		"Daemon":   func(r runState) int { return r.Daemon },
	}
	eachAccount(t, func(t *testing.T, who account) {
		for name, pid := range victims {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				killAndAdopt(t, who, name, pid)
			})
		}
	})
}

func killAndAdopt(t *testing.T, who account, victim string, pid func(runState) int) {
	dir := filepath.Join(home(t, who), "data")
	p := up(t, who, dir)
	p.apply(ticker("ticker"))
	p.kubectl("wait", "--for=condition=Ready", "pod/ticker", patience)
	before := p.identity("ticker")
	line := p.logLine("ticker", func(s string) bool { return strings.HasPrefix(s, "3 ") })
	token := strings.Fields(line)[1]

	if err := unix.Kill(pid(p.run), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	code := p.wait()
	if victim == "Daemon" {
		if out := p.out.String(); code != 1 || !strings.Contains(out, "ended unexpectedly") || !strings.Contains(out, "SIGKILL") {
			t.Errorf("the launcher ended with code %d and said\n%s", code, out)
		}
	}
	if out, _, code := call(t, who, dir, "status"); code != 3 || !strings.Contains(out, "still run") {
		t.Errorf("status: code %d\n%s", code, out)
	}

	again := up(t, who, dir)
	again.kubectl("wait", "--for=condition=Ready", "pod/ticker", patience)
	if after := again.identity("ticker"); after != before {
		t.Errorf("the pod was restarted:\nbefore %s\nafter  %s", before, after)
	}
	// The kubelet writes a fresh token; it must reach the pod that it did not start.
	again.logLine("ticker", func(s string) bool {
		f := strings.Fields(s)
		return len(f) > 1 && f[1] != token
	})
	if first := strings.Fields(again.kubectl("logs", "ticker"))[0]; first != "1" {
		t.Errorf("the log begins with %q", first)
	}
	if again.run.Address != p.run.Address || again.run.APIServer != p.run.APIServer {
		t.Errorf("addresses changed, which running pods have in their environment: %+v, before %+v", again.run, p.run)
	}
}

// TestKill_downEndsWhatIsLeft stops the containers of a platform that was killed.
func TestKill_downEndsWhatIsLeft(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		dir := filepath.Join(home(t, who), "data")
		p := up(t, who, dir)
		p.apply(ticker("ticker"))
		p.kubectl("wait", "--for=condition=Ready", "pod/ticker", patience)
		p.notesGroups()
		if err := unix.Kill(p.run.Launcher, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.wait()
		if _, out, code := call(t, who, dir, "down"); code != 0 || !strings.Contains(out, "Stopped 1 containers") {
			t.Errorf("down: code %d: %s", code, out)
		}
		if out, _, _ := call(t, who, dir, "status"); !strings.Contains(out, "stopped") {
			t.Errorf("status after down:\n%s", out)
		}
		p.leavesNothing()
	})
}

// TestStop_endsPods stops cleanly and starts again on what was stored.
func TestStop_endsPods(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		dir := filepath.Join(home(t, who), "data")
		p := up(t, who, dir)
		p.apply(ticker("ticker"))
		p.kubectl("wait", "--for=condition=Ready", "pod/ticker", patience)
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != 0 {
			t.Errorf("code %d\n%s", code, p.out)
		}
		if left := processesUnder(t, dir); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		if _, err := os.Stat(p.run.RuntimeDir); !os.IsNotExist(err) {
			t.Errorf("the runtime directory is left: %v", err)
		}
		again := up(t, who, dir)
		again.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/ticker", patience)
	})
}

// processesUnder lists processes of the platform of a data directory.
func processesUnder(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if err == nil && strings.Contains(line, dir) && strings.Contains(line, "kiwerk") {
			left = append(left, line)
		}
	}
	return left
}
