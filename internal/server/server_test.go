package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

type tokens map[string]User

func (t tokens) Authenticate(r *http.Request) (User, error) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "down" {
		return User{}, fmt.Errorf("look up: %w", down{})
	}
	u, ok := t[token]
	if !ok {
		return User{}, ErrUnauthenticated
	}
	return u, nil
}

type onlyReaders struct{}

func (onlyReaders) Authorize(_ context.Context, u User, p Permission, ns string) error {
	if u.Name == "lost" {
		return down{}
	}
	if u.Local || p.Verb == "get" && ns == "team-a" {
		return nil
	}
	return errors.New("not granted")
}

type (
	down struct{}
	nul  struct{}
)

func (down) Error() string     { return "dial tcp 10.0.0.1: refused" }
func (down) Unavailable() bool { return true }
func (nul) Error() string      { return "0x00" }
func (nul) InvalidValue() bool { return true }

type echoRequest struct{ Text string }

type echoResponse struct{ Text, User, Namespace string }

func echo(ctx context.Context, r *echoRequest) (*echoResponse, error) {
	switch r.Text {
	case "full":
		return nil, &http.MaxBytesError{Limit: 1}
	case "disk":
		return nil, syscall.ENOSPC
	case "down":
		return nil, down{}
	case "nul":
		return nil, fmt.Errorf("insert: %w", nul{})
	case "secret":
		return nil, errors.New("password=hunter2")
	}
	return &echoResponse{r.Text, UserOf(ctx).Name, NamespaceOf(ctx)}, nil
}

