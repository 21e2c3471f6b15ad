package cluster

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/cluster/controlplane"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

func TestConfig_complete(t *testing.T) {
	good := func() Config {
		return Config{DataDir: "/data", RuntimeDir: "/run/k", Logger: slog.New(slog.DiscardHandler)}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"Good":             {func(*Config) {}, ""},
		"RelativeDataDir":  {func(c *Config) { c.DataDir = "data" }, `data directory "data" is not an absolute path`},
		"NoRuntimeDir":     {func(c *Config) { c.RuntimeDir = "" }, `runtime directory "" is not an absolute path`},
		"LongRuntimeDir":   {func(c *Config) { c.RuntimeDir = "/" + strings.Repeat("x", 100) }, "too long for unix sockets"},
		"NoLogger":         {func(c *Config) { c.Logger = nil }, "no logger"},
		"PublicListener":   {func(c *Config) { c.APIListener = listener{net.IPv4(10, 0, 0, 1)} }, "10.0.0.1:6443, which is not a loopback address"},
		"LoopbackListener": {func(c *Config) { c.APIListener = listener{net.IPv4(127, 0, 0, 1)} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			got, err := cfg.complete()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			case err == nil && (got.NodeName == "" || got.KubeletDir != DefaultKubeletDir || got.PodLogsDir != "/data/logs/pods" || got.Clock == nil):
				t.Errorf("defaults are missing: %+v", got)
			}
		})
	}
}

type listener struct{ ip net.IP }

func (l listener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (l listener) Close() error              { return nil }
func (l listener) Addr() net.Addr            { return &net.TCPAddr{IP: l.ip, Port: 6443} }

func TestNodeName(t *testing.T) {
	for name, c := range map[string]struct{ host, want string }{
		"Plain":      {"laptop", "laptop"},
		"Domain":     {"Laptop.example.com", "laptop"},
		"Underscore": {"my_host", "my-host"},
		"Umlaut":     {"bücher", "b-cher"},
		"Long":       {strings.Repeat("a", 80), strings.Repeat("a", 63)},
		"Nothing":    {"...", "kiwerk"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nodeName(c.host); got != c.want {
				t.Errorf("%q becomes %q, want %q", c.host, got, c.want)
			}
		})
	}
}

// Pods send large packets to where Services are, see package network.
func TestServiceCIDR(t *testing.T) {
	if network.ServiceCIDR.String() != controlplane.ServiceCIDR {
		t.Errorf("%s, the API server gives addresses of %s", network.ServiceCIDR, controlplane.ServiceCIDR)
	}
}
