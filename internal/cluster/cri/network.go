//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

// Network gives pods addresses of their own. Without one, pods share the
// node's network and get a port each.
type Network interface {
	Attach(ctx context.Context, p network.Pod) (network.Attachment, error)
	Detach(ctx context.Context, id string) error
	// Keep adopts the networks of these pods and tells which are gone.
	Keep(ctx context.Context, ids []string) (lost []string, err error)
}

// connect gives the pod its network, or without one a port.
func (s *Server) connect(ctx context.Context, b *sandbox, cfg *runtimeapi.PodSandboxConfig, wanted sysctls) error {
	if s.cfg.Network == nil {
		port, err := s.ports.take()
		if err != nil {
			return status.Error(codes.ResourceExhausted, err.Error())
		}
		b.Port = port
		return nil
	}
	if b.onNode() {
		return nil
	}
	ports, err := hostPorts(cfg.GetPortMappings(), s.cfg.NodeIP)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "pod %s/%s: %v", b.Namespace, b.Name, err)
	}
	a, err := s.cfg.Network.Attach(ctx, network.Pod{ID: b.ID, Sysctls: wanted.Net, HostPorts: ports})
	if err != nil {
		return fmt.Errorf("pod %s/%s: %w", b.Namespace, b.Name, err)
	}
	b.IP, b.NetNS = a.IP.String(), a.Namespace
	if s.cfg.Admit == nil {
		return nil
	}
	if err := s.cfg.Admit(ctx, b.Namespace, b.Name, b.UID, a.IP); err != nil {
		return errors.Join(fmt.Errorf("pod %s/%s: %w", b.Namespace, b.Name, err), s.disconnect(context.WithoutCancel(ctx), b))
	}
	return nil
}

// disconnect removes the pod's own network, if there is one still.
func (s *Server) disconnect(ctx context.Context, b *sandbox) error {
	if b.NetNS == "" || s.cfg.Network == nil {
		return nil
	}
	if err := s.cfg.Network.Detach(ctx, b.ID); err != nil {
		return fmt.Errorf("pod %s/%s: %w", b.Namespace, b.Name, err)
	}
	return nil
}

// onNode tells whether the pod asked for the node's network.
func (b *sandbox) onNode() bool { return b.Network == runtimeapi.NamespaceMode_NODE }

// address is what the pod reports.
func (s *Server) address(b *sandbox) string {
	if b.IP != "" {
		return b.IP
	}
	return s.cfg.NodeIP
}

// adoptNetworks keeps the networks of ready pods. A pod that has lost its own
// is not ready any more, and the kubelet makes a new one in its place.
func (s *Server) adoptNetworks(ctx context.Context) error {
	var kept []string
	for _, b := range s.sandboxes {
		if b.Ready && s.cfg.Network != nil && b.NetNS != "" {
			kept = append(kept, b.ID)
		}
	}
	var lost []string
	if s.cfg.Network != nil {
		var err error
		if lost, err = s.cfg.Network.Keep(ctx, kept); err != nil {
			return err
		}
	}
	for _, b := range s.sandboxes {
		// Only pods without a network of their own have a port: the setting has changed.
		other := (b.Port != 0) == (s.cfg.Network != nil)
		if !b.Ready || !other && !slices.Contains(lost, b.ID) {
			continue
		}
		s.log.Warn("the network of a pod is gone", "namespace", b.Namespace, "pod", b.Name)
		b.Ready = false
		if err := s.saveSandbox(b); err != nil {
			return err
		}
	}
	return nil
}

func hostPorts(mappings []*runtimeapi.PortMapping, node string) ([]network.HostPort, error) {
	var list []network.HostPort
	for _, m := range mappings {
		if m.GetHostPort() == 0 {
			continue
		}
		if !isPort(m.GetHostPort()) || !isPort(m.GetContainerPort()) {
			return nil, fmt.Errorf("hostPort %d of containerPort %d: ports are numbers from 1 to 65535", m.GetHostPort(), m.GetContainerPort())
		}
		p := network.HostPort{Port: uint16(m.GetHostPort()), Pod: uint16(m.GetContainerPort())}
		switch m.GetProtocol() {
		case runtimeapi.Protocol_TCP:
			p.Protocol = network.TCP
		case runtimeapi.Protocol_UDP:
			p.Protocol = network.UDP
		default:
			return nil, fmt.Errorf("hostPort %d: only TCP and UDP can be published", m.GetHostPort())
		}
		var err error
		if p.IP, err = hostPortAddress(m.GetHostIp(), node); err != nil {
			return nil, fmt.Errorf("hostPort %d: %w", m.GetHostPort(), err)
		}
		if p.IP.IsLoopback() && p.Port == nameServerPort {
			return nil, fmt.Errorf("hostPort %d: the node's name server has it on %s; leave hostIP out", p.Port, p.IP)
		}
		list = append(list, p)
	}
	return list, nil
}

const nameServerPort = 53

// hostPortAddress is the zero value for every address of the node.
func hostPortAddress(text, node string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return ip, fmt.Errorf("hostIP %q is no IP address", text)
	case ip.IsUnspecified() || ip.String() == node:
		return netip.Addr{}, nil
	case ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}):
		return ip, nil
	}
	return ip, fmt.Errorf("hostIP %s is not of this node; it has %s and 127.0.0.1", ip, node)
}

func isPort(n int32) bool { return n >= 1 && n <= math.MaxUint16 }
