//go:build linux

package local

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"

	"github.com/kiwerk/kiwerk/internal/config"
)

// localURL is the platform's address for processes of this machine, pods among them.
func localURL(s config.Server) string {
	scheme := "http"
	if s.TLS.Enabled() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return scheme + "://" + s.Listen // validated before
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1" // "all addresses" is none to connect to
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// client talks to the running platform. With TLS it accepts exactly the
// certificate of the configuration: its names are those for others.
func (r runState) client() (*http.Client, error) {
	if r.Certificate == "" {
		return http.DefaultClient, nil
	}
	b, err := os.ReadFile(r.Certificate)
	if err != nil {
		return nil, fmt.Errorf("server.tls.certFile: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("server.tls.certFile: %s holds no certificate", r.Certificate)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // The certificate is compared below, which is stricter.
		VerifyConnection: func(c tls.ConnectionState) error {
			if len(c.PeerCertificates) == 0 || !bytes.Equal(c.PeerCertificates[0].Raw, block.Bytes) {
				return errors.New("the platform shows another certificate than that of server.tls.certFile")
			}
			return nil
		},
	}}}, nil
}
