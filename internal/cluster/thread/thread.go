//go:build linux

package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Own runs f on a thread that ends with it. It is never the first one, which
// cannot end and whose namespaces stand for the process.
func Own(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			done <- f()
			return
		}
		done <- Own(f) // the first thread stays taken meanwhile
		runtime.UnlockOSThread()
	}()
	return <-done
}
