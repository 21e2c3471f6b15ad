package migrate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/blob"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/trackingtest"
)

// serve a database and a bucket; the client belongs to it.
func serve(t *testing.T, d *db.Store, bucket blob.Bucket) *client.Client {
	t.Helper()
	s, err := trackingtest.Serve(t.Context(), tracking.Deps{Store: d, Blobs: bucket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := client.New(client.Options{URI: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestImport_server: a running server as the source, over several pages of runs and of a history.
func TestImport_server(t *testing.T) {
	files := t.TempDir()
	const weights = "3/a0000000000000000000000000000001/artifacts/model/w.bin"
	name := filepath.Join(files, filepath.FromSlash(weights))
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("weights"), 0o600)); err != nil {
		t.Fatal(err)
	}
	file := mlflow(t, newest, strings.NewReplacer("1500", "600", "120000", "30000", "700)", "70)").Replace(many),
		"INSERT INTO registered_models(name) VALUES('greet')", "INSERT INTO registered_model_tags(key, value, name) VALUES('mlflow.prompt.is_prompt', 'true', 'greet')",
		"INSERT INTO model_versions(name, version, current_stage, source) VALUES('greet', 1, 'None', 'dummy-source')",
		"INSERT INTO model_version_tags(key, value, name, version) VALUES('mlflow.prompt.is_prompt', 'true', 'greet', 1), ('mlflow.prompt.text', 'hello', 'greet', 1)")
	bucket := folder(t)
	d, s := target(t)
	first, err := migrate.Import(t.Context(), migrate.ImportOptions{
		Name: "x", Source: source(t, file), DB: d, Store: s, Traces: tracesOf(t, d), Artifacts: &migrate.Artifacts{Bucket: bucket, Served: files, Dir: files},
	})
	if err != nil {
		t.Fatal(err)
	}
	src, err := migrate.OpenServer(t.Context(), serve(t, d, bucket))
	if err != nil {
		t.Fatal(err)
	}
	var asked []int
	src.Asked = func(runs, all int) { asked = append(asked, runs, all) }
	d2, s2 := target(t)
	again := folder(t)
	for n := range 2 {
		r, err := migrate.Import(t.Context(), migrate.ImportOptions{
			Name: "y", Source: src, DB: d2, Store: s2, Traces: tracesOf(t, d2), Artifacts: &migrate.Artifacts{Bucket: again, Server: src},
		})
		if err != nil || !r.Same() {
			t.Fatalf("%+v, %v", r, err)
		}
		want := counts(first)
		for _, kind := range []string{"scorers", "issues"} {
			want[kind] = 0 // only from a database
		}
		if diff := cmp.Diff(want, counts(r)); diff != "" {
			t.Error(diff)
		}
		for i, l := range r.Lines {
			if unread := l.Kind == "scorers" || l.Kind == "issues"; l.Unread != unread || l.Same == unread {
				t.Errorf("%+v", l)
			}
			if slices.Contains([]string{"traces", "assessments", "evaluation datasets", "evaluation records"}, l.Kind) && l.Source.Sum != first.Lines[i].Source.Sum {
				t.Errorf("%s: the server tells something else than the database", l.Kind)
			}
		}
		if copied := []int64{1, 0}[n]; r.Artifacts.Copied != copied {
			t.Errorf("round %d copied %d files", n, r.Artifacts.Copied)
		}
	}
	if want := []int{0, 603, 500, 603}; !slices.Equal(asked, want) {
		t.Errorf("told %v, want %v", asked, want)
	}
	if _, err := again.Stat(t.Context(), weights); err != nil {
		t.Error(err)
	}
	gone, err := s2.RunInfo(t.Context(), "default", "a0000000000000000000000000000003")
	if want, wantErr := s.RunInfo(t.Context(), "default", "a0000000000000000000000000000003"); err != nil || wantErr != nil || !gone.Deleted || gone.Name != want.Name {
		t.Errorf("got %+v, %v; want %+v, %v", gone, err, want, wantErr)
	}
	v, err := s2.ModelVersion(t.Context(), "default", "greet", "1")
	if err != nil || len(v.Tags) != 2 {
		t.Errorf("prompt: %+v, %v", v, err)
	}
}

// TestOpenServer_none: what does not answer as a tracking server is told at once.
func TestOpenServer_none(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	c, err := client.New(client.Options{URI: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.OpenServer(t.Context(), c); err == nil || model.IsMissing(err) {
		t.Errorf("got %v", err)
	}
}

// TestImport_serverKilled: kill -9 in the middle of runs and traces of a server, and again.
func TestImport_serverKilled(t *testing.T) {
	d, s := target(t)
	file := mlflow(t, newest, strings.NewReplacer("1500", "1100", "120000", "10", "700)", "70)").Replace(many), manyTraces)
	if _, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, file), DB: d, Store: s, Traces: tracesOf(t, d)}); err != nil {
		t.Fatal(err)
	}
	c := serve(t, d, folder(t))
	path := filepath.Join(t.TempDir(), "kiwerk.db")
	if n := killed(t, c.URI(), path); n < 3 {
		t.Errorf("killed only %d times", n)
	}
	src, err := migrate.OpenServer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d2, s2, err := open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer d2.Close()
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "test", Source: src, DB: d2, Store: s2, Traces: tracesOf(t, d2)})
	if err != nil || !r.Same() || counts(r)["traces"] != 353 || counts(r)["runs"] != 1103 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestImport_serverBefore3: traces of a server that knows version 2 of their API only.
func TestImport_serverBefore3(t *testing.T) {
	d, s := target(t)
	first, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest, manyTraces)), DB: d, Store: s, Traces: tracesOf(t, d)})
	if err != nil {
		t.Fatal(err)
	}
	behind, err := url.Parse(serve(t, d, folder(t)).URI())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/3.0/") {
			http.NotFound(w, r)
			return
		}
		if filter := r.URL.Query().Get("filter"); strings.Contains(filter, "run_id") {
			t.Errorf("a search for links that there cannot be: %s", filter)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(old.Close)
	c, err := client.New(client.Options{URI: old.URL})
	if err != nil {
		t.Fatal(err)
	}
	src, err := migrate.OpenServer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d2, s2 := target(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: src, DB: d2, Store: s2, Traces: tracesOf(t, d2)})
	if err != nil || !r.Same() {
		t.Fatalf("%+v, %v", r, err)
	}
	want := counts(first)
	for _, kind := range []string{"assessments", "evaluation datasets", "evaluation records", "scorers", "issues"} {
		want[kind] = 0 // version 2 has no assessments; the rest comes from a database only
	}
	if diff := cmp.Diff(want, counts(r)); diff != "" {
		t.Error(diff)
	}
}

