//go:build linux

package network

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// What root adds to the host: one veth and one nft table, both named after the
// data directory. The veth ends with the node's namespace, the table with
// [LeaveHost] or, after a crash, with the next start of any cluster.

const (
	hostLinks  = "kw"
	hostTables = "kiwerk-"
	// restoreChain marks a table whose end shall switch forwarding off again,
	// unless somebody else needs it by then.
	restoreChain = "restore-ip-forward"
	forwarding   = "/proc/sys/net/ipv4/ip_forward"
)

// uplinks is where host and node find addresses for their link.
var uplinks = netip.MustParsePrefix("169.254.192.0/18")

// ErrForwardRefused says that a firewall of the host drops what is forwarded.
var ErrForwardRefused = errors.New("a firewall of this host drops forwarded packets")

// hostName is the part of a name that belongs to a data directory.
func hostName(dataDir string) string {
	if real, err := filepath.EvalSymlinks(dataDir); err == nil {
		dataDir = real
	}
	sum := sha256.Sum256([]byte(dataDir))
	return hex.EncodeToString(sum[:4])
}

// JoinHost links the network namespace of process pid with the host's, where
// it is called, and lets the host carry the node's packets on. It needs root.
func JoinHost(ctx context.Context, dataDir string, pid int) (Uplink, error) {
	unlock, err := lockHost(ctx)
	if err != nil {
		return Uplink{}, err
	}
	defer unlock()
	u, err := joinHost(ctx, dataDir, pid)
	if err != nil {
		return Uplink{}, errors.Join(fmt.Errorf("link the node with this host's network: %w", err), undo(context.WithoutCancel(ctx), dataDir))
	}
	return u, nil
}

const lockTick = 10 * time.Millisecond

// lockHost lets one process at a time change the host's network: what it has
// found must still be there when it changes it. The lock lies on the network
// namespace itself and leaves no file.
func lockHost(ctx context.Context) (unlock func(), err error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockTick)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // only read
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock this host's network: %w", err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another cluster has been changing this host's network for too long: %w", ctx.Err()), f.Close())
		}
	}
}

func joinHost(ctx context.Context, dataDir string, pid int) (Uplink, error) {
	if err := sweepHost(ctx); err != nil {
		return Uplink{}, err
	}
	if err := CheckForward(ctx); err != nil {
		return Uplink{}, err
	}
	node, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return Uplink{}, err
	}
	defer node.Close()
	name := hostName(dataDir)
	link, err := hostLink(hostLinks+name, node)
	if err != nil {
		return Uplink{}, err
	}
	u, err := hostAddress(link, name)
	if err != nil {
		return Uplink{}, err
	}
	mark, err := needsForwarding()
	if err != nil {
		return Uplink{}, err
	}
	if _, err := NFT(ctx, hostRules(name, u, mark)); err != nil {
		return Uplink{}, err
	}
	if mark {
		return u, os.WriteFile(forwarding, []byte("1"), 0o644)
	}
	return u, nil
}

// CheckForward is [ErrForwardRefused] if a firewall of this host drops what it would carry on for pods.
func CheckForward(ctx context.Context) error {
	chains, err := NFT(ctx, "list chains")
	if err != nil {
		return err
	}
	legacy, err := legacyDropsForwarded()
	if err != nil {
		return err
	}
	if legacy || dropsForwarded(chains) {
		return ErrForwardRefused
	}
	return nil
}

var forwardDrop = regexp.MustCompile(`hook forward [^}]*policy drop`)

// dropsForwarded finds a chain that drops what it does not know, which no rule of ours can undo.
func dropsForwarded(chains string) bool { return forwardDrop.MatchString(chains) }

// hostLink returns the host's end of the veth, made anew if the other end is
// not in the node's namespace.
func hostLink(name string, node *os.File) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	var none netlink.LinkNotFoundError
	switch {
	case err == nil && endsIn(link, node):
		return link, nil
	case err == nil:
		// Left by a holder that is gone; the kernel removes it, but not at once.
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return nil, err
		}
	case !errors.As(err, &none):
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerMTU, veth.PeerNamespace = UplinkInterface, mtu, netlink.NsFd(node.Fd())
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("make veth %s: %w", name, err)
	}
	return netlink.LinkByName(name)
}

