//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/thread"
)

// What a pod with a pid namespace for all its containers has in its directory.
// Namespace and proc are mounts, so that they do not need the daemon.
const (
	podFile = "pod.json"
	podPIDs = "pid"
	podProc = "proc"
	podRoot = "root" // empty, the root of pid 1
)

// Pod is pid 1 of a pod whose containers share processes.
type Pod struct {
	pidfd *os.File
	done  chan struct{}
}

type podState struct {
	Member
	BootID string
}

// PodNamespace and PodProc are the pid namespace of the pod in dir and its /proc.
func PodNamespace(dir string) string { return filepath.Join(dir, podPIDs) }

// PodProc is the mount of /proc that belongs to [PodNamespace].
func PodProc(dir string) string { return filepath.Join(dir, podProc) }

// StartPod starts pid 1 of a pod in dir, in the network that netNS names. Like
// the shims it outlives the daemon.
func StartPod(agent, dir, id, netNS string) (*Pod, error) {
	for _, name := range []string{podProc, podRoot} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(PodNamespace(dir), nil, 0o600); err != nil {
		return nil, err
	}
	conn, theirs, err := fdsock.Pair("pod")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	proc, err := forkPod(agent, dir, id, netNS, theirs)
	if err := errors.Join(err, theirs.Close()); err != nil {
		return nil, fmt.Errorf("start pid 1: %w", err)
	}
	p := &Pod{done: make(chan struct{})}
	go func() {
		_, _ = proc.Wait() // how it ended says nothing
		close(p.done)
	}()
	if err := p.settle(conn, dir, proc.Pid); err != nil {
		return nil, errors.Join(fmt.Errorf("pid 1: %w", err), proc.Kill())
	}
	return p, nil
}

func forkPod(agent, dir, id, netNS string, conn *os.File) (proc *os.Process, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	join := map[string]int{}
	if netNS != "" {
		join[netNS] = unix.CLONE_NEWNET
	}
	err = thread.Own(func() error {
		if err := enterAll(join); err != nil {
			return err
		}
		proc, err = os.StartProcess(agent, podArgs(id), &os.ProcAttr{
			Dir: filepath.Join(dir, podRoot), Env: []string{"GOMAXPROCS=1"}, Files: []*os.File{null, null, null, conn},
			Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC},
		})
		return err
	})
	return proc, err
}

// podArgs are the command line of a pod's pid 1; the id is also the name of the pod's directory.
func podArgs(id string) []string { return []string{"kiwerk-agent", "pod", id} }

// settle gives what pid 1 has made its places. Until it has heard that it is
// known it ends with the daemon.
func (p *Pod) settle(conn *fdsock.Conn, dir string, pid int) error {
	var ev event
	files, err := conn.Recv(&ev)
	if err != nil {
		return err
	}
	defer fdsock.CloseAll(files)
	if ev.Kind != evOK || len(files) != 1 {
		return errors.New(ev.Error)
	}
	if err := unix.MoveMount(int(files[0].Fd()), "", unix.AT_FDCWD, PodProc(dir), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/%d/ns/pid", pid), PodNamespace(dir), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keep namespace: %w", err)
	}
	state := podState{Member: Member{PID: pid}}
	var err1, err2 error
	state.Start, err1 = ProcessStart(pid)
	state.BootID, err2 = BootID()
	if err := errors.Join(err1, err2, writeJSON(dir, podFile, state)); err != nil {
		return err
	}
	if p.pidfd, err = pin(state.Member); err != nil {
		return err
	}
	if err := conn.Send(request{}); err != nil {
		return err
	}
	_, err = conn.Recv(&ev)
	if err == nil && ev.Kind != evOK {
		err = errors.New(ev.Error)
	}
	return err
}

// pin returns a descriptor of the process, or [ErrGone].
func pin(m Member) (*os.File, error) {
	fd, err := unix.PidfdOpen(m.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", m.PID, err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	// Only after the process is pinned does its start time say that it is the right one.
	if start, err := ProcessStart(m.PID); err != nil || start != m.Start {
		return nil, errors.Join(ErrGone, pidfd.Close())
	}
	return pidfd, nil
}

// AdoptPod takes over what another daemon started, or returns [ErrGone].
func AdoptPod(dir string) (*Pod, error) {
	var state podState
	err := readJSON(dir, podFile, &state)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, errors.Join(ErrGone, errPodRecord, err)
	}
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	if boot != state.BootID {
		return nil, ErrGone
	}
	pidfd, err := pin(state.Member)
	if err != nil {
		return nil, err
	}
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, pidfd.Close())
	}
	p := &Pod{pidfd: pidfd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		awaitEnd(raw)
	}()
	return p, nil
}

// Done is closed when pid 1 has ended, and all of the pod's processes with it.
func (p *Pod) Done() <-chan struct{} { return p.done }

// Kill ends all processes of the pod.
func (p *Pod) Kill() error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sigErr error
	err = raw.Control(func(fd uintptr) { sigErr = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if errors.Is(sigErr, unix.ESRCH) {
		sigErr = nil
	}
	return errors.Join(err, sigErr)
}

// errPodRecord comes with [ErrGone]: nobody can tell by the record whether pid 1 lives.
var errPodRecord = errors.New("the record of the pod is damaged")

// EndPod kills the pid 1 that was started in dir, if it still runs.
func EndPod(ctx context.Context, dir string) error {
	p, err := AdoptPod(dir)
	if errors.Is(err, errPodRecord) {
		return endUnrecorded(ctx, dir)
	}
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.Kill(); err != nil {
		return fmt.Errorf("end pid 1 of the pod in %s: %w", dir, err)
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pid 1 of the pod in %s was killed but has not ended yet: %w", dir, ctx.Err())
	}
}

// endUnrecorded goes by the command line.
func endUnrecorded(ctx context.Context, dir string) error {
	want := podArgs(filepath.Base(dir))
	tick := time.NewTicker(pollEnd)
	defer tick.Stop()
	for {
		lives, err := killAll(func(args []string) bool { return slices.Equal(args, want) })
		if err != nil || lives == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("pid 1 of the pod in %s was killed but has not ended yet: %w", dir, ctx.Err())
		}
	}
}

// EndPods does so for all directories in dir.
func EndPods(ctx context.Context, dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		err = errors.Join(err, EndPod(ctx, filepath.Join(dir, n.Name())))
	}
	return err
}
