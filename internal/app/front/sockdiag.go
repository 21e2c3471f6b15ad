//go:build linux

package front

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Diag asks the kernel whose socket is at the other end of a connection. The
// netlink socket is opened by the launcher in the host's network, so it sees
// the host's connections and the host's user ids, whatever namespaces its
// holder is in.
type Diag struct {
	file *os.File
	uid  uint32

	mu  sync.Mutex
	seq uint32
}

// OpenDiag opens the socket; it works without any privilege.
func OpenDiag() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	return os.NewFile(uintptr(fd), "sock_diag"), nil
}

func NewDiag(f *os.File, uid uint32) *Diag { return &Diag{file: f, uid: uid} }

// Layout of linux/inet_diag.h.
const (
	diagRequestSize  = 56
	diagResponseSize = 72
	noCookie         = 0xffffffff
	tcpEstablished   = 1
	diagTimeout      = time.Second

	offFamily  = 0
	offState   = 1
	offUID     = 64
	offInode   = 68
	sockDiagBy = 20 // SOCK_DIAG_BY_FAMILY
)

// errNoSocket means that the other end is not a socket of this machine, or is gone.
var errNoSocket = errors.New("the kernel knows no such connection")

// OwnPeer tells whether the connection's other end belongs to our user.
func (d *Diag) OwnPeer(local, remote netip.AddrPort) (bool, error) {
	uid, err := d.uidOf(remote, local)
	if errors.Is(err, errNoSocket) {
		return false, nil
	}
	return err == nil && uid == d.uid, err
}

// uidOf finds the owner of the socket with this own and this other address.
// Only an established connection counts: the kernel reports uid 0 for what is
// left of a closed one.
func (d *Diag) uidOf(own, other netip.AddrPort) (uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	fd := int(d.file.Fd())
	if err := unix.Sendto(fd, diagRequest(d.seq, own, other), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("sock_diag: ask: %w", err)
	}
	timeout := unix.NsecToTimeval(diagTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	buf := make([]byte, unix.Getpagesize())
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("sock_diag: answer: %w", err)
		}
		uid, done, err := parseDiag(buf[:n], d.seq)
		if done || err != nil {
			return uid, err
		}
	}
}

func diagRequest(seq uint32, own, other netip.AddrPort) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	native := binary.NativeEndian
	native.PutUint32(b[0:], uint32(len(b)))
	native.PutUint16(b[4:], sockDiagBy)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)
	native.PutUint32(b[8:], seq)
	r := b[unix.SizeofNlMsghdr:]
	r[0] = unix.AF_INET
	if own.Addr().Is6() {
		r[0] = unix.AF_INET6
	}
	r[1] = unix.IPPROTO_TCP
	native.PutUint32(r[4:], 1<<tcpEstablished)
	binary.BigEndian.PutUint16(r[8:], own.Port())
	binary.BigEndian.PutUint16(r[10:], other.Port())
	copy(r[12:28], own.Addr().AsSlice())
	copy(r[28:44], other.Addr().AsSlice())
	native.PutUint32(r[48:], noCookie)
	native.PutUint32(r[52:], noCookie)
	return b
}

// parseDiag reads one datagram; done is false for an answer to an older question.
func parseDiag(b []byte, seq uint32) (uid uint32, done bool, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return 0, true, errors.New("sock_diag: the kernel's answer is too short")
	}
	h := (*unix.NlMsghdr)(unsafe.Pointer(&b[0]))
	if h.Seq != seq {
		return 0, false, nil
	}
	body := b[unix.SizeofNlMsghdr:]
	native := binary.NativeEndian
	switch h.Type {
	case unix.NLMSG_ERROR:
		if len(body) < 4 {
			return 0, true, errors.New("sock_diag: the kernel's answer is too short")
		}
		errno := unix.Errno(-int32(native.Uint32(body)))
		if errno == unix.ENOENT || errno == 0 {
			return 0, true, errNoSocket
		}
		return 0, true, fmt.Errorf("sock_diag: %w", errno)
	case sockDiagBy:
		if len(body) < diagResponseSize {
			return 0, true, errors.New("sock_diag: the kernel's answer is too short")
		}
		if body[offState] != tcpEstablished || native.Uint32(body[offInode:]) == 0 {
			return 0, true, errNoSocket
		}
		return native.Uint32(body[offUID:]), true, nil
	}
	return 0, true, fmt.Errorf("sock_diag: unexpected answer %d", h.Type)
}
