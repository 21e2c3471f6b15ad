//go:build linux

package shim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signals is one more than the highest number of a signal.
const signals = 65

// start is what the child of forkCopy needs, in the form that system calls take.
type start struct {
	path, dir  *byte
	argv, envv **byte
	files      [3]uintptr
	terminal   bool
	identity   bool
	uid, gid   uintptr
	groups     *uint32
	groupCount uintptr
	oomFile    *byte
	oom        *byte
	oomLen     uintptr
	report     uintptr
	mask       unix.Sigset_t
	nothing    [4]uint64 // the kernel's sigaction for the default
	errno      uint32
}

// forkCopy is syscall.ForkExec for processes that start in another pid
// namespace than ours. That function lends the child our memory until it runs its program. Whoever
// may trace processes there could use that to get hold of us, outside. This
// child has a copy, and with it no more than its container will have.
func forkCopy(path string, p Process, attr *syscall.ProcAttr, oom int) (int, error) {
	s, keep, err := newStart(path, p, attr, oom)
	if err != nil {
		return 0, err
	}
	report, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer report.Close()
	files, err := above(append(append([]uintptr{}, attr.Files...), theirs.Fd()))
	err = errors.Join(err, theirs.Close())
	defer func() {
		for _, fd := range files {
			_ = unix.Close(int(fd)) // copies
		}
	}()
	if err != nil {
		return 0, err
	}
	copy(s.files[:], files)
	s.report = files[len(files)-1]

	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	syscall.ForkLock.Lock()
	err = unix.PthreadSigmask(unix.SIG_SETMASK, &all, &s.mask)
	if err != nil {
		syscall.ForkLock.Unlock()
		return 0, err
	}
	pid, errno := clone(s)
	err = unix.PthreadSigmask(unix.SIG_SETMASK, &s.mask, nil)
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(keep)
	if errno != 0 {
		return 0, errors.Join(errno, err)
	}
	_ = unix.Close(int(s.report))
	files = files[:len(files)-1]
	return finishFork(int(pid), report, err)
}

// finishFork waits until the program runs or could not be started.
func finishFork(pid int, report *os.File, err error) (int, error) {
	var answer [4]byte
	if n, _ := report.Read(answer[:]); n == len(answer) { // the end of the file is the good news
		err = errors.Join(err, syscall.Errno(binary.NativeEndian.Uint32(answer[:])))
	}
	if err == nil {
		return pid, nil
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	for {
		if _, waitErr := unix.Wait4(pid, nil, 0, nil); !errors.Is(waitErr, unix.EINTR) {
			return 0, err
		}
	}
}

// newStart prepares the arguments. What keep holds must live until the fork.
func newStart(path string, p Process, attr *syscall.ProcAttr, oom int) (s *start, keep []any, err error) {
	s = &start{terminal: attr.Sys.Setctty, oomLen: uintptr(len(strconv.Itoa(oom)))}
	argv, err1 := syscall.SlicePtrFromStrings(p.Args)
	envv, err2 := syscall.SlicePtrFromStrings(attr.Env)
	s.path, err = syscall.BytePtrFromString(path)
	var err3, err4, err5 error
	s.dir, err3 = syscall.BytePtrFromString(attr.Dir)
	s.oomFile, err4 = syscall.BytePtrFromString("/proc/self/oom_score_adj")
	s.oom, err5 = syscall.BytePtrFromString(strconv.Itoa(oom))
	if err := errors.Join(err, err1, err2, err3, err4, err5); err != nil {
		return nil, nil, fmt.Errorf("a string with a NUL byte: %w", err)
	}
	if oom == 0 {
		s.oomLen = 0
	}
	s.argv, s.envv = &argv[0], &envv[0]
	keep = []any{argv, envv}
	if cred := attr.Sys.Credential; cred != nil {
		s.identity, s.uid, s.gid = true, uintptr(cred.Uid), uintptr(cred.Gid)
		if n := len(cred.Groups); n > 0 {
			s.groups, s.groupCount = &cred.Groups[0], uintptr(n)
		}
	}
	return s, keep, nil
}

// above copies descriptors to places where the child does not overwrite them with its own three.
func above(fds []uintptr) ([]uintptr, error) {
	var copies []uintptr
	for _, fd := range fds {
		n, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return copies, err
		}
		copies = append(copies, uintptr(n))
	}
	return copies, nil
}

// clone forks. In the child nothing but system calls may happen: it has one
// thread of the runtime's many, and whatever locks the others held.
//
//go:norace
//go:nosplit
//go:nocheckptr
func clone(s *start) (pid uintptr, errno syscall.Errno) {
	pid, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	errno = become(s)
	s.errno = uint32(errno)
	_ = call(syscall.SYS_WRITE, s.report, uintptr(unsafe.Pointer(&s.errno)), unsafe.Sizeof(s.errno))
	for {
		_ = call(syscall.SYS_EXIT_GROUP, 253, 0, 0)
	}
}

// call is a system call whose result is whether it worked.
//
//go:norace
//go:nosplit
//go:nocheckptr
func call(number, a, b, c uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(number, a, b, c, 8, 0, 0) // 8 is the size of a set of signals, for the calls that have one
	return errno
}

// become runs the program, or tells why not.
//
//go:norace
//go:nosplit
//go:nocheckptr
func become(s *start) syscall.Errno {
	for n := uintptr(1); n < signals; n++ { // the runtime's handlers are not for here; SIGKILL and SIGSTOP refuse
		_ = call(syscall.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&s.nothing)), 0)
	}
	if errno := call(syscall.SYS_SETSID, 0, 0, 0); errno != 0 {
		return errno
	}
	if s.oomLen != 0 { // a hint only
		const here = ^uintptr(99) // AT_FDCWD
		fd, _, errno := syscall.RawSyscall6(syscall.SYS_OPENAT, here, uintptr(unsafe.Pointer(s.oomFile)), syscall.O_WRONLY|syscall.O_CLOEXEC, 0, 0, 0)
		if errno == 0 {
			_ = call(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(s.oom)), s.oomLen)
		}
	}
	if s.identity {
		if errno := call(syscall.SYS_SETGROUPS, s.groupCount, uintptr(unsafe.Pointer(s.groups)), 0); errno != 0 {
			return errno
		}
		if errno := call(syscall.SYS_SETGID, s.gid, 0, 0); errno != 0 {
			return errno
		}
		if errno := call(syscall.SYS_SETUID, s.uid, 0, 0); errno != 0 {
			return errno
		}
	}
	if errno := call(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(s.dir)), 0, 0); errno != 0 {
		return errno
	}
	for i := range s.files {
		if errno := call(syscall.SYS_DUP3, s.files[i], uintptr(i), 0); errno != 0 {
			return errno
		}
	}
	if s.terminal {
		if errno := call(syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 1); errno != 0 {
			return errno
		}
	}
	if errno := call(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&s.mask)), 0); errno != 0 {
		return errno
	}
	return call(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(s.path)), uintptr(unsafe.Pointer(s.argv)), uintptr(unsafe.Pointer(s.envv)))
}
