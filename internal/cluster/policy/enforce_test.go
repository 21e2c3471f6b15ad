//go:build linux

package policy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/nettest"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

func TestMain(m *testing.M) { agenttest.MainNetwork(m) }

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

const dnsServer = "10.244.0.5"

// enforce applies the policies of these objects to the network of the test.
func enforce(t *testing.T, objects ...runtime.Object) *Controller {
	t.Helper()
	f := informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	c, err := New(Config{
		Informers: f, Events: record.NewFakeRecorder(10), Apply: NFT, Logger: slog.New(slog.DiscardHandler),
		DNS: netip.MustParseAddr(dnsServer), DNSNamespace: "kube-system", DNSLabels: map[string]string{"k8s-app": "kube-dns"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer f.Shutdown()
	defer cancel()
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	if err := c.sync(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func apiPod(namespace, name, app string, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		}}},
		Status: corev1.PodStatus{PodIP: ip, Phase: corev1.PodRunning},
	}
}

func apiNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
}

// world is three pods that serve on ports 8080 and 9090.
type world struct {
	web, client, stranger nettest.Pod
	objects               []runtime.Object
}

func newWorld(t *testing.T) world {
	t.Helper()
	n := nettest.NewNode(t)
	w := world{web: n.Pod("web"), client: n.Pod("client"), stranger: n.Pod("stranger")}
	for name, p := range map[string]nettest.Pod{"web": w.web, "client": w.client, "stranger": w.stranger} {
		p.Serve(t, "0.0.0.0:8080", name)
		p.Serve(t, "0.0.0.0:9090", name)
	}
	w.objects = []runtime.Object{
		apiNamespace("ml"), apiNamespace("other"), apiNamespace("kube-system"),
		apiPod("ml", "web", "web", w.web.IP.String()), apiPod("ml", "client", "client", w.client.IP.String()),
		apiPod("other", "stranger", "client", w.stranger.IP.String()),
	}
	return w
}

// reach is who gets to where.
type reach struct {
	from nettest.Pod
	to   string
	want bool
}

func (w world) check(t *testing.T, policies []*networkingv1.NetworkPolicy, reaches map[string]reach) *Controller {
	t.Helper()
	objects := append([]runtime.Object{}, w.objects...)
	for _, p := range policies {
		objects = append(objects, p)
	}
	c := enforce(t, objects...)
	for name, r := range reaches {
		for _, proto := range []string{"tcp4", "udp4"} {
			var got bool
			if r.want {
				_, err := r.from.Ask(proto, r.to)
				got = err == nil
			} else {
				got = !r.from.Dropped(proto, r.to)
			}
			if got != r.want {
				t.Errorf("%s over %s: %v, want %v", name, proto, got, r.want)
			}
		}
	}
	return c
}

func TestController_ingress(t *testing.T) {
	w := newWorld(t)
	web, node := w.web.IP.String()+":8080", nettest.Pod{}
	deny := policy("deny", networkingv1.NetworkPolicySpec{PodSelector: *selects("web")})
	allow := policy("allow", networkingv1.NetworkPolicySpec{
		PodSelector: *selects("web"),
		Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From:  []networkingv1.NetworkPolicyPeer{{PodSelector: selects("client")}},
			Ports: []networkingv1.NetworkPolicyPort{onPort(corev1.ProtocolTCP, intstr.FromString("http"), 0), onPort(corev1.ProtocolUDP, intstr.FromInt32(8080), 8090)},
		}},
	})
	w.check(t, nil, map[string]reach{"NoPolicy": {w.stranger, web, true}})
	w.check(t, []*networkingv1.NetworkPolicy{deny}, map[string]reach{
		"Denied":   {w.client, web, false},
		"Itself":   {w.web, web, true},
		"Node":     {node, web, true},
		"Outwards": {w.web, w.client.IP.String() + ":8080", true},
		"Others":   {w.stranger, w.client.IP.String() + ":8080", true},
	})
	w.check(t, []*networkingv1.NetworkPolicy{deny, allow}, map[string]reach{
		"Allowed":        {w.client, web, true},
		"OtherPort":      {w.client, w.web.IP.String() + ":9090", false},
		"OtherNamespace": {w.stranger, web, false},
	})
	w.check(t, nil, map[string]reach{"PoliciesGone": {w.stranger, web, true}})
}

func TestController_egress(t *testing.T) {
	w := newWorld(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	address, err := netlink.ParseAddr(dnsServer + "/32")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrReplace(lo, address); err != nil {
		t.Fatal(err)
	}
	nettest.Pod{}.Serve(t, dnsServer+":53", "dns")
	nettest.Pod{}.Serve(t, network.NodeIP.String()+":7000", "node")
	egress := []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	deny := policy("deny", networkingv1.NetworkPolicySpec{PolicyTypes: egress})
	dns := policy("dns", networkingv1.NetworkPolicySpec{PolicyTypes: egress, Egress: []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "kube-system"}},
			PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
		}},
		Ports: []networkingv1.NetworkPolicyPort{onPort(corev1.ProtocolUDP, intstr.FromInt32(53), 0), onPort(corev1.ProtocolTCP, intstr.FromInt32(53), 0)},
	}}})
	block := policy("block", networkingv1.NetworkPolicySpec{PolicyTypes: egress, Egress: []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.244.0.0/16", Except: []string{w.stranger.IP.String() + "/32"}}}},
	}}})
	web, stranger := w.web.IP.String()+":8080", w.stranger.IP.String()+":8080"
	w.check(t, []*networkingv1.NetworkPolicy{deny}, map[string]reach{
		"Denied":    {w.client, web, false},
		"DNS":       {w.client, dnsServer + ":53", false},
		"Node":      {w.client, network.NodeIP.String() + ":7000", true},
		"Others":    {w.stranger, web, true},
		"OthersDNS": {w.stranger, dnsServer + ":53", true},
		"Inwards":   {nettest.Pod{}, w.client.IP.String() + ":8080", true},
	})
	w.check(t, []*networkingv1.NetworkPolicy{deny, dns}, map[string]reach{"DNSAllowed": {w.client, dnsServer + ":53", true}, "StillDenied": {w.client, web, false}})
	w.check(t, []*networkingv1.NetworkPolicy{deny, block}, map[string]reach{"InBlock": {w.client, web, true}, "Except": {w.client, stranger, false}})
	w.check(t, nil, nil)
}

