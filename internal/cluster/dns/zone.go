package dns

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

const (
	// specVersion is the version of the DNS specification that is answered at dns-version.
	specVersion = "1.1.0"
	// ttl is short, because addresses change when pods do.
	ttl    = 5
	weight = 100
	// maxAliases bounds Services of type ExternalName that point at each other.
	maxAliases = 8
)

// Source is what the zone is made of.
type Source interface {
	Namespace(name string) bool
	// Service is nil if there is none.
	Service(namespace, name string) *corev1.Service
	Endpoints(namespace, service string) []*discoveryv1.EndpointSlice
	// ServicesAt and EndpointsAt look up by address.
	ServicesAt(address string) []*corev1.Service
	EndpointsAt(address string) []*discoveryv1.EndpointSlice
}

// Zone answers for one cluster domain. It is a pure function of its source.
type Zone struct {
	domain string // canonical
	server netip.Addr
	source Source
}

// NewZone answers names below domain; server is the address of the name server itself.
func NewZone(domain string, server netip.Addr, source Source) *Zone {
	return &Zone{domain: canonical(domain), server: server, source: source}
}

// Answer is what a zone knows of a question.
type Answer struct {
	Rcode  int
	Answer []dns.RR
	Extra  []dns.RR
	// Alias is where the answer goes on outside of the zone.
	Alias string
}

// Resolve answers a question; ok is false if it is not for this zone.
func (z *Zone) Resolve(q dns.Question) (a Answer, ok bool) {
	qname := canonical(q.Name)
	if rest, ok := z.below(qname); ok {
		return z.resolve(q, parseName(rest), 0), true
	}
	if q.Qtype == dns.TypePTR {
		if addr, ok := reverse(qname); ok {
			return z.pointers(q, addr.String())
		}
	}
	return Answer{}, false
}

// below tells what stands before the domain.
func (z *Zone) below(qname string) (rest string, ok bool) {
	if qname == z.domain {
		return "", true
	}
	rest, ok = strings.CutSuffix(qname, "."+z.domain)
	return rest, ok
}

var (
	noName = Answer{Rcode: dns.RcodeNameError}
	noData = Answer{}
)

func (z *Zone) resolve(q dns.Question, n name, aliases int) Answer {
	switch n.kind {
	case kindApex:
		return z.apex(q)
	case kindEmpty:
		return noData
	case kindVersion:
		if q.Qtype != dns.TypeTXT {
			return noData
		}
		return Answer{Answer: []dns.RR{&dns.TXT{Hdr: header(q.Name, dns.TypeTXT), Txt: []string{specVersion}}}}
	case kindServer:
		return addresses(q, []netip.Addr{z.server})
	case kindNamespace:
		if !z.source.Namespace(n.namespace) {
			return noName
		}
		return noData
	case kindPod:
		if !z.source.Namespace(n.namespace) {
			return noName
		}
		return addresses(q, []netip.Addr{n.address})
	case kindService, kindHost, kindProtocol, kindPort:
		return z.service(q, n, aliases)
	case kindNone:
	}
	return noName
}

func (z *Zone) apex(q dns.Question) Answer {
	switch q.Qtype {
	case dns.TypeSOA:
		return Answer{Answer: []dns.RR{z.SOA()}}
	case dns.TypeNS:
		ns := "ns.dns." + z.domain
		return Answer{
			Answer: []dns.RR{&dns.NS{Hdr: header(q.Name, dns.TypeNS), Ns: ns}},
			Extra:  addressRecords(ns, dns.TypeA, []netip.Addr{z.server}),
		}
	}
	return noData
}

// SOA is the record that stands beside negative answers.
func (z *Zone) SOA() dns.RR {
	return &dns.SOA{
		Hdr: header(z.domain, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}

func (z *Zone) service(q dns.Question, n name, aliases int) Answer {
	svc := z.source.Service(n.namespace, n.service)
	switch {
	case svc == nil:
		return noName
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		if n.kind != kindService {
			return noName
		}
		return z.alias(q, canonical(svc.Spec.ExternalName), aliases)
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		return z.headless(q, n, svc)
	}
	return z.clusterIP(q, n, svc)
}

// alias follows an ExternalName within the zone; outside of it the caller goes on.
func (z *Zone) alias(q dns.Question, target string, aliases int) Answer {
	out := Answer{Answer: []dns.RR{&dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME), Target: target}}}
	if q.Qtype == dns.TypeCNAME {
		return out
	}
	rest, inside := z.below(target)
	if !inside {
		out.Alias = target
		return out
	}
	if aliases == maxAliases {
		return Answer{Rcode: dns.RcodeServerFailure}
	}
	next := z.resolve(dns.Question{Name: target, Qtype: q.Qtype, Qclass: q.Qclass}, parseName(rest), aliases+1)
	if next.Rcode != dns.RcodeServerFailure {
		next.Answer = append(out.Answer, next.Answer...)
	}
	return next
}

func (z *Zone) clusterIP(q dns.Question, n name, svc *corev1.Service) Answer {
	ips := clusterIPs(svc)
	if len(ips) == 0 {
		return noName // not allocated yet
	}
	switch n.kind {
	case kindService:
		return addresses(q, ips)
	case kindProtocol:
		return found(slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
			return p.Name != "" && sameProtocol(p.Protocol, n.protocol)
		}))
	case kindPort:
		for _, p := range svc.Spec.Ports {
			if p.Name == n.port && sameProtocol(p.Protocol, n.protocol) {
				return z.servers(q, []target{{host: z.nameOf(svc), port: uint16(p.Port), ips: ips}})
			}
		}
	default: // a Service with an address has no hosts
	}
	return noName
}

