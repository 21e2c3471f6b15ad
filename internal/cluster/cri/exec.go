//go:build linux

package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// drainTime bounds the wait for output after the end of a process whose children still hold it open.
const drainTime = time.Second

// ExecSync runs a command and returns its output; for probes and hooks.
func (s *Server) ExecSync(ctx context.Context, req *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	if t := req.GetTimeout(); t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, seconds(t))
		defer cancel()
	}
	out, errOut := &limited{}, &limited{}
	code, err := s.exec(ctx, req.GetContainerId(), req.GetCmd(), nil, out, errOut)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out after %d s", req.GetCmd(), req.GetTimeout())
	}
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecSyncResponse{Stdout: out.Bytes(), Stderr: errOut.Bytes(), ExitCode: int32(code)}, nil
}

// limited keeps the first part of an output.
type limited struct{ bytes.Buffer }

// maxOutput is what other runtimes keep of the output of a probe, too.
const maxOutput = 16 << 20 / 4

func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// exec runs a command without a terminal and returns its exit code.
func (s *Server) exec(ctx context.Context, id string, cmd []string, in io.Reader, out, errOut io.Writer) (int, error) {
	running, c, err := s.findRunning(id)
	if err != nil {
		return 0, err
	}
	p := c.Spec.Process
	p.Args, p.TTY = cmd, false
	pipes, err := openPipes(in != nil)
	if err != nil {
		return 0, err
	}
	defer pipes.closeAll()
	e, err := running.Exec(p, pipes.theirs)
	pipes.closeTheirs()
	if err != nil {
		return 0, execError(c, err)
	}
	defer e.Close()
	if in != nil {
		go func() {
			_, _ = io.Copy(pipes.in, in) // ends with either side
			_ = pipes.in.Close()
		}()
	}
	var copies sync.WaitGroup
	copies.Go(func() { copyOut(out, pipes.out) })
	copies.Go(func() { copyOut(errOut, pipes.err) })
	exit, err := e.Wait(ctx)
	if err != nil {
		return 0, execError(c, err)
	}
	late := s.clock.Now().Add(drainTime)
	_ = errors.Join(pipes.out.SetReadDeadline(late), pipes.err.SetReadDeadline(late)) // ended already
	copies.Wait()
	return exit.Code, nil
}

func copyOut(w io.Writer, r *os.File) {
	if w == nil {
		w = io.Discard
	}
	// The reader of the output may go at any time.
	if _, err := io.Copy(w, r); errors.Is(err, os.ErrDeadlineExceeded) {
		_, _ = w.Write(rest(r))
	}
}

// rest is what a pipe holds, without waiting for more. Whoever reads the output
// may have been so slow that the deadline passed before all was read that the
// ended process wrote.
func rest(r *os.File) []byte {
	raw, err := r.SyscallConn()
	if err != nil || r.SetReadDeadline(time.Time{}) != nil {
		return nil
	}
	var b []byte
	_ = raw.Read(func(fd uintptr) bool { // fails when r was closed
		if size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil {
			b = make([]byte, size)
			n, _ := unix.Read(int(fd), b) // nothing there is an error, too
			b = b[:max(n, 0)]
		}
		return true
	})
	return b
}

func execError(c *container, err error) error {
	var bad *shim.StartError
	switch {
	case errors.As(err, &bad):
		return status.Errorf(codes.InvalidArgument, "container %s: %s", c.Name, bad.Message)
	case errors.Is(err, shim.ErrGone):
		return status.Errorf(codes.FailedPrecondition, "container %s does not run", c.Name)
	}
	return err
}

// pipes are the two sides of a process's stdin, stdout and stderr.
type pipes struct {
	theirs       []*os.File
	in, out, err *os.File
}

func openPipes(stdin bool) (*pipes, error) {
	p := &pipes{}
	var err error
	var end *os.File
	if stdin {
		end, p.in, err = os.Pipe()
	} else {
		end, err = os.Open(os.DevNull)
	}
	if err != nil {
		return nil, err
	}
	p.theirs = append(p.theirs, end)
	for _, ours := range []**os.File{&p.out, &p.err} {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeAll()
			return nil, err
		}
		*ours = r
		p.theirs = append(p.theirs, w)
	}
	return p, nil
}

