//go:build linux

package holder

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/procs"
)

// server is the state of a holder.
type server struct {
	jobs       chan func() // run on the thread that all daemons are children of
	done       chan struct{}
	podNetwork bool

	mu       sync.Mutex
	changed  *sync.Cond // the daemon ended
	conns    map[*fdsock.Conn]bool
	daemon   int
	owner    *fdsock.Conn // of the daemon
	stopping bool
	told     map[int]bool // children that were asked to end
	waiting  []waiter     // for the shutdown
	ended    bool
}

type waiter struct {
	conn *fdsock.Conn
	id   int
}

// Run is the main function of a holder. The process was started in its
// namespaces by [Ensure].
func Run(runtimeDir, dataDir string, podNetwork bool) error {
	// Caught and dropped: ignored signals would stay ignored in the programs that are started from here.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	if err := awaitIDs(); err != nil {
		return err
	}
	unix.CloseOnExec(fdLock)
	first, err := fdsock.FromFile(os.NewFile(fdLauncher, "launcher"))
	if err != nil {
		return err
	}
	s := &server{
		jobs: make(chan func()), done: make(chan struct{}), podNetwork: podNetwork,
		conns: map[*fdsock.Conn]bool{first: true}, told: map[int]bool{},
	}
	s.changed = sync.NewCond(&s.mu)
	l, err := s.start(runtimeDir, dataDir)
	if err != nil {
		return errors.Join(err, first.Send(event{Error: err.Error()}))
	}
	defer func() { _ = l.Close() }()
	if err := first.Send(event{}); err != nil {
		return err
	}
	go s.serve(first)
	go s.accept(l)
	<-s.done
	return nil
}

func (s *server) start(runtimeDir, dataDir string) (*fdsock.Listener, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become child subreaper: %w", err)
	}
	if err := prepare(dataDir); err != nil {
		return nil, err
	}
	children := make(chan os.Signal, 64)
	signal.Notify(children, unix.SIGCHLD, unix.SIGTERM)
	go s.obeySignals(children)
	go s.spawner()
	return fdsock.Listen(filepath.Join(runtimeDir, socketName))
}

// spawner owns the thread that starts daemons: a daemon is killed when the
// thread that started it ends, and this one lasts as long as the holder.
func (s *server) spawner() {
	runtime.LockOSThread()
	for job := range s.jobs {
		job()
	}
}

func (s *server) obeySignals(signals <-chan os.Signal) {
	for sig := range signals {
		if sig == unix.SIGTERM {
			s.mu.Lock()
			s.shutdown(defaultWithin)
			s.mu.Unlock()
			continue
		}
		s.reap()
	}
}

func (s *server) accept(l *fdsock.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		go s.serve(conn)
	}
}

// serve answers one launcher until it goes.
func (s *server) serve(conn *fdsock.Conn) {
	defer s.lost(conn)
	for {
		var r request
		files, err := conn.Recv(&r)
		if err != nil {
			return
		}
		ev, reply := s.handle(conn, r, files)
		fdsock.CloseAll(files)
		if !reply {
			continue
		}
		ev.ID = r.ID
		if err := conn.Send(ev); err != nil {
			return
		}
	}
}

func (s *server) handle(conn *fdsock.Conn, r request, files []*os.File) (ev event, reply bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch r.Op {
	case opStart:
		ev.PID, err = s.startDaemon(conn, r.Command, files)
	case opSignal:
		err = s.signal(syscall.Signal(r.Signal))
	case opStatus:
		s.settle()
		ev.Status = &Status{PID: os.Getpid(), Daemon: s.daemon, PodNetwork: s.podNetwork, Orphans: s.orphans()}
	case opShutdown:
		s.waiting = append(s.waiting, waiter{conn, r.ID})
		s.shutdown(r.Within)
		return event{}, false
	default:
		err = fmt.Errorf("unknown request %q: the holder is older than the launcher; stop with `kiwerk down` and start again", r.Op)
	}
	if err != nil {
		ev.Error = err.Error()
	}
	return ev, true
}

