//go:build linux

package image_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/image"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
)

// box runs one container of an image.
type box struct {
	dir  string
	spec shim.Spec
}

func newBox(t *testing.T, s *image.Store, i *image.Image, args ...string) *box {
	t.Helper()
	dir := t.TempDir()
	run, err := os.MkdirTemp("", "kw") //nolint:usetesting // Sockets need a short path.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	caps, err := shim.Capabilities(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &box{dir: dir, spec: shim.Spec{
		ID: "test", Hostname: "box", Process: shim.Process{Args: args, Env: []string{"PATH=/bin"}, Caps: caps},
		Root: rootfs.Spec{
			Scratch: filepath.Join(dir, "root"), Layers: s.Trees(i), Masks: []string{dir}, Allowed: []string{filepath.Join(dir, "volumes")},
			Programs: map[string]string{"kiwerk-agent": agenttest.Agent()},
			Files:    map[string]string{"/etc/hostname": "box\n"},
		},
		LogPath: filepath.Join(dir, "log"), Socket: filepath.Join(run, "s"), Grace: time.Second,
	}}
}

// run returns what the container wrote, or why it did not start.
func (b *box) run(t *testing.T) string {
	t.Helper()
	r, err := shim.Start(t.Context(), agenttest.Agent(), b.dir, b.spec)
	if r != nil {
		select {
		case <-r.Done():
		case <-time.After(2 * time.Minute):
			t.Fatal("the container does not end")
		}
	}
	if err != nil {
		return "refused: " + err.Error()
	}
	data, err := os.ReadFile(b.spec.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		const fields = 4
		if f := strings.SplitN(line, " ", fields); len(f) == fields {
			out.WriteString(f[fields-1])
		}
	}
	return out.String()
}

func loaded(t *testing.T, layers ...[]imagetest.Entry) (*image.Store, *image.Image) {
	t.Helper()
	var list []v1.Layer
	for _, l := range layers {
		list = append(list, imagetest.Layer(t, l...))
	}
	archive := filepath.Join(t.TempDir(), "a.tar")
	imagetest.SaveDocker(t, archive, "app:1", imagetest.Image(t, v1.Config{}, list...))
	s := open(t, t.TempDir())
	found, err := load(t, s, archive, "")
	if err != nil {
		t.Fatal(err)
	}
	return s, found[0]
}

var tools = []string{"sh", "cat", "ls", "mkdir", "touch", "rm", "mount"}

func TestImage_runs(t *testing.T) {
	s, i := loaded(t,
		append(imagetest.HostPrograms(t, tools...), imagetest.File("etc/os-release", "mine\n", 0o644), imagetest.File("gone", "x", 0o644), imagetest.File("opq/old", "x", 0o644),
			imagetest.Link("etc/hostname", "/proc/sys/kernel/hostname")),
		[]imagetest.Entry{imagetest.File(".wh.gone", "", 0), imagetest.Dir("opq", 0o755), imagetest.File("opq/.wh..wh..opq", "", 0), imagetest.File("opq/new", "y", 0o644)},
	)
	b := newBox(t, s, i, "sh", "-c", `ls /; ls /opq; cat /etc/os-release /etc/hostname; echo w > /written && cat /written; rm /etc/os-release; ls /etc
echo > /dev/null && ls /proc/self/fd > /dev/null && echo kernel; /.kiwerk/bin/kiwerk-agent 2>&1; touch /.kiwerk/x /.kiwerk/bin/x 2>/dev/null || echo ours`)
	want := "bin\ndev\netc\nlib\nlib64\nopq\nproc\nsys\nnew\nmine\nbox\nw\nhostname\nkernel\n" +
		"kiwerk-agent: usage: /.kiwerk/bin/kiwerk-agent hold|shim|init …; it is started by kiwerk, not by hand\nours\n"
	if out := b.run(t); out != want {
		t.Errorf("output %q, expected %q", out, want)
	}
	// The next container of the image sees nothing of it.
	b = newBox(t, s, i, "cat", "/etc/os-release")
	if out := b.run(t); out != "mine\n" {
		t.Errorf("second container: %q", out)
	}
	if err := os.RemoveAll(b.spec.Root.Scratch); err != nil {
		t.Error(err)
	}
}

