//go:build linux

package cri

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of the real-time signals as the C library gives them to programs.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// otherNames are second names of signals.
var otherNames = map[string]unix.Signal{"SIGIOT": unix.SIGABRT, "SIGPOLL": unix.SIGIO, "SIGCLD": unix.SIGCHLD}

// signalByName returns the number of SIGTERM, SIGRTMIN+3 (written
// SIGRTMINPLUS3 in the CRI) and the like, 0 if there is no such signal.
func signalByName(name string) int {
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		return sigRTMin + offset(rest, "PLUS")
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
		return sigRTMax - offset(rest, "MINUS")
	}
	if other, ok := otherNames[name]; ok {
		return int(other)
	}
	return int(unix.SignalNum(name))
}

func offset(s, word string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(s, word))
	if err != nil {
		return 0
	}
	return n
}
