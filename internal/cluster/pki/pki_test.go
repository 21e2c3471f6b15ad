package pki_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kiwerk/kiwerk/internal/cluster/pki"
)

var begin = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func options(dir string, c *clocktesting.FakeClock) pki.Options {
	return pki.Options{
		Dir: dir, Clock: c,
		ServerIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, ServerNames: []string{"localhost"},
		NodeName: "n", NodeIPs: []net.IP{net.IPv4(192, 0, 2, 1)},
		Workers: []pki.Worker{{Name: "n-2", IPs: []net.IP{net.IPv4(192, 0, 2, 2)}}},
	}
}

func open(t *testing.T, o pki.Options) *pki.Store {
	t.Helper()
	s, err := pki.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func load(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestOpen_makesCertificatesThatVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	s := open(t, options(dir, clocktesting.NewFakeClock(begin)))
	roots := x509.NewCertPool()
	roots.AddCert(load(t, s.CAFile()))
	front := x509.NewCertPool()
	front.AddCert(load(t, s.FrontProxyCAFile()))
	proxy := load(t, s.FrontProxy().CertFile)
	forClients := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, err := proxy.Verify(x509.VerifyOptions{Roots: front, CurrentTime: begin, KeyUsages: forClients}); err != nil {
		t.Error("FrontProxy:", err)
	}
	if _, err := proxy.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: begin, KeyUsages: forClients}); err == nil {
		t.Error("the cluster's authority vouches for the front proxy: any client of it could then speak for any user")
	}
	serving, client := s.Worker("n-2")
	for name, c := range map[string]struct {
		pair  pki.Pair
		usage x509.ExtKeyUsage
		host  string
	}{
		"APIServerByAddress": {s.APIServer(), x509.ExtKeyUsageServerAuth, "127.0.0.1"},
		"APIServerByName":    {s.APIServer(), x509.ExtKeyUsageServerAuth, "localhost"},
		"KubeletByAddress":   {s.Kubelet(), x509.ExtKeyUsageServerAuth, "192.0.2.1"},
		"KubeletByName":      {s.Kubelet(), x509.ExtKeyUsageServerAuth, "n"},
		"WorkerByAddress":    {serving, x509.ExtKeyUsageServerAuth, "192.0.2.2"},
		"WorkerByName":       {serving, x509.ExtKeyUsageServerAuth, "n-2"},
		"Worker":             {client, x509.ExtKeyUsageClientAuth, ""},
		"Admin":              {s.Admin(), x509.ExtKeyUsageClientAuth, ""},
		"KubeletClient":      {s.KubeletClient(), x509.ExtKeyUsageClientAuth, ""},
	} {
		t.Run(name, func(t *testing.T) {
			opts := x509.VerifyOptions{Roots: roots, CurrentTime: begin, DNSName: c.host, KeyUsages: []x509.ExtKeyUsage{c.usage}}
			if _, err := load(t, c.pair.CertFile).Verify(opts); err != nil {
				t.Error(err)
			}
			if _, err := c.pair.Certificate(); err != nil {
				t.Error("key and certificate do not fit:", err)
			}
		})
	}
	if who := load(t, client.CertFile).Subject; who.CommonName != "system:node:n-2" || !slices.Equal(who.Organization, []string{"system:nodes"}) {
		t.Errorf("a worker is %v to the API server, which grants the rights of a node by its name", who)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, want 0600 (%v)", e.Name(), info.Mode(), err)
		}
	}
}

