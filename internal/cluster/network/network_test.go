//go:build linux

package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string) *Network {
	t.Helper()
	n, err := Open(context.WithoutCancel(t.Context()), Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// folder is removed with the namespaces in it.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if _, err := open(t, dir).Keep(context.Background(), nil); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func attach(t *testing.T, n *Network, p Pod) Attachment {
	t.Helper()
	a, err := n.Attach(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Detach(context.Background(), p.ID); err != nil {
			t.Error(err)
		}
	})
	return a
}

// echo listens in a pod and answers every line with the address that it came from.
func echo(t *testing.T, a Attachment, port int) {
	t.Helper()
	var l net.Listener
	err := Within(a.Namespace, func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
					fmt.Fprintf(c, "%s %s\n", host, s.Text())
				}
			}()
		}
	}()
}

// dial connects from a pod, or from the node if it has none.
func dial(t *testing.T, from *Attachment, address string) net.Conn {
	t.Helper()
	var c net.Conn
	connect := func() (err error) {
		c, err = net.DialTimeout("tcp4", address, time.Minute)
		return err
	}
	err := error(nil)
	if from == nil {
		err = connect()
	} else {
		err = Within(from.Namespace, connect)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func say(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	if _, err := fmt.Fprintln(c, line); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

func TestNetwork_podsTalk(t *testing.T) {
	n := open(t, folder(t))
	a, b := attach(t, n, Pod{ID: "a"}), attach(t, n, Pod{ID: "b"})
	// The same port in both, below 1024.
	echo(t, a, 80)
	echo(t, b, 80)
	for name, c := range map[string]struct {
		from *Attachment
		to   netip.Addr
		want string
	}{
		"PodToPod":  {&a, b.IP, a.IP.String()},
		"NodeToPod": {nil, a.IP, NodeIP.String()},
		"PodToSelf": {&b, b.IP, b.IP.String()},
	} {
		if got := say(t, dial(t, c.from, c.to.String()+":80"), "hello"); got != c.want+" hello" {
			t.Errorf("%s: %q, want the sender %s", name, got, c.want)
		}
	}
	l, err := net.Listen("tcp4", NodeIP.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.WriteString(c, c.RemoteAddr().String()+"\n")
			_ = c.Close()
		}
	}()
	answer, err := io.ReadAll(dial(t, &a, l.Addr().String()))
	if host, _, _ := net.SplitHostPort(strings.TrimSpace(string(answer))); err != nil || host != a.IP.String() {
		t.Errorf("the node saw %q, %v; the pod is %s", answer, err, a.IP)
	}
}

// Pods send each other large packets, and small ones to where others may be lost.
func TestNetwork_sizesOfPackets(t *testing.T) {
	n := open(t, folder(t))
	a, b := attach(t, n, Pod{ID: "a"}), attach(t, n, Pod{ID: "b"})
	for name, c := range map[string]struct {
		to   netip.Addr
		want int
	}{
		"Pod":     {b.IP, podMTU},
		"Service": {netip.MustParseAddr("10.96.0.10"), podMTU},
		"Outside": {netip.MustParseAddr("192.0.2.1"), mtu},
	} {
		var got int
		err := runIn(&a, func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: c.to.As4()}); err != nil {
				return err
			}
			got, err = unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU)
			return err
		})
		if err != nil || got != c.want {
			t.Errorf("%s: packets of %d bytes, want %d; %v", name, got, c.want, err)
		}
	}
	// Through the node, and back.
	echo(t, b, 80)
	long := strings.Repeat("x", 60_000)
	if got := say(t, dial(t, &a, b.IP.String()+":80"), long); got != a.IP.String()+" "+long {
		t.Errorf("%d bytes came back", len(got))
	}
}

func TestNetwork_survivesTheDaemon(t *testing.T) {
	dir := folder(t)
	first := open(t, dir)
	a, b := attach(t, first, Pod{ID: "a"}), attach(t, first, Pod{ID: "b"})
	gone := attach(t, first, Pod{ID: "gone"})
	echo(t, b, 8080)
	c := dial(t, &a, b.IP.String()+":8080")
	say(t, c, "before")

	second := open(t, dir)
	lost, err := second.Keep(t.Context(), []string{"a", "b", "never"})
	if err != nil || !slices.Equal(lost, []string{"never"}) {
		t.Errorf("lost %v, %v", lost, err)
	}
	if got := say(t, c, "after"); got != a.IP.String()+" after" {
		t.Errorf("the connection that was there answers %q", got)
	}
	if got := second.addresses.all(); len(got) != 2 || got["a"] != a.IP || got["b"] != b.IP {
		t.Errorf("addresses %v, had %s and %s", got, a.IP, b.IP)
	}
	if isNamespace(gone.Namespace) || second.hasLink(gone.IP) {
		t.Error("the network of a pod that nobody knows is still there")
	}
	if next := attach(t, second, Pod{ID: "next"}); next.IP == gone.IP {
		t.Errorf("%s is used again at once", next.IP)
	}
}

