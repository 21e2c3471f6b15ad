//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Config of a [Network].
type Config struct {
	// Dir keeps the addresses and the namespaces of pods.
	Dir string
	// Nodes is how many there are in this namespace, 1 if it is 0.
	Nodes int
	// Logger hears what was cleaned up.
	Logger *slog.Logger
}

// Network is the network of this node and its pods.
type Network struct {
	dir       string
	log       *slog.Logger
	addresses *pool
	node      *netlink.Handle

	ports sync.Mutex // one change of the port map at a time
}

// Open prepares the network namespace of this process as that of the node. It
// may have been prepared by an earlier daemon, whose pods go on.
func Open(ctx context.Context, cfg Config) (*Network, error) {
	if cfg.Logger == nil || !filepath.IsAbs(cfg.Dir) {
		return nil, errors.New("pod network: a logger and an absolute directory are needed")
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, namespaces), 0o700); err != nil {
		return nil, fmt.Errorf("pod network: %w", err)
	}
	addresses, err := openPool(filepath.Join(cfg.Dir, "addresses.json"), PodCIDR, firstPod)
	if err != nil {
		return nil, err
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("pod network: %w", err)
	}
	n := &Network{dir: cfg.Dir, log: cfg.Logger, addresses: addresses, node: handle}
	if err := n.prepareNode(ctx, max(1, cfg.Nodes)); err != nil {
		handle.Close()
		return nil, fmt.Errorf("prepare the node's network: %w", err)
	}
	return n, nil
}

// Close leaves the network as it is: pods live on.
func (n *Network) Close() { n.node.Close() }

// namespaces is the folder of the pods' namespaces.
const namespaces = "ns"

func (n *Network) namespace(id string) string { return filepath.Join(n.dir, namespaces, id) }

func (n *Network) prepareNode(ctx context.Context, nodes int) error {
	lo, err := n.node.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := n.node.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	for _, ip := range []netip.Addr{NodeIP, PlatformIP, ResolverIP, HostIP, DNSIP} {
		if err := n.node.AddrReplace(lo, &netlink.Addr{IPNet: network32(ip)}); err != nil {
			return fmt.Errorf("add address %s: %w", ip, err)
		}
	}
	if err := n.nameNodes(lo, nodes); err != nil {
		return err
	}
	for _, s := range [][2]string{
		{"net.ipv4.ip_forward", "1"},
		// Packets of pods come in by one interface only, but services answer from another.
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		// Host ports on the loopback lead to pods; the rules keep everything else off it.
		{"net.ipv4.conf.all.route_localnet", "1"},
	} {
		if err := setSysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	if err := setIfThere("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
		return err
	}
	// What is addressed to no pod must not leave the node.
	unused := &netlink.Route{Dst: prefixNet(PodCIDR), Type: unix.RTN_UNREACHABLE, Priority: 1 << 20}
	if err := n.node.RouteReplace(unused); err != nil {
		return fmt.Errorf("refuse unused pod addresses: %w", err)
	}
	_, err = NFT(ctx, nodeRules)
	return err
}

// nameNodes gives every further node its address and takes those of former ones away.
func (n *Network) nameNodes(lo netlink.Link, nodes int) error {
	for i := 2; i <= MaxNodes; i++ {
		ip := NodeAddress(i)
		address := &netlink.Addr{IPNet: network32(ip)}
		if i <= nodes {
			if err := n.node.AddrReplace(lo, address); err != nil {
				return fmt.Errorf("add address %s: %w", ip, err)
			}
			continue
		}
		if err := n.node.AddrDel(lo, address); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove address %s: %w", ip, err)
		}
	}
	return nil
}

func prefixNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

