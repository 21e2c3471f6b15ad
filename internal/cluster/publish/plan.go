package publish

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Class is the load balancer class of this controller; Services without a class are served, too.
const Class = "kiwerk.dev/localhost"

// Reasons of the condition, and of problems of single ports.
const (
	reasonPublished    = "Published"
	reasonTaken        = "PortTaken"
	reasonForbidden    = "PortForbidden"
	reasonUnsupported  = "ProtocolNotSupported"
	reasonSourceRanges = "SourceRangesExcludeThisMachine"
	reasonFailed       = "PortFailed"
)

// port is one of the host's.
type port struct {
	protocol corev1.Protocol
	number   int32
}

func (p port) String() string {
	return fmt.Sprintf("%d/%s", p.number, strings.ToLower(string(p.protocol)))
}

// binding leads a port of the host to an address in the node's network.
type binding struct {
	port
	target string
	// balancer tells a load balancer's port from a node port.
	balancer bool
}

// problem is why a port is not published.
type problem struct{ reason, message string }

// plan is what a Service wants on the host.
type plan struct {
	bindings []binding
	// refused are ports of the load balancer that cannot be had.
	refused map[port]problem
}

// planFor is pure. A Service that publishes nothing has an empty plan.
func planFor(svc *corev1.Service, node netip.Addr) plan {
	p := plan{refused: map[port]problem{}}
	balanced := balances(svc)
	if svc.DeletionTimestamp != nil && len(svc.Finalizers) == 0 || !balanced && svc.Spec.Type != corev1.ServiceTypeNodePort && svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return p
	}
	open := !balanced || sourcesInclude(svc.Spec.LoadBalancerSourceRanges, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	for _, sp := range svc.Spec.Ports {
		target := join(svc.Spec.ClusterIP, sp.Port)
		if sp.NodePort > 0 {
			target = join(node.String(), sp.NodePort)
		}
		p.add(port{sp.Protocol, sp.NodePort}, target, false)
		switch {
		case !balanced:
		case !open:
			p.refused[port{sp.Protocol, sp.Port}] = problem{reasonSourceRanges, "spec.loadBalancerSourceRanges leaves out 127.0.0.1, the only address that can connect; add 127.0.0.1/32"}
		default:
			p.add(port{sp.Protocol, sp.Port}, target, true)
		}
	}
	return p
}

// planForPod is pure. A pod publishes its host ports from when it has an
// address until its containers have ended, wherever hostIP does not name
// another address than this machine's loopback. The addresses of simulated pods
// are not among pods: they lead nowhere.
func planForPod(pod *corev1.Pod, pods netip.Prefix) plan {
	p := plan{refused: map[port]problem{}}
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || !pods.Contains(ip) || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return p
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for _, cp := range list[i].Ports {
				at := port{cp.Protocol, cp.HostPort}
				if onLoopback(cp.HostIP) && !p.has(at) {
					p.add(at, join(pod.Status.PodIP, cp.ContainerPort), false)
				}
			}
		}
	}
	return p
}

// onLoopback tells whether a hostIP means this machine's 127.0.0.1, too.
func onLoopback(hostIP string) bool {
	a, err := netip.ParseAddr(hostIP)
	return err != nil || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func (p *plan) has(at port) bool {
	return slices.ContainsFunc(p.bindings, func(b binding) bool { return b.port == at })
}

func (p *plan) add(at port, target string, balancer bool) {
	switch {
	case at.number == 0: // no node port, no host port
	case at.protocol == corev1.ProtocolTCP || at.protocol == corev1.ProtocolUDP:
		p.bindings = append(p.bindings, binding{at, target, balancer})
	case balancer:
		p.refused[at] = problem{reasonUnsupported, string(at.protocol) + " is reachable inside the cluster only"}
	}
}

// balances tells whether the Service is a load balancer of ours.
func balances(svc *corev1.Service) bool {
	class := svc.Spec.LoadBalancerClass
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && (class == nil || *class == Class)
}

func sourcesInclude(ranges []string, a netip.Addr) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(s string) bool {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		return err == nil && p.Contains(a)
	})
}

func join(host string, number int32) string { return host + ":" + strconv.Itoa(int(number)) }
