//go:build linux

package front

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestDiag_findsTheOwner(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skipf("no loopback %s: %v", address, err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		served, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer served.Close()
		f, err := OpenDiag()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		local, remote := tcpAddr(served.LocalAddr()), tcpAddr(served.RemoteAddr())
		d := NewDiag(f, uint32(os.Getuid()))
		if own, err := d.OwnPeer(local, remote); err != nil || !own {
			t.Errorf("%s: own connection: got %v, %v", address, own, err)
		}
		if own, err := NewDiag(f, uint32(os.Getuid())+1).OwnPeer(local, remote); err != nil || own {
			t.Errorf("%s: another user: got %v, %v", address, own, err)
		}
		// A closed connection has no owner that could be trusted: the kernel says 0.
		client.Close()
		if own, err := NewDiag(f, 0).OwnPeer(local, remote); err != nil || own {
			t.Errorf("%s: closed connection: got %v, %v", address, own, err)
		}
	}
}

func TestDiag_unknownConnection(t *testing.T) {
	f, err := OpenDiag()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = NewDiag(f, 0).uidOf(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"))
	if !errors.Is(err, errNoSocket) {
		t.Errorf("got %v", err)
	}
}

func tcpAddr(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func FuzzParseDiag(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add(diagRequest(1, netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, seq uint32) {
		parseDiag(b, seq)
	})
}