func TestImage_readOnly(t *testing.T) {
	s, i := loaded(t, append(imagetest.HostPrograms(t, tools...), imagetest.File("data/old", "kept\n", 0o644)))
	b := newBox(t, s, i, "sh", "-c", `for d in / /bin /etc; do touch $d/x 2>/dev/null && echo wrote $d; done; echo new > /data/new && cat /data/old /data/new; echo v > /v/f && echo volume; touch /fresh/x && echo fresh`)
	b.spec.Root.ReadOnly = true
	b.spec.Root.ImageVolumes = []string{"/data", "/fresh", "/v", "/proc"}
	v := filepath.Join(b.dir, "volumes", "v")
	if err := os.MkdirAll(v, 0o755); err != nil {
		t.Fatal(err)
	}
	b.spec.Root.Volumes = []rootfs.Volume{{Source: v, Dest: "/v"}}
	if out := b.run(t); out != "kept\nnew\nvolume\nfresh\n" {
		t.Errorf("output %q", out)
	}
	if _, err := os.Stat(filepath.Join(v, "f")); err != nil {
		t.Error(err)
	}
}

// TestImage_manyLayers needs more paths than one page of mount options holds.
func TestImage_manyLayers(t *testing.T) {
	layers := [][]imagetest.Entry{imagetest.HostPrograms(t, tools...)}
	for n := range 60 {
		layers = append(layers, []imagetest.Entry{imagetest.File("n/"+strings.Repeat("x", n+1), "", 0o644)})
	}
	s, i := loaded(t, layers...)
	if out := newBox(t, s, i, "ls", "/n").run(t); strings.Count(out, "\n") != 60 {
		t.Errorf("output %q", out)
	}
}

// TestImage_hostile checks that an image cannot lead us out of its root.
func TestImage_hostile(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := imagetest.HostPrograms(t, tools...)
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		change  func(*box)
		want    string
	}{
		"ProcIsLink": {entries: []imagetest.Entry{imagetest.Link("proc", outside)}, want: "refused: mount image layers|refused: prepare the image's directories: /proc in the image is not a directory"},
		"DevIsLink":  {entries: []imagetest.Entry{imagetest.Link("dev", "/etc")}, want: "refused: prepare the image's directories: /dev in the image is not a directory"},
		"OursIsLink": {entries: []imagetest.Entry{imagetest.Link(".kiwerk", outside)}, want: "refused: prepare the image's directories: /.kiwerk in the image is not a directory"},
		"EtcIsLink":  {entries: []imagetest.Entry{imagetest.Link("etc", outside)}, want: "box\n"},
		"FileIsLink": {entries: []imagetest.Entry{imagetest.Link("etc/hostname", victim)}, want: "box\n"},
		"VolumeThroughLink": {entries: []imagetest.Entry{imagetest.Link("mnt", outside)}, want: "box\nv\n", change: func(b *box) {
			v := filepath.Join(b.dir, "volumes", "v")
			if err := os.MkdirAll(v, 0o755); err != nil {
				t.Fatal(err)
			}
			b.spec.Root.Volumes = []rootfs.Volume{{Source: v, Dest: "/mnt/v"}}
			b.spec.Process.Args = []string{"sh", "-c", "cat /etc/hostname; ls " + outside}
		}},
		"DeviceNode": {entries: []imagetest.Entry{{Header: tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}}}, want: "ls: cannot access '/sda': No such file or directory\n", change: func(b *box) {
			b.spec.Process.Args = []string{"ls", "/sda"}
		}},
		"NoProgram": {want: `refused: executable "nothing" not found in PATH /bin`, change: func(b *box) { b.spec.Process.Args = []string{"nothing"} }},
	} {
		t.Run(name, func(t *testing.T) {
			s, i := loaded(t, append(append([]imagetest.Entry{}, base...), c.entries...))
			b := newBox(t, s, i, "cat", "/etc/hostname")
			if c.change != nil {
				c.change(b)
			}
			out := b.run(t)
			ok := false
			for want := range strings.SplitSeq(c.want, "|") {
				ok = ok || out == want
			}
			if !ok {
				t.Errorf("output %q, expected %q", out, c.want)
			}
			if data, err := os.ReadFile(victim); err != nil || string(data) != "safe" {
				t.Errorf("a file of the host was changed: %q, %v", data, err)
			}
			if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
				t.Errorf("something was made on the host: %v, %v", list, err)
			}
		})
	}
}