func TestStore_Renew(t *testing.T) {
	leaves := []string{"apiserver", "admin", "apiserver-kubelet", "kubelet", "kubelet-n-2", "node-n-2", "front-proxy-client"}
	everything := []string{"ca", "apiserver", "admin", "apiserver-kubelet", "kubelet", "kubelet-n-2", "node-n-2", "front-proxy-ca", "front-proxy-client"}
	for name, c := range map[string]struct {
		after  time.Duration
		change func(*testing.T, *pki.Options)
		want   []string
		reason string
	}{
		"Fresh":          {want: nil, reason: "nothing has changed"},
		"LongBefore":     {after: 300 * day, want: nil, reason: "65 days are left"},
		"NearExpiry":     {after: 306 * day, want: leaves, reason: "less than 60 days are left"},
		"Expired":        {after: 500 * day, want: leaves, reason: "the machine was off for long"},
		"AuthorityEnds":  {after: 10*365*day - 300*day, want: everything, reason: "the authority must outlive what it signs"},
		"ClockSetBack":   {after: -30 * day, want: leaves, reason: "not yet valid"},
		"NewAddress":     {change: func(_ *testing.T, o *pki.Options) { o.NodeIPs = append(o.NodeIPs, net.IPv4(10, 0, 0, 1)) }, want: []string{"kubelet"}, reason: "the host has another address"},
		"NewNodeName":    {change: func(_ *testing.T, o *pki.Options) { o.NodeName = "m" }, want: []string{"kubelet"}, reason: "the host has another name"},
		"BrokenLeaf":     {change: overwrite("admin.crt", "nonsense"), want: []string{"admin"}, reason: "a leaf can be made again"},
		"LostKey":        {change: remove("admin.key"), want: []string{"admin"}, reason: "a leaf can be made again"},
		"ForeignKey":     {change: copyOver("apiserver.key", "admin.key"), want: []string{"admin"}, reason: "the key does not belong to it"},
		"NoFrontProxy":   {change: remove("front-proxy-ca.crt"), want: []string{"front-proxy-ca", "front-proxy-client"}, reason: "versions before had none"},
		"LostServiceKey": {change: remove("sa.key"), want: []string{"sa"}, reason: "without it no token can be made"},
	} {
		t.Run(name, func(t *testing.T) {
			clk := clocktesting.NewFakeClock(begin)
			o := options(t.TempDir(), clk)
			open(t, o)
			clk.SetTime(begin.Add(c.after))
			if c.change != nil {
				c.change(t, &o)
			}
			before := contents(t, o.Dir)
			s := open(t, o)
			if diff := cmp.Diff(c.want, changedNames(before, contents(t, o.Dir))); diff != "" {
				t.Errorf("%s; written (-want +got):\n%s", c.reason, diff)
			}
			if again, err := s.Renew(); err != nil || len(again) > 0 {
				t.Errorf("a second renewal writes %v (%v)", again, err)
			}
		})
	}
}

// changedNames keeps the order in which they are written.
func changedNames(before, after map[string][]byte) []string {
	var out []string
	for _, name := range []string{"sa.key", "ca.crt", "apiserver.crt", "admin.crt", "apiserver-kubelet.crt", "kubelet.crt", "kubelet-n-2.crt", "node-n-2.crt", "front-proxy-ca.crt", "front-proxy-client.crt"} {
		if !bytes.Equal(before[name], after[name]) {
			out = append(out, strings.TrimSuffix(name, filepath.Ext(name)))
		}
	}
	return out
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func overwrite(name, text string) func(*testing.T, *pki.Options) {
	return func(t *testing.T, o *pki.Options) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(name string) func(*testing.T, *pki.Options) {
	return func(t *testing.T, o *pki.Options) {
		t.Helper()
		if err := os.Remove(filepath.Join(o.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func copyOver(from, to string) func(*testing.T, *pki.Options) {
	return func(t *testing.T, o *pki.Options) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(o.Dir, from))
		if err != nil {
			t.Fatal(err)
		}
		overwrite(to, string(data))(t, o)
	}
}

// A broken authority is not replaced silently: every kubeconfig would stop working.
func TestOpen_saysWhatToDoAboutABrokenAuthority(t *testing.T) {
	o := options(t.TempDir(), clocktesting.NewFakeClock(begin))
	open(t, o)
	overwrite("ca.crt", "nonsense")(t, &o)
	_, err := pki.Open(o)
	if err == nil || !strings.Contains(err.Error(), "remove "+o.Dir) {
		t.Errorf("error %v, want one that says to remove %s", err, o.Dir)
	}
}

func TestStore_Run_renewsWhileRunning(t *testing.T) {
	clk := clocktesting.NewFakeClock(begin)
	s := open(t, options(t.TempDir(), clk))
	changed := make(chan struct{}, 1)
	s.OnChange(func() { changed <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(err error) { t.Error(err) }) }()
	for !clk.HasWaiters() { //nolint:revive // Until Run has made its ticker.
	}
	clk.Step(320 * day)
	<-changed
	if left := load(t, s.Admin().CertFile).NotAfter.Sub(clk.Now()); left < 300*day {
		t.Errorf("the renewed certificate is valid for %v more", left)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
