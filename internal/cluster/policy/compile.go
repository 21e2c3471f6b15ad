package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Pod is what rules need of a pod with an address of its own.
type Pod struct {
	Namespace, Name string
	Labels          labels.Set
	IP              netip.Addr
	Ports           []Port
}

// Port is a port of a container that has a name.
type Port struct {
	Name     string
	Protocol corev1.Protocol
	Number   int32
}

// State is what the rules follow from.
type State struct {
	Policies   []*networkingv1.NetworkPolicy
	Pods       []Pod
	Namespaces map[string]labels.Set
}

// Ruleset is what shall be in the kernel. Empty if no pod is isolated.
type Ruleset struct {
	// Ingress and Egress lead the address of an isolated pod to the chain of its policies.
	Ingress, Egress map[netip.Addr]string
	// Sets are the policies of a chain above.
	Sets map[string][]string
	// Policies are the rules of a chain of one policy: what they match is accepted.
	Policies map[string][]string
}

// direction is one half of a policy.
type direction struct {
	name string // prefix of chains
	peer string // the field with the other side's address
}

var (
	ingress = direction{"in", "ip saddr"}
	egress  = direction{"out", "ip daddr"}
)

// rule is a rule of either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// Compile resolves the policies. An error names what could not be used; the rest is in the result.
func Compile(s State) (Ruleset, []error) {
	c := &compiler{
		State: s,
		out:   Ruleset{Ingress: map[netip.Addr]string{}, Egress: map[netip.Addr]string{}, Sets: map[string][]string{}, Policies: map[string][]string{}},
		of:    map[direction]map[netip.Addr][]string{ingress: {}, egress: {}},
	}
	for _, p := range s.Policies {
		c.policy(p)
	}
	c.isolate(ingress, c.out.Ingress)
	c.isolate(egress, c.out.Egress)
	return c.out, c.errs
}

type compiler struct {
	State
	out  Ruleset
	of   map[direction]map[netip.Addr][]string // chains of policies by pod
	errs []error
}

func (c *compiler) policy(p *networkingv1.NetworkPolicy) {
	fail := func(err error) { c.errs = append(c.errs, fmt.Errorf("policy %s/%s: %w", p.Namespace, p.Name, err)) }
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil {
		fail(err)
		return
	}
	var selected []Pod
	for _, pod := range c.Pods {
		if pod.Namespace == p.Namespace && selector.Matches(pod.Labels) {
			selected = append(selected, pod)
		}
	}
	if len(selected) == 0 {
		return
	}
	for _, t := range policyTypes(p) {
		d, rules, targets := ingress, ingressRules(p), selected
		if t == networkingv1.PolicyTypeEgress {
			d, rules, targets = egress, egressRules(p), c.Pods
		}
		chain := chainName(d.name, p.Namespace+"/"+p.Name)
		var lines []string
		for _, r := range rules {
			matches, err := c.rule(p.Namespace, d, r, targets)
			if err != nil {
				fail(err)
			}
			lines = append(lines, matches...)
		}
		c.out.Policies[chain] = lines
		for _, pod := range selected {
			c.of[d][pod.IP] = append(c.of[d][pod.IP], chain)
		}
	}
}

