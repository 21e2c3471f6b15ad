//go:build linux

package cri

import (
	"net/netip"
	"testing"
)

func TestChoosePort(t *testing.T) {
	for name, c := range map[string]struct {
		open   []string
		wanted int
		want   string
		reason string
	}{
		"Wanted":   {[]string{"127.0.0.1:20000", "127.0.0.1:8080"}, 8080, "127.0.0.1:8080", "what was asked for, if the pod listens there"},
		"Given":    {[]string{"127.0.0.1:20000"}, 8080, "127.0.0.1:20000", "a program that honours PORT listens on the given one"},
		"Other":    {[]string{"127.0.0.1:9000"}, 8080, "", "not just any port"},
		"Nothing":  {nil, 8080, "", "a port of the host is not the pod's"},
		"All":      {[]string{"0.0.0.0:8080"}, 8080, "127.0.0.1:8080", "all addresses are none to connect to"},
		"All6":     {[]string{"[::]:8080"}, 8080, "[::1]:8080", "the same for IPv6"},
		"OneOther": {[]string{"192.0.2.1:8080"}, 8080, "192.0.2.1:8080", "the address it listens on"},
	} {
		t.Run(name, func(t *testing.T) {
			var open []netip.AddrPort
			for _, a := range c.open {
				open = append(open, netip.MustParseAddrPort(a))
			}
			got, ok := choosePort(open, c.wanted, 20000)
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("%s: %v, %v", c.reason, got, ok)
			}
		})
	}
}
