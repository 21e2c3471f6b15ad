//go:build linux

package shim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

func TestMain(m *testing.M) { agenttest.Main(m) }

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

// box is one container of a test.
type box struct {
	dir  string
	data string
	spec shim.Spec
}

func newBox(t *testing.T, script string) *box {
	t.Helper()
	data := t.TempDir()
	dir := filepath.Join(data, "c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "kw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	caps, err := shim.Capabilities(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &box{dir: dir, data: data, spec: shim.Spec{
		ID: "test", Hostname: "box",
		Process: shim.Process{
			Args: []string{"/bin/sh", "-c", script},
			Env:  []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Caps: caps,
		},
		Root:    rootfs.Spec{Scratch: filepath.Join(dir, "root"), Masks: []string{data, run}, Programs: map[string]string{"kiwerk-agent": agenttest.Agent()}},
		LogPath: filepath.Join(data, "log"), Socket: filepath.Join(run, "s"), Grace: 10 * time.Second,
	}}
}

func (b *box) start(t *testing.T) *shim.Running {
	t.Helper()
	r, err := shim.Start(t.Context(), agenttest.Agent(), b.dir, b.spec)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(b.dir, "shim.log"))
		t.Fatalf("start: %v\n%s", err, log)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil && !errors.Is(err, shim.ErrGone) {
			t.Error(err)
		}
		<-r.Done()
	})
	return r
}

// run starts the container and returns its end and its output.
func (b *box) run(t *testing.T) (shim.Exit, string) {
	t.Helper()
	r := b.start(t)
	wait(t, r.Done())
	e, err := shim.ReadExit(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	return e, b.output(t)
}

// output returns what the container wrote, without the log's format.
func (b *box) output(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(b.spec.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 {
			t.Fatalf("log line %q", line)
		}
		out.WriteString(f[3])
		if f[2] == "F" {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

func wait(t *testing.T, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("did not end in time")
	}
}

func TestRun_basics(t *testing.T) {
	b := newBox(t, `hostname; echo pid $$; id -u; grep -E 'NoNewPrivs|CapBnd' /proc/self/status; ls /; echo err >&2; touch /usr/x /etc/y /tmp/z && echo written; exit 3`)
	e, out := b.run(t)
	t.Log(out)
	if e.Code != 3 || e.Reason != shim.ReasonError {
		t.Errorf("exit %+v", e)
	}
	for _, want := range []string{"box\n", "0\n", "NoNewPrivs:\t1\n", "err\n", "written\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	for _, p := range []string{"/usr/x", "/etc/y"} {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s appeared on the host", p)
		}
	}
}

func TestStart_latency(t *testing.T) {
	if testing.Short() {
		t.Skip("timing")
	}
	var all []time.Duration
	for i := range 20 {
		b := newBox(t, "")
		b.spec.ID = fmt.Sprint(i)
		b.spec.Process.Args = []string{"/bin/true"}
		begin := time.Now()
		r := b.start(t)
		started := time.Since(begin)
		wait(t, r.Done())
		all = append(all, time.Since(begin))
		t.Logf("started %v ended %v", started, time.Since(begin))
	}
}
