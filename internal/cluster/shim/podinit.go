//go:build linux

package shim

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// fdDaemon is where the daemon hears of a pod's pid 1.
const fdDaemon = 3

// PodInit is pid 1 of a pod whose containers share processes. It reaps, and
// ends when it is asked to and alone. Containers see it, so that it has an empty
// root, no rights, and nothing open.
func PodInit() error {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT)
	daemon, err := fdsock.FromFile(os.NewFile(fdDaemon, "daemon"))
	if err != nil {
		return err
	}
	proc, err := newProc()
	if err != nil {
		return errors.Join(err, daemon.Send(event{Kind: evError, Error: err.Error()}))
	}
	err = daemon.Send(event{Kind: evOK}, proc)
	if err := errors.Join(err, proc.Close()); err != nil {
		return err
	}
	if _, err := daemon.Recv(&request{}); err != nil {
		return err // nobody would know of us
	}
	if err := errors.Join(emptyRoot(), renounce()); err != nil {
		return errors.Join(err, daemon.Send(event{Kind: evError, Error: err.Error()}))
	}
	if err := errors.Join(daemon.Send(event{Kind: evOK}), daemon.Close()); err != nil {
		return err
	}
	awaitAlone(signals)
	return nil
}

// newProc makes a mount of the caller's pid namespace that has no place yet.
func newProc() (*os.File, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount proc: %w", err)
	}
	return os.NewFile(uintptr(fd), "proc"), nil
}

// emptyRoot makes the working directory all there is.
func emptyRoot() error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	if err := unix.Mount(here, here, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", here, err)
	}
	attrs := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(unix.AT_FDCWD, here, 0, attrs); err != nil {
		return fmt.Errorf("make %s read-only: %w", here, err)
	}
	if err := unix.Chdir(here); err != nil { // the mount, not what it covers
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the node's root: %w", err)
	}
	return unix.Chdir("/")
}

// renounce gives up all rights for good. Without SYS_PTRACE nobody may enter.
func renounce() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("close to others: %w", err)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	runtime.KeepAlive(&none)
	if errno != 0 {
		return fmt.Errorf("drop rights: %w", errno)
	}
	return nil
}

// lookAround is how often pid 1 that was asked to end looks whether it is alone.
const lookAround = 50 * time.Millisecond

// awaitAlone reaps until it was asked to end and no other process is left: the
// shims end their containers, with the time that those have for it.
func awaitAlone(signals <-chan os.Signal) {
	var look <-chan time.Time
	for {
		select {
		case s := <-signals:
			if s != unix.SIGCHLD && look == nil {
				tick := time.NewTicker(lookAround)
				defer tick.Stop()
				look = tick.C
			}
			reapAll()
		case <-look:
			if reapAll(); errors.Is(unix.Kill(-1, 0), unix.ESRCH) {
				return
			}
		}
	}
}

func reapAll() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if !errors.Is(err, unix.EINTR) && pid <= 0 {
			return
		}
	}
}