// TestImport_serverFolder: MLflow's server says of a folder that it keeps no datasets.
func TestImport_serverFolder(t *testing.T) {
	d, _ := target(t)
	behind, err := url.Parse(serve(t, d, folder(t)).URI())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/3.0/mlflow/datasets/") {
			http.Error(w, `{"error_code": "FEATURE_DISABLED", "message": "no"}`, http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c, err := client.New(client.Options{URI: front.URL, Pause: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	src, err := migrate.OpenServer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d2, s2 := target(t)
	if r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: src, DB: d2, Store: s2, Traces: tracesOf(t, d2)}); err != nil || !r.Same() {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestImport_serverOldSpans: spans in the form of MLflow 2 stay a file, also where the server keeps it in a folder of its own.
func TestImport_serverOldSpans(t *testing.T) {
	d, s := target(t)
	bucket := folder(t)
	const key, content = "4/traces/old3/artifacts/traces.json", `{"spans": [{"name": "old", "context": {"span_id": "0x1"}}]}`
	if _, err := bucket.Create(t.Context(), key, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	file := mlflow(t, newest, "INSERT INTO trace_tags VALUES('mlflow.artifactLocation', 'file:///there/4/traces/old3/artifacts', 'old3')")
	if _, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, file), DB: d, Store: s, Traces: tracesOf(t, d)}); err != nil {
		t.Fatal(err)
	}
	src, err := migrate.OpenServer(t.Context(), serve(t, d, bucket))
	if err != nil {
		t.Fatal(err)
	}
	d2, s2 := target(t)
	ts, again := tracesOf(t, d2), folder(t)
	r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: src, DB: d2, Store: s2, Traces: ts, Artifacts: &migrate.Artifacts{Bucket: again, Server: src}})
	if err != nil || !r.Same() {
		t.Fatalf("%+v, %v", r, err)
	}
	old, err := ts.Info(t.Context(), "default", "old3")
	if err != nil || old.Tags["mlflow.artifactLocation"] != "mlflow-artifacts:/4/traces/old3/artifacts" {
		t.Errorf("%+v, %v", old, err)
	}
	if i, err := again.Stat(t.Context(), key); err != nil || i.Size != int64(len(content)) {
		t.Errorf("%+v, %v", i, err)
	}
}
