//go:build linux

package services

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/dns"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/cluster/policy"
	"github.com/kiwerk/kiwerk/internal/cluster/proxy"
	"github.com/kiwerk/kiwerk/internal/cluster/publish"
)

const (
	// Domain of the cluster's names.
	Domain = "cluster.local"
	// component is the source of events.
	component = "kiwerk-services"

	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// DNS is the virtual address of the name server, for the resolv.conf of pods.
var DNS = netip.MustParseAddr("10.96.0.10")

// Config of [Services].
type Config struct {
	Client   *rest.Config
	NodeName string
	// Nodes are the names of all others in this network namespace.
	Nodes []string
	// Range is where Services get their addresses; [DNS] lies in it.
	Range netip.Prefix
	// Host makes sockets in the host's network; nil if that is the pods' network, too.
	Host   publish.Host
	Logger *slog.Logger
	Clock  clock.WithTicker
}

// Services is all of it.
type Services struct {
	cfg       Config
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	events    record.EventBroadcaster
	policies  *policy.Controller
	names     *dns.Server
	// namesKnown tells whether names can answer.
	namesKnown cache.InformerSynced
	runs       []func(context.Context) error

	cancel context.CancelFunc
	tasks  sync.WaitGroup
	failed chan error
}

// New prepares the parts. The API server must answer.
func New(ctx context.Context, cfg Config) (*Services, error) {
	client, err := kubernetes.NewForConfig(cfg.Client)
	if err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	s := &Services{
		cfg: cfg, client: client, events: record.NewBroadcaster(), failed: make(chan error, 1),
		informers: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim)),
	}
	if err := s.build(ctx); err != nil {
		s.events.Shutdown()
		return nil, fmt.Errorf("services: %w", err)
	}
	return s, nil
}

func (s *Services) build(ctx context.Context) (err error) {
	recorder := s.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component})
	own := s.cfg.Host != nil
	rules := policy.Config{Informers: s.informers, Events: recorder, Logger: s.cfg.Logger.With("component", "policies")}
	if own {
		rules.Apply = policy.NFT
		rules.DNS, rules.DNSNamespace, rules.DNSLabels = network.DNSIP, dns.ServiceNamespace, dns.Labels()
	}
	if s.policies, err = policy.New(rules); err != nil {
		return err
	}
	s.runs = append(s.runs, s.policies.Run)
	if !own {
		return nil
	}
	source, synced, err := dns.NewSource(s.informers)
	if err != nil {
		return err
	}
	s.namesKnown = synced
	s.names = dns.New(dns.Config{
		Address: network.DNSIP, Zone: dns.NewZone(Domain, DNS, source), Logger: s.cfg.Logger.With("component", "dns"),
		Forward: &dns.Forwarder{Clock: s.cfg.Clock, Upstreams: func() []string {
			return []string{net.JoinHostPort(network.ResolverIP.String(), "53")}
		}},
	})
	services, err := proxy.New(ctx, proxy.Config{
		Client: s.client, Informers: s.informers, NodeName: s.cfg.NodeName, Nodes: s.cfg.Nodes, NodeIP: network.NodeIP,
		Services: s.cfg.Range, PodInterfaces: network.PodInterfaces,
	})
	if err != nil {
		return err
	}
	published, err := publish.New(publish.Config{
		Client: s.client, Informers: s.informers, Events: recorder, Host: s.cfg.Host, Dial: (&net.Dialer{}).DialContext,
		Node: network.NodeIP, Pods: network.PodCIDR, Logger: s.cfg.Logger.With("component", "publish"), Clock: s.cfg.Clock,
	})
	if err != nil {
		return err
	}
	s.runs = append(s.runs, services.Run, published.Run, s.publishNames)
	return nil
}

// Start returns when the name server listens, which it does when it knows all
// names: before that it would deny them, and for programs in pods that live on
// that is final, while they ask a server that is not there again. The rules
// follow the informers.
func (s *Services) Start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.informers.Start(running.Done())
	if s.names != nil {
		if !cache.WaitForCacheSync(ctx.Done(), s.namesKnown) {
			return fmt.Errorf("services: the API server does not list what the cluster's names are made of: %w", ctx.Err())
		}
		if err := s.names.Start(ctx); err != nil {
			return err
		}
	}
	s.events.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: s.client.CoreV1().Events("")})
	for _, run := range s.runs {
		s.tasks.Go(func() {
			if err := run(running); err != nil && running.Err() == nil {
				s.fail(err)
			}
		})
	}
	if s.names != nil {
		s.tasks.Go(func() {
			select {
			case err := <-s.names.Failed():
				s.fail(err)
			case <-running.Done():
			}
		})
	}
	return nil
}

func (s *Services) fail(err error) {
	select {
	case s.failed <- err:
	default: // the first one counts
	}
}

// Failed delivers why a part ended by itself.
func (s *Services) Failed() <-chan error { return s.failed }

// Stop ends all parts. Rules stay: pods live on.
func (s *Services) Stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.tasks.Wait()
	s.informers.Shutdown()
	s.events.Shutdown()
	if s.names == nil {
		return nil
	}
	return s.names.Stop(ctx)
}

// Admit applies the policies of a pod that has just got its address.
func (s *Services) Admit(ctx context.Context, namespace, name, uid string, ip netip.Addr) error {
	return s.policies.Admit(ctx, namespace, name, types.UID(uid), ip)
}

// publishNames makes the Service of the name server as soon as its namespace exists.
func (s *Services) publishNames(ctx context.Context) error {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := dns.Publish(ctx, s.client, DNS, netip.AddrPortFrom(network.DNSIP, dns.Port))
		if err == nil {
			return nil
		}
		if pause == lastRetry {
			s.cfg.Logger.Error("the cluster's name server has no Service yet", "error", err)
		}
		select {
		case <-s.cfg.Clock.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
