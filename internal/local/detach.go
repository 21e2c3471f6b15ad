//go:build linux

package local

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/text"
)

// envReport names the file on which a detached launcher tells its progress.
const envReport = "KIWERK_REPORT_FD"

// launcherLog is the output of a detached launcher.
const launcherLog = "up.log"

// detach starts a launcher in a session of its own and prints what it tells
// until it is ready. Everything that can be refused at once is refused by it.
func detach(ctx context.Context, s cli.Session, o cli.UpOptions) error {
	conn, theirs, err := fdsock.Pair("report")
	if err != nil {
		return err
	}
	defer conn.Close()
	self, err := os.Executable()
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	cmd := exec.Command(self, detachedArgs(s, o)...)
	cmd.Env = append(os.Environ(), envReport+"=3")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close() // the child has its own
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = conn.SetDeadline(time.Now().Add(graceOfDaemon))
	})
	defer stop()
	return follow(ctx, s, conn, cmd)
}

// detachedArgs are the arguments of the launcher that stays: those of this one, without --detach.
func detachedArgs(s cli.Session, o cli.UpOptions) []string {
	args := []string{"up", "--data-dir", s.DataDir, "--lang", s.Text.Lang(), "--timeout", o.Timeout.String()}
	for _, f := range []struct{ flag, value string }{
		{"--listen", o.Listen}, {"--network", o.Network}, {"--config", o.Config}, {"--images", o.Images}, {"--simulate-gpus", o.SimulateGPUs}, {"--gpu-config", o.GPUConfig},
	} {
		if f.value != "" {
			args = append(args, f.flag, f.value)
		}
	}
	if o.Nodes != 0 {
		args = append(args, "--nodes", strconv.Itoa(o.Nodes))
	}
	return args
}

func follow(ctx context.Context, s cli.Session, conn *fdsock.Conn, cmd *exec.Cmd) error {
	p := &progress{session: s}
	p.title()
	for {
		var e event
		if _, err := conn.Recv(&e); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !errors.Is(err, io.EOF) {
				return err
			}
			return failure(text.S(text.StartFailed, "launcher"), text.S(text.SeeLog, s.DataDir+"/"+logsDir+"/"+launcherLog), cmd.Wait())
		}
		switch e.Kind {
		case eventFailed:
			_ = cmd.Wait() // its exit code says no more than its words
			return reported(e)
		case eventReady:
			show(p, e, true)
			return cmd.Process.Release()
		default:
			show(p, e, true)
		}
	}
}

// reported repeats the failure of the detached launcher.
func reported(e event) error {
	if e.Failure != nil {
		return e.Failure.error()
	}
	return errors.New(e.Detail)
}

// openReport takes over the connection to the starter and moves the output into the log.
func (l *launcher) openReport() error {
	fd, err := strconv.Atoi(l.getenv(envReport))
	if err != nil {
		return nil //nolint:nilerr // Not set: an ordinary start.
	}
	if l.report, err = fdsock.FromFile(os.NewFile(uintptr(fd), "report")); err != nil {
		return err
	}
	l.detached = true
	if err := os.Unsetenv(envReport); err != nil {
		return err
	}
	l.session.Err, l.session.Out, l.session.Terminal = io.Discard, io.Discard, false
	l.progress.session = l.session
	return nil
}

// logOutput sends what a detached launcher says to its log, once there is a directory for it.
func (l *launcher) logOutput() error {
	if !l.detached {
		return nil
	}
	f, err := os.OpenFile(l.dir.file(logsDir, launcherLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l.session.Err, l.session.Out = f, f
	l.progress.session = l.session
	return nil
}
