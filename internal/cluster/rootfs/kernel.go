//go:build linux

package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// devices are what every container has; GPUs are given by the device plugin.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// mountDev gives the container a /dev of its own. The host's cannot be used:
// the kubelet mounts /dev/termination-log into it.
func (b *builder) mountDev() error {
	dev := b.root("/dev")
	if err := unix.Mount(OwnSource, dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	all := b.Devices
	for _, name := range devices {
		all = append(all, Device{"/dev/" + name, "/dev/" + name})
	}
	for _, d := range all {
		if err := b.bindDevice(d); err != nil {
			return err
		}
	}
	for _, l := range [][2]string{
		{"/proc/self/fd", "fd"},
		{"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"},
		{"pts/ptmx", "ptmx"},
	} {
		if err := os.Symlink(l[0], filepath.Join(dev, l[1])); err != nil {
			return err
		}
	}
	return b.mountPtsAndShm(dev)
}

func (b *builder) bindDevice(d Device) error {
	dest := path.Clean(d.Dest)
	if !within(dest, "/dev") || dest == "/dev" {
		return fmt.Errorf("device %s: the path in the container must lie below /dev", d.Dest)
	}
	at := b.root(dest)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil // asked for by the pod and in the default list
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return bindTree(d.Source, at, false)
}

func (b *builder) mountPtsAndShm(dev string) error {
	pts, shm := filepath.Join(dev, "pts"), filepath.Join(dev, "shm")
	if err := errors.Join(os.Mkdir(pts, 0o755), os.Mkdir(shm, 0o755)); err != nil {
		return err
	}
	opts := "newinstance,ptmxmode=0666,mode=0620"
	if !b.userNS {
		opts += ",gid=5" // tty; not mapped in a user's namespace
	}
	if err := unix.Mount(OwnSource, pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, opts); err != nil {
		return fmt.Errorf("devpts: %w", err)
	}
	if b.Shm != "" {
		if err := bindTree(b.Shm, shm, false); err != nil {
			return fmt.Errorf("shm: %w", err)
		}
		return nil
	}
	opts = "mode=1777"
	if b.ShmBytes > 0 {
		opts += ",size=" + strconv.FormatInt(b.ShmBytes, 10)
	}
	if err := unix.Mount(OwnSource, shm, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, opts); err != nil {
		return fmt.Errorf("shm: %w", err)
	}
	return nil
}

// What of /proc real root could use against the host. An ordinary user's root
// has no power over these files anyway.
var (
	procReadOnly = []string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
	procMasked   = []string{"acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"}
)

func (b *builder) mountKernel() error {
	proc := b.root("/proc")
	if err := b.mountProc(proc); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if !b.userNS {
		if err := protectProc(proc); err != nil {
			return err
		}
	}
	if err := bindTree("/sys", b.root("/sys"), true); err != nil {
		return err
	}
	return b.mountCgroups()
}

// mountCgroups shows the container its own cgroups in place of the host's, as
// programs expect it that size themselves by their limits.
func (b *builder) mountCgroups() error {
	if len(b.Cgroups) == 0 {
		return nil
	}
	top := b.root("/sys/fs/cgroup")
	if dir := b.Cgroups[""]; dir != "" {
		return bindTree(dir, top, true)
	}
	// Version 1 is for root only, whose mounts are not locked together: those that
	// the host's /sys brought along would still stand in the list of mounts.
	if err := unix.Unmount(top, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount the host's %s: %w", top, err)
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount(OwnSource, top, "tmpfs", flags, "mode=755,size=4k,nr_inodes=16"); err != nil {
		return fmt.Errorf("%s: %w", top, err)
	}
	for name, dir := range b.Cgroups {
		at := filepath.Join(top, name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := bindTree(dir, at, true); err != nil {
			return err
		}
	}
	return unix.Mount("", top, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags, "")
}

func (b *builder) mountProc(proc string) error {
	if b.ProcFD != 0 {
		return errors.Join(unix.MoveMount(b.ProcFD, "", unix.AT_FDCWD, proc, unix.MOVE_MOUNT_F_EMPTY_PATH), unix.Close(b.ProcFD))
	}
	err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.EPERM) && b.SharedProc {
		err = bindTree("/proc", proc, false) // of the host: an ordinary user cannot mount it anew
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: parts of /proc are covered by other mounts, as in an unprivileged container; run on the host or in a container with --privileged", err)
	}
	return err
}

func protectProc(proc string) error {
	for _, name := range procReadOnly {
		at := filepath.Join(proc, name)
		if err := bindTree(at, at, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range procMasked {
		at := filepath.Join(proc, name)
		info, err := os.Lstat(at)
		if err != nil {
			continue
		}
		if info.IsDir() {
			err = unix.Mount(OwnSource, at, "tmpfs", unix.MS_RDONLY, "size=4k,nr_inodes=2")
		} else {
			err = unix.Mount("/dev/null", at, "", unix.MS_BIND, "")
		}
		if err != nil {
			return fmt.Errorf("mask %s: %w", strings.TrimPrefix(at, proc), err)
		}
	}
	return nil
}
