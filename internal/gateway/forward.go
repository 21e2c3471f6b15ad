package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// call is a request on its way to a pod.
type call struct {
	method, target string // target is path and query as they are sent
	header         http.Header
	body           []byte
}

// answer of a pod. Its body is read by the caller, who closes it.
type answer struct {
	status int
	header http.Header
	length int64 // -1: unknown
	body   io.ReadCloser
}

// forwarder sends a call to a pod. An error means that nothing was answered.
type forwarder interface {
	send(ctx context.Context, to *pod, c *call) (*answer, error)
	// forget closes what is open to a pod that is gone.
	forget(*pod)
	close()
}

const (
	connectTimeout = 2 * time.Second
	idlePerPod     = 256
	idleTimeout    = time.Minute
	bufferSize     = 4 << 10
)

// pool keeps connections to pods open between calls.
type pool struct {
	clock clock.PassiveClock
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	idle   map[*pod][]*connection
	closed bool
}

func newPool(c clock.PassiveClock) *pool {
	d := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	return &pool{clock: c, dial: d.DialContext, idle: map[*pod][]*connection{}}
}

// send uses an idle connection if there is one. A pod may have closed it
// meanwhile; then the call goes out again on a new one, which says whether the
// pod is there. Inference changes nothing, so it may arrive twice.
func (p *pool) send(ctx context.Context, to *pod, c *call) (*answer, error) {
	for {
		k, err := p.get(ctx, to)
		if err != nil {
			return nil, err
		}
		fresh := k.fresh
		k.fresh = false
		a, err := k.exchange(ctx, c)
		if err == nil {
			a.body.(*body).pool = p //nolint:forcetypeassert // exchange makes it.
			return a, nil
		}
		_ = k.Close() // it is of no use any more
		if fresh || !again(ctx, err) {
			return nil, err
		}
	}
}

func (p *pool) get(ctx context.Context, to *pod) (*connection, error) {
	if k := p.take(to); k != nil {
		return k, nil
	}
	conn, err := p.dial(ctx, "tcp", to.address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, pod: to, reader: bufio.NewReaderSize(conn, bufferSize), fresh: true}, nil
}

// take finds an idle connection, the one used last first, and closes those that were idle for long.
func (p *pool) take(to *pod) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[to]
	if len(list) == 0 {
		return nil
	}
	k := list[len(list)-1]
	list[len(list)-1] = nil
	list = list[:len(list)-1]
	if p.clock.Since(k.since) > idleTimeout {
		_ = k.Close() // all others have been idle for longer
		closeAll(list)
		list, k = nil, nil
	}
	p.idle[to] = list
	return k
}

func (p *pool) put(k *connection) {
	if err := k.SetDeadline(time.Time{}); err != nil || k.reader.Buffered() > 0 {
		_ = k.Close() // it said more than was asked for
		return
	}
	if cap(k.head) > 2*joinedBody {
		k.head = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || k.pod.gone.Load() || len(p.idle[k.pod]) >= idlePerPod {
		_ = k.Close() // nobody will want it
		return
	}
	k.since = p.clock.Now()
	p.idle[k.pod] = append(p.idle[k.pod], k)
}

func (p *pool) forget(gone *pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone.gone.Store(true) // under the lock: whoever puts a connection back sees it or is before us
	closeAll(p.idle[gone])
	delete(p.idle, gone)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, list := range p.idle {
		closeAll(list)
	}
	clear(p.idle)
}

func closeAll(list []*connection) {
	for _, k := range list {
		_ = k.Close() // idle: nothing is lost
	}
}

// again tells whether a failed call may go to another pod. Inference changes
// nothing, so it may even when the pod has had the request; but not when it is
// the client or the time limit that ended it.
func again(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// Headers that belong to one connection, not to the message.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// notForwarded are headers that a pod does not get: those of the connection,
// credentials, which are for the platform and not for a model, and what the
// forwarder writes itself.
var notForwarded = func() map[string]bool {
	m := map[string]bool{"Authorization": true, "Cookie": true, "Expect": true, "Content-Length": true, "Host": true}
	for _, k := range hopByHop {
		m[k] = true
	}
	return m
}()

// newCall makes what a pod gets of a request.
func newCall(r *http.Request, path string, body []byte) *call {
	header := make(http.Header, len(r.Header))
	for k, v := range r.Header {
		if !notForwarded[k] {
			header[k] = v
		}
	}
	return &call{method: r.Method, target: (&url.URL{Path: path, RawQuery: r.URL.RawQuery}).RequestURI(), header: header, body: body}
}

// returned copies what the client should see of an answer's header.
func returned(dst, h http.Header) {
	for k, v := range h {
		dst[k] = v
	}
	for _, k := range hopByHop {
		delete(dst, k)
	}
}