// startDaemon forks the daemon; s.mu is held, so that it is not reaped before it is known.
func (s *server) startDaemon(conn *fdsock.Conn, c *wireCommand, files []*os.File) (int, error) {
	s.settle()
	switch {
	case s.stopping:
		return 0, errors.New("the cluster is being stopped; try again in a moment")
	case s.daemon != 0:
		return 0, fmt.Errorf("a daemon runs already (pid %d)", s.daemon)
	case c == nil || len(files) < 3:
		return 0, errors.New("no command, or fewer than three files given")
	}
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	var pid int
	var err error
	forked := make(chan struct{})
	s.jobs <- func() {
		defer close(forked)
		pid, err = syscall.ForkExec(c.Path, c.Args, attr)
	}
	<-forked
	if err != nil {
		return 0, fmt.Errorf("start daemon %s: %w", c.Path, err)
	}
	s.daemon, s.owner = pid, conn
	return pid, nil
}

// settle waits for the end of a daemon whose launcher is gone: it has been
// killed, or is about to be, and the next launcher need not hear of it.
func (s *server) settle() {
	for s.daemon != 0 && !s.stopping && (s.owner == nil || s.owner.PeerGone()) {
		s.changed.Wait()
	}
}

func (s *server) signal(sig syscall.Signal) error {
	if s.daemon == 0 {
		return errors.New("no daemon runs")
	}
	return unix.Kill(s.daemon, sig)
}

// lost ends what belongs to a launcher that is gone. Its daemon is killed as
// if it had crashed: nobody would hear of what it does.
func (s *server) lost(conn *fdsock.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	if s.owner == conn {
		s.owner = nil
		if s.daemon != 0 && !s.stopping {
			_ = unix.Kill(s.daemon, unix.SIGKILL)
		}
	}
	s.endIfIdle()
}

// reap collects ended children.
func (s *server) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		delete(s.told, pid)
		if pid == s.daemon {
			s.daemonEnded(ws)
		}
	}
	if s.stopping && s.daemon == 0 {
		s.tellOrphans(unix.SIGTERM)
	}
	s.endIfIdle()
}

func (s *server) daemonEnded(ws unix.WaitStatus) {
	exit := &Exit{Code: ws.ExitStatus()}
	if ws.Signaled() {
		exit.Code, exit.Signal = 128+int(ws.Signal()), int(ws.Signal())
	}
	s.daemon = 0
	if s.owner != nil {
		_ = s.owner.Send(event{Exit: exit}) // if the launcher is gone as well, lost hears of it
	}
	s.owner = nil
	s.changed.Broadcast()
}

// defaultWithin is longer than the usual grace period of a pod.
const defaultWithin = 45 * time.Second

// shutdown stops the daemon, then the shims; s.mu is held.
func (s *server) shutdown(within time.Duration) {
	if within <= 0 {
		within = defaultWithin
	}
	if !s.stopping {
		s.stopping = true
		if s.daemon != 0 {
			_ = unix.Kill(s.daemon, unix.SIGTERM)
		} else {
			s.tellOrphans(unix.SIGTERM)
		}
	}
	time.AfterFunc(within, s.force)
	s.endIfIdle()
}

// force ends what did not end in time.
func (s *server) force() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.daemon != 0 {
		_ = unix.Kill(s.daemon, unix.SIGKILL)
	}
	clear(s.told)
	s.tellOrphans(unix.SIGKILL)
}

// tellOrphans sends a signal to all children but the daemon, once to each.
func (s *server) tellOrphans(sig syscall.Signal) {
	for _, pid := range s.orphans() {
		if !s.told[pid] {
			s.told[pid] = true
			_ = unix.Kill(pid, sig)
		}
	}
}

// orphans lists the children other than the daemon.
func (s *server) orphans() []int {
	return slices.DeleteFunc(procs.Children("self"), func(pid int) bool { return pid == s.daemon })
}

// endIfIdle ends the holder when nothing needs it any more; s.mu is held.
func (s *server) endIfIdle() {
	if s.ended || s.daemon != 0 || !s.stopping && len(s.conns) > 0 || hasChildren() {
		return
	}
	s.ended = true
	for _, w := range s.waiting {
		_ = w.conn.Send(event{ID: w.id}) // who does not wait any more does not care
	}
	close(s.done)
}

// hasChildren tells whether any child is left, ended or not, without collecting it.
func hasChildren() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return !errors.Is(err, unix.ECHILD)
}
