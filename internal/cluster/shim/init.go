//go:build linux

package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
)

// Descriptors that the shim passes to init after stdin, stdout and stderr.
const (
	fdLink = 3
	fdSpec = 4
)

// mainID is the id of the container's own process; those of exec count from 1.
const mainID = 0

// Init is pid 1 of a container, unless that shares the processes of others. It
// builds the root, starts the container's process, reaps, starts what exec asks
// for, and ends with the process.
func Init(now func() time.Time) error {
	link, err := fdsock.FromFile(os.NewFile(fdLink, "link"))
	if err != nil {
		return err
	}
	c := &container{link: link, now: now, jobs: make(chan func()), running: map[int]int{}}
	if err := c.start(); err != nil {
		return errors.Join(err, link.Send(event{Kind: evError, Error: err.Error()}))
	}
	defer c.endOthers()
	return c.serve()
}

// container is the state of pid 1.
type container struct {
	spec Spec
	link *fdsock.Conn
	now  func() time.Time
	// jobs run on the one thread whose rights are those of the container.
	jobs chan func()
	// pids is the namespace to join, mountNS the container's own, where init is outside of its pid namespace.
	pids    *os.File
	mountNS string

	mu      sync.Mutex // held while forking, so that no child is reaped before it is known
	running map[int]int
	mainPID int
	started time.Time
}

func (c *container) start() error {
	data, err := readSpec()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &c.spec); err != nil {
		return fmt.Errorf("decode container specification: %w", err)
	}
	unix.Umask(0o022)
	if c.spec.OOMScoreAdj != 0 {
		// Also for init: it is process 1, where tools look, and children inherit it.
		// Lowering needs a right that users do not have; it is a hint only.
		// Before the next step, after which the file belongs to the host's root.
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(c.spec.OOMScoreAdj)), 0)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("close init to its container: %w", err)
	}
	entry, err := c.spec.Cgroup.Enter()
	if err != nil {
		return err
	}
	if c.spec.sharesProcesses() {
		c.spec.Root.SharedProc = true
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("become child subreaper: %w", err)
		}
	}
	if c.spec.Hostname != "" {
		if err := unix.Sethostname([]byte(c.spec.Hostname)); err != nil {
			return fmt.Errorf("set hostname %s: %w", c.spec.Hostname, err)
		}
	}
	if err := c.openJoined(); err != nil {
		return err
	}
	rootfs.OwnGroups() // asks /proc, which may be of another namespace later
	c.spec.Root.Cgroups = c.spec.Cgroup.Shown()
	c.spec.Root.OwnerUID, c.spec.Root.OwnerGID = c.spec.Process.UID, c.spec.Process.GID
	if err := rootfs.Build(c.spec.Root); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go c.spawner(entry, ready)
	if err := <-ready; err != nil {
		return err
	}
	if !c.spec.joinsProcesses() { // else nothing in the container sees init
		if err := limitAllThreads(c.spec.Process); err != nil {
			return err
		}
	}
	c.jobs <- func() { ready <- confineLast(c.spec.Process) }
	return <-ready
}

func readSpec() ([]byte, error) {
	f := os.NewFile(fdSpec, "spec")
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("container specification: %w", err)
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, fmt.Errorf("read container specification: %w", err)
	}
	return data, nil
}

// spawner owns a thread that gives up what the container must not have. All
// children are forked by it and inherit that.
func (c *container) spawner(entry *cgroup.Entry, ready chan<- error) {
	runtime.LockOSThread()
	err := entry.Finish()
	if err == nil && c.pids != nil {
		err = errors.Join(unix.Setns(int(c.pids.Fd()), unix.CLONE_NEWPID), c.pids.Close())
		if err != nil {
			err = fmt.Errorf("join pid namespace: %w", err)
		}
	}
	if err == nil && len(c.spec.Cgroup) > 0 {
		// From now on the own group is the top of what /proc/self/cgroup and mountinfo tell.
		if err = unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			err = fmt.Errorf("cgroup namespace: %w", err)
		}
	}
	if err == nil {
		err = confine(c.spec.Process)
	}
	ready <- err
	if err != nil {
		return
	}
	for job := range c.jobs {
		job()
	}
}

