//go:build linux

package leftover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// rounds bound the search: each ends what the one before has let appear.
const rounds = 50

// Clean kills what is left of the cluster, unmounts its mounts and removes the
// runtime directory. It returns the processes that were ended; what could not
// be ended before ctx is over is in the error.
func (c Cluster) Clean(ctx context.Context) ([]Process, error) {
	var ended []Process
	known := map[int]uint64{}
	for range rounds {
		list, err := c.Processes()
		if err != nil {
			return ended, err
		}
		if len(list) == 0 {
			break
		}
		for _, p := range list {
			if known[p.PID] != p.Start {
				known[p.PID] = p.Start
				ended = append(ended, p)
			}
			if err := p.kill(ctx); err != nil {
				return ended, err
			}
		}
	}
	left, err := c.Processes()
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("new processes of %s keep appearing, the last is %d: %s", c.DataDir, left[0].PID, left[0].Command)
	}
	return ended, errors.Join(err, unmount(c.Mounts()), c.removeRuntimeDir())
}

// kill ends a process and waits until it is gone.
func (p Process) kill(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	// Only after the process is pinned does its start say that it is the right one.
	if startOf(p.PID) != p.Start {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end process %d (%s): %w", p.PID, p.Command, err)
	}
	for {
		wait := 100 * time.Millisecond
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait/time.Millisecond))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		case ctx.Err() != nil:
			return fmt.Errorf("process %d (%s) was killed and does not end; the kernel waits for something on its behalf, see /proc/%d/stack: %w", p.PID, p.Command, p.PID, ctx.Err())
		}
	}
}

// removeRuntimeDir removes the folder of sockets, and the one around it when it was the last.
func (c Cluster) removeRuntimeDir() error {
	if err := os.RemoveAll(c.RuntimeDir); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(c.RuntimeDir)) // other clusters' are in it
	return nil
}
