package migrate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/migrate"
)

// contents are all files below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		all[name] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestExport_occupied: a folder that holds something else stays as it is.
func TestExport_occupied(t *testing.T) {
	export := func(t *testing.T, dir string, more ...string) error {
		t.Helper()
		d, s := target(t)
		if _, err := migrate.Import(t.Context(), migrate.ImportOptions{Name: "x", Source: source(t, mlflow(t, newest, more...)), DB: d, Store: s, Traces: tracesOf(t, d)}); err != nil {
			t.Fatal(err)
		}
		_, err := migrate.Export(context.WithoutCancel(t.Context()), migrate.ExportOptions{Source: migrate.Kiwerk(s, tracesOf(t, d)), Dir: dir})
		return err
	}
	for name, c := range map[string]struct {
		statement string
		want      string
	}{
		"Number":  {"UPDATE experiments SET name = 'other', creation_time = 77 WHERE experiment_id = 3", "the number"},
		"Default": {"UPDATE experiments SET creation_time = 77 WHERE experiment_id = 0", "the number"},
		"Model":   {"UPDATE registered_models SET creation_time = 77 WHERE name = 'net'", `registered model "net"`},
		"Version": {"UPDATE model_versions SET creation_time = 77 WHERE name = 'net' AND version = 1", "version 1"},
		"Renamed": {"UPDATE experiments SET name = 'other' WHERE experiment_id = 3", ""},
		"Same":    {"SELECT 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mlruns")
			if err := export(t, dir); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			err := export(t, dir, c.statement)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, migrate.ErrOccupied) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Error("it was written to: " + diff)
			}
		})
	}
	t.Run("Name", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "mlruns")
		if err := export(t, dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "3"), filepath.Join(dir, "77")); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "77", "meta.yaml")
		if err := os.WriteFile(name, []byte(strings.Replace(contents(t, dir)[name], `"3"`, `"77"`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := export(t, dir); !errors.Is(err, migrate.ErrOccupied) || !strings.Contains(err.Error(), "the name") {
			t.Errorf("got %v", err)
		}
	})
}
