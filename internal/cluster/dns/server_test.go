package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// upstream is a real name server of the test.
func upstream(t *testing.T, h dns.HandlerFunc) string {
	t.Helper()
	udp, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", kwtest.FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	t.Cleanup(done.Wait)
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		done.Go(func() { _ = s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return udp.LocalAddr().String()
}

func answerWith(records ...string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := (&dns.Msg{}).SetReply(q)
		for _, r := range records {
			rr, err := dns.NewRR(r)
			if err != nil {
				m.Rcode = dns.RcodeFormatError
			}
			m.Answer = append(m.Answer, rr)
		}
		if _, overTCP := w.RemoteAddr().(*net.TCPAddr); !overTCP {
			m.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(m)
	}
}

func startServer(t *testing.T, z *Zone, upstreams ...string) *Server {
	t.Helper()
	s := New(Config{
		Address: netip.MustParseAddr("127.0.0.1"), Zone: z, Logger: slog.New(slog.DiscardHandler),
		Forward: &Forwarder{Upstreams: func() []string { return upstreams }, Clock: clocktesting.NewFakePassiveClock(time.Unix(1, 0))},
	})
	s.port = uint16(kwtest.FreePort(t))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, s *Server, network, name string, qtype uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := (&dns.Msg{}).SetQuestion(name, qtype)
	for _, f := range change {
		f(q)
	}
	m, _, err := (&dns.Client{Net: network, Timeout: time.Minute, UDPSize: 4096}).Exchange(q, s.Addr().String())
	if err != nil {
		t.Fatalf("%s %s: %v", network, name, err)
	}
	m.Compress = true // as it came
	return m
}

func TestServer_answers(t *testing.T) {
	s := startServer(t, testZone(), upstream(t, answerWith("example.org. 60 IN A 192.0.2.7")))
	for _, network := range []string{"udp", "tcp"} {
		for name, c := range map[string]struct {
			rcode, answers int
			soa            bool
		}{
			"web.ml.svc.cluster.local.":  {dns.RcodeSuccess, 1, false},
			"none.ml.svc.cluster.local.": {dns.RcodeNameError, 0, true},
			"ml.svc.cluster.local.":      {dns.RcodeSuccess, 0, true},
			"out.ml.svc.cluster.local.":  {dns.RcodeSuccess, 2, false},
			"example.org.":               {dns.RcodeSuccess, 1, false},
		} {
			m := ask(t, s, network, name, dns.TypeA)
			soa := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == dns.TypeSOA
			if m.Rcode != c.rcode || len(m.Answer) != c.answers || soa != c.soa {
				t.Errorf("%s %s: %v", network, name, m)
			}
			if ours := strings.HasSuffix(name, "cluster.local."); m.Authoritative != ours || !m.RecursionAvailable {
				t.Errorf("%s %s: aa=%v ra=%v", network, name, m.Authoritative, m.RecursionAvailable)
			}
		}
	}
}

func TestServer_refuses(t *testing.T) {
	s := startServer(t, testZone())
	class := func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }
	version := func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }
	update := func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }
	alone := func(m *dns.Msg) { m.RecursionDesired = false }
	for title, c := range map[string]struct {
		name   string
		qtype  uint16
		change func(*dns.Msg)
		want   int
	}{
		"Chaos":       {"version.bind.", dns.TypeTXT, class, dns.RcodeRefused},
		"EDNSVersion": {"web.ml.svc.cluster.local.", dns.TypeA, version, dns.RcodeBadVers},
		"Opcode":      {"web.ml.svc.cluster.local.", dns.TypeA, update, dns.RcodeNotImplemented},
		"Any":         {"web.ml.svc.cluster.local.", dns.TypeANY, func(*dns.Msg) {}, dns.RcodeNotImplemented},
		"NoRecursion": {"example.org.", dns.TypeA, alone, dns.RcodeRefused},
		"NoUpstream":  {"example.org.", dns.TypeA, func(*dns.Msg) {}, dns.RcodeServerFailure},
		"NoAlias":     {"out.ml.svc.cluster.local.", dns.TypeA, func(*dns.Msg) {}, dns.RcodeServerFailure},
	} {
		t.Run(title, func(t *testing.T) {
			if m := ask(t, s, "tcp", c.name, c.qtype, c.change); m.Rcode != c.want {
				t.Errorf("got %s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[c.want])
			}
		})
	}
}

