//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/kiwerk/kiwerk/internal/cluster"
	"github.com/kiwerk/kiwerk/internal/cluster/egress"
	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
	"github.com/kiwerk/kiwerk/internal/cluster/hostnet"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/kube"
)

const (
	networkDir = "network"
	// platformPort is where pods find the platform, whatever port the user's network has.
	platformPort = "7878"
	dnsPort      = "53"
)

// podsOnLoopback is the address from which connections of pods reach the
// host's loopback, so that the platform there knows them from the user's.
var podsOnLoopback = netip.AddrFrom4([4]byte{127, 75, 87, 1})

// podNetwork is the daemon's part of the node's network.
type podNetwork struct {
	pods  *network.Network
	host  *hostnet.Client
	relay *hostnet.Relay
	out   *egress.Stack // nil if the host carries packets on

	platform net.Listener
	loopback net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
}

// openNetwork prepares the node's network and what leads out of it. What it
// has opened before an error is closed by the end of the process.
func (d *daemon) openNetwork(ctx context.Context, hostFile *os.File) (err error) {
	if hostFile == nil {
		return errors.New("the launcher passed no connection to the host's network")
	}
	conn, err := fdsock.FromFile(hostFile)
	if err != nil {
		return err
	}
	n := &podNetwork{host: hostnet.NewClient(conn)}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	log := d.log.With("component", "network")
	n.pods, err = network.Open(ctx, network.Config{
		Dir: filepath.Join(d.job.DataDir, networkDir), Nodes: d.job.Config.Runtime.Nodes, Logger: log,
	})
	if err != nil {
		return err
	}
	if u := d.job.Network.Uplink; u != nil {
		if err := n.pods.UseUplink(*u); err != nil {
			return err
		}
	} else if err := n.startEgress(d); err != nil {
		return err
	}
	if err := n.startRelay(d); err != nil {
		return err
	}
	if n.platform, err = net.Listen("tcp4", net.JoinHostPort(network.PlatformIP.String(), platformPort)); err != nil {
		return fmt.Errorf("the platform's address for pods: %w", err)
	}
	if n.loopback, err = n.pods.ListenHost(); err != nil {
		return err
	}
	n.tasks.Go(n.serveLoopback)
	if err := os.WriteFile(d.resolvConf(), []byte(resolvConf()), 0o644); err != nil {
		return err
	}
	d.network = n
	return nil
}

func (n *podNetwork) startEgress(d *daemon) error {
	socket, err := n.pods.MakeUserUplink()
	if err != nil {
		return err
	}
	n.out, err = egress.Start(egress.Config{
		Socket: socket, MTU: network.MTU, Gateway: network.UserUplink.Gateway, Node: network.UserUplink.Node,
		GatewayMAC: network.GatewayMAC, NodeMAC: network.NodeMAC, Dial: n.host.DialContext,
		Logger: d.log.With("component", "egress"),
	})
	return err
}

// hostResolvConf is the host's; the holder's mount namespace shows it as it is.
const hostResolvConf = "/etc/resolv.conf"

func (n *podNetwork) startRelay(d *daemon) error {
	address := net.JoinHostPort(network.ResolverIP.String(), dnsPort)
	packets, err := net.ListenPacket("udp4", address)
	if err != nil {
		return fmt.Errorf("name resolution for pods: %w", err)
	}
	streams, err := net.Listen("tcp4", address)
	if err != nil {
		return errors.Join(fmt.Errorf("name resolution for pods: %w", err), packets.Close())
	}
	n.relay = hostnet.StartRelay(hostnet.RelayConfig{
		Packets: packets, Streams: streams, Dial: n.host.DialContext, Logger: d.log.With("component", "names"),
		Servers: func() []string { return hostnet.Servers(hostResolvConf) },
		Names:   map[string]netip.Addr{network.HostName: network.HostIP},
	})
	// The servers of /etc/resolv.conf may listen on the host's loopback, which this process does not see.
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, proto, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, proto, address)
	}}
	return nil
}

// serveLoopback leads pods to what listens on the host's loopback.
func (n *podNetwork) serveLoopback() {
	for {
		in, err := n.loopback.Accept()
		if err != nil {
			return // closed
		}
		n.tasks.Go(func() {
			port, err := network.OriginalPort(in)
			var out net.Conn
			if err == nil {
				out, err = n.host.DialLoopback(n.ctx, podsOnLoopback, port)
			}
			if err != nil {
				if tcp, ok := in.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0) // the pod sees a refusal, not an end
				}
				_ = in.Close() // nothing was said
				return
			}
			hostnet.Join(n.ctx, in, out, 0)
		})
	}
}

// stop ends what runs in this process; the network of pods stays. The
// platform's listener belongs to the front.
func (n *podNetwork) stop() error {
	n.cancel()
	errs := []error{n.loopback.Close(), n.relay.Stop()}
	if n.out != nil {
		errs = append(errs, n.out.Stop())
	}
	n.tasks.Wait()
	n.pods.Close()
	return errors.Join(append(errs, n.host.Close())...)
}

func (d *daemon) resolvConf() string { return filepath.Join(d.job.DataDir, networkDir, "resolv.conf") }

// resolvConf is what pods get that resolve names as the host does.
func resolvConf() string {
	text := "nameserver " + network.ResolverIP.String() + "\n"
	if search := hostnet.SearchList(hostResolvConf); search != "" {
		text += "search " + search + "\n"
	}
	return text
}

// nodeNetwork is the cluster's view; api is the listener on the host.
func (d *daemon) nodeNetwork(api net.Listener) (*cluster.NodeNetwork, error) {
	if d.network == nil {
		return nil, nil
	}
	port := api.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // The launcher listens on TCP.
	l, err := net.Listen("tcp4", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("the API server's address for pods: %w", err)
	}
	return &cluster.NodeNetwork{IP: network.NodeIP.AsSlice(), APIListener: l, Host: d.network.host, ResolvConf: d.resolvConf()}, nil
}

// platform is how pods reach us.
func (d *daemon) platform() kube.Platform {
	p := kube.Platform{BaseURL: d.job.BaseURL, AgentPath: agentInContainer}
	if d.network != nil {
		p.BaseURL = "http://" + d.network.platform.Addr().String()
	}
	return p
}
