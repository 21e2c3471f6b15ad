//go:build linux

package nettest

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

const (
	// answerLimit is long enough for a busy machine; what is dropped is waited for shorter.
	answerLimit = 30 * time.Second
	dropLimit   = 400 * time.Millisecond
	settleLimit = 2 * time.Minute
	pollEvery   = 20 * time.Millisecond
)

// Node is a node with its pods.
type Node struct {
	t *testing.T
	n *network.Network
}

// NewNode prepares this process's network namespace.
func NewNode(t *testing.T) *Node {
	t.Helper()
	n, err := network.Open(context.WithoutCancel(t.Context()), network.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return &Node{t, n}
}

// Pod is the network of a pod. The zero value asks from the node.
type Pod struct{ network.Attachment }

// Pod makes one.
func (n *Node) Pod(id string) Pod {
	n.t.Helper()
	a, err := n.n.Attach(n.t.Context(), network.Pod{ID: id})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := n.n.Detach(context.Background(), id); err != nil {
			n.t.Error(err)
		}
	})
	return Pod{a}
}

func (p Pod) within(f func() error) error {
	if p.Namespace == "" {
		return f()
	}
	return network.Within(p.Namespace, f)
}

// Serve listens at an address and answers each connection and datagram with "name from ADDRESS", each line anew.
func (p Pod) Serve(t *testing.T, at, name string) {
	t.Helper()
	var l net.Listener
	var d net.PacketConn
	err := p.within(func() (err error) {
		if l, err = net.Listen("tcp4", at); err == nil {
			d, err = net.ListenPacket("udp4", at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	Answer(t, l, d, func(_ string, from net.Addr) string {
		host, _, _ := net.SplitHostPort(from.String())
		return name + " from " + host
	})
}

// Dial connects from the pod.
func (p Pod) Dial(proto, address string, limit time.Duration) (c net.Conn, err error) {
	err = p.within(func() error {
		c, err = net.DialTimeout(proto, address, limit)
		return err
	})
	return c, err
}

// Say sends a line and returns the answer.
func Say(c net.Conn, limit time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Ask connects and asks once.
func (p Pod) Ask(proto, address string) (string, error) { return p.ask(proto, address, answerLimit) }

// Dropped tells whether nothing answers; what is refused counts, too.
func (p Pod) Dropped(proto, address string) bool {
	_, err := p.ask(proto, address, dropLimit)
	return err != nil
}

func (p Pod) ask(proto, address string, limit time.Duration) (string, error) {
	c, err := p.Dial(proto, address, limit)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return Say(c, limit)
}

// Eventually asks until f says yes.
func Eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for limit := time.After(settleLimit); !f(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within %v", what, settleLimit)
		}
	}
}
