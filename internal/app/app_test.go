package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kiwerk/kiwerk/internal/app/front"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/server"
)

// listen starts a front on a free port.
func listen(t *testing.T, f *front.Front) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Serve(l, config.TLS{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestCheckConfig(t *testing.T) {
	for place, fault := range map[string]string{
		"": "", "/srv/artifacts": "", "s3://bucket/kiwerk": "", "wasbs://c@acc.blob.core.windows.net/x": "",
		"artifacts": "absolute folder", "/": "absolute folder", "hdfs://h/x": "scheme that is not built",
	} {
		c := config.Default()
		c.Tracking.Artifacts = place
		if err := CheckConfig(c); (err == nil) != (fault == "") || err != nil && (!strings.Contains(err.Error(), fault) || !strings.HasPrefix(err.Error(), "tracking.artifacts")) {
			t.Errorf("%q: %v", place, err)
		}
	}
}

func TestApp_Open_artifactsInABucket(t *testing.T) {
	c := config.Default()
	c.Tracking.Artifacts = blobtest.StartS3(t) + "/kiwerk"
	log := slog.New(slog.DiscardHandler)
	a, err := New(Options{Config: c, DataDir: t.TempDir(), Front: front.New(log), Clock: clock.RealClock{}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := a.blobs.Create(t.Context(), "tracking/0/r/artifacts/a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	bucket, err := blob.Open(t.Context(), c.Tracking.Artifacts)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := bucket.Stat(t.Context(), "tracking/0/r/artifacts/a"); err != nil || info.Size != 1 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestFront_tellsThePhase(t *testing.T) {
	f := front.New(slog.New(slog.DiscardHandler))
	url := listen(t, f)
	f.SetPhase("controllers")
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/livez": {200, "OK"}, "/health": {503, "controllers"}, "/readyz": {503, "controllers"}, "/api/2.0/mlflow/x": {503, "starting: controllers"},
	} {
		if status, body := get(t, http.DefaultClient, url+path); status != want.status || body != want.body {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	// MLflow's client (urllib3) would take a Retry-After instead of its pauses of
	// 2, 4, 8, … s and have used up its seven attempts before a restart is over.
	resp, err := http.Get(url + "/api/2.0/mlflow/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if after, ok := resp.Header["Retry-After"]; ok {
		t.Errorf("a client is told to come back after %v s", after)
	}
	f.SetHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	f.SetReady()
	if status, body := get(t, http.DefaultClient, url+"/health"); status != 200 || body != "OK" {
		t.Errorf("/health: %d %q", status, body)
	}
	if _, body := get(t, http.DefaultClient, url+"/x"); body != "HTTP/1.1" {
		t.Errorf("got %q", body)
	}
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	if _, body := get(t, &http.Client{Transport: &http.Transport{Protocols: &h2c}}, url+"/x"); body != "HTTP/2.0" {
		t.Errorf("h2c: got %q", body)
	}
}

func TestFront_refusesOpenAddressWithoutTLS(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := front.New(slog.New(slog.DiscardHandler)).Serve(l, config.TLS{}); !errors.Is(err, front.ErrOpenWithoutTLS) {
		t.Errorf("got %v", err)
	}
}

// TestAuthenticator_local needs no Kubernetes: the token of the data directory and the peer.
func TestAuthenticator_local(t *testing.T) {
	own := true
	a := newAuthenticator(&Local{Token: "secret", OwnPeer: func(_, _ netip.AddrPort) (bool, error) { return own, nil }}, nil, clock.RealClock{})
	var user server.User
	var failed error
	f := front.New(slog.New(slog.DiscardHandler))
	f.SetHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { user, failed = a.Authenticate(r) }))
	url := listen(t, f)
	cases := map[string]struct {
		own    bool
		header string
		ok     bool
	}{
		"OwnPeer":           {true, "", true},
		"Stranger":          {false, "", false},
		"StrangerWithToken": {false, "Bearer secret", true},
		"LowerCaseScheme":   {false, "bearer secret", true},
		"TokenAsPassword":   {false, "Basic eDpzZWNyZXQ=", true},
		"OwnerWithBadToken": {true, "Bearer wrong", false},
		"OwnerWithEmptyOne": {true, "Bearer ", false},
		"UnknownScheme":     {true, "Negotiate abc", false},
	}
	// A pod's connection that was carried to the host's loopback, by a process of the user.
	t.Run("FromAPod", func(t *testing.T) {
		own = true
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 75, 87, 1)}}
		c := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !errors.Is(failed, server.ErrUnauthenticated) {
			t.Errorf("user %v, error %v", user, failed)
		}
	})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			own = c.own
			r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Close = true // the answer about a peer belongs to its connection
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if c.ok && (failed != nil || !user.Local) || !c.ok && !errors.Is(failed, server.ErrUnauthenticated) {
				t.Errorf("user %+v, error %v", user, failed)
			}
		})
	}
}

func TestAnswers_forgetAndBound(t *testing.T) {
	c := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	a := newAnswers[int, string](c, time.Minute, 2)
	a.put(1, "one")
	a.putFor(2, "two", time.Second)
	c.SetTime(time.Unix(2, 0))
	if _, ok := a.get(2); ok {
		t.Error("an old answer is still given")
	}
	a.put(3, "three") // full: the old one goes
	if v, ok := a.get(1); !ok || v != "one" {
		t.Error("a fresh answer was dropped although an old one could go")
	}
	a.put(4, "four") // full of fresh ones: all go
	if _, ok := a.get(1); ok || len(a.entries) != 1 {
		t.Errorf("%d entries", len(a.entries))
	}
}

type node struct {
	Name     string           `json:"name"`
	Children []*node          `json:"children,omitempty"`
	At       time.Time        `json:"at"`
	Sizes    map[string]int64 `json:"sizes"`
	hidden   int
}

// TestDescribe_coversEveryEndpoint proves that nothing served is missing and that every reference leads somewhere.
func TestDescribe_coversEveryEndpoint(t *testing.T) {
	echo := func(context.Context, *node) (*node, error) { return &node{hidden: 1}, nil }
	endpoints := []server.Endpoint{
		server.Typed("POST", "/projects/{namespace}/nodes/{key...}", server.Can("create", "nodes"), server.JSONCodec{}, echo),
		server.Typed("GET", "/nodes/{name}:show", server.Public("for the test"), server.JSONCodec{}, echo),
		{Method: "GET", Pattern: "/{$}", Permission: server.Public("for the test"), Handler: http.NotFoundHandler()},
	}
	b, err := json.Marshal(describe(endpoints, "1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"/projects/{namespace}/nodes/{key}":{"post"`, `"/nodes/{name}:show":{"get"`, `"/":{"get"`, `"x-permission":"create nodes.kiwerk.dev"`,
		`"security":[{"token":[]}]`, `"format":"date-time"`, `"additionalProperties":{"type":"integer"}`, `"name":"namespace"`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is missing in\n%s", want, b)
		}
	}
	if strings.Contains(string(b), "hidden") {
		t.Error("an unexported field is described")
	}
	var d struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(b), `"$ref":"#/components/schemas/`)[1:] {
		if name, _, _ := strings.Cut(part, `"`); d.Components.Schemas[name] == nil {
			t.Errorf("nothing describes %s", name)
		}
	}
}