func policyTypes(p *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	if len(p.Spec.PolicyTypes) > 0 {
		return p.Spec.PolicyTypes
	}
	if len(p.Spec.Egress) > 0 {
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
}

func ingressRules(p *networkingv1.NetworkPolicy) []rule {
	out := make([]rule, 0, len(p.Spec.Ingress))
	for _, r := range p.Spec.Ingress {
		out = append(out, rule{r.From, r.Ports})
	}
	return out
}

func egressRules(p *networkingv1.NetworkPolicy) []rule {
	out := make([]rule, 0, len(p.Spec.Egress))
	for _, r := range p.Spec.Egress {
		out = append(out, rule{r.To, r.Ports})
	}
	return out
}

// isolate gives pods with the same policies the same chain.
func (c *compiler) isolate(d direction, to map[netip.Addr]string) {
	for ip, chains := range c.of[d] {
		slices.Sort(chains)
		set := chainName(d.name+"-set", strings.Join(chains, " "))
		c.out.Sets[set] = chains
		to[ip] = set
	}
}

// rule is every combination of a peer and a port, each one match.
func (c *compiler) rule(namespace string, d direction, r rule, targets []Pod) ([]string, error) {
	peers, err := c.peers(namespace, d, r.peers)
	if err != nil {
		return nil, err
	}
	ports := ports(r.ports, targets)
	var out []string
	for _, peer := range peers {
		for _, port := range ports {
			out = append(out, strings.TrimSpace(peer+" "+port))
		}
	}
	return out, nil
}

// peers are matches of the other side; no peers at all mean everybody.
func (c *compiler) peers(namespace string, d direction, peers []networkingv1.NetworkPolicyPeer) ([]string, error) {
	if len(peers) == 0 {
		return []string{""}, nil
	}
	var out []string
	var pods []netip.Addr
	for _, p := range peers {
		if p.IPBlock != nil {
			match, err := block(d, p.IPBlock)
			if err != nil {
				return nil, err
			}
			if match != "" {
				out = append(out, match)
			}
			continue
		}
		more, err := c.selected(namespace, p)
		if err != nil {
			return nil, err
		}
		pods = append(pods, more...)
	}
	if len(pods) > 0 {
		slices.SortFunc(pods, netip.Addr.Compare)
		out = append(out, d.peer+" "+set(slices.Compact(pods)))
	}
	return out, nil
}

// selected are the addresses of pods that a peer selects.
func (c *compiler) selected(namespace string, p networkingv1.NetworkPolicyPeer) ([]netip.Addr, error) {
	pods, err := selector(p.PodSelector)
	if err != nil {
		return nil, err
	}
	namespaces, err := selector(p.NamespaceSelector)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, pod := range c.Pods {
		in := pod.Namespace == namespace
		if p.NamespaceSelector != nil {
			set, known := c.Namespaces[pod.Namespace]
			in = known && namespaces.Matches(set)
		}
		if in && pods.Matches(pod.Labels) {
			out = append(out, pod.IP)
		}
	}
	return out, nil
}

// selector of all where none is given.
func selector(s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil {
		return labels.Everything(), nil
	}
	return metav1.LabelSelectorAsSelector(s)
}

// block matches a range; "" for one of IPv6, which no packet has here.
func block(d direction, b *networkingv1.IPBlock) (string, error) {
	cidr, err := prefix(b.CIDR)
	if err != nil || !cidr.Addr().Is4() {
		return "", err
	}
	match := d.peer + " " + cidr.String()
	var except []netip.Prefix
	for _, e := range b.Except {
		p, err := prefix(e)
		if err != nil {
			return "", err
		}
		except = append(except, p)
	}
	for _, p := range withoutInner(except) {
		match += " " + d.peer + " != " + p.String()
	}
	return match, nil
}

func prefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// withoutInner sorts and drops ranges that lie in others.
func withoutInner(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	var out []netip.Prefix
	for _, p := range list {
		if p.Addr().Is4() && !slices.ContainsFunc(out, func(o netip.Prefix) bool { return o.Overlaps(p) }) {
			out = append(out, p)
		}
	}
	return out
}

// ports are matches of the destination's port; no ports at all mean every one of every protocol.
func ports(list []networkingv1.NetworkPolicyPort, targets []Pod) []string {
	if len(list) == 0 {
		return []string{""}
	}
	var out []string
	for _, p := range list {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		word := strings.ToLower(string(protocol))
		switch {
		case p.Port == nil:
			out = append(out, "meta l4proto "+word)
		case p.Port.Type == intstr.String:
			if at := named(p.Port.StrVal, protocol, targets); len(at) > 0 {
				out = append(out, fmt.Sprintf("ip daddr . %s dport %s", word, set(at)))
			}
		case p.EndPort != nil && *p.EndPort > p.Port.IntVal:
			out = append(out, fmt.Sprintf("%s dport %d-%d", word, p.Port.IntVal, *p.EndPort))
		default:
			out = append(out, fmt.Sprintf("%s dport %d", word, p.Port.IntVal))
		}
	}
	return out
}

// named are the addresses and numbers of a port with a name.
func named(name string, protocol corev1.Protocol, targets []Pod) []string {
	var out []string
	for _, pod := range targets {
		for _, p := range pod.Ports {
			if p.Name == name && p.Protocol == protocol {
				out = append(out, pod.IP.String()+" . "+strconv.Itoa(int(p.Number)))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