// endpoint is one address behind a headless Service.
type endpoint struct {
	ip    netip.Addr
	host  string
	ports []discoveryv1.EndpointPort
}

func (z *Zone) headless(q dns.Question, n name, svc *corev1.Service) Answer {
	all := endpoints(svc, z.source.Endpoints(svc.Namespace, svc.Name))
	if n.kind == kindProtocol || n.kind == kindPort {
		return z.headlessPorts(q, n, z.nameOf(svc), all)
	}
	var ips []netip.Addr
	for _, e := range all {
		if n.kind == kindService || e.host == n.host {
			ips = append(ips, e.ip)
		}
	}
	if len(ips) == 0 {
		return noName
	}
	rand.Shuffle(len(ips), func(i, j int) { ips[i], ips[j] = ips[j], ips[i] })
	return addresses(q, ips)
}

func (z *Zone) headlessPorts(q dns.Question, n name, owner string, all []endpoint) Answer {
	var targets []target
	exists := false
	for _, e := range all {
		for _, p := range e.ports {
			if p.Name == nil || *p.Name == "" || p.Port == nil || p.Protocol == nil || !sameProtocol(*p.Protocol, n.protocol) {
				continue
			}
			exists = true
			if *p.Name == n.port {
				targets = append(targets, target{host: e.host + "." + owner, port: uint16(*p.Port), ips: []netip.Addr{e.ip}})
			}
		}
	}
	switch {
	case n.kind == kindProtocol:
		return found(exists)
	case len(targets) == 0:
		return noName
	}
	return z.servers(q, targets)
}

func found(exists bool) Answer {
	if exists {
		return noData
	}
	return noName
}

// endpoints are the ready ones, each address once.
func endpoints(svc *corev1.Service, list []*discoveryv1.EndpointSlice) []endpoint {
	var out []endpoint
	for _, s := range list {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if ready := e.Conditions.Ready; ready != nil && !*ready && !svc.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, a := range e.Addresses {
				ip, err := netip.ParseAddr(a)
				if err != nil {
					continue // slices of FQDNs
				}
				out = merge(out, endpoint{ip, hostOf(e, a), s.Ports})
			}
		}
	}
	return out
}

// merge joins what stands in several slices because ports differ between pods.
func merge(list []endpoint, e endpoint) []endpoint {
	for i := range list {
		if list[i].ip == e.ip && list[i].host == e.host {
			list[i].ports = append(slices.Clip(list[i].ports), e.ports...)
			return list
		}
	}
	return append(list, e)
}

func hostOf(e *discoveryv1.Endpoint, address string) string {
	if e.Hostname != nil && *e.Hostname != "" {
		return strings.ToLower(*e.Hostname)
	}
	return dash(address)
}

// target is one answer to a question for servers.
type target struct {
	host string
	port uint16
	ips  []netip.Addr
}

func (z *Zone) servers(q dns.Question, targets []target) Answer {
	if q.Qtype != dns.TypeSRV {
		return noData
	}
	var out Answer
	for _, t := range targets {
		out.Answer = append(out.Answer, &dns.SRV{Hdr: header(q.Name, dns.TypeSRV), Weight: weight, Port: t.port, Target: t.host})
		out.Extra = append(out.Extra, addressRecords(t.host, dns.TypeA, t.ips)...)
		out.Extra = append(out.Extra, addressRecords(t.host, dns.TypeAAAA, t.ips)...)
	}
	return out
}

// pointers answers which Service, or which host of a headless one, has an address.
func (z *Zone) pointers(q dns.Question, address string) (Answer, bool) {
	var names []string
	for _, svc := range z.source.ServicesAt(address) {
		names = append(names, z.nameOf(svc))
	}
	for _, s := range z.source.EndpointsAt(address) {
		svc := z.source.Service(s.Namespace, s.Labels[discoveryv1.LabelServiceName])
		if svc == nil || svc.Spec.ClusterIP != corev1.ClusterIPNone {
			continue
		}
		for _, e := range endpoints(svc, []*discoveryv1.EndpointSlice{s}) {
			if e.ip.String() == address {
				names = append(names, e.host+"."+z.nameOf(svc))
			}
		}
	}
	var out Answer
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		out.Answer = append(out.Answer, &dns.PTR{Hdr: header(q.Name, dns.TypePTR), Ptr: n})
	}
	return out, len(names) > 0
}

func (z *Zone) nameOf(svc *corev1.Service) string {
	return svc.Name + "." + svc.Namespace + ".svc." + z.domain
}

func clusterIPs(svc *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, s := range svc.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a)
		}
	}
	return out
}

func sameProtocol(p corev1.Protocol, label string) bool { return strings.EqualFold(string(p), label) }

// addresses answers A and AAAA; the name exists for other types, too.
func addresses(q dns.Question, ips []netip.Addr) Answer {
	return Answer{Answer: addressRecords(q.Name, q.Qtype, ips)}
}

func addressRecords(owner string, qtype uint16, ips []netip.Addr) []dns.RR {
	var out []dns.RR
	for _, ip := range ips {
		switch {
		case qtype == dns.TypeA && ip.Is4():
			out = append(out, &dns.A{Hdr: header(owner, dns.TypeA), A: net.IP(ip.AsSlice())})
		case qtype == dns.TypeAAAA && ip.Is6():
			out = append(out, &dns.AAAA{Hdr: header(owner, dns.TypeAAAA), AAAA: net.IP(ip.AsSlice())})
		}
	}
	return out
}

func header(owner string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}
