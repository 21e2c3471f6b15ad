//go:build linux

package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// otherNode is a process with a network namespace of its own.
func otherNode(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() })
	return cmd.Process.Pid
}

func namespaceOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// join links a node with the test's namespace, which plays the host.
func join(t *testing.T, dataDir string, pid int) Uplink {
	t.Helper()
	u, err := JoinHost(t.Context(), dataDir, pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := LeaveHost(context.Background(), dataDir); err != nil {
			t.Error(err)
		}
	})
	err = Within(namespaceOf(pid), func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		return (&Network{node: h}).UseUplink(u)
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func ipForward(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(forwarding)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestJoinHost(t *testing.T) {
	n := open(t, folder(t))
	outside := attach(t, n, Pod{ID: "outside"}) // stands for another machine
	echo(t, outside, 80)
	if err := os.WriteFile(forwarding, []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	one, two := otherNode(t), otherNode(t)
	first, second := join(t, "/data/one", one), join(t, "/data/two", two)
	if first.Node == second.Node {
		t.Fatalf("two clusters have the link %v", first)
	}
	for _, pid := range []int{one, two} {
		node := Attachment{Namespace: namespaceOf(pid)}
		c := dial(t, &node, outside.IP.String()+":80")
		if got := say(t, c, "hello"); !strings.HasSuffix(got, " hello") || strings.HasPrefix(got, "169.254.") {
			t.Errorf("answer %q; the sender should be the host", got)
		}
		if pid == one { // the next launcher of the same cluster
			if again := join(t, "/data/one", one); again != first {
				t.Errorf("link %v, before %v", again, first)
			}
			say(t, c, "still there")
		}
	}
	// Nothing gets in.
	echo(t, Attachment{Namespace: namespaceOf(one)}, 81)
	err := Within(outside.Namespace, func() error {
		_, err := net.DialTimeout("tcp4", first.Node.String()+":81", 300*time.Millisecond)
		return err
	})
	if err == nil {
		t.Error("another machine reached the node")
	}
	if err := LeaveHost(t.Context(), "/data/one"); err != nil || ipForward(t) != "1" {
		t.Errorf("forwarding is %s while another cluster needs it, %v", ipForward(t), err)
	}
	if err := LeaveHost(t.Context(), "/data/two"); err != nil || ipForward(t) != "0" {
		t.Errorf("forwarding is %s after the last cluster, was 0, %v", ipForward(t), err)
	}
	tables, err := hostTableNames(t.Context())
	if err != nil || len(tables) > 0 {
		t.Errorf("tables %v are left, %v", tables, err)
	}
	if links, err := net.Interfaces(); err != nil || strings.Contains(fmt.Sprint(links), " "+hostLinks+hostName("/data/one")) {
		t.Errorf("links %v, %v", links, err)
	}
}

// TestLeaveHost_leavesForwardingToOthers: a container engine that was started
// while a cluster had switched forwarding on relies on it, too.
func TestLeaveHost_leavesForwardingToOthers(t *testing.T) {
	open(t, folder(t))
	if err := os.WriteFile(forwarding, []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	join(t, "/data/one", otherNode(t))
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "docker0"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(bridge) })
	if err := LeaveHost(t.Context(), "/data/one"); err != nil || ipForward(t) != "1" {
		t.Errorf("forwarding is %s while a bridge is there, %v", ipForward(t), err)
	}
}

func TestWhoForwards(t *testing.T) {
	for name, c := range map[string]struct {
		seen routing
		want string
	}{
		"Nobody": {routing{
			chains: "table ip kiwerk {\n\tchain postrouting {\n\t\ttype nat hook postrouting priority 110; policy accept;\n\t}\n}\ntable ip kiwerk-0a1b2c3d {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n",
			links:  map[string]string{"lo": "device", "eth0": "veth", "tun0": "tun"}, settings: "#net.ipv4.ip_forward=1\nnet.ipv4.ip_forward = 0\n",
		}, ""},
		"Masquerading":   {routing{chains: "table ip nat {\n\tchain POSTROUTING {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t}\n}\n"}, "nft table nat"},
		"Forwarding":     {routing{chains: "table inet firewalld {\n\tchain f {\n\t\ttype filter hook forward priority filter + 10; policy accept;\n\t}\n}\n"}, "nft table firewalld"},
		"Legacy":         {routing{legacy: []string{"filter"}}, "iptables-legacy"},
		"Bridge":         {routing{links: map[string]string{"virbr0": "bridge"}}, "bridge virbr0"},
		"Setting":        {routing{settings: "net.ipv4.ip_forward = 1\n"}, "sysctl.d"},
		"SettingByPath":  {routing{settings: "net/ipv4/conf/all/forwarding=1"}, "sysctl.d"},
		"OtherTableLast": {routing{chains: "table ip a {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter;\n\t}\n}\ntable ip kiwerk-0a1b2c3d {\n}\n"}, "nft table a"},
	} {
		if got := whoForwards(c.seen); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// legacyPolicy sets the policy of FORWARD as iptables-legacy does.
func legacyPolicy(verdict int32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	info := make([]byte, infoSize)
	copy(info, "filter")
	if err := getsockopt(fd, iptGetInfo, info); err != nil { // makes the table
		return err
	}
	number := func(at int) uint32 { return binary.NativeEndian.Uint32(info[at:]) }
	entries := make([]byte, entriesHeader+number(infoTotal))
	copy(entries, "filter")
	binary.NativeEndian.PutUint32(entries[32:], number(infoTotal))
	if err := getsockopt(fd, iptGetEntries, entries); err != nil {
		return err
	}
	table := entries[entriesHeader:]
	at := number(infoUnderflow + 4*hookForward)
	target := at + uint32(binary.NativeEndian.Uint16(table[at+entryTarget:]))
	binary.NativeEndian.PutUint32(table[target+verdictInTarget:], uint32(verdict))

	const header, setReplace = 96, 64 // struct ipt_replace
	blob := make([]byte, header, header+len(table))
	copy(blob, "filter")
	count := number(76)
	for at, v := range map[int]uint32{32: number(32), 36: count, 40: uint32(len(table)), 84: count} {
		binary.NativeEndian.PutUint32(blob[at:], v)
	}
	copy(blob[44:84], info[36:76]) // hooks and underflows
	counters := make([]byte, 16*count)
	binary.NativeEndian.PutUint64(blob[88:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(counters)))))
	defer runtime.KeepAlive(counters)
	return unix.SetsockoptString(fd, unix.SOL_IP, setReplace, string(append(blob, table...)))
}

func TestJoinHost_refusedByIptablesLegacy(t *testing.T) {
	host, node := namespaceOf(otherNode(t)), otherNode(t)
	err := Within(host, func() error {
		if drops, err := legacyDropsForwarded(); err != nil || drops {
			return fmt.Errorf("without rules: %v, %w", drops, err)
		}
		if tables, err := legacyTables(); err != nil || len(tables) > 0 {
			return fmt.Errorf("looking has made the tables %v, %w", tables, err)
		}
		if err := legacyPolicy(-2); err != nil { // accept
			return err
		}
		if drops, err := legacyDropsForwarded(); err != nil || drops {
			return fmt.Errorf("policy ACCEPT: %v, %w", drops, err)
		}
		if err := legacyPolicy(verdictDrop); err != nil {
			return err
		}
		if _, err := JoinHost(t.Context(), "/data/x", node); !errors.Is(err, ErrForwardRefused) {
			return fmt.Errorf("policy DROP: %w", err)
		}
		return nil
	})
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENOENT) {
		t.Skip("this kernel has no iptables-legacy")
	}
	if b, readErr := os.ReadFile("/proc/self/uid_map"); readErr == nil && !strings.Contains(string(b), "4294967295") {
		t.Skip("only the host's root may ask for the tables")
	}
	if err != nil {
		t.Error(err)
	}
}

func FuzzForwardPolicyDrops(f *testing.F) {
	info, entries := make([]byte, infoSize), make([]byte, entriesHeader+entrySize+verdictInTarget+8)
	binary.NativeEndian.PutUint16(entries[entriesHeader+entryTarget:], entrySize)
	f.Add(info, entries)
	f.Fuzz(func(_ *testing.T, info, entries []byte) { _, _ = forwardPolicyDrops(info, entries) })
}

func TestJoinHost_cleansUpAfterACrash(t *testing.T) {
	open(t, folder(t))
	pid := otherNode(t)
	join(t, "/data/crashed", pid)
	link, err := netlink.LinkByName(hostLinks + hostName("/data/crashed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(link); err != nil { // as when the holder ended
		t.Fatal(err)
	}
	join(t, "/data/next", otherNode(t))
	tables, err := hostTableNames(t.Context())
	if err != nil || len(tables) != 1 || tables[0] != hostName("/data/next") {
		t.Errorf("tables %v, %v", tables, err)
	}
}

// TestJoinHost_sideBySide has clusters that start, stop and crash at the same time: none may fail for another's sake.
func TestJoinHost_sideBySide(t *testing.T) {
	open(t, folder(t))
	const clusters, rounds = 6, 4
	var side sync.WaitGroup
	for i := range clusters {
		dir, pid := fmt.Sprintf("/data/%d", i), otherNode(t)
		side.Go(func() {
			for range rounds {
				if _, err := JoinHost(t.Context(), dir, pid); err != nil {
					t.Errorf("%s joins: %v", dir, err)
				}
				if i%2 == 0 { // as when the holder ends first
					if link, err := netlink.LinkByName(hostLinks + hostName(dir)); err == nil {
						_ = netlink.LinkDel(link) // LeaveHost tells
					}
				}
				if err := LeaveHost(t.Context(), dir); err != nil {
					t.Errorf("%s leaves: %v", dir, err)
				}
			}
		})
	}
	side.Wait()
	if tables, err := hostTableNames(t.Context()); err != nil || len(tables) > 0 {
		t.Errorf("tables %v are left, %v", tables, err)
	}
}

func TestJoinHost_refusedByAFirewall(t *testing.T) {
	open(t, folder(t))
	if _, err := NFT(t.Context(), "add table ip other\nadd chain ip other FORWARD { type filter hook forward priority 0 ; policy drop ; }"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = NFT(context.Background(), "delete table ip other") })
	if _, err := JoinHost(t.Context(), "/data/x", otherNode(t)); err == nil || !strings.Contains(err.Error(), ErrForwardRefused.Error()) {
		t.Errorf("%v", err)
	}
}

func TestDropsForwarded(t *testing.T) {
	for text, want := range map[string]bool{
		"chain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}":                                                                         true,
		"chain a {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n\tchain b {\n\t\ttype filter hook input priority filter; policy drop;\n\t}": false,
		"": false,
	} {
		if got := dropsForwarded(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestChooseUplink(t *testing.T) {
	first, ok := chooseUplink("a", nil)
	if !ok || !uplinks.Contains(first.Node) || first.Gateway.Next() != first.Node {
		t.Fatalf("%v %v", first, ok)
	}
	second, ok := chooseUplink("a", []netip.Prefix{netip.PrefixFrom(first.Node, 32)})
	if !ok || second == first {
		t.Errorf("%v although taken", second)
	}
	if u, ok := chooseUplink("a", []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16")}); ok {
		t.Errorf("%v although all is taken", u)
	}
}