func TestNetwork_detachRemovesAll(t *testing.T) {
	dir := folder(t)
	n := open(t, dir)
	before, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	a, err := n.Attach(t.Context(), Pod{ID: "a", HostPorts: []HostPort{{Protocol: TCP, Port: 8081, Pod: 80}, {Protocol: UDP, Port: 8081, Pod: 80}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing
		if err := n.Detach(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	after, err := net.Interfaces()
	if err != nil || len(after) != len(before) {
		t.Errorf("interfaces %v, before %v, %v", after, before, err)
	}
	if isNamespace(a.Namespace) || len(n.addresses.all()) != 0 {
		t.Error("namespace or address is left")
	}
	rules, err := NFT(t.Context(), "list table ip kiwerk")
	if err != nil || strings.Contains(rules, a.IP.String()) {
		t.Errorf("%v\n%s", err, rules)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("files %v, %v", left, err)
	}
}

// TestNetwork_afterACrash attaches over every half-made state.
func TestNetwork_afterACrash(t *testing.T) {
	for name, spoil := range map[string]func(n *Network, a Attachment) error{
		"OnlyAddress": func(n *Network, a Attachment) error { return removeNamespace(a.Namespace) },
		"LinkDown":    func(n *Network, a Attachment) error { return n.removeLink(a.IP) },
		"FileOnly": func(_ *Network, a Attachment) error {
			return errors.Join(removeNamespace(a.Namespace), os.WriteFile(a.Namespace, nil, 0o600))
		},
		"EverythingWas": func(*Network, Attachment) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t, folder(t))
			a := attach(t, n, Pod{ID: "a"})
			if err := spoil(n, a); err != nil {
				t.Fatal(err)
			}
			again := attach(t, n, Pod{ID: "a"})
			if again.IP != a.IP {
				t.Errorf("address %s, before %s", again.IP, a.IP)
			}
			echo(t, again, 80)
			if got := say(t, dial(t, nil, a.IP.String()+":80"), "x"); got != NodeIP.String()+" x" {
				t.Errorf("answer %q", got)
			}
		})
	}
}

func TestNetwork_hostPorts(t *testing.T) {
	n := open(t, folder(t))
	a := attach(t, n, Pod{ID: "a", HostPorts: []HostPort{{Protocol: TCP, Port: 8081, Pod: 80}}})
	b := attach(t, n, Pod{ID: "b"})
	echo(t, a, 80)
	for name, from := range map[string]*Attachment{"FromNode": nil, "FromAnother": &b, "FromItself": &a} {
		if got := say(t, dial(t, from, NodeIP.String()+":8081"), "x"); !strings.HasSuffix(got, " x") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestNetwork_hostPortsOfTwoAddresses gives two pods the same port, each on an address of its own.
func TestNetwork_hostPortsOfTwoAddresses(t *testing.T) {
	n := open(t, folder(t))
	// Each listens on a port of its own: what is led to the other finds nobody.
	for port, at := range map[uint16]netip.Addr{80: netip.MustParseAddr("127.0.0.1"), 81: NodeIP} {
		p := attach(t, n, Pod{ID: fmt.Sprint("p", port), HostPorts: []HostPort{{Protocol: TCP, Port: 8083, Pod: port, IP: at}}})
		echo(t, p, int(port))
	}
	for _, at := range []string{"127.0.0.1", NodeIP.String()} {
		if got := say(t, dial(t, nil, at+":8083"), "x"); !strings.HasSuffix(got, " x") {
			t.Errorf("port of %s: %q", at, got)
		}
	}
}

// TestNetwork_loopbackIsTheNodesOwn sends from a pod, without a loopback of its own, to the node's.
func TestNetwork_loopbackIsTheNodesOwn(t *testing.T) {
	n := open(t, folder(t))
	a := attach(t, n, Pod{ID: "a"})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	loopback := &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}
	err = Within(a.Namespace, func() error {
		pod, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer pod.Close()
		lo, err := pod.LinkByName("lo")
		if err != nil {
			return err
		}
		// Answers come from the loopback's address: such a pod takes them.
		if err := errors.Join(pod.AddrDel(lo, &netlink.Addr{IPNet: loopback}), setSysctl("net.ipv4.conf.all.route_localnet", "1")); err != nil {
			return err
		}
		c, err := net.DialTimeout("tcp4", l.Addr().String(), time.Second)
		if err != nil {
			return nil
		}
		return errors.Join(errors.New("a pod reaches what listens on the node's loopback"), c.Close())
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNetwork_ownAddressOnly sends from a pod with addresses that are not its own.
func TestNetwork_ownAddressOnly(t *testing.T) {
	n := open(t, folder(t))
	a, b := attach(t, n, Pod{ID: "a"}), attach(t, n, Pod{ID: "b"})
	l, err := net.ListenPacket("udp4", NodeIP.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	send := func(source string) {
		err := Within(a.Namespace, func() error {
			h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			eth, err := h.LinkByName(podInterface)
			if err != nil {
				return err
			}
			ip := net.ParseIP(source)
			if err := h.AddrReplace(eth, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}}); err != nil {
				return err
			}
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: ip}, l.LocalAddr().(*net.UDPAddr))
			if err != nil {
				return err
			}
			_, err = io.WriteString(c, source)
			return errors.Join(err, c.Close())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The last one arrives, and what was sent before it on the same way would have come first.
	for _, source := range []string{b.IP.String(), "192.0.2.1", a.IP.String()} {
		send(source)
	}
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 64)
	size, _, err := l.ReadFrom(got)
	if err != nil || string(got[:size]) != a.IP.String() {
		t.Errorf("first arrived what %q sent, %v; want only %s", got[:size], err, a.IP)
	}
}

// TestNetwork_hostPortsLeaveThePlatform gives a pod the ports of the platform and of the name servers.
func TestNetwork_hostPortsLeaveThePlatform(t *testing.T) {
	n := open(t, folder(t))
	a := attach(t, n, Pod{ID: "a", HostPorts: []HostPort{{Protocol: TCP, Port: 7878, Pod: 80}, {Protocol: TCP, Port: 53, Pod: 80}, {Protocol: UDP, Port: 53, Pod: 80}}})
	b := attach(t, n, Pod{ID: "b"})
	echo(t, a, 80)
	for _, port := range []string{"7878", "53"} {
		if got := say(t, dial(t, &b, NodeIP.String()+":"+port), "x"); got != b.IP.String()+" x" {
			t.Errorf("host port %s: %q", port, got)
		}
	}
	for _, address := range []string{PlatformIP.String() + ":7878", ResolverIP.String() + ":53", DNSIP.String() + ":53", "127.0.0.1:53"} {
		l, err := net.Listen("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp4", address)
		if err != nil {
			t.Fatal(err)
		}
		for name, from := range map[string]*Attachment{"Node": nil, "Pod": &b} {
			if from != nil && address == "127.0.0.1:53" {
				continue // that of the pod
			}
			if err := runIn(from, func() error { return reaches(l, packets) }); err != nil {
				t.Errorf("%s to %s: %v", name, address, err)
			}
		}
		_, _ = l.Close(), packets.Close()
	}
}

func runIn(from *Attachment, f func() error) error {
	if from == nil {
		return f()
	}
	return Within(from.Namespace, f)
}

// reaches connects and sends to listeners of the node, which must be who gets it.
func reaches(l net.Listener, packets net.PacketConn) error {
	until := time.Now().Add(time.Minute)
	if err := errors.Join(l.(*net.TCPListener).SetDeadline(until), packets.SetDeadline(until)); err != nil {
		return err
	}
	for _, network := range []string{"tcp4", "udp4"} {
		c, err := net.DialTimeout(network, l.Addr().String(), time.Minute)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "x"); err != nil {
			return err
		}
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, _, err = packets.ReadFrom(make([]byte, 8))
	return errors.Join(err, c.Close())
}

// TestNetwork_damagedPorts starts after a crash that left an empty record of host ports.
func TestNetwork_damagedPorts(t *testing.T) {
	dir := folder(t)
	n := open(t, dir)
	a := attach(t, n, Pod{ID: "a", HostPorts: []HostPort{{Protocol: TCP, Port: 8082, Pod: 80}}})
	// The kernel has not heard of them.
	if _, err := NFT(t.Context(), "delete "+element(a.IP, HostPort{Protocol: TCP, Port: 8082, Pod: 80})+"delete "+hairpin(a.IP)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.portsFile(a.IP), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Keep(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(n.portsFile(a.IP)); !os.IsNotExist(err) {
		t.Errorf("the damaged record: %v", err)
	}
}

// TestListenHost sends to the host's address from a pod.
func TestListenHost(t *testing.T) {
	n := open(t, folder(t))
	a := attach(t, n, Pod{ID: "a"})
	l, err := n.ListenHost()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, want := range []uint16{80, 9000} {
		for name, from := range map[string]*Attachment{"Pod": &a, "Node": nil} {
			dial(t, from, fmt.Sprintf("%s:%d", HostIP, want))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := OriginalPort(c); got != want {
				t.Errorf("%s: port %d, want %d, %v", name, got, want, err)
			}
			_ = c.Close()
		}
	}
}

func TestNetwork_sysctls(t *testing.T) {
	n := open(t, folder(t))
	a := attach(t, n, Pod{ID: "a", Sysctls: map[string]string{"net.ipv4.tcp_keepalive_time": "77"}})
	err := Within(a.Namespace, func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_keepalive_time")
		if string(b) != "77\n" {
			t.Errorf("value %q", b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kernel.msgmax", "net..x", "../kernel/x"} {
		if _, err := n.Attach(t.Context(), Pod{ID: "bad", Sysctls: map[string]string{name: "1"}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := n.Attach(t.Context(), Pod{ID: "bad", Sysctls: map[string]string{"net.ipv4.no_such_thing": "1"}}); err == nil {
		t.Error("an unknown sysctl was set")
	}
	if _, ok := n.addresses.all()["bad"]; ok {
		t.Error("a pod that failed keeps its address")
	}
}

func BenchmarkNetwork_attach(b *testing.B) {
	n, err := Open(b.Context(), Config{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	for b.Loop() {
		if _, err := n.Attach(b.Context(), Pod{ID: "a"}); err != nil {
			b.Fatal(err)
		}
		if err := n.Detach(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}
