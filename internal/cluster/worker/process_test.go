//go:build linux

package worker

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
)

func TestMain(m *testing.M) { agenttest.Main(m) }

func TestNextPause(t *testing.T) {
	for name, c := range map[string]struct{ last, ran, want time.Duration }{
		"First":    {0, time.Second, firstPause},
		"Again":    {firstPause, time.Second, 2 * firstPause},
		"Longest":  {lastPause, time.Second, lastPause},
		"GoodRun":  {lastPause, goodRun, firstPause},
		"FirstDay": {0, 24 * time.Hour, firstPause},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nextPause(c.last, c.ran); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// child runs a shell script with its job in $job.
func child(script string) func() *exec.Cmd {
	return func() *exec.Cmd { return exec.Command("sh", "-c", "read job; "+script) }
}

func start(t *testing.T, command func() *exec.Cmd) *Process {
	t.Helper()
	p := Start(t.Context(), Config{Job: Job{NodeName: "n-2"}, Command: command, Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{}})
	t.Cleanup(p.Stop)
	return p
}

func TestProcess_failsBeforeItIsReady(t *testing.T) {
	p := start(t, child(`case "$job" in *n-2*) exit 3; esac`))
	if err := <-p.Failed(); err == nil || !strings.Contains(err.Error(), "node n-2 ended: exit status 3") {
		t.Errorf("error %v", err)
	}
}

// TestProcess_endsAsItGetsReady: the node was seen to work, and its kubelet ends before that is said.
func TestProcess_endsAsItGetsReady(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first")
	second := filepath.Join(t.TempDir(), "second")
	if out, err := exec.Command("mkfifo", second).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.OpenFile(second, os.O_RDWR, 0) // never at its end
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := start(t, child("test -e "+first+" || { touch "+first+"; exit 3; }; echo runs > "+second+"; cat > /dev/null"))
	if err := <-p.Failed(); err == nil {
		t.Error("nobody was told")
	}
	p.SetReady()
	if _, err := f.Read(make([]byte, 64)); err != nil {
		t.Error(err)
	}
}

// TestProcess_startsAgain kills the child of a node that works; its end is the end of its input.
func TestProcess_startsAgain(t *testing.T) {
	dir := t.TempDir()
	news := filepath.Join(dir, "news")
	if out, err := exec.Command("mkfifo", news).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.OpenFile(news, os.O_RDWR, 0) // never at its end
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := start(t, child("echo $$ > "+news+"; cat > /dev/null; echo ended > "+news))
	said := func() string {
		b := make([]byte, 64)
		n, err := f.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b[:n]))
	}
	first := said()
	p.SetReady()
	if out, err := exec.Command("kill", "-9", first).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The shell is dead; the cat that it has started ends with the input.
	if second := said(); second == first || second == "ended" {
		t.Errorf("after the child was killed: %q", second)
	}
	p.Stop()
	if got := said(); got != "ended" {
		t.Errorf("after the stop: %q", got)
	}
}

func TestReadJob(t *testing.T) {
	r, w := io.Pipe()
	gone := make(chan struct{})
	go func() {
		_, _ = io.WriteString(w, `{"NodeName":"n-2","Port":10251}`)
		_ = w.Close()
	}()
	job, err := ReadJob(r, func() { close(gone) })
	if err != nil || job.NodeName != "n-2" || job.Port != 10251 {
		t.Errorf("job %+v, %v", job, err)
	}
	<-gone
	if _, err := ReadJob(bytes.NewReader(nil), func() { t.Error("gone before there was a job") }); err == nil || !strings.Contains(err.Error(), "started by kiwerk up") {
		t.Errorf("error %v", err)
	}
}
