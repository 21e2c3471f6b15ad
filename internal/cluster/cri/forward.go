//go:build linux

package cri

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/cluster/procnet"
)

// PortForward connects a stream to a port of a pod.
func (r streamRuntime) PortForward(ctx context.Context, sandboxID string, port int32, stream io.ReadWriteCloser) error {
	b, err := r.s.findSandbox(sandboxID)
	if err != nil {
		return err
	}
	conn, err := r.s.dialPod(ctx, b, int(port))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()                         // both copies have ended
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the copies
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(stream, conn) // ends with either side
		_ = stream.Close()           // kubectl may have closed it first
	}()
	_, _ = io.Copy(conn, stream) // ends with either side
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // the pod may have closed it first
	}
	<-done
	return nil
}

// dialPod is the one place that knows in which network a pod's ports are.
//
// Where pods share the host's network the port may be somebody else's: only
// what a process of the pod listens on is connected to. A pod that was given
// another port than the one it asks for gets the given one.
func (s *Server) dialPod(ctx context.Context, b *sandbox, port int) (net.Conn, error) {
	if b.NetNS != "" {
		return dialWithin(ctx, b, port)
	}
	open := s.listening(b)
	to, ok := choosePort(open, port, b.Port)
	if !ok {
		return nil, fmt.Errorf("nothing listens on port %d of pod %s/%s: its processes listen on %s", port, b.Namespace, b.Name, portList(open))
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("port %d of pod %s/%s: %w", port, b.Namespace, b.Name, err)
	}
	return conn, nil
}

// dialWithin connects to loopback in the pod's own network.
func dialWithin(ctx context.Context, b *sandbox, port int) (conn net.Conn, err error) {
	var d net.Dialer
	err = network.Within(b.NetNS, func() error {
		conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return nil
		}
		// Addresses, not the name: it would be looked up on another thread.
		if six, err6 := d.DialContext(ctx, "tcp", net.JoinHostPort("::1", strconv.Itoa(port))); err6 == nil {
			conn, err = six, nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nothing listens on port %d of pod %s/%s: %w", port, b.Namespace, b.Name, err)
	}
	return conn, nil
}

// listening lists what the processes of a pod listen on.
func (s *Server) listening(b *sandbox) []netip.AddrPort {
	mine, dir := map[uint64]bool{}, ""
	for _, c := range s.containersOf(b.ID) {
		running := c.look().running
		if running == nil {
			continue
		}
		pid := running.State().InitPID
		dir = "/proc/" + strconv.Itoa(pid) + "/net"
		for _, p := range tree(pid) {
			procnet.Sockets(p, mine)
		}
	}
	var open []netip.AddrPort
	for _, l := range procnet.Listening(dir) {
		if mine[l.Inode] {
			open = append(open, l.Address)
		}
	}
	return open
}

// choosePort prefers the port that was asked for over the one that the pod was given.
func choosePort(open []netip.AddrPort, wanted, given int) (netip.AddrPort, bool) {
	for _, port := range []int{wanted, given} {
		for _, a := range open {
			if int(a.Port()) != port {
				continue
			}
			if a.Addr().IsUnspecified() { // takes loopback, too
				local := netip.IPv6Loopback()
				if a.Addr().Is4() {
					local = netip.AddrFrom4([4]byte{127, 0, 0, 1})
				}
				a = netip.AddrPortFrom(local, a.Port())
			}
			return a, true
		}
	}
	return netip.AddrPort{}, false
}

func portList(open []netip.AddrPort) string {
	var ports []string
	for _, a := range open {
		if p := strconv.Itoa(int(a.Port())); !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	if len(ports) == 0 {
		return "no port"
	}
	slices.Sort(ports)
	return strings.Join(ports, ", ")
}

// tree lists a process and all below it.
func tree(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children("/proc/"+strconv.Itoa(all[i]))...)
	}
	return all
}
