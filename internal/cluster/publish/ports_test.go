package publish

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
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kiwerk/kiwerk/internal/cluster/nettest"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// here makes sockets in the test's own network.
type here struct{ net.ListenConfig }

// backend answers each line and each datagram with its name.
func backend(t *testing.T, name string) string {
	t.Helper()
	l, err := net.Listen("tcp4", join(localhost, free(t)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nettest.Answer(t, l, d, func(line string, _ net.Addr) string { return name + " " + line })
	return l.Addr().String()
}

func newPorts(t *testing.T) *ports {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &ports{host: &here{}, dial: (&net.Dialer{}).DialContext, logger: slog.New(slog.DiscardHandler), ctx: ctx, open: map[port]*published{}}
	t.Cleanup(func() {
		cancel()
		p.closeAll()
	})
	return p
}

// free returns a port that nobody has.
func free(t *testing.T) int32 {
	t.Helper()
	return int32(kwtest.FreePort(t))
}

var (
	first  = owner{kindService, types.NamespacedName{Namespace: "ml", Name: "first"}}
	second = owner{kindService, types.NamespacedName{Namespace: "ml", Name: "second"}}
)

func on(protocol corev1.Protocol, number int32, target string) []binding {
	return []binding{{port: port{protocol, number}, target: target}}
}

func askTCP(t *testing.T, number int32) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp4", join(localhost, number))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return strings.TrimSpace(string(b)), err
}

func TestPorts_set(t *testing.T) {
	p, number := newPorts(t), free(t)
	if errs, freed := p.set(t.Context(), first, on(corev1.ProtocolTCP, number, backend(t, "a"))); len(errs) > 0 || freed {
		t.Fatal(errs, freed)
	}
	if got, err := askTCP(t, number); err != nil || got != "a hello\nbye" {
		t.Errorf("%q, %v", got, err)
	}
	// Another pod, the same socket.
	p.set(t.Context(), first, on(corev1.ProtocolTCP, number, backend(t, "b")))
	if got, err := askTCP(t, number); err != nil || got != "b hello\nbye" {
		t.Errorf("after a change: %q, %v", got, err)
	}
	errs, _ := p.set(t.Context(), second, on(corev1.ProtocolTCP, number, backend(t, "c")))
	var taken *takenError
	if err := errs[port{corev1.ProtocolTCP, number}]; !errors.As(err, &taken) || taken.by != first {
		t.Errorf("a port of another Service: %v", err)
	}
	if _, freed := p.set(t.Context(), first, nil); !freed {
		t.Error("giving a port back freed none")
	}
	if got, err := askTCP(t, number); err == nil {
		t.Errorf("a port that was given back answers %q", got)
	}
	if errs, _ := p.set(t.Context(), second, on(corev1.ProtocolTCP, number, backend(t, "c"))); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestPorts_taken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	number := int32(l.Addr().(*net.TCPAddr).Port)
	errs, _ := newPorts(t).set(t.Context(), first, on(corev1.ProtocolTCP, number, "127.0.0.1:1"))
	if got := problemOf(errs[port{corev1.ProtocolTCP, number}]); got.reason != reasonTaken {
		t.Error(got)
	}
}

func TestPorts_nobodyBehind(t *testing.T) {
	p, number := newPorts(t), free(t)
	p.set(t.Context(), first, on(corev1.ProtocolTCP, number, join(localhost, free(t))))
	if got, err := askTCP(t, number); err == nil {
		t.Errorf("got %q, want a broken connection", got)
	}
}

func TestPorts_udp(t *testing.T) {
	p, number := newPorts(t), free(t)
	if errs, _ := p.set(t.Context(), first, on(corev1.ProtocolUDP, number, backend(t, "a"))); len(errs) > 0 {
		t.Fatal(errs)
	}
	for i := range 3 { // each client has a flow of its own
		c, err := net.Dial("udp4", join(localhost, number))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		buf := make([]byte, 100)
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			fmt.Fprintf(c, "%d", i)
			n, err := c.Read(buf)
			if want := fmt.Sprintf("a %d\n", i); err != nil || string(buf[:n]) != want {
				t.Errorf("%q, %v, want %q", buf[:n], err, want)
			}
		}
	}
}

func TestProblemOf(t *testing.T) {
	for want, err := range map[string]error{
		reasonTaken:     fmt.Errorf("listen: %w", unix.EADDRINUSE),
		reasonForbidden: fmt.Errorf("listen: %w", unix.EACCES),
		reasonFailed:    errors.New("the launcher is gone"),
	} {
		if got := problemOf(err); got.reason != want || got.message == "" {
			t.Errorf("%v: %+v, want %s", err, got, want)
		}
	}
}
