package network

import (
	"encoding/hex"
	"net"
	"net/netip"
)

// Addresses inside the node's namespace. They are the same in every data
// directory: nothing outside of the namespace sees them.
var (
	// PodCIDR is where pods get their addresses.
	PodCIDR = netip.MustParsePrefix("10.244.0.0/16")
	// ServiceCIDR is where Services get theirs, which lead to pods or to the node.
	ServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")
	// NodeIP is the address of the node, of several the first one's; see [NodeAddress].
	NodeIP = netip.MustParseAddr(nodeIP)
	// PlatformIP is where pods find the platform.
	PlatformIP = netip.MustParseAddr("10.244.0.2")
	// ResolverIP answers names as the host does.
	ResolverIP = netip.MustParseAddr("10.244.0.3")
	// HostIP leads to what listens on the host's loopback.
	HostIP = netip.MustParseAddr(hostIP)

	// DNSIP is the address of the cluster's name server, behind that of its Service.
	DNSIP = netip.MustParseAddr("10.244.0.5")

	// firstPod leaves room for addresses of the node.
	firstPod = netip.MustParseAddr("10.244.0.16")
	// gateway is the next hop of every pod.
	gateway = netip.MustParseAddr("169.254.1.1")

	// hostMAC is the hardware address of the node's end of every pod's veth.
	hostMAC = net.HardwareAddr{0x0a, 0x58, 0xa9, 0xfe, 0x01, 0x01}
)

const (
	// HostName is the name of [HostIP] for pods, webhooks and whoever else asks the node.
	HostName = "host.kiwerk.internal"

	// PodInterfaces is how the names of the node's ends of pods' veths begin.
	PodInterfaces = "kwp"
	// UplinkInterface is the node's way out.
	UplinkInterface = "kwup"

	nodeIP   = "10.244.0.1"
	hostIP   = "10.244.0.4"
	hostPort = "7"

	podInterface = "eth0"
	// mtu is that of the way out.
	mtu = 1500
	// podMTU is what fits between pods in one piece: almost as much as over a
	// loopback, and the most that a veth takes in multiples of 16.
	podMTU = 65520
)

// MaxNodes is how many nodes have an address here.
const MaxNodes = 10

// NodeAddress is the address of a node; they are counted from 1.
func NodeAddress(number int) netip.Addr {
	if number == 1 {
		return NodeIP
	}
	b := DNSIP.As4()
	b[3] += byte(number - 1) //nolint:gosec // At most MaxNodes.
	return netip.AddrFrom4(b)
}

// interfaceOf is the name of the node's end of the veth to ip: unique, and
// known without a record.
func interfaceOf(ip netip.Addr) string {
	b := ip.As4()
	return PodInterfaces + hex.EncodeToString(b[:])
}

// macOf is the hardware address of the pod with this address.
func macOf(ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x0a, 0x58, b[0], b[1], b[2], b[3]}
}

// network32 is an address alone, as netlink wants it.
func network32(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(32, 32)}
}
