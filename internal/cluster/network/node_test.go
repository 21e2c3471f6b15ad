//go:build linux

package network

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestNode has two nodes in one namespace, whose pods use the same host port.
func TestNode(t *testing.T) {
	dir := folder(t)
	n, err := Open(t.Context(), Config{Dir: dir, Nodes: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	pods := map[int]Attachment{}
	for number := 1; number <= 2; number++ {
		if pods[number], err = n.Node(number).Attach(t.Context(), Pod{ID: "a", HostPorts: []HostPort{{Protocol: TCP, Port: 8081, Pod: 80}}}); err != nil {
			t.Fatal(err)
		}
		echo(t, pods[number], 80)
	}
	for number := 1; number <= 2; number++ {
		at := NodeAddress(number).String() + ":8081"
		if got := say(t, dial(t, nil, at), "x"); !strings.HasSuffix(got, " x") {
			t.Errorf("%s: %q", at, got)
		}
	}
	// Each keeps its own pods and no other's.
	if lost, err := n.Node(2).Keep(t.Context(), []string{"a", "never"}); err != nil || !slices.Equal(lost, []string{"never"}) {
		t.Errorf("lost %v, %v", lost, err)
	}
	if lost, err := n.Keep(t.Context(), nil); err != nil || len(lost) > 0 {
		t.Errorf("lost %v, %v", lost, err)
	}
	if isNamespace(pods[1].Namespace) || !isNamespace(pods[2].Namespace) {
		t.Error("the first node has dropped its pod: that of the second must be left")
	}
	if err := n.Node(2).Detach(t.Context(), "a"); err != nil || len(n.addresses.all()) != 0 {
		t.Errorf("addresses %v, %v", n.addresses.all(), err)
	}
	// The next start has one node less.
	open(t, dir)
	addresses, err := net.InterfaceAddrs()
	if err != nil || slices.ContainsFunc(addresses, func(a net.Addr) bool { return a.String() == NodeAddress(2).String()+"/32" }) {
		t.Errorf("addresses %v, %v", addresses, err)
	}
}

func TestNodeAddress(t *testing.T) {
	seen := map[netip.Addr]bool{PlatformIP: true, ResolverIP: true, HostIP: true, DNSIP: true}
	for number := 1; number <= MaxNodes; number++ {
		a := NodeAddress(number)
		if seen[a] || !PodCIDR.Contains(a) || !a.Less(firstPod) {
			t.Errorf("node %d at %s: taken, or an address of pods", number, a)
		}
		seen[a] = true
	}
}
