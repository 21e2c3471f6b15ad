package migrate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
)

// TestImport_moved: the addresses in a folder mlruns that was moved lead nowhere, and the result says so.
func TestImport_moved(t *testing.T) {
	d, s := target(t)
	if _, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest)), DB: d, Store: s}); err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(t.TempDir(), "there", "mlruns")
	if _, err := migrate.Export(t.Context(), migrate.ExportOptions{Source: migrate.Kiwerk(s, tracesOf(t, d)), Dir: there, Bucket: folder(t)}); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "mlruns")
	missing := func(dir string) int64 {
		t.Helper()
		src, err := migrate.OpenFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		d, s := target(t)
		r, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "y", Source: src, DB: d, Store: s, Artifacts: &migrate.Artifacts{Bucket: folder(t), Dir: dir}})
		if err != nil {
			t.Fatal(err)
		}
		return r.Artifacts.Missing
	}
	if n := missing(there); n != 0 {
		t.Errorf("%d missing where everything is", n)
	}
	if err := os.Rename(there, moved); err != nil {
		t.Fatal(err)
	}
	if n := missing(moved); n == 0 {
		t.Error("nothing is missing after the move")
	}
}