// nodeRules are those of the node itself; services have a table of their own.
// The maps survive the daemon, so they are made only if they are not there.
// Host ports are those of the node's own address, or of its loopback where a
// pod names that: the platform and the name servers listen on other addresses,
// and no pod may take their ports.
const nodeRules = `
add table ip kiwerk
add map ip kiwerk host_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }
add set ip kiwerk hairpins { type ipv4_addr . ipv4_addr ; }
add chain ip kiwerk loopback { type filter hook prerouting priority raw ; }
add chain ip kiwerk prerouting { type nat hook prerouting priority -110 ; }
add chain ip kiwerk output { type nat hook output priority -110 ; }
add chain ip kiwerk postrouting { type nat hook postrouting priority 110 ; }
flush chain ip kiwerk loopback
flush chain ip kiwerk prerouting
flush chain ip kiwerk output
flush chain ip kiwerk postrouting
add rule ip kiwerk loopback iifname != "lo" ip daddr 127.0.0.0/8 drop
add rule ip kiwerk prerouting ip daddr ` + hostIP + ` meta l4proto tcp dnat to ` + hostIP + `:` + hostPort + `
add rule ip kiwerk output ip daddr ` + hostIP + ` meta l4proto tcp dnat to ` + hostIP + `:` + hostPort + `
add rule ip kiwerk prerouting dnat ip addr . port to ip daddr . meta l4proto . th dport map @host_ports
add rule ip kiwerk output dnat ip addr . port to ip daddr . meta l4proto . th dport map @host_ports
add rule ip kiwerk postrouting ip saddr . ip daddr @hairpins masquerade
add rule ip kiwerk postrouting ip saddr 127.0.0.0/8 oifname "` + PodInterfaces + `*" masquerade
add rule ip kiwerk postrouting oifname "` + UplinkInterface + `" masquerade
`

// Protocols of a [HostPort].
const (
	TCP = "tcp"
	UDP = "udp"
)

// HostPort leads a port of the node to one of a pod.
type HostPort struct {
	Protocol  string
	Port, Pod uint16
	// IP is the address of the node; the zero value is [NodeIP].
	IP netip.Addr
}

// Pod is what a pod asks of its network.
type Pod struct {
	// ID is unique and fit for a file name.
	ID string
	// Sysctls are set in the pod's namespace; [CheckSysctls] has passed them.
	Sysctls   map[string]string
	HostPorts []HostPort
}

// Attachment is the network of a pod.
type Attachment struct {
	IP netip.Addr
	// Namespace is the path of the pod's network namespace.
	Namespace string
}

// Attach makes the network of a pod. Attaching the same pod again is harmless.
func (n *Network) Attach(ctx context.Context, p Pod) (Attachment, error) {
	if p.ID == "" || strings.ContainsAny(p.ID, "/.") {
		return Attachment{}, fmt.Errorf("pod network: %q is no id of a pod", p.ID)
	}
	if err := CheckSysctls(p.Sysctls); err != nil {
		return Attachment{}, err
	}
	ip, err := n.addresses.take(p.ID)
	if err != nil {
		return Attachment{}, err
	}
	a := Attachment{IP: ip, Namespace: n.namespace(p.ID)}
	if err := n.attach(ctx, p, a); err != nil {
		return Attachment{}, errors.Join(fmt.Errorf("network of pod at %s: %w", ip, err), n.Detach(context.WithoutCancel(ctx), p.ID))
	}
	return a, nil
}

func (n *Network) attach(ctx context.Context, p Pod, a Attachment) error {
	if err := errors.Join(n.removeLink(a.IP), removeNamespace(a.Namespace)); err != nil {
		return err
	}
	err := makeNamespace(a.Namespace, func() error { return n.connect(a, p.Sysctls) })
	if err != nil {
		return err
	}
	// Policies go by the sender's address: a pod must not take another's, nor one of the loopback.
	if err := setSysctl("net.ipv4.conf."+interfaceOf(a.IP)+".rp_filter", "1"); err != nil {
		return err
	}
	return n.mapPorts(ctx, a.IP, p.HostPorts)
}

// connect runs on a thread in the pod's namespace.
func (n *Network) connect(a Attachment, sysctls map[string]string) error {
	pod, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer pod.Close()
	own, err := os.Open(ownNamespace)
	if err != nil {
		return err
	}
	defer own.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = interfaceOf(a.IP), podMTU, hostMAC
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = podInterface, macOf(a.IP), podMTU
	veth.PeerNamespace = netlink.NsFd(own.Fd())
	if err := n.node.LinkAdd(veth); err != nil {
		return fmt.Errorf("make veth %s: %w", attrs.Name, err)
	}
	for _, s := range podSysctls() {
		if err := setIfThere(s[0], s[1]); err != nil {
			return err
		}
	}
	for name, value := range sysctls {
		if err := setSysctl(name, value); err != nil {
			return err
		}
	}
	if err := configurePod(pod, a.IP); err != nil {
		return err
	}
	return n.configureEnd(veth.Name, a.IP)
}

