package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// idleTimeout of a TCP connection.
	idleTimeout = 10 * time.Second
	maxTCP      = 128
	// Port is where name servers listen.
	Port = 53
)

// Server answers on one address with UDP and TCP.
type Server struct {
	address netip.Addr
	port    uint16
	zone    *Zone
	forward *Forwarder
	logger  *slog.Logger

	udp, tcp *dns.Server
	ctx      context.Context
	cancel   context.CancelFunc
	serving  sync.WaitGroup
	failed   chan error
}

// Config of a [Server].
type Config struct {
	// Address to listen on.
	Address netip.Addr
	// Port is 53 by default.
	Port uint16
	Zone *Zone
	// Forward answers what is not in the zone.
	Forward *Forwarder
	Logger  *slog.Logger
}

// New returns a server that has not been started.
func New(c Config) *Server {
	if c.Port == 0 {
		c.Port = Port
	}
	return &Server{address: c.Address, port: c.Port, zone: c.Zone, forward: c.Forward, logger: c.Logger, failed: make(chan error, 2)}
}

// Init does nothing.
func (s *Server) Init(context.Context) error { return nil }

// Start returns when the server listens.
func (s *Server) Start(ctx context.Context) error {
	at := net.JoinHostPort(s.address.String(), strconv.Itoa(int(s.port)))
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		return fmt.Errorf("cluster DNS: %w", err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		return errors.Join(fmt.Errorf("cluster DNS: %w", err), udp.Close())
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	handler := dns.HandlerFunc(s.serve)
	s.udp = &dns.Server{PacketConn: udp, Handler: handler, UDPSize: bufferSize}
	s.tcp = &dns.Server{Listener: limit(tcp, maxTCP), Handler: handler, IdleTimeout: func() time.Duration { return idleTimeout }, ReadTimeout: idleTimeout}
	for _, server := range []*dns.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.serving.Go(func() {
			if err := server.ActivateAndServe(); err != nil && s.ctx.Err() == nil {
				s.failed <- fmt.Errorf("cluster DNS: %w", err)
			}
		})
		<-started
	}
	return nil
}

// Addr is what the server listens on.
func (s *Server) Addr() netip.AddrPort {
	return s.udp.PacketConn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Failed delivers why the server ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop ends the server and waits for the questions that it has taken.
func (s *Server) Stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	err := errors.Join(s.udp.ShutdownContext(ctx), s.tcp.ShutdownContext(ctx))
	s.serving.Wait()
	return err
}

// serve answers one message.
func (s *Server) serve(w dns.ResponseWriter, query *dns.Msg) {
	_, overTCP := w.RemoteAddr().(*net.TCPAddr)
	reply := s.answer(query)
	size := dns.MaxMsgSize
	if !overTCP {
		size = dns.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), bufferSize)
		}
	}
	reply.Truncate(size)
	if err := w.WriteMsg(reply); err != nil && s.ctx.Err() == nil {
		s.logger.Debug("an answer could not be sent", "to", w.RemoteAddr().String(), "error", err)
	}
}

// answer never fails; what is wrong with a query is in the answer.
func (s *Server) answer(query *dns.Msg) *dns.Msg {
	reply := (&dns.Msg{}).SetReply(query)
	reply.RecursionAvailable = true
	opt := query.IsEdns0()
	if opt != nil {
		reply.SetEdns0(bufferSize, opt.Do())
	}
	switch {
	case query.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
	case len(query.Question) != 1:
		reply.Rcode = dns.RcodeFormatError
	case opt != nil && opt.Version() != 0:
		reply.IsEdns0().SetExtendedRcode(dns.RcodeBadVers)
		reply.Rcode = dns.RcodeBadVers
	case query.Question[0].Qclass != dns.ClassINET:
		reply.Rcode = dns.RcodeRefused
	case refused(query.Question[0].Qtype):
		reply.Rcode = dns.RcodeNotImplemented
	default:
		s.fill(reply, query)
	}
	return reply
}

// refused are types that ask for more than records of one name.
func refused(qtype uint16) bool {
	switch qtype {
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB:
		return true
	}
	return false
}

func (s *Server) fill(reply, query *dns.Msg) {
	q := query.Question[0]
	a, ours := s.zone.Resolve(q)
	if !ours {
		s.forwarded(reply, query)
		return
	}
	reply.Authoritative, reply.Rcode = true, a.Rcode
	reply.Answer = a.Answer
	reply.Extra = append(reply.Extra, a.Extra...)
	if a.Alias != "" {
		s.follow(reply, query, a.Alias)
		return
	}
	if len(reply.Answer) == 0 && a.Rcode != dns.RcodeServerFailure {
		reply.Ns = []dns.RR{s.zone.SOA()}
	}
}

// follow adds where an alias leads outside of the zone.
func (s *Server) follow(reply, query *dns.Msg, alias string) {
	on := query.Copy()
	on.Question[0].Name = alias
	msg, err := s.forward.Exchange(s.ctx, on)
	if err != nil {
		s.logger.Debug("an alias could not be followed", "name", query.Question[0].Name, "alias", alias, "error", err)
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	reply.Rcode = msg.Rcode
	reply.Answer = append(reply.Answer, msg.Answer...)
	reply.Ns = msg.Ns
}

func (s *Server) forwarded(reply, query *dns.Msg) {
	if !query.RecursionDesired {
		reply.Rcode = dns.RcodeRefused
		return
	}
	msg, err := s.forward.Exchange(s.ctx, query)
	if err != nil {
		s.logger.Debug("no upstream answered", "name", query.Question[0].Name, "error", err)
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	reply.Rcode, reply.AuthenticatedData = msg.Rcode, msg.AuthenticatedData
	reply.Answer, reply.Ns = msg.Answer, msg.Ns
	for _, rr := range msg.Extra {
		if rr.Header().Rrtype != dns.TypeOPT { // between us and the upstream
			reply.Extra = append(reply.Extra, rr)
		}
	}
}

// limited accepts at most as many connections as it has slots.
type limited struct {
	net.Listener
	slots chan struct{}
}

func limit(l net.Listener, n int) net.Listener { return &limited{l, make(chan struct{}, n)} }

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.slots <- struct{}{} // waits until another one is closed; ReadTimeout sees to that
	return &slotted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

type slotted struct {
	net.Conn
	free func()
}

func (c *slotted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
