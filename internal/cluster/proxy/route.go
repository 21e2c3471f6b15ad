//go:build linux

package proxy

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// routeServices gives the addresses of Services a way, so that packets to them
// get as far as the rules on a node without a default route, too. The rules
// lead them elsewhere or refuse them.
func routeServices(services netip.Prefix, node netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("route to services: %w", err)
	}
	route := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Src: node.AsSlice(), Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: services.Addr().AsSlice(), Mask: net.CIDRMask(services.Bits(), services.Addr().BitLen())},
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route to services %s: %w", services, err)
	}
	return nil
}
