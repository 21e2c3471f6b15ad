//go:build linux

package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// hostMounts reads the mounts of the calling process.
func hostMounts() ([]Mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	defer f.Close()
	return ParseMounts(f)
}

// listHost reads one directory of the host for the plan, sorted by names.
func listHost(dir string) ([]entry, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read host directory: %w", err)
	}
	var entries []entry
	for _, d := range names {
		at := filepath.Join(dir, d.Name())
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			// A broken mount (stale NFS, dead FUSE) must not keep containers from starting.
			continue
		}
		e := entry{Name: d.Name(), Mode: info.Mode()}
		switch {
		case e.Mode&fs.ModeSymlink != 0:
			if e.Target, err = os.Readlink(at); err != nil {
				continue
			}
		case e.Mode.IsDir() && !slices.Contains(fresh, at): // reading /proc takes long where much runs
			e.Plain = plainDir(at)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// lockedBelow asks the kernel with the same check that an overlay makes:
// a directory with locked mounts below cannot be cloned without them.
func lockedBelow(dir string) bool {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return true
	}
	return unix.Close(fd) != nil
}

// plainDir tells whether nothing can be seen in dir, so that an overlay would show nothing.
func plainDir(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return true
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return errors.Is(err, io.EOF)
}
