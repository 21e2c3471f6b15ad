//go:build linux

package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/agenttest"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

func TestMain(m *testing.M) { agenttest.MainNetwork(m) }

func TestAsOrdinaryUser(t *testing.T) { agenttest.AsUser(t) }

// TestStack_carriesPods sends from a pod into the world, which is this test.
func TestStack_carriesPods(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	n, err := network.Open(t.Context(), network.Config{Dir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	t.Cleanup(func() { _, _ = n.Keep(context.Background(), nil) })
	pod, err := n.Attach(t.Context(), network.Pod{ID: "pod"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for range 2 { // the second stack takes over the link of the first
		socket, err := n.MakeUserUplink()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Start(Config{
			Socket: socket, MTU: network.MTU, Gateway: network.UserUplink.Gateway, Node: network.UserUplink.Node,
			GatewayMAC: network.GatewayMAC, NodeMAC: network.NodeMAC, Dial: w.dial, Logger: log,
		})
		if err != nil {
			t.Fatal(err)
		}
		inPod(t, pod, func() error { return talk("tcp4", "203.0.113.7:80", 3<<20) })
		inPod(t, pod, func() error { return talk("udp4", "203.0.113.8:53", 900) })
		inPod(t, pod, func() error {
			_, err := net.DialTimeout("tcp4", "203.0.113.9:81", time.Minute)
			if !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("a refused connection: %w", err)
			}
			return nil
		})
		inPod(t, pod, func() error { return refusedBeyondBound(s) })
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func inPod(t *testing.T, pod network.Attachment, f func() error) {
	t.Helper()
	if err := network.Within(pod.Namespace, f); err != nil {
		t.Error(err)
	}
}

// refusedBeyondBound takes all flows that are left.
func refusedBeyondBound(s *Stack) error {
	taken := 0
	for full := false; !full; {
		select {
		case s.flows <- struct{}{}:
			taken++
		default:
			full = true
		}
	}
	if err := talk("udp4", "203.0.113.8:54", 9); !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("with %d flows: %w", maxFlows, err)
	}
	for range taken {
		<-s.flows
	}
	return talk("udp4", "203.0.113.8:55", 9)
}

// talk sends a text and expects the name of its destination and the text back.
func talk(proto, address string, size int) error {
	c, err := net.DialTimeout(proto, address, time.Minute)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	text := strings.Repeat("x", size)
	go func() { _, _ = io.WriteString(c, text) }()
	want := proto[:3] + " " + address + "\n" + text
	got := make([]byte, len(want))
	if proto == "udp4" {
		n, err := c.Read(got)
		if err != nil || string(got[:n]) != want {
			return fmt.Errorf("answer of %d bytes, expected %d: %w", n, len(want), err)
		}
		return nil
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		return fmt.Errorf("answer %.60q: %w", got, err)
	}
	return nil
}

// world answers every address but port 81 with its name and what it got.
type world struct{ t *testing.T }

func newWorld(t *testing.T) *world { return &world{t} }

func (w *world) dial(_ context.Context, proto, address string) (net.Conn, error) {
	if strings.HasSuffix(address, ":81") {
		return nil, unix.ECONNREFUSED
	}
	if proto == "udp" {
		server, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		go func() {
			defer server.Close()
			b := make([]byte, 2000)
			n, from, err := server.ReadFrom(b)
			if err == nil {
				_, _ = server.WriteTo([]byte("udp "+address+"\n"+string(b[:n])), from)
			}
		}()
		return net.Dial("udp4", server.LocalAddr().String())
	}
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		defer server.Close()
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "tcp %s\n", address)
		_, _ = io.Copy(c, c)
	}()
	return net.Dial("tcp4", server.Addr().String())
}
