package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kiwerk/kiwerk/internal/cluster/hostnet"
)

const dialTimeout = 10 * time.Second

// Host makes sockets in the host's network.
type Host interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// dialer connects from the node's network.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// ports are the sockets that are open on the host.
type ports struct {
	host   Host
	dial   dialer
	logger *slog.Logger
	ctx    context.Context // of all connections
	tasks  sync.WaitGroup

	mu   sync.Mutex
	open map[port]*published
}

// published is one open socket.
type published struct {
	owner  owner
	target atomic.Pointer[string]
	io.Closer
}

// owner is who wants a port.
type owner struct {
	kind string
	types.NamespacedName
}

const (
	kindService = "Service"
	kindPod     = "Pod"
)

// takenError names the owner of a port.
type takenError struct{ by owner }

func (e *takenError) Error() string { return e.by.kind + " " + e.by.String() + " has it" }

// set opens what is missing for an owner and closes what it does not want any
// more. freed tells whether others may have it now.
func (p *ports) set(ctx context.Context, who owner, want []binding) (errs map[port]error, freed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := map[port]bool{}
	for _, b := range want {
		keep[b.port] = true
	}
	for at, have := range p.open {
		if have.owner == who && !keep[at] {
			p.close(at, have)
			freed = true
		}
	}
	errs = map[port]error{}
	for _, b := range want {
		have := p.open[b.port]
		switch {
		case have == nil:
			if err := p.publish(ctx, who, b); err != nil {
				errs[b.port] = err
			}
		case have.owner != who:
			errs[b.port] = &takenError{have.owner}
		default:
			have.target.Store(&b.target)
		}
	}
	return errs, freed
}

func (p *ports) close(at port, have *published) {
	delete(p.open, at)
	if err := have.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		p.logger.Warn("a published port was not closed", "port", at.String(), "error", err)
	}
}

func (p *ports) publish(ctx context.Context, who owner, b binding) error {
	at := join(localhost, b.number)
	entry := &published{owner: who}
	entry.target.Store(&b.target)
	if b.protocol == corev1.ProtocolUDP {
		c, err := p.host.ListenPacket(ctx, "udp4", at)
		if err != nil {
			return err
		}
		entry.Closer = c
		p.tasks.Go(func() { (&flows{conn: c, entry: entry, ports: p}).run() })
	} else {
		l, err := p.host.Listen(ctx, "tcp4", at)
		if err != nil {
			return err
		}
		entry.Closer = l
		p.tasks.Go(func() { p.accept(l, entry) })
	}
	p.open[b.port] = entry
	return nil
}

// closeAll ends everything and waits for it. The context of the ports has ended.
func (p *ports) closeAll() {
	p.mu.Lock()
	for at, have := range p.open {
		p.close(at, have)
	}
	p.mu.Unlock()
	p.tasks.Wait()
}

func (p *ports) accept(l net.Listener, entry *published) {
	for {
		c, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && p.ctx.Err() == nil {
				p.logger.Error("a published port does not accept any more", "address", l.Addr().String(), "error", err)
			}
			return
		}
		p.tasks.Go(func() { p.forward(c, *entry.target.Load()) })
	}
}

// forward connects and lets the kernel move bytes both ways.
func (p *ports) forward(from net.Conn, target string) {
	defer from.Close()
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	to, err := p.dial(ctx, "tcp", target)
	cancel()
	if err != nil {
		p.logger.Debug("nobody answers behind a published port", "target", target, "error", err)
		if t, ok := from.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // a reset tells more than an orderly end
		}
		return
	}
	hostnet.Join(p.ctx, from, to, 0)
}

const (
	// flowIdle is how long a client of UDP may be silent.
	flowIdle  = time.Minute
	maxFlows  = 1024
	datagrams = 64 << 10
)

// flows gives each client of a UDP port a socket of its own towards the target.
type flows struct {
	conn  net.PacketConn
	entry *published
	ports *ports

	mu sync.Mutex
	to map[string]net.Conn
}

func (f *flows) run() {
	stop := context.AfterFunc(f.ports.ctx, func() { _ = f.conn.Close() }) // ends ReadFrom
	defer stop()
	f.to = map[string]net.Conn{}
	defer f.closeAll()
	buf := make([]byte, datagrams)
	for {
		n, from, err := f.conn.ReadFrom(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && f.ports.ctx.Err() == nil {
				f.ports.logger.Error("a published port does not receive any more", "address", f.conn.LocalAddr().String(), "error", err)
			}
			return
		}
		to, err := f.flow(from)
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			f.ports.logger.Debug("a datagram was dropped", "from", from.String(), "error", err)
		}
	}
}

// flow returns the socket of a client, a new one for a new client.
func (f *flows) flow(from net.Addr) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to := f.to[from.String()]; to != nil {
		return to, nil
	}
	if len(f.to) >= maxFlows {
		return nil, fmt.Errorf("more than %d clients at once", maxFlows)
	}
	to, err := f.ports.dial(f.ports.ctx, "udp", *f.entry.target.Load())
	if err != nil {
		return nil, err
	}
	f.to[from.String()] = to
	f.ports.tasks.Go(func() { f.answers(to, from) })
	return to, nil
}

// answers carries what comes back until the flow is idle.
func (f *flows) answers(from net.Conn, to net.Addr) {
	defer func() {
		f.mu.Lock()
		delete(f.to, to.String())
		f.mu.Unlock()
		_ = from.Close()
	}()
	buf := make([]byte, datagrams)
	for {
		if err := from.SetReadDeadline(time.Now().Add(flowIdle)); err != nil {
			return
		}
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := f.conn.WriteTo(buf[:n], to); err != nil {
			return
		}
	}
}

func (f *flows) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.to {
		_ = c.Close()
	}
}
