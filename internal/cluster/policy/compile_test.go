package policy

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var (
	web = Pod{
		Namespace: "ml", Name: "web", Labels: labels.Set{"app": "web"}, IP: netip.MustParseAddr("10.244.0.20"),
		Ports: []Port{{"http", corev1.ProtocolTCP, 8080}},
	}
	web2 = Pod{
		Namespace: "ml", Name: "web2", Labels: labels.Set{"app": "web"}, IP: netip.MustParseAddr("10.244.0.21"),
		Ports: []Port{{"http", corev1.ProtocolTCP, 8081}},
	}
	client = Pod{Namespace: "ml", Name: "client", Labels: labels.Set{"app": "client"}, IP: netip.MustParseAddr("10.244.0.22")}
	other  = Pod{Namespace: "other", Name: "client", Labels: labels.Set{"app": "client"}, IP: netip.MustParseAddr("10.244.0.23")}
)

func selects(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func policy(name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}, Spec: spec}
}

func onPort(protocol corev1.Protocol, port intstr.IntOrString, end int32) networkingv1.NetworkPolicyPort {
	p := networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port}
	if end > 0 {
		p.EndPort = &end
	}
	return p
}

func compileOne(spec networkingv1.NetworkPolicySpec) (Ruleset, []error) {
	return Compile(State{
		Policies:   []*networkingv1.NetworkPolicy{policy("p", spec)},
		Pods:       []Pod{web, web2, client, other},
		Namespaces: map[string]labels.Set{"ml": {"team": "ml"}, "other": {"team": "other"}},
	})
}

