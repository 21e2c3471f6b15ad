package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"syscall"
	"testing"
	"time"
)

const benchBody = `{"instances":[[0.1,0.2,0.3,0.4]]}`

// cpu is what this process has used, the clients of the benchmark included.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func post(b *testing.B, c *http.Client, url string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader([]byte(benchBody)))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := c.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%d %v", resp.StatusCode, err)
	}
}

// BenchmarkHop compares the CPU of three ways to the same model server, which
// is a process of its own: directly, through httputil.ReverseProxy, and through
// the gateway with routing, weights, recording and metrics. Subtract the first.
func BenchmarkHop(b *testing.B) {
	p := start(b, nil)
	m := p.modelServer("classifier", "m", "3")
	p.route("m", nil, map[string]int64{"m-1": 90, "m-2": 10})
	p.pod("a", "m", "m-1", "3", m.port, true)
	p.pod("b", "m", "m-2", "3", m.port, true)
	p.until(200, "GET", p.path("m")+"/v2/health/ready", "")
	upstream, err := url.Parse("http://127.0.0.1:" + m.port)
	if err != nil {
		b.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	})
	defer proxy.Close()
	for _, way := range []struct{ name, url string }{
		{"Direct", upstream.String() + "/v1/models/m:predict"},
		{"ReverseProxy", proxy.URL + "/v1/models/m:predict"},
		{"Gateway", p.url + p.path("m") + "/v1/models/m:predict"},
	} {
		b.Run(way.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
			defer client.CloseIdleConnections()
			post(b, client, way.url)
			before := cpu(b)
			for b.Loop() {
				post(b, client, way.url)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}