// endsIn tells whether the other end of a veth is the uplink in this namespace.
func endsIn(link netlink.Link, node *os.File) bool {
	h, err := netlink.NewHandleAt(netns.NsHandle(node.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer h.Close()
	up, err := h.LinkByName(UplinkInterface)
	return err == nil && up.Attrs().ParentIndex == link.Attrs().Index && link.Attrs().ParentIndex == up.Attrs().Index
}

// hostAddress gives the host's end a network that nothing else here has.
func hostAddress(link netlink.Link, name string) (Uplink, error) {
	if err := netlink.LinkSetUp(link); err != nil {
		return Uplink{}, err
	}
	own, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return Uplink{}, err
	}
	for _, a := range own {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && uplinks.Contains(ip) {
			return uplinkAt(ip.Prev()), nil
		}
	}
	taken, err := takenNetworks()
	if err != nil {
		return Uplink{}, err
	}
	u, ok := chooseUplink(name, taken)
	if !ok {
		return Uplink{}, fmt.Errorf("no free network in %s", uplinks)
	}
	address := &net.IPNet{IP: u.Gateway.AsSlice(), Mask: net.CIDRMask(u.Bits, 32)}
	return u, netlink.AddrAdd(link, &netlink.Addr{IPNet: address})
}

// uplinkAt is the uplink in the network of four addresses that begins at base.
func uplinkAt(base netip.Addr) Uplink {
	return Uplink{Gateway: base.Next(), Node: base.Next().Next(), Bits: 30}
}

// chooseUplink begins at a place that follows from the name, so that two
// clusters that start at the same time hardly ever meet.
func chooseUplink(name string, taken []netip.Prefix) (Uplink, bool) {
	const networks = 1 << (30 - 18)
	sum := sha256.Sum256([]byte(name))
	start := binary.BigEndian.Uint32(sum[:])
	first := binary.BigEndian.Uint32(uplinks.Addr().AsSlice())
	for i := range uint32(networks) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+(start+i)%networks*4)
		base := netip.AddrFrom4(b)
		free := true
		for _, t := range taken {
			free = free && !t.Overlaps(netip.PrefixFrom(base, 30))
		}
		if free {
			return uplinkAt(base), true
		}
	}
	return Uplink{}, false
}

// takenNetworks are those that this host has addresses in or routes to.
func takenNetworks() ([]netip.Prefix, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var list []netip.Prefix
	add := func(n *net.IPNet) {
		if n == nil {
			return
		}
		ip, ok := netip.AddrFromSlice(n.IP.To4())
		if ones, _ := n.Mask.Size(); ok && ones > 0 {
			list = append(list, netip.PrefixFrom(ip, ones).Masked())
		}
	}
	for _, a := range addresses {
		add(a.IPNet)
	}
	for i := range routes {
		add(routes[i].Dst)
	}
	return list, nil
}

func needsForwarding() (bool, error) {
	b, err := os.ReadFile(forwarding)
	return strings.TrimSpace(string(b)) == "0", err
}

// hostRules let the node's connections out and nothing in.
func hostRules(name string, u Uplink, mark bool) string {
	table, link := hostTables+name, hostLinks+name
	var b strings.Builder
	rule := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	rule("add table ip %s", table)
	rule("add chain ip %s postrouting { type nat hook postrouting priority 100 ; }", table)
	rule("add chain ip %s forward { type filter hook forward priority 0 ; }", table)
	rule("flush chain ip %s postrouting", table)
	rule("flush chain ip %s forward", table)
	rule("add rule ip %s postrouting ip saddr %s oifname != %q masquerade", table, netip.PrefixFrom(u.Node, u.Bits).Masked(), link)
	rule("add rule ip %s forward iifname %q accept", table, link)
	rule("add rule ip %s forward oifname %q ct state established,related accept", table, link)
	rule("add rule ip %s forward oifname %q drop", table, link)
	if mark {
		rule("add chain ip %s %s", table, restoreChain)
	}
	return b.String()
}

// LeaveHost removes what [JoinHost] has made for a data directory. It may be
// called when there is nothing.
func LeaveHost(ctx context.Context, dataDir string) error {
	unlock, err := lockHost(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return undo(ctx, dataDir)
}

func undo(ctx context.Context, dataDir string) error {
	if _, err := NftProgram(); err != nil {
		return nil //nolint:nilerr // Without it nothing was made.
	}
	if err := leaveHost(ctx, hostName(dataDir)); err != nil {
		return fmt.Errorf("take the node out of this host's network: %w", err)
	}
	return nil
}

func leaveHost(ctx context.Context, name string) error {
	var none netlink.LinkNotFoundError
	link, err := netlink.LinkByName(hostLinks + name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.As(err, &none) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	tables, err := hostTableNames(ctx)
	if err != nil {
		return err
	}
	mine, others := false, []string{}
	for _, t := range tables {
		if t == name {
			mine = true
		} else {
			others = append(others, t)
		}
	}
	if !mine {
		return nil
	}
	rules, err := NFT(ctx, fmt.Sprintf("list table ip %s%s", hostTables, name))
	if err != nil {
		return err
	}
	script := fmt.Sprintf("delete table ip %s%s\n", hostTables, name)
	marked := strings.Contains(rules, restoreChain)
	if marked && len(others) > 0 {
		// The last one switches forwarding off.
		script += fmt.Sprintf("add chain ip %s%s %s\n", hostTables, others[0], restoreChain)
		marked = false
	}
	if _, err := NFT(ctx, script); err != nil {
		return err
	}
	if !marked {
		return nil
	}
	if who, err := forwardingUser(ctx); err != nil || who != "" {
		return err // it stays on
	}
	return os.WriteFile(forwarding, []byte("0"), 0o644)
}

var hostTable = regexp.MustCompile(`(?m)^table ip ` + hostTables + `([0-9a-f]{8})$`)

// hostTableNames lists the names of the clusters that have a table here.
func hostTableNames(ctx context.Context) ([]string, error) {
	out, err := NFT(ctx, "list tables")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range hostTable.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names, nil
}

// sweepHost removes the tables of clusters whose link is gone: they crashed.
func sweepHost(ctx context.Context) error {
	names, err := hostTableNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		_, err := netlink.LinkByName(hostLinks + name)
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			if err := leaveHost(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}
