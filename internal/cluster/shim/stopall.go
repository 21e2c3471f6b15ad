//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// StopAll ends the containers whose directories lie in dir, with their grace
// periods, and returns how many there were. It is for containers that neither
// a daemon nor a holder looks after any more. What still runs when ctx ends is killed.
func StopAll(ctx context.Context, dir string) (int, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var running []*Running
	for _, n := range names {
		if !n.IsDir() {
			continue
		}
		r, err := Adopt(ctx, filepath.Join(dir, n.Name()))
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := r.terminate(); err != nil {
			return 0, err
		}
		running = append(running, r)
	}
	var errs []error
	for _, r := range running {
		select {
		case <-r.Done():
		case <-ctx.Done():
			if err := r.Kill(); err != nil && !errors.Is(err, ErrGone) {
				errs = append(errs, err)
			}
		}
	}
	return len(running), errors.Join(errs...)
}

// terminate asks an adopted shim to stop its container gracefully, which it
// does by itself, and to end.
func (r *Running) terminate() error {
	raw, err := r.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sigErr error
	err = raw.Control(func(fd uintptr) { sigErr = unix.PidfdSendSignal(int(fd), unix.SIGTERM, nil, 0) })
	if errors.Is(sigErr, unix.ESRCH) {
		sigErr = nil
	}
	if err := errors.Join(err, sigErr); err != nil {
		return fmt.Errorf("stop shim %d: %w", r.state.PID, err)
	}
	return nil
}