// configurePod gives the pod's end its address and the only way out.
func configurePod(pod *netlink.Handle, ip netip.Addr) error {
	lo, err := pod.LinkByName("lo")
	if err != nil {
		return err
	}
	eth, err := pod.LinkByName(podInterface)
	if err != nil {
		return err
	}
	index := eth.Attrs().Index
	if err := errors.Join(pod.LinkSetUp(lo), pod.LinkSetUp(eth), pod.AddrAdd(eth, &netlink.Addr{IPNet: network32(ip)})); err != nil {
		return fmt.Errorf("bring up the pod's interface: %w", err)
	}
	err = pod.NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, Family: unix.AF_INET, IP: gateway.AsSlice(), HardwareAddr: hostMAC,
	})
	if err != nil {
		return fmt.Errorf("set the pod's gateway: %w", err)
	}
	for _, r := range podRoutes() {
		r.LinkIndex, r.Gw, r.Flags, r.Src = index, gateway.AsSlice(), int(netlink.FLAG_ONLINK), ip.AsSlice()
		if err := pod.RouteAdd(r); err != nil {
			return fmt.Errorf("set the pod's route: %w", err)
		}
	}
	return nil
}

// podRoutes all lead to the gateway. What goes out says from the start that it comes in smaller pieces.
func podRoutes() []*netlink.Route {
	routes := []*netlink.Route{{MTU: mtu}}
	for _, p := range []netip.Prefix{PodCIDR, ServiceCIDR} {
		routes = append(routes, &netlink.Route{Dst: prefixNet(p)})
	}
	return routes
}

// configureEnd is the node's side.
func (n *Network) configureEnd(name string, ip netip.Addr) error {
	link, err := n.node.LinkByName(name)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := n.node.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	err = n.node.NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, Family: unix.AF_INET, IP: ip.AsSlice(), HardwareAddr: macOf(ip),
	})
	if err != nil {
		return fmt.Errorf("set the neighbour at %s: %w", name, err)
	}
	err = n.node.RouteReplace(&netlink.Route{
		LinkIndex: index, Dst: network32(ip), Scope: netlink.SCOPE_LINK, Src: NodeIP.AsSlice(),
	})
	if err != nil {
		return fmt.Errorf("set the route to %s: %w", ip, err)
	}
	return nil
}

// Detach removes the network of a pod and gives its address back. It tolerates
// that there is nothing, or only a part.
func (n *Network) Detach(ctx context.Context, id string) error {
	ip, ok := n.addresses.all()[id]
	if !ok {
		return removeNamespace(n.namespace(id))
	}
	if err := errors.Join(n.unmapPorts(ctx, ip), n.removeLink(ip), removeNamespace(n.namespace(id))); err != nil {
		return fmt.Errorf("remove the network of the pod at %s: %w", ip, err)
	}
	return n.addresses.free(id)
}

func (n *Network) removeLink(ip netip.Addr) error {
	link, err := n.node.LinkByName(interfaceOf(ip))
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil
	}
	if err == nil {
		err = n.node.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", interfaceOf(ip), err)
	}
	return nil
}

// Keep adopts the pods with these ids and removes every other network of the
// first node. It returns the ids whose network is gone: the holder that kept it has ended.
func (n *Network) Keep(ctx context.Context, ids []string) (lost []string, err error) {
	return n.keep(ctx, "", ids)
}

func (n *Network) keep(ctx context.Context, scope string, ids []string) (lost []string, err error) {
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	var errs []error
	for id := range n.addresses.all() {
		if scopeOf(id) == scope && !wanted[id] {
			n.log.Info("remove the network of a pod that does not exist any more", "pod", id)
			errs = append(errs, n.Detach(ctx, id))
		}
	}
	// A namespace whose address was never recorded cannot be; but files of one may be left.
	files, err := os.ReadDir(filepath.Join(n.dir, namespaces))
	errs = append(errs, err)
	for _, f := range files {
		if scopeOf(f.Name()) == scope && !wanted[f.Name()] {
			errs = append(errs, removeNamespace(n.namespace(f.Name())))
		}
	}
	known := n.addresses.all()
	for _, id := range ids {
		ip, ok := known[id]
		if ok && isNamespace(n.namespace(id)) && n.hasLink(ip) {
			continue
		}
		lost = append(lost, id)
		errs = append(errs, n.Detach(ctx, id))
	}
	return lost, errors.Join(errs...)
}

func (n *Network) hasLink(ip netip.Addr) bool {
	_, err := n.node.LinkByName(interfaceOf(ip))
	return err == nil
}