func newServer(t *testing.T) *Server {
	t.Helper()
	s, err := New(Options{
		Authenticator: tokens{"lost": {Name: "lost"}, "admin": {Name: "admin", Local: true}, "reader": {Name: "reader"}},
		Authorizer:    onlyReaders{},
		Logger:        slog.New(slog.DiscardHandler),
		Endpoints: []Endpoint{
			Typed("POST", "/echo", Can("create", "echoes"), JSONCodec{}, echo),
			Typed("GET", "/projects/{namespace}/echo", Can("get", "echoes"), JSONCodec{}, echo),
			Typed("GET", "/mine", Known("for the test"), JSONCodec{}, echo),
			Typed("POST", "/models/{model}:predict", Can("create", "predictions"), JSONCodec{}, echo),
			{Method: "GET", Pattern: "/models/{model}", Permission: Public("for the test"), Handler: http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("model")) },
			)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServer_answers(t *testing.T) {
	cases := map[string]struct {
		method, target, body, token string
		header                      map[string]string
		status                      int
		contains                    string
	}{
		"Admin":            {"POST", "/echo", `{"Text":"hi"}`, "admin", nil, 200, `"hi"`},
		"NoToken":          {"POST", "/echo", `{}`, "", nil, 401, "UNAUTHENTICATED"},
		"NoPermission":     {"POST", "/echo", `{}`, "reader", nil, 403, `create echoes.kiwerk.dev`},
		"OtherProject":     {"GET", "/projects/team-b/echo", "", "reader", nil, 403, `team-b`},
		"OwnProject":       {"GET", "/projects/team-a/echo", "", "reader", nil, 200, `"Namespace":"team-a"`},
		"Workspace":        {"POST", "/echo", `{}`, "admin", map[string]string{"X-MLFLOW-WORKSPACE": "w"}, 200, `"Namespace":"w"`},
		"AnyKnownUser":     {"GET", "/mine", "", "reader", nil, 200, `"User":"reader"`},
		"UnknownUser":      {"GET", "/mine", "", "x", nil, 401, "UNAUTHENTICATED"},
		"ForeignHost":      {"POST", "/echo", `{}`, "admin", map[string]string{"Host": "evil.example"}, 421, "FOREIGN_HOST"},
		"ForeignOrigin":    {"POST", "/echo", `{}`, "admin", map[string]string{"Origin": "https://evil.example"}, 403, "FOREIGN_ORIGIN"},
		"OpaqueOrigin":     {"POST", "/echo", `{}`, "admin", map[string]string{"Origin": "null"}, 403, "FOREIGN_ORIGIN"},
		"OwnOrigin":        {"POST", "/echo", `{}`, "admin", map[string]string{"Origin": "http://localhost:7878"}, 200, ""},
		"UnknownField":     {"POST", "/echo", `{"Txt":1}`, "admin", nil, 400, "Txt"},
		"WrongType":        {"POST", "/echo", `{"Text":1}`, "admin", nil, 400, "Text: expected a string, got a number"},
		"TwoValues":        {"POST", "/echo", `{} {}`, "admin", nil, 400, "more than one"},
		"NotJSON":          {"POST", "/echo", `x`, "admin", map[string]string{"Content-Type": "text/plain"}, 415, "application/json"},
		"TooLarge":         {"POST", "/echo", `{"Text":"` + strings.Repeat("a", 2<<20) + `"}`, "admin", nil, 413, "larger than"},
		"DiskFull":         {"POST", "/echo", `{"Text":"disk"}`, "admin", nil, 507, "nothing was stored"},
		"Unavailable":      {"POST", "/echo", `{"Text":"down"}`, "admin", nil, 503, "TEMPORARILY_UNAVAILABLE"},
		"LoginUnavailable": {"POST", "/echo", `{}`, "down", nil, 503, "TEMPORARILY_UNAVAILABLE"},
		"RightUnavailable": {"POST", "/echo", `{}`, "lost", nil, 503, "TEMPORARILY_UNAVAILABLE"},
		"InvalidValue":     {"POST", "/echo", `{"Text":"nul"}`, "admin", nil, 400, "INVALID_PARAMETER_VALUE"},
		"InternalIsHidden": {"POST", "/echo", `{"Text":"secret"}`, "admin", nil, 500, "internal error"},
		"Verb":             {"POST", "/models/m:predict", `{"Text":"v"}`, "admin", nil, 200, `"v"`},
		"UnknownVerb":      {"POST", "/models/m:explode", `{}`, "admin", nil, 404, "no such route"},
		"NoVerb":           {"GET", "/models/m", "", "", nil, 200, "m"},
		"NoSuchRoute":      {"GET", "/nothing", "", "admin", nil, 404, ""},
	}
	s := newServer(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://127.0.0.1:7878"+c.target, strings.NewReader(c.body))
			if c.method == "POST" {
				r.Header.Set("Content-Type", "application/json")
			}
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
			for k, v := range c.header {
				r.Header.Set(k, v)
				if k == "Host" {
					r.Host = v
				}
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) {
				t.Errorf("got %d %s, want %d with %q", w.Code, w.Body, c.status, c.contains)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Error("the cause of an internal error reached the client")
			}
		})
	}
}

func TestNew_refusesEndpointWithoutPermission(t *testing.T) {
	_, err := New(Options{
		Authenticator: tokens{}, Authorizer: onlyReaders{}, Logger: slog.New(slog.DiscardHandler),
		Endpoints: []Endpoint{{Method: "GET", Pattern: "/open", Handler: http.NotFoundHandler()}},
	})
	if !errors.Is(err, ErrNoPermission) {
		t.Errorf("got %v, want ErrNoPermission", err)
	}
}

func TestServer_KnownHost(t *testing.T) {
	s := &Server{opts: Options{Hosts: []string{"kiwerk.example", "*.ml.example", "192.168.*", "app-*.in.example", "port.example:81"}}}
	cases := map[string]bool{
		"127.0.0.1:7878": true, "[::1]:80": true, "localhost": true, "LOCALHOST.": true, "m.default.localhost:1": true,
		"m.default.svc.cluster.local": true, "kiwerk.example": true, "192.168.1.2:5000": true, "192.169.1.2": false, "app-1.in.example": true, "app-1.in.example.evil": false, "app.in.example": false,
		"port.example:81": true, "port.example": false, "a.ml.example": true,
		"": false, "evil.example": false, "localhost.evil.example": false, "10.0.0.1": false, "ml.example": false, "127.0.0.1.nip.io": false,
	}
	for host, want := range cases {
		if got := s.KnownHost(host); got != want {
			t.Errorf("KnownHost(%q) = %v, want %v", host, got, want)
		}
	}
}
