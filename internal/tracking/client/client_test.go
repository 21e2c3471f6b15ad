package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/trackingtest"
)

// platform starts tracking on a loopback port.
func platform(t *testing.T) *client.Client {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "kiwerk.db")})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trackingtest.Serve(t.Context(), tracking.Deps{Store: db, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if err := errors.Join(db.Close(), blobs.Close()); err != nil {
			t.Error(err)
		}
	})
	return connect(t, client.Options{URI: s.URL})
}

func connect(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// call sends what the client has no method for.
func call(t *testing.T, c *client.Client, path, body string, answer any) {
	t.Helper()
	if err := c.Do(t.Context(), client.Request{Method: "POST", Path: client.MLflow(path), Body: json.RawMessage(body)}, answer); err != nil {
		t.Fatal(err)
	}
}

func newRun(t *testing.T, c *client.Client) client.Run {
	t.Helper()
	var a struct{ Run client.Run }
	call(t, c, "runs/create", `{"experiment_id":"0","start_time":1,"run_name":"r"}`, &a)
	return a.Run
}

func TestClient_runs(t *testing.T) {
	c := platform(t)
	var ids []string
	for range 7 {
		r := newRun(t, c)
		ids = append(ids, r.Info.ID)
		call(t, c, "runs/log-batch", fmt.Sprintf(`{"run_id":%q,"metrics":[{"key":"loss","value":"NaN","timestamp":5,"step":1},{"key":"top","value":"Infinity","timestamp":5}],"params":[{"key":"a","value":"b"}],"tags":[{"key":"t","value":"u"}]}`, r.Info.ID), nil)
	}
	var found []string
	for r, err := range c.Runs(t.Context(), client.Query{Experiments: []string{"0"}, Filter: "params.a = 'b'", Page: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, r.Info.ID)
		if len(r.Data.Metrics) != 2 || !math.IsNaN(float64(r.Data.Metrics[0].Value)) && !math.IsNaN(float64(r.Data.Metrics[1].Value)) {
			t.Errorf("metrics %+v", r.Data.Metrics)
		}
	}
	slices.Sort(found)
	slices.Sort(ids)
	if diff := cmp.Diff(ids, found); diff != "" {
		t.Error(diff)
	}
	most := 0
	for _, err := range c.Runs(t.Context(), client.Query{Experiments: []string{"0"}, Max: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		most++
	}
	if most != 3 {
		t.Errorf("%d runs for a bound of 3", most)
	}
	for m, err := range c.History(t.Context(), ids[0], "loss") {
		if err != nil || m.Step != 1 || m.Timestamp != 5 || !math.IsNaN(float64(m.Value)) {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if err := c.DeleteRun(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Run(t.Context(), ids[0]); err != nil || r.Info.Stage != client.Deleted {
		t.Errorf("%+v, %v", r.Info, err)
	}
	if _, err := c.Run(t.Context(), "nobody"); !client.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.ExperimentByName(t.Context(), "Default"); err != nil {
		t.Error(err)
	}
}

func TestClient_registry(t *testing.T) {
	c := platform(t)
	ctx := t.Context()
	r := newRun(t, c)
	if err := c.CreateRegisteredModel(ctx, "it's"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.CreateModelVersion(ctx, client.NewVersion{Name: "it's", Source: r.Info.ArtifactURI + "/model", RunID: r.Info.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := c.LatestVersion(ctx, "it's"); err != nil || v.Version != "2" || v.RunID != r.Info.ID {
		t.Errorf("%+v, %v", v, err)
	}
	if err := c.SetAlias(ctx, "it's", "champion", "1"); err != nil {
		t.Fatal(err)
	}
	if v, err := c.ModelVersionByAlias(ctx, "it's", "champion"); err != nil || v.Version != "1" {
		t.Errorf("%+v, %v", v, err)
	}
	m, err := c.RegisteredModel(ctx, "it's")
	if err != nil || len(m.AliasesOf("1")) != 1 || len(m.AliasesOf("2")) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if err := c.DeleteAlias(ctx, "it's", "champion"); err != nil {
		t.Error(err)
	}
	if err := c.SetVersionTag(ctx, "it's", "1", client.Pair{Key: "k", Value: "v"}); err != nil {
		t.Error(err)
	}
	if err := c.DeleteVersionTag(ctx, "it's", "1", "k"); err != nil {
		t.Error(err)
	}
	if uri, err := c.DownloadURI(ctx, "it's", "1"); err != nil || uri != r.Info.ArtifactURI+"/model" {
		t.Errorf("%s, %v", uri, err)
	}
}

func TestClient_artifacts(t *testing.T) {
	c := platform(t)
	ctx := t.Context()
	r := newRun(t, c)
	folder := client.RunFolder(r.Info)
	root := strings.TrimPrefix(folder.URI, "mlflow-artifacts:/")
	for _, name := range []string{"a.txt", "model/MLmodel", "model/data/100% groß.bin"} {
		if err := c.Upload(ctx, root+"/"+name, strings.NewReader("content of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []client.Folder{folder, {URI: folder.URI}} {
		var files []string
		if err := c.Walk(ctx, f, "", func(file client.File) error {
			files = append(files, file.Path)
			got, err := c.Open(ctx, f, file.Path, 11, "")
			if err != nil {
				return err
			}
			defer got.Close()
			b, err := io.ReadAll(got)
			if string(b) != file.Path || got.Offset != 11 || got.Size != int64(11+len(file.Path)) {
				t.Errorf("%s from 11: %q at %d of %d", file.Path, b, got.Offset, got.Size)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(files)
		if diff := cmp.Diff([]string{"a.txt", "model/MLmodel", "model/data/100% groß.bin"}, files); diff != "" {
			t.Error(diff)
		}
	}
	if got, err := c.Open(ctx, folder, "a.txt", 999, ""); err != nil || got.Offset != 0 {
		t.Errorf("more than there is: %+v, %v", got, err)
	}
	if _, err := c.Open(ctx, folder, "none", 0, ""); !client.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Open(ctx, folder, "../x", 0, ""); !errors.Is(err, client.ErrPath) {
		t.Errorf("got %v", err)
	}
	if _, err := c.List(ctx, client.Folder{URI: "s3://bucket/x"}, ""); !errors.Is(err, client.ErrElsewhere) {
		t.Errorf("got %v", err)
	}
}

// TestWalk_refusesPathsThatLeadOut does not trust a server with names of local files.
func TestWalk_refusesPathsThatLeadOut(t *testing.T) {
	for _, name := range []string{"../x", "/etc/passwd", "a/../../x", "..", "a\\..\\x", "C:/x", "", "model/../x"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			server.WriteJSON(w, http.StatusOK, map[string]any{"files": []any{map[string]any{"path": name}}})
		}))
		c := connect(t, client.Options{URI: s.URL})
		err := c.Walk(t.Context(), client.Folder{Run: "r"}, "", func(client.File) error { return nil })
		if !errors.Is(err, client.ErrPath) {
			t.Errorf("%q: %v", name, err)
		}
		s.Close()
	}
}

func TestClient_retries(t *testing.T) {
	cases := map[string]struct {
		method   string
		reads    bool
		statuses []int // then 200
		asked    int
		status   int // of the error
	}{
		"BusyRead":          {method: "GET", statuses: []int{503, 429}, asked: 3},
		"BusyWrite":         {method: "POST", statuses: []int{429}, asked: 2},
		"GatewayRead":       {method: "GET", statuses: []int{502, 504}, asked: 3},
		"GatewaySearch":     {method: "POST", reads: true, statuses: []int{502}, asked: 2},
		"GatewayWrite":      {method: "POST", statuses: []int{502}, asked: 1, status: 502},
		"Refused":           {method: "GET", statuses: []int{400}, asked: 1, status: 400},
		"InternalErrorOnce": {method: "GET", statuses: []int{500}, asked: 1, status: 500},
		"BusyForever":       {method: "GET", statuses: slices.Repeat([]int{503}, 10), asked: 6, status: 503},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, _ := io.ReadAll(r.Body); c.method == "POST" && string(b) != `"x"` {
					t.Errorf("body %q", b)
				}
				if asked++; asked <= len(c.statuses) {
					w.Header().Set("Retry-After", "7")
					w.WriteHeader(c.statuses[asked-1])
					return
				}
				_, _ = io.WriteString(w, "{}")
			}))
			defer s.Close()
			var pauses []time.Duration
			cl := connect(t, client.Options{URI: s.URL, Pause: func(_ context.Context, d time.Duration) error {
				pauses = append(pauses, d)
				return nil
			}})
			q := client.Request{Method: c.method, Path: "/x", Reads: c.reads}
			if c.method == "POST" {
				q.Body = "x"
			}
			err := cl.Do(t.Context(), q, nil)
			var refused *client.Error
			if (err != nil) != (c.status != 0) || errors.As(err, &refused) && refused.Status != c.status {
				t.Errorf("error %v, want %d", err, c.status)
			}
			if asked != c.asked || len(pauses) != c.asked-1 {
				t.Errorf("asked %d times with pauses %v, want %d", asked, pauses, c.asked)
			}
			if strings.HasPrefix(name, "Busy") && pauses[0] != 7*time.Second {
				t.Errorf("the server's pause was not kept: %v", pauses)
			}
		})
	}
}

func TestNew_saysWhoCalls(t *testing.T) {
	cases := map[string]struct {
		o    client.Options
		path string
		want string
	}{
		"Token":    {client.Options{Token: "t", Workspace: "team-a"}, "", "Bearer t team-a"},
		"Password": {client.Options{Username: "u", Password: "p"}, "/prefix", "Basic dTpw "},
		"Nobody":   {client.Options{}, "", " "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization") + " " + r.Header.Get("X-Mlflow-Workspace"); got != c.want || r.URL.Path != c.path+"/version" {
					t.Errorf("%s by %q", r.URL.Path, got)
				}
				_, _ = io.WriteString(w, "3.17.2\n")
			}))
			defer s.Close()
			c.o.URI = s.URL + c.path + "/"
			if v, err := connect(t, c.o).Version(t.Context()); v != "3.17.2" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		})
	}
	for _, uri := range []string{"", "sqlite:///x.db", "mlruns", "http://", "databricks", "http://a b"} {
		if _, err := client.New(client.Options{URI: uri}); !errors.Is(err, client.ErrURI) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func TestError_readsEveryEnvelope(t *testing.T) {
	for body, want := range map[string]string{
		`{"error_code":"X","message":"m"}`:                     "GET /p: 404 X: m",
		`{"error":{"code":"C","message":"m","remedy":"do r"}}`: "GET /p: 404 C: m; do r",
		`{"error":"plain","message":"m"}`:                      "GET /p: 404 : m",
		`<html>no</html>`:                                      "GET /p: 404 : 404 Not Found <html>no</html>",
		`{}`:                                                   "GET /p: 404 : 404 Not Found",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, body)
		}))
		if err := connect(t, client.Options{URI: s.URL}).Do(t.Context(), client.Request{Method: "GET", Path: "/p"}, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
		s.Close()
	}
}

func FuzzFloat(f *testing.F) {
	for _, s := range []string{"1", `"NaN"`, "NaN", `"-Infinity"`, "null", `"1e300"`, "-0", `""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var v, again client.Float
		if v.UnmarshalJSON([]byte(s)) != nil {
			return
		}
		b, err := v.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalJSON(b); err != nil || again != v && !math.IsNaN(float64(v)) {
			t.Errorf("%q is %v and %s, which is %v, %v", s, v, b, again, err)
		}
	})
}
