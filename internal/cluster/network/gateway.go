//go:build linux

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// ListenHost takes what pods send to [HostIP], whatever the port;
// [OriginalPort] tells which it was.
func (n *Network) ListenHost() (net.Listener, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(hostIP, hostPort))
	if err != nil {
		return nil, fmt.Errorf("way to the host's loopback: %w", err)
	}
	return l, nil
}

// OriginalPort is the port that the sender wrote, before the kernel led the connection here.
func OriginalPort(c net.Conn) (uint16, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0, fmt.Errorf("a connection of %s has no original address", c.RemoteAddr().Network())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var port uint16
	var optErr error
	err = raw.Control(func(fd uintptr) {
		// Of the size of a sockaddr_in, which the kernel fills in.
		var mreq *unix.IPv6Mreq
		if mreq, optErr = unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, soOriginalDst); optErr == nil {
			port = binary.BigEndian.Uint16(mreq.Multiaddr[2:4])
		}
	})
	return port, errors.Join(err, optErr)
}

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h.
const soOriginalDst = 80
