//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// ErrGone says that no shim runs for this directory any more.
var ErrGone = errors.New("the container does not run")

// ErrEnded says that a running container was ended, because its records are damaged.
var ErrEnded = errors.New("the container was ended")

// StartError says why the container's process could not be started.
type StartError struct{ Message string }

// Error returns the reason.
func (e *StartError) Error() string { return e.Message }

// Running is the daemon's hold on a shim.
type Running struct {
	dir    string
	socket string
	cgroup cgroup.Group
	state  State
	pidfd  *os.File
	done   chan struct{}
}

// Start starts a shim for the container in dir and returns when the
// container's process runs. The directory must exist and be used only once.
func Start(ctx context.Context, agent, dir string, spec Spec) (*Running, error) {
	if err := writeJSON(dir, specFile, spec); err != nil {
		return nil, fmt.Errorf("write container specification: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("container %s is being started already: %w", spec.ID, err)
	}
	ready, theirs, err := fdsock.Pair("ready")
	if err != nil {
		return nil, err
	}
	defer func() { _ = ready.Close() }()
	proc, err := startProcess(agent, dir, theirs, lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start shim: %w", err), theirs.Close())
	}
	if err := theirs.Close(); err != nil {
		return nil, err
	}
	r := &Running{dir: dir, socket: spec.Socket, cgroup: spec.Cgroup, done: make(chan struct{})}
	go func() {
		_, _ = proc.Wait() // the result lies in exit.json
		close(r.done)
	}()
	return r, r.awaitStart(ctx, ready)
}

// shimArgs are the first arguments of each shim; its directory follows.
var shimArgs = []string{"kiwerk-agent", "shim"}

func startProcess(agent, dir string, ready, lock *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	messages, err := os.OpenFile(filepath.Join(dir, "shim.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer messages.Close()
	return os.StartProcess(agent, append(slices.Clone(shimArgs), dir), &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=2"},
		Files: []*os.File{null, null, messages, ready, lock},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// awaitStart waits for the shim's answer.
func (r *Running) awaitStart(ctx context.Context, ready *fdsock.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.Close() })
	defer stop()
	var ev event
	files, err := ready.Recv(&ev)
	fdsock.CloseAll(files)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("start container: %w", ctx.Err())
	case err != nil:
		<-r.done
		return fmt.Errorf("the shim ended before the container started, see %s: %w", filepath.Join(r.dir, "shim.log"), err)
	case ev.Kind == evError:
		return &StartError{ev.Error}
	}
	return readJSON(r.dir, stateFile, &r.state)
}

// Adopt takes over the shim that another daemon started, or returns [ErrGone].
// A shim whose records are damaged cannot be spoken to: it is ended, and its exit says so.
func Adopt(ctx context.Context, dir string) (*Running, error) {
	r, err := adopt(ctx, dir)
	if !errors.Is(err, errDamaged) {
		return r, err
	}
	lives, errAlive := alive(dir)
	if errAlive != nil || !lives {
		return nil, errors.Join(ErrGone, err, errAlive) // a power cut emptied the record, and ended the shim
	}
	if errEnd := End(ctx, dir); errEnd != nil {
		return nil, errors.Join(err, errEnd)
	}
	return nil, errors.Join(ErrGone, ErrEnded, err, writeExit(dir, Exit{
		Code: 137, Signal: int(unix.SIGKILL), Reason: ReasonShimLost, FinishedAt: time.Now(),
		Message: "the running container could not be taken over and was ended, because its records are damaged: " + err.Error(),
	}))
}

func adopt(ctx context.Context, dir string) (*Running, error) {
	var spec Spec
	err := readJSON(dir, specFile, &spec)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	state, err := awaitState(ctx, dir)
	if err != nil {
		return nil, err
	}
	pidfd, err := pin(Member{PID: state.PID, Start: state.Start})
	if err != nil {
		return nil, err
	}
	r := &Running{dir: dir, socket: spec.Socket, cgroup: spec.Cgroup, state: state, pidfd: pidfd, done: make(chan struct{})}
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, pidfd.Close())
	}
	go r.watch(raw)
	return r, nil
}

// awaitState reads shim.json of a living shim, which may be just about to write it.
func awaitState(ctx context.Context, dir string) (State, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		lives, err := alive(dir)
		if err != nil {
			return State{}, err
		}
		if !lives {
			return State{}, ErrGone
		}
		var s State
		if err := readJSON(dir, stateFile, &s); err == nil || errors.Is(err, errDamaged) {
			return s, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return State{}, ctx.Err()
		}
	}
}

// watch waits for the end of a shim that is not our child.
func (r *Running) watch(raw syscall.RawConn) {
	defer close(r.done)
	awaitEnd(raw)
}