func TestServer_truncates(t *testing.T) {
	var many []discoveryv1.Endpoint
	for i := range 100 {
		many = append(many, at(fmt.Sprintf("10.244.1.%d", i), "", true))
	}
	s := startServer(t, NewZone("cluster.local", netip.MustParseAddr("10.96.0.10"), &fixed{
		services: []*corev1.Service{service("many", corev1.ClusterIPNone)},
		slices:   []*discoveryv1.EndpointSlice{endpointSlice("many", nil, many...)},
	}))
	const name = "many.ml.svc.cluster.local."
	if m := ask(t, s, "udp", name, dns.TypeA); !m.Truncated || m.Len() > dns.MinMsgSize {
		t.Errorf("without EDNS: tc=%v, %d bytes", m.Truncated, m.Len())
	}
	large := func(m *dns.Msg) { m.SetEdns0(4096, false) }
	if m := ask(t, s, "udp", name, dns.TypeA, large); !m.Truncated || m.Len() > bufferSize || m.IsEdns0() == nil {
		t.Errorf("with EDNS: tc=%v, %d bytes", m.Truncated, m.Len())
	}
	if m := ask(t, s, "tcp", name, dns.TypeA); m.Truncated || len(m.Answer) != 100 {
		t.Errorf("with TCP: tc=%v, %d answers", m.Truncated, len(m.Answer))
	}
}

func TestForwarder_takesTheNextUpstream(t *testing.T) {
	broken := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg((&dns.Msg{}).SetRcode(q, dns.RcodeServerFailure))
	})
	good := upstream(t, answerWith("example.org. 60 IN A 192.0.2.7"))
	s := startServer(t, testZone(), broken, good)
	if m := ask(t, s, "udp", "example.org.", dns.TypeA); len(m.Answer) != 1 {
		t.Error(m)
	}
}

func TestForwarder_takesTCPForLongAnswers(t *testing.T) {
	var records []string
	for i := range 100 {
		records = append(records, fmt.Sprintf("example.org. 60 IN A 192.0.2.%d", i))
	}
	s := startServer(t, testZone(), upstream(t, answerWith(records...)))
	if m := ask(t, s, "tcp", "example.org.", dns.TypeA); len(m.Answer) != 100 {
		t.Errorf("%d answers, want 100", len(m.Answer))
	}
}

func TestForwarder_remembers(t *testing.T) {
	var asked atomic.Int32
	inner := answerWith("example.org. 20 IN A 192.0.2.7")
	at := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) { asked.Add(1); inner(w, q) })
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	f := &Forwarder{Upstreams: func() []string { return []string{at} }, Clock: clock}
	exchange := func(name string) *dns.Msg {
		m, err := f.Exchange(t.Context(), (&dns.Msg{}).SetQuestion(name, dns.TypeA))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	exchange("example.org.")
	clock.SetTime(time.Unix(1015, 0))
	if m := exchange("EXAMPLE.org."); m.Answer[0].Header().Ttl != 5 || m.Question[0].Name != "EXAMPLE.org." {
		t.Errorf("after 15 of 20 seconds: %v", m)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times within the time to live", n)
	}
	clock.SetTime(time.Unix(1020, 0))
	if exchange("example.org."); asked.Load() != 2 {
		t.Error("an answer was used after its time to live")
	}
	for i := range maxCached + 10 {
		f.remember(question{name: fmt.Sprint(i)}, exchange("example.org."))
	}
	if len(f.cache) > maxCached {
		t.Errorf("%d answers are kept, at most %d may", len(f.cache), maxCached)
	}
}

