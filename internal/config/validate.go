package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Validate returns every problem, each a [Problem], or nil.
func (c Config) Validate() error {
	var problems []error
	add := func(path, format string, args ...any) {
		problems = append(problems, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	c.Server.validate(add)
	for i, root := range c.Serving.FileRoots {
		if !filepath.IsAbs(root) || filepath.Clean(root) == "/" {
			add(fmt.Sprintf("serving.fileRoots[%d]", i), "%q must be an absolute folder below /", root)
		}
	}
	if c.Runtime.Python != "" && !filepath.IsAbs(c.Runtime.Python) {
		add("runtime.python", "%q must be an absolute path", c.Runtime.Python)
	}
	if c.GPUs.Config != "" && !filepath.IsAbs(c.GPUs.Config) {
		add("gpus.config", "%q must be an absolute path", c.GPUs.Config)
	}
	switch c.Runtime.Network {
	case NetworkAuto, NetworkPod, NetworkHost:
	default:
		add("runtime.network", "%q is none of auto, pod, host", c.Runtime.Network)
	}
	if c.Runtime.Nodes < 1 || c.Runtime.Nodes > MaxNodes {
		add("runtime.nodes", "%d is not between 1 and %d", c.Runtime.Nodes, MaxNodes)
	}
	switch c.Runtime.Images {
	case "auto", "oci", "host":
	default:
		add("runtime.images", "%q is none of auto, oci, host", c.Runtime.Images)
	}
	if c.Tracking.MaxArtifactBytes < 1 {
		add("tracking.maxArtifactBytes", "must be at least 1")
	}
	for path, d := range map[string]Duration{"data.feedbackRetention": c.Data.FeedbackRetention, "data.sampleRetention": c.Data.SampleRetention} {
		if d.Value() < time.Minute {
			add(path, "%s is shorter than a minute", d)
		}
	}
	switch c.Logs.Level {
	case "debug", "info", "warn", "error":
	default:
		add("logs.level", "%q is none of debug, info, warn, error", c.Logs.Level)
	}
	if c.Logs.MaxFileBytes < 1<<16 {
		add("logs.maxFileBytes", "must be at least %d", 1<<16)
	}
	if c.Logs.MaxFiles < 0 {
		add("logs.maxFiles", "must not be negative")
	}
	return errors.Join(problems...)
}

func (s Server) validate(add func(path, format string, args ...any)) {
	loopback, err := checkListen(s.Listen)
	if err != nil {
		add("server.listen", "%s", err)
	}
	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		add("server.tls", "certFile and keyFile belong together")
	}
	if err == nil && !loopback && !s.TLS.Enabled() {
		add("server.listen", "%s is not a loopback address, so others could read along: set server.tls.certFile and keyFile, or listen on 127.0.0.1", s.Listen)
	}
	for i, h := range s.Hosts {
		if h == "" || h == "*" || strings.ContainsAny(h, "/:@ ") {
			add(fmt.Sprintf("server.hosts[%d]", i), "%q is not a host name or *.suffix, without scheme and port", h)
		}
	}
}

// checkListen tells whether only this machine reaches the address.
func checkListen(listen string) (loopback bool, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("%q is not HOST:PORT, e.g. %s", listen, DefaultListen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("%q: the port must be a number from 0 to 65535", listen)
	}
	if host == "localhost" {
		return true, nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil && host != "" {
		return false, fmt.Errorf("%q: the host must be an IP address or localhost", listen)
	}
	return err == nil && a.IsLoopback(), nil
}

// IsLoopback tells whether an address HOST:PORT is reached from this machine only.
func IsLoopback(listen string) bool {
	loopback, err := checkListen(listen)
	return err == nil && loopback
}
