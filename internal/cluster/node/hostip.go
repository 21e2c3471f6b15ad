package node

import (
	"net"
)

// noAddress stands for this host where it has no address but loopback, which
// nodes and endpoints must not have. It comes from the range reserved for
// documentation, so nothing else answers there.
var noAddress = net.IPv4(192, 0, 2, 1)

// HostIP is the IPv4 address of this host that it uses towards others. A
// laptop without any network gets an address that belongs to nobody.
func HostIP() net.IP {
	// Connecting a datagram socket sends nothing; it only asks the kernel for the route.
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer c.Close() //nolint:errcheck // Nothing was written.
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok && usable(a.IP) {
			return a.IP.To4()
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return noAddress
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && usable(n.IP) {
			return n.IP.To4()
		}
	}
	return noAddress
}

func usable(ip net.IP) bool {
	return ip.To4() != nil && ip.IsGlobalUnicast() && !ip.IsLoopback()
}
