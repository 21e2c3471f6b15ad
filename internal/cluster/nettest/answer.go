package nettest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// Answer sends a line for each line of a connection and for each datagram,
// until the test ends, and "bye" when a client has sent its last one.
func Answer(t testing.TB, l net.Listener, d net.PacketConn, reply func(line string, from net.Addr) string) {
	t.Helper()
	t.Cleanup(func() {
		_ = l.Close()
		_ = d.Close()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					fmt.Fprintln(c, reply(s.Text(), c.RemoteAddr()))
				}
				fmt.Fprintln(c, "bye")
			}()
		}
	}()
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := d.ReadFrom(buf)
			if err != nil {
				return
			}
			line := strings.TrimSpace(string(buf[:n]))
			_, _ = d.WriteTo([]byte(reply(line, from)+"\n"), from) // who asked may be gone
		}
	}()
}
