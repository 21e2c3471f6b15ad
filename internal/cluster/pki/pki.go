package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	caRenewal  = 365 * 24 * time.Hour
	certLife   = 365 * 24 * time.Hour
	renewal    = 60 * 24 * time.Hour
	clockSkew  = 5 * time.Minute
	checkEvery = 12 * time.Hour

	clusterCA    = "ca"
	frontProxyCA = "front-proxy-ca"
	// FrontProxyName is the common name that aggregated API servers trust.
	FrontProxyName = "front-proxy-client"
)

// Options says where the store lies and for which names it is valid.
type Options struct {
	// Dir is created with mode 0700.
	Dir string
	// Clock decides what has expired.
	Clock clock.WithTicker
	// ServerIPs and ServerNames are what clients may call the API server.
	ServerIPs   []net.IP
	ServerNames []string
	// NodeName and NodeIPs are what the API server calls the kubelet.
	NodeName string
	NodeIPs  []net.IP
	// Workers are the further nodes, whose kubelets are other processes.
	Workers []Worker
}

// Worker is a node whose kubelet shows a certificate to the API server.
type Worker struct {
	Name string
	IPs  []net.IP
}

// Store is the folder of certificates.
type Store struct {
	opts Options

	mu      sync.Mutex
	changed []func()
}

// Paths of one certificate and its key.
type Pair struct{ CertFile, KeyFile string }

// Open creates, checks and renews the certificates in opts.Dir.
func Open(opts Options) (*Store, error) {
	if opts.Clock == nil {
		return nil, errors.New("certificates: no clock given")
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	s := &Store{opts: opts}
	if _, err := s.Renew(); err != nil {
		return nil, err
	}
	return s, nil
}

// CAFile is the certificate of the authority.
func (s *Store) CAFile() string { return s.path(clusterCA + ".crt") }

// FrontProxyCAFile is the authority of [Store.FrontProxy]. It is one of its own:
// who holds a certificate of it may speak for any user.
func (s *Store) FrontProxyCAFile() string { return s.path(frontProxyCA + ".crt") }

// FrontProxy is what the API server shows to aggregated API servers.
func (s *Store) FrontProxy() Pair { return s.pair(FrontProxyName) }

// APIServer is what the API server serves with.
func (s *Store) APIServer() Pair { return s.pair("apiserver") }

// Admin is the client certificate of the user.
func (s *Store) Admin() Pair { return s.pair("admin") }

// KubeletClient is what the API server shows to the kubelet.
func (s *Store) KubeletClient() Pair { return s.pair("apiserver-kubelet") }

// Kubelet is what the kubelet serves with.
func (s *Store) Kubelet() Pair { return s.pair("kubelet") }

// Worker is what the kubelet of a further node serves with and what it shows to the API server.
func (s *Store) Worker(name string) (serving, client Pair) {
	return s.pair("kubelet-" + name), s.pair("node-" + name)
}

// ServiceAccountKey signs tokens.
func (s *Store) ServiceAccountKey() string { return s.path("sa.key") }

// OnChange calls f after certificates were renewed while the program runs.
func (s *Store) OnChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(s.changed, f)
}

// Run renews certificates until ctx ends. Errors go to report; the next check tries again.
func (s *Store) Run(ctx context.Context, report func(error)) error {
	tick := s.opts.Clock.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
		renewed, err := s.Renew()
		if err != nil {
			report(err)
			continue
		}
		if len(renewed) > 0 {
			s.mu.Lock()
			fs := slices.Clone(s.changed)
			s.mu.Unlock()
			for _, f := range fs {
				f()
			}
		}
	}
}

// Certificate reads a pair for use in a TLS configuration.
func (p Pair) Certificate() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	return &c, err
}

// Renew creates what is missing and replaces what expires soon, was signed by
// another authority or lacks a name. It returns the names of what it wrote.
func (s *Store) Renew() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var written []string
	if made, err := s.ensureServiceAccountKey(); err != nil {
		return nil, err
	} else if made {
		written = append(written, "sa")
	}
	requests := s.requests()
	for _, name := range []string{clusterCA, frontProxyCA} {
		ca, made, err := s.ensureCA(name)
		if err != nil {
			return nil, err
		}
		if made {
			written = append(written, name)
		}
		for _, r := range requests[name] {
			if made, err = s.ensure(ca, r); err != nil {
				return nil, fmt.Errorf("certificate %s: %w", r.name, err)
			}
			if made {
				written = append(written, r.name)
			}
		}
	}
	return written, nil
}

