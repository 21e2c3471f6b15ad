//go:build linux

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	dnsTimeout = 5 * time.Second
	dnsTries   = 2
	dnsIdle    = 10 * time.Second
	maxQuery   = 64 << 10
	// maxQueries bounds what waits for an answer at the same time.
	maxQueries = 256
)

// DialFunc connects somewhere.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Relay passes DNS messages on as they are. It answers only for its own names,
// and for these only by UDP.
type Relay struct {
	packets net.PacketConn
	streams net.Listener
	dial    DialFunc
	servers func() []string
	names   map[string]netip.Addr
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	slots   chan struct{}
}

// RelayConfig says where a relay answers and whom it asks.
type RelayConfig struct {
	// Packets and Streams get queries by UDP and TCP; the relay closes them.
	Packets net.PacketConn
	Streams net.Listener
	// Dial reaches the servers.
	Dial DialFunc
	// Servers are asked in this order, host:port; it is called for each query.
	Servers func() []string
	// Names are answered by the relay itself; lower case, without the last dot.
	Names  map[string]netip.Addr
	Logger *slog.Logger
}

// StartRelay answers until Stop.
func StartRelay(cfg RelayConfig) *Relay {
	r := &Relay{
		packets: cfg.Packets, streams: cfg.Streams, dial: cfg.Dial, servers: cfg.Servers, names: cfg.Names, log: cfg.Logger,
		slots: make(chan struct{}, maxQueries),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.tasks.Go(r.servePackets)
	r.tasks.Go(r.serveStreams)
	return r
}

// Stop ends the relay.
func (r *Relay) Stop() error {
	r.cancel()
	err := errors.Join(r.packets.Close(), r.streams.Close())
	r.tasks.Wait()
	return err
}

func (r *Relay) servePackets() {
	for {
		query := make([]byte, maxQuery)
		n, from, err := r.packets.ReadFrom(query)
		if err != nil {
			return // closed
		}
		r.slots <- struct{}{}
		r.tasks.Go(func() {
			defer func() { <-r.slots }()
			answer, err := r.ask(query[:n])
			if err != nil {
				r.log.Debug("a name was not resolved", "error", err) // the client asks again, or gives up
				return
			}
			_, _ = r.packets.WriteTo(answer, from) // a client that has gone
		})
	}
}

// ask sends a query to one server after the other until one answers.
func (r *Relay) ask(query []byte) ([]byte, error) {
	if answer, ok := ownAnswer(r.names, query); ok {
		return answer, nil
	}
	servers := r.servers()
	err := errors.New("the host has no name server in /etc/resolv.conf")
	for range dnsTries {
		for _, server := range servers {
			var answer []byte
			if answer, err = r.askOne(server, query); err == nil {
				return answer, nil
			}
			if r.ctx.Err() != nil {
				return nil, r.ctx.Err()
			}
		}
	}
	return nil, err
}

func (r *Relay) askOne(server string, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.ctx, dnsTimeout)
	defer cancel()
	c, err := r.dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()                                              // the answer is all that matters
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // ends Read
	defer stop()
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	answer := make([]byte, maxQuery)
	for {
		n, err := c.Read(answer)
		if err != nil {
			return nil, fmt.Errorf("name server %s: %w", server, err)
		}
		// The socket is connected; the id guards against what is late.
		if n >= 2 && len(query) >= 2 && answer[0] == query[0] && answer[1] == query[1] {
			return answer[:n], nil
		}
	}
}

// serveStreams joins each connection with one to the first server that takes it.
func (r *Relay) serveStreams() {
	for {
		c, err := r.streams.Accept()
		if err != nil {
			return
		}
		r.tasks.Go(func() {
			defer func() { _ = c.Close() }() // closed already, where it was joined
			for _, server := range r.servers() {
				ctx, cancel := context.WithTimeout(r.ctx, dnsTimeout)
				up, err := r.dial(ctx, "tcp", server)
				cancel()
				if err != nil {
					r.log.Debug("name server", "server", server, "error", err)
					continue
				}
				Join(r.ctx, c, up, dnsIdle)
				return
			}
		})
	}
}

// Join copies between two connections until both directions have ended, ctx
// ends or, if idle is set, nothing has come for that long. Both are closed.
func Join(ctx context.Context, a, b net.Conn, idle time.Duration) {
	stop := context.AfterFunc(ctx, func() { _, _ = a.Close(), b.Close() }) // ends the copies
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pass(a, b, idle) })
	pass(b, a, idle)
	both.Wait()
	_, _ = a.Close(), b.Close() // all has been copied
}

// pass copies one direction and hands its end on.
func pass(to, from net.Conn, idle time.Duration) {
	var err error
	if idle == 0 {
		_, err = io.Copy(to, from)
	} else {
		err = passIdle(to, from, idle)
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite() // ended already
		return
	}
	_, _ = to.Close(), from.Close() // broken: the other direction ends, too
}

func passIdle(to, from net.Conn, idle time.Duration) error {
	buf := make([]byte, maxQuery)
	for {
		if err := errors.Join(from.SetReadDeadline(time.Now().Add(idle)), to.SetReadDeadline(time.Now().Add(idle))); err != nil {
			return err
		}
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Servers reads the name servers of a resolv.conf as host:port.
func Servers(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return parseServers(string(b))
}

func parseServers(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		address, _, _ := strings.Cut(f[1], "#")
		if net.ParseIP(strings.Split(address, "%")[0]) != nil {
			list = append(list, net.JoinHostPort(address, "53"))
		}
	}
	return list
}

// SearchList is the search line of a resolv.conf, without the word.
func SearchList(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	search := ""
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && (f[0] == "search" || f[0] == "domain") {
			search = strings.Join(f[1:], " ")
		}
	}
	return search
}
