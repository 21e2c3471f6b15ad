package dns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fixed is a source of a few objects.
type fixed struct {
	namespaces []string
	services   []*corev1.Service
	slices     []*discoveryv1.EndpointSlice
}

func (f *fixed) Namespace(n string) bool { return slices.Contains(f.namespaces, n) }

func (f *fixed) Service(ns, n string) *corev1.Service {
	for _, s := range f.services {
		if s.Namespace == ns && s.Name == n {
			return s
		}
	}
	return nil
}

func (f *fixed) Endpoints(ns, n string) (out []*discoveryv1.EndpointSlice) {
	for _, s := range f.slices {
		if s.Namespace == ns && s.Labels[discoveryv1.LabelServiceName] == n {
			out = append(out, s)
		}
	}
	return out
}

func (f *fixed) ServicesAt(a string) (out []*corev1.Service) {
	for _, s := range f.services {
		if slices.Contains(s.Spec.ClusterIPs, a) {
			out = append(out, s)
		}
	}
	return out
}

func (f *fixed) EndpointsAt(a string) (out []*discoveryv1.EndpointSlice) {
	for _, s := range f.slices {
		for _, e := range s.Endpoints {
			if slices.Contains(e.Addresses, a) {
				out = append(out, s)
			}
		}
	}
	return out
}

func service(name, ip string, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func external(name, target string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: target},
	}
}

func endpointSlice(service string, ports map[string]int32, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Endpoints:  endpoints,
	}
	for name, port := range ports {
		protocol := corev1.ProtocolTCP
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port, Protocol: &protocol})
	}
	return s
}

func at(ip, host string, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
	if host != "" {
		e.Hostname = &host
	}
	return e
}

func testZone() *Zone {
	https := func(s *corev1.Service) {
		s.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}, {Port: 80, Protocol: corev1.ProtocolTCP}}
	}
	early := func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }
	dual := func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"10.96.0.9", "fd00::9"} }
	return NewZone("cluster.local", netip.MustParseAddr("10.96.0.10"), &fixed{
		namespaces: []string{"ml"},
		services: []*corev1.Service{
			service("web", "10.96.0.7", https), service("dual", "10.96.0.9", dual), service("pending", ""),
			service("job", corev1.ClusterIPNone), service("early", corev1.ClusterIPNone, early), service("nobody", corev1.ClusterIPNone),
			external("out", "example.org"), external("in", "web.ml.svc.cluster.local"), external("loop", "loop.ml.svc.cluster.local"),
		},
		slices: []*discoveryv1.EndpointSlice{
			endpointSlice("job", map[string]int32{"peer": 29500},
				at("10.244.0.20", "job-0", true), at("10.244.0.21", "", true), at("10.244.0.22", "job-2", false)),
			endpointSlice("early", nil, at("10.244.0.30", "early-0", false)),
			endpointSlice("nobody", map[string]int32{"peer": 1}, at("10.244.0.40", "nobody-0", false)),
			endpointSlice("web", map[string]int32{"https": 8443}, at("10.244.0.50", "", true)),
		},
	})
}

func texts(rrs []dns.RR) []string {
	out := make([]string, 0, len(rrs))
	for _, rr := range rrs {
		out = append(out, strings.Join(strings.Fields(strings.TrimPrefix(rr.String(), rr.Header().Name)), " "))
	}
	slices.Sort(out)
	return out
}

