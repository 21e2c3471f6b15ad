//go:build linux

package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/thread"
)

// A container may live in a pid namespace that is not its own: that of its pod,
// or that of the container that it debugs. Its init stays outside then, and
// only what it starts is inside. A container with SYS_PTRACE could otherwise
// catch another's init while that builds its root, with all rights and the
// whole node in view.

// Member is a process that others join.
type Member struct {
	PID   int
	Start uint64 // with the pid it names the process for good
}

// joinsProcesses tells whether what init starts is in a pid namespace without init.
func (s Spec) joinsProcesses() bool { return s.Namespaces[NamespacePID] != "" }

// openJoined opens the namespace to join and its /proc, while the node is in view.
func (c *container) openJoined() error {
	if !c.spec.joinsProcesses() {
		return nil
	}
	pids, err := os.Open(c.spec.Namespaces[NamespacePID])
	if err != nil {
		return fmt.Errorf("open pid namespace: %w", err)
	}
	c.pids = pids
	if c.mountNS, err = os.Readlink("/proc/self/ns/mnt"); err != nil {
		return err
	}
	if c.spec.Target == nil {
		c.spec.Root.ProcFD, err = openProc(c.spec.Proc)
		return err
	}
	c.spec.Root.ProcFD, err = c.spec.Target.proc()
	return err
}

// proc copies the mount of /proc in the mount namespace of m: there is no other
// way to one of its pid namespace but to be in it.
func (m Member) proc() (int, error) {
	mounts, err := os.Open(filepath.Join("/proc", strconv.Itoa(m.PID), "ns", "mnt"))
	if err != nil {
		return 0, fmt.Errorf("the container to join has ended: %w", err)
	}
	defer mounts.Close()
	// Only now that its namespaces are open does its start say whose they are.
	if start, err := ProcessStart(m.PID); err != nil || start != m.Start {
		return 0, errors.New("the container to join has ended")
	}
	tree := 0
	err = thread.Own(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(mounts.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("join mount namespace: %w", err)
		}
		tree, err = openProc("/proc")
		return err
	})
	return tree, err
}

// openProc copies a mount of proc, for a place of its own.
func openProc(at string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return 0, &os.PathError{Op: "open_tree", Path: at, Err: err}
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return 0, errors.Join(err, fmt.Errorf("%s of the container to join is a volume, not the kernel's", at), unix.Close(fd))
	}
	return fd, nil
}

const (
	// endPatience bounds the wait for killed processes to be gone.
	endPatience = 2 * time.Second
	endTick     = 2 * time.Millisecond
)

// endMountNamespace kills what lives in a mount namespace, as far as this
// process sees it. A container has one of its own, whatever else it shares.
func endMountNamespace(ns string) {
	tick := time.NewTicker(endTick)
	defer tick.Stop()
	late := time.NewTimer(endPatience)
	defer late.Stop()
	for killMountNamespace(ns) {
		select {
		case <-tick.C:
		case <-late.C:
			return
		}
	}
}

// killMountNamespace tells whether there was anything. It names processes by
// their directories: init's /proc counts otherwise than init itself.
func killMountNamespace(ns string) bool {
	proc, err := os.Open("/proc")
	if err != nil {
		return false
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return false
	}
	found := false
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil {
			continue
		}
		dir, err := unix.Openat(int(proc.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // ended
		}
		if linkAt(dir, "ns/mnt") == ns {
			found = true
			_ = unix.PidfdSendSignal(dir, unix.SIGKILL, nil, 0) // may have ended
		}
		_ = unix.Close(dir) // was only read
	}
	return found
}

func linkAt(dir int, name string) string {
	var buf [64]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
