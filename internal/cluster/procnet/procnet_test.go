//go:build linux

package procnet

import (
	"net/netip"
	"testing"
)

func TestParse(t *testing.T) {
	cases := map[string]struct {
		line string
		want Socket
		ok   bool
	}{
		"Loopback":  {"   0: 0100007F:1EC6 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0", Socket{netip.MustParseAddrPort("127.0.0.1:7878"), 4242, 1000}, true},
		"Open":      {"   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0", Socket{netip.MustParseAddrPort("0.0.0.0:80"), 7, 0}, true},
		"IPv6":      {"   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 9 1", Socket{netip.MustParseAddrPort("[::1]:80"), 9, 0}, true},
		"Connected": {"   1: 0100007F:1EC6 0100007F:AAAA 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0", Socket{}, false},
		"Header":    {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", Socket{}, false},
		"Short":     {"0: 0100007F:1EC6", Socket{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := Parse(c.line)
			if ok != c.ok || got != c.want {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("   0: 0100007F:1EC6 00000000:0000 0A 0:0 0:0 0 1000 0 4242 1")
	f.Fuzz(func(_ *testing.T, line string) { Parse(line) })
}
