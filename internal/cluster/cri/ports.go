//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Port is the loopback port that a pod was given.
type Port struct {
	Namespace, Name, UID string
	Port                 int
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last int }

// defaultPorts lies below the ports that the kernel gives to outgoing
// connections and below Kubernetes' node ports, so that neither takes one
// between our choice and the pod's listen.
var defaultPorts = PortRange{20000, 29999}

// portPool chooses ports. Two pools on one host start at random places and
// test each port, so that they hardly ever meet.
type portPool struct {
	mu    sync.Mutex
	r     PortRange
	next  int
	taken map[int]bool
}

func newPortPool(r PortRange) *portPool {
	return &portPool{r: r, next: rand.IntN(r.Last - r.First + 1), taken: map[int]bool{}}
}

// take returns a port on which nothing listens.
func (p *portPool) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := p.r.Last - p.r.First + 1
	for range size {
		port := p.r.First + p.next
		p.next = (p.next + 1) % size
		if !p.taken[port] && free(port) {
			p.taken[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", p.r.First, p.r.Last)
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && errors.Join(l.Close()) == nil
}

func (p *portPool) keep(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken[port] = true
}

func (p *portPool) release(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, port)
}

// WatchPorts delivers the ports of all pods that there are and of each that comes.
func (s *Server) WatchPorts(ctx context.Context) <-chan Port {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first []Port
	for _, b := range s.sandboxes {
		if b.Ready && b.Port != 0 {
			first = append(first, b.port())
		}
	}
	return s.news.subscribe(ctx, first)
}