func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		_ = f.Close()
	}
	p.theirs = nil
}

func (p *pipes) closeAll() {
	p.closeTheirs()
	for _, f := range []*os.File{p.in, p.out, p.err} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Exec prepares a streaming exec.
func (s *Server) Exec(_ context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if _, _, err := s.findRunning(req.GetContainerId()); err != nil {
		return nil, err
	}
	return s.streams.GetExec(req)
}

// Attach prepares a streaming attach.
func (s *Server) Attach(_ context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if _, _, err := s.findRunning(req.GetContainerId()); err != nil {
		return nil, err
	}
	return s.streams.GetAttach(req)
}

// PortForward prepares a forwarded port.
func (s *Server) PortForward(_ context.Context, req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	if _, err := s.findSandbox(req.GetPodSandboxId()); err != nil {
		return nil, err
	}
	return s.streams.GetPortForward(req)
}

// streamRuntime does what the streaming server's clients asked for.
type streamRuntime struct{ s *Server }

// Exec runs a command with the client's streams.
func (r streamRuntime) Exec(ctx context.Context, id string, cmd []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	if tty {
		return r.execTTY(ctx, id, cmd, in, out, resize)
	}
	var o, e io.Writer
	if out != nil {
		o = out
	}
	if errOut != nil {
		e = errOut
	}
	code, err := r.s.exec(ctx, id, cmd, in, o, e)
	return exitError(code, err)
}

func (r streamRuntime) execTTY(ctx context.Context, id string, cmd []string, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	running, c, err := r.s.findRunning(id)
	if err != nil {
		return err
	}
	p := c.Spec.Process
	p.Args, p.TTY, p.Env = cmd, true, append([]string{"TERM=xterm"}, p.Env...)
	e, err := running.Exec(p, nil)
	if err != nil {
		return execError(c, err)
	}
	defer e.Close()
	defer e.Terminal.Close()
	go followSize(ctx, resize, e.Resize)
	if in != nil {
		go func() { _, _ = io.Copy(e.Terminal, in) }() // ends with either side
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyOut(out, e.Terminal) // a terminal ends with EIO
	}()
	exit, err := e.Wait(ctx)
	if err != nil {
		return execError(c, err)
	}
	late := r.s.clock.NewTimer(drainTime)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C():
	}
	return exitError(exit.Code, nil)
}

func followSize(ctx context.Context, resize <-chan remotecommand.TerminalSize, set func(w, h uint16) error) {
	for {
		select {
		case size, ok := <-resize:
			if !ok {
				return
			}
			_ = set(size.Width, size.Height) // the terminal may be gone
		case <-ctx.Done():
			return
		}
	}
}

// exitError makes an exit code the error that streaming clients expect.
func exitError(code int, err error) error {
	if err != nil || code == 0 {
		return err
	}
	return &utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
}

// Attach connects the client to the container's own streams.
func (r streamRuntime) Attach(ctx context.Context, id string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	running, c, err := r.s.findRunning(id)
	if err != nil {
		return err
	}
	pipes, err := openPipes(in != nil)
	if err != nil {
		return err
	}
	defer pipes.closeAll()
	names := []string{"stdin", "stdout", "stderr"}
	files := pipes.theirs
	if in == nil {
		names, files = names[1:], files[1:]
	}
	a, err := running.Attach(names, files)
	pipes.closeTheirs()
	if err != nil {
		return execError(c, err)
	}
	defer a.Close()
	stop := context.AfterFunc(ctx, a.Close)
	defer stop()
	go followSize(ctx, resize, a.Resize)
	if in != nil {
		go func() {
			_, _ = io.Copy(pipes.in, in) // ends with either side
			_ = pipes.in.Close()
		}()
	}
	var copies sync.WaitGroup
	copies.Go(func() { copyOut(out, pipes.out) })
	copies.Go(func() { copyOut(errOut, pipes.err) })
	a.Wait()
	copies.Wait()
	return nil
}
