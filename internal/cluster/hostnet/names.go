//go:build linux

package hostnet

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// ownTTL is how long an answer of the relay's own may be kept: the names and their addresses never change.
const ownTTL = 300

// ownAnswer answers a question about one of the relay's own names, and nothing else.
func ownAnswer(names map[string]netip.Addr, query []byte) ([]byte, bool) {
	var q dns.Msg
	if err := q.Unpack(query); err != nil || q.Response || q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		return nil, false
	}
	name := q.Question[0].Name
	ip, ok := names[strings.ToLower(strings.TrimSuffix(name, "."))]
	if !ok || q.Question[0].Qclass != dns.ClassINET {
		return nil, false
	}
	reply := (&dns.Msg{}).SetReply(&q)
	reply.RecursionAvailable = true
	if q.Question[0].Qtype == dns.TypeA { // of other types there is none
		reply.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ownTTL}, A: ip.AsSlice(),
		}}
	}
	answer, err := reply.Pack()
	return answer, err == nil
}
