//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// endTime is how long a killed shim and its init may take to be gone.
const endTime = 10 * time.Second

// pollEnd is how often it is looked whether they are.
const pollEnd = 5 * time.Millisecond

// End kills the shim of a directory, and with it the container, whatever state
// its records are in, and waits until it is gone.
func End(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	tick := time.NewTicker(pollEnd)
	defer tick.Stop()
	for {
		lives, err := alive(dir)
		if err != nil || !lives {
			return err
		}
		if err := killShims(dir); err != nil {
			return fmt.Errorf("end the shim of %s: %w", dir, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the shim of %s does not end: %w", dir, ctx.Err())
		}
	}
}

// killShims finds them by their command line, which is all that is left to know them by.
func killShims(dir string) error {
	want, err := os.Stat(dir)
	if err != nil {
		return err
	}
	_, err = killAll(func(args []string) bool {
		if len(args) != 3 || !slices.Equal(args[:2], shimArgs) {
			return false
		}
		its, err := os.Stat(args[2])
		return err == nil && os.SameFile(its, want)
	})
	return err
}

// killAll kills the processes whose command line is meant, and counts those that it saw.
func killAll(meant func(args []string) bool) (seen int, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	errs := []error{err}
	for _, p := range processes {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || !meant(commandLine(pid)) {
			continue
		}
		seen++
		fd, err := unix.PidfdOpen(pid, 0)
		if err == nil && meant(commandLine(pid)) { // still, now that the number cannot go to another
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("kill %d: %w", pid, err))
		}
	}
	return seen, errors.Join(errs...)
}

// commandLine is empty for a process that has ended.
func commandLine(pid int) []string {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}
