//go:build linux

package shim

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// initCaps are what init needs when the root stands: to start processes as
// other users, give them terminals and their working directories, and end them.
var initCaps = []uintptr{
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_DAC_OVERRIDE, unix.CAP_KILL,
}

// dropInitRights leaves the init of a container with SYS_PTRACE, as `kubectl
// debug` makes it, no more than that and what the container has: it may enter
// init and must not find the rights there that built its root, with which it
// could unmount what hides the platform's data. Any other init keeps them all,
// because that is what closes it to the container.
func dropInitRights(p Process) error {
	if !slices.Contains(p.Caps, uintptr(unix.CAP_SYS_PTRACE)) {
		return nil
	}
	var set [2]uint32
	for _, n := range append(append([]uintptr{}, initCaps...), p.Caps...) {
		set[n/32] |= 1 << (n % 32)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read init's rights: %w", err)
	}
	for i := range have {
		have[i].Permitted &= set[i]
		have[i].Effective &= set[i]
		have[i].Inheritable = 0
	}
	for n := range uintptr(len(set) * 32) {
		if set[n/32]&(1<<(n%32)) != 0 {
			continue
		}
		// Or whoever has entered init gets them back with the next program that it makes init run.
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, n, 0, 0, 0, 0)
		if errno == unix.EINVAL {
			break // one more than the kernel knows
		}
		if errno != 0 {
			return fmt.Errorf("drop init's right %d: %w", n, errno)
		}
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&have[0])), 0)
	runtime.KeepAlive(&have)
	if errno != 0 {
		return fmt.Errorf("drop init's rights: %w", errno)
	}
	return nil
}
