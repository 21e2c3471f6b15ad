//go:build linux

package shim

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// initCaps are what init needs when the root stands: to start processes as
// other users, with bounds and their place in the order of who goes first when
// memory runs out, give them terminals and their working directories, and end them.
var initCaps = []uintptr{
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_DAC_OVERRIDE, unix.CAP_KILL,
	unix.CAP_SYS_RESOURCE,
}

// The init of a container closes itself to the container: it cannot be traced
// without SYS_PTRACE. Who has that, a container as `kubectl debug` makes it,
// enters init and must not find the rights there that built the root, with
// which it could unmount what hides the platform's data.

// rightsOfInit are what init keeps.
func rightsOfInit(p Process) []uintptr { return append(slices.Clone(initCaps), p.Caps...) }

// boundInit is for the thread that starts init: a program that init is made to
// run must not bring back what init has given up. Init itself still starts with
// all rights, as they are inherited.
func boundInit(p Process) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read rights: %w", err)
	}
	for i := range have {
		have[i].Inheritable = have[i].Permitted
	}
	if err := unix.Capset(&header, &have[0]); err != nil {
		return fmt.Errorf("make rights inheritable: %w", err)
	}
	return dropBounding(rightsOfInit(p))
}

// dropBounding leaves the calling thread, and what it starts, no way to gain others than these.
func dropBounding(keep []uintptr) error {
	for n := uintptr(0); n <= 63; n++ {
		if slices.Contains(keep, n) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // one more than the kernel knows
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", n, err)
		}
	}
	return nil
}

// limited are the rights that are left of those of the calling thread.
func limited(p Process) (*unix.CapUserHeader, *[2]unix.CapUserData, error) {
	var set [2]uint32
	for _, n := range rightsOfInit(p) {
		set[n/32] |= 1 << (n % 32)
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(header, &have[0]); err != nil {
		return nil, nil, fmt.Errorf("read init's rights: %w", err)
	}
	for i := range have {
		have[i].Permitted &= set[i]
		have[i].Effective &= set[i]
		have[i].Inheritable = 0
	}
	return header, &have, nil
}

// limitThread takes rights from the calling thread.
func limitThread(p Process) error {
	header, rights, err := limited(p)
	if err != nil {
		return err
	}
	if err := unix.Capset(header, &rights[0]); err != nil {
		return fmt.Errorf("drop init's rights: %w", err)
	}
	return nil
}

// limitAllThreads takes rights from init as a whole.
func limitAllThreads(p Process) error {
	header, rights, err := limited(p)
	if err != nil {
		return err
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(rights)), 0)
	runtime.KeepAlive(header)
	runtime.KeepAlive(rights)
	if errno != 0 {
		return fmt.Errorf("drop init's rights: %w", errno)
	}
	return nil
}
