package migrate_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		Name: "x", Source: source(t, file), DB: d, Store: s, Artifacts: &migrate.Artifacts{Bucket: bucket, Served: files, Dir: files},
	})
	if err != nil {
		t.Fatal(err)
	}
	src, err := migrate.OpenServer(t.Context(), serve(t, d, bucket))
	if err != nil {
		t.Fatal(err)
	}
	d2, s2 := target(t)
	again := folder(t)
	for n := range 2 {
		r, err := migrate.Import(t.Context(), migrate.ImportOptions{
			Name: "y", Source: src, DB: d2, Store: s2, Artifacts: &migrate.Artifacts{Bucket: again, Server: src},
		})
		if err != nil || !r.Same() {
			t.Fatalf("%+v, %v", r, err)
		}
		want := counts(first)
		want["traces"], want["spans"], want["assessments"] = 0, 0, 0
		if diff := cmp.Diff(want, counts(r)); diff != "" {
			t.Error(diff)
		}
		if copied := []int64{1, 0}[n]; r.Artifacts.Copied != copied {
			t.Errorf("round %d copied %d files", n, r.Artifacts.Copied)
		}
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
