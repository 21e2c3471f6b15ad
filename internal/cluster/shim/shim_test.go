//go:build linux

package shim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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

func newBox(t testing.TB, script string) *box {
	t.Helper()
	data := t.TempDir()
	dir := filepath.Join(data, "c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "kw") //nolint:usetesting // Sockets need a short path.
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
			Env:  []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + rootfs.Home},
			Caps: caps, NoNewPrivs: true,
		},
		Root: rootfs.Spec{
			Scratch: filepath.Join(dir, "root"), Masks: []string{data, run}, Allowed: []string{filepath.Join(data, "volumes")},
			Programs: map[string]string{"kiwerk-agent": agenttest.Agent()},
		},
		LogPath: filepath.Join(data, "log"), Socket: filepath.Join(run, "s"), Grace: 10 * time.Second,
	}}
}

// volume makes a directory that the container may see.
func (b *box) volume(t *testing.T, name string, v rootfs.Volume) string {
	t.Helper()
	v.Source = filepath.Join(b.data, "volumes", name)
	if err := os.MkdirAll(v.Source, 0o755); err != nil {
		t.Fatal(err)
	}
	b.spec.Root.Volumes = append(b.spec.Root.Volumes, v)
	return v.Source
}

func (b *box) tryStart(t testing.TB) (*shim.Running, error) {
	t.Helper()
	r, err := shim.Start(t.Context(), agenttest.Agent(), b.dir, b.spec)
	if r != nil {
		t.Cleanup(func() {
			if err := r.Kill(); err != nil && !errors.Is(err, shim.ErrGone) {
				t.Error(err)
			}
			<-r.Done()
		})
	}
	return r, err
}

func (b *box) start(t testing.TB) *shim.Running {
	t.Helper()
	r, err := b.tryStart(t)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(b.dir, "shim.log"))
		t.Fatalf("start: %v\n%s", err, log)
	}
	return r
}

// run starts the container and returns its end and its output.
func (b *box) run(t *testing.T) (shim.Exit, string) {
	t.Helper()
	r := b.start(t)
	wait(t, r.Done())
	return b.exit(t), b.output(t)
}

func (b *box) exit(t *testing.T) shim.Exit {
	t.Helper()
	e, err := shim.ReadExit(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type entry struct{ stream, tag, text string }

func (b *box) entries(t *testing.T, path string) []entry {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 {
			t.Fatalf("log line %q", line)
		}
		if _, err := time.Parse(time.RFC3339Nano, f[0]); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		list = append(list, entry{f[1], f[2], f[3]})
	}
	return list
}

// output returns what the container wrote, without the log's format.
func (b *box) output(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, e := range b.entries(t, b.spec.LogPath) {
		out.WriteString(e.text)
		if e.tag == "F" {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// patience is how long a test waits for what should happen at once: the machine may be busy.
const patience = 2 * time.Minute

func wait(t testing.TB, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("did not end in time")
	}
}

// awaitOutput waits until the container has written something.
func (b *box) awaitOutput(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if data, err := os.ReadFile(b.spec.LogPath); err == nil && strings.Contains(string(data), text) {
			return
		}
	}
	t.Fatalf("the container did not write %q", text)
}

func TestStart_isolation(t *testing.T) {
	b := newBox(t, `
hostname; id -u; grep -E 'NoNewPrivs|CapBnd' /proc/self/status
echo procs $(ls -d /proc/[0-9]* | wc -l)
echo err >&2
touch /opt/x /etc/y /tmp/z $HOME/h /var/tmp/v && echo written
ls /tmp
mknod /tmp/disk b 254 0 2>/dev/null || echo no node
mount -t tmpfs x /mnt 2>/dev/null || echo no mount
cat /proc/1/environ >/dev/null 2>&1 || echo init closed
yes | head -1
test -x /.kiwerk/bin/kiwerk-agent && echo agent
touch /.kiwerk/bin/kiwerk-agent 2>/dev/null || echo agent read-only
touch /sys/kernel/x 2>/dev/null || echo sys read-only
test -c /dev/null && test -w /dev/null && test -d /dev/shm && touch /dev/shm/s && echo dev
exit 3`)
	e, out := b.run(t)
	if e.Code != 3 || e.Reason != shim.ReasonError || e.StartedAt.IsZero() || e.FinishedAt.Before(e.StartedAt) {
		t.Errorf("exit %+v", e)
	}
	for _, want := range []string{
		"box\n", "0\n", "NoNewPrivs:\t1\n", "CapBnd:\t00000000a00425fb\n", "err\n", "written\n", "z\n", "no node\n", "no mount\n",
		"init closed\n", "y\n", "agent\n", "agent read-only\n", "sys read-only\n", "dev\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	for _, p := range []string{"/opt/x", "/etc/y", "/var/tmp/v"} {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s appeared on the host", p)
		}
	}
}