// TestController_openConnections: what is allowed goes on, what is not ends.
func TestController_openConnections(t *testing.T) {
	w := newWorld(t)
	connect := func(p nettest.Pod) net.Conn {
		c, err := p.Dial("tcp4", w.web.IP.String()+":8080", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	friend, stranger := connect(w.client), connect(w.stranger)
	w.check(t, []*networkingv1.NetworkPolicy{policy("p", networkingv1.NetworkPolicySpec{
		PodSelector: *selects("web"),
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: selects("client")}}}},
	})}, nil)
	if _, err := nettest.Say(friend, time.Minute); err != nil {
		t.Errorf("an allowed connection: %v", err)
	}
	if got, err := nettest.Say(stranger, 400*time.Millisecond); err == nil {
		t.Errorf("a connection that is not allowed any more answers %q", got)
	}
	w.check(t, nil, nil)
	// What was dropped meanwhile is sent again by TCP.
	if _, err := nettest.Say(stranger, 2*time.Minute); err != nil {
		t.Errorf("a connection that is allowed again: %v", err)
	}
}

func TestController_Admit(t *testing.T) {
	w := newWorld(t)
	for _, o := range w.objects {
		if p, ok := o.(*corev1.Pod); ok && p.Name == "web" {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending}
		}
	}
	c := w.check(t, []*networkingv1.NetworkPolicy{policy("deny", networkingv1.NetworkPolicySpec{})}, map[string]reach{
		"WithoutAddress": {w.client, w.web.IP.String() + ":8080", true},
	})
	if err := c.Admit(t.Context(), "ml", "web", "uid-web", w.web.IP); err != nil {
		t.Fatal(err)
	}
	if !w.client.Dropped("tcp4", w.web.IP.String()+":8080") {
		t.Error("a pod that starts can be reached against the policy")
	}
	w.check(t, nil, nil)
}

// TestController_AdmitWaitsForThePod has a predecessor of the same name, as a StatefulSet makes them.
func TestController_AdmitWaitsForThePod(t *testing.T) {
	const ip = "10.244.0.77"
	before := apiPod("ml", "web", "web", "")
	before.UID = "uid-before"
	client := fake.NewClientset(apiNamespace("ml"), policy("deny", networkingv1.NetworkPolicySpec{}), before)
	f := informers.NewSharedInformerFactory(client, 0)
	scripts := make(chan string, 10)
	c, err := New(Config{
		Informers: f, Events: record.NewFakeRecorder(10), Logger: slog.New(slog.DiscardHandler),
		Apply: func(_ context.Context, script string) error { scripts <- script; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer f.Shutdown()
	defer cancel()
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if err := c.Admit(short, "ml", "web", "uid-web", netip.MustParseAddr(ip)); err == nil {
		t.Error("a pod that is not known was admitted")
	}
	admitted := make(chan error, 1)
	go func() { admitted <- c.Admit(ctx, "ml", "web", "uid-web", netip.MustParseAddr(ip)) }()
	pods := client.CoreV1().Pods("ml")
	if err := pods.Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Create(ctx, apiPod("ml", "web", "web", ""), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-admitted; err != nil {
		t.Fatal(err)
	}
	if script := <-scripts; !strings.Contains(script, ip) {
		t.Errorf("the pod is not isolated:\n%s", script)
	}
}

func TestController_notEnforced(t *testing.T) {
	events := record.NewFakeRecorder(10)
	f := informers.NewSharedInformerFactory(fake.NewClientset(policy("p", networkingv1.NetworkPolicySpec{})), 0)
	c, err := New(Config{Informers: f, Events: events, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer f.Shutdown()
	defer cancel()
	f.Start(ctx.Done())
	if got := <-events.Events; !strings.Contains(got, reasonNotEnforced) {
		t.Errorf("event %q", got)
	}
	if err := c.Admit(ctx, "ml", "web", "uid-web", netip.Addr{}); err != nil {
		t.Error(err)
	}
}

func TestController_tellsFailures(t *testing.T) {
	events := record.NewFakeRecorder(10)
	f := informers.NewSharedInformerFactory(fake.NewClientset(policy("p", networkingv1.NetworkPolicySpec{}), apiPod("ml", "web", "web", "10.244.0.20")), 0)
	c, err := New(Config{
		Informers: f, Events: events, Logger: slog.New(slog.DiscardHandler),
		Apply: func(context.Context, string) error { return errors.New("nft: no such table") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	f.Start(ctx.Done())
	go func() { done <- c.Run(ctx) }()
	if got := <-events.Events; !strings.Contains(got, reasonFailed) || !strings.Contains(got, "no such table") {
		t.Errorf("event %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	f.Shutdown()
}

// TestNFT_withoutSbin has the PATH of an ordinary user of Debian.
func TestNFT_withoutSbin(t *testing.T) {
	t.Setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
	if err := NFT(t.Context(), Ruleset{}.Script(netip.Addr{})); err != nil {
		t.Error(err)
	}
}
