//go:build linux

package shim

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/execpath"
)

// spawn starts a process in the container and tells the shim. With a terminal
// the files are ignored and the terminal's other end goes to the shim.
func (c *container) spawn(id int, p Process, files []*os.File) error {
	ev := event{Kind: evStarted, ID: id}
	var master *os.File
	if p.TTY {
		m, slave, err := openTerminal(p.UID)
		if err != nil {
			return err
		}
		defer m.Close()
		defer slave.Close()
		master, files = m, []*os.File{slave, slave, slave}
	}
	if len(files) != 3 {
		return fmt.Errorf("%d files for a process, expected 3", len(files))
	}
	attr, path, err := c.prepare(p, files)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock() // until it is told: its end must not be told before
	pid, err := c.fork(path, p, attr)
	if err != nil {
		return fmt.Errorf("start %q: %w", p.Args[0], explain(err))
	}
	c.running[pid] = id
	if id == mainID {
		c.mainPID, c.started = pid, c.now()
		ev.At = c.started
	}
	ev.PID = pid
	if master != nil {
		return c.link.Send(ev, master)
	}
	return c.link.Send(ev)
}

// prepare turns p into what fork needs.
func (c *container) prepare(p Process, files []*os.File) (*syscall.ProcAttr, string, error) {
	if len(p.Args) == 0 {
		return nil, "", errors.New("no command given")
	}
	cwd := p.Cwd
	if cwd == "" {
		cwd = "/"
	}
	if err := os.MkdirAll(cwd, 0o755); err != nil {
		return nil, "", fmt.Errorf("working directory: %w", err)
	}
	path, err := execpath.Find(p.Args[0], cwd, p.Env)
	if errors.Is(err, execpath.ErrNotFound) && len(c.spec.Root.Layers) == 0 {
		err = fmt.Errorf("%w: the host's own tools serve as the image, so it has to be installed on the host", err)
	}
	if err != nil {
		return nil, "", err
	}
	attr := &syscall.ProcAttr{
		Dir: cwd, Env: p.Env,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: p.TTY},
	}
	if p.UID != 0 || p.GID != 0 || len(p.Groups) > 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: p.UID, Gid: p.GID, Groups: p.Groups}
	} else if rootfs.OwnGroups() {
		attr.Sys.Credential = &syscall.Credential{} // drops the groups of whoever started the platform
	}
	for _, f := range files {
		fd := f.Fd()
		if p.UID != 0 && !p.TTY {
			// So that /dev/stdout can be opened by this user. Not possible for /dev/null and not needed.
			_ = unix.Fchown(int(fd), int(p.UID), -1)
		}
		attr.Files = append(attr.Files, fd)
	}
	return attr, path, nil
}

// fork runs on the confined thread.
func (c *container) fork(path string, p Process, attr *syscall.ProcAttr) (pid int, err error) {
	done := make(chan struct{})
	c.jobs <- func() {
		defer close(done)
		restore := c.boundProcesses()
		if c.spec.joinsProcesses() {
			pid, err = forkCopy(path, p, attr, c.spec.OOMScoreAdj)
		} else {
			pid, err = syscall.ForkExec(path, p.Args, attr)
		}
		restore(pid)
	}
	<-done
	return pid, err
}

// boundProcesses lets what is forked next start with a bound, which the
// returned function makes final for the child and takes from init again: init
// needs its threads.
func (c *container) boundProcesses() (restore func(pid int)) {
	var own unix.Rlimit
	if c.spec.Processes == 0 || unix.Getrlimit(unix.RLIMIT_NPROC, &own) != nil {
		return func(int) {}
	}
	bound := min(c.spec.Processes, own.Max)
	if unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: bound, Max: own.Max}) != nil {
		return func(int) {}
	}
	return func(pid int) {
		if pid > 0 {
			_ = unix.Prlimit(pid, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: bound, Max: bound}, nil) // ended already
		}
		_ = unix.Setrlimit(unix.RLIMIT_NPROC, &own) // up to the old bound is always allowed
	}
}

// explain adds what the bare error of exec does not say.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w: not a program for this machine, and without a #! line", err)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w: the program, or the interpreter that it names, is not there", err)
	}
	return err
}

// openTerminal makes a terminal in the container's own devpts.
func openTerminal(uid uint32) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil && uid != 0 {
		err = unix.Fchown(int(slave.Fd()), int(uid), -1)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open terminal: %w", err), master.Close())
	}
	return master, slave, nil
}

// isTTYEnd tells whether a terminal was read after its last user closed it.
func isTTYEnd(err error) bool { return errors.Is(err, syscall.EIO) }

// setSize tells a terminal how large its window is.
func setSize(master *os.File, width, height uint16) error {
	return unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
}
