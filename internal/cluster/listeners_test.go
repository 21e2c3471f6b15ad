package cluster

import (
	"errors"
	"net"
	"testing"
)

func TestJoinListeners(t *testing.T) {
	var all []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	j := joinListeners(all[0], all[1:]...)
	if j.Addr().String() != all[0].Addr().String() {
		t.Errorf("address %s, want the first, %s", j.Addr(), all[0].Addr())
	}
	for _, l := range all {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := j.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if in.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("a connection from %s, want %s", in.RemoteAddr(), c.LocalAddr())
		}
		_, _ = in.Close(), c.Close()
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if _, err := j.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	for _, l := range all {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			t.Errorf("%s still listens", l.Addr())
			_ = c.Close()
		}
	}
}
