//go:build linux

package shim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// TestStart_oddPaths has names in the container's own paths that options of mount(2) would misread.
func TestStart_oddPaths(t *testing.T) {
	b := newBox(t, `cat "/opt/a,b:c d/f"; echo ok > /opt/new && cat /opt/new`)
	odd := filepath.Join(b.dir, `we,ird:na"me \x`)
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	b.spec.Root.Scratch = filepath.Join(odd, "root")
	v := b.volume(t, "v,w:x y", rootfs.Volume{Dest: "/opt/a,b:c d"})
	if err := os.WriteFile(v+"/f", []byte("odd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, out := b.run(t); out != "odd\nok\n" {
		t.Errorf("output %q", out)
	}
}

// TestStart_devVolumes is what the kubelet and users mount below /dev.
func TestStart_devVolumes(t *testing.T) {
	b := newBox(t, `echo bye > /dev/termination-log; echo x > /dev/shm/big; mount | grep -c ' /dev/shm ' >/dev/null; ls /dev/shm`)
	term := b.volume(t, "term", rootfs.Volume{Dest: "/unused"}) + "/log"
	b.volume(t, "shm", rootfs.Volume{Dest: "/dev/shm"})
	if err := os.WriteFile(term, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	b.spec.Root.Volumes = append(b.spec.Root.Volumes, rootfs.Volume{Source: term, Dest: "/dev/termination-log"})
	if _, out := b.run(t); out != "big\n" {
		t.Errorf("output %q", out)
	}
	if data, err := os.ReadFile(term); err != nil || string(data) != "bye\n" {
		t.Errorf("termination message %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(b.data, "volumes", "shm", "big")); err != nil {
		t.Error(err)
	}
}

// TestStart_tmpfsVolume is a memory volume with a submount, read-only as a whole.
func TestStart_tmpfsVolume(t *testing.T) {
	b := newBox(t, `cat /v/f /v/sub/g; touch /v/x /v/sub/x 2>/dev/null && echo wrote; cat /w/dev 2>/dev/null || echo nodev`)
	v := b.volume(t, "v", rootfs.Volume{Dest: "/v", ReadOnly: true})
	b.volume(t, "w", rootfs.Volume{Dest: "/w"})
	for _, m := range []struct{ dir, file string }{{v, "/f"}, {v + "/sub", "/g"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("test", m.dir, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(m.dir, unix.MNT_DETACH) })
		if err := os.WriteFile(m.dir+m.file, []byte(m.file+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, out := b.run(t); out != "/f\n/g\nnodev\n" {
		t.Errorf("output %q", out)
	}
}

// TestStart_rotation is how the kubelet renews tokens: a link in a mounted directory changes.
func TestStart_rotation(t *testing.T) {
	b := newBox(t, `cat /t/token; echo ready; while [ "$(cat /t/token)" = one ]; do sleep 0.02; done; cat /t/token`)
	v := b.volume(t, "t", rootfs.Volume{Dest: "/t", ReadOnly: true})
	set := func(version, text string) {
		t.Helper()
		dir := filepath.Join(v, version)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(v, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(v, "..new"), filepath.Join(v, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	set("..1", "one")
	if err := os.Symlink("..data/token", filepath.Join(v, "token")); err != nil {
		t.Fatal(err)
	}
	r := b.start(t)
	b.awaitOutput(t, "ready")
	set("..2", "two")
	wait(t, r.Done())
	if out := b.output(t); !strings.HasSuffix(out, "two\n") {
		t.Errorf("output %q", out)
	}
}
