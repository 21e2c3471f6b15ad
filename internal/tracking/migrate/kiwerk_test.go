package migrate_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
)

// TestImport_kiwerk: a database of ours moves to PostgreSQL and back, and all that came from MLflow is the same.
func TestImport_kiwerk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kiwerk.db")
	d, s, err := open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	first, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s, Traces: tracesOf(t, d)})
	if err != nil || !first.Same() {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err := migrate.OpenDatabase(t.Context(), "sqlite:///"+file); !errors.Is(err, migrate.ErrKiwerk) {
		t.Errorf("got %v", err)
	}
	for n, to := range []string{postgres.URI(t), filepath.Join(t.TempDir(), "back.db")} {
		d2, s2, err := open(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d2.Close() })
		src, err := migrate.KiwerkDatabase(t.Context(), d, s, tracesOf(t, d))
		if err != nil {
			t.Fatal(err)
		}
		r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: src, DB: d2, Store: s2, Traces: tracesOf(t, d2)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.Lines, r.Lines); diff != "" {
			t.Errorf("move %d: %s", n, diff)
		}
		d, s = d2, s2
	}
}
