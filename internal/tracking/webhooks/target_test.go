package webhooks

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// names are what the name server of the tests knows.
var names = map[string][]string{
	"localhost": {"127.0.0.1", "::1"}, "localhost.": {"127.0.0.1"}, "LOCALHOST": {"127.0.0.1"},
	"private.example": {"10.0.0.7"}, "metadata.google.internal": {"169.254.169.254"}, "mixed.example": {"93.184.215.14", "192.168.1.1"},
	"v6.example": {"fd00:ec2::254"}, "127.0.0.1.nip.io": {"127.0.0.1"}, "kubernetes.default.svc": {"10.96.0.1"}, "mapped.example": {"::ffff:10.0.0.1"},
	"nat64.example": {"64:ff9b::a00:1"}, "azure.example": {"168.63.129.16"},
	"public.example": {"93.184.215.14"}, "public6.example": {"2606:2800:21f:cb07:6820:80da:af6b:8b2c"},
}

func resolve(_ context.Context, host string) (list []netip.Addr, err error) {
	for _, a := range names[host] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return list, nil
}

// forbidden are addresses that a webhook may not have.
var forbidden = []string{
	// Plain.
	"https://127.0.0.1/", "https://127.0.0.1:8443/x", "https://127.255.255.254/", "https://0.0.0.0/", "https://0.1.2.3/", "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/",
	"https://192.168.0.1/", "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/v2/credentials", "https://100.64.0.1/", "https://100.100.100.200/", "https://168.63.129.16/",
	"https://192.0.0.192/", "https://192.0.2.1/", "https://198.18.0.1/", "https://198.51.100.1/", "https://203.0.113.1/", "https://224.0.0.1/", "https://240.0.0.1/", "https://255.255.255.255/",
	// IPv6.
	"https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:169.254.169.254]/", "https://[::127.0.0.1]/",
	"https://[::ffff:0:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b:1::a00:1]/", "https://[2002:7f00:1::]/", "https://[2002:c0a8:101::1]/", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
	"https://[2001:db8::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[::1%25lo]/", "https://[ff02::1]/", "https://[fec0::1]/", "https://[100::1]/",
	// Other spellings of numbers.
	"https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0/", "https://0x0/", "https://127.0.0.1./",
	"https://0x7F.1/", "https://00000177.0.0.1/", "https://127.0.0.0x1/", "https://3232235777/", "https://2852039166/", "https://0xa9fea9fe/", "https://1.2.3.4.5/", "https://256.256.256.256/", "https://127.0.0.1.0x/", "https://2130706433./",
	"https://1::/", "https://127。0。0。1/", "https://①②⑦.⓪.⓪.①/", "https://１２７.0.0.1/", "https://%31%32%37.0.0.1/", "https://127%2e0%2e0%2e1/",
	// User names, and what parsers understand in different ways.
	"https://public.example@127.0.0.1/", "https://user:pass@public.example/", "https://@public.example/", "https://127.0.0.1:80@public.example/", "https://public.example%40127.0.0.1/", `https://public.example\@127.0.0.1/`,
	`https://127.0.0.1\.public.example/`, "https://public.example#@127.0.0.1:99999999/x y", "https:127.0.0.1/", "https:///127.0.0.1/", "https://", "https:/x", "//127.0.0.1/", "https://public.example:80:80/", "https://[::1]:80:80/", "https://[::1",
	"https://public.example\r\nHost: 127.0.0.1/", "https://public.example\t/", " https://public.example/", "https://public.example/ x", "https://public.example\x00.localhost/", "https://public.example%00.localhost/",
	// Ports.
	"https://public.example:0/", "https://public.example:65536/", "https://public.example:-1/", "https://public.example:/", "https://public.example:http/", "https://public.example:+443/", "https://127.0.0.1:22/",
	// Schemes.
	"http://public.example/", "ftp://public.example/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "dict://127.0.0.1:11211/", "ws://public.example/", "unix:///var/run/docker.sock", "javascript:alert(1)", "data:text/plain,x", "jar:https://public.example!/", "ldap://public.example/", "httpss://public.example/", "public.example/", "", "   ",
	// Names that are not public.
	"https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://private.example/", "https://metadata.google.internal/computeMetadata/v1/", "https://mixed.example/", "https://v6.example/",
	"https://127.0.0.1.nip.io/", "https://kubernetes.default.svc/api", "https://mapped.example/", "https://nat64.example/", "https://azure.example/", "https://no-such.example/",
	"https://" + strings.Repeat("a", 600) + ".example/",
}