func TestStart_exitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		code   int
		signal int
		reason string
	}{
		"Success":  {"exit 0", 0, 0, shim.ReasonCompleted},
		"Failure":  {"exit 77", 77, 0, shim.ReasonError},
		"Killed":   {"kill -9 $$", 137, 9, shim.ReasonError},
		"Aborted":  {"kill -6 $$", 134, 6, shim.ReasonError},
		"KillInit": {"kill -15 1; sleep 100", 143, 15, shim.ReasonError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := newBox(t, c.script).run(t)
			if e.Code != c.code || e.Signal != c.signal || e.Reason != c.reason {
				t.Errorf("exit %+v", e)
			}
		})
	}
}

func TestStart_errors(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*box)
		want   string
	}{
		"NotFound":      {func(b *box) { b.spec.Process.Args = []string{"no-such-tool"} }, `executable "no-such-tool" not found in PATH`},
		"NotThere":      {func(b *box) { b.spec.Process.Args = []string{"/no/such"} }, "/no/such: no such file"},
		"NotExecutable": {func(b *box) { b.spec.Process.Args = []string{"/etc/passwd"} }, "permission denied"},
		"Interpreter": {func(b *box) {
			b.spec.Process.Args = []string{"/s/script"}
			b.spec.Root.Volumes = []rootfs.Volume{{Source: filepath.Dir(script), Dest: "/s"}}
		}, "interpreter"},
		"CwdIsFile":    {func(b *box) { b.spec.Process.Cwd = "/etc/passwd/x" }, "working directory"},
		"NoSource":     {func(b *box) { b.spec.Root.Volumes = []rootfs.Volume{{Source: "/no/such/dir", Dest: "/v"}} }, "volume at /v: open /no/such/dir"},
		"OverRoot":     {func(b *box) { b.spec.Root.Volumes = []rootfs.Volume{{Source: "/etc", Dest: "/"}} }, "not the root"},
		"PlatformData": {func(b *box) { b.spec.Root.Volumes = []rootfs.Volume{{Source: b.dir, Dest: "/v"}} }, "belongs to the platform"},
		"FileOverDir":  {func(b *box) { b.spec.Root.Volumes = []rootfs.Volume{{Source: "/etc/passwd", Dest: "/usr/bin"}} }, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, "true")
			c.change(b)
			r, err := b.tryStart(t)
			var bad *shim.StartError
			if !errors.As(err, &bad) || !strings.Contains(bad.Message, c.want) {
				t.Fatalf("error %v, expected %q", err, c.want)
			}
			wait(t, r.Done())
			if e := b.exit(t); e.Reason != shim.ReasonStartError || e.Code != 128 || e.Message != bad.Message {
				t.Errorf("exit %+v", e)
			}
		})
	}
}

