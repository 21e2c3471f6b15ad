//go:build linux

package proxy_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/nettest"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
	"github.com/kiwerk/kiwerk/internal/cluster/proxy"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	agenttest.MainNetwork(m)
}

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

// start runs a proxy until the test ends, or until stop is called.
func start(t *testing.T, client kubernetes.Interface) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	f := informers.NewSharedInformerFactory(client, 0)
	p, err := proxy.New(ctx, proxy.Config{
		Client: client, Informers: f, NodeName: "node", Nodes: []string{"node-2"}, NodeIP: network.NodeIP,
		Services: netip.MustParsePrefix("10.96.0.0/16"), PodInterfaces: network.PodInterfaces,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Start(ctx.Done())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.Shutdown()
	}
	t.Cleanup(stop)
	return stop
}

func service(name, ip string, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}, {Name: "http-udp", Protocol: corev1.ProtocolUDP, Port: 80}},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func endpoints(service string, ips ...netip.Addr) *discoveryv1.EndpointSlice {
	port, ready, node := int32(8080), true, "node"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ml", Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for name, protocol := range map[string]corev1.Protocol{"http": corev1.ProtocolTCP, "http-udp": corev1.ProtocolUDP} {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port, Protocol: &protocol})
	}
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip.String()}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	return s
}

// on says that the endpoints are on another node.
func on(node string, s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	for i := range s.Endpoints {
		s.Endpoints[i].NodeName = &node
	}
	return s
}

func serviceRange() *networkingv1.ServiceCIDR {
	return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16"}}}
}

func TestProxy(t *testing.T) {
	node := nettest.NewNode(t)
	client, a, b := node.Pod("client"), node.Pod("a"), node.Pod("b")
	a.Serve(t, "0.0.0.0:8080", "a")
	b.Serve(t, "0.0.0.0:8080", "b")
	open := func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.Ports[0].NodePort, s.Spec.Ports[1].NodePort = 30080, 30080
	}
	sticky := func(s *corev1.Service) {
		seconds := int32(600)
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	local := func(s *corev1.Service) {
		policy := corev1.ServiceInternalTrafficPolicyLocal
		s.Spec.InternalTrafficPolicy = &policy
	}
	foreign := func(s *corev1.Service) {
		s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "other"}
	}
	api := fake.NewClientset(serviceRange(),
		service("web", "10.96.0.20", open), endpoints("web", a.IP, b.IP),
		service("sticky", "10.96.0.21", sticky), endpoints("sticky", a.IP, b.IP),
		service("nobody", "10.96.0.22"), endpoints("nobody"),
		service("foreign", "10.96.0.23", foreign), endpoints("foreign", a.IP),
		service("self", "10.96.0.24"), endpoints("self", a.IP),
		service("neighbour", "10.96.0.25"), on("node-2", endpoints("neighbour", a.IP)),
		service("local", "10.96.0.26", local), on("node-2", endpoints("local", a.IP)),
		service("headless", corev1.ClusterIPNone), endpoints("headless", a.IP),
	)
	stop := start(t, api)
	nettest.Eventually(t, "the Service answers a pod", func() bool {
		_, err := client.Ask("tcp4", "10.96.0.20:80")
		return err == nil
	})
	for name, c := range map[string]struct {
		from nettest.Pod
		at   string
		want []string // one of them
	}{
		"ClusterIP":     {client, "10.96.0.20:80", []string{"a from " + client.IP.String(), "b from " + client.IP.String()}},
		"FromTheNode":   {nettest.Pod{}, "10.96.0.20:80", []string{"a from " + network.NodeIP.String(), "b from " + network.NodeIP.String()}},
		"NodePort":      {nettest.Pod{}, network.NodeIP.String() + ":30080", []string{"a from " + network.NodeIP.String(), "b from " + network.NodeIP.String()}},
		"NodePortInPod": {client, network.NodeIP.String() + ":30080", []string{"a from " + network.NodeIP.String(), "b from " + network.NodeIP.String()}},
		"ToItself":      {a, "10.96.0.24:80", []string{"a from " + network.NodeIP.String()}},
		// Another node in the same namespace is no further away.
		"ToItselfOnNode2": {a, "10.96.0.25:80", []string{"a from " + network.NodeIP.String()}},
		"LocalOnNode2":    {client, "10.96.0.26:80", []string{"a from " + client.IP.String()}},
	} {
		for _, proto := range []string{"tcp4", "udp4"} {
			if got, err := c.from.Ask(proto, c.at); err != nil || !slices.Contains(c.want, got) {
				t.Errorf("%s over %s: %q, %v, want one of %q", name, proto, got, err, c.want)
			}
		}
	}
	seen := answers(t, client, "10.96.0.20:80")
	if len(seen) != 2 {
		t.Errorf("20 connections went to %v, want both pods", seen)
	}
	if seen := answers(t, client, "10.96.0.21:80"); len(seen) != 1 {
		t.Errorf("20 connections of one client went to %v, want one pod", seen)
	}
	for name, at := range map[string]string{"NoEndpoints": "10.96.0.22:80", "NoSuchPort": "10.96.0.20:81"} {
		if _, err := client.Ask("tcp4", at); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	for name, at := range map[string]string{"Foreign": "10.96.0.23:80", "NotAllocated": "10.96.0.99:80"} {
		if !client.Dropped("tcp4", at) {
			t.Errorf("%s answers", name)
		}
	}
	follows(t, api, client, b)
	// The rules outlive the daemon, and the next one takes them over. Connections do not notice.
	c, err := client.Dial("tcp4", "10.96.0.20:80", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before, err := nettest.Say(c, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if got, err := client.Ask("tcp4", "10.96.0.20:80"); err != nil {
		t.Errorf("without a proxy: %q, %v", got, err)
	}
	start(t, api)
	follows(t, api, client, a)
	if after, err := nettest.Say(c, time.Minute); err != nil || after != before {
		t.Errorf("an open connection answers %q, %v, want %q", after, err, before)
	}
}

// follows leads a Service to another pod.
func follows(t *testing.T, api kubernetes.Interface, client, to nettest.Pod) {
	t.Helper()
	if _, err := api.DiscoveryV1().EndpointSlices("ml").Update(t.Context(), endpoints("self", to.IP), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	want, err := client.Ask("tcp4", to.IP.String()+":8080")
	if err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, fmt.Sprintf("the Service leads to %s", to.IP), func() bool {
		got, err := client.Ask("tcp4", "10.96.0.24:80")
		return err == nil && got == want
	})
}

func answers(t *testing.T, from nettest.Pod, at string) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for range 20 {
		got, err := from.Ask("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		seen[got] = true
	}
	return seen
}

// TestNew_withoutSbin has the PATH of an ordinary user of Debian.
func TestNew_withoutSbin(t *testing.T) {
	nettest.NewNode(t)
	t.Setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
	start(t, fake.NewClientset())
}
