package datahttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/data"
	datahttp "github.com/kiwerk/kiwerk/internal/data/http"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// auth knows the one token "all", and "none", which has no permission.
type auth struct{}

func (auth) Authenticate(r *http.Request) (server.User, error) {
	switch r.Header.Get("Authorization") {
	case "Bearer all":
		return server.User{Name: "all"}, nil
	case "Bearer none":
		return server.User{Name: "none"}, nil
	}
	return server.User{}, server.ErrUnauthenticated
}

func (auth) Authorize(_ context.Context, u server.User, _ server.Permission, _ string) error {
	if u.Name == "all" {
		return nil
	}
	return errors.New("not granted")
}

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func newServer(t *testing.T) (*server.Server, *data.Service) {
	t.Helper()
	bucket, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	log := slog.New(slog.DiscardHandler)
	s, err := data.New(data.Deps{
		Store: storetest.Open(t), Blobs: bucket, TempDir: t.TempDir(), Now: func() time.Time { return now }, Logger: log, MaxUpload: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Init(t.Context()), s.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t.Context()) })
	srv, err := server.New(server.Options{Authenticator: auth{}, Authorizer: auth{}, Logger: log, Endpoints: datahttp.Endpoints(s, log)})
	if err != nil {
		t.Fatal(err)
	}
	return srv, s
}

func call(srv http.Handler, method, target, body, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return w
}

const project = "/kiwerk/v1/projects/default"

func TestEndpoints_story(t *testing.T) {
	srv, s := newServer(t)
	schema := "?schema=" + url.QueryEscape(`{"columns":[{"name":"p","type":"int","min":0,"max":16},{"name":"label","type":"int"}]}`)
	versions := project + "/datasets/parts/versions"
	s.Record(data.Prediction{ID: "a.0", Namespace: "default", Endpoint: "parts", Output: json.RawMessage("7"), Time: now}) // one of long ago would be swept away
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name, method, target, body string
		status                     int
		contains                   string
	}{
		{"Violation", "POST", versions + schema, "p,label\n17,1\n", 422, `row 1, column \"p\": \"17\" is above the maximum 16`},
		{"NothingStored", "GET", versions, "", 404, `no data set \"parts\"`},
		{"First", "POST", versions + schema, "p,label\n1,1\n", 201, `"uri":"datasets:/parts/1"`},
		{"Again", "POST", versions, "p,label\n1,1\n", 201, `"version":1`},
		{"Second", "POST", versions, "p,label\n1,2\n", 201, `"version":2`},
		{"List", "GET", versions, "", 200, `"version":2`},
		{"Sets", "GET", project + "/datasets", "", 200, `"version":2`},
		{"Latest", "GET", versions + "/latest", "", 200, `"version":2`},
		{"Number", "GET", versions + "/1", "", 200, `"rows":1`},
		{"Content", "GET", versions + "/1/content", "", 200, "p,label\n1,1\n"},
		{"NoVersion", "GET", versions + "/9", "", 404, "no version 9"},
		{"BadVersion", "GET", versions + "/..%2f..%2fx", "", 400, "no version of a data set"},
		{"BadSchema", "POST", versions + "?schema=x", "p\n1\n", 400, "schema is not valid"},
		{"BadName", "POST", project + "/datasets/..%2fx/versions", "p\n1\n", 400, "no name for a data set"},
		{"TooLarge", "POST", versions, "p\n" + strings.Repeat("1\n", 600), 413, "larger than 1000 bytes"},
		{"Prediction", "GET", project + "/predictions/a.0", "", 200, `"output":7`},
		{"NoPrediction", "GET", project + "/predictions/b", "", 404, `no prediction \"b\"`},
	}
	for _, c := range steps {
		t.Run(c.name, func(t *testing.T) {
			w := call(srv, c.method, c.target, c.body, "all")
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) {
				t.Errorf("got %d %s, want %d with %q", w.Code, w.Body, c.status, c.contains)
			}
		})
	}
	h := call(srv, "GET", versions+"/1/content", "", "all").Header()
	if h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the content could be taken for a page: %v", h)
	}
}

func TestEndpoints_needPermission(t *testing.T) {
	srv, s := newServer(t)
	for _, e := range datahttp.Endpoints(s, slog.New(slog.DiscardHandler)) {
		t.Run(fmt.Sprintf("%s %s", e.Method, e.Pattern), func(t *testing.T) {
			target := strings.NewReplacer("{namespace}", "default", "{name}", "x", "{version}", "1", "{id}", "x").Replace(e.Pattern)
			for token, status := range map[string]int{"none": 403, "unknown": 401} {
				if w := call(srv, e.Method, target, "", token); w.Code != status {
					t.Errorf("token %q: got %d %s, want %d", token, w.Code, w.Body, status)
				}
			}
			if e.Summary == "" {
				t.Error("it has no summary")
			}
		})
	}
}