// request describes a certificate that must exist.
type request struct {
	name    string
	subject pkix.Name
	usage   x509.ExtKeyUsage
	names   []string
	ips     []net.IP
}

// requests are the certificates by the authority that signs them.
func (s *Store) requests() map[string][]request {
	masters := []string{"system:masters"}
	cluster := []request{
		{
			name: "apiserver", subject: pkix.Name{CommonName: "kube-apiserver"}, usage: x509.ExtKeyUsageServerAuth,
			names: s.opts.ServerNames, ips: s.opts.ServerIPs,
		},
		{name: "admin", subject: pkix.Name{CommonName: "kiwerk-admin", Organization: masters}, usage: x509.ExtKeyUsageClientAuth},
		{
			name:    "apiserver-kubelet",
			subject: pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: masters},
			usage:   x509.ExtKeyUsageClientAuth,
		},
		{
			name: "kubelet", subject: nodeSubject(s.opts.NodeName),
			usage: x509.ExtKeyUsageServerAuth, names: []string{s.opts.NodeName}, ips: s.opts.NodeIPs,
		},
	}
	for _, w := range s.opts.Workers {
		cluster = append(cluster,
			request{name: "kubelet-" + w.Name, subject: nodeSubject(w.Name), usage: x509.ExtKeyUsageServerAuth, names: []string{w.Name}, ips: w.IPs},
			request{name: "node-" + w.Name, subject: nodeSubject(w.Name), usage: x509.ExtKeyUsageClientAuth})
	}
	proxy := request{name: FrontProxyName, subject: pkix.Name{CommonName: FrontProxyName}, usage: x509.ExtKeyUsageClientAuth}
	return map[string][]request{clusterCA: cluster, frontProxyCA: {proxy}}
}

// nodeSubject is the identity that the API server grants the rights of one node.
func nodeSubject(name string) pkix.Name {
	return pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}}
}

// authority is the signing pair.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (s *Store) ensureCA(name string) (authority, bool, error) {
	now := s.opts.Clock.Now()
	cert, key, err := readPair(s.pair(name))
	switch {
	case err == nil && now.Before(cert.NotAfter.Add(-caRenewal)):
		return authority{cert, key}, false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return authority{}, false, fmt.Errorf("certificate authority: %w; remove %s to create new certificates (clients need a new kubeconfig then)", err, s.opts.Dir)
	}
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, false, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "kiwerk-" + name},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err = s.sign(s.pair(name), template, template, key, key)
	return authority{cert, key}, true, err
}

func (s *Store) ensure(ca authority, r request) (bool, error) {
	cert, _, err := readPair(s.pair(r.name))
	if err == nil && s.fits(cert, ca, r) {
		return false, nil
	}
	// A leaf that cannot be read is replaced: nothing but the authority is worth keeping.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, err
	}
	now := s.opts.Clock.Now()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      r.subject,
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(certLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{r.usage},
		DNSNames:     r.names,
		IPAddresses:  r.ips,
	}
	_, err = s.sign(s.pair(r.name), template, ca.cert, key, ca.key)
	return true, err
}

// fits tells whether an existing certificate can stay.
func (s *Store) fits(cert *x509.Certificate, ca authority, r request) bool {
	now := s.opts.Clock.Now()
	if now.Before(cert.NotBefore) || !now.Before(cert.NotAfter.Add(-renewal)) || cert.CheckSignatureFrom(ca.cert) != nil {
		return false
	}
	if cert.Subject.String() != r.subject.String() {
		return false
	}
	for _, n := range r.names {
		if !slices.Contains(cert.DNSNames, n) {
			return false
		}
	}
	for _, ip := range r.ips {
		if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

func (s *Store) ensureServiceAccountKey() (bool, error) {
	if _, err := os.Stat(s.ServiceAccountKey()); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, err
	}
	return true, writeKey(s.ServiceAccountKey(), key)
}

func (s *Store) path(name string) string { return filepath.Join(s.opts.Dir, name) }

func (s *Store) pair(name string) Pair { return Pair{s.path(name + ".crt"), s.path(name + ".key")} }
