//go:build linux

package hostnet

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/fdsock"
)

// pair is a client whose server runs in the same process.
func pair(t *testing.T) *Client {
	t.Helper()
	mine, file, err := fdsock.Pair("host")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := fdsock.FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { Serve(context.Background(), theirs) })
	c := NewClient(mine)
	t.Cleanup(func() {
		_ = c.Close()
		served.Wait()
		_ = theirs.Close()
	})
	return c
}

func TestClient(t *testing.T) {
	c := pair(t)
	l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(in, in)
				_ = in.Close()
			}()
		}
	}()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			out, err := c.DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer out.Close()
			_, _ = io.WriteString(out, "hello")
			_ = out.(*net.TCPConn).CloseWrite()
			if b, err := io.ReadAll(out); string(b) != "hello" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	all.Wait()
}

func TestClient_errors(t *testing.T) {
	c := pair(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Listen(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a port that is taken: %v", err)
	}
	_ = l.Close()
	if _, err := c.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.DialContext(done, "tcp", "192.0.2.1:9"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	_ = c.Close()
	if _, err := c.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, ErrGone) {
		t.Errorf("without a launcher: %v", err)
	}
}

// TestRelay asks a silent server first.
func TestRelay(t *testing.T) {
	silent, server := packetServer(t, nil), packetServer(t, []byte("answer"))
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	r := StartRelay(RelayConfig{
		Packets: packets, Streams: streams, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Servers: func() []string { return []string{silent, server} },
		Names:   map[string]netip.Addr{"host.kiwerk.internal": netip.MustParseAddr("10.244.0.4")},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == silent {
				return nil, unix.ENETUNREACH
			}
			return d.DialContext(ctx, network, address)
		},
	})
	defer func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("udp", packets.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte{1, 2, 'q'})
	b := make([]byte, 100)
	if n, err := c.Read(b); string(b[:n]) != "\x01\x02answer" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

func TestOwnAnswer(t *testing.T) {
	names := map[string]netip.Addr{"host.kiwerk.internal": netip.MustParseAddr("10.244.0.4")}
	pack := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ask := func(name string, qtype uint16) []byte { return pack((&dns.Msg{}).SetQuestion(name, qtype)) }
	for title, c := range map[string]struct {
		query []byte
		ours  bool
		want  string
	}{
		"Name":       {ask("host.kiwerk.internal.", dns.TypeA), true, "10.244.0.4"},
		"AnyCase":    {ask("Host.KIWERK.internal.", dns.TypeA), true, "10.244.0.4"},
		"NoIPv6":     {ask("host.kiwerk.internal.", dns.TypeAAAA), true, ""},
		"Other":      {ask("example.com.", dns.TypeA), false, ""},
		"Below":      {ask("a.host.kiwerk.internal.", dns.TypeA), false, ""},
		"NoQuestion": {pack(&dns.Msg{}), false, ""},
		"Response":   {pack((&dns.Msg{}).SetReply((&dns.Msg{}).SetQuestion("host.kiwerk.internal.", dns.TypeA))), false, ""},
		"Rubbish":    {[]byte{1, 2, 'q'}, false, ""},
	} {
		answer, ours := ownAnswer(names, c.query)
		if ours != c.ours {
			t.Errorf("%s: answered by the relay: %v", title, ours)
		}
		if !ours {
			continue
		}
		var m dns.Msg
		got := ""
		if err := m.Unpack(answer); err != nil || m.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: %v, %v", title, err, &m)
		}
		if len(m.Answer) > 0 {
			got = m.Answer[0].(*dns.A).A.String()
		}
		if got != c.want || m.Id != binary.BigEndian.Uint16(c.query) {
			t.Errorf("%s: %v", title, &m)
		}
	}
}

func FuzzOwnAnswer(f *testing.F) {
	names := map[string]netip.Addr{"a": netip.MustParseAddr("10.244.0.4")}
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, query []byte) {
		if answer, ours := ownAnswer(names, query); ours && len(answer) < len("headerheader") {
			t.Errorf("%q", answer)
		}
	})
}

func packetServer(t *testing.T, answer []byte) string {
	t.Helper()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			if answer != nil && n >= 2 {
				_, _ = p.WriteTo(append(slices.Clone(b[:2]), answer...), from)
			}
		}
	}()
	return p.LocalAddr().String()
}

func TestParseServers(t *testing.T) {
	text := "# nameserver 1.1.1.1\nnameserver 10.0.0.1\n nameserver\tfe80::1%eth0 # home\nnameserver name\nsearch a b\nnameserver 127.0.0.53#5353\n"
	want := []string{"10.0.0.1:53", "[fe80::1%eth0]:53", "127.0.0.53:53"}
	if got := parseServers(text); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func FuzzParseServers(f *testing.F) {
	f.Add("nameserver 10.0.0.1\n")
	f.Add("nameserver fe80::1%eth0")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseServers(text) {
			if _, port, err := net.SplitHostPort(s); err != nil || port != "53" {
				t.Errorf("%q of %q: %v", s, text, err)
			}
		}
	})
}
