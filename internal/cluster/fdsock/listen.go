//go:build linux

package fdsock

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listener accepts connections from processes of its own user.
type Listener struct {
	f    *os.File
	raw  syscall.RawConn
	path string
}

// Listen makes a 0600 socket at path; a stale socket file there is replaced.
// Whoever calls it must hold a lock that keeps a second server away.
func Listen(path string) (*Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket path %s has %d bytes, at most %d fit: choose a shorter runtime directory", path, len(path), maxPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	// The mode of the socket file is that of the socket, so there is no moment in which others could connect.
	err = errors.Join(unix.Fchmod(fd, 0o600), unix.Bind(fd, &unix.SockaddrUnix{Name: path}), os.Chmod(path, 0o600))
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "listen", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Listener{f: f, raw: raw, path: path}, nil
}

// Accept waits for the next peer of the same user; others are dropped.
func (l *Listener) Accept() (*Conn, error) {
	for {
		c, err := l.accept()
		if err != nil {
			return nil, err
		}
		uid, err := c.PeerUID()
		if err == nil && uid == uint32(os.Geteuid()) {
			return c, nil
		}
		_ = c.Close()
	}
}

func (l *Listener) accept() (*Conn, error) {
	fd := -1
	var opErr error
	err := l.raw.Read(func(s uintptr) bool {
		for {
			fd, _, opErr = unix.Accept4(int(s), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			switch {
			case errors.Is(opErr, unix.EINTR), errors.Is(opErr, unix.ECONNABORTED):
				continue
			case errors.Is(opErr, unix.EAGAIN):
				return false
			}
			return true
		}
	})
	if err := errors.Join(err, opErr); err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.path, err)
	}
	return newConn(fd, l.path)
}

// Close stops accepting and removes the socket file.
func (l *Listener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.f.Close())
}
