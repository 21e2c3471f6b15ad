//go:build linux

package egress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/kiwerk/kiwerk/internal/cluster/hostnet"
)

const (
	nic = 1
	// maxPending bounds connections that are being made.
	maxPending  = 1024
	dialTimeout = 30 * time.Second
	// maxFlows bounds flows of UDP, each of which has two sockets and buffers.
	maxFlows = 512
	// udpIdle is how long a flow without packets is remembered.
	udpIdle = 90 * time.Second
)

// Config of a [Stack].
type Config struct {
	// Socket is the packet socket; the stack closes it.
	Socket *os.File
	MTU    uint32
	// Gateway is the stack, Node who sends to it.
	Gateway, Node       netip.Addr
	GatewayMAC, NodeMAC net.HardwareAddr
	// Dial connects in the host's network.
	Dial   hostnet.DialFunc
	Logger *slog.Logger
}

// Stack is the way out of the node.
type Stack struct {
	cfg    Config
	stack  *stack.Stack
	ctx    context.Context
	cancel context.CancelFunc
	flows  chan struct{} // one entry for each flow of UDP
}

// Start carries connections until Stop.
func Start(cfg Config) (*Stack, error) {
	s := &Stack{cfg: cfg, flows: make(chan struct{}, maxFlows)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.build(); err != nil {
		s.cancel()
		return nil, errors.Join(fmt.Errorf("network stack for the way out: %w", err), cfg.Socket.Close())
	}
	return s, nil
}

// Stop ends all connections.
func (s *Stack) Stop() error {
	s.cancel()
	s.stack.Destroy()
	return s.cfg.Socket.Close()
}

func (s *Stack) build() error {
	link, err := fdbased.New(&fdbased.Options{
		FDs: []int{int(s.cfg.Socket.Fd())}, MTU: s.cfg.MTU, EthernetHeader: true,
		Address: tcpip.LinkAddress(s.cfg.GatewayMAC), PacketDispatchMode: fdbased.RecvMMsg,
		// Packets of this machine are checked by nobody on their way; the kernel fills sums in late.
		RXChecksumOffload: true,
	})
	if err != nil {
		return err
	}
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.stack.CreateNIC(nic, link); err != nil {
		return errors.New(err.String())
	}
	gateway, node := tcpip.AddrFromSlice(s.cfg.Gateway.AsSlice()), tcpip.AddrFromSlice(s.cfg.Node.AsSlice())
	own := tcpip.ProtocolAddress{Protocol: header.IPv4ProtocolNumber, AddressWithPrefix: gateway.WithPrefix()}
	sack := tcpip.TCPSACKEnabled(true)
	for _, e := range []tcpip.Error{
		s.stack.AddProtocolAddress(nic, own, stack.AddressProperties{}),
		// Packets for every address are ours, and answers carry theirs.
		s.stack.SetPromiscuousMode(nic, true),
		s.stack.SetSpoofing(nic, true),
		s.stack.AddStaticNeighbor(nic, header.IPv4ProtocolNumber, node, tcpip.LinkAddress(s.cfg.NodeMAC)),
		s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack),
	} {
		if e != nil {
			return errors.New(e.String())
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, Gateway: node, NIC: nic}})
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s.stack, 0, maxPending, s.forwardTCP).HandlePacket)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.stack, s.forwardUDP).HandlePacket)
	return nil
}

// destination of a flow, as the pod wrote it.
func destination(id stack.TransportEndpointID) (netip.AddrPort, bool) {
	ip, ok := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	ok = ok && !ip.IsLoopback() && !ip.IsMulticast() && !ip.IsUnspecified() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return netip.AddrPortFrom(ip, id.LocalPort), ok
}

// forwardTCP runs in a goroutine of its own for each connection. It answers
// only when the other side has, so that a refused connection is refused.
func (s *Stack) forwardTCP(r *tcp.ForwarderRequest) {
	to, ok := destination(r.ID())
	if !ok {
		r.Complete(true)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	out, err := s.cfg.Dial(ctx, "tcp", to.String())
	cancel()
	if err != nil {
		s.cfg.Logger.Debug("connection of a pod", "to", to.String(), "error", err)
		r.Complete(true)
		return
	}
	var queue waiter.Queue
	ep, e := r.CreateEndpoint(&queue)
	if e != nil {
		r.Complete(true)
		_ = out.Close() // what cannot be led on is refused
		return
	}
	r.Complete(false)
	ep.SocketOptions().SetKeepAlive(true)
	hostnet.Join(s.ctx, gonet.NewTCPConn(&queue, ep), out, 0)
}

func (s *Stack) forwardUDP(r *udp.ForwarderRequest) bool {
	to, ok := destination(r.ID())
	if !ok {
		return false
	}
	select {
	case s.flows <- struct{}{}:
	default:
		s.cfg.Logger.Debug("packets of a pod are refused: too many flows", "to", to.String(), "flows", maxFlows)
		return false
	}
	var queue waiter.Queue
	ep, e := r.CreateEndpoint(&queue)
	if e != nil {
		<-s.flows
		return true
	}
	in := gonet.NewUDPConn(&queue, ep)
	go func() { // ends with s.ctx, an error or silence
		defer func() { <-s.flows }()
		ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
		defer cancel()
		out, err := s.cfg.Dial(ctx, "udp", to.String())
		if err != nil {
			s.cfg.Logger.Debug("packets of a pod", "to", to.String(), "error", err)
			_ = in.Close() // what cannot be led on is refused
			return
		}
		hostnet.Join(s.ctx, in, out, udpIdle)
	}()
	return true
}
