//go:build linux

package shim

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNetwork calls f on a thread in the network namespace at path, so that a
// process which f starts is in it. The shim itself stays where it is.
func inNetwork(path string, f func() error) error {
	if path == "" {
		return f()
	}
	theirs, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the pod's network: %w", err)
	}
	defer theirs.Close()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close()
	if err = unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the pod's network %s: %w", path, err)
	}
	err = f()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}
