package step

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/execpath"
)

// drain is how long output is read on after the command has ended while
// processes that it left behind keep the pipe open.
const drain = time.Second

// runCommand runs the user's command in our place: signals go to it, its
// output is ours, and, as process 1 of a container, we reap what it leaves.
func runCommand(command, environ []string, capture bool) (exit int, output []byte, err error) {
	path, err := execpath.Find(command[0], "", environ)
	if err != nil {
		return 0, nil, fmt.Errorf("command: %w", err)
	}
	signals := make(chan os.Signal, 32)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM, unix.SIGCONT, unix.SIGWINCH)
	defer signal.Stop(signals)

	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	var tee *copier
	if capture {
		if tee, err = newCopier(os.Stdout); err != nil {
			return 0, nil, err
		}
		files[1] = tee.write
	}
	p, err := os.StartProcess(path, command, &os.ProcAttr{Env: environ, Files: files})
	if tee != nil {
		tee.write.Close()
	}
	if err != nil {
		if tee != nil {
			tee.finish()
		}
		return 0, nil, fmt.Errorf("start %q: %w", command[0], err)
	}
	done := make(chan struct{})
	go forward(p, signals, done)
	status, err := reap(p.Pid)
	close(done)
	if tee != nil {
		output = tee.finish()
	}
	if err != nil {
		return 0, nil, err
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), output, nil
	}
	return status.ExitStatus(), output, nil
}

func forward(p *os.Process, signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			p.Signal(s) //nolint:errcheck // It has ended, then.
		case <-done:
			return
		}
	}
}

// reap waits for all children until the command has ended.
func reap(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return status, fmt.Errorf("wait for the command: %w", err)
		case got == pid && (status.Exited() || status.Signaled()):
			return status, nil
		}
	}
}

// copier passes output on and keeps its end.
type copier struct {
	read, write *os.File
	done        chan struct{}
	tail        tail
}

func newCopier(to io.Writer) (*copier, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe for the output: %w", err)
	}
	c := &copier{read: r, write: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		io.Copy(io.MultiWriter(to, &c.tail), r) //nolint:errcheck // The end of the pipe or the deadline; what was read counts.
	}()
	return c, nil
}

// finish reads what is left and returns the end of the output.
func (c *copier) finish() []byte {
	c.read.SetReadDeadline(time.Now().Add(drain)) //nolint:errcheck // A pipe has deadlines.
	<-c.done
	c.read.Close()
	return c.tail.bytes()
}

// tail keeps the last MaxResult bytes.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*MaxResult {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-MaxResult:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte { return t.buf[max(0, len(t.buf)-MaxResult):] }
