//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// holderClient is what the launcher asks of the process that owns the namespaces.
type holderClient interface {
	// startDaemon runs program in the holder's namespaces with control as its
	// file 3. exit delivers once, when the process has ended.
	startDaemon(ctx context.Context, program string, control *os.File, stderr string) (pid int, exit <-chan error, err error)
	// shutdown ends the holder after its last container.
	shutdown(ctx context.Context) error
}

func (l *launcher) ensureHolder(context.Context) (holderClient, error) { return direct{}, nil }

type direct struct{}

func (direct) startDaemon(_ context.Context, program string, control *os.File, stderr string) (int, <-chan error, error) {
	f, err := os.OpenFile(stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	cmd := exec.Command(program, "internal", "daemon")
	cmd.Stderr, cmd.Stdout = f, f
	cmd.ExtraFiles = []*os.File{control}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	exit := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		var ee *exec.ExitError
		if errors.As(err, &ee) && ee.ExitCode() == 0 {
			err = nil
		}
		exit <- err
	}()
	return cmd.Process.Pid, exit, nil
}

func (direct) shutdown(context.Context) error { return nil }

// downLost ends a holder whose platform is gone.
func downLost(_ context.Context, s cli.Session, _ string) error {
	fmt.Fprintln(s.Err, s.Text.T(text.DownNothing, s.DataDir))
	return nil
}
