package cluster

import (
	"errors"
	"net"
	"sync"
)

// joined accepts from several listeners and has the address of the first.
type joined struct {
	net.Listener

	others []net.Listener
	conns  chan accepted
	closed chan struct{}
	once   sync.Once
	err    error
}

type accepted struct {
	conn net.Conn
	err  error
}

// joinListeners makes one listener of several; closing it closes all.
func joinListeners(first net.Listener, others ...net.Listener) net.Listener {
	j := &joined{Listener: first, others: others, conns: make(chan accepted), closed: make(chan struct{})}
	for _, l := range append([]net.Listener{first}, others...) {
		go j.accept(l)
	}
	return j
}

// accept ends when the listener is closed.
func (j *joined) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		select {
		case j.conns <- accepted{conn, err}:
		case <-j.closed:
			if conn != nil {
				_ = conn.Close() // nobody will take it
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// Accept returns the next connection of any of them.
func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.conns:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

// Close closes all of them.
func (j *joined) Close() error {
	j.once.Do(func() {
		close(j.closed)
		errs := []error{j.Listener.Close()}
		for _, l := range j.others {
			errs = append(errs, l.Close())
		}
		j.err = errors.Join(errs...)
	})
	return j.err
}