func TestStart_volumes(t *testing.T) {
	b := newBox(t, `
echo rw > /data/f && echo wrote
cat /models/m; echo x 2>/dev/null > /models/m || echo ro
echo deep > /opt/m/deep/f && echo deep
cat /var/run/secrets/token/t /etc/single
mkdir /data/sub2 2>/dev/null; cat /data/sub/s
readlink -f /var/run
ls -ld /opt/m | cut -c1-10
`)
	rw := b.volume(t, "rw", rootfs.Volume{Dest: "/data"})
	ro := b.volume(t, "ro", rootfs.Volume{Dest: "/models", ReadOnly: true})
	deep := b.volume(t, "deep", rootfs.Volume{Dest: "/opt/m/deep"})
	token := b.volume(t, "token", rootfs.Volume{Dest: "/var/run/secrets/token", ReadOnly: true})
	nested := b.volume(t, "nested", rootfs.Volume{Dest: "/data/sub"})
	for path, text := range map[string]string{ro + "/m": "model\n", token + "/t": "token\n", nested + "/s": "nested\n", nested + "/single": "single\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.spec.Root.Volumes = append(b.spec.Root.Volumes, rootfs.Volume{Source: nested + "/single", Dest: "/etc/single"})
	_, out := b.run(t)
	want := "wrote\nmodel\nro\ndeep\ntoken\nsingle\nnested\n/run\ndrwxr-xr-x\n"
	if out != want {
		t.Errorf("output %q, expected %q", out, want)
	}
	for _, f := range []string{rw + "/f", deep + "/f"} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat("/opt/m"); err == nil {
		t.Error("a mount point appeared on the host")
	}
}

// TestStart_volumeLink proves that a link in one volume leads later mounts nowhere outside.
func TestStart_volumeLink(t *testing.T) {
	b := newBox(t, `ls /escape 2>/dev/null; cat /victim/new/f`)
	outer := b.volume(t, "outer", rootfs.Volume{Dest: "/data"})
	inner := b.volume(t, "inner", rootfs.Volume{Dest: "/data/link/new"})
	victim := b.volume(t, "victim", rootfs.Volume{Dest: "/victim"})
	if err := errors.Join(os.Symlink("/victim", outer+"/link"), os.WriteFile(inner+"/f", []byte("inside\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	_, out := b.run(t)
	if out != "inside\n" {
		t.Errorf("output %q", out)
	}
	if _, err := os.Stat(victim + "/new"); err != nil {
		t.Error("the mount point was made elsewhere:", err)
	}
}

// TestStart_masks tries every way to the platform's data.
func TestStart_masks(t *testing.T) {
	b := newBox(t, "")
	secret := filepath.Join(b.data, "secret")
	if err := os.WriteFile(secret, []byte("geheim"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.spec.Root.Volumes = []rootfs.Volume{
		{Source: "/", Dest: "/host"}, {Source: filepath.Dir(b.data), Dest: "/parent"},
	}
	name := filepath.Base(b.data)
	b.spec.Process.Args[2] = fmt.Sprintf(`
ls -A /host/etc >/dev/null && echo host seen
for p in %[1]s /host%[1]s /parent/%[2]s %[3]s /host%[3]s /var/lib/kubelet /host/var/lib/kubelet; do
  ls -A $p/ 2>/dev/null; cat $p/secret 2>/dev/null
  umount $p 2>/dev/null && echo unmounted $p
  unshare -Urm sh -c "umount $p && cat $p/secret" 2>/dev/null
done
cat /proc/1/root%[1]s/secret /proc/1/cwd%[1]s/secret 2>/dev/null
echo done`, b.data, name, filepath.Dir(b.spec.Socket))
	if _, out := b.run(t); out != "host seen\ndone\n" {
		t.Errorf("output %q", out)
	}
}

func TestStart_endsGrandchildren(t *testing.T) {
	marker := fmt.Sprintf("%d.%d", 7000+os.Getpid(), time.Now().UnixNano()%1e9)
	b := newBox(t, `setsid sh -c "setsid sleep  `+marker+`" & (sleep `+marker+` >/dev/null 2>&1 &); while [ $(grep -lz `+marker+` /proc/[0-9]*/cmdline | wc -l) -lt 3 ]; do :; done; echo ready; exit 0`)
	_, out := b.run(t)
	if out != "ready\n" {
		t.Fatalf("output %q", out)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(data), "sleep\x00"+marker) {
			t.Errorf("%s still runs: %q", f, data)
		}
	}
}

func TestStart_logs(t *testing.T) {
	b := newBox(t, `echo full; printf 'no newline'; printf 'err' >&2; head -c 40000 /dev/zero | tr '\0' a; echo; printf end`)
	_, _ = b.run(t)
	var out []entry
	for _, e := range b.entries(t, b.spec.LogPath) {
		if e.stream == "stdout" {
			out = append(out, e)
		}
	}
	long := "no newline" + strings.Repeat("a", 40000)
	want := []entry{
		{"stdout", "F", "full"},
		{"stdout", "P", long[:16384]},
		{"stdout", "P", long[16384:32768]},
		{"stdout", "F", long[32768:]},
		{"stdout", "P", "end"},
	}
	if !slices.Equal(out, want) {
		for i, e := range out {
			t.Logf("%d: %s %s %d bytes", i, e.stream, e.tag, len(e.text))
		}
		t.Error("unexpected entries")
	}
}

func TestStart_bigLog(t *testing.T) {
	b := newBox(t, `seq 1 1000000; seq 1 1000000 >&2`)
	b.run(t)
	next := map[string]int{}
	for _, e := range b.entries(t, b.spec.LogPath) {
		next[e.stream]++
		if e.text != fmt.Sprint(next[e.stream]) || e.tag != "F" {
			t.Fatalf("%s entry %d is %q", e.stream, next[e.stream], e.text)
		}
	}
	if next["stdout"] != 1000000 || next["stderr"] != 1000000 {
		t.Errorf("entries: %v", next)
	}
}

func TestRunning_ReopenLog(t *testing.T) {
	b := newBox(t, `echo before; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo after`)
	r := b.start(t)
	b.awaitOutput(t, "before")
	old := b.spec.LogPath + ".1"
	if err := errors.Join(os.Rename(b.spec.LogPath, old), r.ReopenLog()); err != nil {
		t.Fatal(err)
	}
	release(t, r, b)
	wait(t, r.Done())
	if got := b.entries(t, old); len(got) != 1 || got[0].text != "before" {
		t.Errorf("old log %v", got)
	}
	if got := b.entries(t, b.spec.LogPath); len(got) != 1 || got[0].text != "after" {
		t.Errorf("new log %v", got)
	}
}

// exec runs a command in the container with /dev/null as its files.
func exec(t *testing.T, r *shim.Running, b *box, args ...string) shim.Exit {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := b.spec.Process
	p.Args = args
	x, err := r.Exec(p, []*os.File{null, null, null})
	if err != nil {
		t.Fatal(err)
	}
	e, err := x.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// release lets a container go on that waits for /tmp/go. It may end, and take
// the process of the exec with it, before that has ended by itself.
func release(t *testing.T, r *shim.Running, b *box) {
	t.Helper()
	if e := exec(t, r, b, "touch", "/tmp/go"); e.Code != 0 && e.Code != 137 {
		t.Errorf("exec %+v", e)
	}
}

func TestRunning_stop(t *testing.T) {
	b := newBox(t, `trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.02; done`)
	r := b.start(t)
	b.awaitOutput(t, "ready")
	if err := r.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, r.Done())
	if e := b.exit(t); e.Code != 5 {
		t.Errorf("exit %+v", e)
	}
	if err := r.Signal(syscall.SIGTERM); !errors.Is(err, shim.ErrGone) {
		t.Errorf("signal after the end: %v", err)
	}
}

func TestRunning_kill(t *testing.T) {
	b := newBox(t, `trap '' TERM; echo ready; while :; do sleep 0.02; done`)
	r := b.start(t)
	b.awaitOutput(t, "ready")
	if err := errors.Join(r.Signal(syscall.SIGTERM), r.Kill()); err != nil {
		t.Fatal(err)
	}
	wait(t, r.Done())
	if e := b.exit(t); e.Code != 137 || e.Signal != 9 || e.StartedAt.IsZero() {
		t.Errorf("exit %+v", e)
	}
}

// TestRun_sigterm is how the holder stops a container that no daemon owns.
func TestRun_sigterm(t *testing.T) {
	b := newBox(t, `trap '' TERM; echo ready; while :; do sleep 0.02; done`)
	b.spec.Grace = 200 * time.Millisecond
	r := b.start(t)
	b.awaitOutput(t, "ready")
	if err := syscall.Kill(r.State().PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, r.Done())
	if e := b.exit(t); e.Code != 137 {
		t.Errorf("exit %+v", e)
	}
}

func TestRun_killedShim(t *testing.T) {
	b := newBox(t, `echo ready; while :; do sleep 0.02; done`)
	r := b.start(t)
	b.awaitOutput(t, "ready")
	st := r.State()
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, r.Done())
	if e := b.exit(t); e.Reason != shim.ReasonShimLost || e.Code != 137 {
		t.Errorf("exit %+v", e)
	}
	for deadline := time.Now().Add(patience); ; {
		start, err := shim.ProcessStart(st.InitPID)
		if err != nil || start != st.InitStart || zombie(st.InitPID) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the container outlived its shim")
		}
		<-time.After(5 * time.Millisecond)
	}
	if _, err := shim.Adopt(t.Context(), b.dir); !errors.Is(err, shim.ErrGone) {
		t.Errorf("adopt: %v", err)
	}
}

func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	st, err := shim.ParseStat(data)
	return err != nil || st.State == 'Z'
}

func TestAdopt(t *testing.T) {
	b := newBox(t, `echo ready; while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 6`)
	b.start(t)
	b.awaitOutput(t, "ready")
	r, err := shim.Adopt(t.Context(), b.dir)
	if err != nil {
		t.Fatal(err)
	}
	release(t, r, b)
	wait(t, r.Done())
	if e := b.exit(t); e.Code != 6 {
		t.Errorf("exit %+v", e)
	}
}

// BenchmarkStart is a container from its start to its end.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		x := newBox(b, "")
		x.spec.Process.Args = []string{"/bin/true"}
		wait(b, x.start(b).Done())
	}
}

func TestStopAll(t *testing.T) {
	b := newBox(t, `trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done`)
	b.start(t)
	b.awaitOutput(t, "ready")
	if n, err := shim.StopAll(t.Context(), b.data); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if e := b.exit(t); e.Code != 5 {
		t.Errorf("exit %+v", e)
	}
	if n, err := shim.StopAll(t.Context(), b.data+"/none"); err != nil || n != 0 {
		t.Errorf("nothing there: %d, %v", n, err)
	}
	stubborn := newBox(t, `trap '' TERM; echo ready; while :; do sleep 0.02; done`)
	stubborn.start(t)
	stubborn.awaitOutput(t, "ready")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if n, err := shim.StopAll(ctx, stubborn.data); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}
