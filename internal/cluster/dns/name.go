package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// kind is what a name below the zone may stand for.
type kind int

const (
	kindNone      kind = iota // no such name can exist
	kindApex                  // the zone itself
	kindEmpty                 // exists, but holds nothing: svc, pod, dns
	kindVersion               // dns-version
	kindServer                // ns.dns, the name of the server
	kindNamespace             // ns.svc, ns.pod
	kindService               // svc.ns.svc
	kindHost                  // host.svc.ns.svc
	kindProtocol              // _proto.svc.ns.svc
	kindPort                  // _port._proto.svc.ns.svc
	kindPod                   // 1-2-3-4.ns.pod
)

// name is a name below the zone, taken apart.
type name struct {
	kind
	namespace, service string
	host               string     // kindHost
	port, protocol     string     // kindPort, kindProtocol; without underscores
	address            netip.Addr // kindPod
}

// parseName takes apart what stands before the zone. rest is in lower case and without the final dot.
func parseName(rest string) name {
	if rest == "" {
		return name{kind: kindApex}
	}
	labels := strings.Split(rest, ".")
	last := len(labels) - 1
	switch labels[last] {
	case "svc":
		return parseService(labels[:last])
	case "pod":
		return parsePod(labels[:last])
	case "dns":
		switch {
		case len(labels) == 1:
			return name{kind: kindEmpty}
		case len(labels) == 2 && labels[0] == "ns":
			return name{kind: kindServer}
		}
	case "dns-version":
		if len(labels) == 1 {
			return name{kind: kindVersion}
		}
	}
	return name{}
}

func parseService(labels []string) name {
	n := len(labels)
	if n == 0 {
		return name{kind: kindEmpty}
	}
	out := name{kind: kindNamespace, namespace: labels[n-1]}
	if n == 1 {
		return out
	}
	out.kind, out.service = kindService, labels[n-2]
	switch {
	case n == 2:
		return out
	case n == 3 && strings.HasPrefix(labels[0], "_"):
		out.kind, out.protocol = kindProtocol, labels[0][1:]
		return out
	case n == 3:
		out.kind, out.host = kindHost, labels[0]
		return out
	case n == 4 && strings.HasPrefix(labels[0], "_") && strings.HasPrefix(labels[1], "_"):
		out.kind, out.port, out.protocol = kindPort, labels[0][1:], labels[1][1:]
		return out
	}
	return name{}
}

func parsePod(labels []string) name {
	switch len(labels) {
	case 0:
		return name{kind: kindEmpty}
	case 1:
		return name{kind: kindNamespace, namespace: labels[0]}
	case 2:
		if a, ok := undash(labels[0]); ok {
			return name{kind: kindPod, namespace: labels[1], address: a}
		}
	}
	return name{}
}

// dash writes an address as one label.
func dash(address string) string { return strings.NewReplacer(".", "-", ":", "-").Replace(address) }

// undash reads an address that was written as one label.
func undash(label string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ".")); err == nil {
		return a, true
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ":"))
	return a, err == nil
}

const (
	suffixIPv4 = ".in-addr.arpa."
	suffixIPv6 = ".ip6.arpa."
)

// reverse reads the address in a name of in-addr.arpa or ip6.arpa.
func reverse(qname string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(qname, suffixIPv4); ok {
		labels := strings.Split(rest, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
		return a, err == nil
	}
	rest, ok := strings.CutSuffix(qname, suffixIPv6)
	if !ok || len(rest) != 63 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		at := len(rest) - 1 - 2*i
		digit, err := strconv.ParseUint(rest[at:at+1], 16, 4)
		if err != nil || at > 0 && rest[at-1] != '.' {
			return netip.Addr{}, false
		}
		b[i/2] = b[i/2]<<4 | byte(digit)
	}
	return netip.AddrFrom16(b), true
}

// canonical is a name as it is compared.
func canonical(s string) string { return strings.ToLower(dns.Fqdn(s)) }
