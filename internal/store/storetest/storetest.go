package storetest

import (
	"path/filepath"
	"testing"

	"github.com/kiwerk/kiwerk/internal/store"
)

// Open makes a database in a temporary folder and closes it with the test.
func Open(t testing.TB, migrations ...store.Migrations) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "kiwerk.db"), Migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return s
}