// awaitEnd waits for the end of the process of a pidfd.
func awaitEnd(raw syscall.RawConn) {
	_ = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

// Done is closed when the shim has ended.
func (r *Running) Done() <-chan struct{} { return r.done }

// Cgroup is the container's.
func (r *Running) Cgroup() cgroup.Group { return r.cgroup }

// State tells who runs the container.
func (r *Running) State() State { return r.state }

// ReadExit returns the result of a container whose shim has ended. A shim
// that was killed has left none; that is a result, too.
func ReadExit(dir string) (Exit, error) {
	var e Exit
	err := readJSON(dir, exitFile, &e)
	if !errors.Is(err, os.ErrNotExist) {
		return e, err
	}
	var s State
	if err := readJSON(dir, stateFile, &s); err != nil && !errors.Is(err, os.ErrNotExist) {
		return e, err
	}
	e = Exit{
		Code: 137, Signal: int(unix.SIGKILL), Reason: ReasonShimLost, StartedAt: s.StartedAt,
		Message: "the container's supervisor was killed; the exit code is not known",
	}
	if boot, err := BootID(); err == nil && s.BootID != "" && s.BootID != boot {
		e.Reason, e.Message = ReasonMachineRestarted, "the machine was restarted while the container ran"
	}
	return e, nil
}

// Signal sends a signal to the container's own process.
func (r *Running) Signal(sig syscall.Signal) error {
	return r.ask(request{Op: opSignal, Signal: int(sig)})
}

// Kill ends everything in the container at once.
func (r *Running) Kill() error {
	err := r.ask(request{Op: opKill})
	if err == nil || errors.Is(err, ErrGone) {
		return err
	}
	// A shim that does not answer is killed itself; init ends with it.
	pid, fdErr := unix.PidfdOpen(r.state.PID, 0)
	if fdErr != nil {
		return errors.Join(err, fdErr)
	}
	defer unix.Close(pid)
	if start, statErr := ProcessStart(r.state.PID); statErr != nil || start != r.state.Start {
		return ErrGone
	}
	return unix.PidfdSendSignal(pid, unix.SIGKILL, nil, 0)
}

// ReopenLog makes the shim write to a new file at the log's path.
func (r *Running) ReopenLog() error { return r.ask(request{Op: opReopen}) }

// askTime bounds short requests: the shim does nothing slow for them.
const askTime = 10 * time.Second

func (r *Running) dial() (*fdsock.Conn, error) {
	conn, err := fdsock.Dial(r.socket)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, ErrGone
	}
	return conn, err
}

func (r *Running) ask(req request) error {
	conn, err := r.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	late := time.AfterFunc(askTime, func() { _ = conn.Close() })
	defer late.Stop()
	if err := conn.Send(req); err != nil {
		return r.explain(err)
	}
	var ev event
	if _, err := conn.Recv(&ev); err != nil {
		return r.explain(err)
	}
	if ev.Kind == evError {
		return errors.New(ev.Error)
	}
	return nil
}

// explain tells a container that has just ended from a broken connection.
func (r *Running) explain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return ErrGone // a shim answers unless it ends
	}
	if lives, aliveErr := alive(r.dir); aliveErr == nil && !lives {
		return ErrGone
	}
	return fmt.Errorf("shim of %s: %w", r.dir, err)
}

// Exec is a process that was started beside the container's own.
type Exec struct {
	conn *fdsock.Conn
	// Terminal is the other end of the process's terminal, if it has one.
	Terminal *os.File
}

// Exec starts a process in the container. Without a terminal the three files
// become its stdin, stdout and stderr; they stay open here.
func (r *Running) Exec(p Process, files []*os.File) (*Exec, error) {
	conn, err := r.dial()
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Exec, error) { return nil, errors.Join(err, conn.Close()) }
	if p.TTY {
		files = nil
	}
	if err := conn.Send(request{Op: opExec, Process: &p}, files...); err != nil {
		return fail(r.explain(err))
	}
	var ev event
	got, err := conn.Recv(&ev)
	if err != nil {
		return fail(r.explain(err))
	}
	if ev.Kind != evStarted {
		fdsock.CloseAll(got)
		if ev.Kind == evExit {
			return fail(ErrGone) // the container has ended, and so what was to start
		}
		return fail(&StartError{ev.Error})
	}
	e := &Exec{conn: conn}
	if len(got) == 1 {
		e.Terminal = got[0]
	}
	return e, nil
}

// Wait returns how the process ended. When ctx ends first, the process is killed.
func (e *Exec) Wait(ctx context.Context) (Exit, error) {
	defer e.Close()
	stop := context.AfterFunc(ctx, e.Close)
	defer stop()
	var ev event
	if _, err := e.conn.Recv(&ev); err != nil {
		if ctx.Err() != nil {
			return Exit{}, ctx.Err()
		}
		return Exit{}, ErrGone
	}
	return *ev.Exit, nil
}

// Resize sets the window size of the terminal.
func (e *Exec) Resize(width, height uint16) error { return setSize(e.Terminal, width, height) }

// Close kills the process if it still runs.
func (e *Exec) Close() { _ = e.conn.Close() }

// Attachment is a client at the container's own streams.
type Attachment struct{ conn *fdsock.Conn }

// Attach connects files to the container's streams ("stdin", "stdout", "stderr") from now on.
func (r *Running) Attach(streams []string, files []*os.File) (*Attachment, error) {
	conn, err := r.dial()
	if err != nil {
		return nil, err
	}
	if err := conn.Send(request{Op: opAttach, Streams: streams}, files...); err != nil {
		return nil, errors.Join(r.explain(err), conn.Close())
	}
	var ev event
	if _, err := conn.Recv(&ev); err != nil {
		return nil, errors.Join(r.explain(err), conn.Close())
	}
	return &Attachment{conn}, nil
}

// Resize sets the window size of the container's terminal.
func (a *Attachment) Resize(width, height uint16) error {
	return a.conn.Send(request{Op: opResize, Width: width, Height: height})
}

// Wait returns when the container has ended or the attachment was closed.
func (a *Attachment) Wait() {
	var ev event
	_, _ = a.conn.Recv(&ev)
}

// Close ends the attachment; the container goes on.
func (a *Attachment) Close() { _ = a.conn.Close() }