// TestForwarder_loop leads the server to itself: it must neither hang nor multiply the question.
func TestForwarder_loop(t *testing.T) {
	var self atomic.Pointer[Server]
	var dials atomic.Int32
	s := startServer(t, testZone())
	s.forward.Upstreams = func() []string { return []string{self.Load().Addr().String()} }
	s.forward.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	self.Store(s)
	if m := ask(t, s, "udp", "example.org.", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
		t.Error(m)
	}
	if n := dials.Load(); n > 2 {
		t.Errorf("one question became %d", n)
	}
}

func TestForwarder_isBounded(t *testing.T) {
	for name, f := range map[string]*Forwarder{"Exchanges": {running: maxForwards}, "Questions": {waiting: maxWaiting}} {
		f.Upstreams, f.Clock = func() []string { return nil }, clocktesting.NewFakePassiveClock(time.Unix(1, 0))
		running, waiting := f.running, f.waiting
		if _, err := f.Exchange(t.Context(), (&dns.Msg{}).SetQuestion("example.org.", dns.TypeA)); !errors.Is(err, errBusy) {
			t.Errorf("%s: got %v, want %v", name, err, errBusy)
		}
		if f.running != running || f.waiting != waiting {
			t.Errorf("%s: %d exchanges and %d questions are counted after the answer, before %d and %d", name, f.running, f.waiting, running, waiting)
		}
	}
}

func TestLifetime(t *testing.T) {
	msg := func(rcode int, answer, ns string) *dns.Msg {
		m := &dns.Msg{}
		m.Rcode = rcode
		for text, section := range map[string]*[]dns.RR{answer: &m.Answer, ns: &m.Ns} {
			if text == "" {
				continue
			}
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			*section = append(*section, rr)
		}
		return m
	}
	for title, c := range map[string]struct {
		msg  *dns.Msg
		want time.Duration
	}{
		"Record":   {msg(dns.RcodeSuccess, "a. 7 IN A 192.0.2.1", ""), 7 * time.Second},
		"Long":     {msg(dns.RcodeSuccess, "a. 7000 IN A 192.0.2.1", ""), maxTTL},
		"Negative": {msg(dns.RcodeNameError, "", "a. 600 IN SOA b. c. 1 2 3 4 9"), 9 * time.Second},
		"Nothing":  {msg(dns.RcodeNameError, "", ""), 0},
		"Failure":  {msg(dns.RcodeServerFailure, "a. 7 IN A 192.0.2.1", ""), 0},
	} {
		if got := lifetime(c.msg); got != c.want {
			t.Errorf("%s: %v, want %v", title, got, c.want)
		}
	}
}

// FuzzServer_answer feeds messages as they come from the network.
func FuzzServer_answer(f *testing.F) {
	for _, q := range []*dns.Msg{
		(&dns.Msg{}).SetQuestion("_peer._tcp.job.ml.svc.cluster.local.", dns.TypeSRV),
		(&dns.Msg{}).SetQuestion("20.0.244.10.in-addr.arpa.", dns.TypePTR),
		(&dns.Msg{}).SetQuestion("loop.ml.svc.cluster.local.", dns.TypeA).SetEdns0(100, true),
		(&dns.Msg{}).SetQuestion("fd00--1.ml.pod.cluster.local.", dns.TypeAAAA),
	} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := New(Config{Zone: testZone(), Logger: slog.New(slog.DiscardHandler), Forward: &Forwarder{Upstreams: func() []string { return nil }, Clock: clocktesting.NewFakePassiveClock(time.Unix(1, 0))}})
	s.ctx = f.Context()
	f.Fuzz(func(t *testing.T, b []byte) {
		query := &dns.Msg{}
		if query.Unpack(b) != nil {
			return
		}
		reply := s.answer(query)
		reply.Truncate(dns.MinMsgSize)
		wire, err := reply.Pack()
		if err != nil {
			t.Fatalf("the answer cannot be sent: %v\n%v", err, reply)
		}
		if len(wire) > dns.MaxMsgSize || !reply.Response || reply.Id != query.Id {
			t.Fatalf("wrong answer %v", reply)
		}
	})
}
