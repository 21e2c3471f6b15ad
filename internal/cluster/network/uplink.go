//go:build linux

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Uplink is the link between the node and what carries its packets on.
type Uplink struct {
	// Node and Gateway are its two ends, in a network of Bits.
	Node, Gateway netip.Addr
	Bits          int
}

// UserUplink is where packets are carried on by a program.
var UserUplink = Uplink{Node: netip.MustParseAddr("169.254.2.2"), Gateway: netip.MustParseAddr("169.254.2.1"), Bits: 30}

// Hardware addresses of the ends of the user's uplink. The gateway's is not
// that of the veth's far end: the kernel must leave these packets alone.
var (
	NodeMAC    = net.HardwareAddr{0x0a, 0x58, 169, 254, 2, 2}
	GatewayMAC = net.HardwareAddr{0x0a, 0x58, 169, 254, 2, 1}
)

// MTU of the uplink.
const MTU = mtu

const farInterface = "kwux"

// UseUplink makes a link that is there, such as that of [JoinHost], the way out.
func (n *Network) UseUplink(u Uplink) error {
	if err := n.useUplink(u, nil); err != nil {
		return fmt.Errorf("uplink of the node: %w", err)
	}
	return nil
}

func (n *Network) useUplink(u Uplink, gatewayMAC net.HardwareAddr) error {
	link, err := n.node.LinkByName(UplinkInterface)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	address := &net.IPNet{IP: u.Node.AsSlice(), Mask: net.CIDRMask(u.Bits, 32)}
	if err := errors.Join(n.node.AddrReplace(link, &netlink.Addr{IPNet: address}), n.node.LinkSetUp(link)); err != nil {
		return err
	}
	if gatewayMAC != nil {
		err := n.node.NeighSet(&netlink.Neigh{
			LinkIndex: index, State: netlink.NUD_PERMANENT, Family: unix.AF_INET, IP: u.Gateway.AsSlice(), HardwareAddr: gatewayMAC,
		})
		if err != nil {
			return err
		}
	}
	return n.node.RouteReplace(&netlink.Route{LinkIndex: index, Gw: u.Gateway.AsSlice()})
}

// MakeUserUplink makes [UserUplink] the way out and returns a packet socket at
// its far end, on which frames for [GatewayMAC] come out.
func (n *Network) MakeUserUplink() (*os.File, error) {
	f, err := n.makeUserUplink()
	if err != nil {
		return nil, fmt.Errorf("uplink of the node: %w", err)
	}
	return f, nil
}

func (n *Network) makeUserUplink() (*os.File, error) {
	far, err := n.node.LinkByName(farInterface)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = UplinkInterface, mtu, NodeMAC
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerMTU = farInterface, mtu
		if err := n.node.LinkAdd(veth); err != nil {
			return nil, err
		}
		far, err = n.node.LinkByName(farInterface)
	}
	if err != nil {
		return nil, err
	}
	if err := n.node.LinkSetUp(far); err != nil {
		return nil, err
	}
	if err := n.useUplink(UserUplink, GatewayMAC); err != nil {
		return nil, err
	}
	return packetSocket(far.Attrs().Index)
}

// packetSocket sees the IPv4 packets of an interface.
func packetSocket(index int) (*os.File, error) {
	const ipv4 = unix.ETH_P_IP<<8&0xff00 | unix.ETH_P_IP>>8 // in the order of the network
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, ipv4)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ipv4, Ifindex: index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), farInterface), nil
}
