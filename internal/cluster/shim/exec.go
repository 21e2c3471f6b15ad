//go:build linux

package shim

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// exec starts another process in the container. The connection is its life
// line: when the daemon closes it, the process is killed.
func (s *shim) exec(conn *fdsock.Conn, r request, files []*os.File) {
	s.mu.Lock()
	s.nextExec++
	id := s.nextExec
	s.execs[id] = conn
	s.mu.Unlock()
	err := s.link.Send(request{Op: opExec, ID: id, Process: r.Process}, files...)
	fdsock.CloseAll(files)
	if err != nil {
		_ = conn.Send(event{Kind: evError, Error: "the container has ended"})
		s.forget(id)
		return
	}
	for {
		var next request
		extra, err := conn.Recv(&next)
		fdsock.CloseAll(extra)
		if err != nil {
			break
		}
	}
	if s.forget(id) {
		_ = s.link.Send(request{Op: opSignal, ID: id, Signal: int(unix.SIGKILL)})
	}
}

func (s *shim) forget(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.execs[id]
	delete(s.execs, id)
	return there
}

// execEvent passes news of an exec on to who asked for it.
func (s *shim) execEvent(ev event, files []*os.File) {
	defer fdsock.CloseAll(files)
	s.mu.Lock()
	conn := s.execs[ev.ID]
	if ev.Kind != evStarted {
		delete(s.execs, ev.ID)
	}
	s.mu.Unlock()
	if conn != nil {
		_ = conn.Send(ev, files...) // a daemon that is gone does not want to know
	}
}

// dropExecs tells all that the container, and so their process, has ended.
func (s *shim) dropExecs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, conn := range s.execs {
		_ = conn.Send(event{Kind: evExit, ID: id, Exit: &Exit{
			Code: 137, Signal: int(unix.SIGKILL), Reason: ReasonError, Message: "the container has ended", FinishedAt: s.now(),
		}})
		delete(s.execs, id)
	}
}

// attachment is one client that sees the container's output.
type attachment struct {
	outs map[string]*os.File
}

// attachPatience is how long a client may let the container wait before it is dropped.
const attachPatience = 2 * time.Second

// attach gives a client the output from now on and its input to the container.
// files are in the order of r.Streams.
func (s *shim) attach(conn *fdsock.Conn, r request, files []*os.File) {
	a := &attachment{outs: map[string]*os.File{}}
	var in *os.File
	for i, name := range r.Streams {
		if i >= len(files) {
			break
		}
		if name == "stdin" {
			in = files[i]
			continue
		}
		out, err := pollable(files[i])
		if err != nil {
			_ = conn.Send(event{Kind: evError, Error: err.Error()})
			return
		}
		defer out.Close()
		a.outs[name] = out
	}
	s.mu.Lock()
	s.attached = append(s.attached, a)
	s.mu.Unlock()
	if err := conn.Send(event{Kind: evOK}); err != nil {
		s.detach(a)
		return
	}
	if in != nil {
		go s.feed(in)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			var next request
			if _, err := conn.Recv(&next); err != nil {
				return
			}
			if next.Op == opResize {
				s.resize(next)
			}
		}
	}()
	select {
	case <-gone:
	case <-s.ended:
	}
	s.detach(a)
}

// pollable returns a copy of f whose writes can have a deadline.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (s *shim) detach(a *attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached = slices.DeleteFunc(s.attached, func(o *attachment) bool { return o == a })
}

func (s *shim) resize(r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tty != nil {
		_ = setSize(s.tty, r.Width, r.Height) // the terminal may be gone
	}
}

// feed copies a client's input into the container.
func (s *shim) feed(in *os.File) {
	s.mu.Lock()
	to := s.stdin
	if s.tty != nil {
		to = s.tty
	}
	s.mu.Unlock()
	if to == nil {
		return
	}
	_, _ = to.ReadFrom(in) // ends with the client or with the container
	if s.spec.StdinOnce && to == s.stdin {
		_ = to.Close()
	}
}

// tee gives output to those attached. Who does not read is dropped, as the container must not wait for it.
func (s *shim) tee(name string, p []byte) {
	s.mu.Lock()
	list := slices.Clone(s.attached)
	s.mu.Unlock()
	for _, a := range list {
		out := a.outs[name]
		if out == nil {
			continue
		}
		err := out.SetWriteDeadline(s.now().Add(attachPatience))
		if err == nil {
			_, err = out.Write(p)
		}
		if err != nil {
			s.detach(a)
		}
	}
}
