//go:build linux

package network

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Node is a node of several in this namespace. They share its addresses and
// its links; each knows its own pods only.
type Node struct {
	network *Network
	scope   string
	ip      netip.Addr
}

// Node is a node of this network; they are counted from 1.
func (n *Network) Node(number int) *Node {
	scope := ""
	if number > 1 {
		scope = strconv.Itoa(number) + scopeEnd
	}
	return &Node{network: n, scope: scope, ip: NodeAddress(number)}
}

// scopeEnd ends the part of a pod's id that names its node. The first node's have none.
const scopeEnd = "_"

func scopeOf(id string) string {
	if scope, _, ok := strings.Cut(id, scopeEnd); ok {
		return scope + scopeEnd
	}
	return ""
}

// Attach is [Network.Attach] for a pod of this node.
func (n *Node) Attach(ctx context.Context, p Pod) (Attachment, error) {
	p.ID, p.HostPorts = n.scope+p.ID, slices.Clone(p.HostPorts)
	for i := range p.HostPorts {
		if !p.HostPorts[i].IP.IsValid() {
			p.HostPorts[i].IP = n.ip
		}
	}
	return n.network.Attach(ctx, p)
}

// Detach is [Network.Detach] for a pod of this node.
func (n *Node) Detach(ctx context.Context, id string) error {
	return n.network.Detach(ctx, n.scope+id)
}

// Keep is [Network.Keep] for the pods of this node.
func (n *Node) Keep(ctx context.Context, ids []string) ([]string, error) {
	scoped := make([]string, len(ids))
	for i, id := range ids {
		scoped[i] = n.scope + id
	}
	lost, err := n.network.keep(ctx, n.scope, scoped)
	for i := range lost {
		lost[i] = strings.TrimPrefix(lost[i], n.scope)
	}
	return lost, err
}
