//go:build linux

package fdsock

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxMessage is the largest message that is sent or accepted, in bytes.
const MaxMessage = 8 << 20

// maxFiles is the kernel's own limit for one message (SCM_MAX_FD).
const maxFiles = 253

// maxPath is what fits into sockaddr_un with its final zero.
const maxPath = 107

// Conn is one end of a connection. Send may be called by several goroutines, Recv by one.
type Conn struct {
	f    *os.File
	raw  syscall.RawConn
	send sync.Mutex
}

func newConn(fd int, name string) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set %s non-blocking: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", name, err), f.Close())
	}
	return &Conn{f: f, raw: raw}, nil
}

// FromFile takes over an inherited end, for example one of [Pair].
func FromFile(f *os.File) (*Conn, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate %s: %w", f.Name(), err)
	}
	if err := f.Close(); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return newConn(fd, f.Name())
}

// Pair returns a connection and the file of its other end, meant for a child.
func Pair(name string) (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair %s: %w", name, err)
	}
	c, err := newConn(fds[0], name)
	if err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[1]))
	}
	return c, os.NewFile(uintptr(fds[1]), name), nil
}

// Dial connects to a socket made by [Listen].
func Dial(path string) (*Conn, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket path %s has %d bytes, at most %d fit: choose a shorter runtime directory", path, len(path), maxPath)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return newConn(fd, path)
}

// Send writes one message. The files stay open on this side.
func (c *Conn) Send(v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(body) > MaxMessage {
		return fmt.Errorf("message of %d bytes is larger than %d", len(body), MaxMessage)
	}
	if len(files) > maxFiles {
		return fmt.Errorf("%d files in one message, at most %d can be passed", len(files), maxFiles)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	buf := make([]byte, 4+len(body))
	binary.BigEndian.PutUint32(buf, uint32(len(body)))
	copy(buf[4:], body)

	c.send.Lock()
	defer c.send.Unlock()
	return c.write(buf, oob)
}

// write sends buf; oob travels with the first byte.
func (c *Conn) write(buf, oob []byte) error {
	var opErr error
	err := c.raw.Write(func(fd uintptr) bool {
		for len(buf) > 0 {
			n, err := unix.SendmsgN(int(fd), buf, oob, nil, unix.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.EAGAIN):
				return false
			case err != nil:
				opErr = err
				return true
			}
			buf, oob = buf[n:], nil
		}
		return true
	})
	return errors.Join(err, opErr)
}

// Recv reads one message into v and returns the files that came with it. A
// connection that the peer closed between two messages yields io.EOF.
func (c *Conn) Recv(v any) ([]*os.File, error) {
	var files []*os.File
	fail := func(err error) ([]*os.File, error) {
		CloseAll(files)
		return nil, err
	}
	var head [4]byte
	if err := c.readFull(head[:], &files); err != nil {
		return fail(err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > MaxMessage {
		return fail(fmt.Errorf("message of %d bytes is larger than %d", size, MaxMessage))
	}
	body := make([]byte, size)
	if err := c.readFull(body, &files); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fail(err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fail(fmt.Errorf("decode message: %w", err))
	}
	return files, nil
}

// readFull fills p; files that arrive are appended.
func (c *Conn) readFull(p []byte, files *[]*os.File) error {
	for got := 0; got < len(p); {
		n, err := c.read(p[got:], files)
		if err != nil {
			return err
		}
		if n == 0 {
			if got > 0 {
				return io.ErrUnexpectedEOF
			}
			return io.EOF
		}
		got += n
	}
	return nil
}

func (c *Conn) read(p []byte, files *[]*os.File) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	var n, oobn, flags int
	var opErr error
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, opErr = unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC)
			switch {
			case errors.Is(opErr, unix.EINTR):
				continue
			case errors.Is(opErr, unix.EAGAIN):
				return false
			}
			return true
		}
	})
	if err := errors.Join(err, opErr); err != nil {
		return 0, err
	}
	if err := takeFiles(oob[:oobn], files); err != nil {
		return 0, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return 0, errors.New("some passed files were lost: the limit of open files of this process is reached")
	}
	return n, nil
}

func takeFiles(oob []byte, files *[]*os.File) error {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // not files
		}
		for _, fd := range fds {
			*files = append(*files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return nil
}

// PeerUID returns the user of the process at the other end when it connected,
// as seen in this process's user namespace.
func (c *Conn) PeerUID() (uint32, error) {
	var cred *unix.Ucred
	var opErr error
	err := c.raw.Control(func(fd uintptr) {
		cred, opErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, opErr); err != nil {
		return 0, fmt.Errorf("peer of socket: %w", err)
	}
	return cred.Uid, nil
}

// PeerGone tells whether the other end has been closed already.
func (c *Conn) PeerGone() bool {
	gone := false
	err := c.raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n == 1 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}

// SetDeadline bounds pending and later reads and writes.
func (c *Conn) SetDeadline(t time.Time) error { return c.f.SetDeadline(t) }

// Close ends the connection; a pending Recv returns.
func (c *Conn) Close() error { return c.f.Close() }

// CloseAll closes files that were received and are not needed.
func CloseAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
