//go:build linux

package local

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// secondSignal is how much later a signal must come to count as another one:
// timeout(1) and some terminals send the first one twice.
const secondSignal = time.Second

// interrupted is closed by a signal that comes well after the first one.
func interrupted(first time.Time) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	again := make(chan struct{})
	go func() {
		for range signals {
			if time.Since(first) > secondSignal {
				close(again)
				return
			}
		}
	}()
	return again
}
