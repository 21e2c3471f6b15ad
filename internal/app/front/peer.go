package front

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/kiwerk/kiwerk/internal/server"
)

type connKey struct{}

// withConn keeps the connection for the check of the peer's uid.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &peer{conn: c})
}

// peer is one connection and, once asked for, the user behind it.
type peer struct {
	conn  net.Conn
	once  sync.Once
	owner bool
	err   error
}

// CheckPeer returns nil if the other end of the request's connection is a
// process of the user whom own knows, on this machine; else the error is
// server.ErrUnauthenticated with the reason. The kernel is asked once per connection.
func CheckPeer(ctx context.Context, own func(local, remote netip.AddrPort) (bool, error)) error {
	p, ok := ctx.Value(connKey{}).(*peer)
	if !ok {
		return server.ErrUnauthenticated
	}
	p.once.Do(func() { p.owner, p.err = owns(p.conn, own) })
	if p.err != nil {
		return fmt.Errorf("%w: whose connection this is could not be found out: %w", server.ErrUnauthenticated, p.err)
	}
	if !p.owner {
		return fmt.Errorf("%w: the connection comes from a pod or from another user of this machine, who need a token", server.ErrUnauthenticated)
	}
	return nil
}

func owns(c net.Conn, own func(local, remote netip.AddrPort) (bool, error)) (bool, error) {
	local, err := addrPort(c.LocalAddr())
	if err != nil {
		return false, err
	}
	remote, err := addrPort(c.RemoteAddr())
	if err != nil {
		return false, err
	}
	// Loopback has many addresses. Programs use the usual two; what comes from
	// another one is a pod's connection that was carried to the host's loopback.
	if !usualLoopback(remote.Addr()) || !local.Addr().IsLoopback() {
		return false, nil
	}
	return own(local, remote)
}

func usualLoopback(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("address %s is none of TCP", a)
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}