func TestZone_Resolve(t *testing.T) {
	const zone = ".cluster.local."
	for title, c := range map[string]struct {
		name   string
		qtype  uint16
		rcode  int
		want   []string
		alias  string
		reason string
	}{
		"ClusterIP":        {name: "web.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.96.0.7"}},
		"AnyCase":          {name: "WeB.mL.svc.Cluster.LOCAL.", qtype: dns.TypeA, want: []string{"5 IN A 10.96.0.7"}},
		"NoIPv6":           {name: "web.ml.svc" + zone, qtype: dns.TypeAAAA, reason: "the name exists"},
		"DualStack":        {name: "dual.ml.svc" + zone, qtype: dns.TypeAAAA, want: []string{"5 IN AAAA fd00::9"}},
		"OtherType":        {name: "web.ml.svc" + zone, qtype: dns.TypeMX},
		"NoService":        {name: "none.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"NotAllocated":     {name: "pending.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"NamedPort":        {name: "_https._tcp.web.ml.svc" + zone, qtype: dns.TypeSRV, want: []string{"5 IN SRV 0 100 443 web.ml.svc.cluster.local."}},
		"NamedPortAddress": {name: "_https._tcp.web.ml.svc" + zone, qtype: dns.TypeA, reason: "the name exists"},
		"WrongProtocol":    {name: "_https._udp.web.ml.svc" + zone, qtype: dns.TypeSRV, rcode: dns.RcodeNameError},
		"UnnamedPort":      {name: "_._tcp.web.ml.svc" + zone, qtype: dns.TypeSRV, want: []string{"5 IN SRV 0 100 80 web.ml.svc.cluster.local."}},
		"AboveAPort":       {name: "_tcp.web.ml.svc" + zone, qtype: dns.TypeSRV, reason: "RFC 8020: a name below exists"},
		"AboveNoPort":      {name: "_udp.web.ml.svc" + zone, qtype: dns.TypeSRV, rcode: dns.RcodeNameError},
		"HostOfClusterIP":  {name: "web-0.web.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"Headless":         {name: "job.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.244.0.20", "5 IN A 10.244.0.21"}, reason: "ready ones only"},
		"Hostname":         {name: "job-0.job.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.244.0.20"}},
		"HostnameIPv6":     {name: "job-0.job.ml.svc" + zone, qtype: dns.TypeAAAA},
		"HostnameMadeUp":   {name: "10-244-0-21.job.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.244.0.21"}},
		"HostnameNotReady": {name: "job-2.job.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"HeadlessPort":     {name: "_peer._tcp.job.ml.svc" + zone, qtype: dns.TypeSRV, want: []string{"5 IN SRV 0 100 29500 10-244-0-21.job.ml.svc.cluster.local.", "5 IN SRV 0 100 29500 job-0.job.ml.svc.cluster.local."}},
		"HeadlessNoPort":   {name: "_none._tcp.job.ml.svc" + zone, qtype: dns.TypeSRV, rcode: dns.RcodeNameError},
		"HeadlessAbove":    {name: "_tcp.job.ml.svc" + zone, qtype: dns.TypeA},
		"NobodyReady":      {name: "nobody.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"PublishNotReady":  {name: "early-0.early.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.244.0.30"}},
		"External":         {name: "out.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN CNAME example.org."}, alias: "example.org."},
		"ExternalItself":   {name: "out.ml.svc" + zone, qtype: dns.TypeCNAME, want: []string{"5 IN CNAME example.org."}},
		"ExternalInside":   {name: "in.ml.svc" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.96.0.7", "5 IN CNAME web.ml.svc.cluster.local."}},
		"ExternalLoop":     {name: "loop.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeServerFailure},
		"ExternalHost":     {name: "x.out.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"Pod":              {name: "10-244-0-20.ml.pod" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.244.0.20"}},
		"PodIPv6":          {name: "fd00--1.ml.pod" + zone, qtype: dns.TypeAAAA, want: []string{"5 IN AAAA fd00::1"}},
		"PodNoNamespace":   {name: "10-244-0-20.none.pod" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"PodNoAddress":     {name: "web.ml.pod" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"Namespace":        {name: "ml.svc" + zone, qtype: dns.TypeA},
		"NoNamespace":      {name: "none.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"Svc":              {name: "svc" + zone, qtype: dns.TypeA},
		"Apex":             {name: "cluster.local.", qtype: dns.TypeNS, want: []string{"5 IN NS ns.dns.cluster.local."}},
		"ApexSOA":          {name: "cluster.local.", qtype: dns.TypeSOA, want: []string{"5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"}},
		"Server":           {name: "ns.dns" + zone, qtype: dns.TypeA, want: []string{"5 IN A 10.96.0.10"}},
		"Version":          {name: "dns-version" + zone, qtype: dns.TypeTXT, want: []string{`5 IN TXT "1.1.0"`}},
		"SearchPath":       {name: "pypi.org.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"SearchDomain":     {name: "pypi.org" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"TooDeep":          {name: "a.b.c.d.ml.svc" + zone, qtype: dns.TypeA, rcode: dns.RcodeNameError},
		"Pointer":          {name: "7.0.96.10.in-addr.arpa.", qtype: dns.TypePTR, want: []string{"5 IN PTR web.ml.svc.cluster.local."}},
		"PointerHost":      {name: "20.0.244.10.in-addr.arpa.", qtype: dns.TypePTR, want: []string{"5 IN PTR job-0.job.ml.svc.cluster.local."}},
		"PointerIPv6":      {name: "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", qtype: dns.TypePTR, want: []string{"5 IN PTR dual.ml.svc.cluster.local."}},
	} {
		t.Run(title, func(t *testing.T) {
			a, ours := testZone().Resolve(dns.Question{Name: c.name, Qtype: c.qtype, Qclass: dns.ClassINET})
			if !ours {
				t.Fatalf("%s was left to others", c.name)
			}
			if a.Rcode != c.rcode || a.Alias != c.alias {
				t.Errorf("%s and alias %q, want %s and %q (%s)", dns.RcodeToString[a.Rcode], a.Alias, dns.RcodeToString[c.rcode], c.alias, c.reason)
			}
			if d := cmp.Diff(append([]string{}, c.want...), texts(a.Answer)); d != "" {
				t.Errorf("answer (-want +got, %s):\n%s", c.reason, d)
			}
		})
	}
}

func TestZone_Resolve_leavesTheRestToOthers(t *testing.T) {
	for _, q := range []dns.Question{
		{Name: "example.org.", Qtype: dns.TypeA},
		{Name: "notcluster.local.", Qtype: dns.TypeA},
		{Name: "50.0.244.10.in-addr.arpa.", Qtype: dns.TypePTR}, // a pod of a Service that is not headless
		{Name: "1.1.1.1.in-addr.arpa.", Qtype: dns.TypePTR},
	} {
		if a, ours := testZone().Resolve(q); ours {
			t.Errorf("%s was answered with %v", q.Name, a)
		}
	}
}

func TestZone_Resolve_portsInSeveralSlices(t *testing.T) {
	// Pods whose named port has another number stand in a slice of their own.
	z := NewZone("cluster.local", netip.MustParseAddr("10.96.0.10"), &fixed{
		services: []*corev1.Service{service("job", corev1.ClusterIPNone)},
		slices: []*discoveryv1.EndpointSlice{
			endpointSlice("job", map[string]int32{"a": 1}, at("10.244.0.20", "job-0", true)),
			endpointSlice("job", map[string]int32{"b": 2}, at("10.244.0.20", "job-0", true)),
		},
	})
	for port, want := range map[string]string{"a": "5 IN SRV 0 100 1 job-0.job.ml.svc.cluster.local.", "b": "5 IN SRV 0 100 2 job-0.job.ml.svc.cluster.local."} {
		a, _ := z.Resolve(dns.Question{Name: "_" + port + "._tcp.job.ml.svc.cluster.local.", Qtype: dns.TypeSRV})
		if d := cmp.Diff([]string{want}, texts(a.Answer)); d != "" {
			t.Error(d)
		}
	}
	if a, _ := z.Resolve(dns.Question{Name: "job.ml.svc.cluster.local.", Qtype: dns.TypeA}); len(a.Answer) != 1 {
		t.Errorf("one pod is answered as %v", a.Answer)
	}
}