// confine gives up rights of the calling thread.
func confine(p Process) error {
	if err := dropBounding(p.Caps); err != nil {
		return err
	}
	if !p.NoNewPrivs { // only SYS_ADMIN may install a filter then
		if err := filter(p.Seccomp); err != nil {
			return err
		}
	}
	if err := limitThread(p); err != nil {
		return fmt.Errorf("%w: a seccomp profile must allow capset where allowPrivilegeEscalation is not false", err)
	}
	return nil
}

// confineLast gives up what the calling thread needed until all of init was limited.
func confineLast(p Process) error {
	if !p.NoNewPrivs {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return filter(p.Seccomp)
}

// filter installs a filter of system calls, for the calling thread and what it forks.
func filter(program []byte) error {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	n := len(program) / size
	if n == 0 {
		return nil
	}
	if n > unix.BPF_MAXINSNS || len(program)%size != 0 {
		return fmt.Errorf("seccomp filter of %d bytes", len(program))
	}
	prog := unix.SockFprog{Len: uint16(n), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return fmt.Errorf("install seccomp filter: %w", err)
	}
	runtime.KeepAlive(program)
	return nil
}

// serve starts the container's process and runs until that has ended.
func (c *container) serve() error {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	// Signals that are caught here have their default effect again in children, also if whoever started us ignored them.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	main := c.spec.Process
	if err := c.spawn(mainID, main, []*os.File{os.Stdin, os.Stdout, os.Stderr}); err != nil {
		return c.link.Send(event{Kind: evError, Error: err.Error()})
	}
	// From here on only the process itself holds its output open.
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if err := f.Close(); err != nil {
			return err
		}
	}
	go c.obey()
	for s := range signals {
		if s != unix.SIGCHLD {
			c.signal(mainID, s.(syscall.Signal))
			continue
		}
		if c.reap() {
			return nil
		}
	}
	return nil
}

// obey carries out what the shim asks for. Without a shim the container ends.
func (c *container) obey() {
	for {
		var r request
		files, err := c.link.Recv(&r)
		if err != nil {
			c.endOthers()
			os.Exit(1)
		}
		switch r.Op {
		case opSignal:
			c.signal(r.ID, syscall.Signal(r.Signal))
		case opEnd:
			c.killDescendants()
		case opExec:
			if err := c.spawn(r.ID, *r.Process, files); err != nil {
				err = c.link.Send(event{Kind: evError, ID: r.ID, Error: err.Error()})
				if err != nil {
					os.Exit(1)
				}
			}
		}
		fdsock.CloseAll(files)
	}
}

func (c *container) signal(id int, s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == mainID {
		if c.mainPID != 0 {
			_ = unix.Kill(c.mainPID, s)
		}
		return
	}
	for pid, running := range c.running {
		if running == id {
			_ = unix.Kill(-pid, s)
		}
	}
}

// reap collects ended children and tells whether the container's process was among them.
func (c *container) reap() bool {
	for {
		c.mu.Lock()
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		id, known := c.running[pid]
		if pid > 0 {
			delete(c.running, pid)
		}
		c.mu.Unlock()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return false
		}
		if !known {
			continue // a grandchild that came to us
		}
		exit := exitOf(ws)
		exit.StartedAt, exit.FinishedAt = c.started, c.now()
		if err := c.link.Send(event{Kind: evExit, ID: id, Exit: &exit}); err != nil {
			return true
		}
		if id == mainID {
			return true
		}
	}
}

// exitOf translates a wait status as shells do: 128 + signal.
func exitOf(ws unix.WaitStatus) Exit {
	e := Exit{Code: ws.ExitStatus(), Reason: ReasonCompleted}
	if ws.Signaled() {
		e.Signal = int(ws.Signal())
		e.Code = 128 + e.Signal
	}
	if e.Code != 0 {
		e.Reason = ReasonError
	}
	return e
}
