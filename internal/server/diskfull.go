package server

import (
	"errors"
	"strings"
	"syscall"
)

// isDiskFull knows the kernel's error and SQLite's, which has no type that
// this package may import.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		err != nil && strings.Contains(err.Error(), "database or disk is full")
}
