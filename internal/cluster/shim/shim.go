//go:build linux

package shim

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// Descriptors that the daemon passes to the shim.
const (
	fdReady = 3
	fdLock  = 4
)

// shim is the state of one shim process.
type shim struct {
	dir   string
	spec  Spec
	now   func() time.Time
	log   *logFile
	link  *fdsock.Conn
	init  *os.Process
	ready *fdsock.Conn // nil after the answer
	state State
	// mountNS is the container's where it joins the processes of others. It is held
	// open: the kernel gives the number of one that is gone to the next container.
	mountNS *os.File

	copies sync.WaitGroup // of the container's output
	exit   Exit
	ended  chan struct{} // init has ended
	stop   sync.Once

	mu       sync.Mutex
	execs    map[int]*fdsock.Conn
	nextExec int
	tty      *os.File
	stdin    *os.File
	attached []*attachment
}

// Run is the main function of a shim for the container in dir.
func Run(dir string, now func() time.Time) error {
	// Caught and dropped: ignored signals would stay ignored in the programs that are started from here.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	ready, err := fdsock.FromFile(os.NewFile(fdReady, "ready"))
	if err != nil {
		return err
	}
	unix.CloseOnExec(fdLock)
	s := &shim{dir: dir, now: now, ready: ready, ended: make(chan struct{}), execs: map[int]*fdsock.Conn{}}
	if err := s.run(); err != nil {
		s.exit = Exit{Code: codeStartError, Reason: ReasonStartError, Message: err.Error(), FinishedAt: now()}
		return errors.Join(err, s.finish())
	}
	return s.finish()
}

func (s *shim) run() error {
	if err := readJSON(s.dir, specFile, &s.spec); err != nil {
		return fmt.Errorf("read container specification: %w", err)
	}
	err := reserveExit(s.dir)
	if err != nil {
		return fmt.Errorf("reserve exit file: %w", err)
	}
	if s.log, err = openLog(s.spec.LogPath, s.now); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	listener, err := fdsock.Listen(s.spec.Socket)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	if err := s.startInit(); err != nil {
		return err
	}
	go s.accept(listener)
	go s.obeySignals()
	return s.follow()
}

// startInit clones pid 1 of the container into its namespaces.
func (s *shim) startInit() error {
	link, theirs, err := fdsock.Pair("init")
	if err != nil {
		return err
	}
	defer theirs.Close()
	s.link = link
	spec, err := os.Open(filepath.Join(s.dir, specFile))
	if err != nil {
		return err
	}
	defer spec.Close()
	stdio, err := s.makeStdio()
	if err != nil {
		return err
	}
	defer fdsock.CloseAll(stdio)
	s.init, err = s.inNamespaces(func(flags uintptr) (*os.Process, error) {
		return os.StartProcess("/proc/self/exe", []string{"kiwerk-agent", "init", s.spec.ID}, &os.ProcAttr{
			Dir: "/", Env: []string{}, Files: append(stdio, theirs, spec),
			Sys: &syscall.SysProcAttr{Cloneflags: flags},
		})
	})
	if err != nil {
		return fmt.Errorf("start container namespaces: %w", err)
	}
	if s.spec.joinsProcesses() {
		s.mountNS, _ = os.Open(fmt.Sprintf("/proc/%d/ns/mnt", s.init.Pid)) // may have ended, and all it started before
	}
	return s.identify()
}

// identify writes down who runs the container, for the next daemon.
func (s *shim) identify() error {
	start, err1 := ProcessStart(os.Getpid())
	initStart, err2 := ProcessStart(s.init.Pid)
	boot, err3 := BootID()
	ns, err4 := os.Readlink("/proc/self/ns/mnt")
	s.state = State{
		PID: os.Getpid(), Start: start, InitPID: s.init.Pid, InitStart: initStart,
		BootID: boot, MountNS: ns, StartedAt: s.now(),
	}
	return errors.Join(err1, err2, err3, err4, writeJSON(s.dir, stateFile, s.state))
}

// makeStdio returns the container's ends; ours are copied to the log.
func (s *shim) makeStdio() ([]*os.File, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if s.spec.Process.TTY {
		return []*os.File{null, null, null}, nil
	}
	stdin := null
	if s.spec.Stdin {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		stdin, s.stdin = r, w
	}
	out := []*os.File{stdin}
	for _, name := range []string{"stdout", "stderr"} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		s.copyOut(name, r)
		out = append(out, w)
	}
	return out, nil
}

// copyOut logs one output and gives it to whoever is attached.
func (s *shim) copyOut(name string, r *os.File) {
	s.copies.Go(func() {
		st := &stream{name: name, log: s.log}
		// A pipe can only fail by its end; a terminal's EIO is its end.
		_ = st.copy(r, func(p []byte) { s.tee(name, p) })
		_ = r.Close()
	})
}

