//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
	"github.com/kiwerk/kiwerk/internal/text"
)

const (
	// holderStart bounds the start of the process that owns the namespaces.
	holderStart = 20 * time.Second
	holderLog   = "holder.log"
	// daemonErrors is where a daemon that panics says so.
	daemonErrors = "daemon.err"
)

// ensureHolder connects to the holder of the data directory or starts it.
func (l *launcher) ensureHolder(ctx context.Context) (*holder.Client, error) {
	log, err := l.appendTo(holderLog)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(ctx, holderStart)
	defer cancel()
	h, err := holder.Ensure(ctx, holder.Options{
		AgentPath: l.programs.agent, RuntimeDir: l.runtime, DataDir: l.dir.path, Log: log, PodNetwork: l.network.Pods,
	})
	if err != nil {
		return nil, failure(text.S(text.HolderFailed), text.S(text.SeeLog, l.dir.file(logsDir, holderLog)), err)
	}
	return h, nil
}

func (l *launcher) appendTo(name string) (*os.File, error) {
	f, err := os.OpenFile(l.dir.file(logsDir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, failure(text.S(text.DataDirUnusable, l.dir.path), text.Sentence{}, err)
	}
	return f, nil
}

// spawn starts the daemon in the holder's namespaces with control as its file 3.
func (l *launcher) spawn(ctx context.Context, h *holder.Client, control *os.File) (pid int, err error) {
	errs, err := l.appendTo(daemonErrors)
	if err != nil {
		return 0, err
	}
	defer errs.Close()
	return h.StartDaemon(ctx, holder.Command{
		Path: l.programs.kiwerk, Args: []string{"kiwerk", "internal", "daemon"}, Env: os.Environ(), Dir: "/",
		Stdout: errs, Stderr: errs,
	}, []*os.File{control})
}

// exitOf delivers the end of the daemon.
func exitOf(h *holder.Client) <-chan error {
	done := make(chan error, 1)
	go func() {
		e, err := h.Wait(context.Background())
		switch {
		case err != nil:
		case e.Signal != 0:
			err = fmt.Errorf("the daemon was ended by signal %s", unix.SignalName(unix.Signal(e.Signal)))
		case e.Code != 0:
			err = fmt.Errorf("the daemon ended with code %d", e.Code)
		}
		done <- err
	}()
	return done
}

// dropRest removes what an ended platform has outside of its data directory,
// unless the next one is starting there already.
func dropRest(ctx context.Context, dataDir, runtimeDir string) error {
	lock, err := os.OpenFile(filepath.Join(dataDir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil //nolint:nilerr // It is held by the next one.
	}
	groups, err := savedCgroups(dataDir)
	return errors.Join(err, removeCgroups(groups), leaveHost(ctx, dataDir), os.RemoveAll(runtimeDir))
}

// downLost ends a holder whose platform is gone, with the containers it keeps.
func downLost(ctx context.Context, s cli.Session, runtimeDir string) error {
	h, err := holder.Connect(runtimeDir)
	if errors.Is(err, holder.ErrNotRunning) {
		err = nil
		// The holder may have been killed; its containers have no parent of ours then.
		n := 0
		for _, state := range runtimeStates(s.DataDir) {
			stopped, stopErr := shim.StopAll(ctx, filepath.Join(state, "containers"))
			n, err = n+stopped, errors.Join(err, stopErr, shim.EndPods(ctx, filepath.Join(state, "pods")))
		}
		err = errors.Join(err, dropRest(ctx, s.DataDir, runtimeDir))
		switch {
		case err != nil:
			return err
		case n == 0:
			fmt.Fprintln(s.Err, s.Text.T(text.DownNothing, s.DataDir))
		default:
			fmt.Fprintln(s.Err, s.Text.T(text.DownLost, n))
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	n := running(readContainers(s.DataDir))
	if err := errors.Join(h.Shutdown(ctx), dropRest(ctx, s.DataDir, runtimeDir)); err != nil {
		return err
	}
	fmt.Fprintln(s.Err, s.Text.T(text.DownLost, n))
	return nil
}
