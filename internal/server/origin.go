package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// checkOrigin refuses requests that a foreign web page could have caused: a
// Host that is not ours (DNS rebinding) or an Origin that is not ours (CSRF).
func (s *Server) checkOrigin(r *http.Request) error {
	if !s.KnownHost(r.Host) {
		e := Errorf(http.StatusMisdirectedRequest, "FOREIGN_HOST", "Invalid Host header: host %q is not served here", r.Host)
		e.Remedy = "use 127.0.0.1 or localhost, or add the name to server.hosts in the configuration"
		return e
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if s.KnownOrigin(origin) {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !s.KnownHost(u.Host) {
		return Errorf(http.StatusForbidden, "FOREIGN_ORIGIN", "Cross-origin request blocked: requests from web pages of %q are refused", origin)
	}
	return nil
}

// KnownOrigin tells whether pages of an origin were allowed to call by name.
func (s *Server) KnownOrigin(origin string) bool {
	return slices.ContainsFunc(s.opts.Origins, func(o string) bool { return glob(o, origin) })
}

// KnownHost tells whether a Host is a name of this server.
func (s *Server) KnownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
		return true
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".svc.cluster.local") {
		return true
	}
	return slices.ContainsFunc(s.opts.Hosts, func(h string) bool { return glob(h, host) || glob(h, strings.ToLower(hostport)) })
}

// glob matches a text with a pattern in which "*" stands for any letters.
func glob(pattern, text string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for {
		part, more, found := strings.Cut(rest, "*")
		if !found {
			return strings.HasSuffix(text, part)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], more
	}
}