// follow hears from init until that has ended.
func (s *shim) follow() error {
	var startErr error
	for {
		var ev event
		files, err := s.link.Recv(&ev)
		if err != nil {
			break
		}
		if ev.ID == mainID {
			startErr = errors.Join(startErr, s.mainEvent(ev, files))
			continue
		}
		s.execEvent(ev, files)
	}
	status, err := s.init.Wait()
	s.endJoined()
	close(s.ended)
	if startErr != nil {
		return startErr
	}
	if s.exit.Reason == "" {
		s.exit = exitWithout(status, err)
		s.exit.StartedAt = s.state.StartedAt
		s.exit.FinishedAt = s.now()
	}
	s.blameMemory()
	s.dropExecs()
	s.drain()
	return nil
}

// endJoined ends what init has left in a pid namespace that goes on without it.
func (s *shim) endJoined() {
	if s.mountNS == nil {
		return
	}
	if ns, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.mountNS.Fd())); err == nil {
		endMountNamespace(ns)
	}
	_ = s.mountNS.Close() // was only held
}

// blameMemory says so when the kernel killed for want of memory. Which of the
// processes it took does not matter: the container failed because of it.
func (s *shim) blameMemory() {
	if s.exit.Code == 0 {
		return
	}
	if n, err := s.spec.Cgroup.OOMKills(); err == nil && n > 0 {
		s.exit.Reason = ReasonOOMKilled
	}
}

// exitWithout makes an exit of the end of init itself: it was killed, and all with it.
func exitWithout(status *os.ProcessState, err error) Exit {
	e := Exit{Code: 137, Signal: int(unix.SIGKILL), Reason: ReasonError}
	if err != nil {
		e.Message = err.Error()
		return e
	}
	if ws, ok := status.Sys().(syscall.WaitStatus); ok && !ws.Signaled() && status.ExitCode() != 0 {
		e.Message = fmt.Sprintf("the container's init ended with %d", status.ExitCode())
	}
	return e
}

func (s *shim) mainEvent(ev event, files []*os.File) error {
	switch ev.Kind {
	case evStarted:
		if len(files) == 1 {
			s.mu.Lock()
			s.tty = files[0]
			s.mu.Unlock()
			s.copyOut("stdout", files[0])
		}
		s.state.StartedAt = ev.At // not now: a short process may have ended already
		err := writeJSON(s.dir, stateFile, s.state)
		s.answer(event{Kind: evOK, PID: s.state.InitPID})
		return err
	case evExit:
		s.exit = *ev.Exit
		return nil
	case evError:
		fdsock.CloseAll(files)
		return errors.New(ev.Error)
	}
	return nil
}

// answer tells the daemon, if it still waits, how the start went.
func (s *shim) answer(ev event) {
	if s.ready == nil {
		return
	}
	_ = s.ready.Send(ev) // a daemon that is gone finds out by shim.json
	_ = s.ready.Close()
	s.ready = nil
}

// drainTime bounds the wait for output that something outside the container holds open.
const drainTime = 5 * time.Second

// drain waits until the log is complete.
func (s *shim) drain() {
	done := make(chan struct{})
	go func() {
		s.copies.Wait()
		close(done)
	}()
	late := time.NewTimer(drainTime)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}

// finish leaves the result for the daemon.
func (s *shim) finish() error {
	err := writeExit(s.dir, s.exit)
	if s.exit.Reason == ReasonStartError {
		s.answer(event{Kind: evError, Error: s.exit.Message})
	}
	return err
}

// obeySignals makes SIGTERM a graceful stop: so the holder stops shims that no daemon owns.
func (s *shim) obeySignals() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	<-term
	s.gracefulStop()
}

func (s *shim) gracefulStop() {
	s.stop.Do(func() {
		sig := s.spec.StopSignal
		if sig == 0 {
			sig = int(unix.SIGTERM)
		}
		_ = s.link.Send(request{Op: opSignal, Signal: sig})
		time.AfterFunc(s.spec.Grace, s.kill)
	})
}

// kill ends the pid namespace, and so everything in the container.
func (s *shim) kill() {
	if s.spec.sharesProcesses() {
		// Its end alone would leave the others running.
		if err := s.link.Send(request{Op: opEnd}); err == nil {
			return
		}
	}
	if err := s.init.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_, _ = fmt.Fprintf(os.Stderr, "kill container %s: %v\n", s.spec.ID, err)
	}
}

func (s *shim) accept(l *fdsock.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.serve(conn)
	}
}

// serve answers one request; exec and attach keep the connection.
func (s *shim) serve(conn *fdsock.Conn) {
	defer func() { _ = conn.Close() }()
	var r request
	files, err := conn.Recv(&r)
	if err != nil {
		return
	}
	defer fdsock.CloseAll(files)
	switch r.Op {
	case opSignal:
		err = s.link.Send(request{Op: opSignal, Signal: r.Signal})
	case opKill:
		s.kill()
	case opReopen:
		err = s.log.reopen()
	case opExec:
		s.exec(conn, r, files)
		return
	case opAttach:
		s.attach(conn, r, files)
		return
	default:
		err = fmt.Errorf("unknown request %q: the agent is older than the daemon", r.Op)
	}
	ev := event{Kind: evOK}
	if err != nil {
		ev = event{Kind: evError, Error: err.Error()}
	}
	_ = conn.Send(ev) // a peer that did not wait
}
