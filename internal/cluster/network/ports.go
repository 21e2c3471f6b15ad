//go:build linux

package network

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// The ports of the node that lead to pods. The kernel's map is the state; a
// file tells which of its entries belong to a pod that goes.

func (n *Network) portsFile(ip netip.Addr) string {
	return filepath.Join(n.dir, "ports-"+ip.String()+".json")
}

// mapPorts publishes ports of a pod on the node's addresses.
func (n *Network) mapPorts(ctx context.Context, ip netip.Addr, ports []HostPort) error {
	if len(ports) == 0 {
		return nil
	}
	b, err := json.Marshal(ports)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(n.portsFile(ip), b, 0o600); err != nil {
		return err
	}
	n.ports.Lock()
	defer n.ports.Unlock()
	if _, err := NFT(ctx, portScript(ip, ports)); err != nil {
		return fmt.Errorf("publish host ports %v (another pod may have one of them): %w", ports, err)
	}
	return nil
}

func (n *Network) unmapPorts(ctx context.Context, ip netip.Addr) error {
	b, err := os.ReadFile(n.portsFile(ip))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var ports []HostPort
	if err := json.Unmarshal(b, &ports); err != nil {
		// It is written before the kernel hears of the ports: one that is damaged must not keep the node from starting.
		n.log.Warn("the record of a pod's host ports is damaged; taken as empty", "file", n.portsFile(ip), "error", err)
		ports = nil
	}
	n.ports.Lock()
	defer n.ports.Unlock()
	for _, p := range ports {
		// What another pod has by now stays: adding it is refused then, and with it the removal.
		_, _ = NFT(ctx, "add "+element(ip, p)+"delete "+element(ip, p))
	}
	if _, err := NFT(ctx, "add "+hairpin(ip)+"delete "+hairpin(ip)); err != nil {
		return err
	}
	return os.Remove(n.portsFile(ip))
}

func portScript(ip netip.Addr, ports []HostPort) string {
	var b strings.Builder
	for _, p := range ports {
		b.WriteString("add " + element(ip, p))
	}
	return b.String() + "add " + hairpin(ip)
}

func element(ip netip.Addr, p HostPort) string {
	at := p.IP
	if !at.IsValid() {
		at = NodeIP
	}
	return fmt.Sprintf("element ip kiwerk host_ports { %s . %s . %d : %s . %d }\n", at, p.Protocol, p.Port, ip, p.Pod)
}

// hairpin lets the pod reach itself by its host port, which only another
// sender's address makes possible.
func hairpin(ip netip.Addr) string {
	return fmt.Sprintf("element ip kiwerk hairpins { %s . %s }\n", ip, ip)
}
