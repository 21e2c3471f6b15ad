//go:build linux

package shim_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// TestRun_fullDisk ends a container after its disk was filled: neither does it
// hang on its log, nor is its result lost.
func TestRun_fullDisk(t *testing.T) {
	b := newBox(t, `echo ready; while [ ! -e /tmp/go ]; do sleep 0.02; done; seq 1 100000; exit 7`)
	disk := filepath.Join(b.data, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("test", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	b.dir = filepath.Join(disk, "c")
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.spec.Root.Scratch, b.spec.LogPath = filepath.Join(b.dir, "root"), filepath.Join(disk, "log")
	r := b.start(t)
	b.awaitOutput(t, "ready")
	// /tmp of the container lies on the same disk; the file that lets it go on needs no space.
	fill(t, filepath.Join(disk, "fill"))
	release(t, r, b)
	wait(t, r.Done())
	if e := b.exit(t); e.Code != 7 || e.Reason != shim.ReasonError {
		t.Errorf("exit %+v", e)
	}
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.WriteString(strings.Repeat("x", 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