func TestTargets_refused(t *testing.T) {
	p := start(t, Options{Config: DefaultConfig(), Lookup: resolve})
	if len(forbidden) < 100 {
		t.Fatalf("%d variants", len(forbidden))
	}
	for _, address := range forbidden {
		status, out := p.do("POST", "", fmt.Sprintf(`{"name":"x","url":%q,"events":[{"entity":"REGISTERED_MODEL","action":"CREATED"}]}`, address))
		if status != http.StatusBadRequest || out["error_code"] != "INVALID_PARAMETER_VALUE" {
			t.Errorf("%q: %d %v", address, status, out)
		}
		if text, _ := out["message"].(string); strings.Contains(text, "10.0.0.7") || strings.Contains(text, "10.96.0.1") {
			t.Errorf("%q: the answer tells what the name resolves to: %s", address, text)
		}
	}
	w := p.create("https://public.example/", "registered_model.created", "")
	for _, address := range forbidden[:20] {
		if status, out := p.do("PATCH", "/"+w, fmt.Sprintf(`{"url":%q}`, address)); status != http.StatusBadRequest {
			t.Errorf("update to %q: %d %v", address, status, out)
		}
	}
	for _, address := range []string{
		"https://public.example/hook?token=1", "https://public6.example:8443/", "https://93.184.215.14/", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "https://public.example/%20",
	} {
		p.create(address, "registered_model.created", "")
	}
}

// TestTargets_rebinding: the name was public when the webhook was made, and is not when it is called.
func TestTargets_rebinding(t *testing.T) {
	called := false
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer r.Close()
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	c := DefaultConfig()
	c.Schemes = []string{"http"}
	p := start(t, Options{Config: c, Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) { return resolve(ctx, "public.example") }})
	for _, host := range []string{"localhost", "ip6-localhost"} {
		id := p.create("http://"+host+":"+port, "registered_model.created", "")
		_, out := p.do("POST", "/"+id+"/test", "{}")
		result := out["result"].(map[string]any)
		if result["success"] == true || result["response_status"] != nil {
			t.Errorf("%s: %v", host, out)
		}
	}
	if called {
		t.Error("a private receiver was called")
	}
}

// TestTargets_redirect: a receiver may not send a delivery to where it could not be sent at first.
func TestTargets_redirect(t *testing.T) {
	reached := map[string]bool{}
	inner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached[r.URL.Path] = true }))
	defer inner.Close()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("this machine has no 127.0.0.2: %v", err)
	}
	var self string
	outer := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Get("to") != "":
			http.Redirect(w, r, q.Get("to"), http.StatusTemporaryRedirect)
		case r.URL.Path == "/loop":
			http.Redirect(w, r, self+"/loop", http.StatusPermanentRedirect)
		case r.URL.Path == "/get":
			http.Redirect(w, r, self+"/end", http.StatusFound)
		default:
			reached[r.Method+r.URL.Path] = true
		}
	})}}
	outer.Start()
	defer outer.Close()
	self = outer.URL
	c := DefaultConfig()
	c.Schemes = []string{"http"}
	p := start(t, Options{Config: c})
	p.public = func(a netip.Addr) bool { return a.String() == "127.0.0.2" }

	test := func(path string) map[string]any {
		t.Helper()
		_, out := p.do("POST", "/"+p.create(self+path, "registered_model.created", "")+"/test", "{}")
		return out["result"].(map[string]any)
	}
	for _, to := range []string{
		inner.URL + "/direct", strings.Replace(inner.URL, "127.0.0.1", "localhost", 1) + "/name", strings.Replace(inner.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1) + "/mapped",
		strings.Replace(inner.URL, "127.0.0.1", "u:p@127.0.0.2", 1), "file:///etc/passwd", "https://127.0.0.2/", "gopher://127.0.0.1/",
	} {
		if got := test("/?to=" + to); got["success"] == true || got["error_message"] == nil {
			t.Errorf("redirect to %s: %v", to, got)
		}
	}
	for _, path := range []string{"/loop", "/get"} {
		if got := test(path); got["success"] == true {
			t.Errorf("%s: %v", path, got)
		}
	}
	if len(reached) > 0 {
		t.Errorf("reached: %v", reached)
	}
	if got := test("/?to=" + self + "/end"); got["success"] != true || !reached["POST/end"] {
		t.Errorf("a redirect that keeps the delivery: %v", got)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range forbidden {
		f.Add(s)
	}
	f.Add("https://public.example:8443/x?y#z")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseTarget(text, []string{"https"})
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Errorf("%q was accepted as %v", text, u)
		}
		r, err := http.NewRequest(http.MethodPost, text, nil)
		if err != nil || r.URL.Host != u.Host {
			t.Errorf("%q is another address when it is called: %v", text, err)
		}
	})
}
