//go:build linux

package local

import (
	"os"
	"os/signal"
	"syscall"
)

// interrupted hears of a second Ctrl-C.
func interrupted() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}
