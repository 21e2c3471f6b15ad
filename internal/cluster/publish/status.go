package publish

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionPublished tells whether all ports of a Service are open on the host.
const ConditionPublished = "kiwerk.dev/Published"

// localhost is where everything is published.
const localhost = "127.0.0.1"

// outcome is what came of a plan.
type outcome struct {
	opened []binding
	failed map[port]problem
}

// status is the part of a Service's status that is ours.
type status struct {
	ingress   []corev1.LoadBalancerIngress
	condition *metav1.Condition
}

// statusOf is pure; an empty outcome has an empty status.
func statusOf(svc *corev1.Service, o outcome, now metav1.Time) status {
	if len(o.opened)+len(o.failed) == 0 {
		return status{}
	}
	var s status
	var open []string
	errs := map[port]string{}
	for p, why := range o.failed {
		errs[p] = why.reason
	}
	ingress := corev1.LoadBalancerIngress{IP: localhost, Hostname: "localhost"}
	// Not an address of the node: kube-proxy shall leave it alone.
	mode := corev1.LoadBalancerIPModeProxy
	ingress.IPMode = &mode
	for _, b := range o.opened {
		open = append(open, b.String())
		if b.balancer {
			ingress.Ports = append(ingress.Ports, corev1.PortStatus{Port: b.number, Protocol: b.protocol})
		}
	}
	if len(ingress.Ports) > 0 {
		for _, sp := range svc.Spec.Ports {
			if reason, failed := errs[port{sp.Protocol, sp.Port}]; failed {
				ingress.Ports = append(ingress.Ports, corev1.PortStatus{Port: sp.Port, Protocol: sp.Protocol, Error: &reason})
			}
		}
		s.ingress = []corev1.LoadBalancerIngress{ingress}
	}
	slices.Sort(open)
	s.condition = &metav1.Condition{
		Type: ConditionPublished, Status: metav1.ConditionTrue, Reason: reasonPublished, LastTransitionTime: now,
		Message: "Open on " + localhost + ": " + strings.Join(open, ", "),
	}
	if len(o.failed) > 0 {
		s.condition.Status, s.condition.Reason, s.condition.Message = metav1.ConditionFalse, "", describe(o.failed)
		for _, p := range sortedPorts(o.failed) {
			s.condition.Reason = cmp.Or(s.condition.Reason, o.failed[p].reason)
		}
	}
	for _, old := range svc.Status.Conditions {
		if old.Type == ConditionPublished && old.Status == s.condition.Status {
			s.condition.LastTransitionTime = old.LastTransitionTime
		}
	}
	return s
}

// describe is stable, because it stands in a condition.
func describe(failed map[port]problem) string {
	var out []string
	for _, p := range sortedPorts(failed) {
		out = append(out, fmt.Sprintf("%s is not published: %s", p, failed[p].message))
	}
	return strings.Join(out, "; ")
}

func sortedPorts(m map[port]problem) []port {
	return slices.SortedFunc(maps.Keys(m), func(a, b port) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.protocol, b.protocol))
	})
}

// equal tells whether the Service says so already.
func (s status) equal(svc *corev1.Service) bool {
	var have *metav1.Condition
	for i := range svc.Status.Conditions {
		if svc.Status.Conditions[i].Type == ConditionPublished {
			have = &svc.Status.Conditions[i]
		}
	}
	if have == nil || s.condition == nil {
		return have == nil && s.condition == nil
	}
	return have.Status == s.condition.Status && have.Reason == s.condition.Reason && have.Message == s.condition.Message &&
		slices.EqualFunc(s.ingress, svc.Status.LoadBalancer.Ingress, sameIngress)
}

func sameIngress(a, b corev1.LoadBalancerIngress) bool {
	return a.IP == b.IP && a.Hostname == b.Hostname && slices.EqualFunc(a.Ports, b.Ports, func(x, y corev1.PortStatus) bool {
		return x.Port == y.Port && x.Protocol == y.Protocol && (x.Error == nil) == (y.Error == nil) && (x.Error == nil || *x.Error == *y.Error)
	})
}
