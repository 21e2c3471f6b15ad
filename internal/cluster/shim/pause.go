//go:build linux

package shim

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Pause waits until it is asked to end, as Kubernetes' image of this name does.
func Pause() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM, unix.SIGINT)
	<-asked
}
