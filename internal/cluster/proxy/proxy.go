//go:build linux

package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	upstream "k8s.io/kubernetes/pkg/proxy"
	"k8s.io/kubernetes/pkg/proxy/apis"
	proxyconfig "k8s.io/kubernetes/pkg/proxy/apis/config"
	"k8s.io/kubernetes/pkg/proxy/apis/config/scheme"
	"k8s.io/kubernetes/pkg/proxy/nftables"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

const (
	// minSync lets what changes together be one change of rules.
	minSync = 100 * time.Millisecond
	name    = "kube-proxy"
)

// Config of a [Proxy].
type Config struct {
	Client kubernetes.Interface
	// Informers are started by the caller, after New.
	Informers informers.SharedInformerFactory
	NodeName  string
	// Nodes are the names of further nodes in the same network namespace: what runs there is local, too.
	Nodes  []string
	NodeIP netip.Addr
	// Services is where cluster IPs come from.
	Services netip.Prefix
	// PodInterfaces is how the names of the node's ends of pods' links begin.
	PodInterfaces string
}

// Proxy is a kube-proxy.
type Proxy struct {
	cfg      Config
	provider upstream.Provider
	lister   func() ([]*networkingv1.ServiceCIDR, error)
	recorder events.EventBroadcaster

	services, slices, ranges cache.InformerSynced
}

// New prepares a proxy. The process must be in the node's network namespace.
func New(ctx context.Context, cfg Config) (*Proxy, error) {
	if err := findNFT(); err != nil {
		return nil, fmt.Errorf("kube-proxy: %w", err)
	}
	if err := routeServices(cfg.Services, cfg.NodeIP); err != nil {
		return nil, fmt.Errorf("kube-proxy: %w", err)
	}
	settings, err := configuration()
	if err != nil {
		return nil, fmt.Errorf("kube-proxy: %w", err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: cfg.Client.EventsV1()})
	provider, err := nftables.NewProxier(ctx, settings, corev1.IPv4Protocol,
		proxyutil.NewDetectLocalByInterfaceNamePrefix(cfg.PodInterfaces), cfg.NodeName, cfg.NodeIP.AsSlice(),
		broadcaster.NewRecorder(scheme.Scheme, name), nil, false)
	if err != nil {
		return nil, fmt.Errorf("kube-proxy: %w", err)
	}
	p := &Proxy{cfg: cfg, provider: provider, recorder: broadcaster}
	return p, p.watch()
}

// findNFT puts the folder of nft on PATH, the only place where upstream looks.
func findNFT() error {
	program, err := network.NftProgram()
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("nft"); err == nil {
		return nil
	}
	return os.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Dir(program))
}

// configuration is upstream's default with what differs here.
func configuration() (*proxyconfig.KubeProxyConfiguration, error) {
	wire := &proxyv1alpha1.KubeProxyConfiguration{Mode: proxyv1alpha1.ProxyMode(proxyconfig.ProxyModeNFTables)}
	wire.NFTables.MinSyncPeriod.Duration = minSync
	scheme.Scheme.Default(wire)
	out := &proxyconfig.KubeProxyConfiguration{}
	return out, scheme.Scheme.Convert(wire, out, nil)
}

// watch leads what informers tell to the proxier.
func (p *Proxy) watch() (err error) {
	f := p.cfg.Informers
	ranges := f.Networking().V1().ServiceCIDRs()
	p.lister = func() ([]*networkingv1.ServiceCIDR, error) { return ranges.Lister().List(labels.Everything()) }
	for _, w := range []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
		synced   *cache.InformerSynced
	}{
		{f.Core().V1().Services().Informer(), handler(proxied, p.provider.OnServiceAdd, p.provider.OnServiceUpdate, p.provider.OnServiceDelete), &p.services},
		{f.Discovery().V1().EndpointSlices().Informer(), handler(balanced,
			func(s *discoveryv1.EndpointSlice) { p.provider.OnEndpointSliceAdd(p.here(s)) },
			func(a, b *discoveryv1.EndpointSlice) { p.provider.OnEndpointSliceUpdate(p.here(a), p.here(b)) },
			func(s *discoveryv1.EndpointSlice) { p.provider.OnEndpointSliceDelete(p.here(s)) },
		), &p.slices},
		{ranges.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { p.tellRanges() }, UpdateFunc: func(any, any) { p.tellRanges() }, DeleteFunc: func(any) { p.tellRanges() },
		}, &p.ranges},
	} {
		registration, err := w.informer.AddEventHandler(w.handler)
		if err != nil {
			return err
		}
		*w.synced = registration.HasSynced
	}
	return nil
}

// handler passes objects on that match; one that ceases to match is gone for the proxier.
func handler[T any](matches func(T) bool, add func(T), update func(before, after T), remove func(T)) cache.ResourceEventHandler {
	return cache.FilteringResourceEventHandler{
		FilterFunc: func(o any) bool {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			t, ok := o.(T)
			return ok && matches(t)
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { add(o.(T)) },
			UpdateFunc: func(before, after any) { update(before.(T), after.(T)) },
			DeleteFunc: func(o any) {
				if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
					o = gone.Obj
				}
				remove(o.(T))
			},
		},
	}
}

// here says of endpoints on the other nodes that they are on ours. The proxier
// thinks that those elsewhere need no masquerading when a pod is led to itself,
// and that a local traffic policy excludes them.
func (p *Proxy) here(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	if len(p.cfg.Nodes) == 0 {
		return s
	}
	s = s.DeepCopy()
	for i, e := range s.Endpoints {
		if e.NodeName != nil && slices.Contains(p.cfg.Nodes, *e.NodeName) {
			s.Endpoints[i].NodeName = &p.cfg.NodeName
		}
	}
	return s
}

func proxied(s *corev1.Service) bool {
	_, other := s.Labels[apis.LabelServiceProxyName]
	return !other && s.Spec.ClusterIP != corev1.ClusterIPNone
}

func balanced(s *discoveryv1.EndpointSlice) bool {
	_, headless := s.Labels[corev1.IsHeadlessService]
	_, other := s.Labels[apis.LabelServiceProxyName]
	return !headless && !other
}

// tellRanges passes on where cluster IPs come from: other addresses there are dropped.
func (p *Proxy) tellRanges() {
	list, err := p.lister()
	if err != nil {
		return // informers list from memory
	}
	var out []string
	for _, r := range list {
		out = append(out, r.Spec.CIDRs...)
	}
	p.provider.OnServiceCIDRsChanged(out)
}

// Run keeps the rules until ctx ends. The proxier's own loop cannot be ended;
// it sleeps when nothing is told any more.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.recorder.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("kube-proxy: %w", err)
	}
	defer p.recorder.Shutdown()
	go p.provider.SyncLoop()
	var waiting sync.WaitGroup
	for _, w := range []struct {
		synced cache.InformerSynced
		tell   func()
	}{{p.services, p.provider.OnServiceSynced}, {p.slices, p.provider.OnEndpointSlicesSynced}} {
		waiting.Go(func() {
			if cache.WaitForCacheSync(ctx.Done(), w.synced, p.ranges) {
				w.tell()
			}
		})
	}
	waiting.Wait()
	<-ctx.Done()
	return nil
}
