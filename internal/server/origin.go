package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// checkOrigin refuses requests that a foreign web page could have caused: a
// Host that is not ours (DNS rebinding) or an Origin that is not ours (CSRF).
func (s *Server) checkOrigin(r *http.Request) error {
	if !s.knownHost(r.Host) {
		e := Errorf(http.StatusMisdirectedRequest, "FOREIGN_HOST", "host %q is not served here", r.Host)
		e.Remedy = "use 127.0.0.1 or localhost, or add the name to server.hosts in the configuration"
		return e
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !s.knownHost(u.Host) {
		return Errorf(http.StatusForbidden, "FOREIGN_ORIGIN", "requests from web pages of %q are refused", origin)
	}
	return nil
}

func (s *Server) knownHost(hostport string) bool {
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
	for _, h := range s.opts.Hosts {
		if suffix, ok := strings.CutPrefix(h, "*"); host == h || ok && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}