func TestCompile_rules(t *testing.T) {
	type peers = []networkingv1.NetworkPolicyPeer
	type portList = []networkingv1.NetworkPolicyPort
	from := func(p peers, ports portList) networkingv1.NetworkPolicySpec {
		return networkingv1.NetworkPolicySpec{PodSelector: *selects("web"), Ingress: []networkingv1.NetworkPolicyIngressRule{{From: p, Ports: ports}}}
	}
	to := func(p peers, ports portList) networkingv1.NetworkPolicySpec {
		return networkingv1.NetworkPolicySpec{
			PodSelector: *selects("client"), PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{{To: p, Ports: ports}},
		}
	}
	http := portList{onPort(corev1.ProtocolTCP, intstr.FromString("http"), 0)}
	for title, c := range map[string]struct {
		spec networkingv1.NetworkPolicySpec
		want []string
	}{
		"Nothing":         {networkingv1.NetworkPolicySpec{PodSelector: *selects("web")}, nil},
		"Everybody":       {from(nil, nil), []string{""}},
		"PodsHere":        {from(peers{{PodSelector: selects("client")}}, nil), []string{"ip saddr { 10.244.0.22 }"}},
		"AllPodsHere":     {from(peers{{PodSelector: &metav1.LabelSelector{}}}, nil), []string{"ip saddr { 10.244.0.20, 10.244.0.21, 10.244.0.22 }"}},
		"Namespace":       {from(peers{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "other"}}}}, nil), []string{"ip saddr { 10.244.0.23 }"}},
		"AllNamespaces":   {from(peers{{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: selects("client")}}, nil), []string{"ip saddr { 10.244.0.22, 10.244.0.23 }"}},
		"NoSuchPods":      {from(peers{{PodSelector: selects("nobody")}}, nil), nil},
		"UnionOfPeers":    {from(peers{{PodSelector: selects("client")}, {IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}}}, nil), []string{"ip saddr 192.0.2.0/24", "ip saddr { 10.244.0.22 }"}},
		"Except":          {from(peers{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.2.0/24", "10.1.0.0/16", "10.2.0.0/16"}}}}, nil), []string{"ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.2.0.0/16"}},
		"HostBits":        {from(peers{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.7/24"}}}, nil), []string{"ip saddr 192.0.2.0/24"}},
		"IPv6":            {from(peers{{IPBlock: &networkingv1.IPBlock{CIDR: "fd00::/8"}}}, nil), nil},
		"Protocol":        {from(nil, portList{{}}), []string{"meta l4proto tcp"}},
		"Ports":           {from(nil, portList{onPort(corev1.ProtocolUDP, intstr.FromInt32(53), 0), onPort(corev1.ProtocolSCTP, intstr.FromInt32(80), 90)}), []string{"udp dport 53", "sctp dport 80-90"}},
		"NamedPort":       {from(nil, http), []string{"ip daddr . tcp dport { 10.244.0.20 . 8080, 10.244.0.21 . 8081 }"}},
		"NamedPortNobody": {from(nil, portList{onPort(corev1.ProtocolUDP, intstr.FromString("http"), 0)}), nil},
		"Combined":        {from(peers{{PodSelector: selects("client")}}, portList{onPort(corev1.ProtocolTCP, intstr.FromInt32(80), 0)}), []string{"ip saddr { 10.244.0.22 } tcp dport 80"}},
		"Egress":          {to(peers{{PodSelector: selects("web")}}, http), []string{"ip daddr { 10.244.0.20, 10.244.0.21 } ip daddr . tcp dport { 10.244.0.20 . 8080, 10.244.0.21 . 8081 }"}},
		"EgressAnywhere":  {to(nil, portList{onPort(corev1.ProtocolTCP, intstr.FromInt32(443), 0)}), []string{"tcp dport 443"}},
	} {
		t.Run(title, func(t *testing.T) {
			r, errs := compileOne(c.spec)
			if len(errs) > 0 || len(r.Policies) != 1 {
				t.Fatalf("%v, %v", r.Policies, errs)
			}
			for _, got := range r.Policies {
				if d := cmp.Diff(append([]string{}, c.want...), append([]string{}, got...)); d != "" {
					t.Error(d)
				}
			}
			valid(t, r)
		})
	}
}

// valid lets nft read the script without applying it.
func valid(t *testing.T, r Ruleset) {
	t.Helper()
	cmd := exec.Command("nft", "-c", "-f", "-")
	cmd.Stdin = strings.NewReader(r.Script(netip.MustParseAddr("10.244.0.5")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, r.Script(netip.Addr{}))
	}
}

func TestCompile_isolates(t *testing.T) {
	in, out := networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	for title, c := range map[string]struct {
		types            []networkingv1.PolicyType
		egress           []networkingv1.NetworkPolicyEgressRule
		ingress, egress2 int
	}{
		"Default":       {nil, nil, 2, 0},
		"DefaultEgress": {nil, []networkingv1.NetworkPolicyEgressRule{{}}, 2, 2},
		"Ingress":       {[]networkingv1.PolicyType{in}, []networkingv1.NetworkPolicyEgressRule{{}}, 2, 0},
		"Egress":        {[]networkingv1.PolicyType{out}, nil, 0, 2},
		"Both":          {[]networkingv1.PolicyType{in, out}, nil, 2, 2},
	} {
		r, errs := compileOne(networkingv1.NetworkPolicySpec{PodSelector: *selects("web"), PolicyTypes: c.types, Egress: c.egress})
		if len(errs) > 0 || len(r.Ingress) != c.ingress || len(r.Egress) != c.egress2 {
			t.Errorf("%s: %d and %d pods are isolated, want %d and %d (%v)", title, len(r.Ingress), len(r.Egress), c.ingress, c.egress2, errs)
		}
	}
}

func TestCompile_unionOfPolicies(t *testing.T) {
	all := networkingv1.NetworkPolicySpec{}
	webOnly := networkingv1.NetworkPolicySpec{PodSelector: *selects("web")}
	s := State{Pods: []Pod{web, client, other}, Policies: []*networkingv1.NetworkPolicy{policy("b", webOnly), policy("a", all)}}
	r, _ := Compile(s)
	if len(r.Sets) != 2 || len(r.Ingress) != 2 {
		t.Fatalf("%+v", r)
	}
	if got := r.Sets[r.Ingress[web.IP]]; len(got) != 2 {
		t.Errorf("the pod of two policies has %v", got)
	}
	if got := r.Sets[r.Ingress[client.IP]]; len(got) != 1 {
		t.Errorf("the pod of one policy has %v", got)
	}
	first := r.Script(netip.Addr{})
	s.Policies[0], s.Policies[1] = s.Policies[1], s.Policies[0]
	s.Pods[0], s.Pods[1] = s.Pods[1], s.Pods[0]
	if r, _ = Compile(s); r.Script(netip.Addr{}) != first {
		t.Error("the script follows the order of informers")
	}
}

func TestCompile_errors(t *testing.T) {
	bad := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Likes"}}}
	for title, spec := range map[string]networkingv1.NetworkPolicySpec{
		"PodSelector":       {PodSelector: *bad},
		"PeerSelector":      {Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: bad}}}}},
		"NamespaceSelector": {Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: bad}}}}},
		"CIDR":              {Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/40"}}}}}},
		"Except":            {Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"x"}}}}}}},
	} {
		if _, errs := compileOne(spec); len(errs) != 1 || !strings.Contains(errs[0].Error(), "ml/p") {
			t.Errorf("%s: %v", title, errs)
		}
	}
}

func TestChainName(t *testing.T) {
	long := strings.Repeat("x", 63) + "/" + strings.Repeat("y", 253)
	a, b := chainName("in", long+"a"), chainName("in", long+"b")
	if a == b || len(a) > maxChain {
		t.Errorf("%q and %q", a, b)
	}
}
