//go:build linux

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// request asks for a socket.
type request struct {
	ID               int
	Op               string
	Network, Address string
	Source           string        `json:",omitempty"`
	Timeout          time.Duration `json:",omitempty"`
}

const (
	opDial   = "dial"
	opListen = "listen"

	// maxDial bounds a dial whose caller has no deadline.
	maxDial = 2 * time.Minute
)

// response carries the socket as a file, or why there is none.
type response struct {
	ID    int
	Error string        `json:",omitempty"`
	Errno syscall.Errno `json:",omitempty"`
}

// Serve makes sockets in this process's network for the peer, until it goes.
func Serve(ctx context.Context, conn *fdsock.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for {
		var r request
		files, err := conn.Recv(&r)
		fdsock.CloseAll(files)
		if err != nil {
			return
		}
		tasks.Go(func() { answer(ctx, conn, r) })
	}
}

func answer(ctx context.Context, conn *fdsock.Conn, r request) {
	f, err := open(ctx, r)
	resp := response{ID: r.ID}
	if err != nil {
		resp.Error = err.Error()
		_ = errors.As(err, &resp.Errno) // 0 if it is none of the kernel
		_ = conn.Send(resp)             // a peer that is gone needs no answer
		return
	}
	defer f.Close()
	_ = conn.Send(resp, f) // as above
}

// filer is what all sockets of package net are.
type filer interface {
	File() (*os.File, error)
	Close() error
}

// open opens one socket.
func open(ctx context.Context, r request) (*os.File, error) {
	var socket any
	var err error
	switch r.Op {
	case opDial:
		d := net.Dialer{Timeout: maxDial}
		if r.Timeout > 0 {
			d.Timeout = min(r.Timeout, maxDial)
		}
		if r.Source != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(r.Source)}
		}
		socket, err = d.DialContext(ctx, r.Network, r.Address)
	case opListen:
		var l net.ListenConfig
		if r.Network == "udp" || r.Network == "udp4" || r.Network == "udp6" {
			socket, err = l.ListenPacket(ctx, r.Network, r.Address)
		} else {
			socket, err = l.Listen(ctx, r.Network, r.Address)
		}
	default:
		err = fmt.Errorf("unknown request %q: the launcher is older than the daemon", r.Op)
	}
	if err != nil {
		return nil, err
	}
	s, ok := socket.(filer)
	if !ok {
		return nil, fmt.Errorf("%s sockets cannot be passed on", r.Network)
	}
	defer func() { _ = s.Close() }() // the file is a copy
	return s.File()
}

// Client gets sockets from the process at the other end.
type Client struct {
	conn *fdsock.Conn

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
	gone    chan struct{}
}

type reply struct {
	response
	file *os.File
}

// ErrGone says that the process that makes the sockets has ended.
var ErrGone = errors.New("the launcher, which makes connections in this machine's network, is gone")

// NewClient takes over the connection.
func NewClient(conn *fdsock.Conn) *Client {
	c := &Client{conn: conn, waiting: map[int]chan reply{}, gone: make(chan struct{})}
	go c.listen()
	return c
}

// Close ends the connection; sockets that were made stay open.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) listen() {
	defer close(c.gone)
	for {
		var r response
		files, err := c.conn.Recv(&r)
		if err != nil {
			return
		}
		got := reply{response: r}
		if len(files) == 1 {
			got.file = files[0]
		} else {
			fdsock.CloseAll(files)
		}
		c.mu.Lock()
		ch := c.waiting[r.ID]
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		if ch != nil {
			ch <- got
		} else if got.file != nil {
			_ = got.file.Close() // who asked has given up
		}
	}
}

func (c *Client) ask(ctx context.Context, r request) (*os.File, error) {
	ch := make(chan reply, 1)
	c.mu.Lock()
	c.next++
	r.ID = c.next
	c.waiting[r.ID] = ch
	c.mu.Unlock()
	if err := c.conn.Send(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case got := <-ch:
		return got.result()
	case <-c.gone:
		return nil, ErrGone
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		select { // it may have come meanwhile
		case got := <-ch:
			if got.file != nil {
				_ = got.file.Close() // never used
			}
		default:
		}
		return nil, ctx.Err()
	}
}

// remoteError keeps the kernel's error, which callers compare.
type remoteError struct {
	text  string
	errno syscall.Errno
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

func (r reply) result() (*os.File, error) {
	if r.Error != "" {
		return nil, &remoteError{r.Error, r.Errno}
	}
	if r.file == nil {
		return nil, errors.New("the socket was lost on its way: the limit of open files of this process may be reached")
	}
	return r.file, nil
}

// DialContext connects from the host's network; names are resolved there, too.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, request{Op: opDial, Network: network, Address: address})
}

// DialLoopback connects by TCP to a port of the host's loopback, from source,
// another address there by which the other side can tell who it is.
func (c *Client) DialLoopback(ctx context.Context, source netip.Addr, port uint16) (net.Conn, error) {
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	return c.dial(ctx, request{Op: opDial, Network: "tcp", Address: to.String(), Source: source.String()})
}

func (c *Client) dial(ctx context.Context, r request) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if r.Timeout = time.Until(deadline); r.Timeout <= 0 {
			return nil, context.DeadlineExceeded
		}
	}
	f, err := c.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

// Listen listens in the host's network ("tcp", "tcp4", "tcp6").
func (c *Client) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	f, err := c.ask(ctx, request{Op: opListen, Network: network, Address: address})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// ListenPacket is Listen for "udp", "udp4" and "udp6".
func (c *Client) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	f, err := c.ask(ctx, request{Op: opListen, Network: network, Address: address})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FilePacketConn(f)
}
