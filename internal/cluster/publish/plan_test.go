package publish

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func service(kind corev1.ServiceType, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{Spec: corev1.ServiceSpec{
		Type: kind, ClusterIP: "10.96.0.7",
		Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}},
	}}
	for _, f := range change {
		f(s)
	}
	return s
}

func TestPlanFor(t *testing.T) {
	class := func(c string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerClass = &c }
	}
	sources := func(r ...string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = r }
	}
	protocol := func(p corev1.Protocol) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.Ports[0].Protocol = p }
	}
	noNodePort := func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 0 }
	deleted := func(s *corev1.Service) { now := metav1.Now(); s.DeletionTimestamp = &now }
	const nodePort, balanced = "30080/tcp → 10.244.0.1:30080", "80/tcp → 10.244.0.1:30080 balanced"
	for title, c := range map[string]struct {
		svc     *corev1.Service
		want    []string
		refused map[string]string
	}{
		"ClusterIP":      {svc: service(corev1.ServiceTypeClusterIP)},
		"NodePort":       {svc: service(corev1.ServiceTypeNodePort), want: []string{nodePort}},
		"LoadBalancer":   {svc: service(corev1.ServiceTypeLoadBalancer), want: []string{nodePort, balanced}},
		"OurClass":       {svc: service(corev1.ServiceTypeLoadBalancer, class(Class)), want: []string{nodePort, balanced}},
		"OtherClass":     {svc: service(corev1.ServiceTypeLoadBalancer, class("other.io/lb")), want: []string{nodePort}},
		"NoNodePort":     {svc: service(corev1.ServiceTypeLoadBalancer, noNodePort), want: []string{"80/tcp → 10.96.0.7:80 balanced"}},
		"Sources":        {svc: service(corev1.ServiceTypeLoadBalancer, sources("192.0.2.0/24", " 127.0.0.0/8")), want: []string{nodePort, balanced}},
		"SourcesWithout": {svc: service(corev1.ServiceTypeLoadBalancer, sources("192.0.2.0/24")), want: []string{nodePort}, refused: map[string]string{"80/tcp": reasonSourceRanges}},
		"UDP":            {svc: service(corev1.ServiceTypeNodePort, protocol(corev1.ProtocolUDP)), want: []string{"30080/udp → 10.244.0.1:30080"}},
		"SCTP":           {svc: service(corev1.ServiceTypeLoadBalancer, protocol(corev1.ProtocolSCTP)), refused: map[string]string{"80/sctp": reasonUnsupported}},
		"Deleted":        {svc: service(corev1.ServiceTypeLoadBalancer, deleted)},
	} {
		t.Run(title, func(t *testing.T) {
			p := planFor(c.svc, netip.MustParseAddr("10.244.0.1"))
			var got []string
			for _, b := range p.bindings {
				line := b.String() + " → " + b.target
				if b.balancer {
					line += " balanced"
				}
				got = append(got, line)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			refused := map[string]string{}
			for at, why := range p.refused {
				refused[at.String()] = why.reason
			}
			if d := cmp.Diff(append([]string{}, keys(c.refused)...), append([]string{}, keys(refused)...)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlanForPod(t *testing.T) {
	pod := func(phase corev1.PodPhase, ip string, ports ...corev1.ContainerPort) *corev1.Pod {
		return &corev1.Pod{
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Ports: ports}}},
			Status: corev1.PodStatus{Phase: phase, PodIP: ip},
		}
	}
	at := func(hostIP string, protocol corev1.Protocol, host int32) corev1.ContainerPort {
		return corev1.ContainerPort{HostIP: hostIP, Protocol: protocol, HostPort: host, ContainerPort: 8080}
	}
	const ip = "10.244.0.16"
	for title, c := range map[string]struct {
		pod  *corev1.Pod
		want []string
	}{
		"None":         {pod: pod(corev1.PodRunning, ip, at("", corev1.ProtocolTCP, 0))},
		"Any":          {pod(corev1.PodRunning, ip, at("", corev1.ProtocolTCP, 9000)), []string{"9000/tcp → 10.244.0.16:8080"}},
		"Unspecified":  {pod(corev1.PodPending, ip, at("0.0.0.0", corev1.ProtocolUDP, 9000)), []string{"9000/udp → 10.244.0.16:8080"}},
		"Loopback":     {pod(corev1.PodRunning, ip, at("127.0.0.1", corev1.ProtocolTCP, 9000)), []string{"9000/tcp → 10.244.0.16:8080"}},
		"OtherAddress": {pod: pod(corev1.PodRunning, ip, at("10.244.0.1", corev1.ProtocolTCP, 9000))},
		"Twice":        {pod(corev1.PodRunning, ip, at("", corev1.ProtocolTCP, 9000), at("127.0.0.1", corev1.ProtocolTCP, 9000)), []string{"9000/tcp → 10.244.0.16:8080"}},
		"SCTP":         {pod: pod(corev1.PodRunning, ip, at("", corev1.ProtocolSCTP, 9000))},
		"NoAddressYet": {pod: pod(corev1.PodPending, "", at("", corev1.ProtocolTCP, 9000))},
		"Simulated":    {pod: pod(corev1.PodRunning, "198.18.0.7", at("", corev1.ProtocolTCP, 9000))},
		"Ended":        {pod: pod(corev1.PodSucceeded, ip, at("", corev1.ProtocolTCP, 9000))},
		"Failed":       {pod: pod(corev1.PodFailed, ip, at("", corev1.ProtocolTCP, 9000))},
	} {
		var got []string
		for _, b := range planForPod(c.pod, netip.MustParsePrefix("10.244.0.0/16")).bindings {
			got = append(got, b.String()+" → "+b.target)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", title, d)
		}
	}
}

func keys(m map[string]string) (out []string) {
	for k, v := range m {
		out = append(out, k+" "+v)
	}
	return out
}

func TestStatusOf(t *testing.T) {
	then, now := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	svc := service(corev1.ServiceTypeLoadBalancer)
	p := planFor(svc, netip.MustParseAddr("10.244.0.1"))
	good := statusOf(svc, outcome{opened: p.bindings}, then)
	if good.condition.Status != metav1.ConditionTrue || good.condition.Message != "Open on 127.0.0.1: 30080/tcp, 80/tcp" {
		t.Errorf("all open: %+v", good.condition)
	}
	if len(good.ingress) != 1 || good.ingress[0].IP != "127.0.0.1" || *good.ingress[0].IPMode != corev1.LoadBalancerIPModeProxy || len(good.ingress[0].Ports) != 1 {
		t.Errorf("all open: %+v", good.ingress)
	}
	svc.Status.Conditions, svc.Status.LoadBalancer.Ingress = []metav1.Condition{*good.condition}, good.ingress
	if again := statusOf(svc, outcome{opened: p.bindings}, now); !again.equal(svc) || again.condition.LastTransitionTime != then {
		t.Errorf("the same again: %+v", again.condition)
	}
	taken := outcome{opened: p.bindings[:1], failed: map[port]problem{{corev1.ProtocolTCP, 80}: {reasonTaken, "another program has it"}}}
	bad := statusOf(svc, taken, now)
	if bad.equal(svc) || bad.condition.Status != metav1.ConditionFalse || bad.condition.Reason != reasonTaken || len(bad.ingress) != 0 || bad.condition.LastTransitionTime != now {
		t.Errorf("port taken: %+v", bad)
	}
	if none := statusOf(svc, outcome{}, now); none.equal(svc) || none.condition != nil {
		t.Errorf("no longer published: %+v", none)
	}
}
